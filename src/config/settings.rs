//! What a job and `[defaults]` may both say.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::calendars::Calendars;
use super::hooks::{self, Wanted};
use super::policy;
use super::secrets::Secrets;
use super::walk::{Key, Value, Walk};
use super::warnings;
use super::words;
use crate::job::{Delivery, Keep, Misfire, Moment, Overlap, QueueName, Reactions, Retry, Text};
use crate::schedule::{Calendar, GapRule, OverlapRule, UnknownZone, Zone, tzdb_version};

/// What names in a file may stand for.
pub(super) struct Names<'a> {
    pub(super) secrets: &'a Secrets,
    pub(super) calendars: &'a Calendars,
}

/// What was said; what was not stays `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) timezone: Option<Zone>,
    pub(super) gap: Option<GapRule>,
    pub(super) repeated: Option<OverlapRule>,
    pub(super) skip_on: Option<Vec<Arc<Calendar>>>,
    pub(super) only_on: Option<Vec<Arc<Calendar>>>,
    pub(super) jitter: Option<Duration>,
    /// Whether a worker does it.
    pub(super) on_worker: Option<bool>,
    pub(super) queue: Option<QueueName>,
    pub(super) start_within: Option<Duration>,
    pub(super) shell: Option<Vec<Arc<str>>>,
    pub(super) cwd: Option<Arc<Path>>,
    pub(super) env: Arc<BTreeMap<String, Text>>,
    pub(super) env_file: Option<Arc<Path>>,
    pub(super) timeout: Option<Duration>,
    pub(super) kill_after: Option<Duration>,
    pub(super) warn_after: Option<Duration>,
    pub(super) must_succeed_within: Option<Duration>,
    pub(super) retry: Option<Retry>,
    pub(super) overlap: Option<Overlap>,
    pub(super) delivery: Option<Delivery>,
    pub(super) misfire: Option<Misfire>,
    pub(super) lease: Option<Duration>,
    /// What follows each moment, in the order of [`Moment::ALL`].
    pub(super) on: [Option<Vec<Wanted>>; 4],
    pub(super) log_limit: Option<usize>,
    pub(super) keep: Option<Keep>,
    pub(super) tags: Vec<String>,
}

impl Settings {
    /// Takes one key; `false` when it is not one of these.
    pub(super) fn take(&mut self, walk: &mut Walk<'_>, names: &Names<'_>, key: &Key<'_>, value: &Value<'_>) -> bool {
        match key.get_ref().as_ref() {
            "timezone" => self.timezone = zone(walk, value),
            "dst_gap" => self.gap = policy::gap(walk, value),
            "dst_overlap" => self.repeated = policy::repeated(walk, value),
            "skip_on" => self.skip_on = names.calendars.named(walk, "skip_on", value),
            "only_on" => self.only_on = names.calendars.named(walk, "only_on", value),
            "run_on" => self.on_worker = walk.one_of("run_on", value, &words::PLACE, &[]),
            "queue" => self.queue = queue(walk, value),
            "start_within" => self.start_within = start_within(walk, value),
            "jitter" => self.jitter = walk.duration("jitter", value),
            "shell" => self.shell = shell(walk, value),
            "cwd" => self.cwd = walk.text("cwd", value).map(path),
            "env" => self.env = Arc::new(environment(walk, names.secrets, value)),
            "env_file" => self.env_file = walk.text("env_file", value).map(path),
            "timeout" => self.timeout = walk.span_of_time("timeout", value),
            "warn_after" => self.warn_after = walk.span_of_time("warn_after", value),
            "must_succeed_within" => self.must_succeed_within = walk.span_of_time("must_succeed_within", value),
            "kill_after" => self.kill_after = walk.duration("kill_after", value),
            "retry" => self.retry = policy::retry(walk, value),
            "overlap" => self.overlap = policy::overlap(walk, value),
            "delivery" => self.delivery = policy::delivery(walk, value),
            "misfire" => self.misfire = policy::misfire(walk, value),
            "lock" => self.lease = policy::lock(walk, value),
            "on_start" => self.on[0] = hooks::wanted(walk, Moment::Start, value),
            "on_success" => self.on[1] = hooks::wanted(walk, Moment::Success, value),
            "on_failure" => self.on[2] = hooks::wanted(walk, Moment::Failure, value),
            "on_overdue" => self.on[3] = hooks::wanted(walk, Moment::Overdue, value),
            "log_limit" => self.log_limit = policy::size(walk, value),
            "keep" => self.keep = policy::keep(walk, value),
            "tags" => self.tags = walk.texts("tags", value).unwrap_or_default(),
            _ => return false,
        }
        true
    }

    /// What follows which moment.
    pub(super) fn reactions(&self) -> Reactions {
        let [start, success, failure, overdue] =
            std::array::from_fn(|n| self.on[n].iter().flatten().map(|one| one.reaction.clone()).collect::<Vec<_>>());
        Reactions { start, success, failure, overdue }
    }

    /// All that is named in them, with where it is.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        self.on.iter().flatten().flatten().cloned().collect()
    }

    /// These, and from `defaults` whatever is missing. Only tags and variables are joined.
    pub(super) fn or(self, defaults: &Settings) -> Settings {
        let mut tags = defaults.tags.clone();
        tags.extend(self.tags.into_iter().filter(|tag| !defaults.tags.contains(tag)));
        let mut env = Arc::clone(&defaults.env);
        if !self.env.is_empty() {
            let own = self.env.iter().map(|(name, text)| (name.clone(), text.clone()));
            Arc::make_mut(&mut env).extend(own);
        }
        Settings {
            timezone: self.timezone.or_else(|| defaults.timezone.clone()),
            gap: self.gap.or(defaults.gap),
            repeated: self.repeated.or(defaults.repeated),
            skip_on: self.skip_on.or_else(|| defaults.skip_on.clone()),
            only_on: self.only_on.or_else(|| defaults.only_on.clone()),
            jitter: self.jitter.or(defaults.jitter),
            on_worker: self.on_worker.or(defaults.on_worker),
            queue: self.queue.or_else(|| defaults.queue.clone()),
            start_within: self.start_within.or(defaults.start_within),
            shell: self.shell.or_else(|| defaults.shell.clone()),
            cwd: self.cwd.or_else(|| defaults.cwd.clone()),
            env,
            env_file: self.env_file.or_else(|| defaults.env_file.clone()),
            timeout: self.timeout.or(defaults.timeout),
            kill_after: self.kill_after.or(defaults.kill_after),
            warn_after: self.warn_after.or(defaults.warn_after),
            must_succeed_within: self.must_succeed_within.or(defaults.must_succeed_within),
            retry: self.retry.or_else(|| defaults.retry.clone()),
            overlap: self.overlap.or(defaults.overlap),
            delivery: self.delivery.or(defaults.delivery),
            misfire: self.misfire.or(defaults.misfire),
            lease: self.lease.or(defaults.lease),
            on: std::array::from_fn(|n| self.on[n].clone().or_else(|| defaults.on[n].clone())),
            log_limit: self.log_limit.or(defaults.log_limit),
            keep: self.keep.or(defaults.keep),
            tags,
        }
    }
}

fn zone(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Zone> {
    let name = walk.text("timezone", value)?;
    let UnknownZone { nearest, .. } = match Zone::parse(&name) {
        Ok(zone) => {
            warnings::zone(walk, &name, value);
            return Some(zone);
        }
        Err(unknown) => unknown,
    };
    let is_offset = name.contains(['+', '-']) && name.contains(|c: char| c.is_ascii_digit());
    let nearest = warnings::city(&name).map(str::to_owned).or(nearest);
    let label = format!("not in the IANA database ({})", tzdb_version());
    let error = walk.error("E0030", value.span(), format!("unknown time zone {name:?}"), label);
    match nearest {
        Some(nearest) => error.suggest(format!("did you mean {nearest:?}?"), value.span(), format!("{nearest:?}")),
        None if is_offset => {
            error.help("an offset is not a time zone: name a city that has it, such as \"Europe/Berlin\", or \"UTC\"");
        }
        None => {
            error.help("write an IANA name such as \"UTC\" or \"Europe/Berlin\"");
        }
    }
    None
}

fn start_within(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Duration> {
    let found = walk.duration("start_within", value)?;
    if found < Duration::from_secs(1) {
        walk.error("E0023", value.span(), "`start_within` is out of range", "must be at least 1s")
            .help("a worker takes a moment to begin: write some seconds, as in \"30s\"");
        return None;
    }
    Some(found)
}

fn queue(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<QueueName> {
    let text = walk.text("queue", value)?;
    let name = QueueName::new(&text);
    if name.is_none() {
        let label = "only a-z, 0-9, `-` and `_`, at most 63 characters, not `-` or `_` first";
        let error = walk.error("E0037", value.span(), format!("{text:?} is not a valid name for a queue"), label);
        let better = text.to_lowercase().replace([' ', '.', '/'], "-");
        if QueueName::new(&better).is_some() {
            error.suggest("rename the queue", value.span(), format!("{better:?}"));
        }
    }
    name
}

fn path(text: String) -> Arc<Path> {
    Path::new(&text).into()
}

fn shell(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Vec<Arc<str>>> {
    let argv = walk.texts("shell", value)?;
    if argv.is_empty() {
        walk.error("E0024", value.span(), "`shell` is empty", "as in `[\"/bin/bash\", \"-c\"]`");
        return None;
    }
    Some(argv.into_iter().map(Arc::from).collect())
}

fn environment(walk: &mut Walk<'_>, secrets: &Secrets, value: &Value<'_>) -> BTreeMap<String, Text> {
    let mut env = BTreeMap::new();
    for (key, value) in walk.table("env", value).into_iter().flatten() {
        let name = key.get_ref().as_ref();
        if name.is_empty() || name.contains(['=', '\0']) {
            walk.error(
                "E0024",
                key.span(),
                format!("{name:?} cannot name a variable"),
                "must not be empty or hold `=`",
            );
        } else if let Some(text) = secrets.text(walk, name, value) {
            env.insert(name.to_owned(), text);
        }
    }
    env
}

//! One `[jobs.NAME]` table: from its keys to a [`Job`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::action;
use super::hooks::Wanted;
use super::keys::JOB;
use super::publish::publish;
use super::settings::{Names, Settings};
use super::walk::{Key, Value, Walk};
use super::warnings;
use super::when::{self, Known};
use crate::clock::Timestamp;
use crate::job::{Action, FileText, Job, JobName, Policy, Source, Task, Text};
use crate::schedule::{Rules, Schedule, Zone};

/// Exactly one of these says when.
const WHEN: [&str; 3] = ["schedule", "every", "at"];
/// Exactly one of these says what.
const ACTIONS: [&str; 4] = ["command", "http", "publish", "handler"];

/// What jobs of one file share.
pub(super) struct Shelf<'a> {
    pub(super) defaults: &'a Settings,
    pub(super) names: Names<'a>,
    pub(super) known: &'a mut Known,
    pub(super) policies: &'a mut Policies,
    /// What the jobs of all files name in `on_failure` and the like.
    pub(super) wanted: &'a mut Vec<Wanted>,
    /// Of that, what concerns the job read last, whether it says so itself or `[defaults]` does.
    pub(super) follows: Vec<Wanted>,
    pub(super) now: Timestamp,
}

/// The latest policies, for jobs that have the same: thousands have a few in all.
#[derive(Default)]
pub(super) struct Policies(VecDeque<Arc<Policy>>);

impl Policies {
    const MOST: usize = 64;

    fn share(&mut self, policy: Policy) -> Arc<Policy> {
        if let Some(same) = self.0.iter().find(|known| ***known == policy) {
            return Arc::clone(same);
        }
        self.0.truncate(Self::MOST - 1);
        self.0.push_front(Arc::new(policy));
        Arc::clone(&self.0[0])
    }
}

/// The keys that are only a job's own, as found.
#[derive(Default)]
struct Own<'v, 'i> {
    when: Vec<(&'v Key<'i>, &'v Value<'i>)>,
    action: Vec<(&'v Key<'i>, &'v Value<'i>)>,
    timezone: Option<&'v Key<'i>>,
    start: Option<&'v Value<'i>>,
    end: Option<&'v Value<'i>>,
    args: Option<(&'v Key<'i>, &'v Value<'i>)>,
    stdin: Option<(&'v Key<'i>, &'v Value<'i>)>,
    mutex: Option<String>,
    ping: Option<Text>,
    description: Option<String>,
    owner: Option<String>,
    runbook: Option<String>,
    enabled: Option<bool>,
    /// Settings that only a job for workers has.
    for_workers: Vec<&'v Key<'i>>,
    message_trigger: Option<bool>,
    /// Keys that were probably meant where an unknown one stands.
    meant: Vec<&'static str>,
}

/// Reads one job. `None` when it has a mistake that leaves nothing to build; each mistake is noted.
pub(super) fn job(walk: &mut Walk<'_>, shelf: &mut Shelf<'_>, key: &Key<'_>, value: &Value<'_>) -> Option<Job> {
    let name = key.get_ref().as_ref();
    let Some(table) = value.get_ref().as_table() else {
        walk.wrong_type(name, value, "a table").help(format!("write `[jobs.{name}]` and its settings below"));
        return None;
    };
    if dotted(walk, key, table) {
        return None;
    }
    let before = walk.found.len();
    let checked = job_name(walk, key);
    let mut settings = Settings::default();
    let own = own_keys(walk, shelf, name, table, &mut settings);
    shelf.wanted.extend(settings.wanted());
    let settings = settings.or(shelf.defaults);
    let on = settings.reactions();
    shelf.follows = settings.wanted();
    let schedule = schedule(walk, shelf, key, &own, &settings);
    let task = one_task(walk, shelf, key, &own, &settings);
    let (line, _) = walk.file.place(key.span().start);
    let limited = settings.timeout.is_some();
    let name = checked?;
    let policy = Policy {
        tags: settings.tags,
        enabled: own.enabled.unwrap_or(true),
        skip_on: settings.skip_on.unwrap_or_default(),
        only_on: settings.only_on.unwrap_or_default(),
        jitter: settings.jitter.unwrap_or_default(),
        misfire: settings.misfire.unwrap_or_default(),
        overlap: settings.overlap.unwrap_or_default(),
        delivery: settings.delivery.unwrap_or_default(),
        retry: settings.retry.unwrap_or_default(),
        timeout: settings.timeout.unwrap_or(Duration::from_secs(3600)),
        kill_after: settings.kill_after.unwrap_or(Duration::from_secs(10)),
        warn_after: settings.warn_after,
        must_succeed_within: settings.must_succeed_within,
        lease: settings.lease.unwrap_or(Duration::from_secs(30)),
        start_within: settings.start_within,
        message_trigger: own.message_trigger.unwrap_or(false),
        on,
        log_limit: settings.log_limit.unwrap_or(1 << 20),
        keep: settings.keep.unwrap_or_default(),
    };
    let job = Job {
        name,
        description: own.description.map(String::into_boxed_str),
        owner: own.owner.map(String::into_boxed_str),
        runbook: own.runbook.map(String::into_boxed_str),
        schedule: schedule?,
        task: task?,
        mutex: own.mutex,
        ping: own.ping.map(Box::new),
        policy: shelf.policies.share(policy),
        source: Source { file: Arc::clone(&walk.file.name), line, text: FileText(Some(walk.file.text.clone())) },
    };
    warnings::job(walk, key, table, &job, limited, shelf.now);
    let is_told = walk.found[before..].iter().any(|one| one.code == "W0202");
    if job.enabled && !is_told && !job.schedule.is_manual() && job.next_open(shelf.now).is_none() {
        let calendars = !job.skip_on.is_empty() || !job.only_on.is_empty();
        let label = if calendars { "its calendars leave it no day to come" } else { "its time is over" };
        walk.error("W0202", key.span(), format!("job `{}` never runs again", job.name), label)
            .help("remove it, or write `enabled = false`");
    }
    Some(job)
}

fn job_name(walk: &mut Walk<'_>, key: &Key<'_>) -> Option<JobName> {
    let text = key.get_ref().as_ref();
    let Ok(name) = JobName::new(text) else {
        let label = "only a-z, 0-9, `-` and `_`, at most 63 characters, not `-` or `_` first";
        let error = walk.error("E0010", key.span(), format!("`{text}` is not a valid job name"), label);
        let better: String = text.to_lowercase().replace([' ', '.', '/'], "-");
        match JobName::new(&better) {
            Ok(better) => error.suggest("rename the job", key.span(), better.as_str()),
            Err(_) => {
                error.help("job names become routing keys, URLs and metric labels");
            }
        }
        return None;
    };
    Some(name)
}

/// Whether this is what `[jobs.billing.invoices]` leaves: a "job" that holds nothing but jobs.
fn dotted(walk: &mut Walk<'_>, key: &Key<'_>, table: &DeTable<'_>) -> bool {
    let is_job = |value: &Value<'_>| {
        let table = value.get_ref().as_table();
        table.is_some_and(|table| table.keys().any(|key| JOB.has(key.get_ref())))
    };
    let inner: Vec<_> =
        table.iter().filter(|(key, value)| !JOB.has(key.get_ref()) && is_job(value)).map(|(key, _)| key).collect();
    for sub in &inner {
        let (outer, sub_name) = (key.get_ref(), sub.get_ref());
        let path = format!("{outer}.{sub_name}");
        // `billing` is known where it was first written, which may be another header.
        let start = sub.span().start.saturating_sub(outer.len() + 1);
        let together = walk.file.text.get(start..sub.span().end) == Some(path.as_str());
        let span = if together { start..sub.span().end } else { sub.span() };
        let label = format!("TOML reads this as a table `{sub_name}` inside `{outer}`");
        let error = walk.error("E0011", span.clone(), "job names cannot contain a dot", label);
        if together {
            error.suggest("use a dash instead", span, format!("{outer}-{sub_name}"));
        }
    }
    !inner.is_empty() && inner.len() == table.len()
}

fn own_keys<'v, 'i>(
    walk: &mut Walk<'_>,
    shelf: &Shelf<'_>,
    name: &str,
    table: &'v DeTable<'i>,
    settings: &mut Settings,
) -> Own<'v, 'i> {
    let mut own = Own::default();
    for (key, value) in table {
        let word = key.get_ref().as_ref();
        match word {
            _ if WHEN.contains(&word) => own.when.push((key, value)),
            _ if ACTIONS.contains(&word) => own.action.push((key, value)),
            "start" => own.start = Some(value),
            "end" => own.end = Some(value),
            "args" => own.args = Some((key, value)),
            "stdin" => own.stdin = Some((key, value)),
            "ping" => own.ping = ping(walk, shelf, value),
            "mutex" => own.mutex = walk.text(word, value),
            "description" => own.description = walk.text(word, value),
            "owner" => own.owner = walk.text(word, value),
            "runbook" => own.runbook = walk.text(word, value),
            "message_trigger" => own.message_trigger = walk.boolean(word, value),
            "enabled" => own.enabled = walk.boolean(word, value),
            _ if settings.take(walk, &shelf.names, key, value) => match word {
                "timezone" => own.timezone = Some(key),
                "queue" | "start_within" => own.for_workers.push(key),
                "run_on" if settings.on_worker == Some(true) => own.for_workers.push(key),
                _ => {}
            },
            // Told by `dotted` already.
            _ if walk.found.iter().any(|one| one.code == "E0011" && one.span.end == key.span().end) => {}
            _ => {
                own.meant.extend(walk.unknown_key(key, &JOB, &format!("job `{name}`")));
            }
        }
    }
    // In the order of the file, whatever the table's.
    own.when.sort_by_key(|(key, _)| key.span().start);
    own.action.sort_by_key(|(key, _)| key.span().start);
    own
}

/// A URL to ping. One that is a secret is looked at when it is used.
fn ping(walk: &mut Walk<'_>, shelf: &Shelf<'_>, value: &Value<'_>) -> Option<Text> {
    match shelf.names.secrets.text(walk, "ping", value)? {
        Text::Plain(_) => action::address(walk, value).map(Text::Plain),
        secret => Some(secret),
    }
}

fn schedule(
    walk: &mut Walk<'_>,
    shelf: &mut Shelf<'_>,
    name: &Key<'_>,
    own: &Own<'_, '_>,
    settings: &Settings,
) -> Option<Arc<Schedule>> {
    let place = when::Context {
        job: name.get_ref(),
        zone: settings.timezone.clone().unwrap_or_else(Zone::utc),
        zone_key: own.timezone.map(Key::span),
        rules: Rules { gap: settings.gap.unwrap_or_default(), overlap: settings.repeated.unwrap_or_default() },
        stated: settings.gap.is_some() || settings.repeated.is_some(),
        now: shelf.now,
    };
    let [(key, value), rest @ ..] = own.when.as_slice() else {
        if !own.meant.iter().any(|word| WHEN.contains(word)) {
            let message = format!("job `{}` has no `schedule`", name.get_ref());
            walk.error("E0013", name.span(), message, "this job would never run").help(
                "add e.g. `schedule = \"@daily\"`, or `schedule = \"@manual\"` for a job that is only triggered by hand",
            );
        }
        return None;
    };
    for (second, _) in rest {
        two(walk, "E0016", name, ("schedule", key), second);
    }
    let schedule = match key.get_ref().as_ref() {
        "every" => when::every(walk, &place.zone, value),
        "at" => when::at(walk, &place, value),
        _ => when::texts(walk, shelf.known, &place, value),
    };
    when::within(walk, &place, schedule?, own.start, own.end)
}

/// Notes that a job has two of what it may have one of.
fn two(walk: &mut Walk<'_>, code: &str, name: &Key<'_>, (what, first): (&str, &Key<'_>), second: &Key<'_>) {
    let file = walk.file;
    let message = format!("job `{}` has two {what}s", name.get_ref());
    let error = walk.error(code, second.span(), message, format!("second {what} `{}`", second.get_ref()));
    error.other = Some(super::diagnostic::Place {
        file: Arc::clone(&file.name),
        source: Arc::clone(&file.text),
        span: first.span(),
        label: format!("first {what} `{}`", first.get_ref()).into(),
    });
    error.help(if what == "action" { "split it into two jobs" } else { "keep one; several texts go into a list" });
}

fn one_task(
    walk: &mut Walk<'_>,
    shelf: &Shelf<'_>,
    name: &Key<'_>,
    own: &Own<'_, '_>,
    settings: &Settings,
) -> Option<Task> {
    let [(key, value), rest @ ..] = own.action.as_slice() else {
        // A misspelt action is told already; "does nothing" would only be its echo.
        if !own.meant.iter().any(|word| ACTIONS.contains(word)) {
            let message = format!("job `{}` does nothing", name.get_ref());
            walk.error("E0014", name.span(), message, "needs exactly one of command, http, publish, handler")
                .help("add e.g. `command = \"echo hello\"`");
        }
        return None;
    };
    for (second, _) in rest {
        two(walk, "E0015", name, ("action", key), second);
    }
    let chosen = key.get_ref().as_ref();
    misplaced(walk, own.stdin, "command", chosen);
    misplaced(walk, own.args, "handler", chosen);
    let queue = match (settings.on_worker, settings.queue.clone()) {
        (Some(true), queue) if chosen != "publish" => Some(queue.unwrap_or_default()),
        _ => {
            for key in &own.for_workers {
                for_workers(walk, key, chosen);
            }
            None
        }
    };
    let action = match chosen {
        "command" => {
            let stdin = own.stdin.and_then(|(_, value)| walk.text("stdin", value));
            let shell = !value.get_ref().is_array();
            let words = action::command(walk, value)?;
            Action::Command(action::wrapped(words, shell, stdin, settings))
        }
        "http" => Action::Http(Box::new(action::http(walk, shelf.names.secrets, value)?)),
        "publish" => return publish(walk, shelf.names.secrets, value).map(|publish| Task::Publish(Box::new(publish))),
        _ => {
            let args = match own.args {
                Some((_, args)) => args_of(walk, args)?,
                None => serde_json::Value::Null,
            };
            Action::Handler { name: walk.text("handler", value)?, args }
        }
    };
    Some(match queue {
        Some(queue) => Task::Queue(queue, action),
        None => Task::Run(action),
    })
}

/// Notes a setting that only a job for workers has.
fn for_workers(walk: &mut Walk<'_>, key: &Key<'_>, chosen: &str) {
    let word = key.get_ref().as_ref();
    if chosen == "publish" {
        walk.error("E0029", key.span(), format!("`{word}` goes with work of your own"), "this job has `publish`")
            .help("leave it out: whoever takes the message does the work");
    } else {
        walk.error("E0029", key.span(), format!("`{word}` goes with `run_on`"), "a replica does this job")
            .help("add `run_on = \"worker\"`, or leave it out");
    }
}

fn misplaced(walk: &mut Walk<'_>, found: Option<(&Key<'_>, &Value<'_>)>, needs: &str, chosen: &str) {
    if let Some((key, _)) = found.filter(|_| needs != chosen) {
        let message = format!("`{}` goes with `{needs}`", key.get_ref());
        walk.error("E0029", key.span(), message, format!("this job has `{chosen}`"))
            .help(format!("leave it out, or use `{needs}`"));
    }
}

fn args_of(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<serde_json::Value> {
    if matches!(value.get_ref(), DeValue::Table(_)) {
        return action::json(walk, value, |walk, value| walk.untemplated("args", value));
    }
    walk.wrong_type("args", value, "a table");
    None
}

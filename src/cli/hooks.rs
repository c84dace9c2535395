//! `cronclave hooks`: who is told of events, what could not be told, and telling it again.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::show::Table;
use super::{Context, Failure, out};
use crate::config::{self, Config, Process};
use crate::hook::{self, Registry, Standing, To, Verdict, shape};
use crate::job::Hook;
use crate::parts::Parts;
use crate::phrase::{self, Mark};
use crate::runner::Handlers;
use crate::schedule::Zone;
use crate::service;

/// Show hooks, test them, and send again what they did not take.
///
/// NAME is that of a hook in the schedule files or of a webhook that was registered by the API; where both
/// have one of that name, write hook/NAME or webhook/NAME. ping/JOB stands for the ping of a job.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave hooks                          all of them, and whether they are told anything
  cronclave hooks test audit               send one event now, and say what was answered
  cronclave hooks deliveries audit         what waits for it, and what it did not take
  cronclave hooks resend audit --all       send what it did not take once more
  cronclave hooks enable audit             tell it again after it answered 410 Gone")]
pub(super) struct Hooks {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List hooks and registered webhooks (the default)
    Ls,
    /// Send a `hook.test` event now, once
    Test {
        /// Which hook
        name: String,
    },
    /// Show what waits to be delivered, and what could not be
    Deliveries {
        /// To whom
        name: String,
        /// Only what is not tried any more
        #[arg(long)]
        failed: bool,
        /// At most so many, the newest
        #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 50)]
        most: usize,
    },
    /// Send something again that was not taken
    Resend {
        /// To whom
        name: String,
        /// As `cronclave hooks deliveries` shows them
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// All that failed
        #[arg(long)]
        all: bool,
    },
    /// Switch a hook on again that answered 410 Gone
    Enable {
        /// Which hook
        name: String,
    },
}

/// What a command works with.
struct Desk {
    parts: Parts,
    settings: hook::Settings,
    registry: Registry,
    config: Config,
}

/// At most so many are sent again at once.
const MANY: usize = 1000;

impl Hooks {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let desk = Desk::open(context, &process).await?;
        match self.what {
            None | Some(What::Ls) => desk.list(context).await?,
            Some(What::Test { name }) => return desk.test(&name).await,
            Some(What::Deliveries { name, failed, most }) => {
                let to = desk.named(&name).await?;
                desk.deliveries(context, &to, failed.then_some(Standing::Failed), most).await?;
            }
            Some(What::Resend { name, ids, all }) => {
                let to = desk.named(&name).await?;
                desk.resend(&to, ids, all).await?;
            }
            Some(What::Enable { name }) => {
                let to = desk.named(&name).await?;
                let was_off = desk.registry.switch_on(&to).await?;
                out::line(format!(
                    "{to} {}",
                    if was_off { "is told of events again" } else { "was not switched off" }
                ))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Desk {
    async fn open(context: &Context, process: &Process) -> Result<Desk, Failure> {
        let config = context.config(&process.config)?;
        let backends = context.backends(process).await?;
        let parts = service::parts(process, backends, Handlers::default());
        let settings = service::hooks(process);
        let registry = Registry::new(&parts, &settings);
        Ok(Desk { parts, settings, registry, config })
    }

    fn hook(&self, name: &str) -> Option<&Hook> {
        self.config.hooks.iter().find(|hook| hook.name.as_str() == name).map(AsRef::as_ref)
    }

    /// Who is meant.
    async fn named(&self, name: &str) -> Result<To, Failure> {
        if name.contains('/') {
            return name.parse().map_err(|why: hook::Nobody| Failure::new(Failure::USAGE, why.to_string()));
        }
        if let Some(hook) = self.hook(name) {
            return Ok(To::Hook(hook.name.clone()));
        }
        let registered = self.registry.list().await?;
        if let Some(one) = registered.values().find(|one| one.id.as_str() == name) {
            return Ok(To::Webhook(one.id.clone()));
        }
        let known = self.config.hooks.iter().map(|hook| hook.name.as_str());
        let hint = match config::nearest(name, known.chain(registered.keys().map(|id| id.as_str()))) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "`cronclave hooks` lists them".to_owned(),
        };
        Err(Failure::new(Failure::NO_INPUT, format!("there is no hook `{name}`: {hint}")))
    }

    async fn list(&self, context: &Context) -> Result<(), Failure> {
        let mut all = Vec::new();
        for hook in &self.config.hooks {
            all.push(shape::hook(hook, self.registry.off(hook).await?.as_ref()));
        }
        all.extend(self.registry.list().await?.values().map(shape::webhook));
        if context.global.json {
            return out::json(&json!({ "items": all }));
        }
        if all.is_empty() {
            return out::line("no hooks: declare one as `[hooks.NAME]` in a schedule file");
        }
        let mut table = Table::new(&context.style, &["", "NAME", "FROM", "URL", "EVENTS", "FORMAT", "STATE"]);
        for one in all {
            let state = match (&one.off_reason, one.enabled) {
                (Some(why), _) => format!("off: {why}"),
                (None, true) => "on".to_owned(),
                (None, false) => "disabled".to_owned(),
            };
            let mark = if one.enabled { Mark::Good } else { Mark::Bad };
            let events: Vec<&str> = one.events.iter().map(|pattern| pattern.as_str()).collect();
            let events = if events.is_empty() { "of jobs that name it".to_owned() } else { events.join(" ") };
            let from = if one.source == shape::Source::File { "file" } else { "api" };
            let format = format!("{:?}", one.format).to_lowercase();
            table.row(Some(mark), [one.id.to_string(), from.to_owned(), one.url, events, format, state]);
        }
        out::print(table.text())
    }

    async fn test(&self, name: &str) -> Result<ExitCode, Failure> {
        let to = self.named(name).await?;
        let verdict = match &to {
            To::Hook(name) => {
                let hook = self.hook(name.as_str());
                let hook = hook.ok_or_else(|| Failure::new(Failure::NO_INPUT, format!("there is no hook `{name}`")))?;
                hook::test(&self.parts, &self.settings, hook).await?
            }
            To::Webhook(id) => {
                let one = self.registry.get(id.as_str()).await.map_err(refused)?;
                hook::test_webhook(&self.parts, &self.settings, &one).await?
            }
            To::Ping(_) => return Err(Failure::new(Failure::USAGE, "a ping has no event to be tested with")),
        };
        match verdict {
            Verdict::Taken(status) => {
                out::line(format!("{to} took it: {status}"))?;
                Ok(ExitCode::SUCCESS)
            }
            Verdict::Gone => Err(Failure::new(Failure::NO, format!("{to} did not take it: it answered 410 Gone"))),
            Verdict::Not { message, .. } => Err(Failure::new(Failure::NO, format!("{to} did not take it: {message}"))),
        }
    }

    async fn deliveries(&self, context: &Context, to: &To, only: Option<Standing>, most: usize) -> Result<(), Failure> {
        let found = self.registry.deliveries(to, only, None, most).await?;
        let shown: Vec<_> = found.iter().map(shape::delivery).collect();
        if context.global.json {
            return out::json(&json!({ "items": shown }));
        }
        if shown.is_empty() {
            return out::line(format!("nothing waits for {to}, and nothing failed"));
        }
        let mut table = Table::new(&context.style, &["", "ID", "EVENT", "JOB", "HAPPENED", "TRIES", "NEXT", "LAST"]);
        let time = |at| context.style.time(at, &Zone::utc());
        for one in shown {
            let mark = if one.state == Standing::Failed { Mark::Bad } else { Mark::Idle };
            let next = one.next_try_at.map_or_else(|| "never".to_owned(), time);
            let last = one.last.map_or_else(|| "-".to_owned(), |last| last.message);
            let cells = [one.id, one.event, one.job, time(one.happened_at), one.tries.to_string(), next, last];
            table.row(Some(mark), cells);
        }
        out::print(table.text())
    }

    async fn resend(&self, to: &To, mut ids: Vec<String>, all: bool) -> Result<(), Failure> {
        if all {
            let failed = self.registry.deliveries(to, Some(Standing::Failed), None, MANY).await?;
            ids = failed.into_iter().map(|one| one.id).collect();
        }
        for id in &ids {
            self.registry.resend(to, id).await.map_err(refused)?;
        }
        match ids.len() {
            0 => out::line(format!("nothing failed for {to}: nothing is sent again")),
            count => out::line(format!(
                "{} to {to}: a replica sends {} now",
                phrase::count(count, "event"),
                if count == 1 { "it" } else { "them" }
            )),
        }
    }
}

fn refused(why: hook::Refused) -> Failure {
    match why {
        hook::Refused::Store(error) => error.into(),
        hook::Refused::NotFound(_) => Failure::new(Failure::NO_INPUT, why.to_string()),
        other => Failure::new(Failure::NO, other.to_string()),
    }
}

//! `cronclave hooks`: who is told of events, what could not be told, and telling it again.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::place::{Files, Place};
use super::show::Table;
use super::{Context, Failure, out};
use crate::hook::Standing;
use crate::hook::shape::{Shown, ShownDelivery, Source};
use crate::phrase::{self, Mark};
use crate::schedule::Zone;
use crate::shape::Page;

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

/// At most so many are sent again at once.
const MANY: usize = 1000;

impl Hooks {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let place = context.place(Files::Needed).await?;
        match self.what {
            None | Some(What::Ls) => list(&place.webhooks().await?, context)?,
            Some(What::Test { name }) => {
                let (to, tested) = (named(&place, &name).await?.0, place.test_webhook(&name).await?);
                if !tested.taken {
                    let why = tested.message.unwrap_or_default();
                    return Err(Failure::new(Failure::NO, format!("{to} did not take it: {why}")));
                }
                out::line(format!("{to} took it: {}", tested.status.unwrap_or_default()))?;
            }
            Some(What::Deliveries { name, failed, most }) => {
                let (to, _) = named(&place, &name).await?;
                let page = place.deliveries(&name, failed.then_some(Standing::Failed), most).await?;
                deliveries(&to, &page, context)?;
            }
            Some(What::Resend { name, ids, all }) => resend(&place, &name, ids, all).await?,
            Some(What::Enable { name }) => {
                let (to, was_off) = named(&place, &name).await?;
                place.enable_webhook(&name).await?;
                let what = if was_off { "is told of events again" } else { "was not switched off" };
                out::line(format!("{to} {what}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Who is called so, in full, and whether he is switched off. Whoever is asked next says when it is nobody.
async fn named(place: &Place, name: &str) -> Result<(String, bool), Failure> {
    let full = |one: &Shown| format!("{}/{}", if one.source == Source::File { "hook" } else { "webhook" }, one.id);
    let all = place.webhooks().await?.items;
    let found = all.iter().find(|one| one.id.as_str() == name || full(one) == name);
    Ok(found.map_or((name.to_owned(), false), |one| (full(one), one.off_reason.is_some())))
}

fn list(page: &Page<Shown>, context: &Context) -> Result<(), Failure> {
    out::stale(page.stale_since);
    if context.global.json {
        return out::json(page);
    }
    if page.items.is_empty() {
        return out::line("no hooks: declare one as `[hooks.NAME]` in a schedule file");
    }
    let mut table = Table::new(&context.style, &["", "NAME", "FROM", "URL", "EVENTS", "FORMAT", "STATE"]);
    for one in &page.items {
        let state = match (&one.off_reason, one.enabled) {
            (Some(why), _) => format!("off: {why}"),
            (None, true) => "on".to_owned(),
            (None, false) => "disabled".to_owned(),
        };
        let mark = if one.enabled { Mark::Good } else { Mark::Bad };
        let events: Vec<&str> = one.events.iter().map(|pattern| pattern.as_str()).collect();
        let events = if events.is_empty() { "of jobs that name it".to_owned() } else { events.join(" ") };
        let from = if one.source == Source::File { "file" } else { "api" };
        let format = format!("{:?}", one.format).to_lowercase();
        table.row(Some(mark), [one.id.to_string(), from.to_owned(), one.url.clone(), events, format, state]);
    }
    out::print(table.text())
}

fn deliveries(to: &str, page: &Page<ShownDelivery>, context: &Context) -> Result<(), Failure> {
    out::stale(page.stale_since);
    if context.global.json {
        return out::json(page);
    }
    if page.items.is_empty() {
        return out::line(format!("nothing waits for {to}, and nothing failed"));
    }
    let mut table = Table::new(&context.style, &["", "ID", "EVENT", "JOB", "HAPPENED", "TRIES", "NEXT", "LAST"]);
    let time = |at| context.style.time(at, &Zone::utc());
    for one in &page.items {
        let mark = if one.state == Standing::Failed { Mark::Bad } else { Mark::Idle };
        let next = one.next_try_at.map_or_else(|| "never".to_owned(), time);
        let last = one.last.as_ref().map_or_else(|| "-".to_owned(), |last| last.message.clone());
        let (id, event, job) = (one.id.clone(), one.event.clone(), one.job.clone());
        table.row(Some(mark), [id, event, job, time(one.happened_at), one.tries.to_string(), next, last]);
    }
    out::print(table.text())
}

async fn resend(place: &Place, name: &str, mut ids: Vec<String>, all: bool) -> Result<(), Failure> {
    let (to, _) = named(place, name).await?;
    if all {
        let failed = place.deliveries(name, Some(Standing::Failed), MANY).await?;
        ids = failed.items.into_iter().map(|one| one.id).collect();
    }
    for id in &ids {
        place.resend(name, id).await?;
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

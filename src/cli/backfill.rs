//! `cronclave backfill`: past occurrences that are to run after all.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::refusal::stands;
use super::{Context, Failure, find, out, show};
use crate::backfill::{self, Asked, Fate, Item, MOST, Wish};
use crate::clock::Timestamp;
use crate::desk::in_the_way_of;
use crate::job::{Job, Overlap};
use crate::store::Store;

/// Have the past occurrences of a span run after all: those that have not. They are listed first.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave backfill report --from 2026-11-01 --to 2026-11-08 -n     only list them
  cronclave backfill report --from 2026-11-01 --to 2026-11-08 --reason 'files came late'
  cronclave backfill report --from 24h --to 1h --overlap skip --yes

Times without a zone are those of the job's own zone; the end of the span is not part of it. Each run takes the identity of
its occurrence: what ran before does not run again. They wait in the job's queue and run one after another; what
comes due meanwhile is decided by the job's own `overlap`.")]
pub(super) struct Backfill {
    /// The job's name
    job: String,
    /// Occurrences at this time or later, or so long ago
    #[arg(long, value_name = "TIME|SPAN")]
    from: String,
    /// Occurrences before this time, or so long ago
    #[arg(long, value_name = "TIME|SPAN")]
    to: String,
    /// What happens to one while a run of the job is open
    #[arg(long, value_enum, default_value_t = Wait::QueueAll, value_name = "POLICY")]
    overlap: Wait,
    /// Why; it is kept in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only list them
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Wait {
    /// It is refused
    Skip,
    /// It waits, unless one waits already
    QueueOne,
    /// It waits
    QueueAll,
}

impl Backfill {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let config = context.config(&process.config)?;
        let job = find::job(&config, &self.job)?;
        let store = context.store(&process).await?;
        let now = store.view(&job.name, None).await?.now;
        let (from, to) = (self.time("--from", &self.from, job, now)?, self.time("--to", &self.to, job, now)?);
        if from >= to {
            return Err(Failure::new(
                Failure::USAGE,
                format!("nothing lies between {from} and {to}: --from is the earlier one"),
            ));
        }
        let items = backfill::plan(&*store, job, from..to).await?;
        if items.len() > MOST {
            let why = format!("more than {MOST} occurrences lie between {from} and {to}: name a shorter span");
            return Err(Failure::new(Failure::USAGE, why));
        }
        let wanted = items.iter().filter(|item| item.fate == Fate::Runs).count();
        if context.global.json && (self.dry_run || wanted == 0) {
            out::json(&json!({"job": job.name, "items": items.iter().map(item).collect::<Vec<_>>(), "asked": false}))?;
            return Ok(ExitCode::SUCCESS);
        }
        if !context.global.json {
            out::print(list(job, &items, context))?;
        }
        if self.dry_run || wanted == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        let question = format!("Type how many to start them ({wanted}):");
        if !self.yes && !out::confirm(&question, &wanted.to_string())? {
            return Err(Failure::new(Failure::NO, "nothing was started"));
        }
        self.ask(context, &*store, job, &items).await
    }

    fn time(&self, flag: &str, text: &str, job: &Job, now: Timestamp) -> Result<Timestamp, Failure> {
        let zone = job.schedule.zone();
        show::past(text, now, zone).map_err(|why| Failure::new(Failure::USAGE, format!("{flag} {text}: {why}")))
    }

    async fn ask(&self, context: &Context, store: &dyn Store, job: &Job, items: &[Item]) -> Result<ExitCode, Failure> {
        let overlap = match self.overlap {
            Wait::Skip => Overlap::Skip,
            Wait::QueueOne => Overlap::QueueOne,
            Wait::QueueAll => Overlap::QueueAll,
        };
        let wish = Wish { overlap, by: super::user(), reason: self.reason.clone() };
        let (mut done, mut accepted) = (Vec::new(), 0);
        for item in items.iter().filter(|item| item.fate == Fate::Runs) {
            let asked = backfill::ask(store, job, item.at, &wish).await?;
            let (run_id, why) = match &asked {
                Asked::Accepted(run_id) => (Some(*run_id), None),
                Asked::Stands(may) => (None, Some(stands(may))),
                Asked::Refused(reply) => {
                    (None, Some(in_the_way_of(&job.name, reply, store.view(&job.name, None).await?.now)))
                }
            };
            accepted += usize::from(run_id.is_some());
            if let Some(why) = why.as_ref().filter(|_| !context.global.json) {
                out::note(format_args!("{}: {why}", item.at));
            }
            done.push(json!({"at": item.at, "run_id": run_id, "refused": why}));
        }
        if context.global.json {
            out::json(&json!({"job": job.name, "items": done, "asked": true}))?;
        } else {
            out::line(format_args!("asked for {}; undo: cronclave cancel RUN", show::count(accepted, "run")))?;
        }
        Ok(if accepted == done.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn said(item: &Item) -> String {
    match &item.fate {
        Fate::Runs => "to run".into(),
        Fate::Stands(may) => stands(may),
        Fate::Closed(calendar) => format!("closed by calendar {calendar}"),
    }
}

fn item(one: &Item) -> Value {
    json!({"at": one.at, "runs": one.fate == Fate::Runs, "detail": said(one)})
}

fn list(job: &Job, items: &[Item], context: &Context) -> String {
    let mut text = String::new();
    for item in items {
        text += &format!("  {}   {}\n", context.style.time(item.at, job.schedule.zone()), said(item));
    }
    let wanted = items.iter().filter(|item| item.fate == Fate::Runs).count();
    text += &format!("{} of {}\n", show::count(wanted, "run"), show::count(items.len(), "occurrence"));
    text
}

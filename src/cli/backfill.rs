//! `cronclave backfill`: past occurrences that are to run after all.

use std::process::ExitCode;

use clap::Args;

use super::place::{Files, Place};
use super::{Context, Failure, out, show};
use crate::desk::{Choice, Fill};
use crate::phrase;
use crate::shape::{Backfill as Filling, Waits};

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
    #[arg(long, value_enum, default_value_t = Waits::QueueAll, value_name = "POLICY")]
    overlap: Waits,
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

impl Backfill {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let place = context.place(Files::Needed).await?;
        let fill = self.fill(&place).await?;
        let planned = place.backfill_plan(&self.job, &fill).await?;
        let wanted = planned.items.iter().filter(|item| item.runs).count();
        let over = self.dry_run || wanted == 0;
        if !context.global.json {
            out::print(list(&planned, context))?;
        } else if over {
            out::json(&planned)?;
        }
        if over {
            return Ok(ExitCode::SUCCESS);
        }
        let question = format!("Type how many to start them ({wanted}):");
        if !self.yes && !out::confirm(&question, &wanted.to_string())? {
            return Err(Failure::new(Failure::NO, "nothing was started"));
        }
        let done = place.backfill(&self.job, fill).await?;
        let accepted = done.items.iter().filter(|item| item.runs).count();
        if context.global.json {
            out::json(&done)?;
        } else {
            let refused = |at| planned.items.iter().any(|item| item.at == at && item.runs);
            for item in done.items.iter().filter(|item| !item.runs && refused(item.at)) {
                out::note(format_args!("{}: {}", item.at, item.detail));
            }
            out::line(format_args!("asked for {}; undo: cronclave cancel RUN", phrase::count(accepted, "run")))?;
        }
        Ok(if accepted == wanted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What was typed, with times in the job's own zone.
    async fn fill(&self, place: &Place) -> Result<Fill, Failure> {
        let page = place.jobs(&Choice { names: vec![self.job.clone()], ..Choice::default() }).await?;
        let zone = show::known_zone(page.items.first().map(|job| job.timezone.as_str()));
        let time = |flag: &str, text: &str| {
            let wrong = |why| Failure::new(Failure::USAGE, format!("{flag} {text}: {why}"));
            phrase::past(text, page.now, &zone).map_err(wrong)
        };
        let (from, until) = (time("--from", &self.from)?, time("--to", &self.to)?);
        if from >= until {
            let why = format!("nothing lies between {from} and {until}: --from is the earlier one");
            return Err(Failure::new(Failure::USAGE, why));
        }
        Ok(Fill { from, until, overlap: self.overlap, reason: self.reason.clone() })
    }
}

fn list(planned: &Filling, context: &Context) -> String {
    let zone = show::known_zone(Some(&planned.timezone));
    let mut text = String::new();
    for item in &planned.items {
        text += &format!("  {}   {}\n", context.style.time(item.at, &zone), item.detail);
    }
    let wanted = planned.items.iter().filter(|item| item.runs).count();
    text += &format!("{} of {}\n", phrase::count(wanted, "run"), phrase::count(planned.items.len(), "occurrence"));
    text
}

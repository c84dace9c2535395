//! `cronclave history`: what ran, what did not, and why.

use std::process::ExitCode;

use clap::Args;

use super::place::Files;
use super::show::{self, Style, Table};
use super::{Context, Failure, out};
use crate::clock::Timestamp;
use crate::desk::{self, Choice, Detail, Filter};
use crate::lease::RunId;
use crate::ledger::State;
use crate::phrase::{self, Mark};
use crate::schedule::Zone;
use crate::shape::{Attempt, Run};

/// Show past runs, and occurrences that did not become one, newest first.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave history                               the last 20 of all jobs
  cronclave history crm-sync --state failed       what failed
  cronclave history --since 24h --trigger manual  who triggered what, lately
  cronclave history crm-sync --json | jq '.items[].duration_seconds'")]
pub(super) struct History {
    /// Of this job only
    job: Option<String>,
    /// At most so many; 0 means all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// In these states, separated by commas
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = desk::state)]
    state: Vec<State>,
    /// Scheduled so long ago at most (24h), or at this time or later
    #[arg(long, value_name = "SPAN|TIME")]
    since: Option<String>,
    /// Scheduled so long ago at least, or before this time
    #[arg(long, value_name = "SPAN|TIME")]
    until: Option<String>,
    /// Triggered so
    #[arg(long, value_name = "KIND", value_parser = ["schedule", "manual", "cli", "backfill", "chain"])]
    trigger: Option<String>,
}

impl History {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let place = context.place(Files::Helpful).await?;
        // Times are read as those of the job's zone, by the store's clock: both are asked for only when they are needed.
        let (since, until) = match (&self.since, &self.until) {
            (None, None) => (None, None),
            _ => {
                let now = place.status().await?.it.now;
                let zone = match (&context.style.zone, &self.job) {
                    (Some(zone), _) => zone.clone(),
                    (None, Some(job)) => zone_of(&place, job).await,
                    (None, None) => Zone::utc(),
                };
                (read("--since", self.since.as_ref(), now, &zone)?, read("--until", self.until.as_ref(), now, &zone)?)
            }
        };
        let filter =
            Filter { job: self.job, id: None, states: self.state, trigger: self.trigger, since, until, on: None };
        let page = place.runs(&filter, self.limit).await?;
        out::stale(page.stale_since);
        if context.global.json {
            out::json(&page)?;
        } else if page.items.is_empty() {
            out::line("nothing yet that matches")?;
        } else {
            out::print(text(&page.items, page.now, &context.style))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The zone of a job; UTC when its file is gone.
pub(super) async fn zone_of(place: &super::place::Place, job: &str) -> Zone {
    let choice = Choice { names: vec![job.to_owned()], detail: Detail::Brief, ..Choice::default() };
    let found = place.jobs(&choice).await.ok().and_then(|page| page.items.into_iter().next());
    show::known_zone(found.as_ref().map(|job| job.timezone.as_str()))
}

fn read(flag: &str, text: Option<&String>, now: Timestamp, zone: &Zone) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let at = phrase::past(text, now, zone);
    at.map(Some).map_err(|why| Failure::new(Failure::USAGE, format!("{flag} {text}: {why}")))
}

fn text(runs: &[Run], now: Timestamp, style: &Style) -> String {
    let mut table = Table::new(style, &["", "RUN", "JOB", "SCHEDULED", "STARTED", "TOOK", "ATTEMPT", "RESULT", "ON"]);
    for run in runs {
        let latest = run.latest();
        table.row(Some(Mark::from(run.state)), cells(run, latest, now, style, phrase::result(run)));
        // What came before the latest attempt, newest first.
        let began = |attempt: &&Attempt| attempt.started_at.is_some();
        for attempt in run.attempts.iter().rev().filter(began).skip(1) {
            let Some(state) = attempt.state else { continue };
            let result = phrase::ended(state, attempt);
            table.row(Some(Mark::from(state)), cells(run, Some(attempt), now, style, result));
        }
    }
    table.text()
}

fn cells(run: &Run, attempt: Option<&Attempt>, now: Timestamp, style: &Style, result: String) -> [String; 8] {
    let none = || "-".to_owned();
    let zone = show::known_zone(run.timezone.as_deref());
    let mut scheduled = style.brief(run.scheduled_at, now, &zone);
    if let Some(through) = run.through.filter(|through| *through > run.scheduled_at) {
        scheduled += &format!(" to {}", style.brief(through, now, &zone));
    }
    let started = attempt.and_then(|attempt| attempt.started_at);
    let finished = attempt.and_then(|attempt| attempt.finished_at);
    // Attempts lost with their holders may be more than the job allows for its own failures.
    let most = run.max_attempts.unwrap_or(0);
    let number = |attempt: &Attempt| format!("{}/{}", attempt.attempt, most.max(attempt.attempt));
    [
        run.id.parse().map_or_else(|_| none(), |run: RunId| run.short()),
        run.job.to_string(),
        scheduled,
        started.map_or_else(none, |at| format!("+{:.3}s", at.since(run.scheduled_at).as_secs_f64())),
        started.map_or_else(none, |at| phrase::span(finished.unwrap_or(now).since(at))),
        attempt.map_or_else(none, number),
        result,
        attempt.map_or_else(none, |attempt| attempt.replica.clone()),
    ]
}

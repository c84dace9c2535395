//! `cronclave history`: what ran, what did not, and why.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::find::Known;
use super::show::{self, Mark, Style, Table};
use super::{Context, Failure, out, shape};
use crate::clock::Timestamp;
use crate::config;
use crate::lease::RunId;
use crate::ledger::{Attempt, Entry, State};
use crate::store::Query;

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
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = state)]
    state: Vec<State>,
    /// Scheduled so long ago at most (24h), or at this time or later
    #[arg(long, value_name = "SPAN|TIME")]
    since: Option<String>,
    /// Scheduled so long ago at least, or before this time
    #[arg(long, value_name = "SPAN|TIME")]
    until: Option<String>,
    /// Triggered so
    #[arg(long, value_name = "KIND", value_parser = ["schedule", "manual", "cli"])]
    trigger: Option<String>,
}

/// A state's word.
fn state(text: &str) -> Result<State, String> {
    let found = State::ALL.into_iter().find(|state| state.word() == text.replace('-', "_"));
    found.ok_or_else(|| match config::nearest(text, State::ALL.map(State::word)) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("write one of {}", State::ALL.map(State::word).join(", ")),
    })
}

impl History {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let known = context.known(&process);
        let store = context.store(&process).await?;
        let snapshot = store.snapshot().await?;
        let job = self.job.as_deref().map(|name| known.name(&snapshot, name)).transpose()?;
        let zone = context.style.zone.clone().or_else(|| job.as_ref().map(|job| known.zone(job)));
        let zone = zone.unwrap_or_else(crate::schedule::Zone::utc);
        let read = |flag: &str, text: &Option<String>| {
            let at = text.as_deref().map(|text| show::past(text, snapshot.now, &zone));
            at.transpose()
                .map_err(|why| Failure::new(Failure::USAGE, format!("{flag} {}: {why}", text.as_deref().unwrap_or(""))))
        };
        let query = Query {
            since: read("--since", &self.since)?,
            until: read("--until", &self.until)?,
            job,
            states: self.state,
            trigger: self.trigger,
            limit: self.limit,
            ..Query::default()
        };
        let entries = store.history(&query).await?;
        if context.global.json {
            out::json(&json!({"items": entries.iter().map(shape::run).collect::<Vec<Value>>()}))?;
        } else if entries.is_empty() {
            out::line("nothing yet that matches")?;
        } else {
            out::print(Rows { known: &known, now: snapshot.now, style: &context.style }.text(&entries))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Lines of the table.
struct Rows<'a> {
    known: &'a Known,
    now: Timestamp,
    style: &'a Style,
}

impl Rows<'_> {
    fn text(&self, entries: &[Entry]) -> String {
        let mut table =
            Table::new(self.style, &["", "RUN", "JOB", "SCHEDULED", "STARTED", "TOOK", "ATTEMPT", "RESULT", "ON"]);
        for entry in entries {
            let latest = entry.latest();
            table.row(Some(Mark::from(entry.state)), self.cells(entry, latest, show::result(entry)));
            // What came before the latest attempt, newest first.
            let began = |attempt: &&Attempt| attempt.started_at.is_some();
            for attempt in entry.attempts.iter().rev().filter(began).skip(1) {
                let Some(ended) = &attempt.ended else { continue };
                let (mark, result) = (Mark::from(State::from(ended.outcome)), show::ended(ended));
                table.row(Some(mark), self.cells(entry, Some(attempt), result));
            }
        }
        table.text()
    }

    fn cells(&self, entry: &Entry, attempt: Option<&Attempt>, result: String) -> [String; 8] {
        let Rows { known, now, style } = *self;
        let none = || "-".to_owned();
        let zone = known.zone(&entry.job);
        let mut scheduled = style.brief(entry.scheduled_at, now, &zone);
        if let Some(through) = entry.through.filter(|through| *through > entry.scheduled_at) {
            scheduled += &format!(" to {}", style.brief(through, now, &zone));
        }
        let started = attempt.and_then(|attempt| attempt.started_at);
        let finished = attempt.and_then(|attempt| attempt.finished_at);
        // Attempts lost with their holders may be more than the job allows for its own failures.
        let most = known.get(&entry.job).map_or(0, |job| job.retry.attempts);
        let number = |attempt: &Attempt| format!("{}/{}", attempt.attempt, most.max(attempt.attempt));
        [
            entry.id.parse().map_or_else(|_| none(), |run: RunId| run.short()),
            entry.job.to_string(),
            scheduled,
            started.map_or_else(none, |at| format!("+{:.3}s", at.since(entry.scheduled_at).as_secs_f64())),
            started.map_or_else(none, |at| show::span(finished.unwrap_or(now).since(at))),
            attempt.map_or_else(none, number),
            result,
            attempt.map_or_else(none, |attempt| attempt.replica.clone()),
        ]
    }
}

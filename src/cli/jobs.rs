//! `cronclave jobs`: each job, how it fares and when it is next.

use std::process::ExitCode;

use clap::Args;

use super::client::Client;
use super::place::{Files, Place};
use super::show::{self, Style, Table};
use super::{Context, Failure, out};
use crate::clock::Timestamp;
use crate::desk::{Choice, Detail};
use crate::ledger::State;
use crate::phrase::{self, Mark};
use crate::schedule::Zone;
use crate::service;
use crate::shape::{Health, Job, JobState, Run, Wanted};

/// List the jobs of the schedule files: last run, next run, and how they fare.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave jobs                        all of them
  cronclave jobs --tag ops              those with this tag
  cronclave jobs --state failing        those whose last run failed
  cronclave jobs --json | jq '.items[] | select(.health == \"overdue\") | .name'

Works before anything ever ran: then there is no database, and every job has never run.")]
pub(super) struct Jobs {
    /// The jobs' names [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only jobs with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only jobs that fare so
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<Wanted>,
}

impl Jobs {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let detail = if context.global.json { Detail::Full } else { Detail::Brief };
        let tags = self.tag.into_iter().collect();
        let choice = Choice { names: self.names, tags, state: self.state, text: None, detail };
        let page = place(context).await?.jobs(&choice).await?;
        out::stale(page.stale_since);
        if context.global.json {
            out::json(&page)?;
        } else {
            out::print(text(&page.items, page.now, &context.style))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The store, or nothing in its place when there is no database yet.
async fn place(context: &Context) -> Result<Place, Failure> {
    if Client::of(context)?.is_none() {
        let process = context.quiet()?;
        if process.redis.is_none() && !process.db.exists() {
            let jobs = context.jobs_of(&process, Files::Needed)?;
            return Ok(Place::here(&process, service::open_without_record(&process), jobs));
        }
    }
    context.place(Files::Needed).await
}

fn mark(job: &Job) -> Mark {
    match job.health {
        Health::Ok => Mark::Good,
        Health::Failing => Mark::Bad,
        Health::Overdue => Mark::Late,
        Health::Running => Mark::Running,
        Health::Paused => Mark::Paused,
        Health::NeverRun | Health::Disabled => Mark::Idle,
    }
}

fn cells(job: &Job, now: Timestamp, style: &Style) -> [String; 7] {
    let zone = show::known_zone(Some(&job.timezone));
    let last = match &job.last_run {
        None => "never".to_owned(),
        Some(run) => {
            let word = if run.state == State::Succeeded { "ok" } else { run.state.word() };
            format!("{word:<9} {}", style.brief(run.scheduled_at, now, &zone))
        }
    };
    let took = job.last_run.as_ref().and_then(|run| took(run, now)).unwrap_or_else(|| "-".into());
    let mut schedule = job.schedule.join("  or  ");
    if let Some((cut, _)) = schedule.char_indices().nth(37) {
        schedule.truncate(cut);
        schedule += "...";
    }
    let (next, away) = upcoming(job, now, style, &zone);
    [job.name.to_string(), schedule, job.timezone.clone(), last, took, next, away]
}

fn upcoming(job: &Job, now: Timestamp, style: &Style, zone: &Zone) -> (String, String) {
    let pause = job.paused.as_ref().filter(|_| job.health == Health::Paused);
    if let Some(pause) = pause {
        let by = pause.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
        let why = pause.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let until = pause.until.map(|until| format!(" until {}", style.brief(until, now, zone)));
        return (format!("paused{by}{}{why}", until.unwrap_or_default()), "-".into());
    }
    let retry = job.last_run.as_ref().and_then(|run| run.next_attempt_at);
    match (retry, &job.next) {
        (Some(at), _) => (format!("retry {}", style.brief(at, now, zone)), phrase::about(at.since(now))),
        (None, Some(next)) => (style.brief(next.at, now, zone), phrase::about(next.at.since(now))),
        (None, None) if job.state == JobState::Disabled => ("disabled".into(), "-".into()),
        (None, None) if job.is_manual() => ("by hand".into(), "-".into()),
        (None, None) => ("never again".into(), "-".into()),
    }
}

/// How long the last attempt took, or takes so far.
fn took(run: &Run, now: Timestamp) -> Option<String> {
    Some(phrase::span(run.finished_at.unwrap_or(now).since(run.started_at?)))
}

fn text(jobs: &[Job], now: Timestamp, style: &Style) -> String {
    let mut table = Table::new(style, &["", "JOB", "SCHEDULE", "ZONE", "LAST", "TOOK", "NEXT", "IN"]);
    for job in jobs {
        table.row(Some(mark(job)), cells(job, now, style));
    }
    let named = [
        (Health::Running, "running"),
        (Health::Failing, "failing"),
        (Health::Overdue, "overdue: is a replica up? see `cronclave status`"),
        (Health::Paused, "paused"),
        (Health::Disabled, "disabled"),
        (Health::NeverRun, "never run"),
    ];
    let counts = named.iter().filter_map(|(health, word)| {
        let count = jobs.iter().filter(|job| job.health == *health).count();
        (count > 0).then(|| format!("{count} {word}"))
    });
    let counts: Vec<String> = counts.collect();
    let colon = if counts.is_empty() { "" } else { ": " };
    let total = format!("{}{colon}{}\n", phrase::count(jobs.len(), "job"), counts.join(", "));
    if jobs.is_empty() { total } else { format!("{}\n{total}", table.text()) }
}

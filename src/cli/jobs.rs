//! `cronclave jobs`: each job, how it fares and when it is next.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::show::{self, Mark, Style, Table};
use super::{Context, Failure, find, out, shape};
use crate::clock::{Clock, Timestamp};
use crate::config::Process;
use crate::job::{Job, JobName, Misfire};
use crate::ledger::{Entry, State};
use crate::record::{Open, Record};
use crate::store::{Query, Snapshot};

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
    state: Option<Health>,
}

/// How a job fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
enum Health {
    /// Its last run succeeded
    Ok,
    /// Its last run failed
    Failing,
    /// Something is due that nobody starts
    Overdue,
    /// A run is going
    Running,
    /// Not yet
    NeverRun,
    /// Nothing is started until it is resumed
    Paused,
    /// Its file says so
    Disabled,
    /// Neither paused nor disabled
    #[serde(skip)]
    Active,
}

/// One job with what the store knows about it.
struct Line {
    job: Arc<Job>,
    record: Record,
    last: Option<Entry>,
    health: Health,
    next: Option<Timestamp>,
}

impl Jobs {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let config = context.config(&process.config)?;
        let mut jobs = find::jobs(&config, &self.names)?;
        jobs.retain(|job| self.tag.as_ref().is_none_or(|tag| job.tags.contains(tag)));
        let (snapshot, mut last) = seen(context, &process).await?;
        let lines = jobs.into_iter().map(|job| Line::new(&snapshot, last.remove(&job.name), job));
        let lines: Vec<Line> = lines.filter(|line| self.state.is_none_or(|state| line.is(state))).collect();
        if context.global.json {
            let items: Vec<Value> = lines.iter().map(|line| line.json(&snapshot, &config.digest)).collect();
            out::json(&json!({"items": items, "total": items.len()}))?;
        } else {
            out::print(text(&lines, snapshot.now, &context.style))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// All records and each job's last run; nothing when there is no database yet.
async fn seen(context: &Context, process: &Process) -> Result<(Snapshot, BTreeMap<JobName, Entry>), Failure> {
    if process.redis.is_none() && !process.db.exists() {
        return Ok((Snapshot { now: Clock::system().now(), ..Snapshot::default() }, BTreeMap::new()));
    }
    let store = context.store(process).await?;
    let states = vec![
        State::Running,
        State::Retrying,
        State::Succeeded,
        State::Failed,
        State::TimedOut,
        State::Cancelled,
        State::Interrupted,
        State::Lost,
        State::Expired,
    ];
    let last = store.history(&Query { states, newest_of_each: true, ..Query::default() }).await?;
    Ok((store.snapshot().await?, last.into_iter().map(|entry| (entry.job.clone(), entry)).collect()))
}

impl Line {
    fn new(snapshot: &Snapshot, last: Option<Entry>, job: Arc<Job>) -> Line {
        let record = snapshot.records.get(&job.name).cloned().unwrap_or_default();
        let next = job.next_open(snapshot.now).map(|at| job.due(at)).filter(|_| job.enabled);
        let health = health(&job, &record, last.as_ref(), snapshot.now);
        Line { job, record, last, health, next }
    }

    fn is(&self, wanted: Health) -> bool {
        match wanted {
            Health::Active => !matches!(self.health, Health::Paused | Health::Disabled),
            wanted => self.health == wanted,
        }
    }

    fn mark(&self) -> Mark {
        match self.health {
            Health::Ok => Mark::Good,
            Health::Failing => Mark::Bad,
            Health::Overdue => Mark::Late,
            Health::Running => Mark::Running,
            Health::Paused => Mark::Paused,
            Health::NeverRun | Health::Disabled | Health::Active => Mark::Idle,
        }
    }

    fn cells(&self, now: Timestamp, style: &Style) -> [String; 7] {
        let zone = self.job.schedule.zone();
        let last = match &self.last {
            None => "never".to_owned(),
            Some(entry) => {
                let word = if entry.state == State::Succeeded { "ok" } else { entry.state.word() };
                format!("{word:<9} {}", style.brief(entry.scheduled_at, now, zone))
            }
        };
        let took = self.last.as_ref().and_then(|entry| took(entry, now)).unwrap_or_else(|| "-".into());
        let mut schedule = self.job.schedule.text();
        if let Some((cut, _)) = schedule.char_indices().nth(37) {
            schedule.truncate(cut);
            schedule += "...";
        }
        let (next, away) = self.upcoming(now, style);
        [self.job.name.to_string(), schedule, zone.name().to_owned(), last, took, next, away]
    }

    fn upcoming(&self, now: Timestamp, style: &Style) -> (String, String) {
        let zone = self.job.schedule.zone();
        let pause = self.record.paused(now).filter(|_| self.health == Health::Paused);
        if let Some(pause) = pause {
            let by = pause.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let why = pause.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let until = pause.until.map(|until| format!(" until {}", style.brief(until, now, zone)));
            return (format!("paused{by}{}{why}", until.unwrap_or_default()), "-".into());
        }
        let retry = self.last.as_ref().and_then(|entry| entry.next_attempt_at);
        match (retry, self.next) {
            (Some(at), _) => (format!("retry {}", style.brief(at, now, zone)), show::about(at.since(now))),
            (None, Some(at)) => (style.brief(at, now, zone), show::about(at.since(now))),
            (None, None) if !self.job.enabled => ("disabled".into(), "-".into()),
            (None, None) if self.job.schedule.is_manual() => ("by hand".into(), "-".into()),
            (None, None) => ("never again".into(), "-".into()),
        }
    }

    fn json(&self, snapshot: &Snapshot, digest: &str) -> Value {
        let (job, zone) = (&self.job, self.job.schedule.zone());
        let pause = self.record.paused(snapshot.now);
        let state = match (job.enabled, pause) {
            (false, _) => "disabled",
            (_, Some(_)) => "paused",
            _ => "active",
        };
        json!({
            "name": job.name,
            "description": job.description,
            "schedule": shape::schedule(job),
            "timezone": zone.name(),
            "action": shape::action(job),
            "tags": job.tags,
            "owner": job.owner,
            "runbook": job.runbook,
            "state": state,
            "paused": pause,
            "health": self.health,
            "next": self.next.map(|at| json!({"at": at, "local": Style::local(at, zone)})),
            "last_run": self.last.as_ref().map(shape::run),
            "open_runs": self.record.open.len(),
            "source": job.source,
            "config_digest": digest,
        })
    }
}

/// How long the last attempt took, or takes so far.
fn took(entry: &Entry, now: Timestamp) -> Option<String> {
    let attempt = entry.latest()?;
    let until = attempt.finished_at.unwrap_or(now);
    Some(show::span(until.since(attempt.started_at?)))
}

fn health(job: &Job, record: &Record, last: Option<&Entry>, now: Timestamp) -> Health {
    if !job.enabled {
        return Health::Disabled;
    }
    if record.paused(now).is_some() {
        return Health::Paused;
    }
    if record.open.iter().any(|run| !run.is_queued() && run.until > now) {
        return Health::Running;
    }
    if is_overdue(job, record, now) {
        return Health::Overdue;
    }
    match last.map(|entry| entry.state) {
        None => Health::NeverRun,
        Some(State::Failed | State::TimedOut | State::Lost | State::Expired) => Health::Failing,
        Some(_) => Health::Ok,
    }
}

/// Whether something has been due for long, and nobody decided about it.
fn is_overdue(job: &Job, record: &Record, now: Timestamp) -> bool {
    let late = |due: Timestamp| now.since(due) > 2 * Misfire::GRACE;
    let waits = |run: &Open| late(run.until);
    let (Some(cursor), Some(since)) = (record.cursor, record.since(job.spec())) else { return false };
    let undecided = job.schedule.after(cursor.max(since)).is_some_and(|at| late(job.due(at)));
    undecided || record.open.iter().any(waits)
}

fn text(lines: &[Line], now: Timestamp, style: &Style) -> String {
    let mut table = Table::new(style, &["", "JOB", "SCHEDULE", "ZONE", "LAST", "TOOK", "NEXT", "IN"]);
    for line in lines {
        table.row(Some(line.mark()), line.cells(now, style));
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
        let count = lines.iter().filter(|line| line.health == *health).count();
        (count > 0).then(|| format!("{count} {word}"))
    });
    let counts: Vec<String> = counts.collect();
    let colon = if counts.is_empty() { "" } else { ": " };
    let total = format!("{}{colon}{}\n", show::count(lines.len(), "job"), counts.join(", "));
    if lines.is_empty() { total } else { format!("{}\n{total}", table.text()) }
}

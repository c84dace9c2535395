//! A job: what the files say of it, how it fares, and when it is next.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::occurrence::{Dst, Start, local};
use super::{Definition, Run};
use crate::clock::Timestamp;
use crate::job::{self, Action, JobName, Misfire, Task};
use crate::ledger::{Entry, State};
use crate::plan;
use crate::record::{self, Open, Record};
use crate::schedule::brief;

/// A job: what the files say of it, how it fares, and when it is next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its identity.
    pub name: JobName,
    /// One line for people.
    pub description: Option<String>,
    /// The texts of its schedule.
    pub schedule: Vec<String>,
    /// The same in words.
    pub schedule_text: String,
    /// The zone whose wall clock counts.
    pub timezone: String,
    /// What its run is: `command`, `http`, `handler` or `publish`.
    pub action: String,
    /// Who carries it out: `replica`, `worker`, or `other` for whoever takes its message.
    pub run_on: String,
    /// Words to filter by.
    pub tags: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Where to read what to do when it fails.
    pub runbook: Option<String>,
    /// Whether it is started.
    pub state: JobState,
    /// The pause that keeps it from being started.
    pub paused: Option<Pause>,
    /// How it fares.
    pub health: Health,
    /// Since when it is overdue.
    pub overdue_since: Option<Timestamp>,
    /// Its next occurrence.
    pub next: Option<Next>,
    /// Its newest run that was started.
    pub last_run: Option<Run>,
    /// What became of its newest runs, at most 60, the newest last: one letter each, `S` succeeded, `F` failed,
    /// `T` timed out, `C` cancelled, `I` interrupted, `L` lost, `E` expired, `R` going on, `M` missed, `-` skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recent: Option<String>,
    /// How those that are over fared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
    /// Its runs that are not over.
    pub open_runs: usize,
    /// Where it was declared.
    pub source: Source,
    /// That of the schedule files.
    pub config_digest: String,
}

/// A job with everything that the files say of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobDetail {
    /// Itself.
    #[serde(flatten)]
    pub job: Job,
    /// All its settings, defaults filled in; secrets are only named.
    pub definition: Definition,
}

/// How a job fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Its last run succeeded.
    Ok,
    /// Its last run failed.
    Failing,
    /// Something is due that nobody starts, or no run succeeded for too long.
    Overdue,
    /// A run is going.
    Running,
    /// Not yet.
    NeverRun,
    /// Nothing is started until it is resumed.
    Paused,
    /// Its file says so.
    Disabled,
}

/// Jobs that fare so
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Wanted {
    /// Its last run succeeded
    Ok,
    /// Its last run failed
    Failing,
    /// Something is due that nobody starts, or no run succeeded for too long
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
    Active,
}

/// Whether a job is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// When it is due.
    Active,
    /// Not until it is resumed.
    Paused,
    /// Its file says that it is not.
    Disabled,
}

/// A span in which no run is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pause {
    /// Its beginning.
    pub since: Timestamp,
    /// Its end; absent while nobody knows.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// Who paused.
    pub by: Option<String>,
}

/// The next occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Next {
    /// When it is to start.
    pub at: Timestamp,
    /// The same in the job's zone.
    pub local: String,
    /// What a change of clocks does to it.
    pub dst: Option<Dst>,
}

/// How the newest runs that are over fared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// How many were looked at.
    pub runs: usize,
    /// The share that succeeded, 0 to 1.
    pub success_rate: Option<f64>,
    /// Half of those that succeeded took no longer.
    pub p50_seconds: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95_seconds: Option<f64>,
}

/// Where something was declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

/// What is known about one job.
#[derive(Debug, Clone, Copy)]
pub struct Last<'a> {
    /// The store's clock.
    pub now: Timestamp,
    /// The job's record.
    pub record: &'a Record,
    /// Its newest run that was started.
    pub run: Option<&'a Entry>,
}

impl Job {
    /// The job with what is known about it.
    pub fn new(job: &job::Job, known: Last<'_>, digest: &str) -> Job {
        let Last { now, record, run } = known;
        let zone = job.schedule.zone();
        let (health, overdue_since) = health(job, known);
        let pause = record.paused(now);
        let state = match (job.enabled, pause) {
            (false, _) => JobState::Disabled,
            (_, Some(_)) => JobState::Paused,
            _ => JobState::Active,
        };
        Job {
            name: job.name.clone(),
            description: job.description.as_deref().map(str::to_owned),
            schedule: schedule(job),
            schedule_text: words(job),
            timezone: zone.name().to_owned(),
            action: action(job).to_owned(),
            run_on: match &job.task {
                Task::Run(_) => "replica",
                Task::Queue(..) => "worker",
                Task::Publish(_) => "other",
            }
            .to_owned(),
            tags: job.tags.clone(),
            owner: job.owner.as_deref().map(str::to_owned),
            runbook: job.runbook.as_deref().map(str::to_owned),
            state,
            paused: pause.map(Pause::from),
            health,
            overdue_since,
            next: next(job, now),
            last_run: run.map(|entry| Run::new(entry, Some(job))),
            recent: None,
            stats: None,
            open_runs: record.open.len(),
            source: Source { file: job.source.file.to_string(), line: job.source.line },
            config_digest: digest.to_owned(),
        }
    }

    /// The same with what became of its newest runs, given newest first.
    pub fn with_recent(mut self, newest: &[Entry]) -> Job {
        self.recent = Some(newest.iter().rev().map(|entry| letter(entry.state)).collect());
        self.stats = Some(Stats::of(newest));
        self
    }

    /// Whether it is one of those.
    pub fn is(&self, wanted: Wanted) -> bool {
        let health = match wanted {
            Wanted::Active => return !matches!(self.health, Health::Paused | Health::Disabled),
            Wanted::Ok => Health::Ok,
            Wanted::Failing => Health::Failing,
            Wanted::Overdue => Health::Overdue,
            Wanted::Running => Health::Running,
            Wanted::NeverRun => Health::NeverRun,
            Wanted::Paused => Health::Paused,
            Wanted::Disabled => Health::Disabled,
        };
        self.health == health
    }

    /// Whether the schedule never starts it.
    pub fn is_manual(&self) -> bool {
        self.schedule.iter().all(|text| text == "@manual")
    }
}

impl Stats {
    fn of(newest: &[Entry]) -> Stats {
        let over: Vec<&Entry> = newest.iter().filter(|entry| entry.state.is_run() && entry.state.is_final()).collect();
        let good = over.iter().filter(|entry| entry.state == State::Succeeded);
        let took = |entry: &&&Entry| {
            let attempt = entry.latest()?;
            Some(attempt.finished_at?.since(attempt.started_at?).as_secs_f64())
        };
        let mut took: Vec<f64> = good.clone().filter_map(|entry| took(&entry)).collect();
        took.sort_by(f64::total_cmp);
        let share = |percent: usize| took.get((took.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        #[allow(clippy::cast_precision_loss, reason = "they are at most 60")]
        let rate = (!over.is_empty()).then(|| good.count() as f64 / over.len() as f64);
        Stats { runs: over.len(), success_rate: rate, p50_seconds: share(50), p95_seconds: share(95) }
    }
}

fn letter(state: State) -> char {
    match state {
        State::Succeeded => 'S',
        State::Failed => 'F',
        State::TimedOut => 'T',
        State::Cancelled => 'C',
        State::Interrupted => 'I',
        State::Lost => 'L',
        State::Expired => 'E',
        State::Missed => 'M',
        state if state.is_run() => 'R',
        _ => '-',
    }
}

impl From<&record::Pause> for Pause {
    fn from(pause: &record::Pause) -> Self {
        let record::Pause { since, until, reason, by } = pause;
        Pause { since: *since, until: *until, reason: reason.clone(), by: by.clone() }
    }
}

fn next(job: &job::Job, now: Timestamp) -> Option<Next> {
    let at = job.next_open(now).filter(|_| job.enabled)?;
    let slot = job.schedule.next(at.minus(Duration::from_micros(1)))?;
    let zone = job.schedule.zone();
    let start = Start { due: job.due(at), slot, closed: None };
    Some(Next { at: start.due, local: local(start.due, zone), dst: start.shape(zone).dst })
}

/// How a job fares, and since when it is overdue.
fn health(job: &job::Job, known: Last<'_>) -> (Health, Option<Timestamp>) {
    let Last { now, record, run } = known;
    if !job.enabled {
        return (Health::Disabled, None);
    }
    if record.paused(now).is_some() {
        return (Health::Paused, None);
    }
    if record.open.iter().any(|run| !run.is_queued() && run.until > now) {
        return (Health::Running, None);
    }
    if let Some(since) = overdue_since(job, record, now) {
        return (Health::Overdue, Some(since));
    }
    let health = match run.map(|entry| entry.state) {
        None => Health::NeverRun,
        Some(State::Failed | State::TimedOut | State::Lost | State::Expired) => Health::Failing,
        Some(_) => Health::Ok,
    };
    (health, None)
}

/// Since when something has been due for long and nobody decided about it, or no run succeeded for too long.
fn overdue_since(job: &job::Job, record: &Record, now: Timestamp) -> Option<Timestamp> {
    let late = |due: &Timestamp| now.since(*due) > 2 * Misfire::GRACE;
    let waits = |run: &Open| Some(run.until).filter(late);
    let (cursor, since) = (record.cursor?, record.since(job.spec())?);
    let undecided = job.schedule.after(cursor.max(since)).map(|at| job.due(at)).filter(late);
    let unsuccessful = plan::deadline(job, record).filter(|due| *due <= now);
    undecided.into_iter().chain(unsuccessful).chain(record.open.iter().filter_map(waits)).min()
}

/// What a job's run is: `command`, `http`, `handler` or `publish`.
pub(super) fn action(job: &job::Job) -> &'static str {
    match job.task.action() {
        Some(Action::Command(_)) => "command",
        Some(Action::Http(_)) => "http",
        Some(Action::Handler { .. }) => "handler",
        None => "publish",
    }
}

/// What a job does, in a line.
pub fn action_text(job: &job::Job) -> String {
    let of = |action: &Action| match action {
        Action::Command(command) => command.shown(),
        Action::Http(http) => format!("{} {}", http.method, http.url),
        Action::Handler { name, .. } => format!("handler {name}"),
    };
    match &job.task {
        Task::Run(action) => of(action),
        Task::Queue(queue, action) => format!("{}  (worker, queue {queue})", of(action)),
        Task::Publish(publish) => format!("publish {} to `{}`", publish.routing_key, publish.exchange),
    }
}

/// The texts of a job's schedule, one for each in its list.
pub fn schedule(job: &job::Job) -> Vec<String> {
    job.schedule.text().split("  or  ").map(str::to_owned).collect()
}

/// When a job runs, in words: its schedule, its calendars, its jitter.
pub fn words(job: &job::Job) -> String {
    let names = |list: &[std::sync::Arc<crate::schedule::Calendar>]| {
        list.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut words = job.schedule.words(job.name.as_str());
    if !job.only_on.is_empty() {
        words += &format!("; only on {}", names(&job.only_on));
    }
    if !job.skip_on.is_empty() {
        words += &format!("; not on {}", names(&job.skip_on));
    }
    if !job.jitter.is_zero() {
        words += &format!("; up to {} later (jitter)", jitter(job.jitter));
    }
    words
}

fn jitter(most: Duration) -> String {
    if most.as_secs() == 0 { format!("{}ms", most.as_millis()) } else { brief(most.as_secs()) }
}

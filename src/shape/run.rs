//! A run, or neighbouring occurrences that were passed over.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::job::{Job, JobName};
use crate::lease::{self, Fence, RunId};
use crate::ledger::{self, Entry, State};
use crate::progress;

/// A run, or neighbouring occurrences that were passed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// The run's id, or `JOB@INSTANT` of the first occurrence passed over.
    pub id: String,
    /// Whose.
    pub job: JobName,
    /// Where it stands.
    pub state: State,
    /// Why it exists.
    pub trigger: Trigger,
    /// The instant that it stands for, or the first of those passed over.
    pub scheduled_at: Timestamp,
    /// The job's time zone, where the job is known.
    pub timezone: Option<String>,
    /// The last occurrence passed over.
    pub through: Option<Timestamp>,
    /// How many occurrences it stands for; 0 for a run by hand.
    pub count: u64,
    /// When the latest attempt was won.
    pub claimed_at: Option<Timestamp>,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// From the scheduled instant to the start.
    pub start_delay_seconds: Option<f64>,
    /// From the start to the end.
    pub duration_seconds: Option<f64>,
    /// Its number, from 1.
    pub attempt: Option<u32>,
    /// Each claim on the run, oldest first.
    pub attempts: Vec<Attempt>,
    /// How many attempts the job allows, where the job is known.
    pub max_attempts: Option<u32>,
    /// When the next attempt may begin.
    pub next_attempt_at: Option<Timestamp>,
    /// Who has, or had, the latest attempt.
    pub replica: Option<String>,
    /// The fencing token of the latest attempt.
    pub fencing_token: Option<Fence>,
    /// The program's exit code.
    pub exit_code: Option<i32>,
    /// The signal that ended the program.
    pub signal: Option<i32>,
    /// What went wrong.
    pub error: Option<Fault>,
    /// Why it stands where it stands, in words.
    pub message: Option<String>,
    /// By which it is found in traces.
    pub trace_id: Option<String>,
    /// How far it says it is, while it is going.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// How far a run says it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// From 0 to 100.
    pub percent: f64,
    /// What it is at.
    pub message: String,
    /// When it said so.
    pub at: Timestamp,
}

impl From<&progress::Progress> for Progress {
    fn from(said: &progress::Progress) -> Self {
        Progress { percent: said.percent, message: said.message.clone(), at: said.at }
    }
}

/// A run with all that is known about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunDetail {
    /// Itself.
    #[serde(flatten)]
    pub run: Run,
    /// What happened to it, oldest first.
    pub timeline: Vec<Moment>,
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What: `claimed`, `started`, `retrying`, or the state in which it ended.
    pub event: String,
    /// More about it, in words.
    pub detail: Option<String>,
}

/// Why a run exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trigger {
    /// `schedule`, `manual`, `cli`, `backfill` or `chain`; later versions may add more.
    pub kind: String,
    /// Who asked.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The job whose run led to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// That run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
    /// What it did: `start`, `success`, `failure` or `overdue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
}

/// One claim on a run and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// From 1. A claim that never started leaves its number to the next.
    pub attempt: u32,
    /// Its fencing token.
    pub fencing_token: Fence,
    /// Who held it.
    pub replica: String,
    /// When it was won.
    pub claimed_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When its end was recorded.
    pub finished_at: Option<Timestamp>,
    /// From the start to the end.
    pub duration_seconds: Option<f64>,
    /// How it ended.
    pub state: Option<State>,
    /// The program's exit code.
    pub exit_code: Option<i32>,
    /// The signal that ended the program.
    pub signal: Option<i32>,
    /// How it ended, in words.
    pub message: Option<String>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// In one word: `exit`, `signal`, `timeout`, `failed`, or the state.
    pub kind: String,
    /// In words.
    pub message: Option<String>,
}

impl Run {
    /// The run of `entry`; `job` when its file is here.
    pub fn new(entry: &Entry, job: Option<&Job>) -> Run {
        let latest = entry.latest();
        let ended = latest.and_then(|attempt| attempt.ended.as_ref());
        let started_at = latest.and_then(|attempt| attempt.started_at);
        Run {
            id: entry.id.clone(),
            job: entry.job.clone(),
            state: entry.state,
            trigger: Trigger::from(&entry.trigger),
            scheduled_at: entry.scheduled_at,
            timezone: job.map(|job| job.schedule.zone().name().to_owned()),
            through: entry.through,
            count: entry.count,
            claimed_at: latest.map(|attempt| attempt.claimed_at),
            started_at,
            finished_at: latest.and_then(|attempt| attempt.finished_at),
            start_delay_seconds: started_at.map(|at| at.since(entry.scheduled_at).as_secs_f64()),
            duration_seconds: latest.and_then(duration),
            attempt: latest.map(|attempt| attempt.attempt),
            attempts: entry.attempts.iter().map(Attempt::from).collect(),
            max_attempts: job.map(|job| job.retry.attempts),
            next_attempt_at: entry.next_attempt_at,
            replica: latest.map(|attempt| attempt.replica.clone()),
            fencing_token: latest.map(|attempt| attempt.fence),
            exit_code: ended.and_then(|ended| ended.exit_code),
            signal: ended.and_then(|ended| ended.signal),
            error: fault(entry),
            message: entry.message.clone(),
            trace_id: entry.id.parse::<RunId>().ok().map(|id| id.to_string().replace('-', "")),
            progress: None,
        }
    }

    /// The attempt that counts: the latest that was started, or else the latest claim.
    pub fn latest(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.started_at.is_some()).or(self.attempts.last())
    }

    /// The same with what happened to it.
    pub fn detail(self) -> RunDetail {
        let moment = |at, event: &str, detail| Moment { at, event: event.to_owned(), detail };
        let mut timeline = Vec::new();
        for attempt in &self.attempts {
            let number = format!("attempt {} on {}", attempt.attempt, attempt.replica);
            timeline.push(moment(attempt.claimed_at, "claimed", Some(number.clone())));
            timeline.extend(attempt.started_at.map(|at| moment(at, "started", Some(number))));
            if let (Some(at), Some(state)) = (attempt.finished_at, attempt.state) {
                timeline.push(moment(at, state.word(), attempt.message.clone()));
            }
        }
        if let Some(at) = self.next_attempt_at {
            timeline.push(moment(at, "retrying", Some("not before then".to_owned())));
        }
        RunDetail { run: self, timeline }
    }
}

impl From<&lease::Trigger> for Trigger {
    fn from(trigger: &lease::Trigger) -> Self {
        let mut shape = Trigger { kind: trigger.kind().to_owned(), ..Trigger::default() };
        match trigger {
            lease::Trigger::Schedule => {}
            lease::Trigger::Manual { by, reason } | lease::Trigger::Backfill { by, reason } => {
                (shape.by, shape.reason) = (by.clone(), reason.clone());
            }
            lease::Trigger::Cli { by } => shape.by.clone_from(by),
            lease::Trigger::Chain { job, run_id, on } => {
                (shape.job, shape.run_id, shape.on) = (Some(job.clone()), Some(*run_id), Some(on.clone()));
            }
        }
        shape
    }
}

impl From<&ledger::Attempt> for Attempt {
    fn from(attempt: &ledger::Attempt) -> Self {
        let ended = attempt.ended.as_ref();
        Attempt {
            attempt: attempt.attempt,
            fencing_token: attempt.fence,
            replica: attempt.replica.clone(),
            claimed_at: attempt.claimed_at,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            duration_seconds: duration(attempt),
            state: ended.map(|ended| State::from(ended.outcome)),
            exit_code: ended.and_then(|ended| ended.exit_code),
            signal: ended.and_then(|ended| ended.signal),
            message: ended.and_then(|ended| ended.message.clone()),
        }
    }
}

fn duration(attempt: &ledger::Attempt) -> Option<f64> {
    Some(attempt.finished_at?.since(attempt.started_at?).as_secs_f64())
}

fn fault(entry: &Entry) -> Option<Fault> {
    let ended = entry.latest().and_then(|attempt| attempt.ended.as_ref());
    let kind = match entry.state {
        State::TimedOut => "timeout",
        State::Failed | State::Retrying => match ended {
            Some(ended) if ended.signal.is_some() => "signal",
            Some(ended) if ended.exit_code.is_some() => "exit",
            _ => "failed",
        },
        State::Cancelled | State::Interrupted | State::Lost | State::Expired => entry.state.word(),
        _ => return None,
    };
    Some(Fault { kind: kind.to_owned(), message: entry.message.clone() })
}

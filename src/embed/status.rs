//! How jobs and runs stand, in few words. The API has all of them.

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::ledger::{Entry, State};
use crate::shape::{self, JobState};

/// How a job fares.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Which.
    pub job: JobName,
    /// Its schedule in words.
    pub schedule: String,
    /// Its next occurrence.
    pub next: Option<Timestamp>,
    /// Whether it is paused.
    pub paused: bool,
    /// Its runs that are not over.
    pub open: usize,
    /// Its newest run that was started.
    pub last: Option<Run>,
}

/// A run, or neighbouring occurrences that were passed over.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// The run's id, or `JOB@INSTANT` of the first occurrence passed over.
    pub id: String,
    /// Whose.
    pub job: JobName,
    /// Where it stands.
    pub state: State,
    /// The instant it stands for, or the first of those passed over.
    pub scheduled_at: Timestamp,
    /// How many occurrences it stands for; 0 for a run that somebody asked for.
    pub count: u64,
    /// When its latest attempt was started.
    pub started_at: Option<Timestamp>,
    /// When that ended.
    pub finished_at: Option<Timestamp>,
    /// How often its code was begun.
    pub attempts: usize,
    /// Why it stands where it stands, in words.
    pub message: Option<String>,
}

impl Status {
    pub(super) fn of(job: &shape::Job) -> Status {
        Status {
            job: job.name.clone(),
            schedule: job.schedule_text.clone(),
            next: job.next.as_ref().map(|next| next.at),
            paused: job.state == JobState::Paused,
            open: job.open_runs,
            last: job.last_run.as_ref().map(Run::of),
        }
    }
}

impl Run {
    /// As it is on record.
    pub(crate) fn of_entry(entry: &Entry) -> Run {
        let latest = entry.latest();
        Run {
            id: entry.id.clone(),
            job: entry.job.clone(),
            state: entry.state,
            scheduled_at: entry.scheduled_at,
            count: entry.count,
            started_at: latest.and_then(|attempt| attempt.started_at),
            finished_at: latest.and_then(|attempt| attempt.finished_at),
            attempts: entry.attempts.iter().filter(|attempt| attempt.started_at.is_some()).count(),
            message: entry.message.clone(),
        }
    }

    pub(super) fn of(run: &shape::Run) -> Run {
        Run {
            id: run.id.clone(),
            job: run.job.clone(),
            state: run.state,
            scheduled_at: run.scheduled_at,
            count: run.count,
            started_at: run.started_at,
            finished_at: run.finished_at,
            attempts: run.attempts.iter().filter(|attempt| attempt.started_at.is_some()).count(),
            message: run.message.clone(),
        }
    }
}

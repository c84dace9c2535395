//! What happened: an [`Event`] for every change of a record, and the [`Entry`] that a run's or a
//! skipped occurrence's events fold into. Pure; the stores only keep what this module makes.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Ended, Fence, Outcome, RunId, Trigger};

/// One change of one job's record, in the words of the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// By the store's clock.
    pub at: Timestamp,
    /// Whose record changed.
    pub job: JobName,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen to a job and its runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The job, or a new schedule of it, was seen for the first time: its occurrences count from here.
    Registered,
    /// Occurrences were decided without a run.
    Passed(Pass),
    /// A run came to be and waits for its turn.
    Queued {
        /// Which run.
        run_id: RunId,
        /// Its instant.
        scheduled_at: Timestamp,
        /// Why it exists.
        trigger: Trigger,
    },
    /// A replica won the right to start a run.
    Claimed {
        /// Which run.
        run_id: RunId,
        /// Its instant.
        scheduled_at: Timestamp,
        /// Why it exists.
        trigger: Trigger,
        /// Which attempt this is to be.
        attempt: u32,
        /// The claim's fencing token.
        fence: Fence,
        /// Who won.
        holder: String,
    },
    /// The request for a run lies in a broker's queue.
    Published {
        /// Which run.
        run_id: RunId,
        /// The claim's fencing token.
        fence: Fence,
    },
    /// The user's code is about to run.
    Started {
        /// Which run.
        run_id: RunId,
        /// Which attempt.
        attempt: u32,
        /// Its fencing token.
        fence: Fence,
        /// Who runs it.
        holder: String,
    },
    /// A claim was given back unstarted.
    Released {
        /// Which run.
        run_id: RunId,
        /// The claim's fencing token.
        fence: Fence,
    },
    /// An attempt is over.
    Ended {
        /// Which run.
        run_id: RunId,
        /// Which attempt.
        attempt: u32,
        /// Its fencing token.
        fence: Fence,
        /// How it ended.
        ended: Ended,
        /// The attempt that follows; without one the run is over.
        next: Option<Next>,
    },
    /// Somebody acted on a run that is no longer his; he was refused.
    Fenced {
        /// Which run.
        run_id: RunId,
        /// The outdated fencing token.
        fence: Fence,
        /// What he tried: `start` or `settle`.
        tried: String,
        /// The outcome that he reported too late.
        ended: Option<Ended>,
    },
    /// Somebody asked for a run, and the job's policy or a pause did not allow it.
    Declined {
        /// Which run would have been.
        run_id: RunId,
        /// Its instant.
        scheduled_at: Timestamp,
        /// Who asked, and why.
        trigger: Trigger,
        /// What became of the request.
        fate: Fate,
    },
    /// The job has not succeeded by its deadline.
    Overdue {
        /// The deadline.
        due: Timestamp,
        /// When its last success was recorded.
        last_success_at: Option<Timestamp>,
    },
    /// The job succeeded again after it was overdue.
    Recovered {
        /// When that had been told.
        overdue_since: Timestamp,
    },
    /// An attempt runs for longer than its job should.
    Slow {
        /// Which run.
        run_id: RunId,
        /// Which attempt.
        attempt: u32,
        /// Its fencing token.
        fence: Fence,
        /// When it was started.
        started_at: Timestamp,
    },
    /// Somebody asked to stop a run.
    CancelAsked {
        /// Which run.
        run_id: RunId,
        /// Who or what asked.
        by: String,
    },
    /// No run of the job is started from now on.
    Paused {
        /// Until then; absent means until resumed.
        until: Option<Timestamp>,
        /// Why.
        reason: Option<String>,
        /// Who.
        by: Option<String>,
    },
    /// Runs are started again.
    Resumed {
        /// Whether what came due meanwhile is caught up as the misfire policy says, or skipped.
        catch_up: bool,
        /// Who.
        by: Option<String>,
    },
}

impl What {
    /// Whether somebody else may have something to do because of it, and should look at once. The
    /// rest is told by the next look, which comes in its own time.
    pub fn invites(&self) -> bool {
        match self {
            What::Queued { .. }
            | What::Released { .. }
            | What::Ended { .. }
            | What::CancelAsked { .. }
            | What::Paused { .. }
            | What::Resumed { .. } => true,
            What::Registered
            | What::Passed(_)
            | What::Claimed { .. }
            | What::Published { .. }
            | What::Started { .. }
            | What::Declined { .. }
            | What::Overdue { .. }
            | What::Recovered { .. }
            | What::Slow { .. }
            | What::Fenced { .. } => false,
        }
    }
}

/// The attempt that follows another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// Its number.
    pub attempt: u32,
    /// Not before this.
    pub at: Timestamp,
}

/// Neighbouring occurrences that were decided alike, without a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The first of them.
    pub from: Timestamp,
    /// The last of them.
    pub through: Timestamp,
    /// How many.
    pub count: u64,
    /// What became of each.
    pub fate: Fate,
}

/// What becomes of an occurrence that is not claimed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It waits for its turn.
    Queued,
    /// A run of the job was still open.
    SkippedOverlap,
    /// The job was paused.
    SkippedPaused,
    /// The job's file says `enabled = false`.
    SkippedDisabled,
    /// A calendar of the job has its day, or none of those it keeps to does.
    SkippedCalendar,
    /// A newer occurrence stands for it.
    Coalesced,
    /// Nobody could start it in time.
    Missed,
}

/// Where a run, or a decision without a run, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is explained by the event or fate that leads to it")]
pub enum State {
    Queued,
    Claimed,
    Published,
    Running,
    Retrying,
    Succeeded,
    Failed,
    TimedOut,
    Cancelled,
    Interrupted,
    Lost,
    Expired,
    SkippedOverlap,
    SkippedPaused,
    SkippedDisabled,
    SkippedCalendar,
    Coalesced,
    Missed,
}

impl State {
    /// All of them, in the order of a run's life.
    pub const ALL: [State; 18] = [
        State::Queued,
        State::Claimed,
        State::Published,
        State::Running,
        State::Retrying,
        State::Succeeded,
        State::Failed,
        State::TimedOut,
        State::Cancelled,
        State::Interrupted,
        State::Lost,
        State::Expired,
        State::SkippedOverlap,
        State::SkippedPaused,
        State::SkippedDisabled,
        State::SkippedCalendar,
        State::Coalesced,
        State::Missed,
    ];

    /// Its word, as in JSON and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Claimed => "claimed",
            State::Published => "published",
            State::Running => "running",
            State::Retrying => "retrying",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::TimedOut => "timed_out",
            State::Cancelled => "cancelled",
            State::Interrupted => "interrupted",
            State::Lost => "lost",
            State::Expired => "expired",
            State::SkippedOverlap => "skipped_overlap",
            State::SkippedPaused => "skipped_paused",
            State::SkippedDisabled => "skipped_disabled",
            State::SkippedCalendar => "skipped_calendar",
            State::Coalesced => "coalesced",
            State::Missed => "missed",
        }
    }

    /// Whether it is that of a run: occurrences that were passed over come after all of these.
    pub fn is_run(self) -> bool {
        self <= State::Expired
    }

    /// Whether nothing further will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, State::Queued | State::Claimed | State::Published | State::Running | State::Retrying)
    }
}

impl From<Outcome> for State {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => State::Succeeded,
            Outcome::Failed => State::Failed,
            Outcome::TimedOut => State::TimedOut,
            Outcome::Cancelled => State::Cancelled,
            Outcome::Interrupted => State::Interrupted,
            Outcome::Lost => State::Lost,
            Outcome::Expired => State::Expired,
        }
    }
}

impl From<Fate> for State {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Queued => State::Queued,
            Fate::SkippedOverlap => State::SkippedOverlap,
            Fate::SkippedPaused => State::SkippedPaused,
            Fate::SkippedDisabled => State::SkippedDisabled,
            Fate::SkippedCalendar => State::SkippedCalendar,
            Fate::Coalesced => State::Coalesced,
            Fate::Missed => State::Missed,
        }
    }
}

/// One line of history: a run, or neighbouring occurrences that were passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The run's id, or `JOB@INSTANT` of the first occurrence passed over.
    pub id: String,
    /// Whose.
    pub job: JobName,
    /// The scheduled instant, or the first of those passed over.
    pub scheduled_at: Timestamp,
    /// The last occurrence passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Timestamp>,
    /// How many occurrences this line stands for; 0 for a run by hand.
    pub count: u64,
    /// Where it stands.
    pub state: State,
    /// Why it exists.
    pub trigger: Trigger,
    /// Each claim on it, oldest first.
    pub attempts: Vec<Attempt>,
    /// When the next attempt may begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Why it stands where it stands, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it last changed.
    pub changed_at: Timestamp,
}

/// One claim on a run and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1. A claim that never started leaves its number to the next.
    pub attempt: u32,
    /// Its fencing token.
    pub fence: Fence,
    /// Who held it.
    pub replica: String,
    /// When it was won.
    pub claimed_at: Timestamp,
    /// When the code was about to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When its end was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

impl Entry {
    /// The id of the entry that an event belongs to, if it belongs to one.
    pub fn id_of(event: &Event) -> Option<String> {
        match &event.what {
            What::Passed(pass) => Some(format!("{}@{}", event.job, pass.from)),
            What::Queued { run_id, .. }
            | What::Claimed { run_id, .. }
            | What::Published { run_id, .. }
            | What::Started { run_id, .. }
            | What::Released { run_id, .. }
            | What::Declined { run_id, .. }
            | What::Ended { run_id, .. } => Some(run_id.to_string()),
            What::Registered
            | What::Overdue { .. }
            | What::Recovered { .. }
            | What::Slow { .. }
            | What::Fenced { .. }
            | What::CancelAsked { .. }
            | What::Paused { .. }
            | What::Resumed { .. } => None,
        }
    }

    /// The entry after `event`, given the entry before it. `None` for an event without one.
    pub fn fold(before: Option<Entry>, event: &Event) -> Option<Entry> {
        let id = Entry::id_of(event)?;
        let fresh = |scheduled_at: Timestamp, trigger: &Trigger, state: State| Entry {
            id: id.clone(),
            job: event.job.clone(),
            scheduled_at,
            through: None,
            count: u64::from(*trigger == Trigger::Schedule),
            state,
            trigger: trigger.clone(),
            attempts: Vec::new(),
            next_attempt_at: None,
            message: None,
            changed_at: event.at,
        };
        let mut entry = match (&event.what, before) {
            (What::Passed(pass), _) => Entry {
                through: Some(pass.through),
                count: pass.count,
                ..fresh(pass.from, &Trigger::Schedule, pass.fate.into())
            },
            (What::Queued { scheduled_at, trigger, .. } | What::Claimed { scheduled_at, trigger, .. }, None) => {
                fresh(*scheduled_at, trigger, State::Queued)
            }
            // A run that there is goes on; a request for it that came again is not its end.
            (What::Declined { .. }, Some(before)) => return Some(before),
            (What::Declined { scheduled_at, trigger, fate, .. }, None) => fresh(*scheduled_at, trigger, (*fate).into()),
            (_, before) => before?,
        };
        entry.changed_at = event.at;
        entry.take(event);
        Some(entry)
    }

    fn take(&mut self, event: &Event) {
        match &event.what {
            What::Claimed { attempt, fence, holder, .. } => {
                self.state = State::Claimed;
                self.next_attempt_at = None;
                self.attempts.push(Attempt {
                    attempt: *attempt,
                    fence: *fence,
                    replica: holder.clone(),
                    claimed_at: event.at,
                    started_at: None,
                    finished_at: None,
                    ended: None,
                });
            }
            What::Published { .. } => self.state = State::Published,
            What::Started { fence, holder, .. } => {
                self.state = State::Running;
                if let Some(attempt) = self.claim(*fence) {
                    attempt.started_at = Some(event.at);
                    attempt.replica.clone_from(holder);
                }
            }
            What::Released { .. } => self.state = State::Queued,
            What::Ended { fence, ended, next, .. } => {
                self.state = if next.is_some() { State::Retrying } else { ended.outcome.into() };
                self.next_attempt_at = next.map(|next| next.at);
                self.message.clone_from(&ended.message);
                if let Some(attempt) = self.claim(*fence) {
                    attempt.finished_at = Some(event.at);
                    attempt.ended = Some(ended.clone());
                }
            }
            _ => {}
        }
    }

    fn claim(&mut self, fence: Fence) -> Option<&mut Attempt> {
        self.attempts.iter_mut().rev().find(|attempt| attempt.fence == fence)
    }

    /// The latest attempt that was started, or else the latest claim.
    pub fn latest(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.started_at.is_some()).or(self.attempts.last())
    }
}

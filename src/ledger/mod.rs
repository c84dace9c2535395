//! What happened: an [`Event`] for every change of a record, and the [`Entry`] that a run's or a
//! skipped occurrence's events fold into. Pure; the stores only keep what this module makes.

mod entry;
mod state;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Ended, Fence, RunId, Trigger};

pub use entry::{Attempt, Entry};
pub use state::State;

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
    /// The store had lost what it knew of the job, and was given it back: of occurrences after `from` up to `through`
    /// the history may say nothing, or not all.
    Restored {
        /// Up to where they were decided, as far as the store still knew.
        from: Option<Timestamp>,
        /// Up to where they are decided.
        through: Option<Timestamp>,
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
            | What::Restored { .. }
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

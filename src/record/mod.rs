//! One job's truth, a [`Record`]; what may be asked of it, an [`Op`]; and what the store grants:
//! [`apply()`]. Pure.
//!
//! Every store runs this function, or a port of it held equal by tests, in one atomic step. No
//! store has a rule of its own. Occurrences are decided in order: `cursor` only ever moves on, and
//! only for somebody who knew where it stood. So an occurrence starts at most once whatever any
//! clock reads; leases only say who runs it now.

mod apply;
mod claim;
mod granting;
mod hold;
mod op;
mod steer;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::job::{JobName, Overlap};
use crate::lease::{Ended, Fence, Outcome, RunId, Token, Trigger};

pub use apply::{State, apply};
pub use op::{Bid, Key, Op, Reply, Target};

/// What the store knows about one job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Every occurrence up to here is decided. Absent until the job is registered; never moves back.
    pub cursor: Option<Timestamp>,
    /// The schedules it was seen under, by hash, and since when: the past of a changed schedule is
    /// not caught up. Several, because replicas differ while a deployment rolls.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub specs: VecDeque<(u64, Timestamp)>,
    /// The largest fence ever issued.
    pub fence: Fence,
    /// Runs that are not over, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Open>,
    /// The latest pauses, the newest last: one that is over still explains what came due in it.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub pauses: VecDeque<Pause>,
    /// The scheduled instant of the last run that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// The latest requests, so that a repeated one is not a second run.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub asked: VecDeque<RunId>,
    /// The latest settled claims, so that a repeated report is not refused.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub settled: VecDeque<Fence>,
    /// When the last success was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded_at: Option<Timestamp>,
    /// When it was told that a success is overdue; absent since the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overdue: Option<Timestamp>,
}

/// How many pauses are remembered that may have occurrences to explain.
const PAUSES: usize = 16;

/// How many requests and settled claims are remembered: as many as can be in doubt at once.
const REMEMBERED: usize = Overlap::ALLOW_LIMIT;

/// How many settled claims are remembered where runs follow each other: whoever did not hear that the end of one was taken asks
/// again long before so many more have ended. Each of them is part of all that is written and told of the job.
const FEW: usize = 16;

impl Record {
    /// How many schedules are remembered.
    pub const SPECS: usize = 4;

    /// Since when the job has the schedule with this hash; `None` when it was never seen with it.
    pub fn since(&self, spec: u64) -> Option<Timestamp> {
        self.specs.iter().find(|(known, _)| *known == spec).map(|(_, since)| *since)
    }

    /// The pause that keeps the job from starting anything at `now`.
    pub fn paused(&self, now: Timestamp) -> Option<&Pause> {
        self.pauses.back().filter(|pause| pause.covers(now))
    }

    /// The open run with this id.
    pub fn run(&self, run_id: RunId) -> Option<&Open> {
        self.open.iter().find(|run| run.run_id == run_id)
    }

    /// The run for whose end the open run `run_id` has to wait, mutexes aside.
    pub fn keeps_out(&self, run_id: RunId, overlap: Overlap, now: Timestamp) -> Option<&Open> {
        let place = self.open.iter().position(|run| run.run_id == run_id)?;
        let queued = self.open[place].is_queued();
        let mut begun = self.open.iter().enumerate().filter(|(at, other)| *at != place && !other.is_queued());
        let first = match overlap {
            Overlap::Allow => begun.nth(Overlap::ALLOW_LIMIT - 1),
            // Runs begun side by side, while the job allowed it, go on one by one, oldest first.
            _ => begun.find(|(at, other)| queued || *at < place || other.is_held(now)),
        };
        first.map(|(_, other)| other)
    }
}

/// A run that is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Its identity.
    pub run_id: RunId,
    /// Its instant.
    pub scheduled_at: Timestamp,
    /// Why it exists.
    pub trigger: Trigger,
    /// Arguments given by whoever asked for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// When it came to be; when it is due, if it was claimed before. Nothing of it begins earlier.
    pub opened: Timestamp,
    /// How far it is.
    pub phase: Phase,
    /// The number of the present attempt, or of the next one while it waits.
    pub attempt: u32,
    /// The newest claim on it; 0 while it was never claimed.
    pub fence: Fence,
    /// Whose claim that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// The replica or worker behind that claim.
    pub holder: String,
    /// Once this has passed, the run may be claimed again.
    pub until: Timestamp,
    /// Somebody asked to stop it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
    /// The mutex that is held for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutex: Option<String>,
    /// When the code of the newest claim was about to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// It was told that this attempt takes long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slow: bool,
}

/// How far an open run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// For its turn, for its next attempt, or for whoever comes first.
    Waiting,
    /// Won, but its code has surely not started.
    Claimed,
    /// Its request may lie in a broker's queue; its code has surely not started.
    Published,
    /// Its code may have started.
    Running,
}

impl Open {
    /// In the queue: it came due while another run was open, or was asked for, and nobody has claimed it yet.
    pub fn is_queued(&self) -> bool {
        self.phase == Phase::Waiting && self.fence == Fence(0)
    }

    /// Somebody may be about to start it, or running it.
    fn is_held(&self, now: Timestamp) -> bool {
        self.phase != Phase::Waiting && self.until > now
    }

    /// How it ended if its time is over while it was running.
    fn lost(&self) -> Ended {
        let awaited = self.token.as_ref().is_some_and(Token::awaits_result);
        Ended::because(
            Outcome::Lost,
            if awaited { "no result came in time" } else { "its holder did not renew the lease" },
        )
    }

    fn is_held_by(&self, token: &Token) -> bool {
        self.token.as_ref() == Some(token)
    }
}

/// A span in which no run is started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

impl Pause {
    /// Whether it covers `at`.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// What the store knows about one mutex, which belongs to no single job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mutex {
    /// The largest fence of any run that held it: fences grow over all its jobs.
    pub fence: Fence,
    /// Who holds it.
    pub held: Option<Held>,
}

/// A run's hold on a mutex; it ends with the run's lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The run's job.
    pub job: JobName,
    /// The run.
    pub run_id: RunId,
    /// Its claim.
    pub fence: Fence,
    /// Who runs it.
    pub holder: String,
    /// When the hold lapses unless renewed.
    pub until: Timestamp,
}

impl Mutex {
    /// The hold that keeps `run_id` out at `now`, if there is one.
    pub fn keeps_out(&self, run_id: RunId, now: Timestamp) -> Option<&Held> {
        self.held.as_ref().filter(|held| held.run_id != run_id && held.until > now)
    }
}

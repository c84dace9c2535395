//! What can be asked of a record, and what can be answered.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Held, Open, Pause, Phase, Record};
use crate::clock::Timestamp;
use crate::job::{Delivery, Overlap};
use crate::lease::{Ended, Fence, RunId, Token, Trigger};
use crate::ledger::Pass;

/// A request to start a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bid {
    /// Which run.
    pub target: Target,
    /// New for every bid; the same when it is asked again.
    pub token: Token,
    /// Who asks.
    pub holder: String,
    /// How long the claim lasts unless started or renewed.
    pub ttl: Duration,
    /// Whether it may run beside other runs of the job.
    pub overlap: Overlap,
    /// Whether a lost attempt may be followed by another.
    pub delivery: Delivery,
    /// The mutex the run needs.
    pub mutex: Option<String>,
    /// For how long the run is held unless renewed, if it is to be started in the same step: one commit instead of the
    /// two of [`Op::Claim`] and [`Op::Start`]. `None`: its start is a commit of its own.
    pub start: Option<Duration>,
}

impl Bid {
    /// So long before an occurrence is due it may be bid for, if nothing of its job is in the way: who has won it by
    /// then can start it on time. Its code does not begin before.
    pub const AHEAD: Duration = Duration::from_millis(500);
}

/// What a bid is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// An occurrence that nobody has decided yet.
    Next {
        /// Where the asker saw the cursor.
        expect: Timestamp,
        /// What became of the occurrences between `expect` and `at`.
        passes: Vec<Pass>,
        /// The occurrence.
        at: Timestamp,
        /// When it may start: `at` and its jitter.
        due: Timestamp,
    },
    /// An open run whose `until` has passed.
    Open {
        /// Which.
        run_id: RunId,
        /// Its newest claim, as the asker saw it.
        fence: Fence,
    },
    /// A run by hand, now.
    Request {
        /// Its identity, made by the asker.
        run_id: RunId,
        /// The instant it stands for; absent means now.
        at: Option<Timestamp>,
        /// Who asks.
        trigger: Trigger,
        /// What its code is given.
        args: BTreeMap<String, String>,
        /// For a run with the identity of the occurrence at `at`: the largest fence there was when it was looked
        /// whether that has run. Whoever started it since has a larger one.
        expect: Option<Fence>,
    },
}

/// A claim on a run, as its holder names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The run.
    pub run_id: RunId,
    /// The claim.
    pub fence: Fence,
    /// The proof that it is the holder's.
    pub token: Token,
}

/// What can be asked of a record. Asking the same again gives the same answer and changes nothing more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// Begin the job's history, or that of a new schedule of it: occurrences up to now are not its business.
    Register {
        /// The schedule's hash.
        spec: u64,
    },
    /// Win a run.
    Claim(Bid),
    /// Decide occurrences without a claim.
    Decide {
        /// Where the asker saw the cursor.
        expect: Timestamp,
        /// What becomes of them, in order.
        passes: Vec<Pass>,
        /// When the last of them is due.
        due: Timestamp,
    },
    /// The request for a worker is about to be sent, or is known to be in a queue: whoever brings its fence may start
    /// the run, and nobody claims it, for `ttl`. Asked again by the sender it counts from then.
    Published {
        /// Whose.
        key: Key,
        /// How long.
        ttl: Duration,
    },
    /// The code starts now. A commit of its own: a holder that slept since its claim is refused here.
    Start {
        /// Whose. From [`Phase::Published`] any token will do: the worker brings its own.
        key: Key,
        /// Who runs it.
        holder: String,
        /// How long the lease lasts unless renewed.
        ttl: Duration,
    },
    /// The code still runs, or the claim is still wanted.
    Renew {
        /// Whose.
        key: Key,
        /// For how long from now.
        ttl: Duration,
    },
    /// The attempt is over.
    Settle {
        /// Whose.
        key: Key,
        /// How it ended.
        ended: Ended,
        /// The attempt that is to follow: its number and the pause before it.
        next: Option<(u32, Duration)>,
    },
    /// The claim is given back, unstarted.
    Release {
        /// Whose.
        key: Key,
    },
    /// Close a run whose `until` has passed and that is not to be claimed again.
    Reap {
        /// Which.
        run_id: RunId,
        /// Its newest claim, as the asker saw it.
        fence: Fence,
        /// How far that had come: one that waits for its next attempt since then is not meant.
        phase: Phase,
    },
    /// End a claim by force: whoever holds it is fenced off from now on. For people only, who
    /// know what no lease can tell.
    Evict {
        /// Which run.
        run_id: RunId,
        /// The claim to end; a newer one is not meant.
        fence: Fence,
        /// Who does it, and why.
        by: String,
    },
    /// Ask for a run by hand, to be started by whichever replica comes first.
    Trigger {
        /// Its identity, made by the asker.
        run_id: RunId,
        /// The instant it stands for; absent means now.
        at: Option<Timestamp>,
        /// Who asks.
        trigger: Trigger,
        /// What its code is given.
        args: BTreeMap<String, String>,
        /// The job's policy, which holds for runs by hand as well.
        overlap: Overlap,
        /// As in [`Target::Request`].
        expect: Option<Fence>,
        /// A refusal is a line of history, because nobody waits for the answer.
        on_record: bool,
    },
    /// Tell, once for each deadline, that the job has not succeeded by then.
    Overdue {
        /// When its last success was recorded, as the asker saw it.
        expect: Option<Timestamp>,
        /// By when there was to be another.
        due: Timestamp,
    },
    /// Tell, once for each attempt, that it runs for longer than usual.
    Slow {
        /// Which run.
        run_id: RunId,
        /// Its claim.
        fence: Fence,
    },
    /// Ask to stop a run.
    Cancel {
        /// Which.
        run_id: RunId,
        /// Who or what asks.
        by: String,
    },
    /// Start nothing until then.
    Pause {
        /// Absent: until resumed.
        until: Option<Timestamp>,
        /// Why.
        reason: Option<String>,
        /// Who.
        by: Option<String>,
    },
    /// End the pause.
    Resume {
        /// Whether what came due meanwhile is left to the misfire policy instead of being skipped.
        catch_up: bool,
        /// Who.
        by: Option<String>,
    },
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The run is the asker's, as it stands now.
    Won(Box<Open>),
    /// It is done, or was done before.
    Done,
    /// The claim is still the newest.
    Kept {
        /// And lasts until then.
        until: Timestamp,
        /// But the run is to be stopped.
        cancel: bool,
    },
    /// The claim is not the newest, or the run is over.
    Fenced,
    /// The run was cancelled before it started; it is over.
    Cancelled,
    /// The occurrence was decided before: a slow clock, or a lost race.
    Stale,
    /// The occurrence is not due before then: a fast clock.
    Early(Timestamp),
    /// The record is not as the asker saw it; look again.
    Moved,
    /// Another run is in the way.
    Busy(Box<Open>),
    /// Another job's run holds the mutex.
    MutexHeld(Held),
    /// The job is paused.
    Paused(Pause),
    /// As many runs wait as may.
    Full,
    /// No such open run.
    NotFound,
}

impl Op {
    /// The mutex that this operation needs to see, given the record before it.
    pub fn mutex<'a>(&'a self, record: &'a Record) -> Option<&'a str> {
        let of = |run_id: &RunId| record.open.iter().find(|run| run.run_id == *run_id)?.mutex.as_deref();
        match self {
            Op::Claim(bid) => bid.mutex.as_deref(),
            Op::Published { key, .. }
            | Op::Start { key, .. }
            | Op::Renew { key, .. }
            | Op::Settle { key, .. }
            | Op::Release { key } => of(&key.run_id),
            Op::Reap { run_id, .. } | Op::Evict { run_id, .. } | Op::Cancel { run_id, .. } => of(run_id),
            _ => None,
        }
    }
}

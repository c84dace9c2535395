//! What is measured on the way, for whoever counts.

use std::time::Duration;

use crate::job::QueueName;

/// Something that was measured here. Only a meter hears of it.
#[derive(Clone, Debug)]
pub enum Measure {
    /// A bid for a run was answered, or was not.
    Claim {
        /// With what.
        outcome: Claim,
        /// After how long.
        took: Duration,
    },
    /// A claim was renewed.
    Renewal(Duration),
    /// A run was stopped because its lease was lost, or could not be renewed.
    LeaseLost,
    /// A start was refused because the run had been started, or was over.
    StartRefused,
    /// By how many seconds this machine's clock is ahead of the store's.
    Skew(f64),
    /// How late a job is looked at that is due.
    Lag(Duration),
    /// Jobs that are due and wait to be looked at, or for a place to run in.
    Waiting(usize),
    /// The process, or its scheduler's loop, stood still for so much longer.
    Stalled(Duration),
    /// A worker is done with a request.
    Delivery {
        /// From which queue.
        queue: QueueName,
        /// How.
        outcome: Dealt,
    },
    /// A place of a worker changed.
    Slot {
        /// For which queue.
        queue: QueueName,
        /// How.
        now: Slot,
    },
    /// A client that follows events came, or left.
    Follower(Follower),
    /// Somebody was too slow to take what is told.
    Dropped {
        /// Who: `log`, `sse`, `outbox`, `otlp`.
        sink: &'static str,
        /// How much.
        count: u64,
    },
}

/// What a bid was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Claim {
    Won,
    Lost,
    Error,
}

/// What a worker did about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dealt {
    /// Carried out.
    Acked,
    /// Left to others.
    Requeued,
    /// Nobody can read it.
    DeadLettered,
    /// The store refused the start: a copy, an outdated request, one for a run that is over.
    Duplicate,
}

/// What became of a worker's place for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Slot {
    Opened,
    Taken,
    Freed,
    Closed,
}

/// What became of a client that follows events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words say it")]
pub enum Follower {
    Came,
    Left,
}

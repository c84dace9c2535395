//! Runs and planned occurrences over a span of time, counted in buckets.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::ledger::State;

/// Runs and planned occurrences over a span of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// How long each bucket is.
    pub bucket_seconds: u64,
    /// What the store's clock read.
    pub now: Timestamp,
    /// Each job in which something happens.
    pub jobs: Vec<Lane>,
    /// There is more than is counted here: ask for a shorter span.
    pub truncated: bool,
}

/// One job's part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Lane {
    /// Which.
    pub job: JobName,
    /// Its buckets in which something happens, in order.
    pub cells: Vec<Cell>,
}

/// What happens within one bucket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cell {
    /// Its beginning.
    pub at: Timestamp,
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that ended otherwise.
    pub failed: u64,
    /// Runs that are not over.
    pub open: u64,
    /// Occurrences that were passed over, or will be.
    pub skipped: u64,
    /// Occurrences to come.
    pub planned: u64,
}

impl Cell {
    /// Counts what stands so.
    pub fn count(&mut self, state: State, times: u64) {
        let place = match state {
            State::Succeeded => &mut self.succeeded,
            state if !state.is_run() => &mut self.skipped,
            state if state.is_final() => &mut self.failed,
            _ => &mut self.open,
        };
        *place += times.max(1);
    }
}

//! What a store has, read so that a cluster that goes on meanwhile gives no false findings.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::ledger::{Entry, Event};
use crate::store::{Query, Snapshot, Store, StoreError};

/// Events asked for at once.
const PAGE: usize = 5_000;

/// All but the lines of history.
///
/// The records are read first, then the events, then, job by job, the history. So whatever a record or an event tells
/// of at [`Snapshot::now`] or before is in all that is read later; what came after is left out.
#[derive(Debug, Default)]
pub struct Reading {
    /// The records, and when they were read.
    pub snapshot: Snapshot,
    /// Events by job, each with its position, oldest first.
    pub events: BTreeMap<JobName, Vec<(u64, Event)>>,
    /// Whatever happened after this is among the events; [`Timestamp::EPOCH`] when they reach back to the first.
    pub feed: Timestamp,
    /// The position of the last of them.
    last: u64,
}

impl Reading {
    /// Of these records, and no event yet.
    pub fn at(snapshot: Snapshot) -> Reading {
        Reading { snapshot, ..Reading::default() }
    }

    /// Reads records and events.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn of(store: &dyn Store) -> Result<Reading, StoreError> {
        let mut reading = Reading::at(store.snapshot().await?);
        let mut position = 0;
        loop {
            let page = store.events(position, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            position = *last;
            reading.take(page);
        }
        Ok(reading)
    }

    /// Adds events that follow those before. Where some are missing between, only what follows is of use: they were
    /// dropped while it was read.
    pub fn take(&mut self, page: Vec<(u64, Event)>) {
        for (position, event) in page {
            if position != self.last + 1 || self.last == 0 {
                self.events.clear();
                self.feed = if position == 1 { Timestamp::EPOCH } else { event.at };
            }
            self.last = position;
            self.events.entry(event.job.clone()).or_default().push((position, event));
        }
    }

    /// The lines of a job's history.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn lines(store: &dyn Store, job: &JobName) -> Result<Vec<Entry>, StoreError> {
        store.history(&Query { job: Some(job.clone()), ..Query::default() }).await
    }
}

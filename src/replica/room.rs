//! Places to run in, and the line of those who wait for one: first come, first served, each in it at most once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::job::JobName;

#[derive(Default)]
pub(super) struct Line {
    order: VecDeque<(JobName, Instant)>,
    members: BTreeSet<JobName>,
}

impl Line {
    /// Joins at the end; who is in the line already keeps his place.
    pub(super) fn join(&mut self, job: &JobName) {
        if self.members.insert(job.clone()) {
            self.order.push_back((job.clone(), Instant::now()));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// For how long the first has waited.
    pub(super) fn longest(&self) -> Duration {
        self.order.front().map(|(_, since)| since.elapsed()).unwrap_or_default()
    }

    pub(super) fn next(&mut self) -> Option<JobName> {
        let (job, _) = self.order.pop_front()?;
        self.members.remove(&job);
        Some(job)
    }
}

/// How many may go on at once, and who waits for a place.
pub(super) struct Room {
    permits: Arc<Semaphore>,
    /// Jobs that could not bid for want of a place. In line, or those early in the alphabet would starve the others.
    pub(super) waiting: Line,
}

impl Room {
    pub(super) fn new(places: usize) -> Room {
        Room { permits: Arc::new(Semaphore::new(places)), waiting: Line::default() }
    }

    /// A place that nobody waits for.
    pub(super) fn free(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.is_empty().then(|| self.permits.clone().try_acquire_owned().ok()).flatten()
    }

    /// The next who waits, with the place there is now.
    pub(super) fn next(&mut self) -> Option<(JobName, OwnedSemaphorePermit)> {
        if self.waiting.is_empty() {
            return None;
        }
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some((self.waiting.next()?, permit))
    }
}

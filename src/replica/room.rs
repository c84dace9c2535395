//! Places to run in, and the line of those who wait for one: first come, first served, each in it at most once.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::job::JobName;

#[derive(Default)]
pub(super) struct Line {
    order: VecDeque<(JobName, Instant)>,
    members: BTreeSet<JobName>,
    /// Whether anybody is in it, for those who leave a place.
    waits: Arc<AtomicBool>,
}

impl Line {
    /// Joins at the end; who is in the line already keeps his place.
    pub(super) fn join(&mut self, job: &JobName) {
        if self.members.insert(job.clone()) {
            self.order.push_back((job.clone(), Instant::now()));
            self.waits.store(true, Ordering::Relaxed);
            // Before it is looked for a free place: either that is found, or who leaves one sees that somebody waits.
            fence(Ordering::SeqCst);
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
        self.waits.store(!self.order.is_empty(), Ordering::Relaxed);
        Some(job)
    }
}

/// How many may go on at once, and who waits for a place.
pub(super) struct Room {
    permits: Arc<Semaphore>,
    left: Arc<Notify>,
    /// Jobs that could not bid for want of a place. In line, or those early in the alphabet would starve the others.
    pub(super) waiting: Line,
}

/// A place, for as long as this lives.
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    waits: Arc<AtomicBool>,
    left: Arc<Notify>,
}

impl Place {
    /// Whether no other place is free.
    pub(super) fn is_last(&self) -> bool {
        self.permit.as_ref().is_none_or(|permit| permit.semaphore().available_permits() == 0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // In this order: who is told finds it free, and who joins the line after that looks for a free one himself.
        self.permit = None;
        fence(Ordering::SeqCst);
        if self.waits.load(Ordering::Relaxed) {
            self.left.notify_one();
        }
    }
}

impl Room {
    /// Whenever somebody leaves a place that another waits for, `left` is told.
    pub(super) fn new(places: usize, left: &Arc<Notify>) -> Room {
        Room { permits: Arc::new(Semaphore::new(places)), left: left.clone(), waiting: Line::default() }
    }

    fn take(&self) -> Option<Place> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        Some(Place { permit: Some(permit), waits: self.waiting.waits.clone(), left: self.left.clone() })
    }

    /// A place that nobody waits for.
    pub(super) fn free(&self) -> Option<Place> {
        self.waiting.is_empty().then(|| self.take()).flatten()
    }

    /// The next who waits, with the place there is now.
    pub(super) fn next(&mut self) -> Option<(JobName, Place)> {
        if self.waiting.is_empty() {
            return None;
        }
        let place = self.take()?;
        Some((self.waiting.next()?, place))
    }
}

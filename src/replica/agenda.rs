//! When to look at which job again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::job::JobName;

/// The store's clock, seen at a moment of our own: how its time is told without asking it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchor {
    pub(super) store: Timestamp,
    pub(super) seen: Instant,
}

impl Anchor {
    pub(super) fn now(&self) -> Timestamp {
        self.store.plus(self.seen.elapsed())
    }
}

/// Wake times by the store's clock, each job at most once.
pub(super) struct Agenda {
    anchor: watch::Receiver<Anchor>,
    order: BTreeSet<(Timestamp, JobName)>,
    at: BTreeMap<JobName, Timestamp>,
}

impl Agenda {
    pub(super) fn new(anchor: watch::Receiver<Anchor>) -> Self {
        Agenda { anchor, order: BTreeSet::new(), at: BTreeMap::new() }
    }

    pub(super) fn set(&mut self, job: &JobName, at: Timestamp) {
        self.remove(job);
        self.order.insert((at, job.clone()));
        self.at.insert(job.clone(), at);
    }

    /// Wakes the job at `at`, unless it wakes earlier.
    pub(super) fn bring_forward(&mut self, job: &JobName, at: Timestamp) {
        if self.at.get(job).is_none_or(|known| at < *known) {
            self.set(job, at);
        }
    }

    /// Wakes the job at `at`, as the store said when its clock read `now`. Should our idea of that
    /// clock be ahead, because it was set back, the distance counts: else the job would be due at once.
    pub(super) fn wait(&mut self, job: &JobName, at: Timestamp, now: Timestamp) {
        if at > self.anchor.borrow().now() {
            self.set(job, at);
        } else {
            self.set_in(job, at.since(now));
        }
    }

    pub(super) fn set_in(&mut self, job: &JobName, pause: Duration) {
        let at = self.anchor.borrow().now().plus(pause);
        self.set(job, at);
    }

    pub(super) fn remove(&mut self, job: &JobName) {
        if let Some(at) = self.at.remove(job) {
            self.order.remove(&(at, job.clone()));
        }
    }

    /// The first wake time.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(at, _)| *at)
    }

    pub(super) fn until_next(&self) -> Duration {
        let now = self.anchor.borrow().now();
        // A timer may fire a moment early by the store's clock: looking then would only mean looking twice.
        self.next().map_or(Duration::MAX, |at| at.since(now) + Duration::from_micros(500))
    }

    /// How long ago the first was due.
    pub(super) fn lateness(&self) -> Option<Duration> {
        let now = self.anchor.borrow().now();
        self.next().filter(|at| *at <= now).map(|at| now.since(at))
    }

    /// Takes off the jobs whose time has come.
    pub(super) fn due(&mut self) -> Vec<JobName> {
        let now = self.anchor.borrow().now();
        let mut due = Vec::new();
        while let Some((at, job)) = self.order.first().cloned()
            && at <= now
        {
            self.remove(&job);
            due.push(job);
        }
        due
    }
}

//! When to look at which job again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::job::{ByName, Job, JobName, Quick};

/// So many jobs are looked through for what starts next.
const GLANCES: usize = 32;

/// No job wakes so long ahead of its instant.
const AHEAD: Duration = Duration::from_secs(1);

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
    /// By time and, for many of one time, by turn: names are slow to compare. Turns are even, those of races odd.
    order: BTreeMap<(Timestamp, u64), JobName>,
    places: Quick<JobName, (Timestamp, u64)>,
    turns: u64,
}

/// A job whose time has come.
pub(super) struct Woken {
    pub(super) job: JobName,
    /// When it was to wake.
    pub(super) at: Timestamp,
    /// It wakes ahead of an instant, to bid for it.
    pub(super) races: bool,
}

impl Agenda {
    pub(super) fn new(anchor: watch::Receiver<Anchor>) -> Self {
        Agenda { anchor, order: BTreeMap::new(), places: Quick::default(), turns: 0 }
    }

    pub(super) fn set(&mut self, job: &JobName, at: Timestamp) {
        self.put(job, at, false);
    }

    fn put(&mut self, job: &JobName, at: Timestamp, races: bool) {
        self.turns += 2;
        let place = (at, self.turns + u64::from(races));
        if let Some(old) = self.places.insert(job.clone(), place) {
            self.order.remove(&old);
        }
        self.order.insert(place, job.clone());
    }

    /// Wakes the job at `at`, unless it wakes earlier; to bid for an instant if it `races`.
    pub(super) fn bring_forward(&mut self, job: &JobName, at: Timestamp, races: bool) {
        if self.places.get(job).is_none_or(|(known, _)| at < *known) {
            self.put(job, at, races);
        }
    }

    /// Wakes the job at `at`, as the store said when its clock read `now`. Should our idea of that
    /// clock be ahead, because it was set back, the distance counts: else the job would be due at once.
    pub(super) fn wait(&mut self, job: &JobName, at: Timestamp, now: Timestamp) {
        self.wake_at(job, at, now, false);
    }

    /// Like [`Agenda::wait`], ahead of an instant to bid for it.
    pub(super) fn race(&mut self, job: &JobName, at: Timestamp, now: Timestamp) {
        self.wake_at(job, at, now, true);
    }

    /// Whether the job wakes ahead of an instant, to bid for it.
    pub(super) fn is_in_race(&self, job: &JobName) -> bool {
        self.places.get(job).is_some_and(|(_, turn)| turn % 2 == 1)
    }

    fn wake_at(&mut self, job: &JobName, at: Timestamp, now: Timestamp, races: bool) {
        if at > self.anchor.borrow().now() {
            self.put(job, at, races);
        } else {
            self.set_in(job, at.since(now));
        }
    }

    pub(super) fn set_in(&mut self, job: &JobName, pause: Duration) {
        let at = self.anchor.borrow().now().plus(pause);
        self.set(job, at);
    }

    pub(super) fn remove(&mut self, job: &JobName) {
        if let Some(place) = self.places.remove(job) {
            self.order.remove(&place);
        }
    }

    /// What the store's clock reads by now.
    pub(super) fn now(&self) -> Timestamp {
        self.anchor.borrow().now()
    }

    /// The job whose next start comes first, and when that is. Jobs also wake for other reasons, never later than for
    /// this: those that wake first are looked through until none that wakes later could be earlier.
    pub(super) fn next_start(&self, jobs: &ByName<Arc<Job>>) -> Option<(JobName, Timestamp)> {
        let now = self.now();
        let mut first: Option<(JobName, Timestamp)> = None;
        for ((wake, _), name) in self.order.iter().take(GLANCES) {
            if first.as_ref().is_some_and(|(_, at)| at < wake) {
                break;
            }
            let Some(job) = jobs.get(name).filter(|job| job.enabled) else { continue };
            // It may wake a moment ahead of its instant.
            let from = now.max(wake.minus(AHEAD));
            let mut at = job.next_open(from.minus(job.jitter));
            while let Some(early) = at.filter(|at| job.due(*at) < from) {
                at = job.next_open(early);
            }
            let due = at.map(|at| job.due(at));
            if let Some(due) = due.filter(|due| first.as_ref().is_none_or(|(_, at)| due < at)) {
                first = Some((name.clone(), due));
            }
        }
        first
    }

    /// The first wake time.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.order.first_key_value().map(|((at, _), _)| *at)
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
    pub(super) fn due(&mut self) -> Vec<Woken> {
        let now = self.anchor.borrow().now();
        let mut due = Vec::new();
        while let Some(first) = self.order.first_entry()
            && first.key().0 <= now
        {
            let ((at, turn), job) = first.remove_entry();
            self.places.remove(&job);
            due.push(Woken { job, at, races: turn % 2 == 1 });
        }
        due
    }
}

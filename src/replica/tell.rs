//! What a replica says of itself: to its surroundings how it is, to operators when it is late.

use std::time::Duration;

use tokio::time::Instant;

use super::lag::Turn;
use super::watchdog::STUCK;
use super::{Replica, words};
use crate::check::Check;
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::measure::Measure;

/// What a replica tells its surroundings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulse {
    /// It has looked at all its jobs, the store answers, and it is not stopping.
    pub ready: bool,
    /// The store answers.
    pub store_up: bool,
    /// It starts nothing more.
    pub stopping: bool,
    /// When its loop last turned.
    pub turned: Option<Instant>,
    /// Runs going.
    pub running: usize,
    /// The job that starts next, and when, by the store's clock. A glance of a moment ago.
    pub next: Option<(JobName, Timestamp)>,
    /// What the store's clock read then.
    pub now: Option<Timestamp>,
}

impl Pulse {
    /// For how long the loop has not turned, once that is too long. While it stops it need not turn.
    pub fn stuck(&self) -> Option<Duration> {
        let still = self.turned.filter(|_| !self.stopping)?.elapsed();
        (still > STUCK).then_some(still)
    }
}

/// What starts next, and when that was last looked for.
#[derive(Default)]
pub(super) struct Glance {
    next: Option<(JobName, Timestamp)>,
    now: Option<Timestamp>,
    at: Option<Instant>,
}

/// Between two glances.
const GLANCE: Duration = Duration::from_secs(1);

impl Replica {
    /// Notes how late what is due is looked at, and says so when that has lasted.
    pub(super) fn watch_lag(&mut self) {
        if !self.lag.note(self.agenda.lateness().unwrap_or_default()) {
            return;
        }
        if !self.health.is_up() {
            return self.lag.forget();
        }
        let looks = self.looking.values().map(Instant::elapsed).max().unwrap_or_default();
        let (room, out) = (&self.room.waiting, &self.way_out.waiting);
        let waits = room.longest().max(out.longest());
        self.lag.note(looks.max(waits));
        let (worst, turn) = self.lag.reckon();
        let waiting = self.looking.len() + room.len() + out.len();
        let bus = &self.parts.bus;
        bus.measure(Measure::Lag(worst));
        bus.measure(Measure::Waiting(waiting));
        match turn {
            Some(Turn::Began(late)) => {
                let why = words::why_late(waits >= worst, self.places, self.health.round_trip(), looks >= worst);
                bus.fail(Check::Lagging, words::lag(late, waiting, &why));
            }
            Some(Turn::Ended) => bus.mend(Check::Lagging, "jobs are looked at in time again"),
            None => {}
        }
    }

    pub(super) fn tell(&mut self) {
        self.watchdog.turned();
        // A job that was being looked at was in no agenda: what then was nothing may be something by now.
        if self.next.next.is_none() || self.next.at.is_none_or(|at| at.elapsed() >= GLANCE) {
            let (next, now) = (self.agenda.next_start(&self.jobs.by_name), self.agenda.now());
            self.next = Glance { next, now: Some(now), at: Some(Instant::now()) };
        }
        let (store_up, stopping) = (self.health.is_up(), self.parts.stop.is_soft());
        let ready = store_up && !stopping;
        let pulse = Pulse {
            ready,
            store_up,
            stopping,
            turned: Some(Instant::now()),
            running: self.runs.len(),
            next: self.next.next.clone(),
            now: self.next.now,
        };
        // Whoever waits for a change waits for this one; the rest is there to be looked at.
        self.pulse.send_if_modified(|old| std::mem::replace(old, pulse).ready != ready);
    }
}

//! What schedule files will do, before they do it: the rules by which replicas decide ([`plan`](crate::plan)) and by
//! which the store grants ([`record`](crate::record)), in a time that takes no time. Pure: one seed makes the same every
//! time.
//!
//! What is left out is what takes time and changes nothing: heartbeats, renewals, races. Of several replicas any may win.
//! Each goes by the store's clock, as far as it is believed beside those of the replicas.

mod advice;
mod picture;
mod report;
mod stage;
mod world;

use std::ops::Range;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::parts::Dice;

pub use picture::picture;
pub use report::{Advice, Clocks, Fate, Minute, OfJob, Report};
pub use stage::{Course, Cue, Stage};
pub use world::{Line, World};

/// What is to be lived through.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The jobs are first seen then.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// How many replicas there are.
    pub replicas: usize,
    /// Runs side by side on each at most.
    pub max_parallel: usize,
    /// Between being told to stop and ending what still runs.
    pub grace: Duration,
    /// When all replicas are told to stop, and when they are started again. In order, none within another.
    pub outages: Vec<Range<Timestamp>>,
    /// How long a run takes.
    pub took: Took,
    /// How likely an attempt fails, 0 to 1.
    pub fail: f64,
    /// How likely a replica dies of an attempt, 0 to 1: it is back after [`Scenario::REBOOT`].
    pub kill: f64,
    /// The clock of each replica is wrong by up to this, either way.
    pub skew: Duration,
    /// The same seed makes the same dice.
    pub seed: u64,
    /// It ends early once so many lines were written: each takes some 60 bytes.
    pub most: usize,
}

impl Scenario {
    /// By how many microseconds the clock of each replica is ahead.
    pub fn skews(&self) -> Vec<i64> {
        // Dice of their own: that clocks are wrong changes nothing else that is left to chance.
        let dice = Dice::seeded(self.seed ^ u64::MAX);
        let most = i64::try_from(self.skew.as_micros()).unwrap_or(i64::MAX / 4);
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "to the millisecond is enough")]
        let skew = |_| ((dice.roll() * 2.0 - 1.0) * most as f64) as i64;
        (0..self.replicas).map(skew).collect()
    }

    /// A replica that died is started again after so long.
    pub const REBOOT: Duration = Duration::from_secs(10);
}

/// How long runs take.
#[derive(Debug, Clone)]
pub struct Took {
    /// Of the jobs that are not named.
    pub others: Duration,
    /// Of those that are.
    pub named: Vec<(JobName, Duration)>,
}

impl Took {
    /// How long a run of this job takes.
    pub fn of(&self, job: &JobName) -> Duration {
        self.named.iter().find(|(name, _)| name == job).map_or(self.others, |(_, took)| *took)
    }
}

//! What schedule files will do, before they do it: the rules by which replicas decide ([`plan`](crate::plan)) and by
//! which the store grants ([`record`](crate::record)), in a time that takes no time. Pure: one seed makes the same every
//! time.
//!
//! What is left out is what takes time and changes nothing: heartbeats, renewals, races. Of several replicas any may win,
//! and each knows the time as the store does, so that clocks that are apart change nothing here, as they do not there.

mod advice;
mod picture;
mod report;
mod stage;
mod world;

use std::ops::Range;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::job::JobName;

pub use picture::picture;
pub use report::{Advice, Fate, Minute, OfJob, Report};
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
    /// The same seed makes the same dice.
    pub seed: u64,
    /// It ends early once so many lines were written: each takes some 60 bytes.
    pub most: usize,
}

impl Scenario {
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

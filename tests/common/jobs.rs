//! Jobs to test with.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::sync::Arc;
use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::job::{Action, Command, Job, JobName, Keep, Task};
use cronclave::schedule::{Schedule, Zone};

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A round instant, so that every period in use begins anew here.
pub(crate) fn start_of_time() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

/// A job with short leases that comes due every `period` seconds.
pub(crate) fn every(name: &str, period: u64) -> Job {
    let schedule = Arc::new(Schedule::every(secs(period), &Zone::utc()).unwrap());
    let job = Job::new(JobName::new(name).unwrap(), schedule, Task::Run(Action::Command(Command::default())));
    job.with(|job| {
        job.kill_after = secs(3);
        job.keep = Keep { runs: 1_000_000, days: 1000 };
    })
}

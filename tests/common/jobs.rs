//! Jobs to test with.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::sync::Arc;
use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::job::{
    Action, Command, Delivery, Job, JobName, Keep, Misfire, MisfirePolicy, Overlap, Reactions, Retry, Source, Task,
};
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
    Job {
        name: JobName::new(name).unwrap(),
        description: None,
        owner: None,
        runbook: None,
        tags: Vec::new(),
        enabled: true,
        schedule: Arc::new(Schedule::every(secs(period), &Zone::utc()).unwrap()),
        skip_on: Vec::new(),
        only_on: Vec::new(),
        jitter: Duration::ZERO,
        task: Task::Run(Action::Command(Command::default())),
        misfire: Misfire { policy: MisfirePolicy::RunOnce, ..Misfire::default() },
        overlap: Overlap::Skip,
        delivery: Delivery::AtMostOnce,
        retry: Retry::default(),
        timeout: secs(3600),
        kill_after: secs(3),
        warn_after: None,
        must_succeed_within: None,
        lease: secs(30),
        mutex: None,
        start_within: None,
        message_trigger: false,
        log_limit: 1 << 20,
        keep: Keep { runs: 1_000_000, days: 1000 },
        ping: None,
        on: Reactions::default(),
        source: Source::default(),
    }
}

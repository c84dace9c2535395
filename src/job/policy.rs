//! How a job is handled: everything about it that many jobs have in common.

use std::sync::Arc;
use std::time::Duration;

use super::{Delivery, Keep, Misfire, Overlap, Reactions, Retry};
use crate::schedule::Calendar;

/// How a job is handled: what `[defaults]` may say of it, and more that seldom differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Words to filter by.
    pub tags: Vec<String>,
    /// `false`: known, shown, never started by the schedule. Default `true`.
    pub enabled: bool,
    /// Not on the days of these.
    pub skip_on: Vec<Arc<Calendar>>,
    /// On no other days than those of these, unless there are none.
    pub only_on: Vec<Arc<Calendar>>,
    /// Each occurrence starts up to this much later, by an amount fixed for (job, occurrence). Default 0.
    pub jitter: Duration,
    /// What to do about occurrences that nobody could start in time.
    pub misfire: Misfire,
    /// What to do about an occurrence that comes due while a run is still going. Default [`Overlap::Skip`].
    pub overlap: Overlap,
    /// Whether a run whose holder vanished is started again. Default [`Delivery::AtMostOnce`].
    pub delivery: Delivery,
    /// When a failed run is tried again.
    pub retry: Retry,
    /// A run is stopped after this long. Default 1 h.
    pub timeout: Duration,
    /// It is told once when an attempt runs for longer than this.
    pub warn_after: Option<Duration>,
    /// It is told once when no success was recorded for this long.
    pub must_succeed_within: Option<Duration>,
    /// Between asking a run to stop (TERM) and killing it. Default 10 s.
    pub kill_after: Duration,
    /// A request for a worker that nobody has begun within this is sent again, under a larger fence. Default: until
    /// the next occurrence, at least 30 s, at most 1 h. See [`Job::patience`](super::Job::patience).
    pub start_within: Option<Duration>,
    /// Whether a message may ask for a run. Default `false`.
    pub message_trigger: bool,
    /// How long a claim on a run lasts unless renewed; renewed at a third of it. Default 30 s.
    pub lease: Duration,
    /// Who hears of it, and what starts after it.
    pub on: Reactions,
    /// Captured output beyond this many bytes loses its middle. Default 1 MiB.
    pub log_limit: usize,
    /// How much history is kept.
    pub keep: Keep,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            tags: Vec::new(),
            enabled: true,
            skip_on: Vec::new(),
            only_on: Vec::new(),
            jitter: Duration::ZERO,
            misfire: Misfire::default(),
            overlap: Overlap::default(),
            delivery: Delivery::default(),
            retry: Retry::default(),
            timeout: Duration::from_secs(3600),
            warn_after: None,
            must_succeed_within: None,
            kill_after: Duration::from_secs(10),
            start_within: None,
            message_trigger: false,
            lease: Duration::from_secs(30),
            on: Reactions::default(),
            log_limit: 1 << 20,
            keep: Keep::default(),
        }
    }
}

//! How long this process has lived, by clocks that nobody can set.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Time since some moment. What the machine slept counts, unlike on the monotonic clock alone: a store on another
/// machine did not sleep.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnTime {
    origin: Instant,
    slept: Duration,
}

impl OwnTime {
    /// Begins now.
    pub(super) fn begin() -> OwnTime {
        OwnTime { origin: Instant::now(), slept: slept() }
    }

    /// How long ago that was.
    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed() + slept().saturating_sub(self.slept)
    }
}

/// How long the machine has slept since it was switched on: the two clocks differ by nothing else.
pub(super) fn slept() -> Duration {
    let read = |clock| {
        let time = clock_gettime(clock);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    };
    // In this order a pause between the two cannot look like sleep.
    let since_boot = read(ClockId::Boottime);
    let slept = since_boot.saturating_sub(read(ClockId::Monotonic));
    // Reading them one after the other makes a difference as well.
    if slept < Duration::from_millis(100) { Duration::ZERO } else { slept }
}

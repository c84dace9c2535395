//! What a replica and the supervisor of one run tell each other: one JSON value a line.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// From the replica to the supervisor. The first is always [`Order::Start`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Start the program.
    Start(Spec),
    /// The lease holds until then.
    Lease(Monotonic),
    /// End it; kill after so long.
    Stop(Duration),
}

/// What to start. Directory, environment and output are inherited.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) argv: Vec<String>,
    pub(super) stdin: Option<String>,
    pub(super) kill_after: Duration,
    pub(super) lease: Monotonic,
}

/// From the supervisor to the replica. Everything but [`Report::Started`] is the last word.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The program runs under this process id, which is its group's as well.
    Started(i32),
    /// The program exited, and nothing of it is left.
    Exited(i32),
    /// A signal ended the program, and nothing of it is left.
    Killed(i32),
    /// The supervisor ended it because nobody renewed the lease; nothing of it is left.
    OutOfLease,
    /// It was killed, but the kernel has not ended it.
    Stuck,
    /// It could not be started.
    NotStarted(NotStarted),
}

/// Why a program did not start: the code a shell would give, and words.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NotStarted {
    pub(super) code: i32,
    pub(super) why: String,
}

/// An instant on the machine's monotonic clock, the same in every process of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Monotonic(pub(super) Duration);

impl Monotonic {
    pub(super) const NEVER: Monotonic = Monotonic(Duration::MAX);

    pub(super) fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        Monotonic(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    /// The machine's time of `at`. The clock is read first: a pause in between makes the answer
    /// too early, never too late.
    pub(super) fn of(at: Instant) -> Self {
        let now = Self::now();
        now.plus(at.saturating_duration_since(Instant::now()))
    }

    pub(super) fn plus(self, by: Duration) -> Self {
        Monotonic(self.0.saturating_add(by))
    }

    pub(super) fn minus(self, by: Duration) -> Self {
        Monotonic(self.0.saturating_sub(by))
    }

    pub(super) fn since(self, earlier: Monotonic) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

//! What a replica and the supervisor tell each other: one JSON value a line.

use std::path::PathBuf;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::environment::Environment;

/// From the replica to the supervisor. Each run begins with [`Order::Start`].
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

/// What to start. What is to be its output and its errors has come before.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    /// Whose it is.
    pub(super) job: String,
    pub(super) argv: Vec<String>,
    pub(super) stdin: Option<String>,
    /// Where, if not where the replica was started.
    pub(super) directory: Option<PathBuf>,
    /// Besides, and rather than, what the supervisor was started with.
    #[serde(with = "variables")]
    pub(super) environment: Environment,
    pub(super) kill_after: Duration,
    pub(super) lease: Monotonic,
}

/// From the supervisor to the replica. Everything but [`Report::Started`] is the last word of a run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The program runs, under the process id `leader`, which is its group's as well.
    Started { leader: i32, supervisor: i32 },
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

/// Variables may hold any bytes, JSON only text: each byte is the character of its number.
mod variables {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt, OsStringExt};

    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::Environment;

    pub(super) fn serialize<S: Serializer>(all: &Environment, to: S) -> Result<S::Ok, S::Error> {
        let text = |bytes: &OsStr| bytes.as_bytes().iter().map(|byte| char::from(*byte)).collect::<String>();
        to.collect_map(all.iter().map(|(name, value)| (text(name), text(value))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Environment, D::Error> {
        let bytes = |text: String| -> Result<OsString, D::Error> {
            let bytes = text.chars().map(u8::try_from).collect::<Result<_, _>>().map_err(de::Error::custom)?;
            Ok(OsString::from_vec(bytes))
        };
        let all = std::collections::BTreeMap::<String, String>::deserialize(from)?;
        all.into_iter().map(|(name, value)| Ok((bytes(name)?, bytes(value)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn variables_arrive_byte_for_byte() {
        let any = |first: u8| OsString::from_vec((first..=255).collect());
        let spec = Spec {
            job: "nightly".into(),
            argv: vec!["true".into()],
            stdin: None,
            directory: None,
            environment: [("A".into(), any(1)), (any(200), "\u{e9}".into())].into(),
            kill_after: Duration::from_secs(1),
            lease: Monotonic::NEVER,
        };
        let text = serde_json::to_string(&Order::Start(spec)).unwrap();
        assert!(!text.contains('\n'), "{text}");
        let Order::Start(read) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert_eq!(read.environment, [("A".into(), any(1)), (any(200), "\u{e9}".into())].into());
    }
}

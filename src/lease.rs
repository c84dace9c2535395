//! The words that the protocol shares: occurrence, run, fence, token, lease, work, outcome.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::hash::stable_digest;
use crate::job::JobName;

/// The identity of a run, stable over its attempts: the key to make its effects idempotent.
///
/// A UUID in the layout of version 7. For an occurrence it is computed from (job, scheduled
/// instant), so that every replica names it alike; it sorts by scheduled time.
///
/// ```
/// let id: cronclave::RunId = "019da3f2-5c00-7000-8000-000000000001".parse().unwrap();
/// assert_eq!(id.to_string(), "019da3f2-5c00-7000-8000-000000000001");
/// assert_eq!((id.short().as_str(), id.as_bytes()[15]), ("000000000001", 1));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(Uuid);

impl RunId {
    /// The run of the occurrence of `job` at `at`.
    #[doc(hidden)]
    pub fn of_occurrence(job: &JobName, at: Timestamp) -> Self {
        Self::hashed(at, &[b"occurrence", job.as_str().as_bytes(), &at.as_micros().to_be_bytes()])
    }

    /// The run that `request` asked for. The same request asked twice is the same run.
    #[doc(hidden)]
    pub fn of_request(job: &JobName, request: &str) -> Self {
        Self::hashed(Timestamp::EPOCH, &[b"request", job.as_str().as_bytes(), request.as_bytes()])
    }

    /// A run like no other, for a request made at `at`.
    #[doc(hidden)]
    pub fn fresh(at: Timestamp) -> Self {
        Self::v7(at, rand::random())
    }

    fn hashed(at: Timestamp, parts: &[&[u8]]) -> Self {
        let digest = stable_digest(parts);
        let mut tail = [0; 10];
        tail.copy_from_slice(&digest[..10]);
        Self::v7(at, tail)
    }

    fn v7(at: Timestamp, tail: [u8; 10]) -> Self {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        RunId(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }

    /// Its sixteen bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From its sixteen bytes.
    #[doc(hidden)]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        RunId(Uuid::from_bytes(bytes))
    }

    /// The last twelve digits: runs of one instant share their first ones.
    pub fn short(&self) -> String {
        let text = self.0.simple().to_string();
        text[20..].to_owned()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(RunId(text.parse()?))
    }
}

/// A fencing token: grows with every claim on a job. Where runs of a job never stand side by side,
/// that is the order of its starts; with `overlap = "allow"` two claims may start the other way round.
///
/// Whoever writes for a run should refuse a fence smaller than one it has seen. At least the
/// store's time in microseconds, so it keeps growing even over a wiped store.
///
/// ```
/// use cronclave::Fence;
///
/// let (seen, shown) = (Fence(1_795_329_060_500_000), Fence(1_795_329_060_400_000));
/// assert!(shown < seen, "whoever shows this one has been overtaken: refuse it");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub u64);

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one act of claiming. New for every bid, the same whenever that bid is asked again, so
/// that a lost answer costs nothing and one replica cannot take a run twice.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl Token {
    /// A token that was never used before.
    pub fn fresh() -> Self {
        Token(format!("{:032x}", rand::random::<u128>()))
    }
}

impl Token {
    /// The token of a run that is somebody else's business: nobody of ours renews it, whoever does it reports. Every
    /// replica names it alike, so that a report that comes twice counts once.
    pub fn of_result(run_id: RunId, fence: Fence) -> Self {
        Token(format!("{RESULT}{run_id}-{fence}"))
    }

    /// Whether it is one of those.
    pub fn awaits_result(&self) -> bool {
        self.0.starts_with(RESULT)
    }
}

/// How the token of a run begins whose end somebody else reports.
const RESULT: &str = "result-";

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a run exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Trigger {
    /// Its occurrence came due.
    Schedule,
    /// Somebody asked the cluster for it.
    Manual {
        /// Who asked.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// `cronclave run`.
    Cli {
        /// Who ran it.
        by: Option<String>,
    },
    /// Somebody asked for the past occurrences of a span.
    Backfill {
        /// Who asked.
        by: Option<String>,
        /// Why.
        reason: Option<String>,
    },
    /// Another job's run, as that job's file says.
    Chain {
        /// The other job.
        job: JobName,
        /// Its run.
        run_id: RunId,
        /// What it did: `start`, `success`, `failure` or `overdue`.
        on: String,
    },
}

impl Trigger {
    /// The word for it: `schedule`, `manual`, `cli`, `backfill` or `chain`.
    pub fn kind(&self) -> &'static str {
        match self {
            Trigger::Schedule => "schedule",
            Trigger::Manual { .. } => "manual",
            Trigger::Cli { .. } => "cli",
            Trigger::Backfill { .. } => "backfill",
            Trigger::Chain { .. } => "chain",
        }
    }
}

/// One attempt at one run, as handed to the code that does it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Which job.
    pub job: JobName,
    /// Which run; use it as the idempotency key.
    pub run_id: RunId,
    /// The scheduled instant; for a run by hand, when it was asked for.
    pub scheduled_at: Timestamp,
    /// From 1.
    pub attempt: u32,
    /// How many attempts the job allows.
    pub max_attempts: u32,
    /// The fencing token of this attempt.
    pub fence: Fence,
    /// Why the run exists.
    pub trigger: Trigger,
    /// Arguments given by whoever asked for the run.
    pub args: BTreeMap<String, String>,
    /// When the last run that succeeded had been scheduled.
    pub previous_success_at: Option<Timestamp>,
    /// By the store's clock; moves on with each renewal.
    pub lease_until: Timestamp,
}

/// The right to act on one attempt, until [`Lease::trusted_until`]. Not `Clone`: it lives and ends
/// on the stack of whoever won it.
#[derive(Debug)]
pub struct Lease {
    /// What it is for.
    pub work: Work,
    /// Proves to the store that it is ours.
    pub token: Token,
    /// On our monotonic clock, counted from before the request was sent: the store keeps the
    /// promise at least this long.
    pub trusted_until: Instant,
    /// How long a renewal lasts.
    pub ttl: Duration,
    /// On our monotonic clock: its code does not begin before. Past, unless it was won ahead of its instant.
    pub not_before: Instant,
    /// When its code begins by the store's clock, if that is on record already: it was won and started in one step.
    pub started: Option<Timestamp>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it should.
    Succeeded,
    /// It ran and failed, or could not be started.
    Failed,
    /// It was stopped at its `timeout`.
    TimedOut,
    /// Somebody asked to stop it.
    Cancelled,
    /// Its replica was told to stop.
    Interrupted,
    /// Its holder vanished, or lost its lease; how far it came is unknown.
    Lost,
    /// Nobody started it in time.
    Expired,
}

/// How an attempt ended, with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// In one word.
    pub outcome: Outcome,
    /// The program's exit code, or 125, 126, 127 when it could not be started, as a shell has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that ended the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// In words, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Ended {
    /// Ended well.
    pub fn succeeded() -> Self {
        Ended { outcome: Outcome::Succeeded, exit_code: None, signal: None, message: None }
    }

    /// Ended as `outcome`, for the reason given.
    pub fn because(outcome: Outcome, message: impl Into<String>) -> Self {
        Ended { outcome, exit_code: None, signal: None, message: Some(message.into()) }
    }
}

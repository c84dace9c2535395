//! What is wanted: a [`Job`] and its policies. Immutable data, no I/O.

mod hook;
mod policy;
mod task;

use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::hash::stable_hash;
use crate::schedule::Schedule;

pub use hook::{Hook, HookName, Moment, Pattern, Reach, Reaction, Reactions, Shape};
pub use policy::Policy;
pub use task::{Action, Command, Completion, Format, Http, Publish, QueueName, Task, Text};

/// A job's name, its identity: `^[a-z0-9][a-z0-9_-]{0,62}$`.
///
/// It becomes a lock, a routing key, a URL and a metric label, so it holds no dot, slash or space.
///
/// ```
/// use cronclave::JobName;
///
/// assert_eq!(JobName::new("nightly-report").unwrap().as_str(), "nightly-report");
/// assert!(JobName::new("Nightly Report").unwrap_err().to_string().contains("only a-z"));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobName(Arc<str>);

/// Why a text is not a job's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid job name: use only a-z, 0-9, `-` and `_`, at most 63 characters, not `-` or `_` first")]
pub struct NotAName(pub String);

impl JobName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// It is none: the error's text says what a name is.
    pub fn new(text: &str) -> Result<Self, NotAName> {
        if is_name(text) { Ok(JobName(text.into())) } else { Err(NotAName(text.to_owned())) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for JobName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for JobName {
    type Error = NotAName;
    fn try_from(text: String) -> Result<Self, NotAName> {
        JobName::new(&text)
    }
}

impl From<JobName> for String {
    fn from(name: JobName) -> String {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is kept by the names of jobs, or by others that come from the schedule files: nobody chooses them to make it slow.
pub(crate) type Quick<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What is found by the name of its job as quickly however much it is, in the order in which it was put there.
pub type ByName<V> = IndexMap<JobName, V, foldhash::fast::RandomState>;

/// Whether a text can be part of a routing key, a URL and a label.
fn is_name(text: &str) -> bool {
    let word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut bytes = text.bytes();
    bytes.next().is_some_and(word) && bytes.all(|c| word(c) || c == b'-' || c == b'_') && text.len() <= 63
}

/// Everything declared about one job. There may be very many: what most of them have in common they share.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its identity.
    pub name: JobName,
    /// One line for people.
    pub description: Option<Box<str>>,
    /// Who answers for it.
    pub owner: Option<Box<str>>,
    /// Where to read what to do when it fails.
    pub runbook: Option<Box<str>>,
    /// When.
    pub schedule: Arc<Schedule>,
    /// What.
    pub task: Task,
    /// Jobs with the same mutex never run together.
    pub mutex: Option<String>,
    /// A URL that hears of each start and end, as Healthchecks has it.
    pub ping: Option<Box<Text>>,
    /// How it is handled. Its fields are read and changed as the job's own.
    pub policy: Arc<Policy>,
    /// Where it was declared.
    pub source: Source,
}

impl Deref for Job {
    type Target = Policy;
    fn deref(&self) -> &Policy {
        &self.policy
    }
}

impl DerefMut for Job {
    /// What it shared until now becomes its own.
    fn deref_mut(&mut self) -> &mut Policy {
        Arc::make_mut(&mut self.policy)
    }
}

impl Job {
    /// A job that is handled by default, declared nowhere.
    pub fn new(name: JobName, schedule: Arc<Schedule>, task: Task) -> Job {
        Job {
            name,
            description: None,
            owner: None,
            runbook: None,
            schedule,
            task,
            mutex: None,
            ping: None,
            policy: Arc::default(),
            source: Source::default(),
        }
    }

    /// The same, changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Job)) -> Job {
        change(&mut self);
        self
    }

    /// A hash of everything that makes its occurrences.
    ///
    /// Jitter and calendars have no part in it: with others the occurrences are still the same.
    pub fn spec(&self) -> u64 {
        self.schedule.spec()
    }

    /// The calendar that keeps the occurrence scheduled for `at` from running: one of `skip_on` that has
    /// its day in the job's zone, or the first of `only_on` when none of them does.
    pub fn closed(&self, at: Timestamp) -> Option<&str> {
        if self.skip_on.is_empty() && self.only_on.is_empty() {
            return None;
        }
        let day = self.schedule.zone().wall(at).date();
        let skipped = self.skip_on.iter().find(|calendar| calendar.contains(day));
        let kept = self.only_on.iter().any(|calendar| calendar.contains(day));
        skipped.or(self.only_on.first().filter(|_| !kept)).map(|calendar| calendar.name.as_str())
    }

    /// How long the request that is sent at `now` for the run scheduled for `at` may wait for a worker. The later it
    /// is already, the longer: where nobody takes them, requests are repeated ever more seldom, down to each hour.
    pub fn patience(&self, at: Timestamp, now: Timestamp) -> Duration {
        const LONGEST: Duration = Duration::from_secs(3600);
        let gap = || self.schedule.after(at).map_or(Duration::MAX, |next| next.since(at));
        let first = self.start_within.unwrap_or_else(|| gap().clamp(Duration::from_secs(30), LONGEST));
        first.max(now.since(at).min(LONGEST))
    }

    /// The first occurrence after `t` on a day that is open; `None` when calendars close the next
    /// [`Job::PATIENCE`] days on which there is one.
    pub fn next_open(&self, t: Timestamp) -> Option<Timestamp> {
        let mut at = self.schedule.after(t)?;
        for _ in 0..Self::PATIENCE {
            if self.closed(at).is_none() {
                return Some(at);
            }
            // The whole day is closed.
            let tomorrow = self.schedule.zone().wall(at).date().succ_opt()?.and_time(chrono::NaiveTime::MIN);
            let edge = self.schedule.zone().first(tomorrow)?.minus(Duration::from_micros(1));
            at = self.schedule.after(edge.max(at))?;
        }
        None
    }

    /// So many closed days are looked past for an open one: ten years of a daily job.
    pub const PATIENCE: usize = 3653;

    /// When the occurrence scheduled for `at` is to start: `at` plus its share of the jitter.
    ///
    /// The share is a hash of name and instant, so every replica computes the same one. It never
    /// reaches the following occurrence: due times keep the order of the occurrences.
    pub fn due(&self, at: Timestamp) -> Timestamp {
        if self.jitter.is_zero() {
            return at;
        }
        let gap = self.schedule.after(at).map_or(self.jitter, |next| next.since(at));
        let room_ms = u64::try_from(self.jitter.min(gap).as_millis()).unwrap_or(u64::MAX).max(1);
        let share = stable_hash(&[b"jitter", self.name.as_str().as_bytes(), &at.as_micros().to_be_bytes()]);
        at.plus(Duration::from_millis(share % room_ms))
    }
}

/// What to do about occurrences that came due while nobody could start them.
///
/// An occurrence counts as late once it has been due for [`Misfire::GRACE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfire {
    /// Which of them still run.
    pub policy: MisfirePolicy,
    /// Older ones are recorded missed. Default 1 h.
    pub window: Duration,
    /// With [`MisfirePolicy::RunAll`], at most this many of the newest run. Default 100.
    pub max: usize,
}

impl Misfire {
    /// How late an occurrence may start and still count as on time: 10 s, the time after which a
    /// claim that never started is taken over.
    pub const GRACE: Duration = Duration::from_secs(10);
    /// No file may ask for more catch-up runs than this.
    pub const MOST: usize = 1000;
}

impl Default for Misfire {
    fn default() -> Self {
        Misfire { policy: MisfirePolicy::RunOnce, window: Duration::from_secs(3600), max: 100 }
    }
}

/// Which late occurrences run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MisfirePolicy {
    /// None of them.
    Skip,
    /// The newest; it stands for the older ones.
    RunOnce,
    /// Each, oldest first, one at a time.
    RunAll,
}

/// What to do about an occurrence that comes due while a run of the job is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Record it as skipped.
    #[default]
    Skip,
    /// Let one wait; further ones are skipped while it does.
    QueueOne,
    /// Let each wait, up to [`Overlap::QUEUE_LIMIT`]; further ones are skipped.
    QueueAll,
    /// Cancel the open run, then start this one.
    Replace,
    /// Start it beside the open run.
    Allow,
}

impl Overlap {
    /// How many occurrences of one job may wait at most.
    pub const QUEUE_LIMIT: usize = 1000;
    /// How many runs of one job may be open side by side with [`Overlap::Allow`].
    pub const ALLOW_LIMIT: usize = 100;
}

/// Whether a run whose holder vanished after the start is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// No: it is recorded as lost.
    #[default]
    AtMostOnce,
    /// Yes, as the next attempt under a larger fence.
    AtLeastOnce,
}

impl Delivery {
    /// How often a run is started at most when its holders keep vanishing, however few attempts
    /// its retry policy allows: a run that kills its replica must not kill them for ever.
    pub const LIVES: u32 = 10;
}

/// When a failed run is tried again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts in all. Default 1: no retry.
    pub attempts: u32,
    /// How the pauses grow.
    pub backoff: Backoff,
    /// The first pause. Default 10 s.
    pub initial: Duration,
    /// No pause is longer. Default 10 min.
    pub max: Duration,
    /// Each pause is spread by up to this share, 0 to 1. Default 0.
    pub jitter: f64,
    /// Exit codes that are not tried again.
    pub no_retry_exit_codes: Vec<i32>,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            attempts: 1,
            backoff: Backoff::Exponential,
            initial: Duration::from_secs(10),
            max: Duration::from_secs(600),
            jitter: 0.0,
            no_retry_exit_codes: Vec::new(),
        }
    }
}

/// How the pauses between attempts grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// No pause.
    None,
    /// The same pause each time.
    Fixed,
    /// One, two, three times the first.
    Linear,
    /// Doubled each time.
    Exponential,
}

impl Retry {
    /// The pause after attempt number `attempt` (from 1) failed; `spread` in 0..1 places it within the jitter.
    pub fn pause(&self, attempt: u32, spread: f64) -> Duration {
        let times = match self.backoff {
            Backoff::None => 0.0,
            Backoff::Fixed => 1.0,
            Backoff::Linear => f64::from(attempt),
            Backoff::Exponential => 2f64.powi(i32::try_from(attempt).unwrap_or(i32::MAX).saturating_sub(1).min(64)),
        };
        let plain = (self.initial.as_secs_f64() * times).min(self.max.as_secs_f64());
        let spread = 1.0 + self.jitter * (spread.clamp(0.0, 1.0) - 0.5) * 2.0;
        Duration::from_secs_f64((plain * spread).clamp(0.0, 1e9))
    }
}

/// How much history of a job is kept; whatever exceeds either limit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Default 100.
    pub runs: u32,
    /// Default 30.
    pub days: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Keep { runs: 100, days: 30 }
    }
}

/// Where something was declared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Source {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// What is in the file.
    #[serde(skip)]
    pub text: FileText,
}

/// The text of a file, shared by the jobs in it. Secrets may stand in it, so it shows nowhere by itself.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct FileText(pub Option<Arc<str>>);

impl fmt::Debug for FileText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

//! Why something that was asked for is not done: one list for the API and for the command line.

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::RunId;
use crate::record::Reply;
use crate::store::{Answer, StoreError};

/// Why something that was asked for is not done.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// In one word.
    pub why: Why,
    /// What, where, and how to mend it.
    pub detail: String,
    /// The run that is in the way.
    pub run_id: Option<RunId>,
    /// What is wrong with which part of what was asked.
    pub wrongs: Vec<Wrong>,
}

/// Why, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no such thing.
    NotFound,
    /// A part of what was asked cannot be understood.
    Invalid,
    /// Several things are called so.
    Ambiguous,
    /// The schedule files have mistakes.
    InvalidConfig,
    /// Another run is in the way.
    Overlap,
    /// Another job's run holds the mutex.
    MutexHeld,
    /// The job is paused.
    Paused,
    /// As many runs wait as may.
    Full,
    /// It is over, or was decided before.
    Over,
    /// The run went on to somebody else under another fencing token.
    Fenced,
    /// The lock is held under another fencing token.
    LockMoved,
    /// The store does not answer.
    StoreDown,
    /// Whoever asks may not.
    Forbidden,
    /// Nobody knows who asks.
    Unauthorized,
    /// A replica that is asked over HTTP does not answer.
    Unreachable,
    /// Too much is asked; later.
    TooMany,
    /// A fault of ours.
    Internal,
}

/// What is wrong with a part of what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which, as a JSON pointer into the body, or `?name` of the query.
    pub pointer: String,
    /// In one word: `not_a_time`.
    pub code: String,
    /// In words.
    pub detail: String,
    /// What would be right.
    pub suggestion: Option<String>,
}

impl Refusal {
    /// Refused for this reason.
    pub fn new(why: Why, detail: impl Into<String>) -> Refusal {
        Refusal { why, detail: detail.into(), run_id: None, wrongs: Vec::new() }
    }

    /// One part cannot be understood.
    pub fn wrong(pointer: &str, code: &str, detail: impl Into<String>) -> Refusal {
        let detail = detail.into();
        let wrong = Wrong { pointer: pointer.into(), code: code.into(), detail: detail.clone(), suggestion: None };
        Refusal { wrongs: vec![wrong], ..Refusal::new(Why::Invalid, detail) }
    }

    /// The same, with what would be right.
    #[must_use]
    pub fn suggest(mut self, text: impl Into<String>) -> Refusal {
        if let Some(last) = self.wrongs.last_mut() {
            last.suggestion = Some(text.into());
        }
        self
    }

    /// Why the store did not start a run of `job`.
    pub fn in_the_way(job: &JobName, answer: &Answer) -> Refusal {
        let (why, run_id) = match &answer.reply {
            Reply::Busy(run) => (Why::Overlap, Some(run.run_id)),
            Reply::MutexHeld(held) => (Why::MutexHeld, Some(held.run_id)),
            Reply::Paused(_) => (Why::Paused, None),
            Reply::Full => (Why::Full, None),
            Reply::Fenced | Reply::Moved | Reply::Cancelled => (Why::Fenced, None),
            Reply::NotFound | Reply::Stale => (Why::Over, None),
            _ => (Why::Internal, None),
        };
        Refusal { run_id, ..Refusal::new(why, in_the_way(job, answer)) }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Refusal::new(Why::StoreDown, error.message)
    }
}

/// Who or what is in the way of a run of `job`, in words.
pub fn in_the_way(job: &JobName, answer: &Answer) -> String {
    in_the_way_of(job, &answer.reply, answer.view.now)
}

/// The same of a reply that was given at `now`.
pub fn in_the_way_of(job: &JobName, reply: &Reply, now: Timestamp) -> String {
    match reply {
        Reply::Busy(run) if run.holder.is_empty() => {
            format!("{job} has a run waiting for its turn (run {})", run.run_id.short())
        }
        Reply::Busy(run) => format!(
            "{job} is running on {} since {} (run {}, {} s)",
            run.holder,
            run.opened,
            run.run_id.short(),
            now.since(run.opened).as_secs()
        ),
        Reply::MutexHeld(held) => format!(
            "{job} may not run beside {} (run {} on {}): they share a mutex",
            held.job,
            held.run_id.short(),
            held.holder
        ),
        Reply::Paused(pause) => {
            let until = pause.until.map_or_else(|| "until resumed".to_owned(), |until| format!("until {until}"));
            let by = pause.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            let reason = pause.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{job} is paused{by} {until}{reason}: resume it with `cronclave resume {job}`")
        }
        Reply::Full => format!("{job} has as many runs waiting as may"),
        Reply::Stale => format!("{job} was asked for this run before"),
        other => format!("{job} cannot run now: {other:?}"),
    }
}

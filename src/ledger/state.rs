//! Where a run, or an occurrence that did not become one, stands.

use serde::{Deserialize, Serialize};

use super::Fate;
use crate::lease::Outcome;

/// Where a run, or a decision without a run, stands.
///
/// ```
/// use cronclave::State;
///
/// assert_eq!(State::SkippedOverlap.word(), "skipped_overlap");
/// assert!(State::Failed.is_run() && State::Failed.is_final() && !State::Retrying.is_final());
/// assert_eq!(State::ALL.into_iter().filter(|state| !state.is_run()).count(), 6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is explained by the event or fate that leads to it")]
pub enum State {
    Queued,
    Claimed,
    Published,
    Running,
    Retrying,
    Succeeded,
    Failed,
    TimedOut,
    Cancelled,
    Interrupted,
    Lost,
    Expired,
    SkippedOverlap,
    SkippedPaused,
    SkippedDisabled,
    SkippedCalendar,
    Coalesced,
    Missed,
}

impl State {
    /// All of them, in the order of a run's life.
    pub const ALL: [State; 18] = [
        State::Queued,
        State::Claimed,
        State::Published,
        State::Running,
        State::Retrying,
        State::Succeeded,
        State::Failed,
        State::TimedOut,
        State::Cancelled,
        State::Interrupted,
        State::Lost,
        State::Expired,
        State::SkippedOverlap,
        State::SkippedPaused,
        State::SkippedDisabled,
        State::SkippedCalendar,
        State::Coalesced,
        State::Missed,
    ];

    /// Its word, as in JSON and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Claimed => "claimed",
            State::Published => "published",
            State::Running => "running",
            State::Retrying => "retrying",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::TimedOut => "timed_out",
            State::Cancelled => "cancelled",
            State::Interrupted => "interrupted",
            State::Lost => "lost",
            State::Expired => "expired",
            State::SkippedOverlap => "skipped_overlap",
            State::SkippedPaused => "skipped_paused",
            State::SkippedDisabled => "skipped_disabled",
            State::SkippedCalendar => "skipped_calendar",
            State::Coalesced => "coalesced",
            State::Missed => "missed",
        }
    }

    /// Whether it is that of a run: occurrences that were passed over come after all of these.
    pub fn is_run(self) -> bool {
        self <= State::Expired
    }

    /// Whether nothing further will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, State::Queued | State::Claimed | State::Published | State::Running | State::Retrying)
    }
}

impl From<Outcome> for State {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => State::Succeeded,
            Outcome::Failed => State::Failed,
            Outcome::TimedOut => State::TimedOut,
            Outcome::Cancelled => State::Cancelled,
            Outcome::Interrupted => State::Interrupted,
            Outcome::Lost => State::Lost,
            Outcome::Expired => State::Expired,
        }
    }
}

impl From<Fate> for State {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Queued => State::Queued,
            Fate::SkippedOverlap => State::SkippedOverlap,
            Fate::SkippedPaused => State::SkippedPaused,
            Fate::SkippedDisabled => State::SkippedDisabled,
            Fate::SkippedCalendar => State::SkippedCalendar,
            Fate::Coalesced => State::Coalesced,
            Fate::Missed => State::Missed,
        }
    }
}

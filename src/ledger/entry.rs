//! Lines of history, and how events fold into them.

use serde::{Deserialize, Serialize};

use super::{Event, State, What};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Ended, Fence, Trigger};

/// One line of history: a run, or neighbouring occurrences that were passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The run's id, or `JOB@INSTANT` of the first occurrence passed over.
    pub id: String,
    /// Whose.
    pub job: JobName,
    /// The scheduled instant, or the first of those passed over.
    pub scheduled_at: Timestamp,
    /// The last occurrence passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Timestamp>,
    /// How many occurrences this line stands for; 0 for a run by hand.
    pub count: u64,
    /// Where it stands.
    pub state: State,
    /// Why it exists.
    pub trigger: Trigger,
    /// Each claim on it, oldest first.
    pub attempts: Vec<Attempt>,
    /// When the next attempt may begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Why it stands where it stands, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it last changed.
    pub changed_at: Timestamp,
}

/// One claim on a run and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// From 1. A claim that never started leaves its number to the next.
    pub attempt: u32,
    /// Its fencing token.
    pub fence: Fence,
    /// Who held it.
    pub replica: String,
    /// When it was won.
    pub claimed_at: Timestamp,
    /// When the code was about to start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When its end was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

impl Entry {
    /// The id of the entry that an event belongs to, if it belongs to one.
    pub fn id_of(event: &Event) -> Option<String> {
        match &event.what {
            What::Passed(pass) => Some(format!("{}@{}", event.job, pass.from)),
            What::Queued { run_id, .. }
            | What::Claimed { run_id, .. }
            | What::Published { run_id, .. }
            | What::Started { run_id, .. }
            | What::Released { run_id, .. }
            | What::Declined { run_id, .. }
            | What::Ended { run_id, .. } => Some(run_id.to_string()),
            What::Registered
            | What::Overdue { .. }
            | What::Recovered { .. }
            | What::Slow { .. }
            | What::Restored { .. }
            | What::Fenced { .. }
            | What::CancelAsked { .. }
            | What::Paused { .. }
            | What::Resumed { .. } => None,
        }
    }

    /// The entry after `event`, given the entry before it. `None` for an event without one.
    pub fn fold(before: Option<Entry>, event: &Event) -> Option<Entry> {
        let id = Entry::id_of(event)?;
        let fresh = |scheduled_at: Timestamp, trigger: &Trigger, state: State| Entry {
            id: id.clone(),
            job: event.job.clone(),
            scheduled_at,
            through: None,
            count: u64::from(*trigger == Trigger::Schedule),
            state,
            trigger: trigger.clone(),
            attempts: Vec::new(),
            next_attempt_at: None,
            message: None,
            changed_at: event.at,
        };
        let mut entry = match (&event.what, before) {
            (What::Passed(pass), _) => Entry {
                through: Some(pass.through),
                count: pass.count,
                ..fresh(pass.from, &Trigger::Schedule, pass.fate.into())
            },
            (What::Queued { scheduled_at, trigger, .. } | What::Claimed { scheduled_at, trigger, .. }, None) => {
                fresh(*scheduled_at, trigger, State::Queued)
            }
            // A run that there is goes on; a request for it that came again is not its end.
            (What::Declined { .. }, Some(before)) => return Some(before),
            (What::Declined { scheduled_at, trigger, fate, .. }, None) => fresh(*scheduled_at, trigger, (*fate).into()),
            (_, before) => before?,
        };
        entry.changed_at = event.at;
        entry.take(event);
        Some(entry)
    }

    fn take(&mut self, event: &Event) {
        match &event.what {
            What::Claimed { attempt, fence, holder, .. } => {
                self.state = State::Claimed;
                self.next_attempt_at = None;
                self.attempts.push(Attempt {
                    attempt: *attempt,
                    fence: *fence,
                    replica: holder.clone(),
                    claimed_at: event.at,
                    started_at: None,
                    finished_at: None,
                    ended: None,
                });
            }
            What::Published { .. } => self.state = State::Published,
            What::Started { fence, holder, .. } => {
                self.state = State::Running;
                if let Some(attempt) = self.claim(*fence) {
                    attempt.started_at = Some(event.at);
                    attempt.replica.clone_from(holder);
                }
            }
            What::Released { fence, .. } => {
                self.state = State::Queued;
                // Whoever gives it back has not begun, although he may have said that he would.
                if let Some(attempt) = self.claim(*fence) {
                    attempt.started_at = None;
                }
            }
            What::Ended { fence, ended, next, .. } => {
                self.state = if next.is_some() { State::Retrying } else { ended.outcome.into() };
                self.next_attempt_at = next.map(|next| next.at);
                self.message.clone_from(&ended.message);
                if let Some(attempt) = self.claim(*fence) {
                    attempt.finished_at = Some(event.at);
                    attempt.ended = Some(ended.clone());
                }
            }
            _ => {}
        }
    }

    fn claim(&mut self, fence: Fence) -> Option<&mut Attempt> {
        self.attempts.iter_mut().rev().find(|attempt| attempt.fence == fence)
    }

    /// The latest attempt that was started, or else the latest claim.
    pub fn latest(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.started_at.is_some()).or(self.attempts.last())
    }
}

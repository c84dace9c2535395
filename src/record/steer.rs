//! What the store grants to people.

use super::granting::{Granting, remember};
use super::op::Reply;
use super::{Open, PAUSES, Pause, Phase, REMEMBERED};
use crate::clock::Timestamp;
use crate::job::Overlap;
use crate::lease::{Ended, Fence, Outcome, RunId, Token};
use crate::ledger::{Fate, What};

impl Granting<'_> {
    pub(super) fn cancel(&mut self, run_id: RunId, by: &str) -> Reply {
        let Some(index) = self.record.open.iter().position(|run| run.run_id == run_id) else {
            return Reply::NotFound;
        };
        let run = &mut self.record.open[index];
        // A request that nobody has begun is as good as not sent, and what others do for us we cannot stop.
        let is_ours = !run.token.as_ref().is_some_and(Token::awaits_result);
        if matches!(run.phase, Phase::Waiting | Phase::Published) || !is_ours {
            self.close(index, Ended::because(Outcome::Cancelled, format!("cancelled by {by} while it waited")));
        } else if !run.cancel {
            run.cancel = true;
            self.tell(What::CancelAsked { run_id, by: by.to_owned() });
        }
        Reply::Done
    }

    pub(super) fn trigger(&mut self, run: &Open, expect: Option<Fence>, overlap: Overlap) -> Reply {
        if self.was_asked(run.run_id) {
            return Reply::Done;
        }
        if let Some(refusal) = self.refuse_identity(run, expect) {
            return refusal;
        }
        if let Some(pause) = self.record.paused(self.now) {
            return Reply::Paused(pause.clone());
        }
        let queued = self.record.open.iter().filter(|run| run.is_queued()).count();
        if let Some(first) = self.record.open.first() {
            let busy = Reply::Busy(Box::new(first.clone()));
            match overlap {
                Overlap::Skip => return busy,
                Overlap::QueueOne if queued > 0 => return busy,
                Overlap::QueueAll | Overlap::Allow if queued >= Overlap::QUEUE_LIMIT => return Reply::Full,
                Overlap::Replace => {
                    let open: Vec<RunId> = self.record.open.iter().map(|run| run.run_id).collect();
                    for other in open {
                        self.cancel(other, "a newer request");
                    }
                }
                _ => {}
            }
        }
        remember(&mut self.record.asked, run.run_id, REMEMBERED);
        self.enqueue(run.clone());
        Reply::Done
    }

    /// Puts on record that a request was refused, if it was for good: it is the end of that run.
    pub(super) fn decline(&mut self, run: &Open, reply: Reply) -> Reply {
        let fate = match &reply {
            Reply::Busy(_) | Reply::Full => Fate::SkippedOverlap,
            Reply::Paused(_) => Fate::SkippedPaused,
            _ => return reply,
        };
        remember(&mut self.record.asked, run.run_id, REMEMBERED);
        let (scheduled_at, trigger) = (run.scheduled_at, run.trigger.clone());
        self.tell(What::Declined { run_id: run.run_id, scheduled_at, trigger, fate });
        reply
    }

    pub(super) fn overdue(&mut self, expect: Option<Timestamp>, due: Timestamp) -> Reply {
        if due > self.now {
            return Reply::Early(due);
        }
        if self.record.succeeded_at != expect {
            return Reply::Moved;
        }
        // What was told before this deadline was told of an earlier one.
        if self.record.overdue.is_none_or(|told| told < due) {
            self.record.overdue = Some(self.now);
            self.tell(What::Overdue { due, last_success_at: expect });
        }
        Reply::Done
    }

    pub(super) fn slow(&mut self, run_id: RunId, fence: Fence) -> Reply {
        let runs = |run: &&mut Open| (run.run_id, run.fence, run.phase) == (run_id, fence, Phase::Running);
        let Some(run) = self.record.open.iter_mut().find(runs) else { return Reply::Moved };
        if let Some(started_at) = run.started_at.filter(|_| !std::mem::replace(&mut run.slow, true)) {
            let attempt = run.attempt;
            self.tell(What::Slow { run_id, attempt, fence, started_at });
        }
        Reply::Done
    }

    pub(super) fn pause(&mut self, until: Option<Timestamp>, reason: &Option<String>, by: &Option<String>) -> Reply {
        // Pausing a paused job changes its end and reason, not its beginning.
        let since = self.record.paused(self.now).map_or(self.now, |p| p.since);
        let pause = Pause { since, until, reason: reason.clone(), by: by.clone() };
        let known = self.record.paused(self.now).cloned();
        if known.as_ref() != Some(&pause) {
            if known.is_some() {
                self.record.pauses.pop_back();
            }
            // What lies before the cursor is decided and needs no explanation any more.
            let cursor = self.record.cursor;
            self.record.pauses.retain(|old| old.until.is_none_or(|until| Some(until) > cursor));
            remember(&mut self.record.pauses, pause, PAUSES);
            self.tell(What::Paused { until, reason: reason.clone(), by: by.clone() });
        }
        Reply::Done
    }

    pub(super) fn resume(&mut self, catch_up: bool, by: &Option<String>) -> Reply {
        if self.record.paused(self.now).is_none() {
            return Reply::Done;
        }
        if let Some(pause) = self.record.pauses.pop_back().filter(|_| !catch_up) {
            self.record.pauses.push_back(Pause { until: Some(self.now), ..pause });
        }
        self.tell(What::Resumed { catch_up, by: by.clone() });
        Reply::Done
    }
}

//! What the store grants to a bid.

use std::time::Duration;

use super::granting::{Granting, remember, requested, waiting};
use super::op::{Bid, Reply, Target};
use super::{Open, Phase, REMEMBERED};
use crate::clock::Timestamp;
use crate::job::{Delivery, Overlap};
use crate::lease::{Ended, Fence, Outcome, RunId};
use crate::ledger::{Next, Pass, What};

impl Granting<'_> {
    pub(super) fn claim(&mut self, bid: &Bid) -> Reply {
        // Asked again, it is answered again.
        let granted = if bid.start.is_some() { Phase::Running } else { Phase::Claimed };
        let mine = |run: &&Open| run.phase == granted && run.is_held_by(&bid.token);
        if let Some(run) = self.record.open.iter().find(mine) {
            return Reply::Won(Box::new(run.clone()));
        }
        if let Some(pause) = self.record.paused(self.now) {
            return Reply::Paused(pause.clone());
        }
        match &bid.target {
            Target::Next { expect, passes, at, due } => self.claim_next(bid, *expect, passes, *at, *due),
            Target::Open { run_id, fence } => self.claim_open(bid, *run_id, *fence),
            Target::Request { run_id, at, trigger, args, expect } => {
                let run = requested(*run_id, *at, trigger, args, self.now);
                self.claim_request(bid, run, *expect)
            }
        }
    }

    fn claim_next(&mut self, bid: &Bid, expect: Timestamp, passes: &[Pass], at: Timestamp, due: Timestamp) -> Reply {
        // Before it is due nobody knows what will be in its way then, but that nothing is in its way may be known.
        let alone = self.record.open.is_empty() && passes.is_empty() && bid.mutex.is_none();
        let ahead = if alone { Bid::AHEAD } else { Duration::ZERO };
        if let Some(refusal) = self.refuse_decision(expect, passes, at, due, ahead) {
            return refusal;
        }
        if passes.last().is_some_and(|pass| pass.through >= at) {
            return Reply::Moved;
        }
        let run_id = RunId::of_occurrence(self.job, at);
        // Whoever waits goes first, unless runs may stand side by side.
        let in_the_way = self.record.open.first();
        if let Some(refusal) = refuse_company(bid, in_the_way, self.record.open.len()) {
            return refusal;
        }
        if let Some(held) = self.mutex.keeps_out(run_id, self.now) {
            return Reply::MutexHeld(held.clone());
        }
        self.pass(passes);
        self.record.cursor = Some(at);
        self.record.open.push(waiting(run_id, at, self.now.max(due)));
        self.grant(self.record.open.len() - 1, bid)
    }

    fn claim_open(&mut self, bid: &Bid, run_id: RunId, fence: Fence) -> Reply {
        let Some(index) = self.record.open.iter().position(|run| run.run_id == run_id && run.fence == fence) else {
            return Reply::Moved;
        };
        let run = &self.record.open[index];
        if run.until > self.now {
            return Reply::Busy(Box::new(run.clone()));
        }
        if run.phase == Phase::Running && bid.delivery == Delivery::AtMostOnce {
            // It may have started. That is for `Reap` to record, not for a claim to repeat.
            return Reply::Moved;
        }
        if let Some(other) = self.record.keeps_out(run_id, bid.overlap, self.now) {
            return Reply::Busy(Box::new(other.clone()));
        }
        if let Some(held) = self.mutex.keeps_out(run_id, self.now) {
            return Reply::MutexHeld(held.clone());
        }
        if run.cancel {
            self.close(index, Ended::because(Outcome::Cancelled, "cancelled while its holder was gone"));
            return Reply::Moved;
        }
        if run.phase == Phase::Running {
            let (attempt, fence, ended) = (run.attempt, run.fence, run.lost());
            self.record.open[index].attempt += 1;
            self.tell(What::Ended {
                run_id,
                attempt,
                fence,
                ended,
                next: Some(Next { attempt: attempt + 1, at: self.now }),
            });
        }
        self.grant(index, bid)
    }

    fn claim_request(&mut self, bid: &Bid, run: Open, expect: Option<Fence>) -> Reply {
        if self.was_asked(run.run_id) {
            return Reply::Stale;
        }
        if let Some(refusal) = self.refuse_identity(&run, expect) {
            return refusal;
        }
        let active = self.record.open.iter().find(|run| !run.is_queued());
        if let Some(refusal) = refuse_company(bid, active, self.record.open.len()) {
            return refusal;
        }
        if let Some(held) = self.mutex.keeps_out(run.run_id, self.now) {
            return Reply::MutexHeld(held.clone());
        }
        remember(&mut self.record.asked, run.run_id, REMEMBERED);
        self.record.open.push(run);
        self.grant(self.record.open.len() - 1, bid)
    }

    fn grant(&mut self, index: usize, bid: &Bid) -> Reply {
        let clock = u64::try_from(self.now.as_micros()).unwrap_or(0);
        let fence = Fence((self.record.fence.0.max(self.mutex.fence.0) + 1).max(clock));
        self.record.fence = fence;
        let run = &mut self.record.open[index];
        run.phase = Phase::Claimed;
        run.fence = fence;
        run.token = Some(bid.token.clone());
        run.holder.clone_from(&bid.holder);
        run.until = self.now.plus(bid.ttl).max(run.opened);
        run.mutex.clone_from(&bid.mutex);
        (run.started_at, run.slow) = (None, false);
        let claimed = What::Claimed {
            run_id: run.run_id,
            scheduled_at: run.scheduled_at,
            trigger: run.trigger.clone(),
            attempt: run.attempt,
            fence,
            holder: run.holder.clone(),
        };
        self.tell(claimed);
        match bid.start {
            Some(ttl) => self.begin(index, ttl),
            None => self.hold_mutex_of(index),
        }
        Reply::Won(Box::new(self.record.open[index].clone()))
    }
}

/// Whether other runs of the job forbid this one.
fn refuse_company(bid: &Bid, in_the_way: Option<&Open>, company: usize) -> Option<Reply> {
    let in_the_way = in_the_way?;
    let may = bid.overlap == Overlap::Allow && company < Overlap::ALLOW_LIMIT;
    (!may).then(|| Reply::Busy(Box::new(in_the_way.clone())))
}

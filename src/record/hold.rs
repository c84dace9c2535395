//! What the store grants to who holds a claim, and about one whose time is over.

use std::time::Duration;

use super::granting::{Granting, remember};
use super::op::{Key, Reply};
use super::{FEW, Open, Pause, Phase, REMEMBERED};
use crate::lease::{Ended, Fence, Outcome, RunId};
use crate::ledger::{Event, Next, What};

impl Granting<'_> {
    pub(super) fn published(&mut self, key: &Key, ttl: Duration) -> Reply {
        let Some(index) = self.newest(key) else { return Reply::Fenced };
        let until = self.now.plus(ttl);
        let run = &mut self.record.open[index];
        match run.phase {
            Phase::Claimed if run.is_held_by(&key.token) && run.cancel => {
                self.close(index, Ended::because(Outcome::Cancelled, "cancelled before it started"));
                Reply::Cancelled
            }
            Phase::Claimed if run.is_held_by(&key.token) => {
                run.phase = Phase::Published;
                run.until = until;
                self.hold_mutex_of(index);
                self.tell(What::Published { run_id: key.run_id, fence: key.fence });
                Reply::Done
            }
            // First it is offered, for as long as sending takes; then it is known to be in the queue.
            Phase::Published if run.is_held_by(&key.token) => {
                run.until = until;
                self.hold_mutex_of(index);
                Reply::Done
            }
            // A quick worker has started it before the publisher could say so.
            Phase::Published | Phase::Running => Reply::Done,
            Phase::Claimed | Phase::Waiting => Reply::Fenced,
        }
    }

    pub(super) fn start(&mut self, key: &Key, holder: &str, ttl: Duration) -> Reply {
        let Some(index) = self.newest(key) else { return self.fence_off(key, "start", None) };
        let now = self.now;
        let run = &self.record.open[index];
        let postpones = |pause: &Pause| match run.phase {
            Phase::Published => true,
            // It was paused before it was due.
            Phase::Claimed => run.is_held_by(&key.token) && pause.since < run.opened,
            Phase::Running | Phase::Waiting => false,
        };
        if self.record.paused(now).is_some_and(postpones) {
            return self.postpone(index, key);
        }
        let run = &mut self.record.open[index];
        let may = match run.phase {
            Phase::Running if run.is_held_by(&key.token) => {
                return Reply::Kept { until: run.until, cancel: run.cancel };
            }
            Phase::Claimed => run.is_held_by(&key.token) && run.until > now,
            // After its time another job may have taken the mutex.
            Phase::Published => run.mutex.is_none() || self.mutex.keeps_out(key.run_id, now).is_none(),
            Phase::Running | Phase::Waiting => false,
        };
        if !may {
            return self.fence_off(key, "start", None);
        }
        if run.cancel {
            self.close(index, Ended::because(Outcome::Cancelled, "cancelled before it started"));
            return Reply::Cancelled;
        }
        run.token = Some(key.token.clone());
        holder.clone_into(&mut run.holder);
        self.begin(index, ttl);
        Reply::Kept { until: now.plus(ttl), cancel: false }
    }

    /// The run's code begins, now or when it is due.
    pub(super) fn begin(&mut self, index: usize, ttl: Duration) {
        let run = &mut self.record.open[index];
        run.phase = Phase::Running;
        run.until = self.now.plus(ttl);
        // Granted a moment before it is due, its code begins when it is.
        let begins = self.now.max(run.opened);
        run.started_at = Some(begins);
        let (run_id, attempt, fence, holder) = (run.run_id, run.attempt, run.fence, run.holder.clone());
        self.hold_mutex_of(index);
        let what = What::Started { run_id, attempt, fence, holder };
        self.events.push(Event { at: begins, job: self.job.clone(), what });
    }

    /// What was asked for before the job was paused is asked for again afterwards.
    fn postpone(&mut self, index: usize, key: &Key) -> Reply {
        let run = &mut self.record.open[index];
        run.phase = Phase::Waiting;
        run.until = self.now.max(run.opened);
        self.free_mutex(key.run_id);
        self.tell(What::Released { run_id: key.run_id, fence: key.fence });
        Reply::Fenced
    }

    pub(super) fn renew(&mut self, key: &Key, ttl: Duration) -> Reply {
        let until = self.now.plus(ttl);
        let Some(index) = self.newest(key) else { return Reply::Fenced };
        let run = &mut self.record.open[index];
        if run.phase == Phase::Waiting || !run.is_held_by(&key.token) {
            return Reply::Fenced;
        }
        if run.mutex.is_some() && self.mutex.keeps_out(key.run_id, self.now).is_some() {
            // The lease had lapsed; nobody took the run, but another job took the mutex.
            return Reply::Fenced;
        }
        run.until = until;
        let cancel = run.cancel;
        self.hold_mutex_of(index);
        Reply::Kept { until, cancel }
    }

    pub(super) fn settle(&mut self, key: &Key, ended: &Ended, next: Option<(u32, Duration)>) -> Reply {
        if self.record.settled.contains(&key.fence) {
            return Reply::Done;
        }
        let holds = |run: &Open| run.phase != Phase::Waiting && run.is_held_by(&key.token);
        let Some(index) = self.newest(key).filter(|index| holds(&self.record.open[*index])) else {
            return self.fence_off(key, "settle", Some(ended.clone()));
        };
        remember(&mut self.record.settled, key.fence, REMEMBERED);
        // One more than was added: what ran side by side may be asked about for a moment longer.
        if self.record.open.len() == 1 {
            let surplus = self.record.settled.len().saturating_sub(FEW).min(2);
            self.record.settled.drain(..surplus);
        }
        match next.filter(|_| !self.record.open[index].cancel) {
            Some((attempt, pause)) => self.wait_for(index, ended, Next { attempt, at: self.now.plus(pause) }),
            None => self.close(index, ended.clone()),
        }
        Reply::Done
    }

    fn wait_for(&mut self, index: usize, ended: &Ended, next: Next) {
        let run = &mut self.record.open[index];
        let (run_id, attempt, fence) = (run.run_id, run.attempt, run.fence);
        run.phase = Phase::Waiting;
        run.attempt = next.attempt;
        run.until = next.at;
        self.free_mutex(run_id);
        self.tell(What::Ended { run_id, attempt, fence, ended: ended.clone(), next: Some(next) });
    }

    pub(super) fn release(&mut self, key: &Key) -> Reply {
        let Some(index) = self.newest(key) else { return Reply::Fenced };
        let run = &mut self.record.open[index];
        match run.phase {
            // Its holder knows what no record tells: that the code never began.
            Phase::Claimed | Phase::Published | Phase::Running if run.is_held_by(&key.token) => {
                run.phase = Phase::Waiting;
                run.until = self.now.max(run.opened);
                run.started_at = None;
                self.free_mutex(key.run_id);
                self.tell(What::Released { run_id: key.run_id, fence: key.fence });
                Reply::Done
            }
            Phase::Waiting if run.is_held_by(&key.token) => Reply::Done,
            _ => Reply::Fenced,
        }
    }

    pub(super) fn reap(&mut self, run_id: RunId, fence: Fence, phase: Phase) -> Reply {
        let seen = |run: &Open| (run.run_id, run.fence, run.phase) == (run_id, fence, phase);
        let Some(index) = self.record.open.iter().position(seen) else {
            return Reply::Moved;
        };
        let run = &self.record.open[index];
        if run.until > self.now {
            return Reply::Busy(Box::new(run.clone()));
        }
        let ended = match run.phase {
            _ if run.cancel => Ended::because(Outcome::Cancelled, "cancelled while its holder was gone"),
            Phase::Running => run.lost(),
            _ => Ended::because(Outcome::Expired, "nobody started it in time"),
        };
        self.close(index, ended);
        Reply::Done
    }

    pub(super) fn evict(&mut self, run_id: RunId, fence: Fence, by: &str) -> Reply {
        let Some(index) = self.record.open.iter().position(|run| run.run_id == run_id) else {
            // Over by now, by force or by itself: nobody holds it.
            return Reply::Done;
        };
        let run = &self.record.open[index];
        if run.fence != fence || run.phase == Phase::Waiting {
            return Reply::Moved;
        }
        self.close(index, Ended::because(Outcome::Lost, format!("released by force by {by}")));
        Reply::Done
    }
}

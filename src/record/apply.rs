//! What the store grants: deciding, holding, ending, steering. Claiming has a file of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::op::{Key, Op, Reply};
use super::{Held, Mutex, Open, Pause, Phase, REMEMBERED, Record, SPECS};
use crate::clock::Timestamp;
use crate::job::{JobName, Overlap};
use crate::lease::{Ended, Fence, Outcome, RunId, Trigger};
use crate::ledger::{Event, Fate, Next, Pass, What};

/// What one operation may see and change.
#[derive(Debug)]
pub struct State<'a> {
    /// Whose record it is.
    pub job: &'a JobName,
    /// The record.
    pub record: &'a mut Record,
    /// The mutex named by [`Op::mutex`]; any empty one when it names none.
    pub mutex: &'a mut Mutex,
}

/// Grants or refuses `op` at `now`, the store's time. No events means that nothing changed but,
/// at most, a lease's end.
pub fn apply(state: State<'_>, op: &Op, now: Timestamp) -> (Reply, Vec<Event>) {
    let mut step = Granting { job: state.job, record: state.record, mutex: state.mutex, now, events: Vec::new() };
    let reply = match op {
        Op::Register { spec } => step.register(*spec),
        Op::Claim(bid) => step.claim(bid),
        Op::Decide { expect, passes, due } => step.decide(*expect, passes, *due),
        Op::Published { key, ttl } => step.published(key, *ttl),
        Op::Start { key, holder, ttl } => step.start(key, holder, *ttl),
        Op::Renew { key, ttl } => step.renew(key, *ttl),
        Op::Settle { key, ended, next } => step.settle(key, ended, *next),
        Op::Release { key } => step.release(key),
        Op::Reap { run_id, fence } => step.reap(*run_id, *fence),
        Op::Evict { run_id, fence, by } => step.evict(*run_id, *fence, by),
        Op::Trigger { run_id, at, trigger, args, overlap } => step.trigger(*run_id, *at, trigger, args, *overlap),
        Op::Cancel { run_id, by } => step.cancel(*run_id, by),
        Op::Pause { until, reason, by } => step.pause(*until, reason, by),
        Op::Resume { catch_up, by } => step.resume(*catch_up, by),
    };
    (reply, step.events)
}

/// One operation on its way: what it may change, and what it did.
pub(super) struct Granting<'a> {
    pub(super) job: &'a JobName,
    pub(super) record: &'a mut Record,
    pub(super) mutex: &'a mut Mutex,
    pub(super) now: Timestamp,
    events: Vec<Event>,
}

impl Granting<'_> {
    pub(super) fn tell(&mut self, what: What) {
        self.events.push(Event { at: self.now, job: self.job.clone(), what });
    }

    fn register(&mut self, spec: u64) -> Reply {
        if self.record.since(spec).is_none() {
            self.record.cursor.get_or_insert(self.now);
            remember(&mut self.record.specs, (spec, self.now), SPECS);
            self.tell(What::Registered);
        }
        Reply::Done
    }

    // ---- deciding without a claim --------------------------------------------------------------

    fn decide(&mut self, expect: Timestamp, passes: &[Pass], due: Timestamp) -> Reply {
        let Some(last) = passes.last() else { return Reply::Done };
        if let Some(refusal) = self.refuse_decision(expect, passes, last.through, due) {
            return refusal;
        }
        self.pass(passes);
        self.record.cursor = Some(last.through);
        Reply::Done
    }

    pub(super) fn refuse_decision(
        &self,
        expect: Timestamp,
        passes: &[Pass],
        last: Timestamp,
        due: Timestamp,
    ) -> Option<Reply> {
        let Some(cursor) = self.record.cursor else { return Some(Reply::Moved) };
        if last <= cursor {
            return Some(Reply::Stale);
        }
        if due > self.now {
            return Some(Reply::Early(due));
        }
        // Only who knew the cursor has seen every occurrence since: none can slip through between.
        let mut edge = expect;
        let orderly = passes.iter().all(|pass| {
            let follows = pass.from > edge && pass.through >= pass.from && pass.count > 0;
            edge = pass.through;
            follows
        });
        (expect != cursor || !orderly).then_some(Reply::Moved)
    }

    pub(super) fn pass(&mut self, passes: &[Pass]) {
        for pass in passes {
            if pass.fate == Fate::Queued {
                let run = waiting(RunId::of_occurrence(self.job, pass.from), pass.from, self.now);
                self.enqueue(run);
            } else {
                self.tell(What::Passed(pass.clone()));
            }
        }
    }

    fn enqueue(&mut self, run: Open) {
        self.tell(What::Queued { run_id: run.run_id, scheduled_at: run.scheduled_at, trigger: run.trigger.clone() });
        self.record.open.push(run);
    }

    // ---- holding -------------------------------------------------------------------------------

    /// Where the run with this claim stands, if the claim is its newest.
    fn newest(&self, key: &Key) -> Option<usize> {
        self.record.open.iter().position(|run| run.run_id == key.run_id && run.fence == key.fence)
    }

    fn published(&mut self, key: &Key, ttl: Duration) -> Reply {
        let Some(index) = self.newest(key) else { return Reply::Fenced };
        let until = self.now.plus(ttl);
        let run = &mut self.record.open[index];
        match run.phase {
            Phase::Claimed if run.is_held_by(&key.token) => {
                run.phase = Phase::Published;
                run.until = until;
                let run = run.clone();
                self.hold_mutex(&run);
                self.tell(What::Published { run_id: key.run_id, fence: key.fence });
                Reply::Done
            }
            // A quick worker has started it before the publisher could say so.
            Phase::Published | Phase::Running => Reply::Done,
            Phase::Claimed | Phase::Waiting => Reply::Fenced,
        }
    }

    fn start(&mut self, key: &Key, holder: &str, ttl: Duration) -> Reply {
        let Some(index) = self.newest(key) else { return self.fence_off(key, "start", None) };
        let now = self.now;
        let run = &mut self.record.open[index];
        let may = match run.phase {
            Phase::Running if run.is_held_by(&key.token) => {
                return Reply::Kept { until: run.until, cancel: run.cancel };
            }
            Phase::Claimed => run.is_held_by(&key.token) && run.until > now,
            Phase::Published => true,
            Phase::Running | Phase::Waiting => false,
        };
        if !may {
            return self.fence_off(key, "start", None);
        }
        if run.cancel {
            self.close(index, Ended::because(Outcome::Cancelled, "cancelled before it started"));
            return Reply::Cancelled;
        }
        run.phase = Phase::Running;
        run.token = Some(key.token.clone());
        holder.clone_into(&mut run.holder);
        run.until = now.plus(ttl);
        let run = run.clone();
        self.hold_mutex(&run);
        self.tell(What::Started { run_id: run.run_id, attempt: run.attempt, fence: run.fence, holder: run.holder });
        Reply::Kept { until: run.until, cancel: false }
    }

    fn renew(&mut self, key: &Key, ttl: Duration) -> Reply {
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
        let run = run.clone();
        self.hold_mutex(&run);
        Reply::Kept { until, cancel: run.cancel }
    }

    fn settle(&mut self, key: &Key, ended: &Ended, next: Option<(u32, Duration)>) -> Reply {
        if self.record.settled.contains(&key.fence) {
            return Reply::Done;
        }
        let holds = |run: &Open| matches!(run.phase, Phase::Claimed | Phase::Running) && run.is_held_by(&key.token);
        let Some(index) = self.newest(key).filter(|index| holds(&self.record.open[*index])) else {
            return self.fence_off(key, "settle", Some(ended.clone()));
        };
        remember(&mut self.record.settled, key.fence, REMEMBERED);
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

    fn release(&mut self, key: &Key) -> Reply {
        let Some(index) = self.newest(key) else { return Reply::Fenced };
        let run = &mut self.record.open[index];
        match run.phase {
            Phase::Claimed if run.is_held_by(&key.token) => {
                run.phase = Phase::Waiting;
                run.until = self.now;
                self.free_mutex(key.run_id);
                self.tell(What::Released { run_id: key.run_id, fence: key.fence });
                Reply::Done
            }
            Phase::Waiting if run.is_held_by(&key.token) => Reply::Done,
            _ => Reply::Fenced,
        }
    }

    /// Refuses a holder whose time is over, and keeps on record what he tried.
    fn fence_off(&mut self, key: &Key, tried: &str, ended: Option<Ended>) -> Reply {
        self.tell(What::Fenced { run_id: key.run_id, fence: key.fence, tried: tried.to_owned(), ended });
        Reply::Fenced
    }

    // ---- ending --------------------------------------------------------------------------------

    fn reap(&mut self, run_id: RunId, fence: Fence) -> Reply {
        let Some(index) = self.record.open.iter().position(|run| run.run_id == run_id && run.fence == fence) else {
            return Reply::Moved;
        };
        let run = &self.record.open[index];
        if run.until > self.now {
            return Reply::Busy(Box::new(run.clone()));
        }
        let ended = match run.phase {
            _ if run.cancel => Ended::because(Outcome::Cancelled, "cancelled while its holder was gone"),
            Phase::Running => Ended::because(Outcome::Lost, "its holder did not renew the lease"),
            _ => Ended::because(Outcome::Expired, "nobody started it in time"),
        };
        self.close(index, ended);
        Reply::Done
    }

    fn evict(&mut self, run_id: RunId, fence: Fence, by: &str) -> Reply {
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

    pub(super) fn close(&mut self, index: usize, ended: Ended) {
        let run = self.record.open.remove(index);
        if ended.outcome == Outcome::Succeeded {
            self.record.last_success = self.record.last_success.max(Some(run.scheduled_at));
        }
        self.free_mutex(run.run_id);
        self.tell(What::Ended { run_id: run.run_id, attempt: run.attempt, fence: run.fence, ended, next: None });
    }

    fn cancel(&mut self, run_id: RunId, by: &str) -> Reply {
        let Some(index) = self.record.open.iter().position(|run| run.run_id == run_id) else {
            return Reply::NotFound;
        };
        let run = &mut self.record.open[index];
        if run.phase == Phase::Waiting {
            self.close(index, Ended::because(Outcome::Cancelled, format!("cancelled by {by} while it waited")));
        } else if !run.cancel {
            run.cancel = true;
            self.tell(What::CancelAsked { run_id, by: by.to_owned() });
        }
        Reply::Done
    }

    // ---- steering ------------------------------------------------------------------------------

    fn trigger(
        &mut self,
        run_id: RunId,
        at: Option<Timestamp>,
        trigger: &Trigger,
        args: &BTreeMap<String, String>,
        overlap: Overlap,
    ) -> Reply {
        if self.record.asked.contains(&run_id) {
            return Reply::Done;
        }
        if let Some(pause) = self.record.pause.as_ref().filter(|pause| pause.covers(self.now)) {
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
        remember(&mut self.record.asked, run_id, REMEMBERED);
        let run = waiting(run_id, at.unwrap_or(self.now), self.now);
        self.enqueue(Open { trigger: trigger.clone(), args: args.clone(), ..run });
        Reply::Done
    }

    fn pause(&mut self, until: Option<Timestamp>, reason: &Option<String>, by: &Option<String>) -> Reply {
        // Pausing a paused job changes its end and reason, not its beginning.
        let since = self.record.pause.as_ref().filter(|pause| pause.covers(self.now)).map_or(self.now, |p| p.since);
        let pause = Pause { since, until, reason: reason.clone(), by: by.clone() };
        if self.record.pause.as_ref() != Some(&pause) {
            self.record.pause = Some(pause);
            self.tell(What::Paused { until, reason: reason.clone(), by: by.clone() });
        }
        Reply::Done
    }

    fn resume(&mut self, catch_up: bool, by: &Option<String>) -> Reply {
        let Some(pause) = self.record.pause.as_mut().filter(|pause| pause.covers(self.now)) else {
            return Reply::Done;
        };
        pause.until = Some(self.now);
        if catch_up {
            self.record.pause = None;
        }
        self.tell(What::Resumed { catch_up, by: by.clone() });
        Reply::Done
    }

    // ---- the mutex -----------------------------------------------------------------------------

    pub(super) fn hold_mutex(&mut self, run: &Open) {
        if run.mutex.is_some() && self.mutex.keeps_out(run.run_id, self.now).is_none() {
            self.mutex.fence = self.mutex.fence.max(run.fence);
            self.mutex.held = Some(Held {
                job: self.job.clone(),
                run_id: run.run_id,
                fence: run.fence,
                holder: run.holder.clone(),
                until: run.until,
            });
        }
    }

    fn free_mutex(&mut self, run_id: RunId) {
        if self.mutex.held.as_ref().is_some_and(|held| held.run_id == run_id) {
            self.mutex.held = None;
        }
    }
}

/// A run that nobody has claimed yet.
pub(super) fn waiting(run_id: RunId, scheduled_at: Timestamp, now: Timestamp) -> Open {
    Open {
        run_id,
        scheduled_at,
        trigger: Trigger::Schedule,
        args: BTreeMap::new(),
        opened: now,
        phase: Phase::Waiting,
        attempt: 1,
        fence: Fence(0),
        token: None,
        holder: String::new(),
        until: now,
        cancel: false,
        mutex: None,
    }
}

pub(super) fn remember<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(item);
}

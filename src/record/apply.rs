//! What the store grants: one operation on one record, in one step.

use std::time::Duration;

use super::granting::{Granting, remember, requested};
use super::op::{Op, Reply};
use super::{Mutex, Record};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::ledger::{Event, Pass, What};

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
        Op::Reap { run_id, fence, phase } => step.reap(*run_id, *fence, *phase),
        Op::Evict { run_id, fence, by } => step.evict(*run_id, *fence, by),
        Op::Trigger { run_id, at, trigger, args, overlap, expect, on_record } => {
            let run = requested(*run_id, *at, trigger, args, step.now);
            let reply = step.trigger(&run, *expect, *overlap);
            if *on_record { step.decline(&run, reply) } else { reply }
        }
        Op::Overdue { expect, due } => step.overdue(*expect, *due),
        Op::Slow { run_id, fence } => step.slow(*run_id, *fence),
        Op::Cancel { run_id, by } => step.cancel(*run_id, by),
        Op::Pause { until, reason, by } => step.pause(*until, reason, by),
        Op::Resume { catch_up, by } => step.resume(*catch_up, by),
    };
    (reply, step.events)
}

impl Granting<'_> {
    pub(super) fn register(&mut self, spec: u64) -> Reply {
        if self.record.since(spec).is_none() {
            self.record.cursor.get_or_insert(self.now);
            remember(&mut self.record.specs, (spec, self.now), Record::SPECS);
            self.tell(What::Registered);
        }
        Reply::Done
    }

    pub(super) fn decide(&mut self, expect: Timestamp, passes: &[Pass], due: Timestamp) -> Reply {
        let Some(last) = passes.last() else { return Reply::Done };
        if let Some(refusal) = self.refuse_decision(expect, passes, last.through, due, Duration::ZERO) {
            return refusal;
        }
        self.pass(passes);
        self.record.cursor = Some(last.through);
        Reply::Done
    }
}

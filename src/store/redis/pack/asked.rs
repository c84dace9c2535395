//! Operations on their way to the scripts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{FATES, OUTCOMES, OVERLAPS, PHASES, Writer, code_of};
use crate::clock::Timestamp;
use crate::job::{Delivery, JobName, Overlap};
use crate::lease::{Ended, Fence, RunId, Trigger};
use crate::ledger::{Fate, Pass};
use crate::record::{Bid, Key, Op, Target};

/// Beyond the last instant there is, wherever it is counted from. Lua's numbers are doubles: what
/// lies beyond the year 2255 is rounded to a few microseconds.
const LONGEST: u64 = 1 << 58;

/// A wish to see a job's record, which is an operation that changes nothing.
pub(in crate::store::redis) fn pack_view(job: &JobName, mutex: Option<&str>) -> Vec<u8> {
    let mut to = Writer::default();
    to.list(3).int(0).bytes(job.as_str());
    maybe_text(&mut to, mutex);
    to.take()
}

/// An operation. A registration brings the `known` record along, if there is one: the server may have lost it.
pub(in crate::store::redis) fn pack_op(job: &JobName, op: &Op, known: Option<&[u8]>) -> Vec<u8> {
    let mut to = Writer::default();
    let mut head = |len: usize, code: i64| {
        to.list(len + 2).int(code).bytes(job.as_str());
    };
    match op {
        Op::Register { spec } => {
            head(2, 1);
            to.bytes(spec.to_be_bytes()).maybe(known, |to, known| {
                to.bytes(known);
            });
        }
        Op::Claim(bid) => {
            head(8, 2);
            put_bid(&mut to, job, bid);
            to.maybe(bid.start, put_duration);
        }
        Op::Decide { expect, passes, due } => {
            head(3, 3);
            to.time(*expect);
            put_passes(&mut to, job, passes);
            to.time(*due);
        }
        Op::Published { key, ttl } => {
            head(2, 4);
            put_key(&mut to, key);
            put_duration(&mut to, *ttl);
        }
        Op::Start { key, holder, ttl } => {
            head(3, 5);
            put_key(&mut to, key);
            to.bytes(holder);
            put_duration(&mut to, *ttl);
        }
        Op::Renew { key, ttl } => {
            head(2, 6);
            put_key(&mut to, key);
            put_duration(&mut to, *ttl);
        }
        Op::Settle { key, ended, next } => {
            head(3, 7);
            put_key(&mut to, key);
            put_ended(&mut to, ended);
            to.maybe(*next, |to, (attempt, pause)| {
                to.list(2).int(attempt);
                put_duration(to, pause);
            });
        }
        Op::Release { key } => {
            head(1, 8);
            put_key(&mut to, key);
        }
        Op::Reap { run_id, fence, phase } => {
            head(3, 9);
            to.bytes(run_id.as_bytes()).count(fence.0).int(code_of(&PHASES, phase));
        }
        Op::Evict { run_id, fence, by } => {
            head(3, 10);
            to.bytes(run_id.as_bytes()).count(fence.0).bytes(by);
        }
        Op::Trigger { run_id, at, trigger, args, overlap, expect, on_record } => {
            head(7, 11);
            put_request(&mut to, *run_id, *at, trigger, args);
            to.int(code_of(&OVERLAPS, overlap));
            maybe_fence(&mut to, *expect);
            to.flag(*on_record);
        }
        Op::Cancel { run_id, by } => {
            head(2, 12);
            to.bytes(run_id.as_bytes()).bytes(by);
        }
        Op::Pause { until, reason, by } => {
            head(3, 13);
            maybe_time(&mut to, *until);
            maybe_text(&mut to, reason.as_deref());
            maybe_text(&mut to, by.as_deref());
        }
        Op::Resume { catch_up, by } => {
            head(2, 14);
            to.flag(*catch_up);
            maybe_text(&mut to, by.as_deref());
        }
        Op::Overdue { expect, due } => {
            head(2, 15);
            maybe_time(&mut to, *expect);
            to.time(*due);
        }
        Op::Slow { run_id, fence } => {
            head(2, 16);
            to.bytes(run_id.as_bytes()).count(fence.0);
        }
    }
    to.take()
}

fn put_bid(to: &mut Writer, job: &JobName, bid: &Bid) {
    to.bytes(&bid.token.0).bytes(&bid.holder);
    put_duration(to, bid.ttl);
    to.flag(bid.overlap == Overlap::Allow).flag(bid.delivery == Delivery::AtMostOnce);
    maybe_text(to, bid.mutex.as_deref());
    match &bid.target {
        Target::Next { expect, passes, at, due } => {
            to.list(6).int(1).time(*expect);
            put_passes(to, job, passes);
            to.time(*at).time(*due).bytes(RunId::of_occurrence(job, *at).as_bytes());
        }
        Target::Open { run_id, fence } => {
            to.list(3).int(2).bytes(run_id.as_bytes()).count(fence.0);
        }
        Target::Request { run_id, at, trigger, args, expect } => {
            to.list(6).int(3);
            put_request(to, *run_id, *at, trigger, args);
            maybe_fence(to, *expect);
        }
    }
}

/// A queued occurrence brings the id of its run: scripts cannot compute it.
fn put_passes(to: &mut Writer, job: &JobName, passes: &[Pass]) {
    to.list(passes.len());
    for pass in passes {
        let queued = pass.fate == Fate::Queued;
        to.list(if queued { 5 } else { 4 }).time(pass.from).time(pass.through).count(pass.count);
        to.int(code_of(&FATES, &pass.fate));
        if queued {
            to.bytes(RunId::of_occurrence(job, pass.from).as_bytes());
        }
    }
}

fn put_request(
    to: &mut Writer,
    run_id: RunId,
    at: Option<Timestamp>,
    trigger: &Trigger,
    args: &BTreeMap<String, String>,
) {
    to.bytes(run_id.as_bytes());
    maybe_time(to, at);
    to.bytes(trigger_text(trigger)).bytes(args_text(args));
}

fn put_key(to: &mut Writer, key: &Key) {
    to.list(3).bytes(key.run_id.as_bytes()).count(key.fence.0).bytes(&key.token.0);
}

pub(super) fn put_ended(to: &mut Writer, ended: &Ended) {
    to.list(4).int(code_of(&OUTCOMES, &ended.outcome));
    to.maybe(ended.exit_code, |to, code| {
        to.int(code);
    });
    to.maybe(ended.signal, |to, signal| {
        to.int(signal);
    });
    maybe_text(to, ended.message.as_deref());
}

fn put_duration(to: &mut Writer, duration: Duration) {
    to.count(u64::try_from(duration.as_micros()).unwrap_or(LONGEST).min(LONGEST));
}

pub(super) fn maybe_time(to: &mut Writer, at: Option<Timestamp>) {
    to.maybe(at, |to, at| {
        to.time(at);
    });
}

fn maybe_fence(to: &mut Writer, fence: Option<Fence>) {
    to.maybe(fence, |to, fence| {
        to.count(fence.0);
    });
}

pub(super) fn maybe_text(to: &mut Writer, text: Option<&str>) {
    to.maybe(text, |to, text| {
        to.bytes(text);
    });
}

// What scripts pass on without looking.

pub(super) fn trigger_text(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Schedule => String::new(),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

pub(super) fn args_text(args: &BTreeMap<String, String>) -> String {
    if args.is_empty() { String::new() } else { serde_json::to_string(args).unwrap_or_default() }
}

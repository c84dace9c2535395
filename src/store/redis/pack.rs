//! Records, operations, replies and events as the scripts know them: lists, place by place.

use std::collections::BTreeMap;
use std::time::Duration;

use super::wire::{Garbled, Reader, Writer};
use crate::clock::Timestamp;
use crate::job::{Delivery, JobName, Overlap};
use crate::lease::{Ended, Fence, Outcome, RunId, Token, Trigger};
use crate::ledger::{Event, Fate, Next, Pass, What};
use crate::record::{Bid, Held, Key, Mutex, Op, Open, Pause, Phase, Record, Reply, Target};

/// Beyond the last instant there is, wherever it is counted from. Lua's numbers are doubles: what
/// lies beyond the year 2255 is rounded to a few microseconds.
const LONGEST: u64 = 1 << 58;

// ---- operations --------------------------------------------------------------------------------

/// A wish to see a job's record, which is an operation that changes nothing.
pub(super) fn pack_view(job: &JobName, mutex: Option<&str>) -> Vec<u8> {
    let mut to = Writer::default();
    to.list(3).int(0).bytes(job.as_str());
    maybe_text(&mut to, mutex);
    to.take()
}

pub(super) fn pack_op(job: &JobName, op: &Op) -> Vec<u8> {
    let mut to = Writer::default();
    let mut head = |len: usize, code: i64| {
        to.list(len + 2).int(code).bytes(job.as_str());
    };
    match op {
        Op::Register { spec } => {
            head(1, 1);
            to.bytes(spec.to_be_bytes());
        }
        Op::Claim(bid) => {
            head(7, 2);
            put_bid(&mut to, job, bid);
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

fn put_ended(to: &mut Writer, ended: &Ended) {
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

fn maybe_time(to: &mut Writer, at: Option<Timestamp>) {
    to.maybe(at, |to, at| {
        to.time(at);
    });
}

fn maybe_fence(to: &mut Writer, fence: Option<Fence>) {
    to.maybe(fence, |to, fence| {
        to.count(fence.0);
    });
}

fn maybe_text(to: &mut Writer, text: Option<&str>) {
    to.maybe(text, |to, text| {
        to.bytes(text);
    });
}

// ---- what scripts pass on without looking ------------------------------------------------------

fn trigger_text(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Schedule => String::new(),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

fn args_text(args: &BTreeMap<String, String>) -> String {
    if args.is_empty() { String::new() } else { serde_json::to_string(args).unwrap_or_default() }
}

fn trigger(from: &mut Reader<'_>) -> Result<Trigger, Garbled> {
    match from.bytes()? {
        b"" => Ok(Trigger::Schedule),
        text => serde_json::from_slice(text).map_err(|_| Garbled),
    }
}

fn args(from: &mut Reader<'_>) -> Result<BTreeMap<String, String>, Garbled> {
    match from.bytes()? {
        b"" => Ok(BTreeMap::new()),
        text => serde_json::from_slice(text).map_err(|_| Garbled),
    }
}

// ---- words that are numbers in scripts: their place in these lists, from 1 ---------------------

const PHASES: [Phase; 4] = [Phase::Waiting, Phase::Claimed, Phase::Published, Phase::Running];
const OVERLAPS: [Overlap; 5] = [Overlap::Skip, Overlap::QueueOne, Overlap::QueueAll, Overlap::Replace, Overlap::Allow];
const FATES: [Fate; 7] = [
    Fate::Queued,
    Fate::SkippedOverlap,
    Fate::SkippedPaused,
    Fate::SkippedDisabled,
    Fate::Coalesced,
    Fate::Missed,
    Fate::SkippedCalendar,
];
const OUTCOMES: [Outcome; 7] = [
    Outcome::Succeeded,
    Outcome::Failed,
    Outcome::TimedOut,
    Outcome::Cancelled,
    Outcome::Interrupted,
    Outcome::Lost,
    Outcome::Expired,
];

fn code_of<T: PartialEq>(words: &[T], word: &T) -> i64 {
    let place = words.iter().position(|known| known == word).map_or(0, |place| place + 1);
    i64::try_from(place).unwrap_or(0)
}

fn word<T: Copy>(words: &[T], from: &mut Reader<'_>) -> Result<T, Garbled> {
    let place: usize = from.int()?;
    words.get(place.wrapping_sub(1)).copied().ok_or(Garbled)
}

// ---- records -----------------------------------------------------------------------------------

/// A record, and its revision: it grows with every change, and goes on growing over a wiped store.
pub(super) fn unpack_record(bytes: &[u8]) -> Result<(Record, u64), Garbled> {
    if bytes.is_empty() {
        return Ok((Record::default(), 0));
    }
    let mut from = Reader::new(bytes);
    let places = from.list()?;
    if places < 9 {
        return Err(Garbled);
    }
    let mut record = Record {
        cursor: from.maybe(Reader::time)?,
        specs: chunks(from.bytes()?, |item: [u8; 16]| {
            let (spec, since) = (u64_of(&item[..8]), u64_of(&item[8..]).cast_signed());
            (spec, Timestamp::from_micros(since))
        }),
        fence: fence(&mut from)?,
        open: from.each(open)?,
        pauses: from.each(pause)?,
        last_success: from.maybe(Reader::time)?,
        asked: chunks(from.bytes()?, RunId::from_bytes),
        settled: chunks(from.bytes()?, |item: [u8; 8]| Fence(u64_of(&item))),
        ..Record::default()
    };
    let revision = from.int()?;
    // What an older version wrote ends here.
    if places >= 11 {
        record.succeeded_at = from.maybe(Reader::time)?;
        record.overdue = from.maybe(Reader::time)?;
    }
    Ok((record, revision))
}

pub(super) fn unpack_mutex(bytes: &[u8]) -> Result<Mutex, Garbled> {
    if bytes.is_empty() {
        return Ok(Mutex::default());
    }
    let mut from = Reader::new(bytes);
    from.list()?;
    Ok(Mutex { fence: fence(&mut from)?, held: from.maybe(held)? })
}

fn chunks<const N: usize, T, C: FromIterator<T>>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> C {
    bytes.as_chunks::<N>().0.iter().map(|item| read(*item)).collect()
}

fn u64_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

fn fence(from: &mut Reader<'_>) -> Result<Fence, Garbled> {
    from.int().map(Fence)
}

fn run_id(from: &mut Reader<'_>) -> Result<RunId, Garbled> {
    from.bytes()?.try_into().map(RunId::from_bytes).map_err(|_| Garbled)
}

fn open(from: &mut Reader<'_>) -> Result<Open, Garbled> {
    let places = from.list()?;
    let mut open = Open {
        run_id: run_id(from)?,
        scheduled_at: from.time()?,
        trigger: trigger(from)?,
        args: args(from)?,
        opened: from.time()?,
        phase: word(&PHASES, from)?,
        attempt: from.int()?,
        fence: fence(from)?,
        token: from.maybe(Reader::text)?.map(Token),
        holder: from.text()?,
        until: from.time()?,
        cancel: from.flag()?,
        mutex: from.maybe(Reader::text)?,
        started_at: None,
        slow: false,
    };
    if places >= 15 {
        open.started_at = from.maybe(Reader::time)?;
        open.slow = from.flag()?;
    }
    Ok(open)
}

fn pause(from: &mut Reader<'_>) -> Result<Pause, Garbled> {
    from.list()?;
    Ok(Pause {
        since: from.time()?,
        until: from.maybe(Reader::time)?,
        reason: from.maybe(Reader::text)?,
        by: from.maybe(Reader::text)?,
    })
}

fn held(from: &mut Reader<'_>) -> Result<Held, Garbled> {
    from.list()?;
    Ok(Held { job: job(from)?, run_id: run_id(from)?, fence: fence(from)?, holder: from.text()?, until: from.time()? })
}

pub(super) fn job(from: &mut Reader<'_>) -> Result<JobName, Garbled> {
    JobName::new(&from.text()?).map_err(|_| Garbled)
}

// ---- replies and events ------------------------------------------------------------------------

/// A reply; runs that it names by their place are those of `record`, as it is after the operation.
pub(super) fn unpack_reply(bytes: &[u8], record: &Record) -> Result<Reply, Garbled> {
    let from = &mut Reader::new(bytes);
    from.list()?;
    let run = |from: &mut Reader<'_>| {
        let place: usize = from.int()?;
        record.open.get(place.wrapping_sub(1)).cloned().map(Box::new).ok_or(Garbled)
    };
    Ok(match from.int()? {
        1u8 => Reply::Won(run(from)?),
        2 => Reply::Done,
        3 => Reply::Kept { until: from.time()?, cancel: from.flag()? },
        4 => Reply::Fenced,
        5 => Reply::Cancelled,
        6 => Reply::Stale,
        7 => Reply::Early(from.time()?),
        8 => Reply::Moved,
        9 => Reply::Busy(run(from)?),
        10 => Reply::MutexHeld(held(from)?),
        11 => Reply::Paused(pause(from)?),
        12 => Reply::Full,
        13 => Reply::NotFound,
        _ => return Err(Garbled),
    })
}

/// Events of one job that stand one after another.
pub(super) fn unpack_events(job: &JobName, bytes: &[u8]) -> Result<Vec<Event>, Garbled> {
    let from = &mut Reader::new(bytes);
    let mut events = Vec::new();
    while !from.is_empty() {
        events.push(event(job.clone(), from)?);
    }
    Ok(events)
}

pub(super) fn event(job: JobName, from: &mut Reader<'_>) -> Result<Event, Garbled> {
    from.list()?;
    let at = from.time()?;
    let what = match from.int()? {
        1u8 => What::Registered,
        2 => What::Passed(Pass {
            from: from.time()?,
            through: from.time()?,
            count: from.int()?,
            fate: word(&FATES, from)?,
        }),
        3 => What::Queued { run_id: run_id(from)?, scheduled_at: from.time()?, trigger: trigger(from)? },
        4 => What::Claimed {
            run_id: run_id(from)?,
            scheduled_at: from.time()?,
            trigger: trigger(from)?,
            attempt: from.int()?,
            fence: fence(from)?,
            holder: from.text()?,
        },
        5 => What::Published { run_id: run_id(from)?, fence: fence(from)? },
        6 => What::Started { run_id: run_id(from)?, attempt: from.int()?, fence: fence(from)?, holder: from.text()? },
        7 => What::Released { run_id: run_id(from)?, fence: fence(from)? },
        8 => What::Ended {
            run_id: run_id(from)?,
            attempt: from.int()?,
            fence: fence(from)?,
            ended: ended(from)?,
            next: from.maybe(next)?,
        },
        9 => {
            What::Fenced { run_id: run_id(from)?, fence: fence(from)?, tried: from.text()?, ended: from.maybe(ended)? }
        }
        10 => What::CancelAsked { run_id: run_id(from)?, by: from.text()? },
        11 => What::Paused {
            until: from.maybe(Reader::time)?,
            reason: from.maybe(Reader::text)?,
            by: from.maybe(Reader::text)?,
        },
        12 => What::Resumed { catch_up: from.flag()?, by: from.maybe(Reader::text)? },
        13 => What::Declined {
            run_id: run_id(from)?,
            scheduled_at: from.time()?,
            trigger: trigger(from)?,
            fate: word(&FATES, from)?,
        },
        14 => What::Overdue { due: from.time()?, last_success_at: from.maybe(Reader::time)? },
        15 => What::Recovered { overdue_since: from.time()? },
        16 => What::Slow { run_id: run_id(from)?, attempt: from.int()?, fence: fence(from)?, started_at: from.time()? },
        _ => return Err(Garbled),
    };
    Ok(Event { at, job, what })
}

fn ended(from: &mut Reader<'_>) -> Result<Ended, Garbled> {
    from.list()?;
    Ok(Ended {
        outcome: word(&OUTCOMES, from)?,
        exit_code: from.maybe(Reader::int)?,
        signal: from.maybe(Reader::int)?,
        message: from.maybe(Reader::text)?,
    })
}

fn next(from: &mut Reader<'_>) -> Result<Next, Garbled> {
    from.list()?;
    Ok(Next { attempt: from.int()?, at: from.time()? })
}

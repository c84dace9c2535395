//! Records and mutexes, as the scripts keep them.

use std::collections::BTreeMap;

use super::asked::{args_text, maybe_text, maybe_time, trigger_text};
use super::{Garbled, PHASES, Reader, Writer, code_of, word};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Fence, RunId, Token, Trigger};
use crate::record::{Held, Mutex, Open, Pause, Record};

/// A record, and its revision: it grows with every change, and goes on growing over a wiped store.
pub(in crate::store::redis) fn unpack_record(bytes: &[u8]) -> Result<(Record, u64), Garbled> {
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
        specs: chunks(from.bytes()?, |item| spec_of(u128::from_be_bytes(item))),
        fence: fence(&mut from)?,
        open: from.each(open)?,
        pauses: from.each(pause)?,
        last_success: from.maybe(Reader::time)?,
        asked: chunks(from.bytes()?, RunId::from_bytes),
        settled: chunks(from.bytes()?, |item| Fence(u64::from_be_bytes(item))),
        succeeded_at: None,
        overdue: None,
    };
    let revision = from.int()?;
    // What an older version wrote ends here.
    if places >= 11 {
        record.succeeded_at = from.maybe(Reader::time)?;
        record.overdue = from.maybe(Reader::time)?;
    }
    Ok((record, revision))
}

/// A record with its revision, as the scripts would pack it.
pub(in crate::store::redis) fn pack_record(record: &Record, revision: u64) -> Vec<u8> {
    let mut to = Writer::default();
    to.list(11);
    maybe_time(&mut to, record.cursor);
    to.chunks(record.specs.iter().map(|(spec, since)| u128_of(*spec, *since).to_be_bytes()));
    to.count(record.fence.0).list(record.open.len());
    record.open.iter().for_each(|run| put_open(&mut to, run));
    to.list(record.pauses.len());
    record.pauses.iter().for_each(|pause| put_pause(&mut to, pause));
    maybe_time(&mut to, record.last_success);
    to.chunks(record.asked.iter().map(|run| *run.as_bytes()));
    to.chunks(record.settled.iter().map(|fence| fence.0.to_be_bytes())).count(revision);
    maybe_time(&mut to, record.succeeded_at);
    maybe_time(&mut to, record.overdue);
    to.take()
}

fn put_open(to: &mut Writer, run: &Open) {
    to.list(15).bytes(run.run_id.as_bytes()).time(run.scheduled_at);
    to.bytes(trigger_text(&run.trigger)).bytes(args_text(&run.args));
    to.time(run.opened).int(code_of(&PHASES, &run.phase)).int(run.attempt).count(run.fence.0);
    maybe_text(to, run.token.as_ref().map(|token| token.0.as_str()));
    to.bytes(&run.holder).time(run.until).flag(run.cancel);
    maybe_text(to, run.mutex.as_deref());
    maybe_time(to, run.started_at);
    to.flag(run.slow);
}

fn put_pause(to: &mut Writer, pause: &Pause) {
    to.list(4).time(pause.since);
    maybe_time(to, pause.until);
    maybe_text(to, pause.reason.as_deref());
    maybe_text(to, pause.by.as_deref());
}

pub(in crate::store::redis) fn unpack_mutex(bytes: &[u8]) -> Result<Mutex, Garbled> {
    if bytes.is_empty() {
        return Ok(Mutex::default());
    }
    let mut from = Reader::new(bytes);
    from.list()?;
    Ok(Mutex { fence: fence(&mut from)?, held: from.maybe(held)? })
}

/// An instant as eight bytes that sort as instants do: counted from the first that there is, and in a double, as scripts
/// count, so that the last microseconds are rounded.
pub(in crate::store::redis) fn sortable(at: Timestamp) -> [u8; 8] {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as meant")]
    let counted = (at.as_micros() as f64 + 62_167_219_200_000_000.0) as u64;
    counted.to_be_bytes()
}

fn chunks<const N: usize, T, C: FromIterator<T>>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> C {
    bytes.as_chunks::<N>().0.iter().map(|item| read(*item)).collect()
}

/// A schedule's hash, and since when it was seen.
fn u128_of(spec: u64, since: Timestamp) -> u128 {
    u128::from(spec) << 64 | u128::from(since.as_micros().cast_unsigned())
}

#[allow(clippy::cast_possible_truncation, reason = "one half, then the other")]
fn spec_of(both: u128) -> (u64, Timestamp) {
    ((both >> 64) as u64, Timestamp::from_micros((both as u64).cast_signed()))
}

pub(super) fn fence(from: &mut Reader<'_>) -> Result<Fence, Garbled> {
    from.int().map(Fence)
}

pub(super) fn run_id(from: &mut Reader<'_>) -> Result<RunId, Garbled> {
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

pub(super) fn pause(from: &mut Reader<'_>) -> Result<Pause, Garbled> {
    from.list()?;
    Ok(Pause {
        since: from.time()?,
        until: from.maybe(Reader::time)?,
        reason: from.maybe(Reader::text)?,
        by: from.maybe(Reader::text)?,
    })
}

pub(super) fn held(from: &mut Reader<'_>) -> Result<Held, Garbled> {
    from.list()?;
    Ok(Held { job: job(from)?, run_id: run_id(from)?, fence: fence(from)?, holder: from.text()?, until: from.time()? })
}

pub(in crate::store::redis) fn job(from: &mut Reader<'_>) -> Result<JobName, Garbled> {
    JobName::new(from.str()?).map_err(|_| Garbled)
}

pub(super) fn trigger(from: &mut Reader<'_>) -> Result<Trigger, Garbled> {
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

//! What an operation will come to if its record is still the one that was last heard of: worked out here by
//! [`record::apply`], so that the server need only compare and write.
//!
//! It takes a rehearsal if the record is byte for byte the one it was made with, as of when it was made: that may have been
//! a moment ago by its clock, never is it later. No operation on that record came in between, so nobody can tell it from one
//! carried out then. Where it is not so the operation itself is asked, and carried out there by the same rules.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::batch::{Asking, Request, TAKEN};
use super::history::place;
use super::wire::{Garbled, Writer};
use super::{Redis, pack};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::RunId;
use crate::ledger::{Event, What};
use crate::plan::View;
use crate::record::{self, Mutex, Op, Record, Reply, State};
use crate::store::{Answer, StoreError};

/// So long nothing is rehearsed after the server has not taken what was.
const ASKS: Duration = Duration::from_secs(3);

/// A record that is larger is not told to everybody, as reads.lua has it.
const NEWS: usize = 16_384;

/// One operation, carried out on what was heard.
pub(super) struct Rehearsal {
    reply: Reply,
    /// The record that comes of it.
    record: Record,
    events: Vec<Event>,
    /// As of when.
    at: Timestamp,
    /// The record before, packed, and its revision.
    before: Arc<[u8]>,
    revision: u64,
    /// It is to win or to decide something.
    bids: bool,
    /// The record is other than before, or something is to be told.
    is_change: bool,
}

impl Rehearsal {
    /// Carries out `op` on the record `before` at `at`, which is not before now by the store's clock. `None` where that is not
    /// all that counts.
    pub(super) fn of(job: &JobName, op: &Op, before: Arc<[u8]>, at: Timestamp) -> Option<Rehearsal> {
        let bids = match op {
            Op::Claim(bid) if bid.mutex.is_some() => return None,
            Op::Claim(_) | Op::Decide { .. } | Op::Reap { .. } => true,
            Op::Published { .. } | Op::Start { .. } | Op::Renew { .. } | Op::Settle { .. } | Op::Release { .. } => {
                false
            }
            _ => return None,
        };
        let (mut record, revision) = pack::unpack_record(&before).ok()?;
        // Who holds a mutex stands elsewhere.
        if record.open.iter().any(|run| run.mutex.is_some()) {
            return None;
        }
        let mut mutex = Mutex::default();
        let state = State { job, record: &mut record, mutex: &mut mutex };
        let (reply, events) = record::apply(state, op, at);
        // Nothing changes without an event but a lease's end.
        let is_change = !events.is_empty() || pack::unpack_record(&before).is_ok_and(|(was, _)| was != record);
        Some(Rehearsal { reply, record, events, at, before, revision, bids, is_change })
    }

    /// The answer, given when the store's clock read `now`.
    pub(super) fn answer(self, now: Timestamp) -> Answer {
        let view = View { now, record: self.record, mutex: Mutex::default() };
        Answer { reply: self.reply, view, events: self.events }
    }

    /// Whether it is a bid that is refused for ever: its occurrence is decided, or its run not as it was.
    pub(super) fn is_lost(&self) -> bool {
        let is_refused = matches!(self.reply, Reply::Stale | Reply::Moved);
        self.bids && is_refused && !self.is_change
    }

    /// What the server is to write, if it would change the record and no line of history but that of one run.
    pub(super) fn pack(&self, job: &JobName) -> Option<Packed> {
        if !self.is_change {
            return None;
        }
        let (mut events, mut adds, mut run, mut due) = (Writer::default(), Vec::new(), None, None);
        for event in &self.events {
            let packed = events.bytes(job.as_str()).len();
            pack::put_event(&mut events, event)?;
            let Some(run_id) = run_of(&event.what) else { continue };
            if run.is_some_and(|known| known != run_id) {
                return None;
            }
            if let (None, What::Claimed { scheduled_at, .. }) = (run, &event.what) {
                due = Some(*scheduled_at);
            }
            run = Some(run_id);
            adds.extend_from_slice(events.since(packed));
        }
        let revision = (self.revision + 1).max(self.at.as_micros().unsigned_abs());
        let after = pack::pack_record(&self.record, revision);
        let mut told = Writer::default();
        told.bytes(job.as_str()).count(revision);
        told.bytes(if after.len() <= NEWS { &after[..] } else { &[] });
        told.flag(self.events.iter().any(|event| event.what.invites()));
        Some(Packed {
            before: self.before.clone(),
            after: after.into(),
            revision,
            at: self.at,
            count: self.events.len(),
            events: events.take(),
            told: told.take(),
            line: run.map_or_else(Vec::new, |run| line_of(job, run, due)),
            adds,
            due: due.map_or_else(String::new, |due| due.as_micros().to_string()),
        })
    }
}

impl Redis {
    /// Carries out an operation by what it comes to on the record that was heard. `None` if it has to be asked.
    pub(super) async fn apply_rehearsed(
        &self,
        job: &JobName,
        op: &Op,
        before: Arc<[u8]>,
        request: impl FnOnce(Asking) -> Request + Send,
    ) -> Result<Option<Answer>, StoreError> {
        let (Some(now), Some(at)) = (self.server.reckon(), self.server.at_most()) else { return Ok(None) };
        let known = before.clone();
        let Some(rehearsal) = Rehearsal::of(job, op, before, at) else { return Ok(None) };
        // What is so for ever the server need not be asked.
        if rehearsal.is_lost() {
            return Ok(Some(rehearsal.answer(now)));
        }
        let is_worth_it =
            self.asks_until.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|at| at < Instant::now());
        let Some(packed) = rehearsal.pack(job).filter(|_| is_worth_it) else { return Ok(None) };
        let revision = packed.revision;
        let raw = self.lane.ask(request(Asking::Rehearsed(packed))).await?;
        if raw.reply == TAKEN {
            self.rehearsed.fetch_add(1, Ordering::Relaxed);
            self.server.heard.learn(job, revision, raw.record.clone());
            self.confirm(op, &rehearsal.reply, &raw.by).await?;
            return Ok(Some(rehearsal.answer(at)));
        }
        if raw.record == known {
            // It is slow, or grants nothing now: whatever is asked would travel twice.
            *self.asks_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + ASKS);
        }
        // Another was quicker, most of the time.
        let view = self.view_of(job, &raw).map_err(|Garbled| self.server.garbled())?;
        let again = Rehearsal::of(job, op, raw.record, view.now).filter(Rehearsal::is_lost);
        Ok(again.map(|lost| lost.answer(view.now)))
    }
}

/// The run whose line of history an event adds to.
fn run_of(what: &What) -> Option<RunId> {
    match what {
        What::Claimed { run_id, .. }
        | What::Published { run_id, .. }
        | What::Started { run_id, .. }
        | What::Released { run_id, .. }
        | What::Ended { run_id, .. } => Some(*run_id),
        _ => None,
    }
}

/// How the line of a run is named; if it may be new, with what it is found by.
fn line_of(job: &JobName, run: RunId, due: Option<Timestamp>) -> Vec<u8> {
    let mut line = due.map_or_else(Vec::new, |_| place(job, b'r'));
    line.extend(due.map(pack::sortable).into_iter().flatten());
    line.extend_from_slice(run.as_bytes());
    line
}

/// A rehearsal as it travels.
pub(super) struct Packed {
    before: Arc<[u8]>,
    pub(super) after: Arc<[u8]>,
    revision: u64,
    at: Timestamp,
    /// How many events.
    count: usize,
    pub(super) events: Vec<u8>,
    /// What all are told of the record.
    told: Vec<u8>,
    line: Vec<u8>,
    adds: Vec<u8>,
    due: String,
}

impl Packed {
    /// How much of it there is.
    pub(super) fn size(&self) -> usize {
        let texts = [&self.before[..], &self.after, &self.events, &self.told, &self.line, &self.adds];
        texts.map(<[u8]>::len).iter().sum()
    }

    /// What reads.lua takes of each.
    pub(super) fn args<'a>(&'a self, job: &'a JobName) -> [&'a [u8]; 6] {
        [job.as_str().as_bytes(), &self.before, &self.after, &self.line, &self.adds, self.due.as_bytes()]
    }
}

/// What reads.lua takes of all rehearsals of a call.
pub(super) fn about(all: &[&Packed]) -> [Vec<u8>; 7] {
    let text = |number: i64| number.to_string().into_bytes();
    let number = |count: usize| text(i64::try_from(count).unwrap_or(i64::MAX));
    let times = || all.iter().map(|packed| packed.at.as_micros());
    let joined = |part: fn(&Packed) -> &[u8]| all.iter().map(|packed| part(packed)).collect::<Vec<_>>().concat();
    let mut sizes = Writer::default();
    sizes.list(all.len() * 3);
    for packed in all {
        sizes.count(packed.told.len() as u64).count(packed.events.len() as u64).count(packed.count as u64);
    }
    [
        number(all.len()),
        text(times().min().unwrap_or_default()),
        text(times().max().unwrap_or_default()),
        number(all.iter().map(|packed| packed.count).sum()),
        joined(|packed| &packed.told),
        joined(|packed| &packed.events),
        sizes.take(),
    ]
}

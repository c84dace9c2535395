//! What this process knows of the data: which it is, and the latest of what was told of it. A server
//! that loses it can be given it back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::past::Past;
use super::wire::{Garbled, Reader, Writer};
use crate::clock::Timestamp;
use crate::job::{JobName, Quick};
use crate::store::Repair;

/// What the server last said of itself counts for so long.
const FRESH: Duration = Duration::from_secs(6);

/// Records remembered: as many of those that changed last, and up to twice as many.
const RECORDS: usize = 50_000;

/// What a script says of the data with every answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Header {
    /// The store's clock.
    pub(super) now: Timestamp,
    /// How far the events have come.
    pub(super) position: u64,
    /// How many of them are of this call.
    pub(super) told: u64,
    /// Which data it is: other after it was wiped.
    pub(super) born: String,
    /// How often its gate was closed.
    pub(super) epoch: u64,
    /// Until when nothing is granted, if so.
    pub(super) closed: Option<Timestamp>,
    /// Who the server is, if it may say.
    pub(super) server: String,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Result<Header, Garbled> {
        let mut from = Reader::new(bytes);
        let (now, position, told) = (from.time()?, from.int()?, from.int()?);
        let (born, epoch, closed) = (from.text()?, from.int()?, from.time()?);
        let closed = (closed != Timestamp::EPOCH).then_some(closed);
        Ok(Header { now, position, told, born, epoch, closed, server: from.text()? })
    }

    /// Which gate it is that is closed.
    pub(super) fn gate(&self) -> Gate {
        Gate { epoch: self.epoch, born: self.born.clone(), server: self.server.clone() }
    }
}

/// A gate that was closed. The number alone is not enough: data that is lost while it is closed takes the number along.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gate {
    epoch: u64,
    born: String,
    server: String,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.epoch, self.born, self.server)
    }
}

/// Records by their jobs, packed, each with its revision.
type Records = Quick<JobName, (u64, Arc<[u8]>)>;

/// What is known, and what became of the data.
#[derive(Default)]
pub(super) struct Known {
    held: Mutex<Held>,
    pub(super) repair: watch::Sender<Repair>,
}

#[derive(Default)]
struct Held {
    born: String,
    epoch: u64,
    position: u64,
    /// When it was last asked how far they have come.
    asked: Option<Instant>,
    past: Past,
    /// The newest record of each job that is not heard of now, and its revision; what has not changed for long is in the
    /// second.
    records: [Records; 2],
    /// The gate for which this process teaches.
    teaching: Option<Gate>,
}

/// What changed with an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    None,
    /// The gate is closed: what is known is to be given back.
    Closed,
    /// It is open again.
    Opened,
}

impl Known {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What every call says of it, as the scripts read it.
    pub(super) fn args(&self) -> [Vec<u8>; 3] {
        let held = self.held();
        [held.born.clone().into_bytes(), held.epoch.to_string().into_bytes(), held.position.to_string().into_bytes()]
    }

    /// Takes in what a script said.
    pub(super) fn note(&self, header: &Header) -> Turn {
        let mut held = self.held();
        if header.closed.is_some() {
            let gate = header.gate();
            let begins = held.teaching.as_ref() != Some(&gate);
            held.teaching = Some(gate);
            return if begins { Turn::Closed } else { Turn::None };
        }
        let same = (&*held.born, held.epoch) == (&*header.born, header.epoch);
        held.position = if same { held.position.max(header.position) } else { header.position };
        (held.born, held.epoch) = (header.born.clone(), header.epoch);
        if held.teaching.as_ref().is_some_and(|gate| gate.epoch <= header.epoch || gate.born != header.born) {
            held.teaching = None;
            return Turn::Opened;
        }
        Turn::None
    }

    /// The server was asked at `asked` how far its events have come, and said so.
    pub(super) fn glanced(&self, asked: Instant) {
        let mut held = self.held();
        held.asked = held.asked.max(Some(asked));
        held.past.tidy();
    }

    /// How far the events have come at least, if the server was asked lately.
    pub(super) fn head(&self) -> Option<u64> {
        let held = self.held();
        let is_fresh = held.asked.is_some_and(|asked| asked.elapsed() < FRESH);
        (is_fresh && held.teaching.is_none()).then_some(held.position)
    }

    /// A call was told to everybody.
    pub(super) fn hear(&self, page: Vec<u8>) {
        let mut from = Reader::new(&page);
        if let (Ok(position), Ok(1u64..)) = (from.int(), from.int::<u64>()) {
            self.held().past.add(position, page);
        }
    }

    /// Whether the call up to `position`, which was answered just now, is known.
    pub(super) fn has(&self, position: u64) -> bool {
        self.held().past.has(position)
    }

    /// A call of our own was answered: `records` are those after it.
    pub(super) fn answered(&self, header: &Header, records: &BTreeMap<&JobName, &[u8]>, events: &[u8]) {
        let mut to = Writer::default();
        to.count(header.position).count(header.told).list(records.len() * 4);
        for (job, record) in records {
            // As it is told to all, with a revision that is in the record as well.
            to.bytes(job.as_str()).count(0).bytes(record).flag(false);
        }
        let page = to.bytes(events).take();
        self.held().past.add(header.position, page);
    }

    /// A record came that nobody hears of, or nobody any more.
    pub(super) fn learn(&self, job: &JobName, revision: u64, packed: &Arc<[u8]>) {
        if packed.is_empty() {
            return;
        }
        let mut held = self.held();
        if let Some((known, old)) = held.records[0].get_mut(job) {
            if *known <= revision {
                (*known, *old) = (revision, packed.clone());
            }
            return;
        }
        if held.records[1].get(job).is_some_and(|(known, _)| *known > revision) {
            return;
        }
        if held.records[0].len() >= RECORDS {
            held.records.swap(0, 1);
            held.records[0].clear();
        }
        held.records[0].insert(job.clone(), (revision, packed.clone()));
    }

    /// The newest record of a job that was learnt, and its revision.
    pub(super) fn record(&self, job: &JobName) -> Option<(u64, Arc<[u8]>)> {
        self.held().records.iter().find_map(|records| records.get(job)).cloned()
    }

    /// All records, with their revisions.
    pub(super) fn records(&self) -> BTreeMap<JobName, (u64, Arc<[u8]>)> {
        let held = self.held();
        held.records.iter().rev().flatten().map(|(job, record)| (job.clone(), record.clone())).collect()
    }

    /// The calls after `position`.
    pub(super) fn pages(&self, position: u64) -> Vec<(u64, Vec<u8>)> {
        self.held().past.after(position)
    }

    /// Whether this gate is still closed, as far as is known.
    pub(super) fn is_teaching(&self, gate: &Gate) -> bool {
        self.held().teaching.as_ref() == Some(gate)
    }

    /// Which data was known, and how far.
    pub(super) fn data(&self) -> (String, u64) {
        let held = self.held();
        (held.born.clone(), held.position.max(held.past.last()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(born: &str, epoch: u64, position: u64, closed: bool) -> Header {
        let closed = closed.then(|| Timestamp::from_secs(9));
        Header { born: born.into(), epoch, position, closed, ..Header::default() }
    }

    #[test]
    fn a_gate_is_taught_at_once_and_its_opening_is_told_once() {
        let known = Known::default();
        assert_eq!(known.note(&header("a", 1, 10, false)), Turn::None);
        assert_eq!(known.note(&header("a", 2, 4, true)), Turn::Closed);
        assert_eq!(known.note(&header("a", 2, 4, true)), Turn::None);
        assert_eq!(known.note(&header("a", 3, 4, true)), Turn::Closed, "it failed over again");
        assert_eq!(known.note(&header("b", 3, 0, true)), Turn::Closed, "it was wiped while its gate was closed");
        assert_eq!(known.args()[2], b"10", "what is known stays known until it is given back");
        assert_eq!(known.note(&header("b", 3, 12, false)), Turn::Opened);
        assert_eq!(known.note(&header("b", 3, 13, false)), Turn::None);
        assert_eq!(known.args().map(|arg| String::from_utf8(arg).unwrap()), ["b", "3", "13"]);
    }
}

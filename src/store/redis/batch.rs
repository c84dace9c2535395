//! What travels in one call of the script, and what comes back.

use std::borrow::Cow;
use std::sync::Arc;

use redis::Value;

use super::known::Header;
use super::lane::Haste;
use super::rehearsal::{self, Packed};
use super::wire::Reader;
use crate::clock::Timestamp;
use crate::job::JobName;

/// The server took what was rehearsed.
pub(super) const TAKEN: &[u8] = b"taken";

/// The server's answer to one operation, still packed.
pub(super) struct Raw {
    pub(super) now: Timestamp,
    /// How far the events have come.
    pub(super) position: u64,
    /// Who answered, if it may say.
    pub(super) by: Arc<str>,
    /// [`TAKEN`] where it took the rehearsal, whose record is here then; nothing where it did not.
    pub(super) reply: Cow<'static, [u8]>,
    pub(super) record: Arc<[u8]>,
    pub(super) mutex: Vec<u8>,
    pub(super) events: Vec<u8>,
}

/// What is asked.
pub(super) enum Asking {
    /// An operation, packed.
    Op(Vec<u8>),
    /// To write what it comes to, if the record is as it was heard.
    Rehearsed(Packed),
}

/// One operation on its way.
pub(super) struct Request {
    /// Whose record it is about, if any's.
    pub(super) job: Option<JobName>,
    pub(super) asked: Asking,
    pub(super) haste: Haste,
    /// It must wait while the server's memory is full, as new claims must; what goes on must not.
    pub(super) is_wary: bool,
}

impl Request {
    /// How it stands. What its clock reads counts as of when that was asked, so it goes at once.
    pub(super) fn glance() -> Request {
        Request { job: None, asked: Asking::Op(Vec::new()), haste: Haste::Now, is_wary: false }
    }

    /// How much work it is, in bytes of what was rehearsed: to carry out an operation is as much as to write several.
    pub(super) fn size(&self) -> usize {
        match &self.asked {
            Asking::Op(op) => op.len() * 4,
            Asking::Rehearsed(packed) => packed.size(),
        }
    }
}

/// The requests of one call, in the order in which they are carried out: first what was rehearsed.
pub(super) struct Batch<'a> {
    rehearsed: Vec<(usize, &'a JobName, &'a Packed)>,
    /// What was not, each with its place among all, and its job, if it is about one.
    others: Vec<(usize, &'a str, &'a [u8])>,
}

impl<'a> Batch<'a> {
    pub(super) fn of(asked: &[&'a Request]) -> Batch<'a> {
        let mut batch = Batch { rehearsed: Vec::new(), others: Vec::new() };
        for (place, request) in asked.iter().enumerate() {
            match (&request.asked, &request.job) {
                (Asking::Rehearsed(packed), Some(job)) => batch.rehearsed.push((place, job, packed)),
                (Asking::Rehearsed(_), None) => {}
                (Asking::Op(op), job) => batch.others.push((place, job.as_ref().map_or("", JobName::as_str), op)),
            }
        }
        batch
    }

    /// What reads.lua takes of all that was rehearsed.
    pub(super) fn about(&self) -> [Vec<u8>; 7] {
        rehearsal::about(&self.rehearsed.iter().map(|(_, _, packed)| *packed).collect::<Vec<_>>())
    }

    /// What it takes of each.
    pub(super) fn args(&self) -> impl Iterator<Item = &'a [u8]> {
        let rehearsed = self.rehearsed.iter().flat_map(|(_, job, packed)| packed.args(job));
        rehearsed.chain(self.others.iter().flat_map(|(_, job, op)| [job.as_bytes(), op]))
    }

    /// What the server answered to each, in the order in which they were asked.
    pub(super) fn unpack(&self, answer: Value) -> Option<(Header, Vec<Raw>)> {
        let Value::Array(parts) = answer else { return None };
        let mut parts = parts.into_iter().map(|part| match part {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        });
        let mut next = || parts.next().flatten();
        let header = Header::read(&next()?).ok()?;
        let refused = match &next()?[..] {
            [] => Vec::new(),
            list => Reader::new(list).each(Reader::int::<usize>).ok()?,
        };
        let by = Arc::<str>::from(header.server.as_str());
        let none = || Raw {
            now: header.now,
            position: header.position,
            by: by.clone(),
            reply: Cow::default(),
            record: Arc::default(),
            mutex: Vec::new(),
            events: Vec::new(),
        };
        let mut raws: Vec<(usize, Raw)> = Vec::with_capacity(self.rehearsed.len() + self.others.len());
        let mut refused = refused.into_iter().peekable();
        for (number, (place, _, packed)) in self.rehearsed.iter().enumerate() {
            let raw = if refused.next_if_eq(&(number + 1)).is_some() {
                Raw { record: next()?.into(), ..none() }
            } else {
                Raw { reply: TAKEN.into(), record: packed.after.clone(), ..none() }
            };
            raws.push((*place, raw));
        }
        for (place, _, _) in &self.others {
            let (reply, record, mutex, events) = (next()?.into(), next()?.into(), next()?, next()?);
            raws.push((*place, Raw { reply, record, mutex, events, ..none() }));
        }
        raws.sort_unstable_by_key(|(place, _)| *place);
        Some((header, raws.into_iter().map(|(_, raw)| raw).collect()))
    }
}

//! What is known without asking: records as they were announced, and what the server's clock must
//! read by now. On one connection announcements come in order and none is lost; when it ends, all
//! of it is forgotten.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indexmap::IndexSet;
use tokio::sync::watch;
use tokio::time::Instant;

use super::known::Known;
use super::link::News;
use super::said::Said;
use super::wire::{Garbled, Reader};
use crate::clock::Timestamp;
use crate::job::{ByName, JobName};

/// Records heard of at most, as many as are known of before; beyond, all are asked for anew.
const RECORDS: usize = 100_000;

/// Announcements remembered, for a listener that was busy.
const CALLS: usize = 1024;

/// Readings of the clock among which the quickest counts.
const SAMPLES: usize = 8;

/// A clock not read for so long is not reckoned with.
const STALE: Duration = Duration::from_secs(10);

/// A clock that is off by more than this and the doubt about it was set.
const STEP: Duration = Duration::from_millis(20);

/// What is known without asking.
#[derive(Default)]
pub(super) struct Heard {
    held: Mutex<Held>,
    known: Arc<Known>,
    /// Rung when something was said, or a new connection listens.
    pub(super) bell: watch::Sender<()>,
}

#[derive(Default)]
struct Held {
    /// Somebody wants to hear. A process that asks one thing and ends does not.
    wanted: bool,
    /// A connection is there, and nothing since it began was missed.
    listening: bool,
    /// By job: its revision, and the record, packed. What is let go of is known still.
    records: ByName<(u64, Arc<[u8]>)>,
    /// The events after one position up to another invited to these jobs.
    calls: VecDeque<(u64, u64, Vec<JobName>)>,
    samples: VecDeque<Sample>,
    /// The quickest of them.
    best: Option<Sample>,
    /// Of which some was said.
    said: Said,
}

/// At `at`, give or take `doubt`, the server's clock read `read`.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    read: Timestamp,
    doubt: Duration,
}

impl Heard {
    /// What is no longer heard of is `known` from then on.
    pub(super) fn knowing(known: Arc<Known>) -> Heard {
        Heard { known, ..Heard::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on what is heard is remembered.
    pub(super) fn want(&self) {
        self.held().wanted = true;
    }

    /// Takes in what the server said.
    pub(super) fn hear(&self, news: &News) {
        let mut held = self.held();
        match news {
            News::Fresh | News::Gone => {
                held.listening = matches!(news, News::Fresh);
                held.said = Said::default();
                held.let_go(&self.known);
                held.calls.clear();
                // It may be another server, with another clock.
                held.samples.clear();
                held.best = None;
            }
            News::Said(bytes) => match held.said.take_in(bytes) {
                Ok(Some(page)) => {
                    if held.take_in(&page, &self.known).is_err() {
                        held.let_go(&self.known);
                    }
                    self.known.hear(page);
                }
                // The rest follows.
                Ok(None) => return,
                // Said by another program, or a newer version: what is asked for directly still holds.
                Err(Garbled) => held.let_go(&self.known),
            },
        }
        drop(held);
        self.bell.send_replace(());
    }

    /// Something was not heard that should have been: no record can be relied on.
    pub(super) fn forget(&self) {
        let mut held = self.held();
        held.let_go(&self.known);
        held.calls.clear();
    }

    /// Remembers a record that came with an answer.
    pub(super) fn learn(&self, job: &JobName, revision: u64, packed: Arc<[u8]>) {
        // It is a name.
        let _ = self.held().learn(job.as_str(), revision, packed, &self.known);
    }

    /// The newest record of a job that was seen.
    pub(super) fn newest(&self, job: &JobName) -> Option<Arc<[u8]>> {
        let held = self.held();
        let heard = held.records.get(job).cloned();
        heard.into_iter().chain(self.known.record(job)).max_by_key(|(revision, _)| *revision).map(|(_, packed)| packed)
    }

    /// The record of a job as it was last announced.
    pub(super) fn record(&self, job: &JobName) -> Option<Arc<[u8]>> {
        let held = self.held();
        held.records.get(job).filter(|_| held.wanted && held.listening).map(|(_, packed)| packed.clone())
    }

    /// The jobs of the events after `seen`, and up to where they are known without a gap.
    pub(super) fn changes_after(&self, seen: u64) -> Option<(u64, Vec<JobName>)> {
        let held = self.held();
        let mut upto = seen;
        let mut jobs: IndexSet<JobName, foldhash::fast::RandomState> = IndexSet::default();
        for (after, last, names) in &held.calls {
            if *after <= upto && *last > upto {
                upto = *last;
                jobs.extend(names.iter().cloned());
            }
        }
        (upto > seen).then_some((upto, jobs.into_iter().collect()))
    }

    /// The server's clock read `read` between `asked` and now.
    pub(super) fn sample(&self, asked: Instant, read: Timestamp) {
        let doubt = asked.elapsed() / 2;
        let mut held = self.held();
        if let Some(best) = held.best {
            let reckoned = best.read.plus((asked + doubt).saturating_duration_since(best.at));
            let off = Duration::from_micros(read.as_micros().abs_diff(reckoned.as_micros()));
            if off > doubt + best.doubt + STEP {
                // Another server, or its clock was set: what was read before is worth nothing.
                held.samples.clear();
            }
        }
        if held.samples.len() == SAMPLES {
            held.samples.pop_front();
        }
        held.samples.push_back(Sample { at: asked + doubt, read, doubt });
        held.best = held.samples.iter().min_by_key(|sample| sample.doubt).copied();
    }

    /// What the server's clock reads now, by the quickest of the latest readings.
    pub(super) fn now(&self) -> Option<Timestamp> {
        self.held().reading().map(|(now, _)| now)
    }

    /// What it reads at most.
    pub(super) fn at_most(&self) -> Option<Timestamp> {
        self.held().reading().map(|(now, doubt)| now.plus(doubt))
    }

    /// What it reads at least.
    pub(super) fn reached(&self) -> Option<Timestamp> {
        self.held().reading().map(|(now, doubt)| now.minus(doubt))
    }
}

impl Held {
    /// What the server's clock reads now, give or take so much.
    fn reading(&self) -> Option<(Timestamp, Duration)> {
        let (last, best, now) = (self.samples.back()?, self.best?, Instant::now());
        (now - last.at < STALE).then(|| (best.read.plus(now - best.at), best.doubt))
    }

    fn take_in(&mut self, bytes: &[u8], known: &Known) -> Result<(), Garbled> {
        let from = &mut Reader::new(bytes);
        let (position, told): (u64, u64) = (from.int()?, from.int()?);
        let mut names = Vec::new();
        for _ in 0..from.list()? / 4 {
            let (name, revision, packed) = (from.str()?, from.int()?, from.bytes()?);
            let job = self.learn(name, revision, packed.into(), known)?;
            if from.flag()? {
                names.push(job);
            }
        }
        if told > 0 {
            if self.calls.len() == CALLS {
                self.calls.pop_front();
            }
            self.calls.push_back((position.saturating_sub(told), position, names));
        }
        Ok(())
    }

    /// Remembers a record of the job of this name.
    fn learn(&mut self, name: &str, revision: u64, packed: Arc<[u8]>, known: &Known) -> Result<JobName, Garbled> {
        let hears = self.wanted && self.listening;
        if hears && let Some((at, job, (last, old))) = self.records.get_full_mut(name) {
            let job = job.clone();
            if !packed.is_empty() && *last <= revision {
                (*last, *old) = (revision, packed);
            } else if let Some((_, (last, old))) = self.records.swap_remove_index(at) {
                // Gone, or too large to be told to everybody. Or an answer that was overtaken, or records that were put back
                // as they had been: only the server knows.
                known.learn(&job, last, &old);
            }
            return Ok(job);
        }
        let job = JobName::new(name).map_err(|_| Garbled)?;
        if !hears {
            known.learn(&job, revision, &packed);
        } else if !packed.is_empty() {
            if self.records.len() >= RECORDS {
                self.let_go(known);
            }
            self.records.insert(job.clone(), (revision, packed));
        }
        Ok(job)
    }

    /// Relies on no record any more. What they were is known, for a server that loses them.
    fn let_go(&mut self, known: &Known) {
        for (job, (revision, packed)) in std::mem::take(&mut self.records) {
            known.learn(&job, revision, &packed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Writer;
    use super::*;

    /// One record, told to all.
    fn said(revision: u64, record: &str) -> News {
        let mut page = Writer::default();
        page.count(revision).count(1).list(4).bytes("a").count(revision).bytes(record).flag(true).bytes("");
        News::Said(page.take())
    }

    #[test]
    fn what_is_heard_no_longer_is_known_still_and_never_an_older_record() {
        let known = Arc::new(Known::default());
        let heard = Heard::knowing(known.clone());
        let job = JobName::new("a").unwrap();
        let text = |record: Option<Arc<[u8]>>| record.map(|record| String::from_utf8(record.to_vec()).unwrap());
        let newest = || text(heard.newest(&job)).unwrap();
        heard.hear(&said(1, "before anybody wanted to hear"));
        assert_eq!((text(heard.record(&job)), &*newest()), (None, "before anybody wanted to hear"));
        heard.want();
        heard.hear(&News::Fresh);
        heard.hear(&said(3, "third"));
        heard.hear(&said(4, "fourth"));
        assert_eq!((text(heard.record(&job)).as_deref(), &*newest()), (Some("fourth"), "fourth"));
        assert_eq!(heard.changes_after(3), Some((4, vec![job.clone()])));
        heard.learn(&job, 2, b"put back"[..].into());
        assert_eq!((text(heard.record(&job)), &*newest()), (None, "fourth"), "only the server knows");
        heard.learn(&job, 2, b"put back"[..].into());
        assert_eq!((text(heard.record(&job)).as_deref(), &*newest()), (Some("put back"), "fourth"));
        heard.hear(&said(5, ""));
        assert_eq!((text(heard.record(&job)), &*newest()), (None, "fourth"), "it is too large to be told");
        heard.hear(&said(6, "sixth"));
        heard.hear(&News::Gone);
        assert_eq!((text(heard.record(&job)), &*newest()), (None, "sixth"));
        assert_eq!(known.records()[&job].0, 6, "a server that lost it is given it back");
    }
}

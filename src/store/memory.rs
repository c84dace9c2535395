//! A store in the memory of one process: for tests, simulations and programs that need no more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex as Lock, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};
use crate::job::{JobName, Keep};
use crate::lease::{Fence, RunId};
use crate::ledger::{Entry, Event};
use crate::plan::View;
use crate::record::{self, Mutex, Op, Open, Phase, Record};
use crate::store::{
    Answer, Collection, Document, Draft, Outbox, Piece, Query, Repair, Replica, Snapshot, Span, Store, StoreError,
};

/// All of it behind one lock, which is never held over an await.
pub struct Memory {
    clock: Clock,
    held: Lock<Held>,
    position: watch::Sender<u64>,
}

#[derive(Clone, Default)]
struct Held {
    truth: Truth,
    events: Vec<Event>,
    entries: BTreeMap<String, Entry>,
    output: BTreeMap<RunId, BTreeMap<(Fence, u64), Piece>>,
    replicas: BTreeMap<String, Replica>,
    outboxes: BTreeMap<Outbox, HeldOutbox>,
    documents: BTreeMap<(Collection, String), Document>,
}

/// What operations read and change.
#[derive(Clone, Default)]
struct Truth {
    now: Timestamp,
    records: BTreeMap<JobName, Record>,
    mutexes: BTreeMap<String, Mutex>,
}

/// Who passes events on, until when, and how far they are passed on.
#[derive(Clone)]
struct HeldOutbox {
    holder: String,
    until: Timestamp,
    mark: u64,
}

impl Memory {
    /// An empty store that reads its time from `clock`.
    pub fn new(clock: Clock) -> Self {
        Memory { clock, held: Lock::default(), position: watch::channel(1).0 }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks `op` of a job's record, without waiting for anything.
    pub fn ask(&self, job: &JobName, op: &Op) -> Answer {
        let mut held = self.held();
        let now = held.tick(&self.clock);
        let answer = held.apply(job, op, now);
        let position = held.events.len() as u64 + 1;
        drop(held);
        if answer.events.iter().any(|event| event.what.invites()) {
            self.position.send_replace(position);
        }
        answer
    }

    /// A job's record.
    pub fn record(&self, job: &JobName) -> Record {
        self.held().truth.records.get(job).cloned().unwrap_or_default()
    }

    /// All records.
    pub fn all(&self) -> Snapshot {
        let mut held = self.held();
        held.tick(&self.clock);
        let Truth { now, records, mutexes } = held.truth.clone();
        Snapshot { now, records: records.into(), mutexes }
    }

    /// How many events there were.
    pub fn count(&self) -> usize {
        self.held().events.len()
    }

    /// The same data once more: for tests of what becomes of data that is lost.
    #[must_use]
    pub fn copy(&self) -> Memory {
        let held = self.held().clone();
        Memory { clock: self.clock.clone(), held: Lock::new(held), position: watch::channel(1).0 }
    }

    /// Takes over the data of another; its time does not go back.
    pub fn become_like(&self, other: &Memory) {
        let mut held = self.held();
        let now = held.truth.now;
        *held = other.held().clone();
        held.truth.now = now;
        self.position.send_replace(held.events.len() as u64 + 1);
    }

    /// Puts back what was told of a job after its record was lost, and with `record` what it was then.
    pub fn put_back(&self, job: &JobName, events: &[Event], record: Option<Record>) {
        let mut held = self.held();
        held.tell(events);
        if let Some(record) = record {
            held.restore(job, record);
        }
        let position = held.events.len() as u64 + 1;
        drop(held);
        self.position.send_replace(position);
    }
}

impl Held {
    /// Like every store: its time never goes back, whatever its clock does.
    fn tick(&mut self, clock: &Clock) -> Timestamp {
        self.truth.now = self.truth.now.max(clock.now());
        self.truth.now
    }

    fn apply(&mut self, job: &JobName, op: &Op, now: Timestamp) -> Answer {
        let record = self.truth.records.entry(job.clone()).or_default();
        let name = op.mutex(record).map(str::to_owned);
        let mut none = Mutex::default();
        let mutex = match &name {
            Some(name) => self.truth.mutexes.entry(name.clone()).or_default(),
            None => &mut none,
        };
        let (reply, events) = record::apply(record::State { job, record, mutex }, op, now);
        let view = View { now, record: record.clone(), mutex: mutex.clone() };
        self.tell(&events);
        Answer { reply, view, events }
    }

    fn tell(&mut self, events: &[Event]) {
        for event in events {
            if let Some(id) = Entry::id_of(event) {
                let before = self.entries.remove(&id);
                if let Some(entry) = Entry::fold(before, event) {
                    self.entries.insert(id, entry);
                }
            }
        }
        self.events.extend(events.iter().cloned());
    }

    /// Gives a job a record, and its runs the mutexes that they hold in it.
    fn restore(&mut self, job: &JobName, mut record: Record) {
        let own = self.truth.records.get(job);
        for run in &mut record.open {
            let same = |other: &&Open| (other.run_id, other.fence, other.phase) == (run.run_id, run.fence, run.phase);
            // Renewed since.
            let renewed = own.and_then(|own| own.open.iter().find(same)).map(|other| other.until);
            run.until = run.until.max(renewed.unwrap_or(run.until));
        }
        for mutex in self.truth.mutexes.values_mut() {
            mutex.held.take_if(|held| held.job == *job);
        }
        for run in record.open.iter().filter(|run| run.phase != Phase::Waiting) {
            let Some(name) = &run.mutex else { continue };
            let mutex = self.truth.mutexes.entry(name.clone()).or_default();
            if mutex.held.as_ref().is_none_or(|held| held.fence <= run.fence) {
                mutex.fence = mutex.fence.max(run.fence);
                mutex.held = Some(record::Held {
                    job: job.clone(),
                    run_id: run.run_id,
                    fence: run.fence,
                    holder: run.holder.clone(),
                    until: run.until,
                });
            }
        }
        self.truth.records.insert(job.clone(), record);
    }
}

#[async_trait]
impl Store for Memory {
    fn describe(&self) -> String {
        "memory of this process".into()
    }

    fn heard(&self, _job: &JobName) -> Option<View> {
        None
    }

    fn clock(&self) -> Option<Timestamp> {
        Some(self.held().tick(&self.clock))
    }

    fn head(&self) -> Option<u64> {
        None
    }

    fn repairs(&self) -> Option<watch::Receiver<Repair>> {
        None
    }

    async fn view(&self, job: &JobName, mutex: Option<&str>) -> Result<View, StoreError> {
        let mut held = self.held();
        let now = held.tick(&self.clock);
        let record = held.truth.records.get(job).cloned().unwrap_or_default();
        let mutex = mutex.and_then(|name| held.truth.mutexes.get(name)).cloned().unwrap_or_default();
        Ok(View { now, record, mutex })
    }

    async fn apply(&self, job: &JobName, op: &Op) -> Result<Answer, StoreError> {
        Ok(self.ask(job, op))
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.all())
    }

    async fn changed(&self, position: u64) -> Result<(u64, Vec<JobName>), StoreError> {
        let mut news = self.position.subscribe();
        if position == 0 {
            return Ok((*news.borrow(), Vec::new()));
        }
        // The sender lives as long as self, so waiting cannot fail.
        let _ = news.wait_for(|at| *at > position).await;
        let held = self.held();
        let since = usize::try_from(position - 1).unwrap_or(usize::MAX).min(held.events.len());
        let inviting = held.events[since..].iter().filter(|event| event.what.invites());
        let mut jobs: Vec<JobName> = inviting.map(|event| event.job.clone()).collect();
        jobs.sort();
        jobs.dedup();
        Ok((held.events.len() as u64 + 1, jobs))
    }

    async fn history(&self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        let held = self.held();
        let mut entries: Vec<Entry> = held.entries.values().filter(|entry| query.takes(entry)).cloned().collect();
        entries.sort_by(|a, b| (b.scheduled_at, &b.id).cmp(&(a.scheduled_at, &a.id)));
        if query.newest_of_each {
            let mut seen = BTreeSet::new();
            entries.retain(|entry| seen.insert(entry.job.clone()));
        }
        if query.limit > 0 {
            entries.truncate(query.limit);
        }
        Ok(entries)
    }

    async fn events(&self, position: u64, limit: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        let held = self.held();
        let since = usize::try_from(position).unwrap_or(usize::MAX);
        Ok((1u64..).zip(&held.events).skip(since).take(limit).map(|(at, event)| (at, event.clone())).collect())
    }

    async fn take_outbox(&self, outbox: Outbox, holder: &str, ttl: Duration) -> Result<Option<u64>, StoreError> {
        let mut held = self.held();
        let now = held.tick(&self.clock);
        let mark = match held.outboxes.get(&outbox) {
            Some(outbox) if outbox.holder != holder && outbox.until > now => return Ok(None),
            Some(outbox) => outbox.mark,
            None => held.events.len() as u64,
        };
        held.outboxes.insert(outbox, HeldOutbox { holder: holder.to_owned(), until: now.plus(ttl), mark });
        Ok(Some(mark))
    }

    async fn mark_outbox(
        &self,
        outbox: Outbox,
        holder: &str,
        position: u64,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let mut held = self.held();
        let now = held.tick(&self.clock);
        let Some(outbox) = held.outboxes.get_mut(&outbox).filter(|outbox| outbox.holder == holder) else {
            return Ok(false);
        };
        outbox.mark = outbox.mark.max(position);
        outbox.until = now.plus(ttl);
        Ok(true)
    }

    async fn document(&self, collection: Collection, key: &str) -> Result<Option<Document>, StoreError> {
        Ok(self.held().documents.get(&(collection, key.to_owned())).cloned())
    }

    async fn documents(&self, collection: Collection, span: &Span) -> Result<Vec<Document>, StoreError> {
        let held = self.held();
        let of_it = held.documents.iter().filter(|((of, key), _)| *of == collection && key.starts_with(&span.prefix));
        let mut found: Vec<&Document> = of_it.map(|(_, document)| document).collect();
        if span.newest_first {
            found.reverse();
        }
        let is_beyond = |key: &String| {
            span.after.as_ref().is_none_or(|after| if span.newest_first { key < after } else { key > after })
        };
        let limit = if span.limit == 0 { usize::MAX } else { span.limit };
        Ok(found.into_iter().filter(|document| is_beyond(&document.key)).take(limit).cloned().collect())
    }

    async fn write_document(&self, draft: &Draft) -> Result<Option<u64>, StoreError> {
        let mut held = self.held();
        let now = held.tick(&self.clock);
        let place = (draft.collection, draft.key.clone());
        let found = held.documents.get(&place).map(|document| document.version);
        if !draft.expect.meets(found) {
            return Ok(None);
        }
        let Some(body) = draft.body.clone() else {
            held.documents.remove(&place);
            return Ok(Some(0));
        };
        let clock = u64::try_from(now.as_micros()).unwrap_or(0);
        let version = (found.unwrap_or(0) + 1).max(clock);
        held.documents.insert(place, Document { key: draft.key.clone(), version, body });
        Ok(Some(version))
    }

    async fn write_output(
        &self,
        (run, fence): (RunId, Fence),
        pieces: Vec<Piece>,
        cut: Range<u64>,
    ) -> Result<(), StoreError> {
        let mut held = self.held();
        let output = held.output.entry(run).or_default();
        output.retain(|(of, seq), _| *of != fence || !cut.contains(seq));
        output.extend(pieces.into_iter().map(|piece| ((fence, piece.seq), piece)));
        Ok(())
    }

    async fn read_output(&self, run: RunId, from: u64) -> Result<Vec<(Fence, Piece)>, StoreError> {
        let held = self.held();
        let pieces = held.output.get(&run).into_iter().flatten();
        Ok(pieces.filter(|((_, seq), _)| *seq >= from).map(|((fence, _), piece)| (*fence, piece.clone())).collect())
    }

    async fn read_attempt(&self, run: RunId, fence: Fence, from: u64) -> Result<Vec<Piece>, StoreError> {
        let held = self.held();
        let pieces = held.output.get(&run).map(|all| all.range((fence, from)..=(fence, u64::MAX)));
        Ok(pieces.into_iter().flatten().map(|(_, piece)| piece.clone()).collect())
    }

    async fn beat(&self, replica: &Replica) -> Result<Timestamp, StoreError> {
        let mut held = self.held();
        let now = held.tick(&self.clock);
        held.replicas.insert(replica.boot_id.clone(), Replica { last_seen_at: now, ..replica.clone() });
        Ok(now)
    }

    async fn leave(&self, boot_id: &str) -> Result<(), StoreError> {
        self.held().replicas.remove(boot_id);
        Ok(())
    }

    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        let mut held = self.held();
        let now = held.tick(&self.clock);
        held.replicas.retain(|_, replica| now.since(replica.last_seen_at) < Duration::from_secs(86_400));
        Ok(held.replicas.values().cloned().collect())
    }

    async fn prune(&self, keep: &[(JobName, Keep)], others: Keep) -> Result<usize, StoreError> {
        let limits: BTreeMap<&JobName, &Keep> = keep.iter().map(|(job, keep)| (job, keep)).collect();
        let newest_first = self.history(&Query::default()).await?;
        let mut held = self.held();
        let now = held.tick(&self.clock);
        let mut seen: BTreeMap<(JobName, bool), u32> = BTreeMap::new();
        let before = held.entries.len();
        for entry in newest_first.iter().filter(|entry| entry.state.is_final()) {
            let limit = limits.get(&entry.job).copied().unwrap_or(&others);
            let count = seen.entry((entry.job.clone(), entry.through.is_some())).or_default();
            *count += 1;
            let old = now.since(entry.changed_at) > Duration::from_secs(u64::from(limit.days) * 86_400);
            if *count > limit.runs || old {
                held.entries.remove(&entry.id);
                if let Ok(run) = entry.id.parse() {
                    held.output.remove(&run);
                }
            }
        }
        Ok(before - held.entries.len())
    }
}

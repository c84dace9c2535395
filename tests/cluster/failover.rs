//! The server behind the network: it may be replaced by one that has not heard of everything, and is then given back
//! what it lost, by the rules of `src/store/redis/redo.lua`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronclave::clock::{Clock, Timestamp};
use cronclave::job::JobName;
use cronclave::ledger::Event;
use cronclave::record::{Bid, Op, Record, Reply, Target};
use cronclave::store::{Answer, Memory, Snapshot, StoreError, Trouble};

use crate::faulty::Machine;

/// How long nothing is granted, and then, how long nobody's run is taken over.
const GRACE: Duration = Duration::from_secs(7);
const CALM: Duration = Duration::from_secs(3);

/// What one operation changed and told.
#[derive(Clone, Debug)]
struct Page {
    job: JobName,
    record: Record,
    revision: u64,
    events: Vec<Event>,
}

/// What a process knows: the operations that it was told of or answered, by the place of their first event.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<BTreeMap<usize, Page>>);

impl Known {
    fn learn(&self, place: usize, page: &Page) {
        let mut pages = self.0.lock().unwrap();
        pages.insert(place, page.clone());
        if pages.len() > 2000 {
            pages.pop_first();
        }
    }
}

/// The server.
pub(crate) struct Server {
    inner: Arc<Memory>,
    clock: Clock,
    gate: Mutex<Gate>,
    /// Nobody gives anything back: to show that it is needed.
    pub(crate) forgetful: bool,
}

#[derive(Default)]
struct Gate {
    closed: Option<Timestamp>,
    calm: Option<Timestamp>,
    taught: BTreeMap<usize, Page>,
    /// By job, as it is in the store.
    revisions: BTreeMap<JobName, u64>,
    changes: u64,
    listeners: Vec<(Arc<Machine>, Arc<Known>)>,
}

/// The data as another server has it.
pub(crate) struct Behind(Memory, BTreeMap<JobName, u64>);

impl Server {
    pub(crate) fn new(inner: Arc<Memory>, clock: Clock, forgetful: bool) -> Server {
        Server { inner, clock, gate: Mutex::default(), forgetful }
    }

    /// From now on this process is told what others do, while it can be reached.
    pub(crate) fn tell(&self, machine: &Arc<Machine>, known: &Arc<Known>) {
        let mut gate = self.gate.lock().unwrap();
        gate.listeners.retain(|(other, _)| !Arc::ptr_eq(other, machine));
        gate.listeners.push((machine.clone(), known.clone()));
    }

    pub(crate) fn ask(&self, known: &Known, job: &JobName, op: &Op) -> Result<Answer, StoreError> {
        let now = self.clock.now();
        let mut gate = self.gate.lock().unwrap();
        if gate.closed.is_some_and(|closed| closed <= now) {
            self.open(&mut gate, now);
        }
        if gate.closed.is_some() {
            let renews = matches!(op, Op::Renew { .. });
            let answer = renews.then(|| self.inner.ask(job, op));
            return answer.filter(|answer| matches!(answer.reply, Reply::Kept { .. })).ok_or_else(held_back);
        }
        if gate.calm.is_some_and(|calm| now < calm) && self.takes_over(op) {
            return Err(held_back());
        }
        let (place, before) = (self.inner.count(), self.inner.record(job));
        let answer = self.inner.ask(job, op);
        if answer.view.record != before || !answer.events.is_empty() {
            gate.changes += 1;
            let page = Page {
                job: job.clone(),
                record: answer.view.record.clone(),
                revision: gate.changes,
                events: answer.events.clone(),
            };
            gate.revisions.insert(job.clone(), page.revision);
            if !page.events.is_empty() {
                known.learn(place, &page);
                let told = gate.listeners.iter().filter(|(machine, _)| !machine.cut.is_up());
                told.for_each(|(_, known)| known.learn(place, &page));
            }
        }
        Ok(answer)
    }

    /// Whether it is for a run that somebody else may still have.
    fn takes_over(&self, op: &Op) -> bool {
        match op {
            Op::Reap { .. } | Op::Claim(Bid { target: Target::Open { .. }, .. }) => true,
            Op::Claim(Bid { mutex: Some(mutex), .. }) => {
                let Snapshot { now, mutexes, .. } = self.inner.all();
                mutexes.get(mutex).and_then(|mutex| mutex.held.as_ref()).is_some_and(|held| held.until <= now)
            }
            _ => false,
        }
    }

    /// What another server has heard of by now.
    pub(crate) fn behind(&self) -> Behind {
        Behind(self.inner.copy(), self.gate.lock().unwrap().revisions.clone())
    }

    /// The other server takes the place of the first.
    pub(crate) fn fail_over(&self, Behind(data, revisions): Behind) {
        let mut gate = self.gate.lock().unwrap();
        self.inner.become_like(&data);
        gate.revisions = revisions;
        gate.taught.clear();
        gate.closed = Some(self.clock.now().plus(if self.forgetful { Duration::ZERO } else { GRACE }));
    }

    /// A process gives back what it knows. Too late is too late.
    pub(crate) fn teach(&self, known: &Known) {
        let mut gate = self.gate.lock().unwrap();
        if gate.closed.is_some() && !self.forgetful {
            let count = self.inner.count();
            let pages = known.0.lock().unwrap();
            gate.taught.extend(pages.range(count..).map(|(place, page)| (*place, page.clone())));
        }
    }

    /// Whether it still grants nothing. Whoever asks opens the gate when it is time.
    pub(crate) fn is_closed(&self) -> bool {
        let (now, mut gate) = (self.clock.now(), self.gate.lock().unwrap());
        if gate.closed.is_some_and(|closed| closed <= now) {
            self.open(&mut gate, now);
        }
        gate.closed.is_some()
    }

    fn open(&self, gate: &mut Gate, now: Timestamp) {
        for (place, page) in std::mem::take(&mut gate.taught) {
            assert_eq!(place, self.inner.count(), "broken: what is lost is known to somebody\n  {page:#?}");
            let revision = gate.revisions.entry(page.job.clone()).or_default();
            let newer = page.revision > *revision;
            *revision = page.revision.max(*revision);
            self.inner.put_back(&page.job, &page.events, newer.then_some(page.record));
        }
        gate.closed = None;
        gate.calm = Some(now.plus(CALM));
    }
}

fn held_back() -> StoreError {
    StoreError { kind: Trouble::Passing, message: "it is being given back what it lost".into() }
}

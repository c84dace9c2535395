//! What a replica does beside its jobs: reports that it lives, listens for changes, tidies up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::agenda::Anchor;
use super::{Jobs, Pulse};
use crate::clock::Timestamp;
use crate::event::{About, Told};
use crate::job::{JobName, Keep};
use crate::measure::Measure;
use crate::parts::Parts;
use crate::record::Op;
use crate::store::{Replica, Snapshot, StoreError, Trouble};

/// Between two reports of being alive.
const BEAT: Duration = Duration::from_secs(5);

/// Between two rounds of tidying up.
const TIDY: Duration = Duration::from_secs(120);

/// A run of a job that no replica knows any more is closed this long after its time.
const ORPHAN: Duration = Duration::from_secs(300);

/// A store that does not answer for this long is not waited for in upkeep.
const PATIENCE: Duration = Duration::from_secs(10);

/// A hundred thousand records over a slow line take their time.
const SIGHT: Duration = Duration::from_secs(60);

/// With clocks further apart than this nothing is thrown away for its age: one of them is wrong.
const DOUBT: Duration = Duration::from_secs(86_400);

/// A store that refused a claim is up again when it grants one, or refused none for so long: twice
/// the longest pause between two tries.
const GRUDGE: Duration = Duration::from_secs(16);

/// A replica that was not heard of for so long is not compared with.
const SILENT: Duration = Duration::from_secs(60);

/// Who a replica is, as shown to people.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// Random at each start.
    pub boot_id: String,
    /// As configured, or the host's name.
    pub name: String,
    /// Of its time zone database.
    pub tzdb: String,
}

/// Whether the store answers, and what its clock reads.
#[derive(Clone)]
pub(super) struct Health {
    parts: Parts,
    identity: Identity,
    jobs: watch::Receiver<Arc<Jobs>>,
    pulse: watch::Receiver<Pulse>,
    anchor: watch::Sender<Anchor>,
    started_at: Arc<Mutex<Option<Timestamp>>>,
    down_since: Arc<Mutex<Option<Instant>>>,
    /// When it last refused a claim.
    refused_at: Arc<Mutex<Option<Instant>>>,
    /// What was last warned of.
    warned: Arc<Mutex<String>>,
}

impl Health {
    pub(super) fn new(
        parts: Parts,
        identity: Identity,
        jobs: watch::Receiver<Arc<Jobs>>,
        pulse: watch::Receiver<Pulse>,
    ) -> Self {
        // Until the store has answered there is nothing to be late for.
        let anchor = watch::channel(Anchor { store: parts.clock.now(), seen: Instant::now() }).0;
        Health {
            parts,
            identity,
            jobs,
            pulse,
            anchor,
            started_at: Arc::default(),
            down_since: Arc::default(),
            refused_at: Arc::default(),
            warned: Arc::default(),
        }
    }

    pub(super) fn anchor(&self) -> watch::Receiver<Anchor> {
        self.anchor.subscribe()
    }

    /// The store's clock read `now` a while ago, when a long answer was begun. It only counts until
    /// it is asked for the time alone.
    pub(super) fn saw(&self, now: Timestamp) {
        if lock(&self.started_at).is_none() {
            self.set(now);
        }
        self.answered();
    }

    /// The store's clock reads `now`.
    fn set(&self, now: Timestamp) {
        self.anchor.send_replace(Anchor { store: now, seen: Instant::now() });
        lock(&self.started_at).get_or_insert(now);
    }

    pub(super) fn is_up(&self) -> bool {
        lock(&self.started_at).is_some() && lock(&self.down_since).is_none()
    }

    pub(super) fn failed(&self, why: &StoreError) {
        let mut down = lock(&self.down_since);
        if down.is_none() {
            *down = Some(Instant::now());
            self.parts.bus.tell(Told::StoreDown(why.message.clone()));
        }
    }

    /// The store answers, but refused a claim, as it does without memory to spare; or its answer to
    /// one was lost.
    pub(super) fn refused(&self, why: &StoreError) {
        if why.kind == Trouble::Lasting {
            // It is about one job, and told once; the others go on.
            let mut warned = lock(&self.warned);
            if *warned != why.message {
                warned.clone_from(&why.message);
                self.parts.bus.tell(Told::Warning(why.message.clone()));
            }
            return;
        }
        *lock(&self.refused_at) = Some(Instant::now());
        self.failed(why);
    }

    /// The store granted a claim.
    pub(super) fn granted(&self) {
        *lock(&self.refused_at) = None;
        self.answered();
    }

    /// The store answered. As long as it refuses claims, that alone does not make it up again.
    pub(super) fn answered(&self) {
        if lock(&self.refused_at).is_some_and(|at| at.elapsed() < GRUDGE) {
            return;
        }
        if let Some(since) = lock(&self.down_since).take() {
            self.parts.bus.tell(Told::StoreUp(since.elapsed().as_secs_f64()));
        }
    }

    /// Beats for ever.
    pub(super) async fn keep_up(self) {
        let mut told = None;
        for beat in 0u64.. {
            self.beat().await;
            // The first beats of replicas that start together shall be seen.
            if beat % 10 == 1 {
                self.compare(&mut told).await;
            }
            sleep(BEAT).await;
        }
    }

    /// Warns, once, of replicas whose time zone database is another: their occurrences may be others.
    async fn compare(&self, told: &mut Option<String>) {
        let Ok(Ok(replicas)) = timeout(PATIENCE, self.parts.store.replicas()).await else { return };
        let now = self.anchor.borrow().now();
        let own = &self.identity.tzdb;
        let is_other = |other: &&Replica| other.tzdb != *own && now.since(other.last_seen_at) < SILENT;
        let others: Vec<String> =
            replicas.iter().filter(is_other).map(|other| format!("{} has {}", other.name, other.tzdb)).collect();
        let differing = (!others.is_empty()).then(|| others.join(", "));
        if differing != *told
            && let Some(others) = &differing
        {
            self.parts.bus.tell(Told::Warning(format!(
                "replicas differ in their time zone database: {others}, this one {own}. Where a zone's law changed they \
                 start jobs at different times: run the same version of cronclave everywhere"
            )));
        }
        *told = differing;
    }

    /// Tidies for ever, beside the beat: there may be much to tidy.
    pub(super) async fn tidy_up(self) {
        sleep(self.parts.dice.pause(TIDY)).await;
        loop {
            self.tidy().await;
            sleep(TIDY / 2 + self.parts.dice.pause(TIDY)).await;
        }
    }

    /// Reads everything after a pause, as soon as the store answers.
    pub(super) async fn see_all(self, pause: Duration) -> Snapshot {
        sleep(pause).await;
        loop {
            match timeout(SIGHT, self.parts.store.snapshot()).await {
                Ok(Ok(snapshot)) => return snapshot,
                Ok(Err(error)) => self.failed(&error),
                Err(_) => {}
            }
            sleep(Duration::from_millis(500) + self.parts.dice.pause(Duration::from_millis(500))).await;
        }
    }

    async fn beat(&self) {
        let (jobs, digest) = {
            let jobs = self.jobs.borrow();
            (jobs.by_name.len(), jobs.digest.clone())
        };
        let anchor = *self.anchor.borrow();
        let skew = self.parts.clock.now().as_micros() - anchor.now().as_micros();
        #[allow(clippy::cast_precision_loss, reason = "shown to people, in seconds")]
        let skew = skew as f64 / 1e6;
        let report = Replica {
            boot_id: self.identity.boot_id.clone(),
            name: self.identity.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started_at: lock(&self.started_at).unwrap_or_else(|| anchor.now()),
            last_seen_at: Timestamp::EPOCH,
            clock_skew_seconds: skew,
            config_digest: digest,
            tzdb: self.identity.tzdb.clone(),
            jobs,
            running: self.pulse.borrow().running,
            queues: Vec::new(),
            slots: 0,
        };
        match timeout(PATIENCE, self.parts.store.beat(&report)).await {
            Ok(Ok(now)) => {
                self.set(now);
                self.parts.bus.measure(Measure::Skew(skew));
                self.answered();
            }
            Ok(Err(error)) => self.failed(&error),
            Err(_) => {}
        }
    }

    /// Says good-bye, so that the replica is not taken for lost.
    pub(super) async fn leave(&self) {
        let _ = timeout(PATIENCE, self.parts.store.leave(&self.identity.boot_id)).await;
    }

    /// Drops old history, and closes what nobody will come back for.
    async fn tidy(&self) {
        let (own, store) = (self.parts.clock.now(), self.anchor.borrow().now());
        if own.since(store).max(store.since(own)) > DOUBT {
            return self.parts.bus.tell(Told::Warning(format!(
                "this machine's clock reads {own} and the store's {store}: no history is dropped until they agree"
            )));
        }
        let jobs = self.jobs.borrow().clone();
        let keep: Vec<(JobName, Keep)> = jobs.by_name.values().map(|job| (job.name.clone(), job.keep)).collect();
        let others = Keep { runs: 100, days: 90 };
        // A store removes a little at a time, so that claims need not wait for it.
        while let Ok(Ok(1..)) = timeout(PATIENCE, self.parts.store.prune(&keep, others)).await {
            sleep(Duration::from_millis(200)).await;
        }
        let Ok(Ok(snapshot)) = timeout(PATIENCE, self.parts.store.snapshot()).await else { return };
        for (name, record) in snapshot.records.iter().filter(|(name, _)| !jobs.by_name.contains_key(*name)) {
            for run in record.open.iter().filter(|run| snapshot.now.since(run.until) > ORPHAN) {
                self.parts.bus.tell(Told::About(About::open(run)));
                let reap = Op::Reap { run_id: run.run_id, fence: run.fence, phase: run.phase };
                if let Ok(Ok(answer)) = timeout(PATIENCE, self.parts.store.apply(name, &reap)).await {
                    self.parts.bus.tell_all(answer.events);
                }
            }
        }
    }
}

/// Passes on for ever which jobs changed. It begins by naming none: whoever then reads the store
/// misses nothing, because what changes after that is passed on.
pub(super) async fn listen(parts: Parts, hints: mpsc::Sender<Vec<JobName>>) {
    let mut position = 0;
    loop {
        match parts.store.changed(position).await {
            Ok((head, jobs)) => {
                position = head;
                if hints.send(jobs).await.is_err() {
                    return std::future::pending().await;
                }
            }
            Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What a replica does beside its jobs: reports that it lives, listens for changes, tidies up.

use std::iter::successors;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::agenda::Anchor;
use super::compare::Others;
use super::own_time::OwnTime;
use super::trust::{Seen, Trust, Verdict};
use super::{Jobs, Pulse, words};
use crate::clock::Timestamp;
use crate::event::{About, Away, Told};
use crate::job::{Job, JobName, Keep};
use crate::measure::Measure;
use crate::parts::Parts;
use crate::plan::Belief;
use crate::record::Op;
use crate::store::{Replica, Snapshot, StoreError, Trouble};

/// Between two reports of being alive.
const BEAT: Duration = Duration::from_secs(5);

/// Between two rounds of tidying up.
const TIDY: Duration = Duration::from_secs(120);

/// A run of a job that no replica knows any more is closed this long after its time.
const ORPHAN: Duration = Duration::from_secs(300);

/// A store that does not answer for this long is not waited for in upkeep.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A hundred thousand records over a slow line take their time.
const SIGHT: Duration = Duration::from_secs(60);

/// With clocks further apart than this nothing is thrown away for its age: one of them is wrong.
const DOUBT: Duration = Duration::from_secs(86_400);

/// A store that refused a claim is up again when it grants one, or refused none for so long: twice
/// the longest pause between two tries.
const GRUDGE: Duration = Duration::from_secs(16);

/// A store that is away for longer is told of again, after twice as long each time.
const OUTAGE: Duration = Duration::from_secs(15);

/// But at least once in this time.
const LONG_OUTAGE: Duration = Duration::from_secs(3600);

/// Occurrences counted at most, when it is told what has come due meanwhile.
const MANY: usize = 10_000;

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
pub(super) struct Health {
    pub(super) parts: Parts,
    pub(super) identity: Identity,
    pub(super) jobs: watch::Receiver<Arc<Jobs>>,
    pulse: watch::Receiver<Pulse>,
    /// What time it is, as far as the store's clock is believed.
    anchor: watch::Sender<Anchor>,
    /// What the store's clock reads.
    read: Mutex<Anchor>,
    own_time: OwnTime,
    trust: Mutex<Trust>,
    /// A job was put off because the store's clock, or what is known of its zone, is in doubt.
    put_off: AtomicBool,
    /// What is believed has changed.
    shaken: Notify,
    /// How long the store took to answer the last heartbeat.
    round_trip: Mutex<Duration>,
    pub(super) others: Mutex<Others>,
    started_at: Mutex<Option<Timestamp>>,
    down_since: watch::Sender<Option<Instant>>,
    /// When it last refused a claim.
    refused_at: Mutex<Option<Instant>>,
    /// What was last warned of.
    warned: Mutex<String>,
}

impl Health {
    pub(super) fn new(
        parts: Parts,
        identity: Identity,
        jobs: watch::Receiver<Arc<Jobs>>,
        pulse: watch::Receiver<Pulse>,
    ) -> Self {
        // Until the store has answered there is nothing to be late for.
        let first = Anchor { store: parts.clock.now(), seen: Instant::now() };
        let own_time = OwnTime::begin();
        Health {
            identity,
            jobs,
            pulse,
            anchor: watch::channel(first).0,
            read: Mutex::new(first),
            own_time,
            trust: Mutex::new(Trust::new(first.store, own_time.now())),
            put_off: AtomicBool::default(),
            shaken: Notify::default(),
            round_trip: Mutex::default(),
            others: Mutex::default(),
            parts,
            started_at: Mutex::default(),
            down_since: watch::channel(None).0,
            refused_at: Mutex::default(),
            warned: Mutex::default(),
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
        let seen = Instant::now();
        let believed = lock(&self.trust).believe(now, self.own_time.now());
        self.anchor.send_replace(Anchor { store: believed, seen });
        *lock(&self.read) = Anchor { store: now, seen };
        lock(&self.started_at).get_or_insert(now);
    }

    /// How much of what the store said when its clock read `now` is believed about a job.
    pub(super) fn belief(&self, job: &Job, now: Timestamp) -> Belief {
        let belief = Belief {
            now: lock(&self.trust).believe(now, self.own_time.now()),
            decides: !lock(&self.others).knows_better(job.schedule.zone().name()),
        };
        if belief.now < now {
            self.put_off.store(true, Ordering::Relaxed);
        }
        belief
    }

    /// Waits until what is believed has changed, so that all jobs are to be looked at anew.
    pub(super) async fn shaken(&self) {
        self.shaken.notified().await;
    }

    /// Has all jobs looked at anew.
    pub(super) fn shake(&self) {
        self.shaken.notify_one();
    }

    /// How long the store took to answer the last heartbeat.
    pub(super) fn round_trip(&self) -> Duration {
        *lock(&self.round_trip)
    }

    pub(super) fn is_up(&self) -> bool {
        lock(&self.started_at).is_some() && !self.is_down()
    }

    fn is_down(&self) -> bool {
        self.down_since.borrow().is_some()
    }

    pub(super) fn failed(&self, why: &StoreError) {
        let now = Instant::now();
        if self.down_since.send_if_modified(|since| since.is_none() && since.replace(now).is_none()) {
            self.parts.bus.tell(Told::StoreDown(why.message.clone()));
        }
    }

    /// The store answers, but refused a claim, as it does without memory to spare; or its answer to
    /// one was lost.
    pub(super) fn refused(&self, why: &StoreError) {
        if why.kind == Trouble::Lasting {
            // It is about one job; the others go on.
            return self.warn_once(&why.message);
        }
        *lock(&self.refused_at) = Some(Instant::now());
        self.failed(why);
    }

    /// Warns of something, unless that was what was last warned of.
    pub(super) fn warn_once(&self, text: &str) {
        let mut warned = lock(&self.warned);
        if *warned != text {
            text.clone_into(&mut warned);
            self.parts.bus.tell(Told::Warning(text.to_owned()));
        }
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
        if self.is_down()
            && let Some(since) = self.down_since.send_replace(None)
        {
            self.parts.bus.tell(Told::StoreUp(since.elapsed().as_secs_f64()));
        }
    }

    /// Beats for ever.
    pub(super) async fn keep_up(self: Arc<Self>) {
        loop {
            self.beat().await;
            sleep(BEAT).await;
        }
    }

    /// Tidies for ever, beside the beat: there may be much to tidy.
    pub(super) async fn tidy_up(self: Arc<Self>) {
        sleep(self.parts.dice.pause(TIDY)).await;
        loop {
            self.tidy().await;
            sleep(TIDY / 2 + self.parts.dice.pause(TIDY)).await;
        }
    }

    /// Says for ever how it stands with the store, beside whether it answers.
    pub(super) async fn tell_of_store(self: Arc<Self>) {
        tokio::join!(self.tell_outages(), self.tell_repairs());
    }

    /// Says at ever longer intervals how it stands while the store does not answer.
    async fn tell_outages(&self) {
        let mut down = self.down_since.subscribe();
        loop {
            let Ok(Some(since)) = down.wait_for(Option::is_some).await.map(|since| *since) else { return };
            let mut pause = OUTAGE;
            while timeout(pause, down.wait_for(Option::is_none)).await.is_err() {
                self.parts.bus.tell(Told::StoreAway(self.away(since)));
                pause = (pause * 2).min(LONG_OUTAGE);
            }
        }
    }

    fn away(&self, since: Instant) -> Away {
        let now = lock(&self.read).now();
        let (running, until) = self.parts.nudges.leases();
        let from = now.minus(since.elapsed());
        let jobs = self.jobs.borrow().clone();
        let instants = |job: &Job| {
            let schedule = job.schedule.clone();
            successors(schedule.after(from), move |last| schedule.after(*last)).take_while(|at| *at <= now)
        };
        let all = jobs.by_name.values().filter(|job| job.enabled).flat_map(|job| instants(job));
        let due = all.take(MANY + 1).count();
        Away {
            secs: since.elapsed().as_secs_f64(),
            running,
            until: until.map(|until| now.plus(until.saturating_duration_since(Instant::now()))),
            due: due.min(MANY),
            more: due > MANY,
        }
    }

    /// Passes on what becomes of data that the store has lost.
    async fn tell_repairs(&self) {
        let Some(mut repairs) = self.parts.store.repairs() else { return std::future::pending().await };
        while repairs.changed().await.is_ok() {
            let repair = repairs.borrow_and_update().clone();
            match repair.last {
                _ if repair.closed => self.parts.bus.tell(Told::StoreChanged(self.parts.store.describe())),
                Some(repaired) => self.parts.bus.tell(Told::StoreRepaired(repaired)),
                None => {}
            }
        }
    }

    /// Reads everything after a pause, as soon as the store answers.
    pub(super) async fn see_all(self: Arc<Self>, pause: Duration) -> Snapshot {
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
        let read = *lock(&self.read);
        // What is read of the store's clock is late by the answer's way: others who go by ours must not be early by that.
        let skew = self.parts.clock.now().minus(self.round_trip()).as_micros() - read.now().as_micros();
        #[allow(clippy::cast_precision_loss, reason = "shown to people, in seconds")]
        let skew = skew as f64 / 1e6;
        let failing = self.parts.bus.checks().failing();
        let report = Replica {
            boot_id: self.identity.boot_id.clone(),
            name: self.identity.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started_at: lock(&self.started_at).unwrap_or_else(|| read.now()),
            last_seen_at: Timestamp::EPOCH,
            clock_skew_seconds: skew,
            config_digest: digest,
            tzdb: self.identity.tzdb.clone(),
            jobs,
            running: self.pulse.borrow().running,
            queues: Vec::new(),
            slots: 0,
            failing: failing.into_iter().map(|(check, text)| (check.word().to_owned(), text)).collect(),
            zones: lock(&self.others).own_zones(&self.jobs.borrow(), read.now()),
        };
        let asked = self.own_time.now();
        match timeout(PATIENCE, self.parts.store.beat(&report)).await {
            Ok(Ok(now)) => {
                let (answered, own) = (self.own_time.now(), self.parts.clock.now());
                *lock(&self.round_trip) = answered.saturating_sub(asked);
                self.look_around(now).await;
                let others = lock(&self.others).skews();
                self.judge(&Seen { store: now, asked, answered, own, others });
                self.set(now.plus(self.own_time.now().saturating_sub(answered)));
                self.parts.bus.measure(Measure::Skew(skew));
                self.answered();
            }
            Ok(Err(error)) => self.failed(&error),
            Err(_) => {}
        }
    }

    /// Makes up its mind about the store's clock, and says so when it changes.
    fn judge(&self, seen: &Seen) {
        let (before, verdict, along) = {
            let mut trust = lock(&self.trust);
            (trust.verdict(), trust.take(seen), trust.went_along())
        };
        words::tell(&self.parts.bus, before, verdict, along);
        words::tell_skew(&self.parts.bus, seen, verdict);
        let is_other = std::mem::discriminant(&before) != std::mem::discriminant(&verdict);
        if is_other || verdict == Verdict::Right && self.put_off.swap(false, Ordering::Relaxed) {
            self.shaken.notify_one();
        }
    }

    /// Says good-bye, so that the replica is not taken for lost.
    pub(super) async fn leave(&self) {
        let _ = timeout(PATIENCE, self.parts.store.leave(&self.identity.boot_id)).await;
    }

    /// Drops old history, and closes what nobody will come back for.
    async fn tidy(&self) {
        let (own, store) = (self.parts.clock.now(), lock(&self.read).now());
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
        if lock(&self.trust).verdict() != Verdict::Right {
            // By a clock in doubt every lease may look long over.
            return;
        }
        let Ok(Ok(snapshot)) = timeout(PATIENCE, self.parts.store.snapshot()).await else { return };
        for (name, record) in snapshot.records.busy().filter(|(name, _)| !jobs.by_name.contains_key(*name)) {
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! A worker: takes requests from queues and carries them out, a few at a time.
//!
//! What it does about a request is decided by the store: a copy, an outdated request, one for a run
//! that is going or over is dropped. The run is the worker's by its lease in the store, not by the
//! delivery, so however long it takes the broker's patience does not matter.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::attempt::{self, Carried};
use crate::broker::{Consumer, Delivery, Queue, dead_letter};
use crate::clock::Timestamp;
use crate::event::Told;
use crate::job::{Job, JobName, QueueName, Task};
use crate::lease::{Lease, Token, Work};
use crate::measure::{self, Dealt, Measure};
use crate::parts::Parts;
use crate::replica::{Identity, Jobs, nudge};
use crate::request::Request;
use crate::store::Replica;

/// A delivery is held no longer than this: brokers give what is not acknowledged in time to somebody else, RabbitMQ
/// after 30 minutes unless told otherwise, and can be told 60 s at the least. The run goes on without it.
pub const HELD: Duration = Duration::from_secs(45);

/// A job that is not in the files here may be in those of another worker, or be read here a moment later.
const UNKNOWN: Duration = Duration::from_secs(5);

/// Between two reports of being alive.
const BEAT: Duration = Duration::from_secs(5);

/// A store that does not answer for this long is not waited for in reports.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a worker is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Who it is.
    pub identity: Identity,
    /// What it takes requests from; `None` means every queue that its jobs name.
    pub queues: Option<BTreeSet<QueueName>>,
    /// Requests carried out at once, of each queue.
    pub slots: usize,
    /// Between being told to stop and ending what still runs.
    pub grace: Duration,
}

/// The queues that jobs name.
pub fn queues(jobs: &Jobs) -> BTreeSet<QueueName> {
    let named = jobs.by_name.values().filter_map(|job| match &job.task {
        Task::Queue(queue, _) => Some(queue.clone()),
        Task::Run(_) | Task::Publish(_) => None,
    });
    named.collect()
}

/// Works until `parts.stop`, then finishes or gives back what it has. Returns when nothing of it is left.
pub async fn run(parts: Parts, setup: Setup, mut jobs: watch::Receiver<Arc<Jobs>>) {
    let mut served = BTreeSet::new();
    // Which queue each takes from: one that breaks down is replaced.
    let (mut slots, mut places) = (JoinSet::new(), HashMap::new());
    let (busy, (names_in, names)) = (Arc::new(AtomicUsize::new(0)), watch::channel(Vec::new()));
    let mut missing: Vec<QueueName> = Vec::new();
    let mut beating = pin!(beat(&parts, &setup, jobs.clone(), names, &busy));
    let mut nudging = pin!(heed_cancels(&parts));
    loop {
        let wanted = setup.queues.clone().unwrap_or_else(|| queues(&jobs.borrow_and_update()));
        for queue in wanted {
            if served.insert(queue.clone()) {
                missing.extend(std::iter::repeat_n(queue, setup.slots));
            }
        }
        for queue in missing.drain(..) {
            let slot = Slot { parts: parts.clone(), jobs: jobs.clone(), queue: queue.clone(), busy: busy.clone() };
            places.insert(slots.spawn(slot.serve()).id(), queue);
        }
        names_in.send_replace(served.iter().map(QueueName::to_string).collect());
        tokio::select! {
            biased;
            () = parts.stop.soft() => break,
            Ok(()) = jobs.changed() => {}
            Some(Err(broken)) = slots.join_next() => {
                parts.bus.tell(Told::Warning(format!("a slot of this worker broke down and is replaced: {broken}")));
                missing.extend(places.remove(&broken.id()));
            }
            () = &mut beating => {}
            () = &mut nudging => {}
        }
    }
    let deadline = Instant::now() + setup.grace;
    loop {
        tokio::select! {
            biased;
            done = slots.join_next() => if done.is_none() { break },
            () = tokio::time::sleep_until(deadline), if !parts.stop.is_hard() => parts.stop.hard(),
            () = &mut beating => {}
            () = &mut nudging => {}
        }
    }
    let _ = timeout(PATIENCE, parts.store.leave(&setup.identity.boot_id)).await;
}

/// Carries out one request after the other.
struct Slot {
    parts: Parts,
    jobs: watch::Receiver<Arc<Jobs>>,
    queue: QueueName,
    busy: Arc<AtomicUsize>,
}

/// What is to be done about a delivery once its request was dealt with.
enum Verdict {
    Done,
    Refused,
    ForOthers,
    Dead(String),
}

impl Slot {
    async fn serve(self) {
        let mut consumer = self.parts.broker.consume(Queue::Tasks(self.queue.clone()));
        let _open = Counted::new(&self, [measure::Slot::Opened, measure::Slot::Closed]);
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.parts.stop.soft() => break,
                delivery = consumer.next() => delivery,
            };
            let outcome = match self.deal_with(&delivery, &mut *consumer).await {
                Verdict::Done => {
                    consumer.ack().await;
                    Dealt::Acked
                }
                Verdict::Refused => {
                    consumer.ack().await;
                    Dealt::Duplicate
                }
                Verdict::ForOthers => {
                    consumer.requeue().await;
                    Dealt::Requeued
                }
                Verdict::Dead(why) => self.bury(&delivery, &mut *consumer, &why).await,
            };
            self.parts.bus.measure(Measure::Delivery { queue: self.queue.clone(), outcome });
        }
        // One may have come at the last moment.
        consumer.requeue().await;
    }

    async fn deal_with(&self, delivery: &Delivery, consumer: &mut dyn Consumer) -> Verdict {
        let request = match Request::read(&delivery.message, &self.parts.cluster) {
            Ok(request) => request,
            Err(why) => return Verdict::Dead(why),
        };
        let job = self.jobs.borrow().by_name.get(&request.job).cloned();
        match job.filter(|job| job.task.action().is_some()) {
            Some(job) => self.carry_out(&job, &request, consumer).await,
            // Files of another version: a worker that has this job may be there, or be about to be.
            None => {
                // The broker ends this when it comes back again and again.
                let why = format!("no job `{}` to run is in the files of {}", request.job, self.parts.holder);
                self.parts.bus.tell(Told::Dropped(format!("{why}: its request is left to other workers")));
                self.wait(UNKNOWN).await;
                Verdict::ForOthers
            }
        }
    }

    async fn carry_out(&self, job: &Job, request: &Request, consumer: &mut dyn Consumer) -> Verdict {
        // The same for every try: a start whose answer was lost is still ours.
        let token = Token::fresh();
        loop {
            self.busy.fetch_add(1, Ordering::Relaxed);
            let taken = Counted::new(self, [measure::Slot::Taken, measure::Slot::Freed]);
            let carried = self.attempt(job, request, &token, consumer).await;
            drop(taken);
            self.busy.fetch_sub(1, Ordering::Relaxed);
            match carried {
                Carried::NotStarted(why) | Carried::GivenBack(why) => {
                    let text = format!("request for run {} of {}: {why}", request.run_id.short(), job.name);
                    self.parts.bus.tell(Told::Dropped(text));
                    return Verdict::Refused;
                }
                Carried::Unanswered(_) if self.parts.stop.is_soft() => return Verdict::ForOthers,
                Carried::Unanswered(why) => {
                    tracing::warn!(job = %job.name, why, "the run cannot be started yet");
                    self.pause().await;
                }
                Carried::Settled(_) | Carried::Unsettled(_) | Carried::HandedOver => return Verdict::Done,
            }
        }
    }

    async fn attempt(&self, job: &Job, request: &Request, token: &Token, consumer: &mut dyn Consumer) -> Carried {
        let lease = Lease {
            work: work(job, request),
            token: token.clone(),
            // Only until it has started; it is tried again if the store does not answer.
            trusted_until: Instant::now() + job.lease.min(self.parts.claim_ttl),
            ttl: job.lease,
            not_before: Instant::now(),
            started: None,
        };
        let mut running = pin!(attempt::run(&self.parts, job, lease));
        tokio::select! {
            biased;
            carried = &mut running => return carried,
            () = sleep(HELD) => {}
        }
        tokio::select! {
            biased;
            carried = &mut running => return carried,
            () = consumer.ack_early() => {}
        }
        running.await
    }

    async fn bury(&self, delivery: &Delivery, consumer: &mut dyn Consumer, why: &str) -> Dealt {
        self.parts.bus.tell(Told::Warning(format!("a message in queue {} is dead: {why}", self.queue)));
        match dead_letter(&*self.parts.broker, &self.parts.cluster, delivery, &Queue::Tasks(self.queue.clone()), why)
            .await
        {
            Ok(()) => {
                consumer.ack().await;
                Dealt::DeadLettered
            }
            Err(trouble) => {
                tracing::warn!(%trouble, "the dead letter stays in its queue");
                self.pause().await;
                consumer.requeue().await;
                Dealt::Requeued
            }
        }
    }

    async fn pause(&self) {
        self.wait(Duration::from_millis(500) + self.parts.dice.pause(Duration::from_secs(1))).await;
    }

    async fn wait(&self, time: Duration) {
        tokio::select! {
            biased;
            () = self.parts.stop.soft() => {}
            () = sleep(time) => {}
        }
    }
}

/// Measures a change of a slot, and the change back when it goes, however that comes.
struct Counted<'a> {
    slot: &'a Slot,
    back: measure::Slot,
}

impl<'a> Counted<'a> {
    fn new(slot: &'a Slot, [now, back]: [measure::Slot; 2]) -> Self {
        let counted = Counted { slot, back };
        counted.say(now);
        counted
    }

    fn say(&self, now: measure::Slot) {
        self.slot.parts.bus.measure(Measure::Slot { queue: self.slot.queue.clone(), now });
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.say(self.back);
    }
}

/// What is known of a run before the store was asked: enough to ask.
fn work(job: &Job, request: &Request) -> Work {
    Work {
        job: job.name.clone(),
        run_id: request.run_id,
        scheduled_at: Timestamp::EPOCH,
        attempt: 1,
        max_attempts: job.retry.attempts,
        fence: request.fence,
        trigger: crate::lease::Trigger::Schedule,
        args: BTreeMap::new(),
        previous_success_at: None,
        lease_until: Timestamp::EPOCH,
    }
}

/// Has runs that somebody asked to stop look at once whether they should. Without it they would with their next renewal.
async fn heed_cancels(parts: &Parts) {
    let mut position = 0;
    loop {
        let changed: Vec<JobName> = match parts.store.changed(position).await {
            Ok((head, jobs)) => {
                position = head;
                jobs
            }
            Err(_) => {
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        if parts.nudges.is_empty() {
            continue;
        }
        for job in changed {
            if let Ok(Ok(view)) = timeout(PATIENCE, parts.store.view(&job, None)).await {
                nudge(parts, &view);
            }
        }
    }
}

/// Reports for ever that the worker is there.
async fn beat(
    parts: &Parts,
    setup: &Setup,
    jobs: watch::Receiver<Arc<Jobs>>,
    queues: watch::Receiver<Vec<String>>,
    busy: &AtomicUsize,
) {
    let mut started_at = None;
    loop {
        let (jobs, config_digest) = {
            let jobs = jobs.borrow();
            (jobs.by_name.len(), jobs.digest.clone())
        };
        let asked = parts.clock.now();
        let report = Replica {
            boot_id: setup.identity.boot_id.clone(),
            name: setup.identity.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started_at: started_at.unwrap_or(asked),
            last_seen_at: Timestamp::EPOCH,
            clock_skew_seconds: 0.0,
            config_digest,
            tzdb: setup.identity.tzdb.clone(),
            jobs,
            running: busy.load(Ordering::Relaxed),
            queues: queues.borrow().clone(),
            slots: setup.slots,
            failing: BTreeMap::new(),
            zones: BTreeMap::new(),
        };
        if let Ok(Ok(now)) = timeout(PATIENCE, parts.store.beat(&report)).await {
            started_at.get_or_insert(now);
        }
        sleep(BEAT).await;
    }
}

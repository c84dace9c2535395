//! Things that happen, to be told of.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cronclave::check::Check;
use cronclave::clock::{Clock, Timestamp};
use cronclave::event::{Delivered, Told};
use cronclave::job::{Delivery, JobName, Keep, Overlap};
use cronclave::lease::{Ended, Fence, Outcome, RunId, Token, Trigger};
use cronclave::ledger::{Entry, Event, Fate, Next, Pass, What};
use cronclave::plan::View;
use cronclave::record::{Bid, Key, Op, Reply, Target};
use cronclave::store::{
    Answer, Collection, Document, Draft, Memory, Outbox, Piece, Query, Repair, Repaired, Replica, Snapshot, Span,
    Store, StoreError, Trouble,
};
use tokio::sync::watch;

/// One of everything that can happen to a job `a`, in an order that can be.
pub(crate) fn all() -> Vec<Event> {
    let at: Timestamp = "2026-11-22T06:00:00Z".parse().unwrap();
    let job = JobName::new("a").unwrap();
    let run_id = RunId::of_occurrence(&job, at);
    let (fence, attempt, holder) = (Fence(7), 1, "web.1".to_owned());
    let next = Some(Next { attempt: 2, at });
    let by = Some("ana".to_owned());
    let mut all = vec![
        What::Registered,
        What::Queued { run_id, scheduled_at: at, trigger: Trigger::Schedule },
        What::Claimed { run_id, scheduled_at: at, trigger: Trigger::Schedule, attempt, fence, holder: holder.clone() },
        What::Published { run_id, fence },
        What::Started { run_id, attempt, fence, holder },
        What::Released { run_id, fence },
        What::CancelAsked { run_id, by: "ana".into() },
        What::Ended { run_id, attempt, fence, ended: Ended::because(Outcome::Failed, "exit code 1"), next },
        What::Fenced { run_id, fence, tried: "settle".into(), ended: Some(Ended::succeeded()) },
        What::Paused { until: Some(at), reason: Some("migration".into()), by: by.clone() },
        What::Resumed { catch_up: true, by },
        What::Slow { run_id, attempt, fence, started_at: at },
        What::Overdue { due: at, last_success_at: Some(at) },
        What::Recovered { overdue_since: at },
        What::Restored { from: Some(at), through: Some(at) },
        What::Declined {
            run_id: RunId::of_request(&job, "chain"),
            scheduled_at: at,
            trigger: Trigger::Chain { job: job.clone(), run_id, on: "success".into() },
            fate: Fate::SkippedOverlap,
        },
    ];
    let outcomes =
        [Outcome::Failed, Outcome::TimedOut, Outcome::Cancelled, Outcome::Interrupted, Outcome::Lost, Outcome::Expired];
    let end = |ended| What::Ended { run_id, attempt, fence, ended, next: None };
    all.push(end(Ended { exit_code: Some(0), ..Ended::succeeded() }));
    all.extend(outcomes.map(|outcome| end(Ended { signal: Some(9), ..Ended::because(outcome, "why") })));
    let fates =
        [Fate::SkippedOverlap, Fate::SkippedPaused, Fate::SkippedDisabled, Fate::SkippedCalendar, Fate::Coalesced];
    let pass = |fate| What::Passed(Pass { from: at, through: at, count: 1, fate });
    all.extend(fates.map(pass));
    all.push(pass(Fate::Missed));
    all.into_iter().map(|what| Event { at, job: job.clone(), what }).collect()
}

/// What a process tells of itself.
pub(crate) fn told() -> Vec<Told> {
    vec![
        Told::StoreDown("no answer".into()),
        Told::StoreUp(2.5),
        Told::StoreRepaired(Repaired {
            at: "2026-11-22T06:00:00Z".parse().unwrap(),
            calls: 20,
            records: 3,
            unknown: 1,
            replicas: 4,
        }),
        Told::Reloaded { digest: "9f3c".into(), jobs: 3 },
        Told::Rejected("error[E0021]".into()),
        Told::Failing(Check::StoreClock, "the store's clock was set 1h forward".into()),
        Told::Mended(Check::StoreClock, "the store's clock is believed again".into()),
        Told::Progress {
            job: JobName::new("a").unwrap(),
            run_id: RunId::fresh("2026-11-22T06:00:00Z".parse().unwrap()),
            percent: 42.5,
            message: "copying".into(),
        },
        delivery(Delivered::Taken),
        delivery(Delivered::Retrying),
        delivery(Delivered::Failed),
        delivery(Delivered::SwitchedOff),
    ]
}

fn delivery(outcome: Delivered) -> Told {
    Told::Delivery {
        hook: "hook/audit".into(),
        event: "01935a71-0c00-7d2e-8a11-2b7de9f0c111".into(),
        kind: "run.failed".into(),
        outcome,
        message: Some("it answered 500 Internal Server Error".into()),
    }
}

/// A run by hand that `w` has started.
pub(crate) struct Run {
    job: JobName,
    pub(crate) key: Key,
}

impl Run {
    /// One that is claimed only.
    pub(crate) async fn claimed(store: &dyn Store, job: &str, clock: &Clock) -> Run {
        let job = JobName::new(job).unwrap();
        let token = Token::fresh();
        let target = Target::Request {
            run_id: RunId::fresh(clock.now()),
            at: None,
            trigger: Trigger::Manual { by: None, reason: None },
            args: [].into(),
            expect: None,
        };
        let bid = Bid {
            target,
            token: token.clone(),
            holder: "w".into(),
            ttl: Duration::from_secs(600),
            overlap: Overlap::Skip,
            delivery: Delivery::AtMostOnce,
            mutex: None,
            start: None,
        };
        let Reply::Won(run) = store.apply(&job, &Op::Claim(bid)).await.unwrap().reply else { panic!() };
        let key = Key { run_id: run.run_id, fence: run.fence, token };
        Run { job, key }
    }

    pub(crate) async fn started(store: &dyn Store, job: &str, clock: &Clock) -> Run {
        let run = Run::claimed(store, job, clock).await;
        let start = Op::Start { key: run.key.clone(), holder: "w".into(), ttl: Duration::from_secs(600) };
        store.apply(&run.job, &start).await.unwrap();
        run
    }

    /// One whose request lies in a queue.
    pub(crate) async fn published(store: &dyn Store, job: &str, clock: &Clock) -> Run {
        let run = Run::claimed(store, job, clock).await;
        run.publish(store).await;
        run
    }

    pub(crate) async fn publish(&self, store: &dyn Store) {
        let published = Op::Published { key: self.key.clone(), ttl: Duration::from_secs(600) };
        store.apply(&self.job, &published).await.unwrap();
    }

    pub(crate) async fn settle(&self, store: &dyn Store) {
        let settle = Op::Settle { key: self.key.clone(), ended: Ended::succeeded(), next: None };
        store.apply(&self.job, &settle).await.unwrap();
    }
}

/// A store that has dropped all events before one, and that may be away.
pub(crate) struct Forgetful {
    inner: Arc<Memory>,
    pub(crate) before: AtomicU64,
    pub(crate) away: AtomicBool,
}

impl Forgetful {
    pub(crate) fn new(inner: Arc<Memory>) -> Forgetful {
        Forgetful { inner, before: 1.into(), away: false.into() }
    }

    fn answers(&self) -> Result<(), StoreError> {
        let away = self.away.load(Ordering::SeqCst);
        if away { Err(StoreError { kind: Trouble::Passing, message: "no answer".into() }) } else { Ok(()) }
    }
}

#[async_trait]
impl Store for Forgetful {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn heard(&self, job: &JobName) -> Option<View> {
        self.inner.heard(job)
    }
    fn clock(&self) -> Option<Timestamp> {
        self.inner.clock()
    }
    fn head(&self) -> Option<u64> {
        self.inner.head()
    }
    fn repairs(&self) -> Option<watch::Receiver<Repair>> {
        self.inner.repairs()
    }
    async fn view(&self, job: &JobName, mutex: Option<&str>) -> Result<View, StoreError> {
        self.answers()?;
        self.inner.view(job, mutex).await
    }
    async fn apply(&self, job: &JobName, op: &Op) -> Result<Answer, StoreError> {
        self.answers()?;
        self.inner.apply(job, op).await
    }
    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.inner.snapshot().await
    }
    async fn changed(&self, position: u64) -> Result<(u64, Vec<JobName>), StoreError> {
        self.inner.changed(position).await
    }
    async fn history(&self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        self.inner.history(query).await
    }
    async fn events(&self, position: u64, limit: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        self.inner.events(position.max(self.before.load(Ordering::SeqCst) - 1), limit).await
    }
    async fn take_outbox(&self, outbox: Outbox, holder: &str, ttl: Duration) -> Result<Option<u64>, StoreError> {
        self.inner.take_outbox(outbox, holder, ttl).await
    }
    async fn mark_outbox(
        &self,
        outbox: Outbox,
        holder: &str,
        position: u64,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.inner.mark_outbox(outbox, holder, position, ttl).await
    }
    async fn document(&self, collection: Collection, key: &str) -> Result<Option<Document>, StoreError> {
        self.inner.document(collection, key).await
    }
    async fn documents(&self, collection: Collection, span: &Span) -> Result<Vec<Document>, StoreError> {
        self.inner.documents(collection, span).await
    }
    async fn write_document(&self, draft: &Draft) -> Result<Option<u64>, StoreError> {
        self.inner.write_document(draft).await
    }
    async fn write_output(&self, run: (RunId, Fence), pieces: Vec<Piece>, cut: Range<u64>) -> Result<(), StoreError> {
        self.inner.write_output(run, pieces, cut).await
    }
    async fn read_output(&self, run: RunId, from: u64) -> Result<Vec<(Fence, Piece)>, StoreError> {
        self.inner.read_output(run, from).await
    }
    async fn read_attempt(&self, run: RunId, fence: Fence, from: u64) -> Result<Vec<Piece>, StoreError> {
        self.inner.read_attempt(run, fence, from).await
    }
    async fn beat(&self, replica: &Replica) -> Result<Timestamp, StoreError> {
        self.inner.beat(replica).await
    }
    async fn leave(&self, boot_id: &str) -> Result<(), StoreError> {
        self.inner.leave(boot_id).await
    }
    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        self.inner.replicas().await
    }
    async fn prune(&self, keep: &[(JobName, Keep)], others: Keep) -> Result<usize, StoreError> {
        self.inner.prune(keep, others).await
    }
}

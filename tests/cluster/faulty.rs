//! A store behind a bad network, as one replica sees it.

use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cronclave::clock::Timestamp;
use cronclave::job::{JobName, Keep};
use cronclave::lease::{Fence, RunId};
use cronclave::ledger::{Entry, Event};
use cronclave::parts::Dice;
use cronclave::plan::View;
use cronclave::record::{Bid, Op, Reply};
use cronclave::store::{
    Answer, Collection, Document, Draft, Memory, Outbox, Piece, Query, Repair, Replica, Snapshot, Span, Store,
    StoreError, Trouble,
};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::failover::{Known, Server};
use crate::invariants::Granted;
use crate::world::Journal;

/// After so long a lost request or reply is given up.
const LIMIT: Duration = Duration::from_secs(2);

/// A machine: what runs on it may be frozen, and its network cut.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) frozen: Flag,
    pub(crate) cut: Flag,
    pub(crate) weather: Mutex<Weather>,
    /// Its code outlives a crash, up to the end of its lease.
    pub(crate) supervised: bool,
    pub(crate) dice: Dice,
    /// The whole world sleeps so long while the next reply to a start or a renewal is on its way.
    pub(crate) nap: Mutex<Option<Duration>>,
}

/// Up or down. Wakes who waits for it in the order of their waiting, as tokio's `watch` does not:
/// otherwise no world could be lived through twice.
#[derive(Debug, Default)]
pub(crate) struct Flag {
    up: AtomicBool,
    changed: Notify,
}

impl Flag {
    pub(crate) fn set(&self, up: bool) {
        self.up.store(up, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }

    pub(crate) async fn becomes(&self, up: bool) {
        loop {
            let changed = self.changed.notified();
            if self.is_up() == up {
                return;
            }
            changed.await;
        }
    }
}

/// How bad the network is, as chances per call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) slow: f64,
    pub(crate) lost_request: f64,
    pub(crate) lost_reply: f64,
    pub(crate) repeated: f64,
}

impl Machine {
    /// Returns once the machine is not frozen.
    pub(crate) async fn thawed(&self) {
        self.frozen.becomes(false).await;
    }

    fn take_nap(&self) -> Option<Duration> {
        self.nap.lock().unwrap().take()
    }

    pub(crate) fn chance(&self, of: f64) -> bool {
        of > 0.0 && self.dice.roll() < of
    }

    /// Most calls are quick; in bad weather some take longer than a claim lasts.
    pub(crate) async fn travel(&self, weather: Weather) {
        let most = if self.chance(weather.slow) { 6_000 } else { 20 };
        sleep(self.dice.pause(Duration::from_millis(most))).await;
    }
}

pub(crate) struct Faulty {
    pub(crate) inner: Arc<Memory>,
    /// The same, where it may grant or refuse.
    pub(crate) server: Arc<Server>,
    /// What this process knows.
    pub(crate) known: Arc<Known>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) journal: Arc<Journal>,
}

fn unreachable<T>() -> Result<T, StoreError> {
    Err(StoreError { kind: Trouble::Passing, message: "no answer".into() })
}

impl Faulty {
    /// Carries `request` out, if it arrives; gives its reply, if that arrives.
    async fn call<T, F: Future<Output = Result<T, StoreError>>>(&self, request: F) -> Result<T, StoreError> {
        let machine = &self.machine;
        machine.thawed().await;
        let weather = *machine.weather.lock().unwrap();
        machine.travel(weather).await;
        if machine.cut.is_up() || machine.chance(weather.lost_request) {
            sleep(LIMIT).await;
            machine.thawed().await;
            return unreachable();
        }
        let reply = request.await;
        machine.travel(weather).await;
        if machine.cut.is_up() || machine.chance(weather.lost_reply) {
            sleep(LIMIT).await;
            machine.thawed().await;
            return unreachable();
        }
        machine.thawed().await;
        reply
    }

    /// As the store's own, but wakes its listeners in the order of their waiting.
    async fn news(&self, position: u64) -> Result<(u64, Vec<JobName>), StoreError> {
        loop {
            let changed = self.journal.changed.notified();
            let (head, _) = self.inner.changed(0).await?;
            if position == 0 || head > position {
                return self.inner.changed(position).await;
            }
            changed.await;
        }
    }

    /// What was sent may arrive once more, any time later, whether or not its sender still lives.
    fn haunt(&self, job: &JobName, op: &Op) {
        let weather = *self.machine.weather.lock().unwrap();
        if self.machine.chance(weather.repeated) {
            let (server, journal, job, op) = (self.server.clone(), self.journal.clone(), job.clone(), op.clone());
            let delay = self.machine.dice.pause(Duration::from_secs(25));
            let known = journal.operators.clone();
            tokio::spawn(async move {
                sleep(delay).await;
                let _ = carry_out(&server, &known, &journal, &job, &op);
            });
        }
    }
}

pub(crate) fn carry_out(
    server: &Server,
    known: &Known,
    journal: &Journal,
    job: &JobName,
    op: &Op,
) -> Result<Answer, StoreError> {
    let answer = server.ask(known, job, op)?;
    journal.changed.notify_waiters();
    let at = answer.view.now;
    let granted = match (&answer.reply, op) {
        (Reply::Won(run), _) => Some((run.fence, run.until)),
        (Reply::Kept { until, .. }, Op::Start { key, .. } | Op::Renew { key, .. }) => Some((key.fence, *until)),
        _ => None,
    };
    journal.granted.lock().unwrap().extend(granted.map(|(fence, until)| Granted { fence, at, until }));
    Ok(answer)
}

#[async_trait]
impl Store for Faulty {
    fn describe(&self) -> String {
        "a store behind a bad network".into()
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
        self.call(self.inner.view(job, mutex)).await
    }

    async fn apply(&self, job: &JobName, op: &Op) -> Result<Answer, StoreError> {
        self.haunt(job, op);
        let answer = self.call(async { carry_out(&self.server, &self.known, &self.journal, job, op) }).await;
        if matches!(op, Op::Start { .. } | Op::Renew { .. } | Op::Claim(Bid { start: Some(_), .. }))
            && let Some(nap) = self.machine.take_nap()
        {
            tokio::time::advance(nap).await;
        }
        answer
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.call(self.inner.snapshot()).await
    }

    async fn changed(&self, position: u64) -> Result<(u64, Vec<JobName>), StoreError> {
        let news = tokio::select! {
            biased;
            () = self.machine.cut.becomes(true) => unreachable(),
            news = self.news(position) => news,
        };
        self.machine.thawed().await;
        news
    }

    async fn history(&self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        self.call(self.inner.history(query)).await
    }

    async fn events(&self, position: u64, limit: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        self.call(self.inner.events(position, limit)).await
    }

    async fn take_outbox(&self, outbox: Outbox, holder: &str, ttl: Duration) -> Result<Option<u64>, StoreError> {
        self.call(self.inner.take_outbox(outbox, holder, ttl)).await
    }

    async fn mark_outbox(
        &self,
        outbox: Outbox,
        holder: &str,
        position: u64,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.call(self.inner.mark_outbox(outbox, holder, position, ttl)).await
    }

    async fn document(&self, collection: Collection, key: &str) -> Result<Option<Document>, StoreError> {
        self.call(self.inner.document(collection, key)).await
    }

    async fn documents(&self, collection: Collection, span: &Span) -> Result<Vec<Document>, StoreError> {
        self.call(self.inner.documents(collection, span)).await
    }

    async fn write_document(&self, draft: &Draft) -> Result<Option<u64>, StoreError> {
        self.call(self.inner.write_document(draft)).await
    }

    async fn write_output(&self, run: (RunId, Fence), pieces: Vec<Piece>, cut: Range<u64>) -> Result<(), StoreError> {
        self.call(self.inner.write_output(run, pieces, cut)).await
    }

    async fn read_output(&self, run: RunId, from: u64) -> Result<Vec<(Fence, Piece)>, StoreError> {
        self.call(self.inner.read_output(run, from)).await
    }
    async fn read_attempt(&self, run: RunId, fence: Fence, from: u64) -> Result<Vec<Piece>, StoreError> {
        self.call(self.inner.read_attempt(run, fence, from)).await
    }

    async fn beat(&self, replica: &Replica) -> Result<Timestamp, StoreError> {
        self.call(self.inner.beat(replica)).await
    }

    async fn leave(&self, boot_id: &str) -> Result<(), StoreError> {
        self.call(self.inner.leave(boot_id)).await
    }

    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        self.call(self.inner.replicas()).await
    }

    async fn prune(&self, keep: &[(JobName, Keep)], others: Keep) -> Result<usize, StoreError> {
        self.call(self.inner.prune(keep, others)).await
    }
}

//! Store and broker with a stopwatch: what they are asked is passed on as it is, and counted.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::book::{Book, Label};
use super::series::Series;
use crate::broker::{Broker, Consumer, DeadLetter, Message, NotPublished, Queue, QueueState, Remedy};
use crate::clock::Timestamp;
use crate::job::{JobName, Keep, QueueName};
use crate::lease::{Fence, RunId};
use crate::ledger::{Entry, Event};
use crate::plan::View;
use crate::record::Op;
use crate::store::{
    Answer, Collection, Document, Draft, Outbox, Piece, Query, Repair, Replica, Snapshot, Span, Store, StoreError,
};

/// A store that is measured.
pub(super) struct MeasuredStore {
    pub(super) store: Arc<dyn Store>,
    /// The word for what it is.
    pub(super) kind: &'static str,
    pub(super) book: Arc<Book>,
}

impl MeasuredStore {
    async fn timed<T>(
        &self,
        op: &'static str,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let answer = asked.await;
        self.book.observe(Series::StoreDuration, [self.kind.into(), op.into()], began.elapsed());
        answer
    }
}

#[async_trait]
impl Store for MeasuredStore {
    fn describe(&self) -> String {
        self.store.describe()
    }

    async fn view(&self, job: &JobName, mutex: Option<&str>) -> Result<View, StoreError> {
        self.timed("view", self.store.view(job, mutex)).await
    }

    fn heard(&self, job: &JobName) -> Option<View> {
        self.store.heard(job)
    }

    fn clock(&self) -> Option<Timestamp> {
        self.store.clock()
    }

    fn head(&self) -> Option<u64> {
        self.store.head()
    }

    fn repairs(&self) -> Option<watch::Receiver<Repair>> {
        self.store.repairs()
    }

    async fn apply(&self, job: &JobName, op: &Op) -> Result<Answer, StoreError> {
        self.timed(word(op), self.store.apply(job, op)).await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.timed("snapshot", self.store.snapshot()).await
    }

    /// Not measured: it waits for something to happen.
    async fn changed(&self, position: u64) -> Result<(u64, Vec<JobName>), StoreError> {
        self.store.changed(position).await
    }

    async fn history(&self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        self.timed("history", self.store.history(query)).await
    }

    async fn events(&self, position: u64, limit: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        self.timed("events", self.store.events(position, limit)).await
    }

    async fn take_outbox(&self, outbox: Outbox, holder: &str, ttl: Duration) -> Result<Option<u64>, StoreError> {
        self.timed("take_outbox", self.store.take_outbox(outbox, holder, ttl)).await
    }

    async fn mark_outbox(
        &self,
        outbox: Outbox,
        holder: &str,
        position: u64,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.timed("mark_outbox", self.store.mark_outbox(outbox, holder, position, ttl)).await
    }

    async fn document(&self, collection: Collection, key: &str) -> Result<Option<Document>, StoreError> {
        self.timed("document", self.store.document(collection, key)).await
    }

    async fn documents(&self, collection: Collection, span: &Span) -> Result<Vec<Document>, StoreError> {
        self.timed("documents", self.store.documents(collection, span)).await
    }

    async fn write_document(&self, draft: &Draft) -> Result<Option<u64>, StoreError> {
        self.timed("write_document", self.store.write_document(draft)).await
    }

    async fn write_output(&self, run: (RunId, Fence), pieces: Vec<Piece>, cut: Range<u64>) -> Result<(), StoreError> {
        self.timed("write_output", self.store.write_output(run, pieces, cut)).await
    }

    async fn read_output(&self, run: RunId, from: u64) -> Result<Vec<(Fence, Piece)>, StoreError> {
        self.timed("read_output", self.store.read_output(run, from)).await
    }

    async fn read_attempt(&self, run: RunId, fence: Fence, from: u64) -> Result<Vec<Piece>, StoreError> {
        self.timed("read_output", self.store.read_attempt(run, fence, from)).await
    }

    async fn beat(&self, replica: &Replica) -> Result<Timestamp, StoreError> {
        self.timed("beat", self.store.beat(replica)).await
    }

    async fn leave(&self, boot_id: &str) -> Result<(), StoreError> {
        self.timed("leave", self.store.leave(boot_id)).await
    }

    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        self.timed("replicas", self.store.replicas()).await
    }

    async fn prune(&self, keep: &[(JobName, Keep)], others: Keep) -> Result<usize, StoreError> {
        self.timed("prune", self.store.prune(keep, others)).await
    }
}

/// The word for what is asked of a record.
fn word(op: &Op) -> &'static str {
    match op {
        Op::Register { .. } => "register",
        Op::Claim(_) => "claim",
        Op::Decide { .. } => "decide",
        Op::Published { .. } => "published",
        Op::Start { .. } => "start",
        Op::Renew { .. } => "renew",
        Op::Settle { .. } => "settle",
        Op::Release { .. } => "release",
        Op::Reap { .. } => "reap",
        Op::Evict { .. } => "evict",
        Op::Trigger { .. } => "trigger",
        Op::Cancel { .. } => "cancel",
        Op::Overdue { .. } => "overdue",
        Op::Slow { .. } => "slow",
        Op::Pause { .. } => "pause",
        Op::Resume { .. } => "resume",
    }
}

/// A broker whose messages are counted.
pub(super) struct MeasuredBroker {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) book: Arc<Book>,
}

#[async_trait]
impl Broker for MeasuredBroker {
    fn describe(&self) -> String {
        self.broker.describe()
    }

    fn down(&self) -> Option<String> {
        self.broker.down()
    }

    async fn up(&self) {
        self.broker.up().await;
    }

    async fn publish(&self, message: &Message) -> Result<(), NotPublished> {
        let sent = self.broker.publish(message).await;
        let outcome = match &sent {
            Ok(()) => "confirmed",
            Err(NotPublished::Refused(_)) => "returned",
            Err(NotPublished::Unknown(_)) => "nacked",
            Err(NotPublished::Away(_)) => "unsent",
        };
        let exchange = Label::Text(message.to.name().to_owned());
        self.book.count(Series::Published, [exchange, outcome.into()], 1);
        sent
    }

    fn consume(&self, queue: Queue) -> Box<dyn Consumer> {
        self.broker.consume(queue)
    }

    async fn queues(&self, names: &[QueueName]) -> Result<Vec<QueueState>, String> {
        self.broker.queues(names).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, String> {
        self.broker.dead_letters(limit).await
    }

    async fn remedy(&self, id: &str, remedy: Remedy) -> Result<bool, String> {
        self.broker.remedy(id, remedy).await
    }
}

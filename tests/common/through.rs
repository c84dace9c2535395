//! A store with a hook before and after each call.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cronclave::clock::Timestamp;
use cronclave::job::{JobName, Keep};
use cronclave::lease::{Fence, RunId};
use cronclave::ledger::{Entry, Event};
use cronclave::plan::View;
use cronclave::record::{Bid, Op};
use cronclave::store::{
    Answer, Collection, Document, Draft, Outbox, Piece, Query, Repair, Replica, Snapshot, Span, Store, StoreError,
};
use futures_util::FutureExt;
use tokio::sync::{RwLock, watch};

/// What is asked.
#[allow(dead_code, reason = "each test that includes this looks at what it needs")]
pub(crate) enum Call<'a> {
    View(&'a JobName),
    Apply(&'a Op),
    Changed(u64),
}

/// What a test does around a call.
#[async_trait]
pub(crate) trait Hook: Send + Sync {
    async fn before(&self, _call: &Call<'_>) {}
    async fn after(&self, _call: &Call<'_>) {}
    /// How little is known of its clock.
    fn doubt(&self) -> Duration {
        Duration::ZERO
    }
    /// Whether starts are commits of their own, as where they have to be confirmed.
    fn starts_apart(&self) -> bool {
        false
    }
    /// Whether all that changes is known without asking.
    fn hears(&self) -> bool {
        false
    }
    /// Whether the store answers.
    fn answers(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

pub(crate) struct Through<H> {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) hook: H,
    /// Held by each call that writes while it does, so that a hook can wait until none does.
    pub(crate) writing: Arc<RwLock<()>>,
}

impl<H> Through<H> {
    pub(crate) fn new(inner: Arc<dyn Store>, hook: H, writing: Arc<RwLock<()>>) -> Self {
        Through { inner, hook, writing }
    }
}

#[async_trait]
impl<H: Hook> Store for Through<H> {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn heard(&self, job: &JobName) -> Option<View> {
        if self.hook.hears() { self.inner.view(job, None).now_or_never()?.ok() } else { self.inner.heard(job) }
    }
    fn clock(&self) -> Option<Timestamp> {
        self.inner.clock().map(|now| now.minus(self.hook.doubt()))
    }
    fn head(&self) -> Option<u64> {
        self.inner.head()
    }
    fn repairs(&self) -> Option<watch::Receiver<Repair>> {
        self.inner.repairs()
    }
    async fn view(&self, job: &JobName, mutex: Option<&str>) -> Result<View, StoreError> {
        self.hook.answers()?;
        self.hook.before(&Call::View(job)).await;
        self.inner.view(job, mutex).await
    }
    async fn apply(&self, job: &JobName, op: &Op) -> Result<Answer, StoreError> {
        self.hook.answers()?;
        let apart;
        let op = match op {
            Op::Claim(bid) if self.hook.starts_apart() => {
                apart = Op::Claim(Bid { start: None, ..bid.clone() });
                &apart
            }
            op => op,
        };
        self.hook.before(&Call::Apply(op)).await;
        let answer = {
            let _writing = self.writing.read().await;
            self.inner.apply(job, op).await
        };
        self.hook.after(&Call::Apply(op)).await;
        answer
    }
    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.hook.answers()?;
        self.inner.snapshot().await
    }
    async fn changed(&self, position: u64) -> Result<(u64, Vec<JobName>), StoreError> {
        self.hook.before(&Call::Changed(position)).await;
        let answer = self.inner.changed(position).await;
        self.hook.after(&Call::Changed(position)).await;
        answer
    }
    async fn history(&self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        self.inner.history(query).await
    }
    async fn events(&self, position: u64, limit: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        self.inner.events(position, limit).await
    }
    async fn take_outbox(&self, outbox: Outbox, holder: &str, ttl: Duration) -> Result<Option<u64>, StoreError> {
        let _writing = self.writing.read().await;
        self.inner.take_outbox(outbox, holder, ttl).await
    }
    async fn mark_outbox(
        &self,
        outbox: Outbox,
        holder: &str,
        position: u64,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let _writing = self.writing.read().await;
        self.inner.mark_outbox(outbox, holder, position, ttl).await
    }
    async fn document(&self, collection: Collection, key: &str) -> Result<Option<Document>, StoreError> {
        self.inner.document(collection, key).await
    }
    async fn documents(&self, collection: Collection, span: &Span) -> Result<Vec<Document>, StoreError> {
        self.inner.documents(collection, span).await
    }
    async fn write_document(&self, draft: &Draft) -> Result<Option<u64>, StoreError> {
        let _writing = self.writing.read().await;
        self.inner.write_document(draft).await
    }
    async fn write_output(&self, run: (RunId, Fence), pieces: Vec<Piece>, cut: Range<u64>) -> Result<(), StoreError> {
        let _writing = self.writing.read().await;
        self.inner.write_output(run, pieces, cut).await
    }
    async fn read_output(&self, run: RunId, from: u64) -> Result<Vec<(Fence, Piece)>, StoreError> {
        self.inner.read_output(run, from).await
    }
    async fn read_attempt(&self, run: RunId, fence: Fence, from: u64) -> Result<Vec<Piece>, StoreError> {
        self.inner.read_attempt(run, fence, from).await
    }
    async fn beat(&self, replica: &Replica) -> Result<Timestamp, StoreError> {
        self.hook.answers()?;
        let _writing = self.writing.read().await;
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

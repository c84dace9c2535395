//! A store in Redis: any number of processes on any number of machines.
//!
//! One script carries out operations as [`crate::record::apply`] does, a batch in one step; leases
//! are compared with the server's own clock. All keys share one hash tag, so the truth of a cluster
//! lives on one master, also of a Redis Cluster.

mod batch;
mod believing;
mod dial;
mod documents;
mod durable;
mod exam;
mod fold;
mod heard;
mod history;
mod known;
mod lane;
mod link;
mod outbox;
mod output;
mod pack;
mod past;
mod peer;
mod prune;
mod rehearsal;
mod resolve;
mod said;
mod sentinel;
mod server;
mod teach;
mod wire;
mod words;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::{Clock, Timestamp};
use crate::job::{JobName, Keep};
use crate::lease::{Fence, RunId};
use crate::ledger::{Entry, Event};
use crate::plan::View;
use crate::record::{Mutex, Op, Reply};
use crate::store::{
    Answer, Collection, Document, Draft, Outbox, Piece, Query, Records, Repair, Replica, Snapshot, Span, Store,
    StoreError,
};
use batch::{Asking, Raw, Request};
use durable::Durable;
use history::{invited, list};
use lane::{Haste, Lane, haste};
use server::{META, MUTEXES, RECORDS, Server};
use wire::Garbled;

pub use crate::store::address::Address;
pub use exam::{Exam, examine, never_evict};

/// Whose clock the store goes by.
#[derive(Clone, Debug)]
pub enum Time {
    /// The server's own: one clock for all.
    Server,
    /// One given from outside: for tests, which step it.
    Given(Clock),
}

/// Between two looks at the server's clock and at how far its events have come, which is also how
/// a connection that hangs is noticed.
const TICK: Duration = Duration::from_secs(2);

/// How long an operation is asked for that the store does not grant now, because it is being given back what it lost;
/// and the time between.
const PATIENCE: Duration = Duration::from_secs(4);
const AGAIN: Duration = Duration::from_millis(200);

/// The cluster's store.
pub struct Redis {
    server: Arc<Server>,
    lane: Arc<Lane>,
    durable: Durable,
    rehearsed: AtomicU64,
    /// Until then operations are asked, not rehearsed.
    asks_until: std::sync::Mutex<Option<Instant>>,
}

impl Redis {
    /// The store of the cluster named `cluster` at `address`. It connects when it is first asked.
    pub fn open(address: Address, cluster: &str, time: Time) -> Redis {
        let server = Arc::new(Server::new(address.clone(), cluster, time));
        let durable = Durable::new(address, server.keys[META].clone());
        let lane = Lane::new(server.clone());
        Redis { server, lane, durable, rehearsed: AtomicU64::new(0), asks_until: std::sync::Mutex::default() }
    }

    /// How many operations the server only had to compare and write, because what they would come to had been worked out
    /// here.
    pub fn rehearsed(&self) -> u64 {
        self.rehearsed.load(Ordering::Relaxed)
    }

    /// Connects now.
    ///
    /// # Errors
    /// When the server cannot be used, in words, within a few seconds.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.server.now().await.map(|_| ())
    }

    fn view_of(&self, job: &JobName, raw: &Raw) -> Result<View, Garbled> {
        let (record, revision) = pack::unpack_record(&raw.record)?;
        self.server.heard.learn(job, revision, raw.record.clone());
        Ok(View { now: self.server.seen(raw.now), record, mutex: pack::unpack_mutex(&raw.mutex)? })
    }

    /// Waits until a start that was granted is as sure as it should be.
    async fn confirm(&self, op: &Op, reply: &Reply, by: &str) -> Result<(), StoreError> {
        match (op, reply) {
            (Op::Start { .. }, Reply::Kept { .. }) => Box::pin(self.durable.confirm(by)).await,
            _ => Ok(()),
        }
    }

    fn answer_of(&self, job: &JobName, raw: &Raw) -> Result<Answer, Garbled> {
        let view = self.view_of(job, raw)?;
        let reply = pack::unpack_reply(&raw.reply, &view.record)?;
        Ok(Answer { reply, view, events: pack::unpack_events(&raw.events)? })
    }

    /// Has an operation carried out by the script.
    async fn apply_there(
        &self,
        job: &JobName,
        op: &Op,
        request: impl Fn(Asking) -> Request + Send + Sync,
    ) -> Result<Answer, StoreError> {
        let known = matches!(op, Op::Register { .. }).then(|| self.server.heard.newest(job)).flatten();
        let packed = pack::pack_op(job, op, known.as_deref());
        let given_up = Instant::now() + PATIENCE;
        let mut repairs = self.server.known.repair.subscribe();
        loop {
            let raw = self.lane.ask(request(Asking::Op(packed.clone()))).await?;
            let Some(until) = pack::held_back(&raw.reply) else {
                let answer = self.answer_of(job, &raw).map_err(|Garbled| self.server.garbled())?;
                self.confirm(op, &answer.reply, &raw.by).await?;
                return Ok(answer);
            };
            let left = until.since(raw.now);
            // An answer may be older than the news that all is well again.
            let is_news = repairs.has_changed().unwrap_or(false);
            repairs.mark_unchanged();
            if Instant::now() + AGAIN > given_up && !is_news {
                return Err(self.server.held_back(left));
            }
            // It may be over sooner than it says.
            sleep(left.clamp(AGAIN / 4, AGAIN)).await;
        }
    }

    /// How far the events have come. Asked of the script, which notices when the server has lost something. It says
    /// what its clock reads as well.
    async fn glance(&self) -> Result<u64, StoreError> {
        let asked = Instant::now();
        let raw = self.lane.ask(Request::glance()).await?;
        self.server.read_at(asked, raw.now);
        self.server.known.glanced(asked);
        Ok(raw.position)
    }

    /// What changed after `seen`, read from the feed; all jobs when it does not reach back so far.
    async fn missed(&self, seen: u64, head: u64) -> Result<(u64, Vec<JobName>), StoreError> {
        self.server.heard.forget();
        let events = self.server.events(seen, 10_000).await?;
        match (events.first(), events.last()) {
            (Some((first, _)), Some((last, _))) if *first == seen + 1 => Ok((last + 1, invited(&events))),
            _ => Ok((head + 1, self.server.jobs().await?)),
        }
    }
}

#[async_trait]
impl Store for Redis {
    fn describe(&self) -> String {
        format!("redis {}", self.server.link.describe())
    }

    async fn view(&self, job: &JobName, mutex: Option<&str>) -> Result<View, StoreError> {
        if mutex.is_none()
            && let Some(view) = self.heard(job)
        {
            return Ok(view);
        }
        let asked = Asking::Op(pack::pack_view(job, mutex));
        let raw = self.lane.ask(Request { job: Some(job.clone()), asked, haste: Haste::Now, is_wary: false }).await?;
        self.view_of(job, &raw).map_err(|Garbled| self.server.garbled())
    }

    fn heard(&self, job: &JobName) -> Option<View> {
        let packed = self.server.heard.record(job)?;
        let (record, _) = pack::unpack_record(&packed).ok()?;
        Some(View { now: self.server.reckon()?, record, mutex: Mutex::default() })
    }

    fn clock(&self) -> Option<Timestamp> {
        self.server.reached()
    }

    async fn apply(&self, job: &JobName, op: &Op) -> Result<Answer, StoreError> {
        let apart = self.durable.apart(op);
        let op = apart.as_deref().unwrap_or(op);
        let is_wary = matches!(op, Op::Register { .. } | Op::Claim(_) | Op::Decide { .. } | Op::Trigger { .. });
        let haste = haste(op, self.server.reckon());
        let request = |asked| Request { job: Some(job.clone()), asked, haste, is_wary };
        if let Some(before) = self.server.heard.record(job)
            && let Some(answer) = self.apply_rehearsed(job, op, before, request).await?
        {
            return Ok(answer);
        }
        // Boxed: most operations are rehearsed.
        Box::pin(self.apply_there(job, op, request)).await
    }

    fn head(&self) -> Option<u64> {
        self.server.known.head()
    }

    fn repairs(&self) -> Option<watch::Receiver<Repair>> {
        Some(self.server.known.repair.subscribe())
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        // Read first: what is known of a job may be newer, never older.
        let now = self.server.now().await?;
        let unpack = |packed: &[u8]| pack::unpack_record(packed).ok().map(|(record, _)| record);
        let mut records = Records::packed(unpack);
        let each = |name: String, packed: Vec<u8>| {
            // What cannot be read is told when its job is asked about; the others go on.
            if let (Ok(job), Some(record)) = (JobName::new(&name), unpack(&packed)) {
                records.add(job, record, &packed);
            }
        };
        self.server.scan(&self.server.keys[RECORDS], each).await?;
        let mut mutexes = BTreeMap::new();
        let each = |name, packed: Vec<u8>| mutexes.extend(pack::unpack_mutex(&packed).ok().map(|mutex| (name, mutex)));
        self.server.scan(&self.server.keys[MUTEXES], each).await?;
        Ok(Snapshot { now, records: records.seal(), mutexes })
    }

    async fn changed(&self, position: u64) -> Result<(u64, Vec<JobName>), StoreError> {
        // A position is the place of the first event not yet seen.
        let Some(mut seen) = position.checked_sub(1) else {
            self.server.heard.want();
            self.server.now().await?;
            return Ok((self.glance().await? + 1, Vec::new()));
        };
        let mut bell = self.server.heard.bell.subscribe();
        // Whatever is said meanwhile: what was missed while nobody listened, no later word makes good.
        let mut tick = Instant::now() + TICK;
        let mut repairs = self.server.known.repair.subscribe();
        let epoch = repairs.borrow().epoch;
        let is_other = |repair: &Repair| repair.epoch != epoch;
        loop {
            bell.mark_unchanged();
            if let Some((upto, jobs)) = self.server.heard.changes_after(seen) {
                seen = upto;
                if !jobs.is_empty() {
                    return Ok((seen + 1, jobs));
                }
            }
            tokio::select! {
                _ = bell.changed() => {}
                // Whatever waited for the store may go on.
                () = until(&mut repairs, is_other) => {
                    return Ok((self.glance().await? + 1, self.server.jobs().await?));
                }
                () = sleep_until(tick) => {
                    tick = Instant::now() + TICK;
                    let head = self.glance().await?;
                    if head != seen && self.server.heard.changes_after(seen).is_none() {
                        return self.missed(seen, head).await;
                    }
                }
            }
        }
    }

    async fn history(&self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        self.server.history(query).await
    }

    async fn events(&self, position: u64, limit: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        self.server.events(position, limit).await
    }

    async fn take_outbox(&self, outbox: Outbox, holder: &str, ttl: Duration) -> Result<Option<u64>, StoreError> {
        self.server.outbox(outbox, holder, None, ttl).await
    }

    async fn mark_outbox(
        &self,
        outbox: Outbox,
        holder: &str,
        position: u64,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self.server.outbox(outbox, holder, Some(position), ttl).await?.is_some())
    }

    async fn document(&self, collection: Collection, key: &str) -> Result<Option<Document>, StoreError> {
        self.server.document(collection, key).await
    }

    async fn documents(&self, collection: Collection, span: &Span) -> Result<Vec<Document>, StoreError> {
        self.server.documents(collection, span).await
    }

    async fn write_document(&self, draft: &Draft) -> Result<Option<u64>, StoreError> {
        self.server.write_document(draft).await
    }

    async fn write_output(&self, run: (RunId, Fence), pieces: Vec<Piece>, cut: Range<u64>) -> Result<(), StoreError> {
        self.server.write_output(run, pieces, cut).await
    }

    async fn read_output(&self, run: RunId, from: u64) -> Result<Vec<(Fence, Piece)>, StoreError> {
        self.server.read_output(run, from).await
    }

    async fn read_attempt(&self, run: RunId, fence: Fence, from: u64) -> Result<Vec<Piece>, StoreError> {
        self.server.read_attempt(run, fence, from).await
    }

    async fn beat(&self, replica: &Replica) -> Result<Timestamp, StoreError> {
        let replica = Replica { last_seen_at: self.server.about_now().await?, ..replica.clone() };
        let json = serde_json::to_vec(&replica).unwrap_or_default();
        self.server.is_replica(&replica.boot_id);
        let (key, fields) = (self.server.replicas(), [replica.boot_id.into_bytes(), json]);
        // Sent together.
        let (now, _) = tokio::try_join!(self.server.now(), self.server.insist("HSET", &key, &fields))?;
        // Whoever asks nothing else for long learns so whether something was lost.
        if self.server.known.head().is_none() {
            self.glance().await?;
        }
        // What was read is a message's way old; the quickest of several readings knows better.
        Ok(self.server.reckon().unwrap_or(now))
    }

    async fn leave(&self, boot_id: &str) -> Result<(), StoreError> {
        self.server.ask("HDEL", &self.server.replicas(), &[boot_id.as_bytes().to_vec()]).await.map(|_| ())
    }

    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        let now = self.server.about_now().await?;
        let all = list(self.server.ask("HVALS", &self.server.replicas(), &[]).await?);
        let lately = |replica: &Replica| now.since(replica.last_seen_at) < Duration::from_secs(86_400);
        let mut replicas: Vec<Replica> =
            all.iter().filter_map(|json| serde_json::from_slice(json).ok()).filter(lately).collect();
        replicas.sort_by(|a, b| (&a.name, &a.boot_id).cmp(&(&b.name, &b.boot_id)));
        Ok(replicas)
    }

    async fn prune(&self, keep: &[(JobName, Keep)], others: Keep) -> Result<usize, StoreError> {
        self.server.prune(keep, others).await
    }
}

async fn until(repairs: &mut watch::Receiver<Repair>, is_so: impl Fn(&Repair) -> bool) {
    // The sender lives as long as the store.
    let _ = repairs.wait_for(is_so).await;
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

//! What was last known: while the store is away, questions are answered from here, with since when.
//!
//! All records are read at once, for whoever asks meanwhile: an answer never began before its question came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, RwLock};
use tokio::time::{Instant, sleep, timeout};

use super::Desk;
use super::day::Day;
use super::hooks::Deliveries;
use super::outputs::Outputs;
use super::page::Slice;
use super::refusal::{Refusal, Why};
use crate::clock::Timestamp;
use crate::hook::shape::Shown;
use crate::job::JobName;
use crate::ledger::Entry;
use crate::shape::Page;
use crate::stop::Stop;
use crate::store::{Query, Replica, Snapshot, StoreError};

/// A store's answer is waited for this long by those who only look.
const PATIENCE: Duration = Duration::from_secs(3);

/// After it did not answer it is not asked again for so long.
const REST: Duration = Duration::from_secs(1);

/// How often what was last known is made anew when nobody asks, at least.
const REFRESH: Duration = Duration::from_secs(5);

/// The same when nobody has asked anything for so long.
const UNATTENDED: Duration = Duration::from_secs(60);

/// That takes a fiftieth of the time at most.
const SHARE: u32 = 50;

/// Lines of history that are remembered.
const LINES: usize = 1000;

/// The cluster, as it is or was.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// All records.
    pub snapshot: Arc<Snapshot>,
    /// All processes that reported lately.
    pub replicas: Arc<Vec<Replica>>,
    /// The store is away, and this is what was known then.
    pub stale_since: Option<Timestamp>,
}

/// Lines of history, as they are or were.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// The store is away, and this is what was known then.
    pub stale_since: Option<Timestamp>,
}

/// The last answer to a question that no record answers.
#[derive(Debug)]
pub(super) struct Kept<T>(RwLock<Option<Page<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(RwLock::default())
    }
}

impl<T: Clone> Kept<T> {
    /// The answer; while the store is away the one before, and since when.
    pub(super) async fn or_last(&self, answer: Result<Page<T>, Refusal>) -> Result<Page<T>, Refusal> {
        match answer {
            Ok(page) => {
                *self.0.write().await = Some(page.clone());
                Ok(page)
            }
            Err(refusal) if refusal.why == Why::StoreDown => {
                let known = self.0.read().await.clone().ok_or(refusal)?;
                Ok(Page { stale_since: Some(known.now), ..known })
            }
            Err(other) => Err(other),
        }
    }
}

/// What was last known.
#[derive(Debug, Default)]
pub(super) struct Last {
    seen: Mutex<Option<(Instant, Look)>>,
    /// How much was asked so far.
    questions: AtomicU64,
    /// When the store last did not answer, and why.
    down: RwLock<Option<(Instant, StoreError)>>,
    /// The newest lines of history, and the newest run of each job that was begun.
    lines: RwLock<Arc<[Vec<Entry>; 2]>>,
    /// All hooks.
    pub(super) hooks: Kept<Shown>,
    /// The newest entries of the audit.
    pub(super) audit: Kept<String>,
    /// What became of the last day's occurrences, and when and how long it was counted.
    pub(super) day: Mutex<Option<(Instant, Duration, Arc<Day>)>>,
    /// The newest deliveries of some hooks.
    pub(super) deliveries: RwLock<Deliveries>,
    /// What some runs printed.
    pub(super) outputs: Outputs,
}

impl Desk {
    /// The cluster as it was last seen, without asking.
    pub async fn seen(&self) -> Option<Look> {
        self.last.seen.lock().await.as_ref().map(|(_, look)| look.clone())
    }

    /// All records and processes.
    ///
    /// # Errors
    /// When the store does not answer, and never did.
    pub async fn look(&self) -> Result<Look, Refusal> {
        let asked = Instant::now();
        let mut seen = self.last.seen.lock().await;
        if let Some((_, look)) = seen.as_ref().filter(|(began, _)| *began >= asked) {
            return Ok(look.clone());
        }
        let began = Instant::now();
        let both = async { tokio::try_join!(self.parts.store.snapshot(), self.parts.store.replicas()) };
        match self.in_time(both).await {
            Ok((snapshot, replicas)) => {
                let look = Look { snapshot: Arc::new(snapshot), replicas: Arc::new(replicas), stale_since: None };
                *seen = Some((began, look.clone()));
                Ok(look)
            }
            Err(error) => match seen.as_ref() {
                Some((_, look)) => Ok(Look { stale_since: Some(look.snapshot.now), ..look.clone() }),
                None => Err(error.into()),
            },
        }
    }

    /// Lines of history.
    ///
    /// # Errors
    /// When the store does not answer, and never did.
    pub async fn lines(&self, query: &Query) -> Result<Lines, Refusal> {
        let error = match self.in_time(self.parts.store.history(query)).await {
            Ok(entries) => return Ok(Lines { entries, stale_since: None }),
            Err(error) => error,
        };
        let seen = self.last.seen.lock().await.as_ref().map(|(_, look)| look.snapshot.now);
        let Some(since) = seen else { return Err(error.into()) };
        let known = self.last.lines.read().await.clone();
        let known = &known[usize::from(query.newest_of_each)];
        let most = if query.limit == 0 { usize::MAX } else { query.limit };
        let entries = known.iter().filter(|entry| query.takes(entry)).take(most).cloned().collect();
        Ok(Lines { entries, stale_since: Some(since) })
    }

    /// The lines of history of a job that are known without asking: some of the newest, and its newest run.
    pub(super) async fn last_lines(&self, job: &JobName) -> Vec<Entry> {
        let known = self.last.lines.read().await.clone();
        let [lines, begun] = &*known;
        let mut lines: Vec<Entry> = lines.iter().filter(|entry| entry.job == *job).cloned().collect();
        let begun = begun.iter().find(|entry| entry.job == *job);
        lines.extend(begun.filter(|run| lines.iter().all(|entry| entry.id != run.id)).cloned());
        lines
    }

    /// Asks the store, unless it just did not answer.
    pub(super) async fn in_time<T>(&self, asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.last.questions.fetch_add(1, Ordering::Relaxed);
        if let Some((_, error)) = self.last.down.read().await.as_ref().filter(|(at, _)| at.elapsed() < REST) {
            return Err(error.clone());
        }
        let answer = timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(self.silent(PATIENCE)));
        let down = answer.as_ref().err().map(|error| (Instant::now(), error.clone()));
        if down.is_some() || self.last.down.read().await.is_some() {
            *self.last.down.write().await = down;
        }
        answer
    }

    /// Keeps what is last known from growing old while nobody asks, until `over`. It is read whole, so it may be as old
    /// as a minute where nobody has looked for that long.
    pub async fn remember(self: Arc<Self>, over: Stop) {
        let mut attended = Instant::now();
        loop {
            let began = Instant::now();
            if let Err(refusal) = self.refresh().await {
                tracing::debug!(%refusal, "what is last known grows older");
            }
            let pause = REFRESH.max(began.elapsed() * SHARE);
            let questions = self.last.questions.load(Ordering::Relaxed);
            loop {
                tokio::select! {
                    () = over.soft() => return,
                    () = sleep(pause) => {}
                }
                if self.last.questions.load(Ordering::Relaxed) > questions {
                    attended = Instant::now();
                }
                if attended.elapsed() < UNATTENDED || began.elapsed() >= UNATTENDED {
                    break;
                }
            }
        }
    }

    async fn refresh(&self) -> Result<(), Refusal> {
        self.look().await?;
        let lines = self.lines(&Query { limit: LINES, ..Query::default() }).await?;
        let begun = self.lines(&super::jobs::newest_begun()).await?;
        if lines.stale_since.or(begun.stale_since).is_some() {
            return Ok(());
        }
        let known = Arc::new([lines.entries, begun.entries]);
        *self.last.lines.write().await = known.clone();
        let hooks = self.webhooks().await?;
        self.audit(&Slice::default()).await?;
        self.remember_deliveries(&hooks.items).await?;
        let [lines, begun] = &*known;
        self.remember_outputs(begun.iter().chain(lines)).await
    }
}

/// What is not known while the store is away may be there all the same.
pub(super) fn not_known(what: &str, since: Timestamp) -> Refusal {
    Refusal::new(Why::StoreDown, format!("the store is away, and {what} was known at {since}"))
}

//! What a process works with: the [`Parts`] that replica, attempt and `run` share.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout};

use crate::broker::Broker;
use crate::clock::Clock;
use crate::event::Bus;
use crate::lease::{RunId, Work};
use crate::runner::{Chunk, Runner};
use crate::stop::Stop;
use crate::store::Store;

/// Called with each piece of output as it comes, before it is recorded.
pub type Tap = Arc<dyn Fn(&Work, &Chunk) + Send + Sync>;

/// Chosen once, at the edge; never changed.
#[derive(Clone)]
pub struct Parts {
    /// The shared truth.
    pub store: Arc<dyn Store>,
    /// The way for messages.
    pub broker: Arc<dyn Broker>,
    /// What the cluster is called in messages.
    pub cluster: String,
    /// Runs user code.
    pub runner: Arc<dyn Runner>,
    /// Tells what happens here.
    pub bus: Bus,
    /// When to stop.
    pub stop: Stop,
    /// Dates output. Nothing is decided by it.
    pub clock: Clock,
    /// Chance.
    pub dice: Dice,
    /// What this process is called in records.
    pub holder: String,
    /// A claim that is not started lapses after this long.
    pub claim_ttl: Duration,
    /// Sees output as it comes.
    pub tap: Option<Tap>,
    /// Wakes runs of this process that are to look whether they should go on.
    pub nudges: Nudges,
    /// The runs of this process that wait for their instants.
    pub waiting: Waiting,
}

impl Parts {
    /// How long an unstarted claim lasts unless a job's lease is shorter.
    pub const CLAIM_TTL: Duration = Duration::from_secs(10);
}

/// The runs of this process that wait for their instants.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Line>);

#[derive(Debug)]
struct Line {
    /// How many wait for which instant.
    by_instant: Mutex<BTreeMap<Instant, usize>>,
    all: AtomicUsize,
    /// Nobody waits any more whose instant has come.
    begun: Notify,
    /// More is due than is looked at at once.
    is_crowd: watch::Sender<bool>,
    /// Places for what is being written down.
    turns: Semaphore,
}

impl Default for Line {
    fn default() -> Self {
        Line {
            by_instant: Mutex::default(),
            all: AtomicUsize::default(),
            begun: Notify::new(),
            is_crowd: watch::Sender::default(),
            turns: Semaphore::new(Waiting::AT_ONCE),
        }
    }
}

/// Waits, for as long as this lives.
#[derive(Debug)]
pub struct Waits {
    line: Arc<Line>,
    until: Instant,
}

impl Waiting {
    /// What can wait lets those go first whose instant has come, but not for longer.
    const LET_GO: Duration = Duration::from_millis(100);

    /// So much is written down side by side at most: thousands of ends at once would be in the way of whatever begins meanwhile.
    const AT_ONCE: usize = 512;

    /// One more from now on, that waits `until` then.
    pub fn wait(&self, until: Instant) -> Waits {
        *self.0.by_instant().entry(until).or_default() += 1;
        self.0.all.fetch_add(1, Ordering::Relaxed);
        Waits { line: self.0.clone(), until }
    }

    /// Whether more is due from now on than is looked at at once.
    pub fn set_crowd(&self, is_crowd: bool) {
        self.0.is_crowd.send_if_modified(|was| std::mem::replace(was, is_crowd) != is_crowd);
    }

    /// Until all have begun whose instant has come: when many are due at once, that comes before what is only to be written
    /// down of those that are done. What has time to `spare` waits for those as well that are not won yet. Then until it is
    /// its turn, which ends when that is dropped.
    pub async fn let_go(&self, spare: impl FnOnce() -> Duration) -> Option<SemaphorePermit<'_>> {
        let mut begun = pin!(self.0.begun.notified());
        begun.as_mut().enable();
        if self.0.is_one_due() {
            let _ = timeout(Self::LET_GO, begun).await;
        }
        let mut crowd = self.0.is_crowd.subscribe();
        if *crowd.borrow() {
            let _ = timeout(spare(), crowd.wait_for(|is_crowd| !is_crowd)).await;
        }
        self.0.turns.acquire().await.ok()
    }
}

impl Line {
    fn by_instant(&self) -> MutexGuard<'_, BTreeMap<Instant, usize>> {
        self.by_instant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_one_due(&self) -> bool {
        self.all.load(Ordering::Relaxed) > 0
            && self.by_instant().first_key_value().is_some_and(|(first, _)| *first <= Instant::now())
    }
}

impl Waits {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.line.all.load(Ordering::Relaxed)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.line.all.fetch_sub(1, Ordering::Relaxed);
        let mut by_instant = self.line.by_instant();
        let Some(count) = by_instant.get_mut(&self.until) else { return };
        *count -= 1;
        if *count == 0 {
            by_instant.remove(&self.until);
            drop(by_instant);
            if !self.line.is_one_due() {
                self.line.begun.notify_waiters();
            }
        }
    }
}

/// The way to the runs that this process carries, by their ids.
#[derive(Clone, Debug, Default)]
pub struct Nudges(Arc<Mutex<BTreeMap<RunId, Carried>>>);

/// A run as others see it.
#[derive(Clone, Debug)]
struct Carried {
    notify: Arc<Notify>,
    trusted_until: Instant,
}

/// A run that can be nudged, for as long as this lives.
#[derive(Debug)]
pub struct Nudged {
    all: Nudges,
    run_id: RunId,
    notify: Arc<Notify>,
}

impl Nudges {
    /// Takes nudges for a run whose lease is trusted until then.
    pub fn take(&self, run_id: RunId, trusted_until: Instant) -> Nudged {
        let notify = Arc::new(Notify::new());
        self.runs().insert(run_id, Carried { notify: notify.clone(), trusted_until });
        Nudged { all: self.clone(), run_id, notify }
    }

    /// Nudges a run, if it is one of ours.
    pub fn nudge(&self, run_id: RunId) {
        if let Some(run) = self.runs().get(&run_id) {
            run.notify.notify_one();
        }
    }

    /// How many runs go on here, and until when the last of their leases is trusted.
    pub fn leases(&self) -> (usize, Option<Instant>) {
        let runs = self.runs();
        (runs.len(), runs.values().map(|run| run.trusted_until).max())
    }

    /// Whether nothing here could be nudged.
    pub fn is_empty(&self) -> bool {
        self.runs().is_empty()
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunId, Carried>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nudged {
    /// Until somebody nudges. A nudge from before counts.
    pub async fn nudged(&self) {
        self.notify.notified().await;
    }

    /// Its lease was renewed.
    pub fn is_trusted(&self, until: Instant) {
        if let Some(run) = self.all.runs().get_mut(&self.run_id) {
            run.trusted_until = until;
        }
    }
}

impl Drop for Nudged {
    fn drop(&mut self) {
        self.all.runs().remove(&self.run_id);
    }
}

/// Chance, from a seed when it must be repeatable; and among how many a race is.
#[derive(Clone, Debug)]
pub struct Dice {
    rng: Arc<Mutex<StdRng>>,
    racers: Arc<AtomicUsize>,
}

impl Dice {
    /// Differs each time.
    pub fn random() -> Self {
        Self::seeded(rand::random())
    }

    /// The same each time, for one version of this program.
    pub fn seeded(seed: u64) -> Self {
        Dice { rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))), racers: Arc::new(AtomicUsize::new(1)) }
    }

    /// From 0 up to, but without, 1.
    pub fn roll(&self) -> f64 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.0..1.0)
    }

    /// From nothing up to `most`.
    pub fn pause(&self, most: Duration) -> Duration {
        most.mul_f64(self.roll())
    }

    /// So many race, this one among them.
    pub fn set_racers(&self, count: usize) {
        self.racers.store(count, Ordering::Relaxed);
    }

    /// How many race, as far as is known; one at first.
    pub fn racers(&self) -> usize {
        self.racers.load(Ordering::Relaxed)
    }
}

//! What a process works with: the [`Parts`] that replica, attempt and `run` share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::Instant;

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
    /// How many runs of this process wait for their instant.
    pub waiting: Waiting,
}

impl Parts {
    /// How long an unstarted claim lasts unless a job's lease is shorter.
    pub const CLAIM_TTL: Duration = Duration::from_secs(10);
}

/// Counts those who wait.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<AtomicUsize>);

/// Waits, for as long as this lives.
#[derive(Debug)]
pub struct Waits(Waiting);

impl Waiting {
    /// One more from now on.
    pub fn wait(&self) -> Waits {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waits(self.clone())
    }
}

impl Waits {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.0.load(Ordering::Relaxed)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
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

/// Chance, from a seed when it must be repeatable.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
    /// Differs each time.
    pub fn random() -> Self {
        Self::seeded(rand::random())
    }

    /// The same each time, for one version of this program.
    pub fn seeded(seed: u64) -> Self {
        Dice(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// From 0 up to, but without, 1.
    pub fn roll(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.0..1.0)
    }

    /// From nothing up to `most`.
    pub fn pause(&self, most: Duration) -> Duration {
        most.mul_f64(self.roll())
    }
}

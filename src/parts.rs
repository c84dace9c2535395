//! What a process works with: the [`Parts`] that replica, attempt and `run` share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::clock::Clock;
use crate::event::Bus;
use crate::lease::Work;
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
}

impl Parts {
    /// How long an unstarted claim lasts unless a job's lease is shorter.
    pub const CLAIM_TTL: Duration = Duration::from_secs(10);
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

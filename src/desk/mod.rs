//! What people may ask of a cluster, whichever way they ask.

use std::sync::Arc;

use tokio::sync::watch;

use crate::parts::Parts;
use crate::replica::{Jobs, Pulse};

/// What a replica answers from.
#[derive(Clone)]
pub struct Desk {
    /// What the replica works with.
    pub parts: Parts,
    /// The jobs as the files say now.
    pub jobs: watch::Receiver<Arc<Jobs>>,
    /// How the replica does.
    pub pulse: watch::Receiver<Pulse>,
}

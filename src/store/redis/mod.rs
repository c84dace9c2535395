//! A store in Redis: any number of processes on any number of machines.

mod address;
mod dial;
mod link;
mod resolve;
mod tls;
mod peer;
mod words;

use std::ops::Range;

use async_trait::async_trait;

use crate::clock::{Clock, Timestamp};
use crate::job::{JobName, Keep};
use crate::lease::{Fence, RunId};
use crate::ledger::{Entry, Event};
use crate::plan::View;
use crate::record::Op;
use crate::store::{Answer, Piece, Query, Replica, Snapshot, Store, StoreError, Trouble};

pub use address::Address;
use link::Link;

/// Whose clock the store goes by.
#[derive(Clone, Debug)]
pub enum Time {
    /// The server's own: one clock for all.
    Server,
    /// One given from outside: for tests, which step it.
    Given(Clock),
}

/// The cluster's store.
pub struct Redis {
    link: Link,
}

impl Redis {
    /// The store of the cluster named `cluster` at `address`. It connects when it is first asked.
    pub fn open(address: Address, cluster: &str, _time: Time) -> Redis {
        Redis { link: Link::new(address, format!("{{cronclave:{cluster}}}:news")) }
    }

    /// Connects now.
    ///
    /// # Errors
    /// When the server cannot be used, in words, within a few seconds.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.link.ask(&redis::cmd("PING")).await.map(|_| ())
    }

    fn not_yet<T>(&self) -> Result<T, StoreError> {
        Err(StoreError { kind: Trouble::Lasting, message: "not built yet".into() })
    }
}

#[async_trait]
impl Store for Redis {
    fn describe(&self) -> String {
        self.link.describe()
    }
    async fn view(&self, _: &JobName, _: Option<&str>) -> Result<View, StoreError> {
        self.not_yet()
    }
    async fn apply(&self, _: &JobName, _: &Op) -> Result<Answer, StoreError> {
        self.not_yet()
    }
    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.not_yet()
    }
    async fn changed(&self, _: u64) -> Result<(u64, Vec<JobName>), StoreError> {
        self.not_yet()
    }
    async fn history(&self, _: &Query) -> Result<Vec<Entry>, StoreError> {
        self.not_yet()
    }
    async fn events(&self, _: u64, _: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        self.not_yet()
    }
    async fn write_output(&self, _: (RunId, Fence), _: Vec<Piece>, _: Range<u64>) -> Result<(), StoreError> {
        self.not_yet()
    }
    async fn read_output(&self, _: RunId, _: u64) -> Result<Vec<(Fence, Piece)>, StoreError> {
        self.not_yet()
    }
    async fn beat(&self, _: &Replica) -> Result<Timestamp, StoreError> {
        self.not_yet()
    }
    async fn leave(&self, _: &str) -> Result<(), StoreError> {
        self.not_yet()
    }
    async fn replicas(&self) -> Result<Vec<Replica>, StoreError> {
        self.not_yet()
    }
    async fn prune(&self, _: &[(JobName, Keep)], _: Keep) -> Result<usize, StoreError> {
        self.not_yet()
    }
}

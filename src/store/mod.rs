//! Where the truth is kept: the [`Store`] trait, and its homes. Every rule of what is granted is in
//! [`crate::record`]; a store makes [`crate::record::apply`] atomic and keeps what it says.

pub mod address;
mod document;
mod durability;
mod memory;
mod records;
#[cfg(feature = "redis")]
pub mod redis;
mod sqlite;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::job::{JobName, Keep};
use crate::lease::{Fence, RunId};
use crate::ledger::{Entry, Event, State};
use crate::plan::View;
use crate::record::{Mutex, Op, Reply};
use crate::runner::Stream;

pub use document::{Collection, Document, Draft, Expect, Span};
pub use durability::Durability;
pub use memory::Memory;
pub use records::Records;
pub use sqlite::{Create, Sqlite};

/// Why a store did not answer. Losing a race is a [`Reply`], never an error.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// Whether waiting can help.
    pub kind: Trouble,
    /// What happened, where, and how to mend it.
    pub message: String,
}

/// Whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It may: the answer is unknown, the request may be repeated, and may have been carried out.
    Passing,
    /// It will not, without a person.
    Lasting,
}

/// A store's answer: losing teaches, so it always comes with what is known now.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Granted or refused.
    pub reply: Reply,
    /// The record after it.
    pub view: View,
    /// What changed.
    pub events: Vec<Event>,
}

/// All records at one instant.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The store's clock.
    pub now: Timestamp,
    /// By job.
    pub records: Records,
    /// By name.
    pub mutexes: BTreeMap<String, Mutex>,
}

impl Snapshot {
    /// What is known about one job that needs `mutex`.
    pub fn view(&self, job: &JobName, mutex: Option<&str>) -> View {
        View {
            now: self.now,
            record: self.records.get(job).map(Cow::into_owned).unwrap_or_default(),
            mutex: mutex.and_then(|name| self.mutexes.get(name)).cloned().unwrap_or_default(),
        }
    }
}

/// Which lines of history to show. An empty query matches all.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Of this job.
    pub job: Option<JobName>,
    /// Whose id is this, or begins or ends with it.
    pub id: Option<String>,
    /// In one of these states.
    pub states: Vec<State>,
    /// Triggered so: `schedule`, `manual` or `cli`.
    pub trigger: Option<String>,
    /// Scheduled at or after.
    pub since: Option<Timestamp>,
    /// Scheduled before.
    pub until: Option<Timestamp>,
    /// Of each job only the newest of those that match.
    pub newest_of_each: bool,
    /// At most so many, the newest; 0 means all.
    pub limit: usize,
}

impl Query {
    /// Whether `entry` is asked for, leaving aside how many are.
    pub(crate) fn takes(&self, entry: &Entry) -> bool {
        let is_job = self.job.as_ref().is_none_or(|job| *job == entry.job);
        let has_id = |id: &String| entry.id.starts_with(id.as_str()) || entry.id.ends_with(id.as_str());
        is_job
            && self.id.as_ref().is_none_or(has_id)
            && (self.states.is_empty() || self.states.contains(&entry.state))
            && self.trigger.as_ref().is_none_or(|kind| kind == entry.trigger.kind())
            && self.since.is_none_or(|since| entry.scheduled_at >= since)
            && self.until.is_none_or(|until| entry.scheduled_at < until)
    }
}

/// What events are passed on from, each by one process at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outbox {
    /// To the broker.
    Announcements,
    /// To hooks and chains.
    Hooks,
}

impl Outbox {
    /// Its name in the stores.
    pub fn name(self) -> &'static str {
        match self {
            Outbox::Announcements => "announcements",
            Outbox::Hooks => "hooks",
        }
    }
}

/// A piece of an attempt's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its place within the attempt's output, from 0.
    pub seq: u64,
    /// When it came.
    pub at: Timestamp,
    /// Where it was written.
    pub stream: Stream,
    /// What.
    pub bytes: Vec<u8>,
}

/// A running process of the cluster, as it last reported.
#[derive(Default, Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// Random at each start.
    pub boot_id: String,
    /// As configured, or the host's name.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Of the process on its host.
    pub pid: u32,
    /// By the store's clock.
    pub started_at: Timestamp,
    /// By the store's clock; the store fills it in.
    pub last_seen_at: Timestamp,
    /// Its own clock minus the store's, in seconds.
    pub clock_skew_seconds: f64,
    /// Of the schedule files it runs.
    pub config_digest: String,
    /// Of its time zone database.
    pub tzdb: String,
    /// Jobs it knows.
    pub jobs: usize,
    /// Runs it has going.
    pub running: usize,
    /// The queues it takes requests from, when it is a worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<String>,
    /// How many requests it takes at once from each; 0 when it is no worker.
    #[serde(default)]
    pub slots: usize,
    /// What it finds wrong, by the word for the check.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failing: BTreeMap<String, String>,
    /// What the offsets of its jobs' time zones are in these years, as a hash, by zone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub zones: BTreeMap<String, String>,
}

impl Replica {
    /// Whether it carries out requests instead of deciding about occurrences.
    pub fn is_worker(&self) -> bool {
        self.slots > 0
    }
}

/// What became of data that a store had lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Nothing is granted now: what was lost is being given back. Whoever holds a lease should renew it.
    pub closed: bool,
    /// Grows with each time.
    pub epoch: u64,
    /// The last time, once it is over.
    pub last: Option<Repaired>,
}

/// What was given back to a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// When it was noticed that something may be missing, by the store's clock.
    pub at: Timestamp,
    /// Calls that were missing, with all that they changed and told.
    pub calls: u64,
    /// Records besides, which are newer than all that is known to have happened.
    pub records: u64,
    /// Those of them whose history is incomplete: each has an event `restored`.
    pub unknown: u64,
    /// Processes that gave it back.
    pub replicas: u64,
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Repaired { at, calls, records, unknown, replicas } = self;
        if *calls + *records == 0 {
            return write!(
                f,
                "the store changed its identity at {at}; nothing was lost that {replicas} processes know of"
            );
        }
        write!(
            f,
            "the store changed its identity at {at}: {calls} calls and {records} records that it had lost were put back \
             by {replicas} processes; of {unknown} jobs the history is incomplete"
        )
    }
}

/// The shared truth. Every call has a limit of its own and may be repeated.
///
/// Nothing has a default that a store around another could forget to pass on.
#[async_trait]
pub trait Store: Send + Sync {
    /// What it is and where, for people.
    fn describe(&self) -> String;

    /// What is known about a job that needs `mutex`.
    async fn view(&self, job: &JobName, mutex: Option<&str>) -> Result<View, StoreError>;

    /// What is known about a job without asking, where changes are told as they happen: older by no
    /// more than a message's way. Never of a job that needs a mutex.
    fn heard(&self, job: &JobName) -> Option<View>;

    /// What its clock reads at least by now, without asking, if that is known.
    fn clock(&self) -> Option<Timestamp>;

    /// How far the events have come at least, without asking, if that is known: a position, as in [`Store::events`].
    fn head(&self) -> Option<u64>;

    /// Asks `op` of a job's record, in one atomic step.
    async fn apply(&self, job: &JobName, op: &Op) -> Result<Answer, StoreError>;

    /// What becomes of data that the store loses, where it can lose what it confirmed.
    fn repairs(&self) -> Option<watch::Receiver<Repair>>;

    /// All records.
    async fn snapshot(&self) -> Result<Snapshot, StoreError>;

    /// Waits until something happens after `position` that invites others ([`What::invites`]), and
    /// says to which jobs. Position 0 stands for now: it answers at once, with the position to go on
    /// from. A hint: nothing depends on it.
    ///
    /// [`What::invites`]: crate::ledger::What::invites
    async fn changed(&self, position: u64) -> Result<(u64, Vec<JobName>), StoreError>;

    /// Lines of history, newest first.
    async fn history(&self, query: &Query) -> Result<Vec<Entry>, StoreError>;

    /// What happened, oldest first, after `position`, at most `limit`; each with its own position. Positions
    /// follow each other without a hole: where one is missing at the beginning, what stood there was dropped.
    async fn events(&self, position: u64, limit: usize) -> Result<Vec<(u64, Event)>, StoreError>;

    /// Takes an outbox, the right to pass events on, for `ttl`: answers with the position of the last event
    /// that was passed on. `None`: somebody else has it. A new outbox begins where the events end now.
    async fn take_outbox(&self, outbox: Outbox, holder: &str, ttl: Duration) -> Result<Option<u64>, StoreError>;

    /// Everything up to `position` was passed on; it never moves back. Keeps the outbox for another `ttl`.
    /// Whether it still was `holder`'s.
    async fn mark_outbox(&self, outbox: Outbox, holder: &str, position: u64, ttl: Duration)
    -> Result<bool, StoreError>;

    /// A document, if there is one by this key.
    async fn document(&self, collection: Collection, key: &str) -> Result<Option<Document>, StoreError>;

    /// Documents of a collection.
    async fn documents(&self, collection: Collection, span: &Span) -> Result<Vec<Document>, StoreError>;

    /// Changes a document if it is as the draft expects: its new version, 0 when it is gone. `None`: it is not, and
    /// nothing changed.
    async fn write_document(&self, draft: &Draft) -> Result<Option<u64>, StoreError>;

    /// Adds to the output of one attempt and removes the pieces in `cut`.
    async fn write_output(&self, run: (RunId, Fence), pieces: Vec<Piece>, cut: Range<u64>) -> Result<(), StoreError>;

    /// The output of a run: each attempt's pieces from number `from` on, in order.
    async fn read_output(&self, run: RunId, from: u64) -> Result<Vec<(Fence, Piece)>, StoreError>;

    /// What one attempt printed, from piece number `from` on, in order: for those who read on.
    async fn read_attempt(&self, run: RunId, fence: Fence, from: u64) -> Result<Vec<Piece>, StoreError>;

    /// Reports that a replica is alive; answers with what the store's clock reads at that moment, as
    /// near as can be told.
    async fn beat(&self, replica: &Replica) -> Result<Timestamp, StoreError>;

    /// Takes a replica that stops off the list.
    async fn leave(&self, boot_id: &str) -> Result<(), StoreError>;

    /// The replicas that reported within the last day.
    async fn replicas(&self) -> Result<Vec<Replica>, StoreError>;

    /// Drops history beyond each job's limits, and that of unknown jobs beyond `others`.
    async fn prune(&self, keep: &[(JobName, Keep)], others: Keep) -> Result<usize, StoreError>;
}

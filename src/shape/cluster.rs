//! Who is there, what is going on, and what is wrong: what `status` shows.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Lock, Progress, Trigger};
use crate::broker::QueueState;
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Fence, RunId};
use crate::record::{Open, Phase};
use crate::store::Replica;

/// Replicas report every 5 s; whoever missed two reports is marked.
pub const SILENT: Duration = Duration::from_secs(15);

/// Whoever is silent for longer is taken for gone, and no problem any more.
pub const GONE: Duration = Duration::from_secs(600);

/// Whether a process reported lately.
pub fn is_live(replica: &Replica, now: Timestamp) -> bool {
    now.since(replica.last_seen_at) <= SILENT
}

/// The cluster at one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// Its name.
    pub cluster: String,
    /// What the store's clock read.
    pub now: Timestamp,
    /// Where the truth is kept.
    pub store: Backend,
    /// What the schedule files say, as far as replicas agree.
    pub config: Drift,
    /// The replicas that reported within the last day.
    pub replicas: Vec<Process>,
    /// The workers that did.
    pub workers: Vec<Process>,
    /// Where messages go, when anything needs it.
    pub broker: Option<Broker>,
    /// The runs that are not over.
    pub runs: Vec<Standing>,
    /// What is held.
    pub locks: Vec<Lock>,
    /// What is wrong.
    pub problems: Vec<Trouble>,
}

/// Where the truth is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backend {
    /// What and where.
    pub description: String,
    /// Whether it answers.
    pub up: bool,
}

/// Which schedule files are in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Drift {
    /// The digest of a live replica's files.
    pub digest: Option<String>,
    /// Whether another live replica has other ones.
    pub drift: bool,
}

/// A process of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Process {
    /// As configured.
    pub name: String,
    /// Random at each start.
    pub boot_id: String,
    /// Of the program.
    pub version: String,
    /// Of the process on its host.
    pub pid: u32,
    /// By the store's clock.
    pub started_at: Timestamp,
    /// How long it runs.
    pub up_seconds: f64,
    /// By the store's clock.
    pub last_seen_at: Timestamp,
    /// Whether it reported lately.
    pub live: bool,
    /// Its own clock minus the store's.
    pub clock_skew_seconds: f64,
    /// Of its schedule files.
    pub config_digest: String,
    /// Its time zone database.
    pub tzdb: String,
    /// Jobs it knows.
    pub jobs: usize,
    /// Runs it has going.
    pub running: usize,
    /// The queues it takes requests from, when it is a worker.
    pub queues: Vec<String>,
    /// How many requests it takes at once from each.
    pub slots: usize,
    /// What it finds wrong with itself or what it depends on, in words, by the word for the check.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failing: BTreeMap<String, String>,
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Broker {
    /// What and where.
    pub description: String,
    /// Whether it answers.
    pub up: bool,
    /// Its queues, when it does.
    pub queues: Option<Vec<Queue>>,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A queue, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Queue {
    /// As it is called on the broker.
    pub name: String,
    /// The name that jobs use; absent for that of the dead letters.
    pub queue: Option<String>,
    /// Messages that nobody has taken; absent when there is no such queue.
    pub ready: Option<u64>,
    /// Who takes from it; a worker counts once for each of its slots.
    pub consumers: u64,
}

/// A run that is not over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// Its identity.
    pub id: RunId,
    /// Whose.
    pub job: JobName,
    /// How far it is.
    pub phase: Phase,
    /// The instant that it stands for.
    pub scheduled_at: Timestamp,
    /// Why it exists.
    pub trigger: Trigger,
    /// The number of the present attempt, or of the next one while it waits.
    pub attempt: u32,
    /// Who has it.
    pub replica: String,
    /// Its fencing token; 0 before its first claim.
    pub fencing_token: Fence,
    /// When it came to be.
    pub opened_at: Timestamp,
    /// Once this has passed, it may be claimed again.
    pub until: Timestamp,
    /// Somebody asked to stop it.
    pub cancelling: bool,
    /// How far it says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// In one word: `no_replica`, `config_drift`.
    pub code: String,
    /// `warning`.
    pub severity: String,
    /// In words.
    pub detail: String,
}

impl Process {
    /// The process that reported so.
    pub fn new(replica: &Replica, now: Timestamp) -> Process {
        Process {
            name: replica.name.clone(),
            boot_id: replica.boot_id.clone(),
            version: replica.version.clone(),
            pid: replica.pid,
            started_at: replica.started_at,
            up_seconds: now.since(replica.started_at).as_secs_f64(),
            last_seen_at: replica.last_seen_at,
            live: is_live(replica, now),
            clock_skew_seconds: replica.clock_skew_seconds,
            config_digest: replica.config_digest.clone(),
            tzdb: replica.tzdb.clone(),
            jobs: replica.jobs,
            running: replica.running,
            queues: replica.queues.clone(),
            slots: replica.slots,
            failing: replica.failing.clone(),
        }
    }
}

impl From<QueueState> for Queue {
    fn from(state: QueueState) -> Self {
        let QueueState { name, queue, ready, consumers } = state;
        Queue { name, queue, ready, consumers }
    }
}

impl Standing {
    /// The open run of `job`.
    pub fn new(job: &JobName, run: &Open) -> Standing {
        Standing {
            id: run.run_id,
            job: job.clone(),
            phase: run.phase,
            scheduled_at: run.scheduled_at,
            trigger: Trigger::from(&run.trigger),
            attempt: run.attempt,
            replica: run.holder.clone(),
            fencing_token: run.fence,
            opened_at: run.opened,
            until: run.until,
            cancelling: run.cancel,
            progress: None,
        }
    }
}

//! What was done, and what came of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Fence, RunId};
use crate::record::Phase;

/// A run was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Triggered {
    /// The run.
    pub id: RunId,
    /// Whose.
    pub job: JobName,
    /// `false`: it was asked for before, under the same idempotency key.
    pub new: bool,
    /// How many replicas are there to start it.
    pub replicas: usize,
}

/// A job is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paused {
    /// Which.
    pub job: JobName,
    /// `true`.
    pub paused: bool,
    /// Until then; absent means until resumed.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// How many occurrences will be skipped, counted up to 1000; absent when nobody knows.
    pub skipped: Option<usize>,
    /// What the store's clock read.
    pub at: Timestamp,
    /// The job's time zone.
    pub timezone: String,
}

/// A job is started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resumed {
    /// Which.
    pub job: JobName,
    /// `false`.
    pub paused: bool,
    /// Whether it was paused before.
    pub was_paused: bool,
}

/// A run is to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cancelled {
    /// Which.
    pub id: RunId,
    /// Whose.
    pub job: JobName,
    /// Whether it was open.
    pub open: bool,
    /// How far it was.
    pub phase: Phase,
    /// Who had it.
    pub replica: String,
}

/// A hold was ended by force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Released {
    /// The lock.
    pub key: String,
    /// The job of the run that held it.
    pub job: JobName,
    /// The run, which is recorded as lost.
    pub run_id: RunId,
    /// The hold that was ended.
    pub fencing_token: Fence,
    /// `false`: it was free already.
    pub released: bool,
}

/// The schedule files were read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// Their digest.
    pub digest: String,
    /// How many jobs they hold.
    pub jobs: usize,
    /// Whether they were others before.
    pub changed: bool,
}

/// Schedule files were checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Validated {
    /// Whether they can be used.
    pub ok: bool,
    /// How many jobs they declare, as far as they can be read.
    pub jobs: usize,
    /// How many mistakes.
    pub errors: usize,
    /// How many things to look at.
    pub warnings: usize,
    /// Each of them: `file`, `line`, `column`, `code`, `severity`, `message`, `help` and more.
    #[schema(value_type = Vec<Object>)]
    pub diagnostics: Vec<serde_json::Value>,
}

//! The JSON of everything that is shown, once: command line and API print the same, and the command line reads
//! it back from a server. Each shape is made from what the core knows, and describes itself for OpenAPI.

mod act;
mod cluster;
mod config;
mod explain;
mod fencing;
mod job;
mod lock;
mod log;
mod occurrence;
mod past;
mod run;
mod scalar;
mod timeline;
mod written;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;

pub use act::{Cancelled, Paused, Released, Reloaded, Resumed, Triggered, Validated};
pub use cluster::{Backend, Broker, Cluster, Drift, GONE, Process, Queue, SILENT, Standing, Trouble, is_live};
pub use config::{Config, Definition, hidden};
pub use explain::{Explanation, Field, Note};
pub use fencing::Fencing;
pub use job::{
    Health, Job, JobDetail, JobState, Last, Next, Pause, Source, Stats, Wanted, action_text, schedule, words,
};
pub use lock::Lock;
pub use log::{Piece, Position};
pub use occurrence::{Dst, Occurrence, Planned, Skipped, Start, local};
pub use past::{Backfill, Fact, Filled, Waits, Why, stands};
pub use run::{Attempt, Fault, Moment, Progress, Run, RunDetail, Trigger};
pub use timeline::{Cell, Lane, Timeline};
pub use written::Written;

/// A part of a list, in the list's order.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is in it.
    pub items: Vec<T>,
    /// Asks for what follows; absent at the end.
    pub next_cursor: Option<String>,
    /// How many there are in all, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// What the store's clock read.
    pub now: Timestamp,
    /// The store is away, and this is what was known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<Timestamp>,
}

impl<T> Page<T> {
    /// The same list of something else.
    pub fn map<U>(self, of: impl FnMut(T) -> U) -> Page<U> {
        let Page { items, next_cursor, total, now, stale_since } = self;
        Page { items: items.into_iter().map(of).collect(), next_cursor, total, now, stale_since }
    }
}

/// One thing, as it is, or as it was when the store was last heard of.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Seen<T> {
    /// Itself.
    #[serde(flatten)]
    pub it: T,
    /// The store is away, and this is what was known then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<Timestamp>,
}

/// What was done to several.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct All<T> {
    /// Each of them.
    pub items: Vec<T>,
}

//! What is known about what happened.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Finding;
use crate::clock::Timestamp;
use crate::job::{Job, JobName};
use crate::lease::{Fence, RunId};
use crate::ledger::Event;
use crate::record::Record;

/// One execution of user code, as its executor saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// Whose.
    pub job: JobName,
    /// Which run.
    pub run_id: RunId,
    /// Under which claim.
    pub fence: Fence,
    /// On which replica.
    pub holder: String,
    /// From when, by the store's clock.
    pub from: Timestamp,
    /// To when nothing of it was left.
    pub to: Timestamp,
}

/// A lease as the store granted or renewed it. Optional evidence: without it, only what the store
/// recorded tells when a lease had ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    /// Under which claim.
    pub fence: Fence,
    /// When.
    pub at: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// Everything that is known about what happened, from the first event on.
#[derive(Debug, Default)]
pub struct Evidence {
    /// From `Store::events`, all of them.
    pub events: Vec<(u64, Event)>,
    /// What really ran.
    pub ran: Vec<Ran>,
    /// What was granted.
    pub leases: Vec<Granted>,
    /// What was wanted, and what the store knew in the end.
    pub jobs: BTreeMap<JobName, (Arc<Job>, Record)>,
    /// All code ends before its lease does. Then nothing overlaps, not even under pauses.
    pub obedient: bool,
    /// Of these jobs what became of the occurrences after one instant and up to another is not known, and that is on
    /// record: a store that lost writes and was given them back says so. They do not count as missed in silence.
    pub unknown: Vec<(JobName, Timestamp, Timestamp)>,
}

/// What came of checking.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What does not hold.
    pub findings: Vec<Finding>,
    /// Events looked at.
    pub events: u64,
    /// Starts among them.
    pub starts: u64,
}

/// Leases by their claims.
pub(super) struct Leases<'a>(HashMap<Fence, Vec<&'a Granted>>);

impl<'a> Leases<'a> {
    pub(super) fn of(granted: &'a [Granted]) -> Leases<'a> {
        let mut all: HashMap<Fence, Vec<&Granted>> = HashMap::new();
        for lease in granted {
            all.entry(lease.fence).or_default().push(lease);
        }
        Leases(all)
    }

    /// The last end of the lease of `fence` that was granted up to `at`.
    pub(super) fn end(&self, fence: Fence, at: Timestamp) -> Option<Timestamp> {
        let granted = self.0.get(&fence)?;
        granted.iter().filter(|lease| lease.at <= at).map(|lease| lease.until).max()
    }
}

//! One occurrence in the ledger: what became of it, and whether it may still run under its own identity.

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Fence, RunId};
use crate::ledger::{Entry, State};
use crate::plan::View;
use crate::record::Record;
use crate::store::{Query, Store, StoreError};

/// Lines before an occurrence that are looked at for one that covers it.
const GLANCE: usize = 50;

/// What the store knows of one occurrence.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which.
    pub at: Timestamp,
    /// The store's clock.
    pub now: Timestamp,
    /// The job's record. It is older than the lines of history: what started between has a larger fence than it has.
    pub record: Record,
    /// Its own run.
    pub run: Option<Entry>,
    /// The line that says why it did not become one.
    pub passed: Option<Entry>,
    /// Runs by hand that stand for the same instant.
    pub others: Vec<Entry>,
}

/// Whether an occurrence may run under its own identity, which it may do once.
#[derive(Clone, Debug, PartialEq)]
pub enum May {
    /// It has not, and this is the largest fence there was when that was seen.
    Run(Fence),
    /// It ran, or is running.
    Ran(State),
    /// It waits for its turn, or somebody is about to start it.
    Waits(State),
    /// Its run is over, and never started.
    Over(State),
    /// Somebody asked for it before.
    Asked,
    /// Its schedule has not come to it: it will decide about it by itself.
    Undecided,
    /// The history does not reach back to it: whether it ran is not known.
    Forgotten,
}

impl Seen {
    /// Looks at the occurrence of `job` at `at`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn look(store: &dyn Store, job: &JobName, at: Timestamp) -> Result<Seen, StoreError> {
        let view = store.view(job, None).await?;
        let of_job = Query { job: Some(job.clone()), ..Query::default() };
        let instant = Query { since: Some(at), until: Some(just_after(at)), ..of_job.clone() };
        let mut lines = store.history(&instant).await?;
        if lines.iter().all(|entry| entry.through.is_none()) {
            let states = State::ALL.into_iter().filter(|state| !state.is_run()).collect();
            let before = Query { states, until: Some(at), limit: GLANCE, ..of_job };
            lines.extend(store.history(&before).await?);
        }
        Ok(Seen::of(job, at, view, &lines))
    }

    /// What a record and lines of the job's history say of it, the newest first.
    pub fn of(job: &JobName, at: Timestamp, view: View, lines: &[Entry]) -> Seen {
        let id = RunId::of_occurrence(job, at).to_string();
        // Requests that were refused stand for themselves only.
        let passed = lines.iter().find(|entry| entry.scheduled_at <= at && entry.through.is_some());
        let passed = passed.filter(|entry| entry.through >= Some(at)).cloned();
        let runs = lines.iter().filter(|entry| entry.scheduled_at == at && entry.through.is_none());
        let (own, others): (Vec<Entry>, Vec<Entry>) = runs.cloned().partition(|entry| entry.id == id);
        Seen { at, now: view.now, record: view.record, run: own.into_iter().next(), passed, others }
    }

    /// Whether it may run under its own identity.
    pub fn may_run(&self, job: &JobName) -> May {
        let run_id = RunId::of_occurrence(job, self.at);
        if let Some(run) = &self.run {
            let started = run.attempts.iter().any(|attempt| attempt.started_at.is_some());
            return match run.state {
                state if started => May::Ran(state),
                // A run that is over stays over.
                state if state.is_final() => May::Over(state),
                state => May::Waits(state),
            };
        }
        if self.at > self.record.cursor.unwrap_or(self.now) {
            return May::Undecided;
        }
        if self.record.asked.contains(&run_id) || self.record.run(run_id).is_some() {
            return May::Asked;
        }
        let known = self.passed.is_some() || self.is_before_the_job();
        if known { May::Run(self.record.fence) } else { May::Forgotten }
    }

    /// Whether the job was not known then: nobody can have started it.
    pub fn is_before_the_job(&self) -> bool {
        let first = self.record.specs.iter().map(|(_, since)| *since).min();
        // With as many schedules as are remembered there may have been earlier ones.
        first.is_none_or(|first| self.at < first && self.record.specs.len() < Record::SPECS)
    }
}

/// The instant after `at`.
fn just_after(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(1))
}

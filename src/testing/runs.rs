//! What became of occurrences, to be asserted on.

use std::collections::BTreeMap;
use std::fmt;

use super::actors::Printed;
use crate::embed::Run;
use crate::job::JobName;
use crate::ledger::{Entry, State};
use crate::schedule::Zone;
use crate::shape::local;

/// What became of occurrences and of runs that were asked for, in the order of their instants. `{runs}` is a table, for the
/// text of an assertion; the example of [`Cluster`](super::Cluster) shows the questions.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    all: Vec<Run>,
    zones: BTreeMap<JobName, Zone>,
    printed: BTreeMap<String, String>,
}

impl Runs {
    pub(super) fn new(mut entries: Vec<Entry>, zones: &BTreeMap<JobName, Zone>, printed: &Printed) -> Runs {
        entries.sort_by(|one, other| {
            (one.scheduled_at, &one.job, &one.id).cmp(&(other.scheduled_at, &other.job, &other.id))
        });
        let all: Vec<Run> = entries.iter().map(Run::of_entry).collect();
        let known = printed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let printed = all.iter().filter_map(|run| Some((run.id.clone(), known.get(&run.id)?.clone()))).collect();
        Runs { all, zones: zones.clone(), printed }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Run> {
        self.all.iter()
    }

    /// Those of one job.
    ///
    /// # Panics
    /// There is no such job.
    #[track_caller]
    pub fn of(&self, job: &str) -> Vec<&Run> {
        self.zone(job);
        self.all.iter().filter(|run| run.job.as_str() == job).collect()
    }

    /// How many occurrences and runs of a job are in one of these states.
    ///
    /// # Panics
    /// There is no such job.
    #[track_caller]
    pub fn count(&self, job: &str, states: &[State]) -> u64 {
        self.of(job).iter().filter(|run| states.contains(&run.state)).map(|run| run.count.max(1)).sum()
    }

    /// How many runs of a job succeeded.
    ///
    /// # Panics
    /// There is no such job.
    #[track_caller]
    pub fn succeeded(&self, job: &str) -> u64 {
        self.count(job, &[State::Succeeded])
    }

    /// How many runs of a job ended otherwise.
    ///
    /// # Panics
    /// There is no such job.
    #[track_caller]
    pub fn failed(&self, job: &str) -> u64 {
        let bad = |state: &State| state.is_run() && state.is_final() && *state != State::Succeeded;
        self.count(job, &State::ALL.into_iter().filter(bad).collect::<Vec<_>>())
    }

    /// How many occurrences of a job were passed over: skipped, coalesced or missed. [`of`](Runs::of) has the reasons.
    ///
    /// # Panics
    /// There is no such job.
    #[track_caller]
    pub fn passed_over(&self, job: &str) -> u64 {
        self.count(job, &State::ALL.into_iter().filter(|state| !state.is_run()).collect::<Vec<_>>())
    }

    /// The instants of a job's runs, on the wall of its zone with the offset: `2026-03-29T03:00:00+02:00`.
    ///
    /// # Panics
    /// There is no such job.
    #[track_caller]
    pub fn at(&self, job: &str) -> Vec<String> {
        let zone = self.zone(job);
        self.of(job).iter().filter(|run| run.state.is_run()).map(|run| local(run.scheduled_at, zone)).collect()
    }

    /// What all attempts at a run printed.
    pub fn printed(&self, run: &Run) -> &str {
        self.printed.get(&run.id).map_or("", String::as_str)
    }

    #[track_caller]
    fn zone(&self, job: &str) -> &Zone {
        let found = JobName::new(job).ok().and_then(|name| self.zones.get(&name));
        found.unwrap_or_else(|| panic!("{}", super::unknown(job, self.zones.keys())))
    }
}

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for run in &self.all {
            let at = self
                .zones
                .get(&run.job)
                .map_or_else(|| run.scheduled_at.to_string(), |zone| local(run.scheduled_at, zone));
            write!(f, "{:<20} {at}  {:<16}", run.job.as_str(), run.state.word())?;
            if run.count > 1 {
                write!(f, " {} occurrences", run.count)?;
            }
            if run.attempts > 1 {
                write!(f, " {} attempts", run.attempts)?;
            }
            writeln!(f, " {}", run.message.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }
}

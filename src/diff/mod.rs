//! What a change of schedule files changes: jobs, their settings, when they start, and which minutes get crowded.
//!
//! Pure, and bounded: a job that starts every second is compared as far as [`Starts::until`].

mod crowd;
mod settings;
mod starts;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::job::{Job, JobName};
use starts::Lists;

pub use crowd::{Crowd, Minute};
pub use settings::Setting;
pub use starts::{Starts, Tally};

/// All that changes.
#[derive(Debug)]
pub struct Changes {
    /// The jobs that do, by name.
    pub jobs: Vec<Change>,
    /// How many jobs start in the same minute.
    pub crowd: Crowd,
}

/// What changes of one job.
#[derive(Debug)]
pub struct Change {
    /// Its name.
    pub name: JobName,
    /// Whether it is there before and after.
    pub kind: Kind,
    /// As it was; absent when it was not.
    pub old: Option<Arc<Job>>,
    /// As it will be; absent when it is removed.
    pub new: Option<Arc<Job>>,
    /// The settings that differ, those of time among them; none for a job that is new or removed.
    pub settings: Vec<Setting>,
    /// The occurrences that differ.
    pub starts: Starts,
}

/// How a job changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another than before.
    Changed,
}

/// Compares what is wanted before and after, and the occurrences from `from` to `until`.
pub fn compare(old: &[Arc<Job>], new: &[Arc<Job>], from: Timestamp, until: Timestamp) -> Changes {
    let mut pairs: BTreeMap<&JobName, [Option<&Arc<Job>>; 2]> = BTreeMap::new();
    for (side, jobs) in [old, new].into_iter().enumerate() {
        jobs.iter().for_each(|job| pairs.entry(&job.name).or_default()[side] = Some(job));
    }
    let differing: Vec<_> = pairs
        .into_iter()
        .filter_map(|(name, pair)| {
            let (kind, settings) = match pair {
                [None, _] => (Kind::Added, Vec::new()),
                [_, None] => (Kind::Removed, Vec::new()),
                [Some(old), Some(new)] => (Kind::Changed, settings::differing(old, new)),
            };
            (kind != Kind::Changed || !settings.is_empty()).then_some((name, pair, kind, settings))
        })
        .collect();
    let mut lists = Lists::new(from, until, differing.len());
    let jobs = differing
        .into_iter()
        .map(|(name, [old, new], kind, settings)| Change {
            name: name.clone(),
            kind,
            starts: match (old, new) {
                (Some(old), Some(new)) if settings::same_times(old, new) => Starts::default(),
                _ => starts::compare(&lists.of(old), &lists.of(new)),
            },
            old: old.cloned(),
            new: new.cloned(),
            settings,
        })
        .collect();
    Changes { jobs, crowd: crowd::compare([old, new], from, until) }
}

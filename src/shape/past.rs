//! What happened to one occurrence, and past ones that are to run after all.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::backfill;
use crate::clock::Timestamp;
use crate::job::{JobName, Overlap};
use crate::lease::RunId;
use crate::ledger::State;
use crate::occurrence::May;
use crate::why;

/// What happened to an occurrence, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// Whose.
    pub job: JobName,
    /// Its instant.
    pub at: Timestamp,
    /// The job's time zone, where its file is known.
    pub timezone: Option<String>,
    /// Where it stands; absent when nobody has decided about it, or nothing is known.
    pub state: Option<State>,
    /// Its run, if it became one.
    pub run_id: Option<RunId>,
    /// The answer, in one sentence.
    pub answer: String,
    /// What led there; what has no time comes first.
    pub facts: Vec<Fact>,
}

/// Something that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fact {
    /// When it happened.
    pub at: Option<Timestamp>,
    /// What, in one sentence.
    pub text: String,
}

impl Why {
    /// Of an answer about a job in this zone.
    pub fn of(why: why::Why, timezone: Option<String>) -> Why {
        let why::Why { job, at, state, run_id, answer, facts } = why;
        let facts = facts.into_iter().map(|why::Fact { at, text }| Fact { at, text }).collect();
        Why { job, at, timezone, state, run_id, answer, facts }
    }
}

/// How the runs of a backfill wait for each other, and for others of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Waits {
    /// None is started while a run of the job is open
    Skip,
    /// One waits
    QueueOne,
    /// All wait
    #[default]
    QueueAll,
}

impl From<Waits> for Overlap {
    fn from(waits: Waits) -> Overlap {
        match waits {
            Waits::Skip => Overlap::Skip,
            Waits::QueueOne => Overlap::QueueOne,
            Waits::QueueAll => Overlap::QueueAll,
        }
    }
}

/// Past occurrences that are to run, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Backfill {
    /// Whose.
    pub job: JobName,
    /// The job's time zone.
    pub timezone: String,
    /// `false`: nothing was asked for, this is only the list.
    pub asked: bool,
    /// The occurrences, oldest first.
    pub items: Vec<Filled>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Filled {
    /// Its instant.
    pub at: Timestamp,
    /// Whether it is to run.
    pub runs: bool,
    /// Its run, once it is asked for.
    pub run_id: Option<RunId>,
    /// Why it is, or is not, in words.
    pub detail: String,
}

impl Filled {
    /// What would become of an occurrence.
    pub fn planned(item: &backfill::Item) -> Filled {
        let (runs, detail) = match &item.fate {
            backfill::Fate::Runs => (true, "to run".to_owned()),
            backfill::Fate::Stands(may) => (false, stands(may)),
            backfill::Fate::Closed(calendar) => (false, format!("closed by calendar {calendar}")),
        };
        Filled { at: item.at, runs, run_id: None, detail }
    }
}

/// Why an occurrence does, or does not, run under its own identity.
pub fn stands(may: &May) -> String {
    let words = |state: &State| state.word().replace('_', " ");
    match may {
        May::Run(_) => "it has not run".into(),
        May::Ran(State::Running) => "it is running".into(),
        May::Ran(state) => format!("it ran already: {}", words(state)),
        May::Waits(_) => "it waits for its turn already".into(),
        May::Over(state) => format!("its run is over without having started: {}", words(state)),
        May::Asked => "it was asked for before".into(),
        May::Undecided => "its schedule has not come to it yet, and will decide about it by itself".into(),
        May::Forgotten => "the history does not reach back to it: whether it ran is not known".into(),
    }
}

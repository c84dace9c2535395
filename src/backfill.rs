//! Past occurrences that are to run after all, each under its own identity: whichever ran before does not run again.

use std::ops::Range;

use crate::clock::Timestamp;
use crate::job::{Job, Overlap};
use crate::lease::{RunId, Trigger};
use crate::occurrence::{May, Seen};
use crate::record::{Op, Reply};
use crate::store::{Store, StoreError};

/// Occurrences in one backfill at most: as many as may wait in a job's queue.
pub const MOST: usize = Overlap::QUEUE_LIMIT;

/// While others start runs of the job, it is looked again so often.
const LOOKS: usize = 20;

/// One occurrence of the span.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its instant.
    pub at: Timestamp,
    /// What would become of it.
    pub fate: Fate,
}

/// What would become of an occurrence, or became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It is to run.
    Runs,
    /// It is not, because of how it stands.
    Stands(May),
    /// A calendar closes its day.
    Closed(String),
}

/// What the answer to a request was.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// It waits for its turn, under this id.
    Accepted(RunId),
    /// It does not, because of how it stands.
    Stands(May),
    /// The store refused it: another run is in the way, or the job is paused.
    Refused(Box<Reply>),
}

/// What is asked for, and how.
#[derive(Clone, Debug)]
pub struct Wish {
    /// How its runs wait for each other and for others.
    pub overlap: Overlap,
    /// Who asks.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// The occurrences of `span` from its start up to its end, itself not included, and what a backfill would do about each;
/// at most [`MOST`] and one more. Nothing is changed.
///
/// # Errors
/// When the store does not answer.
pub async fn plan(store: &dyn Store, job: &Job, span: Range<Timestamp>) -> Result<Vec<Item>, StoreError> {
    let before = Timestamp::from_micros(span.start.as_micros() - 1);
    let all = std::iter::successors(job.schedule.after(before), |at| job.schedule.after(*at));
    let mut items = Vec::new();
    for at in all.take_while(|at| *at < span.end).take(MOST + 1) {
        items.push(Item { at, fate: fate(store, job, at).await? });
    }
    Ok(items)
}

async fn fate(store: &dyn Store, job: &Job, at: Timestamp) -> Result<Fate, StoreError> {
    if let Some(calendar) = job.closed(at) {
        return Ok(Fate::Closed(calendar.to_owned()));
    }
    Ok(match Seen::look(store, &job.name, at).await?.may_run(&job.name) {
        May::Run(_) => Fate::Runs,
        other => Fate::Stands(other),
    })
}

/// Asks for the run of the occurrence at `at` itself.
///
/// # Errors
/// When the store does not answer.
pub async fn ask(store: &dyn Store, job: &Job, at: Timestamp, wish: &Wish) -> Result<Asked, StoreError> {
    let run_id = RunId::of_occurrence(&job.name, at);
    let mut refusal = Reply::Moved;
    for _ in 0..LOOKS {
        let expect = match Seen::look(store, &job.name, at).await?.may_run(&job.name) {
            May::Run(fence) => fence,
            other => return Ok(Asked::Stands(other)),
        };
        let op = Op::Trigger {
            run_id,
            at: Some(at),
            trigger: Trigger::Backfill { by: wish.by.clone(), reason: wish.reason.clone() },
            args: [].into(),
            overlap: wish.overlap,
            expect: Some(expect),
            on_record: false,
        };
        match store.apply(&job.name, &op).await?.reply {
            Reply::Done => return Ok(Asked::Accepted(run_id)),
            // Something started since it was looked: perhaps this one.
            Reply::Moved => {}
            other => {
                refusal = other;
                break;
            }
        }
    }
    Ok(Asked::Refused(Box::new(refusal)))
}

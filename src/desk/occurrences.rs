//! The occurrences of a job: what became of those in the past and why, and those to come.

use std::time::Duration;

use super::Desk;
use super::refusal::Refusal;
use crate::clock::Timestamp;
use crate::job::Job;
use crate::shape::{Occurrence, Page, Start};
use crate::store::Query;

/// Occurrences shown unless more are asked for, and at most.
const COUNT: usize = 20;
const MOST: usize = 1000;

/// Whether occurrences are shown that were, or will be, passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PassedOver {
    /// They are not.
    #[default]
    Hidden,
    /// They are.
    Shown,
}

/// Which occurrences.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span {
    /// At or after; absent means from now on.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// So many of the past, and so many to come. Default 20, at most 1000.
    pub count: Option<usize>,
    /// Those passed over as well?
    pub passed_over: PassedOver,
}

impl Desk {
    /// The occurrences of a job, oldest first.
    ///
    /// # Errors
    /// There is no such job, too many are asked for, or the store does not answer.
    pub async fn occurrences(&self, name: &str, span: &Span) -> Result<Page<Occurrence>, Refusal> {
        let job = self.job(name)?;
        let count = span.count.unwrap_or(COUNT);
        if !(1..=MOST).contains(&count) {
            let detail = format!("`count` is {count}, and may be from 1 to {MOST}");
            return Err(Refusal::wrong("?count", "out_of_range", detail).suggest(COUNT.to_string()));
        }
        let look = self.look().await?;
        let now = look.snapshot.now;
        let mut items = Vec::new();
        let mut stale_since = look.stale_since;
        if let Some(from) = span.from.filter(|from| *from < now) {
            let until = span.until.map_or(now, |until| until.min(now));
            let query = Query {
                job: Some(job.name.clone()),
                trigger: Some("schedule".to_owned()),
                since: Some(from),
                until: Some(until.plus(Duration::from_micros(1))),
                limit: count,
                ..Query::default()
            };
            let lines = self.lines(&query).await?;
            stale_since = stale_since.or(lines.stale_since);
            let shown = |entry: &&crate::ledger::Entry| entry.state.is_run() || span.passed_over == PassedOver::Shown;
            items.extend(lines.entries.iter().rev().filter(shown).map(Occurrence::decided));
        }
        let from = span.from.map_or(now, |from| from.minus(Duration::from_micros(1)).max(now));
        let to_come = starts(&job, from, span.until, count, span.passed_over);
        items.extend(to_come.iter().map(|start| Occurrence::to_come(start, job.schedule.zone())));
        Ok(Page { total: Some(items.len()), items, next_cursor: None, now, stale_since })
    }
}

/// The occurrences of `job` after `edge` and before `until`, `most` of those that run.
pub(super) fn starts(
    job: &Job,
    mut edge: Timestamp,
    until: Option<Timestamp>,
    most: usize,
    passed_over: PassedOver,
) -> Vec<Start> {
    let (mut starts, mut open) = (Vec::new(), 0);
    // However many are closed, it comes to an end.
    while open < most && starts.len() < 100 + 2 * most {
        let after = match passed_over {
            PassedOver::Shown => job.schedule.after(edge),
            PassedOver::Hidden => job.next_open(edge),
        };
        let Some(at) = after.filter(|at| until.is_none_or(|until| *at < until)) else { break };
        let Some(slot) = job.schedule.next(at.minus(Duration::from_micros(1))) else { break };
        let start = Start { due: job.due(at), closed: job.closed(at).map(str::to_owned), slot };
        open += usize::from(start.closed.is_none());
        edge = at;
        starts.push(start);
    }
    starts
}

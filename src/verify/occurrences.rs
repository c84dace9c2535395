//! Whether every occurrence has exactly one entry.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Case, Finding, Invariant};
use crate::clock::Timestamp;
use crate::job::{Job, JobName};
use crate::lease::{RunId, Trigger};
use crate::ledger::What;
use crate::record::Bid;

/// Occurrences in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: u64,
}

impl Row {
    fn add(row: &mut Option<Row>, at: Timestamp) {
        let row = row.get_or_insert(Row { first: at, last: at, count: 0 });
        (row.last, row.count) = (at, row.count + 1);
    }
}

/// Walks along the occurrences of a job's schedule, entry by entry.
pub(super) struct Walk<'a> {
    job: &'a Job,
    /// The last occurrence that was passed.
    pub(super) edge: Timestamp,
    next: Option<Timestamp>,
}

/// What an entry is, seen from the schedule.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Occurrences before it without an entry.
    pub(super) missing: Option<Row>,
    /// Occurrences in its span.
    pub(super) counted: u64,
    /// It begins and ends with one.
    pub(super) fits: bool,
}

impl<'a> Walk<'a> {
    /// Begins after `edge`.
    pub(super) fn after(job: &'a Job, edge: Timestamp) -> Walk<'a> {
        Walk { job, edge, next: job.schedule.after(edge) }
    }

    fn pass(&mut self) -> Option<Timestamp> {
        let at = self.next?;
        self.edge = at;
        self.next = self.job.schedule.after(at);
        Some(at)
    }

    /// The occurrences before `at` that have not been passed.
    pub(super) fn up_to(&mut self, at: Timestamp) -> Option<Row> {
        let mut row = None;
        while self.next.is_some_and(|next| next < at) {
            self.pass().into_iter().for_each(|at| Row::add(&mut row, at));
        }
        row
    }

    /// Goes over an entry that stands for `from` to `through`.
    pub(super) fn over(&mut self, from: Timestamp, through: Timestamp) -> Step {
        let mut step = Step { missing: self.up_to(from), ..Step::default() };
        let begins = self.next == Some(from);
        while self.next.is_some_and(|next| next <= through) {
            self.pass();
            step.counted += 1;
        }
        step.fits = begins && self.edge == through;
        self.edge = self.edge.max(through);
        step
    }
}

/// Every occurrence is decided once, in order, when it is due: by events from the first sight of the job on.
pub(super) fn in_order(case: &Case<'_>, unknown: &[(JobName, Timestamp, Timestamp)], found: &mut Vec<Finding>) {
    let (job, name) = (case.job, &case.job.name);
    let Some(registered) = case.events.iter().find(|event| event.what == What::Registered) else {
        if let Some(event) = case.events.first() {
            let detail = "there are events of it, but none says that it was seen";
            found.push(Finding::new(Invariant::RegisteredFirst, name, detail).when(event.at));
        }
        return;
    };
    let mut walk = Walk::after(job, registered.at);
    let mut edge = registered.at;
    let mut restored = Timestamp::EPOCH;
    let mut seen = BTreeSet::new();
    for event in &case.events {
        if let What::Restored { from, through: Some(through) } = &event.what {
            let span = (name.clone(), from.unwrap_or(Timestamp::EPOCH), *through);
            let row = walk.up_to(Timestamp::from_micros(through.as_micros() + 1));
            found.extend(row.and_then(|row| silent(name, row, &[span])));
            edge = edge.max(*through);
            restored = restored.max(*through);
            continue;
        }
        let (from, through, count) = match &event.what {
            What::Passed(pass) => (pass.from, pass.through, pass.count),
            What::Queued { run_id, scheduled_at, trigger } | What::Claimed { run_id, scheduled_at, trigger, .. } => {
                if !seen.insert(*run_id) || *trigger != Trigger::Schedule {
                    continue;
                }
                if *run_id != RunId::of_occurrence(name, *scheduled_at) {
                    let detail = format!("the run of {scheduled_at} has the id {run_id}, which is not its own");
                    found.push(Finding::new(Invariant::OwnRun, name, detail).of(*run_id).on(*scheduled_at));
                }
                (*scheduled_at, *scheduled_at, 1)
            }
            _ => continue,
        };
        // Of what lies before that, it is not known whether it is told of for the first time.
        if from <= restored {
            continue;
        }
        let find = |invariant, detail| Finding::new(invariant, name, detail).on(from).when(event.at);
        if from <= edge {
            found.push(find(Invariant::DecidedOnce, format!("it was decided, though the cursor stood at {edge}")));
            continue;
        }
        let step = walk.over(from, through);
        found.extend(step.missing.and_then(|row| silent(name, row, unknown)));
        if !step.fits || step.counted != count {
            let detail = format!("it stands for {count} up to {through}, where the schedule has {}", step.counted);
            found.push(find(Invariant::StandsForItsOccurrences, detail));
        }
        edge = through;
        let due = job.due(through);
        let ahead = if matches!(event.what, What::Claimed { .. }) { Bid::AHEAD } else { Duration::ZERO };
        if due > event.at.plus(ahead) {
            found.push(find(Invariant::NeverEarly, format!("it was decided at {}, and was due at {due}", event.at)));
        }
    }
    if case.record.cursor != Some(edge) {
        let cursor = case.record.cursor.map_or("nowhere".into(), |cursor| format!("at {cursor}"));
        let detail = format!("it stands {cursor}, and the entries end at {edge}");
        found.push(Finding::new(Invariant::CursorMovesOn, name, detail));
    }
}

/// Occurrences without an entry, unless it is on record that nothing is known of them.
pub(super) fn silent(job: &JobName, row: Row, unknown: &[(JobName, Timestamp, Timestamp)]) -> Option<Finding> {
    let known =
        |(of, from, through): &&(JobName, Timestamp, Timestamp)| of == job && *from < row.first && row.last <= *through;
    (!unknown.iter().any(|span| known(&span))).then(|| missed(job, row))
}

/// Occurrences without an entry.
pub(super) fn missed(job: &JobName, row: Row) -> Finding {
    let detail = match row.count {
        1 => format!("{} has no entry, and later ones have", row.first),
        more => format!("{more} occurrences from {} to {} have no entry, and later ones have", row.first, row.last),
    };
    Finding::new(Invariant::NothingMissed, job, detail).on(row.first).times(row.count)
}

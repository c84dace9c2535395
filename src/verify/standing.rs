//! What should have gone on by now: occurrences that nobody decides, runs that nobody takes over.

use std::time::Duration;

use super::{Finding, Invariant};
use crate::clock::Timestamp;
use crate::job::{Job, Overlap};
use crate::plan::View;
use crate::record::Phase;

/// What is due or has lapsed for longer than this is told. Takeovers begin as leases end, and looks come within
/// seconds; a store that was away for a moment, or a restart of all replicas, is to be no finding.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Judges how a job stands in `view`, decided up to `edge`.
pub(super) fn standing(job: &Job, view: &View, edge: Timestamp, found: &mut Vec<Finding>) {
    let (record, now) = (&view.record, view.now);
    let paused = record.paused(now).is_some();
    let lapsed = |since: Timestamp| now.since(since) > PATIENCE;
    for run in record.open.iter().filter(|run| lapsed(run.until)) {
        let waits = paused
            || record.keeps_out(run.run_id, job.overlap, now).is_some()
            || view.mutex.keeps_out(run.run_id, now).is_some();
        let what = match run.phase {
            Phase::Waiting | Phase::Claimed | Phase::Published if waits => continue,
            Phase::Waiting => "could have been claimed since",
            Phase::Claimed => "was claimed, not started, and could have been taken over since",
            Phase::Published => "was asked of a worker, not started, and could have been asked again since",
            Phase::Running => "was started, and its lease ended at",
        };
        let detail =
            format!("it {what} {}; {} held it", run.until, if run.holder.is_empty() { "nobody" } else { &run.holder });
        let finding = Finding::new(Invariant::NothingStuck, &job.name, detail);
        found.push(finding.of(run.run_id).on(run.scheduled_at).when(run.until));
    }
    // A run that is open may be in the way for as long as it takes.
    let free = record.open.is_empty() || job.overlap == Overlap::Allow && record.open.len() < Overlap::ALLOW_LIMIT;
    let Some(first) = job.schedule.after(edge).filter(|_| !paused && free) else { return };
    let due = job.due(first);
    if lapsed(due) {
        let detail = format!("{first} was due at {due}, and nobody has decided about it by {now}");
        found.push(Finding::new(Invariant::NothingLate, &job.name, detail).on(first).when(due));
    }
}

//! What the lines of a job's history say by themselves: they last longer than the events they were folded from.

use super::claims::starts_wrongly;
use super::{Finding, Invariant};
use crate::clock::Timestamp;
use crate::job::{Job, Overlap};
use crate::lease::{Fence, Outcome, RunId, Trigger};
use crate::ledger::Entry;
use crate::record::Bid;

/// A start, as a line has it.
struct Start {
    run_id: RunId,
    scheduled_at: Timestamp,
    fence: Fence,
    from: Timestamp,
    to: Option<Timestamp>,
}

/// Judges the starts in these lines.
pub(super) fn starts(job: &Job, lines: &[&Entry], found: &mut Vec<Finding>) {
    let mut starts = Vec::new();
    for line in lines {
        let Ok(run_id) = line.id.parse::<RunId>() else { continue };
        let find =
            |invariant, detail: String| Finding::new(invariant, &job.name, detail).of(run_id).on(line.scheduled_at);
        let is_of_schedule = line.trigger == Trigger::Schedule;
        if is_of_schedule && run_id != RunId::of_occurrence(&job.name, line.scheduled_at) {
            let detail = format!("the run of {} has an id that is not its own", line.scheduled_at);
            found.push(find(Invariant::OwnRun, detail));
        }
        let (mut last_start, mut last_end): (_, Option<Outcome>) = (None, None);
        let mut newest = Fence(0);
        for attempt in &line.attempts {
            if attempt.fence <= newest {
                let detail = format!("it was claimed under {}, after a claim under {newest}", attempt.fence);
                found.push(find(Invariant::ClaimFencesGrow, detail).when(attempt.claimed_at));
            }
            newest = newest.max(attempt.fence);
            if is_of_schedule && attempt.claimed_at.plus(Bid::AHEAD) < line.scheduled_at {
                let detail = format!("it was claimed at {}, before its instant", attempt.claimed_at);
                found.push(find(Invariant::NeverEarly, detail).when(attempt.claimed_at));
            }
            if let Some(from) = attempt.started_at {
                if let Some(why) = starts_wrongly(job, last_start, last_end, attempt.attempt) {
                    found.push(find(Invariant::StartsOnce, why).when(from));
                }
                last_start = Some((attempt.attempt, attempt.fence));
                let (scheduled_at, fence, to) = (line.scheduled_at, attempt.fence, attempt.finished_at);
                starts.push(Start { run_id, scheduled_at, fence, from, to });
            }
            last_end = attempt.ended.as_ref().map(|ended| ended.outcome).or(last_end);
        }
    }
    if job.overlap != Overlap::Allow {
        starts.sort_by_key(|start| (start.from, start.fence));
        for pair in starts.windows(2) {
            one_after_another(job, &pair[0], &pair[1], found);
        }
    }
}

fn one_after_another(job: &Job, earlier: &Start, later: &Start, found: &mut Vec<Finding>) {
    let find = |invariant, detail| {
        Finding::new(invariant, &job.name, detail).of(later.run_id).on(later.scheduled_at).when(later.from)
    };
    // Within one run the order of its attempts says all.
    if later.fence <= earlier.fence && later.run_id != earlier.run_id {
        let detail = format!("it was started under {}, after a start under {}", later.fence, earlier.fence);
        found.push(find(Invariant::StartFencesGrow, detail));
    }
    if later.run_id != earlier.run_id && earlier.to.is_none_or(|to| to > later.from) {
        let until = earlier.to.map_or("it had not ended".into(), |to| format!("it ended at {to}"));
        let detail = format!("it was started at {} beside the run of {}: {until}", later.from, earlier.scheduled_at);
        found.push(find(Invariant::OneAtATime, detail));
    }
}

//! What really ran, held against what the store had granted.

use std::collections::{HashMap, HashSet};

use super::{Case, Finding, Invariant, Ran};
use crate::clock::Timestamp;
use crate::lease::{Fence, Outcome, RunId};
use crate::ledger::{Event, What};

/// Code runs once for each start on record, within its lease.
pub(super) fn had_been_started(case: &Case<'_>, found: &mut Vec<Finding>) {
    let mut started: HashMap<Fence, (RunId, Timestamp)> = HashMap::new();
    for event in &case.events {
        if let What::Started { run_id, fence, .. } = &event.what {
            started.entry(*fence).or_insert((*run_id, event.at));
        }
    }
    for ran in &case.ran {
        let mut tell = |invariant, detail: String| {
            found.push(Finding::new(invariant, &case.job.name, detail).of(ran.run_id).when(ran.from));
        };
        let start = started.remove(&ran.fence);
        if !start.is_some_and(|(run_id, at)| run_id == ran.run_id && at <= ran.from) {
            let start = start.map_or("none is left".into(), |(run_id, at)| format!("that is of {run_id} at {at}"));
            tell(
                Invariant::CodeHasItsStart,
                format!("code ran at {} under {}, of its start {start}", ran.from, ran.fence),
            );
            continue;
        }
        if let Some(end) = case.leases.end(ran.fence, ran.from).filter(|end| ran.from >= *end) {
            let detail = format!("code began at {} under {}, whose lease had ended at {end}", ran.from, ran.fence);
            tell(Invariant::CodeStartsInItsLease, detail);
        }
        let last = case.leases.end(ran.fence, ran.to).filter(|_| case.obedient);
        if let Some(end) = last.filter(|end| ran.to > *end) {
            let detail = format!("code ran until {} under {}, whose lease had ended at {end}", ran.to, ran.fence);
            tell(Invariant::CodeEndsInItsLease, detail);
        }
    }
}

/// Code may outlive the entry that says how it ended only when its lease had ended.
pub(super) fn ended_when_it_may(
    case: &Case<'_>,
    by_fence: &HashMap<Fence, &Ran>,
    event: &Event,
    (fence, outcome): (Fence, Outcome),
    found: &mut Vec<Finding>,
) {
    let Some(ran) = by_fence.get(&fence).filter(|ran| ran.to > event.at) else { return };
    let gone = matches!(outcome, Outcome::Lost | Outcome::Cancelled);
    let lapsed = case.leases.end(fence, event.at).is_none_or(|end| end <= event.at);
    if !(gone && lapsed) {
        let detail =
            format!("{fence} was closed as {outcome:?} at {}, and its code still ran until {}", event.at, ran.to);
        found.push(Finding::new(Invariant::ClosedByItsHolder, &case.job.name, detail).of(ran.run_id).when(event.at));
    }
}

/// Of two executions at one time, the earlier one's lease had ended: its holder was out of reach.
pub(super) fn one_at_a_time(
    invariant: Invariant,
    case: &Case<'_>,
    ran: &[&Ran],
    events: &[(u64, Event)],
    found: &mut Vec<Finding>,
) {
    let mut ran = ran.to_vec();
    ran.sort_by_key(|ran| ran.fence);
    for (index, later) in ran.iter().enumerate() {
        for earlier in ran[..index].iter().filter(|earlier| earlier.to > later.from) {
            let lapsed = || case.leases.end(earlier.fence, later.from).is_none_or(|end| end <= later.from);
            let closed = || {
                events.iter().any(|(_, event)| {
                    let ends = matches!(&event.what, What::Ended { fence, .. } if *fence == earlier.fence);
                    ends && event.at <= later.from
                })
            };
            if case.obedient || !lapsed() || !closed() {
                let detail = format!(
                    "{} under {} began at {}, while {} under {} ran until {}",
                    later.run_id, later.fence, later.from, earlier.run_id, earlier.fence, earlier.to
                );
                found.push(Finding::new(invariant, &later.job, detail).of(later.run_id).when(later.from));
            }
        }
    }
}

/// Which fences there are among executions.
pub(super) fn by_fence<'a>(ran: &[&'a Ran]) -> HashMap<Fence, &'a Ran> {
    let mut seen = HashSet::new();
    ran.iter().filter(|ran| seen.insert(ran.fence)).map(|ran| (ran.fence, *ran)).collect()
}

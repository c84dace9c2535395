//! Whether the promises hold: one checker over what the store put on record and, where that is known, what really
//! ran. Simulations, models, tests with real processes and `cronclave verify` share it. Pure, but for [`Reading`].
//!
//! [`check`] judges evidence that is complete: every event from the first on, under jobs that never changed. [`Judge`]
//! judges what a living cluster still has: a history that is pruned, a feed that reaches back some way, files that
//! may have changed. It says how far it could judge.

mod claims;
mod evidence;
mod executions;
mod finding;
mod judge;
mod lines;
mod log;
mod occurrences;
mod reach;
mod reading;
mod standing;

use std::collections::BTreeMap;

use crate::job::{Job, JobName, Overlap};
use crate::ledger::{Event, What};
use crate::record::Record;

pub use evidence::{Evidence, Granted, Ran, Verdict};
pub use finding::{Finding, Invariant, Severity};
pub use judge::{Bound, Counts, JobReport, Judge, Limit, Report};
pub use log::{BrokenLog, Header, Log, OfJob, Writer};
pub use reading::Reading;
pub use standing::PATIENCE;

use evidence::Leases;

/// One job's part of the evidence.
struct Case<'a> {
    job: &'a Job,
    record: &'a Record,
    events: Vec<&'a Event>,
    ran: Vec<&'a Ran>,
    leases: &'a Leases<'a>,
    obedient: bool,
    /// The events reach back to the first sight of the job, and nothing has happened since.
    whole: bool,
}

/// Checks every invariant of evidence that is complete.
pub fn check(evidence: &Evidence) -> Verdict {
    let mut found = Vec::new();
    let positions = || evidence.events.iter().map(|(position, _)| *position);
    if let Some((a, b)) = positions().zip(positions().skip(1)).find(|(a, b)| a >= b) {
        let detail = format!("position {b} follows {a}");
        let (severity, invariant) = (Severity::Broken, Invariant::PositionsGrow);
        let (job, run_id, occurrence, at) = (None, None, None, None);
        found.push(Finding { invariant, severity, job, run_id, occurrence, count: 1, at, detail });
    }
    let leases = Leases::of(&evidence.leases);
    let mut events: BTreeMap<&JobName, Vec<&Event>> = BTreeMap::new();
    for (_, event) in &evidence.events {
        events.entry(&event.job).or_default().push(event);
    }
    for (name, (job, record)) in &evidence.jobs {
        let case = Case {
            job,
            record,
            events: events.get(name).cloned().unwrap_or_default(),
            ran: evidence.ran.iter().filter(|ran| ran.job == *name).collect(),
            leases: &leases,
            obedient: evidence.obedient,
            whole: true,
        };
        claims::time_goes_on(&case, &mut found);
        occurrences::in_order(&case, &evidence.unknown, &mut found);
        claims::only_the_newest_acts(&case, &mut found);
        executions::had_been_started(&case, &mut found);
        if job.overlap != Overlap::Allow {
            executions::one_at_a_time(Invariant::OneAtATime, &case, &case.ran, &evidence.events, &mut found);
        }
    }
    mutexes(evidence, &leases, &mut found);
    let mut verdict = Verdict { findings: found, ..Verdict::default() };
    for (_, event) in &evidence.events {
        verdict.starts += u64::from(matches!(event.what, What::Started { .. }));
    }
    verdict.events = evidence.events.len() as u64;
    verdict
}

/// What holds over all jobs of a mutex.
fn mutexes(evidence: &Evidence, leases: &Leases<'_>, found: &mut Vec<Finding>) {
    let mut mutexes: BTreeMap<&str, Vec<&JobName>> = BTreeMap::new();
    for (name, (job, _)) in &evidence.jobs {
        if let Some(mutex) = &job.mutex {
            mutexes.entry(mutex).or_default().push(name);
        }
    }
    for jobs in mutexes.values() {
        let (job, record) = &evidence.jobs[jobs[0]];
        let case = Case {
            job,
            record,
            events: evidence.events.iter().map(|(_, event)| event).filter(|event| jobs.contains(&&event.job)).collect(),
            ran: evidence.ran.iter().filter(|ran| jobs.contains(&&ran.job)).collect(),
            leases,
            obedient: evidence.obedient,
            whole: true,
        };
        // What one job does by itself is told of that job.
        let before = found.len();
        executions::one_at_a_time(Invariant::MutexHolds, &case, &case.ran, &evidence.events, found);
        claims::fences_grow(Invariant::MutexFencesGrow, &case.events, found);
        let told: Vec<(Option<crate::lease::RunId>, bool)> = found[..before]
            .iter()
            .filter(|one| matches!(one.invariant, Invariant::OneAtATime | Invariant::StartFencesGrow))
            .map(|one| (one.run_id, one.invariant == Invariant::OneAtATime))
            .collect();
        let mut nth = 0;
        found.retain(|one| {
            nth += 1;
            nth <= before || !told.contains(&(one.run_id, one.invariant == Invariant::MutexHolds))
        });
    }
}

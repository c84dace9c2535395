//! What must hold of every cluster, whatever happened to it: the program's own checker, whose findings end a test.

#[allow(unused_imports, reason = "not every test has leases to show")]
pub(crate) use cronclave::verify::{Evidence, Granted, Ran};

/// Checks every invariant.
///
/// # Panics
/// When one does not hold, with its name and what is known of the run or the job.
pub(crate) fn check(evidence: &Evidence) {
    let verdict = cronclave::verify::check(evidence);
    let Some(first) = verdict.findings.first() else { return };
    let run = first.run_id.map(|run| run.to_string()).unwrap_or_default();
    let events = evidence.events.iter().filter(|(_, event)| Some(&event.job) == first.job.as_ref());
    let events: Vec<_> = events.filter(|(_, event)| format!("{:?}", event.what).contains(&run)).collect();
    panic!("broken: {}\n  {:#?}\n  events: {events:#?}", first.invariant.promise(), verdict.findings)
}

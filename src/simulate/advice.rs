//! What would spread the starts of a minute in which many begin.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::report::Advice;
use super::{Line, World};
use crate::clock::Timestamp;
use crate::job::Job;

/// A minute is crowded when so many runs begin in it.
const CROWDED: u32 = 10;

/// Spread over so long.
const JITTER: Duration = Duration::from_secs(300);

/// Minutes nearly as full as the fullest count as well.
const NEARLY: u32 = 2;

/// `jitter` for the jobs of the fullest minutes, and what that would make of them. Each job's share of it is known, so
/// that this is reckoned, not guessed. What begins late, as after an outage, is not the schedule's doing.
pub(super) fn advise(world: &World) -> Option<Advice> {
    let minute_of = |at: Timestamp| at.as_secs().div_euclid(60);
    let on_time = |line: &&Line| line.count > 0 && line.started.is_some_and(|at| minute_of(at) == minute_of(line.at));
    let lines = || world.lines.iter().filter(on_time);
    let mut minutes: BTreeMap<i64, u32> = BTreeMap::new();
    lines().for_each(|line| *minutes.entry(minute_of(line.at)).or_default() += 1);
    let fullest = minutes.values().copied().max().filter(|most| *most >= CROWDED)?;
    let crowd: BTreeSet<usize> = lines()
        .filter(|line| minutes[&minute_of(line.at)] * NEARLY >= fullest)
        .map(|line| line.job)
        .filter(|job| world.jobs()[*job].jitter.is_zero())
        .collect();
    let spread: BTreeMap<usize, Job> =
        crowd.iter().map(|at| (*at, Job::clone(&world.jobs()[*at]).with(|job| job.jitter = JITTER))).collect();
    let mut then: BTreeMap<i64, u32> = BTreeMap::new();
    for line in lines() {
        let due = spread.get(&line.job).map_or(line.at, |job| job.due(line.at));
        *then.entry(minute_of(due)).or_default() += 1;
    }
    let then = then.values().copied().max().unwrap_or(0);
    let jobs = crowd.iter().map(|at| world.jobs()[*at].name.clone()).collect();
    (then < fullest).then_some(Advice { now: fullest, then, jitter_seconds: JITTER.as_secs(), jobs })
}

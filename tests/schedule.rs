//! Schedules: the corpus of expressions, the rules about changes of clocks, and laws that hold for all.
#![allow(clippy::unwrap_used)]

#[path = "schedule/clocks.rs"]
mod clocks;
#[path = "schedule/corpus.rs"]
mod corpus;
#[path = "schedule/laws.rs"]
mod laws;
#[path = "schedule/refusals.rs"]
mod refusals;
#[path = "schedule/shapes.rs"]
mod shapes;
#[path = "schedule/wall.rs"]
mod wall;

use cronclave::clock::Timestamp;
use cronclave::schedule::{GapRule, OverlapRule, Rules, Schedule, ScheduleError, Zone};

pub(crate) fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

pub(crate) fn parse(text: &str) -> Result<Schedule, ScheduleError> {
    Schedule::parse(text, &Zone::utc(), Rules::default(), "job")
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The occurrences after `from`, up to `count` of them.
pub(crate) fn runs(schedule: &Schedule, from: &str, count: usize) -> Vec<Timestamp> {
    std::iter::successors(schedule.after(at(from)), |t| schedule.after(*t)).take(count).collect()
}

pub(crate) fn ruled(
    text: &str,
    name: &str,
    gap: GapRule,
    overlap: OverlapRule,
    from: &str,
    count: usize,
) -> Vec<String> {
    let schedule = Schedule::parse(text, &zone(name), Rules { gap, overlap }, "job").unwrap();
    runs(&schedule, from, count).iter().map(Timestamp::to_string).collect()
}

pub(crate) fn plain(text: &str, name: &str, from: &str, count: usize) -> Vec<String> {
    ruled(text, name, GapRule::Shift, OverlapRule::First, from, count)
}

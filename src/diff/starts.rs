//! The occurrences of one job before and after.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::job::Job;
use crate::schedule::{Calendar, Schedule};

/// How many occurrences are looked at in all, and of one job at least and at most.
const BUDGET: usize = 4_000_000;
const LEAST: usize = 500;
const MOST: usize = 20_000;
/// How many are named.
const SHOWN: usize = 3;

/// The occurrences that differ.
#[derive(Debug, Default)]
pub struct Starts {
    /// Those that only the new schedule has.
    pub added: Tally<Timestamp>,
    /// Those that only the old one has.
    pub dropped: Tally<Timestamp>,
    /// Those that one schedule has and the other has right before or after.
    pub moved: Tally<(Timestamp, Timestamp)>,
    /// Later ones were not looked at: there are too many.
    pub until: Option<Timestamp>,
}

impl Starts {
    /// Whether none differ.
    pub fn is_empty(&self) -> bool {
        self.added.count + self.dropped.count + self.moved.count == 0
    }
}

/// How many, and the first few.
#[derive(Debug)]
pub struct Tally<T> {
    /// How many there are.
    pub count: usize,
    /// The first three of them.
    pub first: Vec<T>,
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Tally { count: 0, first: Vec::new() }
    }
}

impl<T> Tally<T> {
    fn add(&mut self, one: T) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(one);
        }
    }
}

/// The occurrences of a schedule, in order.
#[derive(Debug, Default)]
pub(super) struct List {
    times: Vec<Timestamp>,
    /// Whether there are more than were looked at.
    cut: bool,
}

/// What the days of a job's occurrences depend on, by identity: equal schedules of one file are one.
pub(super) type Days = (*const Schedule, Vec<*const Calendar>);

pub(super) fn days(job: &Job) -> Days {
    let calendars = job.skip_on.iter().map(Arc::as_ptr).chain([std::ptr::null()]);
    (Arc::as_ptr(&job.schedule), calendars.chain(job.only_on.iter().map(Arc::as_ptr)).collect())
}

/// Lists that are already made: thousands of jobs share a few hundred schedules.
pub(super) struct Lists {
    from: Timestamp,
    until: Timestamp,
    most: usize,
    known: HashMap<Days, Arc<List>>,
}

impl Lists {
    /// For this many jobs.
    pub(super) fn new(from: Timestamp, until: Timestamp, jobs: usize) -> Lists {
        Lists { from, until, most: (BUDGET / jobs.max(1)).clamp(LEAST, MOST), known: HashMap::new() }
    }

    /// What the schedule starts of `job`: nothing when there is none, or when it is disabled.
    pub(super) fn of(&mut self, job: Option<&Arc<Job>>) -> Arc<List> {
        let Some(job) = job.filter(|job| job.enabled) else { return Arc::default() };
        let (from, until, most) = (self.from, self.until, self.most);
        let list = self.known.entry(days(job)).or_insert_with(|| {
            // One that is due at `from` counts.
            let before = from.minus(Duration::from_micros(1));
            let all = std::iter::successors(job.next_open(before), |at| job.next_open(*at));
            let mut times: Vec<_> = all.take_while(|at| *at < until).take(most + 1).collect();
            let cut = times.len() > most;
            times.truncate(most);
            Arc::new(List { times, cut })
        });
        Arc::clone(list)
    }
}

/// What differs between two lists, as far as both were looked at.
pub(super) fn compare(old: &List, new: &List) -> Starts {
    let ends = [old, new].into_iter().filter(|list| list.cut).filter_map(|list| list.times.last().copied());
    let mut starts = Starts { until: ends.min(), ..Starts::default() };
    let reach = starts.until.unwrap_or(Timestamp::FAR);
    let (mut old, mut new) = (&old.times[..], &new.times[..]);
    // A difference that may still turn out to be one half of a move.
    let mut open: Option<(Timestamp, bool)> = None;
    loop {
        let (first, second) = (old.first().copied(), new.first().copied());
        let Some(at) = first.into_iter().chain(second).min().filter(|at| *at <= reach) else { break };
        if first == Some(at) {
            old = &old[1..];
        }
        if second == Some(at) {
            new = &new[1..];
        }
        let is_new = first != Some(at);
        let last = open.take();
        match last {
            _ if first == second => settle(&mut starts, last),
            Some((before, was_new)) if was_new != is_new => {
                starts.moved.add(if is_new { (before, at) } else { (at, before) });
            }
            _ => {
                settle(&mut starts, last);
                open = Some((at, is_new));
            }
        }
    }
    settle(&mut starts, open);
    starts
}

fn settle(starts: &mut Starts, one: Option<(Timestamp, bool)>) {
    match one {
        Some((at, true)) => starts.added.add(at),
        Some((at, false)) => starts.dropped.add(at),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(seconds: &[i64]) -> List {
        List { times: seconds.iter().map(|at| Timestamp::from_secs(*at)).collect(), cut: false }
    }

    fn told(old: &[i64], new: &[i64]) -> (usize, usize, Vec<(i64, i64)>) {
        let starts = compare(&list(old), &list(new));
        let pairs = starts.moved.first.iter().map(|(a, b)| (a.as_secs(), b.as_secs())).collect();
        (starts.added.count, starts.dropped.count, pairs)
    }

    #[test]
    fn what_goes_and_comes_side_by_side_has_moved() {
        assert_eq!(told(&[1, 2, 3], &[1, 2, 3]), (0, 0, vec![]));
        assert_eq!(told(&[10, 20], &[11, 21]), (0, 0, vec![(10, 11), (20, 21)]));
        assert_eq!(told(&[11, 21], &[10, 20]), (0, 0, vec![(11, 10), (21, 20)]));
        assert_eq!(told(&[5, 10, 15, 20], &[10, 20]), (0, 2, vec![]));
        assert_eq!(told(&[10], &[5, 10, 15]), (2, 0, vec![]));
        assert_eq!(told(&[1, 2, 9], &[3, 9]), (0, 1, vec![(2, 3)]));
        assert_eq!(told(&[], &[1, 2]), (2, 0, vec![]));
    }

    #[test]
    fn beyond_what_was_looked_at_nothing_is_told() {
        let cut = List { cut: true, ..list(&[1, 2, 3]) };
        let starts = compare(&cut, &list(&[1, 9]));
        assert_eq!((starts.dropped.count, starts.added.count), (2, 0));
        assert_eq!(starts.until, Some(Timestamp::from_secs(3)));
    }
}

//! How many jobs start in the same minute, before and after.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::starts::{self, Days};
use crate::clock::Timestamp;
use crate::job::Job;

/// A minute is crowded when more jobs than this start in it.
const CROWDED: u32 = 20;
/// How many are named.
const SHOWN: usize = 10;
/// Once so many starts were counted, those of later hours are not.
const BUDGET: usize = 3_000_000;
const MINUTE: i64 = 60;
const HOUR: Duration = Duration::from_secs(3600);

/// The most crowded minutes.
#[derive(Debug, Default)]
pub struct Crowd {
    /// The one in which the most jobs start, as it is.
    pub old: Option<Minute>,
    /// The same, as it will be.
    pub new: Option<Minute>,
    /// Those in which more than twenty jobs start and more than before: the ten fullest, the fullest first.
    pub grown: Vec<Minute>,
    /// How many of those there are.
    pub count: usize,
    /// Later minutes were not looked at: there are too many schedules.
    pub until: Option<Timestamp>,
}

/// How many jobs start within a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute {
    /// Its first instant.
    pub at: Timestamp,
    /// Jobs that start in it, as it is.
    pub old: u32,
    /// Jobs that start in it, as it will be.
    pub new: u32,
}

/// Jobs of one schedule start in the same minutes: one of them, and how many there are.
struct Group<'a> {
    job: &'a Arc<Job>,
    jobs: u32,
    side: usize,
    next: Option<Timestamp>,
}

pub(super) fn compare(sides: [&[Arc<Job>]; 2], from: Timestamp, until: Timestamp) -> Crowd {
    // One that is due at `from` counts.
    let before = from.minus(Duration::from_micros(1));
    let mut groups: Vec<Group<'_>> =
        sides.into_iter().enumerate().flat_map(|(side, jobs)| groups(jobs, side, before)).collect();
    let first = from.as_secs().div_euclid(MINUTE);
    let minute = |at: Timestamp| usize::try_from(at.as_secs().div_euclid(MINUTE) - first).ok();
    let mut counts = vec![[0u32; 2]; minute(until).map_or(0, |last| last + 1)];
    let (mut end, mut steps) = (from, 0);
    // Hour by hour for all, so that a few that start often do not hide what the others do.
    while end < until && steps < BUDGET {
        end = end.plus(HOUR).min(until);
        for group in &mut groups {
            while let Some(at) = group.next.filter(|at| *at < end) {
                if let Some(count) = minute(group.job.due(at)).and_then(|minute| counts.get_mut(minute)) {
                    count[group.side] += group.jobs;
                }
                // A job counts once in a minute, however often it starts.
                let next_minute = Timestamp::from_secs((at.as_secs().div_euclid(MINUTE) + 1) * MINUTE);
                group.next = group.job.next_open(next_minute.minus(Duration::from_micros(1)));
                steps += 1;
            }
        }
    }
    counts.truncate(minute(end).map_or(0, |last| last + 1));
    crowd(&counts, first, (end < until).then_some(end))
}

fn groups(jobs: &[Arc<Job>], side: usize, before: Timestamp) -> impl Iterator<Item = Group<'_>> {
    let mut groups: HashMap<(Days, Option<&str>), Group<'_>> = HashMap::new();
    for job in jobs.iter().filter(|job| job.enabled) {
        // Jitter makes each its own.
        let own = (!job.jitter.is_zero()).then(|| job.name.as_str());
        let new = || Group { job, jobs: 0, side, next: job.next_open(before) };
        groups.entry((starts::days(job), own)).or_insert_with(new).jobs += 1;
    }
    groups.into_values()
}

fn crowd(counts: &[[u32; 2]], first: i64, until: Option<Timestamp>) -> Crowd {
    let minutes = || {
        counts.iter().zip(first..).map(|(count, minute)| Minute {
            at: Timestamp::from_secs(minute * 60),
            old: count[0],
            new: count[1],
        })
    };
    // Of several the first.
    let fullest =
        |of: fn(&Minute) -> u32| minutes().filter(|one| of(one) > 0).max_by_key(|one| (of(one), Reverse(one.at)));
    let mut grown: Vec<Minute> = minutes().filter(|one| one.new > CROWDED && one.new > one.old).collect();
    grown.sort_by_key(|one| (Reverse(one.new), one.at));
    let count = grown.len();
    grown.truncate(SHOWN);
    Crowd { old: fullest(|one| one.old), new: fullest(|one| one.new), grown, count, until }
}

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
/// How many minutes of schedules are looked at in all, and of one schedule at least.
const BUDGET: usize = 10_000_000;
const LEAST: usize = 1000;
const MINUTE: Duration = Duration::from_secs(60);

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

/// Jobs of one schedule start in the same minutes: one of them, and how many there are. Jitter makes each its own.
type Groups<'a> = HashMap<(Days, Option<&'a str>), (&'a Arc<Job>, u32)>;

pub(super) fn compare(sides: [&[Arc<Job>]; 2], from: Timestamp, until: Timestamp) -> Crowd {
    let groups = sides.map(groups);
    let number = groups.iter().map(HashMap::len).sum::<usize>().max(1);
    let most = (BUDGET / number).max(LEAST);
    let first = from.as_secs().div_euclid(60);
    let minute = |at: Timestamp| usize::try_from(at.as_secs().div_euclid(60) - first).ok();
    let mut counts = vec![[0u32; 2]; minute(until).map_or(0, |last| last + 1)];
    let mut end = until;
    for (side, groups) in groups.iter().enumerate() {
        for (job, jobs) in groups.values() {
            let mut edge = from.minus(Duration::from_micros(1));
            for step in 0.. {
                let Some(at) = job.next_open(edge).filter(|at| *at < end) else { break };
                if step == most {
                    end = at;
                    break;
                }
                if let Some(count) = minute(job.due(at)).and_then(|minute| counts.get_mut(minute)) {
                    count[side] += jobs;
                }
                // A job counts once in a minute, however often it starts.
                edge = Timestamp::from_secs((at.as_secs().div_euclid(60)) * 60)
                    .plus(MINUTE)
                    .minus(Duration::from_micros(1));
            }
        }
    }
    counts.truncate(minute(end).map_or(0, |last| last + 1));
    crowd(&counts, first, (end < until).then_some(end))
}

fn groups(jobs: &[Arc<Job>]) -> Groups<'_> {
    let mut groups = HashMap::new();
    for job in jobs.iter().filter(|job| job.enabled) {
        let own = (!job.jitter.is_zero()).then(|| job.name.as_str());
        groups.entry((starts::days(job), own)).or_insert((job, 0)).1 += 1;
    }
    groups
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

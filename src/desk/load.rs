//! How much a span of time asks for: how many runs start in each part of it, and how many go at once. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::job::Job;
use crate::schedule::{Calendar, Schedule};

const MINUTE: i64 = 60;

/// A minute is crowded when so many jobs start in it.
const CROWDED: u32 = 10;

/// Crowded minutes that are named.
const NAMED: usize = 3;

/// Parts of a span at most.
const PARTS: u64 = 100;

/// How long a part may be, in seconds.
const LENGTHS: [u64; 10] = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600];

/// Once so many starts were counted, those of later hours are not.
const BUDGET: usize = 150_000;

/// What the schedules ask for within a span.
#[derive(Debug, Default)]
pub struct Load {
    /// How long each part is.
    pub bucket: Duration,
    /// Its parts in which something starts or goes on, in order.
    pub buckets: Vec<Bucket>,
    /// The fullest minutes to come.
    pub crowded: Vec<Crowd>,
    /// Later starts were not counted.
    pub until: Option<Timestamp>,
}

/// One part of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Its beginning.
    pub at: Timestamp,
    /// Runs that start in it; a job counts once in a minute.
    pub starts: u64,
    /// Runs that go at the same time, at most, if each takes as long as usual.
    pub at_once: u64,
}

/// A minute in which many jobs start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// Its beginning.
    pub at: Timestamp,
    /// How many.
    pub jobs: u32,
}

/// Jobs that start in the same minutes: thousands share a few hundred schedules.
struct Group<'a> {
    job: &'a Arc<Job>,
    jobs: u32,
    /// How many of them take how many minutes.
    minutes: BTreeMap<usize, u32>,
    next: Option<Timestamp>,
}

/// What `jobs` ask for, each with how long it usually takes.
pub fn load(jobs: &[(&Arc<Job>, Option<Duration>)], from: Timestamp, until: Timestamp, now: Timestamp) -> Load {
    let first = from.as_secs().div_euclid(MINUTE);
    let minute = |at: Timestamp| usize::try_from(at.as_secs().div_euclid(MINUTE) - first).ok();
    let count = minute(until).map_or(0, |last| last + 1);
    let (mut starts, mut change) = (vec![0u32; count], vec![0i64; count + 1]);
    let mut groups = groups(jobs, from.minus(Duration::from_micros(1)));
    let (mut end, mut steps) = (from, 0);
    // Hour by hour for all, so that a few that start often do not hide what the others do.
    while end < until && steps < BUDGET {
        end = end.plus(Duration::from_secs(3600)).min(until);
        for group in &mut groups {
            while let Some(at) = group.next.filter(|at| *at < end) {
                if let Some(minute) = minute(group.job.due(at)).filter(|minute| *minute < count) {
                    starts[minute] += group.jobs;
                    for (took, jobs) in &group.minutes {
                        change[minute] += i64::from(*jobs);
                        change[(minute + took).min(count)] -= i64::from(*jobs);
                    }
                }
                let next_minute = Timestamp::from_secs((at.as_secs().div_euclid(MINUTE) + 1) * MINUTE);
                group.next = group.job.next_open(next_minute.minus(Duration::from_micros(1)));
                steps += 1;
            }
        }
    }
    let bucket = bucket(until.since(from));
    let at = |minute: usize| Timestamp::from_secs((first + i64::try_from(minute).unwrap_or(0)) * MINUTE);
    Load {
        bucket: Duration::from_secs(bucket),
        buckets: buckets(&starts, &change, bucket, at),
        crowded: crowded(&starts, at, now),
        until: (end < until).then_some(end),
    }
}

fn bucket(span: Duration) -> u64 {
    LENGTHS.into_iter().find(|length| span.as_secs() / length <= PARTS).unwrap_or(86_400)
}

/// What the days of a job's occurrences depend on, by identity: equal schedules of one file are one.
type Days = (*const Schedule, Vec<*const Calendar>);

fn groups<'a>(jobs: &[(&'a Arc<Job>, Option<Duration>)], before: Timestamp) -> Vec<Group<'a>> {
    let mut groups: HashMap<(Days, Option<&str>), Group<'a>> = HashMap::new();
    for (job, usual) in jobs.iter().filter(|(job, _)| job.enabled) {
        // Jitter makes each its own.
        let own = (!job.jitter.is_zero()).then(|| job.name.as_str());
        let calendars = job.skip_on.iter().map(Arc::as_ptr).chain([std::ptr::null()]);
        let calendars = calendars.chain(job.only_on.iter().map(Arc::as_ptr)).collect();
        let new = || Group { job, jobs: 0, minutes: BTreeMap::new(), next: job.next_open(before) };
        let group = groups.entry(((Arc::as_ptr(&job.schedule), calendars), own)).or_insert_with(new);
        group.jobs += 1;
        let minutes = usual.map_or(1, |usual| usual.as_secs().div_ceil(60).max(1));
        *group.minutes.entry(usize::try_from(minutes).unwrap_or(usize::MAX / 2)).or_default() += 1;
    }
    groups.into_values().collect()
}

fn buckets(starts: &[u32], change: &[i64], seconds: u64, at: impl Fn(usize) -> Timestamp) -> Vec<Bucket> {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    let mut all: Vec<Bucket> = Vec::new();
    let mut going = 0;
    for (minute, count) in starts.iter().enumerate() {
        going += change[minute];
        let begin = Timestamp::from_secs(at(minute).as_secs().div_euclid(seconds) * seconds);
        let at_once = u64::try_from(going).unwrap_or(0);
        match all.last_mut().filter(|last| last.at == begin) {
            Some(last) => (last.starts, last.at_once) = (last.starts + u64::from(*count), last.at_once.max(at_once)),
            None => all.push(Bucket { at: begin, starts: u64::from(*count), at_once }),
        }
    }
    all.retain(|bucket| bucket.starts > 0 || bucket.at_once > 0);
    all
}

fn crowded(starts: &[u32], at: impl Fn(usize) -> Timestamp, now: Timestamp) -> Vec<Crowd> {
    let minutes = starts.iter().enumerate().map(|(minute, jobs)| Crowd { at: at(minute), jobs: *jobs });
    let mut full: Vec<Crowd> = minutes.filter(|one| one.jobs >= CROWDED && one.at > now).collect();
    full.sort_by_key(|one| (Reverse(one.jobs), one.at));
    full.truncate(NAMED);
    full
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, SourceText};

    fn jobs(text: &str) -> Vec<Arc<Job>> {
        let source = SourceText { name: "a.toml".into(), text: format!("version = 1\n{text}").into() };
        let now = "2026-11-28T00:00:00Z".parse().unwrap();
        config::check(&[source], now).unwrap_or_else(|wrong| panic!("{}", config::report(&wrong, false))).jobs
    }

    fn at(text: &str) -> Timestamp {
        format!("2026-11-28T{text}Z").parse().unwrap()
    }

    #[test]
    fn runs_that_take_long_are_counted_where_they_still_go() {
        let all = jobs(
            "[jobs.a]\nschedule = \"0 * * * *\"\ncommand = \"true\"\n[jobs.b]\nschedule = \"0 * * * *\"\ncommand = \"true\"\n",
        );
        let asked: Vec<_> = all.iter().zip([Some(Duration::from_secs(5400)), None]).collect();
        let load = load(&asked, at("08:00:00"), at("10:00:00"), at("08:00:00"));
        let of = |text: &str| load.buckets.iter().find(|one| one.at == at(text)).copied();
        assert_eq!(load.bucket, Duration::from_secs(120));
        assert_eq!(of("08:00:00"), Some(Bucket { at: at("08:00:00"), starts: 2, at_once: 2 }));
        assert_eq!(of("08:30:00"), Some(Bucket { at: at("08:30:00"), starts: 0, at_once: 1 }));
        assert_eq!(of("09:00:00"), Some(Bucket { at: at("09:00:00"), starts: 2, at_once: 3 }));
        assert_eq!(of("09:40:00"), Some(Bucket { at: at("09:40:00"), starts: 0, at_once: 1 }));
    }

    #[test]
    fn minutes_in_which_many_jobs_start_are_named_unless_jitter_spreads_them() {
        let many = |jitter: &str| {
            let job = |n| format!("[jobs.j{n}]\nschedule = \"0 9 * * *\"\ncommand = \"true\"\njitter = \"{jitter}\"\n");
            jobs(&(0..14).map(job).collect::<String>())
        };
        let crowded = |all: &[Arc<Job>]| {
            let asked: Vec<_> = all.iter().map(|job| (job, None)).collect();
            load(&asked, at("00:00:00"), at("23:00:00"), at("06:00:00")).crowded
        };
        assert_eq!(crowded(&many("0s")), [Crowd { at: at("09:00:00"), jobs: 14 }]);
        assert_eq!(crowded(&many("30m")), []);
    }
}

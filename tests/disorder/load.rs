//! Twenty jobs that come due every second, five replicas, and the reckoning afterwards.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use cronclave::clock::{Clock, Timestamp};
use cronclave::job::JobName;
use cronclave::ledger::State;

use super::cluster::{Cluster, LONG, Line, SIGN};

pub(crate) const JOBS: usize = 20;
pub(crate) const REPLICAS: usize = 5;

/// Jobs number `numbers`, each due every second.
pub(crate) fn jobs(numbers: Range<usize>, command: &str, more: &str) -> String {
    numbers
        .map(|n| {
            format!(
                "[jobs.job-{n}]\nevery = \"1s\"\nkeep = {{ runs = 100000, days = 1 }}\ncommand = '{command}'\n{more}\n"
            )
        })
        .collect()
}

/// Jobs of which each occurrence is to run, however late.
pub(crate) fn patient_jobs() -> String {
    jobs(0..JOBS, SIGN, "overlap = \"queue_all\"\nmisfire = \"run_all\"")
}

/// By job: how often each second stands in the ledger.
fn by_job(ledger: &[Line]) -> BTreeMap<String, BTreeMap<i64, usize>> {
    let mut all: BTreeMap<String, BTreeMap<i64, usize>> = BTreeMap::new();
    for line in ledger {
        *all.entry(line.job.clone()).or_default().entry(line.scheduled).or_default() += 1;
    }
    all
}

/// What became of all occurrences of all jobs.
pub(crate) struct Tally {
    pub(crate) starts: usize,
    pub(crate) outcomes: BTreeMap<State, usize>,
    /// Of each start after its instant, in milliseconds, the least first.
    late: Vec<i64>,
    /// How many runs each replica had.
    pub(crate) wins: Vec<usize>,
}

/// Holds the ledger that the jobs kept against the history: nothing started twice or early, and nothing passed over
/// in silence.
pub(crate) fn reckon(cluster: &Cluster) -> Tally {
    cluster.check();
    reckon_starts(cluster)
}

/// The same without what only holds where the store's time is the true one.
pub(crate) fn reckon_starts(cluster: &Cluster) -> Tally {
    let ledger = cluster.ledger();
    let written = by_job(&ledger);
    let mut tally =
        Tally { starts: ledger.len(), outcomes: BTreeMap::new(), late: Vec::new(), wins: vec![0; REPLICAS] };
    for n in 0..JOBS {
        let job = format!("job-{n}");
        let (seconds, none) = (cluster.seconds(&job), BTreeMap::new());
        let written = written.get(&job).unwrap_or(&none);
        for (second, state) in &seconds {
            let times = written.get(second).copied().unwrap_or(0);
            assert!(times <= 1, "{job}@{second} started {times} times");
            if times == 0 {
                assert_ne!(*state, State::Succeeded, "{job}@{second} is said to have succeeded but never ran");
            } else {
                let ran = [State::Succeeded, State::Lost, State::Interrupted, State::Failed, State::Running];
                assert!(ran.contains(state), "{job}@{second} ran, but the history says {state:?}");
            }
            *tally.outcomes.entry(*state).or_default() += 1;
        }
        assert!(written.keys().all(|second| seconds.contains_key(second)), "{job} ran what was never decided");
        for replica in cluster.history(&job).iter().filter_map(|entry| Some(&entry.latest()?.replica)) {
            // Of a worker as well.
            let number = replica.trim_start_matches(|c: char| !c.is_ascii_digit());
            tally.wins[number.parse::<usize>().unwrap()] += 1;
        }
    }
    for line in ledger.iter().filter(|line| line.job.starts_with("job-")) {
        let late = line.at.as_micros() - line.scheduled * 1_000_000;
        assert!(late >= 0, "started early: {line:?}");
        tally.late.push(late / 1000);
    }
    tally.late.sort_unstable();
    tally
}

impl Tally {
    pub(crate) fn occurrences(&self) -> usize {
        self.outcomes.values().sum()
    }

    /// For jobs nobody disturbed: what was waiting when the replicas stopped has not started, and all else has run.
    pub(crate) fn all_ran(&self) -> &Tally {
        let other =
            self.outcomes.keys().find(|state| ![State::Succeeded, State::Queued, State::Published].contains(state));
        assert_eq!(other, None, "{self}");
        self
    }

    /// Every replica won something, and none more than all others together. How near to equal shares that is depends on
    /// whom a busy machine lets run first.
    pub(crate) fn fair(&self) -> &Tally {
        let all: usize = self.wins.iter().sum();
        assert!(self.wins.iter().all(|wins| *wins > 0 && wins * 2 <= all), "{self}");
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late = |of_hundred: usize| self.late.get(self.late.len() * of_hundred / 100).copied().unwrap_or(-1);
        write!(
            f,
            "{} occurrences, {} starts, {:?}; lateness p50 {} ms, p99 {} ms; won by each replica: {:?}",
            self.occurrences(),
            self.starts,
            self.outcomes,
            late(50),
            late(99),
            self.wins
        )
    }
}

/// Waits until nothing that came due before now is still to be decided or to end, and says how long that took. The
/// faults are over. However slow the machine is: it must only go on.
pub(crate) fn caught_up(cluster: &Cluster) -> Duration {
    let (healed, began) = (Clock::system().now(), Instant::now());
    let (mut least, mut since) = (usize::MAX, Instant::now());
    loop {
        let left = left_over(cluster, healed);
        if left == 0 {
            return began.elapsed();
        }
        if left < least {
            (least, since) = (left, Instant::now());
        }
        // A start that was carried out, and of which its replica never heard, is waited for until its lease ends.
        assert!(since.elapsed() < LEASE + LONG, "no way on: {left} occurrences of before are still open");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How many occurrences up to `instant` are undecided, or have runs that are not over.
fn left_over(cluster: &Cluster, instant: Timestamp) -> usize {
    let records = cluster.ask(async |store| store.snapshot().await).records;
    (0..JOBS)
        .map(|n| {
            // A server that has lost everything does not know the job until its next sight.
            let record = records.get(&JobName::new(&format!("job-{n}")).unwrap());
            let Some(record) = record else { return 1 };
            let Some(cursor) = record.cursor else { return 1 };
            let undecided = usize::try_from(instant.as_secs() - cursor.as_secs()).unwrap_or(0);
            undecided + record.open.iter().filter(|run| run.scheduled_at <= instant).count()
        })
        .sum()
}

/// How long a claim lasts unless a job says otherwise.
const LEASE: Duration = Duration::from_secs(30);

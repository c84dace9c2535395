//! Load, and `kill -9`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cronclave::lease::Outcome;
use cronclave::ledger::State;

use super::cluster::{Cluster, Line, SIGN, alive, duration, say, until};

fn twenty_jobs(more: &str) -> String {
    jobs(0..20, SIGN, more)
}

fn jobs(numbers: std::ops::Range<usize>, command: &str, more: &str) -> String {
    numbers
        .map(|n| {
            format!(
                "[jobs.job-{n}]\nevery = \"1s\"\nkeep = {{ runs = 100000, days = 1 }}\ncommand = '{command}'\n{more}\n"
            )
        })
        .collect()
}

/// By job: how often each second stands in the ledger.
fn by_job(ledger: &[Line]) -> BTreeMap<String, BTreeMap<i64, usize>> {
    let mut all: BTreeMap<String, BTreeMap<i64, usize>> = BTreeMap::new();
    for line in ledger {
        *all.entry(line.job.clone()).or_default().entry(line.scheduled).or_default() += 1;
    }
    all
}

#[test]
fn four_replicas_start_each_occurrence_of_twenty_jobs_a_second_exactly_once() {
    let mut cluster = Cluster::new(&twenty_jobs("overlap = \"queue_all\"\nmisfire = \"run_all\""));
    for index in 0..4 {
        cluster.serve(index);
    }
    std::thread::sleep(duration());
    cluster.stop();
    cluster.check();
    let ledger = cluster.ledger();
    let (mut late, mut total) = (Vec::new(), 0);
    for (job, written) in by_job(&ledger) {
        let seconds = cluster.seconds(&job);
        assert!(seconds.len() as u64 + 15 > duration().as_secs(), "{job} has {} seconds", seconds.len());
        for (second, state) in &seconds {
            let times = written.get(second).copied().unwrap_or(0);
            // What was still waiting when the replicas stopped has not started yet, and says so.
            assert_eq!(times, usize::from(*state != State::Queued), "{job}@{second} {state:?} ran {times} times");
        }
        assert!(written.keys().all(|second| seconds.contains_key(second)), "{job} ran what was never decided");
        total += seconds.len();
    }
    for line in &ledger {
        let early = line.at.as_micros() - line.scheduled * 1_000_000;
        assert!(early >= 0, "started early: {line:?}");
        late.push(early / 1000);
    }
    late.sort_unstable();
    let shares: Vec<usize> = (0..4).map(|n| wins(&cluster, n)).collect();
    say(&format!(
        "{total} occurrences, {} starts, lateness p50 {} ms, p99 {} ms; won by each replica: {shares:?}",
        ledger.len(),
        late[late.len() / 2],
        late[late.len() * 99 / 100]
    ));
}

fn wins(cluster: &Cluster, replica: usize) -> usize {
    let name = format!("replica-{replica}");
    let of_job = |n| cluster.history(&format!("job-{n}"));
    (0..20).flat_map(of_job).filter(|entry| entry.latest().is_some_and(|attempt| attempt.replica == name)).count()
}

#[test]
fn killing_a_random_replica_twice_a_second_starts_nothing_twice_and_hides_nothing() {
    let restarted = format!(
        "[jobs.steady]\nevery = \"5s\"\ndelivery = \"at_least_once\"\nlock = {{ ttl = \"3s\" }}\ncommand = '{SIGN}; sleep 1'\nkeep = {{ runs = 100000, days = 1 }}\n"
    );
    let more = "lock = { ttl = \"3s\" }\nmisfire = \"run_all\"";
    // Some run long enough to be hit.
    let jobs = jobs(0..14, SIGN, more) + &jobs(14..20, &format!("{SIGN}; sleep 0.6"), more) + &restarted;
    let mut cluster = Cluster::new(&jobs);
    for index in 0..4 {
        cluster.serve(index);
    }
    let (began, mut kills) = (Instant::now(), 0);
    while began.elapsed() < duration() {
        std::thread::sleep(Duration::from_millis(500));
        let index = rand::random_range(0..4);
        cluster.kill(index);
        cluster.serve(index);
        kills += 1;
    }
    // Heal: what is left open is taken over or closed.
    let open = |cluster: &Cluster| -> usize { (0..20).map(|n| cluster.open_runs(&format!("job-{n}")).len()).sum() };
    until("no run is left without a holder", || {
        std::thread::sleep(Duration::from_millis(100));
        open(&cluster) <= 2
    });
    cluster.stop();
    cluster.check();
    let ledger = cluster.ledger();
    let written = by_job(&ledger);
    let mut seen: BTreeMap<State, usize> = BTreeMap::new();
    for n in 0..20 {
        let job = format!("job-{n}");
        for (second, state) in cluster.seconds(&job) {
            let times = written.get(&job).and_then(|seconds| seconds.get(&second)).copied().unwrap_or(0);
            assert!(times <= 1, "{job}@{second} started {times} times");
            if times == 0 {
                assert_ne!(state, State::Succeeded, "{job}@{second} is said to have succeeded but never ran");
            } else {
                let ran = [State::Succeeded, State::Lost, State::Interrupted, State::Failed, State::Running];
                assert!(ran.contains(&state), "{job}@{second} ran, but the history says {state:?}");
            }
            *seen.entry(state).or_default() += 1;
        }
    }
    let steady = cluster.history("steady");
    let again: Vec<_> = steady.iter().filter(|entry| entry.attempts.len() > 1).collect();
    for entry in &steady {
        let fences: Vec<_> = entry.attempts.iter().map(|attempt| attempt.fence).collect();
        assert!(fences.is_sorted() && fences.iter().collect::<BTreeSet<_>>().len() == fences.len(), "{entry:?}");
    }
    say(&format!(
        "{kills} kills, {} starts, outcomes {seen:?}, steady: {} runs, {} of them restarted",
        ledger.len(),
        steady.len(),
        again.len()
    ));
}

#[test]
fn a_killed_replicas_run_restarts_as_attempt_two_within_lease_and_two_seconds() {
    let mut cluster = Cluster::new(&format!(
        "[jobs.steady]\nschedule = \"@manual\"\ndelivery = \"at_least_once\"\nlock = {{ ttl = \"3s\" }}\ncommand = '{SIGN}; test $CRONCLAVE_ATTEMPT = 2 || sleep 300'\n"
    ));
    cluster.serve(0);
    cluster.trigger("steady");
    until("the job runs", || cluster.ledger().len() == 1);
    cluster.serve(1);
    cluster.kill(0);
    let lease_end = cluster.open_runs("steady")[0].until;
    until("it runs again", || cluster.ledger().len() == 2);
    until("it is over", || cluster.open_runs("steady").is_empty());
    cluster.check();
    let (ledger, history) = (cluster.ledger(), cluster.history("steady"));
    assert_eq!((ledger[0].attempt, ledger[1].attempt), (1, 2));
    assert!(ledger[0].fence < ledger[1].fence);
    let attempts = &history[0].attempts;
    assert_eq!(attempts[0].ended.as_ref().unwrap().outcome, Outcome::Lost);
    assert_eq!(history[0].state, State::Succeeded);
    let restarted = attempts[1].started_at.unwrap();
    assert!(restarted >= lease_end, "not while the first holder could still be alive");
    let after = restarted.since(lease_end);
    say(&format!("restarted {after:?} after the lease had ended"));
    assert!(after < Duration::from_secs(2), "it took {after:?}");
}

#[test]
fn nothing_of_a_job_survives_the_kill_of_its_replica() {
    let marker = format!("86400.{:010}", rand::random::<u32>());
    let command =
        format!("trap '' TERM; setsid sleep {marker} & sleep {marker} & (sleep {marker} & wait) ; sleep {marker}");
    let mut cluster = Cluster::new(&format!(
        "[jobs.stubborn]\nschedule = \"@manual\"\nkill_after = \"1s\"\nlock = {{ ttl = \"3s\" }}\ncommand = \"{command}\"\n"
    ));
    cluster.serve(0);
    cluster.trigger("stubborn");
    until("all of it runs", || alive(&marker) >= 4);
    cluster.kill(0);
    until("all of it is gone", || alive(&marker) == 0);
    cluster.serve(0);
    until("the run is recorded as lost", || cluster.history("stubborn").iter().any(|entry| entry.state == State::Lost));
}

#[test]
fn nothing_of_a_job_survives_its_timeout() {
    let marker = format!("86400.{:010}", rand::random::<u32>());
    let command = format!("trap '' TERM; setsid sleep {marker} & sleep {marker} & sleep {marker}");
    let mut cluster = Cluster::new(&format!(
        "[jobs.stubborn]\nschedule = \"@manual\"\ntimeout = \"2s\"\nkill_after = \"1s\"\ncommand = \"{command}\"\n"
    ));
    cluster.serve(0);
    cluster.trigger("stubborn");
    until("all of it runs", || alive(&marker) >= 3);
    until("it is over", || cluster.history("stubborn").first().is_some_and(|entry| entry.state.is_final()));
    assert_eq!(alive(&marker), 0, "what is over has left nothing behind");
    assert_eq!(cluster.history("stubborn")[0].state, State::TimedOut);
    cluster.stop();
    cluster.check();
}

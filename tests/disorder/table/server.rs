//! A server that is full, or does not answer for a while.

use cronclave::ledger::State;
use rustix::process::Signal;

use crate::cluster::{Cluster, SIGN, signal, until};
use crate::field::{Field, sleep};
use crate::load::{self, REPLICAS};

/// While the memory is full, nothing new starts, what runs goes on, and both are said. Afterwards all is caught up.
#[test]
fn x07_a_server_whose_memory_is_full_starts_nothing_new_and_ends_what_runs() {
    let field = Field::with(&[]);
    let long = format!(
        "\n[jobs.long]\nschedule = \"@manual\"\nlock = {{ ttl = \"2s\" }}\nkill_after = \"500ms\"\ncommand = '{}; sleep 3.5'\n",
        SIGN.replace("ledger", "long")
    );
    let jobs = field.ours.path("schedules/jobs.toml");
    std::fs::write(&jobs, std::fs::read_to_string(&jobs).unwrap() + &long).unwrap();
    let mut full = Vec::new();
    let fill = |field: &mut Field| {
        field.ours.trigger("long");
        sleep(1.3);
        let () = field.ours.redis().ask(&["SET", "filler", &"x".repeat(4_000_000)]);
        let () = field.ours.redis().ask(&["CONFIG", "SET", "maxmemory", "3mb"]);
        field.faults += 1;
        let from = cronclave::clock::Clock::system().now();
        // Shorter ones are waited out without a word.
        sleep(6.5);
        full.push((from, cronclave::clock::Clock::system().now()));
        let () = field.ours.redis().ask(&["CONFIG", "SET", "maxmemory", "0"]);
        let () = field.ours.redis().ask(&["DEL", "filler"]);
        sleep(0.7);
    };
    let result = field.disturb("X7", "the server's memory is full for 6 s", fill, |_| {});
    result.spotless().all_ran();
    for (from, to) in &full {
        // What was claimed before may start.
        let begun = from.as_secs() + 1;
        let during = |line: &crate::cluster::Line| line.scheduled > begun && line.at > *from && line.at < *to;
        let new: Vec<_> = result.field.ours.ledger().into_iter().filter(during).collect();
        assert!(new.is_empty(), "started while there was no memory for its record: {new:?}");
    }
    let long = result.field.ours.history("long");
    assert!(long.iter().all(|entry| entry.state == State::Succeeded && entry.attempts.len() == 1), "{long:?}");
    let logs = result.field.ours.logs();
    let said = (0..REPLICAS).any(|index| {
        let log = std::fs::read_to_string(result.field.ours.path(&format!("replica-{index}.log"))).unwrap();
        log.lines()
            .any(|line| ["out of memory", "used_memory ", "maxmemory 3.00M"].iter().all(|word| line.contains(word)))
    });
    assert!(said, "nobody says why nothing starts: {logs}");
}

/// And one that would throw away records when it is full is not used at all.
#[test]
fn x07b_a_server_that_may_throw_away_records_is_refused_at_the_start() {
    let mut cluster = Cluster::on_redis_with(&load::patient_jobs(), &["--maxmemory-policy", "allkeys-lru"]);
    cluster.serve(0);
    let log = cluster.path("replica-0.log");
    until("it says why it does not begin", || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        said.contains("allkeys-lru") && said.contains("noeviction")
    });
    assert!(cluster.ledger().is_empty());
}

#[test]
fn x08a_a_server_that_is_busy_for_four_seconds_only_makes_runs_late() {
    let busy = |field: &mut Field| {
        sleep(2.0);
        let () = field.ours.redis().ask(&["DEBUG", "SLEEP", "4"]);
        field.faults += 1;
    };
    let field = Field::with(&["--enable-debug-command", "yes"]);
    field.disturb("X8a", "DEBUG SLEEP 4", busy, |_| {}).spotless().all_ran();
}

#[test]
fn x08b_a_server_that_lets_its_clients_wait_for_four_seconds_only_makes_runs_late() {
    let pause = |field: &mut Field| {
        sleep(1.5);
        let () = field.ours.redis().ask(&["CLIENT", "PAUSE", "4000", "ALL"]);
        field.faults += 1;
        sleep(4.0);
    };
    Field::with(&[]).disturb("X8b", "CLIENT PAUSE 4000", pause, |_| {}).spotless().all_ran();
}

#[test]
fn x08c_a_server_that_is_frozen_for_four_seconds_only_makes_runs_late() {
    let freeze = |field: &mut Field| {
        sleep(1.5);
        signal(field.ours.redis().pid(), Signal::STOP);
        sleep(4.0);
        signal(field.ours.redis().pid(), Signal::CONT);
        field.faults += 1;
    };
    Field::with(&[]).disturb("X8c", "SIGSTOP of the server for 4 s", freeze, |_| {}).spotless().only_lost();
}

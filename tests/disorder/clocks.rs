//! Clocks that are set while everything runs: the store's, and that of a machine with the store in a file.

use std::fs;
use std::time::Duration;

use super::cluster::{Cluster, SIGN, say, until};
use super::load;
use super::servers;

const HOUR: i64 = 3600;

/// So many replicas.
const THREE: usize = 3;

fn sleep(secs: u64) {
    std::thread::sleep(Duration::from_secs(secs));
}

/// Jobs of which each occurrence runs, unless the one before still does.
fn jobs() -> String {
    load::jobs(0..load::JOBS, SIGN, "misfire = \"run_all\"")
}

fn log(cluster: &Cluster, index: usize) -> String {
    fs::read_to_string(cluster.path(&format!("replica-{index}.log"))).unwrap_or_default()
}

/// Waits until each replica has said so, so many times in all.
fn all_say(cluster: &Cluster, what: &str, times: usize) {
    until(&format!("all say {what:?}"), || (0..THREE).all(|index| log(cluster, index).matches(what).count() >= times));
}

fn starts(cluster: &Cluster) -> usize {
    cluster.ledger().len()
}

/// Replicas at work on a Redis whose clock can be set.
fn at_work() -> Cluster {
    let mut cluster = Cluster::on_a_file(&jobs()).moved_to_redis_with_clock();
    for index in 0..THREE {
        cluster.serve(index);
    }
    until("the jobs run", || starts(&cluster) > 2 * load::JOBS);
    // Past the first heartbeats, by which later ones are judged.
    sleep(6);
    cluster
}

#[test]
fn a_store_whose_clock_is_set_an_hour_forward_starts_nothing_early_or_twice() {
    let mut cluster = at_work();
    cluster.redis().set_clock(HOUR);
    all_say(&cluster, "was set 1h forward", 1);
    let before = starts(&cluster);
    until("what is due goes on", || starts(&cluster) > before + 4 * load::JOBS);
    // A replica's report of itself comes with its next heartbeat.
    until("the status shows it", || {
        let status = cluster.cronclave(&["status"]).output().unwrap();
        String::from_utf8_lossy(&status.stdout).contains("! the store's clock was set 1h forward")
    });
    // One that begins now has never seen the clock go right, and asks the clocks of the others.
    cluster.end(0);
    cluster.serve(0);
    until("a new replica sees it", || log(&cluster, 0).contains("1h ahead of"));
    sleep(6);
    cluster.redis().set_clock(0);
    all_say(&cluster, "the store's clock is believed again", 1);
    let before = starts(&cluster);
    until("it goes on", || starts(&cluster) > before + 4 * load::JOBS);
    cluster.stop();
    let tally = load::reckon_starts(&cluster);
    say(&format!("a store an hour ahead: {tally}"));
}

#[test]
fn a_store_whose_clock_is_set_an_hour_back_starts_nothing_until_it_is_right_again() {
    let mut cluster = at_work();
    cluster.redis().set_clock(-HOUR);
    all_say(&cluster, "was set back", 1);
    let before = starts(&cluster);
    sleep(5);
    assert_eq!(starts(&cluster), before, "nothing is due yet by its clock");
    cluster.redis().set_clock(0);
    all_say(&cluster, "the store's clock is believed again", 1);
    until("it goes on", || starts(&cluster) > before + 3 * load::JOBS);
    cluster.stop();
    let tally = load::reckon_starts(&cluster);
    say(&format!("a store that was an hour back: {tally}"));
}

/// Replicas at work on a file, on a machine whose clock can be set.
fn on_one_machine() -> Cluster {
    let mut cluster = Cluster::on_a_file(&jobs());
    servers::set_clock(&cluster.path("clock"), 0);
    let given = servers::with_clock(&cluster.path("clock"));
    for index in 0..THREE {
        given.iter().for_each(|(name, value)| cluster.give(index, name, value));
        cluster.serve(index);
    }
    until("the jobs run", || starts(&cluster) > 2 * load::JOBS);
    sleep(6);
    cluster
}

#[test]
fn a_machine_whose_clock_is_set_an_hour_forward_starts_nothing_early_or_twice() {
    let mut cluster = on_one_machine();
    servers::set_clock(&cluster.path("clock"), HOUR);
    all_say(&cluster, "went 1h forward at once", 1);
    let before = starts(&cluster);
    until("what is due goes on", || starts(&cluster) > before + 4 * load::JOBS);
    // The time in the file never goes back: it stands still for an hour from here on, and what is due is granted.
    servers::set_clock(&cluster.path("clock"), 0);
    let before = starts(&cluster);
    until("it goes on", || starts(&cluster) > before + 4 * load::JOBS);
    cluster.stop();
    let tally = load::reckon_starts(&cluster);
    say(&format!("a machine an hour ahead: {tally}"));
}

#[test]
fn a_machine_whose_clock_is_set_an_hour_back_says_that_its_time_stands_still() {
    let mut cluster = on_one_machine();
    servers::set_clock(&cluster.path("clock"), -HOUR);
    all_say(&cluster, "of 3 replicas: occurrences wait for the clocks", 1);
    let before = starts(&cluster);
    sleep(5);
    assert_eq!(starts(&cluster), before, "nothing is due yet by its clock");
    servers::set_clock(&cluster.path("clock"), 0);
    all_say(&cluster, "the store's clock is believed again", 1);
    until("it goes on", || starts(&cluster) > before + 3 * load::JOBS);
    cluster.stop();
    let tally = load::reckon_starts(&cluster);
    say(&format!("a machine that was an hour back: {tally}"));
}

#[test]
fn a_replica_that_was_stopped_says_so_on_waking() {
    let mut cluster = Cluster::on_a_file(&jobs());
    let pid = cluster.serve(0);
    until("the jobs run", || starts(&cluster) > load::JOBS);
    super::cluster::signal(pid, rustix::process::Signal::STOP);
    sleep(8);
    super::cluster::signal(pid, rustix::process::Signal::CONT);
    until("it says so", || log(&cluster, 0).contains("this process was stopped for "));
    cluster.stop();
    load::reckon(&cluster);
}

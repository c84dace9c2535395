//! Wrong clocks: of replicas, and of the server.

use std::time::Duration;

use crate::cluster::{Cluster, until};
use crate::contender::Design;
use crate::field::{Field, PATIENT, TTL, sleep};
use crate::load::REPLICAS;
use crate::servers::Redis;

fn are_as_given(cluster: &Cluster, clocks: [(&str, f64); REPLICAS]) {
    until("the replicas have their clocks as given", || {
        let replicas = cluster.replicas();
        let has = |index: usize, by: f64| {
            let name = format!("replica-{index}");
            replicas.iter().any(|replica| replica.name == name && (replica.clock_skew_seconds - by).abs() < 1.0)
        };
        clocks.iter().enumerate().all(|(index, (_, by))| has(index, *by))
    });
}

fn clocks_apart(scenario: &str, title: &str, clocks: [(&str, f64); REPLICAS]) -> crate::field::Result {
    let mut field = Field::with(&[]);
    for (index, (by, _)) in clocks.iter().enumerate() {
        field.misset_clock(index, by);
    }
    field.faults = clocks.len() - 1;
    let mut seen = false;
    let turn = |field: &mut Field| {
        if !std::mem::replace(&mut seen, true) {
            are_as_given(&field.ours, clocks);
        }
        sleep(0.5);
    };
    field.beside_others().disturb(scenario, title, turn, |_| {})
}

/// The others do what their clocks say. That each instant has several owners would only be seen after minutes.
#[test]
fn x01a_clocks_that_are_minutes_apart_start_nothing_twice_or_early_or_late() {
    let clocks = [("+300s", 300.0), ("-300s", -300.0), ("+1.5s", 1.5), ("-1.5s", -1.5), ("+0s", 0.0)];
    let result = clocks_apart("X1a", "clocks up to 5 min off", clocks);
    result.spotless().all_ran().others_fail();
}

#[test]
fn x01b_clocks_that_are_seconds_apart_start_nothing_twice_or_early_or_late() {
    let clocks = [("+4s", 4.0), ("-4s", -4.0), ("+1.5s", 1.5), ("-1.5s", -1.5), ("+0s", 0.0)];
    let result = clocks_apart("X1b", "clocks up to 4 s off", clocks);
    result.spotless().all_ran().others_fail();
    assert!(result.row(Design::Lock).doubles > 0, "each replica has its own idea of when an instant is");
}

/// How long is waited for a cluster to be on time again, which waits for its store to be believed.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn x09a_a_server_whose_clock_steps_an_hour_ahead_starts_nothing_twice() {
    let mut field = Field::on(Redis::with_clock(), PATIENT, TTL);
    field.need_not_recover = Some(PATIENCE);
    let turn = |field: &mut Field| {
        sleep(1.5);
        field.ours.redis().set_clock(3600);
        field.faults += 1;
        sleep(3.0);
        field.ours.redis().set_clock(0);
        sleep(1.5);
    };
    let result = field.disturb("X9a", "Redis' clock steps +1 h and back", turn, |_| {});
    // The checker holds that a store's time never goes back; here it does. What is asked in the moment of the step may
    // start early, before anybody has seen it: the table says how many.
    assert_eq!(result.ours.doubles, 0, "{:?}", result.ours);
}

#[test]
fn x09b_a_server_whose_clock_steps_an_hour_back_starts_nothing_twice_or_early() {
    let mut field = Field::on(Redis::with_clock(), PATIENT, TTL);
    field.need_not_recover = Some(PATIENCE);
    let turn = |field: &mut Field| {
        sleep(1.5);
        field.ours.redis().set_clock(-3600);
        field.faults += 1;
        sleep(3.0);
        field.ours.redis().set_clock(0);
        sleep(1.5);
    };
    let result = field.disturb("X9b", "Redis' clock steps -1 h and back", turn, |_| {});
    assert_eq!((result.ours.doubles, result.ours.early), (0, 0), "{:?}", result.ours);
}

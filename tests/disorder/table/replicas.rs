//! Replicas undisturbed, killed, frozen.

use std::time::Duration;

use rustix::process::Signal;

use crate::cluster::{UNDER_FAULTS, duration};
use crate::contender::Design;
use crate::field::{Field, sleep, sleep_until_second};
use crate::load::{self, REPLICAS};
use crate::servers::Redis;

#[test]
fn x00_undisturbed_every_contender_starts_each_occurrence_of_twenty_jobs_a_second_exactly_once() {
    let result = Field::with(&[]).beside_others().disturb("X0", "undisturbed", |_| sleep(1.0), |_| {});
    result.spotless().all_ran();
    let tally = load::reckon(&result.field.ours);
    tally.all_ran();
    // Whoever comes first in a second often wins all of it: shares even out over a minute, not over ten seconds.
    if duration(UNDER_FAULTS) >= Duration::from_secs(60) {
        tally.fair();
    }
    let occurrence = result.row(Design::Occurrence);
    assert!(!occurrence.failed(), "the harness does not see what is not there: {occurrence:?}");
}

#[test]
fn x02_replicas_killed_at_any_moment_start_nothing_twice_and_hide_nothing() {
    let field = Field::with_long_runs();
    let turn = |field: &mut Field| {
        sleep(rand::random_range(0.25..0.6));
        let index = rand::random_range(0..REPLICAS);
        field.kill(index);
        field.serve(index);
    };
    // Two at the moments that matter: when everything has just come due.
    let mut turns = 0;
    let turn = |field: &mut Field| {
        turns += 1;
        if turns % 3 == 0 {
            sleep_until_second(rand::random_range(0.0..0.06));
            for index in [rand::random_range(0..2), rand::random_range(2..REPLICAS)] {
                field.kill(index);
                field.serve(index);
            }
        } else {
            turn(field);
        }
    };
    let result =
        field.beside_others().until_it_fails(Design::Lock).disturb("X2", "kill -9 of random replicas", turn, |_| {});
    result.spotless().only_lost().fails(Design::Lock).restarts_grow();
}

#[test]
fn x03_replicas_frozen_past_their_leases_at_any_moment_start_nothing_twice() {
    let more = "overlap = \"queue_all\"\nmisfire = \"run_all\"\nlock = { ttl = \"2s\" }";
    let field = Field::on(Redis::plain(), more, Duration::from_secs(2));
    let freeze = |field: &mut Field| {
        let frozen = [rand::random_range(0..2), rand::random_range(2..REPLICAS)];
        // Shortly after everything came due, when they are busy; or shortly before.
        sleep_until_second(rand::random_range(-0.02..0.07));
        frozen.iter().for_each(|index| field.signal(*index, Signal::STOP));
        field.faults += frozen.len();
        sleep(2.2);
        frozen.iter().for_each(|index| field.signal(*index, Signal::CONT));
    };
    let result = field.beside_others().until_it_fails(Design::Lock).disturb(
        "X3",
        "replicas frozen for longer than leases",
        freeze,
        |_| {},
    );
    result.spotless().only_lost().fails(Design::Lock);
}

//! A server that has lost something: its scripts, a record, all of it, or all since an earlier moment.

use crate::cluster::Line;
use crate::field::{Field, Result, sleep, sleep_until_second};

/// What it had lost.
pub(crate) const PUT_BACK: [&str; 2] = ["store whole", "were put back by"];

/// Nothing again, nothing missed in silence, and fences grow.
fn given_back(result: &Result) {
    result.spotless();
    grows(result.field.ours.ledger());
}

fn grows(mut ledger: Vec<Line>) {
    ledger.sort_by_key(|line| (line.job.clone(), line.at));
    for pair in ledger.windows(2).filter(|pair| pair[0].job == pair[1].job) {
        assert!(pair[0].fence < pair[1].fence, "a fence went back: {pair:?}");
    }
}

#[test]
fn x06a_a_server_that_is_wiped_runs_nothing_again_and_fences_still_grow() {
    let wipe = |field: &mut Field| {
        sleep(1.6);
        sleep_until_second(rand::random_range(-0.1..0.1));
        let () = field.ours.redis().ask(&["FLUSHALL"]);
        field.faults += 1;
    };
    let field = Field::with(&[]).until_it_tells(&["store other", "nothing starts until"]).until_it_tells(&PUT_BACK);
    let result = field.disturb("X6a", "FLUSHALL", wipe, |_| {});
    given_back(&result);
    result.tells();
}

#[test]
fn x06b_records_that_vanish_one_by_one_run_nothing_again() {
    let mut turns = 0;
    let delete = |field: &mut Field| {
        sleep(0.9);
        sleep_until_second(rand::random_range(-0.1..0.1));
        turns += 1;
        let job = format!("job-{turns}");
        let redis = field.ours.redis();
        let () = redis.ask(&["HDEL", "{cronclave:default}:records", &job]);
        let () = redis.ask(&["DEL", &format!("{{cronclave:default}}:lock:{job}")]);
        let now = cronclave::clock::Clock::system().now().as_secs();
        let () = redis.ask(&["DEL", &format!("{{cronclave:default}}:occ:{job}@{now}")]);
        field.faults += 1;
    };
    let restored = &["restored", "job-", "the store had lost what it knew and was given it back"];
    let field = Field::with(&[]).until_it_tells(restored);
    let result = field.disturb("X6b", "the record of one job deleted", delete, |_| {});
    given_back(&result);
    result.tells();
}

#[test]
fn x06c_a_server_that_forgets_its_scripts_is_told_them_again() {
    let forget = |field: &mut Field| {
        sleep(0.5);
        let () = field.ours.redis().ask(&["SCRIPT", "FLUSH"]);
        field.faults += 1;
    };
    Field::with(&[]).disturb("X6c", "SCRIPT FLUSH", forget, |_| {}).spotless().all_ran();
}

#[test]
fn x06d_a_server_that_comes_back_empty_runs_nothing_again_and_fences_still_grow() {
    let restart = |field: &mut Field| {
        sleep(2.5);
        field.ours.redis().kill();
        field.ours.redis().start_again(&[]);
        field.faults += 1;
    };
    let field = Field::with(&[]).until_it_tells(&PUT_BACK);
    let result = field.disturb("X6d", "kill -9 of a Redis that keeps nothing", restart, |_| {});
    given_back(&result);
    result.tells();
}

#[test]
fn x06e_a_server_that_comes_back_as_it_was_seconds_ago() {
    let restart = |field: &mut Field| {
        let () = field.ours.redis().ask(&["SAVE"]);
        sleep(3.0);
        field.ours.redis().kill();
        field.ours.redis().start_again(&[]);
        field.faults += 1;
        sleep(1.0);
    };
    let field = Field::with(&[]).until_it_tells(&PUT_BACK);
    let result = field.disturb("X6e", "Redis comes back with what it had 3 s ago", restart, |_| {});
    given_back(&result);
    result.tells();
}

#[test]
fn x06f_a_server_that_is_killed_and_keeps_what_it_confirmed_costs_nothing() {
    let keeps = ["--appendonly", "yes", "--appendfsync", "always"];
    let restart = |field: &mut Field| {
        sleep(2.5);
        field.ours.redis().kill();
        sleep(1.0);
        field.ours.redis().start_again(&keeps);
        field.faults += 1;
    };
    let result = Field::with(&keeps).disturb("X6f", "kill -9 of a Redis that fsyncs always", restart, |_| {});
    result.spotless().only_lost();
}

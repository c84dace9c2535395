//! What may befall connections.

use std::time::Duration;

use crate::field::{Field, Result, sleep};
use crate::load::REPLICAS;
use crate::proxy::{Fault, Proxy};

fn all(proxies: &[Proxy], fault: Fault) {
    proxies.iter().for_each(|proxy| proxy.fault(fault));
}

fn disturb(scenario: &str, title: &str, mut turn: impl FnMut(&mut Field)) -> Result {
    let heal = |field: &mut Field| field.proxies.iter().for_each(Proxy::heal);
    Field::with(&[]).disturb(scenario, title, |field| turn(field), heal)
}

#[test]
fn x04a_connections_that_are_cut_every_second_cost_nothing() {
    let mut turns = 0;
    let cut = |field: &mut Field| {
        sleep(1.0);
        turns += 1;
        match turns % 3 {
            0 => field.proxies.iter().for_each(Proxy::cut),
            _ => field.proxies[rand::random_range(0..REPLICAS)].cut(),
        }
    };
    disturb("X4a", "connections cut every second", cut).spotless().all_ran();
}

#[test]
fn x04b_a_network_that_is_a_black_hole_for_four_seconds_only_makes_runs_late() {
    let mut turns = 0;
    let swallow = |field: &mut Field| {
        turns += 1;
        // What was sent into it is lost, or comes out when nobody expects it any more.
        let fault = if turns % 2 == 0 { Fault::Swallow } else { Fault::Hold };
        // For all, or for some: the others go on without them.
        all(if turns % 4 < 2 { &field.proxies } else { &field.proxies[..2] }, fault);
        field.faults += 1;
        sleep(4.0);
        all(&field.proxies, Fault::None);
        sleep(1.0);
    };
    disturb("X4b", "the network swallows everything for 4 s", swallow).spotless().only_lost();
}

#[test]
fn x04c_a_round_trip_of_600_ms_only_makes_runs_late() {
    let delay = |field: &mut Field| {
        all(&field.proxies, Fault::Delay(Duration::from_millis(300)));
        field.faults = REPLICAS;
        sleep(1.0);
    };
    disturb("X4c", "a round trip takes 600 ms", delay).spotless().all_ran();
}

#[test]
fn x04d_requests_that_are_carried_out_but_not_answered_start_nothing_twice() {
    let doom = |field: &mut Field| {
        for (proxy, probability) in field.proxies.iter().zip([0.05, 0.08, 0.1, 0.15, 0.2]) {
            proxy.fault(Fault::Unanswered(probability));
        }
        sleep(1.0);
    };
    disturb("X4d", "cut between request and answer", doom).spotless().only_lost();
}

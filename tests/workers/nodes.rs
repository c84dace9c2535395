//! Three RabbitMQ servers that are one: whichever is in use dies, the others go on.

use cronclave::ledger::State;

use super::cluster::Cluster;
use super::handed::{cluster, start};
use super::load::{Tally, disturb};
use super::rabbit::{Haproxy, Rabbit};

/// Kills one node after the other, and starts it again, under the usual load.
fn kill_in_turn(what: &str, cluster: &mut Cluster, nodes: &mut [Rabbit]) -> Tally {
    start(cluster, 3, 4);
    let mut turn = 0;
    let kill = |_: &mut Cluster| {
        std::thread::sleep(std::time::Duration::from_secs(3));
        let node = &mut nodes[turn % 3];
        turn += 1;
        node.kill();
        std::thread::sleep(std::time::Duration::from_secs(4));
        node.start_again();
    };
    let tally = disturb(what, cluster, kill, || {});
    let fine = [State::Succeeded, State::Queued, State::Published, State::Lost];
    assert!(tally.outcomes.keys().all(|state| fine.contains(state)), "{tally}");
    tally
}

#[test]
fn a_node_that_dies_is_left_for_the_next_of_three_addresses() {
    let (mut cluster, _) = cluster("");
    let mut nodes = Rabbit::cluster();
    let places: Vec<String> = nodes.iter().map(|node| node.url().replace("amqp://", "")).collect();
    cluster.amqp = Some(format!("amqp://{}", places.join(",")));
    kill_in_turn("three addresses, nodes killed", &mut cluster, &mut nodes);
}

#[test]
fn a_node_that_dies_behind_a_load_balancer_is_left_for_another() {
    let (mut cluster, _) = cluster("");
    let mut nodes = Rabbit::cluster();
    let ports: Vec<u16> = nodes.iter().map(|node| node.port).collect();
    let balancer = Haproxy::before(&ports);
    cluster.amqp = Some(format!("amqp://127.0.0.1:{}", balancer.port));
    kill_in_turn("HAProxy, nodes killed", &mut cluster, &mut nodes);
}

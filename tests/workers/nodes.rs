//! Three RabbitMQ servers that are one: whichever is in use dies, the others go on.

use std::time::Duration;

use super::cluster::WORKERS;
use super::disturb::disturb;
use super::faults::only_lost;
use super::handed::{cluster, start};
use super::rabbit::{Haproxy, Rabbit};

/// Some know all three addresses, some only that of a load balancer in front of them.
#[test]
fn a_node_that_dies_is_left_for_another_with_three_addresses_as_behind_a_load_balancer() {
    let (mut cluster, _) = cluster("");
    let mut nodes = Rabbit::cluster();
    let places: Vec<String> = nodes.iter().map(|node| node.url().replace("amqp://", "")).collect();
    let balancer = Haproxy::before(&nodes.iter().map(|node| node.port).collect::<Vec<_>>());
    cluster.amqp = Some(format!("amqp://{}", places.join(",")));
    for index in [2, WORKERS + 2, WORKERS + 3] {
        cluster.give(index, "AMQP_URL", &format!("amqp://127.0.0.1:{}", balancer.port));
    }
    start(&mut cluster, 3, 4);
    let mut turn = 0;
    let kill = |_: &mut super::cluster::Cluster| {
        std::thread::sleep(Duration::from_secs(3));
        let node = &mut nodes[turn % 3];
        turn += 1;
        node.kill();
        std::thread::sleep(Duration::from_secs(4));
        node.start_again();
    };
    only_lost(&disturb("nodes killed: three addresses, HAProxy", &mut cluster, kill, || {}));
}

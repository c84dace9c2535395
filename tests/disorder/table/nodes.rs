//! A Redis Cluster of six nodes whose masters change, and whose slots move, under load.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, SIGN};
use crate::field::{Field, PATIENT, TTL, sleep};
use crate::load::{self, JOBS, REPLICAS};
use crate::odd::{cli, owner};
use crate::servers::Redis;

/// Three masters, each with a replica.
fn six() -> Vec<Redis> {
    let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--repl-diskless-sync-delay", "0"];
    let nodes: Vec<Redis> = (0..6).map(|_| Redis::with(&settings)).collect();
    let places: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let create = [&["--cluster", "create"], &places[..], &["--cluster-replicas", "1", "--cluster-yes"]].concat();
    let made = cli(nodes[0].port, &create);
    assert!(made.contains("All 16384 slots covered"), "{made}");
    wait("six nodes are one", || {
        nodes.iter().all(|node| {
            let follows = cli(node.port, &["INFO", "replication"]);
            let well = follows.contains("role:master") || follows.contains("master_link_status:up");
            well && cli(node.port, &["CLUSTER", "INFO"]).contains("cluster_state:ok")
        })
    });
    nodes
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let given_up = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < given_up, "waited in vain until {what}");
        sleep(0.05);
    }
}

fn is_master(node: &Redis) -> bool {
    cli(node.port, &["INFO", "replication"]).contains("role:master")
}

/// Has the replica of the master of `slot` take its place: asked nicely, or by itself.
fn take_over(nodes: &[Redis], slot: &str, how: &[&str]) {
    let master = &nodes[owner(nodes, slot)];
    let id = cli(master.port, &["CLUSTER", "MYID"]);
    let nodes_known = cli(master.port, &["CLUSTER", "NODES"]);
    let of = |node: &&Redis| {
        nodes_known
            .lines()
            .any(|line| line.contains(&format!(":{}@", node.port)) && line.contains(&id) && line.contains("slave"))
    };
    let replica = nodes.iter().find(of).unwrap_or_else(|| panic!("nobody follows {id}:\n{nodes_known}"));
    wait("the replica follows", || cli(replica.port, &["INFO", "replication"]).contains("master_link_status:up"));
    assert_eq!(cli(replica.port, &[&["CLUSTER", "FAILOVER"], how].concat()), "OK");
    wait("it is the master", || is_master(replica));
    wait("the old one follows it", || cli(master.port, &["INFO", "replication"]).contains("master_link_status:up"));
}

/// Moves a slot to another master with all that is in it.
fn reshard(nodes: &[Redis], slot: &str) {
    let from = owner(nodes, slot);
    let to = (0..nodes.len()).find(|index| *index != from && is_master(&nodes[*index])).unwrap();
    let id = |index: usize| cli(nodes[index].port, &["CLUSTER", "MYID"]);
    let (from_id, to_id, port) = (id(from), id(to), nodes[to].port.to_string());
    assert_eq!(cli(nodes[to].port, &["CLUSTER", "SETSLOT", slot, "IMPORTING", &from_id]), "OK");
    assert_eq!(cli(nodes[from].port, &["CLUSTER", "SETSLOT", slot, "MIGRATING", &to_id]), "OK");
    loop {
        let keys = cli(nodes[from].port, &["CLUSTER", "GETKEYSINSLOT", slot, "100"]);
        let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
        if keys.is_empty() {
            break;
        }
        let said =
            cli(nodes[from].port, &[&["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"], &keys[..]].concat());
        assert!(said == "OK" || said == "NOKEY", "{said}");
    }
    let masters = (0..nodes.len()).filter(|index| *index != to && is_master(&nodes[*index]));
    for index in std::iter::once(to).chain(masters) {
        assert_eq!(cli(nodes[index].port, &["CLUSTER", "SETSLOT", slot, "NODE", &to_id]), "OK");
    }
}

fn field(nodes: &[Redis]) -> (Field, String) {
    let places: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let places = places.join(",");
    let cluster = Cluster::with_another(&load::jobs(0..JOBS, SIGN, PATIENT)).moved_to_url(&format!("redis://{places}"));
    let slot = cli(nodes[0].port, &["CLUSTER", "KEYSLOT", "{cronclave:default}:meta"]);
    (Field::of(cluster, vec![places; REPLICAS], TTL, &|_| SIGN.to_owned()), slot)
}

#[test]
fn x12a_masters_that_change_places_and_slots_that_move_cost_nothing() {
    let nodes = six();
    let (field, slot) = field(&nodes);
    let mut turns = 0;
    let turn = |field: &mut Field| {
        sleep(1.0);
        turns += 1;
        match turns % 2 {
            0 => take_over(&nodes, &slot, &[]),
            _ => reshard(&nodes, &slot),
        }
        field.faults += 1;
    };
    let result = field.disturb("X12a", "Redis Cluster: FAILOVER, and the slot moves", turn, |_| {});
    result.spotless().only_lost();
}

/// Nobody agreed to it, and what the last master had not yet passed on is gone.
#[test]
fn x12b_replicas_that_take_over_unasked() {
    let nodes = six();
    let (field, slot) = field(&nodes);
    let turn = |field: &mut Field| {
        sleep(1.5);
        take_over(&nodes, &slot, &["TAKEOVER"]);
        field.faults += 1;
    };
    let result = field.disturb("X12b", "Redis Cluster: FAILOVER TAKEOVER", turn, |_| {});
    assert_eq!(result.ours.early, 0, "{:?}", result.ours);
    result.spotless();
}

//! Another server takes over, and does not know all that the last one did.
//!
//! What is promised then, and how sure a start can be made, is in docs/REDIS.md.

use std::time::{Duration, Instant};

use crate::cluster::{Cluster, LONG, SIGN};
use crate::field::{Field, PATIENT, TTL, sleep, sleep_until_second};
use crate::load::{self, JOBS, REPLICAS};
use crate::proxy::Proxy;
use crate::servers::{Redis, Sentinels};

use super::lost::PUT_BACK;

/// Two servers, of which one follows the other.
struct Pair {
    servers: [Redis; 2],
    master: usize,
}

const SOON: [&str; 4] = ["--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"];

impl Pair {
    fn start() -> Pair {
        Pair::with(&[])
    }

    fn with(settings: &[&str]) -> Pair {
        let all = [&SOON[..], settings].concat();
        let pair = Pair { servers: [Redis::with(&all), Redis::with(&all)], master: 0 };
        pair.follow(1, 0);
        pair
    }

    fn port(&self, index: usize) -> u16 {
        self.servers[index].port
    }

    /// The other, which is no master yet.
    fn other(&self) -> usize {
        1 - self.master
    }

    fn promote(&mut self) {
        let () = self.servers[self.other()].ask(&["REPLICAOF", "NO", "ONE"]);
        self.master = self.other();
    }

    fn follow(&self, index: usize, of: usize) {
        let () = self.servers[index].ask(&["REPLICAOF", "127.0.0.1", &self.port(of).to_string()]);
        wait_until_it_follows(&self.servers[index]);
    }
}

fn wait_until_it_follows(server: &Redis) {
    wait_until(server, &["master_link_status:up"]);
}

/// Until a server says one of these about itself and the other.
fn wait_until(server: &Redis, words: &[&str]) {
    let given_up = Instant::now() + LONG;
    loop {
        let info: String = server.ask(&["INFO", "replication"]);
        if words.iter().any(|word| info.contains(word)) {
            return;
        }
        assert!(Instant::now() < given_up, "it never follows: {info}");
        sleep(0.02);
    }
}

/// A failover every three seconds at the worst moment: while everything comes due. The first `stay` replicas go on with
/// the old master, until `lost` later; the others find the new one at once.
fn fail_over(pair: &mut Pair, own: &Proxy, field: &mut Field, stay: usize, lost: Duration) {
    sleep(1.2);
    sleep_until_second(-0.06);
    pair.promote();
    let now = pair.port(pair.master);
    field.proxies[stay..].iter().for_each(|proxy| proxy.point_to(now));
    std::thread::sleep(lost);
    field.proxies[..stay].iter().for_each(|proxy| proxy.point_to(now));
    own.point_to(now);
    pair.follow(pair.other(), pair.master);
    field.faults += 1;
}

/// Failovers that lose the last writes, where a start has to be as sure as `level` says before its code runs.
fn lose_the_last_writes(number: &str, what: &str, level: &str, settings: &[&str]) {
    let mut pair = Pair::with(settings);
    let (field, own) = Field::movable(pair.port(0));
    let mut field = field.until_it_tells(&["store other", "nothing starts until"]).until_it_tells(&PUT_BACK);
    (0..REPLICAS).for_each(|index| field.ours.give(index, "CRONCLAVE_DURABILITY", level));
    let mut turns = 0;
    let turn = |field: &mut Field| {
        turns += 1;
        let lost = Duration::from_millis(if turns % 2 == 0 { 400 } else { 150 });
        fail_over(&mut pair, &own, field, REPLICAS, lost);
    };
    let result = field.disturb(number, what, turn, |_| {});
    result.spotless().tells();
}

#[test]
fn x05a_a_failover_that_loses_the_last_writes() {
    lose_the_last_writes("X5a", "failover, the last 150 or 400 ms are lost", "memory", &[]);
}

#[test]
fn x05d_the_same_where_a_start_is_known_to_a_replica_first() {
    lose_the_last_writes("X5d", "the same, durability = replicated", "replicated", &[]);
}

#[test]
fn x05e_the_same_where_a_start_is_on_the_disk_first() {
    let disk = ["--appendonly", "yes", "--appendfsync", "always"];
    lose_the_last_writes("X5e", "the same, durability = fsync", "fsync", &disk);
}

#[test]
fn x05b_a_failover_in_which_some_stay_with_the_old_master_for_a_moment() {
    let mut pair = Pair::start();
    let (field, own) = Field::movable(pair.port(0));
    let turn = |field: &mut Field| fail_over(&mut pair, &own, field, 2, Duration::from_millis(400));
    let result =
        field.beside_others().disturb("X5b", "failover, 2 of 5 stay with the old master for 400 ms", turn, |_| {});
    // Two masters at once: whoever asks each of them is told by each that nobody else did.
    result.others_fail();
    assert_eq!(result.ours.early, 0, "{:?}", result.ours);
}

#[test]
fn x10_on_two_sides_of_a_partition_only_the_one_with_a_replica_starts() {
    let mut pair = Pair::start();
    let (field, own) = Field::movable(pair.port(0));
    let split = &["takes writes without them", "min-replicas-to-write 1", "CRONCLAVE_DURABILITY=replicated"];
    let mut field = field.until_it_tells(split);
    (0..REPLICAS).for_each(|index| field.ours.give(index, "CRONCLAVE_DURABILITY", "replicated"));
    let turn = |field: &mut Field| fail_over(&mut pair, &own, field, 2, Duration::from_secs(2));
    let what = "split brain for 2 s, 2 of 5 with the old master, durability = replicated";
    let result = field.beside_others().disturb("X10", what, turn, |_| {});
    result.others_fail();
    assert_eq!((result.ours.doubles, result.ours.early), (0, 0), "{:?}", result.ours);
    result.tells();
}

#[test]
fn x05c_sentinels_that_replace_a_killed_master() {
    let mut sentinels = Sentinels::start();
    let url = format!("redis+sentinel://{}/{}", sentinels.addresses(), Sentinels::NAME);
    let cluster = Cluster::with_another(&load::jobs(0..JOBS, SIGN, PATIENT)).moved_to_url(&url);
    let field =
        Field::of(cluster, vec![format!("sentinel:{}", sentinels.addresses()); REPLICAS], TTL, &|_| SIGN.to_owned())
            .until_it_tells(&["store other"]);
    let turn = |field: &mut Field| {
        sleep(2.0);
        sleep_until_second(0.02);
        let dead = sentinels.master_port();
        sentinels.master().kill();
        field.faults += 1;
        // Asked once: another sentinel may answer the next time, which still names the dead one.
        let master = loop {
            match sentinels.master_port() {
                port if port == dead => sleep(0.05),
                port => break port.to_string(),
            }
        };
        let server = sentinels.servers.iter_mut().find(|server| server.port == dead).unwrap();
        server.start_again(&["--replicaof", "127.0.0.1", &master, "--repl-diskless-sync-delay", "0"]);
        // Nobody must take over who knows nothing yet. On a busy machine the sentinels may have found the new master dead
        // as well, and gone back to this one: then the other follows it.
        wait_until(server, &["master_link_status:up", "state=online"]);
    };
    let result = field.disturb("X5c", "kill -9 of the master, Sentinel promotes", turn, |_| {});
    result.spotless().tells();
}

//! Six clusters of ours, by six names, on a Redis Cluster of 1, 3 and 6 masters: what it takes off the busiest.
//!
//! All keys of a name are on one master, so a name's hash tag decides which. The six names are the first of `bench-0`,
//! `bench-1` and so on of which each master of six has one; of three, each has two. Each name has its own jobs and three
//! replicas, processes of their own; the jobs of all names are due at the same instant.
//!
//! `cargo bench --bench shards [-- JOBS[@MASTERS]...]` (1,000 jobs a name, on 1, 3 and 6) prints how late the jobs'
//! code began, and what a start cost in processor time: all replicas, all masters, and the busiest master.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/crowd.rs"]
mod crowd;
#[path = "common/figures.rs"]
mod figures;
#[path = "common/herds.rs"]
mod herds;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::process::Child;
use std::time::Duration;

use servers::Cluster;

const NAMES: usize = 6;

/// Of each name.
const REPLICAS: usize = 3;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "replica") {
        // Each name's jobs are called otherwise, so that all starts can be told apart.
        let (from, count): (usize, usize) = (words[4].parse().unwrap(), words[5].parse().unwrap());
        return crowd::replica(&words[1], &words[2], &words[3], &herds::jobs(from..from + count), Duration::ZERO);
    }
    let mut cases: Vec<(usize, usize)> = words.iter().flat_map(|word| case(word)).collect();
    if cases.is_empty() {
        cases = case("1000");
    }
    for (jobs, masters) in cases {
        herd(jobs, masters);
    }
}

/// Of `JOBS` or `JOBS@MASTERS`.
fn case(word: &str) -> Vec<(usize, usize)> {
    match word.split_once('@') {
        Some((jobs, masters)) => vec![(jobs.parse().unwrap(), masters.parse().unwrap())],
        None => [1, 3, 6].map(|masters| (word.parse().unwrap(), masters)).into(),
    }
}

/// Six of which each has a sixth of the slots to itself, in their order.
fn names(cluster: &Cluster) -> Vec<String> {
    let mut names = vec![None; NAMES];
    for number in 0.. {
        let name = format!("bench-{number}");
        let slot: usize = cluster.masters[0].ask(&["CLUSTER", "KEYSLOT", &format!("{{cronclave:{name}}}")]);
        names[slot * NAMES / Cluster::SLOTS].get_or_insert(name);
        if names.iter().all(Option::is_some) {
            break;
        }
    }
    names.into_iter().flatten().collect()
}

fn herd(jobs: usize, masters: usize) {
    let cluster = Cluster::of(masters, &[]);
    let names = names(&cluster);
    let url = format!("redis://{}", cluster.addresses());
    let dir = tempfile::tempdir().unwrap();
    let outs: Vec<String> =
        (0..NAMES * REPLICAS).map(|index| dir.path().join(index.to_string()).display().to_string()).collect();
    let one = |(index, out): (usize, &String)| {
        let shard = index / REPLICAS;
        let (from, count) = ((shard * jobs).to_string(), jobs.to_string());
        crowd::another(&["replica", &url, &names[shard], out, &from, &count])
    };
    let children: Vec<Child> = outs.iter().enumerate().map(one).collect();
    let seen = herds::watch(children, &outs, &cluster.masters);
    let expected = NAMES * jobs * herds::HERDS as usize;
    println!(
        "{jobs} jobs of each of {} due at once, {} times, on {masters} masters: {} of {expected} starts, {} twice",
        names.join(", "),
        herds::HERDS,
        seen.starts(),
        seen.twice
    );
    figures::tell(
        "shards",
        &format!("{NAMES} names of {jobs} jobs on {masters} masters"),
        &[
            ("p50_ms", seen.late(0.5)),
            ("p99_ms", seen.late(0.99)),
            ("max_ms", seen.late(1.0)),
            ("processor_us_a_start", seen.processor()),
            ("masters_us_a_start", seen.of_servers()),
            ("busiest_master_us_a_start", seen.of_busiest()),
            ("scripts_a_start", seen.scripts()),
            ("largest_share", seen.largest_share()),
        ],
    );
    assert_eq!((seen.started, seen.twice), (expected, 0), "each occurrence starts once");
}

//! What it costs to hold the leases of many runs that go on.
//!
//! `cargo bench --bench renew [-- RUNS]` (5,000) starts so many runs, as long as the benchmark, on three replicas with one
//! Redis, and prints what holding them took in a minute: processor time of a replica and of Redis, and calls of Redis.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/crowd.rs"]
mod crowd;
#[path = "common/figures.rs"]
mod figures;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::time::Duration;

const REPLICAS: usize = 3;

/// How long is looked.
const LOOK: Duration = Duration::from_secs(60);

/// No run is over before.
const LENGTH: Duration = Duration::from_secs(100);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "replica") {
        return crowd::replica(&words[1], "bench", &words[2], &jobs(words[3].parse().unwrap(), &words[4]), LENGTH);
    }
    hold(words.first().map_or(5000, |word| word.parse().unwrap()));
}

/// All due once, at the same instant.
fn jobs(count: usize, at: &str) -> String {
    (0..count).map(|n| format!("[jobs.job-{n}]\nat = {at}\nhandler = \"note\"\n")).collect()
}

fn hold(runs: usize) {
    let server = servers::Redis::plain();
    let dir = tempfile::tempdir().unwrap();
    let outs: Vec<String> =
        (0..REPLICAS).map(|index| dir.path().join(index.to_string()).display().to_string()).collect();
    let at = cronclave::clock::Clock::system().now().plus(Duration::from_secs(8)).to_string();
    let at = at.trim_end_matches('Z').split('.').next().unwrap().to_owned();
    let args = |out: &str| ["replica".to_owned(), server.url(), out.to_owned(), runs.to_string(), at.clone()];
    let replica = |out: &String| crowd::another(&args(out).each_ref().map(String::as_str));
    let mut children: Vec<_> = outs.iter().map(replica).collect();
    // Until all run, and the first renewals are over.
    std::thread::sleep(Duration::from_secs(25));
    let seen = |children: &[std::process::Child]| {
        let busy: f64 = children.iter().map(|child| figures::processor(child.id().cast_signed())).sum();
        (busy, figures::processor(server.pid()), calls(&server))
    };
    let before = seen(&children);
    std::thread::sleep(LOOK);
    let after = seen(&children);
    crowd::end(&mut children);
    let started: usize = outs.iter().map(|out| crowd::written(out).0.len()).sum();
    assert_eq!(started, runs, "each started once, and none again");
    let each = |from: f64, to: f64| (to - from) / LOOK.as_secs_f64();
    figures::tell(
        "renew",
        &format!("{runs} runs on {REPLICAS} replicas, leases of 30 s"),
        &[
            ("percent_of_a_core_a_replica", each(before.0, after.0) * 100.0 / REPLICAS as f64),
            ("redis_percent", each(before.1, after.1) * 100.0),
            ("calls_per_second", each(before.2, after.2)),
        ],
    );
}

/// How often clients have spoken to the server so far; what is said in one packet counts once.
fn calls(server: &servers::Redis) -> f64 {
    let text: String = server.ask(&["INFO", "stats"]);
    text.lines().find_map(|line| line.strip_prefix("total_reads_processed:")?.trim().parse().ok()).unwrap()
}

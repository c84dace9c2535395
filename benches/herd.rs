//! Many jobs due at the same instant, on replicas with one Redis.
//!
//! `cargo bench --bench herd [-- [--alone] JOBS[@REPLICAS]...]` (1000@3 by default) starts a `redis-server` and so many
//! processes, and prints how late the jobs' code began, how the replicas shared them, how many scripts Redis was asked to
//! run a start, and what a start cost in processor time, replicas and server apart. Then, unless `--alone`, the same of as
//! many processes that do nothing but race at the instant, by a script that sets one key for each occurrence, a hundred of
//! them in a pipeline: what Redis and this machine allow to those who record nothing else. `HERD_PERIOD` is the seconds
//! from one herd to the next (5): of many jobs one is not to run into the other.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/crowd.rs"]
mod crowd;
#[path = "common/figures.rs"]
mod figures;
#[path = "common/herds.rs"]
mod herds;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::fs;
use std::io::Write;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use herds::Seen;
use rand::seq::SliceRandom;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("replica") => {
            let jobs = herds::jobs(0..words[3].parse().unwrap());
            crowd::replica(&words[1], "bench", &words[2], &jobs, Duration::ZERO);
        }
        Some("bare") => bare(&words[1], &words[2], words[3].parse().unwrap()),
        _ => {
            let alone = words.iter().any(|word| word == "--alone");
            let mut sizes: Vec<(usize, usize)> =
                words.iter().filter(|word| *word != "--alone").map(|word| size(word)).collect();
            if sizes.is_empty() {
                sizes.push((1000, 3));
            }
            for (jobs, replicas) in sizes {
                let ours = herd("replica", jobs, replicas);
                if !alone {
                    compare(&named(jobs, replicas), &ours, &herd("bare", jobs, replicas));
                }
            }
        }
    }
}

/// Of `JOBS` or `JOBS@REPLICAS`.
fn size(word: &str) -> (usize, usize) {
    let (jobs, replicas) = word.split_once('@').unwrap_or((word, "3"));
    (jobs.parse().unwrap(), replicas.parse().unwrap())
}

/// Three replicas go without saying.
fn named(jobs: usize, replicas: usize) -> String {
    if replicas == 3 { format!("{jobs} jobs") } else { format!("{jobs} jobs on {replicas} processes") }
}

fn compare(case: &str, ours: &Seen, theirs: &Seen) {
    let ratio = |of: fn(&Seen) -> f64| of(ours) / of(theirs);
    figures::tell(
        "herd",
        &format!("{case}, to the bare race"),
        &[
            ("p50_ratio", ratio(|seen| seen.late(0.5))),
            ("p99_ratio", ratio(|seen| seen.late(0.99))),
            ("processor_ratio", ratio(Seen::processor)),
            ("redis_ratio", ratio(Seen::of_servers)),
        ],
    );
}

/// Races for each occurrence when it is due, until it is told to stop.
fn bare(url: &str, out: &str, jobs: usize) {
    crowd::follow();
    let mut redis = redis::Client::open(url).unwrap().get_connection().unwrap();
    let script = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', 60000) and 1 or 0";
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(script).query(&mut redis).unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stopped.clone()).unwrap();
    let mut order: Vec<usize> = (0..jobs).collect();
    let mut file = std::io::BufWriter::new(fs::File::create(out).unwrap());
    let period = herds::period() * 1_000_000;
    while !stopped.load(Ordering::Relaxed) {
        order.shuffle(&mut rand::rng());
        let due = (crowd::micros() / period + 1) * period;
        while crowd::micros() < due && !stopped.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_micros((due.saturating_sub(crowd::micros())).min(100_000)));
        }
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let mut won = Vec::new();
        for some in order.chunks(100) {
            let mut pipe = redis::pipe();
            for job in some {
                pipe.cmd("EVALSHA").arg(&sha).arg(1).arg(format!("{job}@{due}")).arg("me");
            }
            let answers: Vec<u8> = pipe.query(&mut redis).unwrap();
            let now = crowd::micros();
            won.extend(some.iter().zip(answers).filter(|(_, answer)| *answer == 1).map(|(job, _)| (*job, now)));
        }
        for (job, now) in won {
            writeln!(file, "{due} {now} job-{job}").unwrap();
        }
    }
}

fn herd(who: &str, jobs: usize, replicas: usize) -> Seen {
    let server = [servers::Redis::plain()];
    let dir = tempfile::tempdir().unwrap();
    let outs: Vec<String> =
        (0..replicas).map(|index| dir.path().join(index.to_string()).display().to_string()).collect();
    let one = |out: &String| crowd::another(&[who, &server[0].url(), out, &jobs.to_string()]);
    let children: Vec<Child> = outs.iter().map(one).collect();
    let seen = herds::watch(children, &outs, &server);
    let expected = jobs * herds::HERDS as usize;
    println!(
        "{who}: {jobs} jobs due at once on {replicas} processes, {} times: {} of {expected} starts, {} twice, wins {:?}",
        herds::HERDS,
        seen.starts(),
        seen.twice,
        seen.wins
    );
    figures::tell(
        "herd",
        &format!("{}, {who}", named(jobs, replicas)),
        &[
            ("p50_ms", seen.late(0.5)),
            ("p90_ms", seen.late(0.9)),
            ("p99_ms", seen.late(0.99)),
            ("max_ms", seen.late(1.0)),
            ("processor_us_a_start", seen.processor()),
            ("redis_us_a_start", seen.of_servers()),
            ("scripts_a_start", seen.scripts()),
            ("largest_share", seen.largest_share()),
        ],
    );
    assert_eq!((seen.started, seen.twice), (expected, 0), "each occurrence starts once");
    seen
}

//! Many jobs due at the same instant, on three replicas with one Redis.
//!
//! `cargo bench --bench herd [-- JOBS...]` starts a `redis-server` and three processes, and prints how
//! late the jobs' code began, how the replicas shared them, how many scripts Redis was asked to run
//! a start, and what a start cost in processor time, replicas and server apart. Then the same of three
//! processes that do nothing but race at the instant, by a script that sets one key for each occurrence, a
//! hundred of them in a pipeline: what Redis and this machine allow to those who record nothing else.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/crowd.rs"]
mod crowd;
#[path = "common/figures.rs"]
mod figures;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::seq::SliceRandom;

const REPLICAS: usize = 3;

/// Seconds between two herds.
const PERIOD: u64 = 5;

/// Herds that count; one before them warms up.
const HERDS: u64 = 6;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("replica") => crowd::replica(&words[1], &words[2], &jobs(words[3].parse().unwrap()), Duration::ZERO),
        Some("bare") => bare(&words[1], &words[2], words[3].parse().unwrap()),
        _ => {
            let mut sizes: Vec<usize> = words.iter().map(|word| word.parse().unwrap()).collect();
            if sizes.is_empty() {
                sizes.push(1000);
            }
            for jobs in sizes {
                let (ours, theirs) = (herd("replica", jobs), herd("bare", jobs));
                let ratio = |of: fn(&Herd) -> f64| of(&ours) / of(&theirs);
                figures::tell(
                    "herd",
                    &format!("{jobs} jobs, to the bare race"),
                    &[
                        ("p50_ratio", ratio(|herd| herd.p50)),
                        ("p99_ratio", ratio(|herd| herd.p99)),
                        ("processor_ratio", ratio(|herd| herd.processor)),
                        ("redis_ratio", ratio(|herd| herd.redis)),
                    ],
                );
            }
        }
    }
}

/// Races for each occurrence when it is due, until it is told to stop.
fn bare(url: &str, out: &str, jobs: usize) {
    let mut redis = redis::Client::open(url).unwrap().get_connection().unwrap();
    let script = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', 60000) and 1 or 0";
    let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(script).query(&mut redis).unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, stopped.clone()).unwrap();
    let mut order: Vec<usize> = (0..jobs).collect();
    let mut file = std::io::BufWriter::new(fs::File::create(out).unwrap());
    let period = PERIOD * 1_000_000;
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

/// Each is due every five seconds.
fn jobs(count: usize) -> String {
    (0..count).map(|n| format!("[jobs.job-{n}]\nevery = \"{PERIOD}s\"\nhandler = \"note\"\n")).collect()
}

/// Lateness, in milliseconds, and processor time a start, in microseconds.
struct Herd {
    p50: f64,
    p99: f64,
    /// Of all replicas.
    processor: f64,
    redis: f64,
}

fn herd(who: &str, jobs: usize) -> Herd {
    let server = servers::Redis::plain();
    let dir = tempfile::tempdir().unwrap();
    let out = |index: usize| dir.path().join(format!("{index}")).display().to_string();
    let mut children: Vec<Child> =
        (0..REPLICAS).map(|index| crowd::another(&[who, &server.url(), &out(index), &jobs.to_string()])).collect();
    // Between two herds, after the first one that all replicas saw.
    std::thread::sleep(Duration::from_secs(2 * PERIOD));
    let phase = crowd::micros() / 1000 % (PERIOD * 1000);
    std::thread::sleep(Duration::from_millis((PERIOD * 1500 - phase) % (PERIOD * 1000)));
    let from = crowd::micros();
    let before = (
        scripts(&server),
        figures::processor(server.pid()),
        children.iter().map(|c| figures::processor(c.id().cast_signed())).sum::<f64>(),
    );
    std::thread::sleep(Duration::from_secs(PERIOD * HERDS));
    let upto = crowd::micros();
    let after = (
        scripts(&server),
        figures::processor(server.pid()),
        children.iter().map(|c| figures::processor(c.id().cast_signed())).sum::<f64>(),
    );
    crowd::end(&mut children);
    let mut late = Vec::new();
    let (mut wins, mut starts) = (Vec::new(), BTreeMap::<(u64, String), u32>::new());
    for index in 0..REPLICAS {
        let mut won = 0u32;
        for (due, now, job) in crowd::written(&out(index)).0 {
            if (from..upto).contains(&due) {
                won += 1;
                late.push(Duration::from_micros(now.saturating_sub(due)));
                *starts.entry((due, job)).or_default() += 1;
            }
        }
        wins.push(won);
    }
    late.sort();
    let expected = jobs * usize::try_from(HERDS).unwrap();
    let twice = starts.values().filter(|count| **count > 1).count();
    println!(
        "{who}: {jobs} jobs due at once on {REPLICAS} processes, {HERDS} times: {} of {expected} starts, {twice} twice, wins {wins:?}",
        late.len()
    );
    let at = |share: f64| figures::ms(late[((late.len() as f64 - 1.0) * share) as usize]);
    let each = |total: f64| total / late.len() as f64;
    let (processor, redis) = (each(after.2 - before.2) * 1e6, each(after.1 - before.1) * 1e6);
    figures::tell(
        "herd",
        &format!("{jobs} jobs, {who}"),
        &[
            ("p50_ms", at(0.5)),
            ("p90_ms", at(0.9)),
            ("p99_ms", at(0.99)),
            ("max_ms", at(1.0)),
            ("processor_us_a_start", processor),
            ("redis_us_a_start", redis),
            ("scripts_a_start", each(after.0 - before.0)),
            ("largest_share", wins.iter().max().map_or(0.0, |most| each(f64::from(*most)))),
        ],
    );
    assert_eq!((starts.len(), twice), (expected, 0), "each occurrence starts once");
    Herd { p50: at(0.5), p99: at(0.99), processor, redis }
}

/// How many scripts the server was asked to run so far.
fn scripts(server: &servers::Redis) -> f64 {
    let answer =
        Command::new("redis-cli").args(["-p", &server.port.to_string(), "info", "commandstats"]).output().unwrap();
    let text = String::from_utf8(answer.stdout).unwrap();
    let calls = |line: &str| line.split("calls=").nth(1)?.split(',').next()?.parse::<f64>().ok();
    text.lines().filter(|line| line.starts_with("cmdstat_eval")).filter_map(calls).sum()
}

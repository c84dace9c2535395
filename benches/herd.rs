//! Many jobs due at the same instant, on three replicas with one Redis.
//!
//! `cargo bench --bench herd [-- JOBS]` starts a `redis-server` and three processes, and prints how
//! late the jobs' code began, how the replicas shared them, how many scripts Redis was asked to run
//! a start, and what a start cost in processor time, replicas and server apart.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "../tests/common/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use cronclave::broker::NoBroker;
use cronclave::config::{self, Flags, Process, SourceText};
use cronclave::runner::{Context, Handlers};
use cronclave::service::{self, Backends, Role, Service};
use cronclave::store::redis::{Redis, Time};

const REPLICAS: usize = 3;

/// Seconds between two herds.
const PERIOD: u64 = 5;

/// Herds that count; one before them warms up.
const HERDS: u64 = 6;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("replica") => replica(&words[1], &words[2], words[3].parse().unwrap()),
        jobs => herd(jobs.map_or(1000, |text| text.parse().unwrap())),
    }
}

fn micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// One replica: writes a line for each start when it is told to stop.
fn replica(url: &str, out: &str, jobs: usize) {
    let text: String =
        (0..jobs).map(|n| format!("[jobs.job-{n}]\nevery = \"{PERIOD}s\"\nhandler = \"note\"\n")).collect();
    let started: Arc<Mutex<Vec<(u64, u64, String)>>> = Arc::default();
    let notes = started.clone();
    let note = move |context: Context| {
        let now = micros();
        let due = u64::try_from(context.work.scheduled_at.as_micros()).unwrap();
        notes.lock().unwrap().push((due, now, context.work.job.to_string()));
        async { Ok::<(), String>(()) }
    };
    let flags = Flags { no_http: true, max_parallel: Some(10_000), ..Flags::default() };
    let process = Process::load(&flags, &|_| None, "bench").unwrap();
    let sources = vec![SourceText { name: "herd".into(), text: format!("version = 1\n{text}") }];
    let config = config::load(&sources, &|_| None, cronclave::clock::Clock::system().now()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let store = Arc::new(Redis::open(url.parse().unwrap(), "herd", Time::Server));
        let backends = Backends { store, broker: Arc::new(NoBroker) };
        let parts = service::parts(&process, backends, Handlers::new().register("note", note));
        let service = Service { process, parts, config, sources, watch: false, front: None, role: Role::default() };
        service.run().await.unwrap();
    });
    let mut file = fs::File::create(out).unwrap();
    for (due, now, job) in started.lock().unwrap().iter() {
        writeln!(file, "{due} {now} {job}").unwrap();
    }
}

fn herd(jobs: usize) {
    let server = servers::Redis::plain();
    let dir = tempfile::tempdir().unwrap();
    let out = |index: usize| dir.path().join(format!("{index}")).display().to_string();
    let mut children: Vec<Child> = (0..REPLICAS)
        .map(|index| {
            Command::new(std::env::current_exe().unwrap())
                .args(["replica", &server.url(), &out(index), &jobs.to_string()])
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    // Between two herds, after the first one that all replicas saw.
    std::thread::sleep(Duration::from_secs(2 * PERIOD));
    let phase = micros() / 1000 % (PERIOD * 1000);
    std::thread::sleep(Duration::from_millis((PERIOD * 1500 - phase) % (PERIOD * 1000)));
    let from = micros();
    let before = (
        scripts(&server),
        processor(server.pid()),
        children.iter().map(|c| processor(c.id().cast_signed())).sum::<f64>(),
    );
    std::thread::sleep(Duration::from_secs(PERIOD * HERDS));
    let upto = micros();
    let after = (
        scripts(&server),
        processor(server.pid()),
        children.iter().map(|c| processor(c.id().cast_signed())).sum::<f64>(),
    );
    for child in &mut children {
        rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM).unwrap();
        let began = Instant::now();
        child.wait().unwrap();
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    let mut late = Vec::new();
    let (mut wins, mut starts) = (Vec::new(), BTreeMap::<(u64, String), u32>::new());
    for index in 0..REPLICAS {
        let text = fs::read_to_string(out(index)).unwrap();
        let mut won = 0;
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let (due, now): (u64, u64) = (words[0].parse().unwrap(), words[1].parse().unwrap());
            if (from..upto).contains(&due) {
                won += 1;
                late.push(Duration::from_micros(now.saturating_sub(due)));
                *starts.entry((due, words[2].to_owned())).or_default() += 1;
            }
        }
        wins.push(won);
    }
    late.sort();
    let expected = jobs * usize::try_from(HERDS).unwrap();
    let twice = starts.values().filter(|count| **count > 1).count();
    println!(
        "{jobs} jobs due at once on {REPLICAS} replicas, {HERDS} times: {} of {expected} starts, {twice} twice, wins {wins:?}",
        late.len()
    );
    let at = |share: f64| late[((late.len() as f64 - 1.0) * share) as usize];
    println!("lateness p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, max {:.1?}", at(0.5), at(0.9), at(0.99), at(1.0));
    let each = |total: f64| total / late.len() as f64;
    println!("scripts asked of Redis a start: {:.3}", each(after.0 - before.0));
    println!(
        "processor time a start: {:.0} us in the replicas, {:.0} us in Redis",
        each(after.2 - before.2) * 1e6,
        each(after.1 - before.1) * 1e6
    );
    assert_eq!((starts.len(), twice), (expected, 0), "each occurrence starts once");
}

/// How many scripts the server was asked to run so far.
fn scripts(server: &servers::Redis) -> f64 {
    let answer =
        Command::new("redis-cli").args(["-p", &server.port.to_string(), "info", "commandstats"]).output().unwrap();
    let text = String::from_utf8(answer.stdout).unwrap();
    let calls = |line: &str| line.split("calls=").nth(1)?.split(',').next()?.parse::<f64>().ok();
    text.lines().filter(|line| line.starts_with("cmdstat_eval")).filter_map(calls).sum()
}

fn processor(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

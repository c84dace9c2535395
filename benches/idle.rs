//! What a replica costs that has nothing to do: jobs that are each due once a year.
//!
//! `cargo bench --bench idle [-- JOBS[@REPLICAS]...]` (1,000, 10,000 and 100,000 by default) prints, on a file and on a
//! Redis, the time to ready of the first start, which registers every job, and of the next; the memory of that when nobody
//! has looked for a minute, and its processor time and calls of Redis in 20 s; and how long the program takes to say
//! `--help`. Of several replicas (`1000@100`) on a Redis it prints what each takes, and what Redis takes for all.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "common/figures.rs"]
mod figures;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const IDLE: Duration = Duration::from_secs(20);

/// For a minute what people may look at is kept fresh.
const UNATTENDED: Duration = Duration::from_secs(75);

/// How many jobs stand in one file.
const A_FILE: usize = 10_000;

fn main() {
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let mut sizes: Vec<String> = words.collect();
    if sizes.is_empty() {
        sizes = ["1000", "10000", "100000"].map(str::to_owned).into();
    }
    let help = figures::median((0..20).map(|_| figures::ms(help())).collect());
    let bytes = fs::metadata(env!("CARGO_BIN_EXE_cronclave")).unwrap().len() as f64;
    figures::tell("idle", "the program", &[("help_ms", help), ("size_mb", bytes / 1e6)]);
    for size in sizes {
        let (jobs, replicas) = size.split_once('@').unwrap_or((&size, "1"));
        let (jobs, replicas): (usize, usize) = (jobs.parse().unwrap(), replicas.parse().unwrap());
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("schedules")).unwrap();
        for first in (0..jobs).step_by(A_FILE) {
            let path = dir.path().join(format!("schedules/{first}.toml"));
            fs::write(path, file(first..jobs.min(first + A_FILE))).unwrap();
        }
        let redis = servers::Redis::plain();
        if replicas > 1 {
            many(dir.path(), &redis, jobs, replicas);
            continue;
        }
        for (store, server) in [("a file", None), ("Redis", Some(&redis))] {
            let first = first(dir.path(), server);
            let next = Replica::start(dir.path(), server);
            std::thread::sleep(UNATTENDED);
            let mut told = vec![("first_ready_s", first), ("ready_s", next.ready.as_secs_f64())];
            let pid = next.child.id().cast_signed();
            let now = || (figures::processor(pid), server.map_or(0.0, calls));
            let before = now();
            std::thread::sleep(IDLE);
            let after = now();
            let each = |from: f64, to: f64| (to - from) / IDLE.as_secs_f64();
            told.push(("busy_percent", each(before.0, after.0) * 100.0));
            for (name, line) in [("memory_mib", "VmRSS"), ("own_memory_mib", "RssAnon"), ("peak_mib", "VmHWM")] {
                told.push((name, memory(&next.child, line) as f64 / 1024.0));
            }
            if let Some(server) = server {
                told.push(("redis_calls_per_second", each(before.1, after.1)));
                told.push(("redis_bytes_a_job", bytes_of(server) / jobs as f64));
            }
            figures::tell("idle", &format!("{jobs} jobs on {store}"), &told);
        }
    }
}

/// The seconds until the first of all replicas is ready.
fn first(dir: &Path, server: Option<&servers::Redis>) -> f64 {
    let first = Replica::start(dir, server);
    // It registers the jobs, beside being ready.
    std::thread::sleep(Duration::from_secs(5).max(first.ready * 2));
    first.ready.as_secs_f64()
}

fn many(dir: &Path, server: &servers::Redis, jobs: usize, replicas: usize) {
    first(dir, Some(server));
    let data = number(server, "memory", "used_memory_dataset:");
    let all: Vec<Replica> = (0..replicas).map(|_| Replica::start(dir, Some(server))).collect();
    std::thread::sleep(UNATTENDED);
    let now = || {
        let busy: f64 = all.iter().map(|one| figures::processor(one.child.id().cast_signed())).sum();
        (busy, figures::processor(server.pid()), calls(server), number(server, "stats", "total_net_output_bytes:"))
    };
    let before = now();
    std::thread::sleep(IDLE);
    let after = now();
    let a_second = |from: f64, to: f64| (to - from) / IDLE.as_secs_f64();
    let own: u64 = all.iter().map(|one| memory(&one.child, "RssAnon")).sum();
    figures::tell(
        "idle",
        &format!("{jobs} jobs on {replicas} replicas and Redis"),
        &[
            ("busy_percent_each", a_second(before.0, after.0) * 100.0 / replicas as f64),
            ("own_memory_mib_each", own as f64 / 1024.0 / replicas as f64),
            ("redis_percent", a_second(before.1, after.1) * 100.0),
            ("redis_calls_per_second", a_second(before.2, after.2)),
            ("redis_sent_kb_per_second", a_second(before.3, after.3) / 1e3),
            ("redis_clients", number(server, "clients", "connected_clients:")),
            ("redis_clients_kb", number(server, "memory", "mem_clients_normal:") / 1e3),
            ("redis_more_data_kb", (number(server, "memory", "used_memory_dataset:") - data) / 1e3),
        ],
    );
}

fn file(jobs: std::ops::Range<usize>) -> String {
    let mut text = "version = 1\n".to_owned();
    for n in jobs {
        let (minute, hour) = (n % 60, n / 60 % 24);
        writeln!(text, "[jobs.job-{n}]\nschedule = \"{minute} {hour} 1 1 *\"\ncommand = \"true\"").unwrap();
    }
    text
}

struct Replica {
    child: Child,
    ready: Duration,
}

impl Replica {
    fn start(dir: &Path, redis: Option<&servers::Redis>) -> Replica {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let began = Instant::now();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_cronclave"));
        serve.args(["serve", "--config", "schedules", "--listen", &format!("127.0.0.1:{port}")]).current_dir(dir);
        if let Some(redis) = redis {
            serve.env("REDIS_URL", redis.url());
        }
        let child = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !is_ready(port) {
            assert!(began.elapsed() < Duration::from_secs(300), "never ready");
            std::thread::sleep(Duration::from_millis(2));
        }
        Replica { child, ready: began.elapsed() }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn help() -> Duration {
    let began = Instant::now();
    let said = Command::new(env!("CARGO_BIN_EXE_cronclave")).arg("--help").output().unwrap();
    assert!(said.status.success());
    began.elapsed()
}

fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut text = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 200")
}

/// How often the server has read from a client so far: what is sent together is one call.
fn calls(redis: &servers::Redis) -> f64 {
    number(redis, "stats", "total_reads_processed:")
}

/// What its data takes, which was nothing at first.
fn bytes_of(redis: &servers::Redis) -> f64 {
    number(redis, "memory", "used_memory_dataset:")
}

/// What a server says of itself.
fn number(redis: &servers::Redis, section: &str, name: &str) -> f64 {
    let text: String = redis.ask(&["INFO", section]);
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
}

fn memory(child: &Child, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

//! How many programs a second are started, run and reaped, eight at a time: bare, by the runner under its supervisors,
//! and as jobs of a replica on a Redis that claims, runs and records them. Then the same where the replica has 500 MB.
//!
//! `cargo bench --bench spawn [-- RUNS [bare] [runner] [jobs]]`: of the three only those that are named.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/figures.rs"]
mod figures;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cronclave::broker::NoBroker;
use cronclave::clock::{Clock, Timestamp};
use cronclave::config::{self, Flags, Process, SourceText};
use cronclave::job::Job;
use cronclave::lease::{Fence, Outcome, RunId, Trigger, Work};
use cronclave::ledger::What;
use cronclave::runner::{CommandRunner, Control, Halt, Handlers, HttpRunner, Runner, Runners};
use cronclave::service::{self, Backends, Role, Service};
use cronclave::store::Store;
use cronclave::store::redis::{Redis, Time};
use tokio::sync::{mpsc, watch};

const AT_A_TIME: usize = 8;
const ROUNDS: usize = 3;

/// Between two instants at which all jobs are due.
const PERIOD: Duration = Duration::from_secs(10);

/// There everywhere, and does nothing.
const PROGRAM: &str = "/bin/true";

fn main() {
    cronclave::shim();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runs = words.iter().find_map(|word| word.parse().ok()).unwrap_or(1500);
    let is_named = |name: &str| words.iter().any(|word| word == name);
    let all = !["bare", "runner", "jobs"].into_iter().any(is_named);
    let wanted = |name: &str| all || is_named(name);
    for ballast in [0, 500] {
        // Written to, so that it is there.
        let held = vec![1u8; ballast << 20];
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (mut bare, mut alone, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(if wanted("bare") { bare_rate(runs) } else { f64::NAN });
            alone.push(if wanted("runner") { runtime.block_on(runner_rate(runs)) } else { f64::NAN });
            jobs.push(if wanted("jobs") { runtime.block_on(replica_rate(runs)) } else { f64::NAN });
        }
        let [bare, alone, jobs] = [bare, alone, jobs].map(figures::median);
        let case = format!("{AT_A_TIME} at a time, {ballast} MB held");
        figures::tell(
            "spawn",
            &case,
            &[
                ("bare_per_second", bare),
                ("runner_per_second", alone),
                ("jobs_per_second", jobs),
                ("runner_ratio", alone / bare),
                ("jobs_ratio", jobs / bare),
            ],
        );
        drop(std::hint::black_box(held));
    }
}

fn per_second(runs: usize, took: Duration) -> f64 {
    runs as f64 / took.as_secs_f64()
}

/// Threads that do nothing but start the program and wait for its end; the library uses `posix_spawn`.
fn bare_rate(runs: usize) -> f64 {
    let (left, began) = (AtomicUsize::new(runs), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let mut program = std::process::Command::new(PROGRAM);
                    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                    assert!(program.status().unwrap().success());
                }
            });
        }
    });
    per_second(runs, began.elapsed())
}

fn load(text: &str) -> (Vec<SourceText>, config::Config) {
    let sources = vec![SourceText { name: "spawn".into(), text: format!("version = 1\n{text}").into() }];
    let config = config::load(&sources, &|_| None, Clock::system().now()).unwrap();
    (sources, config)
}

async fn runner_rate(runs: usize) -> f64 {
    let (_, config) = load(&format!("[jobs.program]\nevery = \"1h\"\ncommand = [\"{PROGRAM}\"]\n"));
    let job = Arc::new(config.jobs.into_iter().next().unwrap());
    let command = CommandRunner::new(BTreeMap::new());
    let runners = Arc::new(Runners { command, http: HttpRunner::new(), handlers: Handlers::new() });
    let (left, began) = (Arc::new(AtomicUsize::new(runs)), Instant::now());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (job, runners, left) = (job.clone(), runners.clone(), left.clone());
        workers.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                one_run(&job, &runners).await;
            }
        });
    }
    workers.join_all().await;
    per_second(runs, began.elapsed())
}

async fn one_run(job: &Job, runners: &Runners) {
    let at = Timestamp::from_secs(1_800_000_000);
    let work = Work {
        job: job.name.clone(),
        run_id: RunId::of_occurrence(&job.name, at),
        scheduled_at: at,
        attempt: 1,
        max_attempts: 1,
        fence: Fence(1),
        trigger: Trigger::Schedule,
        args: BTreeMap::new(),
        previous_success_at: None,
        lease_until: at.plus(Duration::from_secs(30)),
    };
    let (_go, halt) = watch::channel(Halt::Go);
    let (_trust, trusted_until) = watch::channel(tokio::time::Instant::now() + Duration::from_secs(600));
    let (output, mut pieces) = mpsc::channel(4);
    let drain = tokio::spawn(async move { while pieces.recv().await.is_some() {} });
    let ended = runners.run(job, &work, Control { halt, trusted_until, output }).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{ended:?}");
    drain.await.unwrap();
}

/// From the first start to the last end of as many occurrences, which come due at once.
async fn replica_rate(runs: usize) -> f64 {
    let server = servers::Redis::plain();
    let open = || Redis::open(server.url().parse().unwrap(), "spawn", Time::Server);
    // Eight run at a time; the others wait for their turn.
    let (sources, config) = load(
        &(0..runs)
            .map(|n| format!("[jobs.job-{n}]\nevery = \"{}s\"\ncommand = [\"{PROGRAM}\"]\n", PERIOD.as_secs()))
            .collect::<String>(),
    );
    let flags = Flags { no_http: true, max_parallel: Some(AT_A_TIME), ..Flags::default() };
    let process = Process::load(&flags, &|_| None, "bench").unwrap();
    let parts =
        service::parts(&process, Backends { store: Arc::new(open()), broker: Arc::new(NoBroker) }, Handlers::new());
    let service = Service { process, parts, config, sources, inline: Vec::new(), watch: false, role: Role::default() };
    let serving = tokio::spawn(cronclave::daemon::run(service, None));
    let phase = Clock::system().now().as_micros() as u64 % PERIOD.as_micros() as u64;
    // One period more, as nobody was ready when the first was due.
    tokio::time::sleep(PERIOD * 3 - Duration::from_micros(phase) - Duration::from_secs(1)).await;
    serving.abort();
    let (store, mut position) = (open(), 0);
    // Of the last instant, as of one before somebody may have come late.
    let (mut names, mut first, mut last) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::<Timestamp, (Timestamp, usize)>::new());
    loop {
        let events = store.events(position, 1000).await.unwrap();
        let Some((end, _)) = events.last() else { break };
        position = *end;
        for (_, event) in events {
            match event.what {
                What::Claimed { run_id, scheduled_at, .. } => _ = names.insert(run_id, scheduled_at),
                What::Started { run_id, .. } => _ = first.entry(names[&run_id]).or_insert(event.at),
                What::Ended { run_id, ended, .. } => {
                    assert_eq!(ended.outcome, Outcome::Succeeded, "{ended:?}");
                    let (at, count) = last.entry(names[&run_id]).or_insert((event.at, 0));
                    (*at, *count) = (event.at, *count + 1);
                }
                _ => {}
            }
        }
    }
    let (due, (end, count)) = last.last_key_value().unwrap();
    assert_eq!(*count, runs, "more than {PERIOD:?} are needed");
    per_second(runs, end.since(first[due]))
}

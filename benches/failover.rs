//! What becomes of jobs whose replica is killed, the one that started last, again and again.
//!
//! `cargo bench --bench failover [-- JOBS KILLS]` starts a `redis-server` and three replicas with so many jobs (10) due
//! every second and a lease of 5 s, kills one with -9 so many times (20) while the jobs of a second begin, and puts another
//! in its place. From what the store tells it prints how many occurrences began, were begun twice, or never; how late
//! the latest of those began whose replica was killed; and the longest time in which nothing began.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/figures.rs"]
mod figures;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use cronclave::broker::NoBroker;
use cronclave::clock::{Clock, Timestamp};
use cronclave::config::{self, Flags, Process, SourceText};
use cronclave::lease::Outcome;
use cronclave::ledger::What;
use cronclave::runner::{Context, Handlers};
use cronclave::service::{self, Backends, Role, Service};
use cronclave::store::Store;
use cronclave::store::redis::{Redis, Time};

const REPLICAS: usize = 3;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |index: usize, or: usize| words.get(index).map_or(or, |word| word.parse().unwrap());
    match words.first().map(String::as_str) {
        Some("replica") => replica(&words[1], Path::new(&words[2]), number(3, 0)),
        _ => kill_the_last_winner(number(0, 10), number(1, 20)),
    }
}

fn micros() -> i64 {
    i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn open(url: &str) -> Redis {
    Redis::open(url.parse().unwrap(), "failover", Time::Server)
}

/// Adds a byte to `out` for each start, so that it can be told who started last.
fn replica(url: &str, out: &Path, jobs: usize) {
    let more = "every = \"1s\"\nhandler = \"note\"\noverlap = \"allow\"\nlock = { ttl = \"5s\" }\n";
    let text: String = (0..jobs).map(|n| format!("[jobs.job-{n}]\n{more}")).collect();
    let file = Arc::new(OpenOptions::new().create(true).append(true).open(out).unwrap());
    let note = move |_: Context| {
        (&*file).write_all(b".").unwrap();
        async { Ok::<(), String>(()) }
    };
    let flags = Flags { no_http: true, max_parallel: Some(10_000), ..Flags::default() };
    let process = Process::load(&flags, &|_| None, "bench").unwrap();
    let sources = vec![SourceText { name: "failover".into(), text: format!("version = 1\n{text}").into() }];
    let config = config::load(&sources, &|_| None, Clock::system().now()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let backends = Backends { store: Arc::new(open(url)), broker: Arc::new(NoBroker) };
        let parts = service::parts(&process, backends, Handlers::new().register("note", note));
        let service =
            Service { process, parts, config, sources, inline: Vec::new(), watch: false, role: Role::default() };
        cronclave::daemon::run(service, None).await.unwrap();
    });
}

fn kill_the_last_winner(jobs: usize, kills: usize) {
    let server = servers::Redis::plain();
    let dir = tempfile::tempdir().unwrap();
    let begin = |place: usize| -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["replica", &server.url(), dir.path().join(place.to_string()).to_str().unwrap(), &jobs.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut children: Vec<Child> = (0..REPLICAS).map(begin).collect();
    // The store forgets what happened long ago, so it is read as it happens.
    let over = Arc::new(AtomicBool::new(false));
    let reader = {
        let (url, over) = (server.url(), over.clone());
        std::thread::spawn(move || read(&url, &over))
    };
    std::thread::sleep(Duration::from_secs(6));
    let from = next_second();
    for _ in 0..kills {
        let due = next_second() + 1_000_000;
        // While they begin, or shortly before.
        let at = due + rand::random_range(-20_000..20_000);
        std::thread::sleep(Duration::from_micros((at - micros()).max(0).unsigned_abs()));
        let changed = |place: &usize| fs::metadata(dir.path().join(place.to_string())).unwrap().modified().unwrap();
        let last = (0..REPLICAS).max_by_key(changed).unwrap();
        children[last].kill().unwrap();
        children[last].wait().unwrap();
        children[last] = begin(last);
        std::thread::sleep(Duration::from_millis(1500));
    }
    std::thread::sleep(Duration::from_secs(2));
    let upto = next_second();
    // Whatever was held by the killed is back by then.
    std::thread::sleep(Duration::from_secs(8));
    for child in &mut children {
        rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap();
    }
    over.store(true, Ordering::Relaxed);
    let runs = reader.join().unwrap();
    let within = |at: Timestamp| (from..upto).contains(&at.as_micros());
    let runs: BTreeMap<_, _> = runs.into_iter().filter(|((_, at), _)| within(*at)).collect();
    let due = usize::try_from((upto - from) / 1_000_000).unwrap() * jobs;
    let twice = runs.values().filter(|run| run.starts.len() > 1).count();
    let started = runs.values().filter(|run| !run.starts.is_empty()).count();
    let lost = runs.values().filter(|run| run.lost).count();
    let late = |((_, at), run): (&(String, Timestamp), &Run)| run.starts.first().map(|start| start.since(*at));
    let latest = runs.iter().filter_map(late).max().unwrap_or_default();
    let mut starts: Vec<Timestamp> = runs.values().flat_map(|run| run.starts.iter().copied()).collect();
    starts.sort();
    let gap = starts.windows(2).map(|pair| pair[1].since(pair[0])).max().unwrap_or_default();
    figures::tell(
        "failover",
        &format!("{jobs} jobs a second, {kills} kills of the last winner"),
        &[
            ("due", due as f64),
            ("started", started as f64),
            ("twice", twice as f64),
            ("never", (due - started) as f64),
            ("lost", lost as f64),
            ("latest_s", latest.as_secs_f64()),
            ("longest_gap_s", gap.as_secs_f64()),
        ],
    );
}

/// The beginning of the next second, in microseconds.
fn next_second() -> i64 {
    (micros() / 1_000_000 + 1) * 1_000_000
}

#[derive(Default)]
struct Run {
    starts: Vec<Timestamp>,
    lost: bool,
}

/// Every occurrence that is told of until it is `over`: when it was started, and whether it was lost.
fn read(url: &str, over: &AtomicBool) -> BTreeMap<(String, Timestamp), Run> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(url);
        let (mut runs, mut names, mut position) = (BTreeMap::<_, Run>::new(), BTreeMap::new(), 0);
        loop {
            let events = store.events(position, 1000).await.unwrap();
            let Some((last, _)) = events.last() else {
                if over.load(Ordering::Relaxed) {
                    return runs;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            };
            position = *last;
            for (_, event) in events {
                match event.what {
                    What::Claimed { run_id, scheduled_at, .. } => {
                        let name = (event.job.to_string(), scheduled_at);
                        runs.entry(name.clone()).or_default();
                        names.insert(run_id, name);
                    }
                    What::Started { run_id, .. } => {
                        let run = names.get(&run_id).and_then(|name| runs.get_mut(name));
                        run.into_iter().for_each(|run| run.starts.push(event.at));
                    }
                    What::Ended { run_id, ended, .. } if ended.outcome == Outcome::Lost => {
                        let run = names.get(&run_id).and_then(|name| runs.get_mut(name));
                        run.into_iter().for_each(|run| run.lost = true);
                    }
                    _ => {}
                }
            }
        }
    })
}

//! What it costs to be watched: how late the code of 1,000 jobs a second begins while 200 clients follow events live and
//! Prometheus scrapes each second, or 20 pages of the dashboard are open, against nobody watching. One replica, one Redis, one run: the phases take turns.
//!
//! `cargo bench --bench steer [-- JOBS]` starts a `redis-server`, a replica and the clients, each a process of its own,
//! and prints a table and one line of JSON. Clients share the machine with the replica: what they take is part of what
//! is measured, and told apart.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/figures.rs"]
mod figures;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use cronclave::broker::NoBroker;
use cronclave::clock::{Clock, Timestamp};
use cronclave::config::{self, Flags, Process, SourceText};
use cronclave::http::{self, Front};
use cronclave::runner::{Context, Handlers};
use cronclave::service::{self, Backends, Role, Service};
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Query, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CLIENTS: usize = 200;

/// Open dashboards, half of them at the first page and half at the list of jobs.
const DASHBOARDS: usize = 20;

/// Every job is due each second, in microseconds.
const SECOND: u64 = 1_000_000;

/// Each phase comes so often.
const ROUNDS: usize = 4;

/// How long a phase lasts, and what of its beginning does not count.
const PHASE: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(3);

/// The history of the whole run is read at its end.
const KEEP: &str = "keep = { runs = 1000 }";

/// Who watches in a phase.
#[derive(Clone, Copy, PartialEq)]
enum Watch {
    /// Nobody.
    Nobody,
    /// Each client follows one job, as whoever looks at its page does.
    OneJobEach,
    /// Each client follows everything.
    Everything,
    /// Open pages of the dashboard, which ask for themselves again as their script does.
    Dashboards,
}

impl Watch {
    const ALL: [Watch; 4] = [Watch::Nobody, Watch::OneJobEach, Watch::Everything, Watch::Dashboards];

    fn word(self) -> &'static str {
        match self {
            Watch::Nobody => "nobody",
            Watch::OneJobEach => "one-job-each",
            Watch::Everything => "everything",
            Watch::Dashboards => "dashboards",
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.first().map(String::as_str) {
        Some("replica") => replica(&words[1], &words[2], words[3].parse().unwrap()),
        Some("clients") => clients(&words[1], &words[2], words[3].parse().unwrap()),
        jobs => measure(jobs.map_or(1000, |text| text.parse().unwrap())),
    }
}

fn micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// One replica: says where it listens; writes a line for each start when it is told to stop.
fn replica(url: &str, out: &str, jobs: usize) {
    let text: String =
        (0..jobs).map(|n| format!("[jobs.job-{n}]\nevery = \"1s\"\nhandler = \"note\"\n{KEEP}\n")).collect();
    let started: Arc<Mutex<Vec<(u64, u64)>>> = Arc::default();
    let notes = started.clone();
    let note = move |context: Context| {
        let now = micros();
        notes.lock().unwrap().push((u64::try_from(context.work.scheduled_at.as_micros()).unwrap(), now));
        async { Ok::<(), String>(()) }
    };
    let flags = Flags { listen: Some("127.0.0.1:0".into()), max_parallel: Some(1_500), ..Flags::default() };
    // Scrapes and clients all come from one address here.
    let env = |name: &str| (name == "CRONCLAVE_RATE_LIMIT").then(|| "0".to_owned());
    let process = Process::load(&flags, &env, "bench").unwrap();
    let sources = vec![SourceText { name: "steer".into(), text: format!("version = 1\n{text}").into() }];
    let config = config::load(&sources, &|_| None, Clock::system().now()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let listener = http::bind(process.listen.unwrap()).await.unwrap();
        let front = Front::open(listener, &process).unwrap();
        println!("{}", front.address());
        let store = Arc::new(Redis::open(url.parse().unwrap(), "steer", Time::Server));
        let backends = Backends { store, broker: Arc::new(NoBroker) };
        let parts = service::parts(&process, backends, Handlers::new().register("note", note));
        let (role, front) = (Role::default(), Some(front));
        let service = Service { process, parts, config, sources, inline: Vec::new(), watch: false, role };
        cronclave::daemon::run(service, front).await.unwrap();
    });
    let mut file = fs::File::create(out).unwrap();
    for (due, now) in started.lock().unwrap().iter() {
        writeln!(file, "{due} {now}").unwrap();
    }
}

/// All clients, and Prometheus. Whoever is let go comes again.
fn clients(address: &str, watch: &str, jobs: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        if watch == Watch::Dashboards.word() {
            for n in 0..DASHBOARDS {
                let (address, path) = (address.to_owned(), ["/", "/jobs"][n % 2]);
                tokio::spawn(async move {
                    loop {
                        dashboard(&address, path).await;
                        tokio::time::sleep(Duration::from_millis(500)).await;
                    }
                });
            }
        }
        for n in (0..CLIENTS).filter(|_| watch != Watch::Dashboards.word()) {
            let query =
                if watch == Watch::OneJobEach.word() { format!("?job=job-{}", n % jobs) } else { String::new() };
            let ask = format!("GET /api/v1/events{query} HTTP/1.1\r\nHost: {address}\r\n\r\n");
            let address = address.to_owned();
            tokio::spawn(async move {
                loop {
                    read_all(&address, &ask).await;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            });
        }
        let scrape = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        loop {
            read_all(address, &scrape).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

/// A page that hears when something happened and asks for itself again: at most once a second, and for a twentieth of
/// the time.
async fn dashboard(address: &str, path: &str) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    let ask = format!("GET /changes HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let page = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
    if stream.write_all(ask.as_bytes()).await.is_err() {
        return;
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut pause = Duration::ZERO;
    let mut asked = Instant::now();
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let has_changed = buffer[..read].windows(7).any(|word| word == b"changed");
        if has_changed && asked.elapsed() >= pause {
            asked = Instant::now();
            read_all(address, &page).await;
            pause = Duration::from_secs(1).max(asked.elapsed() * 20);
        }
    }
}

async fn read_all(address: &str, ask: &str) {
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    if stream.write_all(ask.as_bytes()).await.is_err() {
        return;
    }
    let mut buffer = vec![0; 256 * 1024];
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

/// How many follow events, as the replica counts them.
fn followers(address: &str) -> f64 {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.lines().find_map(|line| line.strip_prefix("cronclave_sse_clients ")).unwrap().parse().unwrap()
}

/// What one phase saw.
struct Seen {
    watch: Watch,
    from: u64,
    upto: u64,
    /// Processor time of the replica, and of the clients.
    used: [f64; 2],
    /// How many clients the replica counted at its end.
    there: f64,
}

fn measure(jobs: usize) {
    let server = servers::Redis::plain();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("starts").display().to_string();
    let own = std::env::current_exe().unwrap();
    let mut replica = Command::new(&own)
        .args(["replica", &server.url(), &out, &jobs.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(replica.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let address = address.trim().to_owned();
    std::thread::sleep(Duration::from_secs(5));
    let mut seen = Vec::new();
    for _ in 0..ROUNDS {
        for watch in Watch::ALL {
            let mut watching: Option<Child> = (watch != Watch::Nobody).then(|| {
                Command::new(&own).args(["clients", &address, watch.word(), &jobs.to_string()]).spawn().unwrap()
            });
            std::thread::sleep(SETTLE);
            let used = |watching: &Option<Child>| {
                [
                    figures::processor(replica.id().cast_signed()),
                    watching.as_ref().map_or(0.0, |child| figures::processor(child.id().cast_signed())),
                ]
            };
            let (from, before) = (micros(), used(&watching));
            std::thread::sleep(PHASE - SETTLE);
            let (upto, after) = (micros(), used(&watching));
            let used = [after[0] - before[0], after[1] - before[1]];
            seen.push(Seen { watch, from, upto, used, there: followers(&address) });
            if let Some(child) = &mut watching {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&replica), rustix::process::Signal::TERM).unwrap();
    let began = Instant::now();
    replica.wait().unwrap();
    assert!(began.elapsed() < Duration::from_secs(30));
    let recorded = recorded(&server.url(), &seen);
    tell(jobs, &fs::read_to_string(&out).unwrap(), &seen, &recorded);
}

/// Occurrences by how they stand in the history.
type Recorded = BTreeMap<&'static str, usize>;

/// What became of the occurrences of each phase, by the store. One that is not there was lost in silence.
fn recorded(url: &str, seen: &[Seen]) -> Vec<Recorded> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Redis::open(url.parse().unwrap(), "steer", Time::Server);
    let of_phase = |phase: &Seen| {
        let at = |micros: u64| Timestamp::from_micros(micros.cast_signed());
        // Neighbours that were passed over stand in one line, at the first of them.
        let since = Some(at(phase.from).minus(PHASE * 3));
        let query = Query { since, until: Some(at(phase.upto)), ..Query::default() };
        let mut all = Recorded::new();
        for entry in runtime.block_on(store.history(&query)).unwrap() {
            let through = entry.through.unwrap_or(entry.scheduled_at);
            let first = entry.scheduled_at.max(at(phase.from.next_multiple_of(SECOND)));
            let last = through.min(at(phase.upto - 1));
            let count = if first > last { 0 } else { last.since(first).as_secs() + 1 };
            *all.entry(entry.state.word()).or_default() += usize::try_from(count).unwrap();
        }
        all
    };
    seen.iter().map(of_phase).collect()
}

fn tell(jobs: usize, starts: &str, seen: &[Seen], recorded: &[Recorded]) {
    let starts: Vec<(u64, u64)> = starts
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(due, now)| (due.parse().unwrap(), now.parse().unwrap()))
        .collect();
    println!("{jobs} jobs a second; {CLIENTS} clients and a scrape each second; {ROUNDS} rounds of {PHASE:?} in turn");
    let mut first = None;
    for watch in Watch::ALL {
        let phases: Vec<&Seen> = seen.iter().filter(|seen| seen.watch == watch).collect();
        let is_in = |due: u64| phases.iter().any(|phase| (phase.from..phase.upto).contains(&due));
        let mut late: Vec<f64> = starts
            .iter()
            .filter(|(due, _)| is_in(*due))
            .map(|(due, now)| Duration::from_micros(now.saturating_sub(*due)).as_secs_f64())
            .collect();
        late.sort_by(f64::total_cmp);
        let at = |share: f64| late[((late.len() as f64 - 1.0) * share) as usize];
        let (p50, p99) = (at(0.5), at(0.99));
        let (one, two) = *first.get_or_insert((p50, p99));
        let span: f64 = phases.iter().map(|phase| Duration::from_micros(phase.upto - phase.from).as_secs_f64()).sum();
        let cpu = [0, 1].map(|who: usize| phases.iter().map(|phase| phase.used[who]).sum::<f64>() / span);
        let due: u64 = phases.iter().map(|phase| phase.upto.div_ceil(SECOND) - phase.from.div_ceil(SECOND)).sum();
        let due = usize::try_from(due).unwrap() * jobs;
        let mut states = Recorded::new();
        for (_, of_phase) in seen.iter().zip(recorded).filter(|(seen, _)| seen.watch == watch) {
            of_phase.iter().for_each(|(word, count)| *states.entry(word).or_default() += count);
        }
        states.retain(|_, count| *count > 0);
        let silent = due.saturating_sub(states.values().sum());
        let there = phases.iter().map(|phase| phase.there).sum::<f64>() / phases.len() as f64;
        figures::tell(
            "steer",
            &format!("{jobs} jobs a second, watched by {}", watch.word()),
            &[
                ("clients", there),
                ("p50_ms", p50 * 1e3),
                ("p99_ms", p99 * 1e3),
                ("p50_ratio", p50 / one),
                ("p99_ratio", p99 / two),
                ("replica_processor_percent", cpu[0] * 100.0),
                ("clients_processor_percent", cpu[1] * 100.0),
            ],
        );
        println!("    {due} were due; on record: {states:?}; in silence: {silent}");
    }
}

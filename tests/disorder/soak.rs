//! Five thousand occurrences a minute, on replicas and on workers, under random faults of all kinds that leave the store
//! what it has; and whether memory, descriptors and keys stay what they are.
//!
//! `tests/chaos --soak 30` runs it for half an hour; otherwise it lasts 20 s, with half as many.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use cronclave::clock::Clock;
use cronclave::lease::Trigger;
use cronclave::ledger::{Event, State, What};
use rustix::process::Signal;

use super::cluster::{Cluster, SIGN, WORKERS, say, signal, until};
use super::field::sleep;
use super::load::REPLICAS;
use super::odd::cli;
use super::proxy::{Fault, Proxy};
use super::rabbit::Rabbit;
use super::report::{head, line, words};
use super::rows::{Happened, Histories, ON_TIME, Row, out};

/// As many come due every second: 5,000 a minute, and the half of them for workers. In the short form a fifth of that, as
/// it has the machine together with builds and other tests.
const JOBS: [usize; 2] = [84, 16];
const AT_WORK: usize = 4;
const QUEUE: &str = "cronclave.q.default.default";
const LEASE: f64 = 5.0;

/// How long it lasts, and how many jobs come due every second of it.
fn extent() -> (Duration, usize) {
    #[allow(clippy::disallowed_methods, reason = "set by whoever runs the tests")]
    let minutes = std::env::var("CHAOS_SOAK").ok().and_then(|text| text.parse::<f64>().ok());
    match minutes {
        Some(minutes) => (Duration::from_secs_f64(minutes * 60.0), JOBS[0]),
        None => (Duration::from_secs(20), JOBS[1]),
    }
}

/// What has queued up is worked off by as much as the machine can do more than its load.
const PATIENCE: Duration = Duration::from_secs(300);

struct Soak {
    cluster: Cluster,
    proxies: Vec<Proxy>,
    rabbit: Rabbit,
    vhost: String,
    events: Vec<(u64, Event)>,
    faults: BTreeMap<&'static str, usize>,
}

/// The Redis of this test writes down what it confirms.
const KEEPS: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes"];

#[test]
fn x13_five_thousand_occurrences_a_minute_under_faults_of_all_kinds_start_once_each() {
    let more = "overlap = \"queue_all\"\nmisfire = \"run_all\"\nlock = { ttl = \"5s\" }";
    let (time, count) = extent();
    let jobs: String = (0..count)
        .map(|n| {
            let place = if n % 2 == 0 { "" } else { "run_on = \"worker\"\nstart_within = \"4s\"\n" };
            format!(
                "[jobs.job-{n}]\nevery = \"1s\"\nkeep = {{ runs = 20, days = 1 }}\ncommand = '{SIGN}'\n{more}\n{place}"
            )
        })
        .collect();
    let mut cluster = Cluster::on_redis_with(&jobs, &KEEPS);
    let rabbit = Rabbit::start();
    let vhost = rabbit.vhost();
    cluster.amqp = Some(rabbit.url_of(&vhost));
    let port = cluster.redis().port;
    let proxies: Vec<Proxy> = (0..REPLICAS + AT_WORK).map(|index| Proxy::before(port, index as u64)).collect();
    for (index, proxy) in proxies.iter().enumerate() {
        let process = if index < REPLICAS { index } else { WORKERS + index - REPLICAS };
        cluster.give(process, "REDIS_URL", &proxy.url());
    }
    (0..REPLICAS).for_each(|index| _ = cluster.serve(index));
    (0..AT_WORK).for_each(|index| _ = cluster.work(index));
    let names: Vec<String> = (0..count).map(|n| format!("job-{n}")).collect();
    until("every job has run", || {
        let ledger = cluster.ledger();
        names.iter().all(|job| ledger.iter().any(|line| line.job == *job))
    });
    let begun = Clock::system().now().as_secs() + 1;
    let mut soak = Soak { cluster, proxies, rabbit, vhost, events: Vec::new(), faults: BTreeMap::new() };
    let every = if time > Duration::from_secs(120) { 5.0 } else { 1.0 };
    let (began, mut next) = (Instant::now(), 0.0);
    let mut samples = String::from("second,process,rss_kb,descriptors,keys,used_memory\n");
    while began.elapsed() < time {
        soak.disturb();
        let second = began.elapsed().as_secs_f64();
        if second >= next {
            soak.sample(second, &mut samples);
            soak.read_events();
            next = second + every;
        }
    }
    soak.proxies.iter().for_each(Proxy::heal);
    let healed = Clock::system().now();
    let on_time = |line: &super::cluster::Line| {
        line.scheduled > healed.as_secs() && line.at.as_micros() - line.scheduled * 1_000_000 < ON_TIME
    };
    let given_up = Instant::now() + PATIENCE;
    loop {
        let ledger = soak.cluster.ledger();
        let begun = ledger.len().saturating_sub(100 * count);
        if names.iter().all(|job| ledger[begun..].iter().any(|line| line.job == *job && on_time(line))) {
            break;
        }
        assert!(Instant::now() < given_up, "not every job runs on time again");
        soak.read_events();
        sleep(0.5);
    }
    sleep(1.0);
    let through = Clock::system().now().as_secs() - 1;
    soak.cluster.stop();
    soak.read_events();
    fs::create_dir_all(out()).unwrap();
    fs::write(out().join("soak.csv"), &samples).unwrap();
    let histories = Some(said(&soak.events));
    let happened = Happened { jobs: &names, ledger: soak.cluster.ledger(), histories, from: begun, through, healed };
    let mut row = Row::of("X13", "soak: random faults of all kinds", "ours", &happened);
    (row.seconds, row.faults) = (time.as_secs_f64(), soak.faults.values().sum());
    row.note = format!("{:?}", soak.faults);
    row.keep();
    row.latest.clear();
    let samples = read(&samples);
    say(&format!("{row:?}"));
    say(&verdict(&samples));
    assert!(!row.failed(), "{row:?}");
    assert!(row.recorded.keys().all(|word| word == "lost"), "{row:?}");
    soak.cluster.check_events(std::mem::take(&mut soak.events));
    is_flat(&samples, time);
}

impl Soak {
    /// One fault, and the time until the next.
    fn disturb(&mut self) {
        // The first replica and the first worker are never killed: it is they whose memory is looked at.
        let (replica, worker) = (rand::random_range(1..REPLICAS), rand::random_range(1..AT_WORK));
        let some = rand::random_range(0..self.proxies.len());
        let either = if rand::random_bool(0.5) { replica } else { WORKERS + worker };
        let which = rand::random_range(0..15);
        let name = match which {
            0 | 1 => {
                self.cluster.kill(either);
                self.back(either);
                "kill -9"
            }
            2 => {
                self.cluster.end(either);
                self.back(either);
                "restart"
            }
            3 => {
                let pid = self.cluster.pid(either).unwrap();
                signal(pid, Signal::STOP);
                sleep(LEASE + 1.0);
                signal(pid, Signal::CONT);
                "frozen"
            }
            4 => {
                self.proxies.iter().for_each(Proxy::cut);
                "all cut"
            }
            5 => {
                self.proxies[some].cut();
                "one cut"
            }
            6 | 7 => {
                let fault = if which == 6 { Fault::Swallow } else { Fault::Hold };
                let number = rand::random_range(1..=self.proxies.len());
                self.for_a_while(number, fault, 3.0);
                "black hole"
            }
            8 => {
                self.for_a_while(self.proxies.len(), Fault::Delay(Duration::from_millis(250)), 2.0);
                "slow"
            }
            9 => {
                self.for_a_while(self.proxies.len(), Fault::Unanswered(0.1), 2.0);
                "unanswered"
            }
            10 => {
                self.rabbit.close_connections(&self.vhost);
                "connections to the broker closed"
            }
            11 => {
                self.rabbit.purge(&self.vhost, QUEUE);
                "queue purged"
            }
            12 => {
                self.rabbit.unbind(&self.vhost, "cronclave.tasks", QUEUE, "task.default.default.#");
                "queue unbound"
            }
            13 => {
                let () = self.cluster.redis().ask(&["SCRIPT", "FLUSH"]);
                let () = self.cluster.redis().ask(&["CLIENT", "PAUSE", "1500", "ALL"]);
                sleep(1.5);
                "scripts flushed, clients paused"
            }
            _ => match rand::random_range(0..3) {
                0 => {
                    self.cluster.redis().kill();
                    self.cluster.redis().start_again(&KEEPS);
                    "Redis killed"
                }
                1 => {
                    self.rabbit.kill();
                    self.rabbit.start_again();
                    "RabbitMQ killed"
                }
                _ => {
                    let pid = self.cluster.redis().pid();
                    signal(pid, Signal::STOP);
                    sleep(2.0);
                    signal(pid, Signal::CONT);
                    "Redis frozen"
                }
            },
        };
        *self.faults.entry(name).or_default() += 1;
        sleep(rand::random_range(0.5..3.5));
    }

    fn back(&mut self, process: usize) {
        match process < WORKERS {
            true => self.cluster.serve(process),
            false => self.cluster.work(process - WORKERS),
        };
    }

    fn for_a_while(&self, number: usize, fault: Fault, secs: f64) {
        self.proxies[..number].iter().for_each(|proxy| proxy.fault(fault));
        sleep(secs);
        self.proxies.iter().for_each(Proxy::heal);
    }

    /// Reads on: the store remembers the last hundred thousand only.
    fn read_events(&mut self) {
        loop {
            let after = self.events.last().map_or(0, |(position, _)| *position);
            let more = self.cluster.ask(async |store| store.events(after, 5000).await);
            if more.is_empty() {
                return;
            }
            self.events.extend(more);
        }
    }

    fn sample(&self, second: f64, samples: &mut String) {
        let port = self.cluster.redis.as_ref().unwrap().port;
        let keys = cli(port, &["DBSIZE"]).parse().unwrap_or(0);
        let info = cli(port, &["INFO", "memory"]);
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap_or("0").trim().to_owned();
        let workers = (0..AT_WORK).map(|index| (WORKERS + index, format!("worker-{index}")));
        for (process, name) in (0..REPLICAS).map(|index| (index, format!("replica-{index}"))).chain(workers) {
            let Some(pid) = self.cluster.pid(process) else { continue };
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
            let rss: u64 = rss.trim().trim_end_matches(" kB").parse().unwrap_or(0);
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
            let _ = writeln!(samples, "{second:.1},{name},{rss},{descriptors},{keys},{used}");
        }
    }
}

/// What the events say of each second of each job. The history itself is kept short here.
fn said(events: &[(u64, Event)]) -> Histories {
    let mut all = Histories::new();
    let mut runs = BTreeMap::new();
    for (_, event) in events {
        let seconds = all.entry(event.job.to_string()).or_default();
        match &event.what {
            What::Passed(pass) => {
                let through = pass.from.as_secs()..=pass.through.as_secs();
                seconds.extend(through.map(|second| (second, State::from(pass.fate).word())));
            }
            What::Queued { run_id, scheduled_at, trigger: Trigger::Schedule }
            | What::Claimed { run_id, scheduled_at, trigger: Trigger::Schedule, .. } => {
                runs.insert(*run_id, scheduled_at.as_secs());
                seconds.insert(scheduled_at.as_secs(), State::Claimed.word());
            }
            What::Ended { run_id, ended, next: None, .. } => {
                if let Some(second) = runs.get(run_id) {
                    seconds.insert(*second, State::from(ended.outcome).word());
                }
            }
            _ => {}
        }
    }
    all
}

/// One line of `soak.csv`.
pub(super) struct Sample {
    second: f64,
    process: String,
    rss: f64,
    descriptors: f64,
    keys: f64,
    used: f64,
}

pub(super) fn read(text: &str) -> Vec<Sample> {
    let of = |line: &str| {
        let words: Vec<&str> = line.split(',').collect();
        let number = |index: usize| words[index].parse().unwrap_or(0.0);
        Sample {
            second: number(0),
            process: words[1].to_owned(),
            rss: number(2) / 1024.0,
            descriptors: number(3),
            keys: number(4),
            used: number(5) / 1_048_576.0,
        }
    };
    text.lines().skip(1).map(of).collect()
}

/// Of which process, what it is called, and where it stands.
type Measure = (&'static str, &'static str, fn(&Sample) -> f64);

/// What is drawn, and judged.
const MEASURES: [Measure; 5] = [
    ("replica-0", "RSS of a replica, MiB", |sample| sample.rss),
    ("worker-0", "RSS of a worker, MiB", |sample| sample.rss),
    ("replica-0", "descriptors of a replica", |sample| sample.descriptors),
    ("replica-0", "keys in Redis", |sample| sample.keys),
    ("replica-0", "memory of Redis, MiB", |sample| sample.used),
];

fn points(samples: &[Sample], process: &str, of: fn(&Sample) -> f64) -> Vec<(f64, f64)> {
    samples.iter().filter(|sample| sample.process == process).map(|sample| (sample.second, of(sample))).collect()
}

/// The means of the second third and of the last.
fn thirds(points: &[(f64, f64)]) -> (f64, f64) {
    let third = points.len() / 3;
    let mean = |part: &[(f64, f64)]| part.iter().map(|(_, value)| value).sum::<f64>() / part.len().max(1) as f64;
    (mean(&points[third..2 * third]), mean(&points[2 * third..]))
}

pub(super) fn verdict(samples: &[Sample]) -> String {
    let mut text = String::from("| | second third | last third |\n|---|---|---|\n");
    for (process, name, of) in MEASURES {
        let (middle, last) = thirds(&points(samples, process, of));
        let _ = writeln!(text, "| {name} | {middle:.1} | {last:.1} |");
    }
    text
}

/// Loosely: for what is kept on purpose, the store needs minutes until it is full.
fn is_flat(samples: &[Sample], time: Duration) {
    for (process, name, of) in MEASURES {
        let (middle, last) = thirds(&points(samples, process, of));
        let of_the_store = name.contains("Redis");
        let (factor, more) = if of_the_store { (1.2, 2.0) } else { (1.25, 20.0) };
        let judged = !of_the_store || time >= Duration::from_secs(20 * 60);
        assert!(!judged || last <= middle * factor + more, "{name} grows: {middle} then {last}");
    }
}

pub(super) fn picture(samples: &[Sample]) -> String {
    let mut text = head(900, 20 + 170 * i64::try_from(MEASURES.len()).unwrap());
    for (index, (process, name, of)) in MEASURES.into_iter().enumerate() {
        let y = 20 + 170 * i64::try_from(index).unwrap();
        let points = points(samples, process, of);
        let end = points.last().map_or(0.0, |(at, _)| *at);
        let largest = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        text += &words(10, y + 12, &format!("{name}, up to {largest:.1}, in {end:.0} s"));
        let _ = writeln!(text, "<path d=\"M10 {}h880\" stroke=\"#999\"/>", y + 150);
        text += &line(&points, [10.0, y as f64 + 20.0, 880.0, 130.0], (end, largest), "#1b7837");
    }
    text + "</svg>\n"
}

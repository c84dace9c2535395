//! Replicas as real processes, and what they left behind.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cronclave::clock::{Clock, Timestamp};
use cronclave::job::{Job, JobName, Overlap};
use cronclave::lease::{Fence, RunId, Trigger};
use cronclave::ledger::{Entry, Event, State};
use cronclave::record::{Op, Open, Record, Reply};
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Create, Query, Replica, Sqlite, Store, StoreError, Trouble};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::invariants::{self, Evidence, Ran};
use super::servers;

/// Longer than anything takes on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What a job writes when it starts: its name, its instant, its run, its fence, its attempt, and when it was. By the
/// machine's clock, also where the replica was given a wrong one.
pub(crate) const SIGN: &str = r#"unset LD_PRELOAD; echo "$CRONCLAVE_JOB $CRONCLAVE_SCHEDULED_AT_UNIX $CRONCLAVE_RUN_ID $CRONCLAVE_FENCING_TOKEN $CRONCLAVE_ATTEMPT $(date +%s%6N)" >> ledger"#;

/// A machine has room for two tests that do little but wait, or for one that wants it for itself.
static ROOM: Mutex<Room> = Mutex::new(Room { parts: 2, came: 0, entered: 0 });
static LEFT: Condvar = Condvar::new();

struct Room {
    parts: usize,
    /// How many have come so far, and how many of them had their turn. Who came first enters first: else who wants all
    /// of it would wait until nobody else is left.
    came: u64,
    entered: u64,
}

/// A part of the machine, until it is dropped.
struct Turn(usize);

impl Turn {
    fn take(parts: usize) -> Turn {
        let mut room = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
        let number = room.came;
        room.came += 1;
        let waits = |room: &mut Room| room.entered < number || room.parts < parts;
        let mut room = LEFT.wait_while(room, waits).unwrap_or_else(PoisonError::into_inner);
        room.entered += 1;
        room.parts -= parts;
        LEFT.notify_all();
        Turn(parts)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        ROOM.lock().unwrap_or_else(PoisonError::into_inner).parts += self.0;
        LEFT.notify_all();
    }
}

/// How long a load test lasts under one kind of fault, unless whoever runs the tests said otherwise.
#[allow(dead_code, reason = "not every test has faults")]
pub(crate) const UNDER_FAULTS: Duration = Duration::from_secs(3);

/// `CHAOS_SECONDS`, or else `unless_said`.
pub(crate) fn duration(unless_said: Duration) -> Duration {
    #[allow(clippy::disallowed_methods, reason = "set by whoever runs the tests")]
    let secs = std::env::var("CHAOS_SECONDS").ok().and_then(|text| text.parse().ok());
    secs.map_or(unless_said, Duration::from_secs)
}

/// Whether a process catches TERM, or is over.
fn can_be_told_to_stop(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_none_or(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << 14) != 0)
        || status.contains("zombie")
}

/// A cluster for these jobs: [`Cluster::with_another`] or [`Cluster::with_another_on_redis`].
pub(crate) type Found = fn(&str) -> Cluster;

/// Makes each of these functions two tests: one with the truth in a file, and one with it in Redis.
macro_rules! on_each_store {
    ($($name:ident)*) => {
        mod on_a_file {
            $(#[test]
            fn $name() {
                super::$name($crate::cluster::Cluster::with_another);
            })*
        }
        mod on_redis {
            $(#[test]
            fn $name() {
                super::$name($crate::cluster::Cluster::with_another_on_redis);
            })*
        }
    };
}
pub(crate) use on_each_store;

/// What a machine may have set for other programs.
const FOREIGN: [&str; 8] = [
    "REDIS_URL",
    "AMQP_URL",
    "CLOUDAMQP_URL",
    "RABBITMQ_URL",
    "CRONCLAVE_AMQP_URL",
    "PORT",
    "CRONCLAVE_DB",
    "CRONCLAVE_CONFIG",
];

/// The number of the first worker among the processes of a cluster.
#[allow(dead_code, reason = "not every test has workers")]
pub(crate) const WORKERS: usize = 10;

/// A directory with schedule files, a database and the jobs' ledger, and the replicas that work in it.
pub(crate) struct Cluster {
    pub(crate) dir: TempDir,
    replicas: Vec<Option<Child>>,
    /// What each replica finds in its environment besides.
    given: BTreeMap<usize, BTreeMap<String, String>>,
    /// What program each process is, if not the one under test.
    #[allow(dead_code, reason = "not every test has two builds")]
    builds: BTreeMap<usize, PathBuf>,
    /// Where the truth is, unless it is in a file of the directory.
    pub(crate) redis: Option<servers::Redis>,
    /// How the replicas are told where it is, if not by its own address.
    #[allow(dead_code, reason = "not every test has more than one server")]
    pub(crate) url: Option<String>,
    /// Where messages go, if not into the file.
    pub(crate) amqp: Option<String>,
    /// One for all questions to Redis, as each has a connection of its own.
    store: Option<Arc<dyn Store>>,
    turn: Option<Turn>,
}

/// One line that a job wrote.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) job: String,
    pub(crate) scheduled: i64,
    pub(crate) run_id: RunId,
    pub(crate) fence: u64,
    pub(crate) attempt: u32,
    pub(crate) at: Timestamp,
}

impl Cluster {
    /// With the truth in a file.
    pub(crate) fn on_a_file(jobs: &str) -> Cluster {
        let turn = Turn::take(2);
        let mut cluster = Cluster::beside_others(jobs);
        cluster.turn = Some(turn);
        cluster
    }

    /// The same for a test that has the machine for itself together with one other.
    #[allow(dead_code, reason = "not every test shares")]
    pub(crate) fn with_another(jobs: &str) -> Cluster {
        let turn = Turn::take(1);
        let mut cluster = Cluster::beside_others(jobs);
        cluster.turn = Some(turn);
        cluster
    }

    /// The same with the truth in a Redis of its own.
    #[allow(dead_code, reason = "not every test shares")]
    pub(crate) fn with_another_on_redis(jobs: &str) -> Cluster {
        Cluster::with_another(jobs).moved_to_redis(&[])
    }

    /// The same for a test that only waits, and need not have the machine for itself.
    pub(crate) fn beside_others(jobs: &str) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("schedules")).unwrap();
        fs::write(dir.path().join("schedules/jobs.toml"), format!("version = 1\n{jobs}")).unwrap();
        Cluster {
            dir,
            replicas: Vec::new(),
            given: BTreeMap::new(),
            builds: BTreeMap::new(),
            redis: None,
            url: None,
            amqp: None,
            store: None,
            turn: None,
        }
    }

    /// With the truth in a Redis of its own.
    #[allow(dead_code, reason = "not every test wants the machine for itself")]
    pub(crate) fn on_redis(jobs: &str) -> Cluster {
        Cluster::on_redis_with(jobs, &[])
    }

    /// With the truth in a Redis with these settings.
    pub(crate) fn on_redis_with(jobs: &str, settings: &[&str]) -> Cluster {
        Cluster::on_a_file(jobs).moved_to_redis(settings)
    }

    /// The same with the truth in a Redis of its own.
    pub(crate) fn moved_to_redis(self, settings: &[&str]) -> Cluster {
        self.moved_to(servers::Redis::with(settings))
    }

    /// The same with the truth in this one.
    pub(crate) fn moved_to(mut self, redis: servers::Redis) -> Cluster {
        self.store = Some(open_store(Some(&redis.url()), self.dir.path()));
        self.redis = Some(redis);
        self
    }

    /// The same with a Redis whose clock can be set.
    #[allow(dead_code, reason = "not every test sets it")]
    pub(crate) fn moved_to_redis_with_clock(mut self) -> Cluster {
        let redis = servers::Redis::with_clock();
        self.store = Some(open_store(Some(&redis.url()), self.dir.path()));
        self.redis = Some(redis);
        self
    }

    /// The same with the truth where this URL leads, which may be several servers.
    #[allow(dead_code, reason = "not every test has more than one server")]
    pub(crate) fn moved_to_url(mut self, url: &str) -> Cluster {
        self.store = Some(open_store(Some(url), self.dir.path()));
        self.url = Some(url.to_owned());
        self
    }

    /// From its next start on, process number `index` is another build.
    #[allow(dead_code, reason = "not every test has two builds")]
    pub(crate) fn build(&mut self, index: usize, program: Option<&Path>) {
        match program {
            Some(program) => self.builds.insert(index, program.to_owned()),
            None => self.builds.remove(&index),
        };
    }

    /// The process id of process number `index`, while it lives.
    #[allow(dead_code, reason = "not every test asks")]
    pub(crate) fn pid(&self, index: usize) -> Option<i32> {
        Some(self.replicas.get(index)?.as_ref()?.id().cast_signed())
    }

    /// The Redis of a cluster that has one.
    pub(crate) fn redis(&mut self) -> &mut servers::Redis {
        self.redis.as_mut().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command in the cluster's directory that sees nothing of the tests' own settings.
    pub(crate) fn cronclave(&self, args: &[&str]) -> Command {
        let mut command = self.program(Path::new(env!("CARGO_BIN_EXE_cronclave")));
        command.args(args);
        command
    }

    /// The same for another program.
    pub(crate) fn program(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        for name in FOREIGN {
            command.env_remove(name);
        }
        let url = self.url.clone().or_else(|| Some(self.redis.as_ref()?.url()));
        command.envs(url.map(|url| ("REDIS_URL", url)));
        command.envs(self.amqp.as_ref().map(|url| ("AMQP_URL", url)));
        command
    }

    /// From its next start on, replica number `index` finds this in its environment.
    pub(crate) fn give(&mut self, index: usize, name: &str, value: &str) {
        self.given.entry(index).or_default().insert(name.to_owned(), value.to_owned());
    }

    /// From its next start on, the wall clock of replica number `index` is wrong: `"+300s"`. Its monotonic clock is not.
    pub(crate) fn misset_clock(&mut self, index: usize, by: &str) {
        self.give(index, "LD_PRELOAD", &servers::faketime());
        self.give(index, "FAKETIME", by);
        self.give(index, "FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    /// Starts replica number `index`, or starts it again. Its lines go to `replica-INDEX.log`.
    pub(crate) fn serve(&mut self, index: usize) -> i32 {
        let name = format!("replica-{index}");
        self.start(index, &name, &["serve", "--no-http", "--replica", &name])
    }

    /// The same for a worker; it counts as process number [`WORKERS`] plus `index`. Its lines go to `worker-INDEX.log`.
    #[allow(dead_code, reason = "not every test has workers")]
    pub(crate) fn work(&mut self, index: usize) -> i32 {
        let name = format!("worker-{index}");
        self.start(WORKERS + index, &name, &["worker", "--concurrency", "8", "--name", &name])
    }

    fn start(&mut self, index: usize, name: &str, args: &[&str]) -> i32 {
        let log = File::options().create(true).append(true).open(self.path(&format!("{name}.log"))).unwrap();
        let own = PathBuf::from(env!("CARGO_BIN_EXE_cronclave"));
        let mut command = self.program(self.builds.get(&index).unwrap_or(&own));
        command.args(args).args(["--log-format", "text"]);
        command.envs(self.given.get(&index).into_iter().flatten());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let pid = child.id().cast_signed();
        self.adopt(index, child);
        pid
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, index: usize) {
        let mut child = self.replicas[index].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks one process to stop and waits for it.
    #[allow(dead_code, reason = "not every test stops one alone")]
    pub(crate) fn end(&mut self, index: usize) {
        let mut child = self.replicas[index].take().unwrap();
        signal(child.id().cast_signed(), Signal::TERM);
        until("it stops", || child.try_wait().unwrap().is_some());
    }

    /// How one process ended that was told to stop, and when. Whoever was told twice stops at once.
    #[allow(dead_code, reason = "not every test asks")]
    pub(crate) fn ended(&mut self, index: usize) -> (Timestamp, std::process::ExitStatus) {
        let mut child = self.replicas[index].take().unwrap();
        until("it stops", || child.try_wait().unwrap().is_some());
        (Clock::system().now(), child.wait().unwrap())
    }

    /// Has a process of another program among them, as replica number `index`.
    pub(crate) fn adopt(&mut self, index: usize, child: Child) {
        self.replicas.resize_with(self.replicas.len().max(index + 1), || None);
        self.replicas[index] = Some(child);
    }

    /// Asks each replica to stop and waits for it; each must end well.
    pub(crate) fn stop(&mut self) {
        let children: Vec<Child> = self.replicas.iter_mut().filter_map(Option::take).collect();
        for child in &children {
            // One that was just started may not have got so far, and would die of it.
            until("a replica can be told to stop", || can_be_told_to_stop(child.id()));
            signal(child.id().cast_signed(), Signal::TERM);
        }
        for mut child in children {
            until("a replica stops", || child.try_wait().unwrap().is_some());
            let status = child.wait().unwrap();
            assert!(status.success(), "a replica ended with {status}: {}", self.logs());
        }
    }

    /// Asks the cluster for a run of a job.
    pub(crate) fn trigger(&self, job: &str) {
        let run_id = RunId::fresh(Clock::system().now());
        let trigger = Trigger::Manual { by: None, reason: None };
        let op = Op::Trigger {
            run_id,
            at: None,
            trigger,
            args: BTreeMap::new(),
            overlap: Overlap::Skip,
            expect: None,
            on_record: false,
        };
        let job = JobName::new(job).unwrap();
        let answer = self.ask(async |store| store.apply(&job, &op).await);
        assert_eq!(answer.reply, Reply::Done);
    }

    pub(crate) fn logs(&self) -> String {
        let mut all = String::new();
        for index in 0..9 {
            for name in [format!("replica-{index}"), format!("worker-{index}")] {
                let text = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(20).collect();
                all += &format!("--- {name}\n{}\n", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
            }
        }
        all
    }

    /// Asks the store until it answers: its server may be coming back.
    pub(crate) fn ask<T>(&self, question: impl AsyncFn(&dyn Store) -> Result<T, StoreError>) -> T {
        let store = self.store.clone().unwrap_or_else(|| open_store(None, self.dir.path()));
        let given_up = Instant::now() + LONG;
        RUNTIME.block_on(async {
            loop {
                match question(&*store).await {
                    Ok(answer) => return answer,
                    Err(error) if error.kind == Trouble::Passing && Instant::now() < given_up => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Err(error) => panic!("the store does not answer: {error}"),
                }
            }
        })
    }

    pub(crate) fn events(&self) -> Vec<(u64, Event)> {
        self.ask(async |store| store.events(0, usize::MAX).await)
    }

    pub(crate) fn replicas(&self) -> Vec<Replica> {
        self.ask(async |store| store.replicas().await)
    }

    /// What the jobs wrote.
    pub(crate) fn ledger(&self) -> Vec<Line> {
        let text = fs::read_to_string(self.path("ledger")).unwrap_or_default();
        text.lines().map(Line::read).collect()
    }

    /// Holds what the store recorded and what the jobs wrote against every invariant.
    pub(crate) fn check(&self) {
        self.check_events(self.events());
    }

    /// The same with events that were read while the store still had them.
    pub(crate) fn check_events(&self, events: Vec<(u64, Event)>) {
        let records = self.ask(async |store| store.snapshot().await).records;
        let sources = cronclave::config::find(&[self.path("schedules")], &mut std::io::empty()).unwrap();
        let config = cronclave::config::load(&sources, &|_| None, Clock::system().now()).unwrap();
        let with_record =
            |job: &Arc<Job>| Some((job.name.clone(), (job.clone(), records.get(&job.name)?.into_owned())));
        let started = |line: Line| Ran {
            job: JobName::new(&line.job).unwrap(),
            run_id: line.run_id,
            fence: Fence(line.fence),
            holder: String::new(),
            from: line.at,
            // A job writes when it begins. When it ended, only the store knows.
            to: line.at,
        };
        invariants::check(&Evidence {
            events,
            ran: self.ledger().into_iter().map(started).collect(),
            leases: Vec::new(),
            jobs: config.jobs.iter().filter_map(with_record).collect(),
            obedient: false,
            unknown: Vec::new(),
        });
    }

    pub(crate) fn history(&self, job: &str) -> Vec<Entry> {
        let query = Query { job: Some(JobName::new(job).unwrap()), ..Query::default() };
        let mut entries = self.ask(async |store| store.history(&query).await);
        entries.reverse();
        entries
    }

    pub(crate) fn record(&self, job: &str) -> Record {
        let job = JobName::new(job).unwrap();
        self.ask(async |store| store.view(&job, None).await).record
    }

    pub(crate) fn open_runs(&self, job: &str) -> Vec<Open> {
        self.record(job).open
    }

    /// How often each state stands in the history of a job, occurrences counted.
    pub(crate) fn counts(&self, job: &str) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for entry in self.history(job) {
            *counts.entry(entry.state.word()).or_default() += entry.count;
        }
        counts
    }

    /// Every second between the first sight of an `every = "1s"` job and its cursor, with what the
    /// history says became of it. Panics where it says nothing, or two things.
    pub(crate) fn seconds(&self, job: &str) -> BTreeMap<i64, State> {
        let record = self.record(job);
        let (first, last) = (record.specs[0].1.as_secs() + 1, record.cursor.unwrap().as_secs());
        let mut all = BTreeMap::new();
        for entry in self.history(job).iter().filter(|entry| entry.count > 0) {
            let through = entry.through.unwrap_or(entry.scheduled_at).as_secs();
            let span = entry.scheduled_at.as_secs()..=through;
            assert_eq!(span.clone().count() as u64, entry.count, "{job}: a line counts wrong: {entry:?}");
            for second in span {
                assert_eq!(all.insert(second, entry.state), None, "{job}@{second} is in the history twice");
            }
        }
        let seconds: Vec<i64> = all.keys().copied().collect();
        assert_eq!(seconds, (first..=last).collect::<Vec<_>>(), "{job}: seconds are missing from the history");
        all
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&self.logs());
        }
        for child in self.replicas.iter_mut().flatten() {
            // A frozen process dies of KILL all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Line {
    pub(crate) fn read(text: &str) -> Line {
        let words: Vec<&str> = text.split(' ').collect();
        let [job, scheduled, run_id, fence, attempt, at] = words[..] else {
            panic!("the ledger has a broken line: {text}")
        };
        Line {
            job: job.into(),
            scheduled: scheduled.parse().unwrap(),
            run_id: run_id.parse().unwrap(),
            fence: fence.parse().unwrap(),
            attempt: attempt.parse().unwrap(),
            at: Timestamp::from_micros(at.parse().unwrap()),
        }
    }
}

/// The store at `redis`, or in the file where replicas in `dir` have it.
pub(crate) fn open_store(redis: Option<&str>, dir: &Path) -> Arc<dyn Store> {
    match redis {
        Some(url) => Arc::new(Redis::open(url.parse().unwrap(), "default", Time::Server)),
        None => Arc::new(Sqlite::open(&dir.join("cronclave.db"), Create::IfMissing, Clock::system()).unwrap()),
    }
}

/// Where the tests' own questions to stores run; a connection lives as long as the runtime it was made in.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let given_up = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < given_up, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// The processes with `word` in their arguments.
pub(crate) fn alive(word: &str) -> usize {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(word)
    })
    .count()
}

/// Says what was measured, in the test's own output.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "measured: {text}");
}

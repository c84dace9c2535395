//! The two designs that are in use everywhere, as small real processes: they run beside ours, on the same Redis, through
//! the same proxies, with the same clocks, under the same signals, and their jobs sign the same ledger.
//!
//! Both do what such code does in the field: each replica sleeps until its own clock says that a job is due, and after a
//! pause runs what came due last, once. What fails is asked again for five seconds, over a new connection; an answer that
//! was lost is looked up by the token. Neither keeps a record of what ran.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cronclave::clock::{Clock, Timestamp};
use cronclave::job::JobName;
use cronclave::lease::RunId;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, RedisResult};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::cluster::{Line, signal};
use super::servers::faketime;

/// How the replicas of a contender agree on who runs what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Design {
    /// A lock on the job's name with an end, released when the job has ended, but not before a tenth of a second: as long
    /// as clocks that are kept by NTP may differ.
    Lock,
    /// A key for the job and its instant, that whoever sets it first may run.
    Occurrence,
}

impl Design {
    pub(crate) const ALL: [Design; 2] = [Design::Lock, Design::Occurrence];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Design::Lock => "lock",
            Design::Occurrence => "occkey",
        }
    }
}

/// Shares a slot of a Redis Cluster with ours, so that what befalls the one befalls the other.
const TAG: &str = "{cronclave:default}";
/// A lock is kept at least so long.
const AT_LEAST: Duration = Duration::from_millis(100);
/// An instant's key is kept so many seconds.
const KEPT: u64 = 3600;
/// What fails is asked again for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// The replicas of one contender, and the directory in which their jobs sign.
pub(crate) struct Others {
    pub(crate) design: Design,
    dir: TempDir,
    processes: Vec<Option<Child>>,
    /// Where each finds its Redis.
    addresses: Vec<String>,
    /// How wrong the clock of each is.
    clocks: Vec<Option<String>>,
    /// How long its locks last.
    ttl: Duration,
}

impl Others {
    pub(crate) fn new(design: Design, jobs: &[(String, String)], addresses: Vec<String>, ttl: Duration) -> Others {
        let dir = tempfile::tempdir().unwrap();
        let text: String = jobs.iter().map(|(job, command)| format!("{job}\t{command}\n")).collect();
        fs::write(dir.path().join("jobs"), text).unwrap();
        let count = addresses.len();
        let processes = (0..count).map(|_| None).collect();
        Others { design, dir, processes, addresses, clocks: vec![None; count], ttl }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn misset_clock(&mut self, index: usize, by: &str) {
        self.clocks[index] = Some(by.to_owned());
    }

    pub(crate) fn serve(&mut self, index: usize) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "--nocapture", "contender::the_contender"]);
        command.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.env("CONTENDER", self.design.word()).env("CONTENDER_REDIS", &self.addresses[index]);
        command.env("CONTENDER_TTL", self.ttl.as_millis().to_string());
        if let Some(by) = &self.clocks[index] {
            command.env("LD_PRELOAD", faketime()).env("FAKETIME", by).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        self.processes[index] = Some(command.spawn().unwrap());
    }

    pub(crate) fn signal(&self, index: usize, which: Signal) {
        if let Some(child) = &self.processes[index] {
            signal(child.id().cast_signed(), which);
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut child) = self.processes[index].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks one to stop, and waits until it has.
    pub(crate) fn end(&mut self, index: usize) {
        let Some(mut child) = self.processes[index].take() else { return };
        signal(child.id().cast_signed(), Signal::TERM);
        let _ = child.wait();
    }

    pub(crate) fn stop(&mut self) {
        (0..self.processes.len()).for_each(|index| self.signal(index, Signal::TERM));
        (0..self.processes.len()).for_each(|index| self.end(index));
    }

    pub(crate) fn ledger(&self) -> Vec<Line> {
        let text = fs::read_to_string(self.path("ledger")).unwrap_or_default();
        text.lines().map(Line::read).collect()
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        (0..self.processes.len()).for_each(|index| self.kill(index));
    }
}

/// Not a test: a replica of another design, when a test runs this program for it.
#[test]
#[ignore = "run by the tests beside it, as a child process"]
#[allow(clippy::disallowed_methods, reason = "told by its parent")]
fn the_contender() {
    let (Ok(design), Ok(address)) = (std::env::var("CONTENDER"), std::env::var("CONTENDER_REDIS")) else { return };
    let ttl = std::env::var("CONTENDER_TTL").unwrap().parse().unwrap();
    let design = Design::ALL.into_iter().find(|one| one.word() == design).unwrap();
    let link = Link { address, connection: Mutex::default(), leads_to: Mutex::default() };
    let replica = Arc::new(Replica { design, ttl: Duration::from_millis(ttl), link });
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        let (asked_to_stop, _) = tokio::sync::watch::channel(false);
        let jobs = fs::read_to_string("jobs").unwrap();
        let mut at_work = tokio::task::JoinSet::new();
        for line in jobs.lines() {
            let (job, command) = line.split_once('\t').unwrap();
            at_work.spawn(replica.clone().watch(job.to_owned(), command.to_owned(), asked_to_stop.subscribe()));
        }
        term.recv().await;
        asked_to_stop.send_replace(true);
        while at_work.join_next().await.is_some() {}
    });
}

struct Replica {
    design: Design,
    ttl: Duration,
    link: Link,
}

impl Replica {
    /// Has a job run whenever this replica's clock says so.
    async fn watch(self: Arc<Self>, job: String, command: String, mut stop: tokio::sync::watch::Receiver<bool>) {
        let clock = Clock::system();
        let mut runs = tokio::task::JoinSet::new();
        let mut next = clock.now().as_secs() + 1;
        loop {
            let wait = Timestamp::from_micros(next * 1_000_000).since(clock.now());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.changed() => break,
            }
            let now = clock.now().as_secs();
            if now < next {
                continue;
            }
            runs.spawn(self.clone().run(job.clone(), command.clone(), next));
            while runs.try_join_next().is_some() {}
            // Of what came due meanwhile, as after a pause, only the first runs.
            next = now + 1;
        }
        while runs.join_next().await.is_some() {}
    }

    async fn run(self: Arc<Self>, job: String, command: String, due: i64) {
        let (key, ttl) = match self.design {
            Design::Lock => (format!("{TAG}:lock:{job}"), self.ttl),
            Design::Occurrence => (format!("{TAG}:occ:{job}@{due}"), Duration::from_secs(KEPT)),
        };
        let token = format!("{:032x}", rand::random::<u128>());
        match self.take(&key, &token, ttl).await {
            Ok(false) => return,
            Err(error) => return println!("{job}@{due}: given up: {error}"),
            Ok(true) => {}
        }
        let began = Instant::now();
        let run_id = RunId::of_occurrence(&JobName::new(&job).unwrap(), Timestamp::from_micros(due * 1_000_000));
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &command]).env("CRONCLAVE_JOB", &job).env("CRONCLAVE_SCHEDULED_AT_UNIX", due.to_string());
        shell.env("CRONCLAVE_RUN_ID", run_id.to_string());
        shell.env("CRONCLAVE_FENCING_TOKEN", "0").env("CRONCLAVE_ATTEMPT", "1");
        if let Err(error) = shell.status().await {
            println!("{job}@{due}: {error}");
        }
        if self.design == Design::Lock {
            tokio::time::sleep_until(began + AT_LEAST).await;
            let mut release = redis::cmd("EVAL");
            release.arg("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end");
            release.arg(1).arg(&key).arg(&token);
            let _: RedisResult<redis::Value> = self.link.persist(&release).await;
        }
    }

    /// Whether the key is ours now.
    async fn take(&self, key: &str, token: &str, ttl: Duration) -> RedisResult<bool> {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(token).arg("NX").arg("PX").arg(ttl.as_millis().to_string());
        let set: Option<String> = self.link.persist(&set).await?;
        if set.is_some() {
            return Ok(true);
        }
        // Its answer may have been lost the first time.
        let held: Option<String> = self.link.persist(redis::cmd("GET").arg(key)).await?;
        Ok(held.as_deref() == Some(token))
    }
}

/// A connection to Redis that is made again when it breaks.
struct Link {
    /// `HOST:PORT`, several of them with commas for a Redis Cluster, or `sentinel:` before those of sentinels.
    address: String,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Where a Redis Cluster said that the keys are.
    leads_to: Mutex<Option<String>>,
}

impl Link {
    async fn persist<T: FromRedisValue>(&self, cmd: &Cmd) -> RedisResult<T> {
        let given_up = Instant::now() + PATIENCE;
        loop {
            let error = match self.ask(cmd).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            *self.leads_to.lock().await = error.redirect_node().map(|(place, _)| place.to_owned());
            *self.connection.lock().await = None;
            if Instant::now() > given_up {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn ask<T: FromRedisValue>(&self, cmd: &Cmd) -> RedisResult<T> {
        let mut connection = {
            let mut held = self.connection.lock().await;
            match &*held {
                Some(connection) => connection.clone(),
                None => held.insert(self.connect().await?).clone(),
            }
        };
        cmd.query_async(&mut connection).await
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let mut error: Option<RedisError> = None;
        if let Some(place) = &*self.leads_to.lock().await {
            return open(place).await;
        }
        let (by_sentinels, places) = match self.address.strip_prefix("sentinel:") {
            Some(places) => (true, places),
            None => (false, self.address.as_str()),
        };
        for place in places.split(',') {
            let found = match by_sentinels {
                true => master(place).await,
                false => Ok(place.to_owned()),
            };
            match found {
                Ok(place) => match open(&place).await {
                    Ok(connection) => return Ok(connection),
                    Err(why) => error = Some(why),
                },
                Err(why) => error = Some(why),
            }
        }
        Err(error.unwrap())
    }
}

async fn open(place: &str) -> RedisResult<MultiplexedConnection> {
    let limit = Some(Duration::from_secs(2));
    let config = AsyncConnectionConfig::new().set_connection_timeout(limit).set_response_timeout(limit);
    Client::open(format!("redis://{place}"))?.get_multiplexed_async_connection_with_config(&config).await
}

/// Where a sentinel says that the master is.
async fn master(sentinel: &str) -> RedisResult<String> {
    let mut connection = open(sentinel).await?;
    let mut ask = redis::cmd("SENTINEL");
    let ask = ask.arg("GET-MASTER-ADDR-BY-NAME").arg("mymaster");
    let (host, port): (String, String) = ask.query_async(&mut connection).await?;
    Ok(format!("{host}:{port}"))
}

/// The last lines that its replicas wrote.
pub(crate) fn said(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let last: Vec<&str> = text.lines().rev().take(10).collect();
    last.into_iter().rev().collect::<Vec<_>>().join("\n")
}

//! Real servers for tests: each on a free port of its own, gone when its handle is dropped.
//!
//! `REDIS_SERVER` names another program than `redis-server`: an older one, a newer one, Valkey's.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use redis::FromRedisValue;
use tempfile::TempDir;

/// The program that is a server, and with `--sentinel` a sentinel.
pub(crate) fn program() -> String {
    #[allow(clippy::disallowed_methods, reason = "set by whoever runs the tests")]
    let named = std::env::var("REDIS_SERVER").ok();
    named.unwrap_or_else(|| "redis-server".to_owned())
}

/// A `redis-server` of our own.
pub(crate) struct Redis {
    pub(crate) port: u16,
    pub(crate) dir: TempDir,
    child: Child,
}

impl Redis {
    /// A plain server that keeps nothing on disk.
    pub(crate) fn plain() -> Redis {
        Redis::with(&[])
    }

    /// A server with more settings, as on its command line: `&["--requirepass", "secret"]`.
    pub(crate) fn with(settings: &[&str]) -> Redis {
        Redis::begin(None, settings)
    }

    /// A server whose clock [`set_clock`] sets: the file is `clock` in its directory.
    pub(crate) fn with_clock() -> Redis {
        for _ in 0..20 {
            let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
            set_clock(&dir.path().join("clock"), 0);
            if let Ok(child) = start(port, dir.path(), &[]) {
                return Redis { port, dir, child };
            }
        }
        panic!("no redis-server with a clock of its own");
    }

    /// Sets its clock so many seconds ahead of the true time.
    pub(crate) fn set_clock(&self, ahead: i64) {
        set_clock(&self.dir.path().join("clock"), ahead);
    }

    /// A server that begins with a settings file, which it may rewrite, as a sentinel must.
    fn begin(file: Option<&str>, settings: &[&str]) -> Redis {
        // Between finding a port and listening on it, somebody else may have taken it.
        let mut trouble = String::new();
        for _ in 0..20 {
            let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
            if let Some(text) = file {
                fs::write(dir.path().join("redis.conf"), text).unwrap();
            }
            match start(port, dir.path(), settings) {
                Ok(child) => return Redis { port, dir, child },
                Err(why) => trouble = why,
            }
        }
        panic!("{trouble}");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on its port and directory, after [`Redis::kill`].
    pub(crate) fn start_again(&mut self, settings: &[&str]) {
        let given_up = Instant::now() + PATIENCE;
        loop {
            match start(self.port, self.dir.path(), settings) {
                Ok(child) => break self.child = child,
                // A connection of somebody else's may have its port for a moment.
                Err(why) => assert!(Instant::now() < given_up, "{why}"),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks the server itself: `redis.ask(&["SCRIPT", "FLUSH"])`.
    pub(crate) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        ask(self.port, words).unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Masters that share the slots among them.
pub(crate) struct Cluster {
    pub(crate) masters: Vec<Redis>,
}

impl Cluster {
    /// Of three masters.
    pub(crate) fn start() -> Cluster {
        Cluster::with(&[])
    }

    /// Of three masters with more settings each.
    pub(crate) fn with(settings: &[&str]) -> Cluster {
        Cluster::of(3, settings)
    }

    /// Of so many masters; the first has the first slots. One alone, which `redis-cli` refuses to make, is a cluster too.
    pub(crate) fn of(count: usize, settings: &[&str]) -> Cluster {
        let settings = [&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"], settings].concat();
        let masters: Vec<Redis> = (0..count).map(|_| Redis::with(&settings)).collect();
        for (index, master) in masters.iter().enumerate() {
            let from = |index: usize| index * Cluster::SLOTS / count;
            let slots: Vec<String> = (from(index)..from(index + 1)).map(|slot| slot.to_string()).collect();
            // Redis 6.2 takes no ranges.
            let words: Vec<&str> =
                ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect();
            let _: () = master.ask(&words);
            let _: () = master.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
        }
        for other in &masters[1..] {
            let _: () = masters[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &other.port.to_string()]);
        }
        for master in &masters {
            until("the masters of a cluster agree", || {
                let info: String = master.ask(&["CLUSTER", "INFO"]);
                let slots: Vec<redis::Value> = master.ask(&["CLUSTER", "SLOTS"]);
                let all = format!("cluster_known_nodes:{count}\r");
                info.contains("cluster_state:ok") && info.contains(&all) && slots.len() == count
            });
        }
        Cluster { masters }
    }

    /// Of each cluster.
    pub(crate) const SLOTS: usize = 16_384;

    /// Of all masters, in one line.
    pub(crate) fn addresses(&self) -> String {
        addresses(&self.masters)
    }
}

/// A master and a replica under the eyes of three sentinels, who call it [`Sentinels::NAME`].
pub(crate) struct Sentinels {
    pub(crate) sentinels: Vec<Redis>,
    /// The first of them is the master at first.
    pub(crate) servers: Vec<Redis>,
}

impl Sentinels {
    pub(crate) const NAME: &str = "mymaster";

    pub(crate) fn start() -> Sentinels {
        let master = Redis::plain();
        let replica = Redis::with(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
        until("the replica follows its master", || {
            replica.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up")
        });
        let name = Sentinels::NAME;
        let file = format!(
            "sentinel monitor {name} 127.0.0.1 {} 2\nsentinel down-after-milliseconds {name} 1000\nsentinel failover-timeout {name} 3000\n",
            master.port
        );
        let sentinels: Vec<Redis> = (0..3).map(|_| Redis::begin(Some(&file), &["--sentinel"])).collect();
        let all = Sentinels { sentinels, servers: vec![master, replica] };
        for sentinel in &all.sentinels {
            until("the sentinels know each other and the replica", || {
                let words: Vec<String> = sentinel.ask(&["SENTINEL", "MASTER", name]);
                let says = |key: &str, value: &str| words.chunks(2).any(|pair| *pair == [key, value]);
                says("num-other-sentinels", "2") && says("num-slaves", "1") && says("flags", "master")
            });
        }
        all
    }

    /// Of all sentinels, in one line.
    pub(crate) fn addresses(&self) -> String {
        addresses(&self.sentinels)
    }

    /// Where the sentinels say that the master is now.
    pub(crate) fn master_port(&self) -> u16 {
        let of = |sentinel: &Redis| ask(sentinel.port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Sentinels::NAME]);
        let answers = self.sentinels.iter().filter_map(|sentinel| of(sentinel).ok());
        let ports: Vec<Vec<String>> = answers.collect();
        ports[0][1].parse().unwrap()
    }

    /// The server that is the master now.
    pub(crate) fn master(&mut self) -> &mut Redis {
        let port = self.master_port();
        self.servers.iter_mut().find(|server| server.port == port).unwrap()
    }
}

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let given_up = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < given_up, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn addresses(servers: &[Redis]) -> String {
    servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect::<Vec<_>>().join(",")
}

fn ask<T: FromRedisValue>(port: u16, words: &[&str]) -> redis::RedisResult<T> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    let mut connection = client.get_connection_with_timeout(Duration::from_secs(5))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut cmd = redis::cmd(words[0]);
    cmd.arg(&words[1..]);
    cmd.query(&mut connection)
}

/// Starts a server and waits until it says that it listens: that somebody does could be another's doing.
fn start(port: u16, dir: &Path, settings: &[&str]) -> Result<Child, String> {
    let (file, log) = (dir.join("redis.conf"), dir.join("redis.log"));
    let said_before = fs::read_to_string(&log).unwrap_or_default().len();
    let mut command = Command::new(program());
    if file.exists() {
        command.arg(file);
    }
    let clock = dir.join("clock");
    if clock.exists() {
        command.envs(with_clock(&clock));
    }
    let mut child = command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(dir)
        .arg("--logfile")
        .arg(&log)
        .args(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is missing: sudo apt-get install redis-server");
    let given_up = Instant::now() + PATIENCE;
    loop {
        let all = fs::read_to_string(&log).unwrap_or_default();
        let said = &all[said_before..];
        if said.contains("Ready to accept connections") || said.contains("Sentinel ID is") {
            return Ok(child);
        }
        let ended = child.try_wait().unwrap().is_some();
        if ended || Instant::now() > given_up {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("redis-server does not listen on {port}: {said}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What gives a process the clock that [`set_clock`] sets. Its monotonic clock stays right.
pub(crate) fn with_clock(file: &Path) -> [(&'static str, String); 2] {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("clock-{}.so", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/clock.c");
        let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", source, "-o"]).arg(&library).status();
        assert!(made.is_ok_and(|status| status.success()), "cc does not compile {source}");
        library
    });
    [("LD_PRELOAD", LIBRARY.to_str().unwrap().to_owned()), ("TEST_CLOCK", file.to_str().unwrap().to_owned())]
}

/// From now on the wall clock of the processes with this file is so many seconds ahead.
pub(crate) fn set_clock(file: &Path, ahead: i64) {
    // In place: they have it in their memory.
    let file = File::options().write(true).create(true).truncate(false).open(file).unwrap();
    file.write_all_at(&ahead.to_ne_bytes(), 0).unwrap();
}

/// The library that gives a process a wrong clock. The variant for processes with threads.
pub(crate) fn faketime() -> String {
    let name = "faketime/libfaketimeMT.so.1";
    let places = fs::read_dir("/usr/lib").unwrap().map(|place| place.unwrap().path().join(name));
    let found = places.chain([Path::new("/usr/lib").join(name)]).find(|path| path.exists());
    found.expect("libfaketime is missing: sudo apt-get install faketime").to_str().unwrap().to_owned()
}

/// A port that nobody listens on now, nor 10000 further on, where a Redis Cluster has its bus. Below those that the
/// kernel gives to outgoing connections.
pub(crate) fn free_port() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let some = std::iter::repeat_with(|| rand::random_range(10_000..22_000));
    some.take(1000).find(|port| free(*port) && free(port + 10_000)).expect("no port is free")
}

//! What systemd hears of a replica and of a worker: a real datagram socket of this test, real processes.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

/// A unit: its process, and what it says to its manager.
struct Unit {
    dir: TempDir,
    child: Child,
    socket: UnixDatagram,
    /// Each message, and when it came.
    heard: Vec<(Instant, String)>,
}

impl Unit {
    fn start(jobs: &str, args: &[&str], env: &[(&str, &str)]) -> Unit {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Unit::start_with(dir, socket, path.to_str().unwrap(), jobs, args, env)
    }

    fn start_with(
        dir: TempDir,
        socket: UnixDatagram,
        name: &str,
        jobs: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Unit {
        Unit::run(Command::new(env!("CARGO_BIN_EXE_cronclave")), dir, socket, name, jobs, args, env)
    }

    fn run(
        mut command: Command,
        dir: TempDir,
        socket: UnixDatagram,
        name: &str,
        jobs: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Unit {
        fs::create_dir(dir.path().join("schedules")).unwrap();
        fs::write(dir.path().join("schedules/jobs.toml"), format!("version = 1\n{jobs}")).unwrap();
        command.args(args).current_dir(dir.path()).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("NOTIFY_SOCKET", name).envs(env.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Unit { dir, child, socket, heard: Vec::new() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Takes what came.
    fn listen(&mut self) {
        let mut piece = [0; 4096];
        while let Ok(size) = self.socket.recv(&mut piece) {
            self.heard.push((Instant::now(), String::from_utf8_lossy(&piece[..size]).into_owned()));
        }
    }

    /// Waits for a message that holds such a line, among those after the first `from`. Its place.
    fn hears_after(&mut self, from: usize, line: impl Fn(&str) -> bool) -> usize {
        let given_up = Instant::now() + LONG;
        loop {
            self.listen();
            let found = self.heard[from..].iter().position(|(_, message)| message.lines().any(&line));
            if let Some(place) = found {
                return from + place;
            }
            assert!(Instant::now() < given_up, "waited in vain, heard {:#?}", self.heard);
        }
    }

    fn hears(&mut self, line: &str) -> usize {
        self.hears_after(0, |heard| heard == line)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    fn end(&mut self) -> Option<i32> {
        let given_up = Instant::now() + LONG;
        loop {
            self.listen();
            if let Some(status) = self.child.try_wait().unwrap() {
                self.listen();
                return status.code();
            }
            assert!(Instant::now() < given_up, "does not end, heard {:#?}", self.heard);
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for(path: &Path) -> String {
    let given_up = Instant::now() + LONG;
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => assert!(Instant::now() < given_up, "no {}", path.display()),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

const SERVE: &[&str] = &["serve", "--no-http"];

/// Runs until it is told to stop, and then as long as it may.
const DEAF: &str = "[jobs.deaf]\nevery = \"1s\"\nkill_after = \"1s\"\ncommand = \"trap '' TERM; sleep 600\"\n";

const YEARLY: &str = "[jobs.yearly]\nschedule = \"0 3 1 1 *\"\ntimezone = \"UTC\"\ncommand = \"true\"\n";

#[test]
fn it_says_that_it_is_ready_and_what_it_does() {
    let mut unit = Unit::start(YEARLY, SERVE, &[]);
    unit.hears("READY=1");
    let next = |line: &str| line.starts_with("STATUS=idle, next yearly at 20") && line.ends_with("-01-01 03:00 UTC");
    unit.hears_after(0, next);
    let mut unit = Unit::start(DEAF, SERVE, &[]);
    unit.hears_after(0, |line| line.starts_with("STATUS=1 run going, next deaf at ") && line.ends_with(" UTC"));
}

#[test]
fn a_name_without_a_file_will_do_as_well() {
    let name = format!("cronclave-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut unit = Unit::start_with(dir, socket, &format!("@{name}"), YEARLY, SERVE, &[]);
    unit.hears("READY=1");
}

fn monotonic() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[test]
fn a_reload_begins_with_its_time_and_ends_also_when_the_files_are_wrong() {
    let mut unit = Unit::start(YEARLY, SERVE, &[]);
    let mut from = unit.hears("READY=1") + 1;
    for jobs in [DEAF, "[jobs.deaf]\nevery = 1\n"] {
        fs::write(unit.path("schedules/jobs.toml"), format!("version = 1\n{jobs}")).unwrap();
        let before = monotonic();
        unit.signal(Signal::HUP);
        from = unit.hears_after(from, |line| line == "RELOADING=1");
        let message = &unit.heard[from].1;
        let usec = message.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        let usec: i64 = usec.parse().unwrap();
        assert!((before..=monotonic()).contains(&usec), "{message}");
        from = unit.hears_after(from + 1, |line| line == "READY=1") + 1;
    }
}

#[test]
fn the_watchdog_hears_of_a_process_that_is_meant_and_of_no_other() {
    let watched = |pid: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let jobs = YEARLY.to_owned() + "[jobs.tick]\nevery = \"1s\"\ncommand = \"true\"\n";
        // As systemd sets it, the process is known before the program is.
        let script = format!("WATCHDOG_PID={pid} exec \"$0\" \"$@\"");
        let args = ["-c", &script, env!("CARGO_BIN_EXE_cronclave"), "serve", "--no-http"];
        let env = [("WATCHDOG_USEC", "1500000")];
        Unit::run(Command::new("/bin/sh"), dir, socket, path.to_str().unwrap(), &jobs, &args, &env)
    };
    let mut meant = watched("$$");
    let mut from = 0;
    for _ in 0..4 {
        from = meant.hears_after(from, |line| line == "WATCHDOG=1") + 1;
    }
    let mut other = watched("1");
    let ready = other.hears("READY=1");
    // By then it would have been heard.
    other.hears_after(ready + 1, |line| line.starts_with("STATUS="));
    assert!(other.heard.iter().all(|(_, message)| !message.contains("WATCHDOG")), "{:#?}", other.heard);
}

#[test]
fn while_it_drains_it_asks_for_time_again_and_again_and_no_longer_than_it_needs() {
    let mut unit = Unit::start(DEAF, &["serve", "--no-http", "--grace", "7s"], &[]);
    unit.hears_after(0, |line| line.starts_with("STATUS=1 run going"));
    unit.signal(Signal::TERM);
    let stopping = unit.hears("STOPPING=1");
    assert_eq!(unit.end(), Some(0));
    let asked = |message: &str| {
        let usec = message.lines().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="))?;
        usec.parse::<u64>().ok()
    };
    assert!(unit.heard[..stopping].iter().all(|(_, message)| asked(message).is_none()));
    let all: Vec<u64> = unit.heard[stopping..].iter().filter_map(|(_, message)| asked(message)).collect();
    assert!(all.len() >= 2, "{:#?}", unit.heard);
    assert!(all.iter().all(|usec| (1..=15_000_000).contains(usec)), "{all:?}");
    let words: Vec<&str> = unit.heard[stopping..].iter().map(|(_, message)| message.as_str()).collect();
    assert!(words[0].contains("STATUS=stopping: 1 run going, "), "{words:#?}");
}

#[test]
fn a_worker_speaks_as_well() {
    let jobs = "[jobs.later]\nschedule = \"@yearly\"\nrun_on = \"worker\"\ncommand = \"true\"\n";
    let mut unit = Unit::start(jobs, &["worker"], &[("WATCHDOG_USEC", "900000")]);
    unit.hears("READY=1");
    unit.hears("STATUS=idle");
    unit.hears("WATCHDOG=1");
    unit.signal(Signal::TERM);
    unit.hears("STOPPING=1");
    assert_eq!(unit.end(), Some(0));
}

#[test]
fn what_is_between_systemd_and_the_process_is_not_handed_on_to_jobs() {
    let jobs = "[jobs.see]\nevery = \"1s\"\ncommand = \"env > seen.part; echo >> seen.part; mv seen.part seen\"\n";
    let env = [
        ("WATCHDOG_USEC", "30000000"),
        ("WATCHDOG_PID", "1"),
        ("LISTEN_FDS", "1"),
        ("LISTEN_PID", "1"),
        ("LISTEN_FDNAMES", "http"),
        ("INVOCATION_ID", "aab1a2f2a3f64a2d8d3a7f0a7c1c2d3e"),
        ("CRONCLAVE_API_TOKEN", "correct-horse-battery-staple"),
    ];
    let mut unit = Unit::start(jobs, SERVE, &env);
    unit.hears("READY=1");
    let seen = wait_for(&unit.path("seen"));
    for word in ["NOTIFY_SOCKET", "WATCHDOG", "LISTEN_", "API_TOKEN"] {
        assert!(!seen.contains(word), "{word} in {seen}");
    }
    assert!(seen.contains("INVOCATION_ID=aab1") && seen.contains("CRONCLAVE_JOB=see"), "{seen}");
}

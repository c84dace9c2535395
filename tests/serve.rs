//! `cronclave serve` from outside: health, reloading, draining. Real processes.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

/// A replica, its directory, and the lines it printed.
struct Replica {
    dir: TempDir,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Replica {
    fn start(jobs: &str, args: &[&str]) -> Replica {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("schedules")).unwrap();
        fs::write(dir.path().join("schedules/jobs.toml"), format!("version = 1\n{jobs}")).unwrap();
        Self::start_in(dir, args)
    }

    fn start_in(dir: TempDir, args: &[&str]) -> Replica {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronclave"));
        command.arg("serve").args(["--log-format", "text"]).args(args).current_dir(dir.path());
        for name in [
            "REDIS_URL",
            "AMQP_URL",
            "CLOUDAMQP_URL",
            "RABBITMQ_URL",
            "PORT",
            "CRONCLAVE_DB",
            "CRONCLAVE_CONFIG",
            "CRONCLAVE_LISTEN",
        ] {
            command.env_remove(name);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let lines = lines.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(line);
                }
            });
        }
        Replica { dir, child, lines }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn says(&self, word: &str) -> bool {
        self.lines().iter().any(|line| line.contains(word))
    }

    fn wait_for(&self, word: &str) {
        let given_up = Instant::now() + LONG;
        while !self.says(word) {
            assert!(Instant::now() < given_up, "waited in vain for `{word}` in {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn jobs_file(&self) -> PathBuf {
        self.dir.path().join("schedules/jobs.toml")
    }

    fn write_jobs(&self, jobs: &str) {
        fs::write(self.jobs_file(), format!("version = 1\n{jobs}")).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    fn address(&self) -> String {
        self.wait_for("http://");
        let line = self.lines().into_iter().find(|line| line.contains("http://")).unwrap();
        line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let code = text.split(' ').nth(1).unwrap().parse().unwrap();
        (code, text.split("\r\n\r\n").nth(1).unwrap_or("").to_owned())
    }

    fn wait_until_ready(&self) {
        let given_up = Instant::now() + LONG;
        while self.get("/readyz").0 != 200 {
            assert!(Instant::now() < given_up, "never ready: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ends(&mut self) -> i32 {
        let given_up = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < given_up, "does not end: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TICK: &str = "[jobs.tick]\nevery = \"1s\"\ncommand = \"echo tock\"\n";

#[test]
fn it_is_alive_and_ready_and_says_what_it_does() {
    let replica = Replica::start(TICK, &["--listen", "127.0.0.1:0"]);
    replica.wait_until_ready();
    assert_eq!(replica.get("/livez").0, 200);
    let (code, text) = replica.get("/readyz?verbose");
    assert_eq!((code, text.contains("[+]store")), (200, true), "{text}");
    let (code, page) = replica.get("/problems/E0102");
    assert_eq!((code, page.starts_with("# E0102: ")), (200, true), "{page}");
    let (code, text) = replica.get("/problems/E9999");
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &problem["status"]), (404, &404.into()), "{text}");
    for word in ["started", "output      tick             tock", "succeeded"] {
        replica.wait_for(word);
    }
}

/// Other systems and C libraries give nothing back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn it_answers_and_runs_jobs_after_it_gave_back_the_pages_of_its_own_program() {
    let mut replica = Replica::start(TICK, &["--listen", "127.0.0.1:0"]);
    replica.wait_until_ready();
    let status = format!("/proc/{}/status", replica.child.id());
    let of_files = || -> u64 {
        let status = fs::read_to_string(&status).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssFile:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (given_up, mut most) = (Instant::now() + LONG, of_files());
    while of_files() > most / 4 * 3 {
        most = most.max(of_files());
        assert!(Instant::now() < given_up, "still {most} KB");
        std::thread::sleep(Duration::from_millis(5));
    }
    let count = || replica.lines().iter().filter(|line| line.contains("succeeded")).count();
    let before = count();
    while count() < before + 2 {
        assert!(Instant::now() < given_up, "no job runs any more: {:#?}", replica.lines());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(replica.get("/readyz").0, 200);
    assert!(replica.get("/problems/E0102").1.starts_with("# E0102: "));
    replica.signal(Signal::TERM);
    assert_eq!(replica.ends(), 0);
}

#[test]
fn two_replicas_find_a_port_each_but_an_address_asked_for_is_not_exchanged() {
    let mut first = Replica::start(TICK, &["--listen", "127.0.0.1:0"]);
    let address = first.address();
    let mut second = Replica::start(TICK, &["--listen", &address]);
    assert_eq!(second.ends(), 69);
    second.wait_for("name another address with --listen");
    assert_eq!(first.child.try_wait().unwrap(), None);
    let (one, two) = (Replica::start(TICK, &[]), Replica::start(TICK, &[]));
    assert_ne!(one.address(), two.address());
}

#[test]
fn changed_files_and_a_hup_take_effect_and_a_mistake_changes_nothing() {
    let replica = Replica::start(TICK, &["--listen", "127.0.0.1:0"]);
    replica.wait_for("tock");
    replica.write_jobs("[jobs.tick]\nevery = \"1s\"\ncommand = \"echo changed\"\n");
    replica.wait_for("reloaded");
    replica.wait_for("output      tick             changed");
    replica.write_jobs("[jobs.tick]\nevery = 1\n");
    replica.wait_for("the old ones stay in force");
    replica.wait_for("jobs.toml:3:9");
    let before = replica.lines().iter().filter(|line| line.contains("succeeded")).count();
    let given_up = Instant::now() + LONG;
    while replica.lines().iter().filter(|line| line.contains("succeeded")).count() < before + 2 {
        assert!(Instant::now() < given_up, "the old jobs stopped");
        std::thread::sleep(Duration::from_millis(50));
    }
    replica.write_jobs("[jobs.tock]\nevery = \"1s\"\ncommand = \"echo third\"\n");
    replica.signal(Signal::HUP);
    replica.wait_for("output      tock             third");
    fs::remove_file(replica.jobs_file()).unwrap();
    replica.wait_for("there is no schedule file");
    assert_eq!(replica.get("/readyz").0, 200);
}

#[test]
fn term_drains_what_runs_ends_well_and_starts_nothing_more() {
    let jobs = "[jobs.slow]\nevery = \"1s\"\ncommand = \"sleep 3; echo over\"\n";
    let mut replica = Replica::start(jobs, &["--listen", "127.0.0.1:0"]);
    replica.wait_for("started");
    replica.signal(Signal::TERM);
    let given_up = Instant::now() + LONG;
    while replica.get("/readyz").0 != 503 {
        assert!(Instant::now() < given_up, "still ready");
    }
    assert_eq!(replica.get("/livez").0, 200);
    assert_eq!(replica.ends(), 0);
    replica.wait_for("succeeded   slow");
    assert_eq!(replica.lines().iter().filter(|line| line.contains("  started ")).count(), 1);
}

#[test]
fn what_does_not_end_within_the_grace_is_interrupted() {
    let jobs = "[jobs.slow]\nevery = \"1s\"\nkill_after = \"1s\"\ncommand = \"trap '' TERM; sleep 300\"\n";
    let mut replica = Replica::start(jobs, &["--no-http", "--grace", "1s"]);
    replica.wait_for("started");
    replica.signal(Signal::INT);
    assert_eq!(replica.ends(), 0);
    replica.wait_for("interrupted");
}

#[test]
fn an_interrupted_run_that_is_to_be_delivered_goes_on_elsewhere_at_once() {
    let jobs = "[jobs.slow]\nschedule = \"@manual\"\nevery = \"1s\"\n";
    // (a schedule and a period is a mistake: the file is refused)
    let mut refused = Replica::start(jobs, &["--no-http"]);
    assert_eq!(refused.ends(), 78);
    let jobs =
        "[jobs.slow]\nevery = \"2s\"\ndelivery = \"at_least_once\"\nkill_after = \"1s\"\ncommand = \"sleep 300\"\n";
    let mut first = Replica::start(jobs, &["--no-http", "--grace", "0s", "--replica", "one"]);
    first.wait_for("started");
    first.signal(Signal::TERM);
    assert_eq!(first.ends(), 0);
    first.wait_for("not before");
    let dir = std::mem::replace(&mut first.dir, tempfile::tempdir().unwrap());
    let second = Replica::start_in(dir, &["--no-http", "--replica", "two"]);
    second.wait_for("started");
    let run = |replica: &Replica| {
        let line = replica.lines().into_iter().find(|line| line.contains("  started ")).unwrap();
        line.split("run ").nth(1).unwrap().to_owned()
    };
    assert_eq!(run(&first), run(&second), "the same run, and it cost no attempt");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let jobs = "[jobs.slow]\nevery = \"1s\"\ncommand = \"sleep 300\"\n";
    let mut replica = Replica::start(jobs, &["--no-http"]);
    replica.wait_for("started");
    replica.signal(Signal::TERM);
    replica.wait_for("signal again to stop at once");
    replica.signal(Signal::TERM);
    assert_eq!(replica.ends(), 143);
}

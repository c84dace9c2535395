//! The guards of docs/FENCING.md against a zombie: a run that is frozen past its lease, while the next one writes, and
//! then thaws and writes late. And `cronclave fence check`, which tells it.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "disorder/cluster.rs"]
#[allow(dead_code, reason = "made for the chaos tests")]
mod cluster;
#[path = "common/invariants.rs"]
mod invariants;
#[path = "common/servers.rs"]
mod servers;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cluster::{Cluster, Found, on_each_store, signal, until};
use cronclave::ledger::State;
use rustix::process::Signal;

/// The code block of the page that is called so.
fn guard(name: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FENCING.md")).unwrap();
    let mut inside = false;
    let mut text = String::new();
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(info) => inside = info.split_whitespace().nth(1) == Some(name),
            None if inside => text += &format!("{line}\n"),
            None => {}
        }
    }
    assert!(!text.is_empty(), "docs/FENCING.md has no block `{name}`");
    text
}

/// The service of the page.
struct Service(Child);

impl Service {
    fn start(dir: &Path, port: u16) -> Service {
        fs::write(dir.join("service.py"), guard("http-guard")).unwrap();
        let mut command = Command::new("python3");
        command.arg("service.py").current_dir(dir).env("PORT", port.to_string()).stderr(Stdio::null());
        let service = Service(command.spawn().unwrap());
        until("the service listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process and those above it, up to `top`.
fn line_to(top: i32, pid: i32) -> Vec<i32> {
    let mut line = vec![pid];
    while *line.last().unwrap() != top {
        let stat = fs::read_to_string(format!("/proc/{}/stat", line.last().unwrap())).unwrap();
        line.push(stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap());
    }
    line
}

/// Goes on, however the test ends: who is stopped does not stop when asked.
struct Frozen(Vec<i32>);

impl Frozen {
    fn stop(line: Vec<i32>) -> Frozen {
        line.iter().rev().for_each(|pid| signal(*pid, Signal::STOP));
        Frozen(line)
    }

    fn thaw(&self, pid: i32) {
        signal(pid, Signal::CONT);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in self.0.drain(..) {
            let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::CONT);
        }
    }
}

on_each_store! {
    a_zombie_that_writes_late_is_refused_by_every_guard
}

fn a_zombie_that_writes_late_is_refused_by_every_guard(found: Found) {
    let mut cluster = found(
        "[jobs.report]\nschedule = \"@manual\"\ndelivery = \"at_least_once\"\nlock = { ttl = \"2s\" }\ncommand = 'python3 write.py'\n",
    );
    fs::write(cluster.path("write.py"), include_str!("fencing/write.py")).unwrap();
    for name in ["row-guard", "table-guard", "redis-guard"] {
        fs::write(cluster.path(name), guard(name)).unwrap();
    }
    let db = rusqlite::Connection::open(cluster.path("resource.db")).unwrap();
    db.execute_batch(&guard("fences")).unwrap();
    db.execute_batch(
        "CREATE TABLE reports (id INTEGER PRIMARY KEY, body TEXT NOT NULL, fence BIGINT NOT NULL);
         INSERT INTO reports VALUES (1, 'none', 0); CREATE TABLE many (body TEXT); INSERT INTO many VALUES ('none'), ('none')",
    )
    .unwrap();
    let guarded = servers::Redis::plain();
    let redis_port = guarded.url().rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    let http_port = servers::free_port();
    let _service = Service::start(cluster.dir.path(), http_port);
    let url = format!("http://127.0.0.1:{http_port}/report");
    for replica in [0, 1] {
        cluster.give(replica, "PROGRAM", env!("CARGO_BIN_EXE_cronclave"));
        cluster.give(replica, "GUARDED_REDIS", &redis_port);
        cluster.give(replica, "GUARDED_HTTP", &url);
    }
    let replica = cluster.serve(0);
    until("a replica is there", || !cluster.replicas().is_empty());
    cluster.trigger("report");
    until("the first attempt is about to write", || cluster.path("pid").exists());
    let zombie: i32 = fs::read_to_string(cluster.path("pid")).unwrap().parse().unwrap();
    // Replica, supervisor, shell, program: all of them, as when the machine stands still.
    let frozen = Frozen::stop(line_to(replica, zombie));
    assert!(frozen.0.len() >= 3, "{:?}", frozen.0);
    cluster.serve(1);
    let told = || fs::read_to_string(cluster.path("told")).unwrap_or_default();
    until("the second attempt is over", || told().contains("2 over 0"));
    until("the store knows", || cluster.history("report")[0].state == State::Succeeded);
    // The program wakes up first, with its supervisor still asleep.
    fs::write(cluster.path("thaw"), "").unwrap();
    frozen.thaw(zombie);
    until("the zombie has written", || told().contains("1 over 0"));
    let all = told();
    let lines: BTreeSet<&str> = all.lines().collect();
    let second = ["2 check 0", "2 row 1", "2 table 1", "2 redis 1", "2 http 204", "2 over 0"];
    let first = ["1 check 0", "1 row 0", "1 table 0", "1 redis 0", "1 http 409", "1 check 3", "1 over 0"];
    assert_eq!(lines, second.into_iter().chain(first).collect(), "{all}");
    // Nothing of the zombie is left anywhere.
    let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(one("SELECT body FROM reports"), "attempt-2");
    assert_eq!(one("SELECT group_concat(body) FROM many"), "attempt-2,attempt-2");
    assert_eq!(guarded.ask::<String>(&["GET", "{report}:body"]), "attempt-2");
    let body = Command::new("python3")
        .args([
            "-c",
            "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode(), end='')",
            &url,
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(body.stdout).unwrap(), "attempt-2");
    drop(frozen);
    cluster.stop();
}

#[test]
fn whoever_brings_no_token_is_refused_by_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let port = servers::free_port();
    let _service = Service::start(dir.path(), port);
    let put = "import sys, urllib.request as r, urllib.error as e
try: r.urlopen(r.Request(sys.argv[1], b'x', method='PUT'))
except e.HTTPError as error: print(error.code)";
    let said = Command::new("python3").args(["-c", put, &format!("http://127.0.0.1:{port}/a")]).output().unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap().trim(), "428");
}

#[test]
fn fence_check_says_what_is_missing_and_what_it_does_not_know() {
    let cluster = Cluster::beside_others("[jobs.report]\nschedule = \"@manual\"\ncommand = 'true'\n");
    cluster.trigger("report");
    let check = |args: &[&str], env: &[(&str, &str)]| {
        let mut command = cluster.cronclave(&[&["fence", "check"], args].concat());
        for name in ["CRONCLAVE_JOB", "CRONCLAVE_FENCING_TOKEN"] {
            command.env_remove(name);
        }
        let said = command.envs(env.iter().copied()).output().unwrap();
        let text = String::from_utf8(said.stdout).unwrap() + &String::from_utf8(said.stderr).unwrap();
        (said.status.code().unwrap(), text)
    };
    let expect = |(code, text): (i32, String), wanted: i32, words: &str| {
        assert_eq!((code, text.contains(words)), (wanted, true), "{text}");
    };
    expect(check(&[], &[]), 2, "the job is missing");
    expect(check(&["report"], &[]), 2, "the token is missing");
    expect(
        check(&["report"], &[("CRONCLAVE_JOB", "other"), ("CRONCLAVE_FENCING_TOKEN", "7")]),
        2,
        "the token is missing",
    );
    expect(check(&["report", "seven"], &[]), 2, "invalid");
    expect(check(&[], &[("CRONCLAVE_JOB", "report"), ("CRONCLAVE_FENCING_TOKEN", "x")]), 2, "no number");
    expect(check(&["reprot", "7"], &[]), 66, "report");
    expect(check(&["report", "7"], &[]), 3, "no run was ever given this token");
    expect(check(&[], &[("CRONCLAVE_JOB", "report"), ("CRONCLAVE_FENCING_TOKEN", "7")]), 3, "may not act");
    expect(check(&["report", "7", "--db", "none.db"], &[]), 69, "none.db");
    let (code, text) = check(&["report", "7", "--json"], &[]);
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["may_act"], &answer["fencing_token"]), (3, &false.into(), &7.into()));
}

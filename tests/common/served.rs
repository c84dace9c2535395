//! A replica that serves HTTP, as a process of its own, and a plain client for it.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A token for tests that need an admin.
pub(crate) const TOKEN: &str = "correct-horse-battery-staple";

/// A replica, its directory, and the lines it printed.
pub(crate) struct Served {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    address: String,
}

impl Served {
    /// A replica in a directory of its own, with nothing in its environment but `env`.
    pub(crate) fn start(jobs: &str, env: &[(&str, &str)]) -> Served {
        Served::start_in(directory(jobs), env)
    }

    /// Another replica beside this one, on the same files.
    pub(crate) fn beside(&self, env: &[(&str, &str)]) -> Served {
        Served::start_in(self.dir.clone(), env)
    }

    /// A replica that may open so many files.
    pub(crate) fn start_with_files(jobs: &str, env: &[(&str, &str)], files: u32) -> Served {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_cronclave")]);
        Served::up(Served::spawn(command, directory(jobs), env))
    }

    /// A replica on what a directory holds.
    pub(crate) fn start_in(dir: Arc<TempDir>, env: &[(&str, &str)]) -> Served {
        Served::up(Served::begin(dir, env))
    }

    fn up(mut served: Served) -> Served {
        served.address = served.find_address();
        served.wait_until_ready();
        served
    }

    /// A replica that listens, ready or not.
    pub(crate) fn start_unready(dir: Arc<TempDir>, env: &[(&str, &str)]) -> Served {
        let mut served = Served::begin(dir, env);
        served.address = served.find_address();
        served
    }

    /// A replica that may not come up.
    pub(crate) fn begin(dir: Arc<TempDir>, env: &[(&str, &str)]) -> Served {
        Served::spawn(Command::new(env!("CARGO_BIN_EXE_cronclave")), dir, env)
    }

    fn spawn(mut command: Command, dir: Arc<TempDir>, env: &[(&str, &str)]) -> Served {
        command.args(["serve", "--log-format", "text"]).current_dir(dir.path());
        if !env.iter().any(|(name, _)| *name == "CRONCLAVE_LISTEN") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(env.iter().copied());
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
        Served { dir, child, lines, address: String::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// How many lines hold this word.
    pub(crate) fn count(&self, word: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(word)).count()
    }

    pub(crate) fn wait_for(&self, word: &str) {
        until(|| self.count(word) > 0, || format!("waited in vain for `{word}` in {:#?}", self.lines()));
    }

    /// `127.0.0.1:8080`
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn find_address(&self) -> String {
        self.wait_for("http://");
        let line = self.lines().into_iter().find(|line| line.contains("http://")).unwrap();
        let listed = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
        listed.replace("[::]", "127.0.0.1").replace("0.0.0.0", "127.0.0.1")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    pub(crate) fn ends(&mut self) -> i32 {
        let given_up = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < given_up, "does not end: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_until_ready(&self) {
        until(|| self.get("/readyz").status == 200, || format!("never ready: {:#?}", self.lines()));
    }

    /// What is answered to nobody in particular.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    /// What is answered to the bearer of a token.
    pub(crate) fn get_as(&self, token: &str, path: &str) -> Answer {
        self.ask("GET", path, &[("Authorization", &format!("Bearer {token}"))], "")
    }

    /// A request with these headers; a body is JSON unless they say otherwise.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        let has = |name: &str| headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        if !has("host") {
            text += &format!("Host: {}\r\n", self.address);
        }
        if !body.is_empty() && !has("content-type") {
            text += "Content-Type: application/json\r\n";
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        self.raw((text + "\r\n" + body).as_bytes())
    }

    /// These bytes, whatever they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        // Whoever is refused early may be cut off while still sending.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Answer::of(&answer)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with these jobs.
pub(crate) fn directory(jobs: &str) -> Arc<TempDir> {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("schedules")).unwrap();
    fs::write(dir.path().join("schedules/jobs.toml"), format!("version = 1\n{jobs}")).unwrap();
    Arc::new(dir)
}

/// Waits until something holds.
pub(crate) fn until(mut holds: impl FnMut() -> bool, why: impl Fn() -> String) {
    let given_up = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < given_up, "{}", why());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 when there was none.
    pub(crate) status: u16,
    /// The status line and all headers.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn of(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        all.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a problem.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["code"].as_str().unwrap().to_owned()
    }

    /// `NAME=VALUE` of the cookie that was set.
    pub(crate) fn cookie(&self) -> String {
        self.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

//! A directory with schedule files, and the program run in it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nothing here takes so long unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) const JOBS: &str = r#"version = 1

[jobs.hello]
schedule = "@manual"
command  = "echo hello"
tags     = ["ops"]

[jobs.fails]
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
command  = "echo before; echo wrong >&2; exit 3"

[jobs.slow]
schedule = "@manual"
command  = "echo tick; sleep 3; echo tock"
lock     = { ttl = "3s" }

[jobs.hook]
schedule = "@manual"
http     = { url = "http://127.0.0.1:9/nobody" }
"#;

pub(crate) struct Place {
    dir: tempfile::TempDir,
    count: AtomicUsize,
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn expect(self, code: i32, words: &[&str]) -> Said {
        assert_eq!(self.code, code, "{self:#?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "no {word:?} in {self:#?}");
        }
        for bad in ["panicked", "RUST_BACKTRACE"] {
            assert!(!self.err.contains(bad), "{self:#?}");
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl Place {
    pub(crate) fn empty() -> Place {
        Place { dir: tempfile::tempdir().unwrap(), count: AtomicUsize::new(0) }
    }

    pub(crate) fn new() -> Place {
        let place = Place::empty();
        place.write("schedules/jobs.toml", JOBS);
        place
    }

    /// With a database in which `hello` ran once.
    pub(crate) fn with_history() -> Place {
        let place = Place::new();
        place.ask(&["run", "hello"]).expect(0, &[]);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronclave"));
        self.set_up(&mut command);
        command.args(args);
        command
    }

    /// No variable of ours, nor of whoever runs the tests.
    pub(crate) fn set_up(&self, command: &mut Command) {
        command.env_clear().current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("HOME", self.dir.path()).env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8").env("USER", "ana");
    }

    pub(crate) fn ask(&self, args: &[&str]) -> Said {
        self.finish(self.command(args))
    }

    /// The same with `input` to read.
    pub(crate) fn ask_with(&self, args: &[&str], input: &str) -> Said {
        self.write(".input", input);
        let mut command = self.command(args);
        command.stdin(File::open(self.path(".input")).unwrap());
        self.finish(command)
    }

    /// Runs to the end; fails when it hangs.
    pub(crate) fn finish(&self, command: Command) -> Said {
        self.start(command).end()
    }

    pub(crate) fn start(&self, mut command: Command) -> Running {
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        // Files, not pipes: nobody has to read while it runs.
        let [out, err] = ["out", "err"].map(|kind| self.path(&format!(".{number}.{kind}")));
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        Running { child: command.spawn().unwrap(), out, err }
    }

    /// A replica that is ready.
    pub(crate) fn serve(&self, more: &[&str]) -> Running {
        let mut command = self.command(&["serve", "--no-http", "--replica", "web.1", "--log-format", "text"]);
        command.args(more);
        let running = self.start(command);
        let began = Instant::now();
        while !self.ask(&["status"]).out.contains("web.1") {
            assert!(began.elapsed() < LIMIT, "never ready: {}", running.so_far());
            sleep(Duration::from_millis(100));
        }
        running
    }
}

/// A program that runs; killed when dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    pub(crate) fn so_far(&self) -> String {
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        read(&self.out) + &read(&self.err)
    }

    #[track_caller]
    pub(crate) fn until(&self, word: &str) {
        let began = Instant::now();
        while !self.so_far().contains(word) {
            assert!(began.elapsed() < LIMIT, "no {word:?} in {}", self.so_far());
            sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    #[track_caller]
    pub(crate) fn end(mut self) -> Said {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < LIMIT, "it hangs: {}", self.so_far());
            sleep(Duration::from_millis(10));
        };
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        Said { code: status.code().unwrap_or(-1), out: read(&self.out), err: read(&self.err) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

//! Real servers for tests: each on a free port of its own, gone when its handle is dropped.
#![allow(dead_code)]

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

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
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let child = start(port, &dir, settings);
        let redis = Redis { port, dir, child };
        redis.wait();
        redis
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
        self.child = start(self.port, &self.dir, settings);
        self.wait();
    }

    fn wait(&self) {
        let given_up = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < given_up, "redis-server does not listen on {}", self.port);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn start(port: u16, dir: &TempDir, settings: &[&str]) -> Child {
    let log = dir.path().join("redis.log");
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(dir.path())
        .arg("--logfile")
        .arg(&log)
        .args(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is missing: sudo apt-get install redis-server")
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

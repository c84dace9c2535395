//! Three replicas on one Redis, behind a balancer that knows nothing of them.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::fmt::Write;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::served::{Served, TOKEN, until};
use crate::servers::Redis;

/// Three replicas, what is in front of them, and what they stand on.
pub(crate) struct Site {
    pub(crate) port: u16,
    balancer: Child,
    pub(crate) replicas: Vec<Served>,
    pub(crate) redis: Redis,
    pub(crate) dir: tempfile::TempDir,
}

impl Site {
    pub(crate) fn start(jobs: &str) -> Site {
        Site::start_on(Redis::plain(), jobs, &[])
    }

    /// The same on a Redis that may hold something, with more in the environment.
    pub(crate) fn start_on(redis: Redis, jobs: &str, more: &[(&'static str, &str)]) -> Site {
        let url = redis.url();
        let env = |name: &'static str| {
            let own = [("CRONCLAVE_API_TOKEN", TOKEN), ("CRONCLAVE_REDIS_URL", &*url), ("CRONCLAVE_REPLICA", name)];
            own.into_iter().chain(more.iter().copied()).collect::<Vec<_>>()
        };
        let first = Served::start(jobs, &env("web.1"));
        let replicas = vec![first.beside(&env("web.2")), first.beside(&env("web.3"))];
        let replicas: Vec<Served> = std::iter::once(first).chain(replicas).collect();
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let mut config = format!(
            "defaults\n mode tcp\n retries 3\n option redispatch 1\n timeout connect 2s\n timeout client 1h\n \
             timeout server 1h\nlisten web\n bind 127.0.0.1:{port}\n balance roundrobin\n"
        );
        for (n, replica) in replicas.iter().enumerate() {
            writeln!(config, " server web{n} {} check inter 200 fall 2 rise 2", replica.address()).unwrap();
        }
        let file = dir.path().join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).env("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let balancer = command.spawn().expect("haproxy is missing: sudo apt-get install haproxy");
        until(|| TcpStream::connect(("127.0.0.1", port)).is_ok(), || "HAProxy does not listen".into());
        Site { port, balancer, replicas, redis, dir }
    }

    /// Ends a replica at once.
    pub(crate) fn kill(&mut self, name: &str) {
        let n: usize = name.trim_start_matches("web.").parse().unwrap();
        self.replicas[n - 1].child.kill().unwrap();
        self.replicas[n - 1].child.wait().unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.balancer.kill();
        let _ = self.balancer.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

//! Servers that are not what a URL says, or not as they should be.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::servers::{Redis, free_port, program};

/// Accepts connections and says nothing; or `answer` to whatever comes first, and then hangs up.
pub(crate) fn impostor(answer: Option<&'static [u8]>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for socket in listener.incoming().flatten() {
            match answer {
                None => kept.push(socket),
                Some(answer) => drop(std::thread::spawn(move || reply(socket, answer))),
            }
        }
    });
    port
}

fn reply(mut socket: TcpStream, answer: &[u8]) {
    let _ = socket.read(&mut [0; 4096]);
    let _ = socket.write_all(answer);
}

/// Accepts connections and ends them at once.
pub(crate) fn slammer() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    port
}

pub(crate) const HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A server that speaks TLS on one port and plainly on another.
pub(crate) struct Tls {
    pub(crate) redis: Redis,
    pub(crate) port: u16,
    _dir: tempfile::TempDir,
    pub(crate) ca: PathBuf,
}

impl Tls {
    /// With a certificate for `localhost` by an authority of its own.
    pub(crate) fn start(more: &[&str]) -> Tls {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let openssl = |line: &str| {
            let args = line.split_whitespace().map(|word| match word.strip_prefix('@') {
                Some(name) => path(name),
                None => word.to_owned(),
            });
            let done = Command::new("openssl").args(args).stderr(Stdio::piped()).output().unwrap();
            assert!(done.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&done.stderr));
        };
        std::fs::write(path("ext"), "subjectAltName = DNS:localhost\n").unwrap();
        openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority -keyout @ca.key -out @ca.crt");
        openssl("req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout @own.key -out @own.csr");
        openssl(
            "x509 -req -days 2 -in @own.csr -CA @ca.crt -CAkey @ca.key -CAcreateserial -extfile @ext -out @own.crt",
        );
        let port = free_port();
        let (ca, cert, key) = (path("ca.crt"), path("own.crt"), path("own.key"));
        let settings = ["--tls-port", &port.to_string(), "--tls-cert-file", &cert, "--tls-key-file", &key];
        let trust = ["--tls-ca-cert-file", &ca];
        let clients = ["--tls-auth-clients", "no"];
        let redis = Redis::with(&[&settings[..], &trust, &clients, more].concat());
        Tls { redis, port, ca: ca.into(), _dir: dir }
    }
}

/// A sentinel that watches `master` as `mymaster`.
pub(crate) struct Sentinel {
    pub(crate) port: u16,
    _dir: tempfile::TempDir,
    child: std::process::Child,
}

impl Sentinel {
    pub(crate) fn watching(master: u16, quorum: usize) -> Sentinel {
        Sentinel::with(master, quorum, "")
    }

    /// With more lines in its file.
    pub(crate) fn with(master: u16, quorum: usize, more: &str) -> Sentinel {
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let config = dir.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {dir}\nlogfile {dir}/sentinel.log\n\
             sentinel monitor mymaster 127.0.0.1 {master} {quorum}\n\
             sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 4000\n{more}\n",
            dir = dir.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(program());
        let command =
            command.arg(&config).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("redis-server is missing: sudo apt-get install redis-server");
        let sentinel = Sentinel { port, _dir: dir, child };
        let given_up = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < given_up, "a sentinel does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        sentinel
    }
}

/// Waits until they know of each other and of the one replica: before, they cannot agree.
pub(crate) fn have_met(sentinels: &[Sentinel]) {
    let began = Instant::now();
    let knows = |port, what| cli(port, &["SENTINEL", what, "mymaster"]).matches("runid").count();
    let others = sentinels.len() - 1;
    while !sentinels.iter().all(|one| knows(one.port, "sentinels") == others && knows(one.port, "replicas") == 1) {
        assert!(began.elapsed() < Duration::from_secs(60), "the sentinels never met");
        std::thread::sleep(Duration::from_millis(200));
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a server on this machine, as a person would with `redis-cli`.
pub(crate) fn cli(port: u16, args: &[&str]) -> String {
    let done = Command::new("redis-cli").args(["-p", &port.to_string()]).args(args).output();
    String::from_utf8_lossy(&done.expect("redis-cli is missing").stdout).trim().to_owned()
}

/// Stops a process without ending it, or lets it go on.
pub(crate) fn signal(pid: i32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

/// Three masters that share the slots of a cluster.
pub(crate) fn cluster() -> Vec<Redis> {
    let nodes: Vec<Redis> =
        (0..3).map(|_| Redis::with(&["--cluster-enabled", "yes", "--cluster-node-timeout", "1500"])).collect();
    let places: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let made = cli(nodes[0].port, &[&["--cluster", "create"], &places[..], &["--cluster-yes"]].concat());
    assert!(made.contains("All 16384 slots covered"), "{made}");
    let began = Instant::now();
    while !nodes.iter().all(|node| cli(node.port, &["CLUSTER", "INFO"]).contains("cluster_state:ok")) {
        assert!(began.elapsed() < Duration::from_secs(60), "the cluster is never up");
        std::thread::sleep(Duration::from_millis(50));
    }
    nodes
}

/// Which of the nodes has a slot.
pub(crate) fn owner(nodes: &[Redis], slot: &str) -> usize {
    let key_slot = |node: &Redis| cli(node.port, &["CLUSTER", "SLOTS"]);
    let slot: u32 = slot.parse().unwrap();
    let text = key_slot(&nodes[0]);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    // Without a terminal: from, through, host, port, id, each on a line of its own.
    for at in 0..lines.len().saturating_sub(3) {
        let [Ok(from), Ok(through)] = [lines[at].parse::<u32>(), lines[at + 1].parse::<u32>()] else { continue };
        if lines[at + 2].contains('.') && (from..=through).contains(&slot) {
            let port = lines[at + 3].parse().unwrap_or(0);
            return nodes.iter().position(|node| node.port == port).unwrap();
        }
    }
    panic!("nobody has slot {slot}: {text}")
}

/// Moves a slot with its keys from one node to another, as a person adding servers would.
pub(crate) fn move_slot(nodes: &[Redis], slot: &str, from: usize, to: usize) {
    let id = |node: usize| cli(nodes[node].port, &["CLUSTER", "MYID"]);
    let (from_id, to_id) = (id(from), id(to));
    let ok = |node: usize, args: &[&str]| assert_eq!(cli(nodes[node].port, args), "OK", "{args:?}");
    ok(to, &["CLUSTER", "SETSLOT", slot, "IMPORTING", &from_id]);
    ok(from, &["CLUSTER", "SETSLOT", slot, "MIGRATING", &to_id]);
    let keys = cli(nodes[from].port, &["CLUSTER", "GETKEYSINSLOT", slot, "1000"]);
    let keys: Vec<&str> = keys.lines().collect();
    let port = nodes[to].port.to_string();
    let head = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
    ok(from, &[&head[..], &keys].concat());
    for node in [to, from, 3 - from - to] {
        ok(node, &["CLUSTER", "SETSLOT", slot, "NODE", &to_id]);
    }
}

//! What a replica costs that has nothing to do: 10,000 jobs, each due once a day.
//!
//! `cargo bench --bench idle` prints the time to ready, the memory and the processor time of ten
//! idle seconds, for the first start (which registers every job) and for the next.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const JOBS: usize = 10_000;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let minute = |n: usize| (n % 60, n / 60 % 24);
    let jobs: String = (0..JOBS)
        .map(|n| format!("[jobs.job-{n}]\nschedule = \"{} {} * * *\"\ncommand = \"true\"\n", minute(n).0, minute(n).1))
        .collect();
    fs::write(dir.path().join("jobs.toml"), format!("version = 1\n{jobs}")).unwrap();
    println!("{JOBS} jobs, each due once a day");
    for start in ["first start", "next start"] {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cronclave"))
            .args(["serve", "--config", "jobs.toml", "--listen", &format!("127.0.0.1:{port}")])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while !is_ready(port) {
            assert!(began.elapsed() < Duration::from_secs(60), "never ready");
            std::thread::sleep(Duration::from_millis(2));
        }
        let ready = began.elapsed();
        std::thread::sleep(Duration::from_secs(5));
        let before = processor_seconds(&child);
        std::thread::sleep(Duration::from_secs(10));
        let idle = processor_seconds(&child) - before;
        let (peak, now) = (memory(&child, "VmHWM"), memory(&child, "VmRSS"));
        println!("{start}: ready in {ready:.2?}, {now} MB (peak {peak} MB), {:.2} % of a core while idle", idle * 10.0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn is_ready(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut text = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 200")
}

fn memory(child: &Child, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn processor_seconds(child: &Child) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    // The kernel counts a hundred ticks a second for user space, whatever its own rate.
    ticks / 100.0
}

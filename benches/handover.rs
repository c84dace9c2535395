//! How long it takes from a claim to the start of the code, on a replica and on a worker, side by side in one run: by the
//! store's clock, with a Redis and a RabbitMQ of its own.
//!
//!     cargo bench --bench handover
#![allow(missing_docs, clippy::unwrap_used, dead_code, unused_macros, unused_imports)]

#[path = "../tests/disorder/cluster.rs"]
mod cluster;
#[path = "../tests/common/invariants.rs"]
mod invariants;
#[path = "../tests/common/rabbit.rs"]
mod rabbit;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::Cluster;
use cronclave::clock::Timestamp;
use cronclave::ledger::What;
use rabbit::Rabbit;

/// How long it runs, and how many jobs of each kind come due every second.
const TIME: Duration = Duration::from_secs(20);
const JOBS: usize = 10;

fn main() {
    let job = |kind: &str, more: &str, n: usize| {
        format!("[jobs.{kind}-{n}]\nevery = \"1s\"\noverlap = \"queue_all\"\ncommand = [\"true\"]\n{more}\n")
    };
    let jobs: String = (0..JOBS).map(|n| job("replica", "", n) + &job("worker", "run_on = \"worker\"", n)).collect();
    let mut cluster = Cluster::on_redis(&jobs);
    let rabbit = Rabbit::start();
    cluster.amqp = Some(rabbit.url());
    (0..3).for_each(|index| _ = cluster.serve(index));
    (0..4).for_each(|index| _ = cluster.work(index));
    std::thread::sleep(TIME);
    cluster.stop();
    let mut claims = BTreeMap::new();
    let mut waits: BTreeMap<&str, Vec<(Duration, Duration)>> = BTreeMap::new();
    for (_, event) in cluster.events() {
        match event.what {
            What::Claimed { fence, scheduled_at, .. } => _ = claims.insert(fence, (event.at, scheduled_at)),
            What::Started { fence, .. } => {
                let (claimed, scheduled): (Timestamp, Timestamp) = claims[&fence];
                let kind = if event.job.as_str().starts_with("worker") { "worker" } else { "replica" };
                waits.entry(kind).or_default().push((event.at.since(claimed), event.at.since(scheduled)));
            }
            _ => {}
        }
    }
    println!("{:<8} {:>6}  {:>20}  {:>20}", "on", "runs", "claim to start", "instant to start");
    println!("{:<8} {:>6}  {:>9} {:>10}  {:>9} {:>10}", "", "", "p50", "p99", "p50", "p99");
    for (kind, waits) in waits {
        let of = |pick: fn(&(Duration, Duration)) -> Duration| {
            let mut all: Vec<Duration> = waits.iter().map(pick).collect();
            all.sort();
            [50, 99].map(|share| format!("{:.1} ms", all[all.len() * share / 100].as_secs_f64() * 1e3))
        };
        let ([a, b], [c, d]) = (of(|wait| wait.0), of(|wait| wait.1));
        println!("{kind:<8} {:>6}  {a:>9} {b:>10}  {c:>9} {d:>10}", waits.len());
    }
}

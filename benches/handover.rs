//! How long it takes from a claim to the start of the code, on a replica and on a worker, side by side in one run: by the
//! store's clock, with a Redis and a RabbitMQ of its own.
//!
//!     cargo bench --bench handover
#![allow(missing_docs, clippy::unwrap_used, dead_code, unused_macros, unused_imports)]

#[path = "../tests/disorder/cluster.rs"]
mod cluster;
#[path = "common/figures.rs"]
mod figures;
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
    for (kind, waits) in waits {
        let of = |pick: fn(&(Duration, Duration)) -> Duration, share: usize| {
            let mut all: Vec<Duration> = waits.iter().map(pick).collect();
            all.sort();
            figures::ms(all[all.len() * share / 100])
        };
        figures::tell(
            "handover",
            &format!("on a {kind}"),
            &[
                ("claim_to_start_p50_ms", of(|wait| wait.0, 50)),
                ("claim_to_start_p99_ms", of(|wait| wait.0, 99)),
                ("instant_to_start_p50_ms", of(|wait| wait.1, 50)),
                ("instant_to_start_p99_ms", of(|wait| wait.1, 99)),
            ],
        );
    }
}

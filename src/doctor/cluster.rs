//! The other replicas and workers, and what they find wrong.

use super::Findings;
use crate::config::{Config, Process};
use crate::desk::Desk;
use crate::phrase::count;
use crate::replica::Jobs;
use crate::runner::Handlers;
use crate::service;
use crate::store::Create;

pub(super) async fn look(findings: &mut Findings, process: &Process, config: Option<&Config>) {
    let backends = match service::reach(process, Create::Never).await {
        Ok(backends) => backends,
        Err(error) => return findings.problem("cluster.replicas", error.message, ""),
    };
    let jobs = config.map_or_else(Jobs::default, service::jobs);
    let parts = service::parts(process, backends, Handlers::default());
    let desk = Desk::with_jobs(parts, jobs).distributed(process.redis.is_some());
    let cluster = match desk.status().await {
        Ok(seen) => seen.it,
        Err(refusal) => return findings.problem("cluster.replicas", refusal.detail, ""),
    };
    let live: Vec<_> = cluster.replicas.iter().filter(|replica| replica.live).collect();
    let workers = cluster.workers.iter().filter(|worker| worker.live).count();
    let found = format!("{} and {} report", count(live.len(), "replica"), count(workers, "worker"));
    if live.is_empty() {
        findings.skip("cluster.replicas", format!("{found}: start one with `cronclave serve`"));
    } else {
        findings.good("cluster.replicas", found);
    }
    if let Some(config) = config {
        let other: Vec<&str> =
            live.iter().filter(|one| one.config_digest != config.digest).map(|one| one.name.as_str()).collect();
        if !other.is_empty() {
            let text = format!("other schedule files than here ({}): {}", config.digest, other.join(", "));
            findings.warn("cluster.config", text, "deploy the same files everywhere");
        }
    }
    // These are told here already, in more words.
    let known = ["no_replica", "config_drift", "broker_down"];
    for problem in cluster.problems.iter().filter(|one| !known.contains(&one.code.as_str())) {
        findings.warn("cluster.problems", problem.detail.clone(), "");
    }
}

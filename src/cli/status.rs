//! `cronclave status`: who is there, what is going on, and what is wrong.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Args;

use super::place::Files;
use super::show::Table;
use super::{Context, Failure, locks, out, queues};
use crate::phrase::{self, Mark};
use crate::record::Phase;
use crate::shape::{Cluster, GONE};

/// Show the replicas of the cluster, its open runs and locks, and what is wrong with it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave status                      for people
  cronclave status --check --json       for monitoring: exits with 1 when something is wrong

There is no leader: any replica may take the next occurrence.")]
pub(super) struct Status {
    /// Exit with 1 when something is wrong
    #[arg(long)]
    check: bool,
}

impl Status {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let seen = context.place(Files::Helpful).await?.status().await?;
        out::stale(seen.stale_since);
        if context.global.json {
            out::json(&seen)?;
        } else {
            out::print(text(&seen.it, context))?;
        }
        let is_wrong = !seen.it.problems.is_empty() || seen.stale_since.is_some();
        Ok(ExitCode::from(u8::from(self.check && is_wrong)))
    }
}

fn text(cluster: &Cluster, context: &Context) -> String {
    let live = || cluster.replicas.iter().filter(|replica| replica.live);
    let digests: BTreeSet<&str> = live().map(|replica| replica.config_digest.as_str()).collect();
    let digests: Vec<&str> = digests.into_iter().collect();
    let config = if digests.is_empty() { "unknown".to_owned() } else { digests.join(", ") };
    let (name, store) = (&cluster.cluster, &cluster.store.description);
    let live = phrase::count(live().count(), "replica");
    let mut text = format!("cluster {name}   {live}   {store}   config {config}\n\n");
    if !cluster.replicas.is_empty() {
        text += &replica_table(cluster, context);
        text.push('\n');
    }
    if !cluster.workers.is_empty() {
        text += &queues::workers(&cluster.workers, cluster.now, &context.style);
        text.push('\n');
    }
    if let Some(table) = cluster.broker.as_ref().and_then(|broker| queues::table(broker, &context.style)) {
        text += &table;
        text.push('\n');
    }
    if !cluster.locks.is_empty() {
        text += &locks::table(&cluster.locks, cluster.now, &context.style);
        text.push('\n');
    }
    let waiting = cluster.runs.iter().filter(|run| run.phase == Phase::Waiting).count();
    if waiting > 0 {
        text += &format!("{} for their turn or their next attempt\n", phrase::count(waiting, "run") + " waiting");
    }
    for problem in &cluster.problems {
        text += &format!("! {}\n", problem.detail);
    }
    if cluster.problems.is_empty() {
        text += "nothing is wrong\n";
    }
    text
}

fn replica_table(cluster: &Cluster, context: &Context) -> String {
    let header = ["", "REPLICA", "VERSION", "UP", "CONFIG", "CLOCK", "SEEN", "JOBS", "RUNNING"];
    let mut table = Table::new(&context.style, &header);
    for replica in &cluster.replicas {
        let silent = cluster.now.since(replica.last_seen_at);
        let (mark, word) = match silent {
            _ if replica.live => (Mark::Good, ""),
            _ if silent < GONE => (Mark::Bad, ": silent"),
            _ => (Mark::Idle, ": gone"),
        };
        let seen = format!("{} ago{word}", phrase::about(silent));
        table.row(
            Some(mark),
            [
                replica.name.clone(),
                replica.version.clone(),
                phrase::about(cluster.now.since(replica.started_at)),
                replica.config_digest.clone(),
                format!("{:+.0}ms", replica.clock_skew_seconds * 1000.0),
                seen,
                replica.jobs.to_string(),
                replica.running.to_string(),
            ],
        );
    }
    table.text()
}

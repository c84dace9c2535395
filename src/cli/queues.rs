//! What `status` says about workers and the queues they take from.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::Context;
use super::show::{self, Mark, Style, Table};
use crate::broker::{Broker, QueueState};
use crate::clock::Timestamp;
use crate::config::Process;
use crate::job::QueueName;
use crate::service;
use crate::store::Replica;
use crate::worker;

/// A broker is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The broker and its queues, as far as it answered.
pub(super) struct Queues {
    broker: String,
    answer: Result<Vec<QueueState>, String>,
}

impl Queues {
    /// Asks the broker for the queues that workers take from and jobs name. `None` when there are none to ask for.
    pub(super) async fn ask(broker: &dyn Broker, process: &Process, replicas: &[Replica]) -> Option<Queues> {
        let mut names: BTreeSet<QueueName> =
            replicas.iter().flat_map(|replica| &replica.queues).filter_map(|name| QueueName::new(name)).collect();
        // Files that cannot be read are not what is asked about here.
        if let Ok((_, config)) = service::read_config(&process.config) {
            names.extend(worker::queues(&service::jobs(&config)));
        }
        let names: Vec<QueueName> = names.into_iter().collect();
        if names.is_empty() && process.redis.is_none() {
            return None;
        }
        let asked = timeout(PATIENCE, broker.queues(&names)).await;
        let silent = || Err(format!("no answer within {} s", PATIENCE.as_secs()));
        Some(Queues { broker: broker.describe(), answer: asked.unwrap_or_else(|_| silent()) })
    }

    /// What is wrong, each with its code. Queues that are `served` have workers, which may only be busy.
    pub(super) fn problems(&self, served: &BTreeSet<&str>) -> Vec<(&'static str, String)> {
        let queues = match &self.answer {
            Ok(queues) => queues,
            Err(why) => return vec![("broker_down", format!("broker {}: {why}", self.broker))],
        };
        let mut found = Vec::new();
        for queue in queues {
            match (&queue.queue, queue.ready.unwrap_or(0), queue.consumers) {
                (Some(name), ready @ 1.., 0) if !served.contains(name.as_str()) => {
                    let text = format!(
                        "{} in queue {name}, and no worker takes from it",
                        show::count(count(ready), "request")
                    );
                    found.push(("no_worker", text));
                }
                (None, dead @ 1.., _) => {
                    let text =
                        format!("{}: look at them with `cronclave dead`", show::count(count(dead), "dead letter"));
                    found.push(("dead_letters", text));
                }
                _ => {}
            }
        }
        found
    }

    pub(super) fn json(&self) -> Value {
        let queues = self.answer.as_ref().ok();
        json!({ "description": self.broker, "up": queues.is_some(), "queues": queues })
    }

    pub(super) fn table(&self, style: &Style) -> Option<String> {
        let queues = self.answer.as_ref().ok().filter(|queues| !queues.is_empty())?;
        let mut table = Table::new(style, &["QUEUE", "WAITING", "SLOTS", "ON THE BROKER"]);
        for queue in queues {
            let ready = queue.ready.map_or_else(|| "no such queue yet".to_owned(), |ready| ready.to_string());
            let (name, slots) = match &queue.queue {
                Some(name) => (name.clone(), queue.consumers.to_string()),
                None => ("dead letters".to_owned(), String::new()),
            };
            table.row(None, [name, ready, slots, queue.name.clone()]);
        }
        Some(table.text())
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The workers, live or lately seen.
pub(super) fn workers(
    workers: &[&Replica],
    now: Timestamp,
    live: fn(&Replica, Timestamp) -> bool,
    context: &Context,
) -> String {
    let mut table =
        Table::new(&context.style, &["", "WORKER", "QUEUES", "SLOTS", "BUSY", "VERSION", "UP", "CONFIG", "SEEN"]);
    for worker in workers {
        let (mark, word) = if live(worker, now) { (Mark::Good, "") } else { (Mark::Bad, ": silent") };
        table.row(
            Some(mark),
            [
                worker.name.clone(),
                worker.queues.join(","),
                (worker.slots * worker.queues.len().max(1)).to_string(),
                worker.running.to_string(),
                worker.version.clone(),
                show::about(now.since(worker.started_at)),
                worker.config_digest.clone(),
                format!("{} ago{word}", show::about(now.since(worker.last_seen_at))),
            ],
        );
    }
    table.text()
}

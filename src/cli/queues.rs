//! What `status` says about workers and the queues they take from.

use super::show::{Style, Table};
use crate::clock::Timestamp;
use crate::phrase::{self, Mark};
use crate::shape::{Broker, Process};

/// The queues, when there are any.
pub(super) fn table(broker: &Broker, style: &Style) -> Option<String> {
    let queues = broker.queues.as_ref().filter(|queues| !queues.is_empty())?;
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

/// The workers, live or lately seen.
pub(super) fn workers(workers: &[Process], now: Timestamp, style: &Style) -> String {
    let mut table = Table::new(style, &["", "WORKER", "QUEUES", "SLOTS", "BUSY", "VERSION", "UP", "CONFIG", "SEEN"]);
    for worker in workers {
        let (mark, word) = if worker.live { (Mark::Good, "") } else { (Mark::Bad, ": silent") };
        table.row(
            Some(mark),
            [
                worker.name.clone(),
                worker.queues.join(","),
                (worker.slots * worker.queues.len().max(1)).to_string(),
                worker.running.to_string(),
                worker.version.clone(),
                phrase::about(now.since(worker.started_at)),
                worker.config_digest.clone(),
                format!("{} ago{word}", phrase::about(now.since(worker.last_seen_at))),
            ],
        );
    }
    table.text()
}

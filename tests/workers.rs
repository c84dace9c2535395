//! Replicas and workers as real processes, on a real Redis and a real RabbitMQ: undisturbed, and under every fault
//! that may befall what is between them. The jobs keep the ledger that is held against the history.
//!
//! A load test lasts 30 s undisturbed and 20 s under faults; `CHAOS_SECONDS=60 cargo test --test workers` runs each for
//! 60 s.
#![allow(clippy::unwrap_used, dead_code, unused_macros, unused_imports)]

#[path = "disorder/cluster.rs"]
mod cluster;
#[path = "workers/disturb.rs"]
mod disturb;
#[path = "workers/faults.rs"]
mod faults;
#[path = "workers/handed.rs"]
mod handed;
#[path = "common/invariants.rs"]
mod invariants;
#[path = "disorder/load.rs"]
mod load;
#[path = "workers/nodes.rs"]
mod nodes;
#[path = "common/proxy.rs"]
mod proxy;
#[path = "common/rabbit.rs"]
mod rabbit;
#[path = "common/servers.rs"]
mod servers;

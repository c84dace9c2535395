//! Real processes on one database file, or on one Redis: killed, frozen, outlived, cut off, with wrong clocks. The
//! jobs themselves keep the ledger that is held against the history.
//!
//! A load test lasts 60 s undisturbed and 20 s under each kind of fault, so that all of it stays within twelve minutes;
//! `CHAOS_SECONDS=60 cargo test --test chaos` runs each for 60 s. Only those on Redis: `... --test chaos on_redis`.
#![allow(clippy::unwrap_used)]

#[path = "chaos/cluster.rs"]
mod cluster;
#[path = "chaos/frozen.rs"]
mod frozen;
#[path = "common/invariants.rs"]
mod invariants;
#[path = "chaos/killed.rs"]
mod killed;
#[path = "chaos/load.rs"]
mod load;
#[path = "chaos/on_redis.rs"]
mod on_redis;
#[path = "chaos/policies.rs"]
mod policies;
#[path = "common/proxy.rs"]
mod proxy;
#[path = "common/servers.rs"]
mod servers;
#[path = "common/through.rs"]
mod through;

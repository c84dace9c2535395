//! Real processes on one database file, or on one Redis: killed, frozen, outlived, cut off, with wrong clocks, on servers
//! that fail, forget and change places. The jobs themselves keep the ledger that is held against the history.
//!
//! `tests/chaos` runs the scenarios of `table`, in which two designs that are in use everywhere run beside ours, and makes
//! a table of them. By themselves the tests are the short form: ours is under each fault for 3 s, and the others run where a
//! test looks at them.
#![allow(clippy::unwrap_used)]

#[path = "disorder/clocks.rs"]
mod clocks;
#[path = "disorder/cluster.rs"]
mod cluster;
#[path = "disorder/contender.rs"]
mod contender;
#[path = "disorder/field.rs"]
mod field;
#[path = "disorder/frozen.rs"]
mod frozen;
#[path = "common/invariants.rs"]
mod invariants;
#[path = "disorder/killed.rs"]
mod killed;
#[path = "disorder/load.rs"]
mod load;
#[path = "common/odd.rs"]
mod odd;
#[path = "disorder/on_redis.rs"]
mod on_redis;
#[path = "disorder/policies.rs"]
mod policies;
#[path = "common/proxy.rs"]
mod proxy;
#[path = "common/rabbit.rs"]
mod rabbit;
#[path = "disorder/report.rs"]
mod report;
#[path = "disorder/rows.rs"]
mod rows;
#[path = "common/servers.rs"]
mod servers;
#[path = "disorder/soak.rs"]
mod soak;
#[path = "disorder/table/mod.rs"]
mod table;
#[path = "common/through.rs"]
mod through;

//! The checker: that it bites, and that it judges a living cluster without false alarms.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "verify/bites.rs"]
mod bites;
#[path = "disorder/cluster.rs"]
#[allow(dead_code, reason = "made for the chaos tests")]
mod cluster;
#[path = "verify/command.rs"]
mod command;
#[path = "verify/evidence.rs"]
mod evidence;
#[path = "common/invariants.rs"]
#[allow(dead_code, reason = "the tests here want to see findings")]
mod invariants;
#[path = "common/jobs.rs"]
mod jobs;
#[path = "verify/judged.rs"]
mod judged;
#[path = "verify/log.rs"]
mod log;
#[path = "common/servers.rs"]
mod servers;

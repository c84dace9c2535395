//! The command line as it is typed: the real program, each test in a directory of its own.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/database.rs"]
mod database;
#[path = "cli/dead.rs"]
mod dead;
#[path = "cli/events.rs"]
mod events;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[path = "common/odd.rs"]
mod odd;
#[path = "cli/past.rs"]
mod past;
#[path = "cli/redis.rs"]
mod redis;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/server.rs"]
mod server;
#[path = "common/servers.rs"]
mod servers;
#[path = "cli/together.rs"]
mod together;

//! The command line as it is typed: the real program, each test in a directory of its own.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/database.rs"]
mod database;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/together.rs"]
mod together;

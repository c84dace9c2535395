//! The runner, with real processes and real connections.
#![allow(clippy::unwrap_used)]

#[path = "runner/bench.rs"]
mod bench;
#[path = "runner/command.rs"]
mod command;
#[path = "runner/handler.rs"]
mod handler;
#[path = "runner/http.rs"]
mod http;
#[path = "common/jobs.rs"]
mod jobs;
#[path = "runner/start.rs"]
mod start;
#[path = "runner/survival.rs"]
mod survival;

//! The table of scenarios, X1 to X15: each is a row of `tests/chaos`, and a test of its own.

mod broker;
mod builds;
mod clocks;
mod failover;
mod file;
mod lost;
mod network;
mod nodes;
mod replicas;
mod server;

//! Cronclave: the cluster-safe cron. Any number of replicas, every occurrence starts once.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod clock;
pub mod config;
pub mod job;
pub mod lease;
pub mod runner;
pub mod schedule;

//! Cronclave: the cluster-safe cron. Any number of replicas, every occurrence starts once.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod announce;
pub mod attempt;
pub mod backfill;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crontab;
pub mod desk;
pub mod diff;
pub mod event;
pub mod handover;
pub mod hook;
pub mod http;
pub mod inbox;
pub mod job;
pub mod lease;
pub mod ledger;
pub mod measure;
pub mod metrics;
pub mod occurrence;
pub mod parts;
pub mod phrase;
pub mod plan;
pub mod progress;
pub mod race;
pub mod recall;
pub mod record;
pub mod replica;
pub mod report;
pub mod request;
pub mod runner;
pub mod schedule;
pub mod service;
pub mod shape;
pub mod signature;
pub mod spans;
pub mod stop;
pub mod store;
pub mod template;
mod tls;
pub mod trace;
pub mod why;
pub mod worker;

pub use runner::shim;

//! Cronclave: the cluster-safe cron. Any number of replicas, every occurrence starts once.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod announce;
pub mod attempt;
pub mod backfill;
pub mod broker;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crontab;
pub mod daemon;
pub mod desk;
pub mod diff;
pub mod doctor;
mod embed;
pub mod event;
pub mod handover;
mod hash;
pub mod hook;
#[cfg(feature = "http")]
pub mod http;
#[cfg(not(feature = "http"))]
#[path = "no_http.rs"]
pub mod http;
pub mod inbox;
pub mod job;
pub mod lease;
pub mod ledger;
pub mod measure;
pub mod metrics;
pub mod notify;
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
pub mod simulate;
pub mod spans;
pub mod stop;
pub mod store;
pub mod template;
#[cfg(any(feature = "redis", feature = "amqp"))]
mod tls;
pub mod trace;
pub mod verify;
pub mod why;
pub mod worker;

pub use clock::Timestamp;
pub use config::Role;
pub use embed::{Ask, Builder, Cronclave, Error, ErrorKind, Run, Status};
pub use job::JobName;
pub use lease::{Fence, RunId};
pub use ledger::State;
pub use runner::{Context, shim};

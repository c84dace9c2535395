//! Cronclave: the cluster-safe cron. Any number of replicas, every occurrence starts once.
//!
//! This is the library: the scheduler within a program of your own. Jobs stand in TOML, as they do for the program
//! `cronclave`; one that says `handler = "name"` runs an async function of yours.
//!
//! ```
//! use cronclave::{Context, Cronclave};
//!
//! async fn report(context: Context) -> Result<(), std::io::Error> {
//!     // The run's id is the same for every attempt: an idempotency key. The fence grows with every start.
//!     println!("{} for {}, fence {}", context.run_id(), context.scheduled_at(), context.fence());
//!     Ok(())
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), cronclave::Error> {
//! # let place = tempfile::tempdir().unwrap();
//! let cron = Cronclave::builder()
//!     .toml("jobs.toml", r#"
//!         version = 1
//!         [jobs.report]
//!         schedule = "0 6 * * MON-FRI"
//!         timezone = "Europe/Berlin"
//!         handler  = "report"
//!     "#)
//!     .handler("report", report)
//!     .from_env() // REDIS_URL for replicas on many machines; without it one SQLite file.
//! #   .sqlite(place.path().join("cron.db"))
//!     .start()
//!     .await?;
//! # let stop = cron.clone();
//! # tokio::spawn(async move { stop.shutdown().await });
//! cron.stopped().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Cronclave`] is the running replica, [`Builder`] what it is set up with, [`Context`] what a handler is given, and
//! [`testing`] lives through a year of your jobs in a moment. The guides are `docs/EMBEDDING.md` and `docs/TESTING.md`.
//!
//! What is documented here keeps to semantic versioning. All other modules can be seen because the program and its tests
//! need them; they are hidden from these pages, and nothing about them is promised.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[doc(hidden)]
pub mod announce;
#[doc(hidden)]
pub mod attempt;
#[doc(hidden)]
pub mod backfill;
#[doc(hidden)]
pub mod broker;
#[doc(hidden)]
pub mod check;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod crontab;
#[doc(hidden)]
pub mod daemon;
#[doc(hidden)]
pub mod desk;
#[doc(hidden)]
pub mod diff;
#[doc(hidden)]
pub mod doctor;
mod embed;
#[doc(hidden)]
pub mod event;
#[doc(hidden)]
pub mod handover;
mod hash;
#[doc(hidden)]
pub mod hook;
#[cfg(feature = "http")]
#[doc(hidden)]
pub mod http;
#[cfg(not(feature = "http"))]
#[path = "no_http.rs"]
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod inbox;
#[doc(hidden)]
pub mod job;
#[doc(hidden)]
pub mod lease;
#[doc(hidden)]
pub mod ledger;
#[doc(hidden)]
pub mod measure;
#[doc(hidden)]
pub mod metrics;
#[doc(hidden)]
pub mod notify;
#[doc(hidden)]
pub mod occurrence;
#[doc(hidden)]
pub mod parts;
#[doc(hidden)]
pub mod phrase;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod progress;
#[doc(hidden)]
pub mod race;
#[doc(hidden)]
pub mod recall;
#[doc(hidden)]
pub mod record;
#[doc(hidden)]
pub mod replica;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod request;
#[doc(hidden)]
pub mod runner;
#[doc(hidden)]
pub mod schedule;
#[doc(hidden)]
pub mod service;
#[doc(hidden)]
pub mod shape;
#[doc(hidden)]
pub mod signature;
#[doc(hidden)]
pub mod simulate;
#[doc(hidden)]
pub mod spans;
#[doc(hidden)]
pub mod stop;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod template;
pub mod testing;
mod thrift;
#[cfg(any(feature = "redis", feature = "amqp"))]
mod tls;
#[doc(hidden)]
pub mod trace;
#[doc(hidden)]
pub mod verify;
#[doc(hidden)]
pub mod why;
#[doc(hidden)]
pub mod worker;

#[doc(inline)]
pub use clock::Timestamp;
#[doc(inline)]
pub use config::Role;
#[doc(inline)]
pub use embed::{Ask, Builder, Cronclave, Error, ErrorKind, Run, Status};
#[doc(inline)]
pub use job::JobName;
#[doc(inline)]
pub use lease::{Fence, RunId};
#[doc(inline)]
pub use ledger::State;
#[doc(inline)]
pub use runner::{Context, shim};

/// The blocks of Rust in the guides are tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../docs/EMBEDDING.md")]
    struct Embedding;
    #[doc = include_str!("../docs/TESTING.md")]
    struct Testing;
}

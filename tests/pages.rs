//! Pages, asked of a front that knows what the test wrote down, at the hour that the test says.
#![allow(clippy::unwrap_used)]

#[path = "pages/bench.rs"]
mod bench;
#[path = "pages/job.rs"]
mod job;
#[path = "pages/timeline.rs"]
mod timeline;
#[path = "common/wire.rs"]
mod wire;

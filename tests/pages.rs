//! Pages as browsers without a script get them, and what scripts of ours ask for: of a real replica, or of a front that
//! knows what the test wrote down, at the hour that the test says.
#![allow(clippy::unwrap_used)]

#[path = "pages/bench.rs"]
mod bench;
#[path = "pages/down.rs"]
mod down;
#[path = "pages/job.rs"]
mod job;
#[path = "pages/log.rs"]
mod log;
#[path = "pages/runs.rs"]
mod runs;
#[path = "common/served.rs"]
mod served;
#[path = "common/servers.rs"]
mod servers;
#[path = "pages/site.rs"]
mod site;
#[path = "pages/timeline.rs"]
mod timeline;
#[path = "common/wire.rs"]
mod wire;

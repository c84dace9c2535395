//! The pages of a real replica, as browsers without a script get them, and what scripts of ours ask for.
#![allow(clippy::unwrap_used)]

#[path = "pages/log.rs"]
mod log;
#[path = "pages/runs.rs"]
mod runs;
#[path = "common/served.rs"]
mod served;
#[path = "pages/site.rs"]
mod site;

//! What somebody may try against a replica that serves HTTP, and how far they get. Real processes.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "attacks/access.rs"]
mod access;
#[path = "attacks/floods.rs"]
mod floods;
#[path = "attacks/pages.rs"]
mod pages;
#[path = "attacks/secrets.rs"]
mod secrets;
#[path = "common/served.rs"]
mod served;
#[path = "common/servers.rs"]
mod servers;
#[path = "attacks/sites.rs"]
mod sites;
#[path = "attacks/texts.rs"]
mod texts;

/// A job that runs every second.
const TICK: &str = "[jobs.tick]\nevery = \"1s\"\ncommand = \"echo tock\"\n";

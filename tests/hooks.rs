//! Hooks, pings and chains: what follows an event reaches whom it is for, whatever fails on the way. Against a real
//! receiver, over a real SQLite file; some with real processes.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "hooks/alone.rs"]
mod alone;
#[path = "hooks/processes.rs"]
mod processes;
#[path = "common/python.rs"]
mod python;
#[path = "hooks/receiver.rs"]
mod receiver;
#[path = "hooks/redis.rs"]
mod redis;
#[path = "hooks/registered.rs"]
mod registered;
#[path = "common/servers.rs"]
mod servers;
#[path = "common/wire.rs"]
mod wire;

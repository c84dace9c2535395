//! A store in Redis, from its address to its failures: real servers, each on a port of its own.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "redis/address.rs"]
mod address;
#[path = "redis/link.rs"]
mod link;
#[path = "common/odd.rs"]
mod odd;
#[path = "common/servers.rs"]
mod servers;

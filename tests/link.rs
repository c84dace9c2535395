//! The way to a Redis, from its address to its failures: real servers, each on a port of its own.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "link/address.rs"]
mod address;
#[path = "link/cluster.rs"]
mod cluster;
#[path = "link/connection.rs"]
mod connection;
#[path = "common/odd.rs"]
mod odd;
#[path = "common/servers.rs"]
mod servers;

//! What goes out to other services and comes in from them: replicas as real processes, on a real Redis and a real
//! RabbitMQ, and others who speak AMQP and MQTT without anything of ours.
#![allow(clippy::unwrap_used, dead_code, unused_macros, unused_imports)]

#[path = "messages/bad.rs"]
mod bad;
#[path = "disorder/cluster.rs"]
mod cluster;
#[path = "common/invariants.rs"]
mod invariants;
#[path = "messages/mqtt.rs"]
mod mqtt;
#[path = "messages/others.rs"]
mod others;
#[path = "messages/publish.rs"]
mod publish;
#[path = "common/rabbit.rs"]
mod rabbit;
#[path = "messages/results.rs"]
mod results;
#[path = "common/servers.rs"]
mod servers;

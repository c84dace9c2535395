//! Brokers held to what they promise: one suite for all, and what only RabbitMQ can do wrong.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "broker/amqp.rs"]
mod amqp;
#[path = "broker/dialing.rs"]
mod dialing;
#[path = "broker/faults.rs"]
mod faults;
#[path = "common/proxy.rs"]
mod proxy;
#[path = "common/rabbit.rs"]
mod rabbit;
#[path = "common/servers.rs"]
mod servers;
#[path = "broker/suite.rs"]
mod suite;

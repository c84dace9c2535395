//! How many persistent, confirmed messages a second go through [`Broker::publish`], next to lapin alone, on a
//! RabbitMQ of its own, with so many on their way at the same time:
//!
//!     cargo bench --bench publish
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/figures.rs"]
mod figures;
#[path = "../tests/common/rabbit.rs"]
mod rabbit;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cronclave::broker::amqp::Settings;
use cronclave::broker::{Amqp, Broker, Message};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

/// So many messages are sent at each measurement.
const MESSAGES: usize = 10_000;
const ROUNDS: usize = 3;

fn message() -> Message {
    let text = |text: &str| text.to_owned();
    Message {
        key: text("task.bench.q.report"),
        id: text("01935a70-88d2-7a55-b6f5-5d5cf1d6b9c1.1"),
        correlation_id: Some(text("01935a70-88d2-7a55-b6f5-5d5cf1d6b9c1")),
        kind: text("dev.cronclave.task.requested.v1"),
        content_type: text("application/cloudevents+json; charset=utf-8"),
        headers: (0..6).map(|index| (format!("cloudEvents_{index}"), text("value"))).collect(),
        expires: Some(Duration::from_secs(3600)),
        body: vec![b'x'; 600],
        ..Message::default()
    }
}

/// Messages a second, when `window` of `send` are under way at the same time.
async fn rate<F>(window: usize, send: impl Fn() -> F + Send + Sync + 'static) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let (send, left, began) = (Arc::new(send), Arc::new(AtomicUsize::new(MESSAGES)), Instant::now());
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..window {
        let (send, left) = (send.clone(), left.clone());
        senders.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                send().await;
            }
        });
    }
    senders.join_all().await;
    f64::from(u32::try_from(MESSAGES).unwrap()) / began.elapsed().as_secs_f64()
}

/// The same properties, made beforehand.
fn properties() -> BasicProperties {
    let message = message();
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        headers.insert(name.as_str().into(), AMQPValue::LongString(value.as_str().into()));
    }
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(message.id.into())
        .with_correlation_id("01935a70-88d2-7a55-b6f5-5d5cf1d6b9c1".into())
        .with_type(message.kind.into())
        .with_content_type(message.content_type.into())
        .with_app_id("cronclave/0.0.0".into())
        .with_expiration("3600000".into())
        .with_headers(headers)
}

async fn send_plainly(channel: &Channel, body: &[u8], properties: BasicProperties) {
    let (exchange, key) = ("cronclave.tasks".into(), "task.bench.q.report".into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirmed = channel.basic_publish(exchange, key, options, body, properties).await.unwrap().await.unwrap();
    assert_eq!(confirmed, Confirmation::Ack(None));
}

#[tokio::main]
async fn main() {
    let rabbit = rabbit::Rabbit::start();
    let settings = Settings { cluster: "bench".into(), replica: "bench".into(), declare: true, mqtt: false };
    let broker = Arc::new(Amqp::open(rabbit.url().parse().unwrap(), settings));
    broker.publish(&message()).await.unwrap();
    let connection = Connection::connect(&rabbit.url(), ConnectionProperties::default()).await.unwrap();
    let channel = Arc::new(connection.create_channel().await.unwrap());
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    for window in [1, 100, 1000] {
        let (mut ours, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            rabbit.purge("%2F", "cronclave.q.bench.q");
            let (channel, properties) = (channel.clone(), properties());
            plain.push(
                rate(window, move || {
                    let (channel, properties) = (channel.clone(), properties.clone());
                    async move { send_plainly(&channel, &[b'x'; 600], properties).await }
                })
                .await,
            );
            rabbit.purge("%2F", "cronclave.q.bench.q");
            let (broker, message) = (broker.clone(), Arc::new(message()));
            ours.push(
                rate(window, move || {
                    let (broker, message) = (broker.clone(), message.clone());
                    async move { broker.publish(&message).await.unwrap() }
                })
                .await,
            );
        }
        let [ours, plain] = [ours, plain].map(figures::median);
        figures::tell(
            "publish",
            &format!("{window} at a time"),
            &[("ours_per_second", ours), ("lapin_per_second", plain), ("lapin_ratio", ours / plain)],
        );
    }
}

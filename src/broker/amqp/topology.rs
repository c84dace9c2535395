//! What has to be on the server: exchanges, queues and the bindings between them.

use std::collections::BTreeMap;

use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Error, ExchangeKind};

use super::link::Session;
use super::{Settings, words};
use crate::broker::{Exchange, Message, Queue};
use crate::job::QueueName;

/// Our exchanges.
pub(super) const EXCHANGES: [Exchange; 5] =
    [Exchange::Tasks, Exchange::Results, Exchange::Triggers, Exchange::Events, Exchange::Dead];

/// Where RabbitMQ's MQTT sends and listens.
const MQTT: &str = "amq.topic";

/// A message that came back more often is dead.
const DELIVERIES: i64 = 20;

/// Dead letters beyond this go, the oldest first.
const DEAD: i64 = 10_000;

/// Dead letters older than this go: 14 days, in milliseconds.
const DEAD_FOR: i64 = 14 * 24 * 60 * 60 * 1000;

/// Looking at a dead letter counts as a delivery, and is not to kill it: RabbitMQ 4 has a limit unless one is set.
const LOOKS: i64 = 1_000_000_000;

/// Why something is not there.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The connection or its channel ended: it may work on the next.
    Away(String),
    /// The server refuses, until somebody mends something.
    Refused(String),
}

impl Trouble {
    pub(super) fn of(what: &str, error: &Error) -> Trouble {
        let text = words::about(what, error);
        if words::is_refusal(error) { Trouble::Refused(text) } else { Trouble::Away(text) }
    }

    pub(super) fn into_words(self) -> String {
        match self {
            Trouble::Away(why) | Trouble::Refused(why) => why,
        }
    }
}

/// What a queue is called on the server. No queue of a job is called like one of the others.
pub(super) fn name(cluster: &str, queue: &Queue) -> String {
    match queue {
        Queue::Tasks(name) => format!("cronclave.q.{cluster}.{name}"),
        Queue::Results => format!("cronclave.{cluster}.results"),
        Queue::Triggers => format!("cronclave.{cluster}.triggers"),
    }
}

/// What the queue of the dead letters is called.
pub(super) fn dead(cluster: &str) -> String {
    format!("cronclave.{cluster}.dead")
}

/// What the queue that is called so on the server is called in its dead letters: as jobs call it, or `.results`.
pub(super) fn short<'a>(cluster: &str, name: &'a str) -> &'a str {
    let task = name.strip_prefix(&format!("cronclave.q.{cluster}."));
    let other = || name.strip_prefix(&format!("cronclave.{cluster}")).filter(|rest| rest.starts_with('.'));
    task.or_else(other).unwrap_or(name)
}

/// What a queue is called on the server, given either name.
pub(super) fn long(cluster: &str, name: &str) -> String {
    match name {
        _ if name.starts_with("cronclave.") => name.to_owned(),
        _ if name.starts_with('.') => format!("cronclave.{cluster}{name}"),
        _ => format!("cronclave.q.{cluster}.{name}"),
    }
}

/// A queue as it has to be.
pub(super) struct Wanted {
    pub(super) name: String,
    arguments: Vec<(&'static str, AMQPValue)>,
    /// An exchange and a pattern of routing keys.
    bindings: Vec<(&'static str, String)>,
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

pub(super) fn wanted(settings: &Settings, queue: &Queue) -> Wanted {
    let cluster = &settings.cluster;
    let (kind, bindings) = match queue {
        Queue::Tasks(name) => (name.to_string(), vec![("cronclave.tasks", format!("task.{cluster}.{name}.#"))]),
        Queue::Results => ("results".into(), vec![("cronclave.results", format!("result.{cluster}.#"))]),
        Queue::Triggers => {
            let key = format!("trigger.{cluster}.*");
            let mut bindings = vec![("cronclave.triggers", key.clone())];
            if settings.mqtt {
                bindings.push((MQTT, key));
            }
            ("triggers".into(), bindings)
        }
    };
    let arguments = vec![
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(DELIVERIES)),
        ("x-dead-letter-exchange", text("cronclave.dead")),
        ("x-dead-letter-routing-key", text(&format!("dead.{cluster}.{kind}"))),
    ];
    Wanted { name: name(cluster, queue), arguments, bindings }
}

pub(super) fn wanted_dead(settings: &Settings) -> Wanted {
    let arguments = vec![
        ("x-queue-type", text("quorum")),
        ("x-max-length", AMQPValue::LongLongInt(DEAD)),
        ("x-overflow", text("drop-head")),
        ("x-message-ttl", AMQPValue::LongLongInt(DEAD_FOR)),
        ("x-delivery-limit", AMQPValue::LongLongInt(LOOKS)),
    ];
    let bindings = vec![("cronclave.dead", format!("dead.{}.#", settings.cluster))];
    Wanted { name: dead(&settings.cluster), arguments, bindings }
}

/// The queue that a message is meant for; `None` when it is for whoever listens.
pub(super) fn meant(message: &Message) -> Option<Queue> {
    match &message.to {
        Exchange::Tasks => {
            let name = message.key.split('.').nth(2)?;
            QueueName::new(name).map(Queue::Tasks)
        }
        Exchange::Results => Some(Queue::Results),
        Exchange::Triggers => Some(Queue::Triggers),
        Exchange::Events | Exchange::Dead | Exchange::Foreign(_) => None,
    }
}

impl Session {
    /// Sees to it that the exchanges, the queue of the dead letters and `queue` are there, once on this connection.
    pub(super) async fn ensure(&self, settings: &Settings, queue: Option<&Queue>) -> Result<(), Trouble> {
        let mut declared = self.declared.lock().await;
        if !declared.contains("") {
            self.declare_base(settings).await?;
            declared.insert(String::new());
        }
        let Some(queue) = queue else { return Ok(()) };
        if !declared.contains(&name(&settings.cluster, queue)) {
            let wanted = wanted(settings, queue);
            self.declare_queue(&self.channel().await?, settings, &wanted).await?;
            declared.insert(wanted.name);
        }
        Ok(())
    }

    /// What was there may be gone: the next [`Session::ensure`] looks again.
    pub(super) async fn forget(&self) {
        self.declared.lock().await.clear();
    }

    /// A new channel.
    pub(super) async fn channel(&self) -> Result<Channel, Trouble> {
        self.connection.create_channel().await.map_err(|error| Trouble::of("a channel", &error))
    }

    async fn declare_base(&self, settings: &Settings) -> Result<(), Trouble> {
        // A refusal ends the channel: nobody else is on this one.
        let channel = self.channel().await?;
        for exchange in EXCHANGES {
            let options = ExchangeDeclareOptions {
                durable: true,
                passive: !settings.declare,
                ..ExchangeDeclareOptions::default()
            };
            let name: ShortString = exchange.name().into();
            let done = channel.exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default()).await;
            done.map_err(|error| Trouble::of(&format!("the exchange `{}`", exchange.name()), &error))?;
        }
        if settings.declare && settings.mqtt {
            let options = ExchangeBindOptions::default();
            let (to, from) = (MQTT.into(), Exchange::Events.name().into());
            let done = channel.exchange_bind(to, from, "cronclave.#".into(), options, FieldTable::default()).await;
            done.map_err(|error| Trouble::of("the binding of `cronclave.events` to `amq.topic`", &error))?;
        }
        self.declare_queue(&channel, settings, &wanted_dead(settings)).await
    }

    async fn declare_queue(&self, channel: &Channel, settings: &Settings, wanted: &Wanted) -> Result<(), Trouble> {
        self.declare_unbound(channel, settings, wanted).await?;
        if !settings.declare {
            return Ok(());
        }
        let name: ShortString = wanted.name.as_str().into();
        for (exchange, key) in &wanted.bindings {
            let options = QueueBindOptions::default();
            let done = channel
                .queue_bind(name.clone(), (*exchange).into(), key.as_str().into(), options, FieldTable::default())
                .await;
            let what = format!("the queue `{}`, bound to `{exchange}`,", wanted.name);
            done.map_err(|error| Trouble::of(&what, &error))?;
        }
        Ok(())
    }

    /// Makes a queue, or looks whether it is there. One that is there with other settings is refused.
    pub(super) async fn declare_unbound(
        &self,
        channel: &Channel,
        settings: &Settings,
        wanted: &Wanted,
    ) -> Result<(), Trouble> {
        let options =
            QueueDeclareOptions { durable: true, passive: !settings.declare, ..QueueDeclareOptions::default() };
        let table: BTreeMap<ShortString, AMQPValue> =
            wanted.arguments.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        let done = channel.queue_declare(wanted.name.as_str().into(), options, table.into()).await;
        done.map_err(|error| Trouble::of(&format!("the queue `{}`", wanted.name), &error)).map(drop)
    }

    /// Looks whether somebody else's exchange is there.
    pub(super) async fn find_exchange(&self, name: &str) -> Result<(), Trouble> {
        if name.is_empty() {
            return Ok(());
        }
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let channel = self.channel().await?;
        let found = channel.exchange_declare(name.into(), ExchangeKind::Direct, options, FieldTable::default()).await;
        match found {
            Err(error) if words::is_missing(&error) => Err(Trouble::Refused(format!(
                "there is no exchange `{name}`: make it before messages are sent to it, or correct the name"
            ))),
            found => found.map_err(|error| Trouble::of(&format!("the exchange `{name}`"), &error)),
        }
    }
}

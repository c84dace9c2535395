//! Others on the same RabbitMQ, who know nothing of us.

use std::collections::BTreeMap;

use cronclave::ledger::{State, What};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ExchangeDeclareOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::cluster::{Cluster, until};
use super::rabbit::Rabbit;

/// The workers' queue of a cluster that was given no name.
pub(crate) const QUEUE: &str = "cronclave.q.default.default";

/// A cluster on a vhost of its own, and somebody else there.
pub(crate) struct Place {
    pub(crate) cluster: Cluster,
    pub(crate) vhost: String,
    pub(crate) other: Other,
}

impl Place {
    pub(crate) fn new(jobs: &str) -> Place {
        let mut cluster = Cluster::beside_others(jobs).moved_to_redis(&[]);
        let vhost = Rabbit::shared().vhost();
        let url = Rabbit::shared().url_of(&vhost);
        cluster.amqp = Some(url.clone());
        Place { cluster, vhost, other: Other::at(&url) }
    }

    /// How a run of `job` ended that is to end soon: the latest line of its history, and its message.
    pub(crate) fn ended(&self, job: &str) -> (State, String) {
        until("the run is over", || {
            let history = self.cluster.history(job);
            self.cluster.open_runs(job).is_empty() && !history.is_empty()
        });
        let last = self.cluster.history(job).pop().unwrap();
        (last.state, last.message.unwrap_or_default())
    }

    /// How the runs of a job ended that are over, the first first.
    pub(crate) fn states(&self, job: &str) -> Vec<State> {
        self.cluster.history(job).into_iter().map(|entry| entry.state).collect()
    }

    /// Why attempts of a job failed so far.
    pub(crate) fn failures(&self, job: &str) -> Vec<String> {
        let of_job = self.cluster.events().into_iter().filter(|(_, event)| event.job.as_str() == job);
        let why = of_job.filter_map(|(_, event)| match event.what {
            What::Ended { ended, .. } => ended.message,
            _ => None,
        });
        why.collect()
    }

    /// Types a command of ours; its exit code, and all that it said.
    pub(crate) fn ask(&self, args: &[&str]) -> (i32, String) {
        let done = self.cluster.cronclave(args).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        (done.status.code().unwrap(), said)
    }

    /// The dead letters, as `cronclave dead` tells of them.
    pub(crate) fn dead(&self) -> Vec<Value> {
        let (code, said) = self.ask(&["dead", "--json"]);
        assert_eq!(code, 0, "{said}");
        serde_json::from_str::<Value>(&said).unwrap()["items"].as_array().unwrap().clone()
    }

    /// Waits for a dead letter whose reason has `word` in it.
    pub(crate) fn dead_because(&self, word: &str) -> Value {
        let mut found = None;
        until(&format!("a dead letter says {word}"), || {
            found = self.dead().into_iter().find(|letter| letter["reason"].as_str().unwrap().contains(word));
            found.is_some()
        });
        found.unwrap()
    }

    /// Waits until one of the processes has said `words` on one line.
    pub(crate) fn says(&self, name: &str, words: &[&str]) {
        until(&format!("{name} says {words:?}"), || {
            let log = std::fs::read_to_string(self.cluster.path(&format!("{name}.log"))).unwrap_or_default();
            log.lines().any(|line| words.iter().all(|word| line.contains(word)))
        });
    }
}

/// One of them.
pub(crate) struct Other {
    runtime: Runtime,
    channel: Channel,
    _connection: Connection,
}

impl Other {
    fn at(url: &str) -> Other {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (connection, channel) = runtime.block_on(async {
            let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            channel.confirm_select(Default::default()).await.unwrap();
            (connection, channel)
        });
        Other { runtime, channel, _connection: connection }
    }

    pub(crate) fn exchange(&self, name: &str) {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let made = self.channel.exchange_declare(name.into(), ExchangeKind::Topic, durable, FieldTable::default());
        self.runtime.block_on(made).unwrap();
    }

    /// A queue that gets what goes to an exchange, which is made as well, with these keys.
    pub(crate) fn queue(&self, name: &str, exchange: &str, keys: &str) {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.runtime.block_on(self.channel.queue_declare(name.into(), durable, FieldTable::default())).unwrap();
        if !exchange.is_empty() {
            self.exchange(exchange);
            let none = FieldTable::default();
            let bound = self.channel.queue_bind(name.into(), exchange.into(), keys.into(), Default::default(), none);
            self.runtime.block_on(bound).unwrap();
        }
    }

    /// The next message of a queue, if there is one, not acknowledged yet.
    fn look(&self, queue: &str) -> Option<Delivery> {
        let got = self.channel.basic_get(queue.into(), BasicGetOptions::default());
        self.runtime.block_on(got).unwrap().map(|got| got.delivery)
    }

    pub(crate) fn is_empty(&self, queue: &str) -> bool {
        self.look(queue).is_none()
    }

    /// Takes the next message of a queue, which is to come soon.
    pub(crate) fn take(&self, queue: &str) -> Delivery {
        let mut found = None;
        until("a message comes", || {
            found = self.look(queue);
            found.is_some()
        });
        let delivery = found.unwrap();
        self.runtime.block_on(delivery.ack(BasicAckOptions::default())).unwrap();
        delivery
    }

    /// Takes the next message and gives it back, again and again: how often.
    pub(crate) fn refuse(&self, queue: &str, is_over: impl Fn() -> bool) -> usize {
        let mut times = 0;
        until("the message comes no more", || {
            while let Some(delivery) = self.look(queue) {
                let back = BasicNackOptions { requeue: true, ..Default::default() };
                self.runtime.block_on(delivery.nack(back)).unwrap();
                times += 1;
            }
            is_over()
        });
        times
    }

    /// Sends a message until a queue has taken it: ours are made when somebody first takes from them.
    pub(crate) fn send(&self, exchange: &str, key: &str, body: impl AsRef<[u8]>) {
        let sent = async || {
            let properties = BasicProperties::default().with_delivery_mode(2);
            let options = BasicPublishOptions { mandatory: true, ..Default::default() };
            self.channel.basic_publish(exchange.into(), key.into(), options, body.as_ref(), properties).await?.await
        };
        until("a queue takes the message", || {
            matches!(self.runtime.block_on(sent()).unwrap(), Confirmation::Ack(None))
        });
    }

    /// Reports on a run as a foreign worker does.
    pub(crate) fn report(&self, job: &str, report: &Value) {
        let outcome = report["outcome"].as_str().unwrap();
        self.send("cronclave.results", &format!("result.default.{job}.{outcome}"), report.to_string());
    }
}

/// The headers of a message that are texts.
pub(crate) fn headers(delivery: &Delivery) -> BTreeMap<String, String> {
    let table = delivery.properties.headers().clone().unwrap_or_default();
    let text = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    };
    table.inner().iter().filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
}

/// The body of a message that is JSON.
pub(crate) fn body(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.data).unwrap()
}

//! A broker in RabbitMQ, over AMQP 0-9-1. One connection sends and another takes: where the server takes no more
//! messages for lack of memory, it stops listening to whoever sends, and work that is done is still to be
//! acknowledged.

mod consume;
mod dead;
mod dial;
mod exam;
mod kit;
mod link;
mod publish;
mod topology;
mod wire;
mod words;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use tokio::time::{Instant, timeout_at};

use super::{Broker, Consumer, DeadLetter, Message, NotPublished, Queue, QueueState, Remedy};
use crate::job::QueueName;
use link::{Link, Session};
use topology::Trouble;

pub use crate::broker::address::Address;
pub use exam::{Exam, Standing};

/// How long looking at the queues may take: longer than a connection, so that it can be said why there is none.
const LIMIT: Duration = Duration::from_secs(12);

/// How the broker is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cluster, a part of routing keys: without `.`, `*` and `#`.
    pub cluster: String,
    /// Who connects, for whoever looks at the server's connections.
    pub replica: String,
    /// Makes what is missing on the server; otherwise only looks whether it is there.
    pub declare: bool,
    /// Lets MQTT hear the events, and send triggers.
    pub mqtt: bool,
}

/// The broker. It connects when it is first used. Dropped, it leaves no task behind.
pub struct Amqp {
    address: Address,
    settings: Arc<Settings>,
    outward: Link,
    inward: Arc<Link>,
}

impl Amqp {
    /// A broker at `address`, which is not spoken to yet.
    pub fn open(address: Address, settings: Settings) -> Amqp {
        let link = || Link::new(address.clone(), format!("cronclave {}", settings.replica));
        Amqp { outward: link(), inward: Arc::new(link()), address: address.clone(), settings: Arc::new(settings) }
    }

    /// Connects, and makes sure that what is needed is there. Returns the server's product and version.
    ///
    /// # Errors
    /// Why it cannot be used, in words that say what mends it.
    pub async fn check(&self) -> Result<String, String> {
        let limit = Instant::now() + LIMIT;
        let server = self.outward.check(limit).await?;
        let session = self.outward.session(limit).await?;
        let ensured = timeout_at(limit, session.ensure(&self.settings, None)).await;
        ensured.map_err(|_| "RabbitMQ does not answer in time".to_owned())?.map_err(Trouble::into_words)?;
        Ok(server)
    }

    /// How many messages wait in a queue, and who takes from it; `None` when there is no such queue.
    async fn counts(session: &Session, name: &str) -> Result<Option<(u64, u64)>, String> {
        // A queue that is not there ends the channel: each has its own.
        let channel = session.channel().await.map_err(Trouble::into_words)?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        match channel.queue_declare(name.into(), options, FieldTable::default()).await {
            Ok(queue) => Ok(Some((queue.message_count().into(), queue.consumer_count().into()))),
            Err(error) if words::is_missing(&error) => Ok(None),
            Err(error) => Err(words::about(&format!("the queue `{name}`"), &error)),
        }
    }
}

#[async_trait]
impl Broker for Amqp {
    fn describe(&self) -> String {
        format!("RabbitMQ at {}", self.address.masked())
    }

    fn down(&self) -> Option<String> {
        self.outward.down()
    }

    async fn up(&self) {
        self.outward.up().await;
    }

    async fn publish(&self, message: &Message) -> Result<(), NotPublished> {
        publish::publish(&self.outward, &self.settings, message).await
    }

    fn consume(&self, queue: Queue) -> Box<dyn Consumer> {
        Box::new(consume::Taker::new(self.inward.clone(), self.settings.clone(), queue))
    }

    async fn queues(&self, names: &[QueueName]) -> Result<Vec<QueueState>, String> {
        let limit = Instant::now() + LIMIT;
        let session = self.inward.session(limit).await?;
        let cluster = &self.settings.cluster;
        let own = names.iter().map(|name| (topology::name(cluster, &Queue::Tasks(name.clone())), Some(name)));
        let looking = async {
            let mut all = Vec::new();
            for (name, queue) in own.chain([(topology::dead(cluster), None)]) {
                let counts = Amqp::counts(&session, &name).await?;
                let queue = queue.map(ToString::to_string);
                let (ready, consumers) = (counts.map(|(ready, _)| ready), counts.map_or(0, |(_, takers)| takers));
                all.push(QueueState { name, queue, ready, consumers });
            }
            Ok(all)
        };
        timeout_at(limit, looking).await.map_err(|_| "RabbitMQ does not answer in time".to_owned())?
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, String> {
        if limit == 0 { Ok(Vec::new()) } else { self.look(limit).await }
    }

    async fn remedy(&self, id: &str, remedy: Remedy) -> Result<bool, String> {
        self.remove(id, remedy).await
    }
}

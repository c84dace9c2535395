//! How messages get from process to process: the [`Broker`] trait, and its homes. A message is a
//! wake-up, the store is the truth: brokers may deliver twice, late or not at all.

pub mod address;
#[cfg(feature = "amqp")]
pub mod amqp;
pub mod cloud;
mod dead;
mod local;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::job::QueueName;

#[cfg(feature = "amqp")]
pub use amqp::Amqp;
pub use dead::dead_letter;
pub use local::Local;

/// A way for messages. Every call but [`Consumer::next`] has a limit of its own.
#[async_trait]
pub trait Broker: Send + Sync {
    /// What it is and where, for people; without passwords.
    fn describe(&self) -> String;

    /// Whether a message could be sent now: `None`, or why not, for people.
    fn down(&self) -> Option<String>;

    /// Until a message could be sent, as far as can be told.
    async fn up(&self);

    /// Hands a message over. `Ok`: the broker has it on disk, in every queue it is routed to.
    async fn publish(&self, message: &Message) -> Result<(), NotPublished>;

    /// Takes messages from a queue, one at a time. It connects when first asked for one.
    fn consume(&self, queue: Queue) -> Box<dyn Consumer>;

    /// The queues of these names, and that of the dead letters, as they stand.
    ///
    /// # Errors
    /// When the broker does not answer, in words.
    async fn queues(&self, names: &[QueueName]) -> Result<Vec<QueueState>, String>;

    /// The oldest dead letters, at most `limit`. They stay where they are.
    ///
    /// # Errors
    /// When the broker does not answer, in words.
    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, String>;

    /// Removes the dead letter with this id; [`Remedy::Resend`] puts it back into the queue it died in before that.
    /// Whether there was one.
    ///
    /// # Errors
    /// When the broker does not answer, or does not take it back, in words.
    async fn remedy(&self, id: &str, remedy: Remedy) -> Result<bool, String>;
}

/// Takes messages from one queue, one at a time: until the last is acknowledged or given back, the
/// broker sends no further one. Dropping it gives back what it has.
#[async_trait]
pub trait Consumer: Send {
    /// The next message, whenever it comes. Connects again as often as it takes. What was not settled
    /// before is given up.
    async fn next(&mut self) -> Delivery;

    /// The last message is done with. Should this get lost, the message comes again.
    async fn ack(&mut self);

    /// The last message is for somebody else, or for later.
    async fn requeue(&mut self);

    /// The last message is done with, though its work goes on: acknowledges it, and takes no other until
    /// [`Consumer::next`] is called.
    async fn ack_early(&mut self);
}

/// A message that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// What came.
    pub message: Message,
    /// It was delivered before, to this consumer or another.
    pub redelivered: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Message {
    /// Where it is sent.
    pub to: Exchange,
    /// The routing key.
    pub key: String,
    /// Its identity, by which whoever takes it knows a copy; at most 255 bytes.
    pub id: String,
    /// What it is about: a run's id.
    pub correlation_id: Option<String>,
    /// What kind it is, as in `dev.cronclave.task.requested.v1`.
    pub kind: String,
    /// Of the body.
    pub content_type: String,
    /// Sent along.
    pub headers: BTreeMap<String, String>,
    /// 0 to 255; `None` leaves it to the broker.
    pub priority: Option<u8>,
    /// Worthless after so long.
    pub expires: Option<Duration>,
    /// It is lost with the broker's memory.
    pub transient: bool,
    /// It is fine when no queue takes it.
    pub optional: bool,
    /// When it was made.
    pub at: Timestamp,
    /// The content.
    #[serde(skip)]
    pub body: Vec<u8>,
}

/// Where messages are sent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exchange {
    /// Requests for workers: `task.CLUSTER.QUEUE.JOB`.
    #[default]
    Tasks,
    /// How foreign workers fared: `result.CLUSTER.JOB.OUTCOME`.
    Results,
    /// Requests to run a job: `trigger.CLUSTER.JOB`.
    Triggers,
    /// What happened: `cronclave.CLUSTER.run.failed.JOB`.
    Events,
    /// What could not be understood.
    Dead,
    /// Somebody else's, which is there already. Empty: the broker's default exchange.
    Foreign(String),
}

impl Exchange {
    /// Its name on the broker.
    pub fn name(&self) -> &str {
        match self {
            Exchange::Tasks => "cronclave.tasks",
            Exchange::Results => "cronclave.results",
            Exchange::Triggers => "cronclave.triggers",
            Exchange::Events => "cronclave.events",
            Exchange::Dead => "cronclave.dead",
            Exchange::Foreign(name) => name,
        }
    }
}

/// What messages are taken from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Queue {
    /// Requests for workers.
    Tasks(QueueName),
    /// How foreign workers fared.
    Results,
    /// Requests to run a job.
    Triggers,
}

/// Why a message was not published, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// It surely was not: the broker is away. Sending it later may do.
    #[error("{0}")]
    Away(String),
    /// It may have been.
    #[error("{0}")]
    Unknown(String),
    /// It surely was not, and will not be until somebody mends something: no queue is bound, there is no such
    /// exchange, access is refused.
    #[error("{0}")]
    Refused(String),
}

/// A queue, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueState {
    /// As it is called on the broker.
    pub name: String,
    /// The name that jobs use; `None` for the queue of the dead letters.
    pub queue: Option<String>,
    /// Messages that nobody has taken yet; `None` when there is no such queue.
    pub ready: Option<u64>,
    /// Who takes from it; a worker counts once for each of its slots.
    pub consumers: u64,
}

/// What is done about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It is sent again, as it came.
    Resend,
    /// It is gone for good.
    Drop,
}

/// A message that could not be understood, or came back too often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// By which it is sent again.
    pub id: String,
    /// Why it is here.
    pub reason: String,
    /// The queue it died in.
    pub queue: String,
    /// When it was made, if it said so.
    pub at: Option<Timestamp>,
    /// How many bytes it has.
    pub size: usize,
    /// Its beginning, readable.
    pub excerpt: String,
}

/// A name as one word of a routing key, whose words end at dots: `web.1` is `web-1`.
pub fn word(name: &str) -> String {
    name.replace('.', "-")
}

/// A readable beginning of what may be anything.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A header that a dead letter gets on its way: why it is one.
pub const REASON: &str = "cronclave-reason";
/// The queue it died in, as the broker calls it.
pub const DIED_IN: &str = "cronclave-queue";
/// The routing key that it came with: of some messages it is a part of what they say.
pub const CAME_AS: &str = "cronclave-key";

/// No broker: what needs one fails, and says why.
#[derive(Debug, Clone)]
pub struct NoBroker;

const NO_BROKER: &str = "there is no broker: set AMQP_URL to the address of a RabbitMQ";

#[async_trait]
impl Broker for NoBroker {
    fn describe(&self) -> String {
        "none".into()
    }
    fn down(&self) -> Option<String> {
        None
    }
    async fn up(&self) {}
    async fn publish(&self, _: &Message) -> Result<(), NotPublished> {
        Err(NotPublished::Refused(NO_BROKER.into()))
    }
    fn consume(&self, _: Queue) -> Box<dyn Consumer> {
        Box::new(Silent)
    }
    async fn queues(&self, names: &[QueueName]) -> Result<Vec<QueueState>, String> {
        if names.is_empty() { Ok(Vec::new()) } else { Err(NO_BROKER.into()) }
    }
    async fn dead_letters(&self, _: usize) -> Result<Vec<DeadLetter>, String> {
        Err(NO_BROKER.into())
    }
    async fn remedy(&self, _: &str, _: Remedy) -> Result<bool, String> {
        Err(NO_BROKER.into())
    }
}

/// Nothing ever comes.
struct Silent;

#[async_trait]
impl Consumer for Silent {
    async fn next(&mut self) -> Delivery {
        std::future::pending().await
    }
    async fn ack(&mut self) {}
    async fn requeue(&mut self) {}
    async fn ack_early(&mut self) {}
}

//! The dead letters: looked at where they are, sent again, removed.

use std::time::Duration;

use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::types::AMQPValue;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};

use super::topology::{self, Trouble};
use super::{Amqp, wire};
use crate::broker::{CAME_AS, DIED_IN, DeadLetter, Exchange, Message, REASON, Remedy, excerpt};
use crate::clock::Timestamp;

/// How long looking through them may take.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a connection may take: somebody waits for the answer.
const STEP: Duration = Duration::from_secs(5);

/// The dead letters, taken one by one without being acknowledged: all that were not go back with the channel.
struct Pile {
    channel: Channel,
    queue: String,
}

impl Pile {
    async fn next(&self) -> Result<Option<Delivery>, String> {
        let got = self.channel.basic_get(self.queue.as_str().into(), BasicGetOptions::default()).await;
        let got = got.map_err(|error| Trouble::of("the queue of the dead letters", &error).into_words())?;
        Ok(got.map(|got| got.delivery))
    }

    /// Waits until they are back: whoever looks next is to find them where they were.
    async fn leave(self) -> Result<(), String> {
        // Those of a closed channel go back a moment later; these go back at once. 0 is all of them.
        let options = BasicNackOptions { multiple: true, requeue: true };
        self.channel.basic_nack(0, options).await.map_err(|error| error.to_string())?;
        self.channel.close(200, "seen".into()).await.map_err(|error| error.to_string())
    }
}

impl Amqp {
    /// The oldest, at most `limit`.
    pub(super) async fn look(&self, limit: usize) -> Result<Vec<DeadLetter>, String> {
        in_time(async {
            let (pile, mut all) = (self.pile().await?, Vec::new());
            while all.len() < limit
                && let Some(delivery) = pile.next().await?
            {
                all.push(letter(&self.settings.cluster, &delivery));
            }
            pile.leave().await?;
            Ok(all)
        })
        .await
    }

    /// Removes one, after sending it where it was if that is the remedy. Whether it was there.
    pub(super) async fn remove(&self, wanted: &str, remedy: Remedy) -> Result<bool, String> {
        in_time(async {
            let pile = self.pile().await?;
            let mut found = false;
            while !found && let Some(delivery) = pile.next().await? {
                if id(&delivery) != wanted {
                    continue;
                }
                found = true;
                if remedy == Remedy::Resend {
                    self.send_again(&delivery).await?;
                }
                let done = delivery.ack(BasicAckOptions::default()).await;
                done.map_err(|error| format!("it may still be there: {error}"))?;
            }
            pile.leave().await?;
            Ok(found)
        })
        .await
    }

    async fn pile(&self) -> Result<Pile, String> {
        let session = self.inward.session(Instant::now() + STEP).await?;
        session.ensure(&self.settings, None).await.map_err(Trouble::into_words)?;
        let channel = session.channel().await.map_err(Trouble::into_words)?;
        Ok(Pile { channel, queue: topology::dead(&self.settings.cluster) })
    }

    /// To the queue that it died in, as if nothing had happened to it.
    async fn send_again(&self, delivery: &Delivery) -> Result<(), String> {
        let Some(queue) = died_in(delivery) else {
            return Err("it does not say which queue it died in: it can be dropped only".into());
        };
        let cluster = &self.settings.cluster;
        // What came with a key that says something is sent with it; everything else straight into its queue.
        let (to, key) = match (topology::short(cluster, &queue), came_as(delivery)) {
            (".results", Some(key)) if key.starts_with("result.") => (Exchange::Results, key),
            (".triggers", Some(key)) if key.starts_with("trigger.") => (Exchange::Triggers, key),
            (queue, _) => (Exchange::Foreign(String::new()), topology::long(cluster, queue)),
        };
        let again = Message { to, key, ..wire::message(delivery).revived() };
        super::publish::publish(&self.outward, &self.settings, &again).await.map_err(|error| error.to_string())
    }
}

async fn in_time<T>(looking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    timeout(LIMIT, looking).await.map_err(|_| "RabbitMQ does not answer in time".to_owned())?
}

fn header(delivery: &Delivery, name: &str) -> Option<String> {
    wire::plain(delivery.properties.headers().as_ref()?.inner().get(name)?)
}

fn died_in(delivery: &Delivery) -> Option<String> {
    header(delivery, DIED_IN).or_else(|| header(delivery, "x-first-death-queue"))
}

/// The routing key it had before it died: as whoever passed it on says, or RabbitMQ.
fn came_as(delivery: &Delivery) -> Option<String> {
    if let Some(key) = header(delivery, CAME_AS) {
        return Some(key);
    }
    let AMQPValue::FieldArray(deaths) = delivery.properties.headers().as_ref()?.inner().get("x-death")? else {
        return None;
    };
    // The latest comes first.
    let AMQPValue::FieldTable(first) = deaths.as_slice().last()? else { return None };
    let AMQPValue::FieldArray(keys) = first.inner().get("routing-keys")? else { return None };
    wire::plain(keys.as_slice().first()?)
}

/// The message's own id, and a mark of where it died and what it holds: copies of a message that died in different
/// queues differ, and two that do not are the same in every way.
fn id(delivery: &Delivery) -> String {
    let own = delivery.properties.message_id().as_ref().map_or("", |id| id.as_str());
    let mut hash = Sha256::new();
    hash.update(died_in(delivery).unwrap_or_default());
    hash.update([0]);
    hash.update(&delivery.data);
    let mark: String = hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{own}~{mark}")
}

fn letter(cluster: &str, delivery: &Delivery) -> DeadLetter {
    let properties = &delivery.properties;
    let secs = properties.timestamp().and_then(|secs| i64::try_from(secs).ok());
    let reason = header(delivery, REASON).or_else(|| Some(in_words(&header(delivery, "x-first-death-reason")?)));
    let queue = died_in(delivery).unwrap_or_default();
    DeadLetter {
        id: id(delivery),
        reason: reason.unwrap_or_else(|| "it does not say".into()),
        queue: topology::short(cluster, &queue).to_owned(),
        at: secs.map(Timestamp::from_secs),
        size: delivery.data.len(),
        excerpt: excerpt(&delivery.data),
    }
}

/// What RabbitMQ says of why it gave a message up.
fn in_words(reason: &str) -> String {
    match reason {
        "delivery_limit" => "it came back too often".into(),
        "expired" => "nobody took it in time".into(),
        "maxlen" => "its queue was full".into(),
        "rejected" => "whoever took it did not want it".into(),
        other => other.to_owned(),
    }
}

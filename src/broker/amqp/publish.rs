//! Messages on their way out: sent, and confirmed by the server, or it is known why not.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::time::{Instant, timeout_at};

use super::link::{Link, Session};
use super::topology::{self, Trouble};
use super::{Settings, wire, words};
use crate::broker::{Exchange, Message, NotPublished};

/// How long it may take until a message is confirmed.
const LIMIT: Duration = Duration::from_secs(10);

/// A message as it is sent.
struct Parcel<'a> {
    message: &'a Message,
    exchange: ShortString,
    key: ShortString,
}

/// What came of sending it once.
enum Sent {
    Confirmed,
    /// No queue took it, and the server said so.
    Unroutable,
    /// It was not sent: the channel was gone already.
    Not,
    Failed(NotPublished),
}

/// Sends `message` and waits until the server has it.
pub(super) async fn publish(link: &Link, settings: &Settings, message: &Message) -> Result<(), NotPublished> {
    let parcel = Parcel {
        message,
        exchange: wire::brief("the exchange's name", message.to.name()).map_err(NotPublished::Refused)?,
        key: wire::brief("the routing key", &message.key).map_err(NotPublished::Refused)?,
    };
    let limit = Instant::now() + LIMIT;
    let (mut mended, mut unsent) = (false, false);
    loop {
        // Made anew each time, as it is sent once nearly always: a copy would cost as much.
        let properties = wire::properties(message).map_err(NotPublished::Refused)?;
        let session = link.sendable(limit).await.map_err(NotPublished::Away)?;
        let channel = match timeout_at(limit, session.publisher(settings, message)).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(Trouble::Refused(why))) => return Err(NotPublished::Refused(why)),
            Ok(Err(Trouble::Away(_))) if !std::mem::replace(&mut unsent, true) => continue,
            Ok(Err(Trouble::Away(why))) => return Err(NotPublished::Away(why)),
            Err(_) => return Err(NotPublished::Away("RabbitMQ does not answer in time".into())),
        };
        match timeout_at(limit, send(&session, &channel, &parcel, properties)).await {
            Ok(Sent::Confirmed) => return Ok(()),
            // Somebody may have removed a binding or a queue: what is ours is put back, once.
            Ok(Sent::Unroutable) if !mended && !matches!(message.to, Exchange::Foreign(_)) => {
                mended = true;
                session.forget().await;
            }
            Ok(Sent::Unroutable) => return Err(NotPublished::Refused(unroutable(message))),
            Ok(Sent::Not) if !std::mem::replace(&mut unsent, true) => {}
            Ok(Sent::Not) => return Err(NotPublished::Away("the connection to RabbitMQ keeps ending".into())),
            Ok(Sent::Failed(why)) => return Err(why),
            Err(_) => {
                let why = "RabbitMQ did not confirm the message in time: it may have it";
                return Err(NotPublished::Unknown(why.into()));
            }
        }
    }
}

/// Sends it once. No lock is held, so that any number of messages are on their way at the same time.
async fn send(session: &Session, channel: &Arc<Channel>, parcel: &Parcel<'_>, properties: BasicProperties) -> Sent {
    let options = BasicPublishOptions { mandatory: !parcel.message.optional, ..BasicPublishOptions::default() };
    let (exchange, key) = (parcel.exchange.clone(), parcel.key.clone());
    let sent = channel.basic_publish(exchange, key, options, &parcel.message.body, properties).await;
    let confirmed = match sent {
        Ok(confirm) => confirm.await,
        Err(error) if words::is_unsent(&error) => return Sent::Not,
        Err(error) => Err(error),
    };
    let name = parcel.message.to.name();
    match confirmed {
        Ok(Confirmation::Ack(None)) => Sent::Confirmed,
        Ok(Confirmation::Ack(Some(_))) => Sent::Unroutable,
        // Others of the queues that it was routed to may have it.
        Ok(Confirmation::Nack(_)) => {
            // A channel whose first message came while its queue had no leader, as after the death of a node, goes on
            // refusing for ever: seen with RabbitMQ 3.10.
            session.leave(channel).await;
            Sent::Failed(NotPublished::Unknown(format!(
                "RabbitMQ does not take `{}` on exchange {name}: a queue it is bound for is full or cannot write",
                parcel.message.key
            )))
        }
        Ok(Confirmation::NotRequested) => Sent::Failed(NotPublished::Unknown("RabbitMQ confirms nothing".into())),
        Err(error) if words::refuses(&error, name) => {
            Sent::Failed(NotPublished::Refused(words::about(&format!("the exchange `{name}`"), &error)))
        }
        Err(error) => {
            // An exchange that is gone ends the channel, for all that was on its way there.
            session.forget().await;
            let why = words::about("the message may or may not have been taken", &error);
            Sent::Failed(NotPublished::Unknown(why))
        }
    }
}

fn unroutable(message: &Message) -> String {
    let name = message.to.name();
    let hint = match &message.to {
        Exchange::Tasks | Exchange::Results | Exchange::Triggers | Exchange::Dead => {
            "is the cluster's name right, and may the user bind queues? Without CRONCLAVE_DECLARE=0 \
             cronclave binds its own"
        }
        Exchange::Events => "bind one, or send it as optional",
        Exchange::Foreign(name) if name.is_empty() => "there is no queue of this name: is it spelt right?",
        Exchange::Foreign(_) => "is whoever is to take it set up? Bind a queue, or correct the routing key",
    };
    let place = if name.is_empty() { "the default exchange".to_owned() } else { format!("exchange {name}") };
    format!("no queue is bound for `{}` on {place}: {hint}", message.key)
}

impl Session {
    /// What comes next goes by another channel. What is on its way on this one is still waited for.
    async fn leave(&self, channel: &Arc<Channel>) {
        self.publishers.lock().await.retain(|_, known| !Arc::ptr_eq(known, channel));
    }

    /// The channel for a message, with all that has to be there first.
    async fn publisher(&self, settings: &Settings, message: &Message) -> Result<Arc<Channel>, Trouble> {
        let foreign = match &message.to {
            Exchange::Foreign(name) => Some(name),
            _ => {
                self.ensure(settings, topology::meant(message).as_ref()).await?;
                None
            }
        };
        let mut publishers = self.publishers.lock().await;
        if let Some(channel) = publishers.get(&foreign.cloned())
            && channel.status().connected()
        {
            return Ok(channel.clone());
        }
        if let Some(name) = foreign {
            self.find_exchange(name).await?;
        }
        let channel = self.channel().await?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default()).await;
        confirming.map_err(|error| Trouble::of("a channel", &error))?;
        let channel = Arc::new(channel);
        publishers.insert(foreign.cloned(), channel.clone());
        Ok(channel)
    }
}

//! The way to the dead letters: for what cannot be understood, or is not allowed.

use super::{Broker, CAME_AS, DIED_IN, Delivery, Exchange, Message, NotPublished, Queue, REASON, word};

/// The longest reason that is sent along: some brokers allow little room for headers.
const REASON_MAX: usize = 1000;

/// Headers beyond this many bytes are left out: the copy has some more, and must not be what no broker takes.
const HEADERS_MAX: usize = 16 * 1024;

/// Sends a copy of what came from `queue` to the dead letters, with the reason. Once this is `Ok` the broker has it,
/// and the message itself may be acknowledged.
///
/// # Errors
/// As [`Broker::publish`].
pub async fn dead_letter(
    broker: &dyn Broker,
    cluster: &str,
    delivery: &Delivery,
    queue: &Queue,
    reason: &str,
) -> Result<(), NotPublished> {
    let mut copy =
        Message { to: Exchange::Dead, expires: None, transient: false, optional: false, ..delivery.message.clone() };
    let name = queue.name();
    copy.key = format!("dead.{}.{name}", word(cluster));
    let mut room = HEADERS_MAX;
    copy.headers.retain(|name, value| {
        let size = name.len() + value.len();
        room = room.saturating_sub(size);
        room > 0
    });
    copy.headers.insert(REASON.into(), reason.chars().take(REASON_MAX).collect());
    copy.headers.insert(DIED_IN.into(), queue.called());
    copy.headers.insert(CAME_AS.into(), delivery.message.key.clone());
    broker.publish(&copy).await
}

impl Message {
    /// A dead letter as it was before it died, so that it can be sent again.
    pub(super) fn revived(mut self) -> Message {
        self.headers.remove(REASON);
        self.headers.remove(DIED_IN);
        if let Some(key) = self.headers.remove(CAME_AS) {
            self.key = key;
        }
        Message { expires: None, ..self }
    }
}

impl Queue {
    /// Its name within a routing key.
    pub fn name(&self) -> &str {
        match self {
            Queue::Tasks(name) => name.as_str(),
            Queue::Results => "results",
            Queue::Triggers => "triggers",
        }
    }

    /// What no queue of the user's is called: none of their names begins with a dot.
    pub(super) fn called(&self) -> String {
        match self {
            Queue::Tasks(name) => name.to_string(),
            Queue::Results | Queue::Triggers => format!(".{}", self.name()),
        }
    }
}

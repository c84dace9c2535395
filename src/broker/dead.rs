//! Letters that nobody can read: put aside with the reason, where people can look at them.

use super::{Broker, DIED_IN, Delivery, Exchange, Message, NotPublished, REASON};

/// Puts a copy of what came from `queue` among the dead letters. Once that is done, the original may be acknowledged.
///
/// # Errors
/// When the broker did not take it.
pub async fn dead_letter(
    broker: &dyn Broker,
    cluster: &str,
    delivery: &Delivery,
    queue: &str,
    why: &str,
) -> Result<(), NotPublished> {
    let mut message = Message {
        to: Exchange::Dead,
        key: format!("dead.{cluster}.{queue}"),
        expires: None,
        priority: None,
        transient: false,
        optional: false,
        ..delivery.message.clone()
    };
    message.headers.insert(REASON.into(), why.into());
    message.headers.insert(DIED_IN.into(), queue.into());
    broker.publish(&message).await
}

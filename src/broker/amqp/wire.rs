//! A [`Message`] as AMQP has it: properties, headers and a body.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::broker::{Exchange, Message};
use crate::clock::Timestamp;

/// Who says so of every message.
const APP: &str = concat!("cronclave/", env!("CARGO_PKG_VERSION"));

/// What AMQP calls a message that is to survive a restart of the broker.
const PERSISTENT: u8 = 2;
const TRANSIENT: u8 = 1;

/// A text of at most 255 bytes.
///
/// # Errors
/// When it is longer, naming `what` it is.
pub(super) fn brief(what: &str, text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text).map_err(|_| format!("{what} has {} bytes: RabbitMQ takes 255 at most", text.len()))
}

/// All headers of a message come in one frame, of 128 KiB unless the server says less; the other properties as well.
const HEADERS: usize = 100_000;

/// What is sent along with the body.
///
/// # Errors
/// When a text is longer than AMQP allows.
pub(super) fn properties(message: &Message) -> Result<BasicProperties, String> {
    let size: usize = message.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
    if size > HEADERS {
        // The server would end the connection, and with it everything that is under way.
        return Err(format!("the headers have {size} bytes, and RabbitMQ takes no more than {HEADERS} at once"));
    }
    let mut headers = FieldTable::default();
    for (name, value) in &message.headers {
        headers.insert(brief("the name of a header", name)?, AMQPValue::LongString(value.as_str().into()));
    }
    let mut properties = BasicProperties::default()
        .with_content_type(brief("the content type", &message.content_type)?)
        .with_delivery_mode(if message.transient { TRANSIENT } else { PERSISTENT })
        .with_message_id(brief("the id", &message.id)?)
        .with_type(brief("the kind", &message.kind)?)
        .with_app_id(APP.into())
        .with_headers(headers);
    if message.at > Timestamp::EPOCH {
        properties = properties.with_timestamp(message.at.as_secs().cast_unsigned());
    }
    if let Some(id) = &message.correlation_id {
        properties = properties.with_correlation_id(brief("the correlation id", id)?);
    }
    if let Some(after) = message.expires {
        properties = properties.with_expiration(after.as_millis().to_string().into());
    }
    if let Some(priority) = message.priority {
        properties = properties.with_priority(priority);
    }
    Ok(properties)
}

/// The message that came. Whoever sent it may have left out anything.
pub(super) fn message(delivery: &Delivery) -> Message {
    let properties = &delivery.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    let at = properties.timestamp().and_then(|secs| i64::try_from(secs).ok()).map(Timestamp::from_secs);
    let expires = text(properties.expiration()).and_then(|millis| millis.parse().ok());
    Message {
        to: exchange(delivery.exchange.as_str()),
        key: delivery.routing_key.to_string(),
        id: text(properties.message_id()).unwrap_or_default(),
        correlation_id: text(properties.correlation_id()),
        kind: text(properties.kind()).unwrap_or_default(),
        content_type: text(properties.content_type()).unwrap_or_default(),
        headers: properties.headers().as_ref().map(headers).unwrap_or_default(),
        priority: *properties.priority(),
        expires: expires.map(Duration::from_millis),
        transient: *properties.delivery_mode() == Some(TRANSIENT),
        optional: false,
        at: at.unwrap_or_default(),
        body: delivery.data.clone(),
    }
}

fn exchange(name: &str) -> Exchange {
    let own = [Exchange::Tasks, Exchange::Results, Exchange::Triggers, Exchange::Events, Exchange::Dead];
    own.into_iter().find(|own| own.name() == name).unwrap_or_else(|| Exchange::Foreign(name.to_owned()))
}

/// Headers as texts; what is neither a text nor a number is left out, as is what brokers add.
fn headers(table: &FieldTable) -> BTreeMap<String, String> {
    let own = table.inner().iter().filter(|(name, _)| !name.as_str().starts_with("x-"));
    own.filter_map(|(name, value)| Some((name.to_string(), plain(value)?))).collect()
}

/// A header as a text.
pub(super) fn plain(value: &AMQPValue) -> Option<String> {
    Some(match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Timestamp(secs) => secs.to_string(),
        AMQPValue::Float(number) => number.to_string(),
        AMQPValue::Double(number) => number.to_string(),
        _ => return None,
    })
}

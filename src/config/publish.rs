//! What a job publishes: `publish = { routing_key = ... }`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::action;
use super::keys::PUBLISH;
use super::secrets::Secrets;
use super::walk::{Key, Value, Walk};
use super::words;
use crate::job::{Completion, Format, Publish, Text};

/// AMQP has no longer names than this, in bytes.
const LONGEST: usize = 255;

/// Reads `publish = { routing_key = ... }`.
pub(super) fn publish(walk: &mut Walk<'_>, secrets: &Secrets, value: &Value<'_>) -> Option<Publish> {
    let table = walk.table_with("publish", "routing_key", value)?;
    let before = walk.found.len();
    let mut publish = Publish {
        exchange: String::new(),
        routing_key: String::new(),
        format: Format::default(),
        payload: None,
        content_type: None,
        headers: BTreeMap::new(),
        priority: None,
        expires: None,
        persistent: true,
        complete_on: Completion::default(),
    };
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "exchange" => publish.exchange = exchange(walk, value).unwrap_or_default(),
            "routing_key" => publish.routing_key = routing_key(walk, value).unwrap_or_default(),
            "format" => publish.format = walk.one_of("format", value, &words::FORMAT, &[]).unwrap_or_default(),
            "payload" => publish.payload = payload(walk, value),
            "content_type" => publish.content_type = walk.untemplated("content_type", value),
            "headers" => publish.headers = headers(walk, secrets, value),
            "priority" => {
                let number = walk.integer("priority", value, 0..256);
                publish.priority = number.and_then(|number| u8::try_from(number).ok());
            }
            "expires" => publish.expires = walk.span_of_time("expires", value),
            "persistent" => publish.persistent = walk.boolean("persistent", value).unwrap_or(true),
            "complete_on" => {
                publish.complete_on = walk.one_of("complete_on", value, &words::COMPLETION, &[]).unwrap_or_default();
            }
            _ => {
                walk.unknown_key(key, &PUBLISH, "`publish`");
            }
        }
    }
    if publish.exchange.is_empty() && publish.routing_key.starts_with("cronclave.") {
        let label = "requests and results of cronclave wait here";
        let message = format!("queue `{}` is not for messages of your own", publish.routing_key);
        walk.error("E0024", value.span(), message, label).help("name a queue of the service that the message is for");
    }
    if publish.routing_key.is_empty() && walk.found.len() == before {
        walk.error("E0027", value.span(), "`publish` needs `routing_key`", "nobody could be reached")
            .help("add e.g. `routing_key = \"invoices.close\"`; without an exchange it is the name of a queue");
    }
    Some(publish)
}

fn exchange(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<String> {
    let name = walk.untemplated("exchange", value)?;
    if name.starts_with("cronclave.") {
        let label = "requests, results and events of cronclave go here";
        walk.error("E0024", value.span(), format!("`{name}` is not for messages of your own"), label)
            .help("name an exchange of the service that the message is for");
        return None;
    }
    short(walk, "exchange", value, name)
}

fn routing_key(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<String> {
    let key = walk.templated("routing_key", value)?;
    short(walk, "routing_key", value, key)
}

fn short(walk: &mut Walk<'_>, what: &str, value: &Value<'_>, text: String) -> Option<String> {
    if text.len() > LONGEST {
        let label = format!("at most {LONGEST} bytes");
        walk.error("E0024", value.span(), format!("`{what}` is too long"), label);
        return None;
    }
    Some(text)
}

/// Text as it stands, or JSON.
fn payload(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<serde_json::Value> {
    match value.get_ref() {
        DeValue::String(text) if text.is_empty() => Some("".into()),
        _ => action::json(walk, value, |walk, value| walk.templated("payload", value)),
    }
}

fn headers(walk: &mut Walk<'_>, secrets: &Secrets, value: &Value<'_>) -> BTreeMap<String, Text> {
    let mut headers = BTreeMap::new();
    for (key, value) in walk.table("headers", value).into_iter().flatten() {
        let name = key.get_ref().as_ref();
        if is_reserved(walk, key) || value.get_ref().is_str() && walk.templated(name, value).is_none() {
            continue;
        }
        if let Some(text) = secrets.text(walk, name, value) {
            headers.insert(name.to_owned(), text);
        }
    }
    headers
}

/// Whether a header's name is one that others give a meaning.
fn is_reserved(walk: &mut Walk<'_>, key: &Key<'_>) -> bool {
    let name = key.get_ref().as_ref();
    let ours = ["cronclave-", "cloudEvents_", "cloudEvents:"].iter().any(|prefix| name.starts_with(prefix));
    let wrong = ours || name.is_empty() || name.len() > LONGEST;
    if wrong {
        let label = "empty, too long, or begins as those that every message carries";
        walk.error("E0024", key.span(), format!("{name:?} cannot name a header"), label);
    }
    wrong
}

//! One event on its way to one who hears of it: a document of the store, from the moment the event is known until it
//! was taken.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::job::{HookName, JobName};
use crate::store::{Collection, Document, Draft, Expect};

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum To {
    /// A hook of the schedule files.
    Hook(HookName),
    /// One that was registered by the API.
    Webhook(HookName),
    /// The `ping` of a job.
    Ping(JobName),
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            To::Hook(name) => write!(f, "hook/{name}"),
            To::Webhook(name) => write!(f, "webhook/{name}"),
            To::Ping(job) => write!(f, "ping/{job}"),
        }
    }
}

impl From<To> for String {
    fn from(to: To) -> String {
        to.to_string()
    }
}

/// Why a text does not say who is told.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` names nobody who is told of events")]
pub struct Nobody(String);

impl FromStr for To {
    type Err = Nobody;
    fn from_str(text: &str) -> Result<To, Nobody> {
        let found = text.split_once('/').and_then(|(kind, name)| match kind {
            "hook" => HookName::new(name).map(To::Hook),
            "webhook" => HookName::new(name).map(To::Webhook),
            "ping" => JobName::new(name).ok().map(To::Ping),
            _ => None,
        });
        found.ok_or_else(|| Nobody(text.to_owned()))
    }
}

impl TryFrom<String> for To {
    type Error = Nobody;
    fn try_from(text: String) -> Result<To, Nobody> {
        text.parse()
    }
}

/// Where a delivery stands. One that was taken is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryState)]
pub enum Standing {
    /// It is sent once it is due.
    Waiting,
    /// It is not sent again unless somebody asks for it.
    Failed,
}

/// What went wrong the last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Mishap {
    /// When.
    pub at: Timestamp,
    /// The status of the answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// In words.
    pub message: String,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// The event as JSON, as it was when it was first known: a copy of a copy is the same.
    Event(String),
    /// What is put behind the URL of a ping, as in `/start`, and its query.
    Ping(String),
}

/// One event on its way to one who hears of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The event's id, the same in every copy that is sent.
    pub id: String,
    /// Who is told.
    pub to: To,
    /// The kind of event: `run.failed`.
    pub kind: String,
    /// What it is about.
    pub job: String,
    /// The event's place in the store's feed, for the order.
    pub position: u64,
    /// When it happened.
    pub happened_at: Timestamp,
    /// Where it stands.
    pub standing: Standing,
    /// How often it was sent.
    pub tries: u32,
    /// When it is sent next, by the clock of whoever sends.
    pub due: Timestamp,
    /// What went wrong the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Mishap>,
    /// What is sent.
    pub content: Content,
}

impl Delivery {
    /// The key of its document: those of one target follow each other in the order of their events' times.
    pub fn key(&self) -> String {
        key(&self.to, &self.id)
    }

    /// Reads a document. `None`: it is none of ours, or of a later version.
    pub fn read(document: &Document) -> Option<Delivery> {
        serde_json::from_str(&document.body).ok()
    }

    /// A draft that writes it.
    pub fn draft(&self, expect: Expect) -> Draft {
        let body = serde_json::to_string(self).ok();
        Draft { collection: Collection::Deliveries, key: self.key(), expect, body }
    }
}

/// The key of a delivery.
pub(super) fn key(to: &To, id: &str) -> String {
    format!("{to}/{id}")
}

/// A draft that removes the document with this key.
pub(super) fn removal(key: &str, expect: Expect) -> Draft {
    Draft { collection: Collection::Deliveries, key: key.to_owned(), expect, body: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_reads_as_it_is_written() {
        for text in ["hook/audit", "webhook/my-app", "ping/backup"] {
            assert_eq!(text.parse::<To>().unwrap().to_string(), text);
        }
        for wrong in ["hook/", "hook/A", "mail/x", "audit", "hook/a/b"] {
            assert!(wrong.parse::<To>().is_err(), "{wrong}");
        }
    }
}

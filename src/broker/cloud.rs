//! Messages as CloudEvents 1.0 in JSON, structured mode: one document that any transport carries.

use serde_json::{Value, json};

use super::Message;
use crate::clock::Timestamp;

/// What every CloudEvent of ours is sent as.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// A CloudEvent in the making.
#[derive(Debug, Clone)]
pub struct CloudEvent {
    /// Unique within the cluster, however often it is sent.
    pub id: String,
    /// As in `dev.cronclave.run.failed.v1`.
    pub kind: String,
    /// Where it happened.
    pub cluster: String,
    /// What shares this is kept in order: the name of the job, or of the replica, that it is about.
    pub partition: String,
    /// What it is about, as in `jobs/report/runs/ID`.
    pub subject: String,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub data: Value,
}

impl CloudEvent {
    /// The context attributes that a CloudEvent must or may have, without the data.
    fn attributes(&self) -> [(&'static str, String); 6] {
        [
            ("specversion", "1.0".into()),
            ("id", self.id.clone()),
            ("source", format!("urn:cronclave:cluster:{}", self.cluster)),
            ("type", self.kind.clone()),
            ("subject", self.subject.clone()),
            ("time", self.at.to_string()),
        ]
    }

    /// The document.
    pub fn document(&self) -> Value {
        let mut all = json!({});
        for (name, value) in self.attributes() {
            all[name] = value.into();
        }
        all["datacontenttype"] = "application/json".into();
        all["partitionkey"] = self.partition.clone().into();
        all["data"] = self.data.clone();
        all
    }

    /// A message that carries it. The attributes stand in its headers as well, where brokers that speak AMQP 1.0
    /// look for them.
    pub fn message(&self) -> Message {
        Message {
            id: self.id.clone(),
            kind: self.kind.clone(),
            content_type: CONTENT_TYPE.into(),
            headers: self
                .attributes()
                .into_iter()
                .map(|(name, value)| (format!("cloudEvents_{name}"), value))
                .collect(),
            at: self.at,
            body: self.document().to_string().into_bytes(),
            ..Message::default()
        }
    }
}

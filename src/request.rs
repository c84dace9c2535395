//! A request for a worker: which run it is to start, under which fence. Never what to run: a worker
//! has its own copy of the schedule files.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::broker::cloud::CloudEvent;
use crate::broker::{Exchange, Message, word};
use crate::clock::Timestamp;
use crate::job::{Job, JobName, QueueName};
use crate::lease::{Fence, RunId, Work};
use crate::trace;

/// What a request says it is. A change that old workers could not read has another number.
pub const KIND: &str = "dev.cronclave.task.requested.v1";

/// No request is larger; whatever is was not sent by a replica.
pub const LARGEST: usize = 1 << 20;

/// The header that says where in a trace a message belongs, as W3C Trace Context calls it.
pub const TRACEPARENT: &str = "traceparent";

/// What a worker needs to know; the rest is in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Which job.
    pub job: JobName,
    /// Which run.
    pub run_id: RunId,
    /// Under which claim.
    #[serde(rename = "fencing_token")]
    pub fence: Fence,
}

/// The outer shape of a request.
#[derive(Deserialize)]
struct Document {
    specversion: String,
    #[serde(rename = "type")]
    kind: String,
    source: String,
    data: Request,
}

/// The request for a run, to be sent to a queue of workers.
pub fn message(job: &Job, queue: &QueueName, work: &Work, cluster: &str, now: Timestamp) -> Message {
    let data = json!({
        "job": work.job,
        "run_id": work.run_id,
        "attempt": work.attempt,
        "max_attempts": work.max_attempts,
        "trigger": work.trigger.kind(),
        "scheduled_at": work.scheduled_at,
        "timezone": job.schedule.zone().name(),
        "fencing_token": work.fence,
        "queue": queue.as_str(),
        "args": work.args,
    });
    Message {
        to: Exchange::Tasks,
        key: format!("task.{}.{queue}.{}", word(cluster), work.job),
        expires: Some(job.patience(work.scheduled_at, work.lease_until)),
        ..envelope(work, cluster, now, data)
    }
}

/// A CloudEvent about a run that is to be done, with what is known of the run in its headers.
pub(crate) fn envelope(work: &Work, cluster: &str, now: Timestamp, data: serde_json::Value) -> Message {
    let event = CloudEvent {
        // By it whoever takes the message knows a copy. A further attempt is another message.
        id: format!("{}.{}", work.run_id, work.attempt),
        kind: KIND.into(),
        cluster: cluster.into(),
        partition: work.job.to_string(),
        subject: format!("jobs/{}/runs/{}", work.job, work.run_id),
        at: now,
        data,
    };
    let mut message = event.message();
    message.correlation_id = Some(work.run_id.to_string());
    message.headers.extend(
        [
            ("cluster", cluster.to_owned()),
            ("job", work.job.to_string()),
            ("run-id", work.run_id.to_string()),
            ("attempt", work.attempt.to_string()),
            ("scheduled-at", work.scheduled_at.to_string()),
            ("fencing-token", work.fence.to_string()),
        ]
        .map(|(name, value)| (format!("cronclave-{name}"), value)),
    );
    message.headers.insert(TRACEPARENT.into(), trace::of_message(work.run_id, work.fence));
    message
}

impl Request {
    /// Reads what came from a queue of this cluster.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub fn read(message: &Message, cluster: &str) -> Result<Request, String> {
        let size = message.body.len();
        if size > LARGEST {
            return Err(format!("it has {size} bytes, more than any request ({LARGEST})"));
        }
        let value: serde_json::Value =
            serde_json::from_slice(&message.body).map_err(|error| format!("it is not JSON: {error}"))?;
        let kind = value.get("type").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        if kind != KIND {
            return Err(format!("its type is `{kind}`; this version reads {KIND}"));
        }
        let document: Document =
            serde_json::from_value(value).map_err(|error| format!("it is not a request: {error}"))?;
        if document.specversion != "1.0" || document.kind != KIND {
            return Err(format!("its specversion is `{}`; this version reads 1.0", document.specversion));
        }
        let own = format!("urn:cronclave:cluster:{cluster}");
        if document.source != own {
            return Err(format!("it is from `{}`, this is `{own}`", document.source));
        }
        Ok(document.data)
    }
}

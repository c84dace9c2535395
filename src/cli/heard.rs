//! What happens in a cluster as a replica tells it over HTTP: CloudEvents, one after the other, from any replica.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::client::Client;
use crate::clock::Timestamp;
use crate::desk::Refusal;
use crate::job::JobName;
use crate::lease::{Ended, Fence, Outcome, RunId, Trigger};
use crate::ledger::{Event, Fate, Next, Pass, What};

/// A replica says something at least every 10 s; a connection that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(30);

/// Before it is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Hands each CloudEvent to `told` until that fails. A connection that ends is opened again, and goes on where it was.
pub(super) async fn follow<E: From<Refusal>>(
    client: &Client,
    query: &[(&str, Option<String>)],
    mut told: impl FnMut(Value) -> Result<(), E>,
) -> Result<(), E> {
    let mut last: Option<String> = None;
    loop {
        let mut response = client.stream(&["events"], query, last.as_deref()).await?;
        let mut lines = Lines::default();
        while let Ok(Ok(Some(bytes))) = timeout(SILENCE, response.chunk()).await {
            for message in lines.take(&bytes) {
                match message.kind.as_str() {
                    "resync" => super::out::note("some events were dropped before they could be shown"),
                    "bye" | "hello" | "heartbeat" => {}
                    _ => told(serde_json::from_str(&message.data).unwrap_or_default())?,
                }
                last = message.id.or(last);
            }
        }
        sleep(PAUSE).await;
    }
}

/// One message of a stream.
#[derive(Debug, Default)]
struct Message {
    id: Option<String>,
    kind: String,
    data: String,
}

/// Cuts a stream into its messages.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    message: Message,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.rest.extend_from_slice(bytes);
        let mut all = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let (name, value) = line.trim_end().split_once(':').unwrap_or((line.trim_end(), ""));
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match name {
                "id" => self.message.id = Some(value),
                "event" => self.message.kind = value,
                "data" => self.message.data += &value,
                "" if !self.message.data.is_empty() => all.push(std::mem::take(&mut self.message)),
                _ => {}
            }
        }
        all
    }
}

/// The event of the ledger that a CloudEvent tells of; `None` for what has none.
pub(super) fn event(document: &Value) -> Option<Event> {
    let data = &document["data"];
    let kind = document["type"].as_str()?.strip_prefix("dev.cronclave.")?.strip_suffix(".v1")?;
    let text = |name: &str| data[name].as_str().map(str::to_owned);
    let time = |name: &str| data[name].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let number = |name: &str| data[name].as_u64().and_then(|number| u32::try_from(number).ok());
    let run_id = || data["run_id"].as_str().and_then(|id| id.parse::<RunId>().ok());
    let fence = || data["fencing_token"].as_u64().map(Fence);
    let word = |name: &str| data.get(name).cloned().unwrap_or_default();
    let what = match kind {
        "run.queued" => {
            What::Queued { run_id: run_id()?, scheduled_at: time("scheduled_at")?, trigger: Trigger::Schedule }
        }
        "run.published" => What::Published { run_id: run_id()?, fence: fence()? },
        "run.started" => What::Started {
            run_id: run_id()?,
            attempt: number("attempt")?,
            fence: fence()?,
            holder: text("replica").unwrap_or_default(),
        },
        "run.cancelling" => What::CancelAsked { run_id: run_id()?, by: text("by").unwrap_or_default() },
        "run.slow" => What::Slow {
            run_id: run_id()?,
            attempt: number("attempt").unwrap_or(1),
            fence: fence()?,
            started_at: time("started_at")?,
        },
        "lock.fenced" => What::Fenced {
            run_id: run_id()?,
            fence: fence()?,
            tried: text("tried").unwrap_or_default(),
            ended: serde_json::from_value::<Outcome>(word("reported")).ok().map(|outcome| Ended {
                outcome,
                exit_code: None,
                signal: None,
                message: None,
            }),
        },
        "job.paused" => What::Paused { until: time("until"), reason: text("reason"), by: text("by") },
        "job.resumed" => What::Resumed { catch_up: data["catch_up"] == true, by: text("by") },
        "job.overdue" => What::Overdue { due: time("due_at")?, last_success_at: time("last_success_at") },
        "job.restored" => What::Restored { from: time("from"), through: time("through") },
        "job.recovered" => What::Recovered { overdue_since: time("overdue_since")? },
        "occurrence.skipped" | "occurrence.missed" => What::Passed(Pass {
            from: time("scheduled_at")?,
            through: time("through")?,
            count: data["count"].as_u64()?,
            fate: serde_json::from_value::<Fate>(word("state")).ok()?,
        }),
        _ => {
            let ended = Ended {
                outcome: serde_json::from_value(word("outcome")).ok()?,
                exit_code: data["exit_code"].as_i64().and_then(|code| code.try_into().ok()),
                signal: data["signal"].as_i64().and_then(|signal| signal.try_into().ok()),
                message: data["error"]["message"].as_str().map(str::to_owned),
            };
            let next = number("next_attempt").zip(time("next_attempt_at")).map(|(attempt, at)| Next { attempt, at });
            What::Ended { run_id: run_id()?, attempt: number("attempt")?, fence: fence()?, ended, next }
        }
    };
    let job = JobName::new(data["job"].as_str()?).ok()?;
    Some(Event { at: document["time"].as_str()?.parse().ok()?, job, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_into_messages_wherever_it_is_torn() {
        let text = b"retry: 3000\n\nid: 7\nevent: run.failed\ndata: {\"a\":1}\n\nevent: heartbeat\ndata: {}\n\n";
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let mut all = lines.take(&text[..cut]);
            all.extend(lines.take(&text[cut..]));
            let seen: Vec<_> =
                all.iter().map(|one| (one.id.as_deref(), one.kind.as_str(), one.data.as_str())).collect();
            assert_eq!(seen, [(Some("7"), "run.failed", "{\"a\":1}"), (None, "heartbeat", "{}")], "{cut}");
        }
    }
}

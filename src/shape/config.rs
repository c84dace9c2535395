//! What the schedule files say, defaults filled in, with secrets only named.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::job::{action, schedule};
use crate::clock::Timestamp;
use crate::job::{Action, Backoff, Completion, Format, Job, JobName, MisfirePolicy, Task, Text};

/// The jobs that are in force on a replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Config {
    /// Eight hexadecimal digits, equal where the same is wanted.
    pub digest: String,
    /// Each job.
    pub jobs: Vec<Definition>,
}

/// All settings of a job. Spans are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the reference of schedule files explains each key")]
pub struct Definition {
    pub name: JobName,
    pub description: Option<String>,
    pub owner: Option<String>,
    pub runbook: Option<String>,
    pub tags: Vec<String>,
    pub enabled: bool,
    pub schedule: Vec<String>,
    pub timezone: String,
    pub dst_gap: String,
    pub dst_overlap: String,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub skip_on: Vec<String>,
    pub only_on: Vec<String>,
    pub jitter_seconds: f64,
    /// `command`, `http`, `handler` or `publish`.
    pub action: String,
    /// What is done, as the file says it; a secret shows as `(secret NAME)`, and what looks like one as `(hidden)`.
    #[schema(value_type = Object)]
    pub task: serde_json::Value,
    /// The queue of the workers that carry it out.
    pub queue: Option<String>,
    pub misfire: Misfire,
    pub overlap: String,
    pub delivery: String,
    pub retry: Retry,
    pub timeout_seconds: f64,
    pub kill_after_seconds: f64,
    pub start_within_seconds: Option<f64>,
    pub message_trigger: bool,
    pub lease_seconds: f64,
    pub mutex: Option<String>,
    pub must_succeed_within_seconds: Option<f64>,
    pub warn_after_seconds: Option<f64>,
    pub log_limit_bytes: usize,
    pub keep: Keep,
}

/// What is done about occurrences that nobody could start in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the reference of schedule files explains each key")]
pub struct Misfire {
    pub policy: String,
    pub window_seconds: f64,
    pub max: usize,
}

/// When a failed run is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the reference of schedule files explains each key")]
pub struct Retry {
    pub attempts: u32,
    pub backoff: String,
    pub initial_seconds: f64,
    pub max_seconds: f64,
    pub jitter: f64,
    pub no_retry_exit_codes: Vec<i32>,
}

/// How much history is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the reference of schedule files explains each key")]
pub struct Keep {
    pub runs: u32,
    pub days: u32,
}

impl Definition {
    /// All that the files say of `job`.
    pub fn new(job: &Job) -> Definition {
        let (rules, window) = (job.schedule.rules(), job.schedule.window());
        let names =
            |list: &[std::sync::Arc<crate::schedule::Calendar>]| list.iter().map(|one| one.name.clone()).collect();
        Definition {
            name: job.name.clone(),
            description: job.description.as_deref().map(str::to_owned),
            owner: job.owner.as_deref().map(str::to_owned),
            runbook: job.runbook.as_deref().map(str::to_owned),
            tags: job.tags.clone(),
            enabled: job.enabled,
            schedule: schedule(job),
            timezone: job.schedule.zone().name().to_owned(),
            dst_gap: word(&rules.gap),
            dst_overlap: word(&rules.overlap),
            start: window.0,
            end: window.1,
            skip_on: names(&job.skip_on),
            only_on: names(&job.only_on),
            jitter_seconds: job.jitter.as_secs_f64(),
            action: action(job).to_owned(),
            task: task(&job.task),
            queue: match &job.task {
                Task::Queue(queue, _) => Some(queue.to_string()),
                _ => None,
            },
            misfire: Misfire {
                policy: word::<MisfirePolicy>(&job.misfire.policy),
                window_seconds: job.misfire.window.as_secs_f64(),
                max: job.misfire.max,
            },
            overlap: word(&job.overlap),
            delivery: word(&job.delivery),
            retry: Retry {
                attempts: job.retry.attempts,
                backoff: word::<Backoff>(&job.retry.backoff),
                initial_seconds: job.retry.initial.as_secs_f64(),
                max_seconds: job.retry.max.as_secs_f64(),
                jitter: job.retry.jitter,
                no_retry_exit_codes: job.retry.no_retry_exit_codes.clone(),
            },
            timeout_seconds: job.timeout.as_secs_f64(),
            kill_after_seconds: job.kill_after.as_secs_f64(),
            start_within_seconds: job.start_within.map(|span| span.as_secs_f64()),
            message_trigger: job.message_trigger,
            lease_seconds: job.lease.as_secs_f64(),
            mutex: job.mutex.clone(),
            must_succeed_within_seconds: job.must_succeed_within.map(|span| span.as_secs_f64()),
            warn_after_seconds: job.warn_after.map(|span| span.as_secs_f64()),
            log_limit_bytes: job.log_limit,
            keep: Keep { runs: job.keep.runs, days: job.keep.days },
        }
    }
}

/// The word that stands for it in a file.
fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn task(task: &Task) -> serde_json::Value {
    match task {
        Task::Run(action) | Task::Queue(_, action) => match action {
            Action::Command(command) => serde_json::json!({
                "command": command.shown(),
                "shell": command.is_shell,
                "cwd": command.cwd,
                "env": texts(&command.env),
                "env_file": command.env_file,
                "stdin_bytes": command.stdin.as_ref().map(|text| text.len()),
            }),
            Action::Http(http) => serde_json::json!({
                "method": http.method,
                "url": without_password(&http.url),
                "headers": texts(&http.headers),
                "body_bytes": http.body.as_ref().map(String::len),
                "timeout_seconds": http.timeout.map(|span| span.as_secs_f64()),
                "expect_status": http.expect_status,
                "expect_body": http.expect_body,
            }),
            Action::Handler { name, .. } => serde_json::json!({ "handler": name }),
        },
        Task::Publish(publish) => serde_json::json!({
            "exchange": publish.exchange,
            "routing_key": publish.routing_key,
            "format": if publish.format == Format::CloudEvents { "cloudevents" } else { "plain" },
            "content_type": publish.content_type,
            "headers": texts(&publish.headers),
            "priority": publish.priority,
            "expires_seconds": publish.expires.map(|span| span.as_secs_f64()),
            "persistent": publish.persistent,
            "complete_on": if publish.complete_on == Completion::Result { "result" } else { "confirm" },
        }),
    }
}

fn texts(all: &BTreeMap<String, Text>) -> BTreeMap<&str, String> {
    let shown = |name: &str, text: &Text| match text {
        Text::Secret { name, .. } => format!("(secret {name})"),
        Text::Plain(_) if hidden(name) => "(hidden)".to_owned(),
        Text::Plain(text) => text.clone(),
    };
    all.iter().map(|(name, text)| (name.as_str(), shown(name, text))).collect()
}

/// Whether a header or a variable of this name likely holds a secret.
pub fn hidden(name: &str) -> bool {
    let name = name.to_lowercase();
    ["auth", "token", "secret", "passw", "key", "cookie", "credential", "signature", "dsn"]
        .iter()
        .any(|part| name.contains(part))
}

fn without_password(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => match parsed.set_password(Some("hidden")) {
            Ok(()) => parsed.to_string(),
            Err(()) => "(hidden)".to_owned(),
        },
        _ => url.to_owned(),
    }
}

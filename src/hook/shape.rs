//! Hooks and deliveries as JSON, for people and programs: without secrets.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::delivery::{Delivery, Mishap, Standing, To};
use super::registration::{Off, Registration};
use super::send::Verdict;
use crate::clock::Timestamp;
use crate::job::{Hook, HookName, JobName, Pattern, Shape, Text};

/// Where a hook was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WebhookSource)]
pub enum Source {
    /// In a schedule file.
    File,
    /// By the API.
    Api,
}

/// A hook of either kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Webhook)]
pub struct Shown {
    /// Its name.
    pub id: HookName,
    /// Where it was declared.
    pub source: Source,
    /// Where it listens, without what may be secret in it.
    pub url: String,
    /// The events that it hears of without being named by a job.
    pub events: Vec<Pattern>,
    /// Of this job only.
    pub job: Option<JobName>,
    /// What it is sent.
    pub format: Shape,
    /// Whether what it is sent is signed.
    pub signed: bool,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why it is not, when it was switched off.
    pub off_reason: Option<String>,
    /// Since when.
    pub off_since: Option<Timestamp>,
    /// For people.
    pub description: Option<String>,
    /// Who registered it.
    pub by: Option<String>,
    /// When it was first registered.
    pub created_at: Option<Timestamp>,
    /// When it was registered last.
    pub renewed_at: Option<Timestamp>,
    /// When it is gone unless renewed.
    pub expires_at: Option<Timestamp>,
}

/// A hook of the schedule files, and why it is off if it is.
pub fn hook(hook: &Hook, off: Option<&Off>) -> Shown {
    let url = match &hook.url {
        Text::Plain(url) => open(url, hook.shape),
        Text::Secret { name, .. } => format!("(secret {name})"),
    };
    Shown {
        id: hook.name.clone(),
        source: Source::File,
        url,
        events: hook.events.clone(),
        job: None,
        format: hook.shape,
        signed: !hook.secrets.is_empty(),
        enabled: hook.enabled && off.is_none(),
        off_reason: off.map(|off| off.why.clone()),
        off_since: off.map(|off| off.at),
        description: None,
        by: None,
        created_at: None,
        renewed_at: None,
        expires_at: None,
    }
}

/// A webhook that was registered.
pub fn webhook(one: &Registration) -> Shown {
    Shown {
        id: one.id.clone(),
        source: Source::Api,
        url: open(&one.url, one.format),
        events: one.events.clone(),
        job: one.job.clone(),
        format: one.format,
        signed: one.format == Shape::Standard,
        enabled: one.off.is_none(),
        off_reason: one.off.as_ref().map(|off| off.why.clone()),
        off_since: one.off.as_ref().map(|off| off.at),
        description: one.description.clone(),
        by: Some(one.by.clone()),
        created_at: Some(one.created_at),
        renewed_at: Some(one.renewed_at),
        expires_at: one.expires_at,
    }
}

/// A URL without what may be secret in it. Of those of Slack and Discord the path is.
fn open(url: &str, shape: Shape) -> String {
    let Ok(mut url) = Url::parse(url) else { return "(not a URL)".into() };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let has_more = url.query().is_some();
    url.set_query(None);
    url.set_fragment(None);
    if shape != Shape::Standard {
        url.set_path("/…");
        return url.to_string().replace("%E2%80%A6", "…");
    }
    format!("{url}{}", if has_more { "?…" } else { "" })
}

/// A delivery as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Delivery)]
pub struct ShownDelivery {
    /// The event's id, which is `webhook-id` in what is sent.
    pub id: String,
    /// Who is told: `hook/NAME`, `webhook/ID` or `ping/JOB`.
    pub to: To,
    /// The kind of event.
    pub event: String,
    /// What it is about.
    pub job: String,
    /// When it happened.
    pub happened_at: Timestamp,
    /// `waiting` or `failed`.
    pub state: Standing,
    /// How often it was sent.
    pub tries: u32,
    /// When it is sent next.
    pub next_try_at: Option<Timestamp>,
    /// What went wrong the last time.
    pub last: Option<Mishap>,
}

/// A delivery, without what is sent.
pub fn delivery(one: &Delivery) -> ShownDelivery {
    ShownDelivery {
        id: one.id.clone(),
        to: one.to.clone(),
        event: one.kind.clone(),
        job: one.job.clone(),
        happened_at: one.happened_at,
        state: one.standing,
        tries: one.tries,
        next_try_at: (one.standing == Standing::Waiting).then_some(one.due),
        last: one.last.clone(),
    }
}

/// A webhook as it stands after it was registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShownRegistered {
    /// Itself.
    #[serde(flatten)]
    pub webhook: Shown,
    /// What it is signed with, when that was made just now: it is never shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// What came of sending a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tested {
    /// Whether it was taken.
    pub taken: bool,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why it was not taken.
    pub message: Option<String>,
}

impl From<Verdict> for Tested {
    fn from(verdict: Verdict) -> Tested {
        match verdict {
            Verdict::Taken(status) => Tested { taken: true, status: Some(status), message: None },
            Verdict::Gone => Tested { taken: false, status: Some(410), message: Some("it answered 410 Gone".into()) },
            Verdict::Not { status, message, .. } => Tested { taken: false, status, message: Some(message) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_a_url_is_not_shown() {
        assert_eq!(open("https://me:pw@app.example/hooks?token=x#y", Shape::Standard), "https://app.example/hooks?…");
        assert_eq!(open("https://hooks.slack.example/services/T0/B0/x", Shape::Slack), "https://hooks.slack.example/…");
    }
}

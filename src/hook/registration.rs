//! A webhook that was registered, and what somebody says who registers one.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::config;
use crate::job::{HookName, JobName, Pattern, Shape};
use crate::signature;
use crate::store::{Document, StoreError};

/// No cluster has more registrations.
pub(super) const MOST: usize = 1000;

/// For so long after a change of secrets what is sent has both signatures.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// A secret of a webhook, which is never shown by chance.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A webhook that was registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// Its name, chosen by who registers it.
    pub id: HookName,
    /// Where it listens.
    pub url: String,
    /// The events that it hears of.
    pub events: Vec<Pattern>,
    /// Of this job only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// What it is sent.
    #[serde(default)]
    pub format: Shape,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is signed with. Shown once, when it is made.
    secret: Secret,
    /// The secret before, and until when it still signs as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous: Option<(Secret, Timestamp)>,
    /// Who registered it.
    pub by: String,
    /// When it was first registered.
    pub created_at: Timestamp,
    /// When it was registered last.
    pub renewed_at: Timestamp,
    /// It is gone then, unless renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// It is told nothing since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off: Option<Off>,
}

/// That a hook is switched off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Off {
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub why: String,
    /// What tells the URL that was switched off from another.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) mark: String,
}

impl Registration {
    /// Whether it is told of such an event of this job.
    pub fn hears(&self, kind: &str, job: &JobName) -> bool {
        let about = self.job.as_ref().is_none_or(|only| only == job);
        self.off.is_none() && about && self.events.iter().any(|pattern| pattern.matches(kind))
    }

    /// The secrets that sign now.
    pub(super) fn secrets(&self, now: Timestamp) -> Vec<&str> {
        let previous = self.previous.as_ref().filter(|(_, until)| now < *until).map(|(secret, _)| secret.0.as_str());
        [Some(self.secret.0.as_str()), previous].into_iter().flatten().collect()
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    pub(super) fn read(document: &Document) -> Option<Registration> {
        serde_json::from_str(&document.body).ok()
    }
}

/// What somebody who registers says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookWish)]
pub struct Wish {
    /// Where it listens.
    #[schema(max_length = 2000)]
    pub url: String,
    /// Events, as in `run.failed`, `job.*` or `*`.
    #[schema(min_items = 1, max_items = 50)]
    pub events: Vec<String>,
    /// Of this job only.
    #[serde(default)]
    pub job: Option<JobName>,
    /// Default `standard`.
    #[serde(default)]
    pub format: Shape,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub description: Option<String>,
    /// A secret of one's own. Default: one is made, the first time.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub secret: Option<Secret>,
    /// Whether a new secret is made although there is one. Both sign for a day.
    #[serde(default)]
    pub rotate_secret: bool,
    /// It is gone after so long unless renewed: `"1h"`. Default: it stays.
    #[serde(default)]
    pub expires_in: Option<String>,
}

/// What came of registering.
#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    /// As it stands.
    pub registration: Registration,
    /// A secret that was made just now. It is never shown again.
    pub secret: Option<Secret>,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Why something is not done.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// What was said cannot be used.
    #[error("{field}: {message}")]
    Invalid {
        /// Which part of it.
        field: &'static str,
        /// Why, and what would be right.
        message: String,
    },
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// There are as many as may be.
    #[error("{MOST} webhooks are registered, and no more may be: remove those that nobody needs")]
    Full,
    /// Others changed it at the same time, again and again.
    #[error("others change it at the same time: try again")]
    Busy,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) fn invalid<T>(field: &'static str, message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused::Invalid { field, message: message.into() })
}

/// What a registration is after somebody said `wish`, and a secret that was made for it.
pub(super) fn renewed(
    (id, by): (&HookName, &str),
    wish: &Wish,
    events: &[Pattern],
    before: Option<&Registration>,
    now: Timestamp,
) -> Result<(Registration, Option<Secret>), Refused> {
    let known = before.map(|one| one.secret.clone());
    let (secret, made) = match (&wish.secret, known) {
        (Some(own), _) => {
            if let Err(why) = signature::key(&own.0) {
                return invalid(
                    "secret",
                    format!("{why}: write `whsec_` and 24 to 64 bytes in Base64, or leave it out"),
                );
            }
            (own.clone(), None)
        }
        (None, Some(known)) if !wish.rotate_secret => (known, None),
        (None, _) => {
            let fresh = Secret(signature::fresh());
            (fresh.clone(), Some(fresh))
        }
    };
    let previous = match before {
        Some(one) if one.secret != secret => Some((one.secret.clone(), now.plus(OVERLAP))),
        Some(one) => one.previous.clone().filter(|(_, until)| now < *until),
        None => None,
    };
    let expires_at = match wish.expires_in.as_deref().map(config::duration) {
        None => None,
        Some(Ok(span)) if span >= Duration::from_secs(1) => Some(now.plus(span)),
        Some(Ok(_)) => return invalid("expires_in", "at least 1s"),
        Some(Err(why)) => return invalid("expires_in", format!("{why}: write it as in \"1h\"")),
    };
    let registration = Registration {
        id: id.clone(),
        url: wish.url.clone(),
        events: events.to_vec(),
        job: wish.job.clone(),
        format: wish.format,
        description: wish.description.clone(),
        secret,
        previous,
        by: by.to_owned(),
        created_at: before.map_or(now, |one| one.created_at),
        renewed_at: now,
        expires_at,
        off: None,
    };
    Ok((registration, made))
}

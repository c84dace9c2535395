//! Who changed what, from where and why: written down before the answer goes out. No handler has to think of it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use governor::{DefaultDirectRateLimiter, Quota};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::access::{Caller, How, LINK_PATH, is_harmless};
use super::asked;
use super::limit::Reason;
use super::problem::Code;
use crate::clock::Timestamp;
use crate::config::Role;
use crate::event::Told;
use crate::parts::Parts;
use crate::store::{Collection, Draft, Expect, Span, Store, StoreError};

/// Entries kept at most, and for how long. It is looked after on one write in [`SELDOM`], so there may be a few more.
const MOST: usize = 10_000;
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const SELDOM: f64 = 200.0;

/// What workers do all day, below `/api/v1/runs/`: the ledger tells of it, and who did it.
const ROUTINE: [&str; 4] = ["/start", "/renew", "/finish", "/progress"];

/// Entries read at once.
const PAGE: usize = 500;

/// A store that does not take an entry within this time keeps nobody waiting any longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Refused attempts written down in a burst, and then one a second: nobody is to fill the store by being refused.
const REFUSALS: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// One change, or an attempt that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// When, by the replica's clock.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// As the caller's token is called.
    pub who: String,
    /// What they may.
    pub role: Role,
    /// How that was known.
    pub how: How,
    /// Where they asked from.
    pub address: String,
    /// What was asked: the method.
    pub method: String,
    /// What was asked: the path, which names the job, run or lock.
    pub path: String,
    /// Why, in the caller's words.
    pub reason: Option<String>,
    /// What was answered.
    pub status: u16,
    /// Why it was refused.
    pub code: Option<String>,
    /// What came of it: the address of a new run.
    pub location: Option<String>,
    /// As in the answer's `X-Request-Id`.
    pub request_id: String,
}

/// What writes.
pub(super) struct Audit {
    parts: Parts,
    refusals: DefaultDirectRateLimiter,
}

impl Audit {
    pub(super) fn new(parts: Parts) -> Audit {
        Audit {
            parts,
            refusals: DefaultDirectRateLimiter::direct(Quota::per_second(NonZeroU32::MIN).allow_burst(REFUSALS)),
        }
    }

    /// Whether such an answer is worth a line.
    fn takes(&self, path: &str, response: &Response) -> bool {
        let is_routine = path.starts_with("/api/v1/runs/") && ROUTINE.iter().any(|end| path.ends_with(end));
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PRECONDITION_FAILED => {
                self.refusals.check().is_ok()
            }
            // After a failure nobody knows whether it was done.
            status => !is_routine && (status.is_success() || status.is_redirection() || status.is_server_error()),
        }
    }
}

/// Writes down each change that passes.
pub(super) async fn record(State(audit): State<Arc<Audit>>, request: Request, next: Next) -> Response {
    let changes = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let path = request.uri().path();
    let is_link = path == LINK_PATH && request.method() == Method::GET;
    if !(changes || is_link) || is_harmless(path) {
        return next.run(request).await;
    }
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    let response = next.run(request).await;
    if audit.takes(&path, &response)
        && let Some(caller) = response.extensions().get::<Caller>()
    {
        let entry = Entry { method, path, ..entry(&audit.parts, caller, &response) };
        note(&audit.parts, &entry).await;
    }
    response
}

fn entry(parts: &Parts, caller: &Caller, response: &Response) -> Entry {
    let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
    Entry {
        at: parts.clock.now(),
        who: caller.name.clone(),
        role: caller.role,
        how: caller.how,
        address: caller.address.to_string(),
        method: String::new(),
        path: String::new(),
        reason: response.extensions().get::<Reason>().map(|reason| reason.0.clone()),
        status: response.status().as_u16(),
        code: response.extensions().get::<Code>().map(|code| code.word().to_owned()),
        location: location.map(str::to_owned),
        request_id: asked::id_and_path().0,
    }
}

/// Writes an entry. When the store does not take it, that is told where replicas tell of trouble.
pub async fn note(parts: &Parts, entry: &Entry) {
    let draft = Draft {
        collection: Collection::Audit,
        key: uuid::Uuid::now_v7().to_string(),
        expect: Expect::Absent,
        body: serde_json::to_string(entry).ok(),
    };
    let why = match timeout(PATIENCE, parts.store.write_document(&draft)).await {
        Ok(Ok(_)) => {
            if parts.dice.roll() * SELDOM < 1.0 {
                let (store, oldest) = (parts.store.clone(), parts.clock.now().minus(KEPT));
                tokio::spawn(async move {
                    if let Err(error) = prune(&*store, oldest).await {
                        tracing::debug!(%error, "old entries of the audit stay for now");
                    }
                });
            }
            return;
        }
        Ok(Err(error)) => error.message,
        Err(_) => "the store gave no answer in time".to_owned(),
    };
    let Entry { who, address, method, path, status, .. } = entry;
    parts.bus.tell(Told::Warning(format!(
        "could not be written to the audit ({why}): {method} {path} by {who} from {address}, answered {status}"
    )));
}

/// Drops what is too old, and what is too much.
async fn prune(store: &dyn Store, oldest: Timestamp) -> Result<(), StoreError> {
    let mut span = Span { prefix: String::new(), after: None, newest_first: true, limit: PAGE };
    let mut seen = 0;
    loop {
        let page = store.documents(Collection::Audit, &span).await?;
        for document in &page {
            seen += 1;
            if seen > MOST || written(&document.key).is_some_and(|at| at < oldest) {
                let key = document.key.clone();
                let draft = Draft { collection: Collection::Audit, key, expect: Expect::Any, body: None };
                store.write_document(&draft).await?;
            }
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE) else { return Ok(()) };
        span.after = Some(last.key.clone());
    }
}

/// When an entry was written, as its key says.
fn written(key: &str) -> Option<Timestamp> {
    let (secs, nanos) = uuid::Uuid::parse_str(key).ok()?.get_timestamp()?.to_unix();
    Some(Timestamp::from_secs(i64::try_from(secs).ok()?).plus(Duration::from_nanos(nanos.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::store::Memory;

    async fn put(store: &dyn Store, key: String) {
        let draft = Draft { collection: Collection::Audit, key, expect: Expect::Any, body: Some("{}".into()) };
        store.write_document(&draft).await.unwrap();
    }

    fn key(at: Timestamp, n: u64) -> String {
        let secs = u64::try_from(at.as_secs()).unwrap();
        let at = uuid::Timestamp::from_unix(uuid::NoContext, secs + n, 0);
        uuid::Uuid::new_v7(at).to_string()
    }

    #[tokio::test]
    async fn the_oldest_entries_go_when_there_are_too_many_or_they_are_too_old() {
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let store = Memory::new(Clock::starting_at(now));
        let count = async || {
            let span = Span { prefix: String::new(), after: None, newest_first: false, limit: 2 * MOST };
            store.documents(Collection::Audit, &span).await.unwrap().len()
        };
        for n in 0..10 {
            put(&store, key(now.minus(Duration::from_secs(5)), n)).await;
        }
        prune(&store, now).await.unwrap();
        assert_eq!(count().await, 5, "five are younger");
        for n in 0..MOST as u64 {
            put(&store, key(now, 10 + n)).await;
        }
        prune(&store, now).await.unwrap();
        assert_eq!(count().await, MOST);
    }
}

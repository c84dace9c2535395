//! `GET /api/v1/events`: what happens, as it happens, to any number of listeners and from any replica.
//!
//! One tail reads the store for all who listen; each listener has its own place in what was read. Nobody waits for a
//! listener: one that is too slow is told so and let go.

mod client;
mod gather;
mod ring;
mod tail;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Extension;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::watch;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::Access;
use super::api::take::Asked;
use super::limit::{Seat, Seats};
use super::problem::{Problem, Wrong};
use crate::announce::{KINDS, is_kind};
use crate::clock::Timestamp;
use crate::config;
use crate::job::JobName;
use crate::parts::Parts;
use client::{Client, Filter, NOWHERE};
use ring::Ring;

/// How far a run says it is. It has no position: only the last word counts.
const PROGRESS: &str = "run.progress";

/// A listener that lost its connection comes back after this long.
const RETRY: Duration = Duration::from_secs(3);

/// What is sent to whoever listens at this replica.
pub(super) struct Live {
    parts: Parts,
    state: Mutex<State>,
    /// The number of what comes next: turns whenever something came. Every listener has a receiver.
    turn: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// Whether the tail runs.
    running: bool,
    /// `None` until the store has answered.
    ring: Option<Ring>,
    /// Since when the store does not answer.
    stale_since: Option<Timestamp>,
}

impl Live {
    /// On the events of a replica's store.
    pub(super) fn new(parts: Parts) -> Arc<Live> {
        Arc::new(Live { parts, state: Mutex::default(), turn: watch::channel(0).0 })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_clients(&self) -> bool {
        self.turn.receiver_count() > 0
    }

    /// Sees that somebody reads.
    fn wake(self: &Arc<Live>) {
        let mut state = self.state();
        if !state.running {
            state.running = true;
            tokio::spawn(tail::run(self.clone()));
        }
    }

    /// The tail ends, unless somebody came meanwhile.
    fn leave(&self) -> bool {
        let mut state = self.state();
        if self.has_clients() {
            return false;
        }
        *state = State::default();
        true
    }

    /// An empty ring that goes on where the last one ended.
    fn empty(&self, base: u64) -> Ring {
        Ring::new(*self.turn.borrow() + 1, base, tail::RING)
    }

    /// The store has answered for the first time.
    fn begin(&self, ring: Ring) {
        let end = ring.end();
        self.state().ring = Some(ring);
        self.turn.send_replace(end);
    }

    fn change(&self, change: impl FnOnce(&mut Ring)) {
        let mut state = self.state();
        if let Some(ring) = &mut state.ring {
            change(ring);
            let end = ring.end();
            drop(state);
            self.turn.send_if_modified(|turn| std::mem::replace(turn, end) != end);
        }
    }

    fn stale(&self, is_stale: bool) {
        let mut state = self.state();
        state.stale_since = is_stale.then(|| state.stale_since.unwrap_or_else(|| self.parts.clock.now()));
    }
}

/// What somebody wants to hear.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only these types, between commas: `run.failed`, or all of a kind: `run.*`
    types: Option<String>,
    /// Only this job
    job: Option<String>,
}

impl Wanted {
    fn filter(self) -> Result<Filter, Problem> {
        let mut wrongs = Vec::new();
        let types: Vec<String> = self.types.iter().flat_map(|list| list.split(',')).map(str::to_owned).collect();
        for word in &types {
            if ![PROGRESS].iter().chain(&KINDS).any(|kind| is_kind(word, kind)) {
                wrongs.push(Wrong {
                    pointer: "?types".into(),
                    code: "unknown".into(),
                    detail: format!("`{word}` is no type of events"),
                    suggestion: Some(config::nearest(word, KINDS).unwrap_or("run.*").to_owned()),
                });
            }
        }
        let job = self.job.map(JobName::try_from).transpose();
        if let Err(error) = &job {
            let detail = error.to_string();
            wrongs.push(Wrong { pointer: "?job".into(), code: "not_a_name".into(), detail, suggestion: None });
        }
        match (wrongs.is_empty(), job) {
            (true, Ok(job)) => Ok(Filter { types, job }),
            _ => Err(Problem::invalid(wrongs)),
        }
    }
}

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Follow what happens, live
#[utoipa::path(get, path = "/events", tag = "events",
    params(Wanted, ("Last-Event-ID" = Option<String>, Header, description = "go on after this event, on any replica")),
    responses(
    (status = 200, description = "a stream that goes on: CloudEvents, `heartbeat` every 10 s, `hello` at the beginning, \
        `resync` when something was lost, `bye` when it is to be opened again elsewhere",
        body = String, content_type = "text/event-stream"),
))]
async fn events(
    Extension(live): Extension<Arc<Live>>,
    Extension(seats): Extension<Seats>,
    Extension(access): Extension<Arc<Access>>,
    Asked(wanted): Asked<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let filter = wanted.filter()?;
    let seat = seats.take()?;
    let client = Client::new(live.clone(), filter, since(&headers), access.changes());
    Ok(stream(&live, seat, client))
}

/// The same for pages: what happened is gathered, and only told of which jobs.
pub(super) fn gathered(
    live: &Arc<Live>,
    seats: &Seats,
    access: &Arc<Access>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let seat = seats.take()?;
    let filter = Filter { types: Vec::new(), job: None };
    let client = Client::new(live.clone(), filter, since(headers), access.changes()).gathering();
    Ok(stream(live, seat, client))
}

/// After which event a listener goes on. What is no position is as good as one that is too old.
fn since(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| id.parse().ok()).unwrap_or(NOWHERE))
}

fn stream(live: &Arc<Live>, seat: Seat, client: Client) -> Response {
    live.wake();
    let mut response = Body::from_stream(seat.hold(client.stream())).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

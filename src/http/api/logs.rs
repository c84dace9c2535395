//! What a run printed: as text, as lines of JSON, or live.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream as Flow;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::take::{self, Asked, At};
use crate::clock::Timestamp;
use crate::desk::{Desk, Log, Part, Refusal, Why};
use crate::http::limit::Seats;
use crate::http::problem::{self, Problem};
use crate::runner::Stream;
use crate::shape::{Piece, Position, Run};

pub(super) fn routes() -> OpenApiRouter<Arc<Desk>> {
    OpenApiRouter::new().routes(routes!(log))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Only this stream.
    #[param(inline)]
    stream: Option<Stream>,
    /// Only this attempt.
    #[param(minimum = 1)]
    attempt: Option<u32>,
    /// As text: what follows so many bytes.
    #[param(minimum = 0)]
    offset: Option<usize>,
    /// As text: at most so many bytes.
    #[param(minimum = 1)]
    limit: Option<usize>,
    /// Only the last so many lines; as JSON or live, the last so many pieces.
    #[param(minimum = 0)]
    tail: Option<usize>,
    /// What follows the piece with this position.
    after: Option<String>,
}

/// Between two looks for more.
const LOOK: Duration = Duration::from_millis(500);

/// Something is sent at least this often: proxies end what is silent.
const HEARTBEAT: Duration = Duration::from_secs(15);

const COMPLETE: HeaderName = HeaderName::from_static("cronclave-log-complete");
const BYTES: HeaderName = HeaderName::from_static("cronclave-log-bytes");
const STALE: HeaderName = HeaderName::from_static("cronclave-stale-since");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Read the output of a run
///
/// As text; with `Accept: application/x-ndjson` as pieces, one JSON object a line, with time and stream; with
/// `Accept: text/event-stream` live: `output` for each piece, `heartbeat` every 15 s and when the store goes away or comes
/// back, `end` when the run is over, `bye` when it is to be opened again elsewhere.
#[utoipa::path(get, path = "/runs/{run}/logs", tag = "runs",
    params(("run" = String, Path, description = "Its id, a unique beginning or end of that, or the name of its job", example = "db-backup"),
        ("Last-Event-ID" = Option<String>, Header, description = "what follows the piece with this position, as `after`"), Wanted),
    responses((status = 200, description = "What it printed",
            content((String = "text/plain; charset=utf-8"), (String = "application/x-ndjson"), (String = "text/event-stream")),
            headers(("cronclave-log-complete" = bool, description = "Whether the run is over"),
                ("cronclave-log-bytes" = u64, description = "As text: how many bytes there are in all"),
                ("cronclave-stale-since" = Timestamp, description = "The store is away, and this is what was known then"))),
        (status = 404, description = "There is no such run", body = problem::Document, content_type = "application/problem+json")))]
async fn log(
    State(desk): State<Arc<Desk>>,
    At(run): At<String>,
    headers: HeaderMap,
    Asked(wanted): Asked<Wanted>,
    Extension(seats): Extension<Seats>,
) -> Result<Response, Problem> {
    let resumed = take::text(&headers, &LAST_EVENT_ID).map(str::to_owned);
    let after = resumed.or_else(|| wanted.after.clone()).map(|text| text.parse::<Position>());
    let after = after.transpose().map_err(|why| Refusal::wrong("?after", "not_a_position", why))?;
    if wanted.limit == Some(0) || wanted.attempt == Some(0) {
        let name = if wanted.limit == Some(0) { "?limit" } else { "?attempt" };
        return Err(Refusal::wrong(name, "out_of_range", "it is at least 1").into());
    }
    let part = Part { attempt: wanted.attempt, stream: wanted.stream, after };
    let log = desk.log(&run, &part).await?;
    let (is_over, stale_since) = (log.run.state.is_final(), log.stale_since);
    let accept = take::text(&headers, &ACCEPT).unwrap_or_default();
    let mut response = if accept.contains("text/event-stream") {
        let log = Log { pieces: last(log.pieces, wanted.tail), ..log };
        Sse::new(seats.take()?.hold(follow(desk, part, log))).into_response()
    } else if accept.contains("application/x-ndjson") {
        let lines = last(log.pieces, wanted.tail).into_iter().filter_map(|piece| serde_json::to_string(&piece).ok());
        let body: String = lines.map(|line| line + "\n").collect();
        ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
    } else {
        text(&log.pieces, &wanted)
    };
    let lead = response.headers_mut();
    lead.insert(COMPLETE, HeaderValue::from_static(if is_over { "true" } else { "false" }));
    if let Some(since) = stale_since.and_then(|since| HeaderValue::try_from(since.to_string()).ok()) {
        lead.insert(STALE, since);
    }
    lead.insert(VARY, HeaderValue::from_static("accept"));
    lead.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn last(mut pieces: Vec<Piece>, tail: Option<usize>) -> Vec<Piece> {
    pieces.split_off(pieces.len() - tail.unwrap_or(pieces.len()).min(pieces.len()))
}

fn text(pieces: &[Piece], wanted: &Wanted) -> Response {
    let all: Vec<u8> = pieces.iter().flat_map(Piece::bytes).collect();
    let shown = lines(&all, wanted.tail);
    let shown = shown.get(wanted.offset.unwrap_or(0)..).unwrap_or_default();
    let shown = shown.get(..wanted.limit.unwrap_or(usize::MAX)).unwrap_or(shown);
    let bytes = HeaderValue::from(all.len() as u64);
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    ([(CONTENT_TYPE, kind), (BYTES, bytes)], shown.to_vec()).into_response()
}

/// The last lines of `text`.
fn lines(text: &[u8], most: Option<usize>) -> &[u8] {
    let Some(most) = most else { return text };
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    if most == 0 {
        return &[];
    }
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(most - 1).map_or(text, |start| &text[start..])
}

/// What is still to be sent, and whence more comes.
struct Following {
    desk: Arc<Desk>,
    run: String,
    part: Part,
    events: VecDeque<Event>,
    sent: Instant,
    stale_since: Option<Timestamp>,
    over: bool,
}

/// Sends what a run prints until it is over, and then how it ended.
fn follow(desk: Arc<Desk>, part: Part, log: Log) -> impl Flow<Item = Result<Event, Infallible>> {
    let (run, sent) = (log.run.id.clone(), Instant::now());
    let mut following = Following { desk, run, part, events: VecDeque::new(), sent, stale_since: None, over: false };
    following.take(&log.pieces);
    following.stale(log.stale_since);
    futures_util::stream::unfold(following, async |mut following| {
        let event = following.next().await?;
        following.sent = Instant::now();
        Some((Ok(event), following))
    })
}

impl Following {
    fn take(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            self.part.after = piece.position.parse().ok();
            let event = Event::default().event("output").id(&piece.position);
            self.events.extend(event.json_data(piece));
        }
    }

    /// Says at once that the store is away, and that it is back.
    fn stale(&mut self, since: Option<Timestamp>) {
        let news = since.is_some() != self.stale_since.is_some();
        self.stale_since = if news { since } else { self.stale_since };
        if news {
            self.heartbeat();
        }
    }

    fn heartbeat(&mut self) {
        let data = json!({"at": self.desk.parts.clock.now(), "stale_since": self.stale_since});
        self.events.extend(Event::default().event("heartbeat").json_data(data));
    }

    fn end(&mut self, kind: &str, run: Option<&Run>) {
        self.over = true;
        let event = Event::default().event(kind);
        self.events.extend(match run {
            Some(run) => event.json_data(run),
            None => Ok(event.data("{}")),
        });
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.desk.log(&self.run, &self.part).await {
                Ok(log) => {
                    self.take(&log.pieces);
                    self.stale(log.stale_since);
                    if log.run.state.is_final() {
                        self.end("end", Some(&log.run));
                    }
                }
                // The store is away: it comes back, and this goes on. What is gone from the history does not.
                Err(refusal) if refusal.why == Why::StoreDown => self.stale(Some(self.desk.parts.clock.now())),
                Err(_) => self.end("gone", None),
            }
            if self.events.is_empty() {
                if self.desk.parts.stop.is_soft() {
                    // Another replica goes on from the last position.
                    self.end("bye", None);
                } else if self.sent.elapsed() >= HEARTBEAT {
                    self.heartbeat();
                } else {
                    sleep(LOOK).await;
                }
            }
        }
    }
}

//! Whether a replica lives, whether it is ready, and which version it is. Open to everybody.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::problem::{Code, Problem};
use crate::config;
use crate::desk::Desk;

/// These routes.
pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .route("/version", get(version))
        .route("/problems/{code}", get(problem))
}

/// One thing that was looked at.
struct Check {
    name: &'static str,
    good: bool,
}

/// Never depends on the store: an outage of it must not restart all replicas.
async fn livez(State(desk): State<Arc<Desk>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let stuck = desk.pulse.borrow().stuck();
    let bad = stuck.map(|since| format!("the scheduler's loop is stuck for {since:?}"));
    told(bad, &[Check { name: "loop", good: stuck.is_none() }], &headers, query.as_deref())
}

async fn readyz(State(desk): State<Arc<Desk>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let pulse = desk.pulse.borrow().clone();
    let turns = pulse.stuck().is_none();
    let checks = [
        Check { name: "store", good: pulse.store_up },
        Check { name: "not stopping", good: !pulse.stopping },
        Check { name: "loop", good: turns },
    ];
    let bad = (!pulse.ready || !turns).then(|| "not ready".to_owned());
    told(bad, &checks, &headers, query.as_deref())
}

/// As JSON for who accepts that; each check for who asks, and when something is bad.
fn told(bad: Option<String>, checks: &[Check], headers: &HeaderMap, query: Option<&str>) -> Response {
    let code = if bad.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let says = |header: Option<&axum::http::HeaderValue>, word| {
        header.and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(word))
    };
    if says(headers.get(ACCEPT), "application/json") {
        let checks: Vec<_> = checks.iter().map(|check| json!({"name": check.name, "ok": check.good})).collect();
        let status = bad.unwrap_or_else(|| "ok".into());
        return (code, Json(json!({"status": status, "checks": checks}))).into_response();
    }
    let is_asked = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    let mut text = format!("{}\n", bad.as_deref().unwrap_or("ok"));
    for check in checks.iter().filter(|_| is_asked || bad.is_some()) {
        text += &format!("[{}]{}\n", if check.good { '+' } else { '-' }, check.name);
    }
    (code, text).into_response()
}

async fn version() -> Response {
    Json(json!({"version": env!("CARGO_PKG_VERSION"), "tzdata": crate::schedule::tzdb_version()})).into_response()
}

/// The page about a code.
async fn problem(Path(code): Path<String>) -> Response {
    match config::page(&code).or_else(|| Code::page_of(&code)) {
        Some(page) => ([(CONTENT_TYPE, "text/markdown; charset=utf-8")], page).into_response(),
        None => {
            let detail = format!("no problem has the code {code}; they look like E0102 or not-found");
            Problem::not_found(detail).into_response()
        }
    }
}

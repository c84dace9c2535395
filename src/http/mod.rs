//! What a replica answers over HTTP: whether it lives, whether it is ready, and what a code of `validate` means.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::{self, Listen};
use crate::replica::Pulse;

/// A replica whose loop has not turned for this long is stuck.
const STUCK: Duration = Duration::from_secs(10);

/// Takes the address; when nobody asked for just this one and it is taken, any free port of its host.
///
/// # Errors
/// When the address cannot be had.
pub async fn bind(listen: Listen) -> io::Result<TcpListener> {
    match TcpListener::bind(listen.address).await {
        Err(error) if listen.is_default && error.kind() == io::ErrorKind::AddrInUse => {
            TcpListener::bind((listen.address.ip(), 0)).await
        }
        bound => bound,
    }
}

/// Answers until `over` is done.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    pulse: watch::Receiver<Pulse>,
    over: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(readyz))
        .route("/problems/{code}", get(problem))
        .with_state(pulse);
    axum::serve(listener, routes).with_graceful_shutdown(over).await
}

type Answer = (StatusCode, String);

/// Never depends on the store: an outage of it must not restart all replicas.
async fn livez(State(pulse): State<watch::Receiver<Pulse>>) -> Answer {
    match pulse.borrow().turned {
        Some(turned) if turned.elapsed() > STUCK => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("the scheduler's loop is stuck for {:?}\n", turned.elapsed()))
        }
        _ => (StatusCode::OK, "ok\n".into()),
    }
}

async fn readyz(State(pulse): State<watch::Receiver<Pulse>>, RawQuery(query): RawQuery) -> Answer {
    let pulse = *pulse.borrow();
    let code = if pulse.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let line = |good: bool, what: &str| format!("[{}]{what}\n", if good { '+' } else { '-' });
    let mut text = if pulse.ready { "ok\n".to_owned() } else { "not ready\n".to_owned() };
    if query.is_some_and(|query| query.split('&').any(|part| part == "verbose")) || !pulse.ready {
        text += &line(pulse.store_up, "store");
        text += &line(!pulse.stopping, "not stopping");
    }
    (code, text)
}

/// The page about a code.
async fn problem(Path(code): Path<String>) -> Response {
    match config::page(&code) {
        Some(page) => ([(CONTENT_TYPE, "text/markdown; charset=utf-8")], page).into_response(),
        None => {
            let detail = format!("no problem has the code {code}; they look like E0102");
            let body = serde_json::json!({
                "type": "about:blank", "title": "There is no such page", "status": 404, "detail": detail,
            });
            let kind = [(CONTENT_TYPE, "application/problem+json")];
            (StatusCode::NOT_FOUND, kind, body.to_string()).into_response()
        }
    }
}

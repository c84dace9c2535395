//! Which request this is: its id, taken from the caller or made here, its path, and where within its host we are.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// In and out.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static ASKED: Asked;
}

/// Where we are within another program's site, as in `/cron`; on a request that came through that.
#[derive(Debug, Clone)]
pub(super) struct Base(pub(super) String);

/// What is said about the request that is answered.
#[derive(Debug, Clone)]
struct Asked {
    id: String,
    path: String,
    base: String,
}

/// Of the request that is being answered.
pub(super) fn id_and_path() -> (String, String) {
    ASKED.try_with(|asked| (asked.id.clone(), asked.path.clone())).unwrap_or_default()
}

/// Where whoever asks finds the address `path` of ours: below the base, if there is one.
pub(super) fn address(path: &str) -> String {
    let below = |base: &str| match path.strip_prefix('/') {
        // The front page of `/cron` is that itself, as a nested router has it.
        Some(rest) if !base.is_empty() && (rest.is_empty() || rest.starts_with('?')) => format!("{base}{rest}"),
        _ => format!("{base}{path}"),
    };
    ASKED.try_with(|asked| below(&asked.base)).unwrap_or_else(|_| path.to_owned())
}

/// Gives a request its id.
pub(super) async fn identify(request: Request, next: Next) -> Response {
    let given = request.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_sound(id));
    let id = given.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
    let base = request.extensions().get::<Base>().map(|base| base.0.clone()).unwrap_or_default();
    let asked = Asked { id: id.clone(), path: format!("{base}{}", request.uri().path()), base };
    let (method, path) = (request.method().clone(), asked.path.clone());
    let mut response = ASKED.scope(asked, next.run(request)).await;
    let status = response.status().as_u16();
    // Probes come all the time, and a store that is down is told elsewhere.
    if status == 500 {
        tracing::warn!(%method, path, status, request_id = id, "answered");
    } else {
        tracing::debug!(%method, path, status, request_id = id, "answered");
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    response
}

/// It ends up in logs and answers: letters, digits and a few signs, at most 128.
fn is_sound(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-:+/=@".contains(&c))
}

//! What every answer wears: nothing is kept, guessed or framed, and every refusal is a problem.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Code, Problem};

/// Set unless a handler knows better.
const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// What a refusal of the framework says at most.
const MOST: usize = 4096;

/// Dresses the answer.
pub(super) async fn dress(request: Request, next: Next) -> Response {
    let mut response = as_problem(next.run(request).await).await;
    for (name, value) in ALWAYS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// What the framework refuses by itself it refuses in plain text.
async fn as_problem(response: Response) -> Response {
    let code = match response.status() {
        _ if response.extensions().get::<Code>().is_some() => return response,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Code::InvalidRequest,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::NOT_ACCEPTABLE => Code::NotAcceptable,
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        _ => return response,
    };
    let is_plain = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/plain");
    if !response.headers().get(CONTENT_TYPE).is_none_or(is_plain) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, MOST).await.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let detail = text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| code.title().to_owned());
    let mut problem = Problem::new(code, detail).into_response();
    if let Some(allow) = parts.headers.get(ALLOW) {
        problem.headers_mut().insert(ALLOW, allow.clone());
    }
    problem
}

//! What a request says: its path, its query, its body, its conditions. What cannot be understood is a problem that
//! says where; unknown fields are mistakes.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use serde::de::DeserializeOwned;

use crate::clock::Timestamp;
use crate::config::nearest;
use crate::desk::Refusal;
use crate::http::problem::{Code, Problem, Wrong};
use crate::lease::Fence;

/// Names of things in the path.
#[derive(Debug)]
pub(in crate::http) struct At<T>(pub(in crate::http) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let taken = Path::<T>::from_request_parts(parts, state).await;
        let taken = taken.map_err(|rejection| Problem::not_found(format!("nothing is called so: {rejection}")))?;
        Ok(At(taken.0))
    }
}

/// The query.
#[derive(Debug)]
pub(in crate::http) struct Asked<T>(pub(in crate::http) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let taken = Query::<T>::try_from_uri(&parts.uri);
        let why = |rejection: axum::extract::rejection::QueryRejection| {
            use std::error::Error as _;
            let text = rejection.source().map_or_else(|| rejection.to_string(), causes);
            // As in `limit: invalid digit found in string`.
            let (name, text) = text.split_once(": ").unwrap_or(("", &text));
            Problem::invalid(vec![mistake(format!("?{name}"), text)])
        };
        Ok(Asked(taken.map_err(why)?.0))
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), causes)
}

/// The body, as JSON; none at all stands for `{}`.
#[derive(Debug)]
pub(in crate::http) struct Sent<T>(pub(in crate::http) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let body = body(request, state).await?;
        if body.is_empty() {
            return Ok(Sent(read(b"{}")?));
        }
        if !is_json {
            return Err(Problem::new(Code::UnsupportedMediaType, "send JSON, with `Content-Type: application/json`"));
        }
        Ok(Sent(read(&body)?))
    }
}

/// The bytes of a body, within the limits for it.
pub(in crate::http) async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::TooLarge, "the body is larger than is taken here"),
        _ => Problem::new(Code::InvalidRequest, format!("the body did not come whole: {rejection}")),
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // A list of its fields' values would be taken for it.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::invalid(vec![mistake(String::new(), "send a JSON object")]));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let pointer = if path == "." { String::new() } else { format!("/{}", path.replace('.', "/")) };
        Problem::invalid(vec![mistake(pointer, &error.into_inner().to_string())])
    })?;
    json.end().map_err(|error| Problem::invalid(vec![mistake(String::new(), &error.to_string())]))?;
    Ok(value)
}

/// A mistake as serde tells it.
fn mistake(pointer: String, text: &str) -> Wrong {
    let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let plain =
        |code: &str| Wrong { pointer: pointer.clone(), code: code.into(), detail: text.into(), suggestion: None };
    match quoted.split_first() {
        Some((name, known)) if text.starts_with("unknown field") => {
            let lead = if pointer.starts_with('?') { "?" } else { "/" };
            let base = pointer.rsplit_once(lead).map_or("", |(base, last)| if last == *name { base } else { &pointer });
            Wrong {
                pointer: format!("{base}{lead}{name}"),
                suggestion: nearest(name, known.iter().copied()).map(str::to_owned),
                ..plain("unknown_field")
            }
        }
        Some((name, _)) if text.starts_with("missing field") => {
            Wrong { pointer: format!("{pointer}/{name}"), ..plain("missing_field") }
        }
        _ => plain("invalid"),
    }
}

/// A time of the query.
pub(in crate::http) fn time(name: &str, text: Option<&String>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(at) => Ok(Some(at)),
        Err(_) => {
            let detail = format!("`{text}` is not a time");
            let refusal = Refusal::wrong(&format!("?{name}"), "not_a_time", detail).suggest("2026-11-22T00:00:00Z");
            Err(refusal.into())
        }
    }
}

/// The words between the commas of a value of the query.
pub(in crate::http) fn words(text: Option<&String>) -> Vec<String> {
    let list = text.map(String::as_str).unwrap_or_default().split(',');
    list.map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The fencing token that `If-Match` names.
pub(in crate::http) fn fence(headers: &HeaderMap) -> Result<Fence, Problem> {
    let Some(value) = text(headers, &IF_MATCH) else {
        let detail = "say which hold is meant, by its fencing token as the lock shows it: If-Match: \"184460\"";
        return Err(Problem::new(Code::PreconditionRequired, detail));
    };
    let inner = value.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.and_then(|token| token.parse().ok()).map(Fence).ok_or_else(|| {
        Problem::new(Code::PreconditionFailed, format!("If-Match: {value} is no fencing token: write \"184460\""))
    })
}

/// Whether the caller has what has this tag.
pub(in crate::http) fn has(headers: &HeaderMap, tag: &str) -> bool {
    let known = text(headers, &IF_NONE_MATCH).unwrap_or_default();
    known.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == tag || one == "*")
}

/// A header as text.
pub(in crate::http) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

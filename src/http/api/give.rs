//! How answers are given: JSON with its tag, parts of lists with a link to what follows, refusals as problems.

use std::time::Duration;

use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LINK};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::take;
use crate::desk::{Refusal, Why};
use crate::http::asked;
use crate::http::problem::{Code, Problem, Wrong};
use crate::shape::Page;

/// After the store failed.
const AGAIN: Duration = Duration::from_secs(5);

/// One thing with a strong tag over all of it; nothing but the tag when the caller has it already.
pub(in crate::http) fn tagged(headers: &HeaderMap, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let digest = Sha256::digest(&body);
    let tag = digest.iter().take(16).fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}")) + "\"";
    with_tag(headers, &tag, body)
}

/// The same, where the tag is known.
pub(in crate::http) fn with_tag(headers: &HeaderMap, tag: &str, body: Vec<u8>) -> Response {
    // Stored, but asked for again each time.
    let mut lead = HeaderMap::new();
    lead.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        lead.insert(ETAG, tag);
    }
    if take::has(headers, tag) {
        return (StatusCode::NOT_MODIFIED, lead).into_response();
    }
    lead.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (lead, body).into_response()
}

/// A part of a list, with a link to what follows it.
pub(in crate::http) fn page<T: Serialize>(uri: &Uri, page: &Page<T>) -> Response {
    let mut response = Json(page).into_response();
    if let Some(cursor) = &page.next_cursor {
        let kept =
            uri.query().unwrap_or_default().split('&').filter(|part| !part.starts_with("cursor=") && !part.is_empty());
        let query: Vec<String> = kept.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
        let link = format!("<{}?{}>; rel=\"next\"", asked::address(uri.path()), query.join("&"));
        if let Ok(link) = HeaderValue::try_from(link) {
            response.headers_mut().insert(LINK, link);
        }
    }
    response
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let Refusal { why, detail, run_id, wrongs } = refusal;
        if why == Why::Invalid && !wrongs.is_empty() {
            return Problem::invalid(wrongs.into_iter().map(Wrong::from).collect());
        }
        let problem = Problem::new(code(why), detail);
        let problem = if why == Why::StoreDown { problem.again_after(AGAIN) } else { problem };
        let problem = if wrongs.is_empty() {
            problem
        } else {
            problem.with_errors(wrongs.into_iter().map(Wrong::from).collect())
        };
        match run_id {
            Some(run_id) => problem.with("run_id", run_id),
            None => problem,
        }
    }
}

impl From<crate::desk::Wrong> for Wrong {
    fn from(wrong: crate::desk::Wrong) -> Wrong {
        let crate::desk::Wrong { pointer, code, detail, suggestion } = wrong;
        Wrong { pointer, code, detail, suggestion }
    }
}

fn code(why: Why) -> Code {
    match why {
        Why::NotFound => Code::NotFound,
        Why::Invalid | Why::Ambiguous => Code::InvalidRequest,
        Why::InvalidConfig => Code::InvalidConfig,
        Why::Overlap => Code::Overlap,
        Why::Paused => Code::Paused,
        Why::MutexHeld | Why::Full | Why::Over | Why::Fenced => Code::Conflict,
        Why::LockMoved => Code::LockMoved,
        Why::StoreDown | Why::Unreachable => Code::StoreUnavailable,
        Why::Forbidden => Code::Forbidden,
        Why::Unauthorized => Code::Unauthorized,
        Why::TooMany => Code::TooManyRequests,
        Why::Internal => Code::Internal,
    }
}

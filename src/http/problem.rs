//! What went wrong, for programs and for people: RFC 9457, with a stable code and a page about each.

use std::time::Duration;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::asked;
use crate::store::StoreError;

macro_rules! codes {
    ($($name:ident $word:literal $status:ident $title:literal;)*) => {
        /// Why a request was refused. The words are stable: programs may depend on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// As it stands in answers and addresses.
            pub fn word(self) -> &'static str {
                match self { $(Code::$name => $word),* }
            }

            /// What HTTP says of it.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$name => StatusCode::$status),* }
            }

            /// What it means, in a line.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title),* }
            }

            /// What it means and what to do, in Markdown.
            pub fn page(self) -> &'static str {
                match self { $(Code::$name => include_str!(concat!("../../docs/problems/api/", $word, ".md"))),* }
            }
        }
    };
}

// Each has a page in docs/problems/api; without one this does not compile.
codes! {
    InvalidRequest "invalid-request" UNPROCESSABLE_ENTITY "The request cannot be understood";
    InvalidConfig "invalid-config" UNPROCESSABLE_ENTITY "The schedule file has mistakes";
    Unauthorized "unauthorized" UNAUTHORIZED "Nobody is signed in";
    Forbidden "forbidden" FORBIDDEN "This takes a higher role";
    ReadOnly "read-only" FORBIDDEN "This replica changes nothing";
    CrossSite "cross-site" FORBIDDEN "The request comes from another site";
    UnknownHost "unknown-host" FORBIDDEN "The request names a host that is not this one";
    NotFound "not-found" NOT_FOUND "There is no such thing";
    MethodNotAllowed "method-not-allowed" METHOD_NOT_ALLOWED "This address is not asked like that";
    NotAcceptable "not-acceptable" NOT_ACCEPTABLE "There is no answer of this type";
    TooSlow "too-slow" REQUEST_TIMEOUT "The request did not come in time";
    Conflict "conflict" CONFLICT "It is no longer as the request supposes";
    Overlap "overlap" CONFLICT "The previous run has not finished";
    Paused "paused" CONFLICT "The job is paused";
    LockMoved "lock-moved" PRECONDITION_FAILED "Somebody else holds the lock by now";
    PreconditionFailed "precondition-failed" PRECONDITION_FAILED "It was changed in between";
    PreconditionRequired "precondition-required" PRECONDITION_REQUIRED "The request must say what it supposes";
    TooLarge "too-large" PAYLOAD_TOO_LARGE "The request is too large";
    UnsupportedMediaType "unsupported-media-type" UNSUPPORTED_MEDIA_TYPE "The body has a type that is not read here";
    TooManyRequests "too-many-requests" TOO_MANY_REQUESTS "Too many requests";
    Internal "internal" INTERNAL_SERVER_ERROR "Something is wrong with this program";
    StoreUnavailable "store-unavailable" SERVICE_UNAVAILABLE "The store does not answer";
    BrokerUnavailable "broker-unavailable" SERVICE_UNAVAILABLE "The broker does not answer";
    Busy "busy" SERVICE_UNAVAILABLE "This replica has too much to do";
    TooLong "too-long" GATEWAY_TIMEOUT "The answer took too long";
}

impl Code {
    /// The page about a code, in Markdown; the code in any case.
    pub fn page_of(word: &str) -> Option<&'static str> {
        Code::ALL.iter().find(|code| code.word().eq_ignore_ascii_case(word)).map(|code| code.page())
    }
}

/// After the store failed, or when there is too much to do.
const AGAIN: Duration = Duration::from_secs(5);

/// A request that is refused, or an answer that cannot be given.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    detail: String,
    errors: Vec<Wrong>,
    retry_after: Option<Duration>,
    more: Map<String, Value>,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Wrong {
    /// Where: a JSON pointer into the body (`/from`), or the name of a parameter.
    pub pointer: String,
    /// What kind of mistake it is.
    pub code: String,
    /// What is wrong.
    pub detail: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

/// A problem as it is sent: `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Document {
    /// The page about it: `/problems/CODE`.
    pub r#type: String,
    /// What the code means.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What happened here, and how to mend it.
    pub detail: String,
    /// What was asked.
    pub instance: String,
    /// Stable, for programs.
    pub code: String,
    /// Stands in the answer's `X-Request-Id` as well.
    pub request_id: String,
    /// Asking again sooner is of no use.
    pub retry_after_seconds: Option<u64>,
    /// Everything that is wrong with the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Wrong>,
    /// What else is known: `run_id`, `fencing_token`.
    #[serde(flatten)]
    #[schema(ignore)]
    pub more: Map<String, Value>,
}

impl Problem {
    /// Of this kind; `detail` says what, where and how to mend it.
    pub fn new(code: Code, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        Problem(Box::new(Inner { code, detail, errors: Vec::new(), retry_after: None, more: Map::new() }))
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(Code::NotFound, detail)
    }

    /// It takes a higher role.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(Code::Forbidden, detail)
    }

    /// It cannot be understood: everything that is wrong with it.
    pub fn invalid(errors: Vec<Wrong>) -> Problem {
        let details: Vec<String> = errors.iter().map(|wrong| format!("{}: {}", wrong.pointer, wrong.detail)).collect();
        let mut problem = Problem::new(Code::InvalidRequest, details.join("; "));
        problem.0.errors = errors;
        problem
    }

    /// It is not as the request supposes; a code of the kind [`Code::Conflict`], [`Code::Overlap`], [`Code::Paused`].
    pub fn conflict(code: Code, detail: impl Into<String>) -> Problem {
        Problem::new(code, detail)
    }

    /// The store did not answer.
    pub fn store_down(error: &StoreError) -> Problem {
        Problem::new(Code::StoreUnavailable, error.message.clone()).again_after(AGAIN)
    }

    /// Something is wrong here.
    pub fn internal(detail: impl Into<String>) -> Problem {
        Problem::new(Code::Internal, detail)
    }

    /// There is too much to do.
    pub fn busy(detail: impl Into<String>) -> Problem {
        Problem::new(Code::Busy, detail).again_after(AGAIN)
    }

    /// Asking again sooner is of no use.
    #[must_use]
    pub fn again_after(mut self, wait: Duration) -> Problem {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds a member for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Problem {
        self.0.more.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// Adds everything that is wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Wrong>) -> Problem {
        self.0.errors = errors;
        self
    }

    /// Of which kind.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What happened.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What is wrong with which part of the request.
    pub fn errors(&self) -> &[Wrong] {
        &self.0.errors
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Problem::store_down(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let told = self.clone();
        let Inner { code, detail, errors, retry_after, more } = *self.0;
        let (request_id, instance) = asked::id_and_path();
        let seconds = retry_after.map(|wait| wait.as_secs_f64().ceil() as u64);
        let document = Document {
            r#type: asked::address(&format!("/problems/{}", code.word())),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail,
            instance,
            code: code.word().to_owned(),
            request_id,
            retry_after_seconds: seconds,
            errors,
            more,
        };
        let mut response = (code.status(), Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = seconds {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"cronclave\""));
        }
        response.extensions_mut().insert(code);
        response.extensions_mut().insert(told);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_names_it() {
        for code in Code::ALL {
            assert!(code.page().starts_with(&format!("# {}: ", code.word())), "{code:?}");
        }
        let pages = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/problems/api")).unwrap();
        assert_eq!(pages.count(), Code::ALL.len(), "no page without a code");
        assert_eq!(Code::page_of("OVERLAP"), Some(Code::Overlap.page()));
        assert_eq!(Code::page_of("nothing"), None);
    }
}

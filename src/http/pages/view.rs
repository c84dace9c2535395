//! Who looks at a page, and how they want it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::Markup;

use super::address::Place;
use super::frame::{self, Framed};
use super::prefs::Prefs;
use super::said::Done;
use super::when::When;
use crate::clock::Timestamp;
use crate::config::Role;
use crate::desk::Desk;
use crate::http::access::Caller;
use crate::http::asked;
use crate::http::problem::Problem;

/// Scripts, styles and pictures are ours; nothing is within the page, and nothing comes from elsewhere.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// Who looks, and how they want it.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) caller: Caller,
    pub(super) prefs: Prefs,
    /// As the page was asked for, without what is before our own addresses.
    pub(super) uri: Uri,
    pub(super) here: String,
    /// Whether they were let in: whoever was not learns nothing about the cluster.
    pub(super) is_in: bool,
    pub(super) done: Option<Done>,
}

/// What a page has to show.
pub(super) struct Sheet {
    /// Of the window.
    pub(super) title: String,
    /// Which of the pages in the bar it belongs to.
    pub(super) under: Place,
    /// What the store's clock read.
    pub(super) now: Timestamp,
    /// Since when the store is away, if what is shown was known before.
    pub(super) stale_since: Option<Timestamp>,
    /// Of which jobs news is of interest: `*` for all, one name, or nothing.
    pub(super) about: String,
    pub(super) main: Markup,
}

impl View {
    pub(super) fn of(headers: &HeaderMap, uri: &Uri, caller: Caller) -> View {
        let here = asked::address(uri.path_and_query().map_or("/", |path| path.as_str()));
        View { caller, prefs: Prefs::read(headers), uri: uri.clone(), here, is_in: true, done: Done::read(headers) }
    }

    /// Times as they are shown to this person.
    pub(super) fn when(&self, now: Timestamp) -> When {
        When::new(&self.prefs, now)
    }

    /// Whether they may change anything, as far as their role says.
    pub(super) fn may_act(&self) -> bool {
        self.caller.role >= Role::Operator
    }

    /// Whether they may end what somebody holds.
    pub(super) fn may_release(&self) -> bool {
        self.caller.role >= Role::Admin
    }

    /// The address of this page, for a form that leads back to it.
    pub(super) fn here(&self) -> &str {
        &self.here
    }

    /// The page.
    pub(super) async fn show(self, desk: &Arc<Desk>, sheet: Sheet) -> Response {
        self.show_as(desk, StatusCode::OK, sheet).await
    }

    /// The same, where it is no good news.
    pub(super) async fn show_as(self, desk: &Arc<Desk>, status: StatusCode, sheet: Sheet) -> Response {
        let troubles = if self.is_in { desk.troubles().await } else { Vec::new() };
        let framed = Framed {
            view: &self,
            cluster: &desk.parts.cluster,
            replica: &desk.parts.holder,
            troubles: &troubles,
            done: self.done.as_ref(),
        };
        let mut response = (status, frame::page(&framed, &sheet).into_string()).into_response();
        dress(&mut response);
        if self.done.is_some() {
            Done::forget(&mut response);
        }
        response
    }
}

/// The headers of a page.
fn dress(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    // Forms of ours are to be told from those of others, by their origin.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
}

impl<S: Sync> FromRequestParts<S> for View {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<View, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(View::of(&parts.headers, &parts.uri, caller))
    }
}

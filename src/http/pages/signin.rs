//! Signing in and out with a browser.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::address;
use super::fields::{self, Fields};
use super::icons;
use super::view::{Sheet, View};
use crate::desk::Desk;
use crate::http::access::{self, Access};
use crate::http::problem::Problem;

/// The page; or the one-time link of a terminal, which has a code.
pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    access: Extension<Arc<Access>>,
    view: View,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Fields::parse(view.uri.query().unwrap_or_default().as_bytes());
    if let Some(code) = view.uri.query().and_then(|query| query.strip_prefix("code=")) {
        // Whoever only looks whether there is a page must not use the link up.
        if method != Method::GET {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let mut response = (StatusCode::SEE_OTHER, [(LOCATION, fields::front())]).into_response();
        access::follow(&access, view.caller, &headers, code)?.into(&mut response);
        return Ok(response);
    }
    let next = fields::local(query.get("next"));
    let main = form(&next, None);
    let now = desk.parts.clock.now();
    let sheet =
        Sheet { title: "Sign in".into(), under: address::NOWHERE, now, stale_since: None, about: String::new(), main };
    Ok(View { is_in: false, ..view }.show(&desk, sheet).await)
}

/// Where a token is asked for; `why` is what went wrong.
pub(super) fn form(next: &str, why: Option<&str>) -> Markup {
    html! {
        section.sheet.signin {
            h1 { "Sign in" }
            @if let Some(why) = why { p.said-bad role="alert" { (icons::small("bad")) span { (why) } } }
            form method="post" action=(address::SIGN_IN) {
                label for="token" { "Token" }
                input #token type="password" name="token" required autocomplete="current-password" autofocus maxlength="1000" spellcheck="false" aria-describedby="token-help";
                p #token-help.faint { "The value of " code { "CRONCLAVE_API_TOKEN" } ", or a token of the file that " code { "CRONCLAVE_API_TOKENS_FILE" } " names." }
                input type="hidden" name="back" value=(next);
                button.button.first { "Sign in" }
            }
            details {
                summary { "I have no token" }
                p { "Whoever runs the replicas has one. On a machine of your own, start " code { "cronclave serve" } " without a token and open the link that it prints." }
            }
        }
    }
}

/// A token against a cookie.
pub(super) async fn sign_in(
    State(desk): State<Arc<Desk>>,
    Extension(access): Extension<Arc<Access>>,
    view: View,
    headers: HeaderMap,
    fields: Fields,
) -> Response {
    let token = fields.get("token").unwrap_or_default();
    match access::admit(&access, view.caller.clone(), &headers, token) {
        Ok(admitted) => {
            let mut response = (StatusCode::SEE_OTHER, [(LOCATION, fields.back())]).into_response();
            admitted.into(&mut response);
            response
        }
        Err(problem) => {
            let (code, now) = (problem.code(), desk.parts.clock.now());
            let main = form(fields.back().to_str().unwrap_or("/"), Some(problem.detail()));
            let sheet = Sheet {
                title: "Sign in".into(),
                under: address::NOWHERE,
                now,
                stale_since: None,
                about: String::new(),
                main,
            };
            let mut response = View { is_in: false, ..view }.show_as(&desk, code.status(), sheet).await;
            response.extensions_mut().insert(code);
            response
        }
    }
}

/// Takes the cookie back.
pub(super) async fn sign_out(Extension(access): Extension<Arc<Access>>, headers: HeaderMap) -> Response {
    let headers = [(LOCATION, fields::front()), (SET_COOKIE, access::no_cookie(&access, &headers))];
    (StatusCode::SEE_OTHER, headers).into_response()
}

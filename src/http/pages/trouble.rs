//! Refusals as pages: whatever the API would answer with a problem, a browser gets as a page that says what to do.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, RETRY_AFTER};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::Next;
use axum::response::Response;
use maud::{Markup, html};

use super::view::{Sheet, View};
use super::{address, icons, signin};
use crate::desk::Desk;
use crate::http::access::{Caller, LINK_PATH};
use crate::http::asked;
use crate::http::problem::{Code, Problem};

/// Turns the refusal of a page into a page.
pub(in crate::http) async fn explain(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let is_page = wants_page(request.headers()) && !request.uri().path().starts_with("/api/");
    let headers = request.headers().clone();
    // A form that was refused is no page to come back to.
    let uri = if request.method() == Method::GET { request.uri().clone() } else { Uri::from_static("/") };
    let response = next.run(request).await;
    let problem = response.extensions().get::<Problem>().cloned().filter(|_| is_page);
    match problem {
        Some(problem) => page(&desk, &headers, &uri, response, &problem).await,
        None => response,
    }
}

/// Whether whoever asks is a browser that would show a page.
fn wants_page(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

async fn page(desk: &Arc<Desk>, headers: &HeaderMap, uri: &Uri, refused: Response, problem: &Problem) -> Response {
    let caller = refused.extensions().get::<Caller>().cloned();
    let (code, now) = (problem.code(), desk.parts.clock.now());
    let was_let_in = ![Code::Unauthorized, Code::UnknownHost, Code::CrossSite].contains(&code);
    let is_in = caller.is_some() && was_let_in;
    let view = View { is_in, ..View::of(headers, uri, caller.unwrap_or_else(Caller::unknown)) };
    let main = match code {
        // A link that is used up leads nowhere; any other page is gone on to.
        Code::Unauthorized if uri.path() == LINK_PATH => {
            signin::form(&address::NOW.to_string(), Some(problem.detail()))
        }
        Code::Unauthorized => signin::form(view.here(), None),
        Code::StoreUnavailable => down(desk, problem),
        _ => told(problem),
    };
    let sheet = Sheet {
        title: code.title().into(),
        under: address::NOWHERE,
        now,
        stale_since: None,
        about: String::new(),
        main,
    };
    let mut response = view.show_as(desk, code.status(), sheet).await;
    if code == Code::StoreUnavailable {
        // Without a script it is asked for again like this.
        response.headers_mut().insert("refresh", axum::http::HeaderValue::from_static("5"));
    }
    if let Some(after) = refused.headers().get(RETRY_AFTER) {
        response.headers_mut().insert(RETRY_AFTER, after.clone());
    }
    // What went before is for the audit, and for whoever counts.
    response.extensions_mut().extend(refused.extensions().clone());
    response
}

fn told(problem: &Problem) -> Markup {
    let code = problem.code();
    html! {
        section.sheet.trouble {
            p.trouble-code { (code.status().as_u16()) }
            h1 { (code.title()) }
            p.lead { (problem.detail()) }
            @for wrong in problem.errors() {
                p { code { (wrong.pointer) } " " (wrong.detail) @if let Some(right) = &wrong.suggestion { " Try " code { (right) } "." } }
            }
            p.actions { a.button href=(address::NOW) { "Now" } a.button href=(address::JOBS) { "Jobs" } }
            p.faint { "Request " code { (asked::id_and_path().0) } " · " code { (code.word()) } }
        }
    }
}

/// The store is away, and nothing was known before: what was tried, and what is wrong, as the store explains it.
fn down(desk: &Desk, problem: &Problem) -> Markup {
    html! {
        section.sheet.trouble data-again="5" {
            p.trouble-code.bad { (icons::small("bad")) }
            h1 { "The store does not answer" }
            p.lead { "This replica cannot say how things stand until it does. It tries again by itself, and so does this page: " span data-again-count { "every 5 s" } "." }
            dl.facts {
                dt { "Store" } dd { code { (desk.parts.store.describe()) } }
                dt { "What is wrong" } dd { (problem.detail()) }
                dt { "This replica" } dd { code { (desk.parts.holder) } }
            }
            h2 { "What happens meanwhile" }
            ul {
                li { "Nothing new is started: without the store nobody can tell whether somebody else has started it." }
                li { "A run that is going is ended before its lease ends, unless the store is back by then." }
                li { "What comes due is decided once the store is back, as each job's " code { "misfire" } " says. Nothing is forgotten." }
            }
        }
    }
}

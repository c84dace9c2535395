//! What was done, told on the page that follows: with a script at once, without one through a cookie that is read once.

use axum::Json;
use axum::http::header::{ACCEPT, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::address;
use super::fields::Fields;
use crate::http::access::cookies;
use crate::http::limit::Reason;
use crate::job::JobName;
use crate::lease::RunId;
use crate::phrase::count;

/// The cookie that carries it over to the next page.
const COOKIE: &str = "cronclave_said";

/// Something that was done. Only names are kept: the words are made when it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Done {
    Triggered { job: JobName, run: RunId, replicas: usize },
    Paused { jobs: Vec<JobName> },
    Resumed { jobs: Vec<JobName> },
    Started { jobs: usize, refused: usize },
    Cancelled { job: JobName, run: RunId },
    Backfilled { job: JobName, runs: usize },
    Released { job: JobName },
    Reloaded { jobs: usize, changed: bool },
}

/// A button that follows from what was done: its word, where its form leads, and what that says.
struct Next {
    word: &'static str,
    action: String,
    fields: Vec<(&'static str, String)>,
}

impl Done {
    fn text(&self) -> String {
        let names = |jobs: &[JobName]| match jobs {
            [one] => one.to_string(),
            many => count(many.len(), "job"),
        };
        match self {
            Done::Triggered { job, replicas: 0, .. } => {
                format!("A run of {job} waits: no replica is there to start it")
            }
            Done::Triggered { job, .. } => format!("A run of {job} was asked for"),
            Done::Paused { jobs } => format!("Paused {}", names(jobs)),
            Done::Resumed { jobs } => format!("Resumed {}", names(jobs)),
            Done::Started { jobs, refused: 0 } => format!("{} asked for", count(*jobs, "run")),
            Done::Started { jobs, refused } => {
                format!("{} asked for; {} refused", count(*jobs, "run"), count(*refused, "run"))
            }
            Done::Cancelled { job, .. } => format!("The run of {job} was told to stop"),
            Done::Backfilled { job, runs } => format!("{} of {job} asked for", count(*runs, "past run")),
            Done::Released { job } => format!("Released. The run of {job} that held it is recorded as lost"),
            Done::Reloaded { jobs, changed: true } => format!("Read again: {}", count(*jobs, "job")),
            Done::Reloaded { jobs, .. } => format!("Read again: {}, nothing changed", count(*jobs, "job")),
        }
    }

    /// Where to look at what came of it.
    fn link(&self) -> Option<(&'static str, String)> {
        match self {
            Done::Triggered { run, .. } | Done::Cancelled { run, .. } => Some(("Look at it", address::run(run))),
            _ => None,
        }
    }

    /// What takes it back.
    fn undo(&self) -> Option<Next> {
        let of = |act: &str, jobs: &[JobName]| Next {
            word: "Undo",
            action: address::JOBS.to_string(),
            fields: [("act", act.to_owned())]
                .into_iter()
                .chain(jobs.iter().map(|job| ("job", job.to_string())))
                .collect(),
        };
        match self {
            Done::Paused { jobs } => Some(of("resume", jobs)),
            Done::Resumed { jobs } => Some(of("pause", jobs)),
            _ => None,
        }
    }

    /// As it is shown.
    pub(super) fn show(&self, back: &str) -> Markup {
        html! {
            div.toast {
                span.toast-text { (self.text()) }
                @if let Some((word, href)) = self.link() { a.quiet href=(href) { (word) } }
                @if let Some(Next { word, action, fields }) = self.undo() {
                    form method="post" action=(action) data-act {
                        @for (name, value) in &fields { input type="hidden" name=(name) value=(value); }
                        input type="hidden" name="back" value=(back);
                        button.quiet { (word) }
                    }
                }
            }
        }
    }

    /// The answer to a form: back to the page it was on. `reason` is for the audit.
    pub(super) fn answer(&self, fields: &Fields, headers: &HeaderMap) -> Response {
        let back = fields.back();
        let wants_json = headers.get(ACCEPT).is_some_and(|accept| accept == "application/json");
        let mut response = if wants_json {
            let html = self.show(back.to_str().unwrap_or("/")).into_string();
            Json(json!({"html": html, "location": self.link().map(|(_, href)| href)})).into_response()
        } else {
            let value = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default());
            let cookie = format!("{COOKIE}={value}; Path={}; Max-Age=60; HttpOnly; SameSite=Strict", address::NOW);
            let mut response = (StatusCode::SEE_OTHER, [(LOCATION, back)]).into_response();
            if let Ok(cookie) = HeaderValue::try_from(cookie) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        };
        if let Some(reason) = fields.text("reason") {
            response.extensions_mut().insert(Reason(reason.chars().take(1000).collect()));
        }
        response
    }

    /// What the page before did, if it was not told yet.
    pub(super) fn read(headers: &HeaderMap) -> Option<Done> {
        let value = cookies(headers, COOKIE).into_iter().find(|value| !value.is_empty())?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(value).ok()?).ok()
    }

    /// It was told.
    pub(super) fn forget(response: &mut Response) {
        let cookie = format!("{COOKIE}=; Path={}; Max-Age=0; HttpOnly; SameSite=Strict", address::NOW);
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}

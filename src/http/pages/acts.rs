//! What can be done, as forms: each has a page that asks, which a script shows as a dialog, and an answer that leads
//! back. What is refused comes back as the API would refuse it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};

use super::address;
use super::fields::{self, Fields};
use super::said::Done;
use super::view::{Sheet, View};
use crate::clock::Timestamp;
use crate::config;
use crate::desk::{AfterPause, Asked, Desk, Refusal, Why};
use crate::http::access::{Caller, Role};
use crate::http::api::take::At;
use crate::http::problem::Problem;
use crate::lease::Fence;

/// A page that asks before something is done.
struct Question {
    title: String,
    /// Where its form leads.
    action: String,
    /// What the button says.
    word: &'static str,
    /// Whether it cannot be taken back.
    grave: bool,
    /// Who may.
    least: Role,
    /// What the form asks for.
    inside: Markup,
}

impl Question {
    async fn ask(self, desk: &Arc<Desk>, view: View) -> Response {
        let query = Fields::parse(view.uri.query().unwrap_or_default().as_bytes());
        let back = fields::local(query.get("back"));
        let may = view.caller.role >= self.least;
        let main = html! {
            section.sheet {
                h1 { (self.title) }
                @if !may {
                    p.said-bad { "This takes the role " (self.least) ", and you have " (view.caller.role) "." }
                }
                form method="post" action=(self.action) data-act {
                    (self.inside)
                    input type="hidden" name="back" value=(back);
                    // The same form sent twice asks once.
                    input type="hidden" name="key" value=(uuid::Uuid::now_v7());
                    div.actions {
                        button.button.first.bad[self.grave] disabled[!may] { (self.word) }
                        a.button data-close href=(back) { "Back" }
                    }
                }
            }
        };
        let now = desk.parts.clock.now();
        let sheet =
            Sheet { title: self.title, under: address::NOWHERE, now, stale_since: None, about: String::new(), main };
        view.show(desk, sheet).await
    }
}

/// Somebody who acts with a form, and may.
pub(super) struct Act {
    pub(super) caller: Caller,
    pub(super) fields: Fields,
    headers: HeaderMap,
}

impl<S: Send + Sync> FromRequest<S> for Act {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Act, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, state).await?;
        caller.may(Role::Operator)?;
        let headers = parts.headers.clone();
        let fields = Fields::from_request(Request::from_parts(parts, body), state).await?;
        Ok(Act { caller, fields, headers })
    }
}

impl Act {
    /// What makes the same form, sent twice, ask once.
    fn key(&self) -> Option<String> {
        self.fields.text("key").filter(|key| key.len() <= 200)
    }

    /// In whose name.
    pub(super) fn by(&self) -> Option<String> {
        Some(self.caller.name.clone())
    }

    /// The answer: back to where the form was, with what was done.
    pub(super) fn done(&self, done: &Done) -> Response {
        done.answer(&self.fields, &self.headers)
    }
}

fn reason(hint: &str) -> Markup {
    html! {
        label for="reason" { "Reason " span.faint { "(kept in the history)" } }
        input #reason name="reason" maxlength="1000" placeholder=(hint) autocomplete="off";
    }
}

pub(super) async fn ask_run(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(job): At<String>,
) -> Result<Response, Problem> {
    let job = desk.job(&job)?;
    let inside = html! {
        @if let Some(text) = &job.description { p.faint { (text) } }
        (reason("why by hand?"))
        details {
            summary { "Arguments, or another instant" }
            label for="args" { "Arguments, one to a line: " code { "name=value" } }
            textarea #args name="args" rows="3" spellcheck="false" {}
            label for="at" { "Scheduled instant " span.faint { "(default: now; on the clock of " (job.schedule.zone().name()) ")" } }
            input #at name="at" placeholder="2026-11-22 06:00" autocomplete="off";
        }
    };
    let (title, action) = (format!("Run {} now", job.name), format!("{}/run", address::job(&job.name)));
    Ok(Question { title, action, word: "Run now", grave: false, least: Role::Operator, inside }.ask(&desk, view).await)
}

pub(super) async fn run(State(desk): State<Arc<Desk>>, At(job): At<String>, act: Act) -> Result<Response, Problem> {
    let zone = desk.job(&job)?.schedule.zone().clone();
    let asked = Asked {
        args: args(act.fields.get("args").unwrap_or_default())?,
        reason: act.fields.text("reason"),
        scheduled_at: act.fields.time("at", &zone)?,
        key: act.key(),
    };
    let triggered = desk.trigger(&job, asked, act.by()).await?;
    let done = Done::Triggered { job: triggered.job, run: triggered.id, replicas: triggered.replicas };
    Ok(act.done(&done))
}

/// `name=value` lines.
fn args(text: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let pair = |line: &str| {
        let wrong = || Refusal::wrong("args", "not_an_argument", format!("`{line}`: write one name=value to a line"));
        line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(wrong)
    };
    lines.map(pair).collect()
}

pub(super) async fn ask_pause(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(job): At<String>,
) -> Result<Response, Problem> {
    let job = desk.job(&job)?;
    let inside = html! {
        p.faint { "What runs goes on. What comes due meanwhile is skipped, each time on record." }
        (reason("who should know why?"))
        label for="for" { "For how long " span.faint { "(empty: until it is resumed)" } }
        input #for name="for" list="spans" placeholder="2h" autocomplete="off";
        datalist #spans { @for span in ["30m", "1h", "4h", "1d", "7d"] { option value=(span) {} } }
    };
    let (title, action) = (format!("Pause {}", job.name), format!("{}/pause", address::job(&job.name)));
    Ok(Question { title, action, word: "Pause", grave: false, least: Role::Operator, inside }.ask(&desk, view).await)
}

/// The end of a pause that lasts so long from now.
fn until(fields: &Fields, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    let read = |text: &str| match config::duration(text) {
        Ok(span) => Ok(now.plus(span)),
        Err(why) => Err(Refusal::wrong("for", "not_a_span", format!("`{text}`: {why}"))),
    };
    fields.get("for").map(read).transpose()
}

pub(super) async fn pause(State(desk): State<Arc<Desk>>, At(job): At<String>, act: Act) -> Result<Response, Problem> {
    let until = until(&act.fields, desk.parts.clock.now())?;
    let paused = desk.pause(&job, until, act.fields.text("reason"), act.by()).await?;
    Ok(act.done(&Done::Paused { jobs: vec![paused.job] }))
}

pub(super) async fn resume(State(desk): State<Arc<Desk>>, At(job): At<String>, act: Act) -> Result<Response, Problem> {
    let after = if act.fields.get("catch_up").is_some() { AfterPause::CatchUp } else { AfterPause::Skip };
    let resumed = desk.resume(&job, after, act.by()).await?;
    Ok(act.done(&Done::Resumed { jobs: vec![resumed.job] }))
}

/// The same for each job that was chosen in a list.
pub(super) async fn several(State(desk): State<Arc<Desk>>, act: Act) -> Result<Response, Problem> {
    let jobs: Vec<&str> = act.fields.all("job").collect();
    if jobs.is_empty() {
        return Err(Refusal::wrong("job", "missing_field", "no job was chosen: tick some first").into());
    }
    // One that is gone meanwhile must not leave the rest half done.
    for job in &jobs {
        desk.job(job)?;
    }
    let by = act.by();
    let mut names = Vec::new();
    let done = match act.fields.get("act") {
        Some("pause") => {
            let until = until(&act.fields, desk.parts.clock.now())?;
            for job in jobs {
                names.push(desk.pause(job, until, act.fields.text("reason"), by.clone()).await?.job);
            }
            Done::Paused { jobs: names }
        }
        Some("resume") => {
            for job in jobs {
                names.push(desk.resume(job, AfterPause::Skip, by.clone()).await?.job);
            }
            Done::Resumed { jobs: names }
        }
        Some("run") => {
            let (mut started, mut refused) = (0, 0);
            for job in jobs {
                // What is in the way of one is not in the way of the others.
                let (reason, key) = (act.fields.text("reason"), act.key());
                match desk.trigger(job, Asked { reason, key, ..Asked::default() }, by.clone()).await {
                    Ok(_) => started += 1,
                    Err(refusal) if refusal.why == Why::StoreDown => return Err(refusal.into()),
                    Err(_) => refused += 1,
                }
            }
            Done::Started { jobs: started, refused }
        }
        _ => return Err(Refusal::wrong("act", "unknown", "`act` is pause, resume or run").into()),
    };
    Ok(act.done(&done))
}

pub(super) async fn ask_cancel(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(run): At<String>,
) -> Result<Response, Problem> {
    let run = desk.run(&run).await?.it.run;
    let inside = html! {
        p { "Its code is told to stop, and killed if it does not." }
        @if let Some(replica) = &run.replica { p.faint { "It is with " code { (replica) } "." } }
    };
    let title = format!("Stop the run of {}", run.job);
    let action = format!("{}/cancel", address::run(&run.id));
    Ok(Question { title, action, word: "Stop it", grave: true, least: Role::Operator, inside }.ask(&desk, view).await)
}

pub(super) async fn cancel(State(desk): State<Arc<Desk>>, At(run): At<String>, act: Act) -> Result<Response, Problem> {
    let cancelled = desk.cancel(&run, act.caller.name.clone()).await?;
    Ok(act.done(&Done::Cancelled { job: cancelled.job, run: cancelled.id }))
}

pub(super) async fn ask_retry(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(run): At<String>,
) -> Result<Response, Problem> {
    let run = desk.run(&run).await?.it.run;
    let inside = html! {
        p { "A new run for the same instant. The old one stays in the history as it is." }
        (reason("what was mended?"))
    };
    let title = format!("Run {} again", run.job);
    let action = format!("{}/retry", address::run(&run.id));
    Ok(Question { title, action, word: "Run again", grave: false, least: Role::Operator, inside }
        .ask(&desk, view)
        .await)
}

pub(super) async fn retry(State(desk): State<Arc<Desk>>, At(run): At<String>, act: Act) -> Result<Response, Problem> {
    let triggered = desk.retry(&run, act.fields.text("reason"), act.by()).await?;
    let done = Done::Triggered { job: triggered.job, run: triggered.id, replicas: triggered.replicas };
    Ok(act.done(&done))
}

pub(super) async fn ask_release(State(desk): State<Arc<Desk>>, view: View) -> Result<Response, Problem> {
    let query = Fields::parse(view.uri.query().unwrap_or_default().as_bytes());
    let (key, token) = (query.get("key").unwrap_or_default(), query.get("token").unwrap_or_default());
    let page = desk.lock(key).await?;
    let holder = page.items.iter().find(|lock| lock.fencing_token.to_string() == token).map(|lock| &lock.holder);
    let inside = html! {
        @match holder {
            Some(holder) => {
                p { "It is held by " code { (holder) } " under the fencing token " code { (token) } ". Its run is recorded as lost, and the next may start: "
                    strong { "make sure that its code no longer runs" } ", or that what it writes to checks the token." }
            }
            None => p.said-bad { "It is no longer held under the token " code { (token) } "." }
        }
        (reason("what happened to the holder?"))
        input type="hidden" name="lock" value=(key);
        input type="hidden" name="token" value=(token);
    };
    let title = format!("Release {key}");
    Ok(Question {
        title,
        action: address::RELEASE.to_string(),
        word: "Release",
        grave: true,
        least: Role::Admin,
        inside,
    }
    .ask(&desk, view)
    .await)
}

pub(super) async fn release(State(desk): State<Arc<Desk>>, act: Act) -> Result<Response, Problem> {
    act.caller.may(Role::Admin)?;
    let token = act.fields.get("token").and_then(|token| token.parse().ok()).map(Fence);
    let token = token.ok_or_else(|| Refusal::wrong("token", "missing_field", "`token` says which hold is meant"))?;
    let released = desk.release(act.fields.get("lock").unwrap_or_default(), token, act.caller.name.clone()).await?;
    Ok(act.done(&Done::Released { job: released.job }))
}

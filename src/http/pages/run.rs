//! One run: how it went, step by step, why it was, and what it printed.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::log;
use super::now::act;
use super::view::{Sheet, View};
use super::when::{When, span};
use super::{address, icons, parts};
use crate::clock::Timestamp;
use crate::desk::{Desk, Filter, Slice};
use crate::http::api::take::{Asked, At};
use crate::http::problem::Problem;
use crate::job::JobName;
use crate::ledger::State as RunState;
use crate::phrase;
use crate::shape::{Attempt, Run, RunDetail, Seen, Trigger};

pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(id): At<String>,
    Asked(asking): Asked<log::Asking>,
) -> Result<Response, Problem> {
    let Seen { it: RunDetail { run, .. }, stale_since } = desk.run(&id).await?;
    if run.id != id {
        // A part of an id, or a job's name: what it stands for may be another run tomorrow.
        let query = view.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(Redirect::to(&(address::run(&run.id) + &query)).into_response());
    }
    let neighbours = neighbours(&desk, &run).await?;
    let log = log::section(&desk, &view, &run, &asking).await?;
    // By the store's clock, as far as it can be told.
    let now = desk.look().await?.snapshot.now;
    let when = view.when(now);
    let main = html! {
        (heading(&run, &view))
        (neighbours.show(&run, &when))
        div.run {
            section.panel.part aria-labelledby="course" {
                h2 #course { "Course" }
                (course(&run, &when))
            }
            section.panel.part aria-labelledby="why" {
                h2 #why { "Facts" }
                (facts(&run, &when))
            }
        }
        (log)
    };
    let word = run.state.word().replace('_', " ");
    let sheet = Sheet {
        title: format!("{}: {word}", run.job),
        under: address::RUNS,
        now,
        stale_since,
        about: run.job.to_string(),
        main,
    };
    Ok(view.show(&desk, sheet).await)
}

fn heading(run: &Run, view: &View) -> Markup {
    let path = address::run(&run.id);
    let title = html! { a href=(address::job(&run.job)) { (run.job) } " " span.run-id { "run " (short(&run.id)) } };
    let beside = html! {
        (parts::state(run.state))
        @if !run.state.is_final() { (act(view, &format!("{path}/cancel"), "Stop")) }
        @if run.state.is_final() { (act(view, &format!("{path}/retry"), "Run again")) }
        button.button.slim type="button" data-copy="run-id" hidden { "Copy id" }
    };
    html! {
        (parts::heading(title, beside))
        @if let Some(said) = &run.progress { div.run-progress { (parts::progress(said)) } }
        @if let Some(fault) = run.error.as_ref().and_then(|error| error.message.as_ref()).or(run.message.as_ref()) {
            p.run-fault.(parts::state_look(run.state).1) { (icons::small(parts::state_look(run.state).0)) span dir="auto" { (fault) } }
        }
    }
}

/// The end of an id: runs of one instant share their first digits.
pub(super) fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(12)..).unwrap_or(id)
}

/// The runs of the job before and after this one.
#[derive(Default)]
struct Neighbours {
    before: Option<Run>,
    after: Option<Run>,
}

/// Runs after this one that are looked through for the next.
const AFTER: usize = 200;

async fn neighbours(desk: &Desk, run: &Run) -> Result<Neighbours, Problem> {
    let states = RunState::ALL.into_iter().filter(|state| state.is_run()).collect();
    let of_job = Filter { job: Some(run.job.to_string()), states, ..Filter::default() };
    let older = Filter { until: Some(run.scheduled_at), ..of_job.clone() };
    let newer = Filter { since: Some(run.scheduled_at.plus(Duration::from_micros(1))), ..of_job };
    // The job may be forgotten by now.
    let Ok(older) = desk.runs(&older, &Slice::first(1)).await else { return Ok(Neighbours::default()) };
    let newer = desk.runs(&newer, &Slice::first(AFTER)).await?;
    let after =
        if newer.next_cursor.is_some() { newer.items.into_iter().next() } else { newer.items.into_iter().last() };
    Ok(Neighbours { before: older.items.into_iter().next(), after })
}

impl Neighbours {
    fn show(&self, run: &Run, when: &When) -> Markup {
        let zone = run.timezone.as_deref();
        let link = |run: &Run, rel: &str, word: &str| {
            html! {
                a rel=(rel) href=(address::run(&run.id)) { (word) } " " (parts::state(run.state)) " " span.faint { (when.at(run.scheduled_at, zone)) }
            }
        };
        html! {
            nav.run-near aria-label="Runs of this job" {
                span { @match &self.before { Some(before) => (link(before, "prev", "← Run before")), None => span.faint { "No run before it" } } }
                span { a href={ (address::RUNS) "?q=job:" (address::word(run.job.as_str())) } { "All runs of " (run.job) } }
                span { @match &self.after { Some(after) => (link(after, "next", "Run after →")), None => span.faint { "No run after it" } } }
            }
        }
    }
}

/// A span within the course of a run.
struct Leg {
    from: Timestamp,
    until: Timestamp,
    class: &'static str,
    what: String,
}

/// The instants of an attempt, each with what it is called; and what led from each to the next.
fn legs(run: &Run, now: Timestamp) -> Vec<Leg> {
    let mut legs = Vec::new();
    let mut edge = run.scheduled_at;
    for attempt in &run.attempts {
        let number = attempt.attempt;
        let started = attempt.started_at.or(attempt.finished_at).unwrap_or(now).max(attempt.claimed_at);
        let end = attempt.finished_at.unwrap_or(now).max(started);
        let class = attempt.state.map_or("running", |state| parts::state_look(state).1);
        let word = attempt.state.map_or_else(|| "running".to_owned(), |state| state.word().replace('_', " "));
        legs.push(Leg {
            from: edge,
            until: attempt.claimed_at,
            class: "wait",
            what: format!("waited for attempt {number}"),
        });
        legs.push(Leg {
            from: attempt.claimed_at,
            until: started,
            class: "claim",
            what: format!("attempt {number} on its way"),
        });
        if attempt.started_at.is_some() {
            legs.push(Leg { from: started, until: end, class, what: format!("attempt {number} {word}") });
        }
        edge = end;
    }
    if !run.state.is_final() && run.attempts.last().is_none_or(|last| last.finished_at.is_some()) {
        legs.push(Leg { from: edge, until: now.max(edge), class: "wait", what: "waits".into() });
    }
    legs.retain(|leg| leg.until > leg.from);
    legs
}

fn course(run: &Run, when: &When) -> Markup {
    let zone = run.timezone.as_deref();
    html! {
        (bar(&legs(run, when.now)))
        ol.course {
            @for (n, attempt) in run.attempts.iter().enumerate() {
                li id={ "attempt-" (attempt.fencing_token) } { (one(attempt, n.checked_sub(1).map_or(Some(run.scheduled_at), |before| run.attempts[before].finished_at), n == 0, when, zone)) }
            }
            @if run.attempts.is_empty() {
                li { p.steps { (step("scheduled", run.scheduled_at, when, zone)) @if !run.state.is_final() { (dash(None)) span.faint { (waiting(run)) } } } }
            }
            @if let Some(at) = run.next_attempt_at.filter(|_| !run.state.is_final()) {
                li { p { (parts::badge("waiting", "late", "next attempt")) " " (when.at(at, zone)) ", " (when.away(at, zone)) } }
            }
        }
    }
}

fn waiting(run: &Run) -> &'static str {
    match run.state {
        RunState::Queued => "waits for its turn",
        _ => "nobody has claimed it yet",
    }
}

fn one(attempt: &Attempt, from: Option<Timestamp>, is_first: bool, when: &When, zone: Option<&str>) -> Markup {
    let claimed = attempt.claimed_at;
    html! {
        div.row-head {
            strong { "Attempt " (attempt.attempt) }
            @match attempt.state {
                Some(state) => (parts::state(state)),
                None => (parts::badge("running", "running", if attempt.started_at.is_some() { "running" } else { "claimed" })),
            }
            span.faint { "by " code { (attempt.replica) } }
            span.faint { "token " code { (attempt.fencing_token) } }
            @if let Some(code) = attempt.exit_code { span.faint { "exit code " code { (code) } } }
            @if let Some(signal) = attempt.signal { span.faint { "signal " code { (signal) } } }
        }
        p.steps {
            @if let Some(at) = from { @if is_first { (step("scheduled", at, when, zone)) } (dash(Some((at, claimed)))) }
            (step("claimed", claimed, when, zone))
            @match (attempt.started_at, attempt.finished_at) {
                (Some(started), ended) => {
                    (dash(Some((claimed, started)))) (step("started", started, when, zone))
                    @match ended {
                        Some(ended) => { (dash(Some((started, ended)))) (step("finished", ended, when, zone)) }
                        None => { (dash(None)) span { "for " (when.since(started)) } }
                    }
                }
                (None, Some(ended)) => { (dash(Some((claimed, ended)))) (step("given up", ended, when, zone)) }
                (None, None) => { (dash(None)) span.faint { "not started yet" } }
            }
        }
        @if let Some(message) = attempt.message.as_ref().filter(|message| !message.starts_with("exit code ")) { p.fault dir="auto" { (message) } }
    }
}

fn step(word: &str, at: Timestamp, when: &When, zone: Option<&str>) -> Markup {
    html! { span.step { span.faint { (word) } " " (when.instant(at, zone)) } " " }
}

/// How long it took from one step to the next.
fn dash(between: Option<(Timestamp, Timestamp)>) -> Markup {
    html! {
        span.dash { @if let Some((from, until)) = between { span.hidden { "after " } (phrase::span(until.since(from))) } @else { "…" } } " "
    }
}

/// Where the time went; everything in it stands in the list below as well.
fn bar(legs: &[Leg]) -> Markup {
    const WIDE: f64 = 1000.0;
    let (Some(first), Some(last)) = (legs.first(), legs.last()) else { return html! {} };
    let all = last.until.since(first.from).as_secs_f64().max(1e-6);
    let place = |at: Timestamp| at.since(first.from).as_secs_f64() / all * WIDE;
    let words: Vec<String> =
        legs.iter().map(|leg| format!("{} {}", leg.what, phrase::span(leg.until.since(leg.from)))).collect();
    html! {
        svg.course-bar viewBox="0 0 1000 14" role="img" aria-label={ "Where " (span(all)) " went: " (words.join(", ")) } preserveAspectRatio="none" {
            rect.ground x="0" y="0" width="1000" height="14" {}
            @for (leg, words) in legs.iter().zip(&words) {
                // However short, it is to be seen.
                @let x = place(leg.from).min(WIDE - 3.0);
                @let wide = (place(leg.until) - x).max(3.0);
                rect.(leg.class) x=(format!("{x:.1}")) y=(if leg.class == "wait" { 5 } else { 0 }) width=(format!("{wide:.1}")) height=(if leg.class == "wait" { 4 } else { 14 }) { title { (words) } }
            }
        }
    }
}

/// What is less counts as on time.
pub(super) const JUST: Duration = Duration::from_millis(1);

/// How late it was begun for the first time: later attempts are not late, they are attempts.
pub(super) fn lateness(run: &Run) -> Option<Duration> {
    let first = run.attempts.iter().find_map(|attempt| attempt.started_at);
    first.map(|at| at.since(run.scheduled_at))
}

fn facts(run: &Run, when: &When) -> Markup {
    let zone = run.timezone.as_deref();
    html! {
        dl.facts {
            dt { "Scheduled" }
            dd { (when.full(run.scheduled_at, zone)) " " span.faint { (when.away(run.scheduled_at, zone)) } " " a href=(address::why(&run.job, run.scheduled_at)) { "Why?" } }
            @if run.count > 1 { dt { "Stands for" } dd { (run.count) " occurrences" } }
            dt { "Trigger" } dd { (trigger(&run.trigger)) }
            @if let Some(late) = lateness(run) { dt { "Began" } dd { @if late < JUST { "on time" } @else { (phrase::span(late)) " after the scheduled instant" } } }
            @if let Some(took) = run.duration_seconds { dt { "Took" } dd { (span(took)) } }
            @if let Some(number) = run.attempt { dt { "Attempt" } dd { (number) @if let Some(most) = run.max_attempts { " of " (most) } } }
            dt { "Run" } dd { code #run-id { (run.id) } }
            @if let Some(trace) = &run.trace_id { dt { "Trace" } dd { code { (trace) } } }
        }
    }
}

/// Why a run exists.
pub(super) fn trigger(trigger: &Trigger) -> Markup {
    let led = |on: &Option<String>| match on.as_deref() {
        Some("start") => "start of",
        Some("failure") => "failure of",
        Some("overdue") => "delay of",
        _ => "success of",
    };
    let job = |name: &JobName| html! { a href=(address::job(name)) { (name) } };
    html! {
        @match (trigger.kind.as_str(), &trigger.job) {
            ("chain", Some(name)) => {
                "chain: " (led(&trigger.on)) " "
                @match &trigger.run_id { Some(id) => a href=(address::run(id)) { (name) }, None => (job(name)) }
            }
            (kind, _) => (kind),
        }
        @if let Some(by) = &trigger.by { " by " bdi { (by) } }
        @if let Some(reason) = &trigger.reason { span.sub.reason dir="auto" { (reason) } }
    }
}

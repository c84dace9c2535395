//! One job: how it fares, when it is next, how long it takes, what its file says.

mod chart;
mod definition;
mod head;
mod runs;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::view::{Sheet, View};
use super::when::When;
use super::{address, parts};
use crate::clock::Timestamp;
use crate::desk::{Desk, Filter, PassedOver, Slice, Span};
use crate::http::api::take::{Asked, At};
use crate::http::problem::Problem;
use crate::ledger::State as RunState;
use crate::shape::{Job, Occurrence, Run};

/// Runs that are drawn.
const DRAWN: usize = 200;

/// Lines of history, and occurrences to come.
const LINES: usize = 20;
const NEXT: usize = 10;

/// What is in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asking {
    /// Whether occurrences are shown that will be passed over.
    #[serde(default)]
    skipped: bool,
}

pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(name): At<String>,
    Asked(asking): Asked<Asking>,
) -> Result<Response, Problem> {
    let seen = desk.one_job(&name).await?;
    let (job, known) = (&seen.it.job, desk.job(&name)?);
    let passed_over = if asking.skipped { PassedOver::Shown } else { PassedOver::Hidden };
    let next = desk.occurrences(&name, &Span { count: Some(NEXT), passed_over, ..Span::default() }).await?;
    let of = |states| Filter { job: Some(name.clone()), states, ..Filter::default() };
    let lines = desk.runs(&of(Vec::new()), &Slice::first(LINES)).await?;
    let drawn = desk.runs(&of(run_states()), &Slice::first(DRAWN)).await?;
    let open = desk.standing().await;
    let locks = desk.locks().await?;
    let when = view.when(next.now);
    let main = html! {
        (head::head(job, &when, &view))
        (head::tickers(job, &when))
        div.job {
            section.whole aria-labelledby="durations" {
                h2 #durations { "How long its runs take" }
                (chart::chart(&drawn.items, job, &seen.it.definition, &when))
            }
            section aria-labelledby="next" {
                h2 #next { "Next" }
                (coming(&next.items, job, &asking, &when))
            }
            section aria-labelledby="open" {
                h2 #open { "Open runs and locks" }
                (runs::open(open.iter().filter(|run| run.job == job.name), &when, &view))
                (runs::locks(locks.items.iter().filter(|lock| lock.job == job.name), &when, &view))
            }
            section.whole aria-labelledby="runs" {
                h2 #runs { "Runs" a.beside-heading href={ (address::RUNS) "?job=" (job.name) } { "All runs" } }
                (runs::table(&lines.items, job, &when))
            }
            section.whole aria-labelledby="definition" {
                h2 #definition { "Definition" }
                (definition::show(&known, job, &seen.it.definition))
            }
        }
    };
    let sheet = Sheet {
        title: job.name.to_string(),
        under: address::JOBS,
        now: next.now,
        stale_since: seen.stale_since.or(next.stale_since),
        about: job.name.to_string(),
        main,
    };
    Ok(view.show(&desk, sheet).await)
}

/// The runs that are drawn, as a table.
pub(super) async fn durations(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(name): At<String>,
) -> Result<Response, Problem> {
    let job = desk.job(&name)?;
    let filter = Filter { job: Some(name.clone()), states: run_states(), ..Filter::default() };
    let runs = desk.runs(&filter, &Slice::first(DRAWN)).await?;
    let when = view.when(runs.now);
    let main = html! {
        section.sheet.wide {
            h1 { "How long runs of " (job.name) " took" }
            (chart::table(&runs.items, &when))
            p.actions { a.button data-close href=(address::job(&job.name)) { "Back" } }
        }
    };
    let sheet = Sheet {
        title: format!("Durations of {}", job.name),
        under: address::JOBS,
        now: runs.now,
        stale_since: runs.stale_since,
        about: String::new(),
        main,
    };
    Ok(view.show(&desk, sheet).await)
}

fn run_states() -> Vec<RunState> {
    RunState::ALL.into_iter().filter(|state| state.is_run()).collect()
}

/// What comes, with what changes of clocks and calendars do to it.
fn coming(next: &[Occurrence], job: &Job, asking: &Asking, when: &When) -> Markup {
    let zone = Some(job.timezone.as_str());
    let href = address::job(&job.name);
    html! {
        @if job.is_manual() { p.faint { "It runs when somebody asks for it: its schedule is " code { "@manual" } "." } }
        @else if next.is_empty() { p.faint { "Nothing comes any more." } }
        @else {
            @if job.paused.is_some() { p.note.late { "It is paused: what comes due meanwhile is skipped." } }
            table.plain.next {
                thead { tr { th scope="col" { "At" } th scope="col" { "In" } th scope="col" { "Note" } } }
                tbody { @for one in next { (occurrence(one, zone, job, when)) } }
            }
            p.faint {
                @if asking.skipped { a href=(href) { "Only those that run" } }
                @else { a href={ (href) "?skipped=true" } { "Show skipped" } }
                " · "
                a href={ (address::TIMELINE) "?q=" (job.name) } { "Timeline" }
            }
        }
    }
}

fn occurrence(one: &Occurrence, zone: Option<&str>, job: &Job, when: &When) -> Markup {
    let planned = one.planned.as_ref();
    let at: Timestamp = planned.map_or(one.scheduled_at, |planned| planned.at);
    html! {
        tr id={ "next-" (one.scheduled_at.as_micros()) } {
            th scope="row" { a href=(address::why(&job.name, one.scheduled_at)) { (when.at(at, zone)) } }
            td { (when.away(at, zone)) }
            td {
                @if let Some(planned) = planned {
                    @if let Some(dst) = &planned.dst { (parts::dst(dst)) }
                    @if let Some(skipped) = &planned.skipped { span.note { "skipped: closed by " (skipped.calendar) } }
                    @if planned.jitter_seconds > 0.0 { span.note { "jitter +" (super::when::span(planned.jitter_seconds)) } }
                }
            }
        }
    }
}

/// What is said of a run in a line.
fn told(run: &Run) -> Option<&str> {
    parts::fault(run).or(run.trigger.reason.as_deref())
}

//! All runs, and the occurrences that did not become one, newest first.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::run::{JUST, lateness, trigger};
use super::sought::{self, Sought};
use super::view::{Sheet, View};
use super::when::{When, span};
use super::{address, parts};
use crate::desk::{Desk, Slice};
use crate::http::api::take::Asked;
use crate::http::problem::Problem;
use crate::phrase;
use crate::schedule::Zone;
use crate::shape::{Page, Run};

/// Rows of a part.
const ROWS: usize = 50;

/// So many parts back one finds the way; from further on only to the newest.
const TRAIL: usize = 12;

/// What is in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asking {
    /// Words with qualifiers.
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    job: String,
    #[serde(default)]
    cursor: String,
    /// The cursors of the parts before this one, the nearest last.
    #[serde(default)]
    trail: String,
}

impl Asking {
    fn address(&self, cursor: &str, trail: &[&str]) -> String {
        let (Asking { q, state, job, .. }, trail) = (self, trail.join("."));
        let asked = [("q", q.as_str()), ("state", state), ("job", job), ("cursor", cursor), ("trail", &trail)];
        address::with(address::RUNS, &asked)
    }

    /// The part with newer runs.
    fn newer(&self) -> Option<String> {
        let trail: Vec<&str> = self.trail.split('.').filter(|cursor| !cursor.is_empty()).collect();
        match trail.split_last() {
            _ if self.cursor.is_empty() => None,
            // The first part has no cursor.
            Some((&"-", rest)) => Some(self.address("", rest)),
            Some((last, rest)) => Some(self.address(last, rest)),
            None => Some(self.address("", &[])),
        }
    }

    /// The part with older ones.
    fn older(&self, cursor: &str) -> String {
        let mut trail: Vec<&str> = self.trail.split('.').filter(|cursor| !cursor.is_empty()).collect();
        trail.push(if self.cursor.is_empty() { "-" } else { &self.cursor });
        let first = trail.len().saturating_sub(TRAIL);
        self.address(cursor, &trail[first..])
    }

    fn is_narrowed(&self) -> bool {
        !(self.q.is_empty() && self.state.is_empty() && self.job.is_empty())
    }
}

pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    view: View,
    Asked(asking): Asked<Asking>,
) -> Result<Response, Problem> {
    let look = desk.look().await?;
    let jobs: Vec<String> = desk.known().by_name.keys().map(ToString::to_string).collect();
    // Times are typed on the clock on which they are shown, as far as that is one.
    let zone = view.when(look.snapshot.now).zone(None);
    let sought = sought(&asking, &jobs, &zone, look.snapshot.now);
    let cursor = Some(asking.cursor.clone()).filter(|cursor| !cursor.is_empty());
    let mut page = match sought.wrong.is_empty() {
        true => desk.runs(&sought.filter, &Slice::new(Some(ROWS), cursor)).await?,
        false => Page { items: Vec::new(), next_cursor: None, total: None, now: look.snapshot.now, stale_since: None },
    };
    page.stale_since = page.stale_since.or(look.stale_since);
    let when = view.when(page.now);
    let main = html! {
        (parts::heading(html! { "Runs" }, html! {}))
        (filters(&asking, &sought, &jobs))
        @if !sought.wrong.is_empty() {
            div.said-bad role="alert" { div {
                @for wrong in &sought.wrong { p { bdi { code { (wrong.word) } } " " (wrong.why) } }
                ul.qualifiers {
                    @for (name, what) in sought::QUALIFIERS { li { code { (name) ":" } " " (what) } }
                    li { "A word without one is a job, or the beginning or end of an id." }
                }
            } }
        } @else if page.items.is_empty() {
            (nothing(&asking))
        } @else {
            div.scroll { (table(&page.items, &when)) }
            (pager(&asking, page.next_cursor.as_deref(), page.items.len()))
        }
    };
    let sheet = Sheet {
        title: "Runs".into(),
        under: address::RUNS,
        now: page.now,
        stale_since: page.stale_since,
        about: "*".into(),
        main,
    };
    Ok(view.show(&desk, sheet).await)
}

/// What the field says, with what was chosen beside it.
fn sought(asking: &Asking, jobs: &[String], zone: &Zone, now: crate::clock::Timestamp) -> Sought {
    let mut text = asking.q.clone();
    for (name, value) in [("state", &asking.state), ("job", &asking.job)] {
        if !value.is_empty() {
            text = format!("{text} {name}:{value}");
        }
    }
    Sought::read(&text, jobs, zone, now)
}

fn pager(asking: &Asking, next: Option<&str>, rows: usize) -> Markup {
    let (newer, older) = (asking.newer(), next.map(|cursor| asking.older(cursor)));
    html! {
        nav.pager aria-label="Parts of the list" {
            @if newer.is_some() { a.button.slim href=(asking.address("", &[])) { "Newest" } }
            @if let Some(href) = newer { a.button.slim rel="prev" href=(href) { "← Newer" } }
            span.faint { (phrase::count(rows, "row")) }
            @if let Some(href) = older { a.button.slim rel="next" href=(href) { "Older →" } }
        }
    }
}

fn filters(asking: &Asking, sought: &Sought, jobs: &[String]) -> Markup {
    html! {
        form.filters.runs-filters method="get" action=(address::RUNS) role="search" aria-label="Narrow the list down" {
            label.hidden for="q" { "Qualifiers" }
            input #q type="search" name="q" value=(asking.q) list="qualifiers" placeholder="state:failed job:db-backup trigger:manual since:24h on:web.1" maxlength="300" autocomplete="off" spellcheck="false" aria-invalid=[(!sought.wrong.is_empty()).then_some("true")];
            datalist #qualifiers {
                @for word in sought::words(jobs) { option value=(word) {} }
            }
            label.hidden for="state" { "State" }
            select #state name="state" data-submit {
                option value="" { "Any state" }
                @for (word, name) in sought::states() { option value=(word) selected[asking.state == word] { (name) } }
            }
            label.hidden for="job" { "Job" }
            select #job name="job" data-submit {
                option value="" { "Any job" }
                @for job in jobs { option value=(job) selected[asking.job == *job] { (job) } }
            }
            button.button.slim { "Show" }
            @if asking.is_narrowed() { a.quiet href=(address::RUNS) { "Show all" } }
        }
    }
}

fn nothing(asking: &Asking) -> Markup {
    if asking.is_narrowed() || !asking.cursor.is_empty() {
        return parts::empty(
            "No run is like that",
            html! {
                p { "Nothing among all runs that are kept fits. How many are kept is each job's " code { "keep" } "." }
                p.actions { a.button href=(address::RUNS) { "Show all" } }
            },
        );
    }
    parts::empty(
        "Nothing has run yet",
        html! {
            p { "Every run, and every occurrence that did not become one, is listed here from its first instant on." }
            p.actions { a.button href=(address::JOBS) { "Jobs" } a.button href=(address::TIMELINE) { "What comes" } }
        },
    )
}

fn table(rows: &[Run], when: &When) -> Markup {
    html! {
        table.list.runs {
            thead { tr {
                th scope="col" { "Job" }
                th scope="col" { "State" }
                th scope="col" { "Scheduled" }
                th scope="col" { "Started" }
                th.num scope="col" { "Took" }
                th.wide scope="col" { "Attempt" }
                th scope="col" { "By" }
                th scope="col" { "Trigger" }
            } }
            tbody { @for run in rows { (row(run, when)) } }
        }
    }
}

fn row(run: &Run, when: &When) -> Markup {
    let zone = run.timezone.as_deref();
    let href = address::outcome(run);
    html! {
        tr id={ "r-" (run.id) } data-row=(href) {
            th.main scope="row" {
                a.name href=(href) { (run.job) }
                @if let Some(fault) = parts::fault(run) { span.sub.fault.one-line dir="auto" title=(fault) { (fault) } }
                @if let Some(said) = &run.progress { (parts::progress(said)) }
            }
            td data-label="State" { (parts::state(run.state)) }
            td data-label="Scheduled" {
                (when.at(run.scheduled_at, zone))
                @if let Some(through) = run.through.filter(|through| *through != run.scheduled_at) {
                    span.sub { (phrase::count(usize::try_from(run.count).unwrap_or(usize::MAX), "occurrence")) " to " (when.at(through, zone)) }
                } @else { span.sub { (when.away(run.scheduled_at, zone)) } }
            }
            @if run.state.is_run() {
                td data-label="Started" { (started(run, when)) }
                td.num data-label="Took" { (took(run, when)) }
                td.wide data-label="Attempt" { @if let Some(number) = run.attempt { (number) @if let Some(most) = run.max_attempts { span.faint { " of " (most) } } } @else { span.faint { "–" } } }
                td data-label="By" { @match &run.replica { Some(replica) => code { (replica) }, None => span.faint { "–" } } }
            } @else {
                td.passed colspan="4" data-label="Passed over" { a href=(href) { "Why it did not run" } }
            }
            td data-label="Trigger" { (trigger(&run.trigger)) }
        }
    }
}

fn started(run: &Run, when: &When) -> Markup {
    let zone = run.timezone.as_deref();
    html! {
        @if let Some(at) = run.started_at {
            (when.at(at, zone))
            span.sub { (late(run)) }
        } @else if let Some(at) = run.next_attempt_at.filter(|_| !run.state.is_final()) {
            span.faint { "next " (when.away(at, zone)) }
        } @else { span.faint { "–" } }
    }
}

fn late(run: &Run) -> String {
    let late = lateness(run).filter(|late| *late >= JUST);
    let late = late.map_or_else(|| "on time".to_owned(), |late| format!("{} late", phrase::span(late)));
    let several = run.attempts.iter().filter(|attempt| attempt.started_at.is_some()).count() > 1;
    if several { format!("the first {late}") } else { late }
}

fn took(run: &Run, when: &When) -> Markup {
    html! {
        @match (run.started_at, run.duration_seconds) {
            (_, Some(took)) => (span(took)),
            (Some(at), None) if !run.state.is_final() => (when.since(at)),
            _ => span.faint { "–" },
        }
    }
}

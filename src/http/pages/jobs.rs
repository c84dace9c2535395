//! All jobs: found, sorted, chosen.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::view::{Sheet, View};
use super::when::When;
use super::{address, icons, parts};
use crate::desk::{Choice, Desk, Detail, Slice};
use crate::http::api::take::{self, Asked};
use crate::http::problem::Problem;
use crate::shape::{Health, Job, Wanted};

/// Rows of a part.
const ROWS: usize = 100;

/// What is in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asking {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    part: usize,
}

impl Asking {
    /// The same page with something else in its address.
    fn with(&self, change: impl FnOnce(&mut Asking)) -> String {
        let mut asking = Asking { part: 0, ..self.clone() };
        change(&mut asking);
        let Asking { q, state, tag, sort, part } = &asking;
        let part = address::part(*part);
        address::with(address::JOBS, &[("q", q), ("state", state), ("tag", tag), ("sort", sort), ("part", &part)])
    }
}

/// The columns that a list can be sorted by.
const SORTS: [(&str, &str); 4] = [("name", "Job"), ("schedule", "Schedule"), ("last", "Last"), ("next", "Next")];

fn compare(by: &str, one: &Job, other: &Job) -> Ordering {
    let started = |job: &Job| job.last_run.as_ref().map(|run| run.scheduled_at);
    // What never comes is after everything that does.
    let next = |job: &Job| job.next.as_ref().map_or(i64::MAX, |next| next.at.as_micros());
    match by {
        "schedule" => one.schedule_text.cmp(&other.schedule_text),
        "last" => started(other).cmp(&started(one)),
        "next" => next(one).cmp(&next(other)),
        _ => Ordering::Equal,
    }
    .then_with(|| one.name.cmp(&other.name))
}

pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    view: View,
    Asked(asking): Asked<Asking>,
) -> Result<Response, Problem> {
    let state = wanted(&asking.state)?;
    let text = Some(asking.q.trim().to_owned()).filter(|text| !text.is_empty());
    let tags = take::words(Some(&asking.tag));
    let choice = Choice { names: Vec::new(), tags, state, text, detail: Detail::Brief };
    let mut jobs = desk.jobs(&choice, &Slice::first(usize::MAX)).await?;
    let total = jobs.items.len();
    let (by, falls) = match asking.sort.strip_prefix('-') {
        Some(by) => (by, true),
        None => (asking.sort.as_str(), false),
    };
    jobs.items.sort_by(|one, other| if falls { compare(by, other, one) } else { compare(by, one, other) });
    let first = asking.part.saturating_mul(ROWS).min(total);
    let mut rows: Vec<Job> = jobs.items.into_iter().skip(first).take(ROWS).collect();
    desk.add_recent(&mut rows).await?;
    let when = view.when(jobs.now);
    let main = html! {
        (parts::heading(html! { "Jobs" }, html! { (filters(&asking, &desk)) }))
        @if rows.is_empty() {
            (nothing(&asking))
        } @else {
            form.chosen method="post" action=(address::JOBS) data-act {
                (bulk(&view))
                div.scroll { (table(&rows, &asking, &when, &view)) }
            }
            (parts::pager(
                (asking.part > 0).then(|| asking.with(|to| to.part = asking.part - 1)),
                (first + ROWS < total).then(|| asking.with(|to| to.part = asking.part + 1)),
                &format!("{} to {} of {total}", first + 1, first + rows.len()),
            ))
        }
    };
    let sheet = Sheet {
        title: "Jobs".into(),
        under: address::JOBS,
        now: jobs.now,
        stale_since: jobs.stale_since,
        about: "*".into(),
        main,
    };
    Ok(view.show(&desk, sheet).await)
}

fn wanted(word: &str) -> Result<Option<Wanted>, Problem> {
    if word.is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_value(serde_json::Value::String(word.to_owned()));
    let wrong = |_| crate::desk::Refusal::wrong("?state", "unknown", format!("no job fares `{word}`"));
    Ok(Some(read.map_err(wrong)?))
}

/// What narrows the list down.
fn filters(asking: &Asking, desk: &Desk) -> Markup {
    let known = desk.known();
    let mut tags: Vec<&str> = known.by_name.values().flat_map(|job| job.tags.iter().map(String::as_str)).collect();
    tags.sort_unstable();
    tags.dedup();
    let states = ["failing", "overdue", "running", "paused", "ok", "never_run", "disabled"];
    html! {
        form.filters method="get" action=(address::JOBS) role="search" aria-label="Narrow the list down" {
            label.hidden for="q" { "In the name or description" }
            input #q type="search" name="q" value=(asking.q) placeholder="Name or description" maxlength="200";
            label.hidden for="state" { "State" }
            select #state name="state" data-submit {
                option value="" { "Any state" }
                @for state in states { option value=(state) selected[asking.state == state] { (state.replace('_', " ")) } }
            }
            @if !tags.is_empty() {
                label.hidden for="tag" { "Tag" }
                select #tag name="tag" data-submit {
                    option value="" { "Any tag" }
                    @for tag in tags { option value=(tag) selected[asking.tag == tag] { (tag) } }
                }
            }
            @if !asking.sort.is_empty() { input type="hidden" name="sort" value=(asking.sort); }
            button.button.slim { "Show" }
        }
    }
}

fn nothing(asking: &Asking) -> Markup {
    if asking.q.is_empty() && asking.state.is_empty() && asking.tag.is_empty() {
        return super::now::no_jobs();
    }
    parts::empty(
        "No job is like that",
        html! { p { "Nothing among all jobs fits. " a href=(address::JOBS) { "Show all" } } },
    )
}

/// What is done with those that are ticked.
fn bulk(view: &View) -> Markup {
    html! {
        @if view.may_act() {
            div.bulk {
                label { input type="checkbox" data-all; " All on this page" }
                label.hidden for="bulk-reason" { "Reason" }
                input #bulk-reason name="reason" placeholder="Reason" maxlength="1000" autocomplete="off";
                button.button.slim name="act" value="pause" { "Pause" }
                button.button.slim name="act" value="resume" { "Resume" }
                button.button.slim name="act" value="run" { "Run now" }
                input type="hidden" name="back" value=(view.here());
                // The same form sent twice asks once.
                input type="hidden" name="key" value=(uuid::Uuid::now_v7());
            }
        }
    }
}

fn table(rows: &[Job], asking: &Asking, when: &When, view: &View) -> Markup {
    html! {
        table.list.jobs {
            thead { tr {
                @if view.may_act() { th.tick scope="col" { span.hidden { "Chosen" } } }
                (column(asking, SORTS[0]))
                th scope="col" { "State" }
                th.wide scope="col" { "History" }
                (column(asking, SORTS[1]))
                (column(asking, SORTS[2]))
                (column(asking, SORTS[3]))
                th scope="col" { span.hidden { "Actions" } }
            } }
            tbody { @for job in rows { (row(job, when, view)) } }
        }
    }
}

/// A heading that sorts.
fn column(asking: &Asking, (by, title): (&str, &str)) -> Markup {
    let is_by = asking.sort.trim_start_matches('-') == by || (asking.sort.is_empty() && by == "name");
    let falls = asking.sort.starts_with('-');
    let order = match (is_by, falls) {
        (false, _) => "none",
        (true, false) => "ascending",
        (true, true) => "descending",
    };
    let sort = if is_by && !falls { format!("-{by}") } else { by.to_owned() };
    html! {
        th scope="col" aria-sort=(order) {
            a href=(asking.with(|to| to.sort = sort)) { (title) @if is_by { span aria-hidden="true" { (if falls { " ↓" } else { " ↑" }) } } }
        }
    }
}

fn row(job: &Job, when: &When, view: &View) -> Markup {
    let zone = Some(job.timezone.as_str());
    let href = address::job(&job.name);
    html! {
        tr id={ "job-" (job.name) } data-row=(href) {
            @if view.may_act() { td.tick { input type="checkbox" name="job" value=(job.name) aria-label={ "Choose " (job.name) }; } }
            th.main scope="row" {
                a.name href=(href) { (job.name) }
                @if let Some(text) = &job.description { span.sub { (text) } }
                @for tag in &job.tags { " " a.tag href={ (address::JOBS) "?tag=" (address::word(tag)) } { (tag) } }
            }
            td.state data-label="State" { (parts::health(job.health)) @if let Some(pause) = &job.paused { @if let Some(reason) = &pause.reason { span.sub { (reason) } } } }
            td.wide data-label="History" { (parts::strip(job.recent.as_deref().unwrap_or_default())) }
            td.words data-label="Schedule" { span { (job.schedule_text) } span.sub { (job.timezone) } }
            td data-label="Last" { (last(job, when)) }
            td data-label="Next" {
                @if let Some(next) = job.next.as_ref().filter(|_| !matches!(job.health, Health::Paused | Health::Disabled)) {
                    (when.at(next.at, zone)) span.sub { (when.away(next.at, zone)) }
                    @if let Some(dst) = &next.dst { (parts::dst(dst)) }
                } @else { span.faint { (if job.is_manual() { "by hand only" } else { "–" }) } }
            }
            td.acts {
                @if view.may_act() {
                    a.icon data-dialog data-key="." href={ (href) "/run?back=" (address::word(view.here())) } title="Run now" aria-label={ "Run " (job.name) " now" } { (icons::small("running")) }
                    @if job.health == Health::Paused {
                        button.icon name="resume" value=(job.name) formaction={ (href) "/resume" } title="Resume" aria-label={ "Resume " (job.name) } { (icons::small("good")) }
                    } @else {
                        a.icon data-dialog data-key="p" href={ (href) "/pause?back=" (address::word(view.here())) } title="Pause" aria-label={ "Pause " (job.name) } { (icons::small("paused")) }
                    }
                }
            }
        }
    }
}

fn last(job: &Job, when: &When) -> Markup {
    let Some(run) = &job.last_run else { return html! { span.faint { "never" } } };
    let (icon, color) = parts::state_look(run.state);
    let at = run.finished_at.or(run.started_at).unwrap_or(run.scheduled_at);
    html! {
        a.outcome href=(address::run(&run.id)) { (parts::badge(icon, color, &run.state.word().replace('_', " "))) }
        span.sub { (when.away(at, Some(&job.timezone))) @if let Some(took) = run.duration_seconds { ", took " (super::when::span(took)) } }
    }
}

//! The head of a job's page: what it is, how it fares, and what can be done.

use maud::{Markup, html};

use crate::http::pages::view::View;
use crate::http::pages::when::{When, span};
use crate::http::pages::{address, icons, parts};
use crate::shape::{Health, Job};

pub(super) fn head(job: &Job, when: &When, view: &View) -> Markup {
    html! {
        div.heading.job-head {
            h1 { (job.name) " " (parts::health(job.health)) }
            @if view.may_act() { div.beside { (acts(job, view)) } }
        }
        @if let Some(text) = &job.description { p.lead dir="auto" { (text) } }
        (paused(job, when, view))
        dl.facts.about {
            dt { "Schedule" }
            dd { span.words { (job.schedule_text) } @for text in &job.schedule { " " code { (text) } } }
            dt { "Zone" } dd { (job.timezone) }
            dt { "Runs" } dd { (job.action) @if job.run_on != "replica" { ", by " (job.run_on) } }
            @if let Some(owner) = &job.owner { dt { "Owner" } dd dir="auto" { (owner) } }
            @if let Some(runbook) = &job.runbook { dt { "Runbook" } dd { (link(runbook)) } }
            dt { "Declared in" } dd { code { (job.source.file) ":" (job.source.line) } }
            @if !job.tags.is_empty() {
                dt { "Tags" }
                dd { @for tag in &job.tags { a.tag href={ (address::JOBS) "?tag=" (address::word(tag)) } { (tag) } " " } }
            }
        }
    }
}

/// Only what leads to a page is a link.
fn link(text: &str) -> Markup {
    let is_page = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme));
    html! { @if is_page { a href=(text) rel="noreferrer" { (text) " " (icons::small("out")) } } @else { span dir="auto" { (text) } } }
}

fn acts(job: &Job, view: &View) -> Markup {
    let href = |act: &str| format!("{}/{act}?back={}", address::job(&job.name), address::word(view.here()));
    html! {
        a.button.first data-dialog data-key="." href=(href("run")) { (icons::small("running")) "Run now" }
        @if job.paused.is_none() { a.button data-dialog data-key="p" href=(href("pause")) { (icons::small("paused")) "Pause" } }
        @if !job.is_manual() { a.button data-dialog href=(href("backfill")) { "Backfill" } }
    }
}

/// That it is kept from running, by whom and why, and the way out.
fn paused(job: &Job, when: &When, view: &View) -> Markup {
    let zone = Some(job.timezone.as_str());
    html! {
        @if let Some(pause) = &job.paused {
            div.held.paused {
                (icons::small("paused"))
                div {
                    p {
                        strong { "Paused here; the file says " (if job.health == Health::Disabled { "disabled" } else { "enabled" }) ". " }
                        "Since " (when.at(pause.since, zone)) @if let Some(by) = &pause.by { ", by " bdi { (by) } }
                        @match pause.until { Some(until) => { ", until " (when.at(until, zone)) " (" (when.away(until, zone)) ")" } None => ", until it is resumed" } "."
                    }
                    @if let Some(reason) = &pause.reason { p dir="auto" { (reason) } }
                    @if view.may_act() {
                        form.resume method="post" action={ (address::job(&job.name)) "/resume" } data-act {
                            button.button.slim { (icons::small("good")) "Resume" }
                            label { input type="checkbox" name="catch_up"; " and run what was skipped meanwhile, as " code { "misfire" } " says" }
                            input type="hidden" name="back" value=(view.here());
                        }
                    }
                }
            }
        } @else if job.health == Health::Disabled {
            div.held.idle { (icons::small("stopped")) p { strong { "Disabled. " } "Its file says " code { "enabled = false" } ": the schedule starts nothing, and it can be run by hand." } }
        }
        @if let Some(since) = job.overdue_since { div.held.late { (icons::small("late")) p { strong { "Overdue" } " since " (when.full(since, zone)) ", " (when.away(since, zone)) "." } } }
    }
}

/// What one wants to know at a glance.
pub(super) fn tickers(job: &Job, when: &When) -> Markup {
    let zone = Some(job.timezone.as_str());
    let tile = |number: Markup, name: String| html! { li { span.tile { span.tile-number { (number) } span.tile-name { (name) } } } };
    let none = || html! { span.faint { "–" } };
    let stats = job.stats.as_ref();
    let took = |seconds: Option<f64>| seconds.map_or_else(none, |seconds| html! { (span(seconds)) });
    let share = stats.and_then(|stats| stats.success_rate).map(|rate| format!("{:.1} %", rate * 100.0));
    html! {
        ul.tiles {
            (tile(share.map_or_else(none, |share| html! { (share) }), format!("ok of the last {}", stats.map_or(0, |stats| stats.runs))))
            (tile(took(stats.and_then(|stats| stats.p50_seconds)), "half take no longer (p50)".into()))
            (tile(took(stats.and_then(|stats| stats.p95_seconds)), "95 of 100 take no longer (p95)".into()))
            @if let Some(next) = job.next.as_ref().filter(|_| job.paused.is_none()) {
                (tile(html! { (when.away(next.at, zone)) }, "next".into()))
            }
            @if let Some(run) = &job.last_run {
                @let (icon, color) = parts::state_look(run.state);
                li { a.tile.(color) href=(address::run(&run.id)) { (icons::small(icon)) span.tile-number { (when.away(run.finished_at.or(run.started_at).unwrap_or(run.scheduled_at), zone)) } span.tile-name { "last: " (run.state.word().replace('_', " ")) } } }
            }
        }
    }
}

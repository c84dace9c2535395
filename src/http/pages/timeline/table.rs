//! One lane as a table: the same that is drawn, for whoever does not look at pictures.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::Asking;
use crate::clock::Timestamp;
use crate::desk::{Desk, Shut, Track};
use crate::http::api::take::{Asked, At};
use crate::http::pages::view::{Sheet, View};
use crate::http::pages::when::{When, span};
use crate::http::pages::{address, parts};
use crate::http::problem::Problem;
use crate::phrase;

pub(in crate::http::pages) async fn page(
    State(desk): State<Arc<Desk>>,
    view: View,
    At(job): At<String>,
    Asked(asking): Asked<Asking>,
) -> Result<Response, Problem> {
    let lanes = desk.lane(&job, asking.reach(&view)?).await?;
    let when = view.when(lanes.now);
    let back = asking.with(|_| ());
    let main = html! {
        section.sheet.wide {
            @for track in &lanes.tracks {
                @let zone = Some(track.job.timezone.as_str());
                h1 { (track.job.name) }
                p.faint { "From " (when.full(lanes.from, zone)) " to " (when.full(lanes.until, zone)) }
                (rows(track, &when))
            }
            p.actions { a.button data-close href=(back) { "Back" } }
        }
    };
    let sheet = Sheet {
        title: format!("{job} as a table"),
        under: address::TIMELINE,
        now: lanes.now,
        stale_since: lanes.stale_since,
        about: String::new(),
        main,
    };
    Ok(view.show(&desk, sheet).await)
}

fn rows(track: &Track, when: &When) -> Markup {
    let zone = Some(track.job.timezone.as_str());
    let mut rows: Vec<(Timestamp, Markup, Markup)> = Vec::new();
    for bar in &track.bars {
        let took = phrase::span(bar.until.since(bar.from));
        let what = html! { a.outcome href=(address::run(&bar.run)) { (parts::state(bar.state)) } @if bar.attempt > 1 { " attempt " (bar.attempt) } };
        rows.push((bar.from, what, html! { (if bar.state.is_final() { "took " } else { "for " }) (took) }));
    }
    for mark in &track.marks {
        let href = mark.run.as_ref().map_or_else(|| address::why(&track.job.name, mark.at), address::run);
        let what = html! { a.outcome href=(href) { (parts::state(mark.state)) } };
        let more = html! { @if mark.count > 1 { (mark.count) " times, until " (when.at(mark.through, zone)) " " } @if let Some(why) = &mark.message { span dir="auto" { (why) } } };
        rows.push((mark.at, what, more));
    }
    for cell in &track.past {
        let what = html! { (cell.succeeded) " succeeded, " (cell.failed) " failed" @if cell.open > 0 { ", " (cell.open) " going" } };
        let more = html! { "within " (span(track.bucket.as_secs_f64())) @if cell.skipped > 0 { ", " (cell.skipped) " passed over" } };
        rows.push((cell.at, what, more));
    }
    for cell in &track.coming {
        let more = html! { "within " (span(track.bucket.as_secs_f64())) @if cell.skipped > 0 { ", " (cell.skipped) " on closed days" } };
        rows.push((cell.at, html! { (cell.planned) " to come" }, more));
    }
    for one in &track.to_come {
        let href = address::why(&track.job.name, one.planned.scheduled_at);
        let what =
            html! { a href=(href) { @match &one.planned.skipped { Some(_) => "passed over", None => "to come" } } };
        let more = html! {
            @if let Some(skipped) = &one.planned.skipped { "not on " (skipped.calendar) " " }
            @else if let Some(usual) = track.usual { "usually takes " (phrase::span(usual)) " " }
            @if one.meets_next { span.note.late { "the next comes before that is over" } }
            @if let Some(dst) = &one.planned.dst { (parts::dst(dst)) }
        };
        rows.push((one.planned.at, what, more));
    }
    for one in &track.left_out {
        let more = html! { (one.nominal.replace('T', " ")) " does not exist" };
        rows.push((one.at, html! { "left out" }, more));
    }
    for closed in &track.closed {
        let why = match &closed.why {
            Shut::Calendar(name) => name.as_str(),
            Shut::Paused => "paused",
        };
        rows.push((closed.from, html! { "closed: " (why) }, html! { "until " (when.at(closed.until, zone)) }));
    }
    rows.sort_by_key(|(at, ..)| *at);
    html! {
        @if rows.is_empty() { p { "Nothing ran and nothing comes within this span." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="The lane as a table" { table.plain {
                thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "More" } } }
                tbody { @for (at, what, more) in &rows { tr { th scope="row" { (when.at(*at, zone)) } td { (what) } td { (more) } } } }
            } }
        }
    }
}

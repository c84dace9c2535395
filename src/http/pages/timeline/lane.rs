//! One job's lane: what ran as bars over their real time, what comes as outlines, what was or will be passed over.

use maud::{Markup, html};

use super::Asking;
use super::axis::Axis;
use crate::clock::Timestamp;
use crate::desk::{Bar, Closed, Mark, Shut, ToCome, Track};
use crate::http::pages::when::{self, When};
use crate::http::pages::{address, parts};
use crate::ledger::State;
use crate::phrase::{self, count};
use crate::shape::{Cell, Planned};

/// A row of the picture.
pub(super) fn row(track: &Track, axis: &Axis, when: &When, asking: &Asking) -> Markup {
    let job = &track.job;
    let (icon, color, word) = parts::health_look(job.health);
    let zone = when.zone(Some(&job.timezone));
    html! {
        tr.lane id={ "lane-" (job.name) } {
            th scope="row" {
                div.lane-name {
                    span.lane-state.(color) title=(word) { (super::super::icons::small(icon)) span.hidden { (word) } }
                    a.name href=(address::job(&job.name)) title=(job.name) { (job.name) }
                    a.as-table data-dialog href=(asking.table(&job.name)) title="As a table" aria-label={ (job.name) " as a table" } { (super::super::icons::page("jobs")) }
                }
                @if zone.name() != axis.zone.name() { span.lane-zone { (zone.name()) } }
            }
            td {
                svg width="100%" height="38" role="group" aria-label=(said(track)) {
                    use href="#ground" width="100%" height="100%" {}
                    @for closed in &track.closed { (shut(closed, axis, when, track)) }
                    (unknown(track, axis))
                    @for cell in &track.past { (past(cell, track, axis, when, asking)) }
                    @for bar in &track.bars { (ran(bar, track, axis, when)) }
                    @for mark in &track.marks { (passed(mark, track, axis, when)) }
                    @for cell in &track.coming { (coming(cell, track, axis, when, asking)) }
                    @for one in &track.to_come { (comes(one, track, axis, when)) }
                    @for one in &track.left_out { (gone(one, track, axis, when)) }
                }
            }
        }
    }
}

/// The lane in a sentence.
fn said(track: &Track) -> String {
    let bad = |state: State| matches!(parts::state_look(state).1, "bad");
    let sum = |of: fn(&Cell) -> u64| track.past.iter().map(of).sum::<u64>();
    let drawn = || track.bars.iter().filter_map(|bar| bar.of_run).filter(|_| track.past.is_empty());
    let runs = drawn().count() as u64 + sum(|cell| cell.succeeded + cell.failed + cell.open);
    let failed = drawn().filter(|state| bad(*state)).count() as u64 + sum(|cell| cell.failed);
    let to_come = track.coming.iter().map(|cell| cell.planned).sum::<u64>();
    let open = track.to_come.iter().filter(|one| one.planned.skipped.is_none()).count() as u64;
    let to_come = if to_come > 0 { to_come } else { open };
    format!("{}: {runs} runs, {failed} failed, {to_come} to come", track.job.name)
}

/// How high a bar is, and where: bad ones stand out, what was stopped does not.
fn stature(color: &str) -> (u8, u8) {
    match color {
        "bad" => (4, 22),
        "late" => (6, 18),
        "idle" => (13, 6),
        _ => (9, 12),
    }
}

fn ran(bar: &Bar, track: &Track, axis: &Axis, when: &When) -> Markup {
    let (_, color) = parts::state_look(bar.state);
    let (y, height) = stature(color);
    let zone = Some(track.job.timezone.as_str());
    let took = phrase::span(bar.until.since(bar.from));
    let attempt = if bar.attempt > 1 { format!(", attempt {}", bar.attempt) } else { String::new() };
    html! {
        a href=(address::run(&bar.run)) tabindex="-1" {
            rect.bar.(color).open[!bar.state.is_final()] x=(axis.x(bar.from)) width=(axis.width(bar.from.max(axis.from), bar.until)) y=(y) height=(height)
                data-run=(bar.run) data-from=(bar.from) data-until=(bar.until) data-state=(bar.state.word()) {}
            title { (bar.state.word().replace('_', " ")) (attempt) " · " (when.short(bar.from, zone)) " · " @if bar.state.is_final() { "took " } @else { "for " } (took) }
        }
    }
}

fn passed(mark: &Mark, track: &Track, axis: &Axis, when: &When) -> Markup {
    let (_, color) = parts::state_look(mark.state);
    let zone = Some(track.job.timezone.as_str());
    let (href, y, height) = match &mark.run {
        Some(run) => (address::run(run), stature(color).0, stature(color).1),
        None => (address::why(&track.job.name, mark.at), 28, 5),
    };
    let times = if mark.count > 1 { format!(" {} times", mark.count) } else { String::new() };
    html! {
        a href=(href) tabindex="-1" {
            rect.mark.(color) x=(axis.x(mark.at)) width=(axis.width(mark.at.max(axis.from), mark.through)) y=(y) height=(height)
                data-at=(mark.at) data-count=(mark.count) data-state=(mark.state.word()) {}
            title { (mark.state.word().replace('_', " ")) (times) " · " (when.short(mark.at, zone)) @if mark.through > mark.at { " to " (when.short(mark.through, zone)) } }
        }
    }
}

fn comes(one: &ToCome, track: &Track, axis: &Axis, when: &When) -> Markup {
    let (planned, zone) = (&one.planned, Some(track.job.timezone.as_str()));
    let at = planned.at;
    let dst = planned.dst.as_ref();
    let until = track.usual.map_or(at, |usual| at.plus(usual));
    html! {
        a href=(address::why(&track.job.name, planned.scheduled_at)) tabindex="-1" {
            @if let Some(skipped) = &planned.skipped {
                rect.mark.idle x=(axis.x(at)) width=(axis.width(at, at)) y="28" height="5" data-to-come=(planned.scheduled_at) data-skipped=(skipped.calendar) {}
            } @else if track.coming.is_empty() {
                rect.plan.unknown[track.usual.is_none()].meets[one.meets_next] x=(axis.x(at)) width=(axis.width(at, until)) y="9" height="12"
                    data-to-come=(planned.scheduled_at) data-due=(at) data-dst=[dst.map(|dst| &dst.kind)] {}
            }
            @if dst.is_some() { use.dst href="#m-dst" x=(axis.x(at)) y="1" data-touched=(planned.scheduled_at) {} }
            title {
                @match &planned.skipped { Some(skipped) => { "not on " (skipped.calendar) } None => "to come" }
                " · " (when.short(at, zone))
                @if let Some(usual) = track.usual { ", usually takes " (phrase::span(usual)) }
                @if one.meets_next { ": the next comes before that is over" }
                @if let Some(dst) = dst { ", this time " (parts::dst_words(dst)) " (clocks " (dst.from) " → " (dst.to) ")" }
            }
        }
    }
}

/// A time that does not exist, and for which nothing runs.
fn gone(planned: &Planned, track: &Track, axis: &Axis, when: &When) -> Markup {
    html! {
        a href=(address::why(&track.job.name, planned.scheduled_at)) tabindex="-1" {
            use.dst.gone href="#m-gone" x=(axis.x(planned.at)) y="2" data-left-out=(planned.at) data-nominal=(planned.nominal) {}
            title { (planned.nominal.replace('T', " ")) " does not exist: skipped · clocks change at " (when.short(planned.at, Some(&track.job.timezone))) }
        }
    }
}

fn shut(closed: &Closed, axis: &Axis, when: &When, track: &Track) -> Markup {
    let zone = Some(track.job.timezone.as_str());
    let width = axis.place(closed.until) - axis.place(closed.from);
    let (class, name) = match &closed.why {
        Shut::Calendar(name) => ("closed", name.as_str()),
        Shut::Paused => ("closed paused", "paused"),
    };
    html! {
        g class=(class) data-closed=(name) data-from=(closed.from) data-until=(closed.until) {
            title { (name) " · " (when.short(closed.from, zone)) " to " (when.short(closed.until, zone)) }
            rect x=(axis.x(closed.from)) width=(axis.width(closed.from, closed.until)) y="0" height="100%" fill="url(#hatch)" {}
            @if width > 6.0 { text.closed-name x=(axis.x(closed.from)) y="9" dx="4" { (name) } }
        }
    }
}

/// Where nothing was looked for.
fn unknown(track: &Track, axis: &Axis) -> Markup {
    html! {
        @if let Some(at) = track.known_from.filter(|at| *at > axis.from) { (dim(axis, axis.from, at, "there is more history here than is drawn")) }
        @if let Some(at) = track.known_until.filter(|at| *at < axis.until) { (dim(axis, at, axis.until, "there is more to come here than is drawn")) }
    }
}

fn dim(axis: &Axis, from: Timestamp, until: Timestamp, why: &str) -> Markup {
    html! {
        g { title { (why) } rect.not-drawn x=(axis.x(from)) width=(axis.width(from, until)) y="14" height="4" {} }
    }
}

/// What was within a bucket: bad ones in front, so that a single one is seen.
fn past(cell: &Cell, track: &Track, axis: &Axis, when: &When, asking: &Asking) -> Markup {
    let end = cell.at.plus(track.bucket);
    let most = track.past.iter().map(|cell| cell.succeeded + cell.failed + cell.open).max().unwrap_or(1).max(1);
    let (all, bad) = (cell.succeeded + cell.failed + cell.open, cell.failed);
    let (x, width) = (axis.x(cell.at), inset(axis, cell.at, end));
    let over = tall(cell.succeeded + bad, most);
    let (tall, bad_tall) = (tall(all, most), if bad > 0 { tall(bad, most).max(5) } else { 0 });
    html! {
        a href=(asking.into(&track.job.name, cell.at, end)) tabindex="-1" {
            @if cell.open > 0 { rect.cell.running x=(x) width=(width) y=(26 - tall) height=(tall) {} }
            @if cell.succeeded > 0 { rect.cell.good x=(x) width=(width) y=(26 - over) height=(over) {} }
            @if bad > 0 { rect.cell.bad x=(x) width=(width) y=(26 - bad_tall) height=(bad_tall) {} }
            @if cell.skipped > 0 { rect.cell.idle x=(x) width=(width) y="29" height="3" {} }
            rect.hit x=(x) width=(width) y="0" height="100%" data-cell=(cell.at) data-good=(cell.succeeded) data-bad=(cell.failed) data-passed=(cell.skipped) {}
            title {
                (within(cell.at, end, track, when)) ": " (cell.succeeded) " succeeded, " (cell.failed) " failed"
                @if cell.open > 0 { ", " (cell.open) " going" }
                @if cell.skipped > 0 { ", " (cell.skipped) " passed over" }
            }
        }
    }
}

fn coming(cell: &Cell, track: &Track, axis: &Axis, when: &When, asking: &Asking) -> Markup {
    let end = cell.at.plus(track.bucket);
    let most = track.coming.iter().map(|cell| cell.planned).max().unwrap_or(1).max(1);
    let (x, tall) = (axis.x(cell.at), tall(cell.planned, most).div_ceil(2));
    html! {
        a href=(asking.into(&track.job.name, cell.at, end)) tabindex="-1" {
            @if cell.planned > 0 { rect.plan.cell x=(x) width=(inset(axis, cell.at, end)) y=(26 - tall) height=(tall) data-coming=(cell.at) data-planned=(cell.planned) {} }
            @if cell.skipped > 0 { rect.cell.idle x=(x) width=(inset(axis, cell.at, end)) y="29" height="3" {} }
            title {
                (within(cell.at, end, track, when)) ": " (cell.planned) " to come"
                @if cell.skipped > 0 { ", " (count(usize::try_from(cell.skipped).unwrap_or(usize::MAX), "occurrence")) " on closed days" }
            }
        }
    }
}

fn within(from: Timestamp, until: Timestamp, track: &Track, when: &When) -> String {
    let zone = Some(track.job.timezone.as_str());
    format!("{} for {}", when.short(from, zone), when::span(until.since(from).as_secs_f64()))
}

/// A little narrower than the bucket, so that neighbours stay apart.
fn inset(axis: &Axis, from: Timestamp, until: Timestamp) -> String {
    super::axis::percent(((axis.place(until) - axis.place(from)) * 0.88).max(0.02))
}

fn tall(count: u64, most: u64) -> u64 {
    if count == 0 { 0 } else { (count * 22 / most).max(3) }
}

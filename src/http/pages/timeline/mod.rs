//! What ran, what runs and what comes, on one axis: a lane for each job.

mod axis;
mod crowd;
mod lane;
mod table;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::view::{Sheet, View};
use super::{address, parts};
use crate::clock::Timestamp;
use crate::desk::{Choice, Desk, Detail, Lanes, Reach, Refusal};
use crate::http::api::take::{self, Asked};
use crate::http::problem::Problem;
use crate::job::JobName;
use crate::phrase;
use axis::Axis;

pub(super) use table::page as lane;

/// Lanes of a part.
const ROWS: usize = 100;

/// How far one sees to each side of the middle: word, name, seconds.
const ZOOMS: [(&str, &str, u64); 7] = [
    ("1h", "1 h", 3600),
    ("3h", "3 h", 3 * 3600),
    ("6h", "6 h", 6 * 3600),
    ("12h", "12 h", 12 * 3600),
    ("24h", "24 h", 24 * 3600),
    ("3d", "3 d", 3 * 86_400),
    ("7d", "7 d", 7 * 86_400),
];

/// Unless another is asked for.
const USUAL: usize = 4;

/// What is in the address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asking {
    #[serde(default)]
    q: String,
    #[serde(default)]
    tag: String,
    #[serde(default)]
    zoom: String,
    #[serde(default)]
    at: String,
    #[serde(default)]
    part: usize,
}

impl Asking {
    /// The same page with something else in its address.
    fn with(&self, change: impl FnOnce(&mut Asking)) -> String {
        let mut asking = self.clone();
        change(&mut asking);
        let Asking { q, tag, zoom, at, part } = &asking;
        let part = address::part(*part);
        address::with(address::TIMELINE, &[("q", q), ("tag", tag), ("zoom", zoom), ("at", at), ("part", &part)])
    }

    /// One lane as a table.
    fn table(&self, job: &JobName) -> String {
        address::with(format!("{}/{job}", address::TIMELINE), &[("zoom", &self.zoom), ("at", &self.at)])
    }

    /// One job, near enough that what is within a bucket can be told apart.
    fn into(&self, job: &JobName, from: Timestamp, until: Timestamp) -> String {
        let span = until.since(from);
        let zoom = ZOOMS.iter().find(|(.., seconds)| *seconds >= span.as_secs().saturating_mul(3)).unwrap_or(&ZOOMS[0]);
        format!("?q={job}&zoom={}&at={}", zoom.0, from.plus(span / 2))
    }

    /// Which of [`ZOOMS`].
    fn zoom(&self) -> Result<usize, Refusal> {
        if self.zoom.is_empty() {
            return Ok(USUAL);
        }
        let found = ZOOMS.iter().position(|(word, ..)| *word == self.zoom);
        let known = || ZOOMS.map(|(word, ..)| word).join(", ");
        found.ok_or_else(|| Refusal::wrong("?zoom", "unknown", format!("`{}` is none of {}", self.zoom, known())))
    }

    fn reach(&self, view: &View) -> Result<Reach, Refusal> {
        let zone = view.when(Timestamp::EPOCH).zone(None);
        let wrong = |why: String| Refusal::wrong("?at", "not_a_time", format!("`{}`: {why}", self.at));
        let at = (!self.at.is_empty()).then(|| phrase::moment(&self.at, &zone).map_err(wrong)).transpose()?;
        Ok(Reach { at, far: Duration::from_secs(ZOOMS[self.zoom()?].2) })
    }
}

pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    view: View,
    Asked(asking): Asked<Asking>,
) -> Result<Response, Problem> {
    let (reach, zoom) = (asking.reach(&view)?, asking.zoom()?);
    let text = Some(asking.q.trim().to_lowercase()).filter(|text| !text.is_empty());
    let tags = take::words(Some(&asking.tag));
    let choice = Choice { tags, text, detail: Detail::Brief, ..Choice::default() };
    let first = asking.part.saturating_mul(ROWS);
    let lanes = desk.lanes(&choice, reach, first, ROWS).await?;
    let when = view.when(lanes.now);
    let axis = Axis { from: lanes.from, until: lanes.until, now: lanes.now, zone: when.zone(None) };
    let shown = lanes.tracks.len();
    let main = html! {
        (parts::heading(html! { "Timeline" }, html! { (filters(&asking, &desk)) }))
        @if lanes.tracks.is_empty() {
            (nothing(&asking))
        } @else {
            (steering(&asking, &axis, zoom, reach))
            (crowd::advice(&lanes.load, &when, lanes.total))
            (axis.ground())
            div.scroll.lanes role="region" aria-label="Timeline" tabindex="0" data-timeline data-from=(axis.from) data-until=(axis.until) data-zone=(axis.zone.name()) {
                table {
                    caption.hidden { "Runs and occurrences of " (phrase::count(shown, "job")) " from " (axis.text(axis.from)) " to " (axis.text(axis.until)) }
                    colgroup { col.names; col; }
                    thead {
                        tr { th scope="col" { "Job" span.axis-zone { (axis.zone.name()) } } th scope="col" { (axis.head()) } }
                        (crowd::row(&lanes.load, &axis, &when))
                    }
                    tbody { @for track in &lanes.tracks { (lane::row(track, &axis, &when, &asking)) } }
                }
            }
            p #told.told aria-hidden="true" data-keep {}
            (legend(&lanes, &axis))
            (parts::pager(
                (asking.part > 0).then(|| asking.with(|to| to.part -= 1)),
                (first + shown < lanes.total).then(|| asking.with(|to| to.part += 1)),
                &format!("{} to {} of {}", first + 1, first + shown, lanes.total),
            ))
        }
    };
    let sheet = Sheet {
        title: "Timeline".into(),
        under: address::TIMELINE,
        now: lanes.now,
        stale_since: lanes.stale_since,
        about: "*".into(),
        main,
    };
    Ok(view.show(&desk, sheet).await)
}

/// What narrows the lanes down.
fn filters(asking: &Asking, desk: &Desk) -> Markup {
    let known = desk.known();
    let mut tags: Vec<&str> = known.by_name.values().flat_map(|job| job.tags.iter().map(String::as_str)).collect();
    tags.sort_unstable();
    tags.dedup();
    html! {
        form.filters method="get" action=(address::TIMELINE) role="search" aria-label="Narrow the lanes down" {
            label.hidden for="q" { "In the name or description" }
            input #q type="search" name="q" value=(asking.q) placeholder="Name or description" maxlength="200";
            @if !tags.is_empty() {
                label.hidden for="tag" { "Tag" }
                select #tag name="tag" data-submit {
                    option value="" { "Any tag" }
                    @for tag in tags { option value=(tag) selected[asking.tag == tag] { (tag) } }
                }
            }
            @for (name, value) in [("zoom", &asking.zoom), ("at", &asking.at)] {
                @if !value.is_empty() { input type="hidden" name=(name) value=(value); }
            }
            button.button.slim { "Show" }
        }
    }
}

/// Where one looks, and how near.
fn steering(asking: &Asking, axis: &Axis, zoom: usize, reach: Reach) -> Markup {
    let middle = reach.at.unwrap_or(axis.now);
    let to =
        |at: Timestamp| asking.with(|to| to.at = Timestamp::from_secs(at.as_secs().div_euclid(60) * 60).to_string());
    let by =
        |zoom: usize| asking.with(|to| to.zoom = if zoom == USUAL { String::new() } else { ZOOMS[zoom].0.to_owned() });
    html! {
        div.steering {
            nav.beside aria-label="Part of time" {
                a.button.slim data-earlier href=(to(middle.minus(reach.far))) { "← Earlier" }
                a.button.slim data-now aria-current=[reach.at.is_none().then_some("true")] href=(asking.with(|to| to.at.clear())) { "Now" }
                a.button.slim data-later href=(to(middle.plus(reach.far))) { "Later →" }
            }
            p.span { (axis.text(axis.from)) " – " (axis.text(axis.until)) }
            nav.zooms aria-label="How far to each side" {
                @for (number, (_, name, _)) in ZOOMS.iter().enumerate() {
                    a href=(by(number)) aria-current=[(number == zoom).then_some("true")]
                        data-nearer[number + 1 == zoom] data-farther[number == zoom + 1] { "± " (name) }
                }
            }
        }
    }
}

fn nothing(asking: &Asking) -> Markup {
    if asking.q.is_empty() && asking.tag.is_empty() && asking.part == 0 {
        return super::now::no_jobs();
    }
    parts::empty(
        "No job is like that",
        html! { p { "Nothing among all jobs fits. " a href=(address::TIMELINE) { "Show all" } } },
    )
}

/// What the shapes mean.
fn legend(lanes: &Lanes, axis: &Axis) -> Markup {
    let is_closed = lanes.tracks.iter().any(|track| !track.closed.is_empty());
    let is_counted = lanes.tracks.iter().any(|track| !track.past.is_empty() || !track.coming.is_empty());
    let is_touched = lanes
        .tracks
        .iter()
        .any(|track| !track.left_out.is_empty() || track.to_come.iter().any(|one| one.planned.dst.is_some()));
    let meets = lanes.tracks.iter().any(|track| track.to_come.iter().any(|one| one.meets_next));
    let key = |inner: Markup, word: &str| html! { li { svg width="20" height="20" aria-hidden="true" focusable="false" { (inner) } (word) } };
    html! {
        ul.legend aria-label="What the shapes mean" {
            (key(html! { rect.bar.good x="3" y="5" width="14" height="10" {} }, "succeeded"))
            (key(html! { rect.bar.bad x="7" y="1" width="5" height="18" {} }, "failed"))
            (key(html! { rect.bar.running.open x="3" y="5" width="14" height="10" {} }, "going"))
            (key(html! { rect.mark.idle x="8" y="13" width="2" height="5" {} }, "passed over"))
            (key(html! { rect.plan x="3" y="5" width="14" height="10" {} }, "to come, as long as usual"))
            @if meets { (key(html! { rect.plan.meets x="3" y="5" width="14" height="10" {} }, "likely still going when the next comes")) }
            @if is_touched { (key(html! { use.dst href="#m-dst" x="10" y="6" {} }, "touched by a change of clocks")) }
            @if is_closed { (key(html! { rect x="1" y="1" width="18" height="18" fill="url(#hatch)" {} }, "closed or paused")) }
            @if is_counted { (key(html! { rect.cell.good x="2" y="8" width="4" height="10" {} rect.cell.good x="8" y="4" width="4" height="14" {} rect.cell.bad x="14" y="12" width="4" height="6" {} }, "many, counted")) }
        }
        p.faint.said {
            "Hours are those of " (axis.zone.name()) "; lanes of another zone name theirs. "
            "Of the load, bars are starts, and the line is how many runs go at once."
        }
    }
}

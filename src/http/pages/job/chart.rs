//! How long runs took, one dot each: shape and colour say how they ended.

use maud::{Markup, html};

use crate::http::pages::when::{When, span};
use crate::http::pages::{address, parts};
use crate::shape::{Definition, Job, Run};

/// Of the picture, in pixels: dots, and the line for what has no duration.
const HIGH: f64 = 150.0;
const FLOOR: f64 = 164.0;

/// From seconds to pixels.
struct Scale {
    least: f64,
    most: f64,
    /// One slow run must not press all the others flat.
    is_log: bool,
}

impl Scale {
    fn new(took: &[f64], limits: &[f64]) -> Scale {
        let longest = took.iter().copied().fold(0.0, f64::max).max(0.001);
        // A limit that is far away is told, not drawn.
        let most = limits.iter().copied().filter(|limit| *limit <= longest * 2.5).fold(longest, f64::max) * 1.08;
        let mut sorted = took.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(longest);
        let least = sorted.first().copied().unwrap_or(0.001).max(0.001) * 0.8;
        Scale { least, most, is_log: longest > middle * 12.0 }
    }

    fn holds(&self, seconds: f64) -> bool {
        seconds <= self.most
    }

    fn y(&self, seconds: f64) -> String {
        let share = if self.is_log {
            (seconds.max(self.least) / self.least).ln() / (self.most / self.least).ln()
        } else {
            seconds / self.most
        };
        format!("{:.1}", HIGH - share.clamp(0.0, 1.0) * (HIGH - 8.0))
    }

    /// Round spans to be named.
    fn marks(&self) -> Vec<f64> {
        const ROUND: [f64; 22] = [
            0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0,
            1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0,
        ];
        let inside: Vec<f64> =
            ROUND.into_iter().filter(|mark| *mark < self.most && (!self.is_log || *mark > self.least)).collect();
        if self.is_log {
            let step = inside.len().div_ceil(4).max(1);
            return inside.into_iter().rev().step_by(step).collect();
        }
        let largest = inside.last().copied().unwrap_or(self.most);
        if largest * 2.0 < self.most { vec![largest, largest * 2.0] } else { vec![largest / 2.0, largest] }
    }
}

/// How long a run took, or has taken so far.
fn took(run: &Run, when: &When) -> Option<f64> {
    run.duration_seconds.or_else(|| {
        let started = run.started_at.filter(|_| !run.state.is_final())?;
        Some(when.now.since(started).as_secs_f64())
    })
}

pub(super) fn chart(runs: &[Run], job: &Job, definition: &Definition, when: &When) -> Markup {
    let spans: Vec<f64> = runs.iter().filter_map(|run| took(run, when)).collect();
    if spans.is_empty() {
        return html! { p.faint { "No run has ended yet. Each will be a dot here." } };
    }
    let limits: Vec<(&str, &str, f64)> = [
        Some(("timeout", "bad", definition.timeout_seconds)),
        definition.warn_after_seconds.map(|limit| ("warn_after", "late", limit)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let scale = Scale::new(&spans, &limits.iter().map(|(.., limit)| *limit).collect::<Vec<_>>());
    let stats = job.stats.as_ref();
    let band = stats.and_then(|stats| Some((stats.p50_seconds?, stats.p95_seconds?)));
    let count = runs.len();
    let words = format!("Durations of the newest {count} runs, the oldest at the left");
    html! {
        svg.durations width="100%" height="184" role="group" aria-label=(words) {
            defs {
                circle #d-good r="3.6" {}
                path #d-bad d="M-4 -4L4 4M4 -4L-4 4" {}
                path #d-late d="M0 -5L5 4H-5z" {}
                path #d-running d="M-4 -4.5L5 0L-4 4.5z" {}
                rect #d-idle x="-3.4" y="-3.4" width="6.8" height="6.8" {}
            }
            @for mark in scale.marks() {
                line.grid x1="0" x2="100%" y1=(scale.y(mark)) y2=(scale.y(mark)) {}
                text.tick x="0" y=(scale.y(mark)) dy="-3" { (span(mark)) }
            }
            @if let Some((p50, p95)) = band {
                @let (top, bottom) = (scale.y(p95), scale.y(p50));
                rect.usual x="0" width="100%" y=(top) height=(height(&top, &bottom)) { title { "From p50, " (span(p50)) ", to p95, " (span(p95)) } }
            }
            @for (name, color, limit) in limits.iter().filter(|(.., limit)| scale.holds(*limit)) {
                line.limit.(color) x1="0" x2="100%" y1=(scale.y(*limit)) y2=(scale.y(*limit)) {}
                text.limit-name.(color) x="100%" y=(scale.y(*limit)) dy="-4" text-anchor="end" { (name) " " (span(*limit)) }
            }
            @for (number, run) in runs.iter().rev().enumerate() { (dot(run, place(number, count), &scale, when)) }
        }
        p.legend {
            @if let Some((p50, p95)) = band { span { "Band: p50 " (span(p50)) " to p95 " (span(p95)) } }
            @for (name, _, limit) in limits.iter().filter(|(.., limit)| !scale.holds(*limit)) { span { code { (name) } " " (span(*limit)) ", above" } }
            @if scale.is_log { span { "Each step up is a multiple" } }
            span { "● ok  ✕ failed  ▲ interrupted, or tried again  ■ stopped" }
            a data-dialog href={ (address::job(&job.name)) "/durations" } { "As a table" }
        }
    }
}

/// Where the dot of a run is: few stay near each other, at the right end.
fn place(number: usize, count: usize) -> String {
    #[allow(clippy::cast_precision_loss, reason = "they are at most 200")]
    let (number, count) = (number as f64, count as f64);
    let step = (92.0 / count).min(2.0);
    format!("{:.2}%", 98.5 - (count - 1.0 - number) * step)
}

fn height(top: &str, bottom: &str) -> String {
    let of = |text: &str| text.parse::<f64>().unwrap_or_default();
    format!("{:.1}", (of(bottom) - of(top)).max(1.0))
}

fn dot(run: &Run, x: String, scale: &Scale, when: &When) -> Markup {
    let (_, color) = parts::state_look(run.state);
    let spent = took(run, when);
    let y = spent.map_or_else(|| format!("{FLOOR:.1}"), |spent| scale.y(spent));
    let zone = run.timezone.as_deref();
    html! {
        a href=(address::run(&run.id)) tabindex="-1" {
            use.dot.(color) href={ "#d-" (color) } x=(x) y=(y) data-run=(run.id) {}
            title { (run.state.word().replace('_', " ")) " · " (when.short(run.scheduled_at, zone)) @if let Some(spent) = spent { " · " (span(spent)) } }
        }
    }
}

/// The same, for whoever does not look at pictures.
pub(super) fn table(runs: &[Run], when: &When) -> Markup {
    html! {
        @if runs.is_empty() { p { "No run has begun yet." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Runs" { table.plain {
                thead { tr { th scope="col" { "Scheduled" } th scope="col" { "State" } th scope="col" { "Took" } } }
                tbody { @for run in runs { tr {
                    th scope="row" { a href=(address::run(&run.id)) { (when.at(run.scheduled_at, run.timezone.as_deref())) } }
                    td { (parts::state(run.state)) }
                    td.num { @match took(run, when) { Some(spent) => (span(spent)), None => "–" } }
                } } }
            } }
        }
    }
}

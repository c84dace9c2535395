//! What all lanes together ask for: a strip of load, and what to do about crowded minutes.

use maud::{Markup, html};

use super::axis::{Axis, percent};
use crate::desk::Load;
use crate::http::pages::when::When;
use crate::http::pages::{icons, when};

/// How high the strip is.
const HIGH: u64 = 34;

/// Starts as bars, runs at once as a line above them.
pub(super) fn row(load: &Load, axis: &Axis, when: &When) -> Markup {
    let most = load.buckets.iter().map(|one| one.starts).max().unwrap_or(0).max(1);
    let at_once = load.buckets.iter().map(|one| one.at_once).max().unwrap_or(0).max(1);
    let wide = axis.place(axis.from.plus(load.bucket)) * 0.88;
    let shade = |starts: u64| 1 + (starts * 4).div_ceil(most).min(4);
    html! {
        tr.load {
            th scope="row" { "Load" span.axis-zone { "up to " (most) " starts, " (at_once) " at once" } }
            td {
                svg width="100%" height=(HIGH + 4) role="img" aria-label={ "Starts by the schedules: at most " (most) " in " (when::span(load.bucket.as_secs_f64())) ", at most " (at_once) " runs at once" } {
                    use href="#ground" width="100%" height="100%" {}
                    @for one in &load.buckets {
                        @let high = (one.starts * HIGH / most).max(u64::from(one.starts > 0) * 2);
                        @let line = HIGH + 2 - one.at_once * HIGH / at_once;
                        g {
                            title { (when.short(one.at, None)) ": " (one.starts) " starts, up to " (one.at_once) " at once" }
                            rect class={ "heat heat-" (shade(one.starts)) } x=(axis.x(one.at)) width=(percent(wide)) y=(HIGH + 4 - high) height=(high) data-load=(one.at) data-starts=(one.starts) {}
                            @if one.at_once > 0 { rect.at-once x=(axis.x(one.at)) width=(percent(wide)) y=(line) height="2" {} }
                        }
                    }
                }
            }
        }
    }
}

/// Where spreading would help, and how.
pub(super) fn advice(load: &Load, when: &When, jobs: usize) -> Markup {
    html! {
        details.advice #load-table {
            summary {
                @match load.crowded.first() {
                    Some(first) => { span.note.late { (icons::small("late")) } (when.at(first.at, None)) ": " (first.jobs) " jobs start in the same minute" }
                    None => "Load as a table, and how to spread it",
                }
            }
            @if !load.crowded.is_empty() {
                ul.crowded { @for one in &load.crowded { li { strong { (when.at(one.at, None)) } ": " (one.jobs) " jobs start in the same minute" } } }
            }
            dl.facts {
                dt { code { "jitter = \"5m\"" } }
                dd { "Each occurrence starts up to so much later; always the same for one occurrence, on every replica." }
                dt { code { "schedule = \"H 9 * * *\"" } }
                dd { "Each job takes a minute of its own, by its name: `H` stands for a number that never changes." }
            }
            @if let Some(until) = load.until { p.faint { "What starts after " (when.at(until, None)) " is not counted: there is too much of it." } }
            p.faint { "By the schedules of all " (jobs) " jobs that are shown or on other parts; a job counts once in a minute, and takes as long as usual." }
            div.scroll tabindex="0" role="region" aria-label="Load as a table" { table.plain {
                thead { tr { th scope="col" { "From" } th scope="col" { "Starts" } th scope="col" { "At once" } } }
                tbody { @for one in &load.buckets { tr { th scope="row" { (when.short(one.at, None)) } td.num { (one.starts) } td.num { (one.at_once) } } } }
            } }
        }
    }
}

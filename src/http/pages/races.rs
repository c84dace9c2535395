//! Who won the last races, and how soon after the instant: nobody leads, so over time all win alike.

use maud::{Markup, html};

use super::cluster::shares;
use super::when::{When, span};
use super::{address, parts};
use crate::shape::Run;

/// Between two races, and the height of a lane.
const STEP: usize = 12;
const LANE: usize = 24;

/// The races, oldest first, as lanes: one for each replica, a dot where it won.
pub(super) fn show(races: &[Run], when: &When) -> Markup {
    let winner = |run: &Run| run.attempts.first().map(|attempt| attempt.replica.clone());
    let won: Vec<(&Run, String, f64)> = races
        .iter()
        .rev()
        .filter_map(|run| {
            let first = run.attempts.first()?;
            Some((run, winner(run)?, first.claimed_at.since(run.scheduled_at).as_secs_f64()))
        })
        .collect();
    if won.is_empty() {
        return html! { p.faint { "No occurrence has come due yet. When one does, all replicas try to claim it after a random pause, and exactly one gets it." } };
    }
    let shares = shares(won.iter().map(|(_, name, _)| name.as_str()));
    let lanes: Vec<&str> = shares.keys().copied().collect();
    let (width, height) = (won.len() * STEP + 4, lanes.len() * LANE);
    let words = format!("Winners of the last {} occurrences", won.len());
    html! {
        div.races {
            ul.racers { @for name in &lanes { li { span title=(name) { (name) } span.faint { (shares[name]) } } } }
            div.scroll tabindex="0" role="group" aria-label=(words) {
                svg viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" aria-label=(words) {
                    @for n in 0..lanes.len() { rect.ground x="0" y=(n * LANE + LANE / 2) width=(width) height="1" {} }
                    @for (n, (run, name, late)) in won.iter().enumerate() {
                        @let lane = lanes.iter().position(|one| one == name).unwrap_or(0);
                        circle.running cx=(n * STEP + STEP / 2) cy=(lane * LANE + LANE / 2) r=(radius(*late)) {
                            title { (run.job) ": " (name) " claimed it " (span(*late)) " after its instant" }
                        }
                    }
                }
            }
        }
        p.faint.races-note { "The wider a dot, the later the claim. Losers write nothing down, so only the winner of a race is known." }
        details.twin id="races-table" {
            summary { "As a table" }
            div.scroll { table {
                thead { tr { th scope="col" { "Occurrence" } th scope="col" { "Won by" } th scope="col" { "After" } th scope="col" { "Run" } } }
                tbody { @for (run, name, late) in won.iter().rev() { tr {
                    th scope="row" { (run.job) " " (when.at(run.scheduled_at, run.timezone.as_deref())) }
                    td { (name) } td.num { (span(*late)) }
                    td { a href=(address::run(&run.id)) { (parts::state(run.state)) } }
                } } }
            } }
        }
    }
}

fn radius(late: f64) -> &'static str {
    match late {
        ..0.05 => "2.5",
        ..0.25 => "3.5",
        ..1.0 => "4.5",
        _ => "5.5",
    }
}

//! Small pieces that several pages are made of.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::icons;
use crate::ledger::State;
use crate::phrase::Mark;
use crate::shape::{Dst, Health, Progress, Run};

/// Picture and colour of a mark.
fn look(mark: Mark) -> &'static str {
    match mark {
        Mark::Good => "good",
        Mark::Bad => "bad",
        Mark::Running => "running",
        Mark::Paused => "paused",
        Mark::Late => "late",
        Mark::Idle => "idle",
    }
}

/// Picture and colour of a state.
pub(super) fn state_look(state: State) -> (&'static str, &'static str) {
    match state {
        State::Lost => ("lost", "bad"),
        State::Queued => ("waiting", "idle"),
        State::Retrying => ("waiting", "late"),
        State::Cancelled => ("stopped", "idle"),
        other => (look(Mark::from(other)), look(Mark::from(other))),
    }
}

/// A state: shape, word and colour.
pub(super) fn state(state: State) -> Markup {
    let (icon, color) = state_look(state);
    badge(icon, color, &state.word().replace('_', " "))
}

/// Picture, colour and word of how a job fares.
pub(super) fn health_look(health: Health) -> (&'static str, &'static str, &'static str) {
    match health {
        Health::Ok => ("good", "good", "ok"),
        Health::Failing => ("bad", "bad", "failing"),
        Health::Overdue => ("late", "late", "overdue"),
        Health::Running => ("running", "running", "running"),
        Health::NeverRun => ("idle", "idle", "never run"),
        Health::Paused => ("paused", "paused", "paused"),
        Health::Disabled => ("stopped", "idle", "disabled"),
    }
}

/// How a job fares.
pub(super) fn health(health: Health) -> Markup {
    let (icon, color, word) = health_look(health);
    badge(icon, color, word)
}

/// A word with its shape and colour.
pub(super) fn badge(icon: &str, color: &str, word: &str) -> Markup {
    html! { span.st.(color) { (icons::small(icon)) span { (word) } } }
}

/// What became of the newest runs, oldest first, as bars: high ones are bad, dots were passed over.
pub(super) fn strip(recent: &str) -> Markup {
    const EACH: usize = 4;
    let count = |letters: &str| recent.chars().filter(|letter| letters.contains(*letter)).count();
    let (good, bad, passed) = (count("S"), count("FTLEI"), count("-M"));
    let words = format!("Newest {}: {good} succeeded, {bad} failed, {passed} passed over", recent.len());
    if recent.is_empty() {
        return html! { span.faint { "–" } };
    }
    let first = 60_usize.saturating_sub(recent.len());
    // One path for each colour: a list has thousands of bars.
    let mut bars: BTreeMap<&str, String> = BTreeMap::new();
    for (n, letter) in recent.chars().enumerate() {
        let (class, y, height) = bar(letter);
        let path = bars.entry(class).or_default();
        *path += &format!("M{} {y}h3v{height}h-3z", (first + n) * EACH);
    }
    html! {
        svg.strip viewBox="0 0 240 20" width="240" height="20" role="img" aria-label=(words) preserveAspectRatio="xMaxYMid meet" {
            title { (words) }
            @for (class, path) in &bars { path class=(class) d=(path) {} }
        }
    }
}

fn bar(letter: char) -> (&'static str, u8, u8) {
    match letter {
        'S' => ("good", 7, 12),
        'F' | 'T' | 'L' | 'E' => ("bad", 1, 18),
        'I' | 'M' => ("late", 4, 15),
        'R' => ("running", 7, 12),
        'C' => ("idle", 7, 12),
        _ => ("idle", 16, 3),
    }
}

/// How far a run says it is.
pub(super) fn progress(said: &Progress) -> Markup {
    let percent = format!("{:.0}", said.percent);
    html! {
        span.progress {
            progress max="100" value=(percent) aria-label={ "Progress: " (percent) " %" } { (percent) " %" }
            span.progress-text { (percent) " %" @if !said.message.is_empty() { " · " (said.message) } }
        }
    }
}

/// What a change of clocks does to a time.
pub(super) fn dst(dst: &Dst) -> Markup {
    html! {
        span.note.late title={ "Clocks go from " (dst.from) " to " (dst.to) } { (icons::small("late")) span { "this time " (dst_words(dst)) } }
    }
}

/// The same in words, to follow "this time".
pub(super) fn dst_words(dst: &Dst) -> &'static str {
    match (dst.kind.as_str(), dst.policy.as_str()) {
        ("gap", "skip") => "does not exist: skipped",
        ("gap", _) => "does not exist: moved",
        (_, "both") => "comes twice: runs both times",
        (_, "last") => "comes twice: runs the second time",
        _ => "comes twice: runs the first time",
    }
}

/// What is wrong with a run, in a line.
pub(super) fn fault(run: &Run) -> Option<&str> {
    let message = run.error.as_ref().and_then(|error| error.message.as_deref()).or(run.message.as_deref());
    message.and_then(|text| text.lines().next()).filter(|line| !line.is_empty())
}

/// An empty place that teaches.
pub(super) fn empty(title: &str, more: Markup) -> Markup {
    html! { div.empty { h2 { (title) } (more) } }
}

/// A heading with what belongs beside it.
pub(super) fn heading(title: Markup, beside: Markup) -> Markup {
    html! { div.heading { h1 { (title) } div.beside { (beside) } } }
}

/// Links to the parts of a list before and after this one.
pub(super) fn pager(before: Option<String>, after: Option<String>, text: &str) -> Markup {
    html! {
        nav.pager aria-label="Parts of the list" {
            @if let Some(href) = before { a.button.slim rel="prev" href=(href) { "← Previous" } }
            span.faint { (text) }
            @if let Some(href) = after { a.button.slim rel="next" href=(href) { "Next →" } }
        }
    }
}

//! The axis of a picture of time: linear in real time, with the hours of a wall beside it.

use maud::{Markup, html};

use crate::clock::Timestamp;
use crate::phrase;
use crate::schedule::{Turn, Zone};

/// Hours that are named at most.
const TICKS: i64 = 13;

/// How far apart they may be, in seconds.
const STEPS: [i64; 12] = [300, 600, 900, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400, 172_800];

/// From when to when, on whose wall.
pub(super) struct Axis {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) now: Timestamp,
    pub(super) zone: Zone,
}

/// A named hour.
pub(super) struct Tick {
    pub(super) at: Timestamp,
    pub(super) label: String,
    /// The day that begins.
    pub(super) day: Option<String>,
    /// Clocks changed since the one before.
    pub(super) is_first: bool,
}

/// Room for the name of a day, in hundredths of the width.
const DAY: f64 = 12.0;

impl Axis {
    /// Where an instant is, in hundredths of the width; edges stand for what is beyond them.
    pub(super) fn place(&self, at: Timestamp) -> f64 {
        let all = self.until.since(self.from).as_secs_f64();
        (at.since(self.from).as_secs_f64() / all * 100.0).clamp(0.0, 100.0)
    }

    pub(super) fn x(&self, at: Timestamp) -> String {
        percent(self.place(at))
    }

    /// How wide a span is; never nothing.
    pub(super) fn width(&self, from: Timestamp, until: Timestamp) -> String {
        percent((self.place(until) - self.place(from)).max(0.02))
    }

    pub(super) fn turns(&self) -> Vec<Turn> {
        self.zone.turns(self.from, self.until)
    }

    /// Round times of the wall. A time that comes twice is named twice.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let seconds = self.until.as_secs() - self.from.as_secs();
        let step = STEPS.into_iter().find(|step| seconds / step <= TICKS).unwrap_or(STEPS[STEPS.len() - 1]);
        let turns = self.turns();
        let begins = std::iter::once(self.from).chain(turns.iter().map(|turn| turn.at));
        let ends = turns.iter().map(|turn| turn.at).chain([self.until]);
        let mut all: Vec<Tick> = Vec::new();
        for (number, (begin, end)) in begins.zip(ends).enumerate() {
            let (offset, abbreviation) = self.zone.offset(begin);
            let offset = i64::from(offset);
            let mut wall = (begin.as_secs() + offset).div_euclid(step) * step;
            let mut is_first = number > 0;
            loop {
                let at = Timestamp::from_secs(wall - offset);
                if at >= end {
                    break;
                }
                if at >= begin {
                    let is_day = wall.rem_euclid(86_400) == 0;
                    let time = self.zone.wall(at);
                    let label = time.format("%H:%M").to_string();
                    let label = if is_first { format!("{label} {abbreviation}") } else { label };
                    all.push(Tick { at, label, day: is_day.then(|| day(&self.zone, at)), is_first });
                    is_first = false;
                }
                wall += step;
            }
        }
        all
    }

    /// What is behind every lane: the hours, the changes of clocks, now. Drawn once; lanes point to it.
    pub(super) fn ground(&self) -> Markup {
        html! {
            svg.defs width="0" height="0" aria-hidden="true" focusable="false" {
                defs {
                    pattern #hatch width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                        rect.hatch width="2" height="7" {}
                    }
                    path #m-dst d="M0 0L4 7H-4z" {}
                    path #m-gone d="M-3 0L3 6M3 0L-3 6" {}
                }
                symbol #ground {
                    @for tick in self.ticks() {
                        @let x = self.x(tick.at);
                        line.grid.great[tick.day.is_some()] x1=(x) x2=(x) y1="0" y2="100%" {}
                    }
                    @for turn in self.turns() {
                        @let (from, until) = touched(&turn);
                        rect.turn.instant[from == until] x=(self.x(from)) width=(self.width(from, until)) y="0" height="100%" {}
                    }
                    @if self.now > self.from && self.now < self.until {
                        @let x = self.x(self.now);
                        rect.ahead x=(x) width=(self.width(self.now, self.until)) y="0" height="100%" {}
                        line.now-line x1=(x) x2=(x) y1="0" y2="100%" {}
                    }
                }
            }
        }
    }

    /// The hours, above them the days, and above those now and the changes of clocks.
    pub(super) fn head(&self) -> Markup {
        let (turns, ticks) = (self.turns(), self.ticks());
        // A day that has begun before is named at the edge, where there is room.
        let is_named = ticks.iter().any(|tick| tick.day.is_some() && self.place(tick.at) < DAY);
        // Days are enough where hours have no room.
        let is_by_day = ticks.iter().all(|tick| tick.day.is_some());
        html! {
            svg.axis width="100%" height="52" role="img" aria-label={ "From " (self.text(self.from)) " to " (self.text(self.until)) } {
                use href="#ground" width="100%" height="100%" {}
                @for turn in &turns {
                    @let (from, until) = touched(turn);
                    g data-turn=(turn.at) data-from=(from) data-until=(until) {
                        title { (words(turn)) }
                        rect.turn.instant[from == until] x=(self.x(from)) width=(self.width(from, until)) y="0" height="100%" {}
                        (self.label(turn.at, "turn-label", &words(turn)))
                    }
                }
                @if self.now > self.from && self.now < self.until && turns.is_empty() { (self.label(self.now, "now-label", "now")) }
                @if !is_named { text.tick.great x="0" y="30" dx="4" { (day(&self.zone, self.from)) } }
                @for tick in &ticks {
                    @if let Some(day) = tick.day.as_ref().filter(|_| self.place(tick.at) < 95.0) { text.tick.great x=(self.x(tick.at)) y="30" dx="4" { (day) } }
                    @if !is_by_day && self.place(tick.at) < 97.0 { text.tick.great[tick.is_first] x=(self.x(tick.at)) y="46" dx="4" data-at=(tick.at) { (tick.label) } }
                }
            }
        }
    }

    /// A text beside an instant, on the side where there is room.
    fn label(&self, at: Timestamp, class: &str, text: &str) -> Markup {
        let (anchor, dx) = if self.place(at) > 60.0 { ("end", "-5") } else { ("start", "5") };
        html! { text.(class) x=(self.x(at)) y="13" dx=(dx) text-anchor=(anchor) { (text) } }
    }

    /// A time on the axis, for people.
    pub(super) fn text(&self, at: Timestamp) -> String {
        let (offset, abbreviation) = self.zone.offset(at);
        let zone = if self.zone.name() == "UTC" { String::new() } else { format!(" ({})", phrase::distance(offset)) };
        format!("{} {abbreviation}{zone}", self.zone.wall(at).format("%a %-d %b %H:%M"))
    }
}

fn day(zone: &Zone, at: Timestamp) -> String {
    zone.wall(at).format("%a %-d %b").to_string()
}

/// From when to when a change of clocks is felt: the times that come twice, or the instant at which some are left out.
fn touched(turn: &Turn) -> (Timestamp, Timestamp) {
    let far = std::time::Duration::from_secs(turn.seconds.min(0).unsigned_abs());
    (turn.at.minus(far), turn.at.plus(far))
}

fn words(turn: &Turn) -> String {
    let back = if turn.seconds < 0 { "back" } else { "forward" };
    format!("Clocks go {back}: {} → {}", turn.from, turn.to)
}

/// Hundredths of the width, to a fiftieth of a pixel.
pub(super) fn percent(place: f64) -> String {
    let text = format!("{place:.3}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

//! Changes of clocks: placing wall-clock times in real time.

use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use serde::{Deserialize, Serialize};

use super::pattern::{END, Pattern};
use super::zone::{Span, Zone};
use crate::clock::Timestamp;

/// What a fixed-time schedule does about wall-clock times that a change of clocks leaves out or repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rules {
    /// For times that do not exist. Default [`GapRule::Shift`].
    pub gap: GapRule,
    /// For times that exist twice. Default [`OverlapRule::First`].
    pub overlap: OverlapRule,
}

impl Rules {
    /// What a schedule that follows real time does: whatever the wall shows, each time it shows it.
    pub(super) const REAL_TIME: Rules = Rules { gap: GapRule::Skip, overlap: OverlapRule::Both };
}

/// What happens to a time that does not exist because clocks go forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapRule {
    /// It runs at the first instant after the gap, once for all times within it.
    #[default]
    Shift,
    /// It is left out.
    Skip,
}

/// What happens to a time that exists twice because clocks go back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapRule {
    /// It runs in the first pass.
    #[default]
    First,
    /// It runs in the second pass.
    Last,
    /// It runs in both.
    Both,
}

/// One occurrence of a schedule, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// When it is.
    pub at: Timestamp,
    /// The wall-clock time the schedule named.
    pub nominal: NaiveDateTime,
    /// What the schedule does about changes of clocks.
    pub rules: Rules,
    /// The change of clocks that touches it.
    pub shift: Option<DstNote>,
}

/// How a change of clocks touches an occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DstNote {
    /// Which way the clocks go.
    pub kind: Change,
    /// The wall just before, such as `02:00 CET`.
    pub from: String,
    /// The wall just after, such as `03:00 CEST`.
    pub to: String,
}

/// Which way clocks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Forward: the time does not exist.
    Gap,
    /// Back: the time exists twice.
    Overlap,
}

/// Two days: no change of clocks is larger, so what is farther away than this cannot be repeated.
const MARGIN: Duration = Duration::from_secs(2 * 86_400);

/// The first instant after `t` that `pattern` asks for in `zone`, and the wall-clock time it stands for.
///
/// Walks the spans of equal offset one after the other. Within a span wall and real time run
/// alike, so the results increase strictly whatever happens at its ends.
pub(super) fn find(pattern: &Pattern, zone: &Zone, rules: Rules, t: Timestamp) -> Option<(Timestamp, NaiveDateTime)> {
    let mut span = zone.span(t);
    let mut from = t;
    // The wall-clock time that has been dealt with.
    let mut done = span.wall(t);
    loop {
        if rules.overlap == OverlapRule::First {
            done = done.max(just_before(span.wall_before_start()));
        }
        let found = pattern.next_naive(done).unwrap_or(END);
        if found < END && found < limit(&span, rules) {
            return Some((span.instant(found), found));
        }
        let end = span.end?;
        if done >= END {
            return None;
        }
        let (resumed, stopped) = span.walls_at_end();
        if rules.gap == GapRule::Shift && (stopped..resumed).contains(&found) {
            return Some((end, found));
        }
        // Nothing between here and `found` matches, so most spans can be passed over; but the next
        // change, when near, may repeat times that are already behind us.
        let near = end.since(from) <= MARGIN;
        from = if near { end } else { end.max(Timestamp::from(found.and_utc()).minus(MARGIN)) };
        span = zone.span(from);
        done = just_before(span.wall(from));
    }
}

/// Where the wall-clock times of a span end under `rules`.
fn limit(span: &Span, rules: Rules) -> NaiveDateTime {
    let (resumed, stopped) = span.walls_at_end();
    if rules.overlap == OverlapRule::Last { stopped.min(resumed) } else { stopped }
}

/// Schedules know whole seconds, so what is later than this is at `wall` or after it.
fn just_before(wall: NaiveDateTime) -> NaiveDateTime {
    wall.checked_sub_signed(TimeDelta::seconds(1)).unwrap_or(wall)
}

/// The changes of clocks between `from` and `until`: the span before each, and the instant.
fn changes_of(zone: &Zone, from: Timestamp, until: Timestamp) -> impl Iterator<Item = (Span, Timestamp)> {
    let spans = std::iter::successors(Some(zone.span(from)), |span| Some(zone.span(span.end?)));
    spans.map_while(move |span| Some((span, span.end.filter(|end| *end < until)?)))
}

/// The changes of clocks between `from` and `until`: for each an instant just before the first that
/// it can touch, and the last that it can.
pub(super) fn changes(zone: &Zone, from: Timestamp, until: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    changes_of(zone, from, until).map(|(span, end)| {
        let (resumed, stopped) = span.walls_at_end();
        let repeated = (stopped - resumed).to_std().unwrap_or_default();
        (end.minus(repeated + Duration::from_micros(1)), end.plus(repeated))
    })
}

/// The wall-clock times that are left out between `from` and `until`: the first of each gap, and the first after it.
pub(super) fn gaps(
    zone: &Zone,
    from: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = (NaiveDateTime, NaiveDateTime)> {
    let walls = changes_of(zone, from, until).map(|(span, _)| span.walls_at_end());
    walls.filter(|(resumed, stopped)| resumed > stopped).map(|(resumed, stopped)| (stopped, resumed))
}

/// How a change of clocks touches the occurrence `at` that stands for `nominal` on the wall.
pub(super) fn note(zone: &Zone, at: Timestamp, nominal: NaiveDateTime) -> Option<DstNote> {
    let span = zone.span(at);
    let (resumed, stopped) = span.walls_at_end();
    let (kind, change) = if span.wall(at) != nominal {
        (Change::Gap, span.start)
    } else if nominal < span.wall_before_start() {
        (Change::Overlap, span.start)
    } else if (resumed..stopped).contains(&nominal) {
        (Change::Overlap, span.end?)
    } else {
        return None;
    };
    let last = change.minus(Duration::from_secs(1));
    let reading = |wall: NaiveDateTime, at: Timestamp| format!("{} {}", wall.format("%H:%M"), zone.offset(at).1);
    let from = zone.wall(last) + TimeDelta::seconds(1);
    Some(DstNote { kind, from: reading(from, last), to: reading(zone.wall(change), change) })
}

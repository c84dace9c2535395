//! Changes of clocks: placing wall-clock times in real time.

use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use serde::{Deserialize, Serialize};

use super::pattern::{END, Pattern};
use super::zone::{Span, Zone};
use crate::clock::Timestamp;

/// What a fixed-time schedule does about wall-clock times that a change of clocks leaves out or repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Rules {
    /// For times that do not exist. Default [`GapRule::Shift`].
    pub gap: GapRule,
    /// For times that exist twice. Default [`OverlapRule::First`].
    pub overlap: OverlapRule,
}

impl Rules {
    /// What a schedule that follows real time does: whatever the wall shows, each time it shows it.
    pub const REAL_TIME: Rules = Rules { gap: GapRule::Skip, overlap: OverlapRule::Both };
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

/// A change of clocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The first instant after it.
    pub at: Timestamp,
    /// How many seconds clocks go forward; back where negative.
    pub seconds: i64,
    /// The wall just before, such as `02:00 CET`.
    pub from: String,
    /// The wall just after, such as `03:00 CEST`.
    pub to: String,
}

/// The changes of clocks after `from` and before `until`.
pub(super) fn turns(zone: &Zone, from: Timestamp, until: Timestamp) -> Vec<Turn> {
    let turn = |(span, at): (Span, Timestamp)| {
        let (resumed, stopped) = span.walls_at_end();
        let (from, to) = readings(zone, at);
        Turn { at, seconds: (resumed - stopped).num_seconds(), from, to }
    };
    // A zone may change its name alone.
    changes_of(zone, from, until).map(turn).filter(|turn| turn.seconds != 0).collect()
}

/// What the wall shows just before a change, and just after.
fn readings(zone: &Zone, change: Timestamp) -> (String, String) {
    let last = change.minus(Duration::from_secs(1));
    let reading = |wall: NaiveDateTime, at: Timestamp| format!("{} {}", wall.format("%H:%M"), zone.offset(at).1);
    (reading(zone.wall(last) + TimeDelta::seconds(1), last), reading(zone.wall(change), change))
}

/// The times within gaps that `pattern` asks for, each with the first instant after its gap.
pub(super) fn within_gaps<'a>(
    pattern: &'a Pattern,
    zone: &'a Zone,
    from: Timestamp,
    until: Timestamp,
) -> impl Iterator<Item = (Timestamp, NaiveDateTime)> + 'a {
    /// Of one gap at most so many.
    const MANY: usize = 100;
    changes_of(zone, from, until).flat_map(move |(span, at)| {
        let (resumed, stopped) = span.walls_at_end();
        let times = std::iter::successors(pattern.next_naive(just_before(stopped)), |last| pattern.next_naive(*last));
        times.take_while(move |wall| *wall < resumed).take(MANY).map(move |wall| (at, wall))
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
    let (from, to) = readings(zone, change);
    Some(DstNote { kind, from, to })
}

#[cfg(test)]
mod tests {
    use crate::schedule::{Schedule, Zone};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn changes_of_clocks_are_found_with_how_far_they_go() {
        let zone = Zone::parse("Australia/Lord_Howe").unwrap();
        let turns = zone.turns(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
        let found: Vec<_> = turns.iter().map(|turn| (turn.at, turn.seconds)).collect();
        assert_eq!(found, [(at("2026-04-04T15:00:00Z"), -1800), (at("2026-10-03T15:30:00Z"), 1800)]);
        assert_eq!((turns[0].from.as_str(), turns[0].to.as_str()), ("02:00 +11", "01:30 +1030"));
        assert!(Zone::utc().turns(at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z")).is_empty());
    }

    #[test]
    fn a_time_that_does_not_exist_is_left_out_only_where_nothing_runs_for_it() {
        let zone = Zone::parse("America/New_York").unwrap();
        let left_out = |text: &str, gap| {
            let rules = Rules { gap, overlap: OverlapRule::First };
            let schedule = Schedule::parse(text, &zone, rules, "job").unwrap();
            let slots = schedule.left_out(at("2026-03-01T00:00:00Z"), at("2026-04-01T00:00:00Z"));
            slots.iter().map(|slot| (slot.at, slot.nominal.to_string())).collect::<Vec<_>>()
        };
        let change = at("2026-03-08T07:00:00Z");
        assert_eq!(left_out("30 2 * * *", GapRule::Skip), [(change, "2026-03-08 02:30:00".to_owned())]);
        assert_eq!(left_out("15,45 2 * * *", GapRule::Skip).len(), 2);
        assert_eq!(left_out("30 2 * * *", GapRule::Shift), []);
        // These follow real time, and run before and after.
        assert_eq!(left_out("0 * * * *", GapRule::Skip), []);
        assert_eq!(left_out("*/10 * * * *", GapRule::Skip), []);
        // This one follows real time too, and does not run that day.
        assert_eq!(left_out("*/10 2 * * *", GapRule::Skip).len(), 6);
    }
}

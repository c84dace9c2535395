//! When: from text to a [`Schedule`], and from an instant to the next one. Pure.
//!
//! A schedule names wall-clock times; `calendar` finds them without a zone, `dst` places them in
//! real time. Equal texts mean equal instants on every replica.

mod calendar;
mod day;
mod dialect;
mod dst;
mod error;
mod field;
mod lint;
mod pattern;
mod words;
mod written;
mod zone;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::NaiveDateTime;

use crate::clock::Timestamp;
use crate::hash::stable_hash;
use dialect::Wanted;
use pattern::Pattern;

pub use calendar::Calendar;
pub use dialect::{uses_seed, zone_prefix};
pub use dst::{Change, DstNote, GapRule, OverlapRule, Rules, Slot, Turn};
pub use error::ScheduleError;
pub use lint::lints;
pub use words::{Part, describe, parts};
pub use written::Written;
pub use zone::{UnknownZone, Zone, tzdb_version};

/// When a job runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schedule(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: String,
    zone: Zone,
    when: When,
    /// What [`Schedule::spec`] answers, once it was asked: it takes longer than to find the next occurrence.
    spec: OnceLock<u64>,
}

#[derive(Debug)]
enum When {
    Manual,
    /// Every so many microseconds, counted from the Unix epoch.
    Every(i64),
    Wall(Pattern, Rules),
    Any(Vec<Schedule>),
    /// Those of another, from an instant to an instant, both included.
    Within(Schedule, Option<Timestamp>, Option<Timestamp>),
}

/// What a search found.
struct Hit<'a> {
    at: Timestamp,
    /// The wall-clock time it stands for, unless that is simply its own.
    nominal: Option<NaiveDateTime>,
    /// The schedule itself, or the member of the union.
    of: &'a Schedule,
}

impl Schedule {
    /// Reads a cron text of 5 fields (6 with seconds first, 7 with the year last), a macro such as
    /// `@daily`, or `@manual`. `seed`, the job's name, decides what `H` stands for. A `CRON_TZ=` in
    /// front of the text overrules `zone`.
    ///
    /// The dialect is that of the Open Cron Pattern Specification, 1.0 to 1.4.
    pub fn parse(text: &str, zone: &Zone, rules: Rules, seed: &str) -> Result<Schedule, ScheduleError> {
        let said = dialect::read(text, seed)?;
        let own = said.zone.map(|(name, span)| Zone::parse(name).map_err(|unknown| error::zone(unknown, span)));
        let zone = own.transpose()?.unwrap_or_else(|| zone.clone());
        let when = match said.when {
            Wanted::Manual => When::Manual,
            Wanted::Times(fields) => {
                When::Wall(Pattern::new(&fields), if fields.wildcard() { Rules::REAL_TIME } else { rules })
            }
        };
        Ok(Schedule::new(text.trim_ascii().to_owned(), &zone, when))
    }

    /// Whenever any of `list` does; by hand only when the list is empty. Its zone is that of its members if
    /// they share one, else `zone`.
    pub fn union(mut list: Vec<Schedule>, zone: &Zone) -> Schedule {
        if list.len() == 1 {
            return list.remove(0);
        }
        let text = list.iter().map(|one| one.text()).collect::<Vec<_>>().join("  or  ");
        let shared = list.first().map(Schedule::zone).filter(|first| list.iter().all(|one| one.zone() == *first));
        let zone = shared.unwrap_or(zone).clone();
        Schedule::new(text, &zone, When::Any(list))
    }

    /// Every `period`, counted from the Unix epoch so that all replicas agree; `zone` is for showing only.
    ///
    /// # Errors
    /// A period that is zero or not in whole seconds.
    pub fn every(period: Duration, zone: &Zone) -> Result<Schedule, ScheduleError> {
        let refused = |message: &str| Err(ScheduleError::new(115, 0..0, message, "1 s or more, in whole seconds"));
        if period.is_zero() || period.subsec_nanos() != 0 {
            return refused("a period must be one or more whole seconds");
        }
        match i64::try_from(period.as_micros()) {
            Ok(micros) => Ok(Schedule::new(format!("every {}", brief(period.as_secs())), zone, When::Every(micros))),
            Err(_) => refused("the period is too long"),
        }
    }

    /// Once, when the wall in `zone` shows `local`.
    pub fn at(local: NaiveDateTime, zone: &Zone, rules: Rules) -> Schedule {
        Schedule::new(
            format!("at {}", local.format("%Y-%m-%dT%H:%M:%S")),
            zone,
            When::Wall(Pattern::Once(local), rules),
        )
    }

    /// This, but nothing before `start` nor after `end`, wall-clock times of its zone that are both included.
    ///
    /// One that a change of clocks leaves out stands for the first instant after it; of one that it
    /// repeats, `start` is the first pass and `end` the last.
    pub fn within(self, start: Option<NaiveDateTime>, end: Option<NaiveDateTime>) -> Schedule {
        let instant = |wall: NaiveDateTime, overlap| {
            let rules = Rules { gap: GapRule::Shift, overlap };
            let found = dst::find(&Pattern::Once(wall), self.zone(), rules, Timestamp::EPOCH).map(|(at, _)| at);
            // Before the first instant that a schedule may name, or after the last.
            found.unwrap_or(if wall < pattern::END { Timestamp::EPOCH } else { Timestamp::FAR })
        };
        let start = start.map(|wall| instant(wall, OverlapRule::First));
        let end = end.map(|wall| instant(wall, OverlapRule::Last));
        match (start, end) {
            (None, None) => self,
            _ => Schedule::new(self.text(), &self.zone().clone(), When::Within(self, start, end)),
        }
    }

    fn new(text: String, zone: &Zone, when: When) -> Schedule {
        Schedule(Arc::new(Inner { text, zone: zone.clone(), when, spec: OnceLock::new() }))
    }

    /// A hash of everything that makes its occurrences, the same on every replica.
    pub fn spec(&self) -> u64 {
        *self.0.spec.get_or_init(|| {
            let more = format!("{:?} {:?}", self.rules(), self.window());
            stable_hash(&[self.text().as_bytes(), self.0.zone.name().as_bytes(), more.as_bytes()])
        })
    }

    /// The first occurrence strictly after `t`; `None` when there is none up to the end of 2399.
    pub fn after(&self, t: Timestamp) -> Option<Timestamp> {
        self.find(t).map(|hit| hit.at)
    }

    /// The last occurrence strictly before `t`, from 1970 on.
    ///
    /// Searched for with [`Schedule::after`], so that both always agree: first near `t`, then farther
    /// and farther back, then in between.
    pub fn before(&self, t: Timestamp) -> Option<Timestamp> {
        let earlier = |from: Timestamp| self.after(from).filter(|at| *at < t);
        let (mut limit, mut step) = (t, Duration::from_secs(1));
        let mut found = loop {
            let from = t.minus(step);
            if let Some(at) = earlier(from) {
                break at;
            }
            if from < Timestamp::EPOCH {
                return None;
            }
            (limit, step) = (from, step * 2);
        };
        while let Some(next) = earlier(found) {
            let middle = next.plus(limit.since(next) / 2);
            match earlier(middle) {
                Some(at) => found = at,
                None => (found, limit) = (next, middle),
            }
        }
        Some(found).filter(|at| *at >= Timestamp::EPOCH)
    }

    /// Like [`Schedule::after`], with what the schedule literally said and what a change of clocks did to it.
    pub fn next(&self, t: Timestamp) -> Option<Slot> {
        let Hit { at, nominal, of } = self.find(t)?;
        let nominal = nominal.unwrap_or_else(|| of.zone().wall(at));
        Some(Slot { at, nominal, rules: of.rules(), shift: dst::note(of.zone(), at, nominal) })
    }

    /// The occurrences that a change of clocks moves or makes ambiguous, at most one for each change.
    /// None for a schedule that follows real time.
    pub fn touched(&self, from: Timestamp, until: Timestamp) -> Vec<Slot> {
        match &self.0.when {
            When::Wall(_, rules) if *rules != Rules::REAL_TIME => {
                let before = dst::changes(self.zone(), from, until);
                let slots = before.filter_map(|(before, last)| self.next(before).filter(|slot| slot.at <= last));
                slots.filter(|slot| slot.shift.is_some()).collect()
            }
            When::Any(list) => list.iter().flat_map(|one| one.touched(from, until)).collect(),
            When::Within(inner, start, end) => {
                let inside =
                    |slot: &Slot| start.is_none_or(|start| slot.at >= start) && end.is_none_or(|end| slot.at <= end);
                inner.touched(from, until).into_iter().filter(inside).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The days up to `until` on which it would run, were it not that clocks go forward over all of its times.
    /// Only a schedule that follows real time has such days.
    pub fn lost_days(&self, from: Timestamp, until: Timestamp) -> Vec<chrono::NaiveDate> {
        match &self.0.when {
            When::Wall(pattern, Rules::REAL_TIME) => {
                let gaps = dst::gaps(self.zone(), from, until);
                let hit = gaps.filter(|(stopped, resumed)| {
                    let just_before = *stopped - chrono::TimeDelta::seconds(1);
                    pattern.next_naive(just_before).is_some_and(|wall| wall < *resumed)
                });
                let is_lost = |day: &chrono::NaiveDate| {
                    let first = self.zone().first(day.and_time(chrono::NaiveTime::MIN));
                    let next = first.and_then(|first| self.after(first.minus(Duration::from_micros(1))));
                    next.is_none_or(|next| self.zone().wall(next).date() > *day)
                };
                hit.map(|(stopped, _)| stopped.date()).filter(is_lost).collect()
            }
            When::Any(list) => list.iter().flat_map(|one| one.lost_days(from, until)).collect(),
            When::Within(inner, ..) => inner.lost_days(from, until),
            _ => Vec::new(),
        }
    }

    /// The times between `from` and `until` that do not exist because clocks go forward, and for which nothing runs:
    /// each at the first instant after its gap. Of a schedule that follows real time only those of days on which
    /// it does not run at all.
    pub fn left_out(&self, from: Timestamp, until: Timestamp) -> Vec<Slot> {
        match &self.0.when {
            When::Wall(pattern, rules) if rules.gap == GapRule::Skip => {
                let lost = if *rules == Rules::REAL_TIME { Some(self.lost_days(from, until)) } else { None };
                let times = dst::within_gaps(pattern, self.zone(), from, until);
                let missed = times.filter(|(_, wall)| lost.as_ref().is_none_or(|lost| lost.contains(&wall.date())));
                let slot =
                    |(at, nominal)| Slot { at, nominal, rules: *rules, shift: dst::note(self.zone(), at, nominal) };
                missed.map(slot).collect()
            }
            When::Any(list) => list.iter().flat_map(|one| one.left_out(from, until)).collect(),
            When::Within(inner, start, end) => {
                let inside =
                    |slot: &Slot| start.is_none_or(|start| slot.at >= start) && end.is_none_or(|end| slot.at <= end);
                inner.left_out(from, until).into_iter().filter(inside).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What it does about changes of clocks: of a union, what those of its members do that name fixed times.
    /// The defaults where that does not arise.
    pub fn rules(&self) -> Rules {
        match &self.0.when {
            When::Wall(_, rules) => *rules,
            When::Any(list) => {
                let mut rules = list.iter().map(Schedule::rules);
                rules.find(|rules| *rules != Rules::REAL_TIME).unwrap_or(Rules::REAL_TIME)
            }
            When::Within(inner, ..) => inner.rules(),
            _ => Rules::default(),
        }
    }

    /// The first instant and the last of those it is limited to.
    pub fn window(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        match &self.0.when {
            When::Within(_, start, end) => (*start, *end),
            _ => (None, None),
        }
    }

    fn find(&self, t: Timestamp) -> Option<Hit<'_>> {
        let zone = &self.0.zone;
        match &self.0.when {
            When::Manual => None,
            When::Every(micros) => every(*micros, t).map(|at| Hit { at, nominal: None, of: self }),
            When::Wall(pattern, rules) => {
                dst::find(pattern, zone, *rules, t).map(|(at, wall)| Hit { at, nominal: Some(wall), of: self })
            }
            When::Any(list) => list.iter().filter_map(|one| one.find(t)).min_by_key(|hit| hit.at),
            When::Within(inner, start, end) => {
                let from = start.map_or(t, |start| t.max(start.minus(Duration::from_micros(1))));
                inner.find(from).filter(|hit| end.is_none_or(|end| hit.at <= end))
            }
        }
    }

    /// The schedules it is the union of; itself when it is none.
    pub fn members(&self) -> Vec<&Schedule> {
        match &self.0.when {
            When::Any(list) => list.iter().collect(),
            When::Within(inner, ..) => inner.members(),
            _ => vec![self],
        }
    }

    /// Whether it never comes due by itself.
    pub fn is_manual(&self) -> bool {
        match &self.0.when {
            When::Manual => true,
            When::Any(list) => list.iter().all(Schedule::is_manual),
            When::Within(inner, ..) => inner.is_manual(),
            _ => false,
        }
    }

    /// What was written.
    pub fn text(&self) -> String {
        self.0.text.clone()
    }

    /// The zone whose wall clock counts.
    pub fn zone(&self) -> &Zone {
        &self.0.zone
    }
}

/// The first multiple of `micros` after `t`.
fn every(micros: i64, t: Timestamp) -> Option<Timestamp> {
    let next = t.as_micros().div_euclid(micros).checked_add(1)?.checked_mul(micros)?;
    Some(Timestamp::from_micros(next)).filter(|at| at.as_micros() == next && at.datetime().naive_utc() < pattern::END)
}

/// A number of seconds as `1d2h3m4s`.
pub(crate) fn brief(mut seconds: u64) -> String {
    let mut text = String::new();
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if seconds >= size {
            text += &format!("{}{unit}", seconds / size);
            seconds %= size;
        }
    }
    text
}

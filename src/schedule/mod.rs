//! When: from text to a [`Schedule`], and from an instant to the next one. Pure.
//!
//! A schedule names wall-clock times; `calendar` finds them without a zone, `dst` places them in
//! real time. Equal texts mean equal instants on every replica.

mod calendar;
mod dialect;
mod dst;
mod error;
mod field;
mod zone;

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;

use crate::clock::Timestamp;
use calendar::Calendar;
use dialect::Said;

pub use dialect::{either_day, uses_seed};
pub use dst::{Change, DstNote, GapRule, OverlapRule, Rules, Slot};
pub use error::ScheduleError;
pub use zone::{UnknownZone, Zone, tzdb_version};

/// When a job runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schedule(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    text: String,
    zone: Zone,
    when: When,
}

#[derive(Debug)]
enum When {
    Manual,
    /// Every so many microseconds, counted from the Unix epoch.
    Every(i64),
    Wall(Calendar, Rules),
    Any(Vec<Schedule>),
}

impl Schedule {
    /// Reads a cron text of 5 fields (6 with seconds first, 7 with the year last), a macro such as
    /// `@daily`, or `@manual`. `seed`, the job's name, decides what `H` stands for.
    pub fn parse(text: &str, zone: &Zone, rules: Rules, seed: &str) -> Result<Schedule, ScheduleError> {
        let when = match dialect::read(text, seed)? {
            Said::Manual => When::Manual,
            Said::Times(fields) => {
                let calendar = Calendar::new(&fields).ok_or_else(|| never(text))?;
                When::Wall(calendar, if fields.wildcard() { Rules::REAL_TIME } else { rules })
            }
        };
        Ok(Schedule::new(text.trim_ascii().to_owned(), zone, when))
    }

    /// Whenever any of `list` does; by hand only when the list is empty.
    pub fn union(mut list: Vec<Schedule>) -> Schedule {
        if list.len() == 1 {
            return list.remove(0);
        }
        let text = list.iter().map(|one| one.text()).collect::<Vec<_>>().join("  or  ");
        let zone = list.first().map_or_else(Zone::utc, |one| one.zone().clone());
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
            When::Wall(Calendar::Once(local), rules),
        )
    }

    fn new(text: String, zone: &Zone, when: When) -> Schedule {
        Schedule(Arc::new(Inner { text, zone: zone.clone(), when }))
    }

    /// The first occurrence strictly after `t`; `None` when there is none up to the end of 2100.
    pub fn after(&self, t: Timestamp) -> Option<Timestamp> {
        self.find(t).map(|(at, _)| at)
    }

    /// Like [`Schedule::after`], with what the schedule literally said and what a change of clocks did to it.
    pub fn next(&self, t: Timestamp) -> Option<Slot> {
        let (at, nominal) = self.find(t)?;
        let zone = self.zone();
        let nominal = nominal.unwrap_or_else(|| zone.wall(at));
        Some(Slot { at, nominal, shift: dst::note(zone, at, nominal) })
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
            _ => Vec::new(),
        }
    }

    /// What it does about changes of clocks; the defaults where that does not arise.
    pub fn rules(&self) -> Rules {
        match &self.0.when {
            When::Wall(_, rules) => *rules,
            When::Any(list) => list.first().map(Schedule::rules).unwrap_or_default(),
            _ => Rules::default(),
        }
    }

    /// The next instant, and the wall-clock time it stands for unless that is simply its own.
    fn find(&self, t: Timestamp) -> Option<(Timestamp, Option<NaiveDateTime>)> {
        match &self.0.when {
            When::Manual => None,
            When::Every(micros) => every(*micros, t).map(|at| (at, None)),
            When::Wall(calendar, rules) => {
                dst::find(calendar, self.zone(), *rules, t).map(|(at, wall)| (at, Some(wall)))
            }
            When::Any(list) => list.iter().filter_map(|one| one.find(t)).min_by_key(|(at, _)| *at),
        }
    }

    /// Whether it never comes due by itself.
    pub fn is_manual(&self) -> bool {
        match &self.0.when {
            When::Manual => true,
            When::Any(list) => list.iter().all(Schedule::is_manual),
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
    Some(Timestamp::from_micros(next)).filter(|at| at.as_micros() == next && at.datetime().naive_utc() < calendar::END)
}

/// A number of seconds as `1d2h3m4s`.
fn brief(mut seconds: u64) -> String {
    let mut text = String::new();
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if seconds >= size {
            text += &format!("{}{unit}", seconds / size);
            seconds %= size;
        }
    }
    text
}

fn never(text: &str) -> ScheduleError {
    let start = text.len() - text.trim_ascii_start().len();
    let span = start..text.trim_ascii_end().len();
    ScheduleError::new(112, span, "this schedule never fires", "no date from 1970 to 2100 matches")
        .help("for a job that is only started by hand write \"@manual\"")
}

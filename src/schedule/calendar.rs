//! The calendar: which wall-clock times match, with no thought of time zones.

use std::fmt::Write;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime};

use super::dialect::Fields;
use super::field::{DAY, Field, HOUR, MINUTE, MONTH, SECOND, Unit, WEEKDAY, YEAR};

/// No wall-clock time from here on is ever looked at: the walker ends with the year 2100.
pub(super) const END: NaiveDateTime = match NaiveDate::from_ymd_opt(2101, 1, 1) {
    Some(day) => day.and_time(chrono::NaiveTime::MIN),
    None => NaiveDateTime::MAX,
};

/// Earlier than every time that can match.
pub(super) const START: NaiveDateTime = match NaiveDate::from_ymd_opt(1969, 12, 31) {
    Some(day) => day.and_time(chrono::NaiveTime::MIN),
    None => NaiveDateTime::MIN,
};

/// A set of wall-clock times.
#[derive(Debug)]
pub(super) enum Calendar {
    /// All that one of these matches.
    Cron(Vec<cron::Schedule>),
    /// A single one.
    Once(NaiveDateTime),
}

impl Calendar {
    /// The times that match `fields`; `None` when there are none at all.
    pub(super) fn new(fields: &Fields) -> Option<Calendar> {
        let (any_day, any_weekday) = (Field::all(&DAY), Field::all(&WEEKDAY));
        // The walker wants both day fields to match, so "either" takes two of them.
        let pairs = if fields.either_day() {
            vec![(&fields.day, &any_weekday), (&any_day, &fields.weekday)]
        } else {
            vec![(&fields.day, &fields.weekday)]
        };
        let walkers = pairs.into_iter().filter_map(|(day, weekday)| walker(fields, day, weekday));
        let calendar = Calendar::Cron(walkers.collect());
        calendar.next_naive(START).map(|_| calendar)
    }

    /// The first match later than `after`, before [`END`].
    ///
    /// The only place that walks a calendar, and it does so in UTC: the walker must not see a zone.
    pub(super) fn next_naive(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let after = after.max(START);
        match self {
            _ if after >= END => None,
            Calendar::Once(at) => Some(*at).filter(|at| *at > after),
            Calendar::Cron(walkers) => {
                let first = |walker: &cron::Schedule| Some(walker.after(&after.and_utc()).next()?.naive_utc());
                walkers.iter().filter_map(first).min().filter(|at| *at < END)
            }
        }
    }
}

/// A walker for one choice of day fields; `None` when the text it is given has no meaning to it.
fn walker(fields: &Fields, day: &Field, weekday: &Field) -> Option<cron::Schedule> {
    let mut text = String::new();
    list(&mut text, &SECOND, &fields.second, 0);
    list(&mut text, &MINUTE, &fields.minute, 0);
    list(&mut text, &HOUR, &fields.hour, 0);
    list(&mut text, &DAY, day, 0);
    list(&mut text, &MONTH, &fields.month, 0);
    // The walker's week begins with Sunday as 1.
    list(&mut text, &WEEKDAY, weekday, 1);
    list(&mut text, &YEAR, &fields.year, 0);
    cron::Schedule::from_str(text.trim_end()).ok()
}

/// Writes a field as plain numbers, so that nothing of the walker's own grammar matters.
fn list(text: &mut String, unit: &Unit, field: &Field, shift: u32) {
    let values = &field.values;
    let all =
        (unit.least..=unit.most).all(|value| values.contains(&value) || (unit.name == WEEKDAY.name && value == 7));
    if all {
        text.push_str("* ");
        return;
    }
    for value in values {
        let _ = write!(text, "{},", value + shift);
    }
    text.pop();
    text.push(' ');
}

//! Which wall-clock times match, with no thought of time zones.

use std::fmt::Write;
use std::str::FromStr;

use chrono::{Datelike, Days as Span, NaiveDate, NaiveDateTime, NaiveTime};

use super::day::Days;
use super::dialect::Fields;
use super::field::{Field, HOUR, MINUTE, SECOND, Unit, Values, YEAR};

/// No wall-clock time from here on is ever looked at. With 1970 it makes a whole turn of 400 years of
/// the Gregorian calendar: a day that has not come by then never comes.
pub(super) const END: NaiveDateTime = midnight(2400, 1, 1);

/// Earlier than every time that can match.
pub(super) const START: NaiveDateTime = midnight(1969, 12, 31);

const fn midnight(year: i32, month: u32, day: u32) -> NaiveDateTime {
    match NaiveDate::from_ymd_opt(year, month, day) {
        Some(day) => day.and_time(NaiveTime::MIN),
        None => NaiveDateTime::MIN,
    }
}

/// A set of wall-clock times.
#[derive(Debug)]
pub(super) enum Pattern {
    /// Every time of day of the one on every date of the other.
    Cron(Box<(Times, Dates)>),
    /// A single one.
    Once(NaiveDateTime),
    /// None at all.
    Never,
}

impl Pattern {
    /// The times that match `fields`.
    pub(super) fn new(fields: &Fields) -> Pattern {
        let Some(times) = Times::new(fields) else { return Pattern::Never };
        let dates = Dates {
            months: fields.month.values.mask() as u16,
            years: (!fields.year.any).then(|| Box::new(fields.year.values)),
            days: fields.days.clone(),
        };
        match dates.from(START.date()) {
            Some(_) => Pattern::Cron(Box::new((times, dates))),
            None => Pattern::Never,
        }
    }

    /// The first match later than `after`, before [`END`].
    pub(super) fn next_naive(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let after = after.max(START);
        match self {
            _ if after >= END => None,
            Pattern::Never => None,
            Pattern::Once(at) => Some(*at).filter(|at| *at > after && *at < END),
            Pattern::Cron(both) => {
                let (times, dates) = &**both;
                let today = after.date();
                if dates.contains(today)
                    && let Some(time) = times.after(after.time())
                {
                    return Some(today.and_time(time));
                }
                let date = dates.from(today.checked_add_days(Span::new(1))?)?;
                Some(date.and_time(times.first))
            }
        }
    }
}

/// A set of times of day.
#[derive(Debug)]
pub(super) struct Times {
    /// Walks the hours, minutes and seconds; its dates are all. A single time needs none.
    walker: Option<cron::Schedule>,
    first: NaiveTime,
    last: NaiveTime,
}

/// The day on which the walker is asked for times; any would do.
const DAY: NaiveDate = match NaiveDate::from_ymd_opt(2000, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};

impl Times {
    /// `None` when there are none, or the walker does not understand; it is only given numbers.
    fn new(fields: &Fields) -> Option<Times> {
        let [seconds, minutes, hours] = [&fields.second, &fields.minute, &fields.hour].map(|field| field.values.ends());
        let ((hours, minutes), seconds) = hours.zip(minutes).zip(seconds)?;
        let first = NaiveTime::from_hms_opt(hours.0, minutes.0, seconds.0)?;
        let last = NaiveTime::from_hms_opt(hours.1, minutes.1, seconds.1)?;
        let walker = if first < last { Some(walker(fields)?) } else { None };
        Some(Times { walker, first, last })
    }

    /// The first later on the same day. Before the first and after the last nothing needs to be walked.
    fn after(&self, time: NaiveTime) -> Option<NaiveTime> {
        match time {
            _ if time < self.first => Some(self.first),
            _ if time >= self.last => None,
            _ => self.walk(DAY.and_time(time)),
        }
    }

    /// The only place that walks, and it does so in UTC: the walker must not see a zone.
    fn walk(&self, after: NaiveDateTime) -> Option<NaiveTime> {
        let found = self.walker.as_ref()?.after(&after.and_utc()).next()?.naive_utc();
        (found.date() == DAY).then(|| found.time())
    }
}

fn walker(fields: &Fields) -> Option<cron::Schedule> {
    let mut text = String::new();
    list(&mut text, &SECOND, &fields.second);
    list(&mut text, &MINUTE, &fields.minute);
    list(&mut text, &HOUR, &fields.hour);
    cron::Schedule::from_str(&(text + "* * *")).ok()
}

/// Writes a field in plain numbers, so that nothing of the walker's own grammar matters; what goes up by
/// equal steps as a range, which the walker reads faster.
fn list(text: &mut String, unit: &Unit, field: &Field) {
    let values: Vec<u32> = field.values.iter().collect();
    let _ = match values[..] {
        _ if values.len() as u32 == unit.most - unit.least + 1 => write!(text, "*"),
        [only] => write!(text, "{only}"),
        [first, second, .., last] if values.windows(2).all(|two| two[1] - two[0] == second - first) => {
            write!(text, "{first}-{last}/{}", second - first)
        }
        _ => {
            let numbers: Vec<String> = values.iter().map(u32::to_string).collect();
            write!(text, "{}", numbers.join(","))
        }
    };
    text.push(' ');
}

/// A set of dates.
#[derive(Debug)]
pub(super) struct Dates {
    /// Bit n for month n.
    months: u16,
    /// All, if not said.
    years: Option<Box<Values>>,
    days: Days,
}

impl Dates {
    fn contains(&self, date: NaiveDate) -> bool {
        self.in_month(date.year(), date.month()) >> date.day() & 1 == 1
    }

    /// The days of a month, bit n for day n.
    fn in_month(&self, year: i32, month: u32) -> u32 {
        if self.months >> month & 1 == 1 && self.has_year(year) { self.days.of(year, month) } else { 0 }
    }

    fn has_year(&self, year: i32) -> bool {
        self.years.as_ref().is_none_or(|years| u32::try_from(year).is_ok_and(|year| years.contains(year)))
    }

    /// The first at or after `date`, before [`END`].
    fn from(&self, date: NaiveDate) -> Option<NaiveDate> {
        let late = |day: u32| u32::MAX << day;
        let (year, month) = (date.year(), date.month());
        let here = self.in_month(year, month) & late(date.day());
        if here != 0 {
            return NaiveDate::from_ymd_opt(year, month, here.trailing_zeros());
        }
        let rest = (month + 1..=12).map(|month| (year, month));
        let years = (year + 1..=YEAR.most as i32).filter(|year| self.has_year(*year));
        let later = years.flat_map(|year| (1..=12).map(move |month| (year, month)));
        let mut found = rest.chain(later).map(|(year, month)| (year, month, self.in_month(year, month)));
        let (year, month, days) = found.find(|(_, _, days)| *days != 0)?;
        NaiveDate::from_ymd_opt(year, month, days.trailing_zeros()).filter(|_| year < END.year())
    }
}

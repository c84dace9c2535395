//! The two day fields together: which days of a month match. `L`, `LW`, `15W`, `5L`, `MON#2` and `+`
//! as in the Open Cron Pattern Specification 1.2 and 1.4.

use std::ops::Range;

use chrono::{Datelike, NaiveDate};

use super::error::ScheduleError;
use super::field::{DAY, Field, Item, Values, WEEKDAY, number};

/// The days that the fields day-of-month and day-of-week allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) month: MonthDays,
    pub(super) week: WeekDays,
}

/// What day-of-month says. Bit n stands for day n.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MonthDays {
    pub(super) plain: u32,
    /// `L`.
    pub(super) last: bool,
    /// `LW`: the last Monday-to-Friday day.
    pub(super) last_workday: bool,
    /// `15W`: the Monday-to-Friday day nearest to it within the month.
    pub(super) nearest: u32,
    /// It restricts nothing.
    pub(super) any: bool,
}

/// What day-of-week says. Bit n stands for weekday n, Sunday being 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WeekDays {
    pub(super) plain: u8,
    /// `MON#2`: of each weekday, which ones of the month (element 0: the first).
    pub(super) nth: [u8; 5],
    /// `5L`: of these weekdays the last of the month.
    pub(super) last: u8,
    /// It restricts nothing.
    pub(super) any: bool,
    /// `+`: day-of-month must match as well.
    pub(super) and: bool,
}

impl Days {
    /// The days of a macro or of a text's fields that say nothing special.
    pub(super) fn plain(day: &Field, weekday: &Field) -> Days {
        Days {
            month: MonthDays { any: day.any, ..MonthDays::of(&day.values) },
            week: WeekDays { any: weekday.any, ..WeekDays::of(&weekday.values) },
        }
    }

    /// Reads both fields, each with the byte it begins at.
    pub(super) fn parse(day: (&str, usize), weekday: (&str, usize), seed: &str) -> Result<Days, ScheduleError> {
        Ok(Days { month: MonthDays::parse(day, seed)?, week: WeekDays::parse(weekday, seed)? })
    }

    /// Whether a day needs to match only one of the two, as in classic cron: both are restricted.
    pub(super) fn either(&self) -> bool {
        !self.month.any && !self.week.any && !self.week.and
    }

    /// The matching days of a month, bit n for day n. `length` is its number of days, `first` the
    /// weekday of its first.
    pub(super) fn of_month(&self, length: u32, first: u32) -> u32 {
        let (month, week) = (self.month.days(length, first), self.week.days(length, first));
        if self.either() { month | week } else { month & week }
    }

    /// The same for a month of a year.
    pub(super) fn of(&self, year: i32, month: u32) -> u32 {
        NaiveDate::from_ymd_opt(year, month, 1).map_or(0, |first| {
            self.of_month(u32::from(first.num_days_in_month()), first.weekday().num_days_from_sunday())
        })
    }
}

/// Whether a day field restricts nothing. A list that begins with `*` counts as `*`, as in Vixie cron;
/// the specification says nothing of it.
fn is_any(text: &str) -> bool {
    text == "*" || text == "?" || text.starts_with("*,")
}

/// Bits 1 to `length`.
fn month_mask(length: u32) -> u32 {
    u32::MAX >> (31 - length) & !1
}

impl MonthDays {
    fn of(values: &Values) -> MonthDays {
        MonthDays { plain: values.mask() as u32, last: false, last_workday: false, nearest: 0, any: false }
    }

    fn parse((text, at): (&str, usize), seed: &str) -> Result<MonthDays, ScheduleError> {
        let mut values = Values::none(&DAY);
        let mut days = MonthDays { any: is_any(text), ..MonthDays::of(&values) };
        for item in Item::all(&DAY, text, at, seed) {
            let upper = item.text.to_ascii_uppercase();
            match upper.strip_suffix('W') {
                _ if upper == "L" => days.last = true,
                Some("L") => days.last_workday = true,
                Some(day) if number(day).is_some() => {
                    days.nearest |= 1 << item.value(&item.text[..day.len()], item.at)?;
                }
                Some(day) if day.contains('-') || day.contains('/') => return Err(one_only(&item)),
                _ if upper.starts_with("L-") => return Err(before_last(&item)),
                _ => item.values()?.into_iter().for_each(|value| values.insert(value)),
            }
        }
        days.plain = values.mask() as u32;
        Ok(days)
    }

    fn days(&self, length: u32, first: u32) -> u32 {
        let mut days = self.plain & month_mask(length);
        if self.last {
            days |= 1 << length;
        }
        if self.last_workday {
            days |= 1 << nearest_workday(length, length, first);
        }
        let mut nearest = self.nearest & month_mask(length);
        while nearest != 0 {
            days |= 1 << nearest_workday(nearest.trailing_zeros(), length, first);
            nearest &= nearest - 1;
        }
        days
    }
}

/// The Monday-to-Friday day nearest to `day` that is in the same month.
fn nearest_workday(day: u32, length: u32, first: u32) -> u32 {
    match (first + day - 1) % 7 {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

impl WeekDays {
    fn of(values: &Values) -> WeekDays {
        WeekDays { plain: values.week(), nth: [0; 5], last: 0, any: false, and: false }
    }

    fn parse((text, at): (&str, usize), seed: &str) -> Result<WeekDays, ScheduleError> {
        let (rest, start) = text.strip_prefix('+').map_or((text, at), |rest| (rest, at + 1));
        if rest.is_empty() {
            return Err(ScheduleError::new(105, at..start, "`+` needs a weekday after it", "as in `+FRI`"));
        }
        let mut values = Values::none(&WEEKDAY);
        let mut days = WeekDays { any: is_any(text), and: rest != text, ..WeekDays::of(&values) };
        for item in Item::all(&WEEKDAY, rest, start, seed) {
            if let Some((base, which)) = item.text.split_once('#') {
                let weekday = item.value(base, item.at)? % 7;
                let span = item.at + base.len() + 1..item.at + item.text.len();
                match which {
                    "L" | "l" => days.last |= 1 << weekday,
                    _ => *days.nth.get_mut(nth(which, span)?).unwrap_or(&mut 0) |= 1 << weekday,
                }
            } else if let Some(base) = last_of(item.text) {
                if base.is_empty() {
                    return Err(last_of_what(&item));
                }
                days.last |= 1 << (item.value(base, item.at)? % 7);
            } else {
                item.values()?.into_iter().for_each(|value| values.insert(value));
            }
        }
        days.plain = values.week();
        Ok(days)
    }

    fn days(&self, length: u32, first: u32) -> u32 {
        // Days 1 to 7 that fall on a weekday of `set`.
        let week =
            |set: u8| (1..=7).filter(|day| set >> ((first + day - 1) % 7) & 1 == 1).fold(0, |all, day| all | 1 << day);
        let plain: u32 = week(self.plain);
        let mut days: u32 = (0..5).fold(0, |all, n| all | plain << (7 * n));
        for (n, set) in self.nth.into_iter().enumerate().filter(|(_, set)| *set != 0) {
            let of_week: u32 = week(set);
            days |= of_week << (7 * n);
        }
        if self.last != 0 {
            let late: u32 = (0..7)
                .map(|back| length - back)
                .filter(|day| self.last >> ((first + day - 1) % 7) & 1 == 1)
                .fold(0, |all, day| all | 1 << day);
            days |= late;
        }
        days & month_mask(length)
    }
}

/// `5` of `5L`, `FRI` of `FRIL`; nothing for what merely ends with the letter.
fn last_of(text: &str) -> Option<&str> {
    let base = text.strip_suffix(['L', 'l'])?;
    let named = WEEKDAY.names.iter().any(|name| name.eq_ignore_ascii_case(base));
    (base.is_empty() || named || number(base).is_some()).then_some(base)
}

/// Which of its weekday in the month, from 0.
fn nth(text: &str, span: Range<usize>) -> Result<usize, ScheduleError> {
    match number(text) {
        Some(n @ 1..=5) => Ok(n as usize - 1),
        _ => {
            let message = format!("`#{text}` is not a week of the month");
            Err(ScheduleError::new(113, span.start - 1..span.end, message, "must be #1 to #5, or #L")
                .help("`MON#1` is the first Monday of the month, `MON#L` the last"))
        }
    }
}

fn one_only(item: &Item<'_>) -> ScheduleError {
    let message = format!("`{}`: `W` goes with a single day", item.text);
    ScheduleError::new(113, item.span(), message, "as in `15W`").help("list them: `1W,15W`")
}

fn before_last(item: &Item<'_>) -> ScheduleError {
    let message = format!("`{}` counts back from the last day", item.text);
    ScheduleError::new(110, item.span(), message, "programs disagree by a day on what this means")
        .help("name the days, or take `L`, `LW` or `5L`; a job may check the date itself")
}

fn last_of_what(item: &Item<'_>) -> ScheduleError {
    ScheduleError::new(110, item.span(), "`L` alone is not a weekday", "programs disagree on what this means")
        .help("write `5L` or `FRI#L` for the last Friday of the month, `SAT` for each Saturday")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_workday_stays_within_the_month() {
        // August 2026 begins on a Saturday (6) and has 31 days, the last a Monday.
        assert_eq!(nearest_workday(1, 31, 6), 3);
        assert_eq!(nearest_workday(15, 31, 6), 14);
        assert_eq!(nearest_workday(16, 31, 6), 17);
        // May 2026 ends on a Sunday.
        assert_eq!(nearest_workday(31, 31, 5), 29);
        assert_eq!(nearest_workday(31, 31, 6), 31);
    }

    #[test]
    fn a_month_is_as_long_as_it_is() {
        assert_eq!(month_mask(31), 0xffff_fffe);
        assert_eq!(month_mask(28), 0x1fff_fffe);
    }
}

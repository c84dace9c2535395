//! Calendars that people declare: named sets of days, such as holidays.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate};

/// A named set of days, to leave out or to keep to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calendar {
    /// What schedule files call it.
    pub name: String,
    /// Single days.
    pub dates: BTreeSet<NaiveDate>,
    /// Days of every year: (month, day).
    pub every_year: BTreeSet<(u32, u32)>,
    /// Days of every week, bit n for weekday n, Sunday being 0.
    pub weekdays: u8,
    /// Spans of days, first and last included.
    pub between: Vec<(NaiveDate, NaiveDate)>,
}

impl Calendar {
    /// Whether `day` belongs to it.
    pub fn contains(&self, day: NaiveDate) -> bool {
        self.weekdays >> day.weekday().num_days_from_sunday() & 1 == 1
            || self.every_year.contains(&(day.month(), day.day()))
            || self.dates.contains(&day)
            || self.between.iter().any(|(first, last)| (*first..=*last).contains(&day))
    }

    /// The last day that belongs to it; `None` when there is none, or no last.
    pub fn last(&self) -> Option<NaiveDate> {
        if self.weekdays != 0 || !self.every_year.is_empty() {
            return None;
        }
        self.dates.last().copied().into_iter().chain(self.between.iter().map(|(_, last)| *last)).max()
    }
}

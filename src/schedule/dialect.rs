//! The cron dialect: from a text to the values of its fields.

use std::ops::Range;

use super::error::ScheduleError;
use super::field::{DAY, Field, HOUR, MINUTE, MONTH, SECOND, Unit, WEEKDAY, YEAR};

/// What a schedule text says.
#[derive(Debug)]
pub(super) enum Said {
    /// `@manual`: only by hand.
    Manual,
    /// At these wall-clock times.
    Times(Box<Fields>),
}

/// The fields of a cron text.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) second: Field,
    pub(super) minute: Field,
    pub(super) hour: Field,
    pub(super) day: Field,
    pub(super) month: Field,
    pub(super) weekday: Field,
    pub(super) year: Field,
}

impl Fields {
    /// Whether the minute or the hour begins with `*`: such a schedule follows real time.
    pub(super) fn wildcard(&self) -> bool {
        self.minute.star || self.hour.star
    }

    /// Whether a day needs to match only one of day-of-month and day-of-week, as in classic cron.
    pub(super) fn either_day(&self) -> bool {
        !self.day.star && !self.weekday.star
    }
}

/// Whether the meaning of `text` depends on the seed, that is on the job's name.
pub fn uses_seed(text: &str) -> bool {
    let spread =
        |item: &str| item.strip_prefix(['H', 'h']).is_some_and(|rest| rest.is_empty() || rest.starts_with(['(', '/']));
    text.split([' ', '\t', '\r', '\n', ',']).any(spread)
}

/// Whether `text` restricts both day fields, so that a day needs to match only one of them.
pub fn either_day(text: &str) -> bool {
    matches!(read(text, ""), Ok(Said::Times(fields)) if fields.either_day())
}

/// Reads a cron text, a macro or `@manual`.
pub(super) fn read(text: &str, seed: &str) -> Result<Said, ScheduleError> {
    let words = words(text);
    let Some((first, at)) = words.first() else {
        return Err(ScheduleError::new(101, 0..text.len(), "the schedule is empty", "nothing to read")
            .help("for \"every day at 02:00\" write \"0 2 * * *\""));
    };
    if let Some(word) = first.strip_prefix('@') {
        let whole = *at..text.trim_ascii_end().len();
        return named(word, whole, words.len() == 1);
    }
    if first.starts_with("TZ=") || first.starts_with("CRON_TZ=") {
        let message = "a time zone does not belong in the schedule";
        return Err(ScheduleError::new(116, *at..at + first.len(), message, "not a field")
            .help("set `timezone = \"Europe/Berlin\"` beside `schedule`"));
    }
    fields(&words, text, seed).map(|fields| Said::Times(Box::new(fields)))
}

fn fields(words: &[(&str, usize)], text: &str, seed: &str) -> Result<Fields, ScheduleError> {
    let (second, rest) = match words.len() {
        5 => (None, words),
        6 | 7 => (words.first(), &words[1..]),
        found => return Err(wrong_count(found, text)),
    };
    let read = |unit: &Unit, word: Option<&(&str, usize)>| match word {
        Some((word, at)) => Field::parse(unit, word, *at, seed),
        None => Ok(Field::all(unit)),
    };
    Ok(Fields {
        second: if second.is_none() { Field::only(0) } else { read(&SECOND, second)? },
        minute: read(&MINUTE, rest.first())?,
        hour: read(&HOUR, rest.get(1))?,
        day: read(&DAY, rest.get(2))?,
        month: read(&MONTH, rest.get(3))?,
        weekday: read(&WEEKDAY, rest.get(4))?,
        year: read(&YEAR, rest.get(5))?,
    })
}

fn wrong_count(found: usize, text: &str) -> ScheduleError {
    let start = text.len() - text.trim_ascii_start().len();
    let span = start..text.trim_ascii_end().len();
    let message = format!("a cron schedule needs 5 fields (or 6 with seconds first), found {found}");
    ScheduleError::new(101, span, message, "minute hour day-of-month month day-of-week")
        .help("for \"every day at 02:00\" write \"0 2 * * *\"")
}

/// `@daily` and the like.
fn named(word: &str, span: Range<usize>, alone: bool) -> Result<Said, ScheduleError> {
    let (minute, hour, day, month, weekday) = (Some(0), Some(0), None, None, None);
    let (hour, day, month, weekday) = match word.to_ascii_lowercase().as_str() {
        _ if !alone => {
            let message = format!("nothing may follow `@{}`", word);
            return Err(ScheduleError::new(108, span, message, "a macro stands alone"));
        }
        "manual" => return Ok(Said::Manual),
        "hourly" => (None, day, month, weekday),
        "daily" | "midnight" => (hour, day, month, weekday),
        "weekly" => (hour, day, month, Some(0)),
        "monthly" => (hour, Some(1), month, weekday),
        "yearly" | "annually" => (hour, Some(1), Some(1), weekday),
        other => return Err(unknown_macro(other, span)),
    };
    let field = |unit, value: Option<u32>| value.map_or_else(|| Field::all(unit), Field::only);
    Ok(Said::Times(Box::new(Fields {
        second: Field::only(0),
        minute: field(&MINUTE, minute),
        hour: field(&HOUR, hour),
        day: field(&DAY, day),
        month: field(&MONTH, month),
        weekday: field(&WEEKDAY, weekday),
        year: Field::all(&YEAR),
    })))
}

fn unknown_macro(word: &str, span: Range<usize>) -> ScheduleError {
    match word {
        "reboot" => ScheduleError::new(109, span, "`@reboot` means nothing in a cluster", "which machine's start?")
            .help("start it from systemd or your platform, or use `@manual` and trigger it"),
        "every" => ScheduleError::new(111, span, "`@every` is not a schedule", "a period, not a wall-clock time")
            .help("write `every = \"10m\"` in place of `schedule`"),
        _ => ScheduleError::new(111, span, format!("unknown schedule `@{word}`"), "not a macro known here")
            .help("there are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually and @manual"),
    }
}

/// The words of a text, each with the byte it begins at.
fn words(text: &str) -> Vec<(&str, usize)> {
    let blank = |c: char| c.is_ascii_whitespace();
    let mut at = 0;
    let mut words = Vec::new();
    for word in text.split(blank) {
        if !word.is_empty() {
            words.push((word, at));
        }
        at += word.len() + 1;
    }
    words
}

//! The cron dialect: from a text to the values of its fields.

use std::ops::Range;

use super::day::Days;
use super::error::ScheduleError;
use super::field::{DAY, Field, HOUR, MINUTE, MONTH, SECOND, Unit, WEEKDAY, YEAR};

/// What a schedule text says.
#[derive(Debug)]
pub(super) struct Said<'a> {
    /// The zone that its `CRON_TZ=` names, and where.
    pub(super) zone: Option<(&'a str, Range<usize>)>,
    pub(super) when: Wanted,
}

/// When a schedule text wants it.
#[derive(Debug)]
pub(super) enum Wanted {
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
    pub(super) days: Days,
    pub(super) month: Field,
    pub(super) year: Field,
}

impl Fields {
    /// Whether the minute or the hour begins with `*`: such a schedule follows real time.
    pub(super) fn wildcard(&self) -> bool {
        self.minute.star || self.hour.star
    }
}

/// A text is not longer than this: what is longer was not written by hand, and would take long to refuse.
const LONGEST: usize = 1000;

/// Whether the meaning of `text` depends on the seed, that is on the job's name.
pub fn uses_seed(text: &str) -> bool {
    let spread =
        |item: &str| item.strip_prefix(['H', 'h']).is_some_and(|rest| rest.is_empty() || rest.starts_with(['(', '/']));
    text.split(|c: char| c.is_ascii_whitespace() || c == ',' || c == '+').any(spread)
}

/// The zone that a `CRON_TZ=` at the beginning of `text` names, and where it does.
pub fn zone_prefix(text: &str) -> Option<(&str, Range<usize>)> {
    let (word, at) = *words(text).first()?;
    let name = word.strip_prefix("CRON_TZ=")?;
    Some((name, at..at + word.len()))
}

/// The words of a text: its fields, each with the byte it begins at, without a `CRON_TZ=`.
pub(super) fn field_words(text: &str) -> Vec<(&str, usize)> {
    let skip = usize::from(zone_prefix(text).is_some());
    words(text).split_off(skip)
}

/// Reads a cron text, a macro or `@manual`.
pub(super) fn read<'a>(text: &'a str, seed: &str) -> Result<Said<'a>, ScheduleError> {
    if text.len() > LONGEST {
        let message = format!("the schedule is longer than {LONGEST} characters");
        let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= LONGEST).last().unwrap_or(0);
        return Err(ScheduleError::new(101, 0..end, message, "this is not a schedule that people can read")
            .help("write several schedules in a list: `schedule = [\"...\", \"...\"]`"));
    }
    let zone = zone_prefix(text);
    let words = field_words(text);
    let Some((first, at)) = words.first() else {
        let label = if zone.is_some() { "only a zone" } else { "nothing to read" };
        return Err(ScheduleError::new(101, 0..text.len(), "the schedule is empty", label)
            .help("for \"every day at 02:00\" write \"0 2 * * *\""));
    };
    if let Some(word) = first.strip_prefix('@') {
        let whole = *at..text.trim_ascii_end().len();
        return Ok(Said { zone, when: named(word, whole, words.len() == 1)? });
    }
    if first.starts_with("TZ=") {
        let message = "a schedule's own zone is written `CRON_TZ=`";
        return Err(ScheduleError::new(116, *at..at + first.len(), message, "not a field")
            .help("set `timezone = \"Europe/Berlin\"` beside `schedule`, or write `CRON_TZ=Europe/Berlin` here"));
    }
    let fields = fields(&words, text, seed)?;
    Ok(Said { zone, when: Wanted::Times(Box::new(fields)) })
}

fn fields(words: &[(&str, usize)], text: &str, seed: &str) -> Result<Fields, ScheduleError> {
    let (second, rest) = match words {
        [_, _, _, _, _] => (None, words),
        [second, rest @ ..] if rest.len() == 5 || rest.len() == 6 => (Some(second), rest),
        _ => return Err(wrong_count(words, text)),
    };
    let word = |index: usize| rest.get(index).copied().unwrap_or(("*", text.len()));
    let read = |unit: &Unit, (word, at): (&str, usize)| Field::parse(unit, word, at, seed);
    Ok(Fields {
        second: second.map_or_else(|| Ok(Field::only(&SECOND, 0)), |second| read(&SECOND, *second))?,
        minute: read(&MINUTE, word(0))?,
        hour: read(&HOUR, word(1))?,
        days: Days::parse(word(2), word(4), seed)?,
        month: read(&MONTH, word(3))?,
        year: read(&YEAR, word(5))?,
    })
}

fn wrong_count(words: &[(&str, usize)], text: &str) -> ScheduleError {
    let start = words.first().map_or(0, |(_, at)| *at);
    let span = start..text.trim_ascii_end().len();
    let message = format!("a cron schedule needs 5 fields (or 6 with seconds first), found {}", words.len());
    ScheduleError::new(101, span, message, "minute hour day-of-month month day-of-week")
        .help("for \"every day at 02:00\" write \"0 2 * * *\"")
}

/// `@daily` and the like.
fn named(word: &str, span: Range<usize>, alone: bool) -> Result<Wanted, ScheduleError> {
    let (hour, day, month, weekday) = match word.to_ascii_lowercase().as_str() {
        "every" => return Err(unknown_macro("every", span)),
        _ if !alone => {
            let message = format!("nothing may follow `@{word}`");
            return Err(ScheduleError::new(108, span, message, "a macro stands alone"));
        }
        "manual" => return Ok(Wanted::Manual),
        "hourly" => (None, None, None, None),
        "daily" | "midnight" => (Some(0), None, None, None),
        "weekly" => (Some(0), None, None, Some(0)),
        "monthly" => (Some(0), Some(1), None, None),
        "yearly" | "annually" => (Some(0), Some(1), Some(1), None),
        other => return Err(unknown_macro(other, span)),
    };
    let field = |unit, value: Option<u32>| value.map_or_else(|| Field::all(unit), |value| Field::only(unit, value));
    Ok(Wanted::Times(Box::new(Fields {
        second: Field::only(&SECOND, 0),
        minute: Field::only(&MINUTE, 0),
        hour: field(&HOUR, hour),
        days: Days::plain(&field(&DAY, day), &field(&WEEKDAY, weekday)),
        month: field(&MONTH, month),
        year: Field::all(&YEAR),
    })))
}

const MACROS: [&str; 8] = ["hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually", "manual"];

fn unknown_macro(word: &str, span: Range<usize>) -> ScheduleError {
    match word {
        "reboot" => ScheduleError::new(109, span, "`@reboot` means nothing in a cluster", "which machine's start?")
            .help("start it from systemd or your platform, or use `@manual` and trigger it"),
        "every" => ScheduleError::new(111, span, "`@every` is not a schedule", "a period, not a wall-clock time")
            .help("write `every = \"10m\"` in place of `schedule`"),
        _ => {
            let error = ScheduleError::new(111, span, format!("unknown schedule `@{word}`"), "not a macro known here");
            let near = |known: &&&str| strsim::damerau_levenshtein(known, word) <= 1 + word.len() / 4;
            match MACROS.iter().find(near) {
                Some(meant) => error.help(format!("did you mean `@{meant}`?")),
                None => error.help(format!("there are @{}", MACROS.join(", @"))),
            }
        }
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

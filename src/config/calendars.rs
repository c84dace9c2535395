//! `[calendars.NAME]`: days to leave out or to keep to, shared by all files.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Datelike, NaiveDate};
use toml::de::{DeTable, DeValue};

use super::diagnostic::Place;
use super::keys::{BETWEEN, CALENDAR};
use super::walk::{Key, Value, Walk};
use super::words::{WEEKDAY, nearest};
use crate::clock::Timestamp;
use crate::schedule::Calendar;

/// The calendars of all files; `None` stands for one with mistakes, about which enough was said.
#[derive(Default)]
pub(super) struct Calendars(BTreeMap<String, (Option<Arc<Calendar>>, Place)>);

impl Calendars {
    /// Adds those of one file. One without a day to come deserves a warning: somebody forgot the new year's.
    pub(super) fn read(&mut self, walk: &mut Walk<'_>, table: &DeTable<'_>, now: Timestamp) {
        for (key, value) in table {
            let name = key.get_ref().to_string();
            let calendar = calendar(walk, key, value);
            let last = calendar.as_ref().and_then(Calendar::last);
            if let Some(last) = last.filter(|last| *last < now.datetime().date_naive()) {
                let message = format!("calendar `{name}` has no day to come");
                walk.error("W0212", key.span(), message, format!("its last day was {last}"))
                    .help("add the days of this year and the next");
            }
            let place = Place {
                file: Arc::clone(&walk.file.name),
                source: Arc::clone(&walk.file.text),
                span: key.span(),
                label: "first declared here".into(),
            };
            match self.0.get(&name) {
                Some((_, first)) => {
                    let message = format!("calendar `{name}` is declared twice");
                    let error = walk.error("E0036", key.span(), message, "declared again");
                    error.help(format!("it is also in {}: rename one of them, or join them", first.file));
                    error.other = Some(first.clone());
                }
                None => {
                    self.0.insert(name, (calendar.map(Arc::new), place));
                }
            }
        }
    }

    /// Reads a list of names of calendars: `skip_on` or `only_on`.
    pub(super) fn named(&self, walk: &mut Walk<'_>, what: &str, value: &Value<'_>) -> Option<Vec<Arc<Calendar>>> {
        let DeValue::Array(items) = value.get_ref() else {
            let is_text = value.get_ref().is_str();
            let written = walk.file.text.get(value.span()).unwrap_or("").to_owned();
            let wrong = walk.wrong_type(what, value, "a list of calendars");
            if is_text {
                wrong.suggest("write a list", value.span(), format!("[{written}]"));
            }
            return None;
        };
        let mut found = Vec::new();
        for item in items {
            let name = walk.text(what, item)?;
            match self.0.get(&name) {
                Some((calendar, _)) => found.extend(calendar.clone()),
                None => self.unknown(walk, item, &name),
            }
        }
        Some(found)
    }

    fn unknown(&self, walk: &mut Walk<'_>, item: &Value<'_>, name: &str) {
        let meant = nearest(name, self.0.keys().map(String::as_str)).map(str::to_owned);
        let error = walk.error("E0034", item.span(), format!("unknown calendar {name:?}"), "not under `[calendars]`");
        match meant {
            Some(meant) => error.suggest(format!("did you mean {meant:?}?"), item.span(), format!("{meant:?}")),
            None => {
                error.help(format!("add `[calendars.{name}]` with `dates = [2026-12-25]`, in any of the files"));
            }
        }
    }
}

fn calendar(walk: &mut Walk<'_>, key: &Key<'_>, value: &Value<'_>) -> Option<Calendar> {
    let name = key.get_ref().to_string();
    let whose = format!("calendar `{name}`");
    let table = walk.table(&name, value)?;
    let before = walk.found.len();
    let mut calendar = Calendar { name, ..Calendar::default() };
    for (key, value) in table {
        let word = key.get_ref().as_ref();
        match word {
            "dates" => calendar.dates = list(walk, word, value, |walk, item| date(walk, word, item)),
            "every_year" => calendar.every_year = list(walk, word, value, day_of_year),
            "weekdays" => {
                let days: Vec<u8> = list(walk, word, value, weekday);
                calendar.weekdays = days.into_iter().fold(0, |set, day| set | 1 << day);
            }
            "between" => calendar.between = list(walk, word, value, between),
            _ => {
                walk.unknown_key(key, &CALENDAR, &whose);
            }
        }
    }
    let is_empty = calendar == Calendar { name: calendar.name.clone(), ..Calendar::default() };
    if is_empty && walk.found.len() == before {
        walk.error("E0035", key.span(), format!("{whose} has no days"), "nothing to leave out or to keep to")
            .help("add e.g. `dates = [2026-12-25]`, `every_year = [\"12-25\"]` or `weekdays = [\"SAT\", \"SUN\"]`");
    }
    (walk.found.len() == before).then_some(calendar)
}

fn list<T, C: FromIterator<T>>(
    walk: &mut Walk<'_>,
    what: &str,
    value: &Value<'_>,
    mut one: impl FnMut(&mut Walk<'_>, &Value<'_>) -> Option<T>,
) -> C {
    let DeValue::Array(items) = value.get_ref() else {
        walk.wrong_type(what, value, "a list");
        return std::iter::empty().collect();
    };
    items.iter().filter_map(|item| one(walk, item)).collect()
}

/// A TOML date without a time of day.
fn date(walk: &mut Walk<'_>, what: &str, value: &Value<'_>) -> Option<NaiveDate> {
    match value.get_ref() {
        DeValue::Datetime(at) if at.time.is_none() => at.to_string().parse().ok(),
        DeValue::Datetime(_) => {
            walk.error("E0031", value.span(), format!("`{what}` takes whole days"), "has a time of day")
                .help("as in `2026-12-25`");
            None
        }
        DeValue::String(text) if text.parse::<NaiveDate>().is_ok() => {
            let with = text.to_string();
            walk.wrong_type(what, value, "a date").suggest("write it without quotes", value.span(), with);
            None
        }
        _ => {
            walk.wrong_type(what, value, "a date").help("as in `2026-12-25`, without quotes");
            None
        }
    }
}

/// `12-25`.
fn day_of_year(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<(u32, u32)> {
    let text = walk.text("every_year", value)?;
    // A leap year has all days.
    let day = NaiveDate::parse_from_str(&format!("2000-{text}"), "%Y-%m-%d").ok();
    if day.is_none() || text.len() != 5 {
        walk.error("E0031", value.span(), format!("{text:?} is not a day of the year"), "expected month and day")
            .help("as in \"12-25\" or \"01-01\"");
        return None;
    }
    day.map(|day| (day.month(), day.day()))
}

fn weekday(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<u8> {
    // In any case, as in a schedule.
    let known = |text: &str| WEEKDAY.iter().find(|(name, ..)| name.eq_ignore_ascii_case(text)).map(|(_, day, _)| *day);
    value.get_ref().as_str().and_then(known).or_else(|| walk.one_of("weekday", value, &WEEKDAY, &[]))
}

/// `{ from = 2026-12-24, to = 2027-01-02 }`, both included.
fn between(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<(NaiveDate, NaiveDate)> {
    let (mut from, mut to) = (None, None);
    for (key, value) in walk.table("between", value)? {
        match key.get_ref().as_ref() {
            "from" => from = Some(date(walk, "from", value)?),
            "to" => to = Some(date(walk, "to", value)?),
            _ => {
                walk.unknown_key(key, &BETWEEN, "`between`");
                return None;
            }
        }
    }
    let (Some(from), Some(to)) = (from, to) else {
        walk.error("E0027", value.span(), "`between` needs `from` and `to`", "one of them is missing")
            .help("as in `{ from = 2026-12-24, to = 2027-01-02 }`; both days are included");
        return None;
    };
    if from > to {
        walk.error("E0033", value.span(), "`to` is before `from`", format!("{from} is its first day"));
        return None;
    }
    Some((from, to))
}

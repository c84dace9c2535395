//! When a job runs: `schedule`, `every` or `at`, and what is worth a warning about it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use toml::de::DeValue;

use super::walk::{Value, Walk};
use crate::clock::Timestamp;
use crate::schedule::{self, Change, Rules, Schedule, ScheduleError, Zone};

/// Schedules that are already parsed: thousands of jobs use a few hundred.
#[derive(Default)]
pub(super) struct Known(HashMap<(String, String, Rules, String), Arc<Schedule>>);

/// What the meaning of a schedule text depends on.
pub(super) struct Context<'a> {
    /// The job's name, for `H`.
    pub(super) job: &'a str,
    pub(super) zone: Zone,
    pub(super) rules: Rules,
    /// Whether the rules were written down; then changes of clocks need no warning.
    pub(super) stated: bool,
    /// The two years of changes of clocks to warn about begin here.
    pub(super) now: Timestamp,
}

const TWO_YEARS: Duration = Duration::from_secs(2 * 365 * 86_400);

/// Reads the value of `schedule`: a text, or a list of them.
pub(super) fn texts(
    walk: &mut Walk<'_>,
    known: &mut Known,
    place: &Context<'_>,
    value: &Value<'_>,
) -> Option<Arc<Schedule>> {
    let DeValue::Array(items) = value.get_ref() else { return one(walk, known, place, value) };
    if items.is_empty() {
        walk.error("E0024", value.span(), "`schedule` is an empty list", "this job would never run")
            .help("write \"@manual\" for a job that is only started by hand");
        return None;
    }
    let list: Vec<_> = items.iter().map(|item| one(walk, known, place, item)).collect();
    let list: Vec<Schedule> = list.into_iter().map(|one| one.map(|one| (*one).clone())).collect::<Option<_>>()?;
    if list.len() > 1
        && let Some(n) = list.iter().position(Schedule::is_manual)
    {
        let message = "\"@manual\" stands alone, not in a list";
        walk.error("E0029", items.get(n)?.span(), message, "the others start this job anyway");
        return None;
    }
    Some(Arc::new(Schedule::union(list)))
}

fn one(walk: &mut Walk<'_>, known: &mut Known, place: &Context<'_>, value: &Value<'_>) -> Option<Arc<Schedule>> {
    let text = walk.text("schedule", value)?;
    let seed = if schedule::uses_seed(&text) { place.job } else { "" };
    let key = (text.clone(), place.zone.name().to_owned(), place.rules, seed.to_owned());
    let schedule = match known.0.get(&key) {
        Some(schedule) => Arc::clone(schedule),
        None => match Schedule::parse(&text, &place.zone, place.rules, place.job) {
            Ok(schedule) => Arc::clone(known.0.entry(key).or_insert(Arc::new(schedule))),
            Err(error) => {
                refuse(walk, value, error);
                return None;
            }
        },
    };
    warn(walk, place, value, &text, &schedule);
    Some(schedule)
}

fn refuse(walk: &mut Walk<'_>, value: &Value<'_>, error: ScheduleError) {
    let ScheduleError { message, label, span, help, code } = error;
    let span = walk.inside(value, span);
    walk.error(&format!("E{code:04}"), span, message, label).help = help;
}

fn warn(walk: &mut Walk<'_>, place: &Context<'_>, value: &Value<'_>, text: &str, schedule: &Schedule) {
    let whole: Range<usize> = walk.inside(value, 0..text.len());
    if schedule::either_day(text) {
        let message = "day-of-month and day-of-week are both set: it runs when either matches";
        walk.error("W0208", whole.clone(), message, "as in classic cron")
            .help("write two schedules in a list if that is meant, or leave one of them `*`");
    }
    let until = place.now.plus(TWO_YEARS);
    let touched = if place.stated { Vec::new() } else { schedule.touched(place.now, until) };
    let sentences: Vec<String> = touched
        .iter()
        .filter_map(|slot| {
            let what = match slot.shift.as_ref()?.kind {
                Change::Gap => "does not exist",
                Change::Overlap => "happens twice",
            };
            Some(format!("{} {what} on {}", slot.nominal.format("%H:%M"), slot.nominal.date()))
        })
        .collect();
    if !sentences.is_empty() {
        let message = format!("a change of clocks in {} touches this schedule", place.zone.name());
        walk.error("W0204", whole, message, sentences.join(", "))
            .help("move it away from there, or state dst_gap and dst_overlap to silence this");
    }
}

/// Reads the value of `every`.
pub(super) fn every(walk: &mut Walk<'_>, zone: &Zone, value: &Value<'_>) -> Option<Arc<Schedule>> {
    let period = walk.duration("every", value)?;
    match Schedule::every(period, zone) {
        Ok(schedule) => Some(Arc::new(schedule)),
        Err(error) => {
            walk.error(&format!("E{:04}", error.code), value.span(), error.message, error.label);
            None
        }
    }
}

/// Reads the value of `at`: a TOML date-time without an offset.
pub(super) fn at(walk: &mut Walk<'_>, place: &Context<'_>, value: &Value<'_>) -> Option<Arc<Schedule>> {
    let example = "as in `at = 2027-01-01T00:00:00`; `timezone` says where";
    let parsed = match value.get_ref() {
        DeValue::Datetime(at) if at.offset.is_some() => {
            walk.error("E0031", value.span(), "`at` is a local time without an offset", "has an offset").help(example);
            return None;
        }
        DeValue::Datetime(at) => at.to_string().replace(' ', "T").parse::<NaiveDateTime>().ok(),
        DeValue::String(text) if text.parse::<toml::value::Datetime>().is_ok() => {
            let with = text.to_string();
            let error = walk.wrong_type("at", value, "a date and time");
            error.suggest("write it without quotes", value.span(), with);
            return None;
        }
        _ => {
            walk.wrong_type("at", value, "a date and time").help(example);
            return None;
        }
    };
    if parsed.is_none() {
        walk.error("E0031", value.span(), "`at` needs a date and a time of day", "one of them is missing")
            .help(example);
    }
    parsed.map(|local| Arc::new(Schedule::at(local, &place.zone, place.rules)))
}

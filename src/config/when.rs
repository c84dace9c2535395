//! When a job runs: `schedule`, `every` or `at`, and what is worth a warning about it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime};
use toml::de::DeValue;

use super::walk::{Value, Walk};
use crate::clock::Timestamp;
use crate::schedule::{self, Change, Rules, Schedule, ScheduleError, Zone};

/// Schedules that are already parsed, and what is to be said about them: thousands of jobs use a few hundred.
#[derive(Default)]
pub(super) struct Known(HashMap<(String, String, Rules, String), Arc<Checked>>);

/// A schedule and what is worth a second look about its text.
struct Checked {
    schedule: Arc<Schedule>,
    lints: Vec<ScheduleError>,
    /// What a change of clocks does to it, unless the rules are stated: whoever states them knows of it.
    touched: Option<ScheduleError>,
}

/// What the meaning of a schedule text depends on.
pub(super) struct Context<'a> {
    /// The job's name, for `H`.
    pub(super) job: &'a str,
    pub(super) zone: Zone,
    /// Where the job itself names its zone.
    pub(super) zone_key: Option<Range<usize>>,
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
    Some(Arc::new(Schedule::union(list, &place.zone)))
}

fn one(walk: &mut Walk<'_>, known: &mut Known, place: &Context<'_>, value: &Value<'_>) -> Option<Arc<Schedule>> {
    let text = walk.text("schedule", value)?;
    let seed = if schedule::uses_seed(&text) { place.job } else { "" };
    let key = (text.clone(), place.zone.name().to_owned(), place.rules, seed.to_owned());
    let checked = match known.0.get(&key) {
        Some(checked) => Arc::clone(checked),
        None => match Schedule::parse(&text, &place.zone, place.rules, place.job) {
            Ok(schedule) => {
                let (lints, touched) = (lints(&text, &schedule, place), touched(&text, &schedule, place));
                let checked = Checked { schedule: Arc::new(schedule), lints, touched };
                Arc::clone(known.0.entry(key).or_insert(Arc::new(checked)))
            }
            Err(error) => {
                tell(walk, value, error);
                return None;
            }
        },
    };
    zone_once(walk, place, value, &text);
    let touched = checked.touched.as_ref().filter(|_| !place.stated);
    for lint in checked.lints.iter().chain(touched) {
        tell(walk, value, lint.clone());
    }
    Some(Arc::clone(&checked.schedule))
}

/// Notes a mistake in, or a word about, a schedule's text.
fn tell(walk: &mut Walk<'_>, value: &Value<'_>, error: ScheduleError) {
    let code = error.name();
    let ScheduleError { message, label, span, help, .. } = error;
    let span = walk.inside(value, span);
    walk.error(&code, span, message, label).help = help;
}

/// Notes a zone that is said twice.
fn zone_once(walk: &mut Walk<'_>, place: &Context<'_>, value: &Value<'_>, text: &str) {
    let (Some((name, span)), Some(key)) = (schedule::zone_prefix(text), &place.zone_key) else { return };
    let (span, file) = (walk.inside(value, span), walk.file);
    let error = walk.error("E0032", span, "the time zone is said twice", format!("`CRON_TZ={name}` here"));
    error.other = Some(super::diagnostic::Place {
        file: file.name.clone(),
        source: Arc::clone(&file.text),
        span: key.clone(),
        label: "and here".into(),
    });
    error.help("keep one of the two; `timezone` holds for the whole job");
}

fn lints(text: &str, schedule: &Schedule, place: &Context<'_>) -> Vec<ScheduleError> {
    let whole = 0..text.len();
    let mut all = schedule::lints(text);
    let is_never = all.iter().any(|lint| lint.code == 202);
    if !is_never && !schedule.is_manual() && schedule.after(place.now).is_none() {
        let last = schedule.before(place.now).map(|at| schedule.zone().wall(at).format("%Y-%m-%d %H:%M:%S"));
        let label = last.map_or_else(|| "nothing to come".to_owned(), |last| format!("the last time was {last}"));
        let error = ScheduleError::new(202, whole.clone(), "this schedule never fires again", label);
        all.push(error.help("remove the job, or give it a new year"));
    }
    let lost = schedule.lost_days(place.now, place.now.plus(TWO_YEARS));
    // Whoever writes down these very rules means them.
    if !lost.is_empty() && place.rules != Rules::REAL_TIME {
        let days: Vec<String> = lost.iter().map(ToString::to_string).collect();
        let message = format!("a change of clocks in {} leaves this schedule no time on a day", schedule.zone().name());
        let label = format!("it does not run on {}", days.join(", "));
        all.push(ScheduleError::new(204, whole, message, label).help(
            "it follows real time, because its minute or hour begins with `*`; a fixed time would run after the gap",
        ));
    }
    all
}

fn touched(text: &str, schedule: &Schedule, place: &Context<'_>) -> Option<ScheduleError> {
    let sentences: Vec<String> = schedule
        .touched(place.now, place.now.plus(TWO_YEARS))
        .iter()
        .filter_map(|slot| {
            let what = match slot.shift.as_ref()?.kind {
                Change::Gap => "does not exist",
                Change::Overlap => "happens twice",
            };
            Some(format!("{} {what} on {}", slot.nominal.format("%H:%M"), slot.nominal.date()))
        })
        .collect();
    let message = format!("a change of clocks in {} touches this schedule", schedule.zone().name());
    let error = ScheduleError::new(204, 0..text.len(), message, sentences.join(", "));
    let error = error.help("move it away from there, or state dst_gap and dst_overlap to silence this");
    (!sentences.is_empty()).then_some(error)
}

/// Reads the value of `every`.
pub(super) fn every(walk: &mut Walk<'_>, zone: &Zone, value: &Value<'_>) -> Option<Arc<Schedule>> {
    let period = walk.duration("every", value)?;
    match Schedule::every(period, zone) {
        Ok(schedule) => Some(Arc::new(schedule)),
        Err(error) => {
            walk.error(&error.name(), value.span(), error.message, error.label);
            None
        }
    }
}

/// The schedule within the job's `start` and `end`, each a local date or a date and a time, both included.
pub(super) fn within(
    walk: &mut Walk<'_>,
    place: &Context<'_>,
    schedule: Arc<Schedule>,
    start: Option<&Value<'_>>,
    end: Option<&Value<'_>>,
) -> Option<Arc<Schedule>> {
    if start.is_none() && end.is_none() {
        return Some(schedule);
    }
    let read = |walk: &mut Walk<'_>, what: &str, value: Option<&Value<'_>>, day_time| {
        value.map(|value| limit(walk, what, value, day_time)).map_or(Ok(None), |found| found.map(Some).ok_or(()))
    };
    let first = read(walk, "start", start, NaiveTime::MIN);
    // A day that is included is included to its last second; schedules know no smaller unit.
    let last = read(walk, "end", end, NaiveTime::from_hms_opt(23, 59, 59).unwrap_or(NaiveTime::MIN));
    let (first, last) = (first.ok()?, last.ok()?);
    if let (Some(first), Some(last), Some(end)) = (first, last, end)
        && first > last
    {
        walk.error("E0033", end.span(), "`end` is before `start`", format!("{first} is when it starts"))
            .help("both are included: the same date twice is a window of one day");
        return None;
    }
    let windowed = (*schedule).clone().within(first, last);
    if let Some(end) = end.filter(|_| schedule.after(place.now).is_some() && windowed.after(place.now).is_none()) {
        walk.error("W0202", end.span(), "this schedule never fires again", "nothing to come before this")
            .help("remove the job, or move `end`");
    }
    Some(Arc::new(windowed))
}

/// A local date or date-time; a date alone stands for `day_time` on it.
fn limit(walk: &mut Walk<'_>, what: &str, value: &Value<'_>, day_time: NaiveTime) -> Option<NaiveDateTime> {
    let example = format!("as in `{what} = 2027-01-01`, or with a time: `{what} = 2027-01-01T06:00:00`");
    match value.get_ref() {
        DeValue::Datetime(at) if at.offset.is_none() && at.date.is_some() => {
            let text = at.to_string().replace(' ', "T");
            let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(day_time));
            let found = text.parse::<NaiveDateTime>().ok().or_else(day);
            let known = found.filter(|wall| (1970..2400).contains(&wall.year()));
            if known.is_none() {
                walk.error("E0031", value.span(), format!("`{what}` is too far away"), "must be in 1970 to 2399");
            }
            known
        }
        DeValue::Datetime(_) => {
            let message = format!("`{what}` is a local date, in the job's time zone");
            walk.error("E0031", value.span(), message, "has an offset, or no date").help(example);
            None
        }
        DeValue::String(text) if text.parse::<toml::value::Datetime>().is_ok() => {
            let with = text.to_string();
            walk.wrong_type(what, value, "a date").suggest("write it without quotes", value.span(), with);
            None
        }
        _ => {
            walk.wrong_type(what, value, "a date").help(example);
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

//! A schedule in plain English, and field by field.

use serde::Serialize;

use super::day::{Days, MonthDays, WeekDays};
use super::dialect::{self, Fields, Wanted};
use super::error::ScheduleError;
use super::field::{MONTH, Values, WEEKDAY};
use super::{Schedule, When, brief};

/// One field of a cron text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it stands for: `minute`, `day-of-week`.
    pub field: &'static str,
    /// What is written there; `*` where nothing is.
    pub text: String,
    /// The values it allows, in order, unless it allows all or those of the day fields depend on the month.
    pub values: Option<Vec<u32>>,
}

/// The fields of a cron text as written; none for a macro. `seed` decides what `H` stands for.
///
/// # Errors
/// What is wrong with the text.
pub fn parts(text: &str, seed: &str) -> Result<Vec<Part>, ScheduleError> {
    let Wanted::Times(fields) = dialect::read(text, seed)?.when else { return Ok(Vec::new()) };
    let words = dialect::field_words(text);
    let names = ["second", "minute", "hour", "day-of-month", "month", "day-of-week", "year"];
    let skip = usize::from(words.len() == 5);
    Ok(words
        .iter()
        .zip(&names[skip..])
        .filter(|_| words.len() >= 5)
        .map(|((word, _), field)| {
            let listed = |values: &Values| Some(values.iter().collect());
            let (month, week) = (&fields.days.month, &fields.days.week);
            let values = match *field {
                _ if *word == "*" || *word == "?" => None,
                "second" => listed(&fields.second.values),
                "minute" => listed(&fields.minute.values),
                "hour" => listed(&fields.hour.values),
                "month" => listed(&fields.month.values),
                "year" => listed(&fields.year.values),
                "day-of-month" => is_plain_month(month).then(|| bits(month.plain.into()).collect()),
                _ => is_plain_week(week).then(|| bits(week.plain.into()).collect()),
            };
            Part { field, text: (*word).to_owned(), values }
        })
        .collect())
}

/// A cron text, a macro or `@manual` in plain English: `At 02:30 every day`. `seed` decides what `H` stands for.
///
/// # Errors
/// What is wrong with the text.
pub fn describe(text: &str, seed: &str) -> Result<String, ScheduleError> {
    Ok(match dialect::read(text, seed)?.when {
        Wanted::Manual => "Only by hand".to_owned(),
        Wanted::Times(fields) => capital(&sentence(&fields)),
    })
}

impl Schedule {
    /// In plain English. `seed`, the job's name, decides what `H` stands for.
    pub fn words(&self, seed: &str) -> String {
        match &self.0.when {
            When::Manual => "Only by hand".to_owned(),
            When::Every(micros) => capital(&format!("every {}", period(micros.unsigned_abs() / 1_000_000))),
            When::Wall(..) => match self.0.text.strip_prefix("at ") {
                Some(at) => format!("Once, at {}", at.replace('T', " ")),
                None => describe(&self.0.text, seed).unwrap_or_default(),
            },
            When::Any(list) => {
                let place = |one: &Schedule| match one.zone() == self.zone() {
                    true => String::new(),
                    false => format!(" ({})", one.zone()),
                };
                let each: Vec<String> = list.iter().map(|one| one.words(seed) + &place(one)).collect();
                capital(&each.iter().map(|one| uncapital(one)).collect::<Vec<_>>().join(", or "))
            }
            When::Within(inner, start, end) => {
                let zone = self.zone();
                let show = |word: &str, at: &Option<crate::clock::Timestamp>| {
                    at.map(|at| format!(", {word} {}", zone.wall(at).format("%Y-%m-%d %H:%M:%S"))).unwrap_or_default()
                };
                format!("{}{}{}", inner.words(seed), show("from", start), show("until", end))
            }
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Sentences joined into one keep a capital only at its beginning.
fn uncapital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn sentence(fields: &Fields) -> String {
    let (time, daily) = time(fields);
    let days = days(&fields.days, &months(fields));
    let years = match fields.year.any {
        true => String::new(),
        false => format!(" {}", spanned(&fields.year.values, |year| year.to_string())),
    };
    match days {
        None if daily => format!("{time} every day{}{years}", after_comma(&months(fields))),
        None => format!("{time}{}{years}", after_comma(&months(fields))),
        Some(days) => format!("{time} {days}{years}"),
    }
}

fn after_comma(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" {text}") }
}

/// The time of day, and whether it names times rather than a rhythm.
fn time(fields: &Fields) -> (String, bool) {
    let values = |values: &Values| values.iter().collect::<Vec<u32>>();
    let (seconds, minutes, hours) =
        (values(&fields.second.values), values(&fields.minute.values), values(&fields.hour.values));
    let count = seconds.len() * minutes.len() * hours.len();
    if count <= 6 && hours.len() != 24 {
        let mut shown = Vec::new();
        for (hour, minute) in hours.iter().flat_map(|hour| minutes.iter().map(move |minute| (hour, minute))) {
            shown.extend(seconds.iter().map(|second| clock(*hour, *minute, *second, seconds == [0])));
        }
        return (format!("at {}", join(&shown)), true);
    }
    let to_the_second = seconds != [0];
    let mut text = match (rhythm(&seconds, 60), to_the_second) {
        (_, false) => String::new(),
        (Some(1), _) => "every second".to_owned(),
        (Some(step), _) => format!("every {step} seconds"),
        (None, _) if minutes.len() == 60 => {
            format!("at {} {} of every minute", plural("second", seconds.len()), numbers(&seconds))
        }
        (None, _) => format!("at {} {}", plural("second", seconds.len()), numbers(&seconds)),
    };
    let every_minute = minutes.len() == 60;
    if !(to_the_second && every_minute) {
        let minute = match rhythm(&minutes, 60) {
            Some(1) => "every minute".to_owned(),
            Some(step) if to_the_second && minutes.len() > 3 => format!("of every {} minute", ordinal(step)),
            Some(step) if !to_the_second => format!("every {step} minutes"),
            _ if to_the_second => format!("of {} {}", plural("minute", minutes.len()), numbers(&minutes)),
            _ if minutes == [0] => return on_the_hour(&hours),
            _ => format!("at {} {}", plural("minute", minutes.len()), numbers(&minutes)),
        };
        text = if text.is_empty() { minute } else { format!("{text} {minute}") };
    }
    let at_minutes = rhythm(&minutes, 60).is_none();
    text += &match run(&hours) {
        _ if hours.len() == 24 && at_minutes => " of every hour".to_owned(),
        _ if hours.len() == 24 => String::new(),
        Some((first, last)) => {
            let end = minutes.last().copied().unwrap_or(0);
            format!(" from {first:02}:{:02} to {last:02}:{end:02}", minutes.first().copied().unwrap_or(0))
        }
        None => match rhythm(&hours, 24) {
            Some(step) if hours.len() > 3 => format!(" of every {} hour", ordinal(step)),
            _ => format!(" of {} {}", plural("hour", hours.len()), numbers(&hours)),
        },
    };
    (text, false)
}

/// At minute 0 of these hours.
fn on_the_hour(hours: &[u32]) -> (String, bool) {
    match (rhythm(hours, 24), run(hours)) {
        (Some(1), _) => ("every hour".to_owned(), false),
        (Some(step), _) => (format!("every {step} hours"), false),
        (None, Some((first, last))) => (format!("every hour from {first:02}:00 to {last:02}:00"), false),
        (None, None) => {
            let shown: Vec<String> = hours.iter().map(|hour| clock(*hour, 0, 0, true)).collect();
            (format!("at {}", join(&shown)), true)
        }
    }
}

fn clock(hour: u32, minute: u32, second: u32, short: bool) -> String {
    if short { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

/// The months, in words; nothing when all.
fn months(fields: &Fields) -> String {
    if fields.month.any || (1..=12).all(|month| fields.month.values.contains(month)) {
        return String::new();
    }
    spanned(&fields.month.values, |month| name(MONTH_NAMES, month, MONTH.least))
}

/// The days, in words; `None` when all.
fn days(days: &Days, months: &str) -> Option<String> {
    let (month, week) = (&days.month, &days.week);
    let of =
        if months.is_empty() { " of the month".to_owned() } else { format!(" {}", months.replacen("in ", "of ", 1)) };
    let dates = || format!("on {}{of}", dates(month));
    // `*/1` and the like restrict nothing either, whatever the rules about two fields say.
    match (month.any, week.any) {
        (true, true) => None,
        (false, true) => Some(dates()),
        (true, false) => Some(weekdays(week, if months.is_empty() { "" } else { months })),
        (false, false) if week.and => Some(format!("{} if it is {}", dates(), weekday_names(week, "a ", " or "))),
        (false, false) => {
            let weekdays = format!("on every {}", weekday_names(week, "", " and "));
            let weekdays = if months.is_empty() { weekdays } else { format!("{weekdays} {months}") };
            Some(format!("{}, and {}", dates(), weekdays.replace("every the", "the")))
        }
    }
}

/// Days of the month: `the 1st and 15th`.
fn dates(days: &MonthDays) -> String {
    let mut all = Vec::new();
    let plain: Vec<u32> = bits(days.plain.into()).collect();
    match run(&plain) {
        Some((first, last)) => all.push(format!("{} to {}", ordinal(first), ordinal(last))),
        None => all.extend(plain.iter().map(|day| ordinal(*day))),
    }
    all.extend(bits(days.nearest.into()).map(|day| format!("weekday nearest the {}", ordinal(day))));
    if days.last {
        all.push("last day".to_owned());
    }
    if days.last_workday {
        all.push("last weekday".to_owned());
    }
    format!("the {}", join(&all))
}

/// `Monday to Friday`, `on Monday`, `on the first Monday of the month`, each with its months.
fn weekdays(days: &WeekDays, months: &str) -> String {
    let plain: Vec<u32> = bits(days.plain.into()).collect();
    if is_plain_week(days) && plain.len() == 7 {
        return if months.is_empty() { "every day".to_owned() } else { format!("every day {months}") };
    }
    let text = match week_run(&plain).filter(|_| is_plain_week(days)) {
        Some((first, last)) => format!("{} to {}", weekday(first), weekday(last)),
        None => format!("on {}", weekday_names(days, "", " and ")),
    };
    if months.is_empty() { text } else { format!("{text} {months}") }
}

fn weekday_names(days: &WeekDays, article: &str, or: &str) -> String {
    let plain: Vec<u32> = bits(days.plain.into()).collect();
    // The week of most readers begins on Monday.
    let mut sorted = plain;
    sorted.sort_by_key(|day| (*day + 6) % 7);
    let mut all: Vec<String> = sorted.into_iter().map(|day| format!("{article}{}", weekday(day))).collect();
    for (n, set) in days.nth.iter().enumerate() {
        all.extend(bits(u64::from(*set)).map(|day| format!("the {} {} of the month", NTH[n], weekday(day))));
    }
    all.extend(bits(days.last.into()).map(|day| format!("the last {} of the month", weekday(day))));
    let last = all.pop().unwrap_or_default();
    if all.is_empty() { last } else { format!("{}{or}{last}", all.join(", ")) }
}

const NTH: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];
const MONTH_NAMES: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAY_NAMES: &[&str] = &["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn weekday(day: u32) -> String {
    name(WEEKDAY_NAMES, day % 7, WEEKDAY.least)
}

fn name(names: &[&str], value: u32, least: u32) -> String {
    names.get((value - least) as usize).map_or_else(|| value.to_string(), |name| (*name).to_owned())
}

/// `in March`, `from March to May`, `in March and May`.
fn spanned(values: &Values, show: impl Fn(u32) -> String) -> String {
    let all: Vec<u32> = values.iter().collect();
    match run(&all) {
        Some((first, last)) => format!("from {} to {}", show(first), show(last)),
        None if all.len() > 12 => {
            let ends = all.first().zip(all.last());
            let (first, last) = ends.map_or_else(Default::default, |(first, last)| (show(*first), show(*last)));
            format!("in {} of the years from {first} to {last}", all.len())
        }
        None => format!("in {}", join(&all.iter().map(|value| show(*value)).collect::<Vec<_>>())),
    }
}

/// First and last of three or more neighbours.
fn run(values: &[u32]) -> Option<(u32, u32)> {
    let (first, last) = (*values.first()?, *values.last()?);
    (values.len() >= 3 && (last - first) as usize + 1 == values.len()).then_some((first, last))
}

/// The same around the end of the week: Friday to Sunday.
fn week_run(days: &[u32]) -> Option<(u32, u32)> {
    let has = |day: u32| days.contains(&(day % 7));
    let first = (1..=7).find(|day| has(*day) && !has(day + 6))?;
    let length = (0..7).take_while(|more| has(first + more)).count();
    (length == days.len() && length >= 3).then(|| (first % 7, (first + length as u32 - 1) % 7))
}

/// The step, when these are all its multiples and it divides the whole: a true rhythm.
fn rhythm(values: &[u32], size: u32) -> Option<u32> {
    let step = size / u32::try_from(values.len()).ok().filter(|count| *count > 1)?;
    let even = size.is_multiple_of(step) && values.len() as u32 * step == size;
    (even && values.iter().zip(0..).all(|(value, n)| *value == n * step)).then_some(step)
}

fn is_plain_month(days: &MonthDays) -> bool {
    !days.last && !days.last_workday && days.nearest == 0
}

fn is_plain_week(days: &WeekDays) -> bool {
    days.last == 0 && days.nth == [0; 5]
}

fn bits(set: u64) -> impl Iterator<Item = u32> {
    (0..64).filter(move |bit| set >> bit & 1 == 1)
}

fn numbers(values: &[u32]) -> String {
    match run(values) {
        Some((first, last)) => format!("{first} to {last}"),
        None => join(&values.iter().map(u32::to_string).collect::<Vec<_>>()),
    }
}

fn plural(word: &str, count: usize) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

fn join(all: &[String]) -> String {
    match all {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// A period in words: `10 minutes`, `minute`, else `1h30m`.
fn period(seconds: u64) -> String {
    for (word, size) in [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)] {
        if seconds >= size && seconds.is_multiple_of(size) {
            let count = seconds / size;
            return if count == 1 { word.to_owned() } else { format!("{count} {word}s") };
        }
    }
    brief(seconds)
}

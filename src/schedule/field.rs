//! One field of a cron text: from `*/5` or `MON-FRI` to the set of its values.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

use sha2::{Digest, Sha256};

use super::error::ScheduleError;

/// What one place in a cron text stands for.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    pub(super) least: u32,
    pub(super) most: u32,
    /// Names of the values, from `least` on.
    names: &'static [&'static str],
    /// Where `H` without limits falls.
    spread: RangeInclusive<u32>,
    /// Whether this is one of the two day fields, which know `?`.
    day: bool,
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const fn plain(name: &'static str, least: u32, most: u32) -> Unit {
    Unit { name, least, most, names: &[], spread: least..=most, day: false }
}

pub(super) const SECOND: Unit = plain("second", 0, 59);
pub(super) const MINUTE: Unit = plain("minute", 0, 59);
pub(super) const HOUR: Unit = plain("hour", 0, 23);
// `H` stays within the days that every month has.
pub(super) const DAY: Unit = Unit { spread: 1..=28, day: true, ..plain("day-of-month", 1, 31) };
pub(super) const MONTH: Unit = Unit { names: &MONTHS, ..plain("month", 1, 12) };
// 7 is Sunday as well; `Field::parse` folds it onto 0.
pub(super) const WEEKDAY: Unit = Unit { names: &WEEKDAYS, spread: 0..=6, day: true, ..plain("day-of-week", 0, 7) };
// The years that the calendar walker knows.
pub(super) const YEAR: Unit = plain("year", 1970, 2100);

/// The values that one field allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) values: BTreeSet<u32>,
    /// Whether it begins with `*` (or is `?`, or `H/n`): it restricts nothing, or follows real time.
    pub(super) star: bool,
}

impl Field {
    /// Reads `text`, which begins at byte `at` of the whole schedule; `seed` decides what `H` means.
    pub(super) fn parse(unit: &Unit, text: &str, at: usize, seed: &str) -> Result<Field, ScheduleError> {
        let mut values = BTreeSet::new();
        let mut start = at;
        for item in text.split(',') {
            let item = Item { unit, text: item, at: start, seed };
            values.extend(item.values()?);
            start += item.text.len() + 1;
        }
        if unit.name == WEEKDAY.name && values.remove(&7) {
            values.insert(0);
        }
        Ok(Field { values, star: text.starts_with(['*', '?']) || text.starts_with("H/") || text.starts_with("h/") })
    }

    /// A field of one value.
    pub(super) fn only(value: u32) -> Field {
        Field { values: BTreeSet::from([value]), star: false }
    }

    /// A field that allows everything.
    pub(super) fn all(unit: &Unit) -> Field {
        Field { values: (unit.least..=unit.most).collect(), star: true }
    }
}

/// One member of a comma-separated list, and where it stands.
struct Item<'a> {
    unit: &'a Unit,
    text: &'a str,
    at: usize,
    seed: &'a str,
}

impl Item<'_> {
    fn span(&self) -> Range<usize> {
        // An empty item has nothing to point at but the comma beside it.
        self.at..self.at + self.text.len().max(1)
    }

    fn values(&self) -> Result<Vec<u32>, ScheduleError> {
        if self.text.is_empty() {
            return Err(ScheduleError::new(105, self.span(), "an item of the list is empty", "nothing between commas")
                .help("remove the extra comma"));
        }
        let (base, step) = match self.text.split_once('/') {
            Some((base, step)) => (base, Some(self.step(step, self.at + base.len() + 1)?)),
            None => (self.text, None),
        };
        if let Some(spread) = self.spread(base)? {
            return Ok(self.hashed(spread, step));
        }
        let range = self.range(base, step)?;
        Ok(range.step_by(step.unwrap_or(1) as usize).collect())
    }

    fn step(&self, text: &str, at: usize) -> Result<u32, ScheduleError> {
        let span = at..at + text.len();
        match number(text) {
            Some(0) => Err(ScheduleError::new(106, span, "a step of 0 never moves on", "must be 1 or more")),
            Some(step) => Ok(step),
            None => Err(ScheduleError::new(106, self.span(), format!("`{}` has no valid step", self.text), "the step")
                .help("write a whole number after the slash, as in `*/5`")),
        }
    }

    fn range(&self, base: &str, step: Option<u32>) -> Result<RangeInclusive<u32>, ScheduleError> {
        let unit = self.unit;
        if base == "*" || (base == "?" && unit.day && self.text == "?") {
            // 7 is Sunday again: without it steps over the week count seven days.
            let most = if unit.name == WEEKDAY.name { 6 } else { unit.most };
            return Ok(unit.least..=most);
        }
        let Some((first, last)) = base.split_once('-') else {
            let only = self.value(base, self.at)?;
            if step.is_some() {
                return Err(self.step_without_end(base));
            }
            return Ok(only..=only);
        };
        let low = self.value(first, self.at)?;
        let mut high = self.value(last, self.at + first.len() + 1)?;
        if unit.name == WEEKDAY.name && last.eq_ignore_ascii_case("SUN") {
            high = 7;
        }
        if low > high {
            return Err(ScheduleError::new(103, self.span(), format!("the range {base} runs backwards"), "from > to")
                .help(format!("write both parts: `{first}-{},{}-{last}`", unit.most, unit.least)));
        }
        Ok(low..=high)
    }

    fn step_without_end(&self, base: &str) -> ScheduleError {
        let step = &self.text[base.len()..];
        let message = format!("`{}` has a step but no end", self.text);
        ScheduleError::new(104, self.span(), message, "programs disagree on what this means")
            .help(format!("write `{base}-{}{step}`, or `{base}` alone", self.unit.most))
    }

    fn value(&self, text: &str, at: usize) -> Result<u32, ScheduleError> {
        let unit = self.unit;
        let span = at..at + text.len();
        if text.is_empty() {
            let message = format!("`{}` is not a range", self.text);
            return Err(ScheduleError::new(105, self.span(), message, "a range needs both ends"));
        }
        if text.bytes().all(|c| c.is_ascii_digit()) {
            let value = number(text).filter(|value| (unit.least..=unit.most).contains(value));
            return value.ok_or_else(|| self.out_of_range(text, span));
        }
        if let Some(found) = unit.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(unit.least + found as u32);
        }
        Err(self.strange(text, span))
    }

    fn out_of_range(&self, text: &str, span: Range<usize>) -> ScheduleError {
        let Unit { name, least, most, .. } = self.unit;
        let error = ScheduleError::new(
            102,
            span,
            format!("{text} is not a valid {name}"),
            format!("{name} must be {least}-{most}"),
        );
        match (*name, text) {
            ("hour", "24") => error.help("midnight is hour 0"),
            ("minute" | "second", "60") => error.help(format!("the next full {name} is {name} 0")),
            _ => error,
        }
    }

    fn strange(&self, text: &str, span: Range<usize>) -> ScheduleError {
        let unit = self.unit;
        let later = unit.day && (text.contains('#') || text.starts_with('+') || text.ends_with(['L', 'l', 'W', 'w']));
        if text.contains('~') {
            let message = "`~` picks a random value, and replicas must agree";
            return ScheduleError::new(114, span, message, "differs from replica to replica")
                .help("write `H`, or `H(a-b)` for a range: spread by the job's name, equal everywhere");
        }
        if later {
            return ScheduleError::new(110, span, format!("`{text}` is not supported by this version"), "not yet");
        }
        if !text.bytes().all(|c| c.is_ascii_alphabetic()) {
            let message = format!("`{text}` is not a {}", unit.name);
            return ScheduleError::new(108, span, message, "only numbers, names, `*`, `,`, `-` and `/`");
        }
        let error = ScheduleError::new(107, span, format!("unknown {} `{text}`", unit.name), "not a name known here");
        match unit.names {
            [] => error.help(format!("a {} is a number, {}-{}", unit.name, unit.least, unit.most)),
            names => error.help(format!("the names are {}", names.join(", "))),
        }
    }

    /// The limits of `H` or `H(a-b)`; `None` when this is something else.
    fn spread(&self, base: &str) -> Result<Option<RangeInclusive<u32>>, ScheduleError> {
        let Some(rest) = base.strip_prefix(['H', 'h']) else { return Ok(None) };
        if rest.is_empty() {
            return Ok(Some(self.unit.spread.clone()));
        }
        let Some(limits) = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return Ok(None) };
        if !limits.contains('-') {
            return Err(ScheduleError::new(105, self.span(), format!("`{base}` needs a range"), "as in `H(2-5)`"));
        }
        let inner = Item { text: limits, at: self.at + 2, ..*self };
        inner.range(limits, None).map(Some)
    }

    fn hashed(&self, spread: RangeInclusive<u32>, step: Option<u32>) -> Vec<u32> {
        let (low, high) = spread.into_inner();
        let size = high - low + 1;
        let hash = hash(self.seed, self.unit.name);
        let pick = |room: u32| low + (hash % u64::from(room)) as u32;
        match step {
            None => vec![pick(size)],
            Some(step) => (pick(step.min(size))..=high).step_by(step as usize).collect(),
        }
    }
}

/// A whole number of at most nine ASCII digits.
fn number(text: &str) -> Option<u32> {
    let good = (1..=9).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

/// Equal on every replica, build and machine.
fn hash(seed: &str, unit: &str) -> u64 {
    let digest = Sha256::new().chain_update(unit).chain_update([0]).chain_update(seed).finalize();
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

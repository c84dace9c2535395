//! One field of a cron text: from `*/5` or `MON-FRI` to the set of its values.

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
    pub(super) names: &'static [&'static str],
    /// Where `H` without limits falls.
    spread: RangeInclusive<u32>,
    /// Whether this is one of the two day fields, which know `?`.
    pub(super) day: bool,
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
// 7 is Sunday as well; `Values::week` folds it onto 0.
pub(super) const WEEKDAY: Unit = Unit { names: &WEEKDAYS, spread: 0..=6, day: true, ..plain("day-of-week", 0, 7) };
// Together with 1970 a whole turn of 400 years of the Gregorian calendar.
pub(super) const YEAR: Unit = plain("year", 1970, 2399);

/// A set of values of one unit, kept as bits: a text of a thousand ranges costs no more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Values {
    least: u32,
    bits: [u64; 7],
}

impl Values {
    pub(super) fn none(unit: &Unit) -> Values {
        Values { least: unit.least, bits: [0; 7] }
    }

    /// All values of the unit.
    fn all(unit: &Unit) -> Values {
        let count = unit.most - unit.least + 1;
        let bits = std::array::from_fn(|word| match count.saturating_sub(word as u32 * 64) {
            0 => 0,
            left => u64::MAX >> (64 - left.min(64)),
        });
        Values { least: unit.least, bits }
    }

    pub(super) fn insert(&mut self, value: u32) {
        let at = value.saturating_sub(self.least);
        if let Some(word) = self.bits.get_mut((at / 64) as usize) {
            *word |= 1 << (at % 64);
        }
    }

    pub(super) fn contains(&self, value: u32) -> bool {
        let at = value.checked_sub(self.least);
        at.is_some_and(|at| self.bits.get((at / 64) as usize).is_some_and(|word| word >> (at % 64) & 1 == 1))
    }

    /// The least and the most of them.
    pub(super) fn ends(&self) -> Option<(u32, u32)> {
        let first = self.bits.iter().position(|word| *word != 0)? as u32;
        let last = self.bits.iter().rposition(|word| *word != 0)? as u32;
        let (low, high) = (self.bits[first as usize].trailing_zeros(), 63 - self.bits[last as usize].leading_zeros());
        Some((self.least + first * 64 + low, self.least + last * 64 + high))
    }

    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        let Values { least, bits } = *self;
        let ones = |(index, word): (usize, u64)| {
            let next = |rest: &u64| Some(rest & rest.wrapping_sub(1)).filter(|rest| *rest != 0);
            let words = std::iter::successors(Some(word).filter(|word| *word != 0), next);
            words.map(move |rest| index as u32 * 64 + rest.trailing_zeros())
        };
        bits.into_iter().enumerate().flat_map(ones).map(move |at| at + least)
    }

    /// The values as bits of a number: value n is bit n. For units that fit.
    pub(super) fn mask(&self) -> u64 {
        self.bits[0] << self.least
    }

    /// The same with 7, Sunday again, folded onto 0.
    pub(super) fn week(&self) -> u8 {
        let mask = self.mask();
        (mask & 0x7f | mask >> 7 & 1) as u8
    }
}

/// The values that one field allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) values: Values,
    /// Whether it begins with `*` (or is `H/n`): such a minute or hour follows real time.
    pub(super) star: bool,
    /// Whether it is `*` or `?`: it restricts nothing.
    pub(super) any: bool,
}

impl Field {
    /// Reads `text`, which begins at byte `at` of the whole schedule; `seed` decides what `H` means.
    pub(super) fn parse(unit: &Unit, text: &str, at: usize, seed: &str) -> Result<Field, ScheduleError> {
        if text == "*" {
            return Ok(Field::all(unit));
        }
        let mut values = Values::none(unit);
        for item in Item::all(unit, text, at, seed) {
            item.values()?.into_iter().for_each(|value| values.insert(value));
        }
        let star = text.starts_with('*') || text.starts_with("H/") || text.starts_with("h/");
        Ok(Field { values, star, any: text == "*" || text == "?" })
    }

    /// A field of one value.
    pub(super) fn only(unit: &Unit, value: u32) -> Field {
        let mut values = Values::none(unit);
        values.insert(value);
        Field { values, star: false, any: false }
    }

    /// A field that allows everything.
    pub(super) fn all(unit: &Unit) -> Field {
        Field { values: Values::all(unit), star: true, any: true }
    }
}

/// One member of a comma-separated list, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) unit: &'a Unit,
    pub(super) text: &'a str,
    pub(super) at: usize,
    /// The list begins here.
    start: usize,
    pub(super) seed: &'a str,
}

impl<'a> Item<'a> {
    /// The members of the list `text`, which begins at byte `at`.
    pub(super) fn all(unit: &'a Unit, text: &'a str, at: usize, seed: &'a str) -> impl Iterator<Item = Item<'a>> {
        let (start, mut at) = (at, at);
        text.split(',').map(move |text| {
            let item = Item { unit, text, at, start, seed };
            at += text.len() + 1;
            item
        })
    }

    pub(super) fn span(&self) -> Range<usize> {
        // An empty item has nothing to point at but a comma beside it.
        match self.text.len() {
            0 if self.at > self.start => self.at - 1..self.at,
            length => self.at..self.at + length.max(1),
        }
    }

    pub(super) fn values(&self) -> Result<Vec<u32>, ScheduleError> {
        if self.text.is_empty() {
            return Err(ScheduleError::new(105, self.span(), "an item of the list is empty", "nothing between commas")
                .help("remove the extra comma"));
        }
        let (base, step) = match self.text.split_once('/') {
            Some((base, step)) => (base, Some(self.step(step, self.at + base.len() + 1)?)),
            None => (self.text, None),
        };
        if let Some(spread) = self.spread(base)? {
            return Ok(self.hashed(&spread, step));
        }
        let range = self.range(base, step)?;
        Ok(range.into_iter().step_by(step.unwrap_or(1) as usize).collect())
    }

    fn step(&self, text: &str, at: usize) -> Result<u32, ScheduleError> {
        let span = at..at + text.len();
        match number(text) {
            Some(0) => Err(ScheduleError::new(106, span, "a step of 0 never moves on", "must be 1 or more")
                .help("`*/5` is every fifth; for each of them leave the step out")),
            Some(step) => Ok(step),
            None => Err(ScheduleError::new(106, self.span(), format!("`{}` has no valid step", self.text), "the step")
                .help("write a whole number after the slash, as in `*/5`")),
        }
    }

    /// The values of a range, a single value or `*`, in the order in which they were meant.
    fn range(&self, base: &str, step: Option<u32>) -> Result<Vec<u32>, ScheduleError> {
        let unit = self.unit;
        // 7 is Sunday again: without it steps over the week would count eight days.
        let most = if unit.name == WEEKDAY.name { 6 } else { unit.most };
        if base == "*" || (base == "?" && unit.day && self.text == "?") {
            return Ok((unit.least..=most).collect());
        }
        let Some((first, last)) = base.split_once('-') else {
            let only = self.value(base, self.at)?;
            if step.is_some() {
                return Err(self.step_without_end(base));
            }
            return Ok(vec![only]);
        };
        let low = self.value(first, self.at)?;
        let high = self.value(last, self.at + first.len() + 1)?;
        if low <= high {
            return Ok((low..=high).collect());
        }
        // Names say which way round is meant: Friday to Monday is a long weekend.
        if !first.starts_with(|c: char| c.is_ascii_digit()) && !last.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok((low..=most).chain(unit.least..=high).collect());
        }
        let mut error = ScheduleError::new(103, self.span(), format!("the range {base} runs backwards"), "from > to");
        error = match unit.names {
            _ if step.is_some() => error.help("write the values, or a range that goes up"),
            [] => error.help(format!("write both parts: `{first}-{most},{}-{last}`", unit.least)),
            names => {
                let name = |value: u32| names.get((value - unit.least) as usize).unwrap_or(&"SUN");
                error.help(format!("with names it may: `{}-{}`", name(low), name(high)))
            }
        };
        Err(error)
    }

    fn step_without_end(&self, base: &str) -> ScheduleError {
        let step = &self.text[base.len()..];
        let message = format!("`{}` has a step but no end", self.text);
        ScheduleError::new(104, self.span(), message, "programs disagree on what this means")
            .help(format!("write `{base}-{}{step}`, or `{base}` alone", self.unit.most))
    }

    /// A number or a name of the unit; `text` begins at byte `at`.
    pub(super) fn value(&self, text: &str, at: usize) -> Result<u32, ScheduleError> {
        let unit = self.unit;
        let span = at..at + text.len();
        if text.is_empty() {
            let message = format!("`{}` is not a range", self.text);
            return Err(ScheduleError::new(105, self.span(), message, "a range needs both ends")
                .help(format!("as in `{}-{}`", unit.least, unit.most)));
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
        if text.contains('~') {
            let message = "`~` picks a random value, and replicas must agree";
            return ScheduleError::new(114, span, message, "differs from replica to replica")
                .help("write `H`, or `H(a-b)` for a range: spread by the job's name, equal everywhere");
        }
        if text == "?" && unit.day {
            return ScheduleError::new(108, self.span(), "`?` stands alone", "with no step and in no list")
                .help("write `*`");
        }
        if text == "?" {
            let message = format!("`?` stands for any day, not for any {}", unit.name);
            return ScheduleError::new(108, span, message, "only in the two day fields").help("write `*`");
        }
        if !text.bytes().all(|c| c.is_ascii_alphabetic()) {
            let message = format!("`{text}` is not a {}", unit.name);
            let error = ScheduleError::new(108, span, message, "only numbers, names, `*`, `,`, `-` and `/`");
            return match text.strip_prefix('*').filter(|rest| number(rest).is_some()) {
                Some(rest) => error.help(format!("for every {rest}th write `*/{rest}`")),
                None => error,
            };
        }
        let error = ScheduleError::new(107, span, format!("unknown {} `{text}`", unit.name), "not a name known here");
        match unit.names {
            [] => error.help(format!("a {} is a number, {}-{}", unit.name, unit.least, unit.most)),
            names => {
                let short = text.get(..3).filter(|short| names.iter().any(|name| name.eq_ignore_ascii_case(short)));
                match short {
                    Some(short) => error.help(format!("names have three letters: `{}`", short.to_ascii_uppercase())),
                    None => error.help(format!("the names are {}", names.join(", "))),
                }
            }
        }
    }

    /// The values that `H` or `H(a-b)` picks from; `None` when this is something else.
    fn spread(&self, base: &str) -> Result<Option<Vec<u32>>, ScheduleError> {
        let Some(rest) = base.strip_prefix(['H', 'h']) else { return Ok(None) };
        if rest.is_empty() {
            return Ok(Some(self.unit.spread.clone().collect()));
        }
        let Some(limits) = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) else { return Ok(None) };
        if !limits.contains('-') {
            return Err(ScheduleError::new(105, self.span(), format!("`{base}` needs a range"), "as in `H(2-5)`"));
        }
        let inner = Item { text: limits, at: self.at + 2, ..*self };
        inner.range(limits, None).map(Some)
    }

    fn hashed(&self, spread: &[u32], step: Option<u32>) -> Vec<u32> {
        let hash = hash(self.seed, self.unit.name);
        let step = step.map_or(spread.len(), |step| step as usize);
        let first = (hash % step.min(spread.len()).max(1) as u64) as usize;
        spread.iter().skip(first).step_by(step).copied().collect()
    }
}

/// A whole number of at most nine ASCII digits.
pub(super) fn number(text: &str) -> Option<u32> {
    let good = (1..=9).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

/// Equal on every replica, build and machine.
fn hash(seed: &str, unit: &str) -> u64 {
    let digest = Sha256::new().chain_update(unit).chain_update([0]).chain_update(seed).finalize();
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

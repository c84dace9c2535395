//! The five fields of an entry, by the grammar of Vixie's cron and cronie, in the words of our dialect.

use std::ops::RangeInclusive;

/// A schedule in our dialect that means what the fields meant.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) text: String,
    pub(super) notes: Vec<String>,
}

struct Unit {
    name: &'static str,
    limits: RangeInclusive<u32>,
    /// Names of the values, from the least on.
    names: &'static [&'static str],
}

const UNITS: [Unit; 5] = [
    Unit { name: "minute", limits: 0..=59, names: &[] },
    Unit { name: "hour", limits: 0..=23, names: &[] },
    Unit { name: "day-of-month", limits: 1..=31, names: &[] },
    Unit {
        name: "month",
        limits: 1..=12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Unit { name: "day-of-week", limits: 0..=7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// A field as read: in our words, and the values it allows as bits.
struct Field {
    text: String,
    values: u64,
    /// Whether it begins with `*`, which decides how the two day fields go together.
    star: bool,
    random: bool,
}

impl Field {
    /// Whether it allows every value of its unit.
    fn is_full(&self, unit: &Unit) -> bool {
        let all: u64 = unit.limits.clone().map(|value| 1 << value).sum();
        let is_sunday_twice = unit.name == "day-of-week" && self.values & (1 | 1 << 7) != 0;
        let values = if is_sunday_twice { self.values | 1 | 1 << 7 } else { self.values };
        !self.random && values == all
    }
}

/// Says in our dialect what the five fields of a crontab mean.
///
/// # Errors
/// Why cron refuses them, or why their meaning is not certain.
pub(super) fn translate(five: [&str; 5]) -> Result<Times, String> {
    let mut fields = Vec::new();
    for (unit, text) in UNITS.iter().zip(five) {
        fields.push(field(unit, text)?);
    }
    let mut notes = Vec::new();
    if fields.iter().any(|field| field.random) {
        notes.push("`~` became `H`: spread by the job's name, the same on every replica and after each start".into());
    }
    let [minute, hour, day, month, weekday] = &fields[..] else { return Err("five fields are needed".into()) };
    let (any_day, any_weekday) = (day.is_full(&UNITS[2]), weekday.is_full(&UNITS[4]));
    // A field that begins with `*` joins the other with AND, whatever follows the star; else either may match.
    let both = day.star || weekday.star;
    let (day, weekday) = match (any_day, any_weekday) {
        (true, true) => ("*".to_owned(), "*".to_owned()),
        (true, false) if both => ("*".to_owned(), weekday.text.clone()),
        (false, true) if both => (day.text.clone(), "*".to_owned()),
        (true, false) | (false, true) => ("*".to_owned(), "*".to_owned()),
        (false, false) if both => {
            notes.push(
                "a day must match both day-of-month and day-of-week, because one of them begins with `*`: here that \
                 is written `+`"
                    .into(),
            );
            (day.text.clone(), format!("+{}", weekday.text))
        }
        (false, false) => (day.text.clone(), weekday.text.clone()),
    };
    let text = format!("{} {} {day} {} {weekday}", minute.text, hour.text, month.text);
    Ok(Times { text, notes })
}

fn field(unit: &Unit, text: &str) -> Result<Field, String> {
    let mut whole = Field { text: String::new(), values: 0, star: text.starts_with('*'), random: false };
    for (n, item) in text.split(',').enumerate() {
        if n > 0 {
            whole.text.push(',');
        }
        if item.contains('~') {
            whole.random = true;
            whole.text += &random(unit, item)?;
        } else {
            whole.values |= values(unit, item)?;
            whole.text += item;
        }
    }
    Ok(whole)
}

/// `a~b`: somewhere within; either end may be left out.
fn random(unit: &Unit, item: &str) -> Result<String, String> {
    if item.contains('/') {
        return Err(format!("`{item}` is a random range with a step, which crons read in different ways"));
    }
    let (low, high) = item.split_once('~').unwrap_or((item, ""));
    // The week's eighth day is its first.
    let (least, most) =
        (*unit.limits.start(), (*unit.limits.end()).min(if unit.name == "day-of-week" { 6 } else { 59 }));
    let end = |text: &str, open: u32| if text.is_empty() { Ok(open) } else { value(unit, text) };
    let (low, high) = (end(low, least)?, end(high, most)?);
    if low > high {
        return Err(format!("cron refuses `{item}`: it runs backwards"));
    }
    Ok(format!("H({low}-{high})"))
}

/// The values of one item without chance, as bits.
fn values(unit: &Unit, item: &str) -> Result<u64, String> {
    let (base, step) = item.split_once('/').map_or((item, None), |(base, step)| (base, Some(step)));
    let range = match base.split_once('-') {
        _ if base == "*" => unit.limits.clone(),
        Some((low, high)) => {
            let (low, high) = (value(unit, low)?, value(unit, high)?);
            if low > high {
                let (least, most) = (unit.limits.start(), unit.limits.end());
                // Sunday is the week's eighth day as well.
                let round = match (unit.name, high) {
                    ("day-of-week", 0) => format!("{low}-7"),
                    _ => format!("{low}-{most},{least}-{high}"),
                };
                return Err(format!(
                    "`{base}` runs backwards, which most crons refuse: if it should go round, write `{round}`"
                ));
            }
            low..=high
        }
        None if step.is_some() => {
            return Err(format!(
                "programs disagree on `{item}`: write `{base}-{}/{}`, or `{base}` alone",
                unit.limits.end(),
                step.unwrap_or("1")
            ));
        }
        None => {
            let only = value(unit, base)?;
            only..=only
        }
    };
    let step = match step {
        None => 1,
        Some(step) => number(step).filter(|step| *step > 0).ok_or(format!("`{item}` has no step that cron takes"))?,
    };
    Ok(range.step_by(step as usize).fold(0, |all, value| all | 1 << value))
}

fn value(unit: &Unit, text: &str) -> Result<u32, String> {
    let named = || {
        let n = unit.names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
        Some(unit.limits.start() + u32::try_from(n).ok()?)
    };
    let found = number(text).or_else(named).filter(|value| unit.limits.contains(value));
    found.ok_or_else(|| {
        let (least, most) = (unit.limits.start(), unit.limits.end());
        format!(
            "cron knows no {} `{text}`: {least}-{most}{}",
            unit.name,
            if unit.names.is_empty() { "" } else { " or a name" }
        )
    })
}

/// A whole number of at most nine ASCII digits.
fn number(text: &str) -> Option<u32> {
    let good = (1..=9).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Result<Times, String> {
        let five: Vec<&str> = text.split(' ').collect();
        translate(five.try_into().unwrap())
    }

    #[test]
    fn what_both_dialects_say_alike_stays_as_it_is() {
        for text in ["* * * * *", "*/5 1-5/2 1,15 jan-MAR Mon", "05 00 * * 7", "0 0 13 * fri", "0-59/10,3 * * * 5-7"] {
            let times = said(text).unwrap();
            assert_eq!((times.text.as_str(), times.notes.len()), (text, 0));
        }
    }

    #[test]
    fn the_two_day_fields_mean_what_they_meant() {
        for (text, wanted) in [
            // The star joins them with AND.
            ("0 0 */2 * mon", "0 0 */2 * +mon"),
            ("0 0 1-7 * */2", "0 0 1-7 * +*/2"),
            ("0 0 *,5 * mon", "0 0 * * mon"),
            ("0 0 */1 * mon", "0 0 * * mon"),
            ("0 0 13 * */1", "0 0 13 * *"),
            // No star: either matches, so a full one makes every day.
            ("0 0 1-31 * mon", "0 0 * * *"),
            ("0 0 5 * 0-7", "0 0 * * *"),
            ("0 0 5 * 1-7", "0 0 * * *"),
        ] {
            assert_eq!(said(text).unwrap().text, wanted, "{text}");
        }
    }

    #[test]
    fn chance_is_spread_by_name_instead() {
        for (text, wanted) in [
            ("0~30 * * * *", "H(0-30) * * * *"),
            ("~ ~5 20~ * *", "H(0-59) H(0-5) H(20-31) * *"),
            ("0 0 * jan~mar ~", "0 0 * H(1-3) H(0-6)"),
            ("0~10,30 * * * *", "H(0-10),30 * * * *"),
        ] {
            let times = said(text).unwrap();
            assert_eq!((times.text.as_str(), times.notes.len()), (wanted, 1), "{text}");
        }
    }

    #[test]
    fn what_cron_refuses_or_programs_disagree_on_says_why() {
        for (text, word) in [
            ("60 * * * *", "minute `60`"),
            ("* 22-2 * * *", "22-23,0-2"),
            ("* * * * sat-sun", "write `6-7`"),
            ("5/15 * * * *", "5-59/15"),
            ("*/0 * * * *", "no step"),
            ("*/x * * * *", "no step"),
            ("* * L * *", "day-of-month `L`"),
            ("* * ? * *", "day-of-month `?`"),
            ("* * * * 1#2", "day-of-week `1#2`"),
            ("1,,2 * * * *", "minute ``"),
            ("30~10 * * * *", "backwards"),
            ("~/5 * * * *", "a random range with a step"),
            ("*-5 * * * *", "minute `*`"),
            ("monday * * * *", "minute `monday`"),
            ("* * * * monday", "day-of-week `monday`"),
            ("é * * * *", "minute `é`"),
        ] {
            let why = said(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
    }
}

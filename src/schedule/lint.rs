//! What is worth a second look about a cron text that is not wrong.

use super::dialect::{self, Wanted};
use super::error::ScheduleError;
use super::field::{HOUR, MINUTE, SECOND, Unit, number};
use super::pattern::Pattern;

/// Things to look at in a cron text that can be used as it is. Their codes are 201 to 299.
pub fn lints(text: &str) -> Vec<ScheduleError> {
    let mut found = Vec::new();
    let Ok(said) = dialect::read(text, "") else { return found };
    let Wanted::Times(fields) = said.when else { return found };
    let words = dialect::field_words(text);
    let whole = words.first().map_or(0, |(_, at)| *at)..text.trim_ascii_end().len();
    if matches!(Pattern::new(&fields), Pattern::Never) {
        found.push(
            ScheduleError::new(202, whole.clone(), "this schedule never fires", "no date from 1970 to 2399 matches")
                .help("for a job that is only started by hand write \"@manual\""),
        );
    }
    if fields.days.either() {
        let message = "day-of-month and day-of-week are both set: it runs when either matches";
        found.push(ScheduleError::new(208, whole, message, "as in classic cron").help(both(&words)));
    }
    found.extend(uneven(&words));
    found
}

/// How to say that both must match, and how to say plainly that either does.
fn both(words: &[(&str, usize)]) -> String {
    // Counted from the front: a year may follow.
    let weekday = words.get(if words.len() == 5 { 4 } else { 5 }).map_or("", |(word, _)| word);
    format!("for days that match both write `+{weekday}`; if either is meant, say so with two schedules in a list")
}

/// Steps that do not divide their field, so that the last pause is a shorter one.
fn uneven(words: &[(&str, usize)]) -> Vec<ScheduleError> {
    let units: &[&Unit] = if words.len() == 5 { &[&MINUTE, &HOUR] } else { &[&SECOND, &MINUTE, &HOUR] };
    let mut found = Vec::new();
    for (unit, (word, at)) in units.iter().zip(words) {
        let Some(step) = word.strip_prefix("*/").and_then(number) else { continue };
        let size = unit.most + 1;
        if size % step == 0 {
            continue;
        }
        let last = (size - 1) / step * step;
        let message = format!("`{word}` does not divide the {}: the pauses are not all equal", whole_of(unit));
        let label = match last {
            0 => format!("only {} 0", unit.name),
            _ => format!("after {} {last} comes {} 0", unit.name, unit.name),
        };
        let error = ScheduleError::new(209, *at..at + word.len(), message, label);
        // A period follows no other field.
        let free = words.iter().all(|(other, start)| *other == "*" || start <= at);
        found.push(match free {
            true => error
                .help(format!("for a real period write `every = \"{step}{}\"` in place of `schedule`", letter(unit))),
            false => error.help(format!("a step that divides {size} gives equal pauses; or name the values")),
        });
    }
    found
}

fn whole_of(unit: &Unit) -> &'static str {
    match unit.name {
        "second" => "minute",
        "minute" => "hour",
        _ => "day",
    }
}

fn letter(unit: &Unit) -> &'static str {
    match unit.name {
        "second" => "s",
        "minute" => "m",
        _ => "h",
    }
}

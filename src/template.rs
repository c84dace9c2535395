//! Texts with places to fill in: `{{ name }}` or `{{ name | filter }}`, and nothing more.
//!
//! ```
//! # use cronclave::template::{Values, check, fill};
//! assert!(check("invoices.{{ scheduled_at | date }}").is_ok());
//! assert!(check("{{ scheduledat }}").is_err());
//! let values = Values { job: "close", scheduled_at: Some("2027-03-27T23:00:00Z".parse().unwrap()), ..Values::default() };
//! assert_eq!(fill("invoices.{{ scheduled_at | date }}", &values), "invoices.2027-03-27");
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::clock::Timestamp;

/// What places may name, besides `args.NAME`.
pub const NAMES: [&str; 10] = [
    "job",
    "run_id",
    "attempt",
    "scheduled_at",
    "started_at",
    "last_success_at",
    "fencing_token",
    "trigger",
    "cluster",
    "replica",
];

/// What a value may go through, besides `default:"x"`.
pub const FILTERS: [&str; 6] = ["date", "time", "unix", "iso", "json", "urlencode"];

/// What is filled in. Instants are shown in UTC.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "each is the place of its name")]
pub struct Values<'a> {
    pub job: &'a str,
    pub run_id: String,
    pub attempt: u32,
    pub scheduled_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub last_success_at: Option<Timestamp>,
    pub fencing_token: u64,
    pub trigger: &'a str,
    pub cluster: &'a str,
    pub replica: &'a str,
    pub args: Option<&'a BTreeMap<String, String>>,
}

/// A place that cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misplaced {
    /// Where it stands in the text, in bytes.
    pub at: Range<usize>,
    /// What is wrong with it.
    pub why: String,
    /// What was probably meant.
    pub meant: Option<&'static str>,
}

/// One place, taken apart.
struct Place<'a> {
    name: &'a str,
    filter: Option<Filter<'a>>,
}

enum Filter<'a> {
    Named(&'a str),
    Default(&'a str),
}

/// Checks every place of a text.
///
/// # Errors
/// The first that names what is not known, or has no end.
pub fn check(text: &str) -> Result<(), Misplaced> {
    places(text).try_for_each(|place| place.map(|_| ()))
}

/// The text with its places filled in. What cannot be filled in stays as it is: see [`check`].
pub fn fill(text: &str, values: &Values<'_>) -> String {
    let (mut filled, mut done) = (String::new(), 0);
    for (at, place) in places(text).map_while(Result::ok) {
        filled += &text[done..at.start];
        filled += &value(&place, values);
        done = at.end;
    }
    filled + &text[done..]
}

fn places(text: &str) -> impl Iterator<Item = Result<(Range<usize>, Place<'_>), Misplaced>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text[from..].find("{{")?;
        let Some(length) = text[start..].find("}}") else {
            from = text.len();
            return Some(Err(Misplaced { at: start..text.len(), why: "`{{` without `}}`".into(), meant: None }));
        };
        from = start + length + 2;
        let inside = start + 2..from - 2;
        Some(place(text, inside).map(|place| (start..from, place)))
    })
}

fn place(text: &str, at: Range<usize>) -> Result<Place<'_>, Misplaced> {
    let inside = &text[at.clone()];
    let (name, filter) = match inside.split_once('|') {
        Some((name, filter)) => (name.trim(), Some(filter.trim())),
        None => (inside.trim(), None),
    };
    let spot = |word: &str| {
        let start = at.start + inside.find(word).unwrap_or(0);
        start..start + word.len()
    };
    let is_argument = name.strip_prefix("args.").is_some_and(|name| !name.is_empty());
    if !is_argument && !NAMES.contains(&name) {
        let known = format!("known are {}, args.NAME", NAMES.join(", "));
        return Err(Misplaced {
            at: spot(name),
            why: format!("`{name}` cannot be filled in: {known}"),
            meant: nearest(name, &NAMES),
        });
    }
    let filter = match filter {
        None => None,
        Some(word) if FILTERS.contains(&word) => Some(Filter::Named(word)),
        Some(word) => {
            let quoted = word.strip_prefix("default:").map(str::trim);
            let Some(default) = quoted.and_then(|text| text.strip_prefix('"')?.strip_suffix('"')) else {
                let why = format!("no filter `{word}`: known are {}, default:\"x\"", FILTERS.join(", "));
                return Err(Misplaced { at: spot(word), why, meant: nearest(word, &FILTERS) });
            };
            Some(Filter::Default(default))
        }
    };
    Ok(Place { name, filter })
}

fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    known.iter().copied().find(|one| strsim::damerau_levenshtein(word, one) <= 2)
}

fn value(place: &Place<'_>, values: &Values<'_>) -> String {
    let instant = match place.name {
        "scheduled_at" => values.scheduled_at,
        "started_at" => values.started_at,
        "last_success_at" => values.last_success_at,
        _ => None,
    };
    let plain = match place.name {
        "job" => values.job.to_owned(),
        "run_id" => values.run_id.clone(),
        "attempt" => values.attempt.to_string(),
        "fencing_token" => values.fencing_token.to_string(),
        "trigger" => values.trigger.to_owned(),
        "cluster" => values.cluster.to_owned(),
        "replica" => values.replica.to_owned(),
        name => match (name.strip_prefix("args."), values.args) {
            (Some(argument), Some(args)) => args.get(argument).cloned().unwrap_or_default(),
            _ => instant.map(|at| at.to_string()).unwrap_or_default(),
        },
    };
    let formed = |form: &str| instant.map(|at| at.datetime().format(form).to_string()).unwrap_or_else(|| plain.clone());
    match &place.filter {
        None | Some(Filter::Named("iso")) => plain,
        Some(Filter::Named("date")) => formed("%Y-%m-%d"),
        Some(Filter::Named("time")) => formed("%H:%M:%S"),
        Some(Filter::Named("unix")) => instant.map(|at| at.as_secs().to_string()).unwrap_or(plain),
        Some(Filter::Named("urlencode")) => utf8_percent_encode(&plain, NON_ALPHANUMERIC).to_string(),
        Some(Filter::Named(_)) => serde_json::Value::from(plain).to_string(),
        Some(Filter::Default(other)) => {
            if plain.is_empty() {
                (*other).to_owned()
            } else {
                plain
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_and_the_rest_is_left_alone() {
        let args = BTreeMap::from([("day".to_owned(), "a b/c".to_owned())]);
        let values = Values {
            job: "close",
            scheduled_at: Some("2026-11-22T06:31:07Z".parse().unwrap()),
            fencing_token: 17,
            args: Some(&args),
            ..Values::default()
        };
        let filled = |text| fill(text, &values);
        assert_eq!(filled("{{job}}-{{ fencing_token }} { } }}"), "close-17 { } }}");
        assert_eq!(filled("{{ scheduled_at }} {{ scheduled_at | time }}"), "2026-11-22T06:31:07Z 06:31:07");
        assert_eq!(filled("{{ scheduled_at | unix }}"), "1795329067");
        assert_eq!(filled("{{ args.day | urlencode }} {{ args.day | json }}"), "a%20b%2Fc \"a b/c\"");
        assert_eq!(filled(r#"{{ last_success_at | default:"never" }}{{ args.none }}"#), "never");
    }

    #[test]
    fn what_cannot_be_filled_in_is_named_with_its_place() {
        let wrong = check("day {{ schedled_at }}").unwrap_err();
        assert_eq!((wrong.at, wrong.meant), (7..18, Some("scheduled_at")));
        assert_eq!(check("{{ job | upper }}").unwrap_err().at, 9..14);
        assert_eq!(check("a {{ job").unwrap_err().why, "`{{` without `}}`");
        assert_eq!(check("{{ args. }}").unwrap_err().meant, None);
        assert_eq!(check(r#"{{ args.x | default:"" }} {{ args.y | default:"a|b" }}"#), Ok(()));
    }
}

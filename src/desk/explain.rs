//! What an expression means, in words, field by field, with its next or latest times.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::config::duration;
use crate::schedule::{self, GapRule, OverlapRule, Rules, Schedule, ScheduleError, UnknownZone, Zone, tzdb_version};
use crate::shape::{Explanation, Field, Note, Start};

/// What is asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// A cron text or `every 10m`, or a list of them.
    #[schema(value_type = Texts)]
    pub schedule: Texts,
    /// An IANA zone. Default `UTC`.
    #[serde(alias = "tz")]
    pub timezone: Option<String>,
    /// Times after this one. Default: now.
    pub from: Option<String>,
    /// Instead: the latest times before this one, the last of them first.
    pub before: Option<String>,
    /// How many times. Default 5, at most 10000.
    #[schema(minimum = 0, maximum = 10_000)]
    pub count: Option<u32>,
    /// The job whose name decides what `H` stands for.
    #[serde(default)]
    pub job: String,
    /// For times that do not exist because clocks go forward: `shift` or `skip`.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(shift|skip)$")]
    pub dst_gap: GapRule,
    /// For times that exist twice because clocks go back: `first`, `last` or `both`.
    #[serde(default)]
    #[schema(value_type = String, pattern = "^(first|last|both)$")]
    pub dst_overlap: OverlapRule,
}

/// One text, or several of which any may match.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub enum Texts {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// No answer lists more times.
const MOST: u32 = 10_000;

/// No text is longer than this, and no list has more of them.
const LONGEST: usize = 1000;

/// Why there is no answer: the mistake, and the text in which it is.
#[derive(Debug)]
pub struct Unclear {
    /// The mistake.
    pub error: ScheduleError,
    /// The text.
    pub text: String,
}

/// The answer.
#[derive(Debug)]
pub struct Meaning {
    /// What was asked about.
    pub texts: Vec<String>,
    /// What that is.
    pub schedule: Schedule,
    /// Its times.
    pub starts: Vec<Start>,
    job: String,
}

/// Answers a question at `now`; times without a zone are read by `moment`.
///
/// # Errors
/// What is wrong with the question.
pub fn explain(
    question: Question,
    now: Timestamp,
    moment: impl Fn(&str, &Zone) -> Result<Timestamp, String>,
) -> Result<Meaning, Unclear> {
    let Question { schedule, timezone, from, before, count, job, dst_gap, dst_overlap } = question;
    let named = timezone.as_deref().map(|name| zone(name).map_err(|why| Unclear::about(name, 30, why, "the zone")));
    let named = named.transpose()?;
    let zone = named.clone().unwrap_or_else(Zone::utc);
    let rules = Rules { gap: dst_gap, overlap: dst_overlap };
    let texts = match schedule {
        Texts::One(text) => vec![text],
        Texts::Many(texts) if texts.is_empty() => return Err(Unclear::about("", 101, "the list is empty".into(), "")),
        Texts::Many(texts) => texts,
    };
    if texts.len() > LONGEST || texts.iter().any(|text| text.len() > LONGEST) {
        let message = format!("the list may have {LONGEST} texts, and each {LONGEST} bytes at most");
        return Err(Unclear::about("", 101, message, ""));
    }
    let list: Vec<Schedule> = texts.iter().map(|text| read(text, &zone, rules, &job)).collect::<Result<_, _>>()?;
    if let Some(text) = texts.iter().find(|text| named.is_some() && schedule::zone_prefix(text).is_some()) {
        let message = "the time zone is said twice, beside the expression and in it".to_owned();
        return Err(Unclear::about(text, 32, message, "keep one of the two"));
    }
    let schedule = Schedule::union(list, &zone);
    let moment = |text: &str| {
        moment(text, schedule.zone()).map_err(|why| Unclear::about(text, 117, format!("{text:?}: {why}"), "the time"))
    };
    let count = count.unwrap_or(5);
    if count > MOST {
        return Err(Unclear::about("", 117, format!("`count` is {count}, and may be {MOST} at most"), "the count"));
    }
    let count = count as usize;
    let starts: Vec<Timestamp> = match before {
        Some(before) => {
            let last = schedule.before(moment(&before)?);
            std::iter::successors(last, |at| schedule.before(*at)).take(count).collect()
        }
        None => {
            let from = from.as_deref().map(moment).transpose()?.unwrap_or(now);
            std::iter::successors(schedule.after(from), |at| schedule.after(*at)).take(count).collect()
        }
    };
    let just_before = |at: Timestamp| at.minus(std::time::Duration::from_micros(1));
    let slots = starts.into_iter().filter_map(|at| schedule.next(just_before(at)));
    let starts = slots.map(|slot| Start { due: slot.at, slot, closed: None }).collect();
    Ok(Meaning { texts, starts, schedule, job })
}

/// A cron text, or `every 10m`.
fn read(text: &str, zone: &Zone, rules: Rules, job: &str) -> Result<Schedule, Unclear> {
    let wrong = |error| Unclear { error, text: text.to_owned() };
    match text.trim().strip_prefix("every ") {
        Some(period) => {
            let length =
                duration(period).map_err(|why| Unclear::about(text, 115, format!("{period:?}: {why}"), "a period"))?;
            Schedule::every(length, zone).map_err(|error| Unclear::about(text, error.code, error.message, &error.label))
        }
        None => Schedule::parse(text, zone, rules, job).map_err(wrong),
    }
}

/// A zone as named.
///
/// # Errors
/// The nearest name.
pub fn zone(name: &str) -> Result<Zone, String> {
    Zone::parse(name).map_err(|UnknownZone { nearest, .. }| match nearest {
        Some(nearest) => format!("unknown time zone `{name}`: did you mean {nearest}?"),
        None => format!("unknown time zone `{name}`: write an IANA name such as UTC or Europe/Berlin"),
    })
}

impl Meaning {
    /// In words.
    pub fn words(&self) -> String {
        self.schedule.words(&self.job)
    }

    /// What deserves a second look.
    pub fn notes(&self) -> Vec<ScheduleError> {
        self.texts.iter().flat_map(|text| schedule::lints(text)).collect()
    }

    /// The fields of each text.
    pub fn fields(&self) -> Vec<Vec<schedule::Part>> {
        self.texts.iter().map(|text| schedule::parts(text, &self.job).unwrap_or_default()).collect()
    }

    /// The days of two years on which clocks go forward over all of its times.
    pub fn lost_days(&self, now: Timestamp) -> Vec<String> {
        let days = self.schedule.lost_days(now, now.plus(std::time::Duration::from_secs(2 * 365 * 86_400)));
        days.iter().map(ToString::to_string).collect()
    }

    /// As JSON.
    pub fn shape(&self, now: Timestamp) -> Explanation {
        let zone = self.schedule.zone();
        Explanation {
            schedule: self.texts.clone(),
            timezone: zone.name().to_owned(),
            tzdb: tzdb_version().to_owned(),
            description: self.words(),
            fields: self.fields().into_iter().map(|parts| parts.into_iter().map(Field::from).collect()).collect(),
            occurrences: self.starts.iter().map(|start| start.shape(zone)).collect(),
            lost_days: self.lost_days(now),
            notes: self.notes().iter().map(Note::from).collect(),
        }
    }
}

impl Unclear {
    /// About something that has no place within the text.
    pub fn about(text: &str, code: u16, message: String, label: &str) -> Unclear {
        let span = 0..text.len();
        Unclear {
            error: ScheduleError { message, label: label.to_owned(), span, help: None, code },
            text: text.to_owned(),
        }
    }
}

//! `cronclave explain`: what a cron expression means. Works with no file.

use std::io::BufRead;
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::times::{Start, Times};
use super::{Context, Failure, out, show};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, duration};
use crate::schedule::{self, GapRule, OverlapRule, Rules, Schedule, ScheduleError, Zone, tzdb_version};

/// Say what a cron expression means, in words, field by field, with its next times; or what a code such as E0102 does.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave explain '0 9 13 * FRI'                          in words, and a warning
  cronclave explain '30 2 * * *' --tz Europe/Berlin --from 2027-03-27
  cronclave explain '0 0 L * *' --before 2027-01-01 -n 12   the ends of the last twelve months
  cronclave explain 'H H(2-5) * * *' --job db-backup        H as it is for that job
  cronclave explain E0102                                   what the code of a mistake means, and what mends it
  cronclave explain --batch < requests.jsonl                one JSON request a line, one answer a line

A request is {\"schedule\": \"0 9 * * *\", \"tz\": \"Europe/Berlin\", \"from\": \"2027-01-01T00:00:00Z\", \"count\": 5}, with
\"before\" in place of \"from\", if wanted; all but \"schedule\" may be left out, and \"schedule\" may be a list.

Exits with 0, or with 78 when the expression is wrong (a batch answers wrong ones in their place, and exits with 0).")]
pub(super) struct Explain {
    /// A cron expression, in quotes; or `every 10m`; or the code of a mistake
    #[arg(value_name = "EXPRESSION", required_unless_present = "batch")]
    text: Vec<String>,
    /// Times after this one [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "before")]
    from: Option<String>,
    /// The latest times before this one, the last of them first
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// How many times
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    count: u32,
    /// The job whose name decides what `H` stands for
    #[arg(long, value_name = "JOB", default_value = "")]
    job: String,
    /// For times that do not exist because clocks go forward
    #[arg(long, value_name = "RULE", default_value = "shift", value_parser = ["shift", "skip"])]
    dst_gap: String,
    /// For times that exist twice because clocks go back
    #[arg(long, value_name = "RULE", default_value = "first", value_parser = ["first", "last", "both"])]
    dst_overlap: String,
    /// Read requests from standard input, one JSON object a line, and answer each with one line
    #[arg(long, conflicts_with_all = ["text", "from", "before"])]
    batch: bool,
}

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    schedule: Texts,
    tz: Option<String>,
    from: Option<String>,
    before: Option<String>,
    count: Option<u32>,
    #[serde(default)]
    job: String,
    #[serde(default)]
    dst_gap: GapRule,
    #[serde(default)]
    dst_overlap: OverlapRule,
}

/// One text, or several of which any may match.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum Texts {
    One(String),
    Many(Vec<String>),
}

/// No answer lists more times.
const MOST: u32 = 10_000;

/// Why there is no answer: the mistake, and the text in which it is.
struct Wrong {
    error: ScheduleError,
    text: String,
}

/// The answer.
struct Meaning {
    texts: Vec<String>,
    schedule: Schedule,
    starts: Vec<Start>,
    job: String,
}

impl Explain {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let now = Clock::system().now();
        if self.batch {
            return batch(context, now);
        }
        let json = context.global.json;
        let is_code =
            |text: &str| text.len() == 5 && text.is_char_boundary(1) && text[1..].bytes().all(|c| c.is_ascii_digit());
        if let [code] = &self.text[..]
            && is_code(code)
        {
            let Some(page) = config::page(code) else {
                let known: Vec<&str> = config::codes().collect();
                let message = format!("there is no code {code}; the codes are {}", known.join(", "));
                return Err(Failure::new(Failure::NO_INPUT, message));
            };
            let title = config::page_title(code);
            return match json {
                true => out::json(&json!({"code": code.to_uppercase(), "title": title, "page": page})),
                false => out::print(page),
            }
            .map(|()| ExitCode::SUCCESS);
        }
        let request = Request {
            schedule: Texts::One(self.text.join(" ")),
            tz: context.style.zone.as_ref().map(|zone| zone.name().to_owned()),
            from: self.from,
            before: self.before,
            count: Some(self.count),
            job: self.job,
            dst_gap: if self.dst_gap == "skip" { GapRule::Skip } else { GapRule::Shift },
            dst_overlap: match self.dst_overlap.as_str() {
                "last" => OverlapRule::Last,
                "both" => OverlapRule::Both,
                _ => OverlapRule::First,
            },
        };
        match answer(request, now) {
            Ok(meaning) if json => out::json(&meaning.json(context, now))?,
            Ok(meaning) => out::print(meaning.text(context, now))?,
            Err(wrong) if json => {
                out::json(&wrong.json())?;
                return Ok(ExitCode::from(Failure::CONFIG));
            }
            Err(mut wrong) => {
                if self.text.len() > 1 && wrong.error.help.is_none() {
                    wrong.error.help =
                        Some("put the expression in quotes: the shell replaces `*` by file names".into());
                }
                out::bare_note(wrong.text());
                return Ok(ExitCode::from(Failure::CONFIG));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Answers each line of standard input with one line.
fn batch(context: &Context, now: Timestamp) -> Result<ExitCode, Failure> {
    for (number, line) in std::io::stdin().lock().split(b'\n').enumerate() {
        let line = line.map_err(|error| Failure::new(Failure::NO, format!("cannot read standard input: {error}")))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let parsed = serde_json::from_slice::<Request>(&line).map_err(|error| {
            Wrong::about("", 117, format!("line {}: not a request: {error}", number + 1), "see `explain --help`")
        });
        let value = match parsed.and_then(|request| answer(request, now)) {
            Ok(meaning) => meaning.json(context, now),
            Err(wrong) => wrong.json(),
        };
        out::line(value)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn answer(request: Request, now: Timestamp) -> Result<Meaning, Wrong> {
    let Request { schedule, tz, from, before, count, job, dst_gap, dst_overlap } = request;
    let named = tz.as_deref().map(|name| show::zone(name).map_err(|why| Wrong::about(name, 30, why, "the zone")));
    let named = named.transpose()?;
    let zone = named.clone().unwrap_or_else(Zone::utc);
    let rules = Rules { gap: dst_gap, overlap: dst_overlap };
    let texts = match schedule {
        Texts::One(text) => vec![text],
        Texts::Many(texts) if texts.is_empty() => return Err(Wrong::about("", 101, "the list is empty".into(), "")),
        Texts::Many(texts) => texts,
    };
    let list: Vec<Schedule> = texts.iter().map(|text| read(text, &zone, rules, &job)).collect::<Result<_, _>>()?;
    if let Some(text) = texts.iter().find(|text| named.is_some() && schedule::zone_prefix(text).is_some()) {
        let message = "the time zone is said twice, beside the expression and in it".to_owned();
        return Err(Wrong::about(text, 32, message, "keep one of the two"));
    }
    let schedule = Schedule::union(list, &zone);
    let moment = |text: &str| {
        show::moment(text, schedule.zone())
            .map_err(|why| Wrong::about(text, 117, format!("{text:?}: {why}"), "the time"))
    };
    let count = count.unwrap_or(5);
    if count > MOST {
        return Err(Wrong::about("", 117, format!("`count` is {count}, and may be {MOST} at most"), "the count"));
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
fn read(text: &str, zone: &Zone, rules: Rules, job: &str) -> Result<Schedule, Wrong> {
    let wrong = |error| Wrong { error, text: text.to_owned() };
    match text.trim().strip_prefix("every ") {
        Some(period) => {
            let length =
                duration(period).map_err(|why| Wrong::about(text, 115, format!("{period:?}: {why}"), "a period"))?;
            Schedule::every(length, zone).map_err(|error| Wrong::about(text, error.code, error.message, &error.label))
        }
        None => Schedule::parse(text, zone, rules, job).map_err(wrong),
    }
}

impl Meaning {
    fn words(&self) -> String {
        self.schedule.words(&self.job)
    }

    fn notes(&self) -> Vec<ScheduleError> {
        self.texts.iter().flat_map(|text| schedule::lints(text)).collect()
    }

    /// The days of two years on which clocks go forward over all of its times.
    fn lost_days(&self, now: Timestamp) -> Vec<String> {
        let days = self.schedule.lost_days(now, now.plus(std::time::Duration::from_secs(2 * 365 * 86_400)));
        days.iter().map(ToString::to_string).collect()
    }

    fn json(&self, context: &Context, now: Timestamp) -> Value {
        let zone = self.schedule.zone();
        let times = Times { zone, now, style: &context.style };
        let fields: Vec<_> =
            self.texts.iter().map(|text| schedule::parts(text, &self.job).unwrap_or_default()).collect();
        let notes = self.notes();
        let note = |lint: &ScheduleError| json!({"code": lint.name(), "message": lint.message, "help": lint.help});
        let lost = self.lost_days(now);
        json!({
            "schedule": self.texts,
            "timezone": zone.name(),
            "tzdb": tzdb_version(),
            "description": self.words(),
            "fields": fields,
            "occurrences": self.starts.iter().map(|start| times.json(start)).collect::<Vec<_>>(),
            "lost_days": lost,
            "notes": notes.iter().map(note).collect::<Vec<_>>(),
        })
    }

    fn text(&self, context: &Context, now: Timestamp) -> String {
        let zone = self.schedule.zone();
        let mut text = self.words() + "\n";
        for one in &self.texts {
            let parts = schedule::parts(one, &self.job).unwrap_or_default();
            if parts.is_empty() {
                continue;
            }
            let shown: Vec<String> = parts.iter().map(field).collect();
            text += &format!("  {}\n", shown.join("  ·  "));
        }
        for lint in self.notes() {
            text += &format!("  note: {} ({})\n", lint.message, lint.name());
            if let Some(help) = &lint.help {
                text += &format!("        {help}\n");
            }
        }
        for day in self.lost_days(now) {
            text += &format!("  note: clocks go forward over all of its times on {day}: it does not run on that day\n");
        }
        let times = Times { zone, now, style: &context.style };
        match self.starts.is_empty() {
            true => text + "\n  no times\n",
            false => format!("{text}\n{}", times.text(&self.starts)),
        }
    }
}

/// `minute */15 = 0 15 30 45`, with the values only where they are not what is written.
fn field(part: &schedule::Part) -> String {
    let name = part.field;
    match &part.values {
        None if matches!(part.text.as_str(), "*" | "?") => format!("{name} every"),
        Some(values) if values.len() <= 12 && !part.text.bytes().all(|c| c.is_ascii_digit()) => {
            let values: Vec<String> = values.iter().map(u32::to_string).collect();
            format!("{name} {} = {}", part.text, values.join(" "))
        }
        _ => format!("{name} {}", part.text),
    }
}

impl Wrong {
    /// About something that has no place within the text.
    fn about(text: &str, code: u16, message: String, label: &str) -> Wrong {
        let span = 0..text.len();
        Wrong {
            error: ScheduleError { message, label: label.to_owned(), span, help: None, code },
            text: text.to_owned(),
        }
    }

    fn json(&self) -> Value {
        let ScheduleError { message, label, span, help, .. } = &self.error;
        json!({"error": {
            "code": self.error.name(),
            "message": message,
            "label": label,
            "help": help,
            "schedule": self.text,
            "span": [span.start, span.end],
        }})
    }

    /// The expression, with the place pointed at beneath.
    fn text(&self) -> String {
        let ScheduleError { message, label, span, help, .. } = &self.error;
        let head = format!("error[{}]: {message}", self.error.name());
        let shown = self.text.replace(|c: char| c.is_control(), " ");
        let column = shown.get(..span.start).map_or(0, |before| before.chars().count());
        let length = shown.get(span.clone()).map_or(1, |place| place.chars().count()).max(1);
        let place = format!("  {shown}\n  {}{} {label}", " ".repeat(column), "^".repeat(length));
        let help = help.as_ref().map(|help| format!("\n  = help: {help}")).unwrap_or_default();
        format!("{head}\n\n{place}{help}")
    }
}

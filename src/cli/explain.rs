//! `cronclave explain`: what a cron expression means. Works with no file.

use std::io::BufRead;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::times::Times;
use super::{Context, Failure, out};
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::desk::{self, Meaning, Question, Texts, Unclear};
use crate::phrase;
use crate::schedule::{self, GapRule, OverlapRule, ScheduleError};

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

impl Explain {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let now = Clock::system().now();
        if self.batch {
            return batch(now);
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
        let request = Question {
            schedule: Texts::One(self.text.join(" ")),
            timezone: context.style.zone.as_ref().map(|zone| zone.name().to_owned()),
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
            Ok(meaning) if json => out::json(&meaning.shape(now))?,
            Ok(meaning) => out::print(text(&meaning, context, now))?,
            Err(wrong) if json => {
                out::json(&wrong_json(&wrong))?;
                return Ok(ExitCode::from(Failure::CONFIG));
            }
            Err(mut wrong) => {
                if self.text.len() > 1 && wrong.error.help.is_none() {
                    wrong.error.help =
                        Some("put the expression in quotes: the shell replaces `*` by file names".into());
                }
                out::bare_note(wrong_text(&wrong));
                return Ok(ExitCode::from(Failure::CONFIG));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Answers each line of standard input with one line.
fn batch(now: Timestamp) -> Result<ExitCode, Failure> {
    for (number, line) in std::io::stdin().lock().split(b'\n').enumerate() {
        let line = line.map_err(|error| Failure::new(Failure::NO, format!("cannot read standard input: {error}")))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let parsed = serde_json::from_slice::<Question>(&line).map_err(|error| {
            Unclear::about("", 117, format!("line {}: not a request: {error}", number + 1), "see `explain --help`")
        });
        let value = match parsed.and_then(|request| answer(request, now)) {
            Ok(meaning) => json!(meaning.shape(now)),
            Err(wrong) => wrong_json(&wrong),
        };
        out::line(value)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The answer to a question, as it is typed.
fn answer(question: Question, now: Timestamp) -> Result<Meaning, Unclear> {
    desk::explain(question, now, phrase::moment)
}

fn text(meaning: &Meaning, context: &Context, now: Timestamp) -> String {
    let zone = meaning.schedule.zone();
    let mut text = meaning.words() + "\n";
    for parts in meaning.fields() {
        if parts.is_empty() {
            continue;
        }
        let shown: Vec<String> = parts.iter().map(field).collect();
        text += &format!("  {}\n", shown.join("  ·  "));
    }
    for lint in meaning.notes() {
        text += &format!("  note: {} ({})\n", lint.message, lint.name());
        if let Some(help) = &lint.help {
            text += &format!("        {help}\n");
        }
    }
    for day in meaning.lost_days(now) {
        text += &format!("  note: clocks go forward over all of its times on {day}: it does not run on that day\n");
    }
    let times = Times { zone, now, style: &context.style };
    match meaning.starts.is_empty() {
        true => text + "\n  no times\n",
        false => format!("{text}\n{}", times.text(&meaning.starts)),
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

fn wrong_json(unclear: &Unclear) -> Value {
    let ScheduleError { message, label, span, help, .. } = &unclear.error;
    json!({"error": {
        "code": unclear.error.name(),
        "message": message,
        "label": label,
        "help": help,
        "schedule": unclear.text,
        "span": [span.start, span.end],
    }})
}

/// The expression, with the place pointed at beneath.
fn wrong_text(unclear: &Unclear) -> String {
    let ScheduleError { message, label, span, help, .. } = &unclear.error;
    let head = format!("error[{}]: {message}", unclear.error.name());
    let shown = unclear.text.replace(|c: char| c.is_control(), " ");
    let column = shown.get(..span.start).map_or(0, |before| before.chars().count());
    let length = shown.get(span.clone()).map_or(1, |place| place.chars().count()).max(1);
    let place = format!("  {shown}\n  {}{} {label}", " ".repeat(column), "^".repeat(length));
    let help = help.as_ref().map(|help| format!("\n  = help: {help}")).unwrap_or_default();
    format!("{head}\n\n{place}{help}")
}

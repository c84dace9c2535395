//! `cronclave next`: when jobs will run, and why then.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::show::{self, Style};
use super::{Context, Failure, find, out, shape};
use crate::clock::{Clock, Timestamp};
use crate::job::Job;
use crate::schedule::{Change, DstNote, GapRule, OverlapRule, Slot};

/// Show when jobs will run. Reads the schedule files only: no database is needed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave next                                     the next 5 starts of each job
  cronclave next db-backup -n 3 --from 2027-03-27    around a change of clocks
  cronclave next report --until 2027-01-01 --json    all until then, for a program

Times without a zone are those of the job's own zone.")]
pub(super) struct Next {
    /// The jobs' names [default: all]
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// How many of each [default: 5, or 1000 with --until]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: Option<u32>,
    /// Those after this time [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Those before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// One start of a job.
struct Start {
    slot: Slot,
    /// The instant of the schedule and its share of the jitter.
    due: Timestamp,
}

impl Next {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let config = context.config(&context.paths())?;
        let jobs = find::jobs(&config, &self.jobs)?;
        let now = Clock::system().now();
        let all = jobs.iter().map(|job| Ok((job, self.starts(job, now)?))).collect::<Result<Vec<_>, Failure>>()?;
        if context.global.json {
            let items: Vec<Value> = all.iter().map(|(job, starts)| as_json(job, starts)).collect();
            out::json(&json!({ "items": items }))?;
        } else {
            let blocks: Vec<String> = all.iter().map(|(job, starts)| text(job, starts, now, &context.style)).collect();
            out::print(blocks.join("\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn starts(&self, job: &Job, now: Timestamp) -> Result<Vec<Start>, Failure> {
        let read = |flag: &str, text: &Option<String>| {
            let at = text.as_deref().map(|text| show::moment(text, job.schedule.zone()));
            at.transpose()
                .map_err(|why| Failure::new(Failure::USAGE, format!("{flag} {}: {why}", text.as_deref().unwrap_or(""))))
        };
        let (from, until) = (read("--from", &self.from)?, read("--until", &self.until)?);
        let most = self.count.unwrap_or(if until.is_some() { 1000 } else { 5 });
        // A time that was named is itself one of those shown.
        let mut edge = from.map_or(now, |from| from.minus(Duration::from_micros(1)));
        let mut starts = Vec::new();
        while let Some(slot) = job.schedule.next(edge).filter(|slot| until.is_none_or(|until| slot.at < until)) {
            edge = slot.at;
            starts.push(Start { due: job.due(slot.at), slot });
            if starts.len() >= most as usize {
                break;
            }
        }
        Ok(starts)
    }
}

fn as_json(job: &Job, starts: &[Start]) -> Value {
    let zone = job.schedule.zone();
    let rules = job.schedule.rules();
    let occurrences = starts.iter().map(|start| {
        let dst = start.slot.shift.as_ref().map(|note| {
            let policy = match note.kind {
                Change::Gap => json!(rules.gap),
                Change::Overlap => json!(rules.overlap),
            };
            json!({"kind": note.kind, "policy": policy, "from": note.from, "to": note.to})
        });
        json!({
            "at": start.due,
            "scheduled_at": start.slot.at,
            "local": Style::local(start.due, zone),
            "nominal": start.slot.nominal,
            "jitter_seconds": start.due.since(start.slot.at).as_secs_f64(),
            "dst": dst,
        })
    });
    json!({
        "job": job.name,
        "schedule": shape::schedule(job),
        "timezone": zone.name(),
        "enabled": job.enabled,
        "occurrences": occurrences.collect::<Vec<_>>(),
    })
}

fn text(job: &Job, starts: &[Start], now: Timestamp, style: &Style) -> String {
    let zone = job.schedule.zone();
    let mut text = format!("{}   {}   {zone}\n", job.name, job.schedule.text());
    if let Some(description) = &job.description {
        text += &format!("{description}\n");
    }
    if !job.enabled {
        text += "disabled: the schedule starts none of these\n";
    }
    if starts.is_empty() {
        let why = if job.schedule.is_manual() { "only by hand: cronclave trigger" } else { "not in this time" };
        return text + &format!("\n  {why}\n");
    }
    let mut notes: Vec<&DstNote> = Vec::new();
    let mut footnotes = String::new();
    text.push('\n');
    for start in starts {
        text += &line(start, now, style, job);
        if let Some(note) = &start.slot.shift {
            let number = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
                notes.push(note);
                footnotes += &footnote(notes.len(), &start.slot, note, job);
                notes.len() - 1
            });
            text += &format!("   [{}]", number + 1);
        }
        text.push('\n');
    }
    if !footnotes.is_empty() {
        text += &format!("\n{footnotes}");
    }
    text
}

fn line(start: &Start, now: Timestamp, style: &Style, job: &Job) -> String {
    let zone = job.schedule.zone();
    let shown = style.zone.as_ref().unwrap_or(zone);
    let utc = match shown.offset(start.due).1 == "UTC" {
        true => String::new(),
        false => format!("   {}", start.due.datetime().format("%Y-%m-%d %H:%M:%S UTC")),
    };
    let away = if start.due >= now {
        format!("in {}", show::about(start.due.since(now)))
    } else {
        format!("{} ago", show::about(now.since(start.due)))
    };
    let jitter = match start.due.since(start.slot.at) {
        Duration::ZERO => String::new(),
        share => format!(
            "   {} + {} jitter (the same on every replica)",
            start.slot.nominal.format("%H:%M:%S"),
            show::span(share)
        ),
    };
    format!("  {}{utc}   {away}{jitter}", style.full(start.due, zone))
}

/// What a change of clocks does to an occurrence, and what would be the other choice.
fn footnote(number: usize, slot: &Slot, note: &DstNote, job: &Job) -> String {
    let (time, rules) = (slot.nominal.format("%H:%M"), job.schedule.rules());
    let what = match note.kind {
        Change::Gap => "does not exist",
        Change::Overlap => "comes twice",
    };
    let rule = match (note.kind, rules.gap, rules.overlap) {
        (Change::Gap, GapRule::Shift, _) => {
            "dst_gap = \"shift\": it runs at the first moment that exists; \"skip\" would leave it out."
        }
        (Change::Gap, GapRule::Skip, _) => "dst_gap = \"skip\": it is left out.",
        (_, _, OverlapRule::First) => {
            "dst_overlap = \"first\": it runs the first time; \"last\" and \"both\" are the other choices."
        }
        (_, _, OverlapRule::Last) => {
            "dst_overlap = \"last\": it runs the second time; \"first\" and \"both\" are the other choices."
        }
        (_, _, OverlapRule::Both) => "It runs both times.",
    };
    format!("  [{number}] {time} {what} on this day: clocks go from {} to {}.\n      {rule}\n", note.from, note.to)
}

//! `cronclave diff`: what a change of schedule files changes.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::{Context, Failure, out};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config, SourceText};
use crate::diff::{self, Change, Changes, Kind, Minute, Starts};
use crate::job::Job;
use crate::phrase;
use crate::schedule::Zone;
use crate::shape;

/// Show what a change of schedule files adds, drops and moves. Needs no database.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave diff /etc/cronclave schedules            what a deploy of schedules/ would change
  cronclave diff old.toml new.toml --days 31 --json  for a program
  git show HEAD:schedules/ops.toml | cronclave diff - schedules/ops.toml

Compares the jobs of two sets of files, and their occurrences of the next days. An occurrence that goes and one that
comes right before or after it have moved. A minute is crowded when more than 20 jobs start in it. Of jobs that start
very often only the first occurrences are compared; it says how far. Times are those of the schedule, without jitter.

Exits, like diff, with 0 when both want the same and 1 when they differ; with 78 when a file has mistakes.")]
pub(super) struct Diff {
    /// What is: a file, a directory, or - for standard input
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// What will be
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// How many days to look ahead
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// From this time on [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
}

impl Diff {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let now = Clock::system().now();
        if self.old == Path::new("-") && self.new == Path::new("-") {
            return Err(Failure::new(Failure::USAGE, "only one of OLD and NEW can be standard input"));
        }
        let zone = context.style.zone.clone().unwrap_or_else(Zone::utc);
        let from = match &self.from {
            Some(text) => phrase::moment(text, &zone)
                .map_err(|why| Failure::new(Failure::USAGE, format!("--from {text}: {why}")))?,
            None => now,
        };
        let until = from.plus(Duration::from_secs(u64::from(self.days) * 86_400));
        let (old, new) = (read(&self.old, context, now)?, read(&self.new, context, now)?);
        let changes = diff::compare(&old.jobs, &new.jobs, from, until);
        if context.global.json {
            out::json(&as_json(&changes, from, until))?;
        } else {
            out::print(Page { context, zone, days: self.days }.text(&changes))?;
        }
        Ok(if changes.jobs.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(Failure::NO) })
    }
}

fn read(path: &Path, context: &Context, now: Timestamp) -> Result<Config, Failure> {
    let load = |sources: Vec<SourceText>| config::load(&sources, &config::environment, now);
    config::find(&[path.to_owned()], &mut std::io::stdin())
        .and_then(load)
        .map_err(|wrong| Failure::config(&wrong, context.colored()))
}

/// What is printed for people.
struct Page<'a> {
    context: &'a Context,
    /// For the minutes, which belong to no job.
    zone: Zone,
    days: u32,
}

impl Page<'_> {
    fn text(&self, changes: &Changes) -> String {
        if changes.jobs.is_empty() {
            return "both want the same\n".into();
        }
        let mut text: String = changes.jobs.iter().map(|change| self.change(change)).collect();
        let count = |kind| changes.jobs.iter().filter(|change| change.kind == kind).count();
        let (added, removed, changed) = (count(Kind::Added), count(Kind::Removed), count(Kind::Changed));
        let _ = writeln!(text, "\n{added} added, {removed} removed, {changed} changed");
        text + &self.crowd(changes)
    }

    fn change(&self, change: &Change) -> String {
        let Some(job) = change.new.as_ref().or(change.old.as_ref()) else { return String::new() };
        let zone = job.schedule.zone();
        let what = match change.kind {
            Kind::Changed => change
                .settings
                .iter()
                .map(|setting| match (&setting.old, &setting.new) {
                    (Some(old), Some(new)) => format!("{} {old} -> {new}", setting.key),
                    _ => setting.key.to_owned(),
                })
                .collect::<Vec<_>>()
                .join(", "),
            _ => format!("{} {zone}  {}", job.schedule.text(), first_line(&shape::action_text(job))),
        };
        let mark = match change.kind {
            Kind::Added => '+',
            Kind::Removed => '-',
            Kind::Changed => '~',
        };
        let mut text = format!("{mark} {}  {what}\n", change.name);
        self.starts(&mut text, change, job);
        text
    }

    fn starts(&self, text: &mut String, change: &Change, job: &Job) {
        let (starts, zone) = (&change.starts, job.schedule.zone());
        let time = |at: Timestamp| self.context.style.time(at, zone);
        let rest = |count: usize, shown: usize| match count - shown {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        for (word, tally) in [("added", &starts.added), ("dropped", &starts.dropped)] {
            if tally.count > 0 {
                let first: Vec<String> = tally.first.iter().map(|at| time(*at)).collect();
                let rest = rest(tally.count, first.len());
                let _ = writeln!(text, "    {} {word}: {}{rest}", tally.count, first.join(", "));
            }
        }
        let moved = &starts.moved;
        if moved.count > 0 {
            let pair = |(old, new): &(Timestamp, Timestamp)| format!("{} -> {}", time(*old), time(*new));
            let first: Vec<String> = moved.first.iter().map(pair).collect();
            let rest = rest(moved.count, first.len());
            let _ = writeln!(text, "    {} moved: {}{rest}", moved.count, first.join(", "));
        }
        if let Some(until) = starts.until {
            let _ = writeln!(text, "    compared until {}: it starts too often for more", time(until));
        }
        if change.kind != Kind::Changed && starts.is_empty() {
            let why = match (job.enabled, job.schedule.is_manual()) {
                (false, _) => "disabled",
                (true, true) => "only by hand",
                (true, false) => "not in this time",
            };
            let _ = writeln!(text, "    nothing starts: {why}");
        }
    }

    fn crowd(&self, changes: &Changes) -> String {
        let crowd = &changes.crowd;
        let time = |at: Timestamp| self.context.style.time(at, &self.zone);
        let most = |one: Option<Minute>, of: fn(&Minute) -> u32| match one {
            Some(one) => format!("{} ({})", phrase::count(of(&one) as usize, "job"), time(one.at)),
            None => "none".into(),
        };
        let (old, new) = (most(crowd.old, |one| one.old), most(crowd.new, |one| one.new));
        let mut text =
            format!("most starts in one minute, in {}: {old} -> {new}\n", phrase::count(self.days as usize, "day"));
        for minute in &crowd.grown {
            let _ = writeln!(text, "! crowded: {}  {} -> {} jobs", time(minute.at), minute.old, minute.new);
        }
        if crowd.count > crowd.grown.len() {
            let _ = writeln!(text, "! and {} more minutes", crowd.count - crowd.grown.len());
        }
        if let Some(until) = crowd.until {
            let _ = writeln!(text, "minutes were counted until {}: there are too many schedules for more", time(until));
        }
        text
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("")
}

fn as_json(changes: &Changes, from: Timestamp, until: Timestamp) -> Value {
    let jobs = changes.jobs.iter().map(|change| {
        let Starts { added, dropped, moved, until } = &change.starts;
        json!({
            "job": change.name,
            "change": change.kind,
            "settings": change.settings,
            "added": { "count": added.count, "first": added.first },
            "dropped": { "count": dropped.count, "first": dropped.first },
            "moved": {
                "count": moved.count,
                "first": moved.first.iter().map(|(old, new)| json!({"from": old, "to": new})).collect::<Vec<_>>(),
            },
            "compared_until": until,
        })
    });
    let minute = |one: &Minute| json!({"at": one.at, "old": one.old, "new": one.new});
    let crowd = &changes.crowd;
    json!({
        "from": from,
        "until": until,
        "items": jobs.collect::<Vec<_>>(),
        "crowd": {
            "old": crowd.old.as_ref().map(minute),
            "new": crowd.new.as_ref().map(minute),
            "grown": crowd.grown.iter().map(minute).collect::<Vec<_>>(),
            "grown_count": crowd.count,
            "counted_until": crowd.until,
        },
    })
}

//! `cronclave simulate`: what schedule files will do, before they do it.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::show::Table;
use super::{Context, Failure, out};
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::job::JobName;
use crate::ledger::State;
use crate::phrase::{self, Mark, count, span};
use crate::schedule::{Rules, Schedule, Zone};
use crate::service;
use crate::simulate::{Advice, Clocks, OfJob, Report, Scenario, Took, World, picture};

/// No longer than this is lived through: ten years.
const LONGEST: Duration = Duration::from_secs(3653 * 86_400);

/// So many lines are kept in memory: some 600 MB.
const MOST: usize = 10_000_000;

/// So many jobs are named in a line of advice.
const NAMED: usize = 5;

/// Live through the coming days with these schedule files, in a moment: what would run, be skipped, missed, or caught up.
///
/// Decides by the same rules as replicas and the store do. Needs no database, and changes nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave simulate                                      the next 30 days on 3 replicas, each run taking 1 s
  cronclave simulate --days 7 --took 2m --took backup=3h  a week; backup takes 3 h, all else 2 min
  cronclave simulate --outage 02:00+40m                   all replicas are down from 02:00 to 02:40, every day
  cronclave simulate --kill 0.01 --fail 0.05              replicas die of one run in a hundred, one in twenty fails
  cronclave simulate --skew 5m                            the clocks of the replicas are wrong by up to 5 min
  cronclave simulate --svg load.svg                       also a picture: how many runs begin in which hour
  cronclave simulate --json --occurrences | jq .          what became of each occurrence, for a program

An outage is a stop in good order: what runs may end within the grace. docs/SIMULATE.md says what is left out.")]
pub(super) struct Simulate {
    /// For so many days
    #[arg(long, value_name = "N", default_value_t = 30, conflicts_with = "until", value_parser = clap::value_parser!(u64).range(1..=3653))]
    days: u64,
    /// From this time on, when the jobs are first seen [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// How many replicas there are
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    replicas: u16,
    /// Runs side by side on each at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    max_parallel: u16,
    /// How long runs may go on when replicas are told to stop
    #[arg(long, value_name = "DURATION", default_value = "25s")]
    grace: String,
    /// All replicas are down, every day (02:00+40m) or once (2026-12-24T02:00:00Z+40m); repeatable
    #[arg(long, value_name = "TIME+DURATION")]
    outage: Vec<String>,
    /// How long each run takes, or those of one job (backup=3h); repeatable [default: 1s]
    #[arg(long, value_name = "[JOB=]DURATION")]
    took: Vec<String>,
    /// How likely an attempt fails, from 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = chance)]
    fail: f64,
    /// How likely a replica dies of an attempt, from 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = chance)]
    kill: f64,
    /// The clock of each replica is wrong by up to this, either way
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    skew: String,
    /// Another number makes other dice
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// With --json: what became of each occurrence as well
    #[arg(long)]
    occurrences: bool,
    /// Write a picture of how full each hour is
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn chance(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.ok_or_else(|| "a number from 0 to 1".into())
}

impl Simulate {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let config = context.config(&context.paths())?;
        let jobs = service::jobs(&config);
        let zone = context.style.zone.clone().unwrap_or_else(Zone::utc);
        let scenario = self.scenario(&zone)?;
        let unknown = scenario.took.named.iter().find(|(name, _)| !jobs.by_name.contains_key(name));
        if let Some((name, _)) = unknown {
            return Err(Failure::new(Failure::NO_INPUT, format!("--took {name}: there is no such job")));
        }
        let began = Instant::now();
        let world = World::live(&jobs, &scenario);
        if let Some(at) = world.cut {
            let why = format!("more than {MOST} occurrences come due before {at}: simulate fewer days");
            return Err(Failure::new(Failure::USAGE, why));
        }
        let report = Report::of(&world, &scenario, self.occurrences);
        let took = began.elapsed();
        if let Some(path) = &self.svg {
            let failed = |error| Failure::new(Failure::NO, format!("{}: {error}", path.display()));
            std::fs::write(path, picture(&world, &scenario)).map_err(failed)?;
        }
        if context.global.json {
            out::json(&report)?;
        } else {
            out::print(text(&report, context, &zone, took))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn scenario(&self, zone: &Zone) -> Result<Scenario, Failure> {
        let wrong = |flag: &str, text: &str, why: String| Failure::new(Failure::USAGE, format!("{flag} {text}: {why}"));
        let read = |flag: &str, text: &Option<String>| match text {
            Some(text) => phrase::moment(text, zone).map(Some).map_err(|why| wrong(flag, text, why)),
            None => Ok(None),
        };
        let now = Timestamp::from_secs(Clock::system().now().as_secs());
        let from = read("--from", &self.from)?.unwrap_or(now);
        let until = read("--until", &self.until)?.unwrap_or(from.plus(Duration::from_secs(self.days * 86_400)));
        if until <= from || until.since(from) > LONGEST {
            let why = format!("it must be later than {from}, by ten years at most");
            return Err(wrong("--until", &until.to_string(), why));
        }
        let mut outages = Vec::new();
        for text in &self.outage {
            outages.extend(outage(text, zone, from..until).map_err(|why| wrong("--outage", text, why))?);
        }
        let mut took = Took { others: Duration::from_secs(1), named: Vec::new() };
        for text in &self.took {
            let (name, length) =
                text.rsplit_once('=').map_or((None, text.as_str()), |(name, length)| (Some(name), length));
            let length = config::duration(length).map_err(|why| wrong("--took", text, why))?;
            match name {
                None => took.others = length,
                Some(name) => {
                    let name = JobName::new(name).map_err(|why| wrong("--took", text, why.to_string()))?;
                    took.named.push((name, length));
                }
            }
        }
        Ok(Scenario {
            from,
            until,
            replicas: self.replicas.into(),
            max_parallel: self.max_parallel.into(),
            grace: config::duration(&self.grace).map_err(|why| wrong("--grace", &self.grace, why))?,
            outages: joined(outages),
            took,
            fail: self.fail,
            kill: self.kill,
            skew: config::duration(&self.skew).map_err(|why| wrong("--skew", &self.skew, why))?,
            seed: self.seed,
            most: MOST,
        })
    }
}

/// `02:00+40m`, every day, or a time and how long.
fn outage(text: &str, zone: &Zone, whole: Range<Timestamp>) -> Result<Vec<Range<Timestamp>>, String> {
    let parts = text.rsplit_once('+').ok_or("write when and how long, as in 02:00+40m")?;
    let (when, length) = (parts.0.trim(), config::duration(parts.1)?);
    if let Ok(time) = chrono::NaiveTime::parse_from_str(when, "%H:%M") {
        let daily = time.format("%-M %-H * * *").to_string();
        let daily = Schedule::parse(&daily, zone, Rules::default(), "").map_err(|why| why.to_string())?;
        let starts = std::iter::successors(daily.after(whole.start), |at| daily.after(*at));
        return Ok(starts.take_while(|at| *at < whole.end).map(|at| at..at.plus(length)).collect());
    }
    let start = phrase::moment(when, zone)?;
    Ok(vec![start..start.plus(length)])
}

/// Those that touch are one.
fn joined(mut outages: Vec<Range<Timestamp>>) -> Vec<Range<Timestamp>> {
    outages.sort_by_key(|outage| outage.start);
    let mut all: Vec<Range<Timestamp>> = Vec::new();
    for outage in outages {
        match all.last_mut() {
            Some(last) if outage.start <= last.end => last.end = last.end.max(outage.end),
            _ => all.push(outage),
        }
    }
    all
}

/// Occurrences that ran, or were about to.
const RAN: [State; 5] = [State::Succeeded, State::Failed, State::TimedOut, State::Running, State::Retrying];
const SKIPPED: [State; 4] =
    [State::SkippedOverlap, State::SkippedPaused, State::SkippedDisabled, State::SkippedCalendar];
const CUT: [State; 2] = [State::Cancelled, State::Interrupted];
const WAITING: [State; 3] = [State::Queued, State::Claimed, State::Published];

fn text(report: &Report, context: &Context, zone: &Zone, took: Duration) -> String {
    let style = &context.style;
    let mut text = format!(
        "{} from {}   {}   {}   worked out in {}\n\n",
        span(report.span()),
        style.time(report.from, zone),
        count(report.replicas, "replica"),
        count(report.jobs.len(), "job"),
        span(took)
    );
    let header = ["", "JOB", "DUE", "RAN", "SKIPPED", "COALESCED", "MISSED", "LOST", "CUT SHORT", "WAITING", "LATEST"];
    let mut table = Table::new(style, &header);
    for of in &report.jobs {
        let number = |states: &[State]| of.count(states).to_string();
        let lost = of.count(&[State::Lost, State::Missed]) > 0;
        let mark = match () {
            () if lost => Mark::Bad,
            () if of.count(&SKIPPED) + of.count(&CUT) + of.count(&[State::Coalesced]) > 0 => Mark::Late,
            () if of.occurrences + of.asked == 0 => Mark::Idle,
            () => Mark::Good,
        };
        let cells = [
            of.job.to_string(),
            due(of),
            number(&RAN),
            number(&SKIPPED),
            number(&[State::Coalesced]),
            number(&[State::Missed]),
            number(&[State::Lost]),
            number(&CUT),
            number(&WAITING),
            if of.latest_seconds < 1.0 { "-".into() } else { span(Duration::from_secs_f64(of.latest_seconds)) },
        ];
        table.row(Some(mark), cells);
    }
    text += &table.text();
    let states: Vec<String> =
        report.states.iter().map(|(state, many)| format!("{many} {}", state.replace('_', " "))).collect();
    text += &format!("\nin all {}: {}\n", report.occurrences(), states.join(", "));
    text += &report.clocks.as_ref().map(clocks).unwrap_or_default();
    for (place, minute) in report.busiest.iter().enumerate() {
        let names: Vec<String> = minute.jobs.iter().map(ToString::to_string).collect();
        let more = if usize::try_from(minute.starts).is_ok_and(|starts| starts > names.len()) { ", …" } else { "" };
        let head = if place == 0 { "busiest" } else { "" };
        let at = style.time(minute.at, zone);
        text += &format!("{head:<8} {at}   {} begin: {}{more}\n", minute.starts, names.join(", "));
    }
    if report.at_once > 0 {
        text += &format!("at once  {} at most, at {}\n", report.at_once, style.time(report.at_once_at, zone));
    }
    for advice in &report.advice {
        text += &advised(advice);
    }
    text
}

fn clocks(clocks: &Clocks) -> String {
    let all: Vec<String> = clocks
        .ahead_seconds
        .iter()
        .map(|ahead| {
            let sign = if *ahead < 0.0 { "-" } else { "+" };
            format!("{sign}{}", span(Duration::from_secs_f64(ahead.abs())))
        })
        .collect();
    let all = all.join(", ");
    if clocks.later_seconds == 0.0 {
        return format!("clocks   {all}: that changes nothing, as replicas go by the store's\n");
    }
    let later = span(Duration::from_secs_f64(clocks.later_seconds));
    format!("clocks   {all}: most say that the store's is ahead, so all begins {later} late, and none early\n")
}

fn due(of: &OfJob) -> String {
    if of.asked == 0 { of.occurrences.to_string() } else { format!("{} + {} asked", of.occurrences, of.asked) }
}

fn advised(advice: &Advice) -> String {
    let names: Vec<String> = advice.jobs.iter().take(NAMED).map(ToString::to_string).collect();
    let more = advice.jobs.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!(
        "advice   `jitter = \"{}s\"` for {}{more} (or `H` for their minutes): {} would begin in the fullest minute instead of {}\n",
        advice.jitter_seconds,
        names.join(", "),
        advice.then,
        advice.now
    )
}

//! `cronclave next`: when jobs will run, and why then.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::show::Style;
use super::times::Times;
use super::{Context, Failure, find, out};
use crate::clock::{Clock, Timestamp};
use crate::job::Job;
use crate::phrase;
use crate::shape::{self, Start};

/// Show when jobs will run. Reads the schedule files only: no database is needed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave next                                     the next 5 starts of each job
  cronclave next db-backup -n 3 --from 2027-03-27    around a change of clocks
  cronclave next report --skipped                    also what calendars keep from running
  cronclave next report --until 2027-01-01 --json    all until then, for a program

Times without a zone are those of the job's own zone.")]
pub(super) struct Next {
    /// The jobs' names [default: all]
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// How many of each [default: 5, or 1000 with --until]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: Option<u32>,
    /// Those from this time on [default: now]
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Those before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show the occurrences that a calendar keeps from running as well
    #[arg(long)]
    skipped: bool,
    /// Only jobs with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

impl Next {
    pub(super) fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let config = context.config(&context.paths())?;
        let jobs = find::jobs(&config, &self.jobs)?;
        let now = Clock::system().now();
        let tagged = |job: &&Arc<Job>| self.tag.as_ref().is_none_or(|tag| job.tags.contains(tag));
        let jobs: Vec<_> = jobs.into_iter().filter(|job| tagged(&job)).collect();
        let all = jobs.iter().map(|job| Ok((job, self.starts(job, now)?))).collect::<Result<Vec<_>, Failure>>()?;
        let style = &context.style;
        if context.global.json {
            let items: Vec<Value> =
                all.iter().map(|(job, starts)| as_json(job, &times(job, now, style), starts)).collect();
            out::json(&json!({ "items": items }))?;
        } else {
            let blocks: Vec<String> =
                all.iter().map(|(job, starts)| text(job, &times(job, now, style), starts)).collect();
            out::print(blocks.join("\n"))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn starts(&self, job: &Job, now: Timestamp) -> Result<Vec<Start>, Failure> {
        let read = |flag: &str, text: &Option<String>| {
            let at = text.as_deref().map(|text| phrase::moment(text, job.schedule.zone()));
            at.transpose()
                .map_err(|why| Failure::new(Failure::USAGE, format!("{flag} {}: {why}", text.as_deref().unwrap_or(""))))
        };
        let (from, until) = (read("--from", &self.from)?, read("--until", &self.until)?);
        let most = self.count.unwrap_or(if until.is_some() { 1000 } else { 5 });
        // A time that was named is itself one of those shown.
        let mut edge = from.map_or(now, |from| from.minus(Duration::from_micros(1)));
        let mut starts: Vec<Start> = Vec::new();
        let mut open = 0;
        // However many are closed, it comes to an end.
        while open < most && starts.len() < 100 + 10 * most as usize {
            let closed = |at: Timestamp| job.closed(at).map(str::to_owned);
            let after = if self.skipped { job.schedule.after(edge) } else { job.next_open(edge) };
            let Some(at) = after.filter(|at| until.is_none_or(|until| *at < until)) else { break };
            let Some(slot) = job.schedule.next(at.minus(Duration::from_micros(1))) else { break };
            let start = Start { due: job.due(at), closed: closed(at), slot };
            open += u32::from(start.closed.is_none());
            edge = at;
            starts.push(start);
        }
        Ok(starts)
    }
}

fn times<'a>(job: &'a Job, now: Timestamp, style: &'a Style) -> Times<'a> {
    Times { zone: job.schedule.zone(), now, style }
}

fn as_json(job: &Job, times: &Times<'_>, starts: &[Start]) -> Value {
    json!({
        "job": job.name,
        "schedule": shape::schedule(job),
        "timezone": times.zone.name(),
        "description": shape::words(job),
        "enabled": job.enabled,
        "occurrences": starts.iter().map(|start| start.shape(times.zone)).collect::<Vec<_>>(),
    })
}

fn text(job: &Job, times: &Times<'_>, starts: &[Start]) -> String {
    let zone = times.zone;
    let mut text = format!("{}   {}   {zone}\n{}\n", job.name, job.schedule.text(), shape::words(job));
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
    text + "\n" + &times.text(starts)
}

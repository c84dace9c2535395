//! `cronclave pause`: nothing of these jobs is started from now on.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::find::Chosen;
use super::{Context, Failure, out, show};
use crate::clock::Timestamp;
use crate::config;
use crate::job::Job;
use crate::record::Op;

/// Stop starting jobs, on all replicas. What runs goes on; what comes due meanwhile is skipped.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave pause crm-sync --for 2h --reason 'CRM maintenance'
  cronclave pause --tag reports --until 2026-12-24T08:00
  cronclave pause --all

Undo it with `cronclave resume`.")]
pub(super) struct Pause {
    #[command(flatten)]
    chosen: Chosen,
    /// Why; shown to everybody
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Until this time [default: until resumed]
    #[arg(long, value_name = "TIME", conflicts_with = "for")]
    until: Option<String>,
    /// For so long
    #[arg(long, value_name = "DURATION")]
    r#for: Option<String>,
}

/// Counting what will be skipped stops here.
const COUNTED: usize = 1000;

impl Pause {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let config = context.config(&process.config)?;
        let jobs = self.chosen.of(&config)?;
        let store = context.store(&process).await?;
        let now = store.snapshot().await?.now;
        let mut done = Vec::new();
        for job in jobs {
            let until = self.end(&job, now)?;
            let op = Op::Pause { until, reason: self.reason.clone(), by: super::user() };
            store.apply(&job.name, &op).await?;
            if context.global.json {
                done.push(json!({"job": job.name, "paused": true, "until": until, "reason": self.reason}));
            } else {
                out::line(told(&job, now, until, context))?;
            }
        }
        if context.global.json {
            out::json(&json!({ "items": done }))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn end(&self, job: &Job, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
        let wrong = |flag: &str, text: &str, why: String| Failure::new(Failure::USAGE, format!("{flag} {text}: {why}"));
        let until = match (&self.r#for, &self.until) {
            (Some(text), _) => Some(now.plus(config::duration(text).map_err(|why| wrong("--for", text, why))?)),
            (None, Some(text)) => {
                Some(show::moment(text, job.schedule.zone()).map_err(|why| wrong("--until", text, why))?)
            }
            (None, None) => None,
        };
        match until.filter(|until| *until <= now) {
            Some(past) => Err(Failure::new(
                Failure::USAGE,
                format!("a pause until {past} would be over already: name a later time"),
            )),
            None => Ok(until),
        }
    }
}

fn told(job: &Job, now: Timestamp, until: Option<Timestamp>, context: &Context) -> String {
    let name = &job.name;
    let end = match until {
        None => "until resumed".to_owned(),
        Some(until) => format!(
            "until {} ({})",
            context.style.brief(until, now, job.schedule.zone()),
            show::about(until.since(now))
        ),
    };
    let skipped = until.filter(|_| job.enabled).map(|until| {
        let starts = std::iter::successors(job.next_open(now), |at| job.next_open(*at));
        let count = starts.take_while(|at| *at < until).take(COUNTED).count();
        let more = if count == COUNTED { " or more" } else { "" };
        format!(" {count}{more} {} skipped.", if count == 1 { "occurrence is" } else { "occurrences are" })
    });
    format!("paused {name} {end}.{} Undo: cronclave resume {name}", skipped.unwrap_or_default())
}

//! `cronclave pause`: nothing of these jobs is started from now on.

use std::process::ExitCode;

use clap::Args;

use super::find::Chosen;
use super::place::Files;
use super::{Context, Failure, out, show};
use crate::clock::Timestamp;
use crate::config;
use crate::phrase;
use crate::shape::{All, Job, Paused};

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
        let place = context.place(Files::Needed).await?;
        let page = self.chosen.of(&place).await?;
        let mut items = Vec::new();
        for job in &page.items {
            let until = self.end(job, page.now)?;
            let paused = place.pause(job.name.as_str(), until, self.reason.clone()).await?;
            if !context.global.json {
                out::line(told(&paused, context))?;
            }
            items.push(paused);
        }
        if context.global.json {
            out::json(&All { items })?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn end(&self, job: &Job, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
        let wrong = |flag: &str, text: &str, why: String| Failure::new(Failure::USAGE, format!("{flag} {text}: {why}"));
        let zone = show::known_zone(Some(&job.timezone));
        match (&self.r#for, &self.until) {
            (Some(text), _) => Ok(Some(now.plus(config::duration(text).map_err(|why| wrong("--for", text, why))?))),
            (None, Some(text)) => phrase::moment(text, &zone).map(Some).map_err(|why| wrong("--until", text, why)),
            (None, None) => Ok(None),
        }
    }
}

fn told(paused: &Paused, context: &Context) -> String {
    let (name, zone) = (&paused.job, show::known_zone(Some(&paused.timezone)));
    let end = match paused.until {
        None => "until resumed".to_owned(),
        Some(until) => {
            let distance = phrase::about(until.since(paused.at));
            format!("until {} ({distance})", context.style.brief(until, paused.at, &zone))
        }
    };
    let skipped = paused.skipped.map(|count| {
        let more = if count == COUNTED { " or more" } else { "" };
        format!(" {count}{more} {} skipped.", if count == 1 { "occurrence is" } else { "occurrences are" })
    });
    format!("paused {name} {end}.{} Undo: cronclave resume {name}", skipped.unwrap_or_default())
}

//! `cronclave cancel`: stops open runs.

use std::process::ExitCode;

use clap::Args;

use super::place::Files;
use super::{Context, Failure, out};
use crate::phrase;
use crate::record::Phase;
use crate::shape::{All, Cancelled};

/// Stop a run: the process that has it notices at its next renewal (a third of the lease), sends
/// TERM, and KILL after `kill_after`.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave cancel db-backup          its open run
  cronclave cancel 9b1f0d5c7a4e       by the end of its id
  cronclave cancel --all --yes        every open run of every job

A cancelled run is not tried again. Nothing undoes it; `cronclave trigger JOB` starts a new one.")]
pub(super) struct Cancel {
    /// A run (any unique beginning or end of its id), or a job with one open run
    #[arg(value_name = "RUN|JOB", required_unless_present = "all")]
    what: Option<String>,
    /// All open runs of all jobs
    #[arg(long, conflicts_with = "what")]
    all: bool,
    /// Who asks [default: $USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let place = context.place(Files::Helpful).await?;
        let runs = match self.what {
            Some(what) => vec![what],
            None => place.status().await?.it.runs.iter().map(|run| run.id.to_string()).collect(),
        };
        if self.all && runs.is_empty() {
            out::line("no run is open; nothing to cancel")?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.all && !self.yes {
            let question = format!("Cancel {}? Type yes:", phrase::count(runs.len(), "open run"));
            if !out::confirm(&question, "yes")? {
                return Err(Failure::new(Failure::NO, "nothing cancelled"));
            }
        }
        let mut items = Vec::new();
        for run in runs {
            let cancelled = match place.cancel(&run, self.by.clone()).await {
                // One of all: it ended by itself.
                Err(refusal) if self.all && refusal.why == crate::desk::Why::Over => continue,
                done => done?,
            };
            if !context.global.json {
                out::line(told(&cancelled))?;
            }
            items.push(cancelled);
        }
        if context.global.json {
            out::json(&All { items })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn told(cancelled: &Cancelled) -> String {
    let (job, short) = (&cancelled.job, cancelled.id.short());
    match (cancelled.open, cancelled.phase) {
        (true, Phase::Waiting) => {
            format!("cancelled run {short} of {job}: it had not started. Again: cronclave trigger {job}")
        }
        (true, _) => {
            format!(
                "asked {} to stop run {short} of {job}. See: cronclave logs -f {short}. Again: cronclave trigger {job}",
                cancelled.replica
            )
        }
        _ => format!("run {short} of {job} ended meanwhile"),
    }
}

//! `cronclave why JOB@TIME`: what happened to one occurrence, and why.

use std::process::ExitCode;

use clap::Args;

use super::{Context, Failure, out, show};
use crate::schedule::Zone;
use crate::why::{self, Why as Answer};

/// Say what happened to one occurrence of a job, and why: who ran it, or why nobody did.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave why db-backup@2026-11-22T02:30          in the job's own zone
  cronclave why db-backup@2026-11-22T01:30:00Z
  cronclave why report@2026-11-22 --json

Exits with 0 when it succeeded, and 1 when it did not, or has not yet.")]
pub(super) struct Why {
    /// The job and the instant that it was scheduled for
    #[arg(value_name = "JOB@TIME")]
    occurrence: String,
}

impl Why {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let known = context.known(&process);
        let store = context.store(&process).await?;
        let usage = |why: String| Failure::new(Failure::USAGE, format!("`{}`: {why}", self.occurrence));
        let Some((name, time)) = self.occurrence.split_once('@') else {
            return Err(usage("write a job and a time, as in db-backup@2026-11-22T02:30".into()));
        };
        let name = known.name(&store.snapshot().await?, name)?;
        let zone = known.zone(&name);
        let at = show::moment(time, context.style.zone.as_ref().unwrap_or(&zone)).map_err(usage)?;
        let answer = why::why(&*store, &name, known.get(&name).map(|job| &**job), at).await?;
        if context.global.json {
            out::json(&answer)?;
        } else {
            out::print(text(&answer, &zone, context))?;
        }
        let good = answer.state == Some(crate::ledger::State::Succeeded);
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn text(answer: &Answer, zone: &Zone, context: &Context) -> String {
    let style = &context.style;
    let mut text = format!("{} at {}\n{}\n", answer.job, style.time(answer.at, zone), answer.answer);
    text += if answer.facts.is_empty() { "" } else { "\n" };
    for fact in &answer.facts {
        let when = fact.at.map(|at| style.instant(at, answer.at, zone)).unwrap_or_default();
        let clean: String = fact.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        text += format!("  {when:<15}  {clean}").trim_end();
        text.push('\n');
    }
    text
}

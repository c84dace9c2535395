//! `cronclave resume`: paused jobs are started again.

use std::process::ExitCode;

use clap::Args;

use super::find::Chosen;
use super::place::Files;
use super::{Context, Failure, out};
use crate::desk::AfterPause;
use crate::shape::All;

/// Start paused jobs again. What came due in the pause is skipped unless --catch-up is given.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave resume crm-sync
  cronclave resume --all
  cronclave resume invoices --catch-up    what came due is treated as late: see `misfire`")]
pub(super) struct Resume {
    #[command(flatten)]
    chosen: Chosen,
    /// Treat what came due in the pause as late, as the job's `misfire` says, instead of skipping it
    #[arg(long)]
    catch_up: bool,
}

impl Resume {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let place = context.place(Files::Needed).await?;
        let after = if self.catch_up { AfterPause::CatchUp } else { AfterPause::Skip };
        let mut items = Vec::new();
        for job in self.chosen.of(&place).await?.items {
            let resumed = place.resume(job.name.as_str(), after).await?;
            if !context.global.json {
                let (name, was_paused) = (&job.name, resumed.was_paused);
                let rest = if self.catch_up { "is caught up as `misfire` says" } else { "is skipped" };
                out::line(match was_paused {
                    true => format!("resumed {name}; what came due meanwhile {rest}. Undo: cronclave pause {name}"),
                    false => format!("{name} was not paused; nothing changed"),
                })?;
            }
            items.push(resumed);
        }
        if context.global.json {
            out::json(&All { items })?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

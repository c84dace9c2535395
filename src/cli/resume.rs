//! `cronclave resume`: paused jobs are started again.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::find::Chosen;
use super::{Context, Failure, out};
use crate::record::Op;

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
        let process = context.quiet()?;
        let config = context.config(&process.config)?;
        let jobs = self.chosen.of(&config)?;
        let store = context.store(&process).await?;
        let mut done = Vec::new();
        for job in jobs {
            let op = Op::Resume { catch_up: self.catch_up, by: super::user() };
            let was_paused = !store.apply(&job.name, &op).await?.events.is_empty();
            if context.global.json {
                done.push(json!({"job": job.name, "paused": false, "was_paused": was_paused}));
                continue;
            }
            let name = &job.name;
            let rest = if self.catch_up { "is caught up as `misfire` says" } else { "is skipped" };
            out::line(match was_paused {
                true => format!("resumed {name}; what came due meanwhile {rest}. Undo: cronclave pause {name}"),
                false => format!("{name} was not paused; nothing changed"),
            })?;
        }
        if context.global.json {
            out::json(&json!({ "items": done }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

//! `cronclave trigger`: asks the cluster for a run.

use std::process::ExitCode;

use clap::Args;

use super::logs::{self, Printer};
use super::place::Files;
use super::{Context, Failure, out, refusal};
use crate::desk::{Asked, Part};
use crate::phrase;
use crate::shape::Run;

/// Ask the cluster to run a job now: the first replica to see it starts it. Prints the run's id.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave trigger report                          start it, somewhere, and go on
  cronclave trigger report --wait                   show its output and exit as it does
  cronclave trigger import --arg day=2026-11-21     the job sees CRONCLAVE_ARG_DAY
  cronclave trigger report --idempotency-key $CI_JOB_ID   asked twice, it still runs once

To run it here, in this process, use `cronclave run`.")]
pub(super) struct Trigger {
    /// The job's name
    job: String,
    /// Show the run's output until it is over, and exit as it does
    #[arg(long)]
    wait: bool,
    /// Hand an argument to the job, as CRONCLAVE_ARG_NAME; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::pair)]
    arg: Vec<(String, String)>,
    /// Why; it is kept in the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The same key asked again is the same run
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Trigger {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let place = context.place(Files::Needed).await?;
        let (args, reason, key) = (self.arg.into_iter().collect(), self.reason, self.idempotency_key);
        let asked = Asked { args, reason, scheduled_at: None, key };
        let triggered = place.trigger(&self.job, asked).await.map_err(|refusal| {
            let mut failure = Failure::from(refusal);
            if failure.code == Failure::TEMPFAIL {
                failure.message += "\ncronclave: nothing triggered; try again later";
            }
            failure
        })?;
        if !triggered.new {
            out::note("this was asked before; it is the same run");
        }
        if triggered.replicas == 0 {
            out::note("no replica is running: nobody starts it until `cronclave serve` does");
        }
        let short = triggered.id.short();
        if context.global.json {
            out::json(&triggered)?;
        } else if self.wait {
            out::note(format_args!("{}  run {short}", triggered.job));
        } else {
            out::line(triggered.id)?;
            out::note(format_args!("follow it: cronclave logs -f {short}   undo: cronclave cancel {short}"));
        }
        if !self.wait {
            return Ok(ExitCode::SUCCESS);
        }
        let run = logs::follow(&place, &triggered.id.to_string(), Part::default(), &mut Printer::default()).await?;
        Ok(tell(&run))
    }
}

/// Says how it ended; answers with the job's own exit code where it has one.
pub(super) fn tell(run: &Run) -> ExitCode {
    out::note(phrase::result(run));
    ExitCode::from(refusal::code_of(run))
}

//! `cronclave trigger`: asks the cluster for a run.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::logs::{self, Printer, Reader};
use super::refusal::{code, in_the_way};
use super::{Context, Failure, find, out, show, status};
use crate::lease::{RunId, Trigger as Why};
use crate::ledger::Entry;
use crate::record::{Op, Reply};

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
        let process = context.quiet()?;
        let config = context.config(&process.config)?;
        let job = find::job(&config, &self.job)?;
        let store = context.store(&process).await?;
        let now = store.view(&job.name, None).await?.now;
        let run_id = match &self.idempotency_key {
            Some(key) => RunId::of_request(&job.name, key),
            None => RunId::fresh(now),
        };
        let op = Op::Trigger {
            run_id,
            at: None,
            trigger: Why::Manual { by: super::user(), reason: self.reason },
            args: self.arg.into_iter().collect(),
            overlap: job.overlap,
            expect: None,
            on_record: false,
        };
        let answer = store.apply(&job.name, &op).await?;
        if answer.reply != Reply::Done {
            let why = in_the_way(&job.name, &answer);
            return Err(Failure::new(
                Failure::TEMPFAIL,
                format!("{why}\ncronclave: nothing triggered; try again later"),
            ));
        }
        if answer.events.is_empty() {
            out::note("this was asked before; it is the same run");
        }
        if !status::somebody_is_there(&*store, answer.view.now).await? {
            out::note("no replica is running: nobody starts it until `cronclave serve` does");
        }
        if context.global.json {
            out::json(&json!({"id": run_id, "job": job.name, "new": !answer.events.is_empty()}))?;
        } else if self.wait {
            out::note(format_args!("{}  run {}", job.name, run_id.short()));
        } else {
            out::line(run_id)?;
            out::note(format_args!(
                "follow it: cronclave logs -f {short}   undo: cronclave cancel {short}",
                short = run_id.short()
            ));
        }
        if !self.wait {
            return Ok(ExitCode::SUCCESS);
        }
        let entry = logs::follow(&*store, Reader::of(run_id), &mut Printer::default()).await?;
        Ok(tell(&entry))
    }
}

/// Says how it ended; answers with the job's own exit code where it has one.
pub(super) fn tell(entry: &Entry) -> ExitCode {
    out::note(show::result(entry));
    let ended = entry.latest().and_then(|attempt| attempt.ended.as_ref());
    ExitCode::from(ended.map_or(1, |ended| code(ended, 0)))
}

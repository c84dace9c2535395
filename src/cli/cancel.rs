//! `cronclave cancel`: stops open runs.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::find::{self, Known};
use super::{Context, Failure, out, show};
use crate::job::JobName;
use crate::record::{Op, Open, Phase, Reply};
use crate::store::{Snapshot, Store};

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
        let process = context.quiet()?;
        let known = context.known(&process);
        let store = context.store(&process).await?;
        let snapshot = store.snapshot().await?;
        let runs = match &self.what {
            Some(what) => vec![one(&*store, &snapshot, &known, what).await?],
            None => all(&snapshot),
        };
        if self.all && runs.is_empty() {
            out::line("no run is open; nothing to cancel")?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.all && !self.yes {
            let question = format!("Cancel {}? Type yes:", show::count(runs.len(), "open run"));
            if !out::confirm(&question, "yes")? {
                return Err(Failure::new(Failure::NO, "nothing cancelled"));
            }
        }
        let by = self.by.or_else(super::user).unwrap_or_else(|| "somebody".into());
        let mut done = Vec::new();
        for (job, run) in runs {
            let reply = store.apply(job, &Op::Cancel { run_id: run.run_id, by: by.clone() }).await?.reply;
            if context.global.json {
                done.push(json!({"id": run.run_id, "job": job, "open": reply == Reply::Done}));
            } else {
                out::line(told(job, run, &reply))?;
            }
        }
        if context.global.json {
            out::json(&json!({ "items": done }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn told(job: &JobName, run: &Open, reply: &Reply) -> String {
    let short = run.run_id.short();
    match (reply, run.phase) {
        (Reply::Done, Phase::Waiting) => format!("cancelled run {short} of {job}: it had not started"),
        (Reply::Done, _) => {
            format!("asked {} to stop run {short} of {job}. See: cronclave logs -f {short}", run.holder)
        }
        _ => format!("run {short} of {job} ended meanwhile"),
    }
}

fn all(snapshot: &Snapshot) -> Vec<(&JobName, &Open)> {
    snapshot.records.iter().flat_map(|(job, record)| record.open.iter().map(move |run| (job, run))).collect()
}

/// The one open run that is meant.
async fn one<'a>(
    store: &dyn Store,
    snapshot: &'a Snapshot,
    known: &Known,
    what: &str,
) -> Result<(&'a JobName, &'a Open), Failure> {
    let job = known.name(snapshot, what);
    let open = match &job {
        Ok(name) => all(snapshot).into_iter().filter(|(job, _)| *job == name).collect(),
        Err(_) => find::open_runs(snapshot, what),
    };
    match (open.as_slice(), job) {
        ([run], _) => Ok(*run),
        ([], Ok(name)) => Err(Failure::new(Failure::NO_INPUT, format!("{name} has no open run: nothing to cancel"))),
        ([], Err(unknown)) => Err(match find::run(store, what).await? {
            Some(entry) => {
                Failure::new(Failure::NO, format!("run {what} of {} is over: {}", entry.job, show::result(&entry)))
            }
            None => unknown,
        }),
        (several, _) => {
            let ids: Vec<String> = several.iter().map(|(_, run)| run.run_id.short()).collect();
            Err(Failure::new(
                Failure::USAGE,
                format!("{what} has several open runs: name one of {}, or --all", ids.join(", ")),
            ))
        }
    }
}

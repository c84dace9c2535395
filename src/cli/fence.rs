//! `cronclave fence`: whether a fencing token still counts.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::place::Files;
use super::{Context, Failure, out};
use crate::config;
use crate::lease::Fence as Token;

/// Exit status when the token does not count any more.
const OUTDATED: u8 = 3;

/// Check fencing tokens, for jobs that want to know whether they may still act.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave fence check                                    inside a job: may this run still act?
  cronclave fence check db-backup 1795372800000000         any run, by its token")]
pub(super) struct Fence {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Exit with 0 when a run may still act, and 3 when it may not
    Check(Check),
}

#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave fence check                                    inside a job: this run itself
  cronclave fence check || exit 1                          before each step that cannot be undone
  cronclave fence check db-backup 1795372800000000 --json

Exits with 0 when the token is the newest claim on its run and the lease has not ended; with 3 when it is not; with
other codes when that cannot be told. The answer may be outdated by the time it is read: where the resource itself can
compare tokens, let it (docs/FENCING.md).

A job does not see the variables CRONCLAVE_REDIS_URL, CRONCLAVE_DB and CRONCLAVE_SERVER of its replica: name the store
with REDIS_URL, --db or --server, or in its `env`.")]
struct Check {
    /// The job [default: CRONCLAVE_JOB]
    job: Option<String>,
    /// The fencing token [default: CRONCLAVE_FENCING_TOKEN]
    token: Option<u64>,
}

impl Fence {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let What::Check(check) = self.what;
        check.run(context).await
    }
}

impl Check {
    async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let (job, token) = self.asked()?;
        let place = context.place(Files::Helpful).await?;
        let answer = place.fence(&job, token).await?;
        if context.global.json {
            out::json(&answer)?;
        } else {
            let word = if answer.may_act { "may act" } else { "may not act" };
            out::line(format_args!("{job} under {token} {word}: {}", answer.reason))?;
        }
        Ok(if answer.may_act { ExitCode::SUCCESS } else { ExitCode::from(OUTDATED) })
    }

    /// What was typed, or what a job finds in its environment.
    fn asked(&self) -> Result<(String, Token), Failure> {
        let usage = |why: String| Failure::new(Failure::USAGE, why);
        let missing = |what: &str, variable: &str| {
            usage(format!("{what} is missing: write `cronclave fence check JOB TOKEN`; inside a job {variable} has it"))
        };
        let job = self.job.clone().or_else(|| config::environment("CRONCLAVE_JOB"));
        let job = job.ok_or_else(|| missing("the job", "CRONCLAVE_JOB"))?;
        if let Some(token) = self.token {
            return Ok((job, Token(token)));
        }
        // The token in the environment is that of the job in the environment, and of no other.
        if self.job.is_some() && self.job != config::environment("CRONCLAVE_JOB") {
            return Err(missing("the token", "CRONCLAVE_FENCING_TOKEN"));
        }
        let text = config::environment("CRONCLAVE_FENCING_TOKEN");
        let text = text.ok_or_else(|| missing("the token", "CRONCLAVE_FENCING_TOKEN"))?;
        let token = text.parse().map_err(|_| usage(format!("CRONCLAVE_FENCING_TOKEN: `{text}` is no number")))?;
        Ok((job, Token(token)))
    }
}

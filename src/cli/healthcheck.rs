//! `cronclave healthcheck`: whether the replica of this machine is ready.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{Context, Failure};
use crate::config::{Flags, Process, environment};

/// Exit with 0 when the replica that serves HTTP here is ready, and with 1 when it is not.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  HEALTHCHECK CMD [\"/usr/bin/cronclave\", \"healthcheck\"]     in a Dockerfile
  cronclave healthcheck --live                              alive, whatever its store does
  cronclave healthcheck --listen :8081                      one that listens elsewhere

Asks /readyz, or /livez, where a replica with this environment listens: CRONCLAVE_LISTEN, PORT, or 127.0.0.1:8080.
Ready means: it has looked at all its jobs, the store answers, and it is not stopping.")]
pub(super) struct Healthcheck {
    /// Whether it is alive, not whether it is ready
    #[arg(long)]
    live: bool,
    /// Where it listens [env: CRONCLAVE_LISTEN, PORT] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// How long it may take to answer
    #[arg(long, value_name = "DURATION", default_value = "3s")]
    timeout: String,
}

impl Healthcheck {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let limit = crate::config::duration(&self.timeout)
            .map_err(|why| Failure::new(Failure::USAGE, format!("--timeout {}: {why}", self.timeout)))?;
        let url = match &context.global.server {
            Some(server) => server.trim_end_matches('/').to_owned(),
            None => Process::address(&Flags { listen: self.listen, ..Flags::default() }, &environment)
                .map_err(|wrong| Failure::from(vec![wrong]))?,
        };
        let url = format!("{url}/{}", if self.live { "livez" } else { "readyz" });
        match ask(&url, limit).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(why) => Err(Failure::new(Failure::NO, format!("{url}: {why}"))),
        }
    }
}

async fn ask(url: &str, limit: Duration) -> Result<(), String> {
    let client = reqwest::Client::builder().no_proxy().timeout(limit).build().map_err(|error| error.to_string())?;
    match client.get(url).send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => {
            let (status, body) = (answer.status(), answer.text().await.unwrap_or_default());
            Err(format!("{status} {}", body.lines().next().unwrap_or_default()).trim_end().to_owned())
        }
        Err(error) if error.is_timeout() => Err(format!("no answer within {limit:?}")),
        Err(error) if error.is_connect() => Err("nothing listens there: is `cronclave serve` running?".into()),
        Err(error) => Err(error.to_string()),
    }
}

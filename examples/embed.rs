//! A program with a scheduler inside: its jobs are its own async functions.
//!
//! `cargo run --example embed` runs until Ctrl+C. Start it twice: each second is counted by one of them.

use cronclave::config::{self, Flags, Process, SourceText};
use cronclave::runner::{Context, Handlers};
use cronclave::service::{self, Role, Service};
use cronclave::store::Create;

const JOBS: &str = r#"
version = 1

[jobs.count]
every   = "1s"
handler = "count"
args    = { by = 2 }
"#;

/// The run id is the same for every attempt: an idempotency key for whatever this changes.
async fn count(context: Context) -> Result<(), String> {
    let by = context.args["by"].as_u64().ok_or("`by` is not a number")?;
    println!("{} counts by {by}, fence {}", context.work.scheduled_at, context.work.fence);
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let flags = Flags { db: Some("embed.db".into()), no_http: true, ..Flags::default() };
    let process = Process::load(&flags, &config::environment, "embed").map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?;
    let sources = vec![SourceText { name: "jobs in embed.rs".into(), text: JOBS.into() }];
    let config = config::load(&sources, &config::environment, cronclave::clock::Clock::system().now())
        .map_err(|wrong| anyhow::anyhow!(config::report(&wrong, false)))?;
    let backends = service::open(&process, Create::IfMissing)?;
    let parts = service::parts(&process, backends, Handlers::new().register("count", count));
    let service = Service { process, parts, config, sources, watch: false, front: None, role: Role::default() };
    Ok(service.run().await?)
}

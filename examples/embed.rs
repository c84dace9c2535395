//! A program with a scheduler inside: its jobs are its own async functions.
//!
//! `cargo run --example embed` runs until Ctrl+C. Start it twice: each second is counted by one of them.

use cronclave::{Context, Cronclave, Error};

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
    println!("{} counts by {by}, fence {}", context.scheduled_at(), context.fence());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let replica = Cronclave::builder().toml("jobs in embed.rs", JOBS).handler("count", count).sqlite("embed.db");
    let stop = async { _ = tokio::signal::ctrl_c().await };
    replica.shutdown_when(stop).start().await?.stopped().await;
    Ok(())
}

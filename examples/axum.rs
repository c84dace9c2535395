//! A web application with a scheduler inside: its own routes, a job of its own, and the dashboard below `/cron`.
//!
//! `cargo run --example axum`, then open <http://127.0.0.1:3000/cron>. Ctrl+C stops both: no new request, no new run, and
//! what goes on may end. Start it twice, on another address (`cargo run --example axum 127.0.0.1:3001`): they are a cluster.

use axum::{Router, routing::get};
use cronclave::{Context, Cronclave, Role};

async fn report(context: Context) -> Result<(), String> {
    context.print(format!("the report of {}", context.scheduled_at())).await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cron = Cronclave::builder().toml("axum.toml", include_str!("axum.toml")).from_env().handler("report", report);
    let stop = async { _ = tokio::signal::ctrl_c().await };
    // Whoever gets here may look. Put your own sign-in before the route, and give more to those whom it knows.
    let cron = cron.visitors(Role::Viewer).shutdown_when(stop).start().await?;
    let app = Router::new().route("/", get(async || "my own page")).nest_service("/cron", cron.router());
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening at {}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(cron.stopping()).await?;
    cron.stopped().await;
    Ok(())
}

//! A year of a nightly job, over both changes of clocks, as a test of a program would live through it.
//!
//! `cargo run --example testing`; in a program of your own the body is a `#[test]`.

use std::time::Duration;

use cronclave::Context;
use cronclave::testing::Cluster;

const JOBS: &str = r#"
version = 1

[jobs.nightly]
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
handler  = "report"
"#;

async fn report(context: Context) -> Result<(), String> {
    tokio::time::sleep(Duration::from_secs(600)).await;
    context.print(format!("attempt {} for {}", context.attempt(), context.scheduled_at())).await;
    Ok(())
}

fn main() -> Result<(), cronclave::Error> {
    let began = std::time::Instant::now();
    let mut cluster =
        Cluster::new(JOBS)?.starting("2026-01-01T00:00:00Z").replicas(3).seed(7).handler("report", report);
    let year = cluster.advance(Duration::from_secs(365 * 86_400));

    // 02:30 is not on the clock in spring, and twice in autumn: still one run for each day.
    assert_eq!(year.succeeded("nightly"), 365, "{year}");
    let at = year.at("nightly");
    let on = |day: &str| at.iter().filter(|time| time.starts_with(day)).collect::<Vec<_>>();
    assert_eq!(on("2026-03-29"), ["2026-03-29T03:00:00+02:00"]);
    assert_eq!(on("2026-10-25"), ["2026-10-25T02:30:00+02:00"]);
    println!("{} runs in {:?}", at.len(), began.elapsed());
    Ok(())
}

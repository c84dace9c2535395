//! A job's page: what is known of it, and nothing that is not to be known.

use std::time::Duration;

use cronclave::lease::{Ended, Outcome};
use cronclave::record::Op;

use crate::bench::{Bench, with};

const JOBS: &str = r##"
[secrets]
pw = { env = "PW" }
[defaults]
timeout = "20m"
[calendars.weekend]
weekdays = ["SAT", "SUN"]
[jobs.report]
description = "<script>alert(1)</script> \u202Eevil\u001b[31m"
owner = "ana & co"
runbook = "https://example.com/runbook"
schedule = "0 9 * * *"
timezone = "Europe/Berlin"
skip_on = ["weekend"]
tags = ["nightly"]
warn_after = "10m"
command = "true"
env = { API_TOKEN = "do-not-show", PLAIN = "shown", OTHER = { secret = "pw" } }
[jobs.other]
schedule = "@manual"
command = "true"
env = { OTHER_TOKEN = "of-another" }
"##;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hostile_is_text_and_what_is_secret_is_not_shown() {
    let bench = Bench::new(JOBS, "2026-11-26T06:00:00Z").await;
    let page = bench.page("/jobs/report", "").await;
    assert!(!page.contains("<script>alert"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    for secret in ["do-not-show", "s3cret", "of-another"] {
        assert!(!page.contains(secret), "{secret} stands in {page}");
    }
    assert!(page.contains("PLAIN = &quot;shown&quot;"), "{page}");
    assert!(page.contains("schedules/jobs.toml:"), "{page}");
    assert!(!page.contains(" style=") && !page.contains("<style"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_says_where_it_is_from() {
    let bench = Bench::new(JOBS, "2026-11-26T06:00:00Z").await;
    let page = bench.page("/jobs/report", "").await;
    let row = |setting: &str| {
        let row = page.split(&format!("<code>{setting}</code>")).nth(1).unwrap_or_else(|| panic!("no {setting}"));
        row.split("</tr>").next().unwrap().to_owned()
    };
    assert!(row("timeout").contains("[defaults]"), "{}", row("timeout"));
    assert!(row("warn_after").contains("this job"), "{}", row("warn_after"));
    assert!(row("lease").contains("built in"), "{}", row("lease"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_be_skipped_is_shown_to_whoever_asks() {
    let bench = Bench::new(JOBS, "2026-11-26T06:00:00Z").await;
    let (open, all) = (bench.page("/jobs/report", "").await, bench.page("/jobs/report?skipped=true", "").await);
    assert!(!open.contains("skipped: closed by weekend"), "{open}");
    assert_eq!(open.matches("id=\"next-").count(), 10);
    assert!(all.matches("skipped: closed by weekend").count() >= 2, "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_is_a_dot_that_leads_to_it_and_a_row_of_the_table() {
    let bench = Bench::new(JOBS, "2026-11-22T06:00:00Z").await;
    for (day, took) in [(23, 60), (24, 700), (25, 90)] {
        let at = format!("2026-11-{day}T08:00:00Z").parse().unwrap();
        let ended = if took > 600 { Ended::because(Outcome::Failed, "exit code 1") } else { Ended::succeeded() };
        bench.run("report", at, Duration::from_secs(took), ended).await;
    }
    let (page, table) = (bench.page("/jobs/report", "").await, bench.page("/jobs/report/durations", "").await);
    let dots = with(&page, "data-run");
    let ledger = bench.ledger("report").await;
    assert_eq!(
        dots.iter().map(|dot| &dot["data-run"]).collect::<Vec<_>>(),
        ledger.iter().map(|line| &line.id).collect::<Vec<_>>()
    );
    for (dot, line) in dots.iter().zip(&ledger) {
        assert!(page.contains(&format!("href=\"/runs/{}\"", line.id)) && table.contains(&line.id));
        let shape = if line.state.word() == "failed" { "#d-bad" } else { "#d-good" };
        assert_eq!(dot["href"], shape);
    }
    let y = |n: usize| dots[n]["y"].parse::<f64>().unwrap();
    assert!(y(1) < y(2) && y(2) < y(0), "what took longer is higher: {dots:?}");
    assert!(page.contains("warn_after 10m"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_says_who_and_why_and_that_the_file_says_otherwise() {
    let bench = Bench::new(JOBS, "2026-11-26T06:00:00Z").await;
    let pause = Op::Pause { until: None, reason: Some("<b>moving</b>".into()), by: Some("ana".into()) };
    cronclave::store::Store::apply(&*bench.store, &bench.job("report").name, &pause).await.unwrap();
    let page = bench.page("/jobs/report", "").await;
    assert!(page.contains("Paused here; the file says enabled"), "{page}");
    assert!(page.contains("<bdi>ana</bdi>") && page.contains("&lt;b&gt;moving"), "{page}");
    assert!(page.contains("action=\"/jobs/report/resume\""), "{page}");
    let (status, body) = bench.form("/jobs/report/resume", "back=/jobs/report").await;
    assert_eq!(status, 200, "{body}");
    assert!(!bench.page("/jobs/report", "").await.contains("Paused here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_is_listed_before_it_is_done() {
    let bench = Bench::new(JOBS, "2026-11-22T06:00:00Z").await;
    bench.pass("report", "2026-11-25T08:00:00Z".parse().unwrap(), cronclave::ledger::Fate::Missed).await;
    let query = "from=2026-11-23&until=2026-11-26";
    let page = bench.page(&format!("/jobs/report/backfill?{query}"), "").await;
    assert!(page.contains("3 occurrences of 3 would run"), "{page}");
    assert_eq!(bench.ledger("report").await.len(), 1);
    let (status, body) = bench.form("/jobs/report/backfill", &format!("{query}&overlap=queue_all&reason=late")).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("3 past runs of report asked for"), "{body}");
    assert!(bench.ledger("report").await.len() >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_job_is_told_with_the_nearest_name() {
    let bench = Bench::new(JOBS, "2026-11-26T06:00:00Z").await;
    let head = "Authorization: Bearer correct-horse-battery-staple\r\nAccept: text/html\r\n";
    let (status, body) = bench.send("GET", "/jobs/reprot", head, "").await;
    assert_eq!(status, 404);
    assert!(body.contains("report"), "{body}");
}

//! What a change of schedule files changes.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::config::{self, SourceText};
use cronclave::diff::{self, Changes, Kind};
use cronclave::job::Job;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A Monday, midnight in UTC.
const FROM: &str = "2026-11-23T00:00:00Z";

fn jobs(text: &str) -> Vec<Arc<Job>> {
    let source = SourceText { name: "jobs.toml".into(), text: format!("version = 1\n{text}").into() };
    config::load(&[source], &|_| None, at(FROM))
        .unwrap_or_else(|wrong| panic!("{}", config::report(&wrong, false)))
        .jobs
}

fn between(old: &str, new: &str, days: u64) -> Changes {
    let until = at(FROM).plus(Duration::from_secs(days * 86_400));
    diff::compare(&jobs(old), &jobs(new), at(FROM), until)
}

fn job(schedule: &str, more: &str) -> String {
    format!("[jobs.x]\nschedule = \"{schedule}\"\ncommand = \"true\"\n{more}\n")
}

/// Added, dropped, moved.
fn counts(old: &str, new: &str) -> (usize, usize, usize) {
    let changes = between(&job(old, ""), &job(new, ""), 7);
    let starts = &changes.jobs[0].starts;
    (starts.added.count, starts.dropped.count, starts.moved.count)
}

#[test]
fn occurrences_are_added_dropped_or_moved() {
    assert_eq!(counts("30 2 * * *", "0 3 * * *"), (0, 0, 7));
    assert_eq!(counts("*/5 * * * *", "*/10 * * * *"), (0, 7 * 144, 0));
    assert_eq!(counts("0 0 * * *", "0 0,12 * * *"), (7, 0, 0));
    assert_eq!(counts("0 0 * * *", "@manual"), (0, 7, 0));
    assert_eq!(counts("0 0 * * MON-FRI", "0 0 * * *"), (2, 0, 0));
    assert_eq!(counts("0 0 * * *", "@daily"), (0, 0, 0), "another text for the same times");
    let changes = between(&job("30 2 * * *", ""), &job("0 3 * * *", ""), 7);
    let first = changes.jobs[0].starts.moved.first[0];
    assert_eq!(first, (at("2026-11-23T02:30:00Z"), at("2026-11-23T03:00:00Z")));
    assert_eq!(changes.jobs[0].starts.moved.first.len(), 3);
    let zone = between(&job("0 9 * * *", ""), &job("0 9 * * *", "timezone = \"Asia/Tokyo\""), 2);
    assert_eq!(zone.jobs[0].starts.moved.count, 2, "a zone moves them as well");
    let off = between(&job("0 9 * * *", ""), &job("0 9 * * *", "enabled = false"), 2);
    assert_eq!(off.jobs[0].starts.dropped.count, 2, "what is disabled starts nothing");
}

#[test]
fn jobs_come_and_go_and_their_settings_are_named() {
    let old =
        "[jobs.gone]\nschedule = \"@daily\"\ncommand = \"a\"\n[jobs.same]\nschedule = \"@daily\"\ncommand = \"a\"\n";
    let new = "[jobs.same]\nschedule = \"@daily\"\ncommand = \"a\"\n[jobs.fresh]\nevery = \"1h\"\ncommand = \"a\"\n";
    let changes = between(old, new, 1);
    let told: Vec<_> = changes.jobs.iter().map(|one| (one.name.as_str(), one.kind)).collect();
    assert_eq!(told, [("fresh", Kind::Added), ("gone", Kind::Removed)]);
    assert_eq!((changes.jobs[0].starts.added.count, changes.jobs[1].starts.dropped.count), (24, 1));
    let old = job("@daily", "timeout = \"1h\"\nenv = { A = \"secret\" }");
    let new = job("@daily", "timeout = \"90m\"\nenv = { A = \"other\" }\noverlap = \"queue_one\"\ncwd = \"/\"")
        .replace("\"true\"", "\"false\"");
    let changes = between(&old, &new, 1);
    let keys: Vec<_> = changes.jobs[0].settings.iter().map(|one| one.key).collect();
    assert_eq!(keys, ["timeout", "overlap", "command", "cwd", "env"]);
    assert_eq!(changes.jobs[0].settings[1].new.as_deref(), Some("queue_one"));
    assert!(changes.jobs[0].starts.is_empty());
    assert!(!format!("{:?}", changes.jobs[0].settings).contains("secret"));
    assert!(between(&old, &old, 1).jobs.is_empty());
}

#[test]
fn calendars_and_windows_count() {
    let calendar = "[calendars.free]\ndates = [2026-11-24]\n";
    let plain = format!("{calendar}{}", job("0 9 * * *", ""));
    let skipping = format!("{calendar}{}", job("0 9 * * *", "skip_on = [\"free\"]"));
    let changes = between(&plain, &skipping, 7);
    assert_eq!(changes.jobs[0].settings.iter().map(|one| one.key).collect::<Vec<_>>(), ["skip_on"]);
    assert_eq!(changes.jobs[0].starts.dropped.first, [at("2026-11-24T09:00:00Z")]);
    let ending = format!("{calendar}{}", job("0 9 * * *", "end = 2026-11-25"));
    assert_eq!(between(&plain, &ending, 7).jobs[0].starts.dropped.count, 4);
}

#[test]
fn crowded_minutes_are_found() {
    let many = |count: usize, schedule: &str| -> String {
        (0..count).map(|n| format!("[jobs.j{n}]\nschedule = \"{schedule}\"\ncommand = \"true\"\n")).collect()
    };
    let changes = between(&many(30, "H H * * *"), &many(30, "0 3 * * *"), 2);
    let crowd = &changes.crowd;
    assert!(crowd.old.unwrap().old < 5, "{crowd:?}");
    assert_eq!((crowd.new.unwrap().new, crowd.new.unwrap().at), (30, at("2026-11-23T03:00:00Z")));
    assert_eq!((crowd.count, crowd.grown.len(), crowd.until), (2, 2, None));
    let same = between(&many(30, "0 3 * * *"), &many(31, "0 3 * * *"), 2);
    assert_eq!((same.crowd.grown[0].old, same.crowd.grown[0].new), (30, 31));
    assert!(between(&many(30, "0 3 * * *"), &many(29, "0 3 * * *"), 2).crowd.grown.is_empty(), "it grew less");
    let spread = format!("[defaults]\njitter = \"50m\"\n{}", many(30, "0 3 * * *"));
    let most = between(&many(30, "0 3 * * *"), &spread, 2).crowd.new.unwrap();
    assert!(most.new < 10, "jitter spreads them: {most:?}");
    let often = between(&many(1, "* * * * * *"), &many(2, "* * * * * *"), 1);
    assert_eq!((often.crowd.old.unwrap().old, often.crowd.new.unwrap().new), (1, 2), "once in a minute, however often");
}

#[test]
fn of_jobs_that_start_very_often_only_the_first_occurrences_are_compared() {
    let changes = between(&job("* * * * * *", ""), &job("*/2 * * * * *", ""), 7);
    let starts = &changes.jobs[0].starts;
    let until = starts.until.expect("too many");
    assert!(starts.dropped.count >= 9_999 && starts.added.count == 0, "{starts:?}");
    assert!(until < at("2026-11-24T00:00:00Z"));
}

#[test]
fn ten_thousand_jobs_each_with_a_schedule_of_its_own_are_compared_in_bounded_work() {
    let all = |second: usize| -> String {
        (0..10_000)
            .map(|n| {
                format!("[jobs.j{n}]\nschedule = \"{} {} {} * * *\"\ncommand = \"true\"\n", second, n % 60, n / 60 % 24)
            })
            .collect()
    };
    let changes = between(&all(0), &all(30), 7);
    assert_eq!(changes.jobs.len(), 10_000);
    assert!(changes.jobs.iter().all(|one| one.starts.moved.count == 7));
}

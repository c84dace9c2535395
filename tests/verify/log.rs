//! Evidence as a file: what is written is what is read, and a broken file says where.

use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::job::Job;
use cronclave::lease::Token;
use cronclave::schedule::{GapRule, OverlapRule, Rules, Schedule, Zone};
use cronclave::store::Snapshot;
use cronclave::verify::{Header, Judge, Log, OfJob, Reading, Report, Writer};

use super::evidence::{at, good, lines, name};
use super::jobs::every;

fn reading() -> Reading {
    let mut reading = Reading::at(Snapshot { now: at(5, 0), ..Snapshot::default() });
    reading.take(good().events);
    reading
}

fn written() -> String {
    let mut file = Vec::new();
    let header = Header::new("here", at(5, 0), at(0, 0), None);
    let mut writer = Writer::begin(&mut file, &header, &reading()).unwrap();
    let (job, record) = &good().jobs[&name("tidy")];
    writer.job(job, Some(record), &lines(&good())).unwrap();
    writer.without_file(&name("old")).unwrap();
    writer.end().unwrap();
    String::from_utf8(file).unwrap()
}

fn judged(text: &str) -> Result<Report, String> {
    let (mut log, reading) = Log::open(BufReader::new(text.as_bytes())).map_err(|error| error.to_string())?;
    let mut judge = Judge::new(reading, log.header.since, log.header.until);
    while let Some(next) = log.job().map_err(|error| error.to_string())? {
        match next {
            OfJob::Job(job, record, lines) => judge.job(&job, record.as_deref(), &lines),
            OfJob::WithoutFile(name) => judge.without_file(&name),
        }
    }
    Ok(judge.end())
}

#[test]
fn a_file_is_judged_like_what_it_was_written_from() {
    let mut judge = Judge::new(reading(), at(0, 0), None);
    let (job, record) = &good().jobs[&name("tidy")];
    judge.job(job, Some(record), &lines(&good()));
    judge.without_file(&name("old"));
    let report = judge.end();
    assert!(report.holds);
    assert_eq!(judged(&written()).unwrap(), report);
}

#[test]
fn a_file_that_was_cut_off_anywhere_says_so_with_the_line() {
    let whole = written();
    for end in 0..whole.len() - 1 {
        let Some(cut) = whole.get(..end) else { continue };
        let why = judged(cut).unwrap_err();
        let line = cut.lines().count().max(1);
        let told = [line, line + 1].map(|line| format!("line {line}: "));
        assert!(told.iter().any(|told| why.starts_with(told.as_str())), "cut at {end}: {why}");
    }
}

#[test]
fn a_file_with_a_line_changed_added_or_taken_away_says_which() {
    let whole = written();
    let all: Vec<&str> = whole.lines().collect();
    for place in 0..all.len() {
        let said = |lines: &[&str]| judged(&(lines.join("\n") + "\n"));
        let garbled = [&all[..place], &["{\"nonsense\":1}"], &all[place + 1..]].concat();
        assert!(said(&garbled).unwrap_err().starts_with(&format!("line {}: ", place + 1)), "{place}");
        let without = [&all[..place], &all[place + 1..]].concat();
        assert!(said(&without).is_err(), "{place}");
        let twice = [&all[..=place], &all[place..]].concat();
        assert!(said(&twice).is_err(), "{place}");
    }
    let newer = whole.replace("\"cronclave_evidence\":1", "\"cronclave_evidence\":2");
    assert!(judged(&newer).unwrap_err().contains("layout 2"), "{newer}");
    assert!(judged("").unwrap_err().contains("no file of `cronclave verify --export`"));
}

#[test]
fn no_file_holds_what_proves_a_claim_or_what_a_run_was_given() {
    let (job, mut record) = good().jobs[&name("tidy")].clone();
    let open = serde_json::json!({
        "run_id": super::evidence::run("tidy", 4), "scheduled_at": at(4, 0), "trigger": { "kind": "schedule" },
        "opened": at(4, 0), "phase": "running", "attempt": 1, "fence": 200, "holder": "one", "until": at(5, 0),
        "args": { "password": "sesame" },
    });
    record.open.push(serde_json::from_value(open).unwrap());
    record.open[0].token = Some(Token("open".into()));
    let job =
        Job { source: cronclave::job::Source { file: "hidden.toml".into(), ..Default::default() }, ..(*job).clone() };
    let mut file = Vec::new();
    let header = Header::new("here", at(5, 0), at(0, 0), None);
    let mut writer = Writer::begin(&mut file, &header, &reading()).unwrap();
    writer.job(&job, Some(&record), &[]).unwrap();
    writer.end().unwrap();
    let text = String::from_utf8(file).unwrap();
    for word in ["sesame", "\"token\"", "hidden.toml"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
}

#[test]
fn every_kind_of_schedule_comes_back_as_it_was() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let rules = Rules { gap: GapRule::Skip, overlap: OverlapRule::Both };
    let cron = |text: &str| Schedule::parse(text, &berlin, rules, "tidy").unwrap();
    let wall = |text: &str| text.parse::<chrono::NaiveDateTime>().unwrap();
    let all = [
        cron("30 2 * * *"),
        cron("H H(2-5) * * MON-FRI"),
        cron("CRON_TZ=America/New_York 0 9 * * *"),
        cron("*/5 * * * * *"),
        cron("@daily"),
        cron("@manual"),
        Schedule::every(Duration::from_secs(90), &berlin).unwrap(),
        Schedule::at(wall("2027-03-28T02:30:00"), &berlin, Rules::default()),
        Schedule::union(vec![cron("0 9 * * *"), cron("0 17 * * *")], &Zone::utc()),
        Schedule::union(vec![], &berlin),
        cron("0 * * * *").within(Some(wall("2026-12-01T00:00:00")), Some(wall("2027-12-01T00:00:00"))),
        Schedule::union(vec![cron("0 9 * * *"), cron("0 9 1 * *")], &berlin)
            .within(None, Some(wall("2028-01-01T00:00:00"))),
    ];
    for schedule in all {
        let text = serde_json::to_string(&schedule.written()).unwrap();
        let again = Schedule::from_written(&serde_json::from_str(&text).unwrap(), "tidy").unwrap();
        let next = |schedule: &Schedule| {
            let mut edge: Timestamp = at(0, 0);
            let mut all = Vec::new();
            while let Some(next) = schedule.after(edge).filter(|_| all.len() < 500) {
                all.push(next);
                edge = next;
            }
            all
        };
        assert_eq!(next(&schedule), next(&again), "{text}");
        let spec = |schedule: Schedule| Job { schedule: Arc::new(schedule), ..every("tidy", 60) }.spec();
        assert_eq!(spec(schedule), spec(again), "{text}");
    }
}

//! Importing crontabs: the same commands at the same times, and nothing lost without a word.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use cronclave::clock::Timestamp;
use cronclave::config::{self, Config, SourceText};
use cronclave::crontab::{self, Crontab, MachineZone, Target, Written};
use cronclave::job::{Action, Command, Job, Task, Text};
use cronclave::schedule::Zone;
use proptest::prelude::*;
use proptest::string;

const NOW: &str = "2026-11-22T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn imported(text: &str, system: bool) -> (Crontab, Written) {
    let tab = crontab::read(text, system);
    let zone = MachineZone { zone: Zone::parse("Europe/Berlin").unwrap(), origin: "as the test said".into() };
    let written = crontab::write(&tab, &Target { source: "crontab.txt", zone: &zone, user: Some("root"), now: now() });
    (tab, written)
}

fn loaded(text: &str) -> Config {
    let source = SourceText { name: "imported.toml".into(), text: text.into() };
    config::load(&[source], &|_| None, now())
        .unwrap_or_else(|wrong| panic!("{}\n{text}", config::report(&wrong, false)))
}

/// The jobs of an imported file, each with the line of the crontab that a comment above it names.
fn by_line(text: &str) -> BTreeMap<usize, Arc<Job>> {
    let lines: Vec<&str> = text.lines().collect();
    let line = |job: &Job| {
        let above = lines[..job.source.line].iter().rev().find_map(|line| line.strip_prefix("# line "));
        above.unwrap().parse().unwrap()
    };
    loaded(text).jobs.into_iter().map(|job| (line(&job), job)).collect()
}

fn command(job: &Job) -> &Command {
    match &job.task {
        Task::Run(Action::Command(command)) => command,
        other => panic!("{other:?}"),
    }
}

/// The crontab of `tests/data`.
fn example() -> (Crontab, Written, BTreeMap<usize, Arc<Job>>) {
    let (tab, written) = imported(include_str!("data/crontab.txt"), true);
    let jobs = by_line(&written.text);
    (tab, written, jobs)
}

#[test]
fn every_entry_of_a_crontab_starts_when_two_other_programs_say_it_does() {
    let (_, written, jobs) = example();
    let mut compared = 0;
    for line in include_str!("data/crontab.jsonl").lines() {
        let wanted: serde_json::Value = serde_json::from_str(line).unwrap();
        let number = usize::try_from(wanted["line"].as_u64().unwrap()).unwrap();
        let Some(job) = jobs.get(&number) else {
            assert!(written.left_out.iter().any(|one| one.line == number), "line {number} is lost");
            continue;
        };
        let times: Vec<String> = std::iter::successors(job.schedule.after(now()), |t| job.schedule.after(*t))
            .take(5)
            .map(|t| t.to_string())
            .collect();
        assert_eq!(
            serde_json::json!(times),
            wanted["next"],
            "{wanted} as {} {}",
            job.schedule.text(),
            job.schedule.zone()
        );
        assert_eq!(job.schedule.zone().name(), wanted["timezone"]);
        compared += 1;
    }
    assert_eq!(compared, 30);
}

#[test]
fn what_is_left_out_is_told_with_its_line_and_reason() {
    let (tab, written, jobs) = example();
    let left_out: Vec<(usize, &str)> = written.left_out.iter().map(|one| (one.line, one.why.as_str())).collect();
    let wanted = [(27, "@reboot"), (53, "backwards"), (54, "5-59/15"), (55, "minute `61`")];
    assert_eq!(left_out.len(), wanted.len(), "{left_out:#?}");
    for ((line, why), (wanted, word)) in left_out.iter().zip(wanted) {
        assert!(*line == wanted && why.contains(word), "{line}: {why}");
    }
    assert_eq!((tab.lines, tab.commented_out), (60, 1));
    assert_eq!(written.jobs, jobs.len());
    for one in &written.left_out {
        assert!(written.text.contains(&format!("# line {} was left out: ", one.line)), "the file says so as well");
    }
    let notes: Vec<String> = written.notes.iter().map(|note| format!("{}: {}", note.line, note.text)).collect();
    for word in [
        "6: MAILTO=ops@example.com was dropped",
        "41: RANDOM_DELAY=15 became jitter = \"15m\"",
        "48: TZ became a variable",
        "52: `~` became `H`",
        "57: MAILTO was dropped",
        "58: job cron ran as www-data",
    ] {
        assert!(notes.iter().any(|note| note.contains(word)), "no {word:?} in {notes:#?}");
    }
}

#[test]
fn commands_settings_and_comments_arrive_as_cron_takes_them() {
    let (_, written, jobs) = example();
    let of = |line: usize| (&jobs[&line], command(&jobs[&line]));
    let (backup, run) = of(18);
    assert_eq!(backup.description.as_deref(), Some("Dump the database, every night, before the offices open."));
    assert_eq!((backup.name.as_str(), backup.jitter.is_zero(), backup.enabled), ("backup", true, true));
    assert_eq!(run.words(), ["/bin/bash", "-c", "/usr/local/bin/backup.sh --all >> /var/log/backup.log 2>&1"]);
    assert_eq!(run.env["PATH"], Text::Plain("/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin".into()));
    assert!(!run.env.contains_key("MAILTO") && run.cwd.is_none());
    let (mail, run) = of(26);
    assert_eq!(&*run.argv[2], "mail -s \"Quarter's end\" boss@example.com");
    assert_eq!(run.stdin.as_deref(), Some("Dear boss,\n\nit is %100 over.\nBye\n"));
    assert!(mail.description.is_none());
    assert_eq!(&*command(&jobs[&25]).argv[2], "date \"+%F %T\" > /tmp/stamp");
    assert_eq!(jobs[&38].description, None, "a comment above a setting is not about the entry below it");
    assert_eq!(jobs[&44].jitter.as_secs(), 900);
    let (rotate, run) = of(50);
    assert_eq!((rotate.name.as_str(), rotate.jitter.as_secs()), ("rotate", 0));
    assert_eq!(run.cwd.as_deref(), Some(std::path::Path::new("/srv/app")));
    let env = |name: &str| run.env.get(name).cloned();
    assert_eq!(env("TZ"), Some(Text::Plain("UTC".into())));
    assert_eq!(env("HOME"), Some(Text::Plain("/srv/app".into())));
    assert_eq!(env("LANG"), Some(Text::Plain("de_DE.UTF-8".into())));
    assert_eq!(jobs[&51].name.as_str(), "rotate-2");
    let spread = jobs[&52].schedule.next(now()).unwrap();
    assert!(spread.nominal.format("%H:%M").to_string().as_str() <= "03:30", "{spread:?}");
    assert_eq!(jobs[&60].schedule.zone().name(), "Europe/Berlin", "CRON_TZ was taken back");
    assert!(!jobs[&58].enabled && jobs[&59].enabled, "another user's entry does not start as us");
    assert!(written.text.contains("# ran as www-data\n"));
}

#[test]
fn of_a_user_who_is_not_known_nothing_starts() {
    let tab = crontab::read("* * * * * root true\n* * * * * ana true\n", true);
    let zone = MachineZone { zone: Zone::utc(), origin: "as the test said".into() };
    let written = crontab::write(&tab, &Target { source: "x", zone: &zone, user: None, now: now() });
    assert!(loaded(&written.text).jobs.iter().all(|job| !job.enabled), "{}", written.text);
}

#[test]
fn odd_files_are_read_as_far_as_they_make_sense() {
    for (text, lines, jobs, left_out) in [
        ("", 0, 0, 0),
        ("\n\n# nothing\n", 3, 0, 0),
        ("* * * * * a\r\nA=b\r\n@daily c\r\n", 3, 2, 0),
        ("@daily a", 1, 1, 0),
        ("CRON_TZ=Nowhere/Land\n@daily a\nCRON_TZ=UTC\n@daily a", 4, 1, 1),
        ("@every_minute a\n@every_second b\n@300 c\n", 3, 2, 1),
        ("@daily a\u{7}b\n", 1, 1, 0),
        ("<html>\n<body>\n", 2, 0, 2),
    ] {
        let (tab, written) = imported(text, false);
        assert_eq!((tab.lines, written.jobs, written.left_out.len()), (lines, jobs, left_out), "{text:?}");
        assert_eq!(loaded(&written.text).jobs.len(), jobs, "{text:?}");
    }
    let (_, written) = imported("CRON_TZ=Nowhere/Land\n@daily a", false);
    assert!(written.left_out[0].why.contains("Nowhere/Land"), "{:?}", written.left_out);
}

/// Lines much like those of crontabs, right and wrong ones.
fn line() -> impl Strategy<Value = String> {
    let field =
        "(\\*|\\*/[0-9]{1,2}|[0-9]{1,2}(-[0-9]{1,2})?(/[0-9])?|[0-9]?~[0-9]{0,2}|mon|JAN|sun-sat|L|\\?|1,2,[0-9]{1,3})";
    let command = "[ -~\\\\%\"'#é\u{1}\t]{0,30}";
    prop_oneof![
        5 => string::string_regex(&format!("[-\t ]?({field}[ \t]{{1,2}}){{5}}{command}")).unwrap(),
        1 => string::string_regex(&format!("@(daily|reboot|hourly|weekly|every_minute|x) {command}")).unwrap(),
        2 => "(CRON_TZ|TZ|SHELL|HOME|PATH|MAILTO|RANDOM_DELAY|A B|\"|'|X) ?= ?[\"']?(UTC|Europe/Berlin|[0-9]{0,4}|[ -~é\u{1}]{0,12})[\"']?",
        2 => "[ \t]*#[ -~é\u{7f}]{0,30}",
        1 => "\\PC{0,30}",
        1 => Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes in, what goes out is TOML that loads, and every entry is in it or told.
    #[test]
    fn what_is_printed_always_loads(lines in prop::collection::vec(line(), 0..12), system in any::<bool>()) {
        let text = lines.join("\n");
        let (tab, written) = imported(&text, system);
        let config = loaded(&written.text);
        prop_assert_eq!(config.jobs.len(), written.jobs);
        prop_assert_eq!(tab.entries.len() + tab.left_out.len(), written.jobs + written.left_out.len());
        for job in &config.jobs {
            prop_assert!(!command(job).shown().trim().is_empty());
        }
    }
}

/// Vixie's rule, word for word, for one minute: what the program's own reader has no part in.
mod by_hand {
    use chrono::{Datelike, NaiveDateTime, Timelike};

    fn allows(field: &str, value: u32, (least, most): (u32, u32)) -> bool {
        field.split(',').any(|item| {
            let (range, step) = item.split_once('/').unwrap_or((item, "1"));
            let (low, high) = match (range, range.split_once('-')) {
                ("*", _) => (least, most),
                (_, Some((low, high))) => (low.parse().unwrap(), high.parse().unwrap()),
                (one, None) => (one.parse().unwrap(), one.parse().unwrap()),
            };
            (low..=high).step_by(step.parse().unwrap()).any(|one| one == value)
        })
    }

    pub(super) fn matches(fields: &[String], at: NaiveDateTime) -> bool {
        let weekday = at.weekday().num_days_from_sunday();
        let day = allows(&fields[2], at.day(), (1, 31));
        let week = allows(&fields[4], weekday, (0, 7)) || (weekday == 0 && allows(&fields[4], 7, (0, 7)));
        let star = fields[2].starts_with('*') || fields[4].starts_with('*');
        allows(&fields[0], at.minute(), (0, 59))
            && allows(&fields[1], at.hour(), (0, 23))
            && allows(&fields[3], at.month(), (1, 12))
            && if star { day && week } else { day || week }
    }
}

fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    let number = least..=most;
    let range = (number.clone(), number.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let item = prop_oneof![
        2 => Just("*".to_owned()),
        2 => (1..=most + 3).prop_map(|step| format!("*/{step}")),
        2 => number.prop_map(|n| n.to_string()),
        2 => range.clone(),
        1 => (range, 1..=most + 3).prop_map(|(range, step)| format!("{range}/{step}")),
    ];
    prop::collection::vec(item, 1..3).prop_map(|items| items.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever fields cron takes, the imported job starts in the same minutes.
    #[test]
    fn imported_fields_mean_what_they_meant(
        fields in (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7)),
    ) {
        let fields: Vec<String> = [fields.0, fields.1, fields.2, fields.3, fields.4].into();
        let (_, written) = imported(&format!("CRON_TZ=UTC\n{} true\n", fields.join(" ")), false);
        let config = loaded(&written.text);
        prop_assert_eq!(written.jobs, 1, "{:?}: {:?}", fields, written.left_out);
        let job = &config.jobs[0];
        let minutes = (1..40 * 24 * 60).map(|n| now().plus(std::time::Duration::from_secs(n * 60)));
        let wanted: Vec<Timestamp> =
            minutes.filter(|at| by_hand::matches(&fields, at.datetime().naive_utc())).take(5).collect();
        let got: Vec<Timestamp> =
            std::iter::successors(job.schedule.after(now()), |t| job.schedule.after(*t)).take(wanted.len()).collect();
        prop_assert_eq!(got, wanted, "{:?} as {}", fields, job.schedule.text());
    }
}

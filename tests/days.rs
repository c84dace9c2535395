//! The days on which a job may run: calendars, windows, and what is said about them in schedule files.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cronclave::clock::Timestamp;
use cronclave::config::{Config, Diagnostic, SourceText, load, report};
use cronclave::job::Job;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn read(files: &[&str]) -> Result<Config, Vec<Diagnostic>> {
    let names = ["a.toml", "b.toml"];
    let sources: Vec<_> = names
        .iter()
        .zip(files)
        .map(|(name, text)| SourceText { name: (*name).to_owned(), text: (*text).into() })
        .collect();
    load(&sources, &|_: &str| None, at("2026-11-22T00:00:00Z"))
}

fn told(files: &[&str]) -> Vec<String> {
    let list = read(files).map_or_else(|wrong| wrong, |config| config.warnings);
    list.iter().map(|one| format!("{}:{}:{} {} {}", one.file, one.line, one.column, one.code, one.message)).collect()
}

fn job(lines: &str) -> Arc<Job> {
    let text = format!("version = 1\n{lines}");
    let config = read(&[&text]).unwrap_or_else(|wrong| panic!("{}", report(&wrong, false)));
    Arc::clone(&config.jobs[0])
}

const CALENDARS: &str = "version = 1
[calendars.holidays]
dates      = [2026-12-26]
every_year = [\"12-25\", \"02-29\"]
[calendars.weekend]
weekdays = [\"SAT\", \"SUN\"]
[calendars.shutdown]
between = [{ from = 2026-12-28, to = 2026-12-31 }]
";

fn open_days(lines: &str, from: &str, count: usize) -> Vec<String> {
    let text = format!(
        "{CALENDARS}[jobs.a]\nschedule = \"0 8 * * *\"\ntimezone = \"Europe/Berlin\"\ncommand = \"true\"\n{lines}\n"
    );
    let config = read(&[&text]).unwrap_or_else(|wrong| panic!("{}", report(&wrong, false)));
    let job = &config.jobs[0];
    let days = std::iter::successors(job.next_open(at(from)), |t| job.next_open(*t)).take(count);
    days.map(|t| job.schedule.zone().wall(t).format("%a %m-%d").to_string()).collect()
}

#[test]
fn a_job_keeps_away_from_the_days_of_its_calendars() {
    let days = open_days("skip_on = [\"holidays\", \"weekend\", \"shutdown\"]", "2026-12-24T00:00:00Z", 3);
    assert_eq!(days, ["Thu 12-24", "Fri 01-01", "Mon 01-04"]);
}

#[test]
fn a_job_keeps_to_the_days_of_its_calendars_and_skip_on_counts_more() {
    let days = open_days("only_on = [\"weekend\", \"holidays\"]\nskip_on = [\"shutdown\"]", "2026-12-24T00:00:00Z", 4);
    assert_eq!(days, ["Fri 12-25", "Sat 12-26", "Sun 12-27", "Sat 01-02"]);
}

#[test]
fn a_day_is_that_of_the_jobs_own_zone() {
    // 00:30 on 25 December in Tokyo is still the 24th in UTC.
    let job = job(
        "[calendars.x]\nevery_year = [\"12-25\"]\n[jobs.a]\nschedule = \"30 0 * * *\"\ntimezone = \"Asia/Tokyo\"\n\
         command = \"true\"\nskip_on = [\"x\"]\n",
    );
    assert_eq!(job.closed(at("2026-12-24T15:30:00Z")), Some("x"));
    assert_eq!(job.closed(at("2026-12-25T15:30:00Z")), None);
}

#[test]
fn a_calendar_that_leaves_no_day_is_searched_for_ten_years_and_not_for_ever() {
    let days = open_days("skip_on = [\"weekend\"]\nonly_on = [\"weekend\"]", "2026-12-24T00:00:00Z", 1);
    assert!(days.is_empty());
}

#[test]
fn calendars_are_shared_by_all_files_and_defaults_may_name_them() {
    let jobs = "version = 1\n[defaults]\nskip_on = [\"weekend\"]\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\n\
                [jobs.b]\nschedule = \"@daily\"\ncommand = \"true\"\nskip_on = []\n";
    let config = read(&[jobs, CALENDARS]).unwrap();
    assert_eq!(config.jobs[0].skip_on[0].name, "weekend");
    assert!(config.jobs[1].skip_on.is_empty());
    let twice = told(&[&format!("{CALENDARS}{}", jobs.replace("version = 1\n", "")), CALENDARS]);
    assert_eq!(twice.len(), 3, "{twice:?}");
    assert!(twice[0].starts_with("b.toml:2:12 E0036 calendar `holidays` is declared twice"), "{twice:?}");
}

#[test]
fn the_window_of_a_job_bounds_its_occurrences() {
    let job = job("[jobs.a]\nschedule = \"0 12 * * *\"\ntimezone = \"America/New_York\"\ncommand = \"true\"\n\
         start = 2026-12-01\nend = 2026-12-02T12:00:00\n");
    let all: Vec<_> =
        std::iter::successors(job.schedule.after(at("2026-11-22T00:00:00Z")), |t| job.schedule.after(*t)).collect();
    assert_eq!(all, [at("2026-12-01T17:00:00Z"), at("2026-12-02T17:00:00Z")]);
}

#[test]
fn a_moved_window_is_another_schedule_and_its_past_is_not_caught_up() {
    let with = |end: &str| job(&format!("[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\nend = {end}\n"));
    assert_ne!(with("2027-01-01").spec(), with("2027-01-02").spec());
    assert_eq!(with("2027-01-01").spec(), with("2027-01-01T23:59:59").spec());
}

#[test]
fn each_mistake_about_days_is_told_with_its_place() {
    let job = "[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\n";
    let cases = [
        ("[calendars.x]\n", "", "a.toml:2:12 E0035 calendar `x` has no days"),
        ("[calendars.x]\ndates = [\"2026-12-25\"]\n", "", "a.toml:3:10 E0018 `dates` must be a date, not a string"),
        ("[calendars.x]\ndates = [2026-12-25T10:00:00]\n", "", "a.toml:3:10 E0031 `dates` takes whole days"),
        ("[calendars.x]\ndates = 2026-12-25\n", "", "a.toml:3:9 E0018 `dates` must be a list, not a datetime"),
        ("[calendars.x]\nevery_year = [\"25.12.\"]\n", "", "a.toml:3:15 E0031 \"25.12.\" is not a day of the year"),
        ("[calendars.x]\nevery_year = [\"02-30\"]\n", "", "a.toml:3:15 E0031 \"02-30\" is not a day of the year"),
        ("[calendars.x]\nweekdays = [\"SATURDAY\"]\n", "", "a.toml:3:13 E0020 unknown weekday \"SATURDAY\""),
        ("[calendars.x]\nbetween = [{ from = 2026-12-25 }]\n", "", "a.toml:3:12 E0027 `between` needs `from` and `to`"),
        (
            "[calendars.x]\nbetween = [{ from = 2026-12-25, to = 2026-12-24 }]\n",
            "",
            "a.toml:3:12 E0033 `to` is before `from`",
        ),
        ("[calendars.x]\ndats = [2026-12-25]\n", "", "a.toml:3:1 E0012 unknown key `dats` in calendar `x`"),
        ("[calendars.x]\ndates = [2025-12-25]\n", "", "a.toml:2:12 W0212 calendar `x` has no day to come"),
        ("", "skip_on = [\"holydays\"]", "a.toml:5:12 E0034 unknown calendar \"holydays\""),
        ("", "skip_on = \"holidays\"", "a.toml:5:11 E0018 `skip_on` must be a list of calendars, not a string"),
        ("", "start = \"2026-12-01\"", "a.toml:5:9 E0018 `start` must be a date, not a string"),
        ("", "start = 2026-12-01T00:00:00Z", "a.toml:5:9 E0031 `start` is a local date, in the job's time zone"),
        ("", "end = 07:00:00", "a.toml:5:7 E0031 `end` is a local date, in the job's time zone"),
        ("", "start = 2026-12-02\nend = 2026-12-01", "a.toml:6:7 E0033 `end` is before `start`"),
        ("", "start = 2500-01-01", "a.toml:5:9 E0031 `start` is too far away"),
        ("", "end = 1960-12-31", "a.toml:5:7 E0031 `end` is too far away"),
        ("", "end = 2026-11-01", "a.toml:5:7 W0202 this schedule never fires again"),
    ];
    for (before, after, wanted) in cases {
        let found = told(&[&format!("version = 1\n{before}{job}{after}\n")]);
        assert_eq!(found.len(), 1, "{before}{after}: {found:?}");
        assert!(found[0].starts_with(wanted), "{wanted}: {found:?}");
    }
    // A calendar with a mistake is known all the same.
    let broken = told(&[&format!("version = 1\n[calendars.x]\ndates = [1]\n{job}skip_on = [\"x\"]\n")]);
    assert_eq!(broken.len(), 1, "{broken:?}");
}

#[test]
fn what_a_schedule_text_deserves_a_second_look_for_is_told() {
    let cases = [
        ("0 0 30 2 *", "", "W0202 this schedule never fires"),
        (
            "*/15 2 * * *",
            "timezone = \"Europe/Berlin\"\n",
            "W0204 a change of clocks in Europe/Berlin leaves this schedule",
        ),
        ("0 9 * * MON", "skip_on = [\"x\"]\n[calendars.x]\nweekdays = [\"mon\"]\n", "W0202 job `a` never runs again"),
        ("0 0 0 1 1 * 2025", "", "W0202 this schedule never fires again"),
        ("0 9 13 * FRI", "", "W0208 day-of-month and day-of-week are both set: it runs when either matches"),
        ("*/35 * * * *", "", "W0209 `*/35` does not divide the hour: the pauses are not all equal"),
        ("0 */7 * * *", "", "W0209 `*/7` does not divide the day: the pauses are not all equal"),
        ("CRON_TZ=UTC 0 9 * * *", "timezone = \"UTC\"\n", "E0032 the time zone is said twice"),
    ];
    for (text, more, wanted) in cases {
        let found = told(&[&format!("version = 1\n[jobs.a]\nschedule = \"{text}\"\ncommand = \"true\"\n{more}")]);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(wanted), "{found:?}");
    }
    for text in ["*/15 */6 * * *", "0 9 13 * +FRI", "0 9 * * MON-FRI", "@daily", "@manual", "*/30 * */2 * *"] {
        let found = told(&[&format!("version = 1\n[jobs.a]\nschedule = \"{text}\"\ncommand = \"true\"\n")]);
        assert!(found.is_empty(), "{text}: {found:?}");
    }
}

#[test]
fn a_single_time_that_is_over_is_told() {
    let found = told(&["version = 1\n[jobs.a]\nat = 2020-01-05T00:00:00\ncommand = \"true\"\n"]);
    assert_eq!(found, ["a.toml:2:7 W0202 job `a` never runs again"]);
    let off = told(&["version = 1\n[jobs.a]\nat = 2020-01-05T00:00:00\ncommand = \"true\"\nenabled = false\n"]);
    assert!(off.is_empty(), "{off:?}");
}

#[test]
fn a_mistake_in_the_grammar_has_no_echoes_about_calendars() {
    for text in [
        "version = 1\n[calendars.h]\ndates = [2026-13-01]\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\nskip_on = [\"h\"]\n",
        "version = 1\n[calendars.h\ndates = [2026-12-01]\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\nskip_on = [\"h\"]\n",
        "version = 1\n[jobs.a]\nschedule = [\"@daily\", \"0 9 * * *\"\ncommand = \"true\"\n",
    ] {
        let found = told(&[text]);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains("E0001"), "{found:?}");
    }
}

#[test]
fn the_definition_of_a_closed_day_is_that_of_the_job_when_its_texts_have_several_zones() {
    let job = job(
        "[calendars.x]\nevery_year = [\"12-25\"]\n[jobs.a]\nschedule = [\"CRON_TZ=Asia/Tokyo 0 9 * * *\", \"0 20 * * *\"]\n\
         command = \"true\"\nskip_on = [\"x\"]\n[defaults]\ntimezone = \"Europe/Berlin\"\n",
    );
    assert_eq!(job.closed(at("2026-12-24T19:00:00Z")), None);
    assert_eq!(job.closed(at("2026-12-25T19:00:00Z")), Some("x"));
}

#[test]
fn rules_about_changes_of_clocks_belong_to_the_schedule_and_jitter_does_not() {
    let with = |more: &str| job(&format!("[jobs.a]\nschedule = \"30 2 * * *\"\ncommand = \"true\"\n{more}\n")).spec();
    assert_ne!(with(""), with("dst_gap = \"skip\""));
    assert_eq!(with(""), with("jitter = \"10m\""));
}

#[test]
fn rare_times_are_looked_for_beyond_a_closed_one() {
    let job = job(
        "[calendars.x]\ndates = [2044-02-29]\n[jobs.a]\nschedule = \"0 0 29 2 +MON\"\ncommand = \"true\"\nskip_on = [\"x\"]\n",
    );
    assert_eq!(job.next_open(at("2026-11-22T00:00:00Z")), Some(at("2072-02-29T00:00:00Z")));
}

#[test]
fn when_there_are_too_many_to_show_errors_come_before_warnings() {
    let jobs: String = (0..25)
        .map(|n| format!("[jobs.j{n}]\nschedule = \"{n} 2 * * *\"\ntimezone = \"Europe/Berlin\"\ncommand = \"true\"\n"))
        .collect();
    let text = format!("version = 1\n{jobs}[jobs.z]\nschedule = \"0 24 * * *\"\ncommand = \"true\"\n");
    let wrong = read(&[&text]).unwrap_err();
    let shown = report(&wrong, false);
    assert!(
        shown.contains("error[E0102]: 24 is not a valid hour") && shown.ends_with("1 error, 25 warnings\n"),
        "{shown}"
    );
}

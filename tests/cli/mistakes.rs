//! What people type wrong, and what they are told: one table.

use std::io::Write;
use std::process::Stdio;

use super::bench::Place;

struct Case {
    args: &'static [&'static str],
    files: &'static [(&'static str, &'static [u8])],
    env: &'static [(&'static str, &'static str)],
    code: i32,
    /// What must be said: the place, and a way out.
    words: &'static [&'static str],
}

const fn typed(args: &'static [&'static str], code: i32, words: &'static [&'static str]) -> Case {
    Case { args, files: &[], env: &[], code, words }
}

const fn with_env(
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    words: &'static [&'static str],
) -> Case {
    Case { args, files: &[], env, code: 78, words }
}

const fn with_file(
    args: &'static [&'static str],
    files: &'static [(&'static str, &'static [u8])],
    words: &'static [&'static str],
) -> Case {
    Case { args, files, env: &[], code: 78, words }
}

const SERVE: &[&str] = &["serve"];
const BROKEN: &[u8] = b"version = 1\n[jobs.x\nschedule = \"@daily\"\n";
const TWICE: &[u8] = b"version = 1\n[jobs.hello]\nschedule = \"@daily\"\ncommand = \"true\"\n";
const BAD_TIME: &[u8] = b"version = 1\n[jobs.x]\nschedule = \"99 * * * *\"\ncommand = \"true\"\n";
const BAD_KEY: &[u8] = b"version = 1\n[jobs.x]\nschedle = \"@daily\"\ncommand = \"true\"\n";

const CASES: &[Case] = &[
    // ---- commands and flags ----
    typed(&[], 2, &["Usage"]),
    typed(&["validat"], 2, &["validat", "validate"]),
    typed(&["jobs", "--jsn"], 2, &["--jsn", "--json"]),
    typed(&["--color", "maybe", "jobs"], 2, &["--color", "auto, always, never"]),
    typed(&["validate", "--format", "xml"], 2, &["--format", "text, json, github, sarif"]),
    typed(&["--utc", "--tz", "UTC", "jobs"], 2, &["--utc", "--tz"]),
    typed(&["serve", "--no-http", "--listen", ":1"], 2, &["--no-http", "--listen"]),
    typed(&["run", "hello", "--no-lock", "--wait"], 2, &["--no-lock", "--wait"]),
    // ---- what is not there ----
    typed(&["run", "helo"], 66, &["`helo`", "did you mean `hello`?"]),
    typed(&["run", "zzzzzz"], 66, &["`zzzzzz`", "cronclave jobs"]),
    typed(&["next", "helo"], 66, &["`helo`", "`hello`"]),
    typed(&["jobs", "helo"], 66, &["`helo`", "`hello`"]),
    typed(&["trigger", "helo"], 66, &["`helo`", "`hello`"]),
    typed(&["pause", "helo"], 66, &["`helo`", "`hello`"]),
    typed(&["resume", "helo"], 66, &["`helo`", "`hello`"]),
    typed(&["history", "helo"], 66, &["`helo`", "`hello`"]),
    typed(&["pause", "--tag", "opz"], 66, &["`opz`", "`ops`"]),
    typed(&["logs", "not-a-run"], 66, &["`not-a-run`", "cronclave jobs"]),
    typed(&["logs", "0123456789ab"], 66, &["`0123456789ab`", "cronclave history"]),
    typed(&["logs", "slow"], 66, &["slow has no run yet", "cronclave trigger slow"]),
    typed(&["logs", "hello", "--attempt", "9"], 66, &["attempt 9", "has had 1"]),
    typed(&["cancel", "hello"], 66, &["hello", "no open run"]),
    typed(&["cancel", "0123456789ab"], 66, &["`0123456789ab`"]),
    typed(&["locks", "show", "run:hello"], 66, &["`run:hello`", "cronclave locks"]),
    // ---- what is missing ----
    typed(&["run"], 2, &["<JOB>", "Usage"]),
    typed(&["logs"], 2, &["<RUN|JOB>", "Usage"]),
    typed(&["pause"], 2, &["JOB", "Usage"]),
    typed(&["cancel"], 2, &["RUN|JOB", "Usage"]),
    typed(&["locks", "release", "run:hello"], 2, &["--token", "--reason"]),
    typed(&["pause", "hello", "--all"], 2, &["--all", "JOB"]),
    // ---- values ----
    typed(&["--tz", "Europe/Berln", "next"], 2, &["--tz", "Europe/Berlin"]),
    typed(&["--tz", "Mars", "next"], 2, &["--tz", "`Mars`"]),
    typed(&["next", "hello", "--from", "noonish"], 2, &["--from noonish", "2026-11-22T06:00"]),
    typed(&["next", "hello", "-n", "0"], 2, &["--count", "1..=10000"]),
    typed(&["history", "--since", "yesterday"], 2, &["--since yesterday", "24h"]),
    typed(&["history", "--until", "24"], 2, &["--until 24", "24h"]),
    typed(&["history", "--state", "faild"], 2, &["faild", "`failed`"]),
    typed(&["history", "--trigger", "cron"], 2, &["--trigger", "schedule, manual, cli"]),
    typed(&["history", "-n", "many"], 2, &["many", "--limit"]),
    typed(&["jobs", "--state", "broken"], 2, &["--state", "failing"]),
    typed(&["pause", "hello", "--for", "2 weeks"], 2, &["--for 2 weeks", "write ms, s, m, h or d"]),
    typed(&["pause", "hello", "--until", "tomorrow"], 2, &["--until tomorrow", "2026-11-22"]),
    typed(&["pause", "hello", "--until", "2020-01-01"], 2, &["2020-01-01", "later time"]),
    typed(&["run", "hello", "--at", "noon"], 2, &["--at noon", "2026-11-22T06:00:00Z"]),
    typed(&["run", "hello", "--wait=soon"], 2, &["--wait=soon", "number"]),
    typed(&["run", "hello", "--env", "novalue"], 2, &["--env", "NAME=VALUE"]),
    typed(&["run", "hello", "--arg", "=x"], 2, &["--arg", "NAME=VALUE"]),
    typed(&["run", "hook", "--env", "A=1"], 2, &["hook", "--env"]),
    typed(&["trigger", "hello", "--arg", "x"], 2, &["--arg", "NAME=VALUE"]),
    typed(&["locks", "release", "run:hello", "--token", "x", "--reason", "y"], 2, &["--token", "x"]),
    // ---- settings ----
    typed(&["serve", "--listen", "localhost"], 78, &["--listen", "127.0.0.1:8080"]),
    typed(&["serve", "--listen", "203.0.113.1:80"], 69, &["203.0.113.1:80", "--no-http"]),
    typed(&["serve", "--grace", "5"], 78, &["--grace", "without a unit"]),
    typed(&["serve", "--replica", "web 1"], 78, &["--replica", "letters"]),
    typed(&["serve", "--max-parallel", "0"], 78, &["--max-parallel", "1 to 10000"]),
    typed(&["--cluster", "a b", "jobs"], 78, &["--cluster", "letters"]),
    with_env(SERVE, &[("CRONCLAVE_LISTEN", "here")], &["CRONCLAVE_LISTEN", "127.0.0.1:8080"]),
    with_env(SERVE, &[("PORT", "99999")], &["PORT", "0 to 65535"]),
    with_env(SERVE, &[("CRONCLAVE_GRACE", "soon")], &["CRONCLAVE_GRACE", "`soon`"]),
    with_env(SERVE, &[("CRONCLAVE_REPLICA", "a/b")], &["CRONCLAVE_REPLICA", "letters"]),
    with_env(SERVE, &[("CRONCLAVE_MAX_PARALLEL", "lots")], &["CRONCLAVE_MAX_PARALLEL", "number"]),
    with_env(SERVE, &[("CRONCLAVE_LOG_FORMAT", "xml")], &["CRONCLAVE_LOG_FORMAT", "text, json or logfmt"]),
    with_env(&["jobs"], &[("AMQP_URL", "ampq://mq")], &["AMQP_URL", "`ampq://`", "amqp://"]),
    with_env(&["jobs"], &[("CRONCLAVE_AMQP_URL_FILE", "none")], &["CRONCLAVE_AMQP_URL_FILE", "none", "cannot be read"]),
    with_env(
        &["jobs"],
        &[("CLOUDAMQP_URL", "amqp://mq"), ("CRONCLAVE_CLUSTER", "eu.prod")],
        &["CRONCLAVE_CLUSTER", "`eu.prod`", "routing keys"],
    ),
    typed(&["--amqp", "amqp://mq:99999", "jobs"], 78, &["--amqp", "`99999`", "65535"]),
    with_env(&["jobs"], &[("REDIS_URL", "redis//cache")], &["REDIS_URL", "no URL", "redis://"]),
    typed(&["--redis", "redis://cache:99999", "jobs"], 78, &["--redis", "`99999`", "65535"]),
    typed(&["--redis", "redis://cache", "--db", "x.db", "jobs"], 78, &["--redis", "--db", "choose one"]),
    with_env(&["jobs"], &[("CRONCLAVE_CONFIG", "none.toml")], &["none.toml", "no such file"]),
    // ---- schedule files ----
    typed(&["-c", "missing.toml", "validate"], 78, &["missing.toml", "no such file"]),
    with_file(&["validate", "empty"], &[("empty/readme.txt", b"")], &["empty", "no *.toml"]),
    with_file(
        &["validate", "bad.toml"],
        &[("bad.toml", b"version = 1\n\xff\xfe")],
        &["bad.toml", "not UTF-8", "line 2"],
    ),
    with_file(&["validate"], &[("schedules/broken.toml", BROKEN)], &["schedules/broken.toml:2:", "not valid TOML"]),
    with_file(&["jobs"], &[("schedules/broken.toml", BROKEN)], &["schedules/broken.toml:2:"]),
    with_file(&["validate"], &[("schedules/more.toml", TWICE)], &["more.toml:2:7", "jobs.toml:3:7", "declared twice"]),
    with_file(&["validate"], &[("schedules/more.toml", BAD_TIME)], &["more.toml:3:13", "0-59"]),
    with_file(&["run", "x"], &[("schedules/more.toml", BAD_KEY)], &["more.toml:3:1", "schedule"]),
    Case { files: &[("schedules/hello.toml", b"mine")], ..typed(&["init"], 1, &["schedules/hello.toml", "move it"]) },
    // ---- crontabs ----
    typed(&["import"], 2, &["Usage", "crontab"]),
    typed(&["import", "crontab", "none"], 66, &["none", "no such file", "crontab -l"]),
    typed(&["import", "crontab", "schedules"], 66, &["schedules", "is a directory"]),
    typed(&["import", "crontab", "x", "--user", "root"], 2, &["--system"]),
    with_file(&["import", "crontab", "tab"], &[("tab", b"")], &["0 lines: 0 jobs", "no entry", "nothing was written"]),
    with_file(&["import", "crontab", "tab"], &[("tab", b"\x7fELF\0\0")], &["tab", "NUL bytes"]),
    with_file(&["import", "crontab", "tab"], &[("tab", b"#\n# caf\xe9\n")], &["tab", "line 2", "iconv"]),
    with_file(
        &["import", "crontab", "tab", "-o", "none/x.toml"],
        &[("tab", b"@reboot x\n")],
        &["tab:1: left out: @reboot", "1 left out", "nothing was written"],
    ),
    Case {
        files: &[("tab", b"@daily x\n")],
        ..typed(&["import", "crontab", "tab", "-o", "none/x.toml"], 1, &["none/x.toml", "directory does not exist"])
    },
    Case {
        files: &[("tab", b"@daily x\n")],
        ..typed(&["import", "crontab", "tab", "--timezone", "Berlin"], 2, &["--timezone", "Europe/Berlin"])
    },
    // ---- where the database is ----
    typed(&["--db", "none.db", "history"], 69, &["none.db", "cronclave serve", "--db"]),
    typed(&["--db", "no/such/x.db", "run", "hello"], 69, &["no/such/x.db", "directory"]),
    typed(&["--db", "schedules", "jobs"], 69, &["schedules is a directory", "--db"]),
];

#[test]
fn each_mistake_is_told_with_its_place_and_a_way_out() {
    let ready = Place::with_history();
    for case in CASES {
        let place = Place::new();
        std::fs::copy(ready.path("cronclave.db"), place.path("cronclave.db")).unwrap();
        case.files.iter().for_each(|(name, bytes)| place.write(name, bytes));
        let mut command = place.command(case.args);
        command.envs(case.env.iter().copied());
        let said = place.finish(command);
        println!("{:?} {:?}\n{}", case.env, case.args, said.err);
        for word in case.words {
            assert!(said.err.contains(word), "{:?}: no {word:?} in {said:#?}", case.args);
        }
        said.expect(case.code, &[]);
        assert!(!place.path("none.db").exists() && !place.path("no").exists(), "looking makes no files");
    }
}

#[test]
fn there_are_many_of_them() {
    assert!(CASES.len() >= 40);
}

#[test]
fn without_any_file_it_says_where_it_looked() {
    let place = Place::empty();
    for command in [&["validate"][..], &["serve"], &["jobs"], &["run", "x"]] {
        place.ask(command).expect(78, &["schedules/*.toml", "/etc/cronclave/*.toml", "--config"]);
    }
    assert!(!place.path("cronclave.db").exists());
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let place = Place::new();
    place.write("big.toml", vec![b'#'; (4 << 20) + 1]);
    place.ask(&["validate", "big.toml"]).expect(78, &["big.toml", "larger than 4 MiB"]);
}

#[test]
fn of_many_mistakes_the_first_are_shown_and_all_counted() {
    let place = Place::empty();
    let jobs: String = (0..30).map(|n| format!("[jobs.j{n}]\nschedule = \"bad\"\ncommand = \"true\"\n")).collect();
    place.write("schedules/many.toml", format!("version = 1\n{jobs}"));
    place.ask(&["validate"]).expect(78, &["many.toml:3:", "and 10 more", "30 errors"]);
    let json = place.ask(&["validate", "--json"]).expect(78, &[]).json();
    assert_eq!(json["errors"], 30);
    assert_eq!(json["diagnostics"][0]["line"], 3);
}

#[test]
fn standard_input_can_be_checked() {
    let place = Place::empty();
    for (text, code, word) in [("version = 1\n[jobs.x", 78, "<stdin>:2:"), (super::bench::JOBS, 0, "<stdin>")] {
        let mut command = place.command(&["validate", "-"]);
        command.stdin(Stdio::piped());
        let mut running = place.start(command);
        running.child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        running.end().expect(code, &[word]);
    }
}

#[test]
fn an_unreadable_file_is_told() {
    if super::bench::is_root() {
        // Root reads everything, but even root reads no directory as a file, and no loop of links.
        let place = Place::empty();
        std::os::unix::fs::symlink("loop.toml", place.path("loop.toml")).unwrap();
        place.ask(&["validate", "loop.toml"]).expect(78, &["loop.toml", "cannot be read"]);
        return;
    }
    let place = Place::new();
    let secret = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(place.path("schedules/jobs.toml"), secret).unwrap();
    place.ask(&["validate"]).expect(78, &["schedules/jobs.toml", "cannot be read", "denied"]);
}

//! Each kind of mistake as its writer is told about it: the full text, kept under tests/snapshots.
//!
//! After a change run with INSTA_UPDATE=always and read what `git diff tests/snapshots` shows: is the place right, is
//! the fix right, would you know what to do?
#![allow(missing_docs, clippy::unwrap_used)]

use cronclave::clock::Timestamp;
use cronclave::config::{Diagnostic, SourceText, load, report};

fn source(name: &str, text: &str) -> SourceText {
    SourceText { name: name.to_owned(), text: text.into() }
}

fn found(sources: &[SourceText]) -> Vec<Diagnostic> {
    let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    let env = |name: &str| match name {
        "CRM_TOKEN" => Some("x".to_owned()),
        "SIGN" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        _ => None,
    };
    match load(sources, &env, now) {
        Ok(config) => config.warnings,
        Err(found) => found,
    }
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

/// A job that is fine but for the given lines, which replace those that begin alike.
fn with(lines: &str) -> String {
    let says = |key: &str| lines.lines().any(|line| line.starts_with(key));
    let mut text = "version = 1\n\n[jobs.backup]\n".to_owned();
    if !["schedul", "every ", "at ", "cron"].into_iter().any(says) {
        text += "schedule = \"@daily\"\n";
    }
    if !["comm", "coma", "http", "handler"].into_iter().any(says) {
        text += "command = \"bin/backup\"\n";
    }
    text + lines + "\n"
}

/// One mistake in a setting of a job: its name, and the lines.
const SETTINGS: &[(&str, &str)] = &[
    ("action-misspelt", "comand = [\"bin/backup\", \"--all\"]"),
    ("action-twice", "command = \"bin/backup\"\nhttp = { url = \"https://x.example\" }"),
    ("args-without-handler", "args = { full = true }"),
    ("at-in-quotes", "at = \"2027-01-01T08:00:00\""),
    ("at-with-offset", "at = 2027-01-01T08:00:00+01:00"),
    ("at-without-time", "at = 2027-01-01"),
    ("boolean-in-quotes", "enabled = \"false\""),
    ("command-empty-list", "command = []"),
    ("command-number-in-list", "command = [\"sleep\", 5]"),
    ("delivery-exactly-once", "delivery = \"exactly_once\""),
    ("duration-in-words", "timeout = \"30 minutes\""),
    ("duration-number", "timeout = 30"),
    ("duration-quoted-number", "timeout = \"30\""),
    ("duration-too-long", "timeout = \"20000d\""),
    ("duration-zero", "timeout = \"0s\""),
    ("env-name", "env = { \"A=B\" = \"1\" }"),
    ("env-number", "env = { RETRIES = 3 }"),
    ("every-fraction", "every = \"1500ms\""),
    ("every-number", "every = 10"),
    ("header-name", "http = { url = \"https://x.example\", headers = { \"X Y\" = \"1\" } }"),
    ("http-template", "http = { url = \"https://x.example/{{ run_id }}\" }"),
    ("http-unknown-key", "http = { uri = \"https://x.example\" }"),
    ("http-url", "http = { url = \"x.example/sync\" }"),
    ("http-without-url", "http = { method = \"POST\" }"),
    ("http-a-text", "http = \"https://x.example\""),
    ("lock-a-text", "lock = \"30s\""),
    ("log-limit-number", "log_limit = 1048576"),
    ("overlap-a-boolean", "overlap = true"),
    ("misfire-a-number", "misfire = 5"),
    ("retry-attempts-in-quotes", "retry = { attempts = \"3\" }"),
    ("retry-backoff-begun", "retry = { attempts = 3, backoff = \"expo\" }"),
    ("duration-fraction", "timeout = \"1.5h\""),
    ("zone-offset", "timezone = \"GMT+2\""),
    ("warning-zone-offset", "timezone = \"Etc/GMT-2\""),
    ("http-method", "http = { url = \"https://x.example\", method = \"post\" }"),
    ("key-far-from-all", "frobnicate = true"),
    ("key-of-a-neighbour", "cron = \"@hourly\""),
    ("key-in-other-case", "Timeout = \"5m\""),
    ("key-of-another-tool", "concurrency_policy = \"Forbid\""),
    ("hook-a-url", "on_failure = [\"https://audit.example\"]"),
    ("hook-unknown", "on_failure = [\"audit\"]"),
    ("ping-no-url", "ping = \"hc-ping.com/1\""),
    ("sign-with-unknown", "http = { url = \"https://x.example\", sign_with = \"hook\" }"),
    ("key-of-a-later-version", "user = \"nobody\""),
    ("key-twice", "timeout = \"5m\"\ntimeout = \"10m\""),
    ("lock-min-hold", "lock = { min_hold = \"5s\" }"),
    ("lock-ttl", "lock = { ttl = \"100ms\" }"),
    ("log-limit", "log_limit = \"1 mb\""),
    ("misfire-max", "misfire = { policy = \"run_all\", max = 100000 }"),
    ("overlap-escaped", "overlap = \"s\\u006bpi\""),
    ("overlap-misspelt", "overlap = \"skpi\""),
    ("overlap-of-another-tool", "overlap = \"forbid\""),
    ("retry-a-number", "retry = 3"),
    ("retry-jitter", "retry = { attempts = 3, jitter = 20 }"),
    ("retry-key", "retry = { atempts = 3 }"),
    ("retry-zero", "retry = { attempts = 0 }"),
    ("runbook-a-list", "runbook = [\"https://wiki.example\"]"),
    ("schedule-a-number", "schedule = 5"),
    ("schedule-backwards", "schedule = \"0 0 * * 5-1\""),
    ("schedule-empty", "schedule = \"\""),
    ("schedule-every", "schedule = \"@every 5m\""),
    ("schedule-four-fields", "schedule = \"*/5 * * *\""),
    ("schedule-hour-24", "schedule = \"0 24 * * *\""),
    ("schedule-in-a-list", "schedule = [\"0 8 * * MON-FRI\", \"0 10 * * SATT\"]"),
    ("schedule-macro", "schedule = \"@dayly\""),
    ("schedule-manual-in-a-list", "schedule = [\"@daily\", \"@manual\"]"),
    ("schedule-misspelt", "schedul = \"@hourly\""),
    ("schedule-random", "schedule = \"0~30 * * * *\""),
    ("schedule-reboot", "schedule = \"@reboot\""),
    ("schedule-step-zero", "schedule = \"*/0 * * * *\""),
    ("schedule-step-without-end", "schedule = \"5/15 * * * *\""),
    ("schedule-zone", "schedule = \"TZ=UTC 0 0 * * *\""),
    ("schedule-twice", "schedule = \"@daily\"\nevery = \"5m\""),
    ("secret-misspelt", "env = { A = { secret = \"crm_tokn\" } }\n[secrets]\ncrm_token = { env = \"CRM_TOKEN\" }"),
    ("secret-unknown", "env = { A = { secret = \"db\" } }"),
    ("stdin-without-command", "http = { url = \"https://x.example\" }\nstdin = \"x\""),
    ("tags-a-text", "tags = \"ops\""),
    ("zone-misspelt", "timezone = \"Europe/Berln\""),
    ("zone-short", "timezone = \"CEST\""),
    ("zone-nowhere", "timezone = \"Middle-Earth/Shire\""),
    ("warning-either-day", "schedule = \"0 9 13 * FRI\""),
    ("warning-change-of-clocks", "schedule = \"30 2 * * *\"\ntimezone = \"Europe/Berlin\""),
    ("warning-overlap-without-timeout", "overlap = \"allow\""),
    ("warning-queue-grows", "every = \"10m\"\noverlap = \"queue_all\"\ntimeout = \"15m\""),
    ("warning-zone-short", "timezone = \"EST\""),
    ("warning-zone-old", "timezone = \"CET\""),
];

/// One mistake in a whole file.
const FILES: &[(&str, &str)] = &[
    (
        "calendar-unknown",
        "version = 1\n[calendars.holidays]\nweekdays = [\"SUN\"]\n[jobs.a]\nschedule = \"0 8 * * *\"\ncommand = \"true\"\nskip_on = [\"holydays\"]\n",
    ),
    (
        "calendar-not-a-list",
        "version = 1\n[calendars.holidays]\nweekdays = [\"SUN\"]\n[jobs.a]\nschedule = \"0 8 * * *\"\ncommand = \"true\"\nskip_on = \"holidays\"\n",
    ),
    (
        "calendar-without-days",
        "version = 1\n[calendars.holidays]\n[jobs.a]\nschedule = \"0 8 * * *\"\ncommand = \"true\"\n",
    ),
    (
        "calendar-quoted-date",
        "version = 1\n[calendars.holidays]\ndates = [2026-12-24, \"2026-12-25\"]\n[jobs.a]\nschedule = \"0 8 * * *\"\ncommand = \"true\"\n",
    ),
    (
        "calendar-weekday",
        "version = 1\n[calendars.holidays]\nweekdays = [\"SAT\", \"SUM\"]\n[jobs.a]\nschedule = \"0 8 * * *\"\ncommand = \"true\"\n",
    ),
    (
        "calendar-backwards",
        "version = 1\n[calendars.holidays]\nbetween = [{ from = 2026-12-28, to = 2026-12-24 }]\n[jobs.a]\nschedule = \"0 8 * * *\"\ncommand = \"true\"\n",
    ),
    (
        "window-backwards",
        "version = 1\n[jobs.a]\nschedule = \"0 8 * * *\"\ncommand = \"true\"\nstart = 2026-12-02\nend = 2026-12-01\n",
    ),
    ("window-quoted", "version = 1\n[jobs.a]\nschedule = \"0 8 * * *\"\ncommand = \"true\"\nstart = \"2026-12-02\"\n"),
    (
        "zone-twice",
        "version = 1\n[jobs.a]\nschedule = \"CRON_TZ=Asia/Tokyo 0 8 * * *\"\ntimezone = \"Europe/Berlin\"\ncommand = \"true\"\n",
    ),
    ("zone-in-the-text", "version = 1\n[jobs.a]\nschedule = \"CRON_TZ=Asia/Tokio 0 8 * * *\"\ncommand = \"true\"\n"),
    ("schedule-last-weekday", "version = 1\n[jobs.a]\nschedule = \"0 8 * * L\"\ncommand = \"true\"\n"),
    ("schedule-sixth-monday", "version = 1\n[jobs.a]\nschedule = \"0 8 * * MON#6\"\ncommand = \"true\"\n"),
    ("warning-never", "version = 1\n[jobs.a]\nschedule = \"0 0 30 2 *\"\ncommand = \"true\"\n"),
    ("warning-never-again", "version = 1\n[jobs.a]\nschedule = \"0 0 2 1 4 * 2025\"\ncommand = \"true\"\n"),
    ("warning-window-over", "version = 1\n[jobs.a]\nschedule = \"0 8 * * *\"\ncommand = \"true\"\nend = 2026-11-01\n"),
    ("warning-uneven-step", "version = 1\n[jobs.a]\nschedule = \"*/35 * * * *\"\ncommand = \"true\"\n"),
    (
        "warning-calendar-over",
        "version = 1\n[calendars.holidays]\ndates = [2025-12-25]\n[jobs.a]\nschedule = \"0 8 * * *\"\ncommand = \"true\"\n",
    ),
    (
        "hook-misspelt",
        "version = 1\n[hooks.audit]\nurl = \"https://audit.example\"\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\non_failure = [\"audti\"]\n",
    ),
    (
        "hook-for-a-job",
        "version = 1\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\non_success = [\"job:raport\"]\n[jobs.report]\nschedule = \"@manual\"\ncommand = \"true\"\n",
    ),
    (
        "hook-not-a-list",
        "version = 1\n[hooks.audit]\nurl = \"https://audit.example\"\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\non_failure = \"audit\"\n",
    ),
    (
        "hook-round",
        "version = 1\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\non_success = [\"job:b\"]\n[jobs.b]\nschedule = \"@manual\"\ncommand = \"true\"\non_failure = [\"job:a\"]\n",
    ),
    ("hook-without-url", "version = 1\n[hooks.audit]\nevents = [\"run.*\"]\n"),
    ("hook-plain-http", "version = 1\n[hooks.audit]\nurl = \"http://audit.example\"\n"),
    ("hook-name", "version = 1\n[hooks.\"audit.eu\"]\nurl = \"https://audit.example\"\n"),
    ("hook-event-misspelt", "version = 1\n[hooks.audit]\nurl = \"https://audit.example\"\nevents = [\"run.fialed\"]\n"),
    (
        "hook-event-of-a-replica",
        "version = 1\n[hooks.audit]\nurl = \"https://audit.example\"\nevents = [\"replica.*\"]\n",
    ),
    (
        "hook-secret-in-the-open",
        "version = 1\n[hooks.audit]\nurl = \"https://audit.example\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n",
    ),
    (
        "hook-slack-signed",
        "version = 1\n[secrets]\nx = { env = \"SIGN\" }\n[hooks.a]\nurl = \"https://a.example\"\nformat = \"slack\"\nsecret = \"x\"\n",
    ),
    (
        "hook-previous-secret",
        "version = 1\n[secrets]\nx = { env = \"SIGN\" }\n[hooks.a]\nurl = \"https://a.example\"\nprevious_secret = \"x\"\n",
    ),
    ("hook-key", "version = 1\n[hooks.audit]\nurl = \"https://audit.example\"\nallow_htp = true\n"),
    (
        "hook-round-by-default",
        "version = 1\n[defaults]\non_failure = [\"job:alert\"]\n[jobs.alert]\nschedule = \"@manual\"\ncommand = \"true\"\n",
    ),
    (
        "file-hook-for-hooks",
        "version = 1\n[hook.x]\nurl = \"https://x.example\"\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\non_failure = [\"x\"]\n",
    ),
    (
        "warning-secret-that-cannot-sign",
        "version = 1\n[secrets]\nx = { env = \"CRM_TOKEN\" }\n[hooks.a]\nurl = \"https://a.example\"\nsecret = \"x\"\n",
    ),
    ("file-empty", ""),
    ("file-array-of-jobs", "version = 1\n[[job]]\nname = \"x\"\n[[job]]\nname = \"y\"\n"),
    ("file-array-of-tables", "version = 1\n[[jobs]]\nname = \"x\"\n"),
    ("file-dotted-name", "version = 1\n[jobs.billing.invoices]\nschedule = \"@daily\"\ncommand = \"true\"\n"),
    (
        "file-job-twice",
        "version = 1\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"x\"\n",
    ),
    ("file-job-for-jobs", "version = 1\n[job.a]\nschedule = \"@daily\"\ncommand = \"true\"\n"),
    (
        "file-secret-for-secrets",
        "version = 1\n[secret]\nx = { env = \"CRM_TOKEN\" }\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\nenv = { X = { secret = \"x\" } }\n",
    ),
    (
        "file-calendar-for-calendars",
        "version = 1\n[calendar.x]\nweekdays = [\"SUN\"]\n[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\nskip_on = [\"x\"]\n",
    ),
    ("file-calendar-weekday", "version = 1\n[calendars.x]\nweekdays = [\"Sunday\"]\n"),
    ("file-job-not-a-table", "version = 1\n[jobs]\nbackup = \"30 2 * * *\"\n"),
    ("file-name-in-capitals", "version = 1\n[jobs.Sync_CRM]\nschedule = \"@daily\"\ncommand = \"true\"\n"),
    ("file-name-too-strange", "version = 1\n[jobs.\"größe\"]\nschedule = \"@daily\"\ncommand = \"true\"\n"),
    ("file-no-action", "version = 1\n[jobs.cleanup]\nschedule = \"@daily\"\n"),
    ("file-no-schedule", "version = 1\n[jobs.cleanup]\ncommand = \"true\"\n"),
    ("file-no-version", "[jobs.a]\nschedule = \"@daily\"\ncommand = \"true\"\n"),
    ("file-not-toml", "version = 1\n[jobs.a\nschedule = \"@daily\"\ncommand = \"true\"\n"),
    ("file-open-quote", "version = 1\n[jobs.a]\nschedule = \"@daily\ncommand = \"true\"\n"),
    ("file-yaml", "jobs:\n  backup:\n    schedule: daily\n"),
    ("file-secret-in-the-open", "version = 1\n[secrets]\ntoken = \"hunter2\"\n"),
    ("file-secret-two-sources", "version = 1\n[secrets]\ntoken = { env = \"A\", file = \"/b\" }\n"),
    ("file-version-2", "version = 2\n"),
    ("file-version-text", "version = \"1\"\n"),
    ("file-default-misspelt", "version = 1\n[defualts]\ntimeout = \"5m\"\n"),
    ("file-defaults-command", "version = 1\n[defaults]\ncommand = \"true\"\n"),
    ("warning-secret-without-value", "version = 1\n[secrets]\ntoken = { env = \"NOT_SET\" }\n"),
];

fn cases() -> impl Iterator<Item = (&'static str, String)> {
    let settings = SETTINGS.iter().map(|(name, lines)| (*name, with(lines)));
    settings.chain(FILES.iter().map(|(name, text)| (*name, (*text).to_owned())))
}

#[test]
fn each_kind_of_mistake_is_told_so_that_its_writer_knows_what_to_do() {
    settings().bind(|| {
        for (name, text) in cases() {
            insta::assert_snapshot!(name, report(&found(&[source("jobs.toml", &text)]), false));
        }
    });
    assert!(cases().count() > 80);
}

#[test]
fn each_mistake_is_told_once_and_nothing_follows_from_it() {
    for (name, text) in cases() {
        let found = found(&[source("jobs.toml", &text)]);
        assert_eq!(found.len(), 1, "{name}: {}", report(&found, false));
        assert_eq!(found[0].code.starts_with('W'), name.starts_with("warning"), "{name}");
    }
}

#[test]
fn mistakes_in_many_jobs_are_told_once_each_in_the_order_of_the_file() {
    let jobs: Vec<_> = SETTINGS.iter().filter(|(_, lines)| !lines.contains("\n[")).collect();
    let text = jobs.iter().enumerate().fold("version = 1\n".to_owned(), |text, (n, (_, lines))| {
        let job = with(lines).replace("version = 1\n", "").replace("[jobs.backup]", &format!("[jobs.job-{n}]"));
        text + &job
    });
    let found = found(&[source("jobs.toml", &text)]);
    let alone = jobs.iter().map(|(_, lines)| self::found(&[source("jobs.toml", &with(lines))])[0].message.clone());
    let plain = |text: &str| text.replace("`backup`", "`J`");
    let numbered = |one: &Diagnostic| {
        let (head, tail) = one.message.split_once("`job-").unwrap_or((&one.message, ""));
        let tail = tail.split_once('`').map(|(_, tail)| format!("`J`{tail}")).unwrap_or_default();
        format!("{head}{tail}")
    };
    assert_eq!(found.iter().map(numbered).collect::<Vec<_>>(), alone.map(|one| plain(&one)).collect::<Vec<_>>());
    assert!(found.is_sorted_by_key(|one| (one.line, one.column)));
}

#[test]
fn a_fix_that_is_suggested_mends_the_mistake() {
    let mut tried = 0;
    for (name, text) in cases() {
        let wrong = &found(&[source("jobs.toml", &text)])[0];
        let Some(fix) = &wrong.suggestion else { continue };
        tried += 1;
        let mended = format!("{}{}{}", &text[..fix.span.start], fix.with, &text[fix.span.end..]);
        let left = found(&[source("jobs.toml", &mended)]);
        assert!(left.is_empty(), "{name} is left with {}", report(&left, false));
    }
    assert!(tried > 15, "{tried}");
}

#[test]
fn twelve_mistakes_in_one_file_are_told_in_one_go() {
    let text = include_str!("data/mistakes.toml");
    let found = found(&[source("schedules/bad.toml", text)]);
    assert_eq!(found.len(), 12);
    settings().bind(|| insta::assert_snapshot!("twelve", report(&found, false)));
}

#[test]
fn a_job_in_two_files_is_shown_in_both() {
    let files = [source("a.toml", &with("")), source("b.toml", &with("timeout = \"5m\""))];
    settings().bind(|| insta::assert_snapshot!("two-files", report(&found(&files), false)));
}

#[test]
fn mistakes_of_several_files_come_in_the_order_of_the_files() {
    let files =
        [source("b.toml", &with("timeout = 5")), source("a.toml", &with("timeot = \"5m\"").replace("backup", "x"))];
    settings().bind(|| insta::assert_snapshot!("several-files", report(&found(&files), false)));
}

#[test]
fn many_jobs_in_one_minute_are_told_of_once() {
    let jobs = |from: u32, until: u32, more: &str| {
        (from..until).fold("version = 1\n".to_owned(), |text, n| {
            text + &format!("[jobs.j{n}]\nschedule = \"0 * * * *\"\ncommand = \"true\"\n{more}")
        })
    };
    let two = [source("a.toml", &jobs(10, 22, "")), source("b.toml", &jobs(22, 35, ""))];
    settings().bind(|| insta::assert_snapshot!("warning-crowd", report(&found(&two), false)));
    assert!(found(&[source("a.toml", &jobs(0, 20, ""))]).is_empty());
    assert!(found(&[source("a.toml", &jobs(0, 30, "jitter = \"10m\"\n"))]).is_empty());
    let closed =
        jobs(0, 30, "skip_on = [\"all\"]\n") + "[calendars.all]\nbetween = [{ from = 2026-01-01, to = 2027-12-31 }]\n";
    assert!(found(&[source("a.toml", &closed)]).is_empty(), "a calendar closes these days");
    assert!(found(&[source("a.toml", &jobs(0, 30, "").replace("0 * * * *", "H * * * *"))]).is_empty());
}

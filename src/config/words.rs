//! The words of schedule files, and those of other tools that people bring along.

/// The keys that one kind of table knows.
pub(super) struct Words {
    pub(super) known: &'static [&'static str],
    /// Designed, but not in this version.
    pub(super) later: &'static [&'static str],
    /// What other tools call it, and what to say about that.
    pub(super) foreign: &'static [(&'static str, &'static str)],
}

const fn only(known: &'static [&'static str]) -> Words {
    Words { known, later: &[], foreign: &[] }
}

pub(super) const TOP: Words = Words {
    known: &["version", "defaults", "secrets", "calendars", "jobs"],
    later: &["include", "hooks"],
    foreign: &[
        ("job", "jobs are written as tables, `[jobs.nightly-report]`, not as an array `[[job]]`"),
        ("task", "jobs are written as tables, `[jobs.nightly-report]`"),
        ("tasks", "jobs are written as tables, `[jobs.nightly-report]`"),
        ("schedules", "jobs are written as tables, `[jobs.nightly-report]`, each with its `schedule`"),
        ("default", "settings for all jobs are written as `[defaults]`"),
        ("secret", "secrets are written as `[secrets]`"),
    ],
};

pub(super) const WHEN: [&str; 3] = ["schedule", "every", "at"];
pub(super) const ACTIONS: [&str; 3] = ["command", "http", "handler"];

const LATER: &[&str] = &[
    "user",
    "publish",
    "run_on",
    "queue",
    "warn_after",
    "must_succeed_within",
    "ping",
    "on_start",
    "on_success",
    "on_failure",
    "on_overdue",
];

const FOREIGN: &[(&str, &str)] = &[
    ("active_deadline_seconds", "here it is `timeout = \"10m\"`"),
    ("backoff_limit", "here it is `retry = { attempts = 3 }`"),
    ("catchup", "here it is `misfire = \"skip\"`, `\"run_once\"` or `\"run_all\"`"),
    ("cmd", "here it is `command`"),
    ("concurrency", "here it is `overlap = \"skip\"` and the like"),
    ("concurrency_policy", "here it is `overlap = \"skip\"`, `\"replace\"` or `\"allow\"`"),
    ("cron", "here it is `schedule`"),
    ("disabled", "here it is `enabled = false`"),
    ("environment", "here it is `env`"),
    ("exec", "here it is `command`"),
    ("interval", "here it is `every = \"10m\"`"),
    ("retries", "here it is `retry = { attempts = 3 }`: the first run counts as an attempt"),
    ("run", "here it is `command`"),
    ("script", "here it is `command`"),
    ("starting_deadline_seconds", "here it is `misfire = { window = \"10m\" }`"),
    ("suspend", "here it is `enabled = false`"),
    ("time_zone", "here it is `timezone`"),
    ("tz", "here it is `timezone`"),
    ("working_directory", "here it is `cwd`"),
];

pub(super) const DEFAULTS: Words = Words {
    known: &[
        "timezone",
        "dst_gap",
        "dst_overlap",
        "skip_on",
        "only_on",
        "jitter",
        "shell",
        "cwd",
        "env",
        "env_file",
        "timeout",
        "kill_after",
        "retry",
        "overlap",
        "delivery",
        "misfire",
        "lock",
        "log_limit",
        "keep",
        "tags",
    ],
    later: LATER,
    foreign: FOREIGN,
};

pub(super) const JOB: Words = Words {
    known: &[
        "schedule",
        "every",
        "at",
        "timezone",
        "dst_gap",
        "dst_overlap",
        "start",
        "end",
        "skip_on",
        "only_on",
        "jitter",
        "command",
        "shell",
        "cwd",
        "env",
        "env_file",
        "stdin",
        "http",
        "handler",
        "args",
        "timeout",
        "kill_after",
        "retry",
        "overlap",
        "delivery",
        "mutex",
        "misfire",
        "lock",
        "log_limit",
        "keep",
        "tags",
        "description",
        "owner",
        "runbook",
        "enabled",
    ],
    later: LATER,
    foreign: FOREIGN,
};

pub(super) const HTTP: Words = Words {
    known: &["method", "url", "headers", "body", "timeout", "expect"],
    later: &["sign_with"],
    foreign: &[("json", "here it is `body`, as text or as a table"), ("data", "here it is `body`")],
};
pub(super) const EXPECT: Words = only(&["status", "body_contains"]);
pub(super) const RETRY: Words = Words {
    known: &["attempts", "backoff", "initial", "max", "jitter", "no_retry_exit_codes"],
    later: &["on"],
    foreign: &[
        ("retries", "here it is `attempts`: the first run counts"),
        ("count", "here it is `attempts`: the first run counts"),
        ("delay", "here it is `initial`"),
    ],
};
pub(super) const MISFIRE: Words = only(&["policy", "window", "max"]);
pub(super) const LOCK: Words = Words {
    known: &["ttl"],
    later: &[],
    foreign: &[(
        "min_hold",
        "leave it out: every occurrence is recorded as decided, so a late clock cannot start it again",
    )],
};
pub(super) const CALENDAR: Words = only(&["dates", "every_year", "weekdays", "between"]);
pub(super) const BETWEEN: Words = only(&["from", "to"]);
pub(super) const KEEP: Words = only(&["runs", "days"]);
pub(super) const SECRET: Words = only(&["env", "file", "credential"]);
pub(super) const SECRET_USE: Words = only(&["secret", "prefix"]);

/// The most similar word, when one is similar enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let room = 1 + word.chars().count() / 4;
    let lower = word.to_lowercase();
    let (distance, best) = known.into_iter().map(|one| (strsim::damerau_levenshtein(&lower, one), one)).min()?;
    // A word of one or two letters is near to everything.
    (distance <= room && distance < lower.chars().count()).then_some(best)
}

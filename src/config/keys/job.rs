//! What a job may say, and what `[defaults]` may say for all of them.

use super::super::words;
use super::parts::{HTTP, KEEP, LOCK, MISFIRE, MISFIRES, PUBLISH, RETRY, VALUE};
use super::{Key, Kind, Said, Table};

const GAPS: [Said; 2] = words::said(&words::GAP);
const REPEATS: [Said; 3] = words::said(&words::REPEATED);
const OVERLAPS: [Said; 5] = words::said(&words::OVERLAP);
const PLACES: [Said; 2] = words::said(&words::PLACE);
const DELIVERIES: [Said; 2] = words::said(&words::DELIVERY);
const TEXTS: Kind = Kind::List(&Kind::Text);

pub(in crate::config) static JOB: Table = Table::new(
    "[jobs.NAME]",
    "One job: exactly one of `schedule`, `every` and `at` says when, exactly one of `command`, `http`, `publish` and `handler` what.",
    &KEYS,
)
.later(LATER)
.foreign(FOREIGN);

pub(in crate::config) static DEFAULTS: Table = Table {
    title: "[defaults]",
    about: "What every job of the file has unless it says otherwise. Lists and tables of a job replace these, but `tags` and `env` are joined.",
    only_shared: true,
    ..JOB_LIKE
};

const JOB_LIKE: Table = Table::new("", "", &KEYS).later(LATER).foreign(FOREIGN);

const LATER: &[&str] = &["user"];

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

static KEYS: [Key; 47] = [
    Key::new(
        "schedule",
        Kind::Either(&[Kind::Text, TEXTS]),
        "\"30 2 * * MON-FRI\"",
        "A crontab expression: 5 fields, 6 with seconds first, 7 with the year last, or a word such as `@daily`; \
         docs/SCHEDULES.md has all of it. A list is the union of its texts; `@manual` runs by hand only.",
    ),
    Key::new(
        "every",
        Kind::Duration,
        "\"10m\"",
        "A period in whole seconds, counted from a fixed instant so that all replicas agree.",
    ),
    Key::new("at", Kind::Date, "2027-01-01T00:00:00", "Once, when the wall in the job's time zone shows this."),
    Key::new("timezone", Kind::Text, "\"Europe/Berlin\"", "An IANA name; the machine's own zone has no say.")
        .or("\"UTC\"")
        .shared(),
    Key::new(
        "dst_gap",
        Kind::Word(&GAPS),
        "\"skip\"",
        "What happens to a time that does not exist on the day clocks go forward.",
    )
    .or("\"shift\"")
    .shared(),
    Key::new(
        "dst_overlap",
        Kind::Word(&REPEATS),
        "\"both\"",
        "What happens to a time that comes twice on the day clocks go back.",
    )
    .or("\"first\"")
    .shared(),
    Key::new("start", Kind::Date, "2026-12-01", "No occurrence before this day or instant, in the job's time zone."),
    Key::new("end", Kind::Date, "2027-11-30", "No occurrence after this day or instant, itself included."),
    Key::new("skip_on", TEXTS, "[\"holidays\"]", "Calendars on whose days it does not run.").shared(),
    Key::new("only_on", TEXTS, "[\"closing-days\"]", "Calendars on whose days alone it runs.").shared(),
    Key::new(
        "jitter",
        Kind::Duration,
        "\"2m\"",
        "Each occurrence starts up to this much later: always the same for one occurrence, on every replica.",
    )
    .or("\"0s\"")
    .shared(),
    Key::new(
        "command",
        Kind::Either(&[Kind::Text, TEXTS]),
        "[\"bin/backup\", \"--all\"]",
        "A program to start: text goes through the shell, a list is executed as it stands.",
    ),
    Key::new(
        "shell",
        TEXTS,
        "[\"/bin/bash\", \"-euo\", \"pipefail\", \"-c\"]",
        "The shell for a command that is text.",
    )
    .or("[\"/bin/sh\", \"-c\"]")
    .shared(),
    Key::new("cwd", Kind::Text, "\"/srv/app\"", "The command's directory; the replica's own by default.").shared(),
    Key::new(
        "env",
        Kind::Named("NAME", &VALUE),
        "{ PGHOST = \"db.internal\" }",
        "Variables for the command, besides those of the replica; a value may be a secret.",
    )
    .shared(),
    Key::new("env_file", Kind::Text, "\"/etc/app.env\"", "A file of `NAME=value` lines, read at each start.").shared(),
    Key::new("stdin", Kind::Text, "\"yes\"", "Fed to the command's standard input."),
    Key::new("http", Kind::Table(&HTTP), "{ url = \"https://crm.example/api/sync\" }", "An HTTP request to make."),
    Key::new(
        "publish",
        Kind::Table(&PUBLISH),
        "{ exchange = \"billing\", routing_key = \"invoices.close\" }",
        "A message to send to somebody else's service.",
    ),
    Key::new(
        "handler",
        Kind::Text,
        "\"dunning::send\"",
        "A function that the embedding program registered under this name.",
    ),
    Key::new("args", Kind::Named("name", &Kind::Any), "{ max_letters = 500 }", "Handed to the handler as JSON."),
    Key::new("run_on", Kind::Word(&PLACES), "\"worker\"", "Who does it.").or("\"replica\"").shared(),
    Key::new("queue", Kind::Text, "\"ledger\"", "With `run_on = \"worker\"`, the queue its requests wait in.")
        .or("\"default\"")
        .shared(),
    Key::new(
        "start_within",
        Kind::Duration,
        "\"10m\"",
        "With `run_on = \"worker\"`: a request that no worker has begun within this is taken for lost and sent again. \
         By default until the next occurrence, at least 30 s and at most 1 h.",
    )
    .shared(),
    Key::new(
        "message_trigger",
        Kind::Flag,
        "true",
        "Whether a message to `trigger.CLUSTER.JOB` may ask for a run; docs/EVENTS.md says how.",
    )
    .or("false"),
    Key::new("timeout", Kind::Duration, "\"2h\"", "A run that takes longer is stopped: TERM to all of its processes.")
        .or("\"1h\"")
        .shared(),
    Key::new("warn_after", Kind::Duration, "\"8m\"", "It is told once, as `run.slow`, when an attempt takes longer.")
        .shared(),
    Key::new(
        "must_succeed_within",
        Kind::Duration,
        "\"26h\"",
        "It is told once, as `job.overdue`, when there was no success for so long: after the last one, after the job was \
         first seen, or after the end of a pause. Give it at least two periods.",
    )
    .shared(),
    Key::new("kill_after", Kind::Duration, "\"30s\"", "The pause between TERM and KILL.").or("\"10s\"").shared(),
    Key::new("retry", Kind::Table(&RETRY), "{ attempts = 3 }", "Whether a failed run is tried again.").shared(),
    Key::new(
        "overlap",
        Kind::Word(&OVERLAPS),
        "\"queue_one\"",
        "What happens to an occurrence that comes due while a run of the job is going.",
    )
    .or("\"skip\"")
    .shared(),
    Key::new(
        "delivery",
        Kind::Word(&DELIVERIES),
        "\"at_least_once\"",
        "What happens to a started run whose replica vanished.",
    )
    .or("\"at_most_once\"")
    .shared(),
    Key::new("mutex", Kind::Text, "\"ledger\"", "Jobs with the same mutex never run together."),
    Key::new(
        "misfire",
        Kind::Either(&[Kind::Word(&MISFIRES), Kind::Table(&MISFIRE)]),
        "\"skip\"",
        "What happens to occurrences that nobody could start within 10 s.",
    )
    .or("\"run_once\"")
    .shared(),
    Key::new("lock", Kind::Table(&LOCK), "{ ttl = \"1m\" }", "How long a claim on a run lasts.").shared(),
    Key::new(
        "ping",
        VALUE,
        "\"https://hc-ping.com/0b2ea4c6-53c5-4f5e-8f4e-1c8f1f7e0c4d\"",
        "A URL that is asked for at each start (with `/start`), after a success (as it stands) and after a failure (with \
         `/` and the exit code), as Healthchecks has it; docs/WEBHOOKS.md says more.",
    ),
    Key::new("on_start", TEXTS, "[\"audit\"]", "Hooks that hear of each start, and jobs to start with it.").shared(),
    Key::new(
        "on_success",
        TEXTS,
        "[\"audit\", \"job:report\"]",
        "Hooks that hear of a success; `job:NAME` starts another job after it.",
    )
    .shared(),
    Key::new(
        "on_failure",
        TEXTS,
        "[\"audit\"]",
        "The same for a run that failed, after its last attempt; one that was cancelled did not fail.",
    )
    .shared(),
    Key::new(
        "on_overdue",
        TEXTS,
        "[\"audit\"]",
        "The same for a job that went without a success for too long (`must_succeed_within`), and the hooks also for the \
         success that ends it.",
    )
    .shared(),
    Key::new("log_limit", Kind::Size, "\"64KiB\"", "Output beyond this loses its middle; 1KiB to 1GiB.")
        .or("\"1MiB\"")
        .shared(),
    Key::new("keep", Kind::Table(&KEEP), "{ runs = 1000, days = 90 }", "How much history is kept.").shared(),
    Key::new("tags", TEXTS, "[\"ops\"]", "Words to group and filter by; joined with those of `[defaults]`.").shared(),
    Key::new("description", Kind::Text, "\"Dump the database\"", "One line for whoever reads about the job."),
    Key::new("owner", Kind::Text, "\"team-data\"", "Who looks after it."),
    Key::new(
        "runbook",
        Kind::Text,
        "\"https://wiki.example/db-backup\"",
        "Where it is written what to do when it fails.",
    ),
    Key::new("enabled", Kind::Flag, "false", "Whether it runs at all; a trigger by hand still does.").or("true"),
];

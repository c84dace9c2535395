//! The top level, and the calendars below it.

use super::super::words::{self, said};
use super::parts::{SECRET, VALUE};
use super::{DEFAULTS, JOB, Key, Kind, Said, Table};

pub(in crate::config) static TOP: Table =
    Table::new("", "A schedule file is TOML. Its top level has these keys.", &KEYS).later(&["include"]).foreign(&[
        ("job", "jobs are written as tables, `[jobs.nightly-report]`, not as an array `[[job]]`"),
        ("task", "jobs are written as tables, `[jobs.nightly-report]`"),
        ("tasks", "jobs are written as tables, `[jobs.nightly-report]`"),
        ("schedules", "jobs are written as tables, `[jobs.nightly-report]`, each with its `schedule`"),
        ("default", "settings for all jobs are written as `[defaults]`"),
    ]);

static KEYS: [Key; 7] = [
    Key::new("version", Kind::Whole(1, 1), "1", "The format of the file.").required(),
    Key::new(
        "defaults",
        Kind::Table(&DEFAULTS),
        "{ timezone = \"Europe/Berlin\" }",
        "Settings for every job of the file that does not say otherwise.",
    ),
    Key::new(
        "secrets",
        Kind::Named("NAME", &Kind::Table(&SECRET)),
        "{ token = { env = \"TOKEN\" } }",
        "Where secret values come from. They are never part of the file, and never shown.",
    ),
    Key::new(
        "calendars",
        Kind::Named("NAME", &Kind::Table(&CALENDAR)),
        "{ holidays = { every_year = [\"12-25\"] } }",
        "Named sets of days, for `skip_on` and `only_on` of jobs.",
    ),
    Key::new(
        "hooks",
        Kind::Named("NAME", &Kind::Table(&HOOK)),
        "{ audit = { url = \"https://audit.example/hooks\" } }",
        "Services that hear of events by HTTP. Names as for jobs; docs/WEBHOOKS.md says how they are told.",
    ),
    Key::new(
        "jobs",
        Kind::Named("NAME", &Kind::Table(&JOB)),
        "{ hello = { schedule = \"@daily\", command = \"echo hello\" } }",
        "What runs, and when. Names are made of a-z, 0-9, `-` and `_`, 63 characters at most.",
    ),
    Key::new(
        "$schema",
        Kind::Text,
        "\"./cronclave-1.schema.json\"",
        "For editors that look for their schema here; a first line `#:schema ./cronclave-1.schema.json` does the same.",
    ),
];

pub(in crate::config) static CALENDAR: Table = Table::new(
    "[calendars.NAME]",
    "A set of days, in the time zone of the job that uses it: those that any of the keys names.",
    &CALENDAR_KEYS,
);

static CALENDAR_KEYS: [Key; 4] = [
    Key::new("dates", Kind::List(&Kind::Date), "[2026-12-24, 2026-12-31]", "Single days."),
    Key::new("every_year", Kind::List(&Kind::Text), "[\"12-25\", \"01-01\"]", "Days of every year, as month and day."),
    Key::new("weekdays", Kind::List(&Kind::Word(&WEEKDAYS)), "[\"SAT\", \"SUN\"]", "Days of every week."),
    Key::new(
        "between",
        Kind::List(&Kind::Table(&BETWEEN)),
        "[{ from = 2026-12-24, to = 2027-01-06 }]",
        "All days from one to another.",
    ),
];

pub(in crate::config) static BETWEEN: Table = Table::new("between = [{ ... }]", "A span of days.", &BETWEEN_KEYS);

static BETWEEN_KEYS: [Key; 2] = [
    Key::new("from", Kind::Date, "2026-12-24", "The first day.").required(),
    Key::new("to", Kind::Date, "2027-01-06", "The last day, itself included.").required(),
];

const WEEKDAYS: [Said; 7] = said(&words::WEEKDAY);

const SHAPES: [Said; 3] = said(&words::SHAPE);

pub(in crate::config) static HOOK: Table = Table::new(
    "[hooks.NAME]",
    "A service that hears of events by HTTP: of those that `events` names, and of those of jobs that name it in `on_failure` and the like.",
    &HOOK_KEYS,
)
.foreign(&[
    ("endpoint", "here it is `url`"),
    ("token", "here it is `secret`"),
    ("on", "here it is `events`"),
    ("type", "here it is `format`"),
]);

static HOOK_KEYS: [Key; 8] = [
    Key::new(
        "url",
        VALUE,
        "\"https://audit.example/hooks\"",
        "Where it listens; a secret where the URL itself is one. By HTTPS unless `allow_http` says otherwise.",
    )
    .required(),
    Key::new(
        "secret",
        Kind::Text,
        "\"hook_secret\"",
        "A secret, `whsec_` and 24 to 64 bytes in Base64, that what is sent is signed with.",
    ),
    Key::new(
        "previous_secret",
        Kind::Text,
        "\"old_hook_secret\"",
        "The one before it, while the service learns the new one: what is sent has both signatures.",
    ),
    Key::new(
        "events",
        Kind::List(&Kind::Text),
        "[\"run.*\", \"job.paused\"]",
        "Events of all jobs that it hears of, as docs/EVENTS.md names them; `*` stands for any word.",
    )
    .or("[]"),
    Key::new("format", Kind::Word(&SHAPES), "\"slack\"", "What it is sent.").or("\"standard\""),
    Key::new("allow_http", Kind::Flag, "true", "Whether the URL may be plain HTTP.").or("false"),
    Key::new(
        "allow_private",
        Kind::Flag,
        "true",
        "Whether it may have an address of this machine, or of a private network.",
    )
    .or("false"),
    Key::new("enabled", Kind::Flag, "false", "Whether it is told anything.").or("true"),
];

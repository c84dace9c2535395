//! The smaller tables that jobs are made of.

use super::super::words;
use super::{Key, Kind, Said, Table};

const METHODS: [Said; 7] = words::said(&words::METHOD);
pub(super) const MISFIRES: [Said; 3] = words::said(&words::MISFIRE);
const BACKOFFS: [Said; 4] = words::said(&words::BACKOFF);

/// Text, or a secret's value.
pub(super) const VALUE: Kind = Kind::Either(&[Kind::Text, Kind::Table(&SECRET_USE)]);

pub(in crate::config) static HTTP: Table = Table::new(
    "http = { ... }",
    "An HTTP request; any 2xx answer is success unless `expect` says otherwise.",
    &HTTP_KEYS,
)
.foreign(&[("json", "here it is `body`, as text or as a table"), ("data", "here it is `body`")]);

static HTTP_KEYS: [Key; 7] = [
    Key::new("url", Kind::Text, "\"https://crm.example/api/sync\"", "Where to; http or https.").required(),
    Key::new("method", Kind::Word(&METHODS), "\"POST\"", "The request's method: GET, or POST when there is a body."),
    Key::new(
        "headers",
        Kind::Named("Name", &VALUE),
        "{ Accept = \"application/json\" }",
        "Headers of the request; a value may be a secret.",
    ),
    Key::new("body", Kind::Any, "{ full = false }", "Text as it stands; a table or a list is sent as JSON."),
    Key::new("timeout", Kind::Duration, "\"30s\"", "Limit of the request; the job's `timeout` holds as well."),
    Key::new("expect", Kind::Table(&EXPECT), "{ status = [200, 202] }", "What the answer must be."),
    Key::new(
        "sign_with",
        Kind::Text,
        "\"hook_secret\"",
        "A secret, `whsec_...`, that the request is signed with, as Standard Webhooks has it.",
    ),
];

const FORMATS: [Said; 2] = words::said(&words::FORMAT);
const COMPLETIONS: [Said; 2] = words::said(&words::COMPLETION);

pub(in crate::config) static PUBLISH: Table = Table::new(
    "publish = { ... }",
    "A message to somebody else's service, by way of RabbitMQ. Its texts may have places such as `{{ scheduled_at | date }}`.",
    &PUBLISH_KEYS,
)
.later(&["payload_file"])
.foreign(&[("body", "here it is `payload`"), ("topic", "here it is `routing_key`"), ("ttl", "here it is `expires`")]);

static PUBLISH_KEYS: [Key; 10] = [
    Key::new(
        "exchange",
        Kind::Text,
        "\"billing\"",
        "Where to: an exchange that is there. Without one the routing key is the name of a queue.",
    ),
    Key::new("routing_key", Kind::Text, "\"invoices.close.daily\"", "Whom it is for.").required(),
    Key::new("format", Kind::Word(&FORMATS), "\"cloudevents\"", "How the payload is wrapped.").or("\"plain\""),
    Key::new(
        "payload",
        Kind::Any,
        "{ day = \"{{ scheduled_at | date }}\" }",
        "Text as it stands; a table or a list is sent as JSON. A CloudEvent without it says which run it is.",
    ),
    Key::new("content_type", Kind::Text, "\"application/xml\"", "What the payload is, where that is not plain."),
    Key::new("headers", Kind::Named("name", &VALUE), "{ tenant = \"eu\" }", "Sent along; a value may be a secret."),
    Key::new("priority", Kind::Whole(0, 255), "5", "Among the messages of a queue that heeds it."),
    Key::new("expires", Kind::Duration, "\"6h\"", "The broker drops it when nobody has taken it within this."),
    Key::new("persistent", Kind::Flag, "false", "Whether it survives a restart of the broker.").or("true"),
    Key::new("complete_on", Kind::Word(&COMPLETIONS), "\"result\"", "When the run counts as done.").or("\"confirm\""),
];

pub(in crate::config) static EXPECT: Table =
    Table::new("expect = { ... }", "What the answer to a request must be; anything else fails the run.", &EXPECT_KEYS);

const STATUS: Kind = Kind::Whole(100, 599);

static EXPECT_KEYS: [Key; 2] = [
    Key::new(
        "status",
        Kind::Either(&[STATUS, Kind::List(&STATUS)]),
        "[200, 202]",
        "Accepted statuses: any 2xx by default.",
    ),
    Key::new("body_contains", Kind::Text, "\"ok\"", "The answer's body must contain this."),
];

pub(in crate::config) static RETRY: Table =
    Table::new("retry = { ... }", "Whether a failed run is tried again, and after which pauses.", &RETRY_KEYS)
        .later(&["on"])
        .foreign(&[
            ("retries", "here it is `attempts`: the first run counts"),
            ("count", "here it is `attempts`: the first run counts"),
            ("delay", "here it is `initial`"),
        ]);

static RETRY_KEYS: [Key; 6] = [
    Key::new("attempts", Kind::Whole(1, 1000), "3", "Attempts in all; the first run counts.").or("1"),
    Key::new("backoff", Kind::Word(&BACKOFFS), "\"fixed\"", "How the pauses grow.").or("\"exponential\""),
    Key::new("initial", Kind::Duration, "\"30s\"", "The first pause.").or("\"10s\""),
    Key::new("max", Kind::Duration, "\"5m\"", "No pause is longer.").or("\"10m\""),
    Key::new("jitter", Kind::Share, "0.2", "Each pause is made longer or shorter by up to this share of it.").or("0"),
    Key::new(
        "no_retry_exit_codes",
        Kind::List(&Kind::Whole(0, 255)),
        "[2, 64]",
        "Exit codes of a command that are not tried again.",
    )
    .or("[]"),
];

pub(in crate::config) static MISFIRE: Table =
    Table::new("misfire = { ... }", "What happens to occurrences that nobody could start in time.", &MISFIRE_KEYS);

static MISFIRE_KEYS: [Key; 3] = [
    Key::new("policy", Kind::Word(&MISFIRES), "\"run_all\"", "Which of them still run.").or("\"run_once\""),
    Key::new("window", Kind::Duration, "\"3d\"", "Older ones are recorded as missed.").or("\"1h\""),
    Key::new("max", Kind::Whole(1, 1000), "3", "With `run_all`, at most this many of the newest run.").or("100"),
];

pub(in crate::config) static LOCK: Table =
    Table::new("lock = { ... }", "How long a replica's claim on a run lasts.", &LOCK_KEYS).foreign(&[(
        "min_hold",
        "leave it out: every occurrence is recorded as decided, so a late clock cannot start it again",
    )]);

static LOCK_KEYS: [Key; 1] = [Key::new(
    "ttl",
    Kind::Duration,
    "\"1m\"",
    "A claim that is not renewed ends after this long, 1s to 1h; it is renewed at a third of it.",
)
.or("\"30s\"")];

pub(in crate::config) static KEEP: Table =
    Table::new("keep = { ... }", "How much history of a job is kept; whatever exceeds either limit goes.", &KEEP_KEYS);

static KEEP_KEYS: [Key; 2] = [
    Key::new("runs", Kind::Whole(1, 1_000_000), "1000", "The newest runs.").or("100"),
    Key::new("days", Kind::Whole(1, 36_500), "90", "The newest days.").or("30"),
];

pub(in crate::config) static SECRET: Table =
    Table::new("[secrets]: NAME = { ... }", "Where a secret's value comes from: exactly one of these.", &SECRET_KEYS);

static SECRET_KEYS: [Key; 3] = [
    Key::new("env", Kind::Text, "\"CRM_TOKEN\"", "A variable of the replica's environment."),
    Key::new("file", Kind::Text, "\"/run/secrets/crm_token\"", "A file, as Docker and Kubernetes mount them."),
    Key::new("credential", Kind::Text, "\"crm_token\"", "A credential of the systemd unit."),
];

pub(in crate::config) static SECRET_USE: Table =
    Table::new("{ secret = \"NAME\" }", "A secret's value, where a text may stand.", &SECRET_USE_KEYS);

static SECRET_USE_KEYS: [Key; 2] = [
    Key::new("secret", Kind::Text, "\"crm_token\"", "Its name under `[secrets]`.").required(),
    Key::new("prefix", Kind::Text, "\"Bearer \"", "Put before the value."),
];

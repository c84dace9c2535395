//! How this process is set up: flags, then the environment, then defaults. What runs and when is
//! never said here but in the schedule files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::platform::{Platform, check_word, fleeting, mended};
use super::servers::{amqp, redis};
use super::web::{Web, switch};
use super::{Env, duration};
use crate::{broker, store};

/// The environment of this process. A variable that is empty or not Unicode counts as not set.
#[allow(clippy::disallowed_methods, reason = "the one reader of the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the flags said; what they did not stays `None`.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`
    pub config: Vec<PathBuf>,
    /// `--db`
    pub db: Option<PathBuf>,
    /// `--redis`
    pub redis: Option<String>,
    /// `--amqp`
    pub amqp: Option<String>,
    /// `--cluster`
    pub cluster: Option<String>,
    /// `--replica`
    pub replica: Option<String>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--no-http`
    pub no_http: bool,
    /// `--read-only`
    pub read_only: bool,
    /// `--grace`
    pub grace: Option<String>,
    /// `--max-parallel`
    pub max_parallel: Option<usize>,
    /// `--workers`
    pub workers: Option<usize>,
    /// `--concurrency`
    pub concurrency: Option<usize>,
    /// `--log-output`
    pub log_output: Option<String>,
    /// `--no-watch`
    pub no_watch: bool,
}

/// How this process is set up.
#[derive(Debug, Clone)]
pub struct Process {
    /// Where schedule files are looked for; empty means the usual places.
    pub config: Vec<PathBuf>,
    /// The SQLite file, unless there is a Redis. Default `./cronclave.db`, under systemd in `$STATE_DIRECTORY`.
    pub db: PathBuf,
    /// The Redis that holds the state, if one does.
    pub redis: Option<store::address::Address>,
    /// The RabbitMQ that carries messages, if one does.
    pub amqp: Option<broker::address::Address>,
    /// Why the SQLite file would not last where it is, unless there is a Redis or somebody allowed it.
    pub fleeting: Option<WrongSetting>,
    /// Whether what is missing at the RabbitMQ is made. Default `true`.
    pub declare: bool,
    /// Whether MQTT clients there hear events and may send triggers. Default `false`.
    pub mqtt: bool,
    /// Whether webhooks that are registered may be in private networks, and by plain HTTP. Default `false`.
    pub private_webhooks: bool,
    /// Default `default`.
    pub cluster: String,
    /// What this replica is called.
    pub replica: String,
    /// Where HTTP is served, if it is.
    pub listen: Option<Listen>,
    /// Who may ask there, and how much.
    pub web: Web,
    /// Between a request to stop and ending what still runs. Default 25 s, less where the platform kills sooner.
    pub grace: Duration,
    /// Between asking what then still runs to end and killing it, at most. Default: as long as its job allows, less
    /// where the platform kills sooner and nobody set a grace.
    pub hurry: Option<Duration>,
    /// Runs side by side at most. Default 100.
    pub max_parallel: usize,
    /// Requests for workers that a replica carries out at once from each queue. Default 0.
    pub workers: usize,
    /// The same for a worker. Default 4.
    pub concurrency: usize,
    /// How lines are written; `None` means text on a terminal and JSON elsewhere.
    pub log_format: Option<LogFormat>,
    /// Default [`LogOutput::Lines`].
    pub log_output: LogOutput,
    /// Whether schedule files are read again when they change. Default `true`.
    pub watch: bool,
}

/// Where HTTP is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// Nobody asked for just this one: when it is taken, any free port will do.
    pub is_default: bool,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON document a line.
    Json,
    /// `key=value` pairs.
    Logfmt,
}

/// What becomes of what jobs print; it is kept with their runs whatever is chosen here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogOutput {
    /// It does not appear among the lines of the process.
    Off,
    /// Each line of it is a line of the process.
    #[default]
    Lines,
    /// Each line of it as it stands, with nothing around it.
    Raw,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct WrongSetting {
    /// The flag or variable.
    pub place: String,
    /// What is wrong with it, and what would be right.
    pub message: String,
}

pub(super) fn wrong(place: &str, message: impl Into<String>) -> WrongSetting {
    WrongSetting { place: place.to_owned(), message: message.into() }
}

impl WrongSetting {
    /// Something was asked for that this build does not have.
    pub(crate) fn not_built(place: &str, what: &str, feature: &str) -> WrongSetting {
        wrong(place, format!("this build has no {what}: build it with the feature `{feature}`"))
    }
}

impl Process {
    /// Joins flags, environment and defaults.
    ///
    /// # Errors
    /// Every setting that cannot be used.
    pub fn load(flags: &Flags, env: Env<'_>, host: &str) -> Result<Process, Vec<WrongSetting>> {
        let mut wrongs = Vec::new();
        let mut take = |result: Result<(), WrongSetting>| wrongs.extend(result.err());
        let mut process = Process {
            config: Process::paths(flags, env),
            db: db(flags, env),
            redis: None,
            amqp: None,
            fleeting: None,
            declare: flag(env, "CRONCLAVE_DECLARE").unwrap_or(true),
            mqtt: flag(env, "CRONCLAVE_MQTT_BRIDGE").unwrap_or(false),
            private_webhooks: flag(env, "CRONCLAVE_WEBHOOKS_ALLOW_PRIVATE").unwrap_or(false),
            cluster: flags.cluster.clone().or_else(|| env("CRONCLAVE_CLUSTER")).unwrap_or_else(|| "default".into()),
            replica: replica(flags, env, host),
            listen: None,
            web: Web::default(),
            grace: Duration::from_secs(25),
            hurry: None,
            max_parallel: 100,
            workers: 0,
            concurrency: 4,
            log_format: None,
            log_output: LogOutput::default(),
            watch: !flags.no_watch && flag(env, "CRONCLAVE_WATCH").unwrap_or(true),
        };
        take(redis(flags, env).map(|found| process.redis = found));
        take(amqp(flags, env).map(|found| process.amqp = found));
        let may_be_lost = switch(env, "CRONCLAVE_DB_EPHEMERAL");
        if process.redis.is_none() && may_be_lost == Ok(false) {
            process.fleeting = fleeting(env, &process.db);
        }
        take(may_be_lost.map(drop));
        take(check_key_part(&process));
        take(check_word("--cluster / CRONCLAVE_CLUSTER", &process.cluster));
        take(check_word("--replica / CRONCLAVE_REPLICA", &process.replica));
        take(listen(flags, env).and_then(served).map(|found| process.listen = found));
        take(grace(flags, env).map(|(grace, hurry)| (process.grace, process.hurry) = (grace, hurry)));
        let asked = (flags.max_parallel, "--max-parallel", "CRONCLAVE_MAX_PARALLEL");
        take(number(asked, env, 1..=10_000).map(|found| process.max_parallel = found.unwrap_or(100)));
        let asked = (flags.workers, "--workers", "CRONCLAVE_WORKERS");
        take(number(asked, env, 0..=1000).map(|found| process.workers = found.unwrap_or(0)));
        let asked = (flags.concurrency, "--concurrency", "CRONCLAVE_CONCURRENCY");
        take(number(asked, env, 1..=1000).map(|found| process.concurrency = found.unwrap_or(4)));
        take(log_format(env).map(|found| process.log_format = found));
        take(log_output(flags, env).map(|found| process.log_output = found));
        if process.listen.is_some() {
            match Web::load(env) {
                Ok(web) => process.web = Web { read_only: web.read_only || flags.read_only, ..web },
                Err(wrong) => wrongs.extend(wrong),
            }
        }
        // Both servers may be looked for in one list that is broken.
        wrongs.dedup();
        if wrongs.is_empty() { Ok(process) } else { Err(wrongs) }
    }

    /// Where HTTP of this machine's replica is asked, as in `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// When it is set to what is no address.
    pub fn address(flags: &Flags, env: Env<'_>) -> Result<String, WrongSetting> {
        let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
        let mut address = listen(flags, env)?.map_or(default, |listen| listen.address);
        if address.ip().is_unspecified() {
            // All addresses of this machine: this one always is.
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        Ok(format!("http://{address}"))
    }

    /// Refuses to keep the state on a disk that does not last. For whoever makes the database; who only looks need not ask.
    ///
    /// # Errors
    /// Why it does not last, and what to set instead.
    pub fn must_last(&self) -> Result<(), Vec<WrongSetting>> {
        self.fleeting.clone().map_or(Ok(()), |wrong| Err(vec![wrong]))
    }

    /// Where schedule files are looked for; empty means the usual places.
    pub fn paths(flags: &Flags, env: Env<'_>) -> Vec<PathBuf> {
        if !flags.config.is_empty() {
            return flags.config.clone();
        }
        let listed = env("CRONCLAVE_CONFIG").unwrap_or_default();
        listed.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
    }
}

fn db(flags: &Flags, env: Env<'_>) -> PathBuf {
    let named = flags.db.clone().or_else(|| env("CRONCLAVE_DB").map(PathBuf::from));
    let kept = || env("STATE_DIRECTORY").map(|dir| PathBuf::from(dir.split(':').next().unwrap_or("")));
    named.or_else(|| kept().map(|dir| dir.join("cronclave.db"))).unwrap_or_else(|| "cronclave.db".into())
}

/// Whether a variable says yes or no.
pub(super) fn flag(env: Env<'_>, name: &str) -> Option<bool> {
    Some(!["0", "false", "no", "off"].contains(&env(name)?.to_lowercase().as_str()))
}

/// Routing keys are words between dots.
fn check_key_part(process: &Process) -> Result<(), WrongSetting> {
    let cluster = &process.cluster;
    if process.amqp.is_none() || !cluster.contains(['.', '*', '#']) {
        return Ok(());
    }
    let why = format!("`{cluster}` is part of RabbitMQ's routing keys, where `.`, `*` and `#` mean something: use `-`");
    Err(wrong("--cluster / CRONCLAVE_CLUSTER", why))
}

fn replica(flags: &Flags, env: Env<'_>, host: &str) -> String {
    let named = flags.replica.clone().or_else(|| env("CRONCLAVE_REPLICA"));
    named
        .or_else(|| Platform::of(env)?.name(env))
        // Several replicas may share a host.
        .unwrap_or_else(|| mended(&format!("{host}-{}", std::process::id())))
}

fn listen(flags: &Flags, env: Env<'_>) -> Result<Option<Listen>, WrongSetting> {
    if flags.no_http {
        return Ok(None);
    }
    let exactly = |address| Ok(Some(Listen { address, is_default: false }));
    let named = flags.listen.clone().map(|text| ("--listen", text));
    if let Some((place, text)) = named.or_else(|| env("CRONCLAVE_LISTEN").map(|text| ("CRONCLAVE_LISTEN", text))) {
        if text == "none" {
            return Ok(None);
        }
        let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
        let any = port.map(|port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
        let Some(address) = any.or_else(|| text.parse().ok()) else {
            return Err(wrong(
                place,
                format!("`{text}` is not an address: write IP:PORT as in 127.0.0.1:8080, :PORT for all, or none"),
            ));
        };
        return exactly(address);
    }
    if let Some(text) = env("PORT") {
        let Ok(port) = text.parse() else {
            return Err(wrong("PORT", format!("`{text}` is not a port: a number from 0 to 65535")));
        };
        return exactly(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
    }
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
    Ok(Some(Listen { address, is_default: true }))
}

/// The same where there is something to serve it.
fn served(listen: Option<Listen>) -> Result<Option<Listen>, WrongSetting> {
    match listen {
        Some(listen) if !cfg!(feature = "http") && !listen.is_default => {
            let place = "--listen / CRONCLAVE_LISTEN / PORT";
            Err(WrongSetting::not_built(place, "HTTP server", "http"))
        }
        listen => Ok(listen.filter(|_| cfg!(feature = "http"))),
    }
}

/// How long, and how long after that. Whoever sets the one knows how much the other may add to it.
fn grace(flags: &Flags, env: Env<'_>) -> Result<(Duration, Option<Duration>), WrongSetting> {
    let named = flags.grace.clone().map(|text| ("--grace", text));
    if let Some((place, text)) = named.or_else(|| env("CRONCLAVE_GRACE").map(|text| ("CRONCLAVE_GRACE", text))) {
        let grace = duration(&text).map_err(|why| wrong(place, format!("`{text}`: {why}")))?;
        return Ok((grace, None));
    }
    let platform = Platform::of(env);
    Ok((platform.map_or(Duration::from_secs(25), Platform::grace), platform.map(Platform::hurry)))
}

/// A number from a flag or a variable.
fn number(
    (flag, name, variable): (Option<usize>, &str, &str),
    env: Env<'_>,
    range: RangeInclusive<usize>,
) -> Result<Option<usize>, WrongSetting> {
    let place = format!("{name} / {variable}");
    let named = match (flag, env(variable)) {
        (Some(number), _) => number,
        (None, Some(text)) => text.parse().map_err(|_| wrong(&place, format!("`{text}` is not a number")))?,
        (None, None) => return Ok(None),
    };
    let (least, most) = (range.start(), range.end());
    if range.contains(&named) {
        return Ok(Some(named));
    }
    Err(wrong(&place, format!("{named} is not from {least} to {most}")))
}

fn log_format(env: Env<'_>) -> Result<Option<LogFormat>, WrongSetting> {
    match env("CRONCLAVE_LOG_FORMAT").as_deref() {
        None => Ok(None),
        Some("text") => Ok(Some(LogFormat::Text)),
        Some("json") => Ok(Some(LogFormat::Json)),
        Some("logfmt") => Ok(Some(LogFormat::Logfmt)),
        Some(other) => {
            Err(wrong("CRONCLAVE_LOG_FORMAT", format!("`{other}` is not a format: write text, json or logfmt")))
        }
    }
}

fn log_output(flags: &Flags, env: Env<'_>) -> Result<LogOutput, WrongSetting> {
    let named = flags.log_output.clone().map(|text| ("--log-output", text));
    match named.or_else(|| env("CRONCLAVE_LOG_OUTPUT").map(|text| ("CRONCLAVE_LOG_OUTPUT", text))) {
        None => Ok(LogOutput::default()),
        Some((place, text)) => match text.as_str() {
            "off" => Ok(LogOutput::Off),
            "lines" => Ok(LogOutput::Lines),
            "raw" => Ok(LogOutput::Raw),
            other => Err(wrong(place, format!("`{other}` is none of off, lines and raw"))),
        },
    }
}

//! How this process is set up: flags, then the environment, then defaults. What runs and when is
//! never said here but in the schedule files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::secrets::file;
use super::web::Web;
use super::{Env, duration};
use crate::broker::amqp;
use crate::store::redis::{Address, Durability};

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
}

/// How this process is set up.
#[derive(Debug, Clone)]
pub struct Process {
    /// Where schedule files are looked for; empty means the usual places.
    pub config: Vec<PathBuf>,
    /// The SQLite file, unless there is a Redis. Default `./cronclave.db`, under systemd in `$STATE_DIRECTORY`.
    pub db: PathBuf,
    /// The Redis that holds the state, if one does.
    pub redis: Option<Address>,
    /// The RabbitMQ that carries messages, if one does.
    pub amqp: Option<amqp::Address>,
    /// Whether what is missing there is made. Default `true`.
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
            declare: flag(env, "CRONCLAVE_DECLARE").unwrap_or(true),
            mqtt: flag(env, "CRONCLAVE_MQTT_BRIDGE").unwrap_or(false),
            private_webhooks: flag(env, "CRONCLAVE_WEBHOOKS_ALLOW_PRIVATE").unwrap_or(false),
            cluster: flags.cluster.clone().or_else(|| env("CRONCLAVE_CLUSTER")).unwrap_or_else(|| "default".into()),
            replica: replica(flags, env, host),
            listen: None,
            web: Web::default(),
            grace: Duration::from_secs(25),
            max_parallel: 100,
            workers: 0,
            concurrency: 4,
            log_format: None,
            log_output: LogOutput::default(),
        };
        take(redis(flags, env).map(|found| process.redis = found));
        take(amqp(flags, env).map(|found| process.amqp = found));
        take(check_key_part(&process));
        take(check_word("--cluster / CRONCLAVE_CLUSTER", &process.cluster));
        take(check_word("--replica / CRONCLAVE_REPLICA", &process.replica));
        take(listen(flags, env).map(|found| process.listen = found));
        take(grace(flags, env).map(|found| process.grace = found));
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
        if wrongs.is_empty() { Ok(process) } else { Err(wrongs) }
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

/// Where providers put the address of their Redis, after our own name for it.
const REDIS_URLS: [&str; 4] = [REDIS_URL, "REDIS_URL", "REDIS_TLS_URL", "REDISCLOUD_URL"];
const REDIS_URL: &str = "CRONCLAVE_REDIS_URL";
const DURABILITY: &str = "CRONCLAVE_DURABILITY";

/// The Redis that was asked for, unless it is a file that was asked for. Both asked for by our own
/// names is refused: replicas that choose differently would each run everything.
fn redis(flags: &Flags, env: Env<'_>) -> Result<Option<Address>, WrongSetting> {
    let file = flags.db.as_ref().map(|_| "--db").or_else(|| env("CRONCLAVE_DB").map(|_| "CRONCLAVE_DB"));
    let url = match (&flags.redis, file) {
        (Some(url), _) => Some(("--redis".to_owned(), url.clone())),
        // A flag outdoes the environment.
        (None, Some("--db")) => return Ok(None),
        (None, Some(_)) => own_url(env, REDIS_URL)?,
        (None, None) => match own_url(env, REDIS_URL)? {
            Some(own) => Some(own),
            None => REDIS_URLS.iter().find_map(|name| Some(((*name).to_owned(), env(name)?))),
        },
    };
    let Some((place, url)) = url.filter(|(_, url)| !url.trim().is_empty()) else { return Ok(None) };
    if let Some(file) = file {
        return Err(wrong(
            &place,
            format!("{file} is set as well: choose one, a Redis for many machines or a SQLite file for one"),
        ));
    }
    let address = url.parse::<Address>().map_err(|why| wrong(&place, why))?;
    let allowed = flag(env, "CRONCLAVE_REDIS_ALLOW_EVICTION").unwrap_or(false);
    let ca_file = env("CRONCLAVE_REDIS_CA_FILE").map(PathBuf::from);
    let durability = match env(DURABILITY).filter(|text| !text.trim().is_empty()) {
        Some(text) => text.parse().map_err(|why| wrong(DURABILITY, why))?,
        None => Durability::default(),
    };
    Ok(Some(address.trusting(ca_file).allowing_eviction(allowed).as_durable_as(durability)))
}

/// Our own variable, or the file its twin names, as secrets are often mounted.
pub(super) fn own_url(env: Env<'_>, name: &str) -> Result<Option<(String, String)>, WrongSetting> {
    if let Some(url) = env(name) {
        return Ok(Some((name.to_owned(), url)));
    }
    let twin = format!("{name}_FILE");
    let Some(path) = env(&twin) else { return Ok(None) };
    match file(Path::new(&path)) {
        Some(url) => Ok(Some((twin, url))),
        None => Err(wrong(&twin, format!("the file {path} cannot be read"))),
    }
}

/// Whether a variable says yes or no.
fn flag(env: Env<'_>, name: &str) -> Option<bool> {
    Some(!["0", "false", "no", "off"].contains(&env(name)?.to_lowercase().as_str()))
}

/// Where providers put the address of their RabbitMQ, after our own name for it.
const AMQP_URLS: [&str; 3] = ["AMQP_URL", "CLOUDAMQP_URL", "RABBITMQ_URL"];

/// The RabbitMQ that was asked for.
fn amqp(flags: &Flags, env: Env<'_>) -> Result<Option<amqp::Address>, WrongSetting> {
    let url = match &flags.amqp {
        Some(url) => Some(("--amqp".to_owned(), url.clone())),
        None => own_url(env, "CRONCLAVE_AMQP_URL")?
            .or_else(|| AMQP_URLS.iter().find_map(|name| Some(((*name).to_owned(), env(name)?)))),
    };
    let Some((place, url)) = url.filter(|(_, url)| !url.trim().is_empty()) else { return Ok(None) };
    let address = url.parse::<amqp::Address>().map_err(|why| wrong(&place, why))?;
    Ok(Some(address.trusting(env("CRONCLAVE_AMQP_CA_FILE").map(PathBuf::from))))
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
    let cf = || Some(format!("{}.{}", env("CF_INSTANCE_GUID").map(|_| "cf")?, env("CF_INSTANCE_INDEX")?));
    flags
        .replica
        .clone()
        .or_else(|| ["CRONCLAVE_REPLICA", "DYNO"].iter().find_map(|name| env(name)))
        .or_else(cf)
        .or_else(|| ["FLY_MACHINE_ID", "RENDER_INSTANCE_ID"].iter().find_map(|name| env(name)))
        // Several replicas may share a host.
        .unwrap_or_else(|| format!("{host}-{}", std::process::id()))
}

fn check_word(place: &str, word: &str) -> Result<(), WrongSetting> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !word.is_empty() && word.len() <= 100 && word.chars().all(good) {
        return Ok(());
    }
    Err(wrong(place, format!("`{word}` is not a usable name: letters, digits, `.`, `_` and `-`, at most 100")))
}

fn listen(flags: &Flags, env: Env<'_>) -> Result<Option<Listen>, WrongSetting> {
    if flags.no_http {
        return Ok(None);
    }
    let exactly = |address| Ok(Some(Listen { address, is_default: false }));
    let named = flags.listen.clone().map(|text| ("--listen", text));
    if let Some((place, text)) = named.or_else(|| env("CRONCLAVE_LISTEN").map(|text| ("CRONCLAVE_LISTEN", text))) {
        let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
        let any = port.map(|port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
        let Some(address) = any.or_else(|| text.parse().ok()) else {
            return Err(wrong(
                place,
                format!("`{text}` is not an address: write IP:PORT as in 127.0.0.1:8080, or :PORT for all"),
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

fn grace(flags: &Flags, env: Env<'_>) -> Result<Duration, WrongSetting> {
    let named = flags.grace.clone().map(|text| ("--grace", text));
    if let Some((place, text)) = named.or_else(|| env("CRONCLAVE_GRACE").map(|text| ("CRONCLAVE_GRACE", text))) {
        return duration(&text).map_err(|why| wrong(place, format!("`{text}`: {why}")));
    }
    // Platforms kill what has not stopped in time: Cloud Foundry after 10 s, Fly.io after 5 s.
    let secs = match (env("CF_INSTANCE_GUID"), env("FLY_MACHINE_ID")) {
        (Some(_), _) => 8,
        (_, Some(_)) => 4,
        _ => 25,
    };
    Ok(Duration::from_secs(secs))
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

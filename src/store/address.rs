//! Where the server is: what a `REDIS_URL` says. Text to [`Address`] and back, without its secrets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use super::durability::Durability;

/// Where the server is, as whom to go there, and what to put up with.
#[derive(Clone, PartialEq)]
pub struct Address {
    /// Servers, any of which will do to begin with; the sentinels, when there are some. At least one.
    pub(super) places: Vec<Place>,
    pub(super) tls: bool,
    /// Any certificate will do.
    pub(super) insecure: bool,
    pub(super) login: Login,
    pub(super) db: u32,
    pub(super) sentinels: Option<Sentinels>,
    /// Whose certificates are trusted beside those the system trusts.
    pub(super) ca_file: Option<PathBuf>,
    pub(super) allows_eviction: bool,
    /// What must have a start before its code runs.
    pub(super) durability: Durability,
}

/// A place to connect to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// A name or number, without brackets, and a port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// As whom.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// What the sentinels are asked, and as whom.
#[derive(Clone, PartialEq)]
pub(super) struct Sentinels {
    pub(super) master: String,
    pub(super) login: Login,
}

/// How a URL may begin.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scheme {
    tls: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Server,
    Sentinel,
    Unix,
}

const SCHEMES: [(&str, Scheme); 8] = [
    ("redis", Scheme { tls: false, kind: Kind::Server }),
    ("rediss", Scheme { tls: true, kind: Kind::Server }),
    ("redis+sentinel", Scheme { tls: false, kind: Kind::Sentinel }),
    ("rediss+sentinel", Scheme { tls: true, kind: Kind::Sentinel }),
    ("redis+unix", Scheme { tls: false, kind: Kind::Unix }),
    ("unix", Scheme { tls: false, kind: Kind::Unix }),
    ("valkey", Scheme { tls: false, kind: Kind::Server }),
    ("valkeys", Scheme { tls: true, kind: Kind::Server }),
];

/// What other programs call things, and what to do about it.
const FOREIGN: [(&str, &str); 5] = [
    ("ssl_cert_reqs", "to accept any certificate write `?insecure`"),
    ("skip_verify", "to accept any certificate write `?insecure`"),
    ("ssl", "for TLS begin the URL with `rediss://`"),
    ("tls", "for TLS begin the URL with `rediss://`"),
    ("password", "it goes before the host: `redis://:PASSWORD@HOST`"),
];

const EXAMPLE: &str = "write it as in redis://:PASSWORD@HOST:6379/0, with rediss:// for TLS";

impl Address {
    /// The URL without its passwords, for people.
    pub fn masked(&self) -> String {
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        let mut text = format!("{}://", self.scheme());
        if let Some(user) = &self.login.user {
            text += &format!("{user}@");
        }
        text += &places.join(",");
        if let Some(sentinels) = &self.sentinels {
            text += &format!("/{}", sentinels.master);
        }
        match (self.db, &self.places[0]) {
            (0, _) => {}
            (db, Place::Unix(_)) => text += &format!("?db={db}"),
            (db, Place::Tcp(..)) => text += &format!("/{db}"),
        }
        if self.insecure {
            text += "?insecure";
        }
        text
    }

    /// The same, trusting the authorities in a PEM file as well.
    #[must_use]
    pub fn trusting(self, ca_file: Option<PathBuf>) -> Address {
        Address { ca_file, ..self }
    }

    /// The same, with a server whose certificate, where it shows one, may be anybody's.
    #[must_use]
    pub fn trusting_anybody(self) -> Address {
        Address { insecure: self.tls, ..self }
    }

    /// The same, with or without a server that may throw away what it was given.
    #[must_use]
    pub fn allowing_eviction(self, allows_eviction: bool) -> Address {
        Address { allows_eviction, ..self }
    }

    /// The same, with a start that is as sure as this before its code runs.
    #[must_use]
    pub fn as_durable_as(self, durability: Durability) -> Address {
        Address { durability, ..self }
    }

    /// Whether a server that may throw away what it was given is put up with.
    pub fn allows_eviction(&self) -> bool {
        self.allows_eviction
    }

    /// What must have a start before its code runs.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    fn scheme(&self) -> &'static str {
        match (&self.sentinels, &self.places[0], self.tls) {
            (_, Place::Unix(_), _) => "redis+unix",
            (None, _, false) => "redis",
            (None, _, true) => "rediss",
            (Some(_), _, false) => "redis+sentinel",
            (Some(_), _, true) => "rediss+sentinel",
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Tcp(host, port) => write!(f, "{host}:{port}"),
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once("://") else {
            // Whatever it is, it may hold a password.
            return Err(format!("this is no URL: {EXAMPLE}"));
        };
        let scheme = find_scheme(scheme)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        read(scheme, authority, tail).map_err(|why| {
            // A `/` in a password ends the host too early: what follows would be shown as a port or a database.
            let spilled = tail.contains('@');
            let hint = "write `/` as %2F, `?` as %3F, `#` as %23 and `@` as %40 in user and password";
            if spilled { format!("it cannot be taken apart: {hint}") } else { why }
        })
    }
}

fn find_scheme(name: &str) -> Result<Scheme, String> {
    let lower = name.to_lowercase();
    if let Some((_, scheme)) = SCHEMES.iter().find(|(known, _)| *known == lower) {
        return Ok(*scheme);
    }
    if !lower.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c)) {
        return Err(format!("this is no URL: {EXAMPLE}"));
    }
    let hint = match nearest(&lower, SCHEMES.iter().map(|(known, _)| *known)) {
        Some(known) => format!("did you mean `{known}://`?"),
        None => "begin it with redis://, rediss:// (TLS), redis+sentinel:// or redis+unix://".to_owned(),
    };
    Err(format!("`{name}://` leads to no Redis: {hint}"))
}

fn read(scheme: Scheme, authority: &str, tail: &str) -> Result<Address, String> {
    let (path, query) = split_tail(tail)?;
    let mut address = Address {
        places: Vec::new(),
        tls: scheme.tls,
        insecure: false,
        login: Login::default(),
        db: 0,
        sentinels: None,
        ca_file: None,
        allows_eviction: false,
        durability: Durability::default(),
    };
    if scheme.kind == Kind::Unix {
        return unix(address, authority, path, query);
    }
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    address.login = login_of(login)?;
    let port = if scheme.kind == Kind::Sentinel { 26379 } else { 6379 };
    address.places = hosts.split(',').map(|host| place(host, port)).collect::<Result<_, _>>()?;
    let mut segments = path.trim_matches('/').split('/');
    if scheme.kind == Kind::Sentinel {
        let master = decoded(segments.next().unwrap_or(""))?;
        if master.is_empty() {
            return Err("the name of the master is missing: write it as in \
                        redis+sentinel://HOST:26379/mymaster (`sentinel monitor` in sentinel.conf has it)"
                .into());
        }
        address.sentinels = Some(Sentinels { master, login: Login::default() });
    }
    address.db = db(segments.next().unwrap_or(""))?;
    if let Some(more) = segments.next() {
        return Err(format!("`/{more}` after the database's number means nothing"));
    }
    with_query(address, query)
}

/// A path, and what stands behind the `?`. The way other programs ask for any certificate, a
/// fragment, is understood as well.
fn split_tail(tail: &str) -> Result<(&str, &str), String> {
    let (tail, fragment) = tail.split_once('#').unwrap_or((tail, ""));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    match fragment {
        "" => Ok((path, query)),
        "insecure" => Ok((path, "insecure")),
        other => Err(format!("`#{other}` means nothing; write `#` as %23 in user and password")),
    }
}

fn login_of(text: &str) -> Result<Login, String> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Login { user: some(decoded(user)?), password: some(decoded(password)?) })
}

fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(std::borrow::Cow::into_owned).map_err(|_| "what its %XX stand for is not UTF-8".to_owned())
}

/// One host, as a URL of its own: so an IPv6 address needs its brackets here as well.
fn place(text: &str, port: u16) -> Result<Place, String> {
    let host_part = text.rsplit_once(':').map_or(text, |(host, _)| host);
    if text.is_empty() || host_part.is_empty() {
        return Err(format!("a host is missing: {EXAMPLE}"));
    }
    let url = url::Url::parse(&format!("redis://{text}")).map_err(|error| match error {
        url::ParseError::InvalidPort => {
            let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
            format!("`{port}` is not a port: a number from 1 to 65535")
        }
        url::ParseError::InvalidIpv6Address => {
            format!("`{text}` is not an address: write IPv6 as in redis://[::1]:6379")
        }
        _ => format!("`{text}` is not a host: a name, an IPv4 address or an IPv6 address in brackets"),
    })?;
    let host = match url.host() {
        Some(url::Host::Domain(name)) => decoded(name)?,
        Some(url::Host::Ipv4(number)) => number.to_string(),
        Some(url::Host::Ipv6(number)) => number.to_string(),
        None => return Err(format!("a host is missing: {EXAMPLE}")),
    };
    match url.port().unwrap_or(port) {
        0 => Err("`0` is not a port: a number from 1 to 65535".into()),
        port => Ok(Place::Tcp(host, port)),
    }
}

fn db(text: &str) -> Result<u32, String> {
    match text {
        "" => Ok(0),
        _ => text.parse().map_err(|_| {
            format!("`{text}` is not a database: a number, mostly from 0 to 15, as in redis://HOST:6379/0")
        }),
    }
}

fn unix(address: Address, authority: &str, path: &str, query: &str) -> Result<Address, String> {
    if !authority.is_empty() || path.len() < 2 {
        return Err("the path of the socket is missing: write it as in redis+unix:///run/redis/redis.sock?db=0".into());
    }
    let path = decoded(path)?;
    with_query(Address { places: vec![Place::Unix(Path::new(&path).to_owned())], ..address }, query)
}

/// Reads what stands behind the `?`.
fn with_query(mut address: Address, query: &str) -> Result<Address, String> {
    let is_unix = matches!(address.places[0], Place::Unix(_));
    let known: &[&str] = match (&address.sentinels, is_unix) {
        (Some(_), _) => &["insecure", "sentinel_user", "sentinel_password"],
        (None, true) => &["db", "user", "password"],
        (None, false) => &["insecure"],
    };
    for (key, value) in form_urlencoded::parse(query.replace('+', "%2B").as_bytes()) {
        let value = value.into_owned();
        match (key.as_ref(), &mut address.sentinels) {
            (key, _) if !known.contains(&key) => return Err(unknown(key, known)),
            ("insecure", _) if !address.tls => {
                return Err("`insecure` means nothing without TLS: begin the URL with rediss:// or leave it out".into());
            }
            ("insecure", _) => address.insecure = !["false", "0", "no"].contains(&value.as_str()),
            ("sentinel_user", Some(sentinels)) => sentinels.login.user = Some(value),
            ("sentinel_password", Some(sentinels)) => sentinels.login.password = Some(value),
            ("db", _) => address.db = db(&value)?,
            ("user", _) => address.login.user = Some(value),
            (_, _) => address.login.password = Some(value),
        }
    }
    Ok(address)
}

fn unknown(key: &str, known: &[&str]) -> String {
    let foreign = FOREIGN.iter().find(|(word, _)| *word == key).map(|(_, hint)| (*hint).to_owned());
    let near = || nearest(key, known.iter().copied()).map(|word| format!("did you mean `{word}`?"));
    let hint = foreign.or_else(near).unwrap_or_else(|| format!("it may be {}", known.join(", ")));
    format!("`?{key}` is not known here: {hint}")
}

/// The most similar word, when one is similar enough to be meant.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, best) = known.map(|one| (strsim::damerau_levenshtein(word, one), one)).min()?;
    (distance <= 1 + word.chars().count() / 4).then_some(best)
}

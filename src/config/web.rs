//! Who may ask over HTTP, and how much: the variables that say so.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use http::{HeaderName, HeaderValue, Uri};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Env;
use super::process::{WrongSetting, wrong};
use super::secrets::credential;
use super::servers::own_url;

/// A token that is shorter could be guessed.
const LEAST_TOKEN: usize = 16;

/// What somebody may do. Each may what those before it may.
///
/// ```
/// use cronclave::Role;
///
/// assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
/// assert_eq!("operator".parse(), Ok(Role::Operator));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Trigger, pause, cancel, retry, backfill; report as a worker.
    Operator,
    /// Release locks, reload, register webhooks.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        let all = [Role::Viewer, Role::Operator, Role::Admin];
        let found = all.into_iter().find(|role| role.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is not a role: write viewer, operator or admin"))
    }
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Who may ask over HTTP, and how much.
#[derive(Debug, Clone)]
pub struct Web {
    /// Makes its bearer an admin.
    pub token: Option<Secret>,
    /// More tokens, each with a name and a role.
    pub tokens_file: Option<PathBuf>,
    /// What everybody may who gets here, where the program around it lets in only whom it knows. No variable says it.
    /// Default: nothing.
    pub visitors: Option<Role>,
    /// Whether everybody may read. Default `false`.
    pub public_read: bool,
    /// Whether everybody may read the metrics, and nothing else. Default `false`.
    pub metrics_public: bool,
    /// Whether nobody may change anything. Default `false`.
    pub read_only: bool,
    /// Whose word about where a request comes from is taken. Default: nobody's.
    pub proxies: Vec<IpNet>,
    /// In which header those proxies say who is signed in with them, if they do, and what such people may.
    pub proxy_header: Option<(HeaderName, Role)>,
    /// Sites whose pages may read answers. Default: none.
    pub origins: Vec<HeaderValue>,
    /// Where people reach this, if it differs from where it listens: `https://cron.example.com`.
    pub public_url: Option<Uri>,
    /// Connections open at once at most. Default 10,000.
    pub connections: usize,
    /// Live streams open at once at most. Default 1,000.
    pub streams: usize,
    /// Requests a second that one caller may send on and on; twice as many in a burst. 0: any number. Default 200.
    pub rate: usize,
}

impl Default for Web {
    fn default() -> Self {
        Web {
            token: None,
            tokens_file: None,
            visitors: None,
            public_read: false,
            metrics_public: false,
            read_only: false,
            proxies: Vec::new(),
            proxy_header: None,
            origins: Vec::new(),
            public_url: None,
            connections: 10_000,
            streams: 1_000,
            rate: 200,
        }
    }
}

impl Web {
    /// Reads the variables.
    ///
    /// # Errors
    /// Every one that cannot be used.
    pub(super) fn load(env: Env<'_>) -> Result<Web, Vec<WrongSetting>> {
        let mut wrongs = Vec::new();
        let mut take = |result: Result<(), WrongSetting>| wrongs.extend(result.err());
        let mut web = Web { tokens_file: tokens_file(env), ..Web::default() };
        take(token(env).map(|found| web.token = found));
        take(switch(env, "CRONCLAVE_PUBLIC_READ").map(|found| web.public_read = found));
        take(switch(env, "CRONCLAVE_METRICS_PUBLIC").map(|found| web.metrics_public = found));
        take(switch(env, "CRONCLAVE_READ_ONLY").map(|found| web.read_only = found));
        take(proxies(env).map(|found| web.proxies = found));
        take(proxy_header(env).map(|found| web.proxy_header = found));
        take(origins(env).map(|found| web.origins = found));
        take(public_url(env).map(|found| web.public_url = found));
        take(count(env, "CRONCLAVE_MAX_CONNECTIONS", 16..=1_000_000, &mut web.connections));
        take(count(env, "CRONCLAVE_MAX_STREAMS", 0..=100_000, &mut web.streams));
        take(count(env, "CRONCLAVE_RATE_LIMIT", 0..=1_000_000, &mut web.rate));
        if wrongs.is_empty() { Ok(web) } else { Err(wrongs) }
    }
}

/// The token of the variable, of the file that its twin names, or of systemd's credential.
fn token(env: Env<'_>) -> Result<Option<Secret>, WrongSetting> {
    let credential = || credential(env, "api_token");
    let Some((place, text)) = own_url(env, "CRONCLAVE_API_TOKEN")?.or_else(credential) else { return Ok(None) };
    Secret::token(&place, text).map(Some)
}

impl Secret {
    /// A token that `place` gives.
    ///
    /// # Errors
    /// When it could be guessed, or does not fit into a header.
    pub(crate) fn token(place: &str, text: String) -> Result<Secret, WrongSetting> {
        if text.len() >= LEAST_TOKEN && text.bytes().all(|c| c.is_ascii_graphic()) {
            return Ok(Secret(text));
        }
        let why = format!(
            "a token has at least {LEAST_TOKEN} characters, all of them letters, digits or signs, without spaces; \
             make one with: openssl rand -hex 32"
        );
        Err(wrong(place, why))
    }
}

/// The file of the variable, or systemd's credential.
fn tokens_file(env: Env<'_>) -> Option<PathBuf> {
    let credential = || Some(Path::new(&env("CREDENTIALS_DIRECTORY")?).join("api_tokens")).filter(|path| path.exists());
    env("CRONCLAVE_API_TOKENS_FILE").map(PathBuf::from).or_else(credential)
}

/// Yes or no. What is neither is refused: it may be meant to close something.
pub(super) fn switch(env: Env<'_>, name: &str) -> Result<bool, WrongSetting> {
    let Some(text) = env(name) else { return Ok(false) };
    match text.to_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(wrong(name, format!("`{text}` is neither yes nor no: write 1 or 0"))),
    }
}

/// The words of a list, between commas or spaces.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|word| !word.is_empty())
}

fn proxies(env: Env<'_>) -> Result<Vec<IpNet>, WrongSetting> {
    let place = "CRONCLAVE_TRUSTED_PROXIES";
    let text = env(place).unwrap_or_default();
    let net = |word: &str| {
        let found = word.parse::<IpNet>().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
        let why = || format!("`{word}` is not an address or a network: write them as in 10.0.0.0/8, 192.0.2.7");
        found.map(|net| net.trunc()).ok_or_else(|| wrong(place, why()))
    };
    listed(&text).map(net).collect()
}

fn proxy_header(env: Env<'_>) -> Result<Option<(HeaderName, Role)>, WrongSetting> {
    let (place, role_place) = ("CRONCLAVE_AUTH_PROXY_HEADER", "CRONCLAVE_AUTH_PROXY_ROLE");
    let role = env(role_place).map_or(Ok(Role::Viewer), |text| text.parse()).map_err(|why| wrong(role_place, why))?;
    let Some(text) = env(place) else { return Ok(None) };
    let Ok(name) = HeaderName::from_str(&text) else {
        return Err(wrong(place, format!("`{text}` is not the name of a header: write one as in X-Forwarded-User")));
    };
    if env("CRONCLAVE_TRUSTED_PROXIES").is_none() {
        let why = "set CRONCLAVE_TRUSTED_PROXIES to the addresses of the proxies that send it: anybody else could";
        return Err(wrong(place, why));
    }
    Ok(Some((name, role)))
}

fn origins(env: Env<'_>) -> Result<Vec<HeaderValue>, WrongSetting> {
    let place = "CRONCLAVE_CORS_ORIGINS";
    let text = env(place).unwrap_or_default();
    let origin = |word: &str| {
        let is_origin = word
            .split_once("://")
            .is_some_and(|(scheme, rest)| ["http", "https"].contains(&scheme) && !rest.contains('/'))
            && word.parse::<Uri>().is_ok_and(|uri| uri.host().is_some());
        let why = || format!("`{word}` is not an origin: write one as in https://dash.example.com, without a path");
        HeaderValue::from_str(word).ok().filter(|_| is_origin).ok_or_else(|| wrong(place, why()))
    };
    listed(&text).map(origin).collect()
}

fn public_url(env: Env<'_>) -> Result<Option<Uri>, WrongSetting> {
    let place = "CRONCLAVE_PUBLIC_URL";
    let Some(text) = env(place) else { return Ok(None) };
    let found = text.parse::<Uri>().ok().filter(|uri| {
        uri.host().is_some() && uri.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme))
    });
    match found {
        Some(uri) => Ok(Some(uri)),
        None => Err(wrong(place, format!("`{text}` is not an address: write one as in https://cron.example.com"))),
    }
}

fn count(env: Env<'_>, name: &str, range: RangeInclusive<usize>, to: &mut usize) -> Result<(), WrongSetting> {
    let Some(text) = env(name) else { return Ok(()) };
    match text.parse() {
        Ok(number) if range.contains(&number) => *to = number,
        _ => {
            let (least, most) = (range.start(), range.end());
            return Err(wrong(name, format!("`{text}` is not a number from {least} to {most}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Web, String> {
        let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Web::load(&env).map_err(|wrongs| wrongs.iter().map(|wrong| format!("{wrong}\n")).collect())
    }

    #[test]
    fn every_wrong_variable_is_told_at_once_and_no_token_is_shown() {
        let told = load(&[
            ("CRONCLAVE_API_TOKEN", "hush-hush"),
            ("CRONCLAVE_PUBLIC_READ", "maybe"),
            ("CRONCLAVE_TRUSTED_PROXIES", "10.0.0.0/33"),
            ("CRONCLAVE_AUTH_PROXY_ROLE", "root"),
            ("CRONCLAVE_CORS_ORIGINS", "https://a.example/b"),
            ("CRONCLAVE_PUBLIC_URL", "/cron"),
            ("CRONCLAVE_MAX_CONNECTIONS", "1"),
        ])
        .unwrap_err();
        assert_eq!(told.lines().count(), 7, "{told}");
        for word in
            ["at least 16", "neither yes nor no", "10.0.0.0/33", "`root`", "without a path", "`/cron`", "from 16"]
        {
            assert!(told.contains(word), "{word} in {told}");
        }
        assert!(!told.contains("hush"), "{told}");
    }

    #[test]
    fn a_proxy_may_only_say_who_is_signed_in_when_it_is_named() {
        let told = load(&[("CRONCLAVE_AUTH_PROXY_HEADER", "X-User")]).unwrap_err();
        assert!(told.contains("CRONCLAVE_TRUSTED_PROXIES"), "{told}");
        let web = load(&[
            ("CRONCLAVE_AUTH_PROXY_HEADER", "X-User"),
            ("CRONCLAVE_AUTH_PROXY_ROLE", "operator"),
            ("CRONCLAVE_TRUSTED_PROXIES", "10.1.2.3/8, ::1"),
            ("CRONCLAVE_API_TOKEN", "0123456789abcdef"),
        ])
        .unwrap();
        assert_eq!(web.proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
        assert!(!format!("{web:?}").contains("0123456789abcdef"));
    }
}

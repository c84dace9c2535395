//! Where the RabbitMQ is: what an `AMQP_URL` says. Text to [`Address`] and back, without its password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::form_urlencoded;

/// Where the RabbitMQ is, and as whom to go there.
#[derive(Clone, PartialEq)]
pub struct Address {
    /// The nodes of one cluster, any of which will do. At least one.
    pub(super) places: Vec<Place>,
    pub(super) tls: bool,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) vhost: String,
    /// Seconds between signs of life.
    pub(super) heartbeat: u16,
    /// Whose certificates are trusted beside those the system trusts.
    pub(super) ca_file: Option<PathBuf>,
}

/// A place to connect to: a name or number, without brackets, and a port.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

/// A dead peer is noticed after twice as long.
const HEARTBEAT: u16 = 10;

/// What other programs take, and what it is good for here.
const IGNORED: [&str; 4] = ["connection_timeout", "channel_max", "frame_max", "auth_mechanism"];

/// What other programs call things, and what to do about it.
const FOREIGN: [(&str, &str); 4] = [
    ("cacertfile", "name the file in CRONCLAVE_AMQP_CA_FILE"),
    ("certfile", "certificates of clients are not supported: use a user and a password"),
    ("verify", "certificates are always checked: name the authority in CRONCLAVE_AMQP_CA_FILE"),
    ("ssl", "for TLS begin the URL with `amqps://`"),
];

const EXAMPLE: &str = "write it as in amqp://USER:PASSWORD@HOST:5672/VHOST, with amqps:// for TLS";

impl Address {
    /// The URL without its password, for people.
    pub fn masked(&self) -> String {
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        let vhost = if self.vhost == "/" { String::new() } else { format!("/{}", self.vhost) };
        format!("{}://{}@{}{vhost}", if self.tls { "amqps" } else { "amqp" }, self.user, places.join(","))
    }

    /// The same, trusting the authorities in a PEM file as well.
    #[must_use]
    pub fn trusting(self, ca_file: Option<PathBuf>) -> Address {
        Address { ca_file, ..self }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((scheme, rest)) = text.trim().split_once("://") else {
            // Whatever it is, it may hold a password.
            return Err(format!("this is no URL: {EXAMPLE}"));
        };
        let tls = match scheme.to_lowercase().as_str() {
            "amqp" => false,
            "amqps" => true,
            other if other.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c)) => {
                return Err(format!("`{other}://` leads to no RabbitMQ: begin it with amqp:// or amqps:// (TLS)"));
            }
            _ => return Err(format!("this is no URL: {EXAMPLE}")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        read(tls, authority, tail).map_err(|why| {
            // A `/` in a password ends the host too early: what follows would be shown as a port or a vhost.
            let hint = "write `/` as %2F, `?` as %3F, `#` as %23 and `@` as %40 in user and password";
            if tail.contains('@') { format!("it cannot be taken apart: {hint}") } else { why }
        })
    }
}

fn read(tls: bool, authority: &str, tail: &str) -> Result<Address, String> {
    if tail.contains('#') {
        return Err("`#` means nothing in it; write it as %23".into());
    }
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let or_guest = |text: String| if text.is_empty() { "guest".to_owned() } else { text };
    let port = if tls { 5671 } else { 5672 };
    let mut address = Address {
        places: hosts.split(',').map(|host| place(host, port)).collect::<Result<_, _>>()?,
        tls,
        user: or_guest(decoded(user)?),
        password: or_guest(decoded(password)?),
        vhost: vhost(path)?,
        heartbeat: HEARTBEAT,
        ca_file: None,
    };
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match key.as_ref() {
            "heartbeat" => address.heartbeat = heartbeat(&value)?,
            key if IGNORED.contains(&key) => {}
            key => return Err(unknown(key)),
        }
    }
    Ok(address)
}

/// What stands behind the first `/`, decoded. Nothing there means the default vhost, which is called `/`.
fn vhost(path: &str) -> Result<String, String> {
    let name = path.strip_prefix('/').unwrap_or(path);
    if name.contains('/') && name != "/" {
        return Err("a vhost has one `/` before it, and its own are written as %2F".into());
    }
    Ok(if name.is_empty() { "/".into() } else { decoded(name)? })
}

fn heartbeat(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(secs @ 1..=600) => Ok(secs),
        _ => Err(format!("`heartbeat={text}` is not from 1 to 600 seconds; the default is {HEARTBEAT}")),
    }
}

fn unknown(key: &str) -> String {
    let foreign = FOREIGN.iter().find(|(word, _)| *word == key).map(|(_, hint)| *hint);
    format!("`?{key}` is not known here: {}", foreign.unwrap_or("it may be heartbeat=SECONDS"))
}

fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(std::borrow::Cow::into_owned).map_err(|_| "what its %XX stand for is not UTF-8".to_owned())
}

/// One host, as a URL of its own: so an IPv6 address needs its brackets here as well.
fn place(text: &str, port: u16) -> Result<Place, String> {
    if !text.starts_with('[') && text.matches(':').count() > 1 {
        return Err(format!("`{text}` is not a host: write an IPv6 address in brackets, as in amqp://[::1]:5672"));
    }
    if text.is_empty() || text.starts_with(':') {
        return Err(format!("a host is missing: {EXAMPLE}"));
    }
    let url = url::Url::parse(&format!("amqp://{text}")).map_err(|error| match error {
        url::ParseError::InvalidPort => {
            let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
            format!("`{port}` is not a port: a number from 1 to 65535")
        }
        url::ParseError::InvalidIpv6Address => {
            format!("`{text}` is not an address: write IPv6 as in amqp://[::1]:5672")
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
        port => Ok(Place { host, port }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Address {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn what_is_left_out_is_as_rabbitmq_has_it() {
        let address = read("amqp://mq");
        assert_eq!((&*address.user, &*address.password, &*address.vhost), ("guest", "guest", "/"));
        assert_eq!(address.places, [Place { host: "mq".into(), port: 5672 }]);
        assert_eq!((address.heartbeat, address.tls), (10, false));
        assert_eq!(read("amqps://mq").places[0].port, 5671);
        assert_eq!(read("amqp://mq/").vhost, "/");
        assert_eq!(read("amqp://mq/%2F").vhost, "/");
    }

    #[test]
    fn several_hosts_share_user_password_and_vhost() {
        let address = read(" amqps://u%40x:p%2Fw@h1:1,h2,[::1]:3/my%2Fvhost?heartbeat=4&connection_timeout=9 ");
        let places: Vec<String> = address.places.iter().map(Place::to_string).collect();
        assert_eq!(places, ["h1:1", "h2:5671", "[::1]:3"]);
        assert_eq!((&*address.user, &*address.password, &*address.vhost), ("u@x", "p/w", "my/vhost"));
        assert_eq!(address.heartbeat, 4);
    }

    #[test]
    fn no_password_is_ever_shown() {
        assert_eq!(read("amqp://u:sesame@h1,h2/v").masked(), "amqp://u@h1:5672,h2:5672/v");
        assert_eq!(format!("{:?}", read("amqp://u:sesame@h1")), "amqp://u@h1:5672");
        for wrong in ["sesame", "amqp:u:sesame@h", "ampq://u:sesame@h", "amqp://u:se/sesame@h", "amqp://u:sesame@:1"] {
            let why = wrong.parse::<Address>().unwrap_err();
            assert!(!why.contains("sesame"), "{wrong}: {why}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_and_how_to_mend_it() {
        for (wrong, words) in [
            ("mq:5672", "amqp://USER:PASSWORD@HOST"),
            ("http://mq", "begin it with amqp://"),
            ("amqp://", "a host is missing"),
            ("amqp://h1,", "a host is missing"),
            ("amqp://mq:0", "not a port"),
            ("amqp://mq:99999", "`99999` is not a port"),
            ("amqp://::1", "in brackets"),
            ("amqp://mq/a/b", "%2F"),
            ("amqp://mq?heartbeat=0", "1 to 600"),
            ("amqp://mq?cacertfile=x", "CRONCLAVE_AMQP_CA_FILE"),
            ("amqp://mq?colour=red", "`?colour` is not known"),
        ] {
            let why = wrong.parse::<Address>().unwrap_err();
            assert!(why.contains(words), "{wrong}: {why}");
        }
    }
}

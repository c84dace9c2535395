//! Where hooks may be: whoever registers one must not make a replica call what only a replica can reach. Names are
//! looked at after they were resolved, and connected to at the very address that was looked at.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::job::Reach;

/// Resolves a name.
pub type Lookup = Arc<dyn Fn(String) -> Resolved + Send + Sync>;

/// The addresses of a name, once they are known.
pub type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// As this machine resolves names.
pub fn system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Why something is not called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden(pub String);

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Forbidden {}

/// Looks at a URL before it is used. An address in it is looked at here; a name is by `Guard`, when it is resolved.
///
/// # Errors
/// Why it must not be used.
pub fn check(url: &Url, reach: Reach) -> Result<(), Forbidden> {
    let host = url.host().ok_or_else(|| Forbidden("the URL has no host".into()))?;
    let here = match &host {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
    };
    match url.scheme() {
        "https" => {}
        "http" if here || reach.http => {}
        "http" => return Err(Forbidden("plain HTTP is not allowed: `allow_http` would".into())),
        other => return Err(Forbidden(format!("`{other}` is neither http nor https"))),
    }
    match host {
        Host::Ipv4(ip) => allow(ip.into(), reach),
        Host::Ipv6(ip) => allow(ip.into(), reach),
        Host::Domain(_) => Ok(()),
    }
}

/// Whether this address may be called.
fn allow(ip: IpAddr, reach: Reach) -> Result<(), Forbidden> {
    let ip = ip.to_canonical();
    if is_metadata(ip) {
        return Err(Forbidden(format!("{ip} is where clouds keep the keys of their machines: never called")));
    }
    if reach.private || is_public(ip) {
        return Ok(());
    }
    Err(Forbidden(format!("{ip} is not a public address: `allow_private` would allow it")))
}

/// Services of clouds that give their machines secrets.
fn is_metadata(ip: IpAddr) -> bool {
    const V4: [Ipv4Addr; 4] = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
        Ipv4Addr::new(168, 63, 129, 16),
    ];
    const V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match ip {
        IpAddr::V4(ip) => V4.contains(&ip) || ip.is_link_local(),
        IpAddr::V6(ip) => ip == V6,
    }
}

/// Whether anybody on the Internet could call this address as well.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => {
            let [first, second, ..] = ip.segments();
            // Of what was given out as global so far, without the parts that stand for other addresses: Teredo and
            // the like, documentation, 6to4.
            first & 0xe000 == 0x2000
                && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
                && first != 0x2002
                && first != 0x3fff
        }
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18);
    !special
}

/// Resolves names to addresses that may be called, and to no others.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) lookup: Lookup,
    pub(super) reach: Reach,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, name) = (self.clone(), name.as_str().to_owned());
        Box::pin(async move {
            let all = (guard.lookup)(name.clone()).await?;
            let mut refused = None;
            let allowed: Vec<SocketAddr> = all
                .into_iter()
                .filter(|ip| match allow(*ip, guard.reach) {
                    Ok(()) => true,
                    Err(why) => {
                        refused.get_or_insert(why);
                        false
                    }
                })
                .map(|ip| SocketAddr::new(ip, 0))
                .collect();
            match refused {
                Some(Forbidden(why)) if allowed.is_empty() => {
                    Err(Box::new(Forbidden(format!("{name}: {why}"))) as Box<dyn Error + Send + Sync>)
                }
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(url: &str, reach: Reach) -> bool {
        check(&Url::parse(url).unwrap(), reach).is_ok()
    }

    #[test]
    fn public_addresses_are_called_and_no_others_however_they_are_written() {
        for good in ["https://hooks.example/x", "https://93.184.216.34/", "https://[2606:2800:220:1::1]/"] {
            assert!(checked(good, Reach::default()), "{good}");
        }
        let bad = [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://0.0.0.0/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://168.63.129.16/",
            "https://198.18.0.1/",
            "https://255.255.255.255/",
            "https://224.0.0.1/",
            "https://[::1]/",
            "https://[::]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[2001:0:5ef5:79fd::1]/",
            "https://[fe80::1]/",
            "https://[fd00:ec2::254]/",
            "https://[fc00::1]/",
            "https://[ff02::1]/",
            "http://hooks.example/",
            "ftp://hooks.example/",
        ];
        for bad in bad {
            assert!(!checked(bad, Reach::default()), "{bad}");
        }
    }

    #[test]
    fn private_addresses_are_called_where_that_is_allowed_and_those_of_metadata_never() {
        let all = Reach { http: true, private: true };
        for good in ["http://127.0.0.1:8080/", "http://10.0.0.1/", "http://[::1]/", "http://[fd12::1]/"] {
            assert!(checked(good, all), "{good}");
        }
        for bad in [
            "http://169.254.169.254/",
            "http://[::ffff:169.254.169.254]/",
            "http://[fd00:ec2::254]/",
            "http://100.100.100.200/",
        ] {
            assert!(!checked(bad, all), "{bad}");
        }
        assert!(!checked("http://10.0.0.1/", Reach { http: false, private: true }), "private, but not by HTTP");
        assert!(checked("http://localhost/", Reach { http: false, private: true }), "to this machine itself by HTTP");
    }
}

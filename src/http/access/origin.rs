//! Where a request comes from: which address, and which site.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Uri};
use ipnet::IpNet;

/// Whom a proxy asks for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Peer {
    fn ip(self) -> IpAddr {
        self.0.ip().to_canonical()
    }

    pub(super) fn is_proxy(self, proxies: &[IpNet]) -> bool {
        proxies.iter().any(|net| net.contains(&self.ip()))
    }
}

/// Who asks, as far as `proxies` are to be believed: the last address in the list that is none of theirs.
pub(super) fn address(peer: Peer, headers: &HeaderMap, proxies: &[IpNet]) -> IpAddr {
    let mut found = peer.ip();
    let lists: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut rest = lists.iter().flat_map(|list| list.split(',')).rev();
    while proxies.iter().any(|net| net.contains(&found)) {
        let Some(next) = rest.next().and_then(ip) else { break };
        found = next;
    }
    found
}

fn ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let ip = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

/// Whether a browser sent this from a page of this very site, or nobody's page at all. What is no browser says
/// neither; it has nothing that could be abused.
pub(super) fn is_same_site(headers: &HeaderMap, public_url: Option<&Uri>) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return [b"same-origin".as_slice(), b"none"].contains(&site.as_bytes());
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let Some(authority) = authority(origin) else { return false };
    let public = public_url.and_then(|url| url.authority()).map(ToString::to_string);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    [public, host].into_iter().flatten().any(|own| own.eq_ignore_ascii_case(&authority))
}

/// `example.com:8080` of `http://example.com:8080`.
fn authority(origin: &HeaderValue) -> Option<String> {
    let (_, authority) = origin.to_str().ok()?.split_once("://")?;
    Some(authority.to_owned())
}

/// Whether it asks for this machine by a name that nobody else can lead here.
pub(super) fn names_loopback(headers: &HeaderMap, uri: &Uri) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(is_loopback) && uri.authority().is_none_or(|authority| is_loopback(authority.as_str()))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _)) => name,
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_forwarded_address_is_believed_only_as_far_as_proxies_are_trusted() {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let seen = |peer: &str, list: &str| {
            let peer = Peer(peer.parse().unwrap());
            address(peer, &headers(&[("x-forwarded-for", list)]), &proxies).to_string()
        };
        assert_eq!(seen("192.0.2.1:5", "198.51.100.9"), "192.0.2.1", "anybody could say that");
        assert_eq!(seen("10.0.0.1:5", "198.51.100.9"), "198.51.100.9");
        assert_eq!(seen("[::ffff:10.0.0.1]:5", "198.51.100.9"), "198.51.100.9");
        assert_eq!(seen("10.0.0.1:5", "1.1.1.1, 198.51.100.9, 10.0.0.2"), "198.51.100.9", "the rest may be made up");
        assert_eq!(seen("10.0.0.1:5", "[2001:db8::1]:443"), "2001:db8::1");
        assert_eq!(seen("10.0.0.1:5", "1.1.1.1, nonsense"), "10.0.0.1");
    }

    #[test]
    fn a_page_of_another_site_is_told_from_our_own() {
        let same = |all: &[(&'static str, &str)]| is_same_site(&headers(all), None);
        assert!(same(&[("host", "cron:8080")]), "no browser");
        assert!(same(&[("sec-fetch-site", "same-origin")]));
        assert!(same(&[("sec-fetch-site", "none")]));
        for site in ["cross-site", "same-site", "anything"] {
            assert!(!same(&[("sec-fetch-site", site), ("origin", "http://cron"), ("host", "cron")]), "{site}");
        }
        assert!(same(&[("origin", "http://cron:8080"), ("host", "cron:8080")]));
        assert!(!same(&[("origin", "http://evil"), ("host", "cron:8080")]));
        assert!(!same(&[("origin", "null"), ("host", "null")]));
        let public: Uri = "https://cron.example.com".parse().unwrap();
        let behind = headers(&[("origin", "https://cron.example.com"), ("host", "10.0.0.3:8080")]);
        assert!(is_same_site(&behind, Some(&public)));
    }

    #[test]
    fn a_name_that_others_can_lead_here_is_not_loopback() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:8080", "app.localhost"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "10.0.0.1", "[::2]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}

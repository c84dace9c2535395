//! One try to deliver: a request, and what its answer means.

use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use url::Url;

use super::delivery::{Content, Delivery};
use super::guard::{self, Forbidden, Guard, Lookup};
use super::words;
use crate::broker::cloud;
use crate::clock::Timestamp;
use crate::job::{Reach, Shape};
use crate::lease::Fence;
use crate::signature::{self, SigningKey};
use crate::trace;

/// Who takes longer to answer has not taken it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Nobody is waited for any longer than this, whatever the answer asks for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Where something is sent, and how.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) url: String,
    pub(super) keys: Vec<SigningKey>,
    pub(super) shape: Shape,
    pub(super) reach: Reach,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken, with this status.
    Taken(u16),
    /// The receiver wants no more of them (410).
    Gone,
    /// It was not taken. Whether it is sent again, and not before when, is in it.
    Not {
        /// The status of the answer, if there was one.
        status: Option<u16>,
        /// In words.
        message: String,
        /// What to do.
        then: Then,
    },
}

/// What to do about something that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Send it again.
    Again,
    /// The receiver is not there, or has too much to do: leave it alone, for so long if it says so.
    Away(Option<Duration>),
    /// It cannot be sent as things stand.
    Never,
}

impl Verdict {
    pub(super) fn never(message: impl Into<String>) -> Verdict {
        Verdict::Not { status: None, message: message.into(), then: Then::Never }
    }
}

/// Makes requests to hooks: never through a proxy, never to where a redirect points.
pub(super) struct Sender {
    lookup: Lookup,
    /// To public addresses, and to any. Made for the first request: each holds every authority that this machine trusts,
    /// and many replicas never send any.
    clients: OnceLock<Result<(Client, Client), String>>,
}

impl Sender {
    pub(super) fn new(lookup: &Lookup) -> Sender {
        Sender { lookup: lookup.clone(), clients: OnceLock::new() }
    }

    fn clients(lookup: &Lookup) -> Result<(Client, Client), String> {
        // Err: another part of the program installed one before us.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = |private| {
            let reach = Reach { http: true, private };
            Client::builder()
                .user_agent(concat!("cronclave/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .no_proxy()
                .dns_resolver(Guard { lookup: lookup.clone(), reach })
                .timeout(PATIENCE)
                .pool_idle_timeout(Duration::from_secs(30))
                .pool_max_idle_per_host(2)
                .build()
                .map_err(|error| format!("HTTP requests are not possible here: {error}"))
        };
        Ok((client(false)?, client(true)?))
    }

    /// Tries once.
    pub(super) async fn send(&self, to: &Address, delivery: &Delivery, now: Timestamp) -> Verdict {
        let (public, any) = match self.clients.get_or_init(|| Sender::clients(&self.lookup)) {
            Ok(clients) => clients,
            Err(why) => return Verdict::never(why),
        };
        let Ok(url) = Url::parse(&to.url) else { return Verdict::never("its URL cannot be read") };
        if let Err(Forbidden(why)) = guard::check(&url, to.reach) {
            return Verdict::never(why);
        }
        let client = if to.reach.private { any } else { public };
        let request = match &delivery.content {
            Content::Event(event) => post(client, url, to, delivery, event, now),
            Content::Ping(tail) => match ping(&to.url, tail) {
                Some(url) => client.get(url),
                None => return Verdict::never("its URL cannot be read"),
            },
        };
        match request.send().await {
            Ok(response) => judge(&response, now),
            Err(error) => failed(&error),
        }
    }
}

fn post(client: &Client, url: Url, to: &Address, delivery: &Delivery, event: &str, now: Timestamp) -> RequestBuilder {
    if let Some(line) = words::body(to.shape, event) {
        return client.post(url).header("content-type", "application/json").body(line);
    }
    let mut headers = HeaderMap::new();
    let own = [("content-type", cloud::CONTENT_TYPE.to_owned()), ("idempotency-key", delivery.id.clone())];
    let traced = traceparent(event).map(|parent| ("traceparent", parent));
    let signed = signature::headers(&to.keys, &delivery.id, now, event.as_bytes());
    for (name, value) in own.into_iter().chain(traced).chain(signed) {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    client.post(url).headers(headers).body(event.to_owned())
}

/// The trace that an event of a run belongs to.
fn traceparent(event: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(event).ok()?;
    let data = &event["data"];
    let fence = Fence(data["fencing_token"].as_u64()?);
    Some(trace::parent(data["run_id"].as_str()?.parse().ok()?, fence))
}

/// The URL of a ping with what is put behind its path.
fn ping(base: &str, tail: &str) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let whole = format!("{}{path}", url.path().trim_end_matches('/'));
    url.set_path(&whole);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        url.query_pairs_mut().append_pair(&name, &value);
    }
    Some(url)
}

fn judge(response: &Response, now: Timestamp) -> Verdict {
    let status = response.status();
    if status.is_success() {
        return Verdict::Taken(status.as_u16());
    }
    if status == StatusCode::GONE {
        return Verdict::Gone;
    }
    let after = retry_after(response.headers(), now);
    let then = match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Then::Away(after),
        _ if after.is_some() => Then::Away(after),
        _ => Then::Again,
    };
    let redirects = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    Verdict::Not { status: Some(status.as_u16()), message: format!("it answered {status}{redirects}"), then }
}

/// How long the receiver asks to be left alone, in seconds or until a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Timestamp::from(DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc)).since(now),
    };
    Some(wait.min(LONGEST))
}

/// What a request without an answer means. The words hold no URL: it may be a secret.
fn failed(error: &reqwest::Error) -> Verdict {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut last = None;
    while let Some(inner) = cause {
        if let Some(Forbidden(why)) = inner.downcast_ref::<Forbidden>() {
            return Verdict::never(why);
        }
        last = Some(inner);
        cause = inner.source();
    }
    let message = if error.is_timeout() {
        format!("no answer within {} s", PATIENCE.as_secs())
    } else {
        last.map_or_else(|| "no answer".to_owned(), |inner| format!("no answer: {inner}"))
    };
    Verdict::Not { status: None, message, then: Then::Away(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_behind_the_url_of_a_ping_keeps_what_it_has() {
        let made = |base: &str, tail: &str| ping(base, tail).unwrap().to_string();
        assert_eq!(made("https://hc.example/uuid", "/start?rid=1"), "https://hc.example/uuid/start?rid=1");
        assert_eq!(made("https://hc.example/uuid/", "?rid=1"), "https://hc.example/uuid?rid=1");
        assert_eq!(made("https://hc.example/u?create=1", "/3?rid=1"), "https://hc.example/u/3?create=1&rid=1");
    }

    #[test]
    fn a_receiver_says_how_long_to_wait_in_seconds_or_by_a_date() {
        let now: Timestamp = "2026-11-22T11:30:00Z".parse().unwrap();
        let wait = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now)
        };
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("Sun, 22 Nov 2026 11:31:00 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(wait("99999999"), Some(LONGEST));
        assert_eq!(wait("soon"), None);
    }
}

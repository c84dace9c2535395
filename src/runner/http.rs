//! Makes HTTP requests.

use std::error::Error;
use std::fmt::Write;
use std::io::{self, ErrorKind};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, Response, StatusCode, Url};
use tokio::sync::mpsc;

use super::{Chunk, Control, Stream};
use crate::clock::Clock;
use crate::job::{Http, Text};
use crate::lease::{Ended, Outcome, Work};
use crate::signature;
use crate::trace;

/// How much of an answer's body becomes the run's output.
const SHOWN: usize = 64 * 1024;
/// How much of it is searched for the expected text.
const SEARCHED: usize = 1024 * 1024;
/// How many redirects are followed.
const REDIRECTS: usize = 5;
/// A server that does not even take the connection is given up after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes [`Http`] requests.
///
/// Up to five redirects are followed, but none when a header is secret (another host would learn
/// it) or when a redirect is the expected answer.
#[derive(Debug, Clone)]
pub struct HttpRunner {
    /// Or why there is none: a machine without certificates may run programs all the same.
    /// Made when the first request is: that takes a while, and most processes make none.
    clients: Arc<LazyLock<Result<Clients, String>>>,
}

#[derive(Debug, Clone)]
struct Clients {
    following: Client,
    staying: Client,
}

/// What went wrong, for people.
type Words = String;

/// One client for each way with redirects.
fn clients() -> Result<Clients, String> {
    // Err: another part of the program installed one before us.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = |redirects| {
        Client::builder()
            .user_agent(concat!("cronclave/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // Runs are rare: a connection kept since the last one is likely dead.
            .pool_max_idle_per_host(0)
            .redirect(redirects)
            .build()
            .map_err(|error| format!("HTTP requests are not possible here: {}", causes(&error)))
    };
    client(Policy::limited(REDIRECTS)).and_then(|following| Ok(Clients { following, staying: client(Policy::none())? }))
}

impl Default for HttpRunner {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpRunner {
    /// Installs the process's TLS provider unless there is one.
    pub fn new() -> Self {
        HttpRunner { clients: Arc::new(LazyLock::new(clients)) }
    }

    /// Makes the request and judges the answer; see [`Runner::run`](super::Runner::run).
    pub(super) async fn run(&self, http: &Http, work: &Work, mut control: Control) -> Ended {
        let output = control.output.clone();
        let done = tokio::select! {
            done = self.exchange_in_time(http, work, &output) => done,
            _ = control.stopped() => Err("stopped before the answer came".to_owned()),
        };
        match done {
            Ok(()) => Ended::succeeded(),
            Err(why) => Ended::because(Outcome::Failed, why),
        }
    }

    async fn exchange_in_time(&self, http: &Http, work: &Work, to: &mpsc::Sender<Chunk>) -> Result<(), Words> {
        let Some(limit) = http.timeout else { return self.exchange(http, work, to).await };
        let answer = tokio::time::timeout(limit, self.exchange(http, work, to)).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {limit:?}")))
    }

    async fn exchange(&self, http: &Http, work: &Work, to: &mpsc::Sender<Chunk>) -> Result<(), Words> {
        let clients = (**self.clients).as_ref().map_err(Clone::clone)?;
        let secret = http.headers.values().any(|text| matches!(text, Text::Secret { .. }));
        let redirect_expected = http.expect_status.iter().any(|status| (300..400).contains(status));
        let client = if secret || redirect_expected { &clients.staying } else { &clients.following };
        let mut request = request(client, http, work)?;
        sign(&mut request, http, work)?;
        let url = request.url().clone();
        let mut response = client.execute(request).await.map_err(|error| explain(&error, &url))?;
        let start = format!("{:?} {}\n", response.version(), response.status());
        say(to, start.into_bytes()).await;
        let body = read(&mut response, to).await.map_err(|error| explain(&error, &url))?;
        judge(http, &response, &body)
    }
}

fn request(client: &Client, http: &Http, work: &Work) -> Result<Request, Words> {
    let method =
        Method::from_bytes(http.method.as_bytes()).map_err(|_| format!("`{}` is not an HTTP method", http.method))?;
    let url = Url::parse(&http.url).map_err(|error| format!("the URL cannot be used: {error}"))?;
    let mut builder = client.request(method, url).headers(headers(http, work)?);
    if let Some(body) = &http.body {
        builder = builder.body(body.clone());
    }
    builder.build().map_err(|error| format!("the request cannot be made: {}", causes(&error.without_url())))
}

/// What the run is, and what the job adds or replaces.
fn headers(http: &Http, work: &Work) -> Result<HeaderMap, Words> {
    let own = [
        ("idempotency-key", work.run_id.to_string()),
        ("cronclave-job", work.job.to_string()),
        ("cronclave-run-id", work.run_id.to_string()),
        ("cronclave-attempt", work.attempt.to_string()),
        ("cronclave-fencing-token", work.fence.to_string()),
        ("cronclave-scheduled-at", work.scheduled_at.to_string()),
        ("cronclave-lease-until", work.lease_until.to_string()),
        ("traceparent", trace::parent(work.run_id, work.fence)),
    ];
    let mut all = HeaderMap::new();
    for (name, value) in own {
        insert(&mut all, name, &value)?;
    }
    for (name, text) in &http.headers {
        let value = text
            .reveal()
            .map_err(|secret| format!("the secret `{secret}`, wanted for the header {name}, is not set here"))?;
        insert(&mut all, name, &value)?;
    }
    Ok(all)
}

/// Adds the headers of Standard Webhooks, so that who is called can tell that it was us, and not long ago.
fn sign(request: &mut Request, http: &Http, work: &Work) -> Result<(), Words> {
    let Some(secret) = &http.sign_with else { return Ok(()) };
    let secret =
        secret.reveal().map_err(|name| format!("the secret `{name}`, wanted for `sign_with`, is not set here"))?;
    let key = signature::key(&secret).map_err(|why| format!("the secret of `sign_with` cannot sign: {why}"))?;
    // One message for each attempt: a further one is not a copy of the first.
    let id = format!("{}.{}", work.run_id, work.attempt);
    let body = http.body.as_deref().unwrap_or_default();
    for (name, value) in signature::headers(&[key], &id, Clock::system().now(), body.as_bytes()) {
        insert(request.headers_mut(), name, &value)?;
    }
    Ok(())
}

/// The value is not repeated in the words: it may be secret.
fn insert(all: &mut HeaderMap, name: &str, value: &str) -> Result<(), Words> {
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header's name"))?;
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| format!("the value of the header {name} holds a character it may not"))?;
    value.set_sensitive(true);
    all.insert(key, value);
    Ok(())
}

/// Reads to the end, because leaving early would break off a server that works while it answers;
/// keeps only what is shown or searched.
async fn read(response: &mut Response, to: &mpsc::Sender<Chunk>) -> reqwest::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut shown = 0;
    while let Some(piece) = response.chunk().await? {
        let show = piece.len().min(SHOWN - shown);
        if show > 0 {
            shown += show;
            say(to, piece[..show].to_vec()).await;
        }
        let keep = piece.len().min(SEARCHED - kept.len());
        kept.extend_from_slice(&piece[..keep]);
    }
    Ok(kept)
}

async fn say(to: &mpsc::Sender<Chunk>, bytes: Vec<u8>) {
    // Nobody listens once the run has been given up.
    let _ = to.send(Chunk { stream: Stream::Stdout, bytes }).await;
}

fn judge(http: &Http, response: &Response, body: &[u8]) -> Result<(), Words> {
    let status = response.status();
    if !accepted(&http.expect_status, status) {
        return Err(unexpected(&http.expect_status, response));
    }
    match &http.expect_body {
        Some(text) if !contains(body, text.as_bytes()) => {
            Err(format!("answered {status}, but the body does not contain `{text}`"))
        }
        _ => Ok(()),
    }
}

fn accepted(expected: &[u16], status: StatusCode) -> bool {
    if expected.is_empty() { status.is_success() } else { expected.contains(&status.as_u16()) }
}

fn unexpected(expected: &[u16], response: &Response) -> Words {
    let wanted = match expected {
        [] => "2xx".to_owned(),
        some => some.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
    };
    let mut words = format!("answered {}, expected {wanted}", response.status());
    let target = response.headers().get(LOCATION).and_then(|target| response.url().join(target.to_str().ok()?).ok());
    if let (true, Some(target)) = (response.status().is_redirection(), target) {
        let _ = write!(words, "; it redirects to {}", masked(&target));
    }
    words
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

/// The URL without what is secret in it.
fn masked(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        let _ = url.set_password(Some("***"));
    }
    url.to_string()
}

/// Why there was no answer from `url`.
fn explain(error: &reqwest::Error, url: &Url) -> Words {
    let host = url.host_str().unwrap_or("the host");
    let port = url.port_or_known_default().unwrap_or(0);
    let io = cause::<io::Error>(error).map(io::Error::kind);
    let what = if error.is_dns() {
        format!("the name {host} cannot be resolved: {}", innermost(error))
    } else if let Some(tls) = cause::<rustls::Error>(error) {
        format!("no TLS connection to {host}: {tls}")
    } else if io == Some(ErrorKind::ConnectionRefused) {
        format!("{host} refused the connection to port {port}")
    } else if error.is_timeout() && error.is_connect() {
        format!("{host} did not take the connection to port {port} within {CONNECT_TIMEOUT:?}")
    } else if error.is_redirect() {
        format!("more than {REDIRECTS} redirects")
    } else if error.is_body() || error.is_decode() {
        format!("{host} broke off its answer: {}", innermost(error))
    } else {
        format!("no answer from {host}: {}", innermost(error))
    };
    format!("{what} ({})", masked(url))
}

/// The first error of type `E` in the chain; an I/O error may hold a further one inside.
fn cause<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut next: Option<&(dyn Error + 'static)> = error.source();
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        let held = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = held.map(|held| held as &(dyn Error + 'static)).or_else(|| current.source());
    }
    None
}

fn innermost(error: &reqwest::Error) -> String {
    let mut last: &(dyn Error + 'static) = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// The error and all that caused it.
fn causes(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(words, ": {cause}");
        next = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_never_shown() {
        let url = Url::parse("https://me:geheim@example.com/a?b=c").unwrap();
        assert_eq!(masked(&url), "https://me:***@example.com/a?b=c");
    }

    #[test]
    fn without_an_expectation_any_2xx_is_accepted_and_with_one_only_those() {
        assert!(accepted(&[], StatusCode::NO_CONTENT));
        assert!(!accepted(&[], StatusCode::FOUND));
        assert!(accepted(&[404], StatusCode::NOT_FOUND));
        assert!(!accepted(&[404], StatusCode::OK));
    }
}

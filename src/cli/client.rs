//! A replica that is asked over HTTP. Everything that is asked can be asked again, so a connection that breaks, as when
//! a replica behind a balancer ends, is not the end of it.

use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;
use url::Url;

use super::{Context, Failure};
use crate::config;
use crate::desk::{Refusal, Why};
use crate::shape::{Page, Piece};

/// A replica does not answer for longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nor does it take longer to take a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How often it is asked again when a connection breaks, and the pause between, which grows.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);

/// A server that has too much to do is asked again when it says so, unless that takes longer.
const LONGEST: Duration = Duration::from_secs(10);

/// Items of a list asked for at once.
const PAGE: usize = 500;

/// Words of a query, those that are given.
type Query<'a> = [(&'a str, Option<String>)];

/// A replica.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    /// No header beyond the usual ones.
    pub(super) const PLAIN: (&'static str, &'static str) = ("accept", "application/json");

    /// The replica that was named, if one was.
    pub(super) fn of(context: &Context) -> Result<Option<Client>, Failure> {
        let named = context.global.server.clone().or_else(|| config::environment("CRONCLAVE_SERVER"));
        let Some(text) = named else { return Ok(None) };
        let wrong = |why: String| Failure::new(Failure::USAGE, format!("--server / CRONCLAVE_SERVER: {why}"));
        let base = Url::parse(&text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let base = base.ok_or_else(|| wrong(format!("`{text}` is no address: write http://HOST:PORT")))?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong("an address holds no password: name a token with --token-file".into()));
        }
        let mut headers = HeaderMap::new();
        if let Some(token) = token(context)? {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| wrong("the token holds characters that no token has".into()))?;
            value.set_sensitive(true);
            headers.insert("authorization", value);
        }
        // Err: another part of the program installed one before us.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("cronclave/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let http = client.map_err(|error| Failure::unavailable(format!("HTTP is not possible here: {error}")))?;
        Ok(Some(Client { http, base }))
    }

    /// Reads one thing.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &Query<'_>) -> Result<T, Refusal> {
        let request = self.http.get(self.address(path, query)).header("accept", "application/json");
        self.read(&self.answer(request).await?)
    }

    /// Reads a list, page by page, up to `most` items.
    pub(super) async fn pages<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &Query<'_>,
        most: usize,
    ) -> Result<Page<T>, Refusal> {
        let mut all: Option<Page<T>> = None;
        loop {
            let (read, cursor) = all.as_ref().map_or((0, None), |all| (all.items.len(), all.next_cursor.clone()));
            let limit = (most - read).min(PAGE).to_string();
            let query: Vec<_> = query.iter().cloned().chain([("limit", Some(limit)), ("cursor", cursor)]).collect();
            let page: Page<T> = self.get(path, &query).await?;
            let all = match &mut all {
                None => all.insert(page),
                Some(all) => {
                    all.items.extend(page.items);
                    all.next_cursor = page.next_cursor;
                    all
                }
            };
            if all.next_cursor.is_none() || all.items.len() >= most {
                break;
            }
        }
        let mut all = all.unwrap_or_else(|| unreachable!("it is read at least once"));
        all.next_cursor = None;
        Ok(all)
    }

    /// Reads pieces of a log.
    pub(super) async fn lines(&self, path: &[&str], query: &Query<'_>) -> Result<Vec<Piece>, Refusal> {
        let request = self.http.get(self.address(path, query)).header("accept", "application/x-ndjson");
        let body = self.answer(request).await?;
        body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| self.read(line)).collect()
    }

    /// Asks for a change.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        header: (&str, &str),
        body: Value,
    ) -> Result<T, Refusal> {
        let (path, query) = match path.split_last() {
            Some((last, lead)) => match last.split_once('?') {
                Some((last, query)) => (lead.iter().copied().chain([last]).collect::<Vec<_>>(), Some(query)),
                None => (path.to_vec(), None),
            },
            None => (Vec::new(), None),
        };
        let mut address = self.address(&path, &[]);
        address.set_query(query);
        let mut request = self.http.request(method, address).header(header.0, header.1);
        if !body.is_null() {
            request = request.json(&body);
        }
        self.read(&self.answer(request).await?)
    }

    /// Opens a stream that goes on, after the event `last`.
    pub(super) async fn stream(
        &self,
        path: &[&str],
        query: &Query<'_>,
        last: Option<&str>,
    ) -> Result<reqwest::Response, Refusal> {
        let mut tries = 0;
        loop {
            let request = self.http.get(self.address(path, query)).header("accept", "text/event-stream");
            // It is watched by whoever reads it.
            let request = request.timeout(Duration::from_secs(24 * 60 * 60));
            let request = match last {
                Some(last) => request.header("last-event-id", last),
                None => request,
            };
            let (refusal, wished) = match request.send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => {
                    let (status, wished) = (response.status(), wished(&response));
                    (self.refused(status, &response.bytes().await.unwrap_or_default()), wished)
                }
                Err(error) => (self.lost(causes(&error)), None),
            };
            tries += 1;
            sleep(pause(&refusal, wished, tries).ok_or(refusal)?).await;
        }
    }

    fn address(&self, path: &[&str], query: &Query<'_>) -> Url {
        let mut address = self.base.clone();
        if let Ok(mut segments) = address.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        for (name, value) in query {
            if let Some(value) = value {
                address.query_pairs_mut().append_pair(name, value);
            }
        }
        address
    }

    /// Asks, and asks again when the connection breaks, or when the server has too much to do.
    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, Refusal> {
        let mut tries = 0;
        loop {
            let again = request.try_clone().ok_or_else(|| self.lost("it cannot be asked again"))?;
            let (refusal, wished) = match self.once(again).await {
                Ok(body) => return Ok(body),
                Err(refused) => refused,
            };
            tries += 1;
            sleep(pause(&refusal, wished, tries).ok_or(refusal)?).await;
        }
    }

    /// The answer; or why there is none, and when the server wants to be asked again.
    async fn once(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, (Refusal, Option<Duration>)> {
        let lost = |error: reqwest::Error| (self.lost(causes(&error)), None);
        let response = request.send().await.map_err(lost)?;
        let (status, wished) = (response.status(), wished(&response));
        let body = response.bytes().await.map_err(lost)?;
        if status.is_success() { Ok(body.to_vec()) } else { Err((self.refused(status, &body), wished)) }
    }

    fn lost(&self, why: impl std::fmt::Display) -> Refusal {
        Refusal::new(Why::Unreachable, format!("the server {} cannot be reached: {why}", self.base))
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Refusal> {
        serde_json::from_slice(body).map_err(|error| {
            let detail =
                format!("{} answers what this version cannot read ({error}): is it another version?", self.base);
            Refusal::new(Why::Internal, detail)
        })
    }

    /// What a problem says.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Refusal {
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let why = match (text("code").as_str(), status.as_u16()) {
            ("paused", _) => Why::Paused,
            ("overlap", _) => Why::Overlap,
            ("mutex-held", _) => Why::MutexHeld,
            ("queue-full", _) => Why::Full,
            ("lock-moved", _) => Why::LockMoved,
            ("invalid-config", _) => Why::InvalidConfig,
            (_, 401) => Why::Unauthorized,
            (_, 403) => Why::Forbidden,
            (_, 404) => Why::NotFound,
            (_, 409 | 412) => Why::Over,
            (_, 429) => Why::TooMany,
            (_, 503 | 504) => Why::StoreDown,
            // A proxy that has nobody behind it.
            (_, 502) => Why::Unreachable,
            (_, 400..500) => Why::Invalid,
            _ => Why::Internal,
        };
        let detail = match text("detail") {
            detail if detail.is_empty() => format!("{} answers {status}", self.base),
            detail => detail,
        };
        Refusal::new(why, detail)
    }
}

/// What `Retry-After` says.
fn wished(response: &reqwest::Response) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// How long to wait before the next try; `None` when there is none.
fn pause(refusal: &Refusal, wished: Option<Duration>, tries: u32) -> Option<Duration> {
    let pause = match refusal.why {
        Why::Unreachable => Some(PAUSE * tries),
        Why::TooMany => wished.filter(|wished| *wished <= LONGEST),
        _ => None,
    };
    pause.filter(|_| tries <= TRIES)
}

/// The token to show, from the file or the variable that names it: never from the command line, which everybody sees.
fn token(context: &Context) -> Result<Option<String>, Failure> {
    let file = context.global.token_file.clone();
    let file = file.or_else(|| config::environment("CRONCLAVE_TOKEN_FILE").map(Into::into));
    match file {
        Some(path) => read_token(&path).map(Some),
        None => Ok(config::environment("CRONCLAVE_TOKEN")),
    }
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("--token-file / CRONCLAVE_TOKEN_FILE: {} cannot be read: {error}", path.display());
        Failure::new(Failure::NO_INPUT, what)
    })?;
    Ok(text.trim().to_owned())
}

fn causes(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), causes)
}

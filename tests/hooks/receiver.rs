//! Somebody who is told: keeps what comes, and answers as he is told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// `run.failed` and the like.
    pub(crate) fn kind(&self) -> String {
        let json = self.json();
        json["type"].as_str().unwrap().trim_start_matches("dev.cronclave.").trim_end_matches(".v1").to_owned()
    }
}

#[derive(Debug, Default)]
struct Inner {
    got: Vec<Got>,
    /// What is answered next; after these, 200.
    answers: VecDeque<(u16, Option<(&'static str, String)>)>,
    /// Answered to all else, if it is set.
    always: Option<u16>,
    /// How long an answer takes.
    slow: Duration,
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    life: Option<JoinHandle<()>>,
}

impl Receiver {
    pub(crate) async fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut receiver = Receiver { address, inner: Arc::default(), life: None };
        receiver.serve(listener);
        receiver
    }

    fn serve(&mut self, listener: TcpListener) {
        let router = Router::new().fallback(take).with_state(self.inner.clone());
        self.life = Some(tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }));
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Nobody listens any more.
    pub(crate) async fn go_down(&mut self) {
        if let Some(life) = self.life.take() {
            life.abort();
            let _ = life.await;
        }
    }

    pub(crate) async fn come_back(&mut self) {
        let given_up = Instant::now() + Duration::from_secs(30);
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < given_up, "{error}"),
            }
            sleep(Duration::from_millis(50)).await;
        };
        self.serve(listener);
    }

    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = u16>) {
        self.inner.lock().unwrap().answers.extend(answers.into_iter().map(|status| (status, None)));
    }

    pub(crate) fn answer_with(&self, status: u16, header: &'static str, value: impl Into<String>) {
        self.inner.lock().unwrap().answers.push_back((status, Some((header, value.into()))));
    }

    pub(crate) fn answer_always(&self, status: Option<u16>) {
        self.inner.lock().unwrap().always = status;
    }

    pub(crate) fn take_time(&self, each: Duration) {
        self.inner.lock().unwrap().slow = each;
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.inner.lock().unwrap().got.clone()
    }

    /// The ids of what came, each once.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.got().iter().map(|got| got.id().to_owned()).collect()
    }

    pub(crate) async fn wait_for(&self, what: &str, enough: impl Fn(&[Got]) -> bool) -> Vec<Got> {
        until(what, || {
            let got = self.got();
            enough(&got).then_some(got)
        })
        .await
    }
}

/// What `found` finds, once it does.
pub(crate) async fn until<T>(what: &str, found: impl Fn() -> Option<T>) -> T {
    let given_up = Instant::now() + Duration::from_secs(40);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < given_up, "waited in vain for {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn take(
    State(inner): State<Arc<Mutex<Inner>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let got = Got {
        method: method.to_string(),
        path: uri.to_string(),
        headers: headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let slow = inner.lock().unwrap().slow;
    sleep(slow).await;
    let mut inner = inner.lock().unwrap();
    inner.got.push(got);
    let (status, header) = inner.answers.pop_front().unwrap_or((inner.always.unwrap_or(200), None));
    let status = StatusCode::from_u16(status).unwrap();
    match header {
        Some((name, value)) => (status, [(name, value)]).into_response(),
        None => status.into_response(),
    }
}

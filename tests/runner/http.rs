//! Requests to small real servers.

use std::collections::BTreeMap;
use std::time::Duration;

use cronclave::job::{Action, Http, Text};
use cronclave::lease::Outcome;
use cronclave::runner::{CommandRunner, Handlers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::bench::{Done, LONG, Running, job, runners, start};

/// Answers one request after another with the given texts; gives back what was asked.
async fn server(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/path", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8192];
            let read = socket.read(&mut request).await.unwrap();
            asked.push(String::from_utf8_lossy(&request[..read]).into_owned());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (url, asked)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn get(url: &str) -> Http {
    Http {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: BTreeMap::new(),
        body: None,
        timeout: None,
        expect_status: Vec::new(),
        expect_body: None,
        sign_with: None,
    }
}

fn begin(http: Http) -> Running {
    start(
        runners(CommandRunner::new(BTreeMap::new()), Handlers::new()),
        job("ping", Action::Http(Box::new(http))),
        LONG,
    )
}

async fn make(http: Http) -> Done {
    begin(http).done().await
}

#[tokio::test]
async fn a_request_carries_the_run_and_its_answer_is_the_output() {
    let (url, asked) = server(vec![answer("201 Created", "made")]).await;
    let secret = Text::Secret { name: "t".to_owned(), prefix: "Bearer ".to_owned(), value: Some("key".to_owned()) };
    let headers = BTreeMap::from([
        ("Authorization".to_owned(), secret),
        ("Cronclave-Job".to_owned(), Text::Plain("mine".to_owned())),
    ]);
    let done = make(Http { method: "POST".to_owned(), headers, body: Some("{}".to_owned()), ..get(&url) }).await;
    assert_eq!(done.ended.outcome, Outcome::Succeeded, "{}", done.message());
    assert_eq!(done.stdout, "HTTP/1.1 201 Created\nmade");
    let asked = asked.await.unwrap().remove(0);
    let lower = asked.to_lowercase();
    assert!(asked.starts_with("POST /path HTTP/1.1\r\n"), "{asked}");
    for line in [
        "authorization: bearer key",
        "cronclave-job: mine",
        "cronclave-attempt: 2",
        "cronclave-fencing-token: 77",
        "cronclave-scheduled-at: 2027-01-15t08:00:00z",
        "cronclave-lease-until: 2027-01-15t08:00:30z",
        "cronclave-run-id: ",
        "traceparent: 00-",
        "idempotency-key: ",
    ] {
        assert!(lower.contains(&format!("\r\n{line}")), "{line} is not in {asked}");
    }
}

#[tokio::test]
async fn any_2xx_is_well_and_anything_else_is_not() {
    let (url, _server) = server(vec![answer("204 No Content", ""), answer("503 Service Unavailable", "busy")]).await;
    assert_eq!(make(get(&url)).await.ended.outcome, Outcome::Succeeded);
    let done = make(get(&url)).await;
    assert_eq!(done.ended.outcome, Outcome::Failed);
    assert_eq!(done.message(), "answered 503 Service Unavailable, expected 2xx");
    assert!(done.stdout.ends_with("busy"), "what it said is kept");
}

#[tokio::test]
async fn expected_statuses_and_texts_are_what_counts() {
    let (url, _server) = server(vec![answer("404 Not Found", ""); 2]).await;
    let done = make(Http { expect_status: vec![404], ..get(&url) }).await;
    assert_eq!(done.ended.outcome, Outcome::Succeeded);
    let done = make(Http { expect_status: vec![200, 204], ..get(&url) }).await;
    assert_eq!(done.message(), "answered 404 Not Found, expected 200 or 204");
    // Beyond what is shown, within what is searched.
    let body = format!("{}all is well", "x".repeat(200_000));
    let (url, _server) = server(vec![answer("200 OK", &body); 2]).await;
    let done = make(Http { expect_body: Some("is well".to_owned()), ..get(&url) }).await;
    assert_eq!(done.ended.outcome, Outcome::Succeeded, "{}", done.message());
    assert_eq!(done.stdout.len(), "HTTP/1.1 200 OK\n".len() + 64 * 1024);
    let done = make(Http { expect_body: Some("is ill".to_owned()), ..get(&url) }).await;
    assert_eq!(done.message(), "answered 200 OK, but the body does not contain `is ill`");
}

#[tokio::test]
async fn redirects_are_followed_unless_a_header_is_secret() {
    let (target, _server) = server(vec![answer("200 OK", "there")]).await;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let (url, _from) = server(vec![redirect; 2]).await;
    let done = make(get(&url)).await;
    assert_eq!((done.ended.outcome, done.stdout.as_str()), (Outcome::Succeeded, "HTTP/1.1 200 OK\nthere"));
    let secret = Text::Secret { name: "t".to_owned(), prefix: String::new(), value: Some("key".to_owned()) };
    let done = make(Http { headers: BTreeMap::from([("X-Key".to_owned(), secret)]), ..get(&url) }).await;
    assert_eq!(done.message(), format!("answered 302 Found, expected 2xx; it redirects to {target}"));
}

#[tokio::test]
async fn what_cannot_be_reached_is_said_in_words() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let done = make(get(&format!("http://me:geheim@127.0.0.1:{port}/"))).await;
    assert_eq!(done.ended.outcome, Outcome::Failed);
    assert!(done.message().contains(&format!("127.0.0.1 refused the connection to port {port}")), "{}", done.message());
    assert!(!done.message().contains("geheim"), "{}", done.message());
    let done = make(get("http://no-such-host.invalid/")).await;
    assert!(done.message().contains("the name no-such-host.invalid cannot be resolved"), "{}", done.message());
    let (url, _server) = server(vec!["this is not TLS".to_owned()]).await;
    let done = make(get(&url.replace("http:", "https:"))).await;
    assert!(done.message().contains("no TLS connection to 127.0.0.1"), "{}", done.message());
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_in_words() {
    let unset = Text::Secret { name: "key".to_owned(), prefix: String::new(), value: None };
    let header = |name: &str, text| BTreeMap::from([(name.to_owned(), text)]);
    let cases = [
        (Http { method: "G T".to_owned(), ..get("http://x/") }, "`G T` is not an HTTP method"),
        (get("nonsense"), "the URL cannot be used"),
        (Http { headers: header("X-Key", unset), ..get("http://x/") }, "the secret `key`"),
        (Http { headers: header("X Y", Text::Plain(String::new())), ..get("http://x/") }, "`X Y` is not a header"),
        (Http { headers: header("X", Text::Plain("a\nb".to_owned())), ..get("http://x/") }, "value of the header X"),
    ];
    for (http, words) in cases {
        let done = make(http).await;
        assert_eq!(done.ended.outcome, Outcome::Failed);
        assert!(done.message().contains(words), "{}", done.message());
    }
}

/// Takes connections and says nothing.
async fn silent() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}/", listener.local_addr().unwrap()), listener)
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_at_the_timeout() {
    let (url, _listener) = silent().await;
    let done = make(Http { timeout: Some(Duration::from_secs(1)), ..get(&url) }).await;
    assert_eq!((done.ended.outcome, done.message()), (Outcome::Failed, "no answer within 1s"));
}

#[tokio::test]
async fn a_request_that_is_stopped_is_dropped_at_once() {
    let (url, listener) = silent().await;
    let running = begin(get(&url));
    let (mut socket, _) = listener.accept().await.unwrap();
    running.stop(10 * LONG);
    let done = running.done().await;
    assert_eq!(done.message(), "stopped before the answer came");
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure() {
    let (url, _server) = server(vec!["HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_owned()]).await;
    let done = make(get(&url)).await;
    assert_eq!(done.ended.outcome, Outcome::Failed);
    assert!(done.message().contains("broke off"), "{}", done.message());
}

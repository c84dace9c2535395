//! The live stream: what is sent, going on elsewhere, and what it says when something ends. Real processes.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/served.rs"]
mod served;
#[path = "common/servers.rs"]
mod servers;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use cronclave::clock::Clock;
use cronclave::store::{Collection, Create, Draft, Expect, Sqlite, Store};
use rustix::process::Signal;
use serde_json::{Value, json};

use served::{Served, until};
use servers::Redis;

const TICK: &str = "[jobs.tick]\nevery = \"1s\"\ncommand = \"echo tock\"\n";

/// One event of a stream.
#[derive(Debug, Clone, Default)]
struct Event {
    kind: String,
    id: Option<u64>,
    data: Value,
}

/// Somebody who listens.
struct Listener {
    stream: TcpStream,
    seen: Arc<Mutex<Vec<Event>>>,
    over: Arc<Mutex<bool>>,
}

impl Listener {
    fn new(served: &Served, query: &str, since: Option<u64>) -> Listener {
        let mut stream = TcpStream::connect(served.address()).unwrap();
        let since = since.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        write!(stream, "GET /api/v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{since}\r\n").unwrap();
        let listener = Listener { stream, seen: Arc::default(), over: Arc::default() };
        let (reading, seen, over) =
            (listener.stream.try_clone().unwrap(), listener.seen.clone(), listener.over.clone());
        std::thread::spawn(move || {
            let mut event = Event::default();
            for line in BufReader::new(reading).lines().map_while(Result::ok) {
                match line.split_once(": ") {
                    Some(("event", kind)) => event.kind = kind.to_owned(),
                    Some(("id", id)) => event.id = id.parse().ok(),
                    Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                    // Sizes of chunks and headers stand between.
                    _ if line.is_empty() && !event.kind.is_empty() => {
                        seen.lock().unwrap().push(std::mem::take(&mut event));
                    }
                    _ => {}
                }
            }
            *over.lock().unwrap() = true;
        });
        listener
    }

    fn seen(&self) -> Vec<Event> {
        self.seen.lock().unwrap().clone()
    }

    fn of(&self, kind: &str) -> Vec<Event> {
        self.seen().into_iter().filter(|event| event.kind == kind).collect()
    }

    fn wait(&self, what: &str, holds: impl Fn(&[Event]) -> bool) {
        until(|| holds(&self.seen()), || format!("waited in vain for {what} in {:#?}", self.seen()));
    }

    fn wait_for(&self, kind: &str) -> Event {
        self.wait(kind, |seen| seen.iter().any(|event| event.kind == kind));
        self.of(kind).remove(0)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// The positions and ids of the events of the ledger.
fn ledger(events: &[Event]) -> Vec<(u64, String)> {
    let real = events.iter().filter(|event| event.data["specversion"] == "1.0");
    real.map(|event| (event.id.unwrap(), event.data["id"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_listener_goes_on_at_another_replica_where_it_left_off() {
    let first = Served::start(TICK, &[]);
    let second = first.beside(&[]);
    let one = Listener::new(&first, "", None);
    assert!(one.wait_for("hello").id.is_some(), "so that nothing is left out from now on");
    // All along, for comparison.
    let all = Listener::new(&second, "", None);
    all.wait_for("hello");
    one.wait("three runs", |seen| seen.iter().filter(|event| event.kind == "run.succeeded").count() >= 3);
    let before = ledger(&one.seen());
    drop(one);
    drop(first);
    let last = before.last().unwrap().0;
    let next = Listener::new(&second, "", Some(last));
    next.wait("three more", |seen| seen.iter().filter(|event| event.kind == "run.succeeded").count() >= 3);
    let after = ledger(&next.seen());
    assert_eq!(next.wait_for("hello").id, Some(last));
    assert!(next.of("resync").is_empty());
    let joined: Vec<_> = before.iter().chain(&after).cloned().collect();
    all.wait("as much", |seen| ledger(seen).last() >= joined.last());
    let whole = ledger(&all.seen());
    // What happened before it was connected as well is not compared.
    let from = joined.iter().position(|event| *event == whole[0]).unwrap();
    assert!(from < before.len(), "it listened before the first replica was gone");
    assert_eq!(whole[..joined.len() - from], joined[from..], "every event once, in order, with the same id");
}

#[test]
fn it_shows_life_and_says_goodbye() {
    let mut served = Served::start("[jobs.rare]\nschedule = \"@manual\"\ncommand = \"true\"\n", &[]);
    let listener = Listener::new(&served, "", None);
    let beat = listener.wait_for("heartbeat");
    assert!(beat.data["at"].is_string() && beat.data["stale_since"].is_null(), "{beat:?}");
    assert!(beat.id.is_some(), "so that whoever hears little comes back to where things are");
    served.signal(Signal::TERM);
    listener.wait_for("bye");
    until(|| *listener.over.lock().unwrap(), || "the stream does not end".into());
    assert_eq!(served.ends(), 0);
}

#[test]
fn whoever_was_away_for_too_long_is_told_so_and_goes_on() {
    let served = Served::start(TICK, &[]);
    for since in [999_999_999, u64::MAX] {
        let listener = Listener::new(&served, "?types=run.*", Some(since));
        let told = listener.wait_for("resync");
        assert!(told.id.is_some(), "{told:?}");
        listener.wait_for("run.started");
    }
}

#[test]
fn only_what_was_asked_for_is_sent_and_progress_as_it_is_made() {
    let jobs = TICK.to_owned() + "[jobs.tack]\nevery = \"1s\"\ncommand = \"true\"\n";
    let served = Served::start(&jobs, &[]);
    let listener = Listener::new(&served, "?types=run.succeeded,run.progress&job=tack", None);
    listener.wait_for("hello");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Sqlite::open(&served.path().join("cronclave.db"), Create::IfMissing, Clock::system()).unwrap();
    let mut percent = 0;
    until(
        || {
            percent += 1;
            for job in ["tick", "tack"] {
                let body = json!({"job": job, "run_id": job, "percent": percent, "message": "<b>", "at": "x"});
                let draft = Draft {
                    collection: Collection::Progress,
                    key: job.into(),
                    expect: Expect::Any,
                    body: Some(body.to_string()),
                };
                runtime.block_on(store.write_document(&draft)).unwrap();
            }
            !listener.of("run.progress").is_empty() && !listener.of("run.succeeded").is_empty()
        },
        || format!("{:#?}", listener.seen()),
    );
    for event in listener.seen() {
        let job = event.data["data"]["job"].as_str().or(event.data["job"].as_str());
        match event.kind.as_str() {
            "run.progress" => assert_eq!((job, event.id, &event.data["message"]), (Some("tack"), None, &json!("<b>"))),
            "run.succeeded" => assert_eq!(job, Some("tack")),
            other => assert!(["hello", "heartbeat"].contains(&other), "{event:?}"),
        }
    }
}

#[test]
fn a_wrong_question_is_answered_with_a_better_one() {
    let served = Served::start(TICK, &[]);
    let refused = served.get("/api/v1/events?types=run.start&job=Tick");
    assert_eq!((refused.status, refused.code().as_str()), (422, "invalid-request"));
    assert_eq!(refused.json()["errors"][0]["suggestion"], "run.started", "{refused:?}");
    assert_eq!(refused.json()["errors"].as_array().unwrap().len(), 2);
    assert_eq!(served.get("/api/v1/events?typ=run.*").code(), "invalid-request");
}

#[test]
fn when_the_store_goes_away_the_stream_stays_and_says_so_and_then_goes_on() {
    let mut redis = Redis::with(&["--appendonly", "yes"]);
    let url = redis.url();
    let served = Served::start(TICK, &[("CRONCLAVE_REDIS_URL", &url)]);
    let listener = Listener::new(&served, "", None);
    listener.wait_for("run.succeeded");
    redis.kill();
    let stale = |event: &Event| event.kind == "heartbeat" && event.data["stale_since"].is_string();
    listener.wait("a heartbeat that says so", |seen| seen.iter().any(stale));
    // Who comes now is let in as well.
    let late = Listener::new(&served, "", None);
    late.wait_for("heartbeat");
    redis.start_again(&["--appendonly", "yes"]);
    let before = listener.of("run.succeeded").len();
    listener.wait("more runs", |seen| seen.iter().filter(|event| event.kind == "run.succeeded").count() > before);
    late.wait_for("run.succeeded");
    assert!(!*listener.over.lock().unwrap());
}

#[test]
fn a_listener_that_takes_nothing_keeps_nobody_waiting() {
    let served = Served::start(TICK, &[]);
    let mut stuck = TcpStream::connect(served.address()).unwrap();
    write!(stuck, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    stuck.read_exact(&mut first).unwrap();
    let listener = Listener::new(&served, "?types=run.succeeded", None);
    listener.wait("some runs", |seen| seen.iter().filter(|event| event.kind == "run.succeeded").count() >= 3);
}

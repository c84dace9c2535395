//! What runs print.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::bench::Api;
use crate::served::TOKEN;

#[test]
fn a_log_is_read_as_text_in_part_by_stream_and_as_lines_of_json() {
    let api = Api::new();
    let id = api.trigger("hello");
    api.run(&id, "succeeded");
    let ask = || api.ask("GET /api/v1/runs/{run}/logs").at(&id);
    let all = ask().send();
    assert_eq!(all.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!((all.header("cronclave-log-complete"), all.header("cronclave-log-bytes")), (Some("true"), Some("12")));
    assert_eq!(ask().query("stream=stdout").send().body, "hello\n");
    assert_eq!(ask().query("stream=stderr&offset=2&limit=3").send().body, "ong");
    assert_eq!(ask().query("tail=0").send().body, "");
    assert_eq!(ask().query("tail=1").send().body.lines().count(), 1);
    assert_eq!(ask().query("offset=1000").send().body, "");
    let lines = ask().with("Accept", "application/x-ndjson").send();
    let pieces: Vec<Value> = lines.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((pieces.len(), &pieces[0]["attempt"]), (2, &json!(1)), "{pieces:?}");
    let after = format!("after={}", pieces[0]["position"].as_str().unwrap());
    assert_eq!(ask().query(&after).with("Accept", "application/x-ndjson").send().body.lines().count(), 1);
    ask().query("attempt=7").refused(404, "not-found");
    ask().query("after=x").refused(422, "invalid-request");
    ask().query("stream=out").refused(422, "invalid-request");
    api.ask("GET /api/v1/runs/{run}/logs").at("nothing").refused(404, "not-found");
}

/// A stream of events, as it comes.
pub(crate) struct Events {
    lines: Lines<BufReader<TcpStream>>,
    kinds: Vec<String>,
}

impl Events {
    pub(crate) fn open(api: &Api, path: &str) -> Events {
        let mut stream = TcpStream::connect(api.served.address()).unwrap();
        stream.set_read_timeout(Some(crate::served::LONG)).unwrap();
        let host = api.served.address();
        let lead = format!("Host: {host}\r\nAuthorization: Bearer {TOKEN}\r\nAccept: text/event-stream");
        write!(stream, "GET {path} HTTP/1.1\r\n{lead}\r\n\r\n").unwrap();
        Events { lines: BufReader::new(stream).lines(), kinds: Vec::new() }
    }

    /// The data of the next event of this kind.
    pub(crate) fn find(&mut self, kind: &str) -> Value {
        while let Some(Ok(line)) = self.lines.next() {
            if let Some(kind) = line.strip_prefix("event: ") {
                self.kinds.push(kind.to_owned());
            }
            let is_it = self.kinds.last().is_some_and(|last| last == kind);
            if let Some(data) = line.strip_prefix("data: ").filter(|_| is_it) {
                return serde_json::from_str(data).unwrap();
            }
        }
        panic!("no {kind} after {:?}", self.kinds);
    }
}

/// The kinds of the events of a stream, up to `last`, with the last one's data.
fn events(api: &Api, path: &str, last: &str) -> (Vec<String>, Value) {
    let mut events = Events::open(api, path);
    let data = events.find(last);
    (events.kinds, data)
}

#[test]
fn a_log_is_followed_live_until_the_run_is_over() {
    let api = Api::new();
    let id = api.trigger("slow");
    api.run(&id, "running");
    let path = format!("/api/v1/runs/{id}/logs");
    let (kinds, piece) = events(&api, &path, "output");
    assert_eq!((kinds, &piece["text"]), (vec!["output".to_owned()], &json!("begun\n")));
    api.ask("POST /api/v1/runs/{run}/cancel").at(&id).json(202);
    let (_, run) = events(&api, &path, "end");
    assert_eq!(run["state"], "cancelled");
}

#[test]
fn what_happens_is_followed_live() {
    let api = Api::new();
    // A stream has no end, so it is not held against the document here.
    let operation = "GET /api/v1/events";
    let path = operation.split(' ').nth(1).unwrap().to_owned();
    std::thread::scope(|scope| {
        let following = scope.spawn(|| events(&api, &path, "run.succeeded"));
        crate::served::until(
            || {
                let id = api.trigger("hello");
                api.run(&id, "succeeded");
                following.is_finished()
            },
            || "no event came".into(),
        );
        let (_, event) = following.join().unwrap();
        assert_eq!(event["data"]["job"], "hello");
    });
}

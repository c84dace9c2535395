//! What runs print.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::bench::Api;

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

#[test]
fn a_log_is_followed_live_until_the_run_is_over() {
    let api = Api::new();
    let id = api.trigger("slow");
    api.run(&id, "running");
    let follow = || api.ask("GET /api/v1/runs/{run}/logs").at(&id);
    let mut events = follow().query("stream=stdout&attempt=1&tail=5").follow();
    let piece = events.find("output");
    assert_eq!((&events.kinds, &piece["text"]), (&vec!["output".to_owned()], &json!("begun\n")));
    api.ask("POST /api/v1/runs/{run}/cancel").at(&id).json(202);
    assert_eq!(events.find("end")["state"], "cancelled");
    let mut rest = follow().with("Last-Event-ID", piece["position"].as_str().unwrap()).follow();
    assert_eq!((&rest.find("end")["state"], rest.kinds), (&json!("cancelled"), vec!["end".to_owned()]));
    follow().with("Accept", "text/event-stream").query("attempt=2").refused(404, "not-found");
    follow().with("Accept", "text/event-stream").with("Last-Event-ID", "x").refused(422, "invalid-request");
}

#[test]
fn whoever_follows_a_log_is_sent_elsewhere_when_the_replica_stops() {
    let mut api = Api::new();
    let id = api.trigger("remote");
    let mut events = api.ask("GET /api/v1/runs/{run}/logs").at(&id).follow();
    api.served.signal(Signal::TERM);
    events.find("bye");
    assert_eq!((events.kinds, api.served.ends()), (vec!["bye".to_owned()], 0));
}

#[test]
fn what_happens_is_followed_live() {
    let api = Api::new();
    let mut events = api.ask("GET /api/v1/events").query("types=run.succeeded,run.started&job=hello").follow();
    let hello = events.find("hello");
    assert!(hello["replica"].is_string() && hello["at"].is_string(), "{hello}");
    let id = api.trigger("fails");
    api.run(&id, "failed");
    api.trigger("hello");
    let event = events.find("run.succeeded");
    assert_eq!((&event["data"]["job"], &event["specversion"]), (&json!("hello"), &json!("1.0")));
    assert_eq!(events.kinds, ["hello", "run.started", "run.succeeded"]);
    let mut again = api.ask("GET /api/v1/events").query("types=run.*").with("Last-Event-ID", "none of ours").follow();
    again.find("resync");
    api.ask("GET /api/v1/events").query("types=run.exploded").refused(422, "invalid-request");
    api.ask("GET /api/v1/events").query("kind=x").refused(422, "invalid-request");
    api.ask("GET /api/v1/events").by_nobody().refused(401, "unauthorized");
}

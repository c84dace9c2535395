//! docs/asyncapi.yaml says what the code does, and the code does what it says.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/happenings.rs"]
mod happenings;
#[path = "common/jobs.rs"]
mod jobs;
#[path = "common/python.rs"]
mod python;
#[path = "common/wire.rs"]
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cronclave::announce::{self, KINDS, Notices};
use cronclave::broker::cloud::CONTENT_TYPE;
use cronclave::broker::{Exchange, Message, Queue};
use cronclave::clock::Clock;
use cronclave::inbox;
use cronclave::job::QueueName;
use cronclave::lease::{Fence, Trigger, Work};
use cronclave::record::Op;
use cronclave::replica::Jobs;
use cronclave::request;
use cronclave::store::{Memory, Outbox, Store};
use jobs::{every, secs, start_of_time};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;
use wire::{Port, Wire};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs the checker in an environment that has what it needs.
fn check(more: &[&Path]) -> String {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    let bin = DIR.get_or_init(|| python::venv("asyncapi", &["PyYAML==6.0.3", "jsonschema==4.26.0"]));
    let mut command = Command::new(bin.join("python"));
    command.arg(path("tests/common/asyncapi.py")).arg(path("docs/asyncapi.yaml")).args(more);
    let (good, said) = python::run(command, Duration::from_secs(60));
    assert!(good, "{said}");
    said
}

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_json::from_str(&check(&[])).unwrap())
}

/// What is wrong with each message, by its name in the document and its body.
fn wrong(messages: &[(&str, Value)]) -> Vec<Option<String>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for (name, body) in messages {
        writeln!(file, "{}", json!({"name": name, "body": body})).unwrap();
    }
    let said = check(&[file.path()]);
    let wrong: Vec<Option<String>> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(wrong.len(), messages.len());
    wrong
}

/// The channels of an exchange, by address.
fn channels(exchange: &Exchange) -> BTreeMap<String, Value> {
    let all = document()["channels"].as_object().unwrap().values().map(resolved);
    let on = all.filter(|channel| channel["bindings"]["amqp"]["exchange"]["name"] == exchange.name());
    on.map(|channel| (channel["address"].as_str().unwrap().to_owned(), channel)).collect()
}

/// With what its references name in their place, all the way down.
fn resolved(value: &Value) -> Value {
    match value {
        Value::Object(fields) => match fields.get("$ref").and_then(Value::as_str) {
            Some(name) => {
                let found = document().pointer(name.strip_prefix('#').unwrap());
                resolved(found.unwrap_or_else(|| panic!("{name} leads nowhere")))
            }
            None => fields.iter().map(|(name, value)| (name.clone(), resolved(value))).collect(),
        },
        Value::Array(items) => items.iter().map(resolved).collect(),
        _ => value.clone(),
    }
}

/// One of everything that is announced, as it is sent.
async fn announced() -> Vec<Message> {
    let mut notices = Notices::new("prod");
    let told = (1..).zip(happenings::all()).filter_map(|(n, event)| notices.of(n, &event));
    let mut all: Vec<Message> = told.map(|notice| notice.message()).collect();
    let clock = Clock::starting_at(start_of_time());
    let memory = Arc::new(Memory::new(clock.clone()));
    memory.take_outbox(Outbox::Announcements, "somebody", secs(1)).await.unwrap();
    for reason in ["a", "b"] {
        let pause = Op::Pause { until: None, reason: Some(reason.into()), by: None };
        memory.apply(&every("a", 60).name, &pause).await.unwrap();
    }
    let store = happenings::Forgetful::new(memory);
    store.before.store(2, std::sync::atomic::Ordering::SeqCst);
    let (parts, wire) = (wire::parts(Arc::new(store), clock, "web.1"), Wire::new());
    let life = tokio::spawn(announce::run(wire::through(&parts, Port::new(&wire))));
    sleep(secs(5)).await;
    happenings::told().into_iter().for_each(|told| parts.bus.tell(told));
    sleep(secs(5)).await;
    parts.stop.softly();
    life.await.unwrap();
    all.extend(wire.published(&Exchange::Events));
    all
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_left_unused() {
    resolved(document());
    let text = document().to_string();
    for kind in ["messages", "schemas", "parameters", "channelBindings", "operationBindings"] {
        for name in document()["components"][kind].as_object().unwrap().keys() {
            assert!(text.contains(&format!("\"#/components/{kind}/{name}\"")), "nothing uses {kind}/{name}");
        }
    }
    let operations = document()["operations"].as_object().unwrap();
    let used: BTreeSet<&str> = operations.values().map(|one| one["channel"]["$ref"].as_str().unwrap()).collect();
    for name in document()["channels"].as_object().unwrap().keys() {
        assert!(used.contains(format!("#/channels/{name}").as_str()), "no operation uses channel {name}");
    }
}

#[test]
fn the_document_names_every_type_and_key_of_the_code_and_no_other() {
    let mut kinds = BTreeSet::new();
    for (address, channel) in channels(&Exchange::Events) {
        let entity = address.strip_prefix("cronclave.{cluster}.").unwrap().strip_suffix(".{event}.{name}").unwrap();
        let events = channel["parameters"]["event"]["enum"].as_array().unwrap();
        let of_key: BTreeSet<String> =
            events.iter().map(|event| format!("{entity}.{}", event.as_str().unwrap())).collect();
        let messages = channel["messages"].as_object().unwrap().values();
        let of_type: BTreeSet<String> = messages
            .map(|message| {
                let name = message["name"].as_str().unwrap();
                assert_eq!(message["payload"]["allOf"][1]["properties"]["type"]["const"], name);
                assert_eq!(message["contentType"], CONTENT_TYPE);
                name.strip_prefix("dev.cronclave.").unwrap().strip_suffix(".v1").unwrap().to_owned()
            })
            .collect();
        assert_eq!(of_key, of_type, "{address}");
        kinds.extend(of_type);
    }
    assert_eq!(kinds, KINDS.map(str::to_owned).into());
    for (exchange, address) in [
        (Exchange::Tasks, "task.{cluster}.{queue}.{job}"),
        (Exchange::Results, "result.{cluster}.{job}.{outcome}"),
        (Exchange::Triggers, "trigger.{cluster}.{job}"),
    ] {
        assert_eq!(channels(&exchange).into_keys().collect::<Vec<_>>(), [address]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_announced_is_as_the_document_says() {
    let messages = announced().await;
    let seen: BTreeSet<String> = messages.iter().map(|message| message.kind.clone()).collect();
    assert_eq!(seen, KINDS.map(|kind| format!("dev.cronclave.{kind}.v1")).into(), "one of each at least");
    let read = |message: &Message| serde_json::from_slice::<Value>(&message.body).unwrap();
    let cases: Vec<_> = messages.iter().map(|message| (message.kind.as_str(), read(message))).collect();
    for ((kind, body), wrong) in cases.iter().zip(wrong(&cases)) {
        assert_eq!(wrong, None, "{kind}: {body}");
        // And nothing that it does not know.
        let all = resolved(&document()["components"]["messages"]);
        let named = all.as_object().unwrap().values().find(|message| message["name"] == *kind).unwrap();
        let known = named["payload"]["allOf"][1]["properties"]["data"]["properties"].as_object().unwrap();
        for field in body["data"].as_object().unwrap().keys() {
            assert!(known.contains_key(field), "{kind} has `{field}`, which is not in the document");
        }
    }
    for message in &messages {
        let words: Vec<&str> = message.key.split('.').collect();
        assert_eq!((words.len(), words[0], words[1]), (5, "cronclave", "prod"), "{}", message.key);
        assert_eq!(message.kind, format!("dev.cronclave.{}.{}.v1", words[2], words[3]));
    }
}

/// Bodies that foreign programs may send, and whether they are right.
fn foreign() -> Vec<(&'static str, Value, bool)> {
    let run = "01935a70-88d2-7a55-b6f5-5d5cf1d6b9c1";
    let event = |data: Value| json!({"specversion": "1.0", "id": "e1", "source": "s", "type": "t", "data": data});
    let good = json!({"run_id": run, "fencing_token": 7, "outcome": "failed", "message": "no paper", "exit_code": 1});
    vec![
        ("result", good.clone(), true),
        ("result", event(good), true),
        ("result", json!({"run_id": run, "fencing_token": "7", "outcome": "started", "worker": "w"}), true),
        ("result", json!({"run_id": run, "fencing_token": 7, "outcome": "exploded"}), false),
        ("result", json!({"run_id": run, "fencing_token": -7, "outcome": "failed"}), false),
        ("result", json!({"run_id": run, "outcome": "failed"}), false),
        ("result", json!({"fencing_token": 7, "outcome": "failed"}), false),
        ("result", event(json!({"run_id": run})), false),
        ("result", json!([1]), false),
        ("trigger", json!({"id": "w1"}), true),
        ("trigger", json!({"id": "w1", "args": {"day": "2026-11-21", "n": 7, "full": true}, "reason": "x"}), true),
        ("trigger", event(json!({"args": {"a.b-c_d": "x"}})), true),
        ("trigger", json!({"id": "w1", "args": {"a b": "x"}}), false),
        ("trigger", json!({"id": "w1", "args": {"a": null}}), false),
        ("trigger", json!({"id": "w1", "args": {"a": ["x"]}}), false),
        ("trigger", json!({"id": 7}), false),
        ("trigger", json!({"id": "x".repeat(256)}), false),
        ("trigger", json!("now"), false),
    ]
}

#[test]
fn the_document_tells_right_from_wrong_in_what_others_send() {
    let cases: Vec<_> = foreign().into_iter().map(|(name, body, _)| (name, body)).collect();
    for ((name, body, good), wrong) in foreign().into_iter().zip(wrong(&cases)) {
        assert_eq!(wrong.is_none(), good, "{name} {body}: {wrong:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_inbox_takes_what_the_document_calls_right_and_nothing_else() {
    for (name, body, good) in foreign() {
        let clock = Clock::starting_at(start_of_time());
        let parts = wire::parts(Arc::new(Memory::new(clock.clone())), clock, "web.1");
        let wire = Wire::new();
        let job = every("a", 60).with(|job| job.message_trigger = true);
        let jobs = Jobs { by_name: [(job.name.clone(), Arc::new(job))].into_iter().collect(), ..Jobs::default() };
        let (_jobs, seen) = watch::channel(Arc::new(jobs));
        tokio::spawn(inbox::run(wire::through(&parts, Port::new(&wire)), seen));
        let (queue, key) = match name {
            "result" => (Queue::Results, "result.prod.a.x"),
            _ => (Queue::Triggers, "trigger.prod.a"),
        };
        wire.deliver(queue, Message { key: key.into(), body: body.to_string().into_bytes(), ..Message::default() });
        sleep(secs(10)).await;
        assert_eq!(wire.published(&Exchange::Dead).is_empty(), good, "{name} {body}");
    }
}

#[test]
fn a_request_for_a_worker_is_as_the_document_says() {
    let job = every("ledger-check", 60);
    let work = Work {
        job: job.name.clone(),
        run_id: "01935a70-88d2-7a55-b6f5-5d5cf1d6b9c1".parse().unwrap(),
        scheduled_at: start_of_time(),
        attempt: 2,
        max_attempts: 5,
        fence: Fence(184_460),
        trigger: Trigger::Schedule,
        args: [("day".to_owned(), "2026-11-21".to_owned())].into(),
        previous_success_at: None,
        lease_until: start_of_time(),
    };
    let queue = QueueName::new("ledger").unwrap();
    let message = request::message(&job, &queue, &work, "prod", start_of_time());
    assert_eq!((&message.to, &*message.key), (&Exchange::Tasks, "task.prod.ledger.ledger-check"));
    assert_eq!((&*message.kind, &*message.content_type), (request::KIND, CONTENT_TYPE));
    let good: Value = serde_json::from_slice(&message.body).unwrap();
    for field in good["data"].as_object().unwrap().keys() {
        let known = &document()["components"]["schemas"]["Task"]["properties"];
        assert!(known.get(field).is_some(), "`{field}` is not in the document");
    }
    let headers = json!(message.headers);
    let (mut lacking, mut bare) = (good.clone(), headers.clone());
    lacking["data"]["fencing_token"] = Value::Null;
    bare.as_object_mut().unwrap().remove("cronclave-fencing-token");
    let of_headers = format!("{}/headers", request::KIND);
    let said = wrong(&[(request::KIND, good), (&of_headers, headers), (request::KIND, lacking), (&of_headers, bare)]);
    assert_eq!(said[..2], [None, None]);
    assert!(said[2..].iter().all(|why| why.as_ref().unwrap().contains("fencing")), "{said:?}");
}

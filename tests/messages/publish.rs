//! Jobs that are messages, read by whoever they are for.

use cronclave::ledger::State;

use super::others::{Place, body, headers};

const JOBS: &str = r#"[secrets]
billing = { env = "BILLING_TOKEN" }

[jobs.close]
schedule = "@manual"
[jobs.close.publish]
exchange = "billing"
routing_key = "invoices.{{ job }}.{{ scheduled_at | date }}"
format = "cloudevents"
payload = { day = "{{ scheduled_at | date }}", run = "{{ run_id }}", from = ["{{ cluster }}", 7, true] }
headers = { tenant = "eu-{{ job }}", authorization = { secret = "billing", prefix = "Bearer " } }
priority = 5
expires = "6h"

[jobs.facts]
schedule = "@manual"
publish = { exchange = "billing", routing_key = "facts", format = "cloudevents" }

[jobs.letter]
schedule = "@manual"
publish = { routing_key = "letters", payload = "attempt {{ attempt }} of {{ job }}", content_type = "text/markdown", persistent = false }

[jobs.bare]
schedule = "@manual"
publish = { routing_key = "letters" }
"#;

#[test]
fn a_message_comes_with_all_that_its_job_says_and_its_run_is_over_once_it_is_confirmed() {
    let mut place = Place::new(JOBS);
    place.other.queue("invoices", "billing", "#");
    place.other.queue("letters", "", "");
    place.cluster.give(0, "BILLING_TOKEN", "open-sesame");
    place.cluster.serve(0);
    place.cluster.trigger("close");
    let came = place.other.take("invoices");
    let (event, headers) = (body(&came), headers(&came));
    let run = headers["cronclave-run-id"].clone();
    let date = headers["cronclave-scheduled-at"][..10].to_owned();
    assert_eq!((came.exchange.as_str(), came.routing_key.as_str()), ("billing", &*format!("invoices.close.{date}")));
    let text = |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string).unwrap();
    let properties = &came.properties;
    assert_eq!(text(properties.message_id()), format!("{run}.1"));
    assert_eq!(text(properties.correlation_id()), run);
    assert_eq!(text(properties.content_type()), "application/cloudevents+json; charset=utf-8");
    assert_eq!(text(properties.kind()), "dev.cronclave.task.requested.v1");
    assert_eq!(text(properties.expiration()), "21600000");
    assert_eq!((*properties.delivery_mode(), *properties.priority()), (Some(2), Some(5)));
    assert!(properties.timestamp().is_some() && text(properties.app_id()).starts_with("cronclave/"));
    assert_eq!((&*headers["tenant"], &*headers["authorization"]), ("eu-close", "Bearer open-sesame"));
    for (name, value) in [("cluster", "default"), ("job", "close"), ("attempt", "1")] {
        assert_eq!(headers[&format!("cronclave-{name}")], value);
    }
    assert!(headers["cronclave-fencing-token"].parse::<u64>().unwrap() > 0);
    let (trace, fence) = (run.replace('-', ""), headers["cronclave-fencing-token"].parse::<u64>().unwrap());
    assert_eq!(headers["traceparent"], format!("00-{trace}-{:016x}-01", fence | 1 << 63));
    assert_eq!(headers["cloudEvents_id"], format!("{run}.1"));
    assert_eq!((&event["specversion"], &event["subject"]), (&"1.0".into(), &format!("jobs/close/runs/{run}").into()));
    assert_eq!(event["data"], serde_json::json!({"day": date, "run": run, "from": ["default", 7, true]}));
    assert_eq!(place.ended("close").0, State::Succeeded);

    place.cluster.trigger("facts");
    let facts = body(&place.other.take("invoices"))["data"].clone();
    assert_eq!((&facts["job"], &facts["attempt"], &facts["trigger"]), (&"facts".into(), &1.into(), &"manual".into()));

    place.cluster.trigger("letter");
    let letter = place.other.take("letters");
    assert_eq!((letter.exchange.as_str(), &*letter.data), ("", &b"attempt 1 of letter"[..]));
    assert_eq!(*letter.properties.delivery_mode(), Some(1));
    assert_eq!(text(letter.properties.content_type()), "text/markdown");
    let is_ours = |name: &String| name.starts_with("cronclave-") || name == "traceparent";
    assert!(super::others::headers(&letter).keys().all(is_ours));
    place.cluster.trigger("bare");
    assert_eq!(place.other.take("letters").data, b"");

    // What is secret is told to nobody else.
    let told = ["history", "events", "jobs", "status"].map(|command| place.ask(&[command, "--json"]).1).concat();
    place.cluster.stop();
    assert!(!(told + &place.cluster.logs()).contains("open-sesame"));
}

const LATE: &str = r#"[secrets]
unset = { env = "NOBODY_SETS_THIS" }

[jobs.nowhere]
schedule = "@manual"
publish = { exchange = "billing", routing_key = "nobody.listens" }

[jobs.early]
schedule = "@manual"
retry = { attempts = 100, backoff = "fixed", initial = "1s" }
publish = { exchange = "late", routing_key = "x" }

[jobs.secretive]
schedule = "@manual"
publish = { exchange = "billing", routing_key = "x", headers = { key = { secret = "unset" } } }
"#;

#[test]
fn a_message_that_nobody_takes_fails_its_run_and_says_what_to_mend() {
    let mut place = Place::new(LATE);
    place.other.exchange("billing");
    place.cluster.serve(0);
    place.cluster.trigger("nowhere");
    let (state, why) = place.ended("nowhere");
    assert!(
        state == State::Failed && why.contains("no queue is bound for `nobody.listens` on exchange billing"),
        "{why}"
    );
    place.cluster.trigger("secretive");
    let (state, why) = place.ended("secretive");
    assert!(state == State::Failed && why.contains("the secret `unset`"), "{why}");
    place.cluster.trigger("early");
    super::cluster::until("it has failed", || !place.failures("early").is_empty());
    assert!(
        place.failures("early")[0].contains("there is no exchange `late`: make it"),
        "{:?}",
        place.failures("early")
    );
    place.other.queue("for-late", "late", "#");
    let came = place.other.take("for-late");
    assert!(headers(&came)["cronclave-attempt"].parse::<u32>().unwrap() >= 2);
    assert_eq!(place.ended("early").0, State::Succeeded);
    place.cluster.stop();
}

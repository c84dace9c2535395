//! What happens, as lines and as CloudEvents, from the store alone.

use serde_json::Value;

use super::bench::Place;
use super::servers::Redis;

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(text: &str) -> Vec<String> {
    documents(text).iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn events_are_the_last_lines_of_what_happened() {
    let place = Place::with_history();
    place.ask(&["run", "fails"]).expect(3, &[]);
    place.ask(&["pause", "hello", "--reason", "migration"]).expect(0, &[]);
    let said = place.ask(&["events"]).expect(0, &["hello", "started", "fails", "failed", "paused", "migration"]);
    assert!(said.out.lines().all(|line| line.starts_with("20")), "{said:#?}");
    assert_eq!(place.ask(&["events", "-n", "1"]).expect(0, &["migration"]).out.lines().count(), 1);
    assert_eq!(place.ask(&["events", "-n", "0"]).expect(0, &[]).out, "");
    let of_fails = place.ask(&["events", "--job", "fails"]).expect(0, &["fails"]).out;
    assert!(!of_fails.contains("hello"), "{of_fails}");
    assert_eq!(place.ask(&["events", "--since", "1h"]).expect(0, &[]).out, place.ask(&["events", "-n", "99"]).out);
    assert_eq!(place.ask(&["events", "--since", "2099-01-01"]).expect(0, &[]).out, "");
}

#[test]
fn events_in_json_are_cloud_events_a_line_each() {
    let place = Place::with_history();
    place.ask(&["run", "fails"]).expect(3, &[]);
    let said = place.ask(&["events", "--json", "--job", "fails"]).expect(0, &[]).out;
    let events = documents(&said);
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["specversion"]), (&"dev.cronclave.run.failed.v1".into(), &"1.0".into()));
    let data = &last["data"];
    assert_eq!((&data["exit_code"], &data["trigger"], &data["final"]), (&3.into(), &"cli".into(), &true.into()));
    assert!(data["duration_seconds"].is_number() && data["scheduled_at"].is_string(), "{data}");
    // Asked for alone, the end still knows its beginning, and is the same event.
    let alone = place.ask(&["events", "--json", "--type", "run.failed"]).expect(0, &[]).out;
    assert_eq!(documents(&alone), std::slice::from_ref(last));
    let runs = place.ask(&["events", "--json", "--type", "run.*,job.paused"]).expect(0, &[]).out;
    assert!(kinds(&runs).iter().all(|kind| kind.starts_with("dev.cronclave.run.")), "{runs}");
}

#[test]
fn events_go_on_while_they_are_followed() {
    let place = Place::with_history();
    let following = place.start(place.command(&["events", "-f", "-n", "0", "--json"]));
    // It has begun once it shows what happens.
    for n in 0.. {
        place.ask(&["pause", "hello", "--reason", &format!("because {n}")]).expect(0, &[]);
        if following.so_far().contains("because") {
            break;
        }
    }
    place.ask(&["resume", "hello"]).expect(0, &[]);
    following.until("job.resumed");
    following.signal("INT");
    let said = following.end();
    assert!(said.out.lines().count() >= 2, "{said:#?}");
}

#[test]
fn events_of_a_redis_are_shown_alike() {
    let (place, redis) = (Place::new(), Redis::plain());
    let ask = |args: &[&str]| {
        let mut command = place.command(args);
        command.env("REDIS_URL", redis.url());
        place.finish(command).expect(0, &[]).out
    };
    assert_eq!(ask(&["events"]), "");
    ask(&["run", "hello"]);
    for reason in ["a", "b", "c"] {
        ask(&["pause", "fails", "--reason", reason]);
    }
    assert_eq!(ask(&["events", "-n", "2"]).lines().count(), 2);
    let all = ask(&["events", "--json"]);
    assert_eq!(kinds(&all).last().unwrap(), "dev.cronclave.job.paused.v1");
    assert!(kinds(&all).contains(&"dev.cronclave.run.succeeded.v1".to_owned()), "{all}");
}

#[test]
fn what_events_cannot_show_is_said_with_the_usual_codes() {
    let place = Place::with_history();
    place.ask(&["events", "--job", "helo"]).expect(66, &["hello"]);
    place.ask(&["events", "--type", "run.faild"]).expect(2, &["run.failed"]);
    place.ask(&["events", "--since", "yesterdy"]).expect(2, &["--since"]);
    std::fs::remove_file(place.path("cronclave.db")).unwrap();
    assert_ne!(place.ask(&["events"]).code, 0);
}

//! Commands beside a replica that runs.

use std::time::{Duration, Instant};

use super::bench::{Place, Said};

#[test]
fn a_triggered_run_is_started_by_the_replica_and_waited_for() {
    let place = Place::new();
    let replica = place.serve(&[]);
    let said = place.ask(&["trigger", "fails", "--wait", "--reason", "a try"]).expect(3, &["failed  exit code 3"]);
    assert!(said.out.contains("before\n") && said.out.contains("wrong\n"), "{said:?}");
    let json = place.ask(&["history", "fails", "--json"]).json();
    let run = &json["items"][0];
    assert_eq!(run["trigger"], serde_json::json!({"kind": "manual", "by": "ana", "reason": "a try"}));
    assert_eq!(run["replica"], "web.1");
    let ids = [(); 2].map(|()| place.ask(&["trigger", "hello", "--idempotency-key", "k"]).expect(0, &[]).out);
    assert_eq!(ids[0], ids[1]);
    place.ask(&["logs", "-f", ids[0].trim()]).expect(0, &["hello"]);
    place.ask(&["trigger", "hello", "--wait", "--idempotency-key", "k"]).expect(0, &["asked before", "hello"]);
    assert_eq!(place.ask(&["history", "hello", "--json"]).json()["items"].as_array().unwrap().len(), 1);
    replica.signal("TERM");
    replica.end().expect(0, &["web.1"]);
}

#[test]
fn a_request_waits_for_the_first_replica_and_can_be_cancelled() {
    let place = Place::with_history();
    place.ask(&["trigger", "slow"]).expect(0, &["no replica is running", "undo: cronclave cancel"]);
    place.ask(&["trigger", "slow"]).expect(75, &["slow has a run waiting for its turn"]);
    place.ask(&["jobs", "slow"]).expect(0, &["slow"]);
    place.ask(&["status"]).expect(0, &["1 run waiting"]);
    place.ask(&["cancel", "--all"]).expect(2, &["--yes"]);
    place.ask(&["cancel", "slow"]).expect(0, &["cancelled run", "had not started"]);
    place.ask(&["cancel", "--all"]).expect(0, &["no run is open"]);
    place.ask(&["history"]).expect(0, &["cancelled by ana"]);
}

#[test]
fn what_runs_is_seen_followed_and_cancelled() {
    let place = Place::new();
    let _replica = place.serve(&[]);
    place.ask(&["trigger", "slow"]).expect(0, &[]);
    let follower = place.start(place.command(&["logs", "-f", "slow"]));
    until(|| place.ask(&["locks"]), "run:slow");
    place.ask(&["jobs"]).expect(0, &["▶  slow", "1 running"]);
    let said = place.ask(&["status"]).expect(0, &["1 replica", "web.1", "run:slow", "nothing is wrong"]);
    assert!(said.out.contains("✓  web.1"), "{}", said.out);
    let json = place.ask(&["status", "--check", "--json"]).expect(0, &[]).json();
    assert_eq!((&json["replicas"][0]["name"], &json["replicas"][0]["live"]), (&"web.1".into(), &true.into()));
    assert_eq!((&json["locks"][0]["key"], &json["locks"][0]["holder"]), (&"run:slow".into(), &"web.1".into()));
    assert_eq!((&json["config"]["drift"], &json["runs"][0]["phase"]), (&false.into(), &"running".into()));
    place.ask(&["run", "slow"]).expect(75, &["slow is running on web.1"]);
    place.ask(&["cancel", "slow", "--by", "bob"]).expect(0, &["asked web.1 to stop"]);
    let json = until(|| place.ask(&["history", "slow", "--json"]), "\"state\":\"cancelled\"").json();
    let id = json["items"][0]["id"].as_str().unwrap();
    place.ask(&["cancel", id]).expect(1, &["is over", "cancelled"]);
    drop(follower);
}

#[test]
fn a_lock_is_released_by_force_only_under_its_own_token() {
    let place = Place::new();
    let replica = place.serve(&[]);
    place.ask(&["trigger", "slow"]).expect(0, &[]);
    let locks = until(|| place.ask(&["locks", "--json"]), "run:slow").json();
    let token = locks["items"][0]["fencing_token"].to_string();
    place.ask(&["locks", "show", "run:slow"]).expect(0, &["held by web.1", &token, "since"]);
    place.ask(&["locks", "show", "run:slo"]).expect(66, &["did you mean `run:slow`?"]);
    let release = |token: &str, yes: &[&str]| {
        place.ask(&[&["locks", "release", "run:slow", "--reason", "a test", "--token", token], yes].concat())
    };
    release("1", &["--yes"]).expect(1, &["run:slow is not held under token 1", "cronclave locks"]);
    release(&token, &[]).expect(2, &["--yes"]);
    release(&token, &["--yes"]).expect(0, &["released run:slow", "lost", "cannot be undone"]);
    place.ask(&["history", "slow"]).expect(0, &["lost", "released by force by ana: a test"]);
    release(&token, &["-y"]).expect(66, &["nobody holds"]);
    // The holder notices at its next renewal, and what it reports does not count.
    replica.until("fenced");
    place.ask(&["history", "slow"]).expect(0, &["released by force"]);
}

#[test]
fn a_mutex_is_shown_and_released_with_its_run() {
    let place = Place::new();
    let job = |name: &str| {
        format!("[jobs.{name}]\nschedule = \"@manual\"\ncommand = \"echo on; sleep 20\"\nmutex = \"ledger\"\n")
    };
    place.write("schedules/jobs.toml", format!("version = 1\n{}{}", job("one"), job("two")));
    let running = place.start(place.command(&["run", "one"]));
    running.until("on");
    place.ask(&["run", "two"]).expect(75, &["two may not run beside one", "mutex"]);
    let locks = place.ask(&["locks", "--json"]).json();
    let keys: Vec<&str> = locks["items"].as_array().unwrap().iter().map(|lock| lock["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["run:one", "mutex:ledger"]);
    let token = locks["items"][1]["fencing_token"].to_string();
    let args = ["locks", "release", "mutex:ledger", "--reason", "a test", "--token", &token, "--yes"];
    place.ask(&args).expect(0, &["released mutex:ledger"]);
    place.ask(&["locks"]).expect(0, &["nobody holds a lock"]);
}

#[test]
fn a_lease_that_is_over_is_told() {
    let place = Place::new();
    let mut running = place.start(place.command(&["run", "slow"]));
    running.until("tick");
    running.child.kill().unwrap();
    let said = until(|| place.ask(&["status", "--json"]), "run_stuck").json();
    assert!(said["problems"].to_string().contains("of slow"), "{said}");
    place.ask(&["jobs", "slow"]).expect(0, &["slow"]);
}

#[test]
fn a_replica_that_falls_silent_or_runs_other_files_is_told() {
    let place = Place::new();
    let _first = place.serve(&[]);
    place.write("other/jobs.toml", "version = 1\n[jobs.x]\nschedule = \"@manual\"\ncommand = \"true\"\n");
    let mut second = place.command(&["serve", "--no-http", "--replica", "web.2", "-c", "other"]);
    second.env("CRONCLAVE_LOG_FORMAT", "json");
    let mut second = place.start(second);
    until(|| place.ask(&["status"]), "web.2");
    place.ask(&["status", "--check"]).expect(1, &["another configuration"]);
    second.child.kill().unwrap();
    let said = until(|| place.ask(&["status", "--json"]), "replica_silent").json();
    assert_eq!(said["replicas"][1]["live"], false);
    place.ask(&["status"]).expect(0, &["✗  web.2", "silent", "has not been heard of"]);
    // Started again under its name it is not missed any more, and neither is what it was before.
    let _again = place.start(place.command(&["serve", "--no-http", "--replica", "web.2"]));
    let said = until(|| place.ask(&["status"]), "nothing is wrong");
    assert!(said.out.matches("web.2").count() == 1 && !said.out.contains("silent"), "{}", said.out);
}

/// Asks again until `word` is said.
#[track_caller]
fn until(ask: impl Fn() -> Said, word: &str) -> Said {
    let began = Instant::now();
    loop {
        let said = ask();
        if said.out.contains(word) {
            return said;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no {word:?} in {said:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! What may come to a worker besides good requests.

use cronclave::ledger::State;
use serde_json::{Value, json};

use super::cluster::{SIGN, until};
use super::others::{Place, QUEUE, body};
use super::rabbit::Rabbit;

fn jobs() -> String {
    format!(
        "[jobs.good]\nschedule = \"@manual\"\nrun_on = \"worker\"\nstart_within = \"6s\"\nmisfire = \"run_all\"\ncommand = '{SIGN}'\n"
    )
}

/// A request like this one, but for what stands at `pointer`.
fn with(good: &Value, pointer: &str, value: Value) -> Value {
    let mut bad = good.clone();
    *bad.pointer_mut(pointer).unwrap() = value;
    bad
}

#[test]
fn bad_requests_become_dead_letters_with_a_reason_and_the_worker_runs_the_good_ones() {
    let mut place = Place::new(&jobs());
    place.other.queue("copies", "cronclave.tasks", "task.#");
    place.cluster.serve(0);
    place.cluster.work(0);
    place.cluster.trigger("good");
    let good = body(&place.other.take("copies"));
    assert_eq!(place.ended("good").0, State::Succeeded);
    let send = |body: &[u8]| place.other.send("cronclave.tasks", "task.default.default.good", body);
    let fence = good["data"]["fencing_token"].as_u64().unwrap();
    send(b"run good, please");
    send(b"\xff\x00");
    send(with(&good, "/data/job", json!("unheard-of")).to_string().as_bytes());
    send(with(&good, "/type", json!("dev.cronclave.task.requested.v2")).to_string().as_bytes());
    send(with(&good, "/source", json!("urn:cronclave:cluster:other")).to_string().as_bytes());
    send(with(&good, "/data/run_id", json!(7)).to_string().as_bytes());
    send(&vec![b' '; 10_000_000]);
    send(with(&good, "/data/fencing_token", json!(fence - 1)).to_string().as_bytes());
    send(good.to_string().as_bytes());
    until("each is dealt with", || place.dead().len() == 6);
    for reason in [
        "it is not JSON",
        "this version reads dev.cronclave.task.requested.v1",
        "this is `urn:cronclave:cluster:default`",
        "it is not a request",
        "it has 10000000 bytes",
    ] {
        let letter = place.dead_because(reason);
        assert_eq!(letter["queue"], "default", "{letter}");
    }
    // Another worker may have files that know it: it comes back until the broker has enough of it.
    place.says("worker-0", &["no job `unheard-of` to run", "left to other workers"]);
    // The run that these two are about is over: that is recorded, and nobody has to look after it.
    let dropped = || {
        let log = std::fs::read_to_string(place.cluster.path("worker-0.log")).unwrap();
        log.lines().filter(|line| line.contains("dropped") && line.contains("of good")).count()
    };
    until("they are dropped", || dropped() == 2);
    place.cluster.trigger("good");
    until("it is run", || place.states("good") == [State::Succeeded; 2]);
    assert_eq!(place.cluster.ledger().len(), 2);
    place.cluster.stop();
    place.cluster.check();
}

#[test]
fn a_request_that_comes_back_too_often_is_a_dead_letter_and_its_run_is_asked_for_again() {
    let mut place = Place::new(&jobs());
    place.cluster.serve(0);
    place.cluster.trigger("good");
    until("the request is sent", || Rabbit::shared().queue(&place.vhost, QUEUE).is_some_and(|(ready, _)| ready == 1));
    let is_dead = |letter: &Value| letter["reason"] == "it came back too often";
    // On a slow machine the run may have been asked for again meanwhile.
    let times = place.other.refuse(QUEUE, || place.dead().iter().any(is_dead));
    assert!(times >= 20, "it came {times} times");
    place.cluster.work(0);
    assert_eq!(place.ended("good").0, State::Succeeded);
    assert_eq!(place.cluster.ledger().len(), 1);
    place.cluster.stop();
    place.cluster.check();
}

//! MQTT on both ends: it hears of failures, and starts jobs.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cronclave::ledger::State;
use serde_json::{Value, json};

use super::cluster::until;
use super::others::Place;
use super::rabbit::Rabbit;

const JOBS: &str = r#"[jobs.report]
schedule = "@manual"
message_trigger = true
overlap = "queue_all"
command = 'echo "$CRONCLAVE_ARG_DAY $CRONCLAVE_ARG_FULL" >> args'

[jobs.fails]
schedule = "@manual"
command = "exit 7"

[jobs.closed]
schedule = "@manual"
command = "echo closed >> args"
"#;

/// One of mosquitto's programs, logged in to the place's vhost; killed when dropped.
struct Mosquitto(Child);

impl Mosquitto {
    fn start(place: &Place, name: &str, args: &[&str]) -> Mosquitto {
        let mut command = Command::new(name);
        let (port, user) = (Rabbit::shared().mqtt.to_string(), format!("{}:guest", place.vhost));
        command.args(["-h", "127.0.0.1", "-p", &port, "-u", &user, "-P", "guest", "-q", "1"]).args(args);
        let log = File::create(place.cluster.path(name)).unwrap();
        let started = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        Mosquitto(started.unwrap_or_else(|_| panic!("{name} is missing: sudo apt-get install mosquitto-clients")))
    }

    fn publish(place: &Place, topic: &str, body: &Value) {
        let mut sent = Mosquitto::start(place, "mosquitto_pub", &["-t", topic, "-m", &body.to_string()]);
        assert!(sent.0.wait().unwrap().success(), "{topic}");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn place() -> Place {
    let mut place = Place::new(JOBS);
    place.cluster.give(0, "CRONCLAVE_MQTT_BRIDGE", "1");
    place
}

#[test]
fn whoever_subscribes_to_failures_over_mqtt_gets_the_event_of_each() {
    let mut place = place();
    let topics = ["-v", "-t", "cronclave/+/run/failed/+", "-t", "cronclave/+/replica/joined/+"];
    let _subscribed = Mosquitto::start(&place, "mosquitto_sub", &topics);
    until("it is subscribed", || {
        let bindings = format!("/api/exchanges/{}/amq.topic/bindings/source", place.vhost);
        Rabbit::shared().ask("GET", &bindings, None).1.as_array().is_some_and(|bound| bound.len() == 2)
    });
    place.cluster.serve(0);
    let heard = |place: &Place, word: &str| {
        let text = fs::read_to_string(place.cluster.path("mosquitto_sub")).unwrap();
        text.lines().find_map(|line| Some(line.split_once(word)?.1.to_owned()))
    };
    until("the replica says that it is there", || heard(&place, "replica/joined/replica-0 ").is_some());
    place.cluster.trigger("fails");
    until("the failure is heard of", || heard(&place, "cronclave/default/run/failed/fails ").is_some());
    let event: Value = serde_json::from_str(&heard(&place, "cronclave/default/run/failed/fails ").unwrap()).unwrap();
    assert_eq!(event["type"], "dev.cronclave.run.failed.v1");
    assert_eq!(event["source"], "urn:cronclave:cluster:default");
    assert_eq!((&event["data"]["job"], &event["data"]["exit_code"]), (&"fails".into(), &7.into()));
    place.cluster.stop();
}

#[test]
fn a_trigger_over_mqtt_starts_a_job_once_and_only_one_that_allows_it() {
    let mut place = place();
    place.cluster.serve(0);
    until("triggers are taken", || {
        Rabbit::shared().queue(&place.vhost, "cronclave.default.triggers").is_some_and(|(_, takers)| takers == 1)
    });
    let wish = json!({"id": "order-1", "args": {"day": "2026-11-21", "full": true}});
    for body in [&wish, &wish, &json!({"id": "order-2", "args": {"day": "2026-11-22"}})] {
        Mosquitto::publish(&place, "trigger/default/report", body);
    }
    Mosquitto::publish(&place, "trigger/default/report", &json!({"args": {"day": "never"}}));
    Mosquitto::publish(&place, "trigger/default/closed", &json!({"id": "order-3"}));
    Mosquitto::publish(&place, "trigger/default/later", &json!({"id": "order-4"}));
    place.dead_because("it has no identity");
    place.dead_because("`message_trigger = true` allows it");
    let later = place.dead_because("there is no job `later` here");
    assert_eq!((place.dead().len(), &later["queue"]), (3, &".triggers".into()));
    until("both runs are over", || place.states("report") == [State::Succeeded; 2]);
    let args = fs::read_to_string(place.cluster.path("args")).unwrap();
    assert_eq!(args, "2026-11-21 true\n2026-11-22 \n");
    resend(&mut place, later["id"].as_str().unwrap());
}

/// A dead letter is as good as new once what was wrong is mended.
fn resend(place: &mut Place, later: &str) {
    let jobs = place.cluster.path("schedules/jobs.toml");
    let text = fs::read_to_string(&jobs).unwrap();
    fs::write(&jobs, text.replace("jobs.report", "jobs.later")).unwrap();
    place.says("replica-0", &["reloaded"]);
    let (code, said) = place.ask(&["dead"]);
    assert!(code == 0 && said.contains("there is no job `later` here") && said.contains(later), "{said}");
    assert_eq!(place.ask(&["dead", "resend", later]), (0, "sent 1 dead letter again\n".into()));
    until("it is run", || place.states("later") == [State::Succeeded; 1]);
    let (code, said) = place.ask(&["dead", "resend", later]);
    assert!(code == 66 && said.contains("there is no dead letter"), "{code} {said}");
    let (code, said) = place.ask(&["dead", "drop", "--all"]);
    assert!(code == 2 && said.contains("--yes"), "{code} {said}");
    assert_eq!(place.ask(&["dead", "drop", "--all", "--yes"]).0, 0);
    assert_eq!(place.ask(&["dead"]), (0, "no dead letters\n".into()));
    place.cluster.stop();
}

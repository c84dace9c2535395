//! Runs that are over when somebody else says so.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cronclave::ledger::State;
use serde_json::json;

use super::cluster::until;
use super::others::{Place, headers};

const JOBS: &str = r#"[jobs.close]
schedule = "@manual"
publish = { exchange = "billing", routing_key = "invoices.close.daily", format = "cloudevents", complete_on = "result" }
"#;

/// The shipped worker in another language; killed when dropped.
struct Worker(Child);

impl Worker {
    /// With one piece of its text replaced.
    fn start(place: &Place, from: &str, to: &str) -> Worker {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/foreign_worker.py");
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "the example has changed");
        fs::write(place.cluster.path("worker.py"), text.replace(from, to)).unwrap();
        let mut command = place.cluster.program(Path::new(python()));
        command.arg("worker.py").stdout(Stdio::null()).stderr(Stdio::inherit());
        let worker = Worker(command.spawn().unwrap());
        until("it takes messages", || {
            let queue = super::rabbit::Rabbit::shared().queue(&place.vhost, "invoices");
            queue.is_some_and(|(_, consumers)| consumers == 1)
        });
        worker
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Python that has pika: where several are installed, Debian's packages are for its own.
fn python() -> &'static str {
    let has_pika = |python: &&str| {
        let mut asked = Command::new(python);
        asked.args(["-c", "import pika"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_pika);
    found.expect("pika is missing: sudo apt-get install python3-pika")
}

#[test]
fn a_worker_in_another_language_does_the_work_and_reports_how_it_went() {
    let mut place = Place::new(JOBS);
    place.other.exchange("billing");
    place.cluster.serve(0);
    let worker = Worker::start(&place, "json", "json");
    place.cluster.trigger("close");
    assert_eq!(place.ended("close").0, State::Succeeded);
    drop(worker);
    let _worker = Worker::start(&place, "print(", "raise ValueError('no paper') or print(");
    place.cluster.trigger("close");
    until("both are over", || place.cluster.history("close").len() == 2);
    let (state, why) = place.ended("close");
    assert_eq!((state, &*why), (State::Failed, "no paper"));
    place.cluster.stop();
}

#[test]
fn a_result_counts_once_and_only_under_the_fence_that_was_asked_for_whoever_is_killed_meanwhile() {
    let mut place = Place::new(JOBS);
    place.other.queue("invoices", "billing", "#");
    place.cluster.serve(0);
    place.cluster.trigger("close");
    let asked = headers(&place.other.take("invoices"));
    let (run, fence) = (&asked["cronclave-run-id"], asked["cronclave-fencing-token"].parse::<u64>().unwrap());
    until("the result is waited for", || {
        let run = place.cluster.open_runs("close").remove(0);
        run.until.since(run.opened) > Duration::from_secs(60)
    });
    place.cluster.kill(0);
    place.cluster.serve(1);
    let outdated = json!({"run_id": run, "fencing_token": fence - 1, "outcome": "succeeded"});
    place.other.report("close", &outdated);
    place.says("replica-1", &["dropped", "outdated"]);
    assert_eq!(place.cluster.open_runs("close").len(), 1, "it is still waited for");
    let report = json!({"run_id": run, "fencing_token": fence.to_string(), "outcome": "failed", "message": "no paper",
        "exit_code": 74, "worker": "billing-7"});
    place.other.report("close", &report);
    place.other.report("close", &report);
    let copy = format!("no run {run} is going under the fencing token {fence}");
    place.says("replica-1", &["result.default.close.failed", "dropped", &copy]);
    let (state, why) = place.ended("close");
    assert_eq!((state, &*why), (State::Failed, "no paper"));
    let history = place.cluster.history("close");
    let ended: Vec<_> = history[0].attempts.iter().map(|attempt| attempt.ended.clone().unwrap().exit_code).collect();
    assert_eq!((history.len(), ended), (1, vec![Some(74)]));
    assert!(place.other.is_empty("invoices"), "it was sent once");
    assert_eq!(place.dead().len(), 0);
    place.cluster.stop();
    place.cluster.check();
}

#[test]
fn a_result_that_does_not_come_in_time_is_recorded() {
    let jobs = JOBS.to_owned() + "timeout = \"3s\"\n";
    let mut place = Place::new(&jobs);
    place.other.queue("invoices", "billing", "#");
    place.cluster.serve(0);
    place.cluster.trigger("close");
    let asked = headers(&place.other.take("invoices"));
    let (state, why) = place.ended("close");
    assert_eq!(state, State::Lost, "{why}");
    // What comes later changes nothing.
    let late = json!({"run_id": asked["cronclave-run-id"], "fencing_token": asked["cronclave-fencing-token"], "outcome": "succeeded"});
    place.other.report("close", &late);
    place.says("replica-0", &["dropped", "outdated"]);
    assert_eq!(place.states("close"), [State::Lost]);
    place.cluster.stop();
}

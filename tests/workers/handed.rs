//! Work that is handed over, and nothing goes wrong.

use std::fs;
use std::time::Duration;

use cronclave::ledger::{Event, What};

use super::cluster::{Cluster, SIGN, WORKERS, duration, say, until};
use super::disturb::lasted;
use super::load;
use super::rabbit::Rabbit;

pub(crate) const QUEUE: &str = "cronclave.q.default.default";

/// Each occurrence is to run on a worker, however late. Lost requests are soon sent again.
pub(crate) const ON_WORKERS: &str = "run_on = \"worker\"\nstart_within = \"4s\"\noverlap = \"queue_all\"\nmisfire = \"run_all\"\nlock = { ttl = \"5s\" }";

/// Twenty jobs every second for workers, on a vhost of its own.
pub(crate) fn cluster(more_jobs: &str) -> (Cluster, String) {
    let mut cluster = Cluster::on_redis(&(load::jobs(0..load::JOBS, SIGN, ON_WORKERS) + more_jobs));
    let vhost = Rabbit::shared().vhost();
    cluster.amqp = Some(Rabbit::shared().url_of(&vhost));
    (cluster, vhost)
}

pub(crate) fn start(cluster: &mut Cluster, replicas: usize, workers: usize) {
    (0..replicas).for_each(|index| _ = cluster.serve(index));
    (0..workers).for_each(|index| _ = cluster.work(index));
}

/// A job that writes when it begins and when it ends, and takes longer than its period.
const SLOW: &str = r#"[jobs.slow]
every = "1s"
run_on = "worker"
overlap = "queue_one"
command = 'echo begin >> slow; sleep 2.5; echo end >> slow'
"#;

#[test]
fn three_replicas_and_four_workers_run_each_occurrence_once_and_share_the_work() {
    let (mut cluster, _) = cluster(SLOW);
    start(&mut cluster, 3, 4);
    let time = duration(Duration::from_secs(30));
    std::thread::sleep(time);
    cluster.stop();
    let tally = load::reckon(&cluster);
    say(&format!("3 replicas, 4 workers: {tally}"));
    tally.all_ran();
    lasted(&tally, time);
    let all: usize = tally.wins.iter().sum();
    assert!(
        tally.wins[..4].iter().all(|wins| wins * 4 >= all / 2),
        "a worker had less than half of its share: {tally}"
    );
    let slow = fs::read_to_string(cluster.path("slow")).unwrap();
    let lines: Vec<&str> = slow.lines().collect();
    assert!(lines.len() > 10, "{slow}");
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(*line, ["begin", "end"][index % 2], "the next request began before the last had ended:\n{slow}");
    }
}

#[test]
fn a_worker_that_is_told_to_stop_ends_what_it_runs_and_takes_no_more() {
    let mut cluster = Cluster::on_redis(&format!(
        "[jobs.long]\nschedule = \"@manual\"\nrun_on = \"worker\"\ncommand = '{SIGN}; sleep 3; echo over > over'\n"
    ));
    let vhost = Rabbit::shared().vhost();
    cluster.amqp = Some(Rabbit::shared().url_of(&vhost));
    start(&mut cluster, 1, 1);
    cluster.trigger("long");
    until("the worker runs it", || cluster.ledger().len() == 1);
    cluster.stop();
    assert!(cluster.path("over").exists(), "it was ended, not finished");
    assert_eq!(cluster.counts("long"), [("succeeded", 0)].into());
}

#[test]
fn a_run_that_outlasts_the_workers_grace_is_interrupted_and_runs_elsewhere_when_it_may() {
    let mut cluster = Cluster::on_redis(&format!(
        "[jobs.long]\nschedule = \"@manual\"\nrun_on = \"worker\"\ndelivery = \"at_least_once\"\nkill_after = \"1s\"\n\
         command = '{SIGN}; test $CRONCLAVE_REPLICA = worker-1 || sleep 600'\n"
    ));
    let vhost = Rabbit::shared().vhost();
    cluster.amqp = Some(Rabbit::shared().url_of(&vhost));
    cluster.give(WORKERS, "CRONCLAVE_GRACE", "1s");
    start(&mut cluster, 1, 1);
    cluster.trigger("long");
    until("the first worker runs it", || cluster.ledger().len() == 1);
    cluster.work(1);
    cluster.end(WORKERS);
    until("the other worker runs it", || cluster.ledger().len() == 2);
    until("it is over", || cluster.open_runs("long").is_empty());
    cluster.stop();
    let attempts: Vec<u32> = cluster.ledger().iter().map(|line| line.attempt).collect();
    assert_eq!(attempts, [1, 1], "being interrupted costs no attempt");
    cluster.check();
}

/// A run of so many seconds, where the broker waits so many for an acknowledgement: how it went.
fn outlast(limit: u64, length: u64) -> Cluster {
    let rabbit = Rabbit::with(&format!("consumer_timeout = {}\n", limit * 1000));
    let jobs = format!(
        "[jobs.long]\nschedule = \"@manual\"\nrun_on = \"worker\"\ncommand = '{SIGN}; sleep {length}; echo over > over'\n"
    );
    let mut cluster = Cluster::beside_others(&jobs).moved_to_redis(&[]);
    cluster.amqp = Some(rabbit.url());
    start(&mut cluster, 1, 2);
    cluster.trigger("long");
    until("a worker runs it", || cluster.ledger().len() == 1);
    std::thread::sleep(Duration::from_secs(length));
    until("it is over", || cluster.open_runs("long").is_empty());
    cluster.stop();
    assert_eq!((cluster.ledger().len(), cluster.counts("long")), (1, [("succeeded", 0)].into()));
    cluster.check();
    cluster
}

#[test]
fn a_run_that_is_longer_than_the_brokers_limit_for_acknowledgements_runs_once() {
    let cluster = outlast(60, 150);
    let refused = |event: &Event| matches!(event.what, What::Fenced { .. });
    assert!(!cluster.events().iter().any(|(_, event)| refused(event)), "it was acknowledged in time");
}

#[test]
fn a_request_that_comes_again_because_the_broker_lost_patience_is_dropped() {
    let cluster = outlast(5, 20);
    let refused = |event: &Event| matches!(&event.what, What::Fenced { tried, .. } if tried == "start");
    assert!(cluster.events().iter().any(|(_, event)| refused(event)), "it came again, and that is on record");
}

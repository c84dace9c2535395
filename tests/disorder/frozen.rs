//! A holder frozen past its lease, at each point of a run's life.
//!
//! The frozen replica is this test program itself, run again as a child: a real replica over a
//! store that waits, before or after one chosen request, until a real SIGSTOP has come and gone.

use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cronclave::broker::NoBroker;
use cronclave::ledger::{Event, State, What};
use cronclave::record::Op;
use cronclave::service::Backends;
use rustix::process::Signal;
use tokio::sync::RwLock;

use super::cluster::{Cluster, Found, SIGN, on_each_store, open_store, signal, until};
use super::through::{Call, Hook, Through};

/// Where the process freezes.
const POINTS: [&str; 6] = ["before-claim", "before-start", "after-start", "after-claim", "mid-run", "before-settle"];

struct Freezing {
    point: String,
    done: AtomicBool,
    writing: Arc<RwLock<()>>,
}

impl Freezing {
    async fn freeze_if(&self, point: bool) {
        if point && !self.done.swap(true, Ordering::SeqCst) {
            // Frozen in the midst of a commit, it would keep the file locked for everybody.
            let _nobody_writes = self.writing.write().await;
            std::fs::write("here", "").unwrap();
            // The parent stops this process now, and says so before it lets it go on.
            while !Path::new("thaw").exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[async_trait]
impl Hook for Freezing {
    async fn before(&self, call: &Call<'_>) {
        let at = self.point.as_str();
        self.freeze_if(match call {
            Call::Apply(Op::Claim(_)) => at == "before-claim",
            Call::Apply(Op::Start { .. }) => at == "before-start",
            Call::Apply(Op::Renew { .. }) => at == "mid-run",
            Call::Apply(Op::Settle { .. }) => at == "before-settle",
            _ => false,
        })
        .await;
    }

    async fn after(&self, call: &Call<'_>) {
        let at = self.point.as_str();
        self.freeze_if(match call {
            Call::Apply(Op::Start { .. }) => at == "after-start",
            Call::Apply(Op::Claim(bid)) => at == "after-claim" && bid.start.is_some(),
            _ => false,
        })
        .await;
    }

    fn starts_apart(&self) -> bool {
        ["before-start", "after-start"].contains(&self.point.as_str())
    }
}

/// Not a test: the replica that freezes, when another test runs this program for it.
#[test]
#[ignore = "run by the tests beside it, as a child process"]
#[allow(clippy::disallowed_methods, reason = "told by its parent")]
fn the_replica_that_freezes() {
    let Ok(point) = std::env::var("FREEZE_AT") else { return };
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let env = |name: &str| (name == "CRONCLAVE_REPLICA").then(|| "frozen".to_owned());
        let flags = cronclave::config::Flags { no_http: true, ..Default::default() };
        let process = cronclave::config::Process::load(&flags, &env, "host").unwrap();
        let (sources, config) = cronclave::service::read_config(&process.config).map_err(|_| "config").unwrap();
        let writing = Arc::<RwLock<()>>::default();
        let hook = Freezing { point, done: AtomicBool::new(false), writing: writing.clone() };
        let redis = std::env::var("REDIS_URL").ok();
        let store = Through::new(open_store(redis.as_deref(), Path::new(".")), hook, writing);
        let backends = Backends { store: Arc::new(store), broker: Arc::new(NoBroker) };
        let mut parts = cronclave::service::parts(&process, backends, Default::default());
        let command =
            cronclave::runner::CommandRunner::new(Default::default()).with_shim(env!("CARGO_BIN_EXE_cronclave"));
        parts.runner = Arc::new(cronclave::runner::Runners {
            command,
            http: cronclave::runner::HttpRunner::new(),
            handlers: Default::default(),
        });
        let service = cronclave::service::Service {
            process,
            parts,
            config,
            sources,
            inline: Vec::new(),
            watch: false,
            role: Default::default(),
        };
        cronclave::daemon::run(service, None).await.unwrap();
    });
}

/// Gone with the test, however that ends.
struct Frozen(Child);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

/// The frozen replica meets one occurrence; a healthy one comes after it froze; then it thaws.
fn freeze(found: Found, point: &str, delivery: &str, sleep: &str) -> (Cluster, Vec<Event>) {
    let mut cluster = found(&format!(
        "[jobs.careful]\nschedule = \"@manual\"\ndelivery = \"{delivery}\"\nlock = {{ ttl = \"2s\" }}\ncommand = '{SIGN}; test $CRONCLAVE_REPLICA || {sleep}'\n"
    ));
    cluster.trigger("careful");
    let mut child = thawable(&cluster, point);
    let pid = child.0.id().cast_signed();
    until(&format!("the replica is {point}"), || cluster.path("here").exists());
    signal(pid, Signal::STOP);
    until("the replica is frozen", || is_stopped(pid));
    cluster.serve(0);
    // With its claim or lease run out, the healthy one does what the policy says.
    until("the run is over without the frozen one", || cluster.open_runs("careful").is_empty());
    std::fs::write(cluster.path("thaw"), "").unwrap();
    signal(pid, Signal::CONT);
    if ["mid-run", "before-settle"].contains(&point) {
        until("the thawed one has been told", || {
            cluster.events().iter().any(|(_, event)| matches!(event.what, What::Fenced { .. }))
        });
    }
    // What it has in mind otherwise, it does at once.
    std::thread::sleep(Duration::from_secs(1));
    signal(pid, Signal::TERM);
    until("the thawed one stops", || child.0.try_wait().unwrap().is_some());
    cluster.stop();
    cluster.check();
    let events = cluster.events().into_iter().map(|(_, event)| event).collect();
    (cluster, events)
}

fn thawable(cluster: &Cluster, point: &str) -> Frozen {
    let child = cluster
        .program(&std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "frozen::the_replica_that_freezes"])
        .env("FREEZE_AT", point)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Frozen(child)
}

fn fenced(events: &[Event]) -> Vec<(String, bool)> {
    let of = |event: &Event| match &event.what {
        What::Fenced { tried, ended, .. } => Some((tried.clone(), ended.is_some())),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

on_each_store! {
    frozen_before_its_claim_a_replica_wins_nothing
    frozen_between_claim_and_start_a_replica_is_refused_and_the_run_is_not_lost
    frozen_between_start_and_code_a_replica_does_not_run_it_and_it_is_recorded_lost
    frozen_after_a_claim_that_started_it_a_replica_does_not_run_it_and_it_is_recorded_lost
    frozen_in_mid_run_a_replica_loses_the_run_and_its_late_finish_is_refused
    frozen_before_it_settles_a_replica_reports_too_late
}

fn frozen_before_its_claim_a_replica_wins_nothing(found: Found) {
    let (cluster, _) = freeze(found, POINTS[0], "at_most_once", "true");
    assert_eq!(cluster.ledger().len(), 1);
    let history = cluster.history("careful");
    assert_eq!((history[0].state, history[0].attempts.len()), (State::Succeeded, 1));
}

fn frozen_between_claim_and_start_a_replica_is_refused_and_the_run_is_not_lost(found: Found) {
    let (cluster, events) = freeze(found, POINTS[1], "at_most_once", "true");
    assert_eq!(cluster.ledger().len(), 1, "one start, by the healthy one");
    let history = cluster.history("careful");
    assert_eq!((history[0].state, history[0].attempts.len()), (State::Succeeded, 2));
    assert!(history[0].attempts[0].fence < history[0].attempts[1].fence);
    // A store may have noticed that it is too late to ask.
    assert!(fenced(&events).iter().all(|refused| *refused == ("start".to_owned(), false)), "{events:?}");
}

fn frozen_between_start_and_code_a_replica_does_not_run_it_and_it_is_recorded_lost(found: Found) {
    let (cluster, events) = freeze(found, POINTS[2], "at_most_once", "true");
    assert_eq!(cluster.ledger().len(), 0, "nobody can know whether it ran, so nobody runs it");
    assert_eq!(cluster.history("careful")[0].state, State::Lost);
    assert_eq!(fenced(&events), [], "it has nothing to report");
}

fn frozen_after_a_claim_that_started_it_a_replica_does_not_run_it_and_it_is_recorded_lost(found: Found) {
    let (cluster, events) = freeze(found, POINTS[3], "at_most_once", "true");
    assert_eq!(cluster.ledger().len(), 0, "nobody can know whether it ran, so nobody runs it");
    assert_eq!(cluster.history("careful")[0].state, State::Lost);
    assert_eq!(fenced(&events), [], "it has nothing to report");
}

fn frozen_in_mid_run_a_replica_loses_the_run_and_its_late_finish_is_refused(found: Found) {
    let marker = format!("sleep 86400.{:010}", rand::random::<u32>());
    let (cluster, events) = freeze(found, POINTS[4], "at_least_once", &marker);
    let ledger = cluster.ledger();
    assert_eq!(ledger.iter().map(|line| line.attempt).collect::<Vec<_>>(), [1, 2]);
    assert!(ledger[0].fence < ledger[1].fence);
    assert_eq!(cluster.history("careful")[0].state, State::Succeeded);
    assert_eq!(fenced(&events), [("settle".to_owned(), true)]);
    assert_eq!(super::cluster::alive(&marker[6..]), 0, "the frozen one's code was ended by its supervisor");
}

fn frozen_before_it_settles_a_replica_reports_too_late(found: Found) {
    let (cluster, events) = freeze(found, POINTS[5], "at_most_once", "true");
    assert_eq!(cluster.ledger().len(), 1);
    assert_eq!(cluster.history("careful")[0].state, State::Lost);
    assert_eq!(fenced(&events), [("settle".to_owned(), true)]);
}

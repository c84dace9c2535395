//! Alarms of a cluster of real processes on a real Redis: told in time, by whoever is left, and once.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/servers.rs"]
mod servers;

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cronclave::ledger::{Event, What};
use cronclave::store::Store;
use cronclave::store::redis::{Redis, Time};

/// `stuck` begins and never ends; nobody ever asks for `never`.
const JOBS: &str = r#"version = 1

[jobs.stuck]
every               = "1s"
command             = "sleep 300"
warn_after          = "2s"
must_succeed_within = "5s"

[jobs.never]
schedule            = "@manual"
command             = "true"
must_succeed_within = "5s"
"#;

/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An alarm is told so soon after its time.
const LATEST: Duration = Duration::from_secs(5);

/// A replica; gone with its handle.
struct Replica {
    name: String,
    child: Child,
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(dir: &std::path::Path, url: &str, name: &str) -> Replica {
    let child = Command::new(env!("CARGO_BIN_EXE_cronclave"))
        .args(["serve", "--no-http", "--redis", url, "--replica", name])
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Replica { name: name.into(), child }
}

/// All events, once some of them are as wanted.
async fn once<T>(store: &Redis, what: &str, found: impl Fn(&[Event]) -> Option<T>) -> T {
    let given_up = Instant::now() + PATIENCE;
    loop {
        let events: Vec<Event> = store.events(0, 10_000).await.unwrap().into_iter().map(|(_, event)| event).collect();
        if let Some(found) = found(&events) {
            return found;
        }
        assert!(Instant::now() < given_up, "waited in vain until {what}: {events:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn of<'a>(events: &'a [Event], job: &str, wanted: fn(&What) -> bool) -> Vec<&'a Event> {
    events.iter().filter(|event| event.job.as_str() == job && wanted(&event.what)).collect()
}

fn is_overdue(what: &What) -> bool {
    matches!(what, What::Overdue { .. })
}

fn is_slow(what: &What) -> bool {
    matches!(what, What::Slow { .. })
}

#[tokio::test]
async fn what_is_overdue_or_slow_is_told_once_and_in_time_though_the_winner_died() {
    let (server, dir) = (servers::Redis::plain(), tempfile::tempdir().unwrap());
    fs::create_dir(dir.path().join("schedules")).unwrap();
    fs::write(dir.path().join("schedules/jobs.toml"), JOBS).unwrap();
    let store = Redis::open(server.url().parse().unwrap(), "default", Time::Server);
    let mut replicas: Vec<Replica> = ["a", "b", "c"].map(|name| start(dir.path(), &server.url(), name)).into();
    let winner = once(&store, "a run has begun", |events| {
        events.iter().find_map(|event| match &event.what {
            What::Started { holder, .. } => Some(holder.clone()),
            _ => None,
        })
    })
    .await;
    replicas.retain(|replica| replica.name != winner);
    assert_eq!(replicas.len(), 2);
    let told = once(&store, "all is told", |events| {
        let told = [of(events, "stuck", is_overdue), of(events, "never", is_overdue), of(events, "stuck", is_slow)];
        told.iter().all(|told| !told.is_empty()).then(|| told.concat().into_iter().cloned().collect::<Vec<_>>())
    })
    .await;
    for event in told {
        let due = match event.what {
            What::Overdue { due, .. } => due,
            What::Slow { started_at, .. } => started_at.plus(Duration::from_secs(2)),
            other => panic!("{other:?}"),
        };
        assert!(event.at >= due && event.at.since(due) < LATEST, "{event:?}");
    }
    // The others notice nothing new.
    tokio::time::sleep(Duration::from_secs(3)).await;
    once(&store, "each was told once", |events| {
        assert_eq!(of(events, "stuck", is_overdue).len(), 1);
        assert_eq!(of(events, "never", is_overdue).len(), 1);
        let slow = of(events, "stuck", is_slow).len();
        let starts = of(events, "stuck", |what| matches!(what, What::Started { .. })).len();
        assert!((1..=starts).contains(&slow), "once an attempt");
        Some(())
    })
    .await;
}

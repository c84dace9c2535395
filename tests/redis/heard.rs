//! What a store has been told spares it questions, and never outlives its worth.

use std::time::Duration;

use cronclave::job::JobName;
use cronclave::record::{Op, Reply};
use cronclave::store::Store;
use cronclave::store::redis::{Redis, Time};

use super::servers;

fn store(url: &str) -> Redis {
    Redis::open(url.parse().unwrap(), "heard", Time::Server)
}

fn pause() -> Op {
    Op::Pause { until: None, reason: None, by: None }
}

/// Asks again until it holds; how soon is not the question here.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain until {what}");
}

/// A store that listens, as a replica does.
async fn listening(url: &str) -> (std::sync::Arc<Redis>, tokio::task::JoinHandle<()>) {
    let store = std::sync::Arc::new(store(url));
    let (mut position, _) = store.changed(0).await.unwrap();
    let listener = store.clone();
    let task = tokio::spawn(async move {
        loop {
            match listener.changed(position).await {
                Ok((next, _)) => position = next,
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    (store, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_knows_what_others_change_without_asking() {
    let server = servers::Redis::plain();
    let job = JobName::new("backup").unwrap();
    let (one, task) = listening(&server.url()).await;
    assert_eq!(one.heard(&job), None);
    store(&server.url()).apply(&job, &Op::Register { spec: 1 }).await.unwrap();
    until("it heard of the job", async || one.heard(&job).is_some()).await;
    store(&server.url()).apply(&job, &pause()).await.unwrap();
    until("it heard of the pause", async || one.heard(&job).is_some_and(|view| !view.record.pauses.is_empty())).await;
    let asked = one.view(&job, None).await.unwrap();
    assert_eq!(one.heard(&job).unwrap().record, asked.record);
    // Who asks one thing and ends remembers nothing.
    let other = store(&server.url());
    other.view(&job, None).await.unwrap();
    assert_eq!(other.heard(&job), None);
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_announced_is_found_out_all_the_same() {
    let server = servers::Redis::plain();
    let job = JobName::new("backup").unwrap();
    server.ask::<()>(&["ACL", "SETUSER", "mute", "on", ">secret", "~*", "&*", "+@all", "-publish"]);
    let mute = store(&format!("redis://mute:secret@127.0.0.1:{}", server.port));
    let (one, task) = listening(&server.url()).await;
    one.apply(&job, &Op::Register { spec: 1 }).await.unwrap();
    until("it heard of the job", async || one.heard(&job).is_some()).await;
    mute.apply(&job, &pause()).await.unwrap();
    until("it sees the pause", async || !one.view(&job, None).await.unwrap().record.pauses.is_empty()).await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_missed_something_finds_out_however_much_is_said_afterwards() {
    let server = servers::Redis::plain();
    let (job, other) = (JobName::new("backup").unwrap(), JobName::new("busy").unwrap());
    let (one, two) = (store(&server.url()), std::sync::Arc::new(store(&server.url())));
    two.apply(&job, &Op::Register { spec: 1 }).await.unwrap();
    let (position, _) = one.changed(0).await.unwrap();
    // Whoever is cut off does not hear of the pause, and of everything that comes later.
    server.ask::<()>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    until("it is cut off and back", async || two.apply(&job, &pause()).await.is_ok()).await;
    until("it listens again", async || one.view(&other, None).await.is_ok()).await;
    let busy = tokio::spawn(async move {
        loop {
            let resume = Op::Resume { catch_up: true, by: None };
            for op in [pause(), resume] {
                two.apply(&other, &op).await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    let changed = tokio::time::timeout(Duration::from_secs(60), one.changed(position)).await;
    let (_, jobs) = changed.expect("it is never told").unwrap();
    assert!(jobs.contains(&job), "{jobs:?}");
    busy.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgot_all_when_it_died_is_given_it_back() {
    let mut server = servers::Redis::plain();
    let job = JobName::new("backup").unwrap();
    let (one, task) = listening(&server.url()).await;
    one.apply(&job, &Op::Register { spec: 1 }).await.unwrap();
    until("it heard of the job", async || one.heard(&job).is_some()).await;
    server.kill();
    until("it forgot", async || one.heard(&job).is_none()).await;
    server.start_again(&[]);
    until("the new server knows it", async || {
        one.view(&job, None).await.is_ok_and(|view| view.record.cursor.is_some())
    })
    .await;
    assert_eq!(one.apply(&job, &pause()).await.unwrap().reply, Reply::Done);
    until("it hears again", async || one.heard(&job).is_some()).await;
    task.abort();
}

#[tokio::test]
async fn data_of_a_newer_version_is_left_alone() {
    let server = servers::Redis::plain();
    let job = JobName::new("backup").unwrap();
    server.ask::<()>(&["HSET", "{cronclave:heard}:meta", "layout", "2"]);
    let why = store(&server.url()).apply(&job, &Op::Register { spec: 1 }).await.unwrap_err();
    assert!(why.message.contains("written by a newer version") && why.message.contains("layout 2"), "{why}");
    assert_eq!(server.ask::<u64>(&["DBSIZE"]), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_server_is_given_back_what_it_knew() {
    let server = servers::Redis::plain();
    let job = JobName::new("backup").unwrap();
    let (one, task) = listening(&server.url()).await;
    one.apply(&job, &Op::Register { spec: 1 }).await.unwrap();
    one.apply(&job, &pause()).await.unwrap();
    let before = one.view(&job, None).await.unwrap().record;
    server.ask::<()>(&["FLUSHALL"]);
    let mut repairs = one.repairs().unwrap();
    let repaired = repairs.wait_for(|repair| repair.last.is_some()).await.unwrap().last.clone().unwrap();
    assert_eq!((repaired.calls, repaired.records, repaired.replicas), (2, 0, 1), "{repaired}");
    assert_eq!(one.view(&job, None).await.unwrap().record, before);
    task.abort();
}

//! What travels together: nobody is forgotten, and nobody suffers for another.

use std::sync::Arc;

use cronclave::job::JobName;
use cronclave::lease::RunId;
use cronclave::record::{Op, Reply};
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Store, Trouble};

use super::servers;

const RECORDS: &str = "{cronclave:lane}:records";

fn store(server: &servers::Redis) -> Arc<Redis> {
    Arc::new(Redis::open(server.url().parse().unwrap(), "lane", Time::Server))
}

fn job(name: impl std::fmt::Display) -> JobName {
    JobName::new(&name.to_string()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_ask_at_once_each_is_answered() {
    let server = servers::Redis::plain();
    let store = store(&server);
    let asking: Vec<_> = (0..16)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                for round in 0..300 {
                    let job = job(format!("job-{n}-{}", round % 7));
                    store.apply(&job, &Op::Register { spec: round }).await.unwrap();
                    assert!(store.view(&job, None).await.unwrap().record.since(round).is_some());
                    if round % 16 == n {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    for task in asking {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn an_unreadable_record_fails_its_own_job_only() {
    let server = servers::Redis::plain();
    let store = store(&server);
    let (good, bad) = (job("good"), job("bad"));
    server.ask::<()>(&["HSET", RECORDS, "bad", "garbage"]);
    for _ in 0..10 {
        let (one, other, third) = (Op::Register { spec: 1 }, Op::Register { spec: 2 }, Op::Register { spec: 3 });
        let (first, second, last) =
            tokio::join!(store.apply(&good, &one), store.apply(&bad, &other), store.apply(&good, &third));
        assert_eq!((first.unwrap().reply, last.unwrap().reply), (Reply::Done, Reply::Done));
        let why = second.unwrap_err();
        assert_eq!(why.kind, Trouble::Lasting, "{why}");
        assert!(why.message.contains("as `bad` of this cluster is nothing this version can read"), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_put_back_as_it_had_been_is_believed() {
    let server = servers::Redis::plain();
    let store = store(&server);
    let job = job("backup");
    let (mut position, _) = store.changed(0).await.unwrap();
    let listener = store.clone();
    let task = tokio::spawn(async move {
        while let Ok((next, _)) = listener.changed(position).await {
            position = next;
        }
    });
    store.apply(&job, &Op::Register { spec: 1 }).await.unwrap();
    let old: Vec<u8> = redis::Client::open(server.url())
        .unwrap()
        .get_connection()
        .and_then(|mut connection| redis::cmd("HGET").arg(RECORDS).arg("backup").query(&mut connection))
        .unwrap();
    store.apply(&job, &Op::Pause { until: None, reason: None, by: None }).await.unwrap();
    assert_eq!(store.view(&job, None).await.unwrap().record.pauses.len(), 1);
    redis::Client::open(server.url())
        .unwrap()
        .get_connection()
        .and_then(|mut connection| redis::cmd("HSET").arg(RECORDS).arg("backup").arg(old).exec(&mut connection))
        .unwrap();
    // The first answer that does not fit what was heard ends it.
    let nothing = Op::Cancel { run_id: RunId::of_request(&job, "x"), by: "x".into() };
    assert_eq!(store.apply(&job, &nothing).await.unwrap().reply, Reply::NotFound);
    assert_eq!(store.view(&job, None).await.unwrap().record.pauses, []);
    task.abort();
}

#[tokio::test]
async fn an_unreadable_record_keeps_nobody_from_looking_or_tidying() {
    let server = servers::Redis::plain();
    let store = store(&server);
    store.apply(&job("good"), &Op::Register { spec: 1 }).await.unwrap();
    server.ask::<()>(&["HSET", RECORDS, "bad", "garbage"]);
    server.ask::<()>(&["HSET", "{cronclave:lane}:mutexes", "bad", "garbage"]);
    let records = store.snapshot().await.unwrap().records;
    assert_eq!(records.names().collect::<Vec<_>>(), ["good"]);
    store.prune(&[], cronclave::job::Keep::default()).await.unwrap();
}

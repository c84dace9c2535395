//! A day of churn leaves nothing without an owner.

use std::collections::BTreeMap;
use std::time::Duration;

use cronclave::clock::Clock;
use cronclave::job::{Delivery, JobName, Keep, Overlap};
use cronclave::lease::{Ended, RunId, Token, Trigger};
use cronclave::record::{Bid, Key, Op, Reply, Target};
use cronclave::runner::Stream;
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Piece, Query, Store};

use super::servers;

/// One job through all of its occurrences of one claim: won, started, with output, settled.
async fn run_once(store: &Redis, job: &JobName, target: Target, mutex: Option<&str>) {
    let bid = Bid {
        target,
        token: Token::fresh(),
        holder: "web.1".into(),
        ttl: Duration::from_secs(10),
        overlap: Overlap::Skip,
        delivery: Delivery::AtMostOnce,
        mutex: mutex.map(str::to_owned),
        start: None,
    };
    let token = bid.token.clone();
    let answer = store.apply(job, &Op::Claim(bid)).await.unwrap();
    let Reply::Won(run) = answer.reply else { panic!("{:?}", answer.reply) };
    let key = Key { run_id: run.run_id, fence: run.fence, token };
    let ttl = Duration::from_secs(30);
    store.apply(job, &Op::Start { key: key.clone(), holder: "web.1".into(), ttl }).await.unwrap();
    let piece = Piece { seq: 0, at: run.opened, stream: Stream::Stdout, bytes: b"done\n".to_vec() };
    store.write_output((run.run_id, run.fence), vec![piece], 0..0).await.unwrap();
    let answer = store.apply(job, &Op::Settle { key, ended: Ended::succeeded(), next: None }).await.unwrap();
    assert_eq!(answer.reply, Reply::Done);
}

async fn run_by_hand(store: &Redis, job: &JobName, number: usize, mutex: Option<&str>) {
    let run_id = RunId::of_request(job, &number.to_string());
    let trigger = Trigger::Manual { by: None, reason: None };
    run_once(store, job, Target::Request { run_id, at: None, trigger, args: BTreeMap::new(), expect: None }, mutex)
        .await;
}

async fn prune_all(store: &Redis, keep: &[(JobName, Keep)]) {
    while store.prune(keep, Keep { runs: 100, days: 90 }).await.unwrap() > 0 {}
}

fn redis_cli(server: &servers::Redis, args: &[&str]) -> String {
    let port = server.port.to_string();
    let out = std::process::Command::new("redis-cli").args(["-p", &port]).args(args).output().unwrap();
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

fn memory(server: &servers::Redis) -> usize {
    let info = redis_cli(server, &["info", "memory"]);
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    line.trim().parse().unwrap()
}

fn size(server: &servers::Redis, command: &str, key: &str) -> usize {
    redis_cli(server, &[command, &format!("{{cronclave:churn}}:{key}")]).parse().unwrap()
}

#[tokio::test]
async fn a_day_of_churn_leaves_nothing_without_an_owner() {
    let server = servers::Redis::plain();
    let clock = Clock::starting_at("2026-11-22T06:00:00Z".parse().unwrap());
    let store = Redis::open(server.url().parse().unwrap(), "churn", Time::Given(clock.clone()));
    let named = |prefix: &str| (0..1000).map(|n| JobName::new(&format!("{prefix}-{n}")).unwrap()).collect::<Vec<_>>();
    let (first, renamed) = (named("job"), named("renamed"));
    let before = memory(&server);
    for job in &first {
        store.apply(job, &Op::Register { spec: 7 }).await.unwrap();
    }
    let registered = memory(&server);
    // Half of them are renamed, ten thousand runs are asked for, then the rest is removed.
    for job in &renamed[..500] {
        store.apply(job, &Op::Register { spec: 7 }).await.unwrap();
    }
    for number in 0..10_000 {
        let job = if number % 2 == 0 { &first[number % 1000] } else { &renamed[number % 500] };
        let mutex = format!("mutex-{}", number % 50);
        run_by_hand(&store, job, number, (number % 10 == 0).then_some(&mutex)).await;
        clock.step(8_000_000);
    }
    let full = memory(&server);
    let runs = size(&server, "HLEN", "entries");
    assert_eq!(runs, 10_000);
    eprintln!(
        "measured: {} bytes a job, {} bytes a run in the history with a line of output",
        (registered - before) / 1000,
        (full - registered) / runs
    );
    // Each job keeps two runs.
    let keep: Vec<(JobName, Keep)> =
        first[..500].iter().chain(&renamed[..500]).map(|job| (job.clone(), Keep { runs: 2, days: 30 })).collect();
    prune_all(&store, &keep).await;
    // Half of the listed jobs have run, and keep two each; so has half of the 500 others, ten times.
    let lines = store.history(&Query::default()).await.unwrap();
    let listed = lines.iter().filter(|line| keep.iter().any(|(job, _)| *job == line.job)).count();
    assert_eq!((listed, lines.len() - listed), (1000, 2500), "what nobody lists is kept as long as it is young");
    // A day after: mutexes that nobody used since are gone.
    clock.step(25 * 3_600_000_000);
    prune_all(&store, &keep).await;
    assert_eq!(size(&server, "HLEN", "mutexes"), 0);
    assert_eq!(size(&server, "HLEN", "records"), 1500);
    // Three months after: what is no longer listed is gone, and all that was kept for it.
    clock.step(91 * 86_400_000_000);
    prune_all(&store, &keep).await;
    prune_all(&store, &keep).await;
    assert_eq!(size(&server, "HLEN", "records"), 1000);
    for (command, key) in [
        ("HLEN", "entries"),
        ("ZCARD", "entries-by-time"),
        ("ZCARD", "entries-by-job"),
        ("ZCARD", "outputs"),
        ("HLEN", "mutexes"),
        ("HLEN", "unlisted"),
        ("HLEN", "replicas"),
    ] {
        assert_eq!(size(&server, command, key), 0, "{key}");
    }
    let keys = redis_cli(&server, &["keys", "*"]);
    let mut keys: Vec<&str> = keys.lines().collect();
    keys.sort_unstable();
    assert_eq!(keys, ["feed", "meta", "records"].map(|key| format!("{{cronclave:churn}}:{key}")));
    // With nobody listing any job, only what the cluster is known by remains.
    clock.step(91 * 86_400_000_000);
    prune_all(&store, &[]).await;
    clock.step(91 * 86_400_000_000);
    prune_all(&store, &[]).await;
    assert_eq!(size(&server, "HLEN", "records"), 0);
}

#[tokio::test]
async fn a_job_that_any_replica_lists_is_not_forgotten() {
    let server = servers::Redis::plain();
    let clock = Clock::starting_at("2026-11-22T06:00:00Z".parse().unwrap());
    let store = Redis::open(server.url().parse().unwrap(), "churn", Time::Given(clock.clone()));
    let job = JobName::new("yearly").unwrap();
    store.apply(&job, &Op::Register { spec: 7 }).await.unwrap();
    let cursor = store.view(&job, None).await.unwrap().record.cursor;
    let knows = [(job.clone(), Keep::default())];
    for _ in 0..400 {
        // One replica runs other files than the rest.
        prune_all(&store, &[]).await;
        clock.step(43_200_000_000);
        prune_all(&store, &knows).await;
        clock.step(43_200_000_000);
    }
    assert_eq!(store.view(&job, None).await.unwrap().record.cursor, cursor);
}

#[tokio::test]
async fn output_that_belongs_to_no_run_is_dropped() {
    let server = servers::Redis::plain();
    let clock = Clock::starting_at("2026-11-22T06:00:00Z".parse().unwrap());
    let store = Redis::open(server.url().parse().unwrap(), "churn", Time::Given(clock.clone()));
    let job = JobName::new("backup").unwrap();
    let stray = RunId::of_request(&job, "stray");
    let piece = Piece { seq: 0, at: clock.now(), stream: Stream::Stdout, bytes: b"late\n".to_vec() };
    store.write_output((stray, cronclave::lease::Fence(1)), vec![piece], 0..0).await.unwrap();
    run_by_hand(&store, &job, 1, None).await;
    clock.step(25 * 3_600_000_000);
    prune_all(&store, &[(job.clone(), Keep::default())]).await;
    assert_eq!(store.read_output(stray, 0).await.unwrap(), []);
    assert_eq!(store.read_output(RunId::of_request(&job, "1"), 0).await.unwrap().len(), 1);
    assert_eq!(size(&server, "ZCARD", "outputs"), 1);
}

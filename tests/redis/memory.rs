//! A server whose memory is full: nothing new starts, and what runs goes on to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use cronclave::job::{Delivery, JobName, Overlap};
use cronclave::lease::{Ended, RunId, Token, Trigger};
use cronclave::record::{Bid, Key, Op, Phase, Reply, Target};
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Outbox, Replica, Store, StoreError};

use super::servers;

const TTL: Duration = Duration::from_secs(60);

async fn claim(store: &Redis, job: &JobName, request: &str) -> Result<Key, StoreError> {
    let trigger = Trigger::Manual { by: None, reason: None };
    let run_id = RunId::of_request(job, request);
    let bid = Bid {
        target: Target::Request { run_id, at: None, trigger, args: BTreeMap::new(), expect: None },
        token: Token::fresh(),
        holder: "web.1".into(),
        ttl: TTL,
        overlap: Overlap::Allow,
        delivery: Delivery::AtMostOnce,
        mutex: Some("disk".into()).filter(|_| request == "first"),
        start: None,
    };
    let token = bid.token.clone();
    match store.apply(job, &Op::Claim(bid)).await?.reply {
        Reply::Won(run) => Ok(Key { run_id, fence: run.fence, token }),
        reply => panic!("{reply:?}"),
    }
}

fn replica() -> Replica {
    Replica { boot_id: "boot".into(), name: "web.1".into(), version: "0".into(), pid: 1, ..Replica::default() }
}

fn start(key: &Key) -> Op {
    Op::Start { key: key.clone(), holder: "web.1".into(), ttl: TTL }
}

/// Something large is there, and less memory than that.
fn fill(server: &servers::Redis) {
    server.ask::<()>(&["SET", "filler", &"x".repeat(8_000_000)]);
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "4mb"]);
    let refused: redis::RedisResult<()> = redis::Client::open(server.url())
        .and_then(|client| redis::cmd("SET").arg("a").arg("b").query(&mut client.get_connection()?));
    assert_eq!(refused.unwrap_err().code(), Some("OOM"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_goes_on_and_what_is_new_waits_while_the_memory_is_full() {
    let server = servers::Redis::plain();
    let store = Redis::open(server.url().parse().unwrap(), "memory", Time::Server);
    let job = JobName::new("backup").unwrap();
    let running = claim(&store, &job, "first").await.unwrap();
    store.apply(&job, &start(&running)).await.unwrap();
    let [failing, given_back, claimed] =
        [claim(&store, &job, "2").await, claim(&store, &job, "3").await, claim(&store, &job, "4").await]
            .map(Result::unwrap);
    store.apply(&job, &start(&failing)).await.unwrap();

    fill(&server);
    for new in
        [claim(&store, &job, "new").await.map(|_| ()), store.apply(&job, &Op::Register { spec: 1 }).await.map(|_| ())]
    {
        let words = new.unwrap_err().message;
        assert!(words.contains("out of memory") && words.contains("maxmemory"), "{words}");
    }
    let applied = async |op: Op| store.apply(&job, &op).await.unwrap().reply;
    for _ in 0..100 {
        let reply = applied(Op::Renew { key: running.clone(), ttl: TTL }).await;
        assert!(matches!(reply, Reply::Kept { .. }), "{reply:?}");
    }
    let reply = applied(start(&claimed)).await;
    assert!(matches!(reply, Reply::Kept { .. }), "{reply:?}");
    let again = Some((2, Duration::from_secs(1)));
    assert_eq!(applied(Op::Settle { key: failing, ended: Ended::succeeded(), next: again }).await, Reply::Done);
    assert_eq!(applied(Op::Release { key: given_back }).await, Reply::Done);
    assert_eq!(applied(Op::Cancel { run_id: claimed.run_id, by: "ana".into() }).await, Reply::Done);
    assert_eq!(applied(Op::Settle { key: running.clone(), ended: Ended::succeeded(), next: None }).await, Reply::Done);
    let open = store.view(&job, Some("disk")).await.unwrap();
    assert!(open.record.open.iter().all(|run| run.run_id != running.run_id), "{:?}", open.record);
    assert!(open.record.open.iter().any(|run| run.run_id == claimed.run_id && run.phase == Phase::Running));
    assert_eq!(open.mutex.held, None);
    store.beat(&replica()).await.unwrap();
    assert_eq!(store.replicas().await.unwrap()[0].name, "web.1");
    store.leave("boot").await.unwrap();
    let mark = store.take_outbox(Outbox::Announcements, "web.1", TTL).await.unwrap().unwrap();
    assert!(store.mark_outbox(Outbox::Announcements, "web.1", mark, TTL).await.unwrap());

    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    let ends = [claim(&store, &job, "5").await.unwrap(), claim(&store, &job, "6").await.unwrap()]
        .map(|key| Op::Settle { key, ended: Ended::succeeded(), next: None });
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "4mb"]);
    // What is asked in one go is not refused in one go.
    let (first, new, last) =
        tokio::join!(store.apply(&job, &ends[0]), claim(&store, &job, "new"), store.apply(&job, &ends[1]));
    assert!(new.unwrap_err().message.contains("out of memory"));
    assert_eq!((first.unwrap().reply, last.unwrap().reply), (Reply::Done, Reply::Done));

    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    claim(&store, &job, "new").await.unwrap();
}

//! What the protocol costs: claims, cancels and starts on each store, beside a bare insert into
//! SQLite with the same durability, and beside a bare `SET NX PX` in Redis, asked as many at once.
//!
//! `cargo bench --bench claim` prints operations a second and ratios of one run on one machine.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/figures.rs"]
mod figures;
#[path = "../tests/common/servers.rs"]
mod servers;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cronclave::clock::{Clock, Timestamp};
use cronclave::job::{Delivery, JobName, Overlap};
use cronclave::lease::Token;
use cronclave::record::{Bid, Op, Reply, Target};
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Create, Memory, Sqlite, Store};

/// Jobs asking side by side, as when so many are due at once.
const SIDE_BY_SIDE: [usize; 3] = [1, 10, 100];
const ROUND: Duration = Duration::from_secs(2);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bare = bare_inserts(&dir.path().join("bare.db"));
    for width in SIDE_BY_SIDE {
        let memory = runtime.block_on(claims(Arc::new(Memory::new(Clock::system())), width));
        let path = dir.path().join(format!("claims-{width}.db"));
        let store = Sqlite::open(&path, Create::IfMissing, Clock::system()).unwrap();
        let sqlite = runtime.block_on(claims(Arc::new(store), width));
        figures::tell(
            "claim",
            &format!("{width} side by side on a file"),
            &[
                ("operations_per_second", sqlite),
                ("memory_per_second", memory),
                ("bare_insert_per_second", bare),
                ("bare_insert_ratio", sqlite / bare),
            ],
        );
    }
    let server = servers::Redis::plain();
    for width in SIDE_BY_SIDE {
        let set = runtime.block_on(bare_sets(&server.url(), width));
        let before = figures::processor(server.pid());
        let store =
            runtime.block_on(async { Redis::open(server.url().parse().unwrap(), &width.to_string(), Time::Server) });
        let redis = runtime.block_on(claims(Arc::new(store), width));
        let each = (figures::processor(server.pid()) - before) / (redis * ROUND.as_secs_f64()) * 1e6;
        figures::tell(
            "claim",
            &format!("{width} side by side on Redis"),
            &[
                ("operations_per_second", redis),
                ("bare_set_per_second", set),
                ("bare_set_ratio", redis / set),
                ("redis_us_each", each),
            ],
        );
    }
}

fn bare_inserts(path: &Path) -> f64 {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (a INTEGER, b TEXT)")
        .unwrap();
    let (began, mut count) = (Instant::now(), 0u32);
    while began.elapsed() < ROUND {
        db.execute("INSERT INTO t VALUES (?1, 'claimed')", [count]).unwrap();
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

async fn bare_sets(url: &str, width: usize) -> f64 {
    let connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let began = Instant::now();
    let workers: Vec<_> = (0..width)
        .map(|n| {
            let mut connection = connection.clone();
            tokio::spawn(async move {
                let mut count = 0u32;
                while began.elapsed() < ROUND {
                    let key = format!("bare:{n}:{count}");
                    redis::cmd("SET")
                        .arg(key)
                        .arg("x")
                        .arg("NX")
                        .arg("PX")
                        .arg(10_000)
                        .exec_async(&mut connection)
                        .await
                        .unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut total = 0;
    for worker in workers {
        total += worker.await.unwrap();
    }
    f64::from(total) / began.elapsed().as_secs_f64()
}

/// Operations a second: each job claims its next occurrence and is cancelled, over and over.
async fn claims(store: Arc<dyn Store>, width: usize) -> f64 {
    let began = Instant::now();
    let workers: Vec<_> = (0..width)
        .map(|n| {
            let (store, job) = (store.clone(), JobName::new(&format!("job-{n}")).unwrap());
            tokio::spawn(async move {
                let answer = store.apply(&job, &Op::Register { spec: 1 }).await.unwrap();
                let (mut expect, mut count) = (answer.view.record.cursor.unwrap(), 0u32);
                while began.elapsed() < ROUND {
                    let at = Timestamp::from_micros(expect.as_micros() + 1);
                    let bid = Bid {
                        target: Target::Next { expect, passes: vec![], at, due: Timestamp::EPOCH },
                        token: Token::fresh(),
                        holder: "bench".into(),
                        ttl: Duration::from_secs(10),
                        overlap: Overlap::Skip,
                        delivery: Delivery::AtMostOnce,
                        mutex: None,
                        start: None,
                    };
                    let reply = store.apply(&job, &Op::Claim(bid)).await.unwrap().reply;
                    let Reply::Won(run) = reply else { panic!("{reply:?}") };
                    // Cancelled before its start: over, so that the next may be claimed.
                    let cancel = Op::Cancel { run_id: run.run_id, by: "bench".into() };
                    let key =
                        cronclave::record::Key { run_id: run.run_id, fence: run.fence, token: run.token.unwrap() };
                    store.apply(&job, &cancel).await.unwrap();
                    store
                        .apply(&job, &Op::Start { key, holder: "bench".into(), ttl: Duration::from_secs(10) })
                        .await
                        .unwrap();
                    (expect, count) = (at, count + 3);
                }
                count
            })
        })
        .collect();
    let mut total = 0;
    for worker in workers {
        total += worker.await.unwrap();
    }
    f64::from(total) / began.elapsed().as_secs_f64()
}

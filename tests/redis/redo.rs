//! What a server loses it is given back, to the byte, by those who were told or answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cronclave::clock::{Clock, Timestamp};
use cronclave::job::{JobName, Overlap};
use cronclave::lease::Token;
use cronclave::ledger::What;
use cronclave::record::{Key, Op, Record, Reply, Target};
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Repair, Repaired, Replica, Store};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Chance, servers, setting};

const PREFIX: &str = "{cronclave:redo}:";

/// Everything that operations change, as the server holds it.
#[derive(Debug, Default, PartialEq)]
struct Data {
    records: BTreeMap<String, Vec<u8>>,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    by_time: Vec<Vec<u8>>,
    by_job: Vec<Vec<u8>>,
    feed: redis::Value,
    position: u64,
}

impl Data {
    fn of(server: &servers::Redis) -> Data {
        let key = |name: &str| format!("{PREFIX}{name}");
        Data {
            records: server.ask(&["HGETALL", &key("records")]),
            entries: server.ask(&["HGETALL", &key("entries")]),
            by_time: server.ask(&["ZRANGE", &key("entries-by-time"), "0", "-1", "WITHSCORES"]),
            by_job: server.ask(&["ZRANGE", &key("entries-by-job"), "0", "-1"]),
            feed: server.ask(&["XRANGE", &key("feed"), "-", "+"]),
            position: server.ask(&["HGET", &key("meta"), "position"]),
        }
    }
}

/// How a server loses what it confirmed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    /// It is where it was some time ago, and does not know: a copy was put back.
    Older,
    /// The same, and it is another: a replica that was promoted.
    Promoted,
    /// Everything.
    All,
}

/// Three processes over one server, each with its own clients.
struct Bench {
    server: servers::Redis,
    clock: Clock,
    stores: Vec<Arc<Redis>>,
    chance: Chance,
}

const JOBS: [&str; 4] = ["backup", "report", "a", "z-9_"];

impl Bench {
    /// With a user of the server of whom it is known what he may do.
    async fn new(rights: &[&str]) -> Bench {
        let server = servers::Redis::plain();
        let mut user = vec!["ACL", "SETUSER", "ana", "on", ">secret", "~*", "&*", "+@all"];
        user.extend(rights);
        server.ask::<()>(&user);
        let now: Timestamp = "2026-11-22T06:00:00.25Z".parse().unwrap();
        let clock = Clock::starting_at(now);
        let url = format!("redis://ana:secret@127.0.0.1:{}", server.port);
        let open = || Arc::new(Redis::open(url.parse().unwrap(), "redo", Time::Given(clock.clone())));
        let stores: Vec<_> = (0..3).map(|_| open()).collect();
        for (index, store) in stores.iter().enumerate() {
            store.changed(0).await.unwrap();
            store.beat(&replica(index)).await.unwrap();
        }
        let seed = setting("FUZZ_SEED", rand::random);
        println!("FUZZ_SEED={seed}");
        Bench { server, clock, stores, chance: Chance { dice: StdRng::seed_from_u64(seed), now } }
    }

    /// Operations by any of the three, which often make sense.
    async fn live(&mut self, operations: usize) {
        for _ in 0..operations {
            let step = self.chance.of(&[100, 200, 1_000, 5_000]);
            self.chance.now = self.chance.now.plus(Duration::from_millis(step)).max(self.clock.now());
            self.clock.step(self.chance.now.as_micros() - self.clock.now().as_micros());
            let job = JobName::new(self.chance.of(&JOBS)).unwrap();
            let store = self.chance.of(&self.stores);
            let record = store.view(&job, None).await.unwrap().record;
            let new = self.chance.one_in(2);
            let op = self.chance.op(new, &job, &record);
            store.apply(&job, &op).await.unwrap();
        }
        for (index, store) in self.stores.iter().enumerate() {
            store.beat(&replica(index)).await.unwrap();
        }
    }

    fn copy(&self) -> BTreeMap<String, Vec<u8>> {
        let keys: Vec<String> = self.server.ask(&["KEYS", "*"]);
        keys.into_iter().map(|key| (key.clone(), self.server.ask(&["DUMP", &key]))).collect()
    }

    fn lose(&self, loss: Loss, copy: &BTreeMap<String, Vec<u8>>) {
        self.server.ask::<()>(&["FLUSHALL"]);
        if loss == Loss::All {
            return;
        }
        let mut connection = redis::Client::open(self.server.url()).unwrap().get_connection().unwrap();
        for (key, bytes) in copy {
            redis::cmd("RESTORE").arg(key).arg(0).arg(bytes).exec(&mut connection).unwrap();
        }
        if loss == Loss::Promoted {
            self.server.ask::<()>(&["HSET", &format!("{PREFIX}meta"), "server", "0123456789abcdef"]);
        }
    }

    /// Until all three know that the gate is open again.
    async fn repaired(&self) -> Repaired {
        let mut last = None;
        for store in &self.stores {
            // Whatever it asks.
            store.changed(0).await.unwrap();
        }
        for store in &self.stores {
            let mut repairs = store.repairs().unwrap();
            let of = |repair: &Repair| !repair.closed && repair.last.is_some();
            let repair = tokio::time::timeout(Duration::from_secs(60), repairs.wait_for(of));
            last.clone_from(&repair.await.unwrap().unwrap().last);
        }
        last.unwrap()
    }
}

fn replica(index: usize) -> Replica {
    Replica {
        boot_id: format!("boot-{index}"),
        name: format!("replica-{index}"),
        version: "0".into(),
        pid: 1,
        ..Replica::default()
    }
}

async fn lost_and_given_back(rights: &[&str], loss: Loss) {
    let mut bench = Bench::new(rights).await;
    bench.live(150).await;
    let copy = bench.copy();
    bench.live(150).await;
    let before = Data::of(&bench.server);
    bench.lose(loss, &copy);
    assert_ne!(Data { position: 0, ..Data::default() }.records, before.records);
    let repaired = bench.repaired().await;
    println!("{loss:?}: {repaired}");
    // How many of so many random operations change anything is up to chance.
    assert!(repaired.calls > 15, "{repaired}");
    assert_eq!((repaired.unknown, repaired.replicas), (0, 3), "{repaired}");
    let after = Data::of(&bench.server);
    for (name, record) in &before.records {
        assert_eq!(after.records.get(name), Some(record), "the record of {name}");
    }
    assert_eq!(after, before);
    // And all goes on from there.
    bench.live(50).await;
    assert!(Data::of(&bench.server).position > before.position);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_where_it_was_is_brought_to_where_it_had_been() {
    lost_and_given_back(&[], Loss::Older).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_promoted_too_early_is_brought_to_where_the_other_was() {
    lost_and_given_back(&[], Loss::Promoted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_wiped_is_given_everything_back() {
    lost_and_given_back(&[], Loss::All).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_wiped_again_while_it_is_given_back_is_given_everything_back() {
    let mut bench = Bench::new(&[]).await;
    bench.live(150).await;
    let before = Data::of(&bench.server);
    bench.lose(Loss::All, &BTreeMap::new());
    for store in &bench.stores {
        store.changed(0).await.unwrap();
    }
    let taught = || bench.server.ask::<Vec<String>>(&["HKEYS", &format!("{PREFIX}redone")]);
    let began = std::time::Instant::now();
    while taught().iter().filter(|field| field.starts_with("by:")).count() < 3 {
        assert!(began.elapsed() < Duration::from_secs(60), "not all give back what they know: {:?}", taught().len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.lose(Loss::All, &BTreeMap::new());
    let repaired = bench.repaired().await;
    assert_eq!(Data::of(&bench.server), before, "{repaired}");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_told_nothing_give_back_what_they_were_answered() {
    lost_and_given_back(&["resetchannels", "-subscribe"], Loss::Older).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_say_who_it_is_is_found_out_by_what_it_does_not_know() {
    lost_and_given_back(&["-info"], Loss::Older).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_that_somebody_removed_is_put_back() {
    let mut bench = Bench::new(&[]).await;
    bench.live(100).await;
    let backup = JobName::new("backup").unwrap();
    let op = Op::Register { spec: 77 };
    bench.stores[0].apply(&backup, &op).await.unwrap();
    let before = bench.stores[0].view(&backup, None).await.unwrap().record;
    bench.server.ask::<()>(&["HDEL", &format!("{PREFIX}records"), "backup"]);
    let answer = bench.stores[1].apply(&backup, &op).await.unwrap();
    assert_eq!(answer.reply, Reply::Done);
    assert_eq!(answer.view.record, before);
    let restored = What::Restored { from: None, through: before.cursor };
    assert_eq!(answer.events.iter().map(|event| &event.what).collect::<Vec<_>>(), [&restored]);
}

impl Bench {
    /// The first of the processes wins a run, for 10 s. Somebody on the list of replicas is silent, so that a gate stays
    /// closed for its whole time.
    async fn won(&self) -> (JobName, Key) {
        let job = JobName::new("backup").unwrap();
        let mut chance = Chance { dice: StdRng::seed_from_u64(1), now: self.clock.now() };
        self.stores[0].apply(&job, &Op::Register { spec: 1 }).await.unwrap();
        let at = self.clock.now().plus(Duration::from_secs(1));
        self.clock.step(2_000_000);
        let cursor = self.stores[0].view(&job, None).await.unwrap().record.cursor.unwrap();
        let mut bid = chance.bid(&job, &Record::default());
        bid.target = Target::Next { expect: cursor, passes: vec![], at, due: at };
        (bid.ttl, bid.mutex, bid.overlap) = (Duration::from_secs(10), None, Overlap::Skip);
        let Reply::Won(run) = self.stores[0].apply(&job, &Op::Claim(bid)).await.unwrap().reply else {
            panic!("it is free")
        };
        self.stores[2].beat(&Replica { boot_id: "silent".into(), ..replica(3) }).await.unwrap();
        (job, Key { run_id: run.run_id, fence: run.fence, token: run.token.clone().unwrap() })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_given_back_nothing_is_granted_but_a_holder_keeps_its_run() {
    let bench = Bench::new(&[]).await;
    let (store, other) = (&bench.stores[0], &bench.stores[1]);
    let job = JobName::new("backup").unwrap();
    let mut chance = Chance { dice: StdRng::seed_from_u64(1), now: bench.clock.now() };
    store.apply(&job, &Op::Register { spec: 1 }).await.unwrap();
    let at = bench.clock.now().plus(Duration::from_secs(1));
    bench.clock.step(2_000_000);
    let cursor = store.view(&job, None).await.unwrap().record.cursor.unwrap();
    let mut bid = chance.bid(&job, &cronclave::record::Record::default());
    bid.target = cronclave::record::Target::Next { expect: cursor, passes: vec![], at, due: at };
    (bid.ttl, bid.mutex, bid.overlap) = (Duration::from_secs(10), None, cronclave::job::Overlap::Skip);
    let Reply::Won(run) = store.apply(&job, &Op::Claim(bid)).await.unwrap().reply else { panic!("it is free") };
    let key = cronclave::record::Key { run_id: run.run_id, fence: run.fence, token: run.token.clone().unwrap() };
    // Another server. Somebody who is on the list is not heard: the gate stays closed for its whole time.
    bench.server.ask::<()>(&["HSET", &format!("{PREFIX}meta"), "server", "0123456789abcdef"]);
    bench.stores[2].beat(&Replica { boot_id: "silent".into(), ..replica(3) }).await.unwrap();
    let start = Op::Start { key: key.clone(), holder: "one".into(), ttl: Duration::from_secs(10) };
    let why = other.apply(&job, &start).await.unwrap_err();
    assert!(why.message.contains("grants nothing"), "{why}");
    let renewed = store.apply(&job, &Op::Renew { key: key.clone(), ttl: Duration::from_secs(60) }).await.unwrap();
    assert!(matches!(renewed.reply, Reply::Kept { .. }), "{renewed:?}");
    bench.clock.step(8_000_000);
    let brief = Op::Start { key: key.clone(), holder: "one".into(), ttl: Duration::from_millis(1) };
    let started = store.apply(&job, &brief).await.unwrap();
    assert!(matches!(started.reply, Reply::Kept { .. }));
    // For a while nobody's run is taken over, whatever the clock reads.
    let running = cronclave::record::Phase::Running;
    while other.view(&job, None).await.unwrap().record.run(key.run_id).is_none_or(|run| run.phase != running) {
        // It answers by what it has heard, and the start may still be on its way.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let reap = Op::Reap { run_id: key.run_id, fence: key.fence, phase: running };
    let reaped = other.apply(&job, &reap).await.unwrap();
    assert_eq!(reaped.reply, Reply::Done, "{started:#?} {reaped:#?}");
    let calm = reaped.view.now.since(started.view.now);
    assert!(calm >= Duration::from_secs(3), "after {calm:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_renewed_while_its_record_is_given_back_lasts_as_long_as_was_said() {
    let bench = Bench::new(&[]).await;
    let (job, key) = bench.won().await;
    let copy = bench.copy();
    // What is lost, and with it the newest record.
    bench.stores[0].apply(&job, &Op::Pause { until: None, reason: None, by: None }).await.unwrap();
    bench.lose(Loss::Promoted, &copy);
    let renewed = bench.stores[0].apply(&job, &Op::Renew { key, ttl: Duration::from_secs(60) }).await.unwrap();
    let Reply::Kept { until, .. } = renewed.reply else { panic!("not kept but {:?}", renewed.reply) };
    // The gate is left to open in its own time: those who know what was lost have to tell before.
    let mut last = None;
    for _ in 0..600 {
        // It may have heard of the pause before that was lost.
        last = bench.stores[1].view(&job, None).await.ok();
        if last.as_ref().is_some_and(|view| !view.record.pauses.is_empty() && view.record.open[0].until == until) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not until {until} with its pause: {last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_given_back_nobody_but_its_holder_keeps_a_run() {
    let bench = Bench::new(&[]).await;
    let (job, key) = bench.won().await;
    bench.server.ask::<()>(&["HSET", &format!("{PREFIX}meta"), "server", "0123456789abcdef"]);
    let stranger = Op::Renew { key: Key { token: Token::fresh(), ..key }, ttl: Duration::from_secs(60) };
    let answer = bench.stores[1].apply(&job, &stranger).await;
    assert!(!answer.as_ref().is_ok_and(|answer| matches!(answer.reply, Reply::Kept { .. })), "{answer:?}");
}

//! What happens is passed on to a broker: all of it, in order, by one at a time. Time is tokio's paused one.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/happenings.rs"]
mod happenings;
#[path = "common/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cronclave::announce::{self, KINDS, Notices};
use cronclave::broker::{Exchange, Message};
use cronclave::clock::Clock;
use cronclave::event::Told;
use cronclave::job::JobName;
use cronclave::parts::Parts;
use cronclave::record::Op;
use cronclave::store::{Memory, Outbox, Store};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use wire::{Fate, Port, Wire, through};

struct Bench {
    wire: Arc<Wire>,
    store: Arc<Memory>,
    clock: Clock,
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Bench {
    fn new() -> Bench {
        let clock = Clock::starting_at("2026-11-22T06:00:00Z".parse().unwrap());
        Bench { wire: Wire::new(), store: Arc::new(Memory::new(clock.clone())), clock }
    }

    /// An announcer that has had time to begin.
    async fn announcer(&self, holder: &str) -> (Parts, JoinHandle<()>) {
        let parts = wire::parts(self.store.clone(), self.clock.clone(), holder);
        let life = tokio::spawn(announce::run(through(&parts, Port::new(&self.wire))));
        sleep(secs(1)).await;
        (parts, life)
    }

    /// Something that happens to a job, told apart by `n`.
    async fn happens(&self, job: &str, n: usize) {
        let pause = Op::Pause { until: None, reason: Some(n.to_string()), by: None };
        self.store.apply(&JobName::new(job).unwrap(), &pause).await.unwrap();
    }

    /// What the broker has about jobs.
    fn sent(&self) -> Vec<Message> {
        let mut all = self.wire.published(&Exchange::Events);
        all.retain(|message| message.key.contains(".job."));
        all
    }

    /// The numbers of what happened to `job`, as somebody sees them who knows copies by their ids.
    fn seen(&self, job: &str) -> Vec<usize> {
        let mut known = BTreeSet::new();
        let of_job = |message: &Message| message.key.ends_with(&format!(".{job}"));
        let sent = self.sent().into_iter().filter(of_job).filter(|message| known.insert(message.id.clone()));
        sent.map(|message| data(&message)["reason"].as_str().unwrap().parse().unwrap()).collect()
    }
}

fn data(message: &Message) -> Value {
    serde_json::from_slice::<Value>(&message.body).unwrap()["data"].clone()
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_sent_in_order_and_once() {
    let bench = Bench::new();
    bench.happens("a", 0).await;
    let (parts, life) = bench.announcer("web.1").await;
    for n in 1..=500 {
        bench.happens(["a", "b"][n % 2], n).await;
    }
    sleep(secs(10)).await;
    assert_eq!(bench.sent().len(), 500, "without what happened before there was an outbox");
    assert_eq!(bench.seen("a"), (2..=500).step_by(2).collect::<Vec<_>>());
    assert_eq!(bench.seen("b"), (1..=500).step_by(2).collect::<Vec<_>>());
    let message = &bench.sent()[0];
    assert!(message.optional && !message.transient);
    assert_eq!(message.key, "cronclave.prod.job.paused.a");
    parts.stop.softly();
    life.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_trouble_it_goes_on_in_order_and_copies_keep_their_ids() {
    let bench = Bench::new();
    let _life = bench.announcer("web.1").await;
    bench.wire.next_fates([Fate::Unconfirmed, Fate::Lost, Fate::Refused, Fate::Unconfirmed, Fate::Lost]);
    for n in 1..=20 {
        bench.happens("a", n).await;
        bench.happens("b", n).await;
    }
    sleep(secs(20)).await;
    assert_eq!(bench.seen("a"), (1..=20).collect::<Vec<_>>());
    assert_eq!(bench.seen("b"), (1..=20).collect::<Vec<_>>());
    assert_eq!(bench.sent().len(), 42, "two were not confirmed and sent again");
}

#[tokio::test(start_paused = true)]
async fn what_happens_while_the_broker_is_away_is_sent_once_it_is_back() {
    let bench = Bench::new();
    let _life = bench.announcer("web.1").await;
    bench.wire.set_away(true);
    for n in 1..=300 {
        bench.happens("a", n).await;
    }
    sleep(secs(3600)).await;
    assert!(bench.sent().is_empty());
    bench.wire.set_away(false);
    sleep(secs(20)).await;
    assert_eq!(bench.seen("a"), (1..=300).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn two_announcers_never_interleave() {
    let bench = Bench::new();
    let (first, life) = bench.announcer("web.1").await;
    let _second = bench.announcer("web.2").await;
    for n in 1..=40 {
        bench.happens("a", n).await;
        sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(bench.sent().len(), bench.seen("a").len(), "nothing was sent twice");
    // The first is stuck in a message that comes late; its time runs out, and the second goes on.
    bench.wire.next_fates([Fate::Slow(secs(60))]);
    for n in 41..=60 {
        bench.happens("a", n).await;
    }
    sleep(secs(90)).await;
    assert_eq!(bench.seen("a"), (1..=60).collect::<Vec<_>>());
    first.stop.softly();
    life.await.unwrap();
    bench.happens("a", 61).await;
    sleep(secs(30)).await;
    assert_eq!(bench.seen("a").len(), 61, "who stops leaves the rest to the other");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_no_way_to_the_broker_leaves_it_to_another() {
    let bench = Bench::new();
    let port = Port::new(&bench.wire);
    let parts = wire::parts(bench.store.clone(), bench.clock.clone(), "web.1");
    tokio::spawn(announce::run(through(&parts, port.clone())));
    sleep(secs(1)).await;
    let _second = bench.announcer("web.2").await;
    port.cut();
    for n in 1..=10 {
        bench.happens("a", n).await;
    }
    sleep(secs(10)).await;
    assert_eq!(bench.seen("a"), (1..=10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_on_knows_how_a_run_began() {
    let bench = Bench::new();
    let (first, life) = bench.announcer("web.1").await;
    let run = happenings::Run::started(&*bench.store, "a", &bench.clock).await;
    sleep(secs(3)).await;
    first.stop.softly();
    life.await.unwrap();
    let _second = bench.announcer("web.2").await;
    run.settle(&*bench.store).await;
    sleep(secs(10)).await;
    let sent = bench.wire.published(&Exchange::Events);
    let over = sent.iter().find(|message| message.key == "cronclave.prod.run.succeeded.a").unwrap();
    let data = data(over);
    assert_eq!((&data["trigger"], &data["final"], &data["replica"]), (&"manual".into(), &true.into(), &"w".into()));
    assert!(data["scheduled_at"].is_string() && data["duration_seconds"].as_f64().unwrap() >= 3.0, "{data}");
}

#[tokio::test(start_paused = true)]
async fn what_happened_last_is_sent_before_it_ends() {
    let bench = Bench::new();
    let (parts, life) = bench.announcer("web.1").await;
    bench.happens("a", 1).await;
    parts.stop.softly();
    life.await.unwrap();
    assert_eq!(bench.seen("a"), [1]);
    let sent = bench.wire.published(&Exchange::Events);
    let left = sent.iter().any(|message| message.key == "cronclave.prod.replica.left.web-1");
    assert!(left, "a dot in the name would be two words");
}

#[tokio::test(start_paused = true)]
async fn events_that_were_dropped_unsent_are_told_as_a_gap() {
    let bench = Bench::new();
    let store = Arc::new(happenings::Forgetful::new(bench.store.clone()));
    store.before.store(31, std::sync::atomic::Ordering::SeqCst);
    let parts = wire::parts(store, bench.clock.clone(), "web.1");
    let mut told = parts.bus.listen();
    bench.wire.set_away(true);
    // The outbox is there, at the beginning.
    bench.store.take_outbox(Outbox::Announcements, "somebody", secs(1)).await.unwrap();
    for n in 1..=40 {
        bench.happens("a", n).await;
    }
    tokio::spawn(announce::run(through(&parts, Port::new(&bench.wire))));
    sleep(secs(5)).await;
    bench.wire.set_away(false);
    sleep(secs(10)).await;
    let sent = bench.wire.published(&Exchange::Events);
    let gaps: Vec<_> = sent.iter().filter(|message| message.key == "cronclave.prod.outbox.gap.outbox").collect();
    assert_eq!(gaps.len(), 1);
    assert_eq!((&data(gaps[0])["count"], &data(gaps[0])["through"]), (&30.into(), &30.into()));
    assert_eq!(bench.seen("a"), (31..=40).collect::<Vec<_>>());
    assert!(matches!(&*told.try_recv().unwrap(), Told::Warning(text) if text.contains("30 events")));
}

#[tokio::test(start_paused = true)]
async fn what_a_replica_tells_of_itself_is_announced_too() {
    let bench = Bench::new();
    let (parts, _life) = bench.announcer("web.1").await;
    for told in happenings::told() {
        parts.bus.tell(told);
    }
    sleep(secs(2)).await;
    let keys: Vec<_> = bench.wire.published(&Exchange::Events).into_iter().map(|message| message.key).collect();
    let tails: Vec<_> = keys.iter().map(|key| key.strip_prefix("cronclave.prod.").unwrap()).collect();
    assert_eq!(
        tails,
        [
            "replica.joined.web-1",
            "backend.down.web-1",
            "backend.up.web-1",
            "backend.repaired.web-1",
            "config.reloaded.web-1",
            "config.rejected.web-1",
            "check.failing.web-1",
            "check.mended.web-1",
            "run.progress.a",
            "hook.failed.audit",
            "hook.switched_off.audit"
        ]
    );
}

#[test]
fn everything_that_can_happen_has_a_type_and_a_key_or_is_left_out_on_purpose() {
    let mut notices = Notices::new("prod.eu");
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    for (n, event) in (1..).zip(happenings::all()) {
        let Some(notice) = notices.of(n, &event) else { continue };
        let message = notice.message();
        assert_eq!(message.key, format!("cronclave.prod-eu.{}.a", notice.kind));
        assert_eq!(message.kind, format!("dev.cronclave.{}.v1", notice.kind));
        kinds.insert(notice.kind);
    }
    let others = ["outbox.", "replica.", "config.", "backend.", "hook.", "check.", "run.progress"];
    let expected: BTreeSet<&str> =
        KINDS.into_iter().filter(|kind| !others.iter().any(|other| kind.starts_with(other))).collect();
    assert_eq!(kinds, expected);
}

#[test]
fn an_event_has_one_id_whoever_sends_it() {
    let event = happenings::all().remove(0);
    let id = |position| Notices::new("prod").of(position, &event).unwrap().event.id;
    assert_eq!(id(7), id(7));
    assert_ne!(id(7), id(8));
    let millis = u64::try_from(event.at.as_millis()).unwrap();
    assert!(id(7).replace('-', "").starts_with(&format!("{millis:012x}7")), "version 7, sorted by time");
}

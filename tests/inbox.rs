//! Messages of others: reports of foreign workers and wishes to run a job. Time is tokio's paused one.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/happenings.rs"]
mod happenings;
#[path = "common/jobs.rs"]
mod jobs;
#[path = "common/wire.rs"]
mod wire;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cronclave::broker::{DIED_IN, Exchange, Message, Queue, REASON};
use cronclave::clock::Clock;
use cronclave::event::Told;
use cronclave::inbox;
use cronclave::job::{Completion, Format, Job, JobName, Overlap, Publish, Retry, Task};
use cronclave::lease::Token;
use cronclave::ledger::{Entry, State};
use cronclave::parts::Dice;
use cronclave::record::{Key, Op, Open, Phase};
use cronclave::replica::Jobs;
use cronclave::store::{Memory, Query, Store};
use happenings::Run;
use jobs::{every, secs, start_of_time};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use wire::{Fate, Port, Wire, through};

struct Bench {
    wire: Arc<Wire>,
    store: Arc<Memory>,
    clock: Clock,
    told: Receiver<Arc<Told>>,
    life: JoinHandle<()>,
    jobs: watch::Sender<Arc<Jobs>>,
}

impl Bench {
    /// An inbox that knows `a`, which is tried twice and may be triggered, and `shut`, which may not.
    fn new() -> Bench {
        Bench::with(every("a", 3600).with(|job| job.message_trigger = true))
    }

    fn with(job: Job) -> Bench {
        let clock = Clock::starting_at(start_of_time());
        let (wire, store) = (Wire::new(), Arc::new(Memory::new(clock.clone())));
        let parts = wire::parts(store.clone(), clock.clone(), "web.1");
        let job = job.with(|job| job.retry = Retry { attempts: 2, ..Retry::default() });
        let by_name = [job, every("shut", 3600)].map(|job| (job.name.clone(), Arc::new(job))).into_iter().collect();
        let (jobs, seen) = watch::channel(Arc::new(Jobs { by_name, ..Jobs::default() }));
        let told = parts.bus.listen();
        let port = Port::new(&wire);
        let life = tokio::spawn(inbox::run(through(&parts, port), seen));
        Bench { wire, store, clock, told, life, jobs }
    }

    async fn report(&self, body: Value) {
        self.deliver(Queue::Results, "result.prod.a.done", "", body.to_string().as_bytes()).await;
    }

    async fn wish(&self, id: &str, body: Value) {
        self.deliver(Queue::Triggers, "trigger.prod.a", id, body.to_string().as_bytes()).await;
    }

    /// Puts a message into a queue and gives it the time it needs.
    async fn deliver(&self, queue: Queue, key: &str, id: &str, body: &[u8]) {
        let message = Message { key: key.into(), id: id.into(), body: body.into(), ..Message::default() };
        self.wire.deliver(queue, message);
        sleep(secs(5)).await;
    }

    async fn published(&self) -> Run {
        Run::published(&*self.store, "a", &self.clock).await
    }

    async fn open(&self) -> Vec<Open> {
        self.store.view(&JobName::new("a").unwrap(), None).await.unwrap().record.open
    }

    async fn entries(&self) -> Vec<Entry> {
        self.store.history(&Query::default()).await.unwrap()
    }

    async fn count_events(&self) -> usize {
        self.store.events(0, 1000).await.unwrap().len()
    }

    /// Why the dead letters are dead.
    fn reasons(&self) -> Vec<String> {
        self.wire.published(&Exchange::Dead).iter().map(|message| message.headers[REASON].clone()).collect()
    }

    fn warnings(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(told) = self.told.try_recv() {
            if let Told::Warning(text) | Told::Dropped(text) = &*told {
                all.push(text.clone());
            }
        }
        all
    }
}

fn says(run: &Run, outcome: &str) -> Value {
    json!({"run_id": run.key.run_id, "fencing_token": run.key.fence, "outcome": outcome})
}

// ---- reports -----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_foreign_worker_starts_and_ends_a_run_by_its_reports() {
    let bench = Bench::new();
    let run = bench.published().await;
    let mut started = says(&run, "started");
    started["worker"] = "billing-7".into();
    bench.report(started).await;
    let open = bench.open().await.remove(0);
    assert_eq!((open.phase, open.holder.as_str()), (Phase::Running, "billing-7"));
    assert!(open.until.since(open.opened) >= secs(3600), "it has as long as the job may take");
    bench.report(says(&run, "succeeded")).await;
    assert_eq!(bench.entries().await[0].state, State::Succeeded);
    assert_eq!((bench.wire.settled(), bench.reasons().len()), ((2, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn a_report_may_come_as_a_cloud_event_and_name_its_outcome_in_the_key() {
    let bench = Bench::new();
    let run = bench.published().await;
    let data = json!({"run_id": run.key.run_id, "fencing_token": run.key.fence.to_string()});
    let event = json!({"specversion": "1.0", "id": "1", "source": "x", "type": "y", "data": data});
    bench.deliver(Queue::Results, "result.prod.a.succeeded", "", event.to_string().as_bytes()).await;
    assert_eq!(bench.entries().await[0].state, State::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_reported_failure_is_tried_again_as_the_job_says() {
    let bench = Bench::new();
    let run = bench.published().await;
    let mut failed = says(&run, "failed");
    (failed["message"], failed["exit_code"]) = ("no paper".into(), 3.into());
    bench.report(failed).await;
    let entry = bench.entries().await.remove(0);
    let ended = entry.attempts[0].ended.clone().unwrap();
    assert_eq!((entry.state, ended.message.as_deref(), ended.exit_code), (State::Retrying, Some("no paper"), Some(3)));
    assert_eq!(bench.open().await[0].attempt, 2);
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_result_is_awaited_ends_with_it() {
    let message = Publish {
        exchange: "billing".into(),
        routing_key: "invoices.close.daily".into(),
        format: Format::CloudEvents,
        payload: None,
        content_type: None,
        headers: [].into(),
        priority: None,
        expires: None,
        persistent: true,
        complete_on: Completion::Result,
    };
    let bench = Bench::with(Job { task: Task::Publish(Box::new(message)), ..every("a", 3600) });
    let run = bench.published().await;
    let key = Key { token: Token::of_result(run.key.run_id, run.key.fence), ..run.key.clone() };
    let start = Op::Start { key, holder: "web.1".into(), ttl: secs(600) };
    bench.store.apply(&JobName::new("a").unwrap(), &start).await.unwrap();
    bench.report(says(&run, "succeeded")).await;
    assert_eq!(bench.entries().await[0].state, State::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_run_of_our_own_cannot_be_ended_from_outside() {
    let mut bench = Bench::new();
    let run = Run::started(&*bench.store, "a", &bench.clock).await;
    bench.report(says(&run, "succeeded")).await;
    assert_eq!(bench.entries().await[0].state, State::Running);
    assert!(bench.warnings()[0].contains("in a process of ours"));
}

#[tokio::test(start_paused = true)]
async fn copies_and_outdated_reports_change_nothing_and_are_told() {
    let mut bench = Bench::new();
    let run = bench.published().await;
    bench.report(says(&run, "succeeded")).await;
    let before = bench.count_events().await;
    bench.report(says(&run, "succeeded")).await;
    bench.report(says(&run, "failed")).await;
    bench.report(says(&run, "started")).await;
    assert_eq!(bench.count_events().await, before);
    assert_eq!((bench.wire.settled(), bench.reasons().len()), ((4, 0), 0), "dropped, not dead");
    assert_eq!(bench.warnings().iter().filter(|text| text.contains("a copy, or outdated")).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_be_quicker_than_the_record() {
    let bench = Bench::new();
    let run = Run::claimed(&*bench.store, "a", &bench.clock).await;
    let body = says(&run, "succeeded").to_string().into_bytes();
    bench.wire.deliver(Queue::Results, Message { key: "result.prod.a.x".into(), body, ..Message::default() });
    sleep(secs(1)).await;
    run.publish(&*bench.store).await;
    sleep(secs(1)).await;
    assert_eq!(bench.entries().await[0].state, State::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_makes_no_sense_is_a_dead_letter_with_its_reason() {
    let bench = Bench::new();
    let run = bench.published().await;
    let mut no_fence = says(&run, "failed");
    no_fence["fencing_token"] = Value::Null;
    let mut other_job = says(&run, "failed");
    other_job["job"] = "zzz".into();
    let cases = [
        ("{".to_owned(), "not JSON"),
        ("[1]".to_owned(), "not a JSON object"),
        (json!({"outcome": "failed"}).to_string(), "lacks `run_id`"),
        (no_fence.to_string(), "lacks `fencing_token`"),
        (says(&run, "exploded").to_string(), "its outcome is `exploded`"),
        (other_job.to_string(), "there is no job `zzz`"),
        (format!("\"{}\"", "x".repeat(70_000)), "at most 65536"),
        (json!({"run_id": "7", "fencing_token": 1, "outcome": "failed"}).to_string(), "no id of a run"),
    ];
    for (n, (body, reason)) in cases.iter().enumerate() {
        bench.deliver(Queue::Results, "result.prod.a.done", "", body.as_bytes()).await;
        assert!(bench.reasons()[n].contains(reason), "{body:.60}: {:?}", bench.reasons()[n]);
    }
    let dead = &bench.wire.published(&Exchange::Dead)[0];
    assert_eq!((dead.key.as_str(), dead.headers[DIED_IN].as_str()), ("dead.prod.results", ".results"));
    assert_eq!(dead.body, b"{", "as it came");
    assert_eq!((bench.wire.settled(), bench.open().await[0].phase), ((8, 0), Phase::Published));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_let_go_only_once_the_broker_has_its_copy() {
    let bench = Bench::new();
    bench.wire.next_fates([Fate::Lost, Fate::Refused]);
    bench.deliver(Queue::Results, "result.prod.a.done", "", b"{").await;
    assert_eq!((bench.reasons().len(), bench.wire.settled()), (1, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_message_is_kept_while_the_store_does_not_answer_and_given_back_at_the_end() {
    let bench = Bench::new();
    let run = bench.published().await;
    bench.life.abort();
    let store = Arc::new(happenings::Forgetful::new(bench.store.clone()));
    store.away.store(true, Ordering::SeqCst);
    let start = || {
        let parts = wire::parts(store.clone(), bench.clock.clone(), "web.2");
        let jobs = bench.jobs.subscribe();
        let life = tokio::spawn(inbox::run(through(&parts, Port::new(&bench.wire)), jobs));
        (parts, life)
    };
    let (parts, life) = start();
    bench.report(says(&run, "succeeded")).await;
    sleep(secs(600)).await;
    assert_eq!(bench.wire.settled(), (0, 0));
    parts.stop.softly();
    life.await.unwrap();
    assert_eq!(bench.wire.settled(), (0, 1));
    let (_parts, _life) = start();
    sleep(secs(60)).await;
    store.away.store(false, Ordering::SeqCst);
    sleep(secs(10)).await;
    assert_eq!((bench.wire.settled(), bench.entries().await[0].state), ((1, 1), State::Succeeded));
}

// ---- wishes ------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_wish_becomes_a_run_with_its_arguments_as_text() {
    let bench = Bench::new();
    let args = json!({"day": "2026-11-21; rm -rf /", "n": 7, "full": true});
    bench.wish("w1", json!({"args": args, "reason": "month end"})).await;
    let open = bench.open().await.remove(0);
    let text: Vec<_> = open.args.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert_eq!(text, [("day", "2026-11-21; rm -rf /"), ("full", "true"), ("n", "7")]);
    let trigger = serde_json::to_value(&open.trigger).unwrap();
    assert_eq!((&trigger["by"], &trigger["reason"]), (&"message w1".into(), &"month end".into()));
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_a_wish_is_the_same_run() {
    let bench = Bench::with(every("a", 3600).with(|job| {
        job.message_trigger = true;
        job.overlap = Overlap::QueueAll;
    }));
    bench.wish("w1", json!({})).await;
    bench.wish("w1", json!({})).await;
    bench.wish("", json!({"id": "w1"})).await;
    bench.wish("", json!({"specversion": "1.0", "id": "w1", "source": "s", "type": "t"})).await;
    assert_eq!(bench.open().await.len(), 1);
    bench.wish("w2", json!({})).await;
    assert_eq!((bench.open().await.len(), bench.reasons().len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wish_without_a_body_is_one() {
    let bench = Bench::new();
    bench.deliver(Queue::Triggers, "trigger.prod.a", "w1", b"").await;
    assert_eq!(bench.open().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_the_jobs_policy_has_no_room_for_is_dropped_and_told() {
    let mut bench = Bench::new();
    bench.wish("w1", json!({})).await;
    bench.wish("w2", json!({})).await;
    let run = bench.open().await.remove(0).run_id;
    let job = JobName::new("a").unwrap();
    bench.store.apply(&job, &Op::Cancel { run_id: run, by: "ana".into() }).await.unwrap();
    bench.store.apply(&job, &Op::Pause { until: None, reason: None, by: None }).await.unwrap();
    bench.wish("w3", json!({})).await;
    let warnings = bench.warnings();
    assert!(warnings[0].contains("is still open") && warnings[1].contains("paused"), "{warnings:?}");
    assert_eq!((bench.wire.settled(), bench.reasons().len()), ((3, 0), 0));
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_is_not_allowed_or_makes_no_sense_is_a_dead_letter_with_its_reason() {
    let bench = Bench::new();
    let many: serde_json::Map<String, Value> = (0..65).map(|n| (format!("a{n}"), n.into())).collect();
    let cases = [
        ("trigger.prod.shut", "w", json!({}), "`message_trigger = true` allows it"),
        ("trigger.prod.zzz", "w", json!({}), "there is no job `zzz`"),
        ("trigger.prod.A B", "w", json!({}), "not a valid job name"),
        ("wish.prod.a", "w", json!({}), "not `trigger.CLUSTER.JOB`"),
        ("trigger.prod.a", "", json!({}), "set the AMQP property message_id"),
        ("trigger.prod.a", "w", json!("now"), "not a JSON object"),
        ("trigger.prod.a", "w", json!({"args": {"LD PRELOAD": "x"}}), "cannot name an argument"),
        ("trigger.prod.a", "w", json!({"args": {"x": ["y"]}}), "neither text, number, true nor false"),
        ("trigger.prod.a", "w", json!({"args": {"x": "a\u{0}b"}}), "zero byte"),
        ("trigger.prod.a", "w", json!({"args": many}), "at most 64"),
        ("trigger.prod.a", "w", json!({"args": {"x": "y".repeat(17_000)}}), "at most 16384"),
        ("trigger.prod.a", "w", json!({"reason": "y".repeat(70_000)}), "at most 65536"),
    ];
    for (n, (key, id, body, reason)) in cases.iter().enumerate() {
        bench.deliver(Queue::Triggers, key, id, body.to_string().as_bytes()).await;
        assert!(bench.reasons()[n].contains(reason), "{key}: {:?}", bench.reasons()[n]);
    }
    assert!(bench.open().await.is_empty());
    assert_eq!(bench.wire.published(&Exchange::Dead)[0].key, "dead.prod.triggers");
}

// ---- anything ----------------------------------------------------------------------------------

/// Whatever stands in them, messages are dealt with one by one and none stops the others.
#[tokio::test(start_paused = true)]
async fn no_message_stops_those_after_it() {
    let bench = Bench::new();
    let run = bench.published().await;
    let good = [says(&run, "started").to_string(), json!({"id": "w", "args": {"a": 1}}).to_string()];
    let dice = Dice::seeded(7);
    let mut count = 0;
    for (queue, key, good) in
        [(Queue::Results, "result.prod.a.x", &good[0]), (Queue::Triggers, "trigger.prod.a", &good[1])]
    {
        for place in 0..good.len() {
            let mut body = good.clone().into_bytes();
            body[place] = b"\0\"{}[]:,\\9x-\xff"[(dice.roll() * 13.0) as usize];
            bench.wire.deliver(queue.clone(), Message { key: key.into(), body, ..Message::default() });
            bench.wire.deliver(queue.clone(), Message { key: key[..place % 15].into(), ..Message::default() });
            count += 2;
        }
    }
    sleep(secs(3600)).await;
    assert_eq!(bench.wire.settled(), (count, 0));
    bench.report(says(&run, "succeeded")).await;
    assert_eq!(bench.entries().await.last().unwrap().state, State::Succeeded);
}

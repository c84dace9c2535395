//! A claim carried to the broker, and a request carried out: what each answer of the broker leads to. Time is tokio's
//! paused one.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/jobs.rs"]
mod jobs;
#[path = "common/through.rs"]
mod through;
#[path = "common/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cronclave::attempt::Carried;
use cronclave::broker::{Exchange, Message, Queue, REASON};
use cronclave::clock::Clock;
use cronclave::handover;
use cronclave::job::{Action, Command, Completion, Delivery, Format, Job, Publish, QueueName, Task};
use cronclave::lease::{Ended, Lease, RunId, Trigger, Work};
use cronclave::ledger::{Entry, State, What};
use cronclave::parts::Parts;
use cronclave::race::{self, Race};
use cronclave::record::{Op, Phase, Target};
use cronclave::replica::{Identity, Jobs};
use cronclave::runner::{Control, Runner};
use cronclave::store::{Memory, Query, Store};
use cronclave::worker;
use jobs::{every, secs, start_of_time};
use through::{Call, Hook, Through};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use wire::{Fate, Port, Wire, through};

struct Bench {
    job: Arc<Job>,
    store: Arc<Memory>,
    wire: Arc<Wire>,
    clock: Clock,
}

fn on_worker() -> Task {
    Task::Queue(QueueName::default(), Action::Command(Command::default()))
}

fn message(complete_on: Completion) -> Task {
    Task::Publish(Box::new(Publish {
        exchange: "billing".into(),
        routing_key: "close.{{ scheduled_at | date }}".into(),
        format: Format::Plain,
        payload: Some(serde_json::json!({"run": "{{ run_id }}", "full": true})),
        content_type: None,
        headers: BTreeMap::new(),
        priority: Some(3),
        expires: None,
        persistent: true,
        complete_on,
    }))
}

/// Takes its time.
struct Slow(Duration);

#[async_trait]
impl Runner for Slow {
    async fn run(&self, _: &Job, _: &Work, _: Control) -> Ended {
        sleep(self.0).await;
        Ended::succeeded()
    }
}

/// So many starts are granted, but nobody hears of it.
struct Unheard(AtomicUsize);

#[async_trait]
impl Hook for Unheard {
    async fn after(&self, call: &Call<'_>) {
        let less = |count: usize| count.checked_sub(1);
        if let Call::Apply(Op::Start { .. }) = call
            && self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
        {
            std::future::pending::<()>().await;
        }
    }
}

/// No answer, for ever.
struct Silent;

#[async_trait]
impl Hook for Silent {
    async fn before(&self, call: &Call<'_>) {
        if let Call::Apply(_) = call {
            std::future::pending::<()>().await;
        }
    }
}

impl Bench {
    fn new(task: Task) -> Bench {
        Bench::with(Job { task, ..every("close", 60) })
    }

    fn with(job: Job) -> Bench {
        let clock = Clock::starting_at(start_of_time());
        Bench { job: Arc::new(job), store: Arc::new(Memory::new(clock.clone())), wire: Wire::new(), clock }
    }

    fn parts(&self, holder: &str, port: Arc<Port>) -> Parts {
        through(&wire::parts(self.store.clone(), self.clock.clone(), holder), port)
    }

    /// Wins a new run of the job.
    async fn win(&self, parts: &Parts) -> Lease {
        let run_id = RunId::fresh(self.clock.now());
        let trigger = Trigger::Manual { by: None, reason: None };
        self.claim(parts, Target::Request { run_id, at: None, trigger, args: BTreeMap::new(), expect: None }).await
    }

    async fn claim(&self, parts: &Parts, target: Target) -> Lease {
        match race::run(parts, &self.job, target, self.clock.now(), 1).await.unwrap() {
            Race::Won(lease, _) => *lease,
            Race::Lost(answer) => panic!("{:?}", answer.reply),
        }
    }

    /// A replica of this name wins a run and hands it over.
    async fn hand_over(&self) -> Carried {
        let parts = self.parts("web.1", Port::new(&self.wire));
        let lease = self.win(&parts).await;
        handover::carry(&parts, &self.job, lease).await
    }

    fn begin(&self, parts: Parts, lease: Lease) -> JoinHandle<Carried> {
        let job = self.job.clone();
        tokio::spawn(async move { handover::carry(&parts, &job, lease).await })
    }

    async fn entry(&self) -> Entry {
        self.store.history(&Query::default()).await.unwrap().remove(0)
    }

    async fn phases(&self) -> Vec<Phase> {
        let open = self.store.view(&self.job.name, None).await.unwrap().record.open;
        open.iter().map(|run| run.phase).collect()
    }

    /// A worker with these jobs, on what was published so far.
    async fn work(&self, jobs: &[&Arc<Job>], requests: Vec<Message>) -> JoinHandle<()> {
        let life = self.employ(self.parts("worker.1", Port::new(&self.wire)), jobs, requests);
        sleep(secs(20)).await;
        life
    }

    fn employ(&self, parts: Parts, jobs: &[&Arc<Job>], requests: Vec<Message>) -> JoinHandle<()> {
        let by_name = jobs.iter().map(|job| (job.name.clone(), (*job).clone())).collect();
        let (_, jobs) = watch::channel(Arc::new(Jobs { by_name, ..Jobs::default() }));
        let queues = Some([QueueName::default()].into());
        let setup = worker::Setup { identity: Identity::default(), queues, slots: 2, grace: secs(5) };
        let life = tokio::spawn(worker::run(parts, setup, jobs));
        for request in requests {
            self.wire.deliver(Queue::Tasks(QueueName::default()), request);
        }
        life
    }

    fn requests(&self) -> Vec<Message> {
        self.wire.published(&Exchange::Tasks)
    }

    fn to_others(&self) -> Vec<Message> {
        self.wire.published(&Exchange::Foreign("billing".into()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_says_which_run_under_which_fence_and_never_what_to_run() {
    let bench = Bench::new(on_worker());
    assert_eq!(bench.hand_over().await, Carried::HandedOver);
    let [request] = &bench.requests()[..] else { panic!("one request") };
    let entry = bench.entry().await;
    assert_eq!((entry.state, &*request.key), (State::Published, "task.prod.default.close"));
    assert_eq!(request.id, format!("{}.1", entry.id));
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["data"]["fencing_token"], entry.attempts[0].fence.0);
    assert!(body["data"].get("action").is_none() && !body.to_string().contains("command"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_is_a_failure_with_its_reason() {
    let bench = Bench::new(on_worker());
    bench.wire.next_fates([Fate::Refused]);
    assert!(matches!(bench.hand_over().await, Carried::Settled(_)));
    let entry = bench.entry().await;
    assert_eq!((entry.state, entry.message.as_deref()), (State::Failed, Some("it is full")));
}

#[tokio::test(start_paused = true)]
async fn without_a_confirmation_a_request_is_sent_again_under_the_same_fence_and_runs_once() {
    let bench = Bench::new(on_worker());
    bench.wire.next_fates([Fate::Unconfirmed, Fate::Lost]);
    assert_eq!(bench.hand_over().await, Carried::HandedOver);
    let requests = bench.requests();
    assert_eq!(requests.len(), 2, "one came without a confirmation, one was lost, one was confirmed");
    assert_eq!(requests[0], Message { at: requests[0].at, ..requests[1].clone() });
    bench.work(&[&bench.job], requests).await;
    let entry = bench.entry().await;
    assert_eq!((entry.state, entry.attempts.len()), (State::Succeeded, 1));
    assert_eq!(bench.wire.settled(), (2, 0), "both are acknowledged, one of them dropped");
    assert!(bench.wire.published(&Exchange::Dead).is_empty());
    let events = bench.store.events(0, 100).await.unwrap();
    let refused =
        events.iter().filter(|(_, event)| matches!(&event.what, What::Fenced { tried, .. } if tried == "start"));
    assert_eq!(refused.count(), 1, "the copy is on record");
}

#[tokio::test(start_paused = true)]
async fn while_the_broker_is_away_the_claim_is_kept_and_sent_when_it_is_back() {
    let bench = Bench::new(on_worker());
    bench.wire.set_away(true);
    let parts = bench.parts("web.1", Port::new(&bench.wire));
    let lease = bench.win(&parts).await;
    let sending = bench.begin(parts, lease);
    sleep(secs(25)).await;
    assert_eq!(bench.phases().await, [Phase::Claimed], "longer than a claim lasts unless renewed");
    bench.wire.set_away(false);
    assert_eq!(sending.await.unwrap(), Carried::HandedOver);
    assert_eq!((bench.requests().len(), bench.entry().await.attempts.len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_replica_without_a_way_to_the_broker_gives_the_run_back_to_one_that_has() {
    let bench = Bench::new(on_worker());
    let port = Port::new(&bench.wire);
    port.cut();
    let parts = bench.parts("web.1", port);
    let lease = bench.win(&parts).await;
    let run_id = lease.work.run_id;
    let (began, sent) = (Instant::now(), bench.begin(parts, lease).await.unwrap());
    assert!(matches!(sent, Carried::GivenBack(_)) && began.elapsed() < secs(60), "{sent:?}");
    let other = bench.parts("web.2", Port::new(&bench.wire));
    let fence = bench.store.view(&bench.job.name, None).await.unwrap().record.open[0].fence;
    let lease = bench.claim(&other, Target::Open { run_id, fence }).await;
    assert_eq!(handover::carry(&other, &bench.job, lease).await, Carried::HandedOver);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_dies_before_or_after_it_sent_is_followed_and_its_request_is_outdated() {
    for fates in [vec![Fate::Slow(secs(3600))], vec![]] {
        let bench = Bench::new(on_worker());
        let is_sent = fates.is_empty();
        bench.wire.next_fates(fates);
        let parts = bench.parts("web.1", Port::new(&bench.wire));
        let lease = bench.win(&parts).await;
        let run_id = lease.work.run_id;
        let sending = bench.begin(parts, lease);
        while bench.requests().is_empty() == is_sent || bench.phases().await != [Phase::Published] {
            sleep(secs(1) / 1000).await;
        }
        sending.abort();
        sleep(bench.job.patience(start_of_time(), start_of_time()) + secs(1)).await;
        let fence = bench.store.view(&bench.job.name, None).await.unwrap().record.open[0].fence;
        let other = bench.parts("web.2", Port::new(&bench.wire));
        let lease = bench.claim(&other, Target::Open { run_id, fence }).await;
        assert_eq!(handover::carry(&other, &bench.job, lease).await, Carried::HandedOver);
        let requests = bench.requests();
        assert_eq!(requests.len(), 1 + usize::from(is_sent));
        bench.work(&[&bench.job], requests).await;
        let entry = bench.entry().await;
        let starts = entry.attempts.iter().filter(|attempt| attempt.started_at.is_some());
        assert_eq!((entry.state, starts.count()), (State::Succeeded, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_cancelled_meanwhile_starts_nothing() {
    let bench = Bench::new(on_worker());
    bench.hand_over().await;
    let run_id = bench.entry().await.id.parse().unwrap();
    bench.store.apply(&bench.job.name, &Op::Cancel { run_id, by: "ops".into() }).await.unwrap();
    assert_eq!(bench.entry().await.state, State::Cancelled, "at once: nobody had begun it");
    bench.work(&[&bench.job], bench.requests()).await;
    assert_eq!((bench.entry().await.state, bench.wire.settled()), (State::Cancelled, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_message_to_another_service_is_filled_in_and_done_when_it_is_confirmed() {
    let bench = Bench::new(message(Completion::Confirm));
    assert!(matches!(bench.hand_over().await, Carried::Settled(_)));
    let [sent] = &bench.to_others()[..] else { panic!("one message") };
    let entry = bench.entry().await;
    assert_eq!((entry.state, &*sent.key), (State::Succeeded, "close.2026-11-22"));
    assert_eq!(sent.body, format!(r#"{{"run":"{}","full":true}}"#, entry.id).into_bytes());
    assert_eq!((sent.priority, &*sent.content_type), (Some(3), "application/json"));
    assert_eq!(sent.headers["cronclave-run-id"], entry.id);
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_confirmation_is_lost_is_sent_again_only_where_the_job_says_so() {
    for (delivery, sent, state) in
        [(Delivery::AtMostOnce, 1, State::Lost), (Delivery::AtLeastOnce, 2, State::Succeeded)]
    {
        let bench = Bench::with(every("close", 60).with(|job| {
            job.task = message(Completion::Confirm);
            job.delivery = delivery;
        }));
        bench.wire.next_fates([Fate::Unconfirmed]);
        bench.hand_over().await;
        let messages = bench.to_others();
        assert_eq!((messages.len(), bench.entry().await.state), (sent, state));
        assert!(messages.iter().all(|message| message.id == messages[0].id), "a copy is known by its id");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_awaits_its_result_leaves_the_run_open_for_the_jobs_timeout() {
    let bench = Bench::with(every("close", 60).with(|job| {
        job.task = message(Completion::Result);
        job.timeout = secs(600);
    }));
    assert_eq!(bench.hand_over().await, Carried::HandedOver);
    let open = bench.store.view(&bench.job.name, None).await.unwrap();
    let (run, left) = (&open.record.open[0], open.record.open[0].until.since(open.now));
    assert_eq!(run.phase, Phase::Running);
    assert!(left > secs(590) && left <= secs(600), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_a_worker_does_not_know_is_left_to_others_with_pauses() {
    let bench = Bench::new(on_worker());
    bench.hand_over().await;
    bench.work(&[], bench.requests()).await;
    let (acked, given_back) = bench.wire.settled();
    assert!(acked == 0 && (2..6).contains(&given_back), "{given_back} times in 20 s: the broker counts");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_neither_takes_nor_loses_does_not_cost_the_claim() {
    // Each answer comes at once, so that no single wait is long enough for a renewal.
    for task in [on_worker(), message(Completion::Confirm)] {
        let bench = Bench::with(every("close", 60).with(|job| {
            job.task = task;
            job.delivery = Delivery::AtLeastOnce;
        }));
        bench.wire.next_fates(std::iter::repeat_n(Fate::Lost, 200));
        let parts = bench.parts("web.1", Port::new(&bench.wire));
        let lease = bench.win(&parts).await;
        let sending = bench.begin(parts, lease);
        for _ in 0..25 {
            sleep(secs(1)).await;
            let open = bench.store.view(&bench.job.name, None).await.unwrap();
            assert!(open.record.open[0].until > open.now, "its lease ended while it was still sending");
        }
        sending.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_refused_long_is_given_up_when_the_lease_is_anothers() {
    let job = every("close", 60).with(|job| {
        job.task = message(Completion::Confirm);
        job.delivery = Delivery::AtLeastOnce;
    });
    let bench = Bench::with(job);
    bench.wire.next_fates(std::iter::repeat_n(Fate::Lost, 200));
    let parts = bench.parts("web.1", Port::new(&bench.wire));
    let lease = bench.win(&parts).await;
    let run_id = lease.work.run_id;
    let sending = bench.begin(parts, lease);
    sleep(secs(5)).await;
    let fence = bench.store.view(&bench.job.name, None).await.unwrap().record.open[0].fence;
    let evict = Op::Evict { run_id, fence, by: "ops".into() };
    bench.store.apply(&bench.job.name, &evict).await.unwrap();
    let (began, sent) = (Instant::now(), sending.await.unwrap());
    assert!(matches!(sent, Carried::NotStarted(_)) && began.elapsed() < secs(15), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_in_a_queue_does_not_start_while_its_job_is_paused() {
    let bench = Bench::new(on_worker());
    bench.hand_over().await;
    bench.store.apply(&bench.job.name, &Op::Pause { until: None, reason: None, by: None }).await.unwrap();
    bench.work(&[&bench.job], bench.requests()).await;
    let entry = bench.entry().await;
    assert!(entry.attempts[0].started_at.is_none(), "{entry:?}");
    assert_eq!(bench.phases().await, [Phase::Waiting], "to be asked for again when it is resumed");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_awaits_its_result_is_cancelled_at_once() {
    let bench = Bench::with(every("close", 60).with(|job| {
        job.task = message(Completion::Result);
        job.timeout = secs(600);
    }));
    bench.hand_over().await;
    let run_id = bench.entry().await.id.parse().unwrap();
    bench.store.apply(&bench.job.name, &Op::Cancel { run_id, by: "ops".into() }).await.unwrap();
    assert_eq!(bench.entry().await.state, State::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn the_later_a_run_is_the_more_seldom_its_request_is_repeated() {
    let job = every("close", 60).with(|job| job.start_within = Some(secs(30)));
    let at = start_of_time();
    let patience = |late: u64| job.patience(at, at.plus(secs(late)));
    assert_eq!([patience(0), patience(20), patience(90), patience(86_400)], [30, 30, 90, 3600].map(secs));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_dead_and_the_worker_goes_on() {
    let bench = Bench::new(on_worker());
    bench.hand_over().await;
    let [good] = &bench.requests()[..] else { panic!("one request") };
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut body: serde_json::Value = serde_json::from_slice(&good.body).unwrap();
        change(&mut body);
        Message { body: body.to_string().into_bytes(), ..good.clone() }
    };
    let bad = [
        Message { body: b"\xff{".into(), ..good.clone() },
        Message { body: vec![b' '; 2 << 20], ..good.clone() },
        with(&|body| body["type"] = "dev.cronclave.task.requested.v2".into()),
        with(&|body| body["source"] = "urn:cronclave:cluster:other".into()),
        with(&|body| body["data"] = serde_json::json!({"job": "../x", "run_id": 1})),
    ];
    let count = bad.len();
    bench.work(&[&bench.job], bad.into_iter().chain([good.clone()]).collect()).await;
    assert_eq!(bench.entry().await.state, State::Succeeded);
    let reasons: Vec<String> =
        bench.wire.published(&Exchange::Dead).iter().map(|dead| dead.headers[REASON].clone()).collect();
    assert_eq!(reasons.len(), count, "{reasons:?}");
    for (reason, said) in reasons.iter().zip(["not JSON", "bytes", "v2", "other", "not a request"]) {
        assert!(reason.contains(said), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_may_begin_before_its_request_is_confirmed() {
    let bench = Bench::new(on_worker());
    bench.wire.next_fates([Fate::Slow(secs(5))]);
    let parts = bench.parts("web.1", Port::new(&bench.wire));
    let lease = bench.win(&parts).await;
    let sending = bench.begin(parts, lease);
    sleep(secs(1)).await;
    assert_eq!(bench.phases().await, [Phase::Published]);
    assert_eq!(sending.await.unwrap(), Carried::HandedOver);
}

#[tokio::test(start_paused = true)]
async fn a_request_has_the_jobs_patience_before_it_is_sent_again() {
    let bench = Bench::with(every("close", 60).with(|job| {
        job.task = on_worker();
        job.start_within = Some(secs(120));
    }));
    bench.hand_over().await;
    let view = bench.store.view(&bench.job.name, None).await.unwrap();
    let left = view.record.open[0].until.since(view.now);
    assert!(left > secs(115) && left <= secs(120), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cancelled_while_the_broker_is_away_is_not_kept_for_it() {
    let bench = Bench::new(on_worker());
    bench.wire.set_away(true);
    let parts = bench.parts("web.1", Port::new(&bench.wire));
    let lease = bench.win(&parts).await;
    let run_id = lease.work.run_id;
    let sending = bench.begin(parts, lease);
    sleep(secs(1)).await;
    bench.store.apply(&bench.job.name, &Op::Cancel { run_id, by: "ops".into() }).await.unwrap();
    sleep(secs(10)).await;
    assert_eq!(bench.entry().await.state, State::Cancelled, "with the next renewal");
    assert!(matches!(sending.await.unwrap(), Carried::Settled(_)));
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_claim_is_anothers_is_not_sent() {
    let bench = Bench::new(message(Completion::Confirm));
    let parts = bench.parts("web.1", Port::new(&bench.wire));
    let lease = bench.win(&parts).await;
    let evict = Op::Evict { run_id: lease.work.run_id, fence: lease.work.fence, by: "ops".into() };
    bench.store.apply(&bench.job.name, &evict).await.unwrap();
    let carried = handover::carry(&parts, &bench.job, lease).await;
    assert!(matches!(carried, Carried::NotStarted(_)), "{carried:?}");
    assert!(bench.to_others().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_is_acknowledged_when_its_run_has_ended_or_the_broker_would_lose_patience() {
    for (takes, until) in [(20, 20), (300, 45)] {
        let bench = Bench::new(on_worker());
        bench.hand_over().await;
        let parts = bench.parts("worker.1", Port::new(&bench.wire));
        let parts = Parts { runner: Arc::new(Slow(secs(takes))), ..parts };
        bench.employ(parts, &[&bench.job], bench.requests());
        sleep(secs(until - 2)).await;
        assert_eq!(bench.wire.settled(), (0, 0), "{takes} s");
        sleep(secs(4)).await;
        assert_eq!(bench.wire.settled(), (1, 0), "{takes} s");
        sleep(secs(takes)).await;
        assert_eq!(bench.entry().await.state, State::Succeeded);
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_the_worker_does_not_hear_of_is_its_own_all_the_same() {
    let bench = Bench::new(on_worker());
    bench.hand_over().await;
    let parts = bench.parts("worker.1", Port::new(&bench.wire));
    let store = Through::new(bench.store.clone(), Unheard(1.into()), Arc::default());
    bench.employ(Parts { store: Arc::new(store), ..parts }, &[&bench.job], bench.requests());
    sleep(secs(25)).await;
    assert_eq!((bench.entry().await.state, bench.wire.settled()), (State::Succeeded, (1, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_worker_could_not_begin_is_left_to_others_when_it_stops() {
    let bench = Bench::new(on_worker());
    bench.hand_over().await;
    let parts = bench.parts("worker.1", Port::new(&bench.wire));
    let store = Through::new(bench.store.clone(), Silent, Arc::default());
    let (stop, parts) = (parts.stop.clone(), Parts { store: Arc::new(store), ..parts });
    let life = bench.employ(parts, &[&bench.job], bench.requests());
    sleep(secs(5)).await;
    stop.softly();
    life.await.unwrap();
    assert_eq!(bench.wire.settled(), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_dead_stays_in_its_queue_until_the_broker_has_its_copy() {
    let bench = Bench::new(on_worker());
    bench.wire.next_fates([Fate::Lost]);
    let bad = Message { body: b"no request".into(), ..Message::default() };
    bench.work(&[&bench.job], vec![bad]).await;
    assert_eq!((bench.wire.published(&Exchange::Dead).len(), bench.wire.settled()), (1, (1, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_message_is_not_sent_unless_its_start_is_known_to_be_granted() {
    let bench = Bench::new(message(Completion::Confirm));
    let parts = bench.parts("web.1", Port::new(&bench.wire));
    let lease = bench.win(&parts).await;
    let store = Through::new(bench.store.clone(), Unheard(1.into()), Arc::default());
    let carried = handover::carry(&Parts { store: Arc::new(store), ..parts }, &bench.job, lease).await;
    assert!(matches!(carried, Carried::Unanswered(_)), "{carried:?}");
    assert!(bench.to_others().is_empty());
}

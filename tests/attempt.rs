//! One lease, from its win to its end: what its code is told, and when, and what is on record then. Time is tokio's
//! paused one.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/jobs.rs"]
mod jobs;
#[path = "common/through.rs"]
mod through;
#[path = "common/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cronclave::attempt::{self, Carried};
use cronclave::clock::Clock;
use cronclave::job::Job;
use cronclave::lease::{Ended, Lease, Outcome, RunId, Token, Trigger, Work};
use cronclave::ledger::{Entry, State};
use cronclave::parts::Parts;
use cronclave::race::{self, Race};
use cronclave::record::{Bid, Key, Op, Open, Phase, Reply, Target};
use cronclave::runner::{Chunk, Control, Halt, Runner, Stream};
use cronclave::store::{Create, Memory, Query, Sqlite, Store};
use jobs::{every, secs, start_of_time};
use through::{Call, Hook, Through};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Code that runs for so long unless it is told to end, and notes what it was told.
struct Code {
    length: Duration,
    saw: Arc<Mutex<Saw>>,
}

#[derive(Clone, Default)]
struct Saw {
    work: Option<Work>,
    began: Option<Instant>,
    /// Until when its lease was to be trusted, each time that changed.
    trusted: Vec<Instant>,
    /// When it was told to end, and how long it had.
    halted: Option<(Instant, Duration)>,
}

#[async_trait]
impl Runner for Code {
    async fn run(&self, _: &Job, work: &Work, mut control: Control) -> Ended {
        let note = |change: &dyn Fn(&mut Saw)| change(&mut self.saw.lock().unwrap());
        note(&|saw| (saw.work, saw.began) = (Some(work.clone()), Some(Instant::now())));
        let mut trusted = control.trusted_until.clone();
        let noting = async {
            loop {
                let until = *trusted.borrow_and_update();
                note(&|saw| saw.trusted.push(until));
                if trusted.changed().await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await
        };
        let told = async { control.halt.wait_for(|halt| *halt != Halt::Go).await.map(|halt| *halt) };
        let ended = tokio::select! {
            () = sleep(self.length) => Ended::succeeded(),
            told = told => {
                let Ok(Halt::Stop { grace }) = told else { panic!("nobody is there to tell it") };
                note(&|saw| saw.halted = Some((Instant::now(), grace)));
                Ended::because(Outcome::Failed, "it was told to end")
            }
            () = noting => unreachable!("it goes on and on"),
        };
        let last = Chunk { stream: Stream::Stdout, bytes: b"last words".to_vec() };
        control.output.send(last).await.unwrap();
        ended
    }
}

/// The way to the store.
#[derive(Default)]
struct Way {
    down: AtomicBool,
    /// So many seconds pass between an answer and its arrival.
    slow: AtomicU64,
}

struct On(Arc<Way>);

#[async_trait]
impl Hook for On {
    async fn before(&self, _: &Call<'_>) {
        while self.0.down.load(Ordering::SeqCst) {
            sleep(secs(1) / 10).await;
        }
    }
    async fn after(&self, call: &Call<'_>) {
        let slow = self.0.slow.load(Ordering::SeqCst);
        if let Call::Apply(Op::Start { .. } | Op::Renew { .. } | Op::Claim(_)) = call
            && slow > 0
        {
            sleep(secs(slow)).await;
        }
    }
}

struct Bench {
    job: Arc<Job>,
    store: Arc<Memory>,
    clock: Clock,
    parts: Parts,
    way: Arc<Way>,
    saw: Arc<Mutex<Saw>>,
}

impl Bench {
    fn new(job: Job, length: u64) -> Bench {
        let clock = Clock::starting_at(start_of_time());
        let (store, way, saw) = (Arc::new(Memory::new(clock.clone())), Arc::<Way>::default(), Arc::default());
        let through = Through::new(store.clone(), On(way.clone()), Arc::default());
        let runner = Arc::new(Code { length: secs(length), saw: Arc::clone(&saw) });
        let parts = Parts { runner, ..wire::parts(Arc::new(through), clock.clone(), "web.1") };
        Bench { job: Arc::new(job), store, clock, parts, way, saw }
    }

    /// Claims a run and leaves its start to a commit of its own, as a worker finds it.
    async fn claim(&self) -> Lease {
        let Lease { work, token, .. } = self.win().await;
        let released = Op::Release { key: Key { run_id: work.run_id, fence: work.fence, token } };
        self.store.apply(&self.job.name, &released).await.unwrap();
        let asked = Instant::now();
        let bid = Bid {
            target: Target::Open { run_id: work.run_id, fence: work.fence },
            token: Token::fresh(),
            holder: "web.1".into(),
            ttl: secs(10),
            overlap: self.job.overlap,
            delivery: self.job.delivery,
            mutex: None,
            start: None,
        };
        let answer = self.store.apply(&self.job.name, &Op::Claim(bid.clone())).await.unwrap();
        let Reply::Won(open) = &answer.reply else { panic!("{:?}", answer.reply) };
        let (work, trusted_until) = (race::work(&self.job, open, &answer.view), asked + secs(10));
        Lease { work, token: bid.token, trusted_until, ttl: self.job.lease, not_before: asked, started: None }
    }

    async fn win(&self) -> Lease {
        let trigger = Trigger::Manual { by: None, reason: None };
        let args = BTreeMap::from([("day".to_owned(), "monday".to_owned())]);
        let run_id = RunId::fresh(self.clock.now());
        self.race(Target::Request { run_id, at: None, trigger, args, expect: None }).await
    }

    /// Wins the first occurrence by a bid at `from` that is answered after so many seconds; so slow the store stays.
    async fn win_first(&self, from: Duration, slow: u64) -> Lease {
        self.store.apply(&self.job.name, &Op::Register { spec: self.job.spec() }).await.unwrap();
        let expect = self.store.view(&self.job.name, None).await.unwrap().record.cursor.unwrap();
        let due = self.job.next_open(expect).unwrap();
        sleep(from).await;
        self.way.slow.store(slow, Ordering::SeqCst);
        self.race(Target::Next { expect, passes: Vec::new(), at: due, due }).await
    }

    async fn race(&self, target: Target) -> Lease {
        match race::run(&self.parts, &self.job, target, self.clock.now(), 1).await.unwrap() {
            Race::Won(lease, _) => *lease,
            Race::Lost(answer) => panic!("{:?}", answer.reply),
        }
    }

    /// Wins a run and begins it.
    async fn begin(&self) -> JoinHandle<Carried> {
        let (parts, job, lease) = (self.parts.clone(), self.job.clone(), self.win().await);
        tokio::spawn(async move { attempt::run(&parts, &job, lease).await })
    }

    async fn ask(&self, op: impl Fn(&Open) -> Op) {
        let run = self.store.view(&self.job.name, None).await.unwrap().record.open.remove(0);
        self.store.apply(&self.job.name, &op(&run)).await.unwrap();
    }

    async fn entry(&self) -> Entry {
        self.store.history(&Query::default()).await.unwrap().remove(0)
    }

    fn saw(&self) -> Saw {
        self.saw.lock().unwrap().clone()
    }

    /// How long after its code began it was told to end, and how long it had.
    fn halted(&self) -> (Duration, Duration) {
        let saw = self.saw();
        let (when, grace) = saw.halted.expect("it was told to end");
        (when - saw.began.unwrap(), grace)
    }
}

/// Whole seconds: timers are a moment late.
fn about(time: Duration) -> u64 {
    (time + secs(1) / 10).as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_run_longer_than_many_leases_is_never_without_one() {
    let bench = Bench::new(every("a", 60), 300);
    let running = bench.begin().await;
    for _ in 0..295 {
        sleep(secs(1)).await;
        let view = bench.store.view(&bench.job.name, None).await.unwrap();
        assert!(view.record.open[0].until.since(view.now) >= secs(15), "it is renewed long before it ends");
    }
    assert!(matches!(running.await.unwrap(), Carried::Settled(Ended { outcome: Outcome::Succeeded, .. })));
    assert_eq!((bench.entry().await.state, bench.saw().halted), (State::Succeeded, None));
}

#[tokio::test(start_paused = true)]
async fn a_lease_counts_from_when_it_was_asked_for() {
    let bench = Bench::new(every("a", 60), 60);
    let lease = bench.claim().await;
    bench.way.slow.store(5, Ordering::SeqCst);
    let asked = Instant::now();
    attempt::run(&bench.parts, &bench.job, lease).await;
    let saw = bench.saw();
    assert_eq!(about(saw.began.unwrap() - asked), 5);
    let trusted: Vec<u64> = saw.trusted.iter().map(|until| about(*until - asked)).take(3).collect();
    assert_eq!(trusted, [30, 10 + 30, 20 + 30], "however long the answers took");
}

#[tokio::test(start_paused = true)]
async fn code_whose_claim_was_answered_late_begins_with_a_lease_that_is_renewed() {
    let bench = Bench::new(every("a", 60), 25);
    // Longer than a third of its lease, and not so long that nothing of it is left.
    let lease = bench.win_first(secs(60), 19).await;
    bench.way.slow.store(0, Ordering::SeqCst);
    assert!(matches!(attempt::run(&bench.parts, &bench.job, lease).await, Carried::Settled(_)));
    assert_eq!((bench.entry().await.state, bench.saw().halted), (State::Succeeded, None));
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_for_a_crowd_to_begin_but_not_for_long() {
    for (lasts, waits) in [(60, 3), (2, 2)] {
        let bench = Bench::new(every("a", 60), 1);
        let lease = bench.win_first(secs(60), 0).await;
        bench.parts.waiting.set_crowd(true);
        let waiting = bench.parts.waiting.clone();
        tokio::spawn(async move {
            sleep(secs(1 + lasts)).await;
            waiting.set_crowd(false);
        });
        let begun = Instant::now();
        assert!(matches!(attempt::run(&bench.parts, &bench.job, lease).await, Carried::Settled(_)));
        assert_eq!(about(begun.elapsed()), 1 + waits);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_for_which_somebody_waits_is_written_down_at_once_in_a_crowd_as_well() {
    const ASKED: &str = "somebody asked for it";
    let cases = [
        ("its next occurrence is near", 1, every("a", 6)),
        ("its lease ends soon", 1, every("a", 60).with(|job| job.lease = secs(6))),
        ("others want its mutex", 1, every("a", 60).with(|job| job.mutex = Some("m".into()))),
        ("it failed", 100, every("a", 60).with(|job| job.timeout = secs(1))),
        (ASKED, 1, every("a", 60)),
    ];
    for (why, length, job) in cases {
        let first = job.next_open(start_of_time()).unwrap().since(start_of_time());
        let bench = Bench::new(job, length);
        let lease = if why == ASKED { bench.win().await } else { bench.win_first(first, 0).await };
        bench.parts.waiting.set_crowd(true);
        let begun = Instant::now();
        let carried = attempt::run(&bench.parts, &bench.job, lease).await;
        assert!(matches!(carried, Carried::Settled(_)), "{why}: {carried:?}");
        assert_eq!(about(begun.elapsed()), 1, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_lapsed_before_it_began_does_not_run() {
    let bench = Bench::new(every("a", 60), 1);
    let lease = bench.claim().await;
    sleep(secs(11)).await;
    let carried = attempt::run(&bench.parts, &bench.job, lease).await;
    assert!(matches!(carried, Carried::NotStarted(_)), "{carried:?}");
    assert!(bench.saw().began.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_started_as_it_was_won_runs_without_another_word_to_the_store() {
    let bench = Bench::new(every("a", 60), 1);
    let lease = bench.win().await;
    assert_eq!(lease.started, Some(bench.clock.now()));
    let run = bench.store.view(&bench.job.name, None).await.unwrap().record.open.remove(0);
    assert_eq!((run.phase, run.started_at), (Phase::Running, Some(bench.clock.now())));
    bench.way.slow.store(5, Ordering::SeqCst);
    let asked = Instant::now();
    assert!(matches!(attempt::run(&bench.parts, &bench.job, lease).await, Carried::Settled(_)));
    assert_eq!(about(bench.saw().began.unwrap() - asked), 0, "no answer was waited for");
}

#[tokio::test(start_paused = true)]
async fn what_was_started_ahead_runs_although_the_store_goes_away_before_it_says_so() {
    let bench = Bench::new(every("a", 60), 1);
    // Longer than a claim ahead of its instant lasts.
    let lease = bench.win_first(Duration::from_millis(59_700), 5).await;
    assert_eq!(lease.started, Some(start_of_time().plus(secs(60))));
    assert!(matches!(attempt::run(&bench.parts, &bench.job, lease).await, Carried::Settled(_)));
    assert_eq!(bench.entry().await.state, State::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn what_was_started_as_it_was_won_does_not_run_once_it_is_lost() {
    let bench = Bench::new(every("a", 60), 1);
    let lease = bench.win().await;
    sleep(secs(31)).await;
    bench.ask(|run| Op::Reap { run_id: run.run_id, fence: run.fence, phase: run.phase }).await;
    let carried = attempt::run(&bench.parts, &bench.job, lease).await;
    assert!(matches!(carried, Carried::Unanswered(_)), "{carried:?}");
    assert!(bench.saw().began.is_none());
}

#[tokio::test(start_paused = true)]
async fn code_is_given_what_the_store_knows_of_its_run() {
    let bench = Bench::new(every("a", 60), 1);
    let mut lease = bench.claim().await;
    let known = std::mem::take(&mut lease.work.args);
    // As a worker has it: its request says hardly more than which run it is.
    lease.work.attempt = 7;
    attempt::run(&bench.parts, &bench.job, lease).await;
    let work = bench.saw().work.unwrap();
    assert_eq!((work.args, work.attempt), (known, 1));
}

#[tokio::test(start_paused = true)]
async fn code_that_takes_too_long_is_stopped_and_that_is_on_record() {
    let bench = Bench::new(every("a", 60).with(|job| job.timeout = secs(100)), 1000);
    bench.begin().await.await.unwrap();
    let (when, grace) = bench.halted();
    assert_eq!((about(when), grace), (100, secs(3)));
    assert_eq!(bench.entry().await.state, State::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn code_has_no_longer_to_end_than_a_third_of_its_lease() {
    let bench = Bench::new(
        every("a", 60).with(|job| {
            job.timeout = secs(100);
            job.kill_after = secs(60);
        }),
        1000,
    );
    bench.begin().await.await.unwrap();
    assert_eq!(bench.halted().1, secs(10));
}

#[tokio::test(start_paused = true)]
async fn code_is_told_to_end_in_time_when_its_lease_cannot_be_renewed() {
    let bench = Bench::new(every("a", 60), 1000);
    let running = bench.begin().await;
    sleep(secs(1)).await;
    bench.way.down.store(true, Ordering::SeqCst);
    sleep(secs(60)).await;
    let (when, grace) = bench.halted();
    assert_eq!((about(when), grace), (27, secs(3)), "a lease of 30 s");
    bench.way.down.store(false, Ordering::SeqCst);
    assert!(matches!(running.await.unwrap(), Carried::Settled(_)), "nobody else took it");
    assert_eq!(bench.entry().await.state, State::Lost);
}

#[tokio::test(start_paused = true)]
async fn code_whose_run_is_anothers_is_killed_at_once() {
    let bench = Bench::new(every("a", 60), 1000);
    let running = bench.begin().await;
    sleep(secs(1)).await;
    bench.ask(|run| Op::Evict { run_id: run.run_id, fence: run.fence, by: "ops".into() }).await;
    let carried = running.await.unwrap();
    assert!(matches!(carried, Carried::Unsettled(Ended { outcome: Outcome::Lost, .. })), "{carried:?}");
    let (when, grace) = bench.halted();
    assert_eq!((about(when), grace), (10, Duration::ZERO), "with the next renewal");
}

#[tokio::test(start_paused = true)]
async fn code_that_is_to_be_cancelled_is_told_with_the_next_renewal() {
    let bench = Bench::new(every("a", 60), 1000);
    let running = bench.begin().await;
    sleep(secs(1)).await;
    bench.ask(|run| Op::Cancel { run_id: run.run_id, by: "ops".into() }).await;
    running.await.unwrap();
    let (when, grace) = bench.halted();
    assert_eq!((about(when), grace), (10, secs(3)));
    assert_eq!(bench.entry().await.state, State::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn what_code_printed_last_is_kept() {
    let bench = Bench::new(every("a", 60), 0);
    bench.begin().await.await.unwrap();
    let run_id = bench.entry().await.id.parse().unwrap();
    let kept = bench.store.read_output(run_id, 0).await.unwrap();
    assert_eq!(kept.iter().map(|(_, piece)| piece.bytes.as_slice()).collect::<Vec<_>>(), [b"last words"]);
}

/// In real time: a file's answers come from a thread.
#[tokio::test]
async fn a_clock_that_was_set_back_does_not_put_off_what_is_due_by_the_time_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(start_of_time());
    let store: Arc<dyn Store> =
        Arc::new(Sqlite::open(&dir.path().join("c.db"), Create::IfMissing, clock.clone()).unwrap());
    let parts = wire::parts(store.clone(), clock.clone(), "web.1");
    let job = every("nightly", 60);
    store.apply(&job.name, &Op::Register { spec: job.spec() }).await.unwrap();
    let cursor = store.view(&job.name, None).await.unwrap().record.cursor.unwrap();
    clock.step(60_000_000);
    store.apply(&job.name, &Op::Register { spec: 1 }).await.unwrap();
    clock.step(-3_600_000_000);
    let due = start_of_time().plus(secs(60));
    let seen = store.view(&job.name, None).await.unwrap().now;
    assert!(seen >= due, "the file's time does not go back");
    let target = Target::Next { expect: cursor, passes: Vec::new(), at: due, due };
    let Race::Won(lease, _) = race::run(&parts, &job, target, seen, 1).await.unwrap() else { panic!("it is due") };
    assert!(lease.not_before <= Instant::now(), "it is put off by {:?}", lease.not_before - Instant::now());
}

#[tokio::test(start_paused = true)]
async fn what_is_long_due_is_bid_for_at_once_and_what_is_due_now_after_a_random_pause() {
    let (mut now, mut late) = (Duration::ZERO, Duration::ZERO);
    for (behind, waited) in [(0, &mut now), (1, &mut late)] {
        for _ in 0..20 {
            let clock = Clock::standing_at(start_of_time());
            let store: Arc<dyn Store> = Arc::new(Memory::new(clock.clone()));
            let parts = wire::parts(store.clone(), clock.clone(), "web.1");
            let job = every("nightly", 60);
            let answer = store.apply(&job.name, &Op::Register { spec: job.spec() }).await.unwrap();
            let due = start_of_time().plus(secs(60));
            clock.step(60_000_000 + behind * 1_000_000);
            let expect = answer.view.record.cursor.unwrap();
            let target = Target::Next { expect, passes: Vec::new(), at: due, due };
            let began = Instant::now();
            let race = race::run(&parts, &job, target, clock.now(), 1).await.unwrap();
            assert!(matches!(race, Race::Won(..)), "nobody else wants it");
            *waited += began.elapsed();
        }
    }
    assert!(now > Duration::ZERO && now <= race::SPREAD * 20, "{now:?}");
    assert_eq!(late, Duration::ZERO, "it holds a place meanwhile");
}

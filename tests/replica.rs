//! One replica in paused time: what it does at the edges of its life.
#![allow(clippy::unwrap_used)]

#[path = "common/jobs.rs"]
mod jobs;
#[path = "common/through.rs"]
mod through;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use cronclave::broker::NoBroker;
use cronclave::check::Check;
use cronclave::clock::{Clock, Timestamp};
use cronclave::event::{Away, Bus, Told};
use cronclave::job::{Job, Overlap};
use cronclave::lease::{Ended, RunId, Token, Trigger, Work};
use cronclave::ledger::State;
use cronclave::parts::{Dice, Parts};
use cronclave::record::{Bid, Op, Phase, Record, Reply, Target};
use cronclave::replica::{Identity, Jobs, Pulse, Setup};
use cronclave::runner::{Control, Halt, Runner};
use cronclave::schedule::{Rules, Schedule, Zone};
use cronclave::stop::Stop;
use cronclave::store::{Memory, Query, Replica, Store, StoreError, Trouble};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use jobs::{every, secs, start_of_time};
use through::{Call, Hook, Through};

/// Which jobs' code began, and when.
type Began = Arc<Mutex<Vec<(String, Timestamp)>>>;

/// Runs for a while, or until told to stop; notes when it began and how many ran side by side.
struct Sleeper {
    length: Duration,
    clock: Clock,
    began: Began,
    going: AtomicUsize,
    most: Arc<AtomicUsize>,
}

#[async_trait]
impl Runner for Sleeper {
    async fn run(&self, job: &Job, _work: &Work, mut control: Control) -> Ended {
        self.began.lock().unwrap().push((job.name.to_string(), self.clock.now()));
        let going = self.going.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(going, Ordering::SeqCst);
        tokio::select! {
            () = sleep(self.length) => {}
            _ = control.halt.wait_for(|halt| *halt != Halt::Go) => {}
        }
        self.going.fetch_sub(1, Ordering::SeqCst);
        Ended::succeeded()
    }
}

/// A replica on a store of its own.
struct Alone {
    store: Arc<dyn Store>,
    parts: Parts,
    jobs: watch::Sender<Arc<Jobs>>,
    pulse: watch::Receiver<Pulse>,
    began: Began,
    most: Arc<AtomicUsize>,
    life: JoinHandle<()>,
}

fn at(second: u64) -> Timestamp {
    start_of_time().plus(secs(second))
}

fn named(jobs: Vec<Job>) -> Arc<Jobs> {
    let by_name: BTreeMap<_, _> = jobs.into_iter().map(|job| (job.name.clone(), Arc::new(job))).collect();
    Arc::new(Jobs { by_name: by_name.into_iter().collect(), digest: "d".into(), ..Jobs::default() })
}

impl Alone {
    fn on(
        wrap: impl FnOnce(Arc<Memory>) -> Arc<dyn Store>,
        jobs: Vec<Job>,
        length: Duration,
        max_parallel: usize,
    ) -> Alone {
        let clock = Clock::starting_at(start_of_time());
        let store = wrap(Arc::new(Memory::new(clock.clone())));
        let (began, most) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicUsize>::default());
        let runner = Sleeper {
            length,
            clock: clock.clone(),
            began: began.clone(),
            going: AtomicUsize::new(0),
            most: most.clone(),
        };
        let parts = Parts {
            broker: Arc::new(NoBroker),
            cluster: "default".into(),
            store: store.clone(),
            runner: Arc::new(runner),
            bus: Bus::default(),
            stop: Stop::default(),
            clock,
            dice: Dice::seeded(7),
            holder: "alone".into(),
            claim_ttl: Parts::CLAIM_TTL,
            tap: None,
            nudges: cronclave::parts::Nudges::default(),
            waiting: cronclave::parts::Waiting::default(),
        };
        let (jobs_in, jobs_out) = watch::channel(named(jobs));
        let (pulse_in, pulse) = watch::channel(Pulse::default());
        let setup = Setup { identity: Identity::default(), max_parallel, grace: secs(5) };
        let life = tokio::spawn(cronclave::replica::run(parts.clone(), setup, jobs_out, pulse_in));
        Alone { store, parts, jobs: jobs_in, pulse, began, most, life }
    }

    fn starts(&self) -> usize {
        self.began.lock().unwrap().len()
    }

    async fn states(&self) -> Vec<State> {
        let mut all = self.store.history(&Query::default()).await.unwrap();
        all.reverse();
        all.iter().map(|entry| entry.state).collect()
    }

    async fn end(self) {
        self.parts.stop.softly();
        self.life.await.unwrap();
    }
}

fn by_hand(name: &str) -> Job {
    let schedule = Schedule::parse("@manual", &Zone::utc(), Rules::default(), name).unwrap();
    Job { schedule: Arc::new(schedule), ..every(name, 1) }
}

fn request(id: &str, job: &Job) -> Op {
    Op::Trigger {
        run_id: RunId::of_request(&job.name, id),
        at: None,
        trigger: Trigger::Manual { by: None, reason: None },
        args: BTreeMap::new(),
        overlap: Overlap::Skip,
        expect: None,
        on_record: false,
    }
}

/// The first answer to "what changed" takes its time.
struct SlowToListen;

#[async_trait]
impl Hook for SlowToListen {
    async fn before(&self, call: &Call<'_>) {
        if matches!(call, Call::Changed(0)) {
            sleep(secs(2)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_made_while_a_replica_begins_to_listen_is_not_overlooked() {
    let job = by_hand("asked");
    let wrap = |inner: Arc<Memory>| -> Arc<dyn Store> { Arc::new(Through::new(inner, SlowToListen, Arc::default())) };
    let alone = Alone::on(wrap, vec![job.clone()], secs(1), 10);
    sleep(secs(1)).await;
    alone.store.apply(&job.name, &request("r", &job)).await.unwrap();
    sleep(secs(4)).await;
    assert_eq!(alone.starts(), 1, "it waits for the next review of everything");
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_won_ahead_of_its_instant_begins_on_the_instant() {
    let jobs = (0..20).map(|n| every(&format!("job-{n}"), 60)).collect();
    let alone = Alone::on(|store| store, jobs, secs(1), 100);
    sleep(Duration::from_millis(59_700)).await;
    let won = alone.store.snapshot().await.unwrap();
    assert!(won.records.busy().all(|(_, record)| record.open.len() == 1), "they are won");
    assert_eq!(alone.starts(), 0, "and wait");
    sleep(secs(5)).await;
    let began = alone.began.lock().unwrap().clone();
    assert_eq!(began.len(), 20);
    assert!(began.iter().all(|(_, began)| *began == at(60)), "{began:?}");
    alone.end().await;
}

/// So many jobs that it pays to start them as they are won.
fn crowd() -> Vec<Job> {
    (0..200).map(|n| every(&format!("job-{n}"), 60)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_crowd_is_won_shortly_before_its_instant_and_started_in_the_same_step() {
    let alone = Alone::on(|store| store, crowd(), secs(1), 300);
    sleep(Duration::from_millis(59_600)).await;
    let seen = alone.store.snapshot().await.unwrap();
    assert!(seen.records.busy().all(|(_, record)| record.open.is_empty()), "who dies now has begun nothing");
    sleep(Duration::from_millis(395)).await;
    let won = alone.store.snapshot().await.unwrap();
    let started = |record: &Record| record.open.iter().map(|run| (run.phase, run.started_at)).collect::<Vec<_>>();
    assert!(won.records.busy().all(|(_, record)| started(record) == [(Phase::Running, Some(at(60)))]));
    assert_eq!(alone.starts(), 0, "they wait for the instant");
    sleep(secs(5)).await;
    let began = alone.began.lock().unwrap().clone();
    assert_eq!(began.len(), 200);
    assert!(began.iter().all(|(_, began)| *began == at(60)), "{began:?}");
    assert!(alone.states().await.iter().all(|state| *state == State::Succeeded));
    alone.end().await;
}

/// Notes how many had begun when the first end was to be written down.
#[derive(Clone, Default)]
struct Order {
    began: Arc<OnceLock<Began>>,
    seen: Arc<OnceLock<usize>>,
}

#[async_trait]
impl Hook for Order {
    async fn before(&self, call: &Call<'_>) {
        if let (Call::Apply(Op::Settle { .. }), Some(began)) = (call, self.began.get()) {
            self.seen.get_or_init(|| began.lock().unwrap().len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_crowd_all_begin_before_the_first_end_is_written_down() {
    let order = Order::default();
    let wrap = |inner| -> Arc<dyn Store> { Arc::new(Through::new(inner, order.clone(), Arc::default())) };
    let alone = Alone::on(|store| wrap(store), crowd(), Duration::ZERO, 300);
    order.began.set(alone.began.clone()).unwrap();
    sleep(secs(65)).await;
    assert_eq!((order.seen.get(), alone.starts()), (Some(&200), 200));
    alone.end().await;
}

/// The same, of a store that takes a second for each answer. Notes how many ends were being written down at most.
#[derive(Clone, Default)]
struct Slowly {
    order: Order,
    going: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[async_trait]
impl Hook for Slowly {
    async fn before(&self, call: &Call<'_>) {
        self.order.before(call).await;
        if let Call::Apply(Op::Settle { .. }) = call {
            let going = self.going.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(going, Ordering::SeqCst);
        }
    }

    async fn after(&self, call: &Call<'_>) {
        if let Call::Apply(Op::Claim(_) | Op::Settle { .. }) = call {
            sleep(secs(1)).await;
        }
        if let Call::Apply(Op::Settle { .. }) = call {
            self.going.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_more_than_are_looked_at_at_once_those_that_are_left_begin_before_ends_are_written_down_in_turn() {
    let slowly = Slowly::default();
    let wrap = |inner| -> Arc<dyn Store> { Arc::new(Through::new(inner, slowly.clone(), Arc::default())) };
    let jobs = (0..1500).map(|n| every(&format!("job-{n}"), 60)).collect();
    let alone = Alone::on(|store| wrap(store), jobs, Duration::ZERO, 5000);
    slowly.order.began.set(alone.began.clone()).unwrap();
    sleep(secs(75)).await;
    // Five hundred at a time: while the last hundreds are on their way, nobody is left to be looked at.
    let seen = slowly.order.seen.get().copied().unwrap();
    assert!((1000..=1500).contains(&seen), "{seen}");
    assert_eq!((alone.starts(), slowly.most.load(Ordering::SeqCst)), (1500, 512));
    assert!(alone.states().await.iter().all(|state| *state == State::Succeeded));
    alone.end().await;
}

/// All that changes is known without asking; how often it is asked is counted; each claim takes a second.
#[derive(Clone, Default)]
struct Knowing(Arc<AtomicUsize>);

#[async_trait]
impl Hook for Knowing {
    fn hears(&self) -> bool {
        true
    }

    async fn before(&self, call: &Call<'_>) {
        if let Call::View(_) = call {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    async fn after(&self, call: &Call<'_>) {
        if let Call::Apply(Op::Claim(_)) = call {
            sleep(secs(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_win_while_it_waits_to_be_looked_at_is_not_looked_at() {
    let (told, inner) = (Knowing::default(), Arc::<OnceLock<Arc<Memory>>>::default());
    let wrap = |store: Arc<Memory>| -> Arc<dyn Store> {
        let _ = inner.set(store.clone());
        Arc::new(Through::new(store, told.clone(), Arc::default()))
    };
    let jobs: Vec<Job> = (0..1500).map(|n| every(&format!("job-{n}"), 60)).collect();
    let alone = Alone::on(wrap, jobs.clone(), Duration::ZERO, 5000);
    sleep(Duration::from_millis(59_950)).await;
    let (store, before) = (inner.get().unwrap(), told.0.load(Ordering::SeqCst));
    let mut left = 0;
    for job in &jobs {
        let record = store.view(&job.name, None).await.unwrap().record;
        if record.open.is_empty() {
            let target = Target::Next { expect: record.cursor.unwrap(), passes: Vec::new(), at: at(60), due: at(60) };
            let bid = Bid {
                target,
                token: Token::fresh(),
                holder: "other".into(),
                ttl: secs(10),
                overlap: job.overlap,
                delivery: job.delivery,
                mutex: None,
                start: Some(job.lease),
            };
            let answer = store.apply(&job.name, &Op::Claim(bid)).await.unwrap();
            assert!(matches!(answer.reply, Reply::Won(_)), "{:?}", answer.reply);
            left += 1;
        }
    }
    assert!((900..1100).contains(&left), "five hundred are on their way: {left}");
    sleep(secs(10)).await;
    assert_eq!((alone.starts(), told.0.load(Ordering::SeqCst)), (1500 - left, before));
    alone.end().await;
}

/// Writes down no end before it may.
#[derive(Clone, Default)]
struct SlowToWrite(Arc<Notify>);

#[async_trait]
impl Hook for SlowToWrite {
    async fn before(&self, call: &Call<'_>) {
        if matches!(call, Call::Apply(Op::Settle { .. })) {
            self.0.notified().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_when_the_code_has_ended_also_while_its_end_is_still_to_be_written_down() {
    let may = SlowToWrite::default();
    let wrap = |inner| -> Arc<dyn Store> { Arc::new(Through::new(inner, may.clone(), Arc::default())) };
    let jobs = ["first", "second", "third"].map(|name| every(name, 60)).into();
    let alone = Alone::on(|store| wrap(store), jobs, secs(2), 1);
    sleep(secs(67)).await;
    assert_eq!((alone.starts(), alone.most.load(Ordering::SeqCst)), (3, 1), "all have run, one after the other");
    assert_eq!(alone.states().await, [State::Running; 3]);
    for _ in 0..3 {
        may.0.notify_one();
        sleep(secs(1)).await;
    }
    assert_eq!(alone.states().await, [State::Succeeded; 3]);
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_was_started_ahead_is_given_back_by_a_replica_that_stops() {
    let alone = Alone::on(|store| store, crowd(), secs(1), 300);
    sleep(Duration::from_millis(59_995)).await;
    let (store, began) = (alone.store.clone(), alone.began.clone());
    alone.end().await;
    let left = store.snapshot().await.unwrap();
    let waits = |record: &Record| record.open.iter().map(|run| (run.phase, run.until)).collect::<Vec<_>>();
    assert!(left.records.busy().all(|(_, record)| waits(record) == [(Phase::Waiting, at(60))]));
    assert_eq!(began.lock().unwrap().len(), 0);
}

/// The store's clock is known to a few milliseconds only.
struct Doubtful;

#[async_trait]
impl Hook for Doubtful {
    fn doubt(&self) -> Duration {
        Duration::from_millis(7)
    }
}

#[tokio::test(start_paused = true)]
async fn by_a_clock_that_is_known_to_a_few_milliseconds_nothing_begins_early() {
    let jobs: Vec<Job> = (0..20).map(|n| every(&format!("job-{n}"), 10)).collect();
    let wrap = |inner: Arc<Memory>| -> Arc<dyn Store> { Arc::new(Through::new(inner, Doubtful, Arc::default())) };
    let alone = Alone::on(wrap, jobs, Duration::ZERO, 100);
    sleep(secs(65)).await;
    let began = alone.began.lock().unwrap().clone();
    assert_eq!(began.len(), 120);
    let late = |began: Timestamp| began.as_micros() % 10_000_000;
    assert!(began.iter().all(|(_, began)| late(*began) < 10_000), "{began:?}");
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stops_gives_back_what_it_won_ahead_and_starts_nothing() {
    let job = every("job", 60);
    let alone = Alone::on(|store| store, vec![job.clone()], secs(1), 100);
    sleep(Duration::from_millis(59_700)).await;
    let (store, began) = (alone.store.clone(), alone.began.clone());
    alone.end().await;
    let run = store.view(&job.name, None).await.unwrap().record.open.remove(0);
    assert_eq!((run.phase, run.until), (Phase::Waiting, at(60)), "whoever stays can start it on time");
    sleep(secs(5)).await;
    assert_eq!(began.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_place_is_not_taken_ahead_of_the_instant() {
    let (soon, asked) = (every("soon", 60), by_hand("asked"));
    let alone = Alone::on(|store| store, vec![soon, asked.clone()], secs(1), 1);
    sleep(Duration::from_millis(59_700)).await;
    alone.store.apply(&asked.name, &request("r", &asked)).await.unwrap();
    sleep(secs(5)).await;
    let began = alone.began.lock().unwrap().clone();
    assert_eq!(began.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["asked", "soon"]);
    assert!(began[0].1 < at(60), "it need not wait for what is not due: {began:?}");
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_is_taken_up_at_once() {
    let job = by_hand("asked");
    let alone = Alone::on(|store| store, vec![job.clone()], secs(1), 10);
    sleep(secs(30)).await;
    let asked = alone.parts.clock.now();
    alone.store.apply(&job.name, &request("r", &job)).await.unwrap();
    sleep(secs(1)).await;
    let began = alone.began.lock().unwrap()[0].1;
    assert!(began.since(asked) < Duration::from_millis(100), "after {:?}", began.since(asked));
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_runs_go_on_than_may_and_those_that_waited_get_their_turn() {
    let jobs: Vec<Job> = (0..50).map(|n| by_hand(&format!("job-{n}"))).collect();
    let alone = Alone::on(|store| store, jobs.clone(), secs(3), 4);
    sleep(secs(1)).await;
    for job in &jobs {
        alone.store.apply(&job.name, &request("r", job)).await.unwrap();
    }
    sleep(secs(50)).await;
    assert_eq!(alone.starts(), 50);
    assert_eq!(alone.most.load(Ordering::SeqCst), 4);
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn busy_jobs_do_not_starve_one_whose_name_comes_later() {
    let busy = |name: &str| every(name, 1).with(|job| job.overlap = Overlap::QueueAll);
    let asked = by_hand("zebra");
    let alone = Alone::on(|store| store, vec![busy("ape"), busy("bear"), busy("cat"), asked.clone()], secs(1), 1);
    sleep(secs(20)).await;
    alone.store.apply(&asked.name, &request("r", &asked)).await.unwrap();
    sleep(secs(10)).await;
    assert!(alone.began.lock().unwrap().iter().any(|(job, _)| job == "zebra"), "each gets its turn");
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn it_takes_over_new_jobs_and_lets_go_of_old_ones() {
    let alone = Alone::on(|store| store, vec![every("old", 10)], Duration::ZERO, 10);
    sleep(secs(25)).await;
    alone.jobs.send_replace(named(vec![every("new", 10)]));
    sleep(secs(30)).await;
    let began = alone.began.lock().unwrap().clone();
    let of = |name: &str| began.iter().filter(|(job, _)| job == name).count();
    assert_eq!((of("old"), of("new")), (2, 3));
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_once_it_has_seen_its_jobs_and_no_more_while_it_stops() {
    let alone = Alone::on(|store| store, vec![every("slow", 10)], secs(3), 10);
    assert!(!alone.pulse.borrow().ready);
    sleep(secs(11)).await;
    let pulse = alone.pulse.borrow().clone();
    assert!(pulse.ready && pulse.running == 1);
    assert_eq!(pulse.next, Some((cronclave::job::JobName::new("slow").unwrap(), start_of_time().plus(secs(20)))));
    alone.parts.stop.softly();
    sleep(secs(1)).await;
    assert!(!alone.pulse.borrow().ready && alone.pulse.borrow().stopping);
    let store = alone.store.clone();
    alone.end().await;
    let all = store.history(&Query::default()).await.unwrap();
    assert_eq!(all[0].state, State::Succeeded, "what ran was waited for");
    assert!(store.replicas().await.unwrap().is_empty(), "it said good-bye");
}

#[tokio::test(start_paused = true)]
async fn what_outlasts_the_grace_is_interrupted_and_recorded() {
    let alone = Alone::on(|store| store, vec![every("slow", 10)], secs(300), 10);
    sleep(secs(11)).await;
    alone.parts.stop.softly();
    sleep(secs(20)).await;
    assert_eq!(alone.states().await, [State::Interrupted]);
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn another_time_zone_database_among_the_replicas_is_told_once() {
    let alone = Alone::on(|store| store, vec![by_hand("asked")], secs(1), 10);
    let mut told = alone.parts.bus.listen();
    let other = |tzdb: &str| Replica {
        boot_id: "b2".into(),
        name: "web.2".into(),
        version: "0.1.0".into(),
        pid: 1,
        started_at: start_of_time(),
        last_seen_at: start_of_time(),
        config_digest: "d".into(),
        tzdb: tzdb.into(),
        jobs: 1,
        ..Replica::default()
    };
    let store = alone.store.clone();
    let beats = tokio::spawn(async move {
        for n in 0..60 {
            // For a while it is a stranger, then it was brought up to date.
            store.beat(&other(if n < 30 { "2025b" } else { "" })).await.unwrap();
            sleep(secs(5)).await;
        }
    });
    beats.await.unwrap();
    let mut warnings = Vec::new();
    while let Ok(one) = told.try_recv() {
        if let Told::Failing(Check::TzdbDiffers, text) = &*one {
            warnings.push(text.clone());
        }
    }
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("web.2 has 2025b"), "{warnings:?}");
    alone.end().await;
}

/// What was found wrong, or right again, since `told` began to listen.
fn checks(told: &mut tokio::sync::broadcast::Receiver<Arc<Told>>) -> Vec<(Check, Option<String>)> {
    std::iter::from_fn(|| {
        loop {
            match told.try_recv() {
                Ok(one) => match &*one {
                    Told::Failing(check, text) => return Some((*check, Some(text.clone()))),
                    Told::Mended(check, _) => return Some((*check, None)),
                    _ => {}
                },
                Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return None,
            }
        }
    })
    .collect()
}

fn other(digest: &str, tzdb: &str, zones: &[(&str, &str)]) -> Replica {
    Replica {
        boot_id: "b2".into(),
        name: "web.2".into(),
        version: "0.1.0".into(),
        pid: 1,
        started_at: start_of_time(),
        last_seen_at: start_of_time(),
        config_digest: digest.into(),
        tzdb: tzdb.into(),
        jobs: 1,
        zones: zones.iter().map(|(zone, hash)| ((*zone).to_owned(), (*hash).to_owned())).collect(),
        ..Replica::default()
    }
}

/// Another replica reports so for so long.
async fn beats(store: &Arc<dyn Store>, other: &Replica, time: Duration) {
    for _ in 0..time.as_secs() / 5 {
        store.beat(other).await.unwrap();
        sleep(secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_that_wait_long_for_a_place_are_told_with_the_reason_and_when_it_is_over() {
    let jobs: Vec<Job> = (0..50).map(|n| by_hand(&format!("job-{n}"))).collect();
    let alone = Alone::on(|store| store, jobs.clone(), secs(3), 1);
    let mut told = alone.parts.bus.listen();
    sleep(secs(10)).await;
    for job in &jobs {
        alone.store.apply(&job.name, &request("r", job)).await.unwrap();
    }
    sleep(secs(100)).await;
    let found = checks(&mut told);
    assert!(
        matches!(&found[..], [(Check::Lagging, Some(text))]
        if text.contains("jobs wait. All 1 places are taken (--max-parallel)")),
        "{found:?}"
    );
    assert!(alone.parts.bus.checks().failing().contains_key(&Check::Lagging));
    sleep(secs(120)).await;
    assert_eq!(checks(&mut told), [(Check::Lagging, None)]);
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn other_schedule_files_are_told_when_they_last_longer_than_a_deployment() {
    let alone = Alone::on(|store| store, vec![by_hand("asked")], secs(1), 10);
    let mut told = alone.parts.bus.listen();
    beats(&alone.store, &other("old", "", &[]), secs(500)).await;
    assert_eq!(checks(&mut told), [], "a deployment may be going on");
    beats(&alone.store, &other("old", "", &[]), secs(300)).await;
    let found = checks(&mut told);
    assert!(
        matches!(&found[..], [(Check::ConfigDiffers, Some(text))]
        if text.contains("web.2 has old, this one d")),
        "{found:?}"
    );
    beats(&alone.store, &other("d", "", &[]), secs(30)).await;
    assert_eq!(checks(&mut told), [(Check::ConfigDiffers, None)]);
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn jobs_in_a_zone_that_another_replica_knows_better_are_left_to_it() {
    let berlin = Zone::parse("Europe/Berlin").unwrap();
    let schedule = Schedule::parse("* * * * *", &berlin, Rules::default(), "there").unwrap();
    let there = Job { schedule: Arc::new(schedule), ..every("there", 1) };
    let alone = Alone::on(|store| store, vec![there.clone(), every("here", 60)], Duration::ZERO, 10);
    let starts = |job: &str| alone.began.lock().unwrap().iter().filter(|(name, _)| name == job).count();
    let newer = other("d", "2099a", &[("Europe/Berlin", "another hash")]);
    beats(&alone.store, &newer, secs(310)).await;
    assert_eq!((starts("there"), starts("here")), (0, 5));
    // Nobody who asks for it has to wait.
    alone.store.apply(&there.name, &request("r", &there)).await.unwrap();
    beats(&alone.store, &newer, secs(10)).await;
    assert_eq!(starts("there"), 1);
    // It goes away, and is not needed any more.
    sleep(secs(300)).await;
    assert!(starts("there") >= 5, "{}", starts("there"));
    // Who says the same in that zone, or knows less, is no better.
    let own = alone.store.replicas().await.unwrap().into_iter().find(|one| one.boot_id != "b2").unwrap();
    let same: Vec<(&str, &str)> = own.zones.iter().map(|(zone, hash)| (zone.as_str(), hash.as_str())).collect();
    assert_eq!(same.len(), 1, "{same:?}");
    let before = starts("there");
    beats(&alone.store, &other("d", "2099a", &same), secs(300)).await;
    assert!(starts("there") >= before + 4);
    alone.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_hour_that_the_clock_leaps_over_starts_nothing_early_and_is_believed_after_a_while() {
    let alone = Alone::on(|store| store, vec![every("often", 10)], Duration::ZERO, 10);
    let mut told = alone.parts.bus.listen();
    sleep(secs(62)).await;
    assert_eq!(alone.starts(), 6);
    alone.parts.clock.step(3_600_000_000);
    sleep(secs(60)).await;
    assert_eq!(alone.starts(), 12, "each when it is due by the time that has passed");
    let began = alone.began.lock().unwrap().clone();
    let late = |began: &Timestamp| began.as_micros() % 10_000_000;
    assert!(began.iter().all(|(_, began)| late(began) < 1_000_000), "none is won ahead and begun at once: {began:?}");
    let found = checks(&mut told);
    assert!(matches!(&found[..], [(Check::StoreClock, Some(text))] if text.contains("went 1h forward")), "{found:?}");
    sleep(secs(600)).await;
    assert_eq!(checks(&mut told), [(Check::StoreClock, None)]);
    let states = alone.states().await;
    assert!(states.contains(&State::Coalesced), "what was left out is on record");
    let before = alone.starts();
    sleep(secs(60)).await;
    assert_eq!(alone.starts(), before + 6);
    alone.end().await;
}

/// A store that answers or does not.
#[derive(Clone, Default)]
struct Switch(Arc<AtomicBool>);

#[async_trait]
impl Hook for Switch {
    fn answers(&self) -> Result<(), StoreError> {
        let kind = Trouble::Passing;
        if self.0.load(Ordering::SeqCst) { Err(StoreError { kind, message: "no answer".into() }) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_is_told_of_with_what_goes_on_and_what_waits_ever_more_rarely() {
    let off = Switch::default();
    let store = off.clone();
    let jobs =
        vec![every("tick", 16).with(|job| job.lease = secs(60)), every("off", 1).with(|job| job.enabled = false)];
    let alone = Alone::on(|inner| Arc::new(Through::new(inner, store, Arc::default())), jobs, secs(600), 10);
    sleep(secs(18)).await;
    assert_eq!(alone.starts(), 1);
    let mut told = alone.parts.bus.listen();
    off.0.store(true, Ordering::SeqCst);
    sleep(secs(120)).await;
    off.0.store(false, Ordering::SeqCst);
    sleep(secs(10)).await;
    let said: Vec<Arc<Told>> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    let aways: Vec<&Away> =
        said.iter().filter_map(|told| if let Told::StoreAway(away) = &**told { Some(away) } else { None }).collect();
    let rounded: Vec<_> =
        aways.iter().map(|away| (away.secs.round(), away.running, away.until.is_some(), away.due)).collect();
    assert_eq!(rounded, [(15.0, 1, true, 1), (45.0, 1, true, 2), (105.0, 0, false, 6)]);
    assert!(aways[0].until.unwrap() <= start_of_time().plus(secs(78)), "{}", aways[0]);
    let line = aways[0].to_string();
    assert!(line.starts_with("no answer for 15 s; 1 run keeps its lease until 2026-11-22T06:01:"), "{line}");
    assert!(line.ends_with("; 1 occurrence has come due, and is caught up with as its job's `misfire` says"), "{line}");
    assert!(matches!(&**said.iter().find(|told| !matches!(&***told, Told::StoreAway(_))).unwrap(), Told::StoreDown(_)));
    assert!(said.iter().any(|told| matches!(&**told, Told::StoreUp(_))));
    alone.end().await;
}

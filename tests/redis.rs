//! The scripts against the rule they carry out: the same random operations asked of a real server
//! and of `record::apply`, which must agree in every reply, record and event.
//!
//! `FUZZ_OPS` sets how many (default 120,000), `FUZZ_SEED` which (default: a new one each time).
#![allow(clippy::unwrap_used)]

#[path = "redis/churn.rs"]
mod churn;
#[path = "redis/heard.rs"]
mod heard;
#[path = "redis/lane.rs"]
mod lane;
#[path = "redis/memory.rs"]
mod memory;
#[path = "redis/outbox.rs"]
mod outbox;
#[path = "common/proxy.rs"]
mod proxy;
#[path = "redis/redo.rs"]
mod redo;
#[path = "redis/rehearsal.rs"]
mod rehearsal;
#[path = "common/servers.rs"]
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cronclave::clock::{Clock, Timestamp};
use cronclave::job::{Delivery, JobName, Overlap};
use cronclave::lease::{Ended, Fence, Outcome, RunId, Token, Trigger};
use cronclave::ledger::{Entry, Event, Fate, Pass};
use cronclave::record::{self, Bid, Key, Mutex, Op, Open, Phase, Record, State, Target};
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Query, Store};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A number from the environment.
fn setting(name: &str, default: impl FnOnce() -> u64) -> u64 {
    #[allow(clippy::disallowed_methods, reason = "set by whoever runs the tests")]
    let text = std::env::var(name).ok();
    text.map_or_else(default, |text| text.parse().unwrap())
}

/// What `record::apply` made of everything so far.
#[derive(Default)]
struct Rule {
    records: BTreeMap<JobName, Record>,
    mutexes: BTreeMap<String, Mutex>,
    events: Vec<Event>,
    entries: BTreeMap<String, Entry>,
}

/// Makes operations that often make sense, and often do not.
struct Chance {
    dice: StdRng,
    /// What the clock is set to before each batch: one seed makes the same operations every time.
    now: Timestamp,
}

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.dice.random_range(0..most)
    }

    fn one_in(&mut self, most: u64) -> bool {
        self.below(most) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        let at = self.dice.random_range(0..all.len());
        all[at].clone()
    }

    fn maybe<T>(&mut self, value: T) -> Option<T> {
        self.one_in(2).then_some(value)
    }

    fn ttl(&mut self) -> Duration {
        let most = self.of(&[1, 1_000, 5_000_000, 60_000_000]);
        let some = Duration::from_micros(self.below(most) + 1);
        if self.one_in(50) { Duration::MAX } else { some }
    }

    /// An instant near the present, on the whole second as schedules have it.
    fn instant(&mut self) -> Timestamp {
        let offset = i64::try_from(self.below(240)).unwrap() - 200;
        Timestamp::from_secs(self.now.as_secs() + offset)
    }

    fn token(&mut self) -> Token {
        let known = ["a", "b", "c", "result-a"].map(|word| Token(word.into()));
        if self.one_in(4) { self.of(&known) } else { Token(format!("{:x}", self.below(u64::MAX))) }
    }

    fn text(&mut self) -> String {
        self.of(&["", "web.1", "größer | als", "\u{1f980}", "a@b", "x\0y"].map(str::to_owned))
    }

    fn run(&mut self, record: &Record) -> Option<Open> {
        (!record.open.is_empty()).then(|| self.of(&record.open))
    }

    fn run_id(&mut self, job: &JobName, record: &Record) -> RunId {
        let known: Vec<RunId> = record.asked.iter().copied().collect();
        match self.run(record) {
            Some(run) if !self.one_in(4) => run.run_id,
            _ if !known.is_empty() && self.one_in(2) => self.of(&known),
            _ => RunId::of_request(job, &self.below(1000).to_string()),
        }
    }

    fn fence(&mut self, record: &Record) -> Fence {
        match self.run(record) {
            Some(run) if !self.one_in(8) => run.fence,
            _ => Fence(self.below(1 << 52)),
        }
    }

    /// Mostly the key of an open run.
    fn key(&mut self, job: &JobName, record: &Record) -> Key {
        let settled: Vec<Fence> = record.settled.iter().copied().collect();
        if !settled.is_empty() && self.one_in(16) {
            return Key { run_id: self.run_id(job, record), fence: self.of(&settled), token: self.token() };
        }
        match self.run(record) {
            Some(run) if !self.one_in(8) => {
                let token = if self.one_in(8) { None } else { run.token };
                Key { run_id: run.run_id, fence: run.fence, token: token.unwrap_or_else(|| self.token()) }
            }
            _ => Key { run_id: self.run_id(job, record), fence: self.fence(record), token: self.token() },
        }
    }

    fn passes(&mut self, from: Timestamp, fates: &[Fate]) -> (Vec<Pass>, Timestamp) {
        let mut edge = from;
        let count = self.below(4);
        let passes = (0..count).map(|_| {
            let gap = self.of(&[0, 1, 1, 1, 5]);
            let first = edge.plus(Duration::from_secs(gap));
            let fate = self.of(fates);
            let count = if fate == Fate::Queued { 1 } else { self.below(3) + u64::from(!self.one_in(16)) };
            let through = first.plus(Duration::from_secs(count.saturating_sub(1)));
            edge = through;
            Pass { from: first, through, count, fate }
        });
        (passes.collect(), edge)
    }

    fn trigger(&mut self) -> Trigger {
        let (by, reason) = (self.text(), self.text());
        let (by, reason) = (self.maybe(by), self.maybe(reason));
        let job = JobName::new("other").unwrap();
        let chain = Trigger::Chain { job, run_id: RunId::fresh(Timestamp::EPOCH), on: "success".into() };
        self.of(&[
            Trigger::Schedule,
            Trigger::Manual { by: by.clone(), reason: reason.clone() },
            Trigger::Backfill { by: by.clone(), reason },
            Trigger::Cli { by },
            chain,
        ])
    }

    fn args(&mut self) -> BTreeMap<String, String> {
        (0..self.below(3)).map(|n| (format!("KEY{n}"), self.text())).collect()
    }

    fn ended(&mut self) -> Ended {
        let outcome = self.of(&[
            Outcome::Succeeded,
            Outcome::Failed,
            Outcome::TimedOut,
            Outcome::Cancelled,
            Outcome::Interrupted,
            Outcome::Lost,
            Outcome::Expired,
        ]);
        let (code, signal, text) = (self.of(&[0, 1, 255, -1]), self.of(&[9, 15]), self.text());
        Ended { outcome, exit_code: self.maybe(code), signal: self.maybe(signal), message: self.maybe(text) }
    }

    fn overlap(&mut self) -> Overlap {
        self.of(&[Overlap::Skip, Overlap::QueueOne, Overlap::QueueAll, Overlap::Replace, Overlap::Allow])
    }

    /// The largest fence, as somebody saw it.
    fn seen(&mut self, record: &Record) -> Option<Fence> {
        self.of(&[None, Some(record.fence), Some(record.fence), Some(Fence(7))])
    }

    fn expect(&mut self, record: &Record) -> Timestamp {
        let stray = self.instant();
        if self.one_in(8) { stray } else { record.cursor.unwrap_or(stray) }
    }

    fn bid(&mut self, job: &JobName, record: &Record) -> Bid {
        let fates = [Fate::Queued, Fate::Missed, Fate::Coalesced, Fate::SkippedOverlap];
        let target = match self.below(8) {
            // Shortly ahead of an instant, or a little longer.
            0 => {
                let at = self.now.plus(Duration::from_millis(self.of(&[1, 499, 500, 501])));
                Target::Next { expect: self.expect(record), passes: Vec::new(), at, due: at }
            }
            1..=3 => {
                let expect = self.expect(record);
                let (passes, edge) = self.passes(expect, &fates);
                let step = self.of(&[0, 1, 1, 1, 1, 7]);
                let at = edge.plus(Duration::from_secs(step));
                let jitter = self.of(&[0, 0, 0, 3]);
                Target::Next { expect, passes, at, due: at.plus(Duration::from_secs(jitter)) }
            }
            4..=6 => match self.run(record) {
                Some(run) if !self.one_in(16) => Target::Open { run_id: run.run_id, fence: run.fence },
                _ => Target::Open { run_id: self.run_id(job, record), fence: self.fence(record) },
            },
            _ => {
                let at = self.instant();
                let (run_id, trigger, args) = (self.run_id(job, record), self.trigger(), self.args());
                Target::Request { run_id, at: self.maybe(at), trigger, args, expect: self.seen(record) }
            }
        };
        Bid {
            target,
            token: self.token(),
            holder: self.text(),
            ttl: self.ttl(),
            overlap: self.overlap(),
            delivery: self.of(&[Delivery::AtMostOnce, Delivery::AtLeastOnce]),
            mutex: self.of(&[None, None, Some("m".to_owned()), Some("größer".to_owned())]),
            start: self.of(&[None, Some(Duration::from_secs(30)), Some(Duration::ZERO)]),
        }
    }

    /// New claims, or what is asked about runs that there are: the two are sent in calls of their own.
    fn op(&mut self, new: bool, job: &JobName, record: &Record) -> Op {
        if new {
            return match self.below(10) {
                0 => Op::Register { spec: self.of(&[1, 2, u64::MAX, 0x0102_0304_0506_0708]) },
                1 | 2 => {
                    let expect = self.expect(record);
                    let (passes, edge) = self.passes(
                        expect,
                        &[Fate::Queued, Fate::SkippedPaused, Fate::SkippedDisabled, Fate::SkippedCalendar],
                    );
                    Op::Decide { expect, passes, due: edge }
                }
                3 | 4 => {
                    let at = self.instant();
                    let (run_id, trigger, args) = (self.run_id(job, record), self.trigger(), self.args());
                    let (overlap, on_record) = (self.overlap(), self.one_in(2));
                    let expect = self.seen(record);
                    Op::Trigger { run_id, at: self.maybe(at), trigger, args, overlap, expect, on_record }
                }
                _ => Op::Claim(self.bid(job, record)),
            };
        }
        let (key, by) = (self.key(job, record), self.text());
        match self.below(20) {
            0 => Op::Published { key, ttl: self.ttl() },
            1..=5 => Op::Start { key, holder: by, ttl: self.ttl() },
            6..=8 => Op::Renew { key, ttl: self.ttl() },
            9..=12 => {
                let (attempt, pause) = (u32::try_from(self.below(5)).unwrap(), self.ttl());
                Op::Settle { key, ended: self.ended(), next: self.maybe((attempt, pause)) }
            }
            13 => Op::Release { key },
            14 | 15 => match self.run(record) {
                Some(run) if !self.one_in(8) => Op::Reap { run_id: run.run_id, fence: run.fence, phase: run.phase },
                _ => {
                    Op::Reap { run_id: key.run_id, fence: key.fence, phase: self.of(&[Phase::Waiting, Phase::Running]) }
                }
            },
            16 => Op::Evict { run_id: key.run_id, fence: key.fence, by },
            17 if self.one_in(3) => Op::Overdue {
                expect: if self.one_in(4) { Some(self.instant()) } else { record.succeeded_at },
                due: self.instant(),
            },
            17 if self.one_in(2) => match self.run(record) {
                Some(run) if !self.one_in(8) => Op::Slow { run_id: run.run_id, fence: run.fence },
                _ => Op::Slow { run_id: key.run_id, fence: key.fence },
            },
            17 => Op::Cancel { run_id: key.run_id, by },
            18 => {
                let (until, reason) = (self.instant(), self.text());
                Op::Pause { until: self.maybe(until), reason: self.maybe(reason), by: self.maybe(by) }
            }
            _ => Op::Resume { catch_up: self.one_in(2), by: self.maybe(by) },
        }
    }
}

impl Rule {
    /// What the rule says to `op`; the record and mutex after it are in its own.
    fn apply(&mut self, job: &JobName, op: &Op, now: Timestamp) -> (record::Reply, Record, Mutex, Vec<Event>) {
        let record = self.records.entry(job.clone()).or_default();
        let name = op.mutex(record).map(str::to_owned);
        let mut none = Mutex::default();
        let mutex = name.map_or(&mut none, |name| self.mutexes.entry(name).or_default());
        let (reply, events) = record::apply(State { job, record, mutex }, op, now);
        for event in &events {
            if let Some(id) = Entry::id_of(event)
                && let Some(entry) = Entry::fold(self.entries.remove(&id), event)
            {
                self.entries.insert(id, entry);
            }
        }
        self.events.extend(events.iter().cloned());
        (reply, record.clone(), mutex.clone(), events)
    }
}

#[tokio::test]
async fn scripts_and_rule_agree_on_random_operations() {
    assert_eq!(agree_on_random_operations(false).await, 0, "nothing was heard that could be rehearsed with");
}

#[tokio::test]
async fn what_is_rehearsed_and_the_rule_agree_on_random_operations() {
    let rehearsed = agree_on_random_operations(true).await;
    assert!(rehearsed > 1_000, "{rehearsed} operations were rehearsed");
}

/// Asks a store that `listens`, or one that hears nothing. Answers how many operations it rehearsed.
async fn agree_on_random_operations(listens: bool) -> u64 {
    let most = setting("FUZZ_OPS", || if listens { 40_000 } else { 120_000 });
    let seed = setting("FUZZ_SEED", rand::random);
    let server = servers::Redis::plain();
    let now: Timestamp = "2026-11-22T06:00:00.25Z".parse().unwrap();
    let clock = Clock::starting_at(now);
    let store = Redis::open(server.url().parse().unwrap(), "fuzz", Time::Given(clock.clone()));
    let mut chance = Chance { dice: StdRng::seed_from_u64(seed), now };
    let mut rule = Rule::default();
    let jobs = ["backup", "report", "a", "z-9_"].map(|name| JobName::new(name).unwrap());
    let (mut asked, mut kinds) = (0, BTreeMap::<String, u64>::new());
    if listens {
        store.changed(0).await.unwrap();
    }
    while asked < most {
        // More than a batch takes: the clock goes forward only.
        let step = chance.of(&[100, 100, 200, 999, 1_000, 5_000, 20_000]);
        chance.now = chance.now.plus(Duration::from_millis(step)).max(clock.now());
        clock.step(chance.now.as_micros() - clock.now().as_micros());
        let new = chance.one_in(2);
        let count = chance.of(&[1, 1, 2, 5, 40]);
        let mut batch: Vec<(JobName, Op)> = (0..count)
            .map(|_| {
                let job = chance.of(&jobs);
                let record = rule.records.get(&job).cloned().unwrap_or_default();
                let op = chance.op(new, &job, &record);
                (job, op)
            })
            .collect();
        if listens {
            // What is heard is what was before all of them.
            let mut seen = BTreeSet::new();
            batch.retain(|(job, _)| seen.insert(job.clone()));
        }
        // In the order in which the store sends them: what is late already goes first.
        let now = chance.now;
        batch.sort_by_key(|(_, op)| match op {
            Op::Claim(Bid { target: Target::Next { due, .. }, .. }) => due.since(now) >= Duration::from_millis(20),
            op => !matches!(op, Op::Claim(_) | Op::Start { .. } | Op::Renew { .. }),
        });
        let answers = together(&store, &batch).await;
        for ((job, op), answer) in batch.iter().zip(answers) {
            let before = rule.records.get(job).cloned();
            let (reply, record, mutex, events) = rule.apply(job, op, answer.view.now);
            let what = || format!("FUZZ_SEED={seed}, operation {asked}: {op:?}\non {before:?}");
            assert_eq!(answer.reply, reply, "{}", what());
            assert_eq!(answer.view.record, record, "{}", what());
            assert_eq!(answer.view.mutex, mutex, "{}", what());
            assert_eq!(answer.events, events, "{}", what());
            let word = |text: String| text.split([' ', '{', '(']).next().unwrap().to_owned();
            *kinds.entry(format!("{} {}", word(format!("{op:?}")), word(format!("{reply:?}")))).or_default() += 1;
        }
        asked += batch.len() as u64;
    }
    let told: Vec<Event> = store.events(0, usize::MAX).await.unwrap().into_iter().map(|(_, event)| event).collect();
    if listens {
        // Of one call, what was rehearsed comes first.
        for job in &jobs {
            let of_job =
                |events: &[Event]| events.iter().filter(|event| event.job == *job).cloned().collect::<Vec<_>>();
            let (told, happened) = (of_job(&told), of_job(&rule.events));
            assert_eq!(told.last(), happened.last(), "FUZZ_SEED={seed}");
            assert!(happened.ends_with(&told), "FUZZ_SEED={seed}: the feed is not what happened to {job}");
        }
    } else {
        assert_eq!(told.last(), rule.events.last(), "FUZZ_SEED={seed}");
        assert!(rule.events.ends_with(&told), "FUZZ_SEED={seed}: the feed is not what happened");
    }
    let lines: BTreeMap<String, Entry> =
        store.history(&Query::default()).await.unwrap().into_iter().map(|entry| (entry.id.clone(), entry)).collect();
    assert_eq!(lines.len(), rule.entries.len(), "FUZZ_SEED={seed}");
    for (id, entry) in &rule.entries {
        assert_eq!(lines.get(id), Some(entry), "FUZZ_SEED={seed}");
    }
    // A fuzzer that never gets anywhere proves nothing.
    eprintln!("measured: {asked} operations, {} events, {} lines of history: {kinds:?}", told.len(), lines.len());
    for reached in
        ["Claim Won", "Claim Busy", "Claim Early", "Claim Stale", "Claim Moved", "Claim MutexHeld", "Start Kept"]
    {
        assert!(kinds.contains_key(reached), "never reached: {reached}");
    }
    store.rehearsed()
}

/// Asks all of it at once, in order: it travels in few calls.
async fn together(store: &Redis, batch: &[(JobName, Op)]) -> Vec<cronclave::store::Answer> {
    let mut asking: Vec<_> = batch.iter().map(|(job, op)| store.apply(job, op)).collect();
    let mut answers: Vec<Option<_>> = batch.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, answer) in asking.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let std::task::Poll::Ready(done) = future.as_mut().poll(context)
            {
                *answer = Some(done.unwrap());
            }
        }
        if answers.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}

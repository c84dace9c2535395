//! What every store promises. The same tests run against each of them.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "store/alarms.rs"]
mod alarms;
#[path = "store/documents.rs"]
mod documents;
#[path = "common/servers.rs"]
mod servers;
#[path = "store/started.rs"]
mod started;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use alarms::*;
use documents::*;
use started::*;

use cronclave::clock::{Clock, Timestamp};
use cronclave::job::{Delivery, JobName, Keep, Overlap};
use cronclave::lease::{Ended, Fence, Outcome, RunId, Token, Trigger};
use cronclave::ledger::{Fate, Pass, State, What};
use cronclave::record::{Bid, Key, Op, Open, Phase, Reply, Target};
use cronclave::runner::Stream;
use cronclave::store::redis::{Redis, Time};
use cronclave::store::{Answer, Create, Memory, Outbox, Piece, Query, Replica, Sqlite, Store};

/// A store, the clock it reads, and one job in it.
struct Bench {
    store: Arc<dyn Store>,
    clock: Clock,
    job: JobName,
    /// What it stands on, as long as it is needed.
    _ground: Option<Box<dyn Any + Send + Sync>>,
}

const TTL: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(30);

fn start_of_time() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

fn at(secs: u64) -> Timestamp {
    start_of_time().plus(Duration::from_secs(secs))
}

impl Bench {
    fn memory() -> Bench {
        let clock = Clock::standing_at(start_of_time());
        Bench { store: Arc::new(Memory::new(clock.clone())), clock, job: job("backup"), _ground: None }
    }

    fn sqlite() -> Bench {
        let clock = Clock::standing_at(start_of_time());
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("test.db"), Create::IfMissing, clock.clone()).unwrap();
        Bench { store: Arc::new(store), clock, job: job("backup"), _ground: Some(Box::new(dir)) }
    }

    /// Each test has a cluster of its own, on one server for all.
    fn redis() -> Bench {
        static SERVER: Mutex<Weak<servers::Redis>> = Mutex::new(Weak::new());
        let server = shared(&SERVER, servers::Redis::plain);
        Bench::on_redis(&server.url(), server.clone())
    }

    /// The same on a Redis Cluster of three masters, among which the tests' keys are spread.
    fn redis_cluster() -> Bench {
        static SERVERS: Mutex<Weak<servers::Cluster>> = Mutex::new(Weak::new());
        let servers = shared(&SERVERS, servers::Cluster::start);
        Bench::on_redis(&format!("redis://{}", servers.addresses()), servers.clone())
    }

    fn on_redis(url: &str, ground: Arc<dyn Any + Send + Sync>) -> Bench {
        let clock = Clock::standing_at(start_of_time());
        let name = Token::fresh().0;
        let store = Redis::open(url.parse().unwrap(), &name, Time::Given(clock.clone()));
        Bench { store: Arc::new(store), clock, job: job("backup"), _ground: Some(Box::new(ground)) }
    }

    /// Moves the store's clock to `secs` after the start.
    fn go_to(&self, secs: u64) {
        let missing = at(secs).as_micros() - self.clock.now().as_micros();
        self.clock.step(missing);
    }

    async fn ask(&self, op: Op) -> Answer {
        self.store.apply(&self.job, &op).await.unwrap()
    }

    async fn reply(&self, op: Op) -> Reply {
        self.ask(op).await.reply
    }

    async fn registered(self) -> Bench {
        self.ask(Op::Register { spec: 1 }).await;
        self
    }

    async fn cursor(&self) -> Timestamp {
        self.store.view(&self.job, None).await.unwrap().record.cursor.unwrap()
    }

    async fn open(&self) -> Vec<Open> {
        self.store.view(&self.job, None).await.unwrap().record.open
    }

    /// Wins the occurrence at `secs`, which follows `expect`.
    async fn win(&self, expect: Timestamp, secs: u64) -> (Key, Box<Open>) {
        let token = Token::fresh();
        match self.reply(claim_next(expect, secs, &token)).await {
            Reply::Won(run) => (Key { run_id: run.run_id, fence: run.fence, token }, run),
            other => panic!("not won but {other:?}"),
        }
    }

    async fn start(&self, key: &Key) -> Reply {
        self.reply(Op::Start { key: key.clone(), holder: "a".into(), ttl: LEASE }).await
    }

    async fn settle(&self, key: &Key, ended: Ended) -> Reply {
        self.reply(Op::Settle { key: key.clone(), ended, next: None }).await
    }

    async fn states(&self) -> Vec<(u64, State)> {
        let mut all: Vec<_> = self.store.history(&Query::default()).await.unwrap();
        all.reverse();
        all.iter().map(|entry| (entry.scheduled_at.since(start_of_time()).as_secs(), entry.state)).collect()
    }

    async fn count_events(&self, wanted: impl Fn(&What) -> bool) -> usize {
        let events = self.store.events(0, 10_000).await.unwrap();
        events.iter().filter(|(_, event)| wanted(&event.what)).count()
    }
}

/// What the tests that run at this moment share; the last of them ends it.
fn shared<T>(held: &Mutex<Weak<T>>, start: impl FnOnce() -> T) -> Arc<T> {
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    let shared = held.upgrade().unwrap_or_else(|| Arc::new(start()));
    *held = Arc::downgrade(&shared);
    shared
}

fn job(name: &str) -> JobName {
    JobName::new(name).unwrap()
}

fn bid(target: Target, token: &Token) -> Bid {
    Bid {
        target,
        token: token.clone(),
        holder: "a".into(),
        ttl: TTL,
        overlap: Overlap::Skip,
        delivery: Delivery::AtMostOnce,
        mutex: None,
        start: None,
    }
}

fn next_at(expect: Timestamp, secs: u64) -> Target {
    Target::Next { expect, passes: vec![], at: at(secs), due: at(secs) }
}

fn claim_next(expect: Timestamp, secs: u64, token: &Token) -> Op {
    Op::Claim(bid(next_at(expect, secs), token))
}

fn claim_open(run: &Open, token: &Token, delivery: Delivery) -> Op {
    Op::Claim(Bid { delivery, ..bid(Target::Open { run_id: run.run_id, fence: run.fence }, token) })
}

fn one(secs: u64, fate: Fate) -> Pass {
    Pass { from: at(secs), through: at(secs), count: 1, fate }
}

fn failed() -> Ended {
    Ended::because(Outcome::Failed, "exit code 1")
}

macro_rules! promises {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::$name(super::Bench::memory()).await })*
        }
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::Bench::sqlite()).await })*
        }
        mod redis {
            $(#[tokio::test] async fn $name() { super::$name(super::Bench::redis()).await })*
        }
        mod redis_cluster {
            $(#[tokio::test] async fn $name() { super::$name(super::Bench::redis_cluster()).await })*
        }
    };
}

promises! {
    of_many_bids_for_one_occurrence_one_wins
    a_job_seen_first_does_not_catch_up_the_past
    a_changed_schedule_counts_from_its_first_sight
    an_occurrence_that_was_decided_is_stale
    an_occurrence_is_never_granted_early
    an_occurrence_that_nothing_is_in_the_way_of_is_won_ahead_and_begins_on_time
    what_may_be_in_the_way_of_an_occurrence_is_seen_when_it_is_due
    what_was_won_ahead_and_given_back_waits_for_its_instant
    what_was_won_ahead_does_not_start_once_its_job_is_paused
    who_does_not_know_the_cursor_is_told_to_look_again
    a_bid_asked_again_is_answered_the_same
    what_is_started_as_it_is_won_is_as_if_it_had_been_claimed_and_started
    a_bid_with_its_start_asked_again_is_answered_the_same
    what_is_started_as_it_is_won_ahead_begins_when_it_is_due
    what_was_started_ahead_and_given_back_waits_for_its_instant
    a_claim_that_was_not_started_is_taken_over_with_a_larger_fence
    a_claim_cannot_be_started_once_it_lapsed
    a_start_asked_again_is_answered_the_same
    a_run_that_may_have_started_is_reaped_not_repeated
    a_run_to_be_delivered_at_least_once_is_restarted_as_the_next_attempt
    the_old_holder_can_neither_renew_nor_settle_and_it_is_recorded
    a_lease_renewed_before_anyone_took_it_is_kept
    a_late_reap_does_not_close_the_retry_that_its_holder_asked_for
    fences_grow_even_while_the_clock_stands_still
    settling_twice_is_settling_once
    a_retry_waits_for_its_time_and_blocks_new_occurrences
    a_released_claim_is_free_at_once
    runs_side_by_side_only_when_allowed
    occurrences_passed_over_are_recorded_with_their_reason
    a_queued_occurrence_waits_its_turn
    passes_that_leave_a_gap_behind_the_cursor_are_refused
    a_cancelled_run_is_told_at_its_next_renewal
    a_cancelled_run_that_waits_is_over_at_once
    a_cancelled_claim_never_starts
    nothing_is_claimed_while_paused
    a_resumed_job_remembers_the_span_of_its_pause
    a_claim_ended_by_force_is_over_for_its_holder
    a_newer_claim_is_not_ended_by_force
    a_request_made_twice_is_one_run
    a_request_is_known_by_all_of_its_identity
    a_request_is_refused_while_a_run_is_open
    a_run_by_hand_excludes_the_schedule_and_leaves_the_cursor
    one_mutex_keeps_two_jobs_apart
    a_mutex_of_a_vanished_holder_falls_free
    fences_grow_over_all_jobs_of_a_mutex
    fences_grow_over_a_wiped_store
    published_runs_start_under_the_token_of_whoever_takes_them
    time_never_goes_back
    changes_that_give_others_something_to_do_are_announced
    a_claim_that_is_given_back_is_announced_to_others
    output_is_kept_in_order_and_can_lose_its_middle
    history_is_filtered_and_newest_first
    history_can_be_cut_to_the_newest_of_each_job
    history_is_pruned_by_count_and_age_but_never_what_is_open
    replicas_come_and_go
    any_job_name_is_kept_apart
    the_outbox_has_one_holder_at_a_time
    an_outbox_whose_holder_is_silent_passes_on_with_its_mark
    the_mark_of_the_outbox_never_moves_back
    a_new_outbox_begins_where_the_events_end
    positions_of_events_leave_no_hole
    outboxes_do_not_know_each_other
    a_document_is_kept_until_it_is_removed
    a_document_changes_only_for_who_knows_it
    of_many_who_change_a_document_one_does
    documents_come_in_the_order_of_their_keys
    a_missing_success_is_told_once_for_each_deadline
    a_success_ends_an_alarm
    a_long_attempt_is_told_once
    a_refused_request_may_be_put_on_record
    who_asks_for_an_occurrence_itself_must_know_that_it_has_not_run
}

async fn the_outbox_has_one_holder_at_a_time(bench: Bench) {
    let takers = (0..8).map(|n| {
        let store = bench.store.clone();
        tokio::spawn(async move { store.take_outbox(Outbox::Announcements, &format!("r{n}"), TTL).await.unwrap() })
    });
    let mut taken = 0;
    for taker in takers.collect::<Vec<_>>() {
        taken += usize::from(taker.await.unwrap().is_some());
    }
    assert_eq!(taken, 1);
    assert!(!bench.store.mark_outbox(Outbox::Announcements, "somebody", 7, TTL).await.unwrap());
}

async fn an_outbox_whose_holder_is_silent_passes_on_with_its_mark(bench: Bench) {
    let bench = bench.registered().await;
    assert_eq!(bench.store.take_outbox(Outbox::Announcements, "a", TTL).await.unwrap(), Some(1));
    bench.go_to(5);
    assert!(bench.store.mark_outbox(Outbox::Announcements, "a", 3, TTL).await.unwrap(), "which keeps it for longer");
    bench.go_to(14);
    assert_eq!(bench.store.take_outbox(Outbox::Announcements, "b", TTL).await.unwrap(), None);
    bench.go_to(16);
    assert!(bench.store.mark_outbox(Outbox::Announcements, "a", 4, TTL).await.unwrap(), "late, but nobody took it");
    bench.go_to(27);
    assert_eq!(bench.store.take_outbox(Outbox::Announcements, "b", TTL).await.unwrap(), Some(4));
    assert!(!bench.store.mark_outbox(Outbox::Announcements, "a", 9, TTL).await.unwrap());
    assert_eq!(bench.store.take_outbox(Outbox::Announcements, "a", TTL).await.unwrap(), None);
    assert_eq!(
        bench.store.take_outbox(Outbox::Announcements, "b", TTL).await.unwrap(),
        Some(4),
        "asked again it is the same"
    );
}

async fn the_mark_of_the_outbox_never_moves_back(bench: Bench) {
    bench.store.take_outbox(Outbox::Announcements, "a", TTL).await.unwrap();
    assert!(bench.store.mark_outbox(Outbox::Announcements, "a", 9, TTL).await.unwrap());
    assert!(bench.store.mark_outbox(Outbox::Announcements, "a", 2, TTL).await.unwrap());
    assert_eq!(bench.store.take_outbox(Outbox::Announcements, "a", TTL).await.unwrap(), Some(9));
}

async fn a_new_outbox_begins_where_the_events_end(bench: Bench) {
    let bench = bench.registered().await;
    bench.ask(Op::Pause { until: None, reason: None, by: None }).await;
    let mark = bench.store.take_outbox(Outbox::Announcements, "a", TTL).await.unwrap().unwrap();
    assert_eq!(bench.store.events(0, 10).await.unwrap().last().unwrap().0, mark);
    assert!(bench.store.events(mark, 10).await.unwrap().is_empty());
}

/// Whoever reads on from a position sees by the next one whether anything between was dropped.
async fn positions_of_events_leave_no_hole(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    // What is refused leaves no trace.
    bench.reply(claim_next(at(1), 60, &Token::fresh())).await;
    let (key, _) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    bench.settle(&key, failed()).await;
    let positions: Vec<u64> = bench.store.events(0, 100).await.unwrap().iter().map(|(at, _)| *at).collect();
    assert_eq!(positions, [1, 2, 3, 4]);
}

async fn of_many_bids_for_one_occurrence_one_wins(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let bids = (0..16).map(|_| {
        let (store, name) = (bench.store.clone(), bench.job.clone());
        tokio::spawn(async move { store.apply(&name, &claim_next(cursor, 60, &Token::fresh())).await.unwrap().reply })
    });
    let mut won = 0;
    for bid in bids.collect::<Vec<_>>() {
        match bid.await.unwrap() {
            Reply::Won(_) => won += 1,
            reply => assert_eq!(reply, Reply::Stale),
        }
    }
    assert_eq!(won, 1);
}

async fn a_job_seen_first_does_not_catch_up_the_past(bench: Bench) {
    bench.go_to(7);
    bench.ask(Op::Register { spec: 1 }).await;
    assert!(bench.cursor().await >= at(7));
    bench.go_to(9);
    bench.ask(Op::Register { spec: 1 }).await;
    assert!(bench.cursor().await < at(8), "the second sight moves nothing");
}

async fn a_changed_schedule_counts_from_its_first_sight(bench: Bench) {
    let bench = bench.registered().await;
    bench.go_to(50);
    let record = bench.ask(Op::Register { spec: 2 }).await.view.record;
    assert!(record.since(1).unwrap() < at(1) && record.since(2).unwrap() >= at(50));
    assert!(record.cursor.unwrap() < at(1), "what the old schedule still has to decide stays to be decided");
}

async fn an_occurrence_that_was_decided_is_stale(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, _) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    bench.settle(&key, Ended::succeeded()).await;
    assert_eq!(bench.reply(claim_next(cursor, 60, &Token::fresh())).await, Reply::Stale);
    assert_eq!(bench.reply(claim_next(at(60), 60, &Token::fresh())).await, Reply::Stale);
    assert_eq!(bench.reply(claim_next(cursor, 30, &Token::fresh())).await, Reply::Stale);
}

async fn an_occurrence_is_never_granted_early(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(50);
    assert_eq!(bench.reply(claim_next(cursor, 60, &Token::fresh())).await, Reply::Early(at(60)));
    let skip = Op::Decide { expect: cursor, passes: vec![one(60, Fate::Missed)], due: at(60) };
    assert_eq!(bench.reply(skip).await, Reply::Early(at(60)));
    // What counts is when it is due, jitter included.
    bench.go_to(61);
    let target = Target::Next { expect: cursor, passes: vec![], at: at(60), due: at(75) };
    assert_eq!(bench.reply(Op::Claim(bid(target, &Token::fresh()))).await, Reply::Early(at(75)));
    assert_eq!(bench.cursor().await, cursor);
}

/// Moves the store's clock to so many milliseconds before the second.
fn go_before(bench: &Bench, secs: u64, millis: i64) {
    bench.go_to(secs);
    bench.clock.step(-millis * 1000);
}

async fn an_occurrence_that_nothing_is_in_the_way_of_is_won_ahead_and_begins_on_time(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    go_before(&bench, 60, 501);
    assert_eq!(bench.reply(claim_next(cursor, 60, &Token::fresh())).await, Reply::Early(at(60)));
    go_before(&bench, 60, 500);
    let brief = Bid { ttl: Duration::from_millis(1), ..bid(next_at(cursor, 60), &Token::fresh()) };
    let Reply::Won(run) = bench.reply(Op::Claim(brief.clone())).await else { panic!("it is free") };
    assert_eq!((run.opened, run.until), (at(60), at(60)), "nobody else begins it before");
    let key = Key { run_id: run.run_id, fence: run.fence, token: brief.token };
    go_before(&bench, 60, 20);
    assert!(matches!(bench.start(&key).await, Reply::Kept { .. }));
    assert_eq!(bench.open().await[0].started_at, Some(at(60)));
    bench.go_to(61);
    assert_eq!(bench.settle(&key, Ended::succeeded()).await, Reply::Done);
    let history = bench.store.history(&Query::default()).await.unwrap();
    assert_eq!(history[0].attempts[0].started_at, Some(at(60)));
}

async fn what_may_be_in_the_way_of_an_occurrence_is_seen_when_it_is_due(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    go_before(&bench, 60, 100);
    let mutex = Bid { mutex: Some("ledger".into()), ..bid(next_at(cursor, 60), &Token::fresh()) };
    assert_eq!(bench.reply(Op::Claim(mutex)).await, Reply::Early(at(60)));
    let skips = Target::Next { expect: cursor, passes: vec![one(30, Fate::Missed)], at: at(60), due: at(60) };
    assert_eq!(bench.reply(Op::Claim(bid(skips, &Token::fresh()))).await, Reply::Early(at(60)));
    bench.win(cursor, 60).await;
    go_before(&bench, 61, 100);
    assert_eq!(bench.reply(claim_next(at(60), 61, &Token::fresh())).await, Reply::Early(at(61)));
}

async fn what_was_won_ahead_and_given_back_waits_for_its_instant(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    go_before(&bench, 60, 200);
    let (key, _) = bench.win(cursor, 60).await;
    assert_eq!(bench.reply(Op::Release { key }).await, Reply::Done);
    let run = bench.open().await.remove(0);
    go_before(&bench, 60, 100);
    let again = claim_open(&run, &Token::fresh(), Delivery::AtMostOnce);
    assert!(matches!(bench.reply(again.clone()).await, Reply::Busy(_)), "it is not due");
    bench.go_to(60);
    assert!(matches!(bench.reply(again).await, Reply::Won(_)));
}

async fn what_was_won_ahead_does_not_start_once_its_job_is_paused(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    go_before(&bench, 60, 200);
    let (key, _) = bench.win(cursor, 60).await;
    let pause = Op::Pause { until: None, reason: None, by: None };
    assert_eq!(bench.reply(pause).await, Reply::Done);
    go_before(&bench, 60, 20);
    assert_eq!(bench.start(&key).await, Reply::Fenced);
    let run = bench.open().await.remove(0);
    assert_eq!((run.phase, run.until), (Phase::Waiting, at(60)), "it is asked for again afterwards");
}

async fn who_does_not_know_the_cursor_is_told_to_look_again(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(200);
    let skip = Op::Decide { expect: cursor, passes: vec![one(60, Fate::Missed)], due: at(60) };
    assert_eq!(bench.reply(skip).await, Reply::Done);
    assert_eq!(bench.reply(claim_next(cursor, 120, &Token::fresh())).await, Reply::Moved);
    let skip = Op::Decide { expect: cursor, passes: vec![one(120, Fate::Missed)], due: at(120) };
    assert_eq!(bench.reply(skip).await, Reply::Moved);
    bench.win(at(60), 120).await;
}

async fn a_bid_asked_again_is_answered_the_same(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let token = Token::fresh();
    let first = bench.ask(claim_next(cursor, 60, &token)).await;
    let again = bench.ask(claim_next(cursor, 60, &token)).await;
    assert!(matches!(first.reply, Reply::Won(_)));
    assert_eq!((&first.reply, &first.view.record), (&again.reply, &again.view.record));
    assert!(again.events.is_empty(), "a repeated bid is not a second event");
}

async fn a_claim_that_was_not_started_is_taken_over_with_a_larger_fence(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (old, run) = bench.win(cursor, 60).await;
    bench.go_to(65);
    let busy = bench.reply(claim_open(&run, &Token::fresh(), Delivery::AtMostOnce)).await;
    assert!(matches!(busy, Reply::Busy(_)), "{busy:?}");
    bench.go_to(71);
    let token = Token::fresh();
    let Reply::Won(taken) = bench.reply(claim_open(&run, &token, Delivery::AtMostOnce)).await else { panic!() };
    assert_eq!((taken.run_id, taken.scheduled_at, taken.attempt), (run.run_id, run.scheduled_at, 1));
    assert!(taken.fence > run.fence);
    assert_eq!(bench.start(&old).await, Reply::Fenced);
    let key = Key { run_id: taken.run_id, fence: taken.fence, token };
    assert!(matches!(bench.start(&key).await, Reply::Kept { .. }));
}

async fn a_claim_cannot_be_started_once_it_lapsed(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, _) = bench.win(cursor, 60).await;
    bench.go_to(71);
    assert_eq!(bench.start(&key).await, Reply::Fenced, "although nobody took it over yet");
    assert_eq!(bench.open().await[0].phase, Phase::Claimed);
}

async fn a_start_asked_again_is_answered_the_same(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, _) = bench.win(cursor, 60).await;
    let first = bench.start(&key).await;
    bench.go_to(62);
    assert_eq!(bench.start(&key).await, first);
    assert_eq!(bench.count_events(|what| matches!(what, What::Started { .. })).await, 1);
    let other = Key { token: Token::fresh(), ..key };
    assert_eq!(bench.start(&other).await, Reply::Fenced, "one claim starts once, whoever asks");
}

async fn a_run_that_may_have_started_is_reaped_not_repeated(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, run) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    let reap = Op::Reap { run_id: run.run_id, fence: run.fence, phase: Phase::Running };
    assert!(matches!(bench.reply(reap.clone()).await, Reply::Busy(_)));
    bench.go_to(91);
    assert_eq!(bench.reply(claim_open(&run, &Token::fresh(), Delivery::AtMostOnce)).await, Reply::Moved);
    assert_eq!(bench.reply(reap.clone()).await, Reply::Done);
    assert_eq!(bench.reply(reap).await, Reply::Moved);
    assert_eq!(bench.states().await, [(60, State::Lost)]);
}

async fn a_run_to_be_delivered_at_least_once_is_restarted_as_the_next_attempt(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, run) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    bench.go_to(91);
    let token = Token::fresh();
    let Reply::Won(second) = bench.reply(claim_open(&run, &token, Delivery::AtLeastOnce)).await else { panic!() };
    assert_eq!((second.run_id, second.attempt), (run.run_id, 2));
    assert!(second.fence > run.fence);
    let entry = &bench.store.history(&Query::default()).await.unwrap()[0];
    assert_eq!(entry.attempts[0].ended.as_ref().unwrap().outcome, Outcome::Lost);
    assert_eq!(entry.state, State::Claimed);
}

async fn the_old_holder_can_neither_renew_nor_settle_and_it_is_recorded(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, run) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    bench.go_to(91);
    bench.reply(claim_open(&run, &Token::fresh(), Delivery::AtLeastOnce)).await;
    assert_eq!(bench.reply(Op::Renew { key: key.clone(), ttl: LEASE }).await, Reply::Fenced);
    assert_eq!(bench.settle(&key, Ended::succeeded()).await, Reply::Fenced);
    let late = |what: &What| matches!(what, What::Fenced { tried, ended: Some(ended), .. } if tried == "settle" && ended.outcome == Outcome::Succeeded);
    assert_eq!(bench.count_events(late).await, 1);
    assert_eq!(bench.states().await, [(60, State::Claimed)]);
}

async fn a_lease_renewed_before_anyone_took_it_is_kept(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, run) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    for secs in [85, 110, 150] {
        bench.go_to(secs);
        let Reply::Kept { until, cancel: false } = bench.reply(Op::Renew { key: key.clone(), ttl: LEASE }).await else {
            panic!()
        };
        assert!(until >= at(secs + 30) && until < at(secs + 31));
    }
    let reap = Op::Reap { run_id: run.run_id, fence: run.fence, phase: Phase::Running };
    assert!(matches!(bench.reply(reap).await, Reply::Busy(_)));
    assert_eq!(bench.settle(&key, Ended::succeeded()).await, Reply::Done);
}

async fn a_late_reap_does_not_close_the_retry_that_its_holder_asked_for(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, run) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    bench.go_to(91);
    // Another replica has seen that the lease is over; before it says so, the holder settles.
    bench.reply(Op::Settle { key, ended: failed(), next: Some((2, Duration::ZERO)) }).await;
    let reap = Op::Reap { run_id: run.run_id, fence: run.fence, phase: Phase::Running };
    assert_eq!(bench.reply(reap).await, Reply::Moved);
    assert_eq!(bench.states().await, [(60, State::Retrying)]);
}

async fn fences_grow_even_while_the_clock_stands_still(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (mut key, mut run) = bench.win(cursor, 60).await;
    for _ in 0..3 {
        bench.clock.step(-3_600_000_000);
        bench.reply(Op::Release { key: key.clone() }).await;
        let token = Token::fresh();
        let Reply::Won(next) = bench.reply(claim_open(&run, &token, Delivery::AtMostOnce)).await else { panic!() };
        assert!(next.fence > run.fence, "{} then {}", run.fence, next.fence);
        (key, run) = (Key { run_id: next.run_id, fence: next.fence, token }, next);
    }
}

async fn settling_twice_is_settling_once(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, _) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    assert_eq!(bench.settle(&key, failed()).await, Reply::Done);
    assert_eq!(bench.settle(&key, failed()).await, Reply::Done);
    let over = |what: &What| matches!(what, What::Ended { .. } | What::Fenced { .. });
    assert_eq!(bench.count_events(over).await, 1);
    assert!(bench.open().await.is_empty());
    assert_eq!(bench.states().await, [(60, State::Failed)]);
}

async fn a_retry_waits_for_its_time_and_blocks_new_occurrences(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, _) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    let settle = Op::Settle { key: key.clone(), ended: failed(), next: Some((2, Duration::from_secs(100))) };
    assert_eq!(bench.reply(settle.clone()).await, Reply::Done);
    assert_eq!(bench.reply(settle).await, Reply::Done);
    let run = bench.open().await.remove(0);
    assert_eq!((run.phase, run.attempt), (Phase::Waiting, 2));
    bench.go_to(120);
    assert!(matches!(bench.reply(claim_next(at(60), 120, &Token::fresh())).await, Reply::Busy(_)));
    assert!(matches!(bench.reply(claim_open(&run, &Token::fresh(), Delivery::AtMostOnce)).await, Reply::Busy(_)));
    bench.go_to(161);
    let Reply::Won(second) = bench.reply(claim_open(&run, &Token::fresh(), Delivery::AtMostOnce)).await else {
        panic!()
    };
    assert_eq!(second.attempt, 2);
    assert!(second.fence > key.fence);
}

async fn a_released_claim_is_free_at_once(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, _) = bench.win(cursor, 60).await;
    assert_eq!(bench.reply(Op::Release { key: key.clone() }).await, Reply::Done);
    assert_eq!(bench.reply(Op::Release { key: key.clone() }).await, Reply::Done);
    assert_eq!(bench.start(&key).await, Reply::Fenced);
    let run = bench.open().await.remove(0);
    let Reply::Won(taken) = bench.reply(claim_open(&run, &Token::fresh(), Delivery::AtMostOnce)).await else {
        panic!()
    };
    assert_eq!(taken.attempt, 1);
    assert_eq!(bench.reply(Op::Release { key }).await, Reply::Fenced);
}

async fn runs_side_by_side_only_when_allowed(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    bench.win(cursor, 60).await;
    bench.go_to(120);
    for (overlap, may) in [
        (Overlap::Skip, false),
        (Overlap::QueueOne, false),
        (Overlap::QueueAll, false),
        (Overlap::Replace, false),
        (Overlap::Allow, true),
    ] {
        let target = Target::Next { expect: at(60), passes: vec![], at: at(120), due: at(120) };
        let reply = bench.reply(Op::Claim(Bid { overlap, ..bid(target, &Token::fresh()) })).await;
        assert_eq!(matches!(reply, Reply::Won(_)), may, "{overlap:?}: {reply:?}");
    }
    assert_eq!(bench.open().await.len(), 2);
}

async fn occurrences_passed_over_are_recorded_with_their_reason(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(600);
    let passes = vec![
        Pass { from: at(60), through: at(180), count: 3, fate: Fate::Missed },
        Pass { from: at(240), through: at(300), count: 2, fate: Fate::Coalesced },
    ];
    let target = Target::Next { expect: cursor, passes, at: at(360), due: at(360) };
    assert!(matches!(bench.reply(Op::Claim(bid(target, &Token::fresh()))).await, Reply::Won(_)));
    assert_eq!(bench.states().await, [(60, State::Missed), (240, State::Coalesced), (360, State::Claimed)]);
    let counts: u64 = bench.store.history(&Query::default()).await.unwrap().iter().map(|entry| entry.count).sum();
    assert_eq!(counts, 6, "every occurrence is in the history once");
}

async fn a_queued_occurrence_waits_its_turn(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, _) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    bench.go_to(80);
    let queue = Op::Decide { expect: at(60), passes: vec![one(70, Fate::Queued), one(80, Fate::Queued)], due: at(80) };
    assert_eq!(bench.reply(queue).await, Reply::Done);
    assert_eq!(bench.cursor().await, at(80));
    let waiting: Vec<Open> = bench.open().await.into_iter().filter(Open::is_queued).collect();
    assert_eq!(waiting.iter().map(|run| run.scheduled_at).collect::<Vec<_>>(), [at(70), at(80)]);
    let claim = claim_open(&waiting[0], &Token::fresh(), Delivery::AtMostOnce);
    assert!(matches!(bench.reply(claim.clone()).await, Reply::Busy(_)));
    bench.settle(&key, Ended::succeeded()).await;
    let Reply::Won(run) = bench.reply(claim).await else { panic!() };
    assert_eq!((run.run_id, run.attempt), (RunId::of_occurrence(&bench.job, at(70)), 1));
    assert_eq!(bench.states().await, [(60, State::Succeeded), (70, State::Claimed), (80, State::Queued)]);
}

async fn passes_that_leave_a_gap_behind_the_cursor_are_refused(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(600);
    for passes in [
        vec![one(120, Fate::Missed), one(60, Fate::Missed)],
        vec![Pass { from: at(60), through: at(120), count: 0, fate: Fate::Missed }],
        vec![Pass { from: at(120), through: at(60), count: 2, fate: Fate::Missed }],
    ] {
        let due = at(120);
        let reply = bench.reply(Op::Decide { expect: cursor, passes: passes.clone(), due }).await;
        assert_eq!(reply, Reply::Moved, "{passes:?}");
        let target = Target::Next { expect: cursor, passes, at: at(300), due: at(300) };
        assert_eq!(bench.reply(Op::Claim(bid(target, &Token::fresh()))).await, Reply::Moved);
    }
    let passes = vec![one(300, Fate::Missed)];
    let target = Target::Next { expect: cursor, passes, at: at(300), due: at(300) };
    assert_eq!(bench.reply(Op::Claim(bid(target, &Token::fresh()))).await, Reply::Moved);
    assert_eq!(bench.cursor().await, cursor);
}

async fn a_cancelled_run_is_told_at_its_next_renewal(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, run) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    let cancel = Op::Cancel { run_id: run.run_id, by: "ana".into() };
    assert_eq!(bench.reply(cancel.clone()).await, Reply::Done);
    assert_eq!(bench.reply(cancel).await, Reply::Done);
    assert_eq!(bench.count_events(|what| matches!(what, What::CancelAsked { .. })).await, 1);
    let renewed = bench.reply(Op::Renew { key: key.clone(), ttl: LEASE }).await;
    assert!(matches!(renewed, Reply::Kept { cancel: true, .. }));
    let ended = Ended::because(Outcome::Cancelled, "stopped on request");
    let settle = Op::Settle { key, ended, next: Some((2, Duration::ZERO)) };
    assert_eq!(bench.reply(settle).await, Reply::Done);
    assert!(bench.open().await.is_empty(), "a cancelled run is not tried again");
    let other = Op::Cancel { run_id: run.run_id, by: "ana".into() };
    assert_eq!(bench.reply(other).await, Reply::NotFound);
}

async fn a_cancelled_run_that_waits_is_over_at_once(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    bench.reply(Op::Decide { expect: cursor, passes: vec![one(60, Fate::Queued)], due: at(60) }).await;
    let run = bench.open().await.remove(0);
    assert_eq!(bench.reply(Op::Cancel { run_id: run.run_id, by: "ana".into() }).await, Reply::Done);
    assert_eq!(bench.states().await, [(60, State::Cancelled)]);
}

async fn a_cancelled_claim_never_starts(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, run) = bench.win(cursor, 60).await;
    bench.reply(Op::Cancel { run_id: run.run_id, by: "ana".into() }).await;
    assert_eq!(bench.start(&key).await, Reply::Cancelled);
    assert_eq!(bench.states().await, [(60, State::Cancelled)]);
    // The same for one whose holder vanished.
    bench.go_to(120);
    let (_, run) = bench.win(at(60), 120).await;
    bench.reply(Op::Cancel { run_id: run.run_id, by: "ana".into() }).await;
    bench.go_to(131);
    assert_eq!(bench.reply(claim_open(&run, &Token::fresh(), Delivery::AtLeastOnce)).await, Reply::Moved);
    assert_eq!(bench.states().await[1], (120, State::Cancelled));
}

async fn nothing_is_claimed_while_paused(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    let pause = Op::Pause { until: Some(at(100)), reason: Some("moving".into()), by: None };
    assert_eq!(bench.reply(pause.clone()).await, Reply::Done);
    assert!(bench.ask(pause).await.events.len() <= 1);
    bench.go_to(60);
    assert!(matches!(bench.reply(claim_next(cursor, 60, &Token::fresh())).await, Reply::Paused(_)));
    let run_id = RunId::of_request(&bench.job, "r");
    let trigger = Trigger::Manual { by: None, reason: None };
    let ask = Op::Trigger {
        run_id,
        at: None,
        trigger,
        args: Default::default(),
        overlap: Overlap::Skip,
        expect: None,
        on_record: false,
    };
    assert!(matches!(bench.reply(ask).await, Reply::Paused(_)));
    bench.go_to(100);
    bench.win(cursor, 60).await;
}

async fn a_resumed_job_remembers_the_span_of_its_pause(bench: Bench) {
    let bench = bench.registered().await;
    bench.go_to(10);
    bench.reply(Op::Pause { until: None, reason: None, by: None }).await;
    bench.go_to(50);
    let record = bench.ask(Op::Resume { catch_up: false, by: None }).await.view.record;
    let pause = &record.pauses[0];
    assert!(pause.covers(at(20)) && !pause.covers(at(51)) && !pause.covers(at(5)));
    assert!(bench.ask(Op::Resume { catch_up: false, by: None }).await.events.is_empty());
    bench.reply(Op::Pause { until: None, reason: None, by: None }).await;
    let record = bench.ask(Op::Resume { catch_up: true, by: None }).await.view.record;
    assert_eq!(record.pauses.len(), 1, "the second is forgotten, the first is not");
    assert!(record.pauses[0].covers(at(20)));
}

fn request(bench: &Bench, id: &str, overlap: Overlap) -> Op {
    Op::Trigger {
        run_id: RunId::of_request(&bench.job, id),
        at: None,
        trigger: Trigger::Manual { by: Some("ana".into()), reason: None },
        args: [("day".to_owned(), "monday".to_owned())].into(),
        overlap,
        expect: None,
        on_record: false,
    }
}

async fn a_claim_ended_by_force_is_over_for_its_holder(bench: Bench) {
    let bench = bench.registered().await;
    bench.go_to(60);
    let token = Token::fresh();
    let target = Target::Next { expect: bench.cursor().await, passes: vec![], at: at(60), due: at(60) };
    let claim = Op::Claim(Bid { mutex: Some("ledger".into()), ..bid(target, &token) });
    let Reply::Won(run) = bench.reply(claim).await else { panic!("not won") };
    let key = Key { run_id: run.run_id, fence: run.fence, token };
    bench.start(&key).await;
    let evict = Op::Evict { run_id: run.run_id, fence: run.fence, by: "ana: web.1 is gone".into() };
    assert_eq!(bench.reply(evict.clone()).await, Reply::Done);
    let view = bench.store.view(&bench.job, Some("ledger")).await.unwrap();
    assert!(view.record.open.is_empty() && view.mutex.held.is_none(), "run and mutex are free: {view:?}");
    let entry = &bench.store.history(&Query::default()).await.unwrap()[0];
    assert_eq!(entry.state, State::Lost);
    assert_eq!(entry.message.as_deref(), Some("released by force by ana: web.1 is gone"));
    let again = bench.ask(evict).await;
    assert!(again.reply == Reply::Done && again.events.is_empty(), "asked again it changes nothing: {again:?}");
    assert_eq!(bench.reply(Op::Renew { key: key.clone(), ttl: LEASE }).await, Reply::Fenced);
    assert_eq!(bench.settle(&key, Ended::succeeded()).await, Reply::Fenced);
    assert_eq!(bench.states().await, [(60, State::Lost)], "what its holder reports later does not count");
}

async fn a_newer_claim_is_not_ended_by_force(bench: Bench) {
    let bench = bench.registered().await;
    bench.go_to(60);
    let (key, run) = bench.win(bench.cursor().await, 60).await;
    let evict = |fence| Op::Evict { run_id: run.run_id, fence, by: "ana".into() };
    assert_eq!(bench.reply(evict(Fence(run.fence.0 - 1))).await, Reply::Moved);
    bench.reply(Op::Release { key }).await;
    assert_eq!(bench.reply(evict(run.fence)).await, Reply::Moved, "a claim given back is held by nobody");
    assert_eq!(bench.open().await.len(), 1);
}

async fn a_request_made_twice_is_one_run(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    assert_eq!(bench.reply(request(&bench, "r1", Overlap::Skip)).await, Reply::Done);
    assert_eq!(bench.reply(request(&bench, "r1", Overlap::Skip)).await, Reply::Done);
    let open = bench.open().await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].args["day"], "monday");
    assert_eq!(bench.cursor().await, cursor, "a run by hand decides no occurrence");
    let token = Token::fresh();
    let Reply::Won(run) = bench.reply(claim_open(&open[0], &token, Delivery::AtMostOnce)).await else { panic!() };
    let key = Key { run_id: run.run_id, fence: run.fence, token };
    bench.start(&key).await;
    bench.settle(&key, Ended::succeeded()).await;
    assert_eq!(bench.reply(request(&bench, "r1", Overlap::Skip)).await, Reply::Done);
    assert!(bench.open().await.is_empty(), "asked again after it ran, it does not run again");
}

async fn a_request_is_known_by_all_of_its_identity(bench: Bench) {
    let bench = bench.registered().await;
    let (one, two): (Vec<u8>, Vec<u8>) = ((0..16).collect(), (16..32).collect());
    // The end of the first and the beginning of the second: it may stand there where they are kept side by side.
    let other = [&one[8..], &two[..8]].concat();
    for id in [one, two, other] {
        let Op::Trigger { at, trigger, args, expect, on_record, .. } = request(&bench, "r", Overlap::QueueAll) else {
            panic!("a request")
        };
        let run_id = RunId::from_bytes(id.try_into().unwrap());
        let ask = Op::Trigger { run_id, at, trigger, args, overlap: Overlap::QueueAll, expect, on_record };
        assert_eq!(bench.reply(ask).await, Reply::Done);
    }
    assert_eq!(bench.open().await.len(), 3);
}

async fn a_request_is_refused_while_a_run_is_open(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    bench.win(cursor, 60).await;
    assert!(matches!(bench.reply(request(&bench, "r1", Overlap::Skip)).await, Reply::Busy(_)));
    assert_eq!(bench.reply(request(&bench, "r2", Overlap::QueueOne)).await, Reply::Done);
    assert!(matches!(bench.reply(request(&bench, "r3", Overlap::QueueOne)).await, Reply::Busy(_)));
    assert_eq!(bench.reply(request(&bench, "r4", Overlap::QueueAll)).await, Reply::Done);
    assert_eq!(bench.reply(request(&bench, "r5", Overlap::Replace)).await, Reply::Done);
    let open = bench.open().await;
    assert_eq!(open.iter().filter(|run| run.is_queued()).count(), 1, "those that waited made room");
    assert!(open.iter().any(|run| run.phase == Phase::Claimed && run.cancel));
}

async fn a_run_by_hand_excludes_the_schedule_and_leaves_the_cursor(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    let run_id = RunId::fresh(at(0));
    let target = |run_id| Target::Request {
        run_id,
        at: None,
        trigger: Trigger::Cli { by: None },
        args: Default::default(),
        expect: None,
    };
    let token = Token::fresh();
    let Reply::Won(run) = bench.reply(Op::Claim(bid(target(run_id), &token))).await else { panic!() };
    assert_eq!(bench.cursor().await, cursor);
    bench.go_to(5);
    let Reply::Busy(holder) = bench.reply(claim_next(cursor, 5, &Token::fresh())).await else { panic!() };
    assert_eq!(holder.run_id, run.run_id);
    let other = target(RunId::fresh(at(1)));
    assert!(matches!(bench.reply(Op::Claim(bid(other, &Token::fresh()))).await, Reply::Busy(_)));
    assert_eq!(bench.reply(Op::Claim(bid(target(run_id), &Token::fresh()))).await, Reply::Stale);
}

async fn one_mutex_keeps_two_jobs_apart(bench: Bench) {
    let (one, two) = (job("one"), job("two"));
    for name in [&one, &two] {
        bench.store.apply(name, &Op::Register { spec: 1 }).await.unwrap();
    }
    let cursor = |name: JobName| {
        let store = bench.store.clone();
        async move { store.view(&name, None).await.unwrap().record.cursor.unwrap() }
    };
    let (first, second) = (cursor(one.clone()).await, cursor(two.clone()).await);
    bench.go_to(60);
    let claim = |expect, token: &Token| {
        let target = Target::Next { expect, passes: vec![], at: at(60), due: at(60) };
        Op::Claim(Bid { mutex: Some("ledger".into()), ..bid(target, token) })
    };
    let token = Token::fresh();
    let Reply::Won(run) = bench.store.apply(&one, &claim(first, &token)).await.unwrap().reply else { panic!() };
    let refused = bench.store.apply(&two, &claim(second, &Token::fresh())).await.unwrap();
    let Reply::MutexHeld(held) = &refused.reply else { panic!("{:?}", refused.reply) };
    assert_eq!((&held.job, held.run_id), (&one, run.run_id));
    assert_eq!(refused.view.mutex.held.as_ref(), Some(held), "losing teaches who holds it");
    let key = Key { run_id: run.run_id, fence: run.fence, token };
    bench.store.apply(&one, &Op::Start { key: key.clone(), holder: "a".into(), ttl: LEASE }).await.unwrap();
    bench.go_to(85);
    bench.store.apply(&one, &Op::Renew { key: key.clone(), ttl: LEASE }).await.unwrap();
    bench.go_to(100);
    let refused = bench.store.apply(&two, &claim(second, &Token::fresh())).await.unwrap().reply;
    assert!(matches!(refused, Reply::MutexHeld(_)), "renewing the run renews its hold: {refused:?}");
    bench.store.apply(&one, &Op::Settle { key, ended: Ended::succeeded(), next: None }).await.unwrap();
    let won = bench.store.apply(&two, &claim(second, &Token::fresh())).await.unwrap().reply;
    assert!(matches!(won, Reply::Won(_)));
}

async fn a_mutex_of_a_vanished_holder_falls_free(bench: Bench) {
    let (one, two) = (job("one"), job("two"));
    let mut cursors = Vec::new();
    for name in [&one, &two] {
        let answer = bench.store.apply(name, &Op::Register { spec: 1 }).await.unwrap();
        cursors.push(answer.view.record.cursor.unwrap());
    }
    bench.go_to(60);
    let claim = |expect, token: &Token| {
        let target = Target::Next { expect, passes: vec![], at: at(60), due: at(60) };
        Op::Claim(Bid { mutex: Some("ledger".into()), ..bid(target, token) })
    };
    let token = Token::fresh();
    let Reply::Won(run) = bench.store.apply(&one, &claim(cursors[0], &token)).await.unwrap().reply else { panic!() };
    let key = Key { run_id: run.run_id, fence: run.fence, token };
    bench.store.apply(&one, &Op::Start { key: key.clone(), holder: "a".into(), ttl: LEASE }).await.unwrap();
    bench.go_to(91);
    let won = bench.store.apply(&two, &claim(cursors[1], &Token::fresh())).await.unwrap().reply;
    assert!(matches!(won, Reply::Won(_)));
    // The first is still the newest claim of its own job, but it has lost the mutex: it must stop.
    let renewed = bench.store.apply(&one, &Op::Renew { key, ttl: LEASE }).await.unwrap().reply;
    assert_eq!(renewed, Reply::Fenced);
}

async fn fences_grow_over_all_jobs_of_a_mutex(bench: Bench) {
    let (one, two) = (job("one"), job("two"));
    let mut cursors = Vec::new();
    for name in [&one, &two] {
        let answer = bench.store.apply(name, &Op::Register { spec: 1 }).await.unwrap();
        cursors.push(answer.view.record.cursor.unwrap());
    }
    bench.go_to(60);
    let mut fences = Vec::new();
    for (name, expect) in [&one, &two].into_iter().zip(cursors) {
        let token = Token::fresh();
        let target = Target::Next { expect, passes: vec![], at: at(60), due: at(60) };
        let claim = Op::Claim(Bid { mutex: Some("ledger".into()), ..bid(target, &token) });
        let Reply::Won(mut run) = bench.store.apply(name, &claim).await.unwrap().reply else { panic!() };
        fences.push(run.fence);
        // A clock that was set back stands still: fences go on by counting, ahead of it, and must not
        // hand the second job one that the first has had.
        bench.clock.step(-3_600_000_000);
        for _ in 0..5 {
            let key = Key { run_id: run.run_id, fence: run.fence, token: run.token.clone().unwrap() };
            bench.store.apply(name, &Op::Release { key }).await.unwrap();
            let target = Target::Open { run_id: run.run_id, fence: run.fence };
            let claim = Op::Claim(Bid { mutex: Some("ledger".into()), ..bid(target, &Token::fresh()) });
            let Reply::Won(again) = bench.store.apply(name, &claim).await.unwrap().reply else { panic!() };
            fences.push(again.fence);
            run = again;
        }
        let key = Key { run_id: run.run_id, fence: run.fence, token: run.token.clone().unwrap() };
        bench.store.apply(name, &Op::Release { key }).await.unwrap();
    }
    assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
}

async fn fences_grow_over_a_wiped_store(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (_, run) = bench.win(cursor, 60).await;
    assert!(run.fence >= Fence(u64::try_from(at(60).as_micros()).unwrap()), "a fence is at least the time");
}

async fn published_runs_start_under_the_token_of_whoever_takes_them(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, _) = bench.win(cursor, 60).await;
    let published = Op::Published { key: key.clone(), ttl: Duration::from_secs(600) };
    assert_eq!(bench.reply(published.clone()).await, Reply::Done);
    assert_eq!(bench.reply(published.clone()).await, Reply::Done);
    assert_eq!(bench.states().await, [(60, State::Published)]);
    bench.go_to(300);
    let worker = Key { token: Token::fresh(), ..key.clone() };
    assert!(matches!(bench.start(&worker).await, Reply::Kept { .. }));
    let copy = Key { token: Token::fresh(), ..key.clone() };
    assert_eq!(bench.start(&copy).await, Reply::Fenced, "a second delivery does not start it again");
    assert_eq!(bench.reply(published).await, Reply::Done, "the publisher may hear of it late");
    assert_eq!(bench.settle(&worker, Ended::succeeded()).await, Reply::Done);
    assert_eq!(bench.start(&worker).await, Reply::Fenced);
}

async fn time_never_goes_back(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let (key, run) = bench.win(cursor, 60).await;
    bench.start(&key).await;
    bench.clock.step(-3_600_000_000);
    let view = bench.store.view(&bench.job, None).await.unwrap();
    assert!(view.now >= at(60), "{}", view.now);
    assert_eq!(bench.settle(&key, Ended::succeeded()).await, Reply::Done);
    let entry = &bench.store.history(&Query::default()).await.unwrap()[0];
    let attempt = entry.latest().unwrap();
    assert!(attempt.finished_at.unwrap() >= attempt.started_at.unwrap());
    assert_eq!(attempt.fence, run.fence);
}

async fn changes_that_give_others_something_to_do_are_announced(bench: Bench) {
    let (position, _) = bench.store.changed(0).await.unwrap();
    let (store, name) = (bench.store.clone(), bench.job.clone());
    let waiting = tokio::spawn(async move { store.changed(position).await.unwrap() });
    // Nobody else has anything to do because of this one.
    bench.store.apply(&name, &Op::Register { spec: 1 }).await.unwrap();
    let other = job("report");
    bench.store.apply(&other, &Op::Pause { until: None, reason: None, by: None }).await.unwrap();
    let (next, jobs) = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert_eq!(jobs, [other]);
    assert!(next > position);
}

async fn a_claim_that_is_given_back_is_announced_to_others(bench: Bench) {
    let bench = bench.registered().await;
    let expect = bench.cursor().await;
    bench.go_to(60);
    let (key, _) = bench.win(expect, 60).await;
    let (position, _) = bench.store.changed(0).await.unwrap();
    let store = bench.store.clone();
    let waiting = tokio::spawn(async move { store.changed(position).await.unwrap() });
    assert_eq!(bench.reply(Op::Release { key }).await, Reply::Done);
    let (_, jobs) = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert_eq!(jobs, std::slice::from_ref(&bench.job));
}

async fn output_is_kept_in_order_and_can_lose_its_middle(bench: Bench) {
    let run = RunId::fresh(at(0));
    let piece = |seq, text: &str| Piece { seq, at: at(1), stream: Stream::Stdout, bytes: text.into() };
    bench.store.write_output((run, Fence(1)), vec![piece(0, "a"), piece(1, "b")], 0..0).await.unwrap();
    bench.store.write_output((run, Fence(1)), vec![piece(2, "c"), piece(3, "d")], 1..3).await.unwrap();
    bench.store.write_output((run, Fence(2)), vec![piece(0, "second")], 0..0).await.unwrap();
    let read = bench.store.read_output(run, 0).await.unwrap();
    let text: Vec<_> =
        read.iter().map(|(fence, piece)| (fence.0, String::from_utf8_lossy(&piece.bytes).into_owned())).collect();
    assert_eq!(text, [(1, "a".to_owned()), (1, "c".into()), (1, "d".into()), (2, "second".into())]);
    assert_eq!(bench.store.read_output(run, 3).await.unwrap().len(), 1);
    let first = bench.store.read_attempt(run, Fence(1), 1).await.unwrap();
    assert_eq!(first.iter().map(|piece| piece.seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(bench.store.read_attempt(run, Fence(2), 0).await.unwrap().len(), 1);
    assert!(bench.store.read_attempt(run, Fence(3), 0).await.unwrap().is_empty());
}

async fn history_is_filtered_and_newest_first(bench: Bench) {
    let bench = bench.registered().await;
    let mut expect = bench.cursor().await;
    for (secs, ended) in [(60, Ended::succeeded()), (120, failed()), (180, Ended::succeeded())] {
        bench.go_to(secs);
        let (key, _) = bench.win(expect, secs).await;
        bench.start(&key).await;
        bench.settle(&key, ended).await;
        expect = at(secs);
    }
    bench.go_to(240);
    bench.reply(Op::Decide { expect, passes: vec![one(240, Fate::SkippedOverlap)], due: at(240) }).await;
    let ask = async |query: Query| -> Vec<u64> {
        let found = bench.store.history(&query).await.unwrap();
        found.iter().map(|entry| entry.scheduled_at.since(start_of_time()).as_secs()).collect()
    };
    assert_eq!(ask(Query::default()).await, [240, 180, 120, 60]);
    assert_eq!(ask(Query { limit: 2, ..Query::default() }).await, [240, 180]);
    assert_eq!(ask(Query { states: vec![State::Failed, State::SkippedOverlap], ..Query::default() }).await, [240, 120]);
    assert_eq!(ask(Query { since: Some(at(120)), until: Some(at(240)), ..Query::default() }).await, [180, 120]);
    assert_eq!(ask(Query { job: Some(job("other")), ..Query::default() }).await, [0u64; 0]);
    assert_eq!(ask(Query { trigger: Some("manual".into()), ..Query::default() }).await, [0u64; 0]);
    let id = RunId::of_occurrence(&bench.job, at(120));
    for text in [id.to_string(), id.short()] {
        assert_eq!(ask(Query { id: Some(text), ..Query::default() }).await, [120]);
    }
}

async fn history_can_be_cut_to_the_newest_of_each_job(bench: Bench) {
    let of = |name| Bench { job: job(name), store: bench.store.clone(), clock: bench.clock.clone(), _ground: None };
    let both = [of("one").registered().await, of("two").registered().await];
    for (secs, ended) in [(60, Ended::succeeded()), (120, failed())] {
        bench.go_to(secs);
        for one in &both {
            let (key, _) = one.win(one.cursor().await, secs).await;
            one.start(&key).await;
            one.settle(&key, ended.clone()).await;
        }
    }
    let ask = async |query: Query| -> Vec<(String, u64)> {
        let found = bench.store.history(&Query { newest_of_each: true, ..query }).await.unwrap();
        let secs = |at: Timestamp| at.since(start_of_time()).as_secs();
        found.iter().map(|entry| (entry.job.to_string(), secs(entry.scheduled_at))).collect()
    };
    let mut all = ask(Query::default()).await;
    all.sort();
    assert_eq!(all, [("one".into(), 120), ("two".into(), 120)]);
    let mut good = ask(Query { states: vec![State::Succeeded], ..Query::default() }).await;
    good.sort();
    assert_eq!(good, [("one".into(), 60), ("two".into(), 60)]);
    assert_eq!(ask(Query { limit: 1, ..Query::default() }).await.len(), 1);
}

async fn history_is_pruned_by_count_and_age_but_never_what_is_open(bench: Bench) {
    let bench = bench.registered().await;
    let mut expect = bench.cursor().await;
    let mut runs = Vec::new();
    for secs in [60, 120, 180, 240] {
        bench.go_to(secs);
        let (key, run) = bench.win(expect, secs).await;
        bench.start(&key).await;
        let piece = Piece { seq: 0, at: at(secs), stream: Stream::Stdout, bytes: b"x".to_vec() };
        bench.store.write_output((run.run_id, run.fence), vec![piece], 0..0).await.unwrap();
        if secs < 240 {
            bench.settle(&key, Ended::succeeded()).await;
        }
        runs.push(run.run_id);
        expect = at(secs);
    }
    let keep = [(bench.job.clone(), Keep { runs: 2, days: 30 })];
    assert_eq!(bench.store.prune(&keep, Keep::default()).await.unwrap(), 1);
    assert_eq!(bench.states().await, [(120, State::Succeeded), (180, State::Succeeded), (240, State::Running)]);
    assert!(bench.store.read_output(runs[0], 0).await.unwrap().is_empty());
    assert_eq!(bench.store.read_output(runs[1], 0).await.unwrap().len(), 1);
    bench.go_to(40 * 86_400);
    assert_eq!(bench.store.prune(&keep, Keep::default()).await.unwrap(), 2);
    assert_eq!(bench.states().await, [(240, State::Running)]);
}

async fn replicas_come_and_go(bench: Bench) {
    let replica = |boot_id: &str| Replica {
        boot_id: boot_id.into(),
        name: "web.1".into(),
        version: "0".into(),
        pid: 1,
        started_at: at(0),
        last_seen_at: at(0),
        clock_skew_seconds: 0.5,
        config_digest: "d".into(),
        tzdb: "2026c".into(),
        jobs: 1,
        running: 0,
        queues: Vec::new(),
        slots: 0,
        failing: BTreeMap::new(),
        zones: BTreeMap::new(),
    };
    bench.go_to(5);
    assert!(bench.store.beat(&replica("x")).await.unwrap() >= at(5));
    bench.store.beat(&replica("y")).await.unwrap();
    let seen = bench.store.replicas().await.unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].last_seen_at >= at(5));
    bench.store.leave("x").await.unwrap();
    assert_eq!(bench.store.replicas().await.unwrap().len(), 1);
    bench.go_to(86_500);
    assert!(bench.store.replicas().await.unwrap().is_empty());
}

async fn any_job_name_is_kept_apart(bench: Bench) {
    let long = "x".repeat(63);
    for (secs, name) in (0u64..).zip(["a", "a-b", "a_b", "0", long.as_str()]) {
        bench.go_to(secs);
        bench.store.apply(&job(name), &Op::Register { spec: secs }).await.unwrap();
    }
    let all = bench.store.snapshot().await.unwrap().records;
    assert_eq!(all.len(), 5);
    assert!(all.get(&job("a_b")).unwrap().since(2).is_some());
}

#[test]
fn a_new_database_may_be_opened_by_many_at_once() {
    for _ in 0..40 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        let start = std::sync::Barrier::new(6);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    start.wait();
                    Sqlite::open(&path, Create::IfMissing, Clock::system()).map(drop).unwrap();
                });
            }
        });
    }
}

//! Runs that are won and started in one step.

use cronclave::clock::Timestamp;
use cronclave::job::Delivery;
use cronclave::lease::{Ended, Token};
use cronclave::ledger::What;
use cronclave::record::{Bid, Key, Op, Open, Phase, Reply};
use cronclave::store::Answer;

use super::{Bench, LEASE, at, bid, claim_open, go_before, next_at};

/// A bid for the occurrence at `secs` that is to start with it.
fn starting(expect: Timestamp, secs: u64, token: &Token) -> Op {
    Op::Claim(Bid { start: Some(LEASE), ..bid(next_at(expect, secs), token) })
}

fn won(answer: &Answer, token: &Token) -> (Key, Open) {
    let Reply::Won(run) = &answer.reply else { panic!("not won but {:?}", answer.reply) };
    (Key { run_id: run.run_id, fence: run.fence, token: token.clone() }, (**run).clone())
}

pub(super) async fn what_is_started_as_it_is_won_is_as_if_it_had_been_claimed_and_started(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let token = Token::fresh();
    let answer = bench.ask(starting(cursor, 60, &token)).await;
    let (key, run) = won(&answer, &token);
    assert_eq!((run.phase, run.until), (Phase::Running, answer.view.now.plus(LEASE)));
    assert_eq!(run.started_at, Some(answer.view.now));
    let kinds: Vec<bool> = answer.events.iter().map(|event| matches!(event.what, What::Started { .. })).collect();
    assert_eq!(kinds, [false, true], "{:?}", answer.events);
    assert!(matches!(answer.events[0].what, What::Claimed { .. }));
    assert!(matches!(bench.start(&key).await, Reply::Kept { .. }), "it has been started, and is not again");
    assert_eq!(bench.settle(&key, Ended::succeeded()).await, Reply::Done);
    assert_eq!(bench.count_events(|what| matches!(what, What::Started { .. })).await, 1);
}

pub(super) async fn a_bid_with_its_start_asked_again_is_answered_the_same(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    bench.go_to(60);
    let token = Token::fresh();
    let first = bench.ask(starting(cursor, 60, &token)).await;
    bench.go_to(62);
    let again = bench.ask(starting(cursor, 60, &token)).await;
    assert_eq!((&first.reply, &first.view.record), (&again.reply, &again.view.record));
    assert!(again.events.is_empty(), "a repeated bid is not a second event");
    assert_eq!(bench.reply(starting(cursor, 60, &Token::fresh())).await, Reply::Stale, "nor is it another's");
}

pub(super) async fn what_is_started_as_it_is_won_ahead_begins_when_it_is_due(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    go_before(&bench, 60, 200);
    let token = Token::fresh();
    let answer = bench.ask(starting(cursor, 60, &token)).await;
    assert_eq!(won(&answer, &token).1.started_at, Some(at(60)));
    assert_eq!(answer.events[1].at, at(60), "so history has it");
}

pub(super) async fn what_was_started_ahead_and_given_back_waits_for_its_instant(bench: Bench) {
    let bench = bench.registered().await;
    let cursor = bench.cursor().await;
    go_before(&bench, 60, 200);
    let token = Token::fresh();
    let (key, _) = won(&bench.ask(starting(cursor, 60, &token)).await, &token);
    assert_eq!(bench.reply(Op::Release { key: key.clone() }).await, Reply::Done);
    let run = bench.open().await.remove(0);
    let again = claim_open(&run, &Token::fresh(), Delivery::AtMostOnce);
    assert!(matches!(bench.reply(again.clone()).await, Reply::Busy(_)), "it is not due");
    bench.go_to(60);
    assert!(matches!(bench.reply(again).await, Reply::Won(_)));
    assert_eq!(bench.start(&key).await, Reply::Fenced, "who gave it back has no part in it");
}

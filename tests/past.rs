//! What became of occurrences, in words; and how those that did not run come to run, once.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/jobs.rs"]
mod jobs;

use std::sync::Arc;

use cronclave::backfill::{self, Asked, Fate as Due, Wish};
use cronclave::clock::{Clock, Timestamp};
use cronclave::job::{Delivery, Job, JobName, Overlap};
use cronclave::lease::{Ended, Fence, Outcome, RunId, Token, Trigger};
use cronclave::ledger::{Fate, Pass, State};
use cronclave::occurrence::{May, Seen};
use cronclave::record::{Bid, Key, Op, Reply, Target};
use cronclave::store::{Memory, Query, Store};
use cronclave::why::{self, Reach, Why, why};

use jobs::{every, secs, start_of_time};

/// A job each minute, seen first at second 0, in a store whose clock only the test moves.
struct Bench {
    store: Memory,
    clock: Clock,
    job: Job,
}

fn at(second: u64) -> Timestamp {
    start_of_time().plus(secs(second))
}

fn wish() -> Wish {
    Wish { overlap: Overlap::QueueAll, by: Some("ana".into()), reason: Some("files came late".into()) }
}

impl Bench {
    async fn new() -> Bench {
        tokio::time::pause();
        let clock = Clock::starting_at(start_of_time());
        let bench = Bench { store: Memory::new(clock.clone()), clock, job: every("report", 60) };
        bench.ask(Op::Register { spec: bench.job.spec() }).await;
        bench
    }

    fn go_to(&self, second: u64) {
        self.clock.step(at(second).as_micros() - self.clock.now().as_micros());
    }

    async fn ask(&self, op: Op) -> Reply {
        self.store.apply(&self.job.name, &op).await.unwrap().reply
    }

    async fn decide(&self, from: u64, through: u64, fate: Fate) {
        let expect = self.store.view(&self.job.name, None).await.unwrap().record.cursor.unwrap();
        let pass = Pass { from: at(from), through: at(through), count: (through - from) / 60 + 1, fate };
        assert_eq!(self.ask(Op::Decide { expect, passes: vec![pass], due: at(through) }).await, Reply::Done);
    }

    async fn claim(&self, target: Target, holder: &str) -> Key {
        let token = Token::fresh();
        let bid = Bid {
            target,
            token: token.clone(),
            holder: holder.into(),
            ttl: secs(30),
            overlap: self.job.overlap,
            delivery: Delivery::AtMostOnce,
            mutex: None,
            start: None,
        };
        let Reply::Won(run) = self.ask(Op::Claim(bid)).await else { panic!("not won") };
        Key { run_id: run.run_id, fence: run.fence, token }
    }

    async fn start(&self, second: u64) -> Key {
        let expect = self.store.view(&self.job.name, None).await.unwrap().record.cursor.unwrap();
        let target = Target::Next { expect, passes: vec![], at: at(second), due: at(second) };
        let key = self.claim(target, "web.1").await;
        self.ask(Op::Start { key: key.clone(), holder: "web.1".into(), ttl: secs(30) }).await;
        key
    }

    async fn end(&self, key: Key, ended: Ended) {
        assert_eq!(self.ask(Op::Settle { key, ended, next: None }).await, Reply::Done);
    }

    async fn may(&self, second: u64) -> May {
        Seen::look(&self.store, &self.job.name, at(second)).await.unwrap().may_run(&self.job.name)
    }

    async fn why(&self, second: u64) -> Why {
        why(&self.store, &self.job.name, Some(&self.job), at(second)).await.unwrap()
    }

    /// The whole of it, as text.
    async fn told(&self, second: u64) -> String {
        let why = self.why(second).await;
        let facts = why.facts.iter().map(|fact| format!("\n{}", fact.text)).collect::<String>();
        why.answer + &facts
    }

    /// The same from the newest `most` lines of history and what is known of the job.
    async fn last_known(&self, second: u64, most: usize) -> Why {
        let view = self.store.view(&self.job.name, None).await.unwrap();
        let lines = self.store.history(&Query { limit: most, ..Query::default() }).await.unwrap();
        let seen = Seen::of(&self.job.name, at(second), view, &lines);
        why::tell(&self.job.name, Some(&self.job), &seen, &lines, Reach::Newest)
    }

    async fn fill(&self, second: u64) -> Asked {
        backfill::ask(&self.store, &self.job, at(second), &wish()).await.unwrap()
    }
}

#[track_caller]
fn has(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
}

#[tokio::test]
async fn a_run_is_told_from_its_claim_to_its_end() {
    let bench = Bench::new().await;
    bench.go_to(61);
    let key = bench.start(60).await;
    has(&bench.told(60).await, &["It is running.", "web.1 won the right", "1.0 s after its instant"]);
    assert_eq!(bench.may(60).await, May::Ran(State::Running));
    bench.go_to(65);
    bench.end(key, Ended { exit_code: Some(3), ..Ended::because(Outcome::Failed, "exit code 3") }).await;
    let told = bench.told(60).await;
    has(
        &told,
        &["ended as failed after one attempt: exit code 3.", "`every 1m` in UTC, has it", "after 4.0 s: exit code 3"],
    );
    let why = bench.why(60).await;
    assert_eq!((why.state, why.run_id), (Some(State::Failed), Some(RunId::of_occurrence(&bench.job.name, at(60)))));
    assert!(why.facts.is_sorted_by_key(|fact| fact.at));
}

#[tokio::test]
async fn what_was_passed_over_is_told_with_what_was_behind_it() {
    let bench = Bench::new().await;
    bench.go_to(60);
    let key = bench.start(60).await;
    bench.go_to(180);
    bench.decide(120, 180, Fate::SkippedOverlap).await;
    has(
        &bench.told(180).await,
        &["a run of the job was still open", "was in its way on web.1", "with 1 of its neighbours"],
    );
    bench.end(key, Ended::succeeded()).await;
    bench.ask(Op::Pause { until: None, reason: Some("migration".into()), by: Some("ana".into()) }).await;
    bench.go_to(250);
    bench.ask(Op::Resume { catch_up: false, by: None }).await;
    bench.decide(240, 240, Fate::SkippedPaused).await;
    has(&bench.told(240).await, &["the job was paused", "paused by ana: migration", "The pause ended."]);
    bench.go_to(1000);
    bench.decide(300, 300, Fate::Missed).await;
    has(&bench.told(300).await, &["nobody could start it in time", "until 12 min after it was due"]);
}

#[tokio::test]
async fn where_there_is_no_line_it_is_told_why() {
    let bench = Bench::new().await;
    bench.go_to(130);
    has(
        &bench.told(90).await,
        &["There is no such occurrence.", "the nearest: 2026-11-22T06:01:00Z, 2026-11-22T06:02:00Z"],
    );
    has(&bench.told(60).await, &["Nobody has decided about it yet"]);
    has(&bench.told(180).await, &["It is not due before 2026-11-22T06:03:00Z."]);
    bench.ask(Op::Pause { until: None, reason: None, by: None }).await;
    has(&bench.told(60).await, &["the job is paused"]);
    let past = why(&bench.store, &bench.job.name, Some(&bench.job), start_of_time().minus(secs(60))).await.unwrap();
    has(&past.answer, &["The job was not known then"]);
    let nobody = JobName::new("nobody").unwrap();
    has(&why(&bench.store, &nobody, None, at(60)).await.unwrap().answer, &["No replica has ever seen this job"]);
}

#[tokio::test]
async fn only_what_has_not_run_is_filled_in_and_only_once() {
    let bench = Bench::new().await;
    bench.go_to(60);
    let key = bench.start(60).await;
    bench.end(key, Ended::succeeded()).await;
    bench.go_to(400);
    bench.decide(120, 240, Fate::Missed).await;
    let span = start_of_time().minus(secs(60))..at(400);
    let items = backfill::plan(&bench.store, &bench.job, span).await.unwrap();
    let fates: Vec<_> = items.into_iter().map(|item| (item.at, item.fate)).collect();
    let stands = |may| Due::Stands(may);
    let before = start_of_time().minus(secs(60));
    assert_eq!(
        fates,
        [
            (before, Due::Runs),
            (at(0), stands(May::Forgotten)),
            (at(60), stands(May::Ran(State::Succeeded))),
            (at(120), Due::Runs),
            (at(180), Due::Runs),
            (at(240), Due::Runs),
            (at(300), stands(May::Undecided)),
            (at(360), stands(May::Undecided)),
        ]
    );
    let run_id = RunId::of_occurrence(&bench.job.name, at(120));
    assert_eq!(bench.fill(120).await, Asked::Accepted(run_id));
    assert_eq!(bench.fill(120).await, Asked::Stands(May::Waits(State::Queued)));
    assert_eq!(bench.fill(60).await, Asked::Stands(May::Ran(State::Succeeded)));
    assert_eq!(bench.fill(300).await, Asked::Stands(May::Undecided));
    // It runs as any other, and keeps its identity.
    let key = bench.claim(Target::Open { run_id, fence: Fence(0) }, "web.2").await;
    bench.ask(Op::Start { key: key.clone(), holder: "web.2".into(), ttl: secs(30) }).await;
    bench.end(key, Ended::succeeded()).await;
    assert_eq!(bench.fill(120).await, Asked::Stands(May::Ran(State::Succeeded)));
    has(
        &bench.told(120).await,
        &["It ran and succeeded", "asked for afterwards by ana: files came late", "decided: missed"],
    );
}

#[tokio::test]
async fn a_request_that_was_cancelled_is_not_made_again_under_the_same_identity() {
    let bench = Bench::new().await;
    bench.go_to(200);
    bench.decide(60, 120, Fate::Missed).await;
    let Asked::Accepted(run_id) = bench.fill(60).await else { panic!("not accepted") };
    assert_eq!(bench.ask(Op::Cancel { run_id, by: "ana".into() }).await, Reply::Done);
    assert_eq!(bench.fill(60).await, Asked::Stands(May::Over(State::Cancelled)));
}

#[tokio::test]
async fn many_who_fill_in_the_same_occurrence_start_it_once() {
    let bench = Arc::new(Bench::new().await);
    bench.go_to(200);
    bench.decide(60, 120, Fate::Missed).await;
    let all = (0..8).map(|_| {
        let bench = bench.clone();
        tokio::spawn(async move { bench.fill(60).await })
    });
    let mut accepted = 0;
    for asked in all.collect::<Vec<_>>() {
        accepted += usize::from(matches!(asked.await.unwrap(), Asked::Accepted(_)));
    }
    assert!(accepted >= 1);
    let record = bench.store.view(&bench.job.name, None).await.unwrap().record;
    assert_eq!(record.open.len(), 1);
    assert!(matches!(record.open[0].trigger, Trigger::Backfill { .. }));
}

#[tokio::test]
async fn the_newest_lines_tell_the_same_as_all_of_them_as_far_as_they_reach() {
    let bench = Bench::new().await;
    bench.go_to(61);
    let first = bench.start(60).await;
    bench.go_to(180);
    bench.decide(120, 180, Fate::SkippedOverlap).await;
    bench.end(first, Ended::because(Outcome::Succeeded, "")).await;
    bench.go_to(241);
    let second = bench.start(240).await;
    bench.end(second, Ended::because(Outcome::Failed, "exit code 3")).await;
    for second in [60, 120, 180, 240, 300, 330] {
        assert_eq!(bench.last_known(second, 10).await, bench.why(second).await, "{second}");
    }
    let told = bench.last_known(60, 1).await;
    assert_eq!((told.state, told.run_id), (None, None));
    has(&told.answer, &["does not reach back to it"]);
    bench.go_to(301);
    has(&bench.last_known(300, 10).await.answer, &["when the store was last heard of"]);
    has(&bench.why(300).await.answer, &["is a replica up?"]);
}

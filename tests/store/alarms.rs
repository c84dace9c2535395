//! What is told of jobs that do not succeed and runs that take long; requests that are refused.

use cronclave::job::Overlap;
use cronclave::lease::{Ended, Fence, RunId, Trigger};
use cronclave::ledger::{Entry, Event, Fate, State, What};
use cronclave::record::{Op, Record, Reply};
use cronclave::store::Query;

use super::{Bench, at};

fn overdue(expect: Option<u64>, due: u64) -> Op {
    Op::Overdue { expect: expect.map(at), due: at(due) }
}

fn whats(events: Vec<Event>) -> Vec<What> {
    events.into_iter().map(|event| event.what).collect()
}

impl Bench {
    async fn told(&self, op: Op) -> Vec<What> {
        whats(self.ask(op).await.events)
    }

    /// Runs the occurrence at `secs` to its end.
    async fn succeed(&self, secs: u64) -> Vec<What> {
        let (key, _) = self.win(self.cursor().await, secs).await;
        self.start(&key).await;
        self.told(Op::Settle { key, ended: Ended::succeeded(), next: None }).await
    }

    async fn record(&self) -> Record {
        self.store.view(&self.job, None).await.unwrap().record
    }

    async fn entry(&self, run_id: RunId) -> Option<Entry> {
        let query = Query { id: Some(run_id.to_string()), ..Query::default() };
        self.store.history(&query).await.unwrap().pop()
    }
}

pub(super) async fn a_missing_success_is_told_once_for_each_deadline(bench: Bench) {
    let bench = bench.registered().await;
    bench.go_to(59);
    assert_eq!(bench.reply(overdue(None, 60)).await, Reply::Early(at(60)));
    bench.go_to(61);
    assert_eq!(bench.told(overdue(None, 60)).await, [What::Overdue { due: at(60), last_success_at: None }]);
    assert_eq!(bench.told(overdue(None, 60)).await, [], "others who notice are too late");
    assert_eq!(bench.reply(overdue(Some(1), 60)).await, Reply::Moved, "seen from an old view");
    // Somebody gave it more time, and that passed as well.
    bench.go_to(120);
    assert_eq!(bench.told(overdue(None, 100)).await, [What::Overdue { due: at(100), last_success_at: None }]);
    assert!(bench.record().await.overdue >= Some(at(120)));
}

pub(super) async fn a_success_ends_an_alarm(bench: Bench) {
    let bench = bench.registered().await;
    bench.go_to(61);
    bench.ask(overdue(None, 60)).await;
    let told = bench.succeed(61).await;
    assert!(matches!(told[..], [What::Ended { .. }, What::Recovered { overdue_since }] if overdue_since >= at(61)));
    let record = bench.record().await;
    assert_eq!((record.succeeded_at >= Some(at(61)), record.overdue), (true, None));
    let first = record.succeeded_at;
    bench.go_to(70);
    let told = bench.succeed(70).await;
    assert!(matches!(told[..], [What::Ended { .. }]), "told once");
    bench.go_to(200);
    assert_eq!(bench.reply(Op::Overdue { expect: first, due: at(121) }).await, Reply::Moved, "it succeeded since");
    let last_success_at = bench.record().await.succeeded_at;
    let again = Op::Overdue { expect: last_success_at, due: at(130) };
    assert_eq!(bench.told(again).await, [What::Overdue { due: at(130), last_success_at }]);
}

pub(super) async fn a_long_attempt_is_told_once(bench: Bench) {
    let bench = bench.registered().await;
    bench.go_to(60);
    let (key, run) = bench.win(bench.cursor().await, 60).await;
    let slow = Op::Slow { run_id: key.run_id, fence: key.fence };
    assert_eq!(bench.reply(slow.clone()).await, Reply::Moved, "it has not started");
    bench.start(&key).await;
    let started_at = bench.open().await[0].started_at.unwrap();
    bench.go_to(69);
    let told = What::Slow { run_id: run.run_id, attempt: 1, fence: key.fence, started_at };
    assert_eq!(bench.told(slow.clone()).await, [told]);
    assert_eq!(bench.told(slow.clone()).await, []);
    let other = Op::Slow { run_id: key.run_id, fence: Fence(1) };
    assert_eq!(bench.reply(other).await, Reply::Moved);
    // Its next attempt is another.
    let settle = Op::Settle { key, ended: super::failed(), next: Some((2, std::time::Duration::ZERO)) };
    bench.ask(settle).await;
    let token = cronclave::lease::Token::fresh();
    let run = bench.open().await.remove(0);
    let claim = super::claim_open(&run, &token, cronclave::job::Delivery::AtMostOnce);
    let Reply::Won(run) = bench.reply(claim).await else { panic!("not won") };
    assert_eq!((run.started_at, run.slow), (None, false));
}

fn chained(bench: &Bench, id: &str, on_record: bool) -> Op {
    let job = super::job("first");
    Op::Trigger {
        run_id: RunId::of_request(&bench.job, id),
        at: None,
        trigger: Trigger::Chain { run_id: RunId::of_occurrence(&job, at(1)), job, on: "success".into() },
        args: [].into(),
        overlap: Overlap::Skip,
        expect: None,
        on_record,
    }
}

pub(super) async fn a_refused_request_may_be_put_on_record(bench: Bench) {
    let bench = bench.registered().await;
    bench.go_to(60);
    bench.win(bench.cursor().await, 60).await;
    let Reply::Busy(_) = bench.reply(chained(&bench, "quiet", false)).await else { panic!("not busy") };
    assert_eq!(bench.entry(RunId::of_request(&bench.job, "quiet")).await, None);
    let run_id = RunId::of_request(&bench.job, "a");
    let Reply::Busy(_) = bench.reply(chained(&bench, "a", true)).await else { panic!("not busy") };
    let entry = bench.entry(run_id).await.unwrap();
    assert_eq!((entry.state, entry.trigger.kind()), (State::SkippedOverlap, "chain"));
    assert_eq!(bench.reply(chained(&bench, "a", true)).await, Reply::Done, "that was its end");
    assert_eq!(bench.entry(run_id).await, Some(entry));
    bench.ask(Op::Pause { until: None, reason: None, by: None }).await;
    let told = bench.told(chained(&bench, "b", true)).await;
    assert!(matches!(told[..], [What::Declined { fate: Fate::SkippedPaused, .. }]));
}

pub(super) async fn who_asks_for_an_occurrence_itself_must_know_that_it_has_not_run(bench: Bench) {
    let bench = bench.registered().await;
    bench.go_to(60);
    bench.succeed(60).await;
    let fence = bench.record().await.fence;
    let ask = |secs: u64, expect: Fence| Op::Trigger {
        run_id: RunId::of_occurrence(&bench.job, at(secs)),
        at: Some(at(secs)),
        trigger: Trigger::Backfill { by: None, reason: None },
        args: [].into(),
        overlap: Overlap::QueueAll,
        expect: Some(expect),
        on_record: false,
    };
    assert_eq!(bench.reply(ask(61, fence)).await, Reply::Early(at(61)), "its schedule may still start it");
    assert_eq!(bench.reply(ask(30, Fence(1))).await, Reply::Moved, "something started since it was looked");
    assert_eq!(bench.reply(ask(30, fence)).await, Reply::Done);
    assert_eq!(bench.open().await[0].scheduled_at, at(30));
    assert!(bench.told(ask(30, fence)).await.is_empty(), "asked again it is the same");
    assert_eq!(bench.open().await.len(), 1);
}

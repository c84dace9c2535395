//! What deciding costs, without any store: what a replica asks for next (`plan::next`), beside the schedule's own answer,
//! which it cannot do without; and what a store does with it (`record::apply`), beside a copy of the record.
//!
//!     cargo bench --bench plan
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/figures.rs"]
mod figures;

use std::hint::black_box;
use std::time::{Duration, Instant};

use cronclave::clock::Timestamp;
use cronclave::config::{self, SourceText};
use cronclave::job::{Delivery, Job, Overlap};
use cronclave::lease::{Ended, Token};
use cronclave::plan::{self, Step, View};
use cronclave::record::{Bid, Key, Mutex, Op, Record, Reply, State, Target, apply};

const ROUND: Duration = Duration::from_millis(500);
const TTL: Duration = Duration::from_secs(30);

fn main() {
    for (case, behind) in
        [("nothing is due", 0), ("one is due", 1), ("1,000 are due", 1000), ("10,000 are due", 10_000)]
    {
        let (job, view) = seen(behind);
        let decides = each(|| plan::next(&job, &view));
        let schedule = each(|| job.schedule.after(view.now));
        let named = [("plan_ns", decides), ("schedule_ns", schedule), ("schedule_ratio", decides / schedule)];
        figures::tell("plan", case, &named);
    }
    let (job, mut record, mut now) = (load(), Record::default(), start());
    grant(&job, &mut record, &Op::Register { spec: 1 }, now);
    let (mut rounds, began) = (0u32, Instant::now());
    while began.elapsed() < ROUND {
        for _ in 0..100 {
            now = now.plus(Duration::from_secs(60));
            one_run(&job, &mut record, now);
        }
        rounds += 100;
    }
    let run = began.elapsed().as_nanos() as f64 / f64::from(rounds);
    let copy = each(|| record.clone());
    figures::tell(
        "apply",
        "a claim, a start and an end",
        &[("run_ns", run), ("copy_ns", copy), ("copy_ratio", run / copy)],
    );
}

fn start() -> Timestamp {
    "2026-11-22T06:00:00Z".parse().unwrap()
}

fn load() -> Job {
    let text = "version = 1\n[jobs.plan]\nschedule = \"* * * * *\"\ncommand = \"true\"\n";
    let sources = vec![SourceText { name: "plan".into(), text: text.into() }];
    config::load(&sources, &|_| None, start()).unwrap().jobs.remove(0).as_ref().clone()
}

/// A job and its record, so many occurrences after the last that was decided.
fn seen(behind: u64) -> (Job, View) {
    let (job, mut record) = (load(), Record::default());
    grant(&job, &mut record, &Op::Register { spec: job.spec() }, start());
    let now = start().plus(Duration::from_secs(60 * behind + 5));
    let step = plan::next(&job, &View { now, record: record.clone(), mutex: Mutex::default() });
    assert_eq!(matches!(step, Step::Claim(_) | Step::Decide { .. }), behind > 0, "{step:?}");
    (job, View { now, record, mutex: Mutex::default() })
}

fn grant(job: &Job, record: &mut Record, op: &Op, now: Timestamp) -> Reply {
    apply(State { job: &job.name, record, mutex: &mut Mutex::default() }, op, now).0
}

fn one_run(job: &Job, record: &mut Record, at: Timestamp) {
    let bid = Bid {
        target: Target::Next { expect: record.cursor.unwrap(), passes: vec![], at, due: at },
        token: Token::fresh(),
        holder: "bench".into(),
        ttl: TTL,
        overlap: Overlap::Skip,
        delivery: Delivery::AtMostOnce,
        mutex: None,
        start: None,
    };
    let Reply::Won(run) = grant(job, record, &Op::Claim(bid), at) else { panic!("not won") };
    let key = Key { run_id: run.run_id, fence: run.fence, token: run.token.unwrap() };
    let start = Op::Start { key: key.clone(), holder: "bench".into(), ttl: TTL };
    assert!(matches!(grant(job, record, &start, at), Reply::Kept { .. }));
    assert_eq!(grant(job, record, &Op::Settle { key, ended: Ended::succeeded(), next: None }, at), Reply::Done);
}

/// Nanoseconds each, on average over as many as there is time for.
fn each<R>(work: impl Fn() -> R) -> f64 {
    let (mut rounds, began) = (0u32, Instant::now());
    while began.elapsed() < ROUND {
        (0..100).for_each(|_| drop(black_box(work())));
        rounds += 100;
    }
    began.elapsed().as_nanos() as f64 / f64::from(rounds)
}

//! Every policy of when, followed step by step against the rules that every store applies.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "plan/alarms.rs"]
mod alarms;
#[path = "common/jobs.rs"]
mod jobs;
#[path = "plan/settled.rs"]
mod settled;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::job::{Backoff, Delivery, Job, JobName, Misfire, MisfirePolicy, Overlap, Retry};
use cronclave::lease::{Ended, Fence, Outcome, RunId, Token, Trigger, Work};
use cronclave::ledger::{Entry, State as Stands};
use cronclave::plan::{self, Step, View};
use cronclave::record::{self, Bid, Held, Key, Mutex, Op, Open, Phase, Record, Reply, State, Target};
use cronclave::schedule::Calendar;
use proptest::prelude::*;

use jobs::{every, secs, start_of_time};

/// No run.
const NONE: [u64; 0] = [];

/// One job, its record and its history, and a clock that only the test moves.
struct Bench {
    job: Job,
    record: Record,
    mutex: Mutex,
    now: Timestamp,
    entries: BTreeMap<String, Entry>,
    tokens: u64,
}

fn at(second: u64) -> Timestamp {
    start_of_time().plus(secs(second))
}

fn failed() -> Ended {
    Ended { exit_code: Some(1), ..Ended::because(Outcome::Failed, "exit code 1") }
}

fn misfire(policy: MisfirePolicy, window: u64, max: usize) -> Misfire {
    Misfire { policy, window: secs(window), max }
}

impl Bench {
    fn new(job: Job) -> Bench {
        let mut bench = Bench {
            job,
            record: Record::default(),
            mutex: Mutex::default(),
            now: start_of_time(),
            entries: BTreeMap::new(),
            tokens: 0,
        };
        assert_eq!(bench.settle_down(), [Step::Register]);
        bench
    }

    fn go_to(&mut self, second: u64) -> &mut Bench {
        assert!(at(second) >= self.now, "time does not go back");
        self.now = at(second);
        self
    }

    fn view(&self) -> View {
        View { now: self.now, record: self.record.clone(), mutex: self.mutex.clone() }
    }

    fn next(&self) -> Step {
        plan::next(&self.job, &self.view())
    }

    fn ask(&mut self, op: &Op) -> Reply {
        // As in every store: an operation sees the mutex that it names, and no other.
        let mut none = Mutex::default();
        let sees = op.mutex(&self.record).is_some();
        let mutex = if sees { &mut self.mutex } else { &mut none };
        let state = State { job: &self.job.name, record: &mut self.record, mutex };
        let (reply, events) = record::apply(state, op, self.now);
        for event in &events {
            if let Some(id) = Entry::id_of(event) {
                let before = self.entries.remove(&id);
                self.entries.extend(Entry::fold(before, event).map(|entry| (id, entry)));
            }
        }
        reply
    }

    fn op(&mut self, step: &Step) -> Option<Op> {
        Some(match step.clone() {
            Step::Register => Op::Register { spec: self.job.spec() },
            Step::Claim(target) => {
                self.tokens += 1;
                Op::Claim(Bid {
                    target,
                    token: Token(self.tokens.to_string()),
                    holder: "a".into(),
                    ttl: secs(10).min(self.job.lease),
                    overlap: self.job.overlap,
                    delivery: self.job.delivery,
                    mutex: self.job.mutex.clone(),
                    start: None,
                })
            }
            Step::Decide { expect, passes, due } => Op::Decide { expect, passes, due },
            Step::Reap { run_id, fence, phase } => Op::Reap { run_id, fence, phase },
            Step::Overdue { expect, due } => Op::Overdue { expect, due },
            Step::Slow { run_id, fence } => Op::Slow { run_id, fence },
            Step::Cancel(run_id) => Op::Cancel { run_id, by: "its next occurrence".into() },
            Step::Wait(_) | Step::Race(_) | Step::Finished => return None,
        })
    }

    /// Does what the plan says until it says to wait; gives the steps it took.
    fn settle_down(&mut self) -> Vec<Step> {
        let mut taken = Vec::new();
        loop {
            let step = self.next();
            let Some(op) = self.op(&step) else {
                if let Step::Wait(until) | Step::Race(until) = step {
                    assert!(until > self.now, "waits for {until}, which is past");
                }
                return taken;
            };
            let before = self.record.clone();
            let reply = self.ask(&op);
            assert_ne!(before, self.record, "{step:?} was answered {reply:?} and changed nothing");
            taken.push(step);
            assert!(taken.len() < 5_000, "it spins");
        }
    }

    /// Until when the plan waits.
    fn waits(&mut self) -> Timestamp {
        self.settle_down();
        match self.next() {
            Step::Wait(until) | Step::Race(until) => until,
            other => panic!("does not wait but {other:?}"),
        }
    }

    fn key(run: &Open) -> Key {
        Key { run_id: run.run_id, fence: run.fence, token: run.token.clone().unwrap() }
    }

    fn claimed(&self) -> Vec<Open> {
        self.record.open.iter().filter(|run| run.phase == Phase::Claimed && run.until > self.now).cloned().collect()
    }

    /// Follows the plan, then starts what it won.
    fn start(&mut self) -> Vec<Open> {
        self.settle_down();
        let won = self.claimed();
        for run in &won {
            let op = Op::Start { key: Self::key(run), holder: "a".into(), ttl: self.job.lease };
            assert!(matches!(self.ask(&op), Reply::Kept { .. }));
        }
        won
    }

    /// Ends the runs that are going, with the retry that the job allows.
    fn end(&mut self, ended: &Ended) {
        let running: Vec<Open> = self.record.open.iter().filter(|run| run.phase == Phase::Running).cloned().collect();
        for run in running {
            let next = plan::retry(&self.job, &work(&self.job, &run), ended, 0.5);
            let op = Op::Settle { key: Self::key(&run), ended: ended.clone(), next };
            assert_eq!(self.ask(&op), Reply::Done);
        }
    }

    /// Follows the plan and runs everything at once, until nothing is left to do now.
    fn run_all(&mut self) -> Vec<u64> {
        let mut ran = Vec::new();
        loop {
            let won = self.start();
            if won.is_empty() {
                return ran;
            }
            ran.extend(won.iter().map(|run| run.scheduled_at.since(start_of_time()).as_secs()));
            self.end(&Ended::succeeded());
        }
    }

    fn renew_all(&mut self) {
        for run in self.record.open.clone() {
            if run.phase == Phase::Running {
                self.ask(&Op::Renew { key: Self::key(&run), ttl: self.job.lease });
            }
        }
    }

    fn trigger(&mut self, request: &str) -> Reply {
        let run_id = RunId::of_request(&self.job.name, request);
        let trigger = Trigger::Manual { by: None, reason: None };
        let overlap = self.job.overlap;
        self.ask(&Op::Trigger {
            run_id,
            at: None,
            trigger,
            args: BTreeMap::new(),
            overlap,
            expect: None,
            on_record: false,
        })
    }

    fn pause(&mut self, until: Option<Timestamp>) {
        self.ask(&Op::Pause { until, reason: None, by: None });
    }

    fn resume(&mut self, catch_up: bool) {
        self.ask(&Op::Resume { catch_up, by: None });
    }

    /// How many occurrences are in which state; also that each has exactly one entry.
    fn tally(&self) -> HashMap<Stands, u64> {
        let mut tally = HashMap::new();
        for entry in self.entries.values() {
            *tally.entry(entry.state).or_default() += entry.count;
        }
        let mut decided: Vec<_> = self.entries.values().filter(|entry| entry.count > 0).collect();
        decided.sort_by_key(|entry| entry.scheduled_at);
        let mut edge = start_of_time();
        for entry in decided {
            for _ in 0..entry.count {
                let expected = self.job.schedule.after(edge).unwrap();
                if edge < entry.scheduled_at {
                    assert_eq!(expected, entry.scheduled_at, "an occurrence without an entry, or with two");
                }
                edge = expected;
            }
            assert_eq!(edge, entry.through.unwrap_or(entry.scheduled_at), "a wrong count");
        }
        assert_eq!(Some(edge), self.record.cursor, "the cursor is not where the entries end");
        tally
    }
}

fn work(job: &Job, run: &Open) -> Work {
    Work {
        job: job.name.clone(),
        run_id: run.run_id,
        scheduled_at: run.scheduled_at,
        attempt: run.attempt,
        max_attempts: job.retry.attempts,
        fence: run.fence,
        trigger: run.trigger.clone(),
        args: BTreeMap::new(),
        previous_success_at: None,
        lease_until: run.until,
    }
}

fn overlapping(overlap: Overlap) -> Bench {
    Bench::new(every("backup", 10).with(|job| {
        job.overlap = overlap;
        job.lease = secs(100);
    }))
}

fn late(misfire: Misfire) -> Bench {
    Bench::new(every("backup", 60).with(|job| job.misfire = misfire))
}

// ---- on time -----------------------------------------------------------------------------------

#[test]
fn a_job_waits_for_its_first_occurrence_after_it_was_seen() {
    let mut bench = Bench::new(every("backup", 10));
    assert_eq!(bench.waits(), at(10));
    assert_eq!(bench.go_to(10).run_all(), [10]);
    assert_eq!(bench.waits(), at(20));
}

#[test]
fn occurrences_that_are_less_than_ten_seconds_late_are_all_run() {
    let mut bench = Bench::new(every("backup", 3).with(|job| job.misfire = misfire(MisfirePolicy::Skip, 3600, 1)));
    assert_eq!(bench.go_to(11).run_all(), [3, 6, 9]);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Succeeded, 3)]));
}

#[test]
fn ten_seconds_late_is_late() {
    let mut bench = Bench::new(every("backup", 60).with(|job| job.misfire = misfire(MisfirePolicy::Skip, 3600, 1)));
    bench.now = at(69).plus(Duration::from_micros(999_999));
    assert!(matches!(bench.next(), Step::Claim(_)));
    bench.now = at(70);
    assert!(matches!(bench.next(), Step::Decide { .. }));
}

#[test]
fn a_job_by_hand_only_has_nothing_to_wait_for() {
    let schedule = cronclave::schedule::Schedule::union(Vec::new(), &cronclave::schedule::Zone::utc());
    let mut bench = Bench::new(Job { schedule: schedule.into(), ..every("backup", 1) });
    assert_eq!(bench.next(), Step::Finished);
    bench.trigger("r1");
    assert_eq!(bench.start().len(), 1);
}

// ---- jitter ------------------------------------------------------------------------------------

#[test]
fn an_occurrence_with_jitter_starts_when_it_is_due_and_not_before() {
    let job = every("backup", 60).with(|job| job.jitter = secs(50));
    let mut bench = Bench::new(job.clone());
    let due = job.due(at(60));
    assert!(due > at(60), "this name has no share at this instant; take another one");
    assert_eq!(bench.waits(), due);
    bench.now = due.minus(Bid::AHEAD + Duration::from_micros(1));
    assert_eq!(bench.settle_down(), []);
    bench.now = due.minus(Bid::AHEAD);
    assert!(matches!(bench.settle_down()[..], [Step::Claim(_)]));
    assert_eq!(bench.record.open[0].opened, due, "it is won, and begins when it is due");
    bench.now = due;
    assert_eq!(bench.start().len(), 1);
}

#[test]
fn jitter_keeps_the_order_of_occurrences() {
    let job = every("backup", 60).with(|job| job.jitter = secs(500));
    let mut edge = start_of_time();
    for _ in 0..1000 {
        let next = job.schedule.after(edge).unwrap();
        assert!(edge <= job.due(edge) && job.due(edge) < next && job.due(edge) < job.due(next));
        edge = next;
    }
}

// ---- overlap -----------------------------------------------------------------------------------

#[test]
fn skip_records_what_comes_due_while_a_run_lasts() {
    let mut bench = overlapping(Overlap::Skip);
    bench.go_to(10).start();
    bench.go_to(35).settle_down();
    bench.end(&Ended::succeeded());
    assert_eq!(bench.settle_down(), []);
    assert_eq!(bench.go_to(40).run_all(), [40]);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Succeeded, 2), (Stands::SkippedOverlap, 2)]));
}

#[test]
fn queue_one_lets_one_wait_and_skips_the_rest() {
    let mut bench = overlapping(Overlap::QueueOne);
    bench.go_to(10).start();
    for second in [20, 30, 40] {
        bench.go_to(second).settle_down();
    }
    bench.end(&Ended::succeeded());
    assert_eq!(bench.run_all(), [20]);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Succeeded, 2), (Stands::SkippedOverlap, 2)]));
}

#[test]
fn queue_all_lets_each_wait_and_runs_them_in_order() {
    let mut bench = overlapping(Overlap::QueueAll);
    bench.go_to(10).start();
    bench.go_to(45).settle_down();
    assert_eq!(bench.tally()[&Stands::Queued], 3);
    bench.end(&Ended::succeeded());
    assert_eq!(bench.run_all(), [20, 30, 40]);
}

#[test]
fn queue_all_is_bounded() {
    let mut bench = Bench::new(every("backup", 1).with(|job| {
        job.overlap = Overlap::QueueAll;
        job.lease = secs(100_000);
    }));
    bench.go_to(1).start();
    bench.go_to(1502).settle_down();
    let tally = bench.tally();
    assert_eq!((tally[&Stands::Queued], tally[&Stands::SkippedOverlap]), (Overlap::QUEUE_LIMIT as u64, 501));
}

#[test]
fn replace_asks_the_run_to_end_and_starts_the_next_once_it_has() {
    let mut bench = overlapping(Overlap::Replace);
    bench.go_to(10).start();
    let steps = bench.go_to(20).settle_down();
    assert!(matches!(steps[..], [Step::Cancel(_)]), "{steps:?}");
    bench.go_to(22).end(&Ended::because(Outcome::Cancelled, "stopped on request"));
    assert_eq!(bench.run_all(), [20]);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Succeeded, 1), (Stands::Cancelled, 1)]));
}

#[test]
fn replace_starts_only_the_newest_of_those_that_came_due_while_the_old_run_ended() {
    let mut bench = Bench::new(every("backup", 3).with(|job| job.overlap = Overlap::Replace));
    bench.go_to(3).start();
    bench.go_to(12).settle_down();
    bench.end(&Ended::because(Outcome::Cancelled, "stopped on request"));
    assert_eq!(bench.run_all(), [12]);
    let tally = bench.tally();
    assert_eq!((tally[&Stands::Coalesced], tally[&Stands::Succeeded], tally[&Stands::Cancelled]), (2, 1, 1));
}

#[test]
fn replace_does_not_wait_for_a_run_because_an_older_occurrence_is_in_line_too() {
    let mut bench = overlapping(Overlap::Replace);
    // By hand, asked for when the occurrence at 10 was due already.
    bench.go_to(11).trigger("r1");
    bench.start();
    assert_eq!(bench.settle_down(), [], "due before the run was opened: it did not come in its way");
    let steps = bench.go_to(20).settle_down();
    assert!(matches!(steps[..], [Step::Cancel(_)]), "{steps:?}");
}

#[test]
fn allow_starts_runs_side_by_side() {
    let mut bench = overlapping(Overlap::Allow);
    bench.go_to(10).start();
    bench.go_to(20).start();
    bench.go_to(30).start();
    assert_eq!(bench.record.open.len(), 3);
    bench.end(&Ended::succeeded());
    assert_eq!(bench.tally(), HashMap::from([(Stands::Succeeded, 3)]));
}

#[test]
fn allow_is_bounded() {
    let mut bench = Bench::new(every("backup", 1).with(|job| {
        job.overlap = Overlap::Allow;
        job.lease = secs(100_000);
    }));
    for second in 1..=110 {
        bench.go_to(second).start();
    }
    let tally = bench.tally();
    assert_eq!((tally[&Stands::Running], tally[&Stands::SkippedOverlap]), (Overlap::ALLOW_LIMIT as u64, 10));
}

#[test]
fn allow_starts_many_waiting_runs_side_by_side_up_to_its_bound() {
    let mut bench = overlapping(Overlap::Allow);
    for request in 0..150 {
        assert_eq!(bench.trigger(&request.to_string()), Reply::Done);
    }
    bench.start();
    assert_eq!(bench.tally_all(Phase::Running), Overlap::ALLOW_LIMIT);
    bench.end(&Ended::succeeded());
    bench.start();
    assert_eq!(bench.tally_all(Phase::Running), 50);
}

#[test]
fn a_run_by_hand_goes_first_when_it_waits() {
    let mut bench = overlapping(Overlap::QueueAll);
    bench.trigger("r1");
    bench.go_to(10);
    let by_hand = RunId::of_request(&bench.job.name, "r1");
    assert_eq!(bench.start()[0].run_id, by_hand);
    bench.end(&Ended::succeeded());
    assert_eq!(bench.run_all(), [10]);
}

#[test]
fn runs_begun_side_by_side_end_one_by_one_when_the_job_no_longer_allows_it() {
    let retry = Retry { attempts: 2, initial: secs(1), ..Retry::default() };
    let mut bench = Bench::new(every("backup", 10).with(|job| {
        job.overlap = Overlap::Allow;
        job.retry = retry;
        job.lease = secs(100);
    }));
    bench.go_to(10).start();
    bench.go_to(20).start();
    bench.end(&failed());
    bench.job.overlap = Overlap::Skip;
    bench.go_to(25);
    assert_eq!(bench.run_all(), [10, 20]);
}

// ---- mutex -------------------------------------------------------------------------------------

/// The job's mutex is another job's until `until`.
fn blocked(overlap: Overlap, until: u64) -> Bench {
    let mut bench = Bench::new(every("backup", 10).with(|job| {
        job.overlap = overlap;
        job.mutex = Some("disk".into());
    }));
    let job = JobName::new("other").unwrap();
    let run_id = RunId::of_request(&job, "r");
    let held = Held { job, run_id, fence: Fence(u64::MAX / 2), holder: "b".into(), until: at(until) };
    bench.mutex = Mutex { fence: held.fence, held: Some(held) };
    bench
}

#[test]
fn an_occurrence_waits_for_the_mutex_under_every_policy_but_misses_nothing() {
    for overlap in [Overlap::Skip, Overlap::QueueOne, Overlap::QueueAll, Overlap::Allow] {
        let mut bench = blocked(overlap, 15);
        bench.go_to(10).settle_down();
        assert_eq!(bench.tally(), HashMap::from([(Stands::Queued, 1)]), "{overlap:?}");
        assert_eq!(bench.waits(), at(15), "{overlap:?}");
        assert_eq!(bench.go_to(15).run_all(), [10], "{overlap:?}");
    }
}

#[test]
fn a_blocked_occurrence_that_is_replaced_gives_way_to_the_newer_one() {
    let mut bench = blocked(Overlap::Replace, 35);
    for second in [10, 20, 30] {
        bench.go_to(second).settle_down();
    }
    assert_eq!(bench.go_to(35).run_all(), [30]);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Succeeded, 1), (Stands::Cancelled, 2)]));
}

#[test]
fn runs_of_one_job_that_may_overlap_still_take_turns_at_their_mutex() {
    let job = every("backup", 10).with(|job| {
        job.overlap = Overlap::Allow;
        job.mutex = Some("disk".into());
        job.lease = secs(100);
    });
    let mut bench = Bench::new(job);
    bench.go_to(10).start();
    bench.go_to(20).start();
    assert_eq!(bench.tally_all(Phase::Running), 1);
    bench.go_to(25).end(&Ended::succeeded());
    assert_eq!(bench.run_all(), [20]);
}

#[test]
fn fences_grow_over_all_jobs_of_a_mutex() {
    let mut bench = blocked(Overlap::Skip, 5);
    bench.go_to(10).start();
    assert_eq!(bench.record.fence, Fence(u64::MAX / 2 + 1));
}

// ---- after an outage ---------------------------------------------------------------------------

#[test]
fn after_an_outage_skip_records_a_thousand_as_missed() {
    let mut bench = late(misfire(MisfirePolicy::Skip, 10 * 86_400, 100));
    bench.go_to(60 * 1000 + 30).run_all();
    assert_eq!(bench.tally(), HashMap::from([(Stands::Missed, 1000)]));
    assert_eq!(bench.entries.len(), 1, "neighbours of one fate share an entry");
}

#[test]
fn after_an_outage_run_once_runs_the_newest_for_all_in_the_window() {
    let mut bench = late(misfire(MisfirePolicy::RunOnce, 600, 100));
    assert_eq!(bench.go_to(60 * 1000 + 30).run_all(), [60_000]);
    // 30 s, 90 s, ... 570 s ago: ten are young enough, and the newest of those runs.
    let expected = [(Stands::Missed, 990), (Stands::Coalesced, 9), (Stands::Succeeded, 1)];
    assert_eq!(bench.tally(), HashMap::from(expected));
}

/// Hourly, but not on Sundays; the bench begins on one, at 06:00.
fn closed_on_sundays(policy: MisfirePolicy) -> Bench {
    let sunday = Calendar { name: "sundays".into(), weekdays: 1, ..Calendar::default() };
    let misfire = misfire(policy, 86_400, 100);
    Bench::new(every("backup", 3600).with(|job| {
        job.skip_on = vec![Arc::new(sunday)];
        job.misfire = misfire;
    }))
}

const HOUR: u64 = 3600;

#[test]
fn what_a_calendar_closes_is_recorded_when_it_comes_due_and_does_not_run() {
    let mut bench = closed_on_sundays(MisfirePolicy::RunOnce);
    assert_eq!(bench.waits(), at(HOUR));
    for hour in 1..18 {
        assert_eq!(bench.go_to(hour * HOUR).run_all(), NONE, "{hour}");
        assert_eq!(bench.tally(), HashMap::from([(Stands::SkippedCalendar, hour)]));
    }
    assert_eq!(bench.go_to(18 * HOUR).run_all(), [18 * HOUR]);
}

#[test]
fn after_an_outage_what_a_calendar_closed_is_told_from_what_was_missed() {
    let mut bench = closed_on_sundays(MisfirePolicy::RunOnce);
    assert_eq!(bench.go_to(20 * HOUR + 60).run_all(), [20 * HOUR]);
    let expected = [(Stands::SkippedCalendar, 17), (Stands::Coalesced, 2), (Stands::Succeeded, 1)];
    assert_eq!(bench.tally(), HashMap::from(expected));
    // Six days later, over the next Sunday: each in its place.
    let mut bench = closed_on_sundays(MisfirePolicy::RunAll);
    bench.go_to(18 * HOUR).run_all();
    let days = 24 * HOUR;
    assert_eq!(bench.go_to(7 * days + 19 * HOUR + 60).run_all(), [7 * days + 18 * HOUR, 7 * days + 19 * HOUR]);
    let expected = [(Stands::SkippedCalendar, 17 + 24), (Stands::Missed, 6 * 24 - 1), (Stands::Succeeded, 3)];
    assert_eq!(bench.tally(), HashMap::from(expected));
}

/// Every minute, and closed for a fortnight from 23 November on: more closed occurrences than one glance sees.
fn closed_for_a_fortnight(policy: MisfirePolicy) -> Bench {
    let day = |text: &str| text.parse().unwrap();
    let closed = Calendar { between: vec![(day("2026-11-23"), day("2026-12-06"))], ..Calendar::default() };
    let misfire = misfire(policy, 30 * 86_400, 50);
    let mut bench = Bench::new(every("backup", 60).with(|job| {
        job.skip_on = vec![Arc::new(closed)];
        job.misfire = misfire;
    }));
    // The last five minutes before midnight are undecided, and so is all that follows.
    bench.go_to(18 * HOUR - 330).run_all();
    bench
}

#[test]
fn what_is_open_before_a_long_closed_time_is_caught_up_after_it() {
    for (policy, ran) in [(MisfirePolicy::RunAll, 5 + 1), (MisfirePolicy::RunOnce, 1)] {
        let mut bench = closed_for_a_fortnight(policy);
        // The first minute after the fortnight has come due as well.
        let runs = bench.go_to(18 * HOUR + 14 * 24 * HOUR + 30).run_all();
        assert_eq!(runs.len(), ran, "{policy:?}: {runs:?}");
        assert_eq!(runs.last(), Some(&(18 * HOUR + 14 * 24 * HOUR)));
        let tally = bench.tally();
        assert_eq!(tally[&Stands::SkippedCalendar], 14 * 1440);
        assert_eq!(tally.values().sum::<u64>(), (18 + 14 * 24) * 60);
    }
    // In the midst of it those before it are all that is open.
    for (policy, ran) in [(MisfirePolicy::RunAll, 5), (MisfirePolicy::RunOnce, 1)] {
        let mut bench = closed_for_a_fortnight(policy);
        let runs = bench.go_to(18 * HOUR + 10 * 24 * HOUR + 30).run_all();
        assert_eq!(runs.len(), ran, "{policy:?}: {runs:?}");
        assert_eq!(runs.last(), Some(&(18 * HOUR - 60)));
    }
}

#[test]
fn what_was_scheduled_before_the_files_changed_but_comes_due_after_still_runs() {
    let mut bench = Bench::new(every("backup", 3600).with(|job| job.jitter = secs(1800)));
    let due = (bench.job.due(at(HOUR)).as_micros() - at(0).as_micros()).unsigned_abs() / 1_000_000;
    assert!(due > HOUR + 60, "the hash gives this occurrence {due} s");
    bench.go_to(HOUR + 30);
    let window = bench.job.schedule.as_ref().clone().within(None, Some("2027-01-01T00:00:00".parse().unwrap()));
    bench.job.schedule = Arc::new(window);
    assert_eq!(bench.settle_down(), [Step::Register]);
    assert_eq!(bench.waits(), bench.job.due(at(HOUR)));
    assert_eq!(bench.go_to(due + 1).run_all(), [HOUR]);
}

#[test]
fn what_came_due_before_a_closed_day_is_not_decided_with_it_in_a_pause() {
    let mut bench = closed_on_sundays(MisfirePolicy::RunAll);
    bench.go_to(HOUR / 2);
    bench.ask(&Op::Pause { by: None, reason: None, until: None });
    bench.go_to(19 * HOUR + 60);
    bench.ask(&Op::Resume { by: None, catch_up: false });
    assert_eq!(bench.run_all(), NONE);
    assert_eq!(bench.tally(), HashMap::from([(Stands::SkippedCalendar, 17), (Stands::SkippedPaused, 2)]));
}

#[test]
fn what_a_calendar_closed_before_a_pause_is_told_with_what_ran_before_it() {
    let mut bench = closed_on_sundays(MisfirePolicy::RunAll);
    bench.go_to(HOUR / 2);
    bench.settle_down();
    bench.go_to(18 * HOUR + HOUR / 2);
    bench.ask(&Op::Pause { by: None, reason: None, until: None });
    bench.go_to(20 * HOUR + 60);
    bench.ask(&Op::Resume { by: None, catch_up: false });
    assert_eq!(bench.run_all(), [18 * HOUR]);
    let expected = [(Stands::SkippedCalendar, 17), (Stands::Succeeded, 1), (Stands::SkippedPaused, 2)];
    assert_eq!(bench.tally(), HashMap::from(expected));
}

#[test]
fn after_an_outage_run_all_runs_the_newest_up_to_its_bound_oldest_first() {
    let mut bench = late(misfire(MisfirePolicy::RunAll, 86_400, 5));
    assert_eq!(bench.go_to(60 * 1000 + 30).run_all(), [59_760, 59_820, 59_880, 59_940, 60_000]);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Missed, 995), (Stands::Succeeded, 5)]));
}

#[test]
fn after_an_outage_run_all_does_not_run_what_is_older_than_the_window() {
    let mut bench = late(misfire(MisfirePolicy::RunAll, 149, 100));
    assert_eq!(bench.go_to(630).run_all(), [540, 600]);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Missed, 8), (Stands::Succeeded, 2)]));
}

#[test]
fn what_is_exactly_as_old_as_the_window_still_runs() {
    let mut bench = late(misfire(MisfirePolicy::RunOnce, 60, 100));
    assert_eq!(bench.go_to(120).run_all(), [120]);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Coalesced, 1), (Stands::Succeeded, 1)]));
}

#[test]
fn a_backlog_longer_than_one_glance_is_decided_to_its_end() {
    for policy in [MisfirePolicy::Skip, MisfirePolicy::RunOnce, MisfirePolicy::RunAll] {
        let mut bench = Bench::new(every("backup", 1).with(|job| job.misfire = misfire(policy, 3600, 3)));
        let ran = bench.go_to(25_000).run_all();
        let tally = bench.tally();
        let runs = match policy {
            // The last ten seconds are not late.
            MisfirePolicy::Skip => 9..=10,
            MisfirePolicy::RunOnce => 1..=1,
            MisfirePolicy::RunAll => 3..=3,
        };
        assert!(runs.contains(&ran.len()) && ran.last() == Some(&25_000), "{policy:?}: {ran:?}");
        assert_eq!(tally.values().sum::<u64>(), 25_000, "{policy:?}");
        assert_eq!(tally.get(&Stands::Coalesced).copied().unwrap_or(0) > 0, policy == MisfirePolicy::RunOnce);
    }
}

#[test]
fn a_job_that_is_switched_off_decides_a_long_backlog_too() {
    let mut bench = Bench::new(every("backup", 1).with(|job| job.enabled = false));
    bench.go_to(25_000).settle_down();
    assert_eq!(bench.tally(), HashMap::from([(Stands::SkippedDisabled, 25_000)]));
}

#[test]
fn a_changed_schedule_does_not_catch_up_its_past() {
    let mut bench =
        Bench::new(every("backup", 600).with(|job| job.misfire = misfire(MisfirePolicy::RunAll, 86_400, 100)));
    bench.go_to(900).run_all();
    bench.job = every("backup", 60).with(|job| job.misfire = bench.job.misfire);
    assert_eq!(bench.settle_down(), [Step::Register]);
    assert_eq!(bench.waits(), at(960));
}

// ---- the edges of the rule ----------------------------------------------------------------------

#[test]
fn what_may_have_something_in_its_way_is_not_won_a_microsecond_early() {
    let mut bench = Bench::new(Job { mutex: Some("ledger".into()), ..every("backup", 60) });
    assert_eq!(bench.waits(), at(60));
    let target = Target::Next { expect: bench.record.cursor.unwrap(), passes: vec![], at: at(60), due: at(60) };
    let claim = bench.op(&Step::Claim(target)).unwrap();
    bench.now = at(60).minus(Duration::from_micros(1));
    assert_eq!(bench.next(), Step::Wait(at(60)));
    assert_eq!(bench.ask(&claim), Reply::Early(at(60)));
    assert!(matches!(bench.go_to(60).ask(&claim), Reply::Won(_)));
}

/// So many milliseconds before the second.
fn before(secs: u64, millis: u64) -> Timestamp {
    at(secs).minus(Duration::from_millis(millis))
}

#[test]
fn where_nothing_is_in_the_way_the_race_is_run_ahead_of_the_instant() {
    let mut bench = Bench::new(every("backup", 60));
    bench.now = before(60, 501);
    assert_eq!(bench.next(), Step::Race(at(60)));
    bench.now = before(60, 500);
    assert!(matches!(bench.settle_down()[..], [Step::Claim(_)]));
    // Its successor waits for it, as it would had it been won on time.
    assert!(matches!(bench.next(), Step::Wait(_)));
}

#[test]
fn what_is_open_closed_or_disabled_shortly_before_the_instant_is_decided_at_the_instant() {
    let mut bench = Bench::new(every("backup", 60).with(|job| job.lease = secs(1000)));
    bench.go_to(60).start();
    bench.now = before(120, 100);
    assert_eq!(bench.next(), Step::Wait(at(120)), "the run may still end in time");
    assert!(matches!(bench.go_to(120).settle_down()[..], [Step::Decide { .. }]), "it did not");
    let mut bench = Bench::new(every("backup", 60).with(|job| job.enabled = false));
    bench.now = before(60, 100);
    assert_eq!(bench.next(), Step::Wait(at(60)));
}

#[test]
fn the_newest_success_is_that_of_the_newest_occurrence_whichever_ends_last() {
    let mut bench = Bench::new(every("backup", 60).with(|job| {
        job.overlap = Overlap::Allow;
        job.lease = secs(1000);
    }));
    let older = bench.go_to(60).start().remove(0);
    let newer = bench.go_to(120).start().remove(0);
    for run in [newer, older] {
        let settle = Op::Settle { key: Bench::key(&run), ended: Ended::succeeded(), next: None };
        assert_eq!(bench.ask(&settle), Reply::Done);
    }
    assert_eq!(bench.record.last_success, Some(at(120)));
}

#[test]
fn allow_bounds_runs_that_are_asked_for_one_by_one_as_well() {
    let mut bench = overlapping(Overlap::Allow);
    let mut claim = |request: u64| {
        let target = Target::Request {
            run_id: RunId::of_request(&bench.job.name, &request.to_string()),
            at: None,
            trigger: Trigger::Cli { by: None },
            args: BTreeMap::new(),
            expect: None,
        };
        let claim = bench.op(&Step::Claim(target)).unwrap();
        bench.ask(&claim)
    };
    let most = Overlap::ALLOW_LIMIT as u64;
    assert!((0..most).all(|request| matches!(claim(request), Reply::Won(_))));
    assert!(matches!(claim(most), Reply::Busy(_)));
}

#[test]
fn a_holder_that_has_settled_cannot_put_off_the_next_attempt() {
    let mut bench = Bench::new(retrying(2, Backoff::Fixed));
    let run = bench.go_to(60).start().remove(0);
    bench.end(&failed());
    let before = bench.record.clone();
    assert_eq!(bench.ask(&Op::Renew { key: Bench::key(&run), ttl: secs(3600) }), Reply::Fenced);
    assert_eq!(bench.record, before);
}

#[test]
fn a_mutex_is_free_while_a_run_waits_for_its_next_attempt() {
    let mut bench = Bench::new(Job { mutex: Some("ledger".into()), ..retrying(2, Backoff::Fixed) });
    bench.go_to(60).start();
    assert!(bench.mutex.held.is_some());
    bench.end(&failed());
    assert_eq!((bench.record.open.len(), &bench.mutex.held), (1, &None));
}

#[test]
fn what_was_begun_gets_the_mutex_before_what_never_began() {
    let job = retrying(2, Backoff::Fixed).with(|job| {
        job.overlap = Overlap::Allow;
        job.mutex = Some("ledger".into());
    });
    let mut bench = Bench::new(job);
    let first = bench.go_to(60).start().remove(0);
    assert_eq!(bench.trigger("r1"), Reply::Done);
    bench.end(&failed());
    let Step::Claim(Target::Open { run_id, .. }) = bench.go_to(70).next() else { panic!("both could go on") };
    assert_eq!(run_id, first.run_id);
}

#[test]
fn a_pause_that_is_changed_has_begun_when_it_began() {
    let mut bench = Bench::new(every("backup", 60));
    bench.go_to(10).pause(None);
    bench.go_to(100).pause(Some(at(200)));
    let pauses: Vec<_> = bench.record.pauses.iter().map(|pause| (pause.since, pause.until)).collect();
    assert_eq!(pauses, [(at(10), Some(at(200)))]);
}

#[test]
fn a_run_that_was_cancelled_and_lost_is_over_at_once_though_its_job_is_paused() {
    let mut bench = Bench::new(every("backup", 60).with(|job| job.delivery = Delivery::AtLeastOnce));
    let run = bench.go_to(60).start().remove(0);
    bench.ask(&Op::Cancel { run_id: run.run_id, by: "ops".into() });
    bench.pause(None);
    bench.go_to(91).settle_down();
    assert_eq!(bench.tally_all(Phase::Running), 0);
    assert_eq!(bench.tally()[&Stands::Cancelled], 1);
}

// ---- pause -------------------------------------------------------------------------------------

#[test]
fn a_paused_job_starts_nothing_and_what_came_due_is_skipped() {
    let mut bench = Bench::new(every("backup", 60));
    bench.pause(None);
    bench.go_to(190);
    assert_eq!(bench.next(), Step::Finished, "nobody knows when the pause ends");
    bench.resume(false);
    assert_eq!(bench.run_all(), NONE);
    assert_eq!(bench.tally(), HashMap::from([(Stands::SkippedPaused, 3)]));
    assert_eq!(bench.go_to(240).run_all(), [240]);
}

#[test]
fn a_pause_ends_by_itself_when_it_has_an_end() {
    let mut bench = Bench::new(every("backup", 60));
    bench.pause(Some(at(100)));
    assert_eq!(bench.waits(), at(100));
    assert_eq!(bench.go_to(100).run_all(), NONE);
    assert_eq!(bench.tally(), HashMap::from([(Stands::SkippedPaused, 1)]));
    assert_eq!(bench.go_to(120).run_all(), [120]);
}

#[test]
fn two_pauses_in_a_row_are_both_remembered_until_someone_decides() {
    let mut bench = Bench::new(every("backup", 60));
    bench.pause(None);
    bench.go_to(70).resume(false);
    bench.go_to(100).pause(None);
    bench.go_to(130).resume(false);
    bench.go_to(181);
    assert_eq!(bench.run_all(), [180], "those at 60 and 120 each came due in a pause");
    assert_eq!(bench.tally()[&Stands::SkippedPaused], 2);
    // Decided, they need no explanation: the record does not grow with every pause.
    for second in (200..2000).step_by(60) {
        bench.go_to(second).pause(None);
        bench.go_to(second + 1).resume(false);
        bench.run_all();
    }
    assert!(bench.record.pauses.len() <= 2, "{:?}", bench.record.pauses);
}

#[test]
fn a_job_resumed_to_catch_up_does_as_its_misfire_policy_says() {
    let mut bench = late(misfire(MisfirePolicy::RunAll, 86_400, 100));
    bench.pause(None);
    bench.go_to(190).resume(true);
    assert_eq!(bench.run_all(), [60, 120, 180]);
}

#[test]
fn what_came_due_before_a_pause_is_caught_up_and_what_came_due_in_it_is_not() {
    for policy in [MisfirePolicy::Skip, MisfirePolicy::RunOnce, MisfirePolicy::RunAll] {
        let mut bench = late(misfire(policy, 86_400, 100));
        // Nobody was there to decide those at 60 and 120.
        bench.go_to(130).pause(None);
        bench.go_to(250).resume(false);
        bench.go_to(310);
        let ran = bench.run_all();
        let tally = bench.tally();
        assert_eq!(tally[&Stands::SkippedPaused], 2, "{policy:?}: {tally:?}");
        assert!(!ran.contains(&180) && !ran.contains(&240), "{policy:?} ran {ran:?}");
    }
}

#[test]
fn a_run_that_waits_is_not_claimed_in_a_pause_but_a_lost_one_is_recorded() {
    let mut bench = Bench::new(every("backup", 60));
    bench.go_to(60).start();
    bench.trigger("r1");
    bench.pause(None);
    let steps = bench.go_to(91).settle_down();
    assert!(matches!(steps[..], [Step::Reap { .. }]), "{steps:?}");
    assert_eq!(bench.tally()[&Stands::Lost], 1);
}

#[test]
fn a_job_that_is_switched_off_skips_its_occurrences_but_can_be_run_by_hand() {
    let mut bench = Bench::new(every("backup", 60).with(|job| job.enabled = false));
    assert_eq!(bench.go_to(130).run_all(), NONE);
    assert_eq!(bench.tally(), HashMap::from([(Stands::SkippedDisabled, 2)]));
    bench.trigger("r1");
    assert_eq!(bench.start().len(), 1);
}

// ---- lost holders ------------------------------------------------------------------------------

#[test]
fn a_claim_that_never_started_is_taken_over_under_both_kinds_of_delivery() {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce] {
        let mut bench = Bench::new(every("backup", 60).with(|job| job.delivery = delivery));
        bench.go_to(60).settle_down();
        let first = bench.claimed()[0].clone();
        assert_eq!(bench.waits(), at(70));
        let second = bench.go_to(70).start()[0].clone();
        assert_eq!((second.run_id, second.attempt), (first.run_id, 1));
        assert!(second.fence > first.fence);
    }
}

#[test]
fn a_started_run_whose_holder_vanished_is_lost_at_most_once() {
    let mut bench = Bench::new(every("backup", 600));
    bench.go_to(600).start();
    assert_eq!(bench.waits(), at(630));
    assert_eq!(bench.go_to(630).run_all(), NONE);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Lost, 1)]));
}

#[test]
fn a_started_run_whose_holder_vanished_is_started_again_at_least_once_but_not_for_ever() {
    let mut bench = Bench::new(every("backup", 3600).with(|job| job.delivery = Delivery::AtLeastOnce));
    bench.go_to(3600);
    let mut starts = Vec::new();
    for round in 1..100 {
        starts.extend(bench.start().iter().map(|run| run.attempt));
        bench.go_to(3600 + 30 * round);
    }
    assert_eq!(starts, (1..=Delivery::LIVES).collect::<Vec<_>>());
    assert_eq!(bench.tally(), HashMap::from([(Stands::Lost, 1)]));
}

#[test]
fn a_run_that_was_cancelled_and_lost_is_not_started_again() {
    let mut bench = Bench::new(every("backup", 600).with(|job| job.delivery = Delivery::AtLeastOnce));
    let run = bench.go_to(600).start()[0].clone();
    bench.ask(&Op::Cancel { run_id: run.run_id, by: "ops".into() });
    assert_eq!(bench.go_to(630).run_all(), NONE);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Cancelled, 1)]));
}

#[test]
fn a_claim_that_was_cancelled_and_lapsed_is_closed_without_a_start() {
    let mut bench = Bench::new(every("backup", 600));
    bench.go_to(600).settle_down();
    let run_id = bench.claimed()[0].run_id;
    bench.ask(&Op::Cancel { run_id, by: "ops".into() });
    // The store closes it and answers that things have moved.
    assert_eq!(bench.go_to(610).run_all(), NONE);
    assert_eq!(bench.tally(), HashMap::from([(Stands::Cancelled, 1)]));
}

// ---- claims ------------------------------------------------------------------------------------

#[test]
fn who_holds_a_claim_is_told_by_its_token_not_by_its_number_alone() {
    let mut bench = Bench::new(every("backup", 60));
    bench.go_to(60).settle_down();
    let stranger = Key { token: Token("another".into()), ..Bench::key(&bench.claimed()[0]) };
    let start = Op::Start { key: stranger.clone(), holder: "b".into(), ttl: secs(30) };
    assert_eq!(bench.ask(&start), Reply::Fenced);
    assert_eq!(bench.ask(&Op::Renew { key: stranger.clone(), ttl: secs(30) }), Reply::Fenced);
    assert_eq!(bench.ask(&Op::Release { key: stranger.clone() }), Reply::Fenced);
    bench.start();
    assert_eq!(bench.ask(&start), Reply::Fenced);
    assert_eq!(bench.ask(&Op::Settle { key: stranger, ended: failed(), next: None }), Reply::Fenced);
}

#[test]
fn a_published_run_does_not_start_once_another_job_took_its_mutex() {
    let mut bench = Bench::new(Job { mutex: Some("disk".into()), ..every("backup", 60) });
    bench.go_to(60).settle_down();
    let key = Bench::key(&bench.claimed()[0]);
    assert_eq!(bench.ask(&Op::Published { key: key.clone(), ttl: secs(5) }), Reply::Done);
    // It lay in its queue for longer than it may.
    bench.go_to(66);
    bench.mutex = blocked(Overlap::Skip, 90).mutex;
    let start = Op::Start { key, holder: "worker".into(), ttl: secs(30) };
    assert_eq!(bench.ask(&start), Reply::Fenced);
    assert_eq!(bench.go_to(90).run_all(), [60]);
}

#[test]
fn an_outdated_request_from_the_queue_does_not_start_the_run() {
    let mut bench = Bench::new(every("backup", 60));
    bench.go_to(60).settle_down();
    let old = Bench::key(&bench.claimed()[0]);
    bench.ask(&Op::Published { key: old.clone(), ttl: secs(5) });
    // It was taken for lost, claimed anew and published again; then both arrive.
    bench.go_to(66).settle_down();
    let new = Bench::key(&bench.claimed()[0]);
    bench.ask(&Op::Published { key: new.clone(), ttl: secs(5) });
    let start = |key| Op::Start { key, holder: "worker".into(), ttl: secs(30) };
    assert_eq!(bench.ask(&start(old)), Reply::Fenced);
    assert!(matches!(bench.ask(&start(new)), Reply::Kept { .. }));
}

// ---- retries -----------------------------------------------------------------------------------

fn attempt(number: u32) -> Work {
    let job = every("backup", 60);
    let mut bench = Bench::new(job.clone());
    let run = bench.go_to(60).start()[0].clone();
    Work { attempt: number, ..work(&job, &run) }
}

fn retrying(attempts: u32, backoff: Backoff) -> Job {
    let retry = Retry { attempts, backoff, initial: secs(10), max: secs(35), ..Retry::default() };
    every("backup", 60).with(|job| job.retry = retry)
}

#[test]
fn pauses_between_attempts_grow_as_the_job_says_up_to_their_bound() {
    let kinds = [
        (Backoff::None, [0, 0, 0, 0]),
        (Backoff::Fixed, [10, 10, 10, 10]),
        (Backoff::Linear, [10, 20, 30, 35]),
        (Backoff::Exponential, [10, 20, 35, 35]),
    ];
    for (backoff, pauses) in kinds {
        let job = retrying(5, backoff);
        for (number, pause) in (1..).zip(pauses) {
            let next = plan::retry(&job, &attempt(number), &failed(), 0.5);
            assert_eq!(next, Some((number + 1, secs(pause))), "{backoff:?}");
        }
        assert_eq!(plan::retry(&job, &attempt(5), &failed(), 0.5), None, "five attempts in all");
    }
}

#[test]
fn the_jitter_of_a_pause_lies_on_both_sides_of_it() {
    let mut job = retrying(2, Backoff::Fixed);
    job.retry.jitter = 0.5;
    let pause = |spread| plan::retry(&job, &attempt(1), &failed(), spread).unwrap().1;
    assert_eq!([pause(0.0), pause(0.5), pause(1.0)], [secs(5), secs(10), secs(15)]);
}

#[test]
fn exit_codes_that_are_not_tried_again_end_the_run() {
    let mut job = retrying(3, Backoff::Fixed);
    job.retry.no_retry_exit_codes = vec![2, 64];
    let with = |code| plan::retry(&job, &attempt(1), &Ended { exit_code: Some(code), ..failed() }, 0.5);
    assert!(with(1).is_some() && with(2).is_none() && with(64).is_none());
}

#[test]
fn a_run_that_took_too_long_is_tried_again_and_one_that_was_cancelled_is_not() {
    let job = retrying(3, Backoff::Fixed).with(|job| job.delivery = Delivery::AtLeastOnce);
    let after = |outcome| plan::retry(&job, &attempt(1), &Ended::because(outcome, ""), 0.5);
    assert!(after(Outcome::TimedOut).is_some());
    for outcome in [Outcome::Succeeded, Outcome::Cancelled, Outcome::Expired] {
        assert_eq!(after(outcome), None, "{outcome:?}");
    }
}

#[test]
fn an_interrupted_run_goes_on_as_the_same_attempt_only_at_least_once() {
    let interrupted = Ended::because(Outcome::Interrupted, "");
    let mut job = retrying(1, Backoff::Fixed);
    assert_eq!(plan::retry(&job, &attempt(1), &interrupted, 0.5), None);
    job.delivery = Delivery::AtLeastOnce;
    assert_eq!(plan::retry(&job, &attempt(1), &interrupted, 0.5), Some((1, Duration::ZERO)));
}

#[test]
fn an_attempt_that_lost_its_lease_is_followed_by_another_only_at_least_once_and_within_bounds() {
    let lost = Ended::because(Outcome::Lost, "");
    let mut job = retrying(1, Backoff::Fixed);
    assert_eq!(plan::retry(&job, &attempt(1), &lost, 0.5), None);
    job.delivery = Delivery::AtLeastOnce;
    assert_eq!(plan::retry(&job, &attempt(1), &lost, 0.5), Some((2, Duration::ZERO)));
    assert_eq!(plan::retry(&job, &attempt(Delivery::LIVES), &lost, 0.5), None);
}

#[test]
fn a_failed_run_is_claimed_again_after_its_pause_and_keeps_others_out_meanwhile() {
    let mut bench = Bench::new(retrying(2, Backoff::Fixed));
    let first = bench.go_to(60).start()[0].clone();
    bench.go_to(115).end(&failed());
    assert_eq!(bench.waits(), at(120));
    assert_eq!(bench.go_to(120).tally()[&Stands::Retrying], 1);
    // The occurrence at 120 comes due while the run is still open.
    bench.settle_down();
    assert_eq!(bench.tally()[&Stands::SkippedOverlap], 1);
    let second = bench.go_to(125).start()[0].clone();
    assert_eq!((second.run_id, second.attempt), (first.run_id, 2));
}

// ---- never spins -------------------------------------------------------------------------------

impl Bench {
    fn tally_all(&self, phase: Phase) -> usize {
        self.record.open.iter().filter(|run| run.phase == phase).count()
    }
}

/// What the world does between two looks at a job.
#[derive(Clone, Debug)]
enum Happens {
    Time(u64),
    Follow,
    Start,
    Renew,
    End(u8),
    Release,
    Trigger(u8),
    Cancel,
    Pause(Option<u64>),
    Resume(bool),
    Policy(Overlap, Delivery),
    MutexTaken(u64),
    MutexFreed,
}

fn any_overlap() -> impl Strategy<Value = Overlap> {
    use Overlap::{Allow, QueueAll, QueueOne, Replace, Skip};
    prop::sample::select(vec![Skip, QueueOne, QueueAll, Replace, Allow])
}

fn any_delivery() -> impl Strategy<Value = Delivery> {
    prop::sample::select(vec![Delivery::AtMostOnce, Delivery::AtLeastOnce])
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        5 => (0u64..25).prop_map(Happens::Time),
        1 => (100u64..2_000).prop_map(Happens::Time),
        1 => (20_000u64..90_000).prop_map(Happens::Time),
        6 => Just(Happens::Follow),
        4 => Just(Happens::Start),
        1 => Just(Happens::Renew),
        3 => (0u8..5).prop_map(Happens::End),
        1 => Just(Happens::Release),
        2 => (0u8..200).prop_map(Happens::Trigger),
        1 => Just(Happens::Cancel),
        1 => prop::option::of(1u64..60).prop_map(Happens::Pause),
        2 => any::<bool>().prop_map(Happens::Resume),
        1 => (any_overlap(), any_delivery()).prop_map(|(overlap, delivery)| Happens::Policy(overlap, delivery)),
        1 => (1u64..40).prop_map(Happens::MutexTaken),
        1 => Just(Happens::MutexFreed),
    ]
}

prop_compose! {
    fn any_job()(
        overlap in any_overlap(),
        delivery in any_delivery(),
        policy in prop::sample::select(vec![MisfirePolicy::Skip, MisfirePolicy::RunOnce, MisfirePolicy::RunAll]),
        window in 1u64..5000,
        max in 0usize..50,
        period in 1u64..30,
        jitter in 0u64..40,
        attempts in 1u32..4,
        mutex in any::<bool>(),
        enabled in prop::bool::weighted(0.9),
        closed in prop::option::of(0u8..128),
    ) -> Job {
        let calendar = |weekdays| Arc::new(Calendar { name: "closed".into(), weekdays, ..Calendar::default() });
        every("backup", period).with(|job| { job.skip_on = closed.map(calendar).into_iter().collect(); job.overlap = overlap; job.delivery = delivery; job.enabled = enabled; job.misfire = misfire(policy, window, max); job.jitter = secs(jitter); job.retry = Retry { attempts, initial: secs(2), ..Retry::default() }; job.mutex = mutex.then(|| "disk".into()); })
    }
}

impl Bench {
    fn happen(&mut self, what: &Happens) {
        match what {
            Happens::Time(seconds) => self.now = self.now.plus(secs(*seconds)),
            Happens::Follow => {
                self.settle_down();
            }
            Happens::Start => {
                for run in self.claimed() {
                    let op = Op::Start { key: Self::key(&run), holder: "a".into(), ttl: self.job.lease };
                    self.ask(&op);
                }
            }
            Happens::Renew => self.renew_all(),
            Happens::End(how) => {
                let outcome =
                    [Outcome::Succeeded, Outcome::Failed, Outcome::Interrupted, Outcome::Cancelled, Outcome::Lost]
                        [usize::from(*how)];
                self.end(&Ended::because(outcome, ""));
            }
            Happens::Release => {
                for run in self.claimed() {
                    self.ask(&Op::Release { key: Self::key(&run) });
                }
            }
            Happens::Trigger(request) => {
                self.trigger(&request.to_string());
            }
            Happens::Cancel => {
                if let Some(run_id) = self.record.open.first().map(|run| run.run_id) {
                    self.ask(&Op::Cancel { run_id, by: "ops".into() });
                }
            }
            Happens::Pause(until) => self.pause(until.map(|seconds| self.now.plus(secs(seconds)))),
            Happens::Resume(catch_up) => self.resume(*catch_up),
            Happens::Policy(overlap, delivery) => {
                self.job.overlap = *overlap;
                self.job.delivery = *delivery;
            }
            Happens::MutexTaken(seconds) => {
                if self.job.mutex.is_some() && self.mutex.held.as_ref().is_none_or(|held| held.until <= self.now) {
                    let until = self.now.plus(secs(*seconds));
                    let other = blocked(Overlap::Skip, 0).mutex.held.unwrap();
                    self.mutex.held = Some(Held { until, ..other });
                }
            }
            Happens::MutexFreed => {
                self.mutex.held.take_if(|held| held.job != self.job.name);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// `settle_down` fails when a step changes nothing or waits for the past.
    #[test]
    fn following_the_plan_changes_the_record_or_waits_whatever_happened(
        job in any_job(),
        world in prop::collection::vec(happens(), 1..60),
    ) {
        let mut bench = Bench::new(job);
        for what in &world {
            bench.happen(what);
        }
        bench.settle_down();
        bench.tally();
    }

    /// Whatever happened: once the world is healthy again and a while has passed, no run is forgotten.
    #[test]
    fn every_run_comes_to_an_end_when_the_world_lets_it(
        job in any_job(),
        world in prop::collection::vec(happens(), 1..60),
    ) {
        let mut bench = Bench::new(job);
        for what in &world {
            bench.happen(what);
        }
        bench.mutex.held.take_if(|held| held.job != bench.job.name);
        bench.resume(false);
        bench.job.enabled = false;
        for _ in 0..60 {
            bench.now = bench.now.plus(secs(31));
            bench.run_all();
        }
        prop_assert_eq!(&bench.record.open, &[]);
        let unfinished: Vec<_> = bench.entries.values().filter(|entry| !entry.state.is_final()).collect();
        prop_assert!(unfinished.is_empty(), "{:?}", unfinished);
    }
}

fn believing(bench: &Bench, now: u64, decides: bool) -> Step {
    plan::next_believing(&bench.job, &bench.view(), plan::Belief { now: at(now), decides })
}

#[test]
fn what_only_the_clock_in_doubt_calls_due_waits_and_what_is_asked_for_does_not() {
    let mut bench = Bench::new(every("backup", 60));
    bench.go_to(3630);
    assert_eq!(believing(&bench, 30, true), Step::Wait(at(60)));
    assert!(matches!(believing(&bench, 60, true), Step::Claim(Target::Next { at: due, .. }) if due == at(60)));
    assert_eq!(believing(&bench, 60, false), Step::Finished, "another is to decide");
    assert_eq!(believing(&bench, 9999, true), bench.next(), "belief is never ahead of the store");
    assert_eq!(bench.trigger("r"), Reply::Done);
    assert!(matches!(believing(&bench, 30, true), Step::Claim(Target::Open { .. })));
    assert!(matches!(believing(&bench, 30, false), Step::Claim(Target::Open { .. })));
}

#[test]
fn a_lease_counts_by_the_believed_time_unless_it_was_given_by_the_clock_in_doubt() {
    let mut bench = Bench::new(every("backup", 60));
    bench.go_to(60).start();
    bench.go_to(3675);
    assert_eq!(believing(&bench, 75, true), Step::Wait(at(90)), "it goes on");
    assert!(matches!(believing(&bench, 90, true), Step::Reap { .. }), "it would have ended anyhow");
    let mut bench = Bench::new(every("backup", 60));
    bench.go_to(60).start();
    bench.go_to(3660).renew_all();
    bench.go_to(3675);
    assert!(!matches!(believing(&bench, 75, true), Step::Reap { .. }));
    bench.go_to(3691);
    assert!(matches!(believing(&bench, 91, true), Step::Reap { .. }), "its holder is gone");
}

//! What is judged of a living cluster, how far back, and what is no finding.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use cronclave::clock::Timestamp;
use cronclave::job::{Delivery, Job, Keep, Overlap};
use cronclave::lease::Fence;
use cronclave::ledger::{Entry, Event, State, What};
use cronclave::record::{Open, Pause, Phase, Record};
use cronclave::store::Snapshot;
use cronclave::verify::{Evidence, Invariant, JobReport, Judge, Limit, Reading, Report};

use super::evidence::{at, good, lines, name, run};

/// A store as it is read.
struct Read {
    job: Arc<Job>,
    record: Record,
    events: Vec<(u64, Event)>,
    lines: Vec<Entry>,
    now: Timestamp,
    since: Timestamp,
    until: Option<Timestamp>,
    unknown: Vec<(cronclave::job::JobName, Timestamp, Timestamp)>,
}

fn read(all: Evidence) -> Read {
    let lines = lines(&all);
    let (job, record) = all.jobs[&name("tidy")].clone();
    let (now, since) = (at(5, 0), Timestamp::EPOCH);
    Read { job, record, events: all.events, lines, now, since, until: None, unknown: Vec::new() }
}

/// With no event but the last: all is judged by the history.
fn without_events() -> Read {
    let mut read = read(good());
    read.events.drain(..11);
    read
}

impl Read {
    fn report(self) -> Report {
        let mut reading = Reading::at(Snapshot { now: self.now, ..Snapshot::default() });
        reading.take(self.events);
        let mut judge = Judge::new(reading, self.since, self.until).knowing_unknown(self.unknown);
        judge.job(&self.job, Some(&self.record), &self.lines);
        judge.end()
    }

    #[track_caller]
    fn holds(self) -> (Report, JobReport) {
        let report = self.report();
        assert_eq!(report.findings, []);
        assert!(report.holds);
        let job = report.jobs[0].clone();
        (report, job)
    }

    /// The only invariant that does not hold.
    #[track_caller]
    fn only(self, invariant: Invariant) -> Report {
        let report = self.report();
        let told: BTreeSet<_> = report.findings.iter().map(|one| one.invariant).collect();
        assert_eq!(told, BTreeSet::from([invariant]), "{:#?}", report.findings);
        assert!(!report.holds);
        report
    }

    fn drop_line(&mut self, minute: u32) {
        let before = self.lines.len();
        self.lines.retain(|line| line.scheduled_at != at(minute, 0));
        assert_eq!(self.lines.len(), before - 1);
    }

    fn line(&mut self, minute: u32) -> &mut Entry {
        self.lines.iter_mut().find(|line| line.scheduled_at == at(minute, 0)).unwrap()
    }

    fn keep(&mut self, runs: u32, days: u32) {
        self.job = Arc::new((*self.job).clone().with(|job| job.keep = Keep { runs, days }));
    }
}

#[test]
fn where_all_holds_every_occurrence_since_the_first_sight_is_counted() {
    let (report, job) = read(good()).holds();
    assert_eq!((report.counts.occurrences, report.counts.asked, report.counts.unknown), (4, 0, 0));
    assert_eq!(report.counts.states[&State::Succeeded], 2);
    assert_eq!(report.counts.states[&State::Missed], 2);
    let bound = job.judged_after.unwrap();
    assert_eq!((bound.limit, bound.at), (Limit::Registered, at(0, 0)));
    assert_eq!((job.events_after, job.not_judged), (None, vec![]));
}

#[test]
fn without_its_events_a_history_says_as_much() {
    let (report, job) = without_events().holds();
    assert_eq!(report.counts.occurrences, 4);
    assert!(job.events_after.is_some());
}

#[test]
fn a_line_that_is_gone_is_a_silent_miss_or_told_by_the_events() {
    let mut gone = without_events();
    gone.drop_line(2);
    let report = gone.only(Invariant::NothingMissed);
    assert_eq!((report.counts.silent_misses, report.findings[0].occurrence), (2, Some(at(2, 0))));
    let mut gone = read(good());
    gone.drop_line(4);
    let report = gone.only(Invariant::HistoryKeepsWhatHappened);
    assert_eq!(report.findings[0].run_id, Some(run("tidy", 4)));
    assert_eq!(report.counts.occurrences, 4, "by the events it was decided");
}

#[test]
fn the_window_that_was_asked_for_bounds_what_is_judged() {
    let mut some = without_events();
    some.drop_line(2);
    some.since = at(4, 0);
    let (report, job) = some.holds();
    assert_eq!((report.counts.occurrences, job.judged_after.unwrap().limit), (1, Limit::Asked));
    let mut some = without_events();
    some.until = Some(at(4, 0));
    assert_eq!(some.holds().0.counts.occurrences, 3);
}

#[test]
fn what_the_limits_dropped_is_not_missed() {
    // As pruned: one run, and all that was passed over.
    let mut pruned = without_events();
    pruned.keep(1, 30);
    pruned.drop_line(1);
    let (report, job) = pruned.holds();
    assert_eq!((report.counts.occurrences, job.judged_after.unwrap().limit), (0, Limit::Pruned));
    // With the events, the same reaches back to the first.
    let mut pruned = read(good());
    pruned.keep(1, 30);
    pruned.drop_line(1);
    assert_eq!(pruned.holds().0.counts.occurrences, 4);
    // By age.
    let mut old = without_events();
    old.keep(100, 1);
    old.lines.clear();
    old.now = "2026-11-24T06:00:00Z".parse().unwrap();
    old.until = Some(at(5, 0));
    assert_eq!(old.holds().0.counts.occurrences, 0);
}

#[test]
fn a_history_that_begins_late_is_judged_from_there() {
    let mut late = without_events();
    late.drop_line(1);
    let (report, job) = late.holds();
    assert_eq!((report.counts.occurrences, job.judged_after.unwrap().limit), (3, Limit::HistoryBegins));
}

#[test]
fn a_changed_schedule_counts_from_its_first_sight() {
    let mut changed = without_events();
    changed.record.specs = [(7, at(0, 0)), (changed.job.spec(), at(3, 30))].into();
    changed.drop_line(2);
    let (report, job) = changed.holds();
    assert_eq!((report.counts.occurrences, job.judged_after.unwrap().limit), (1, Limit::ScheduleChanged));
}

#[test]
fn after_a_schedule_that_came_and_went_what_is_missing_is_unknown() {
    let mut returned = without_events();
    returned.record.specs.push_back((7, at(1, 30)));
    returned.drop_line(2);
    let (report, job) = returned.holds();
    assert_eq!((report.counts.unknown, report.counts.silent_misses), (2, 0));
    assert!(job.not_judged[0].contains("another schedule"), "{job:?}");
}

#[test]
fn a_job_that_nobody_saw_with_its_schedule_is_not_judged() {
    let mut other = without_events();
    other.record.specs[0].0 = 7;
    let (report, job) = other.holds();
    assert_eq!((report.counts.occurrences, job.judged_after), (0, None));
    let mut judge = Judge::new(Reading::default(), Timestamp::EPOCH, None);
    judge.job(&without_events().job, None, &[]);
    judge.without_file(&name("old"));
    let report = judge.end();
    assert!(report.holds);
    assert!(report.jobs.iter().all(|job| job.not_judged.len() == 1 && job.judged_after.is_none()));
}

#[test]
fn what_a_store_that_lost_writes_does_not_know_is_unknown_and_explained() {
    let mut restored = without_events();
    restored.drop_line(2);
    restored.unknown.push((name("tidy"), at(1, 0), at(3, 0)));
    let (report, job) = restored.holds();
    assert_eq!(report.counts.unknown, 2);
    assert!(job.not_judged[0].contains("lost writes"), "{job:?}");
}

#[test]
fn a_store_that_says_what_it_lost_explains_it_by_its_event() {
    let mut restored = without_events();
    restored.drop_line(2);
    let what = What::Restored { from: Some(at(1, 0)), through: Some(at(3, 0)) };
    restored.events.push((13, Event { at: at(4, 40), job: name("tidy"), what }));
    // How the last run ended was lost as well: its line says that it goes on.
    restored.line(4).state = State::Running;
    let (report, _) = restored.holds();
    assert_eq!((report.counts.unknown, report.counts.silent_misses), (2, 0));
}

#[test]
fn a_cursor_behind_the_history_is_found() {
    let mut back = without_events();
    back.record.cursor = Some(at(1, 0));
    let report = back.only(Invariant::CursorMovesOn);
    assert_eq!((report.findings[0].occurrence, report.findings[0].count), (Some(at(2, 0)), 2));
}

#[test]
fn lines_that_speak_against_a_promise_are_found() {
    let mut twice = without_events();
    let mut again = twice.line(1).attempts[0].clone();
    (again.fence, again.started_at) = (Fence(150), Some(at(1, 20)));
    (again.claimed_at, again.finished_at) = (at(1, 19), Some(at(1, 21)));
    twice.line(1).attempts.push(again);
    assert_eq!(twice.only(Invariant::StartsOnce).counts.double_starts, 1);

    let mut decided_twice = without_events();
    let mut pass = decided_twice.line(2).clone();
    pass.id = "tidy@2026-11-22T06:03:00Z".into();
    (pass.scheduled_at, pass.count) = (at(3, 0), 1);
    decided_twice.lines.push(pass);
    decided_twice.only(Invariant::DecidedOnce);

    let mut miscounted = without_events();
    miscounted.line(2).count = 5;
    miscounted.only(Invariant::StandsForItsOccurrences);

    let mut early = without_events();
    early.line(2).changed_at = at(2, 30);
    early.only(Invariant::NeverEarly);

    let mut beside = without_events();
    beside.line(1).attempts[0].finished_at = Some(at(4, 5));
    beside.only(Invariant::OneAtATime);

    let mut unordered = without_events();
    unordered.line(4).attempts[0].fence = Fence(350);
    unordered.only(Invariant::ClaimFencesGrow);

    let mut smaller = without_events();
    smaller.line(1).attempts[0].fence = Fence(250);
    smaller.only(Invariant::StartFencesGrow);
}

#[test]
fn what_the_policies_allow_is_no_finding() {
    let mut beside = without_events();
    beside.job = Arc::new((*beside.job).clone().with(|job| job.overlap = Overlap::Allow));
    beside.line(1).attempts[0].finished_at = Some(at(4, 5));
    beside.line(1).attempts[0].fence = Fence(250);
    beside.holds();
    let mut again = without_events();
    again.job = Arc::new((*again.job).clone().with(|job| job.delivery = Delivery::AtLeastOnce));
    again.line(4).attempts[0].ended.as_mut().unwrap().outcome = cronclave::lease::Outcome::Lost;
    again.holds();
}

/// A run of 06:04 that is open.
fn open(phase: Phase, until: Timestamp) -> Open {
    let open = serde_json::json!({
        "run_id": run("tidy", 4), "scheduled_at": at(4, 0), "trigger": { "kind": "schedule" }, "opened": at(4, 0),
        "phase": phase, "attempt": 2, "fence": 300, "holder": "one", "until": until,
    });
    serde_json::from_value(open).unwrap()
}

/// The same before the last end.
fn running(phase: Phase, until: Timestamp) -> Read {
    let mut all = good();
    all.events.pop();
    let mut running = read(all);
    running.record.open.push(open(phase, until));
    running
}

#[test]
fn a_run_past_its_lease_that_nobody_takes_over_is_found_after_a_while() {
    running(Phase::Running, at(5, 30)).holds();
    let mut stuck = running(Phase::Running, at(4, 51));
    stuck.now = at(5, 52);
    let report = stuck.only(Invariant::NothingStuck);
    assert_eq!(report.findings[0].run_id, Some(run("tidy", 4)));
    for phase in [Phase::Waiting, Phase::Claimed, Phase::Published] {
        let mut paused = running(phase, at(4, 51));
        paused.now = at(5, 52);
        paused.record.pauses.push_back(Pause { since: at(4, 40), until: None, reason: None, by: None });
        paused.holds();
    }
}

#[test]
fn what_is_due_and_undecided_is_found_after_a_while_unless_the_job_is_paused() {
    let late = |now| {
        let mut late = read(good());
        late.now = now;
        late
    };
    late(at(6, 0)).holds();
    assert_eq!(late(at(6, 1)).only(Invariant::NothingLate).findings[0].occurrence, Some(at(5, 0)));
    let mut paused = late(at(30, 0));
    paused.record.pauses.push_back(Pause { since: at(4, 40), until: None, reason: None, by: None });
    paused.holds();
    let mut of_the_past = late(at(30, 0));
    of_the_past.until = Some(at(5, 0));
    of_the_past.holds();
}

#[test]
fn what_happens_while_it_is_read_is_left_out() {
    // Records and events were read at 06:04:05; the history after all of it.
    let mut all = good();
    all.events.truncate(8);
    let mut moving = read(all);
    moving.record.open.push(open(Phase::Running, at(4, 32)));
    moving.record.cursor = Some(at(3, 0));
    moving.record.open.clear();
    moving.now = at(3, 59);
    moving.events.truncate(5);
    let (report, _) = moving.holds();
    assert_eq!(report.counts.occurrences, 3, "06:04 was decided since");
}

#[test]
fn a_run_that_stays_open_without_its_record_is_found() {
    let mut forgotten = running(Phase::Running, at(5, 30));
    forgotten.record.open.clear();
    forgotten.only(Invariant::NoRunForgotten);
    let mut lost = running(Phase::Running, at(5, 30));
    lost.events.drain(..10);
    lost.drop_line(4);
    let report = lost.report();
    let told: BTreeSet<_> = report.findings.iter().map(|one| one.invariant).collect();
    assert!(told.contains(&Invariant::HistoryKeepsWhatHappened), "{told:?}");
}

#[test]
fn events_dropped_while_they_were_read_are_no_hole() {
    let mut holed = read(good());
    holed.events.drain(3..6);
    let (_, job) = holed.holds();
    assert_eq!(job.events_after, Some(at(4, 1)), "those after the hole");
}

#[test]
fn a_hundred_thousand_entries_are_judged_in_one_go() {
    const COUNT: u64 = 100_000;
    let mut many = without_events();
    many.lines.clear();
    many.events.clear();
    let minutes = |n: u64| at(0, 0).plus(std::time::Duration::from_secs(60 * n));
    for n in 1..=COUNT {
        let pass = |n| {
            What::Passed(cronclave::ledger::Pass {
                from: minutes(n),
                through: minutes(n),
                count: 1,
                fate: cronclave::ledger::Fate::SkippedOverlap,
            })
        };
        let event = Event { at: minutes(n), job: name("tidy"), what: pass(n) };
        many.lines.extend(Entry::fold(None, &event));
        many.events.push((n, event));
    }
    many.record.cursor = Some(minutes(COUNT));
    many.now = minutes(COUNT);
    let began = Instant::now();
    let (report, _) = many.holds();
    println!("{COUNT} entries and as many events: {:.2?}", began.elapsed());
    assert_eq!(report.counts.occurrences, COUNT);
}

//! Jobs that do not succeed in time, and attempts that take long.

use cronclave::schedule::{Rules, Schedule, Zone};

use super::*;

fn watched(limit: u64) -> Job {
    every("backup", 60).with(|job| job.must_succeed_within = Some(secs(limit)))
}

fn told(bench: &mut Bench) -> Vec<Step> {
    let steps = bench.settle_down();
    steps.into_iter().filter(|step| matches!(step, Step::Overdue { .. } | Step::Slow { .. })).collect()
}

fn overdue(expect: Option<u64>, due: u64) -> Step {
    Step::Overdue { expect: expect.map(at), due: at(due) }
}

#[test]
fn a_job_that_never_ran_is_told_at_its_deadline_and_once() {
    let manual = Schedule::parse("@manual", &Zone::utc(), Rules::default(), "backup").unwrap();
    let mut bench = Bench::new(Job { schedule: Arc::new(manual), ..watched(100) });
    assert_eq!(bench.waits(), at(100));
    assert_eq!(told(bench.go_to(100)), [overdue(None, 100)]);
    assert_eq!(bench.next(), Step::Finished);
    assert_eq!(told(bench.go_to(1000)), []);
}

#[test]
fn failures_do_not_move_a_deadline_and_a_success_does() {
    let mut bench = Bench::new(watched(150));
    bench.settle_down();
    bench.go_to(60).run_all();
    bench.go_to(120).start();
    bench.end(&Ended::because(Outcome::Failed, "exit code 1"));
    assert_eq!(plan::deadline(&bench.job, &bench.record), Some(at(210)));
    bench.go_to(180).start();
    bench.go_to(200).renew_all();
    assert_eq!(told(bench.go_to(210)), [overdue(Some(60), 210)], "while its run goes on");
    bench.end(&Ended::succeeded());
    assert_eq!(bench.record.overdue, None);
    assert_eq!(plan::deadline(&bench.job, &bench.record), Some(at(360)));
}

#[test]
fn nothing_is_overdue_while_paused_and_the_end_of_a_pause_gives_time_again() {
    let mut bench = Bench::new(watched(100));
    bench.settle_down();
    bench.ask(&Op::Pause { until: None, reason: None, by: None });
    assert_eq!(told(bench.go_to(500)), []);
    bench.ask(&Op::Resume { catch_up: false, by: None });
    assert_eq!(plan::deadline(&bench.job, &bench.record), Some(at(600)));
    bench.ask(&Op::Pause { until: Some(at(700)), reason: None, by: None });
    assert_eq!(plan::deadline(&bench.job, &bench.record), Some(at(800)));
    assert_eq!(told(bench.go_to(799)), []);
}

#[test]
fn a_disabled_job_owes_no_success() {
    let mut bench = Bench::new(watched(100).with(|job| job.enabled = false));
    assert_eq!(told(bench.go_to(500)), []);
}

#[test]
fn an_attempt_that_takes_long_is_told_once_and_whoever_looks_tells_it() {
    let mut bench = Bench::new(every("backup", 60).with(|job| job.warn_after = Some(secs(20))));
    bench.settle_down();
    let run = bench.go_to(60).start().remove(0);
    assert_eq!(bench.waits(), at(80));
    bench.renew_all();
    assert_eq!(told(bench.go_to(80)), [Step::Slow { run_id: run.run_id, fence: run.fence }]);
    assert_eq!(told(bench.go_to(81)), []);
    bench.end(&Ended::succeeded());
    bench.go_to(120).start();
    assert_eq!(told(bench.go_to(140)).len(), 1, "the next is another");
}

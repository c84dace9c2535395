//! What a record remembers of runs that are over, for whoever did not hear that their end was taken.

use super::*;

const FEW: usize = 16;

fn ended_again(bench: &mut Bench, run: &Open) -> Reply {
    bench.ask(&Op::Settle { key: Bench::key(run), ended: Ended::succeeded(), next: None })
}

#[test]
fn of_runs_that_follow_each_other_only_the_latest_ends_are_remembered() {
    let mut bench = Bench::new(every("backup", 60));
    let runs: Vec<Open> = (1..=40)
        .map(|n| {
            let run = bench.go_to(60 * n).start().remove(0);
            bench.end(&Ended::succeeded());
            run
        })
        .collect();
    assert_eq!(bench.record.settled.len(), FEW);
    for run in runs.iter().rev().take(FEW) {
        assert_eq!(ended_again(&mut bench, run), Reply::Done);
    }
}

#[test]
fn the_ends_of_all_that_ran_side_by_side_are_remembered_until_others_follow() {
    let mut bench = Bench::new(every("backup", 60).with(|job| job.overlap = Overlap::Allow));
    for n in 0..60 {
        assert_eq!(bench.trigger(&format!("r{n}")), Reply::Done);
    }
    let runs = bench.start();
    bench.end(&Ended::succeeded());
    assert_eq!(runs.len(), 60);
    for run in &runs[2..] {
        assert_eq!(ended_again(&mut bench, run), Reply::Done);
    }
    for n in 1..=60 {
        bench.go_to(60 * n).start();
        bench.end(&Ended::succeeded());
    }
    assert_eq!(bench.record.settled.len(), FEW);
}

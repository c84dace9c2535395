//! Each invariant, broken by itself, is found, and nothing else is.

use std::collections::BTreeSet;

use cronclave::lease::{Ended, Fence, Outcome, RunId};
use cronclave::ledger::{Event, What};
use cronclave::verify::{Evidence, Finding, Invariant, check};

use super::evidence::{at, claimed, ended, good, insert, name, renumber, run, started, with_a_mutex};

/// The only invariant that does not hold.
#[track_caller]
fn only(all: &Evidence, invariant: Invariant) -> Vec<Finding> {
    let found = check(all).findings;
    let told: BTreeSet<_> = found.iter().map(|one| one.invariant).collect();
    assert_eq!(told, BTreeSet::from([invariant]), "{found:#?}");
    assert!(found.iter().all(|one| !one.detail.is_empty()));
    found
}

/// The only finding.
#[track_caller]
fn one(all: &Evidence, invariant: Invariant) -> Finding {
    let found = only(all, invariant);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.into_iter().next().unwrap()
}

fn spoilt(spoil: impl FnOnce(&mut Evidence)) -> Evidence {
    let mut all = good();
    spoil(&mut all);
    all
}

#[test]
fn where_all_holds_nothing_is_found() {
    for all in [good(), with_a_mutex(150, 2, 0)] {
        let verdict = check(&all);
        assert_eq!(verdict.findings, []);
        assert_eq!((verdict.events, verdict.starts), (all.events.len() as u64, all.ran.len() as u64));
    }
}

#[test]
fn a_second_start_of_one_claim_is_found() {
    let all = spoilt(|all| insert(all, 2, all.events[2].1.what.clone()));
    let found = one(&all, Invariant::StartsOnce);
    assert_eq!((found.job, found.run_id, found.occurrence), (Some(name("tidy")), Some(run("tidy", 1)), Some(at(1, 0))));
    let after_its_end = spoilt(|all| insert(all, 3, all.events[2].1.what.clone()));
    one(&after_its_end, Invariant::StartsOnce);
}

#[test]
fn a_restart_after_a_loss_is_found_where_delivery_is_at_most_once() {
    let all = spoilt(|all| {
        let What::Ended { ended, .. } = &mut all.events[8].1.what else { panic!() };
        *ended = Ended::because(Outcome::Lost, "its holder did not renew the lease");
        all.leases[1].until = at(4, 9);
    });
    assert!(one(&all, Invariant::StartsOnce).detail.contains("lost"));
}

#[test]
fn an_attempt_beyond_the_most_is_found() {
    let all = spoilt(|all| {
        for index in [9, 10, 11] {
            match &mut all.events[index].1.what {
                What::Claimed { attempt, .. } | What::Started { attempt, .. } | What::Ended { attempt, .. } => {
                    *attempt = 11
                }
                _ => panic!(),
            }
        }
    });
    assert!(one(&all, Invariant::StartsOnce).detail.contains("10 are the most"));
}

#[test]
fn occurrences_passed_over_in_silence_are_found() {
    let all = spoilt(|all| {
        all.events.remove(4);
        renumber(all);
    });
    let found = one(&all, Invariant::NothingMissed);
    assert_eq!((found.occurrence, found.count), (Some(at(2, 0)), 2));
}

#[test]
fn what_is_known_to_be_unknown_is_not_missed_in_silence() {
    let mut all = spoilt(|all| {
        all.events.remove(4);
        renumber(all);
    });
    all.unknown.push((name("tidy"), at(1, 0), at(3, 0)));
    assert_eq!(check(&all).findings, []);
    all.unknown[0].2 = at(2, 0);
    one(&all, Invariant::NothingMissed);
}

#[test]
fn an_occurrence_that_is_decided_twice_is_found() {
    let all = spoilt(|all| insert(all, 4, all.events[4].1.what.clone()));
    assert_eq!(one(&all, Invariant::DecidedOnce).occurrence, Some(at(2, 0)));
}

#[test]
fn an_entry_that_counts_wrong_is_found() {
    let all = spoilt(|all| {
        let What::Passed(pass) = &mut all.events[4].1.what else { panic!() };
        pass.count = 3;
    });
    one(&all, Invariant::StandsForItsOccurrences);
}

#[test]
fn a_run_with_a_foreign_id_is_found() {
    let foreign = RunId::of_request(&name("tidy"), "mine");
    let all = spoilt(|all| {
        for index in [1, 2, 3] {
            match &mut all.events[index].1.what {
                What::Claimed { run_id, .. } | What::Started { run_id, .. } | What::Ended { run_id, .. } => {
                    *run_id = foreign
                }
                _ => panic!(),
            }
        }
        all.ran[0].run_id = foreign;
    });
    assert_eq!(one(&all, Invariant::OwnRun).run_id, Some(foreign));
}

#[test]
fn events_of_a_job_that_nobody_saw_are_found() {
    let all = spoilt(|all| {
        all.events.remove(0);
        renumber(all);
    });
    one(&all, Invariant::RegisteredFirst);
}

#[test]
fn a_cursor_that_went_back_is_found() {
    let all = spoilt(|all| all.jobs.get_mut(&name("tidy")).unwrap().1.cursor = Some(at(3, 0)));
    one(&all, Invariant::CursorMovesOn);
}

#[test]
fn a_decision_and_a_start_before_their_time_are_found() {
    let all = spoilt(|all| {
        for index in [1, 2] {
            all.events[index].1.at = at(0, 59);
        }
        all.leases[0].at = at(0, 59);
    });
    assert_eq!(only(&all, Invariant::NeverEarly).len(), 2, "the claim, and the start");
}

#[test]
fn an_outdated_claim_that_acts_is_found() {
    let late = ended("tidy", 4, 1, 200, Ended::succeeded(), None);
    let released = What::Released { run_id: run("tidy", 4), fence: Fence(200) };
    for what in [late, released] {
        let all = spoilt(|all| insert(all, 9, what));
        assert_eq!(one(&all, Invariant::NewestClaimActs).run_id, Some(run("tidy", 4)));
    }
}

#[test]
fn a_start_by_an_outdated_claim_is_found() {
    let all = spoilt(|all| {
        insert(
            all,
            9,
            What::Started { run_id: run("tidy", 4), attempt: 1, fence: Fence(200), holder: "zombie".into() },
        );
    });
    one(&all, Invariant::NewestClaimActs);
}

#[test]
fn a_run_that_comes_to_be_twice_is_found() {
    let all = spoilt(|all| insert(all, 5, all.events[5].1.what.clone()));
    one(&all, Invariant::RunComesOnce);
}

#[test]
fn a_claim_with_a_smaller_fence_is_found() {
    let all = spoilt(|all| insert(all, 5, claimed("tidy", 4, 1, 50)));
    one(&all, Invariant::ClaimFencesGrow);
}

#[test]
fn starts_in_another_order_than_their_claims_are_found() {
    let all = spoilt(|all| {
        all.ran.clear();
        for _ in 0..2 {
            let (_, event) = all.events.remove(2);
            all.events.push((0, Event { at: at(5, 0), ..event }));
        }
        renumber(all);
    });
    assert_eq!(one(&all, Invariant::StartFencesGrow).run_id, Some(run("tidy", 1)));
}

#[test]
fn a_run_that_is_claimed_after_its_end_is_found() {
    let all = spoilt(|all| {
        let expired = Ended::because(Outcome::Expired, "nobody started it in time");
        insert(all, 11, claimed("tidy", 1, 1, 400));
        insert(all, 12, ended("tidy", 1, 1, 400, expired, None));
    });
    one(&all, Invariant::OverStaysOver);
}

#[test]
fn a_run_that_the_record_forgot_or_made_up_is_found() {
    let forgotten = spoilt(|all| drop(all.events.pop()));
    assert_eq!(one(&forgotten, Invariant::NoRunForgotten).run_id, Some(run("tidy", 4)));
    let made_up = spoilt(|all| {
        let open = serde_json::json!({
            "run_id": run("tidy", 2), "scheduled_at": at(2, 0), "trigger": { "kind": "schedule" }, "opened": at(2, 0),
            "phase": "waiting", "attempt": 1, "fence": 0, "holder": "", "until": at(2, 0),
        });
        all.jobs.get_mut(&name("tidy")).unwrap().1.open.push(serde_json::from_value(open).unwrap());
    });
    assert_eq!(one(&made_up, Invariant::NoRunForgotten).run_id, Some(run("tidy", 2)));
}

#[test]
fn two_runs_at_once_are_found() {
    let all = spoilt(|all| {
        let (_, event) = all.events.remove(3);
        all.events.insert(7, (0, Event { at: at(4, 5), ..event }));
        renumber(all);
        all.ran[0].to = at(4, 4);
        all.leases[0].until = at(4, 30);
    });
    assert_eq!(one(&all, Invariant::OneAtATime).run_id, Some(run("tidy", 4)));
}

#[test]
fn two_runs_under_one_mutex_at_once_are_found() {
    let mut all = with_a_mutex(150, 1, 2);
    assert_eq!(one(&all, Invariant::MutexHolds).job, Some(name("pack")));
    // Code that outlives its lease may overlap with the next where that cannot be helped.
    all.obedient = false;
    one(&all, Invariant::MutexHolds);
}

#[test]
fn a_smaller_fence_of_another_job_under_the_same_mutex_is_found() {
    let mut all = with_a_mutex(250, 2, 0);
    all.ran.clear();
    one(&all, Invariant::MutexFencesGrow);
}

#[test]
fn a_run_that_is_closed_while_its_code_runs_is_found() {
    one(&spoilt(|all| all.ran[0].to = at(1, 10)), Invariant::ClosedByItsHolder);
}

#[test]
fn code_without_a_start_is_found() {
    let twice = spoilt(|all| {
        let again = cronclave::verify::Ran { from: at(1, 4), ..all.ran[0].clone() };
        all.ran.push(again);
    });
    one(&twice, Invariant::CodeHasItsStart);
    one(&spoilt(|all| all.ran[0].from = at(1, 0)), Invariant::CodeHasItsStart);
}

#[test]
fn code_that_begins_after_its_lease_is_found() {
    let all = spoilt(|all| {
        all.leases[0].until = at(1, 2);
        all.obedient = false;
    });
    one(&all, Invariant::CodeStartsInItsLease);
}

#[test]
fn code_that_outlives_its_lease_is_found() {
    one(&spoilt(|all| all.leases[0].until = at(1, 3)), Invariant::CodeEndsInItsLease);
}

#[test]
fn a_time_that_goes_back_is_found() {
    one(&spoilt(|all| all.events[9].1.at = at(4, 9)), Invariant::TimeGoesOn);
}

#[test]
fn positions_that_do_not_grow_are_found() {
    one(&spoilt(|all| all.events[7].0 = 7), Invariant::PositionsGrow);
}

#[test]
fn each_invariant_has_a_word_a_promise_and_advice_of_its_own() {
    let words: BTreeSet<_> = Invariant::ALL.map(Invariant::word).into();
    let promises: BTreeSet<_> = Invariant::ALL.map(Invariant::promise).into();
    assert_eq!((words.len(), promises.len()), (Invariant::ALL.len(), Invariant::ALL.len()));
    for invariant in Invariant::ALL {
        assert_eq!(serde_json::json!(invariant), invariant.word());
        assert!(!invariant.advice().is_empty());
    }
    let mut sorted = Invariant::ALL;
    sorted.sort();
    assert_eq!(sorted, Invariant::ALL);
}

#[test]
fn a_start_that_was_given_back_does_not_count_unless_its_code_ran() {
    let released = What::Released { run_id: run("tidy", 4), fence: Fence(300) };
    let mut all = spoilt(|all| {
        all.ran.pop();
        all.events.remove(11);
        insert(all, 10, released);
        insert(all, 11, claimed("tidy", 4, 2, 400));
        insert(all, 12, started("tidy", 4, 2, 400));
        insert(all, 13, ended("tidy", 4, 2, 400, Ended::succeeded(), None));
    });
    assert_eq!(check(&all).findings, []);
    all.ran.push(good().ran.pop().unwrap());
    one(&all, Invariant::NewestClaimActs);
}

#[test]
fn what_a_store_was_given_back_explains_what_it_does_not_tell() {
    let restored = |from, through| What::Restored { from: Some(from), through: Some(through) };
    let lost = |from, through| {
        spoilt(|all| {
            insert(all, 4, restored(from, through));
            all.events.remove(4);
            renumber(all);
        })
    };
    assert_eq!(check(&lost(at(1, 0), at(3, 0))).findings, []);
    assert_eq!(one(&lost(at(2, 0), at(3, 0)), Invariant::NothingMissed).occurrence, Some(at(2, 0)));
}

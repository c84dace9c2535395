//! Every order of events in a small cluster, explored to the end; and, for each rule of the
//! protocol, that things go wrong without it.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "model/claims.rs"]
mod claims;
#[path = "common/jobs.rs"]
mod jobs;
#[path = "model/requests.rs"]
mod requests;

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use cronclave::job::{Delivery, Overlap};
use cronclave::record::Bid;
use stateright::{Checker, HasDiscoveries, Model};

use claims::{Claims, Without};
use jobs::{every, secs};
use requests::Requests;

/// Explores every state: whatever is promised holds, and whatever should be possible is.
fn holds<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
{
    let begun = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{name}: {} states, {:.1?}", checker.unique_state_count(), begun.elapsed());
    for property in checker.model().properties() {
        let found = checker.discovery(property.name).map(|path| path.into_actions());
        match property.expectation.discovery_is_failure() {
            true => assert_eq!(found, None, "broken: {}", property.name),
            false => assert!(found.is_some(), "the scope is too small to see: {}", property.name),
        }
    }
}

/// Explores until `promise` is broken.
fn breaks<M>(name: &str, model: M, promise: &'static str)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
{
    let until = HasDiscoveries::AllOf([promise].into());
    let checker = model.checker().threads(2).finish_when(until).spawn_bfs().join();
    println!("{name}: broken after {} states", checker.unique_state_count());
    let path = checker.discovery(promise).map(|path| path.into_actions());
    println!("  {}", path.map(|actions| format!("{actions:?}")).expect("nothing goes wrong without it"));
}

#[test]
fn without_memory_of_occurrences_one_runs_twice() {
    let model = Claims { without: Without::Memory, crashes: 0, lost_replies: 0, ..Claims::small() };
    breaks("lock only", model, "no run starts more often than it may");
}

#[test]
fn without_a_commit_of_the_start_one_that_paused_runs_it_again() {
    let model = Claims { without: Without::StartCommit, crashes: 0, lost_replies: 0, ..Claims::small() };
    breaks("no start commit", model, "no run starts more often than it may");
}

#[test]
fn with_a_new_token_a_lost_reply_leaves_a_claim_that_nobody_knows() {
    let model = Claims { without: Without::OneTokenPerBid, crashes: 0, ..Claims::small() };
    breaks("a new token each time", model, "a claim is known to somebody who lives");
}

#[test]
fn without_recovery_a_crash_leaves_a_run_that_never_ends() {
    let model = Claims { without: Without::Recovery, ..Claims::small() };
    breaks("no recovery", model, "nothing is overlooked");
}

#[test]
fn two_replicas_keep_every_promise() {
    holds("two replicas", Claims { end: 6, crashes: 2, lost_replies: 2, ..Claims::small() });
}

#[test]
fn two_replicas_keep_every_promise_when_runs_are_to_start_at_least_once() {
    let mut model = Claims { end: 6, ..Claims::small() };
    model.job = model.job.with(|job| job.delivery = Delivery::AtLeastOnce);
    holds("two replicas, at least once", model);
}

#[test]
fn two_replicas_keep_every_promise_under_every_overlap_policy() {
    for overlap in [Overlap::Skip, Overlap::QueueOne, Overlap::Replace, Overlap::Allow] {
        let mut model = Claims { end: 5, ..Claims::small() };
        model.job = model.job.with(|job| job.overlap = overlap);
        holds(&format!("two replicas, {overlap:?}"), model);
    }
}

#[test]
fn replicas_that_race_ahead_of_the_instant_keep_every_promise() {
    // Moments are half a second apart: all that happens otherwise may happen before the instant, too.
    let mut model = Claims { tick: Bid::AHEAD, end: 5, ..Claims::small() };
    model.job = every("backup", 1).with(|job| {
        job.overlap = Overlap::QueueAll;
        job.lease = secs(1);
    });
    holds("two replicas, ahead", model.clone());
    model.job = model.job.with(|job| job.delivery = Delivery::AtLeastOnce);
    holds("two replicas, ahead, at least once", model);
}

#[test]
fn three_replicas_keep_every_promise() {
    holds("three replicas", Claims { replicas: 3, end: 5, ..Claims::small() });
}

#[test]
fn two_replicas_keep_every_promise_over_a_server_that_is_promoted_too_early() {
    holds("a failover", Claims { crashes: 0, lost_replies: 0, failovers: 1, end: 4, ..Claims::small() });
    // One occurrence, and answers that get lost as well.
    holds("a failover and a lost reply", Claims { crashes: 0, failovers: 1, end: 4, ..Claims::small() });
}

#[test]
fn a_start_that_the_other_server_has_is_not_repeated_though_whoever_knew_it_died() {
    let model = Claims { failovers: 1, durable: true, lost_replies: 0, end: 4, ..Claims::small() };
    holds("a failover and a crash, starts replicated", model);
}

#[test]
fn without_being_given_back_what_it_lost_a_promoted_server_starts_a_run_again() {
    let model = Claims { without: Without::Teaching, crashes: 0, lost_replies: 0, failovers: 1, ..Claims::small() };
    breaks("nothing is given back", model, "no run starts more often than it may");
}

#[test]
fn a_promoted_server_that_does_not_wait_for_what_it_lost_starts_a_run_again() {
    let model = Claims { without: Without::Gate, crashes: 0, lost_replies: 0, failovers: 1, ..Claims::small() };
    breaks("no gate", model, "no run starts more often than it may");
}

/// The limit of what is promised: docs/GUARANTEES.md.
#[test]
fn a_start_that_only_the_dead_knew_of_is_repeated_unless_it_was_replicated() {
    let model = Claims { lost_replies: 0, failovers: 1, ..Claims::small() };
    breaks("a failover and a crash", model, "no run starts more often than it may");
}

#[test]
fn requests_that_are_lost_copied_and_late_start_each_run_once_and_none_is_overlooked() {
    holds("requests", Requests::small());
    let one = Requests { crashes: 2, end: 3, ..Requests::small() };
    holds("one request, two crashes", one);
}

#[test]
fn a_worker_that_runs_what_it_is_sent_runs_it_twice() {
    let model = Requests { without: requests::Without::Asking, crashes: 0, losses: 0, ..Requests::small() };
    breaks("no question before the start", model, "no run starts twice");
}

#[test]
fn a_request_that_is_lost_and_not_sent_again_is_overlooked() {
    let model = Requests { without: requests::Without::Repeating, crashes: 0, copies: 0, ..Requests::small() };
    breaks("no repetition", model, "nothing is overlooked");
}

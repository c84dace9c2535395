//! `kill -9`, and what is left behind.

use std::time::Duration;

use cronclave::lease::Outcome;
use cronclave::ledger::State;

use super::cluster::{Cluster, Found, SIGN, alive, on_each_store, say, until};

on_each_store! {
    a_killed_replicas_run_restarts_as_attempt_two_within_lease_and_two_seconds
}

fn a_killed_replicas_run_restarts_as_attempt_two_within_lease_and_two_seconds(found: Found) {
    let mut cluster = found(&format!(
        "[jobs.steady]\nschedule = \"@manual\"\ndelivery = \"at_least_once\"\nlock = {{ ttl = \"3s\" }}\ncommand = '{SIGN}; test $CRONCLAVE_ATTEMPT = 2 || sleep 300'\n"
    ));
    cluster.serve(0);
    cluster.trigger("steady");
    until("the job runs", || cluster.ledger().len() == 1);
    cluster.serve(1);
    cluster.kill(0);
    let lease_end = cluster.open_runs("steady")[0].until;
    until("it runs again", || cluster.ledger().len() == 2);
    until("it is over", || cluster.open_runs("steady").is_empty());
    cluster.check();
    let (ledger, history) = (cluster.ledger(), cluster.history("steady"));
    assert_eq!((ledger[0].attempt, ledger[1].attempt), (1, 2));
    assert!(ledger[0].fence < ledger[1].fence);
    let attempts = &history[0].attempts;
    assert_eq!(attempts[0].ended.as_ref().unwrap().outcome, Outcome::Lost);
    assert_eq!(history[0].state, State::Succeeded);
    let restarted = attempts[1].started_at.unwrap();
    assert!(restarted >= lease_end, "not while the first holder could still be alive");
    let after = restarted.since(lease_end);
    say(&format!("restarted {after:?} after the lease had ended"));
    assert!(after < Duration::from_secs(15), "it took {after:?}");
}

#[test]
fn nothing_of_a_job_survives_the_kill_of_its_replica() {
    let marker = format!("86400.{:010}", rand::random::<u32>());
    let command =
        format!("trap '' TERM; setsid sleep {marker} & sleep {marker} & (sleep {marker} & wait) ; sleep {marker}");
    let mut cluster = Cluster::with_another(&format!(
        "[jobs.stubborn]\nschedule = \"@manual\"\nkill_after = \"1s\"\nlock = {{ ttl = \"3s\" }}\ncommand = \"{command}\"\n"
    ));
    cluster.serve(0);
    cluster.trigger("stubborn");
    until("all of it runs", || alive(&marker) >= 4);
    cluster.kill(0);
    until("all of it is gone", || alive(&marker) == 0);
    cluster.serve(0);
    until("the run is recorded as lost", || cluster.history("stubborn").iter().any(|entry| entry.state == State::Lost));
}

#[test]
fn nothing_of_a_job_survives_its_timeout() {
    let marker = format!("86400.{:010}", rand::random::<u32>());
    let command = format!("trap '' TERM; setsid sleep {marker} & sleep {marker} & sleep {marker}");
    let mut cluster = Cluster::with_another(&format!(
        "[jobs.stubborn]\nschedule = \"@manual\"\ntimeout = \"2s\"\nkill_after = \"1s\"\ncommand = \"{command}\"\n"
    ));
    cluster.serve(0);
    cluster.trigger("stubborn");
    until("all of it runs", || alive(&marker) >= 3);
    until("it is over", || cluster.history("stubborn").first().is_some_and(|entry| entry.state.is_final()));
    assert_eq!(alive(&marker), 0, "what is over has left nothing behind");
    assert_eq!(cluster.history("stubborn")[0].state, State::TimedOut);
    cluster.stop();
    cluster.check();
}

//! What only replicas with a store on a server meet, and is no row of the table: the last moments of a run whose replica
//! is cut off, and how soon a command acts on all of them.

use std::time::{Duration, Instant};

use cronclave::ledger::State;

use super::cluster::{Cluster, SIGN, say, until};
use super::field::sleep;
use super::proxy::{Fault, Proxy};

/// Of code that writes a line ten times a second, none is left when the next attempt writes its first.
#[test]
fn a_replica_that_is_cut_off_ends_its_run_before_another_starts_it() {
    for (fault, clock) in [(Fault::Swallow, "-300s"), (Fault::Hold, "+300s")] {
        let beat = "unset LD_PRELOAD; trap \"\" TERM; while sleep 0.1; do echo $CRONCLAVE_ATTEMPT >> beats; done";
        let mut cluster = Cluster::with_another_on_redis(&format!(
            "[jobs.beats]\nschedule = \"@manual\"\ndelivery = \"at_least_once\"\nkill_after = \"500ms\"\nlock = {{ ttl = \"3s\" }}\ncommand = '{beat}'\n"
        ));
        let proxy = Proxy::before(cluster.redis().port, 1);
        cluster.give(0, "REDIS_URL", &proxy.url());
        cluster.misset_clock(0, clock);
        cluster.serve(0);
        cluster.trigger("beats");
        let beats = |cluster: &Cluster| std::fs::read_to_string(cluster.path("beats")).unwrap_or_default();
        until("the job runs", || beats(&cluster).lines().count() > 3);
        // Past a renewal, so that it is not the first lease that ends.
        sleep(2.0);
        cluster.serve(1);
        proxy.fault(fault);
        let began = Instant::now();
        until("it runs again", || beats(&cluster).contains('2'));
        say(&format!("a run whose replica is cut off ({fault:?}) went on elsewhere after {:?}", began.elapsed()));
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        sleep(1.0);
        proxy.heal();
        sleep(2.0);
        let written = beats(&cluster);
        assert!(written.lines().is_sorted(), "the first still ran beside the second: {written}");
        assert_eq!(written.lines().last(), Some("2"), "the first does not come back, nor end the second");
        assert!(cluster.cronclave(&["cancel", "beats"]).output().unwrap().status.success());
        cluster.stop();
        cluster.check();
    }
}

/// What is typed at one machine is done on the others at once, not when they next look by themselves.
#[test]
fn a_trigger_a_pause_and_a_cancel_act_at_once_on_all_replicas() {
    let mut cluster = Cluster::with_another_on_redis(&format!(
        "[jobs.yearly]\nschedule = \"@yearly\"\ncommand = '{SIGN}'\n\
         [jobs.long]\nschedule = \"@manual\"\ncommand = '{SIGN}; sleep 300'\n\
         [jobs.often]\nevery = \"1s\"\ncommand = '{SIGN}'\n"
    ));
    for index in 0..3 {
        cluster.serve(index);
    }
    let typed = |cluster: &Cluster, args: &[&str]| {
        let output = cluster.cronclave(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Instant::now()
    };
    let lines = |cluster: &Cluster, job: &str| cluster.ledger().iter().filter(|line| line.job == job).count();
    until("the replicas work", || lines(&cluster, "often") >= 3 && cluster.replicas().len() == 3);
    let soon = Duration::from_secs(8);
    for round in 1..=3 {
        let began = typed(&cluster, &["trigger", "yearly"]);
        until("the triggered job has run", || lines(&cluster, "yearly") == round);
        say(&format!("a triggered job ran {:?} after the command had ended", began.elapsed()));
        assert!(began.elapsed() < soon, "{:?}", began.elapsed());
    }
    typed(&cluster, &["trigger", "long"]);
    until("the long job runs", || lines(&cluster, "long") == 1);
    let began = typed(&cluster, &["cancel", "long"]);
    until("the long job is cancelled", || cluster.history("long")[0].state == State::Cancelled);
    say(&format!("a cancelled run ended {:?} after the command had", began.elapsed()));
    assert!(began.elapsed() < soon, "{:?}", began.elapsed());
    typed(&cluster, &["pause", "often", "--reason", "a try"]);
    sleep(0.5);
    let before = lines(&cluster, "often");
    sleep(3.0);
    assert_eq!(lines(&cluster, "often"), before, "a paused job does not start");
    let began = typed(&cluster, &["resume", "often"]);
    until("the resumed job runs", || lines(&cluster, "often") > before);
    say(&format!("a resumed job ran {:?} after the command had ended", began.elapsed()));
    assert!(began.elapsed() < soon, "{:?}", began.elapsed());
    cluster.stop();
    cluster.check();
}

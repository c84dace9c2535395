//! What only a store on a server can suffer: clocks that differ, a network that fails, a server that dies.

use std::time::{Duration, Instant};

use cronclave::clock::Clock;
use cronclave::ledger::State;
use rustix::process::Signal;

use super::cluster::{Cluster, SIGN, UNDER_FAULTS, duration, say, signal, until};
use super::load::{self, REPLICAS, Tally, disturb};
use super::proxy::{Fault, Proxy};

fn sleep(secs: f64) {
    std::thread::sleep(Duration::from_secs_f64(secs));
}

#[test]
fn replicas_whose_clocks_are_minutes_apart_start_nothing_twice_or_early_or_late() {
    let clocks = [("+300s", 300.0), ("-300s", -300.0), ("+1.5s", 1.5), ("-1.5s", -1.5), ("+0s", 0.0)];
    let mut cluster = Cluster::on_redis(&load::patient_jobs());
    for (index, (by, _)) in clocks.iter().enumerate() {
        cluster.misset_clock(index, by);
    }
    load::serve_all(&mut cluster);
    until("the replicas have their clocks as given", || {
        let replicas = cluster.replicas();
        let has = |index: usize, by: f64| {
            let name = format!("replica-{index}");
            replicas.iter().any(|replica| replica.name == name && (replica.clock_skew_seconds - by).abs() < 1.0)
        };
        clocks.iter().enumerate().all(|(index, (_, by))| has(index, *by))
    });
    let time = duration(UNDER_FAULTS);
    std::thread::sleep(time);
    cluster.stop();
    let tally = load::reckon(&cluster);
    say(&format!("clocks up to ten minutes apart: {tally}"));
    tally.lasted(time).all_ran().fair();
}

/// The same, with a proxy between each replica and Redis.
fn disturb_network(what: &str, mut turn: impl FnMut(&[Proxy])) -> Tally {
    let mut cluster = Cluster::on_redis(&load::patient_jobs());
    let port = cluster.redis().port;
    let proxies: Vec<Proxy> = (0..REPLICAS).map(|index| Proxy::before(port, index as u64)).collect();
    for (index, proxy) in proxies.iter().enumerate() {
        cluster.give(index, "REDIS_URL", &proxy.url());
    }
    load::serve_all(&mut cluster);
    let tally = disturb(what, &mut cluster, |_| turn(&proxies), || proxies.iter().for_each(Proxy::heal));
    let closed: usize = proxies.iter().map(Proxy::closed).sum();
    say(&format!("{what}: {closed} connections were closed"));
    tally
}

fn all(proxies: &[Proxy], fault: Fault) {
    proxies.iter().for_each(|proxy| proxy.fault(fault));
}

#[test]
fn connections_that_are_cut_every_second_cost_nothing() {
    let mut turns = 0;
    let tally = disturb_network("connections cut", |proxies| {
        sleep(1.0);
        turns += 1;
        match turns % 3 {
            0 => proxies.iter().for_each(Proxy::cut),
            _ => proxies[rand::random_range(0..proxies.len())].cut(),
        }
    });
    tally.all_ran();
}

#[test]
fn a_network_that_is_a_black_hole_for_five_seconds_only_makes_runs_late() {
    let mut turns = 0;
    let tally = disturb_network("black hole", |proxies| {
        turns += 1;
        // What was sent into it is lost, or comes out when nobody expects it any more.
        let fault = if turns % 2 == 0 { Fault::Swallow } else { Fault::Hold };
        // For all, or for some: the others go on without them.
        all(if turns % 4 < 2 { proxies } else { &proxies[..2] }, fault);
        sleep(5.0);
        all(proxies, Fault::None);
        sleep(3.0);
    });
    assert!(!tally.outcomes.contains_key(&State::Missed), "{tally}");
}

#[test]
fn a_round_trip_of_600_ms_only_makes_runs_late() {
    let tally = disturb_network("600 ms round trip", |proxies| {
        all(proxies, Fault::Delay(Duration::from_millis(300)));
        sleep(1.0);
    });
    tally.all_ran();
}

#[test]
fn requests_that_are_carried_out_but_not_answered_start_nothing_twice() {
    let tally = disturb_network("no answers", |proxies| {
        for (proxy, probability) in proxies.iter().zip([0.05, 0.08, 0.1, 0.15, 0.2]) {
            proxy.fault(Fault::Unanswered(probability));
        }
        sleep(1.0);
    });
    assert!(!tally.outcomes.contains_key(&State::Missed), "{tally}");
}

#[test]
fn a_server_that_is_killed_and_keeps_what_it_confirmed_costs_nothing() {
    let keeps = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut cluster = Cluster::on_redis_with(&load::patient_jobs(), &keeps);
    load::serve_all(&mut cluster);
    let tally = disturb(
        "server killed",
        &mut cluster,
        |cluster| {
            sleep(4.0);
            cluster.redis().kill();
            sleep(1.0);
            cluster.redis().start_again(&keeps);
        },
        || {},
    );
    assert!(!tally.outcomes.contains_key(&State::Missed), "{tally}");
}

#[test]
fn a_server_that_is_frozen_for_four_seconds_only_makes_runs_late() {
    let mut cluster = Cluster::on_redis(&load::patient_jobs());
    load::serve_all(&mut cluster);
    let tally = disturb(
        "server frozen",
        &mut cluster,
        |cluster| {
            sleep(4.0);
            signal(cluster.redis().pid(), Signal::STOP);
            sleep(4.0);
            signal(cluster.redis().pid(), Signal::CONT);
        },
        || {},
    );
    assert!(!tally.outcomes.contains_key(&State::Missed), "{tally}");
}

#[test]
fn replicas_frozen_past_their_leases_at_any_moment_start_nothing_twice() {
    let more = "overlap = \"queue_all\"\nmisfire = \"run_all\"\nlock = { ttl = \"2s\" }";
    let mut cluster = Cluster::on_redis(&load::jobs(0..load::JOBS, SIGN, more));
    let pids: Vec<i32> = (0..REPLICAS).map(|index| cluster.serve(index)).collect();
    let freeze = |_: &mut Cluster| {
        let frozen = [rand::random_range(0..2), rand::random_range(2..REPLICAS)].map(|index| pids[index]);
        // Shortly after everything came due, when they are busy.
        let micros = Clock::system().now().as_micros() % 1_000_000;
        sleep(1.0 - micros as f64 / 1e6 + rand::random_range(0.0..0.07));
        frozen.iter().for_each(|pid| signal(*pid, Signal::STOP));
        sleep(2.2);
        frozen.iter().for_each(|pid| signal(*pid, Signal::CONT));
    };
    let tally = disturb("replicas frozen", &mut cluster, freeze, || {});
    // What had started when its holder froze is lost, and said to be: nobody can know what it has done.
    assert!(!tally.outcomes.contains_key(&State::Missed), "{tally}");
}

#[test]
fn a_server_that_forgets_its_scripts_is_told_them_again() {
    let mut cluster = Cluster::on_redis(&load::patient_jobs());
    load::serve_all(&mut cluster);
    let forget = |cluster: &mut Cluster| {
        sleep(0.5);
        let () = cluster.redis().ask(&["SCRIPT", "FLUSH"]);
    };
    disturb("scripts flushed", &mut cluster, forget, || {}).all_ran();
}

/// Of code that writes a line ten times a second, none is left when the next attempt writes its first.
#[test]
fn a_replica_that_is_cut_off_ends_its_run_before_another_starts_it() {
    for (fault, clock) in [(Fault::Swallow, "-300s"), (Fault::Hold, "+300s")] {
        let beat = "unset LD_PRELOAD; trap \"\" TERM; while sleep 0.1; do echo $CRONCLAVE_ATTEMPT >> beats; done";
        let mut cluster = Cluster::on_redis(&format!(
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
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
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

#[test]
fn a_server_that_has_lost_everything_runs_nothing_again_and_fences_still_grow() {
    let mut cluster = Cluster::on_redis(&load::patient_jobs());
    load::serve_all(&mut cluster);
    for _ in 0..3 {
        sleep(4.0);
        cluster.redis().kill();
        cluster.redis().start_again(&[]);
    }
    load::caught_up(&cluster);
    cluster.stop();
    let mut ledger = cluster.ledger();
    ledger.sort_by_key(|line| (line.job.clone(), line.at));
    say(&format!("server wiped three times: {} starts", ledger.len()));
    for pair in ledger.windows(2).filter(|pair| pair[0].job == pair[1].job) {
        assert!(pair[0].scheduled < pair[1].scheduled, "run again: {pair:?}");
        assert!(pair[0].fence < pair[1].fence, "a fence went back: {pair:?}");
    }
}

/// What is typed at one machine is done on the others at once, not when they next look by themselves.
#[test]
fn a_trigger_a_pause_and_a_cancel_act_at_once_on_all_replicas() {
    let mut cluster = Cluster::on_redis(&format!(
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
    let soon = Duration::from_secs(2);
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

//! `cronclave::testing`: what tests of other programs live through is what clusters do.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronclave::testing::Cluster;
use cronclave::{Context, Fence, RunId, State};
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// One job with a handler, and more settings.
fn hourly(more: &str) -> Cluster {
    Cluster::new(&format!("version = 1\n[jobs.hourly]\nschedule = \"0 * * * *\"\nhandler = \"work\"\n{more}")).unwrap()
}

#[test]
fn a_year_of_a_daily_job_has_one_run_a_day_over_both_changes_of_clocks() {
    let mut beside = std::env::current_exe().unwrap();
    beside.pop();
    let example = beside.parent().unwrap().join("examples/testing");
    assert!(example.exists(), "{} is missing: cargo build --examples", example.display());
    assert!(std::process::Command::new(example).status().unwrap().success());
}

#[test]
fn what_a_handler_sleeps_is_the_length_of_its_run() {
    let mut cluster = hourly("").handler("work", async |_: Context| {
        sleep(Duration::from_millis(90_500)).await;
        Ok::<(), String>(())
    });
    let runs = cluster.advance(DAY);
    assert_eq!(runs.succeeded("hourly"), 23, "{runs}");
    for run in runs.iter() {
        let (began, ended) = (run.started_at.unwrap(), run.finished_at.unwrap());
        assert_eq!((began, ended.since(began)), (run.scheduled_at, Duration::from_millis(90_500)));
    }
}

#[test]
fn a_handler_sees_what_it_would_see_in_a_cluster() {
    let seen = Arc::<Mutex<Vec<(String, u32, Fence, RunId, u64)>>>::default();
    let keep = seen.clone();
    let mut cluster = hourly("args = { by = 2 }\nretry = { attempts = 3, initial = \"1m\", jitter = 0 }\n").handler(
        "work",
        move |context: Context| {
            let by = context.args["by"].as_u64().unwrap();
            let one = (context.scheduled_at().to_string(), context.attempt(), context.fence(), context.run_id(), by);
            keep.lock().unwrap().push(one);
            async move { if context.attempt() < 3 { Err("not yet") } else { Ok(()) } }
        },
    );
    let runs = cluster.advance(HOUR + HOUR / 2);
    assert_eq!(runs.succeeded("hourly"), 1, "{runs}");
    assert_eq!(runs.of("hourly")[0].attempts, 3);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(
        seen.iter().map(|one| (one.0.as_str(), one.1)).collect::<Vec<_>>(),
        [1, 2, 3].map(|n| ("2026-01-01T01:00:00Z", n))
    );
    assert!(seen.is_sorted_by(|one, next| one.2 < next.2 && one.3 == next.3), "larger fences, the same run");
    assert!(seen.iter().all(|one| one.4 == 2));
}

#[test]
fn a_handler_that_never_ends_is_told_to_after_its_timeout() {
    let mut cluster = hourly("timeout = \"10m\"\n").handler("work", async |context: Context| {
        let began = Instant::now();
        context.cancelled.cancelled().await;
        context.print(format!("after {:?}", began.elapsed())).await;
        Ok::<(), String>(())
    });
    let runs = cluster.advance(HOUR * 3);
    assert_eq!(runs.count("hourly", &[State::TimedOut]), 2, "{runs}");
    let first = runs.of("hourly")[0];
    assert_eq!(
        (runs.printed(first), first.message.as_deref()),
        ("after 600s\n", Some("stopped after its timeout of 600s"))
    );
    assert_eq!(runs.failed("hourly"), 2);
}

#[test]
fn the_lease_of_a_handler_that_goes_on_is_renewed() {
    let mut cluster = hourly("").handler("work", async |context: Context| {
        for _ in 0..20 {
            sleep(MINUTE).await;
            if context.remaining().is_zero() {
                return Err("the lease ended");
            }
        }
        Ok(())
    });
    assert_eq!(cluster.advance(HOUR * 3).succeeded("hourly"), 2);
}

#[test]
fn an_outage_interrupts_a_handler_after_the_grace_and_what_follows_does_not_happen() {
    let (told, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (told.clone(), done.clone());
    let mut cluster = hourly("").outage("2026-01-01T02:10:00Z", HOUR / 2).handler("work", move |context: Context| {
        let (told, done) = counted.clone();
        async move {
            tokio::select! {
                () = sleep(MINUTE * 20) => done.fetch_add(1, Ordering::Relaxed),
                () = context.cancelled.cancelled() => told.fetch_add(1, Ordering::Relaxed),
            };
            Ok::<(), String>(())
        }
    });
    let runs = cluster.advance(HOUR * 4);
    assert_eq!(runs.count("hourly", &[State::Interrupted]), 1, "{runs}");
    assert_eq!((told.load(Ordering::Relaxed), done.load(Ordering::Relaxed)), (1, 2));
    assert_eq!(runs.of("hourly")[1].finished_at.unwrap().to_string(), "2026-01-01T02:10:25Z");
}

#[test]
fn replicas_that_die_lose_runs_and_no_two_starts_share_a_fence() {
    let fences = Arc::<Mutex<Vec<Fence>>>::default();
    let keep = fences.clone();
    let mut cluster = hourly("").replicas(3).seed(3).kills(0.3).handler("work", move |context: Context| {
        keep.lock().unwrap().push(context.fence());
        async { Ok::<(), String>(()) }
    });
    let runs = cluster.advance(DAY * 10);
    let lost = runs.count("hourly", &[State::Lost]);
    assert!(lost > 20 && runs.succeeded("hourly") > 100, "{runs}");
    let fences = fences.lock().unwrap().clone();
    assert_eq!(fences.iter().collect::<BTreeSet<_>>().len(), fences.len());
    assert!(fences.is_sorted());
    let begun = u64::try_from(fences.len()).unwrap();
    assert!(begun > runs.succeeded("hourly"), "some did all and left no record");
    assert!(begun < runs.succeeded("hourly") + lost, "some did nothing");
}

#[test]
fn the_same_seed_makes_the_same_and_another_does_not() {
    let lived = |seed| {
        let cluster = hourly("retry = { attempts = 3, initial = \"1m\" }\n").replicas(3).seed(seed);
        let mut cluster = cluster.kills(0.1).fails("hourly", 0.3).handler("work", async |_: Context| {
            sleep(MINUTE).await;
            Ok::<(), String>(())
        });
        cluster.advance(DAY * 7).to_string()
    };
    assert_eq!(lived(1), lived(1));
    assert_ne!(lived(1), lived(2));
}

#[test]
fn a_panic_fails_its_run_alone() {
    let mut cluster = hourly("").handler("work", async |context: Context| {
        assert!(context.scheduled_at().to_string() != "2026-01-01T02:00:00Z", "not at two");
        Ok::<(), String>(())
    });
    let runs = cluster.advance(HOUR * 4);
    assert_eq!((runs.succeeded("hourly"), runs.failed("hourly")), (2, 1), "{runs}");
    assert_eq!(runs.of("hourly")[1].message.as_deref(), Some("handler panicked: not at two"));
}

#[test]
fn time_may_pass_in_pieces_and_a_run_is_seen_going_before_it_is_over() {
    let mut cluster = hourly("").handler("work", async |_: Context| {
        sleep(MINUTE * 20).await;
        Ok::<(), String>(())
    });
    let early = cluster.advance(HOUR + MINUTE);
    assert_eq!(early.count("hourly", &[State::Running]), 1, "{early}");
    assert_eq!(cluster.advance(MINUTE * 30).succeeded("hourly"), 1);
    assert_eq!(cluster.advance(MINUTE).iter().count(), 0, "it was told before");
    assert_eq!(cluster.runs().succeeded("hourly"), 1);
}

#[test]
fn runs_of_handlers_that_overlap_meet_their_policy() {
    let of = |overlap: &str| {
        let more = format!("overlap = \"{overlap}\"\ntimeout = \"5h\"\n");
        let mut cluster = hourly(&more).handler("work", async |_: Context| {
            sleep(MINUTE * 90).await;
            Ok::<(), String>(())
        });
        let runs = cluster.advance(HOUR * 12);
        (runs.succeeded("hourly"), runs.passed_over("hourly"), runs.count("hourly", &[State::Cancelled]))
    };
    assert_eq!(of("skip"), (5, 5, 0));
    assert_eq!(of("allow"), (10, 0, 0));
    assert_eq!(of("replace"), (0, 0, 10));
}

#[tokio::test]
async fn it_lives_within_a_test_that_has_a_runtime_of_its_own() {
    let mut cluster = hourly("").handler("work", async |_: Context| {
        sleep(MINUTE).await;
        Ok::<(), String>(())
    });
    assert_eq!(cluster.advance(DAY).succeeded("hourly"), 23);
}

#[test]
#[should_panic(expected = "`hourly`")]
fn a_job_that_there_is_not_is_told_with_the_nearest_name() {
    let mut cluster = hourly("").takes("hourly", MINUTE);
    let _ = cluster.advance(DAY).succeeded("hourli");
}

#[test]
#[should_panic(expected = "job `hourly`: there is no handler `work`; is it `worker`?")]
fn a_handler_that_was_not_registered_is_told_before_time_passes() {
    hourly("").handler("worker", async |_: Context| Ok::<(), String>(())).advance(DAY);
}

#[test]
#[should_panic(expected = "time has passed already")]
fn nothing_is_set_up_once_time_has_passed() {
    let mut cluster = hourly("").takes("hourly", MINUTE);
    cluster.advance(DAY);
    let _ = cluster.seed(2);
}

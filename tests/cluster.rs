//! Whole clusters, simulated: real replicas over one store, under everything that can go wrong,
//! in virtual time. Each world follows from one number.
//!
//! `SIM_SEED=7 cargo test --test cluster` lives through one again; `SIM_SEEDS=100000` through many.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]

#[path = "cluster/code.rs"]
mod code;
#[path = "cluster/failover.rs"]
mod failover;
#[path = "cluster/faulty.rs"]
mod faulty;
#[path = "common/invariants.rs"]
mod invariants;
#[path = "common/jobs.rs"]
mod jobs;
#[path = "cluster/post.rs"]
mod post;
#[path = "cluster/world.rs"]
mod world;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use cronclave::ledger::What;
use invariants::Evidence;

const SEEDS: u64 = 2_000;

thread_local! {
    static SIMULATING: Cell<bool> = const { Cell::new(false) };
    /// The first panic of the simulation, wherever it was: one in a task is noticed by nobody else.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

#[allow(clippy::disallowed_methods, reason = "what to simulate is not configuration")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What happened in the world of `seed`.
fn simulate(seed: u64, forgetful: bool) -> Result<Evidence, String> {
    SIMULATING.set(true);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(world::live(seed, forgetful))));
    drop(runtime);
    SIMULATING.set(false);
    match (PANIC.with(|panic| panic.borrow_mut().take()), lived) {
        (None, Ok(evidence)) => Ok(evidence),
        (panic, _) => Err(panic.unwrap_or_default()),
    }
}

fn watch_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match SIMULATING.get() {
            true => PANIC.with(|panic| _ = panic.borrow_mut().get_or_insert_with(|| info.to_string())),
            false => usual(info),
        }));
    });
}

#[test]
fn clusters_keep_their_promises_whatever_happens() {
    watch_for_panics();
    let (first, end) = match number("SIM_SEED") {
        Some(seed) => (seed, seed + 1),
        None => (0, number("SIM_SEEDS").unwrap_or(SEEDS)),
    };
    let begun = Instant::now();
    let next = AtomicU64::new(first);
    let (starts, failed) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::SeqCst);
        if seed >= end.min(failed.load(Ordering::SeqCst)) {
            return;
        }
        match simulate(seed, false) {
            Ok(evidence) => {
                let begun = evidence.events.iter().filter(|(_, event)| matches!(event.what, What::Started { .. }));
                starts.fetch_add(begun.count() as u64, Ordering::SeqCst);
            }
            Err(why) => {
                eprintln!("SIM_SEED={seed}\n{why}");
                failed.fetch_min(seed, Ordering::SeqCst);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let (count, elapsed, failed) = (end - first, begun.elapsed(), failed.into_inner());
    println!("{count} worlds, {starts:?} starts, {elapsed:.1?}, {:.0} worlds/s", count as f64 / elapsed.as_secs_f64());
    assert_eq!(failed, u64::MAX, "the world of SIM_SEED={failed} broke a promise; see above");
}

#[test]
fn one_number_makes_one_world() {
    watch_for_panics();
    for seed in 0..20 {
        let (one, two) = (simulate(seed, false).unwrap(), simulate(seed, false).unwrap());
        assert!(one.events.len() > 10, "nothing happens in the world of {seed}");
        let parted = one.events.iter().zip(&two.events).find(|(one, two)| one != two);
        assert_eq!(parted, None, "SIM_SEED={seed}: two worlds");
        assert_eq!(one.events.len(), two.events.len(), "SIM_SEED={seed}");
        assert_eq!(one.ran, two.ran, "SIM_SEED={seed}");
    }
}

#[test]
fn where_nobody_gives_back_what_a_server_lost_promises_are_broken() {
    watch_for_panics();
    let broken = (0..200).filter_map(|seed| simulate(seed, true).err());
    let twice = broken.filter(|why| {
        why.contains("code runs once for each start on record") || why.contains("runs of one job do not overlap")
    });
    assert!(twice.count() > 0, "the simulation does not see it");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_slept_through_its_lease_between_commit_and_start_runs_nothing() {
    let ran = world::sleep_at_the_start(std::time::Duration::from_secs(7)).await;
    assert!(ran.is_empty(), "{ran:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_slept_a_little_between_commit_and_start_renews_first_and_runs() {
    let ran = world::sleep_at_the_start(std::time::Duration::from_secs(5)).await;
    assert_eq!(ran.len(), 1);
}

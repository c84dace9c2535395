//! How steady the machine is: the same work again and again, on each core at once, and timers of 1 ms. What the other
//! benchmarks say differs by as much from run to run, whatever they measure.
//!
//!     cargo bench --bench noise
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

#[path = "common/figures.rs"]
mod figures;

use std::hint::black_box;
use std::time::{Duration, Instant};

fn main() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let rounds = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(|| (0..40).map(|_| work()).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    spread("work on each core", rounds);
    spread("timers of 1 ms", (0..1000).map(|_| timer()).collect());
}

fn spread(case: &str, mut all: Vec<f64>) {
    all.sort_by(f64::total_cmp);
    let at = |share: f64| all[((all.len() as f64 - 1.0) * share) as usize];
    figures::tell("noise", case, &[("p50_ms", at(0.5)), ("p99_ms", at(0.99)), ("slowest_ratio", at(1.0) / at(0.0))]);
}

fn work() -> f64 {
    let began = Instant::now();
    let mut sum = 0u64;
    for n in 0..40_000_000u64 {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(n));
    }
    black_box(sum);
    figures::ms(began.elapsed())
}

fn timer() -> f64 {
    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(1));
    figures::ms(began.elapsed())
}

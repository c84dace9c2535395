//! Whether the loop turns, looked at from outside it: by a thread of its own, which no task can block.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::own_time::slept;
use super::words::about;
use crate::check::Check;
use crate::event::Bus;
use crate::measure::Measure;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// The loop turns at least each 5 s: one that has not for so long is stuck.
pub const STUCK: Duration = Duration::from_secs(10);

/// A look that comes so late did not come late by chance.
const STOPPED: Duration = Duration::from_secs(5);

/// What is over is shown for so long.
const SHOWN: Duration = Duration::from_secs(60);

/// The loop's side. The thread ends with it.
pub(super) struct Watchdog {
    turns: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<Thread>,
}

impl Watchdog {
    /// Looks from now on.
    pub(super) fn begin(bus: Bus) -> Watchdog {
        let (turns, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (seen, end) = (turns.clone(), over.clone());
        let watch = move || {
            let mut watch = Watch::begin(bus, slept());
            while !end.load(Ordering::Relaxed) {
                thread::park_timeout(LOOK);
                watch.look(seen.load(Ordering::Relaxed), Instant::now(), slept());
            }
        };
        // Without it the replica does all the same.
        let spawned = thread::Builder::new().name("cronclave-watch".into()).spawn(watch);
        Watchdog { turns, over, thread: spawned.ok().map(|handle| handle.thread().clone()) }
    }

    /// The loop turned.
    pub(super) fn turned(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }
}

impl Watchdog {
    /// From now on the loop need not turn.
    pub(super) fn rest(&self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.rest();
    }
}

/// The thread's side.
struct Watch {
    bus: Bus,
    looked: Instant,
    slept: Duration,
    turns: u64,
    /// When the loop was last seen to have turned.
    turned: Instant,
    /// How much of its standing still was counted.
    counted: Duration,
    stuck: bool,
    /// When what is told now was over.
    over: Option<Instant>,
}

impl Watch {
    fn begin(bus: Bus, slept: Duration) -> Watch {
        let now = Instant::now();
        Watch { bus, looked: now, slept, turns: 0, turned: now, counted: Duration::ZERO, stuck: false, over: None }
    }

    fn look(&mut self, turns: u64, now: Instant, slept: Duration) {
        let late = now.saturating_duration_since(self.looked).saturating_sub(LOOK);
        let asleep = slept.saturating_sub(self.slept);
        (self.looked, self.slept) = (now, slept);
        if late > STOPPED || asleep > STOPPED {
            // What the others do meanwhile is theirs: each lease is looked at before anything goes on under it.
            let text = if asleep > STOPPED {
                format!("this machine slept for {}", about(asleep))
            } else {
                format!("this process was stopped for {}, or was given no processor time", about(late))
            };
            self.bus.measure(Measure::Stalled(late + asleep));
            self.bus.fail(Check::Stalled, text + ": runs whose leases ended meanwhile may go on elsewhere");
            self.over = Some(now);
            (self.turned, self.counted) = (now, Duration::ZERO);
        }
        if turns != self.turns {
            if self.stuck {
                self.over = Some(now);
            }
            (self.turns, self.turned, self.counted, self.stuck) = (turns, now, Duration::ZERO, false);
        }
        let still = now.saturating_duration_since(self.turned);
        if still > STUCK {
            self.bus.measure(Measure::Stalled(still.saturating_sub(self.counted)));
            self.counted = still;
            if !self.stuck {
                (self.stuck, self.over) = (true, None);
                let text = format!(
                    "the scheduler's loop has not turned for {}: something blocks this process's threads. Nothing new \
                     starts here until it goes on; what runs keeps to its leases",
                    about(still)
                );
                // Whoever writes the log may be blocked as well.
                let _ = writeln!(std::io::stderr(), "{text}");
                self.bus.fail(Check::Stalled, text);
            }
        }
        if self.over.is_some_and(|over| now.saturating_duration_since(over) > SHOWN) {
            self.over = None;
            self.bus.mend(Check::Stalled, "this process has been going on for a minute");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Told;

    /// A watch that has looked once, the moment it did, and what is told from then on.
    fn bench() -> (Watch, Instant, impl FnMut() -> Vec<String>) {
        let bus = Bus::default();
        let mut told = bus.listen();
        let heard = move || {
            std::iter::from_fn(|| told.try_recv().ok())
                .map(|told| match &*told {
                    Told::Failing(_, text) => text.clone(),
                    Told::Mended(..) => "mended".to_owned(),
                    _ => "else".to_owned(),
                })
                .collect()
        };
        let watch = Watch::begin(bus, Duration::ZERO);
        let began = watch.looked;
        (watch, began, heard)
    }

    #[test]
    fn a_process_that_was_stopped_says_for_how_long_and_that_it_is_over() {
        let (mut watch, began, mut heard) = bench();
        let mut at = began + LOOK;
        watch.look(1, at, Duration::ZERO);
        at += Duration::from_secs(42) + LOOK;
        watch.look(1, at, Duration::ZERO);
        let told = heard();
        assert!(told.len() == 1 && told[0].contains("stopped for 42s"), "{told:?}");
        for turn in 0..150 {
            at += LOOK;
            watch.look(2 + turn / 2, at, Duration::ZERO);
        }
        assert_eq!(heard(), ["mended"]);
    }

    #[test]
    fn a_machine_that_slept_is_told_from_a_process_that_was_stopped() {
        let (mut watch, began, mut heard) = bench();
        watch.look(1, began + LOOK, Duration::from_secs(3600));
        let told = heard();
        assert!(told.len() == 1 && told[0].contains("slept for 1h"), "{told:?}");
    }

    #[test]
    fn a_loop_that_does_not_turn_is_told_once() {
        let (mut watch, began, mut heard) = bench();
        let mut at = began;
        for _ in 0..60 {
            at += LOOK;
            watch.look(7, at, Duration::ZERO);
        }
        let told = heard();
        assert!(told.len() == 1 && told[0].contains("has not turned for"), "{told:?}");
        for turn in 8..150 {
            at += LOOK;
            watch.look(turn, at, Duration::ZERO);
        }
        assert_eq!(heard(), ["mended"]);
    }
}

//! Whether the store's clock can be believed: [`Trust`], pure, from what each heartbeat saw.
//!
//! A replica compares how far the store's clock went between two heartbeats with how far its own time went, which no one
//! can set: a clock that went a minute further was set, and may be wrong. And it compares the store's clock with the wall
//! clocks of the replicas, which may all say that it is ahead. While in doubt, it goes by the earlier of the two.

use std::time::Duration;

use crate::clock::Timestamp;

/// What one heartbeat saw.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The store's clock, read at some moment between asking and the answer.
    pub(super) store: Timestamp,
    /// Our own time when it was asked: since any fixed moment, what the machine slept counted.
    pub(super) asked: Duration,
    /// The same when the answer came.
    pub(super) answered: Duration,
    /// Our wall clock when the answer came.
    pub(super) own: Timestamp,
    /// By how many microseconds at least the wall clocks of the other live replicas are ahead of the store's, as each last
    /// said. Not of those that doubt the store's clock themselves while their own went along with it.
    pub(super) others: Vec<i64>,
}

/// What is thought of the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Verdict {
    /// It goes as it should.
    #[default]
    Right,
    /// It is ahead by so much: set forward.
    SetForward(Duration),
    /// It was set back by so much, or stands still.
    SetBack(Duration),
    /// By so much it is ahead of the wall clocks of the first number of replicas out of the second.
    AheadOf(Duration, usize, usize),
    /// The same, behind.
    Behind(Duration, usize, usize),
}

/// The store's clock at a moment of our own time.
#[derive(Debug, Clone, Copy)]
struct Base {
    store: Timestamp,
    at: Duration,
    own: Timestamp,
    /// How much later than that the store's clock may have read at that moment.
    slack: Duration,
}

/// The store's clock since it was last found to go wrong.
#[derive(Debug, Clone, Copy)]
struct Off {
    /// Since when it goes steadily again, from whatever it was set to.
    steady: Duration,
    /// Our own wall clock went along: the two are one clock, and it says nothing about itself.
    along: bool,
    last: Base,
}

/// What is known of the store's clock.
#[derive(Debug, Default)]
pub(super) struct Trust {
    base: Option<Base>,
    off: Option<Off>,
    verdict: Verdict,
}

/// Clocks that differ by less are in step.
const STEP: i64 = 1_000_000;

/// A clock that is off by more is in doubt.
pub(super) const FAR: Duration = Duration::from_secs(60);
const FAR_MICROS: i64 = 60_000_000;

/// What the others say of their clocks is of before a step for up to two heartbeats.
const FRESH: Duration = Duration::from_secs(15);

/// With one clock in all nobody can say whether it was set wrong or right. If it is left so for this long, it is right.
pub(super) const SETTLED: Duration = Duration::from_secs(600);

impl Trust {
    /// Until a heartbeat was answered our own wall clock is all there is to compare with.
    pub(super) fn new(own: Timestamp, at: Duration) -> Trust {
        let base = Base { store: own, at, own, slack: Duration::ZERO };
        Trust { base: None, off: None, verdict: Verdict::Right }.begun(base)
    }

    fn begun(mut self, base: Base) -> Trust {
        // Not a heartbeat's: the first of those replaces it without comparing.
        self.off = None;
        self.base = Some(Base { slack: Duration::MAX, ..base });
        self
    }

    /// What time it is, as far as that is believed, when the store's clock reads `store` at our own time `at`.
    pub(super) fn believe(&self, store: Timestamp, at: Duration) -> Timestamp {
        let in_step = match self.expected(at) {
            Some(expected) if micros(store, expected) > FAR_MICROS => expected,
            _ => store,
        };
        match self.verdict {
            Verdict::AheadOf(by, ..) => in_step.minus(by),
            _ => in_step,
        }
    }

    /// What the store's clock should read.
    fn expected(&self, at: Duration) -> Option<Timestamp> {
        self.base.map(|base| base.store.plus(at.saturating_sub(base.at)))
    }

    /// What was thought of it last.
    pub(super) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether our own wall clock went wrong along with the store's: on one machine they are one clock.
    pub(super) fn went_along(&self) -> bool {
        self.off.is_some_and(|off| off.along)
    }

    /// Takes in what a heartbeat saw.
    pub(super) fn take(&mut self, seen: &Seen) -> Verdict {
        let now = Base {
            store: seen.store,
            at: seen.answered,
            own: seen.own,
            slack: seen.answered.saturating_sub(seen.asked),
        };
        let stepped = match self.base.filter(|base| base.slack != Duration::MAX) {
            None => {
                self.base = Some(now);
                Verdict::Right
            }
            Some(base) => self.compare(base, now, seen),
        };
        self.verdict = if stepped == Verdict::Right { by_wall_clocks(seen) } else { stepped };
        self.verdict
    }

    /// Compares how far the store's clock went with how far our own time did.
    fn compare(&mut self, base: Base, now: Base, seen: &Seen) -> Verdict {
        let drift = drift(base, now);
        if drift.abs() <= STEP {
            return self.settle(now);
        }
        let along = (micros(now.own, base.own) - length(now.at.saturating_sub(base.at)) - drift).abs() <= 2 * STEP;
        let off = match self.off.take() {
            Some(off) if self::drift(off.last, now).abs() <= STEP => {
                Off { along: off.along || along, last: now, ..off }
            }
            before => Off { steady: now.at, along: along || before.is_some_and(|off| off.along), last: now },
        };
        self.off = Some(off);
        let steady = now.at.saturating_sub(off.steady);
        let agrees = |skew: i64| skew.abs() <= FAR_MICROS;
        let own = !off.along && agrees(micros(seen.own, seen.store));
        let others = seen.others.iter().filter(|skew| agrees(**skew)).count();
        let most = steady >= FRESH && others * 2 > seen.others.len() && others > 0;
        let is_far = drift.abs() > FAR_MICROS;
        // A small step forward is followed. A small one back only once the clock goes on, lest one that stands still is overlooked.
        let is_over = if is_far { own || most || off.along && steady >= SETTLED } else { drift > 0 || steady >= FAR };
        match (is_over, is_far) {
            (true, _) => self.settle(now),
            (false, false) => Verdict::Right,
            (false, true) if drift > 0 => Verdict::SetForward(span(drift)),
            (false, true) => Verdict::SetBack(span(drift)),
        }
    }

    fn settle(&mut self, now: Base) -> Verdict {
        // An answer that took long says little about when the clock read that.
        if now.slack <= Duration::from_secs(1) || self.off.is_some() {
            self.base = Some(now);
        }
        self.off = None;
        Verdict::Right
    }
}

/// What the wall clocks of most replicas say, ours among them.
fn by_wall_clocks(seen: &Seen) -> Verdict {
    // The store read its clock after it was asked: the answer's way must not make ours look later than it is, or a job
    // would start that much early.
    let asked = seen.own.minus(seen.answered.saturating_sub(seen.asked));
    of_skews(seen.others.iter().copied().chain([micros(asked, seen.store)]).collect())
}

/// What it comes to that wall clocks are ahead of the store's by so many microseconds each.
fn of_skews(mut all: Vec<i64>) -> Verdict {
    all.sort_unstable();
    // More than half of them are at least so far off.
    let (behind, ahead) = (all[all.len() / 2], all[(all.len() - 1) / 2]);
    if behind < -FAR_MICROS {
        let count = all.iter().filter(|skew| **skew < -FAR_MICROS).count();
        Verdict::AheadOf(span(behind), count, all.len())
    } else if ahead > FAR_MICROS {
        let count = all.iter().filter(|skew| **skew > FAR_MICROS).count();
        Verdict::Behind(span(ahead), count, all.len())
    } else {
        Verdict::Right
    }
}

/// By how much the store's clock is held to be ahead when the wall clocks of all replicas are ahead of it by so many
/// microseconds each: everything begins so much later then.
pub(crate) fn held_ahead(skews: &[i64]) -> Duration {
    match of_skews(skews.to_vec()) {
        Verdict::AheadOf(by, ..) => by,
        _ => Duration::ZERO,
    }
}

/// By how much the store's clock went further than our own time from `base` to `now`, at least; 0 when it may be nothing.
fn drift(base: Base, now: Base) -> i64 {
    let least = micros(now.store, base.store) - length(now.at.saturating_sub(base.at)) - length(base.slack);
    let most = least + length(base.slack) + length(now.slack);
    match (least > 0, most < 0) {
        (true, _) => least,
        (_, true) => most,
        _ => 0,
    }
}

/// From the second to the first.
fn micros(later: Timestamp, earlier: Timestamp) -> i64 {
    later.as_micros().saturating_sub(earlier.as_micros())
}

fn length(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4)
}

fn span(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;

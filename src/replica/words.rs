//! What is said about clocks.

use std::time::Duration;

use super::trust::{FAR, SETTLED, Seen, Verdict};
use crate::check::Check;
use crate::event::Bus;
use crate::schedule::brief;

/// A wall clock that is off by more is told.
const SKEW: Duration = Duration::from_secs(1);

/// Says what is thought of the store's clock, when that is another thing than before.
pub(super) fn tell(bus: &Bus, before: Verdict, now: Verdict, along: bool) {
    if std::mem::discriminant(&before) == std::mem::discriminant(&now) {
        return;
    }
    let hold = "nothing starts that is not due by the time that has really passed";
    let text = match now {
        Verdict::Right => return bus.mend(Check::StoreClock, "the store's clock is believed again"),
        Verdict::SetForward(by) if along => format!(
            "the store's clock and this machine's went {} forward at once: {hold}, until the clock is set back or has been \
             left so for {}",
            about(by),
            about(SETTLED)
        ),
        Verdict::SetForward(by) => format!(
            "the store's clock was set {} forward: {hold}, until it is set back or the clocks of the replicas agree with it",
            about(by)
        ),
        Verdict::SetBack(by) => format!(
            "the store's clock was set back, or stands still: it is {} behind the time that has really passed. What comes \
             due starts so much later, unless the clock is set right",
            about(by)
        ),
        Verdict::AheadOf(by, count, all) => format!(
            "the store's clock is {} ahead of {count} of {all} replicas: occurrences wait for the clocks of the replicas, \
             until the clock that is wrong is set right",
            about(by)
        ),
        Verdict::Behind(by, count, all) => format!(
            "the store's clock is {} behind {count} of {all} replicas: what comes due starts so much later, unless the \
             clock that is wrong is set right",
            about(by)
        ),
    };
    bus.fail(Check::StoreClock, text);
}

/// Says that this machine's clock is off. Not while it is the store's that is in doubt.
pub(super) fn tell_skew(bus: &Bus, seen: &Seen, verdict: Verdict) {
    let by = seen.own.since(seen.store).max(seen.store.since(seen.own));
    // Half of it is time that the answer took.
    let by = by.saturating_sub(seen.answered.saturating_sub(seen.asked));
    let is_failing = bus.checks().failing().contains_key(&Check::ClockSkew);
    if verdict != Verdict::Right {
        bus.mend(Check::ClockSkew, "it is the store's clock that is in doubt");
    } else if by <= SKEW / 2 {
        bus.mend(Check::ClockSkew, "this machine's clock agrees with the store's");
    } else if by > SKEW && !is_failing {
        let side = if seen.own > seen.store { "ahead of" } else { "behind" };
        let how = if by > FAR { "far off" } else { "off" };
        bus.fail(
            Check::ClockSkew,
            format!(
                "this machine's clock is {how}: {} {side} the store's. Nothing starts early or twice because of it, but \
                 times in logs are wrong: is NTP running?",
                about(by)
            ),
        );
    }
}

/// Whole seconds, but at least one.
pub(super) fn about(span: Duration) -> String {
    brief(span.as_secs_f64().round().max(1.0) as u64)
}

/// That jobs have been late for a while.
pub(super) fn lag(late: Duration, waiting: usize, why: &str) -> String {
    let verb = if waiting == 1 { "job waits" } else { "jobs wait" };
    format!("what is due is {:.1} s late, half of the time at least: {waiting} {verb}. {why}", late.as_secs_f64())
}

/// What that comes of, as far as can be told.
pub(super) fn why_late(for_places: bool, places: usize, round_trip: Duration, in_looks: bool) -> String {
    if for_places {
        return format!("All {places} places are taken (--max-parallel): allow more, or start another replica");
    }
    if round_trip > Duration::from_millis(500) || in_looks {
        return format!("The store is slow: it took {:.2} s for the last heartbeat", round_trip.as_secs_f64());
    }
    format!(
        "The store answers within {:.0} ms, so this process gets too little processor time",
        round_trip.as_secs_f64() * 1000.0
    )
}

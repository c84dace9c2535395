//! The largest of what was lately measured: whoever looks each quarter of a minute shall see what was between.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Half of the time that counts as lately.
const HALF: Duration = Duration::from_secs(60);

/// The largest of the last one to two minutes.
#[derive(Debug, Default)]
pub(super) struct Peak(Mutex<Halves>);

#[derive(Debug, Default)]
struct Halves {
    since: Option<Instant>,
    before: Duration,
    now: Duration,
}

impl Peak {
    pub(super) fn take(&self, measured: Duration) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.turn();
        halves.now = halves.now.max(measured);
    }

    pub(super) fn read(&self) -> Duration {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.turn();
        halves.before.max(halves.now)
    }
}

impl Halves {
    fn turn(&mut self) {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < HALF {
            return;
        }
        let kept = if since.elapsed() < HALF * 2 { self.now } else { Duration::ZERO };
        *self = Halves { since: Some(Instant::now()), before: kept, now: Duration::ZERO };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peak_is_seen_for_a_minute_and_forgotten_after_two() {
        let peak = Peak::default();
        peak.take(Duration::from_secs(3));
        peak.take(Duration::from_secs(1));
        tokio::time::advance(HALF).await;
        assert_eq!(peak.read(), Duration::from_secs(3));
        tokio::time::advance(HALF).await;
        assert_eq!(peak.read(), Duration::ZERO);
        peak.take(Duration::from_secs(2));
        tokio::time::advance(HALF * 5).await;
        assert_eq!(peak.read(), Duration::ZERO);
    }
}

//! How late jobs are looked at, or get a place to run in; and since when that is too late.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// So long is looked back.
const SPAN: usize = 30;

/// Half of the time later than this is too late.
const LATE: Duration = Duration::from_secs(2);

/// Half of the time earlier than this is well again.
const WELL: Duration = Duration::from_secs(1);

const SECOND: Duration = Duration::from_secs(1);

/// The lateness of the last half minute, second by second.
pub(super) struct Lag {
    /// The worst of each second, the newest last.
    seconds: VecDeque<Duration>,
    /// When the last of them was taken.
    taken: Instant,
    /// The worst since.
    worst: Duration,
    late: bool,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Began(Duration),
    Ended,
}

impl Lag {
    pub(super) fn new() -> Lag {
        Lag { seconds: VecDeque::new(), taken: Instant::now(), worst: Duration::ZERO, late: false }
    }

    /// Something was so late. Whether a second has passed, so that it is to be reckoned.
    pub(super) fn note(&mut self, late: Duration) -> bool {
        self.worst = self.worst.max(late);
        self.taken.elapsed() >= SECOND
    }

    /// The worst since this was last asked. Of seconds that went by unseen, what is late by now was less late.
    pub(super) fn reckon(&mut self) -> (Duration, Option<Turn>) {
        let passed = self.taken.elapsed().as_secs().min(SPAN as u64);
        let worst = std::mem::take(&mut self.worst);
        for ago in (0..passed).rev() {
            self.seconds.push_back(worst.saturating_sub(SECOND * u32::try_from(ago).unwrap_or(0)));
        }
        while self.seconds.len() > SPAN {
            self.seconds.pop_front();
        }
        self.taken = Instant::now();
        (worst, self.judge())
    }

    /// Begins anew: nobody is late who waits for the store to come back.
    pub(super) fn forget(&mut self) {
        (self.taken, self.worst) = (Instant::now(), Duration::ZERO);
        self.seconds.clear();
    }

    fn judge(&mut self) -> Option<Turn> {
        let mut sorted: Vec<Duration> = self.seconds.iter().copied().collect();
        sorted.sort_unstable();
        let median = sorted.get(SPAN / 2).copied().unwrap_or_default();
        let turn = match (self.late, sorted.len() == SPAN) {
            (false, true) if median > LATE => Turn::Began(median),
            (true, true) if median < WELL => Turn::Ended,
            _ => return None,
        };
        self.late = !self.late;
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of so many seconds, each so late.
    async fn live(lag: &mut Lag, seconds: usize, late: Duration) -> Vec<Turn> {
        let mut told = Vec::new();
        for _ in 0..seconds {
            tokio::time::advance(SECOND).await;
            assert!(lag.note(late));
            told.extend(lag.reckon().1);
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn lateness_is_told_once_when_it_has_lasted_and_once_when_it_is_over() {
        let mut lag = Lag::new();
        assert_eq!(live(&mut lag, 60, Duration::from_millis(50)).await, []);
        assert_eq!(live(&mut lag, 10, SECOND * 9).await, [], "a burst is none");
        assert_eq!(live(&mut lag, 60, SECOND * 3).await.len(), 1);
        assert_eq!(live(&mut lag, 60, LATE).await, [], "it is not well yet");
        assert_eq!(live(&mut lag, 60, Duration::ZERO).await, [Turn::Ended]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_slept_for_lack_of_work_was_not_late() {
        let mut lag = Lag::new();
        for _ in 0..20 {
            tokio::time::advance(SECOND * 5).await;
            lag.note(SECOND);
            assert_eq!(lag.reckon(), (SECOND, None));
        }
        assert_eq!(lag.seconds.iter().filter(|late| **late > Duration::ZERO).count(), 6);
    }
}

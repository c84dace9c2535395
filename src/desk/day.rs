//! What became of the last day's occurrences, hour by hour.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Desk;
use super::refusal::Refusal;
use crate::clock::Timestamp;
use crate::ledger::State;
use crate::store::Query;

const HOUR: i64 = 3600;
const HOURS: i64 = 24;

/// Lines of history that are counted at most.
const MOST: usize = 20_000;

/// It is counted again after this long at the earliest, and takes a twentieth of the time at most.
const KEPT: Duration = Duration::from_secs(2);
const SHARE: u32 = 20;

/// A day that ends now.
#[derive(Debug, Clone, Default)]
pub struct Day {
    /// Oldest first; the last is the one that has begun.
    pub hours: Vec<Hour>,
    /// There were more occurrences than are counted: the oldest are left out.
    pub truncated: bool,
}

/// What became of the occurrences of one hour.
#[derive(Debug, Clone, Default)]
pub struct Hour {
    /// Its beginning.
    pub at: Timestamp,
    /// Runs that succeeded.
    pub good: u64,
    /// Runs that ended otherwise.
    pub bad: u64,
    /// Occurrences that were passed over.
    pub passed_over: u64,
}

impl Day {
    /// Runs that succeeded.
    pub fn good(&self) -> u64 {
        self.hours.iter().map(|hour| hour.good).sum()
    }

    /// Runs that ended otherwise.
    pub fn bad(&self) -> u64 {
        self.hours.iter().map(|hour| hour.bad).sum()
    }

    /// Occurrences that were passed over.
    pub fn passed_over(&self) -> u64 {
        self.hours.iter().map(|hour| hour.passed_over).sum()
    }

    /// The share of runs that succeeded, 0 to 1; `None` where there were none.
    #[allow(clippy::cast_precision_loss, reason = "they are far fewer")]
    pub fn success_rate(&self) -> Option<f64> {
        let all = self.good() + self.bad();
        (all > 0).then(|| self.good() as f64 / all as f64)
    }
}

impl Desk {
    /// What became of the last day's occurrences.
    ///
    /// # Errors
    /// The store does not answer, and never did.
    pub async fn day(&self) -> Result<Arc<Day>, Refusal> {
        let mut kept = self.last.day.lock().await;
        if let Some((at, took, day)) = &*kept
            && at.elapsed() < KEPT.max(*took * SHARE)
        {
            return Ok(day.clone());
        }
        let began = Instant::now();
        let now = match self.seen().await {
            Some(look) => look.snapshot.now,
            None => self.look().await?.snapshot.now,
        };
        let first = (now.as_secs().div_euclid(HOUR) - HOURS + 1) * HOUR;
        let query = Query { since: Some(Timestamp::from_secs(first)), limit: MOST, ..Query::default() };
        let lines = self.lines(&query).await?;
        let mut hours: Vec<Hour> =
            (0..HOURS).map(|n| Hour { at: Timestamp::from_secs(first + n * HOUR), ..Hour::default() }).collect();
        for entry in &lines.entries {
            let hour = (entry.scheduled_at.as_secs() - first).div_euclid(HOUR);
            let Some(hour) = usize::try_from(hour).ok().and_then(|n| hours.get_mut(n)) else { continue };
            match entry.state {
                State::Succeeded => hour.good += 1,
                state if !state.is_run() => hour.passed_over += entry.count.max(1),
                state if state.is_final() => hour.bad += 1,
                _ => {}
            }
        }
        let day = Arc::new(Day { hours, truncated: lines.entries.len() == MOST });
        *kept = Some((began, began.elapsed(), day.clone()));
        Ok(day)
    }
}

//! All runs and planned occurrences of a span of time, counted in buckets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Desk;
use super::occurrences::{PassedOver, starts};
use super::refusal::Refusal;
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::shape::{Cell, Lane, Seen, Timeline};
use crate::store::Query;

/// Lines of history, and occurrences to come, that are counted at most.
const MOST: usize = 20_000;

/// Occurrences to come of one job that are counted at most.
const EACH: usize = 2000;

/// Buckets at most.
const BUCKETS: u64 = 500;

/// How long a bucket may be, in seconds: what fits clocks and days.
const LENGTHS: [u64; 14] = [1, 5, 10, 30, 60, 300, 600, 900, 1800, 3600, 10_800, 21_600, 43_200, 86_400];

/// Which part of time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    /// Its beginning; absent means a day ago.
    pub from: Option<Timestamp>,
    /// Its end; absent means a day after `from`, and an hour from now.
    pub until: Option<Timestamp>,
}

impl Desk {
    /// What happened and will happen within a window, job by job.
    ///
    /// # Errors
    /// The window ends before it begins, is longer than a year, or the store does not answer.
    pub async fn timeline(&self, window: &Window) -> Result<Seen<Timeline>, Refusal> {
        let look = self.look().await?;
        let now = look.snapshot.now;
        let day = Duration::from_secs(86_400);
        let from = window.from.unwrap_or_else(|| now.minus(day));
        let until = window.until.unwrap_or_else(|| match window.from {
            Some(from) => from.plus(day),
            None => now.plus(Duration::from_secs(3600)),
        });
        if until <= from || until.since(from) > 366 * day {
            let detail = "the span from `from` to `until` is to be longer than nothing, and at most a year";
            return Err(Refusal::wrong("?until", "out_of_range", detail));
        }
        let seconds = bucket(until.since(from));
        let mut cells = Cells { seconds, all: BTreeMap::new() };
        let query = Query { since: Some(from), until: Some(until), limit: MOST, ..Query::default() };
        let lines = self.lines(&query).await?;
        for entry in &lines.entries {
            cells.of(&entry.job, entry.scheduled_at).count(entry.state, entry.count);
        }
        let mut truncated = lines.entries.len() == MOST;
        let mut left = MOST;
        for job in self.known().by_name.values().filter(|job| job.enabled) {
            let most = EACH.min(left);
            let edge = from.minus(Duration::from_micros(1)).max(now);
            let to_come = starts(job, edge, Some(until), most, PassedOver::Shown);
            let open = to_come.iter().filter(|start| start.closed.is_none()).count();
            truncated |= open == most;
            left -= open;
            for start in to_come {
                let cell = cells.of(&job.name, start.slot.at);
                *(if start.closed.is_some() { &mut cell.skipped } else { &mut cell.planned }) += 1;
            }
        }
        let jobs = cells.all.into_iter().map(|(job, cells)| Lane { job, cells: cells.into_values().collect() });
        let it = Timeline { from, until, bucket_seconds: seconds, now, jobs: jobs.collect(), truncated };
        Ok(Seen { it, stale_since: look.stale_since.or(lines.stale_since) })
    }
}

/// How long each bucket of a span is.
fn bucket(span: Duration) -> u64 {
    let fits = |seconds: &u64| span.as_secs() / seconds < BUCKETS;
    LENGTHS.into_iter().find(fits).unwrap_or(LENGTHS[LENGTHS.len() - 1])
}

struct Cells {
    seconds: u64,
    all: BTreeMap<JobName, BTreeMap<Timestamp, Cell>>,
}

impl Cells {
    fn of(&mut self, job: &JobName, at: Timestamp) -> &mut Cell {
        let seconds = i64::try_from(self.seconds).unwrap_or(i64::MAX);
        let at = Timestamp::from_secs(at.as_secs().div_euclid(seconds) * seconds);
        let lane = self.all.entry(job.clone()).or_default();
        lane.entry(at).or_insert_with(|| Cell { at, ..Cell::default() })
    }
}

//! Occurrences that are over: why they are as they are, and whether they run after all.

use std::time::Duration;

use tokio::time::timeout;

use super::refusal::{Refusal, in_the_way_of};
use super::{Desk, nearest_job};
use crate::backfill::{self, Asked, Item, MOST, Wish};
use crate::clock::Timestamp;
use crate::job::{Job, JobName};
use crate::ledger::Entry;
use crate::occurrence::Seen;
use crate::shape::{self, Backfill, Filled, Waits, Why, stands};
use crate::why::{self, Reach};

/// Looking at many occurrences may take this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A span whose occurrences are to run after all.
#[derive(Debug, Clone)]
pub struct Fill {
    /// At this instant or later.
    pub from: Timestamp,
    /// Before this one.
    pub until: Timestamp,
    /// How they wait.
    pub overlap: Waits,
    /// Why they are to run.
    pub reason: Option<String>,
}

impl Desk {
    /// What happened to the occurrence of a job at `at`.
    ///
    /// # Errors
    /// Neither the files nor the store know the job, or the store does not answer.
    pub async fn why(&self, name: &str, at: Timestamp) -> Result<shape::Seen<Why>, Refusal> {
        let jobs = self.known();
        let parsed = JobName::new(name).map_err(|_| nearest_job(name, jobs.by_name.keys().map(JobName::as_str)))?;
        let job = jobs.by_name.get(&parsed);
        let asking = why::why(&*self.parts.store, &parsed, job.map(|job| &**job), at);
        let (answer, stale_since) = match self.in_time(asking).await {
            Ok(answer) => (answer, None),
            Err(_) => self.last_known_why(&parsed, job.map(|job| &**job), at).await?,
        };
        if job.is_none() && !self.look().await?.snapshot.records.contains(&parsed) {
            return Err(nearest_job(name, jobs.by_name.keys().map(JobName::as_str)));
        }
        let it = Why::of(answer, job.map(|job| job.schedule.zone().name().to_owned()));
        Ok(shape::Seen { it, stale_since })
    }

    /// The same from what is known while the store is away, and since when that is.
    async fn last_known_why(
        &self,
        name: &JobName,
        job: Option<&Job>,
        at: Timestamp,
    ) -> Result<(why::Why, Option<Timestamp>), Refusal> {
        let look = self.look().await?;
        let lines = self.last_lines(name).await;
        let seen = Seen::of(name, at, look.snapshot.view(name, None), &lines);
        let before = why::runs_before(&seen);
        let before = lines.iter().filter(|entry| before.as_ref().is_some_and(|query| query.takes(entry)));
        let before: Vec<Entry> = before.cloned().collect();
        let answer = why::tell(name, job, &seen, &before, Reach::Newest);
        Ok((answer, Some(look.stale_since.unwrap_or(look.snapshot.now))))
    }

    /// The past occurrences of a span, and what a backfill would do about each. Nothing is changed.
    ///
    /// # Errors
    /// There is no such job, the span is empty or has too many, or the store does not answer.
    pub async fn backfill_plan(&self, name: &str, fill: &Fill) -> Result<Backfill, Refusal> {
        let job = self.job(name)?;
        let items = self.planned(&job, fill).await?.iter().map(Filled::planned).collect();
        Ok(Backfill { job: job.name.clone(), timezone: job.schedule.zone().name().to_owned(), asked: false, items })
    }

    /// Asks for the runs of those that have not run.
    ///
    /// # Errors
    /// As [`Desk::backfill_plan`].
    pub async fn backfill(&self, name: &str, fill: Fill, by: Option<String>) -> Result<Backfill, Refusal> {
        let job = self.job(name)?;
        super::act::brief(fill.reason.as_deref())?;
        let planned = self.planned(&job, &fill).await?;
        let wish = Wish { overlap: fill.overlap.into(), by, reason: fill.reason };
        let mut items = Vec::new();
        for item in planned {
            let is_wanted = item.fate == backfill::Fate::Runs;
            items.push(if is_wanted { self.fill(&job, item.at, &wish).await? } else { Filled::planned(&item) });
        }
        Ok(Backfill { job: job.name.clone(), timezone: job.schedule.zone().name().to_owned(), asked: true, items })
    }

    async fn planned(&self, job: &Job, fill: &Fill) -> Result<Vec<Item>, Refusal> {
        if fill.from >= fill.until {
            let detail = format!("nothing lies from {} to {}: the end is not the later one", fill.from, fill.until);
            return Err(Refusal::wrong("/until", "out_of_range", detail));
        }
        let planning = backfill::plan(&*self.parts.store, job, fill.from..fill.until);
        let items = timeout(PATIENCE, planning).await.unwrap_or_else(|_| Err(self.silent(PATIENCE)))?;
        if items.len() > MOST {
            let detail = format!("more than {MOST} occurrences lie from {} to {}", fill.from, fill.until);
            let fitting = items.get(MOST - 1).map(|item| item.at.to_string()).unwrap_or_default();
            return Err(Refusal::wrong("/until", "out_of_range", detail + ": name a shorter span").suggest(fitting));
        }
        Ok(items)
    }

    async fn fill(&self, job: &Job, at: Timestamp, wish: &Wish) -> Result<Filled, Refusal> {
        let asking = backfill::ask(&*self.parts.store, job, at, wish);
        let asked = timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(self.silent(PATIENCE)))?;
        let (run_id, detail) = match asked {
            Asked::Accepted(run_id) => (Some(run_id), "it waits for its turn".to_owned()),
            Asked::Stands(may) => (None, stands(&may)),
            Asked::Refused(reply) => (None, in_the_way_of(&job.name, &reply, self.look().await?.snapshot.now)),
        };
        Ok(Filled { at, runs: run_id.is_some(), run_id, detail })
    }
}

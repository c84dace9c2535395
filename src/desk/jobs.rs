//! Jobs: each with how it fares and when it is next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::page::{Slice, cursor};
use super::refusal::{Refusal, Why};
use super::{Desk, Look};
use crate::config;
use crate::job::{Job, JobName};
use crate::ledger::{Entry, State};
use crate::record::Record;
use crate::shape::{self, Definition, Last, Page, Wanted};
use crate::store::Query;

/// Runs of a job that are looked at to say how it fares.
pub(super) const RECENT: usize = 60;

/// Jobs whose runs are asked for at once.
pub(super) const AT_ONCE: usize = 8;

/// Which jobs.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Those of these names, all of them when there are none.
    pub names: Vec<String>,
    /// Those with one of these tags.
    pub tags: Vec<String>,
    /// Those that fare so.
    pub state: Option<Wanted>,
    /// Those in whose name or description this stands.
    pub text: Option<String>,
    /// How much is said of each.
    pub detail: Detail,
}

/// How much is said of each job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// Everything.
    #[default]
    Full,
    /// Not how its newest runs fared: that takes a look at the history of each.
    Brief,
}

/// What became of the newest runs of each job, under the record from which that was read: while it is the same,
/// so are they.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<BTreeMap<JobName, Outcomes>>);

/// The newest lines of a job, and the record that they were read with.
type Outcomes = (Record, Arc<Vec<Entry>>);

impl Choice {
    pub(super) fn takes(&self, job: &Job) -> bool {
        let text = self.text.as_ref().map(|text| text.to_lowercase());
        let holds = |text: &String| {
            let description = job.description.as_deref().unwrap_or_default();
            job.name.as_str().contains(text.as_str()) || description.to_lowercase().contains(text.as_str())
        };
        (self.names.is_empty() || self.names.iter().any(|name| name == job.name.as_str()))
            && (self.tags.is_empty() || self.tags.iter().any(|tag| job.tags.contains(tag)))
            && text.as_ref().is_none_or(holds)
    }
}

impl Desk {
    /// The jobs of a choice, by name.
    ///
    /// # Errors
    /// A name or tag that nothing has, a cursor that is none, or the store's silence.
    pub async fn jobs(&self, choice: &Choice, slice: &Slice) -> Result<Page<shape::Job>, Refusal> {
        let (most, after) = (slice.most()?, slice.after()?);
        let known = self.known();
        for name in &choice.names {
            self.job(name)?;
        }
        let look = self.look().await?;
        let newest = self.lines(&newest_begun()).await?;
        let runs: BTreeMap<&JobName, &Entry> = newest.entries.iter().map(|entry| (&entry.job, entry)).collect();
        let jobs = known.by_name.values().filter(|job| choice.takes(job));
        let shaped = jobs.map(|job| (job.clone(), self.shape(job, &look, runs.get(&job.name).copied(), &known.digest)));
        let wanted = |shape: &shape::Job| choice.state.is_none_or(|state| shape.is(state));
        let mut all: Vec<(Arc<Job>, shape::Job)> = shaped.filter(|(_, shape)| wanted(shape)).collect();
        let total = all.len();
        all.retain(|(job, _)| after.as_ref().is_none_or(|last| job.name.as_str() > last.as_str()));
        let more = all.len() > most;
        all.truncate(most);
        let next_cursor = all.last().filter(|_| more).map(|(job, _)| cursor(job.name.as_str()));
        let stale_since = look.stale_since.or(newest.stale_since);
        let with = all.into_iter().map(async |(job, shape)| match choice.detail {
            Detail::Full => self.with_recent(job, shape, &look).await,
            Detail::Brief => Ok(shape),
        });
        let mut items: Vec<shape::Job> = stream::iter(with).buffered(AT_ONCE).try_collect().await?;
        let mut runs: Vec<_> = items.iter_mut().filter_map(|job| job.last_run.as_mut()).collect();
        self.add_progress(&mut runs).await;
        Ok(Page { items, next_cursor, total: Some(total), now: look.snapshot.now, stale_since })
    }

    /// One job, with all its settings.
    ///
    /// # Errors
    /// There is no such job, or the store does not answer.
    pub async fn one_job(&self, name: &str) -> Result<shape::Seen<shape::JobDetail>, Refusal> {
        let job = self.job(name)?;
        let look = self.look().await?;
        let newest = Query { job: Some(job.name.clone()), limit: 1, ..newest_begun() };
        let newest = self.lines(&newest).await?;
        let shape = self.shape(&job, &look, newest.entries.first(), &self.known().digest);
        let shape = self.with_recent(job.clone(), shape, &look).await?;
        let it = shape::JobDetail { job: shape, definition: Definition::new(&job) };
        Ok(shape::Seen { it, stale_since: look.stale_since })
    }

    /// Adds to jobs what became of their newest runs.
    ///
    /// # Errors
    /// The store does not answer, and never did.
    pub async fn add_recent(&self, jobs: &mut [shape::Job]) -> Result<(), Refusal> {
        let look = match self.seen().await {
            Some(look) => look,
            None => self.look().await?,
        };
        let known = self.known();
        for shape in jobs {
            if let Some(job) = known.by_name.get(&shape.name) {
                *shape = self.with_recent(job.clone(), shape.clone(), &look).await?;
            }
        }
        Ok(())
    }

    /// The newest lines of a job as they were last read, if they were: at most [`RECENT`].
    pub(super) fn recent(&self, job: &JobName) -> Option<Arc<Vec<Entry>>> {
        let kept = self.recent.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(job).map(|(_, runs)| runs.clone())
    }

    fn shape(&self, job: &Job, look: &Look, run: Option<&Entry>, digest: &str) -> shape::Job {
        let record = look.snapshot.records.get(&job.name).unwrap_or_default();
        shape::Job::new(job, Last { now: look.snapshot.now, record: &record, run }, digest)
    }

    async fn with_recent(&self, job: Arc<Job>, shape: shape::Job, look: &Look) -> Result<shape::Job, Refusal> {
        let Some(record) = look.snapshot.records.get(&job.name) else { return Ok(shape.with_recent(&[])) };
        let known = {
            let kept = self.recent.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.get(&job.name).filter(|(seen, _)| *seen == *record).map(|(_, runs)| runs.clone())
        };
        if let Some(runs) = known {
            return Ok(shape.with_recent(&runs));
        }
        let query = Query { job: Some(job.name.clone()), limit: RECENT, ..Query::default() };
        let lines = self.lines(&query).await?;
        let runs = Arc::new(lines.entries);
        if lines.stale_since.is_none() {
            let kept = (record.into_owned(), runs.clone());
            self.recent.0.lock().unwrap_or_else(PoisonError::into_inner).insert(job.name.clone(), kept);
        }
        Ok(shape.with_recent(&runs))
    }
}

/// Of each job its newest run that was begun.
pub(super) fn newest_begun() -> Query {
    let states = vec![
        State::Running,
        State::Retrying,
        State::Succeeded,
        State::Failed,
        State::TimedOut,
        State::Cancelled,
        State::Interrupted,
        State::Lost,
        State::Expired,
    ];
    Query { states, newest_of_each: true, ..Query::default() }
}

/// There is no job of this name: the nearest.
pub fn nearest_job<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Refusal {
    let hint = match config::nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`cronclave jobs` lists them".to_owned(),
    };
    Refusal::new(Why::NotFound, format!("there is no job `{name}`: {hint}"))
}

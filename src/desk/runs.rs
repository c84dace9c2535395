//! Runs, past and present, and occurrences that did not become one.

use super::last::not_known;
use super::page::{Slice, cursor, place};
use super::refusal::{Refusal, Why};
use super::{Desk, Lines, Look, nearest_job};
use crate::clock::Timestamp;
use crate::config;
use crate::job::JobName;
use crate::lease::RunId;
use crate::ledger::{Entry, State};
use crate::record::Open;
use crate::shape::{Page, Run, RunDetail, Seen};
use crate::store::Query;

/// Lines that are looked through for a part of a list.
const MOST_READ: usize = 50_000;

/// Which runs.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this job.
    pub job: Option<String>,
    /// Whose id is this, or begins or ends with it.
    pub id: Option<String>,
    /// In one of these states.
    pub states: Vec<State>,
    /// Triggered so.
    pub trigger: Option<String>,
    /// Scheduled at or after.
    pub since: Option<Timestamp>,
    /// Scheduled before.
    pub until: Option<Timestamp>,
    /// Carried out by this replica or worker.
    pub on: Option<String>,
}

impl Desk {
    /// Runs, newest first.
    ///
    /// # Errors
    /// There is no such job, the cursor is none, or the store does not answer.
    pub async fn runs(&self, filter: &Filter, slice: &Slice) -> Result<Page<Run>, Refusal> {
        let (most, after) = (slice.most()?, slice.after()?);
        let after = after.map(|text| place(&text)).transpose()?;
        let look = self.look().await?;
        let job = filter.job.as_deref().map(|name| self.name(&look, name)).transpose()?;
        let mut query = Query {
            job,
            id: filter.id.as_ref().map(|id| id.to_lowercase()),
            states: filter.states.clone(),
            trigger: filter.trigger.clone(),
            since: filter.since,
            until: filter.until,
            ..Query::default()
        };
        let lines = self.following(&mut query, after.as_ref(), filter.on.as_deref(), most).await?;
        let Lines { mut entries, stale_since } = lines;
        let more = entries.len() > most;
        entries.truncate(most);
        let last = entries.last().filter(|_| more);
        let next_cursor = last.map(|entry| cursor(&format!("{} {}", entry.scheduled_at.as_micros(), entry.id)));
        let mut items: Vec<Run> = entries.iter().map(|entry| self.run_of(entry)).collect();
        self.add_progress(&mut items.iter_mut().collect::<Vec<_>>()).await;
        let stale_since = look.stale_since.or(stale_since);
        Ok(Page { items, next_cursor, total: None, now: look.snapshot.now, stale_since })
    }

    /// One more line than `most` of those after the place `after`: lines of one instant follow each other by id.
    async fn following(
        &self,
        query: &mut Query,
        after: Option<&(Timestamp, String)>,
        on: Option<&str>,
        most: usize,
    ) -> Result<Lines, Refusal> {
        if let Some((at, _)) = after {
            query.until = Some(at.plus(std::time::Duration::from_micros(1)));
        } else if on.is_none() {
            query.limit = most.saturating_add(1);
            return self.lines(query).await;
        }
        let is_on = |entry: &Entry| on.is_none_or(|on| entry.attempts.iter().any(|attempt| attempt.replica == on));
        let follows =
            |entry: &Entry| after.is_none_or(|(at, id)| (entry.scheduled_at, &entry.id) < (*at, id)) && is_on(entry);
        // However many share the instant, those already shown are looked past.
        let mut limit = most.saturating_add(1).max(100);
        loop {
            query.limit = limit;
            let mut lines = self.lines(query).await?;
            let read = lines.entries.len();
            lines.entries.retain(follows);
            if lines.entries.len() > most || read < limit || limit > MOST_READ {
                return Ok(lines);
            }
            limit = limit.saturating_mul(4);
        }
    }

    /// A run by its id, a unique beginning or end of that, or the newest begun of a job by its name.
    ///
    /// # Errors
    /// There is no such run, there are several, or the store does not answer.
    pub async fn run(&self, text: &str) -> Result<Seen<RunDetail>, Refusal> {
        let (entry, stale_since) = self.entry(text).await?;
        let mut run = self.run_of(&entry);
        self.add_progress(&mut [&mut run]).await;
        Ok(Seen { it: run.detail(), stale_since })
    }

    /// The entry of such a run.
    pub(super) async fn entry(&self, text: &str) -> Result<(Entry, Option<Timestamp>), Refusal> {
        let look = self.look().await?;
        let is_id = text.parse::<RunId>().is_ok();
        let unknown = match self.name(&look, text) {
            Ok(job) if !is_id => return self.newest(job).await,
            Ok(_) => nearest_job(text, []),
            Err(unknown) => unknown,
        };
        match self.named(text).await? {
            (Some(entry), stale_since) => Ok((entry, stale_since)),
            (None, Some(since)) if like_id(text) => Err(not_known(&format!("no run `{text}`"), since)),
            (None, _) if like_id(text) => Err(Refusal::new(
                Why::NotFound,
                format!("there is no run or job `{text}`: `cronclave history` lists the runs"),
            )),
            _ => Err(unknown),
        }
    }

    /// The run whose id begins or ends so.
    async fn named(&self, text: &str) -> Result<(Option<Entry>, Option<Timestamp>), Refusal> {
        if !like_id(text) {
            return Ok((None, None));
        }
        let query = Query { id: Some(text.to_lowercase()), states: run_states(), limit: 6, ..Query::default() };
        let mut found = self.lines(&query).await?;
        if found.entries.len() > 1 {
            let ids: Vec<&str> = found.entries.iter().take(5).map(|entry| entry.id.as_str()).collect();
            let detail = format!("several runs are called `{text}`: name one of {}", ids.join(", "));
            return Err(Refusal::new(Why::Ambiguous, detail));
        }
        Ok((found.entries.pop(), found.stale_since))
    }

    async fn newest(&self, job: JobName) -> Result<(Entry, Option<Timestamp>), Refusal> {
        let query = Query { job: Some(job.clone()), states: run_states(), limit: 50, ..Query::default() };
        let lines = self.lines(&query).await?;
        let begun = lines.entries.into_iter().find(|entry| !entry.attempts.is_empty());
        let none = || match lines.stale_since {
            Some(since) => not_known(&format!("no run of {job}"), since),
            None => {
                let detail = format!("{job} has no run yet: `cronclave trigger {job}` asks for one");
                Refusal::new(Why::NotFound, detail)
            }
        };
        Ok((begun.ok_or_else(none)?, lines.stale_since))
    }

    /// The one open run that is meant: by its id, a part of that, or its job's name.
    pub(super) async fn open_run(&self, look: &Look, text: &str) -> Result<(JobName, Open), Refusal> {
        let job = self.name(look, text);
        let all = look.snapshot.records.busy().flat_map(|(job, record)| record.open.iter().map(move |run| (job, run)));
        let wanted = |(of, run): &(&JobName, &Open)| match &job {
            Ok(name) => *of == name,
            Err(_) => is_called(run.run_id, text),
        };
        let open: Vec<(&JobName, &Open)> = all.filter(wanted).collect();
        if let Some(since) = look.stale_since.filter(|_| open.is_empty()) {
            return Err(not_known(&format!("no open run `{text}`"), since));
        }
        match (open.as_slice(), job) {
            ([(job, run)], _) => Ok(((*job).clone(), (*run).clone())),
            ([], Ok(name)) => Err(Refusal::new(Why::NotFound, format!("{name} has no open run: nothing to cancel"))),
            ([], Err(unknown)) => Err(match self.named(text).await?.0 {
                Some(entry) => {
                    let detail = format!("run {text} of {} is over: {}", entry.job, entry.state.word());
                    Refusal::new(Why::Over, detail)
                }
                None => unknown,
            }),
            (several, _) => {
                let ids: Vec<String> = several.iter().map(|(_, run)| run.run_id.short()).collect();
                let detail = format!("{text} has several open runs: name one of {}, or --all", ids.join(", "));
                Err(Refusal::new(Why::Ambiguous, detail))
            }
        }
    }

    /// A job that the files or the store know.
    pub(super) fn name(&self, look: &Look, text: &str) -> Result<JobName, Refusal> {
        let jobs = self.known();
        let records = &look.snapshot.records;
        let is_known = |name: &JobName| jobs.by_name.contains_key(name) || records.contains(name);
        let found = JobName::new(text).ok().filter(is_known);
        found.ok_or_else(|| nearest_job(text, jobs.by_name.keys().map(JobName::as_str).chain(records.names())))
    }

    /// The shape of an entry, with what the files say of its job.
    pub(super) fn run_of(&self, entry: &Entry) -> Run {
        Run::new(entry, self.known().by_name.get(&entry.job).map(AsRef::as_ref))
    }
}

/// The state that a word stands for.
///
/// # Errors
/// The nearest, or all of them.
pub fn state(text: &str) -> Result<State, String> {
    let found = State::ALL.into_iter().find(|state| state.word() == text.replace('-', "_"));
    found.ok_or_else(|| match config::nearest(text, State::ALL.map(State::word)) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("write one of {}", State::ALL.map(State::word).join(", ")),
    })
}

/// The states of runs, as opposed to those of occurrences that were passed over.
fn run_states() -> Vec<State> {
    State::ALL.into_iter().filter(|state| state.is_run()).collect()
}

/// Whether `text` can be the beginning or the end of a run's id.
fn like_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

fn is_called(id: RunId, text: &str) -> bool {
    let (id, text) = (id.to_string(), text.to_lowercase());
    like_id(&text) && (id.starts_with(&text) || id.ends_with(&text))
}

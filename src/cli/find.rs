//! What the command line names: jobs, runs, and the zones to show their times in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Failure, out};
use crate::config::{self, Config};
use crate::job::{Job, JobName};
use crate::lease::RunId;
use crate::ledger::{Entry, State};
use crate::record::Open;
use crate::schedule::Zone;
use crate::store::{Query, Snapshot, Store};

/// The job with this name.
pub(super) fn job<'a>(config: &'a Config, name: &str) -> Result<&'a Arc<Job>, Failure> {
    let found = config.jobs.iter().find(|job| job.name.as_str() == name);
    found.ok_or_else(|| no_job(name, config.jobs.iter().map(|job| job.name.as_str())))
}

/// The jobs with these names, all of them when there are none.
pub(super) fn jobs(config: &Config, names: &[String]) -> Result<Vec<Arc<Job>>, Failure> {
    if names.is_empty() {
        return Ok(config.jobs.clone());
    }
    names.iter().map(|name| job(config, name).cloned()).collect()
}

/// Which jobs a command is for.
#[derive(Debug, clap::Args)]
pub(super) struct Chosen {
    /// The jobs' names
    #[arg(value_name = "JOB", required_unless_present_any = ["tag", "all"])]
    pub(super) job: Vec<String>,
    /// All jobs with this tag; repeatable
    #[arg(long, value_name = "TAG", conflicts_with_all = ["job", "all"])]
    pub(super) tag: Vec<String>,
    /// All jobs
    #[arg(long, conflicts_with = "job")]
    pub(super) all: bool,
}

impl Chosen {
    pub(super) fn of(&self, config: &Config) -> Result<Vec<Arc<Job>>, Failure> {
        if self.tag.is_empty() {
            return jobs(config, &self.job);
        }
        let tagged = |job: &&Arc<Job>| self.tag.iter().any(|tag| job.tags.contains(tag));
        let found: Vec<_> = config.jobs.iter().filter(tagged).cloned().collect();
        if found.is_empty() {
            let known = config.jobs.iter().flat_map(|job| job.tags.iter().map(String::as_str));
            let tag = self.tag.join(", ");
            let hint = match config::nearest(&tag, known) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "`cronclave jobs` lists the jobs".to_owned(),
            };
            return Err(Failure::new(Failure::NO_INPUT, format!("no job has the tag `{tag}`: {hint}")));
        }
        Ok(found)
    }
}

fn no_job<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
    let hint = match config::nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`cronclave jobs` lists them".to_owned(),
    };
    Failure::new(Failure::NO_INPUT, format!("there is no job `{name}`: {hint}"))
}

/// What the schedule files say, for commands that can do without them.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<JobName, Arc<Job>>);

impl Known {
    pub(super) fn of(config: &Config) -> Self {
        Known(config.jobs.iter().map(|job| (job.name.clone(), job.clone())).collect())
    }

    pub(super) fn get(&self, name: &JobName) -> Option<&Arc<Job>> {
        self.0.get(name)
    }

    /// The job's zone; UTC when its file is not here.
    pub(super) fn zone(&self, name: &JobName) -> Zone {
        self.0.get(name).map_or_else(Zone::utc, |job| job.schedule.zone().clone())
    }

    /// A job that the files or the store know.
    pub(super) fn name(&self, snapshot: &Snapshot, text: &str) -> Result<JobName, Failure> {
        let is_known = |name: &JobName| self.0.contains_key(name) || snapshot.records.contains_key(name);
        let found = JobName::new(text).ok().filter(is_known);
        found.ok_or_else(|| no_job(text, self.0.keys().chain(snapshot.records.keys()).map(JobName::as_str)))
    }
}

/// The states of runs, as opposed to those of occurrences that were passed over.
fn run_states() -> Vec<State> {
    State::ALL.into_iter().filter(|state| state.is_run()).collect()
}

/// Whether `text` can be the beginning or the end of a run's id.
fn like_id(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// The run whose id begins or ends so.
pub(super) async fn run(store: &dyn Store, text: &str) -> Result<Option<Entry>, Failure> {
    if !like_id(text) {
        return Ok(None);
    }
    let query = Query { id: Some(text.to_lowercase()), states: run_states(), limit: 6, ..Query::default() };
    let mut found = store.history(&query).await?;
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().take(5).map(|entry| entry.id.as_str()).collect();
        return Err(Failure::new(
            Failure::USAGE,
            format!("several runs are called `{text}`: name one of {}", ids.join(", ")),
        ));
    }
    Ok(found.pop())
}

/// The run that is named, or the newest of the job that is named that was started at all.
pub(super) async fn run_or_newest(store: &dyn Store, known: &Known, text: &str) -> Result<Entry, Failure> {
    let snapshot = store.snapshot().await?;
    let unknown = match known.name(&snapshot, text) {
        Ok(job) => return newest(store, job).await,
        Err(unknown) => unknown,
    };
    match run(store, text).await? {
        Some(entry) => Ok(entry),
        None if like_id(text) => {
            let hint = "`cronclave history` lists the runs";
            Err(Failure::new(Failure::NO_INPUT, format!("there is no run or job `{text}`: {hint}")))
        }
        None => Err(unknown),
    }
}

async fn newest(store: &dyn Store, job: JobName) -> Result<Entry, Failure> {
    let query = Query { job: Some(job.clone()), states: run_states(), limit: 50, ..Query::default() };
    let entries = store.history(&query).await?;
    let begun = entries.into_iter().find(|entry| !entry.attempts.is_empty());
    begun.ok_or_else(|| {
        Failure::new(Failure::NO_INPUT, format!("{job} has no run yet: `cronclave trigger {job}` asks for one"))
    })
}

/// The open runs whose id begins or ends so.
pub(super) fn open_runs<'a>(snapshot: &'a Snapshot, text: &str) -> Vec<(&'a JobName, &'a Open)> {
    let named = |id: RunId| {
        let id = id.to_string();
        like_id(text) && (id.starts_with(&text.to_lowercase()) || id.ends_with(&text.to_lowercase()))
    };
    let all = snapshot.records.iter().flat_map(|(job, record)| record.open.iter().map(move |run| (job, run)));
    all.filter(|(_, run)| named(run.run_id)).collect()
}

impl super::Context {
    /// The schedule files for a command that only wants to show times in their zones: whatever is
    /// wrong with them is somebody else's business.
    pub(super) fn known(&self, process: &config::Process) -> Known {
        match crate::service::read_config(&process.config) {
            Ok((_, config)) => Known::of(&config),
            Err(wrong) => {
                // No file at all is no mistake here.
                if !wrong.iter().all(|one| one.code == "E0005") {
                    out::note("the schedule files have mistakes (see `cronclave validate`): times are shown in UTC");
                }
                Known::default()
            }
        }
    }
}

//! What the command line names: jobs, runs, and the zones to show their times in.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::place::Place;
use super::{Failure, out};
use crate::config::{self, Config};
use crate::desk::{self, Choice, Detail};
use crate::job::{Job, JobName};
use crate::replica::Jobs;
use crate::shape::{self, Page};
use crate::store::Snapshot;

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
    /// The jobs that are meant.
    pub(super) async fn of(&self, place: &Place) -> Result<Page<shape::Job>, Failure> {
        let choice =
            Choice { names: self.job.clone(), tags: self.tag.clone(), detail: Detail::Brief, ..Choice::default() };
        let mut page = place.jobs(&choice).await?;
        if page.items.is_empty() && !self.tag.is_empty() {
            let all = place.jobs(&Choice::default()).await?;
            let known = all.items.iter().flat_map(|job| job.tags.iter().map(String::as_str));
            let tag = self.tag.join(", ");
            let hint = match config::nearest(&tag, known) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "`cronclave jobs` lists the jobs".to_owned(),
            };
            return Err(Failure::new(Failure::NO_INPUT, format!("no job has the tag `{tag}`: {hint}")));
        }
        // In the order in which they were named.
        let place_of = |job: &shape::Job| self.job.iter().position(|name| name == job.name.as_str());
        page.items.sort_by_key(place_of);
        Ok(page)
    }
}

fn no_job<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
    desk::nearest_job(name, known).into()
}

/// What the schedule files say, for commands that can do without them.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<JobName, Arc<Job>>);

impl Known {
    pub(super) fn of(config: &Config) -> Self {
        Known(config.jobs.iter().map(|job| (job.name.clone(), job.clone())).collect())
    }

    /// As a desk takes them.
    pub(super) fn jobs(self) -> Jobs {
        Jobs { by_name: self.0.into_iter().collect(), ..Jobs::default() }
    }

    /// A job that the files or the store know.
    pub(super) fn name(&self, snapshot: &Snapshot, text: &str) -> Result<JobName, Failure> {
        let is_known = |name: &JobName| self.0.contains_key(name) || snapshot.records.contains(name);
        let found = JobName::new(text).ok().filter(is_known);
        found.ok_or_else(|| no_job(text, self.0.keys().map(JobName::as_str).chain(snapshot.records.names())))
    }
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

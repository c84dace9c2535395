//! For tests of programs that embed Cronclave: a cluster in a time that takes no time.
//!
//! A [`Cluster`] lives through days in milliseconds, by the rules by which replicas decide and stores grant. Handlers
//! really run; what they sleep is the length of their runs.

mod actors;
mod runs;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::{Clock, Timestamp};
use crate::config::{self, SourceText};
use crate::desk::nearest_job;
use crate::embed::Error;
use crate::job::{Action, JobName};
use crate::lease::{RunId, Trigger};
use crate::ledger::Entry;
use crate::record::{Op, Reply};
use crate::replica::Jobs;
use crate::runner::{Context, Handlers};
use crate::schedule::Zone;
use crate::service;
use crate::simulate::{Scenario, Took, World};
use actors::{Actors, Printed, Script};

pub use runs::Runs;

/// A cluster of replicas in a time of its own, for tests.
///
/// Set it up, then let time pass: what happened is in the [`Runs`] that come back. The same setting and seed make the
/// same again. Set-up methods panic once time has passed.
///
/// Handlers run on a tokio runtime whose clock jumps to the next timer as soon as all wait: `tokio::time::sleep` takes
/// virtual time. They must not wait for anything real, like a socket or a thread. Commands and HTTP calls do not run: they
/// take 1 s and succeed unless [`takes`](Cluster::takes) and [`fails`](Cluster::fails) say otherwise.
///
/// ```
/// use std::time::Duration;
/// use cronclave::{Context, State, testing::Cluster};
///
/// async fn report(context: Context) -> Result<(), String> {
///     tokio::time::sleep(Duration::from_secs(90)).await; // Takes no time.
///     context.print(format!("attempt {} for {}", context.attempt(), context.scheduled_at())).await;
///     Ok(())
/// }
///
/// const DAY: Duration = Duration::from_secs(86_400);
/// let jobs = r#"
///     version = 1
///     [jobs.daily]
///     schedule = "30 2 * * *"
///     timezone = "Europe/Berlin"
///     handler  = "report"
///     [jobs.backup]
///     every    = "6h"
///     command  = "backup"
///     retry    = { attempts = 2, initial = "1m" }
///     [jobs.by-hand]
///     schedule = "@manual"
///     command  = "true"
/// "#;
/// let mut cluster = Cluster::new(jobs)?
///     .starting("2026-03-01T00:00:00Z")
///     .replicas(3)
///     .max_parallel(10)
///     .grace(Duration::from_secs(30))
///     .seed(7)
///     .handler("report", report)
///     .takes("backup", Duration::from_secs(1200))
///     .fails_first("backup", 1)
///     .fails("by-hand", 1.0)
///     .outage("2026-03-10T01:00:00Z", Duration::from_secs(3 * 3600))
///     .kills(0.0);
///
/// let march = cluster.advance(DAY * 31);
/// assert_eq!(march.succeeded("daily"), 30, "{march}");
/// assert_eq!(march.count("daily", &[State::Missed]), 1, "it came due in the outage");
/// assert!(march.at("daily").contains(&"2026-03-29T03:00:00+02:00".to_owned()), "02:30 is not on the clock that day");
/// assert_eq!(march.of("daily")[0].state, State::Succeeded);
/// assert_eq!(march.printed(march.of("daily")[0]), "attempt 1 for 2026-03-01T01:30:00Z\n");
/// assert_eq!(march.count("backup", &[State::Succeeded]), march.iter().filter(|run| run.attempts == 2).count() as u64);
/// assert_eq!(march.failed("backup") + march.passed_over("backup"), 0);
///
/// cluster.trigger("by-hand");
/// assert_eq!(cluster.advance(DAY).failed("by-hand"), 1);
///
/// cluster.pause("backup");
/// assert_eq!(cluster.advance(DAY).succeeded("backup"), 0);
/// cluster.resume("backup");
/// let day = cluster.advance(DAY);
/// assert_eq!((day.succeeded("backup"), day.passed_over("backup")), (4, 4), "{day}");
/// assert_eq!(cluster.now().to_string(), "2026-04-04T00:00:00Z");
/// assert_eq!(cluster.runs().succeeded("daily"), 33);
/// # Ok::<(), cronclave::Error>(())
/// ```
pub struct Cluster {
    jobs: Jobs,
    zones: BTreeMap<JobName, Zone>,
    scenario: Scenario,
    handlers: Handlers,
    scripts: BTreeMap<JobName, Script>,
    printed: Printed,
    world: Option<World>,
    /// So many lines of the world's have been told.
    told: usize,
    /// So many runs were asked for.
    asked: usize,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("now", &self.now()).field("handlers", &self.handlers).finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster of one replica with the jobs of a schedule file's text. Secrets have no values.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn new(toml: &str) -> Result<Cluster, Error> {
        Cluster::of(&[SourceText { name: "jobs.toml".into(), text: toml.into() }])
    }

    /// The same with the jobs of a file, or of all `*.toml` of a directory.
    ///
    /// # Errors
    /// Every mistake in them.
    ///
    /// ```
    /// let examples = cronclave::testing::Cluster::read("schedules/examples/one-machine.toml");
    /// assert!(examples.is_ok());
    /// ```
    pub fn read(path: impl Into<PathBuf>) -> Result<Cluster, Error> {
        Cluster::of(&config::find(&[path.into()], &mut std::io::empty())?)
    }

    fn of(sources: &[SourceText]) -> Result<Cluster, Error> {
        let config = config::check(sources, Clock::system().now())?;
        let jobs = service::jobs(&config);
        let scenario = Scenario {
            from: Timestamp::from_secs(1_767_225_600),
            until: Timestamp::FAR,
            replicas: 1,
            max_parallel: 100,
            grace: Duration::from_secs(25),
            outages: Vec::new(),
            took: Took { others: Duration::ZERO, named: Vec::new() },
            fail: 0.0,
            kill: 0.0,
            skew: Duration::ZERO,
            seed: 0,
            most: usize::MAX,
        };
        Ok(Cluster {
            zones: jobs.by_name.iter().map(|(name, job)| (name.clone(), job.schedule.zone().clone())).collect(),
            jobs,
            scenario,
            handlers: Handlers::new(),
            scripts: BTreeMap::new(),
            printed: Printed::default(),
            world: None,
            told: 0,
            asked: 0,
        })
    }

    /// When its time begins, in RFC 3339; jobs are first seen then. Default 2026-01-01T00:00:00Z.
    ///
    /// # Panics
    /// It is no time.
    #[must_use]
    #[track_caller]
    pub fn starting(self, at: &str) -> Cluster {
        self.set(|scenario| scenario.from = moment(at))
    }

    /// How many replicas there are. Default 1.
    #[must_use]
    #[track_caller]
    pub fn replicas(self, count: usize) -> Cluster {
        self.set(|scenario| scenario.replicas = count.max(1))
    }

    /// Runs side by side on each replica at most. Default 100.
    #[must_use]
    #[track_caller]
    pub fn max_parallel(self, runs: usize) -> Cluster {
        self.set(|scenario| scenario.max_parallel = runs.max(1))
    }

    /// How long runs may go on at the beginning of an outage. Default 25 s.
    #[must_use]
    #[track_caller]
    pub fn grace(self, grace: Duration) -> Cluster {
        self.set(|scenario| scenario.grace = grace)
    }

    /// Other faults and other winners; the same seed makes the same. Default 0.
    #[must_use]
    #[track_caller]
    pub fn seed(self, seed: u64) -> Cluster {
        self.set(|scenario| scenario.seed = seed)
    }

    /// Registers a function for jobs that say `handler = "name"`, as [`Builder::handler`](crate::Builder::handler) does.
    #[must_use]
    #[track_caller]
    pub fn handler<F, R, E>(mut self, name: impl Into<String>, handler: F) -> Cluster
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.handlers = self.handlers.register(name, handler);
        self.set(|_| {})
    }

    /// How long the runs of a job take. A handler does not really run then.
    ///
    /// # Panics
    /// There is no such job.
    #[must_use]
    #[track_caller]
    pub fn takes(self, job: &str, takes: Duration) -> Cluster {
        self.script(job, |script| script.takes = Some(takes))
    }

    /// How likely an attempt at a job fails, 0 to 1. A handler does not really run in one that fails.
    ///
    /// # Panics
    /// There is no such job.
    #[must_use]
    #[track_caller]
    pub fn fails(self, job: &str, probability: f64) -> Cluster {
        self.script(job, |script| script.fails = probability)
    }

    /// The first so many attempts at each run of a job fail. A handler does not really run in these.
    ///
    /// # Panics
    /// There is no such job.
    #[must_use]
    #[track_caller]
    pub fn fails_first(self, job: &str, attempts: u32) -> Cluster {
        self.script(job, |script| script.fails_first = attempts)
    }

    /// How likely a replica dies of an attempt, with all that it runs, 0 to 1; it is back after 10 s. Of a handler either
    /// nothing has happened then, or all but the record of it.
    #[must_use]
    #[track_caller]
    pub fn kills(self, probability: f64) -> Cluster {
        self.set(|scenario| scenario.kill = probability)
    }

    /// All replicas are told to stop then, and started again after `lasts`. Name outages in order.
    ///
    /// # Panics
    /// It is no time.
    #[must_use]
    #[track_caller]
    pub fn outage(self, at: &str, lasts: Duration) -> Cluster {
        let from = moment(at);
        self.set(|scenario| scenario.outages.push(from..from.plus(lasts)))
    }

    /// Lets so much time pass. What comes back is what was over or passed over meanwhile, and what is not over yet.
    ///
    /// # Panics
    /// A job names a handler that was not registered.
    #[track_caller]
    pub fn advance(&mut self, by: Duration) -> Runs {
        let (until, told) = (self.now().plus(by), self.told);
        let world = self.world();
        // A runtime cannot be waited for within another, as in a `#[tokio::test]`.
        if tokio::runtime::Handle::try_current().is_ok() {
            let lived = std::thread::scope(|scope| scope.spawn(|| world.advance(until)).join());
            lived.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        } else {
            world.advance(until);
        }
        let entries = world.entries.as_deref().unwrap_or_default();
        let all = entries.len();
        let fresh: Vec<Entry> = entries[told..].iter().cloned().chain(world.open()).collect();
        self.told = all;
        Runs::new(fresh, &self.zones, &self.printed)
    }

    /// All that has happened since the beginning.
    pub fn runs(&self) -> Runs {
        let entries =
            self.world.as_ref().map(|world| world.entries.iter().flatten().cloned().chain(world.open()).collect());
        Runs::new(entries.unwrap_or_default(), &self.zones, &self.printed)
    }

    /// What time it is in the cluster.
    pub fn now(&self) -> Timestamp {
        self.world.as_ref().map_or(self.scenario.from, World::now)
    }

    /// Asks for a run of a job now; it begins as time goes on.
    ///
    /// # Panics
    /// There is no such job, or something is in the way: it is paused, or its `overlap` forbids it.
    #[track_caller]
    pub fn trigger(&mut self, job: &str) -> RunId {
        let (name, now) = (self.known(job), self.now());
        let overlap = self.jobs.by_name[&name].overlap;
        self.asked += 1;
        let run_id = RunId::of_request(&name, &self.asked.to_string());
        let trigger = Trigger::Manual { by: Some("the test".into()), reason: None };
        let args = BTreeMap::new();
        let op = Op::Trigger { run_id, at: None, trigger, args, overlap, expect: None, on_record: false };
        match self.world().ask(&name, &op) {
            Some(Reply::Done) => run_id,
            refused => panic!("job `{job}` cannot be triggered at {now}: {refused:?}"),
        }
    }

    /// Starts nothing of a job until it is resumed.
    ///
    /// # Panics
    /// There is no such job.
    #[track_caller]
    pub fn pause(&mut self, job: &str) {
        let name = self.known(job);
        self.world().ask(&name, &Op::Pause { until: None, reason: None, by: Some("the test".into()) });
    }

    /// Starts a job again; what came due meanwhile was skipped.
    ///
    /// # Panics
    /// There is no such job.
    #[track_caller]
    pub fn resume(&mut self, job: &str) {
        let name = self.known(job);
        self.world().ask(&name, &Op::Resume { catch_up: false, by: Some("the test".into()) });
    }

    #[track_caller]
    fn set(mut self, change: impl FnOnce(&mut Scenario)) -> Cluster {
        assert!(self.world.is_none(), "time has passed already: set the cluster up before that");
        change(&mut self.scenario);
        self
    }

    #[track_caller]
    fn script(mut self, job: &str, change: impl FnOnce(&mut Script)) -> Cluster {
        let name = self.known(job);
        change(self.scripts.entry(name).or_default());
        self.set(|_| {})
    }

    #[track_caller]
    fn known(&self, job: &str) -> JobName {
        let found = JobName::new(job).ok().filter(|name| self.zones.contains_key(name));
        found.unwrap_or_else(|| panic!("{}", unknown(job, self.zones.keys())))
    }

    /// Begins with the first wish that takes one.
    #[track_caller]
    fn world(&mut self) -> &mut World {
        if self.world.is_none() {
            for job in self.jobs.by_name.values() {
                let scripted = self.scripts.get(&job.name).is_some_and(|script| script.takes.is_some());
                if let Some(Action::Handler { name, .. }) = job.task.action().filter(|_| !scripted)
                    && let Some(why) = self.handlers.missing(name)
                {
                    panic!("job `{}`: {why}", job.name);
                }
            }
        }
        let Cluster { jobs, scenario, handlers, scripts, printed, .. } = self;
        self.world.get_or_insert_with(|| {
            let made = Actors::new(scenario.seed, printed.clone());
            let mut actors = made.unwrap_or_else(|error| panic!("no runtime for handlers: {error}"));
            (actors.handlers, actors.scripts) = (handlers.clone(), scripts.clone());
            World::begin(jobs, scenario, Some(Box::new(actors)))
        })
    }
}

#[track_caller]
fn moment(at: &str) -> Timestamp {
    at.parse().unwrap_or_else(|error| panic!("`{at}` is not a time as in 2026-03-29T02:00:00Z: {error}"))
}

fn unknown<'a>(job: &str, all: impl Iterator<Item = &'a JobName>) -> String {
    nearest_job(job, all.map(JobName::as_str)).detail
}

//! How an embedded replica is set up.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Cronclave;
use super::error::{Error, ErrorKind};
use crate::clock::Clock;
use crate::config::{self, Config, Flags, Process, Role, Secret, SourceText};
use crate::job::{Action, Task};
use crate::runner::{Context, Handlers};
use crate::service::{self, Service};
use crate::store::Create;

/// Who asks is read as for a listener; where that is, the host's router says.
const ANYWHERE: &str = "127.0.0.1:0";

/// Replicas that were started in this process: each has a name of its own.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// Sets up a replica within this program; see [`Cronclave::builder`].
///
/// Without a store it keeps its state in `./cronclave.db`, as `cronclave serve` does. Without schedules it reads
/// `./schedules/*.toml`, or `/etc/cronclave/*.toml`.
///
/// ```no_run
/// use cronclave::{Builder, Context, Cronclave, Role};
/// use std::time::Duration;
///
/// async fn report(_: Context) -> Result<(), String> { Ok(()) }
///
/// # async fn all() -> Result<(), cronclave::Error> {
/// let builder: Builder = Cronclave::builder()
///     .schedules("schedules")                       // files, read again as they change
///     .toml("more.toml", include_str!("../../examples/axum.toml"))
///     .handler("report", report)
///     .redis("redis://localhost:6379")              // or .sqlite("cron.db")
///     .amqp("amqp://localhost:5672")
///     .workers(4)
///     .cluster("billing")
///     .replica("billing-1")
///     .grace(Duration::from_secs(40))
///     .max_parallel(20)
///     .token("correct-horse-battery-staple")
///     .visitors(Role::Viewer)
///     .from_env()
///     .shutdown_when(async { _ = tokio::signal::ctrl_c().await });
/// builder.start().await?.stopped().await;
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
#[must_use = "nothing runs before `start`"]
pub struct Builder {
    flags: Flags,
    texts: Vec<SourceText>,
    handlers: Handlers,
    grace: Option<Duration>,
    pub(super) visitors: Option<Role>,
    pub(super) token: Option<String>,
    has_environment: bool,
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("handlers", &self.handlers).finish_non_exhaustive()
    }
}

impl Builder {
    /// Reads schedules from this file or directory (its `*.toml`), and again when they change; may be said several times.
    pub fn schedules(mut self, path: impl Into<PathBuf>) -> Builder {
        self.flags.config.push(path.into());
        self
    }

    /// Takes schedules from `text`; mistakes in it are told as in the file `name`. May be said several times, beside
    /// [`schedules`](Builder::schedules).
    pub fn toml(mut self, name: impl Into<String>, text: impl Into<String>) -> Builder {
        self.texts.push(SourceText { name: name.into(), text: text.into().into() });
        self
    }

    /// Registers a function for jobs that say `handler = "name"`, in place of an earlier one of that name. What it
    /// returns as an error, as well as a panic, fails the run.
    pub fn handler<F, R, E>(mut self, name: impl Into<String>, handler: F) -> Builder
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        self.handlers = self.handlers.register(name, handler);
        self
    }

    /// Keeps the state in this Redis: replicas on any number of machines. It need not be there yet.
    pub fn redis(mut self, url: impl Into<String>) -> Builder {
        self.flags.redis = Some(url.into());
        self
    }

    /// Hands jobs to workers, and passes events on, by this RabbitMQ. It need not be there yet.
    pub fn amqp(mut self, url: impl Into<String>) -> Builder {
        self.flags.amqp = Some(url.into());
        self
    }

    /// Keeps the state in this SQLite file, which is made if it is missing: replicas on one machine. Default
    /// `cronclave.db`.
    pub fn sqlite(mut self, path: impl Into<PathBuf>) -> Builder {
        self.flags.db = Some(path.into());
        self
    }

    /// Reads whatever is not said here from the environment, as the program `cronclave` does: `REDIS_URL`, `AMQP_URL`,
    /// `CRONCLAVE_CONFIG`, `CRONCLAVE_GRACE`, `CRONCLAVE_API_TOKEN` and the others. Without this only the variables
    /// count that schedules name as secrets.
    pub fn from_env(mut self) -> Builder {
        self.has_environment = true;
        self
    }

    /// Which cluster of those that share the store. Default `default`.
    pub fn cluster(mut self, name: impl Into<String>) -> Builder {
        self.flags.cluster = Some(name.into());
        self
    }

    /// What this replica is called. Default: host and process id, and a number for all but the first in this process.
    pub fn replica(mut self, name: impl Into<String>) -> Builder {
        self.flags.replica = Some(name.into());
        self
    }

    /// How long runs may go on when told to stop. Default 25 s.
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.grace = Some(grace);
        self
    }

    /// Runs side by side at most, 1 to 10,000. Default 100.
    pub fn max_parallel(mut self, runs: usize) -> Builder {
        self.flags.max_parallel = Some(runs);
        self
    }

    /// Requests for workers carried out at once from each queue, 0 to 1000. Default 0.
    pub fn workers(mut self, slots: usize) -> Builder {
        self.flags.workers = Some(slots);
        self
    }

    /// Stops softly once `stop` is done: nothing new is started, what runs may end within the grace.
    pub fn shutdown_when(mut self, stop: impl Future<Output = ()> + Send + 'static) -> Builder {
        self.stop = Some(Box::pin(stop));
        self
    }

    /// Starts the replica, on the tokio runtime that this is called in. A server that is away is waited for, not failed on.
    ///
    /// # Errors
    /// [`ErrorKind::Schedules`], [`ErrorKind::Handler`], [`ErrorKind::Setting`], or [`ErrorKind::Store`] when the SQLite
    /// file cannot be used.
    pub async fn start(mut self) -> Result<Cronclave, Error> {
        let process = self.process()?;
        let sources = service::sources(&process.config, &self.texts, &mut std::io::empty())?;
        let config = config::load(&sources, &config::environment, Clock::system().now())?;
        let role = service::Role { slots: process.workers, ..service::Role::default() };
        check(&config, &self.handlers, role.slots > 0)?;
        for warning in &config.warnings {
            tracing::warn!(target: "cronclave", "{}", warning.render(false));
        }
        process.must_last()?;
        let backends = service::open(&process, Create::IfMissing)?;
        let parts = service::parts(&process, backends, self.handlers);
        let watch = process.watch && (self.texts.is_empty() || !process.config.is_empty());
        let service = Service { process, parts, config, sources, inline: self.texts, watch, role };
        Cronclave::begin(service, self.stop.take())
    }

    fn process(&mut self) -> Result<Process, Error> {
        let has_environment = self.has_environment;
        let env = move |name: &str| config::environment(name).filter(|_| has_environment);
        let named = self.flags.replica.is_some() || env("CRONCLAVE_REPLICA").is_some();
        if cfg!(feature = "http") {
            self.flags.listen = Some(ANYWHERE.to_owned());
        }
        self.flags.no_http = !cfg!(feature = "http");
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let mut process = Process::load(&self.flags, &env, &host)?;
        let before = STARTED.fetch_add(1, Ordering::Relaxed);
        if !named && before > 0 {
            process.replica += &format!("-{}", before + 1);
        }
        process.listen = None;
        process.web.visitors = self.visitors;
        if let Some(token) = self.token.take() {
            process.web.token = Some(Secret::token("token", token).map_err(|wrong| vec![wrong])?);
        }
        if let Some(grace) = self.grace {
            (process.grace, process.hurry) = (grace, None);
        }
        Ok(process)
    }
}

/// Whether every handler is there that this process may be asked to run.
fn check(config: &Config, handlers: &Handlers, is_worker: bool) -> Result<(), Error> {
    let mut wrong = Vec::new();
    for job in &config.jobs {
        let runs_here = matches!(job.task, Task::Run(_)) || is_worker;
        if let Some(Action::Handler { name, .. }) = job.task.action().filter(|_| runs_here)
            && let Some(why) = handlers.missing(name)
        {
            wrong.push(format!("{}:{}: job `{}`: {why}", job.source.file, job.source.line, job.name));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::Handler, wrong.join("\n"))) }
}

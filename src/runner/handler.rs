//! Async functions of the embedding program, called by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Chunk, Control, Stream};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Ended, Fence, Outcome, RunId, Work};

/// What a handler is given: which run this is, what it was given, and whether to go on.
///
/// ```
/// use cronclave::{Context, testing::Cluster};
///
/// #[derive(serde::Deserialize)]
/// struct Order { path: String }
///
/// async fn export(context: Context) -> Result<(), String> {
///     let order: Order = context.parse_args().map_err(|wrong| wrong.to_string())?;
///     assert_eq!(context.args["path"], order.path);
///     // A sink that refuses smaller fences than it saw takes nothing from a replica that was frozen.
///     let (job, key, fence) = (context.job(), context.run_id(), context.fence());
///     let month = context.given().get("month").cloned().unwrap_or(context.scheduled_at().to_string());
///     context.print(format!("attempt {} at {job} for {month}: {key}, {fence}", context.attempt())).await;
///     assert!(!context.remaining().is_zero(), "the lease is renewed while this runs");
///     tokio::select! {
///         () = tokio::time::sleep(std::time::Duration::from_secs(60)) => Ok(()),
///         () = context.cancelled.cancelled() => Err(format!("told to end: {}", context.is_cancelled())),
///     }
/// }
///
/// let jobs = "version = 1\n[jobs.export]\nevery = \"1h\"\nhandler = \"export\"\nargs = { path = \"/srv/a.csv\" }\n";
/// let mut cluster = Cluster::new(jobs)?.handler("export", export);
/// assert_eq!(cluster.advance(std::time::Duration::from_secs(4 * 3600)).succeeded("export"), 3);
/// # Ok::<(), cronclave::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Context {
    /// Which run this is, as the protocol has it.
    #[doc(hidden)]
    pub work: Work,
    /// The job's `args`.
    pub args: serde_json::Value,
    /// Cancelled when the run is to end; a handler that goes on is dropped after the job's `kill_after`.
    pub cancelled: CancellationToken,
    trusted_until: watch::Receiver<Instant>,
    output: mpsc::Sender<Chunk>,
}

impl Context {
    /// The job.
    pub fn job(&self) -> &JobName {
        &self.work.job
    }

    /// The run, the same for each attempt at it: use it as the idempotency key of what is changed.
    pub fn run_id(&self) -> RunId {
        self.work.run_id
    }

    /// The instant that the run stands for, however late it is; for one by hand, when it was asked for.
    pub fn scheduled_at(&self) -> Timestamp {
        self.work.scheduled_at
    }

    /// Which attempt at the run this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.work.attempt
    }

    /// The fencing token, larger with each claim on the job: let whatever is written to refuse a smaller one than it saw.
    pub fn fence(&self) -> Fence {
        self.work.fence
    }

    /// The job's `args`, read into a type of your own.
    ///
    /// # Errors
    /// When they are not of that shape; as the handler's own error it fails the run.
    pub fn parse_args<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.args)
    }

    /// What was given by whoever asked for this run by hand.
    pub fn given(&self) -> &BTreeMap<String, String> {
        &self.work.args
    }

    /// Whether the run is to end; see [`cancelled`](Context::cancelled).
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// How long the lease may still be trusted, at this moment; it is renewed while the handler runs.
    pub fn remaining(&self) -> Duration {
        self.trusted_until.borrow().saturating_duration_since(Instant::now())
    }

    /// Adds a line to the run's output.
    pub async fn print(&self, line: impl fmt::Display) {
        let bytes = format!("{line}\n").into_bytes();
        // Nobody listens once the run has been given up.
        let _ = self.output.send(Chunk { stream: Stream::Stdout, bytes }).await;
    }
}

type Called = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Handler = Arc<dyn Fn(Context) -> Called + Send + Sync>;

/// Handlers by name.
///
/// ```
/// use cronclave::runner::{Context, Handlers};
///
/// let handlers = Handlers::new().register("greet", |context: Context| async move {
///     context.print(format!("hello from {}", context.work.job)).await;
///     Ok::<(), std::io::Error>(())
/// });
/// assert_eq!(handlers.names().collect::<Vec<_>>(), ["greet"]);
/// ```
#[derive(Clone, Default)]
pub struct Handlers(BTreeMap<String, Handler>);

impl Handlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `handler` as `name`, in place of an earlier one of that name. An error it returns, as
    /// well as a panic, fails the run.
    #[must_use]
    pub fn register<F, R, E>(mut self, name: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Context) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let call = move |context| -> Called {
            let running = handler(context);
            // The alternate form of `anyhow` tells the causes as well.
            Box::pin(async move { running.await.map_err(|error| format!("{error:#}")) })
        };
        self.0.insert(name.into(), Arc::new(call));
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Calls the handler `name`; see [`Runner::run`](super::Runner::run).
    pub(crate) async fn run(&self, name: &str, args: serde_json::Value, work: &Work, mut control: Control) -> Ended {
        let Some(handler) = self.0.get(name).cloned() else {
            return Ended::because(Outcome::Failed, self.unknown(name));
        };
        let cancelled = CancellationToken::new();
        let context = Context {
            work: work.clone(),
            args,
            cancelled: cancelled.clone(),
            trusted_until: control.trusted_until.clone(),
            output: control.output.clone(),
        };
        // A task, so that a panic ends the run alone; aborted with us.
        let mut task = AbortOnDropHandle::new(tokio::spawn(async move { handler(context).await }));
        tokio::select! {
            ended = &mut task => return report(ended),
            grace = control.stopped() => {
                cancelled.cancel();
                if let Ok(ended) = timeout(grace, &mut task).await {
                    return report(ended);
                }
            }
        }
        task.abort();
        report(task.await)
    }

    /// Why the handler `name` cannot be called, and which may be meant; nothing where it is there.
    pub fn missing(&self, name: &str) -> Option<String> {
        (!self.0.contains_key(name)).then(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<&str> = self.names().collect();
        if known.is_empty() {
            return format!("there is no handler `{name}`: this program registers none");
        }
        let near = |other: &&&str| strsim::jaro_winkler(name, other) > 0.8;
        match known
            .iter()
            .filter(near)
            .max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)))
        {
            Some(nearest) => format!("there is no handler `{name}`; is it `{nearest}`?"),
            None => format!("there is no handler `{name}`; this program registers {}", known.join(", ")),
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn report(ended: Result<Result<(), String>, JoinError>) -> Ended {
    match ended {
        Ok(Ok(())) => Ended::succeeded(),
        Ok(Err(why)) => Ended::because(Outcome::Failed, why),
        Err(error) => Ended::because(Outcome::Failed, of_task(error)),
    }
}

fn of_task(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("handler panicked: {}", words(panic.as_ref())),
        Err(_) => "handler did not end when it was asked to, and was dropped".to_owned(),
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)")
}

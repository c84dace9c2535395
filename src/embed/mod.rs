//! Cronclave within another program: [`Cronclave::builder`] sets a replica up, [`Cronclave`] is the running one.
//!
//! It hears no signals, prints nothing, installs no subscriber and never ends the process: what happens is told to
//! `tracing`, under the target `cronclave`, and the host says when to stop.

mod ask;
mod builder;
mod error;
#[cfg(feature = "http")]
mod site;
mod status;

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::desk::{AfterPause, Choice, Slice};
use crate::lease::RunId;
use crate::report;
use crate::service::{Running, Service};

pub use ask::Ask;
pub use builder::Builder;
pub use error::{Error, ErrorKind};
pub use status::{Run, Status};

/// In whose name the host asks.
const HOST: &str = "the program itself";

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A replica that runs within this program. A clone is the same replica; it goes on when all of them are dropped, until
/// it is told to stop or the runtime ends.
///
/// ```
/// use cronclave::{Context, Cronclave, State};
///
/// async fn greet(context: Context) -> Result<(), String> {
///     context.print(format!("hello, {}", context.given()["name"])).await;
///     Ok(())
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let place = tempfile::tempdir()?;
/// let cron = Cronclave::builder()
///     .toml("jobs.toml", "version = 1\n[jobs.greet]\nschedule = \"@manual\"\nhandler = \"greet\"\n")
///     .handler("greet", greet)
///     .sqlite(place.path().join("cron.db"))
///     .start()
///     .await?;
///
/// let run = cron.trigger("greet").arg("name", "Ada").reason("the documentation").key("once").await?;
/// # let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
/// while !cron.run(run).await?.state.is_final() {
/// #   assert!(std::time::Instant::now() < deadline);
///     tokio::time::sleep(std::time::Duration::from_millis(20)).await;
/// }
/// assert_eq!(cron.run(run).await?.state, State::Succeeded);
/// assert_eq!(cron.status("greet").await?.last.unwrap().id, run.to_string());
/// assert_eq!(cron.statuses().await?.len(), 1);
///
/// cron.pause("greet", Some("holidays".into())).await?;
/// assert!(cron.status("greet").await?.paused);
/// cron.resume("greet").await?;
///
/// let stopping = tokio::spawn(cron.stopping()); // As a server beside it would wait.
/// cron.shutdown().await; // What runs may end within the grace.
/// stopping.await?;
/// cron.stopped().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cronclave(Arc<Inner>);

struct Inner {
    running: Running,
    #[cfg(feature = "http")]
    site: site::Site,
    /// Whether all is over.
    over: watch::Receiver<bool>,
}

impl fmt::Debug for Cronclave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cronclave").field("replica", &self.0.running.desk.parts.holder).finish_non_exhaustive()
    }
}

impl Cronclave {
    /// Sets up a replica.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn begin(service: Service, stop: Option<Task>) -> Result<Cronclave, Error> {
        let bus = &service.parts.bus;
        let telling = report::trace(bus.listen(), bus.meter());
        #[cfg(feature = "http")]
        let web = service.process.web.clone();
        let (running, work) = service.begin();
        #[cfg(feature = "http")]
        let site = site::Site::open(&web, &running)?;
        let (ended, over) = watch::channel(false);
        let soft = running.scene.stop.clone();
        tokio::spawn(async move {
            let stopping = async {
                if let Some(stop) = stop {
                    tokio::select! { () = stop => soft.softly(), () = soft.soft() => {} }
                }
            };
            tokio::join!(work, stopping);
            ended.send_replace(true);
        });
        tokio::spawn(until_over(over.clone(), telling));
        let inner = Inner {
            running,
            #[cfg(feature = "http")]
            site,
            over,
        };
        Ok(Cronclave(Arc::new(inner)))
    }

    /// Asks for a run of a job, by whichever replica sees it first. Await what this returns.
    pub fn trigger(&self, job: impl Into<String>) -> Ask {
        Ask::new(self.clone(), job.into())
    }

    /// How a job fares.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Store`].
    pub async fn status(&self, job: &str) -> Result<Status, Error> {
        Ok(Status::of(&self.0.running.desk.one_job(job).await?.it.job))
    }

    /// How all jobs fare, in order of their names.
    ///
    /// # Errors
    /// [`ErrorKind::Store`].
    pub async fn statuses(&self) -> Result<Vec<Status>, Error> {
        let jobs = self.0.running.desk.jobs(&Choice::default(), &Slice::first(usize::MAX)).await?;
        Ok(jobs.items.iter().map(Status::of).collect())
    }

    /// What became of a run so far.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Store`].
    pub async fn run(&self, id: RunId) -> Result<Run, Error> {
        Ok(Run::of(&self.0.running.desk.run(&id.to_string()).await?.it.run))
    }

    /// Starts nothing of a job until it is resumed, in the whole cluster; what comes due meanwhile is skipped.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Store`].
    pub async fn pause(&self, job: &str, reason: Option<String>) -> Result<(), Error> {
        Ok(self.0.running.desk.pause(job, None, reason, Some(HOST.into())).await.map(drop)?)
    }

    /// Starts a job again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Store`].
    pub async fn resume(&self, job: &str) -> Result<(), Error> {
        Ok(self.0.running.desk.resume(job, AfterPause::Skip, Some(HOST.into())).await.map(drop)?)
    }

    /// Stops and waits for the end: nothing new is started, what runs may end within [`Builder::grace`].
    pub async fn shutdown(&self) {
        self.0.running.scene.stop.softly();
        self.stopped().await;
    }

    /// Until it is told to stop: a host that waits for this stops together with it.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        let stop = self.0.running.scene.stop.clone();
        async move { stop.soft().await }
    }

    /// Until all is over: the last run has ended and is on record.
    pub async fn stopped(&self) {
        // Nobody can say it any more once the runtime ends.
        let _ = self.0.over.clone().wait_for(|over| *over).await;
    }
}

/// Goes on with a task until all is over, and once more then: what happened last is told as well.
async fn until_over(mut over: watch::Receiver<bool>, task: impl Future<Output = ()>) {
    let mut task = pin!(task);
    tokio::select! {
        () = &mut task => return,
        _ = over.wait_for(|over| *over) => {}
    }
    let _ = timeout(Duration::ZERO, task).await;
}

//! What people may ask of a cluster, one small function each, in the words of [`crate::shape`]. No HTTP in it: the
//! API, the command line and the dashboard stand on it alike. Nothing here decides: it asks the store, as replicas do.

mod act;
pub mod ansi;
mod audit;
mod cluster;
mod config;
mod day;
mod explain;
mod fences;
mod hooks;
mod jobs;
mod lanes;
mod last;
mod load;
mod locks;
mod logs;
mod occurrences;
mod outputs;
mod page;
mod past;
mod printout;
mod refusal;
mod requests;
mod runs;
mod said;
mod timeline;
mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::config::Diagnostic;
use crate::event::{About, Told};
use crate::hook;
use crate::job::{Job, JobName};
use crate::parts::Parts;
use crate::record::{Op, Open};
use crate::replica::{Jobs, Pulse};
use crate::shape;
use crate::store::{Answer, StoreError, Trouble};

pub use act::{AfterPause, Asked};
pub use day::{Day, Hour};
pub use explain::{Meaning, Question, Texts, Unclear, explain, zone};
pub use jobs::{Choice, Detail, nearest_job};
pub use lanes::{Bar, Closed, Lanes, Mark, Reach, Shut, ToCome, Track, track};
pub use last::{Lines, Look};
pub use load::{Bucket, Crowd, Load, load};
pub use logs::{Log, Part};
pub use occurrences::{PassedOver, Span};
pub use page::Slice;
pub use past::Fill;
pub use printout::{Printout, Selection, Shown};
pub use refusal::{Refusal, Why, Wrong, in_the_way, in_the_way_of};
pub use runs::{Filter, state};
pub use timeline::Window;
pub use work::{Begun, Finish, Hold, Kept, Settled};

/// A change is waited for this long.
const PATIENCE: Duration = Duration::from_secs(8);

/// Items of a list that are shown unless more are asked for.
pub const LIMIT: usize = 50;

/// Items of a list that are shown at most.
pub const MOST: usize = 500;

/// Asks the process to read its schedule files again; the answer says what came of it.
pub type ReloadAsked = oneshot::Sender<Result<shape::Reloaded, Vec<Diagnostic>>>;

/// Where people ask.
pub struct Desk {
    /// What the process works with.
    pub parts: Parts,
    /// The jobs, as the files say now.
    pub jobs: watch::Receiver<Arc<Jobs>>,
    /// How the replica does.
    pub pulse: watch::Receiver<Pulse>,
    /// The way to whoever reads the files; absent where nobody does.
    reload: Option<mpsc::Sender<ReloadAsked>>,
    /// How hooks are told.
    hooks: hook::Settings,
    /// Whether a broker is expected even when no job names a queue.
    distributed: bool,
    last: last::Last,
    recent: jobs::Recent,
    printouts: printout::Printouts,
}

impl Desk {
    /// A desk of a process whose jobs may change.
    pub fn new(parts: Parts, jobs: watch::Receiver<Arc<Jobs>>, pulse: watch::Receiver<Pulse>) -> Desk {
        let (last, recent) = (last::Last::default(), jobs::Recent::default());
        let (hooks, printouts) = (hook::Settings::default(), printout::Printouts::default());
        Desk { parts, jobs, pulse, reload: None, hooks, distributed: false, last, recent, printouts }
    }

    /// A desk of a process that is no replica, and whose jobs never change.
    pub fn with_jobs(parts: Parts, jobs: Jobs) -> Desk {
        Desk::new(parts, watch::channel(Arc::new(jobs)).1, watch::channel(Pulse::default()).1)
    }

    /// The same, where the files can be read again.
    #[must_use]
    pub fn reloading(mut self, reload: mpsc::Sender<ReloadAsked>) -> Desk {
        self.reload = Some(reload);
        self
    }

    /// The same, where hooks are told like this.
    #[must_use]
    pub fn telling(mut self, hooks: hook::Settings) -> Desk {
        self.hooks = hooks;
        self
    }

    /// The same, where `status` shows the broker in any case: the store is shared by many machines.
    #[must_use]
    pub fn distributed(mut self, distributed: bool) -> Desk {
        self.distributed = distributed;
        self
    }

    /// The jobs in force.
    pub fn known(&self) -> Arc<Jobs> {
        self.jobs.borrow().clone()
    }

    /// The job of this name.
    ///
    /// # Errors
    /// There is none: the nearest name.
    pub fn job(&self, name: &str) -> Result<Arc<Job>, Refusal> {
        let jobs = self.known();
        let found = JobName::new(name).ok().and_then(|name| jobs.by_name.get(&name).cloned());
        found.ok_or_else(|| nearest_job(name, jobs.by_name.keys().map(JobName::as_str)))
    }

    /// Asks `op` of a job's record, and tells what changed.
    pub(crate) async fn apply(&self, job: &JobName, op: &Op) -> Result<Answer, Refusal> {
        let asking = self.parts.store.apply(job, op);
        let answer = timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(self.silent(PATIENCE)))?;
        self.parts.bus.tell_all(answer.events.clone());
        Ok(answer)
    }

    /// Tells what is known of a run before something is done to it: its end does not say how it began.
    fn tell_about(&self, open: &Open) {
        self.parts.bus.tell(Told::About(About::open(open)));
    }

    /// The store said nothing for so long.
    fn silent(&self, limit: Duration) -> StoreError {
        let message = format!("{}: no answer within {} s", self.parts.store.describe(), limit.as_secs());
        StoreError { kind: Trouble::Passing, message }
    }
}

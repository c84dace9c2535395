//! What happens in this process, told once to whoever listens. Nobody waits for a listener: a
//! slow one loses what it did not take in time.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio::sync::broadcast;

use crate::check::{Check, Checks};
use crate::clock::Timestamp;
use crate::job::{Job, JobName, QueueName, Task};
use crate::lease::{Fence, RunId, Work};
use crate::ledger::Event;
use crate::measure::{Follower, Measure};
use crate::record::Open;
use crate::runner::Stream;
use crate::store::Repaired;

/// Something that happened here.
#[derive(Clone, Debug)]
pub enum Told {
    /// A record changed by this process's doing.
    Changed(Event),
    /// What is known of a run, and the changes that are told next do not say.
    About(About),
    /// A run printed a line.
    Line {
        /// Whose.
        job: JobName,
        /// Which run.
        run_id: RunId,
        /// Where it was printed.
        stream: Stream,
        /// What, without its line end.
        text: String,
    },
    /// The store stopped answering.
    StoreDown(String),
    /// It has not answered for long.
    StoreAway(Away),
    /// It answers again, after so many seconds.
    StoreUp(f64),
    /// It is another one, or has lost what it confirmed: nothing starts until it has been given back.
    StoreChanged(String),
    /// It was given back what it lost.
    StoreRepaired(Repaired),
    /// New schedule files are in force.
    Reloaded {
        /// Their digest.
        digest: String,
        /// How many jobs they hold.
        jobs: usize,
    },
    /// New schedule files have mistakes; the old ones stay in force.
    Rejected(String),
    /// A run said how far it is.
    Progress {
        /// Whose.
        job: JobName,
        /// Which run.
        run_id: RunId,
        /// From 0 to 100.
        percent: f64,
        /// What it is at, in its own words.
        message: String,
    },
    /// Something was sent to a hook, or is not sent any more.
    Delivery {
        /// Who was told: `hook/NAME`, `webhook/ID` or `ping/JOB`.
        hook: String,
        /// The event's id.
        event: String,
        /// Its kind.
        kind: String,
        /// What came of it.
        outcome: Delivered,
        /// Why it was not taken.
        message: Option<String>,
    },
    /// A message was not heeded: a copy, an outdated request, one for something that is over.
    Dropped(String),
    /// Something an operator should look at.
    Warning(String),
    /// A process finds something wrong with itself, or with what it depends on.
    Failing(Check, String),
    /// That is over.
    Mended(Check, String),
}

/// What goes on and what waits while the store does not answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Away {
    /// For so many seconds by now.
    pub secs: f64,
    /// Runs that go on here.
    pub running: usize,
    /// Until when the last of their leases is trusted, by the store's clock.
    pub until: Option<Timestamp>,
    /// Occurrences that have come due, paused jobs' included.
    pub due: usize,
    /// There are more of them than were counted.
    pub more: bool,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Away { secs, running, until, due, more } = self;
        write!(f, "no answer for {secs:.0} s; ")?;
        match (running, until) {
            (0, _) | (_, None) => write!(f, "nothing runs here; ")?,
            (1, Some(until)) => write!(f, "1 run keeps its lease until {until}; ")?,
            (_, Some(until)) => write!(f, "{running} runs keep their leases, the last until {until}; ")?,
        }
        let least = if *more { "more than " } else { "" };
        match due {
            0 => write!(f, "nothing has come due"),
            1 => write!(f, "1 occurrence has come due, and is caught up with as its job's `misfire` says"),
            due => {
                write!(f, "{least}{due} occurrences have come due, and are caught up with as each job's `misfire` says")
            }
        }
    }
}

/// What came of sending something to a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It was taken.
    Taken,
    /// It is sent again.
    Retrying,
    /// It is not sent again; it can be looked at, and sent again on request.
    Failed,
    /// The receiver wants no more of them: it is told nothing from now on.
    SwitchedOff,
}

impl Delivered {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Delivered::Taken => "delivered",
            Delivered::Retrying => "retrying",
            Delivered::Failed => "failed",
            Delivered::SwitchedOff => "switched_off",
        }
    }
}

/// What is known of a run beside what changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Which run.
    pub run_id: RunId,
    /// Its instant.
    pub scheduled_at: Timestamp,
    /// The word for why it exists.
    pub trigger: &'static str,
    /// The queue of the worker that runs it, if one does.
    pub queue: Option<QueueName>,
    /// The mutex it holds.
    pub lock: Option<String>,
    /// The claim under which it was started, and when.
    pub started: Option<(Fence, Timestamp)>,
}

impl About {
    /// As whoever carries it out knows it.
    pub fn work(job: &Job, work: &Work) -> About {
        About {
            run_id: work.run_id,
            scheduled_at: work.scheduled_at,
            trigger: work.trigger.kind(),
            queue: match &job.task {
                Task::Queue(queue, _) => Some(queue.clone()),
                Task::Run(_) | Task::Publish(_) => None,
            },
            lock: job.mutex.clone(),
            started: None,
        }
    }

    /// As the record knows it.
    pub fn open(open: &Open) -> About {
        About {
            run_id: open.run_id,
            scheduled_at: open.scheduled_at,
            trigger: open.trigger.kind(),
            queue: None,
            lock: open.mutex.clone(),
            started: open.started_at.map(|at| (open.fence, at)),
        }
    }
}

/// A client that follows events, counted for as long as this lives.
#[derive(Debug)]
pub struct Following(Bus);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.measure(Measure::Follower(Follower::Left));
    }
}

/// Counts what happens. It is called by whoever does it, so it has to be quick; nothing gets lost on the way.
pub trait Meter: Send + Sync {
    /// Something was told.
    fn told(&self, told: &Told);
    /// Something was measured.
    fn measured(&self, measure: &Measure);
}

/// The way to the listeners.
#[derive(Clone)]
pub struct Bus {
    listeners: broadcast::Sender<Arc<Told>>,
    meter: ToMeter,
    checks: Checks,
}

/// The way to the meter alone, for a listener: who could tell something as well would wait for itself at the end.
#[derive(Clone, Default)]
pub struct ToMeter(Arc<OnceLock<Arc<dyn Meter>>>);

impl ToMeter {
    /// Has it counted.
    pub fn measure(&self, measure: &Measure) {
        if let Some(meter) = self.0.get() {
            meter.measured(measure);
        }
    }
}

impl fmt::Debug for ToMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToMeter").finish_non_exhaustive()
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("listeners", &self.listeners.receiver_count()).finish_non_exhaustive()
    }
}

impl Default for Bus {
    fn default() -> Self {
        Bus { listeners: broadcast::channel(4096).0, meter: ToMeter::default(), checks: Checks::default() }
    }
}

impl Bus {
    /// Tells it to all who listen now.
    pub fn tell(&self, told: Told) {
        if let Some(meter) = self.meter.0.get() {
            meter.told(&told);
        }
        // No listener is no error.
        let _ = self.listeners.send(Arc::new(told));
    }

    /// Tells what an answer of the store changed.
    pub fn tell_all(&self, events: Vec<Event>) {
        for event in events {
            self.tell(Told::Changed(event));
        }
    }

    /// Something is wrong. It is told when that begins, and again when the words for it are others.
    pub fn fail(&self, check: Check, text: String) {
        if self.checks.fail(check, &text) {
            self.tell(Told::Failing(check, text));
        }
    }

    /// It is right, for which these are the words. Told when it was wrong.
    pub fn mend(&self, check: Check, text: impl Into<String>) {
        if self.checks.mend(check) {
            self.tell(Told::Mended(check, text.into()));
        }
    }

    /// What is wrong in this process now.
    pub fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Has it counted.
    pub fn measure(&self, measure: Measure) {
        self.meter.measure(&measure);
    }

    /// The way to the meter.
    pub fn meter(&self) -> ToMeter {
        self.meter.clone()
    }

    /// A client follows events from now on.
    pub fn following(&self) -> Following {
        self.measure(Measure::Follower(Follower::Came));
        Following(self.clone())
    }

    /// Has everything counted from now on. The first who asks for it gets it.
    pub fn set_meter(&self, meter: Arc<dyn Meter>) {
        let _ = self.meter.0.set(meter);
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Told>> {
        self.listeners.subscribe()
    }
}

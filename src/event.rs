//! What happens in this process, told once to whoever listens. Nobody waits for a listener: a
//! slow one loses what it did not take in time.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::job::JobName;
use crate::lease::RunId;
use crate::ledger::Event;
use crate::runner::Stream;

/// Something that happened here.
#[derive(Clone, Debug)]
pub enum Told {
    /// A record changed by this process's doing.
    Changed(Event),
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
    /// It answers again, after so many seconds.
    StoreUp(f64),
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

/// The way to the listeners.
#[derive(Clone, Debug)]
pub struct Bus(broadcast::Sender<Arc<Told>>);

impl Default for Bus {
    fn default() -> Self {
        Bus(broadcast::channel(4096).0)
    }
}

impl Bus {
    /// Tells it to all who listen now.
    pub fn tell(&self, told: Told) {
        // No listener is no error.
        let _ = self.0.send(Arc::new(told));
    }

    /// Tells what an answer of the store changed.
    pub fn tell_all(&self, events: Vec<Event>) {
        for event in events {
            self.tell(Told::Changed(event));
        }
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Told>> {
        self.0.subscribe()
    }
}

//! Handlers that really run, in a time that takes no time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::Timestamp;
use crate::job::{Action, Job, JobName};
use crate::lease::{Ended, Outcome, Work};
use crate::runner::{Control, Halt, Handlers};
use crate::simulate::{Course, Cue, Stage};

/// What code does that does not really run.
#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    pub(super) takes: Option<Duration>,
    /// How likely an attempt fails, 0 to 1.
    pub(super) fails: f64,
    /// So many attempts of each run fail.
    pub(super) fails_first: u32,
}

/// What runs printed, by their ids.
pub(super) type Printed = Arc<Mutex<BTreeMap<String, String>>>;

/// Handlers, and the time that they live in.
pub(super) struct Actors {
    pub(super) handlers: Handlers,
    pub(super) scripts: BTreeMap<JobName, Script>,
    pub(super) dice: crate::parts::Dice,
    pub(super) printed: Printed,
    /// Its clock stands still unless all that runs in it waits. Taken apart at the end without waiting.
    runtime: Option<Runtime>,
    /// The same moment in the simulation and in the runtime.
    anchor: (Timestamp, Instant),
    going: HashMap<Cue, Played>,
    /// Where each says how it ended, and where that is heard.
    over: mpsc::UnboundedSender<Over>,
    ended: mpsc::UnboundedReceiver<Over>,
}

/// Which is over, and how it ended.
type Over = (Cue, Ended);

/// A handler that runs.
struct Played {
    halt: watch::Sender<Halt>,
    task: AbortHandle,
}

/// Of what nothing else is said.
const USUAL: Duration = Duration::from_secs(1);

impl Actors {
    pub(super) fn new(seed: u64, printed: Printed) -> std::io::Result<Actors> {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let now = now_in(&runtime);
        let (over, ended) = mpsc::unbounded_channel();
        Ok(Actors {
            handlers: Handlers::new(),
            scripts: BTreeMap::new(),
            // Others than those of the world, so that one does not change what the other throws.
            dice: crate::parts::Dice::seeded(seed.wrapping_add(1)),
            printed,
            runtime: Some(runtime),
            anchor: (Timestamp::EPOCH, now),
            going: HashMap::new(),
            over,
            ended,
        })
    }

    fn is_failing(&mut self, script: &Script, work: &Work) -> bool {
        work.attempt <= script.fails_first || (script.fails > 0.0 && self.dice.roll() < script.fails)
    }
}

/// What the clock of a runtime reads; that of another runtime may be around us.
fn now_in(runtime: &Runtime) -> Instant {
    let _inside = runtime.enter();
    Instant::now()
}

impl Drop for Actors {
    fn drop(&mut self) {
        // It may be within another runtime, where none may be waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Stage for Actors {
    fn course(&mut self, job: &Job, work: &Work) -> Course {
        let script = self.scripts.get(&job.name).cloned().unwrap_or_default();
        let fails = self.is_failing(&script, work);
        let is_handler = matches!(job.task.action(), Some(Action::Handler { .. }));
        // One that is said to fail does so without having run.
        if is_handler && !fails && script.takes.is_none() {
            return Course::Plays;
        }
        let ended = match fails {
            true => {
                Ended { exit_code: (!is_handler).then_some(1), ..Ended::because(Outcome::Failed, "the test says so") }
            }
            false => Ended { exit_code: (!is_handler).then_some(0), ..Ended::succeeded() },
        };
        Course::Ends(script.takes.unwrap_or(USUAL), ended)
    }

    fn begin(&mut self, cue: Cue, job: &Arc<Job>, work: &Work, now: Timestamp) {
        let (Some(runtime), Some(Action::Handler { name, args })) = (&self.runtime, job.task.action()) else { return };
        let (handlers, printed, over) = (self.handlers.clone(), self.printed.clone(), self.over.clone());
        let (name, args, work, lease) = (name.clone(), args.clone(), work.clone(), job.lease);
        let (halt, halt_there) = watch::channel(Halt::Go);
        let is_first = self.going.is_empty();
        let began = now_in(runtime);
        if is_first {
            self.anchor = (now, began);
        }
        let task = runtime.spawn(async move {
            let (trust, trusted_until) = watch::channel(began + lease);
            let (output, mut chunks) = mpsc::channel(64);
            let id = work.run_id.to_string();
            let keep = |bytes: &[u8]| {
                let mut all = printed.lock().unwrap_or_else(PoisonError::into_inner);
                all.entry(id.clone()).or_default().push_str(&String::from_utf8_lossy(bytes));
            };
            let control = Control { halt: halt_there, trusted_until, output };
            let running = handlers.run(&name, args, &work, control);
            let renewing = async {
                loop {
                    sleep(lease / 3).await;
                    trust.send_replace(Instant::now() + lease);
                }
            };
            let taking = async {
                while let Some(chunk) = chunks.recv().await {
                    keep(&chunk.bytes);
                }
                std::future::pending().await
            };
            let ended = tokio::select! {
                biased;
                ended = running => ended,
                () = renewing => Ended::succeeded(),
                () = taking => Ended::succeeded(),
            };
            while let Ok(chunk) = chunks.try_recv() {
                keep(&chunk.bytes);
            }
            // The stage is gone only with everything else.
            let _ = over.send((cue, ended));
        });
        self.going.insert(cue, Played { halt, task: task.abort_handle() });
    }

    fn halt(&mut self, cue: Cue, grace: Duration) {
        if let Some(played) = self.going.get(&cue) {
            played.halt.send_replace(Halt::Stop { grace });
        }
    }

    fn lose(&mut self, cue: Cue) {
        if let Some(played) = self.going.remove(&cue) {
            played.task.abort();
        }
    }

    fn play(&mut self, until: Timestamp) -> Option<(Cue, Timestamp, Ended)> {
        let runtime = self.runtime.as_ref()?;
        let (world, own) = self.anchor;
        let end = own + until.since(world);
        let ended = &mut self.ended;
        let going = &mut self.going;
        runtime.block_on(async {
            loop {
                let (cue, how) = tokio::select! {
                    biased;
                    Some(over) = ended.recv() => over,
                    () = sleep_until(end) => return None,
                };
                // One that went with its replica may have been at its end.
                if going.remove(&cue).is_some() {
                    return Some((cue, world.plus(Instant::now() - own), how));
                }
            }
        })
    }
}

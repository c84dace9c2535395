//! Schedule files that are read again: when they change, and when somebody asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::{jobs, sources};
use crate::clock::Clock;
use crate::config::{self, Diagnostic, SourceText, Stamp};
use crate::desk::ReloadAsked;
use crate::event::{Bus, Told};
use crate::hash::stable_digest;
use crate::replica::Jobs;
use crate::shape::Reloaded;

/// How often schedule files are read again. Asking beats being told: mounted configuration is
/// swapped under its name, which notification services miss.
const WATCH: Duration = Duration::from_secs(2);

/// Looks at the same stamps after which files are taken for the same: whatever is written within the tick of a clock that
/// stamps them shows at the second.
const SURE: u32 = 2;

/// Every so many looks they are read all the same: not every file system can be trusted with its stamps.
const UNSURE: u32 = 30;

/// What tells these texts from any others.
pub(super) fn digest(sources: &[SourceText]) -> [u8; 32] {
    let parts = sources.iter().flat_map(|source| [source.name.as_bytes(), source.text.as_bytes()]);
    stable_digest(&parts.collect::<Vec<_>>())
}

/// Keeps the jobs as the files say.
pub(super) struct Reload {
    pub(super) paths: Vec<PathBuf>,
    /// What no file has.
    pub(super) inline: Vec<SourceText>,
    /// Which texts were looked at last, good or bad. The texts of many jobs are long.
    pub(super) seen: [u8; 32],
    pub(super) watch: bool,
    pub(super) jobs: watch::Sender<Arc<Jobs>>,
    pub(super) bus: Bus,
    /// How the files looked from outside, and how often in a row.
    pub(super) stamps: Option<Vec<Stamp>>,
    pub(super) looks: u32,
    /// Those who ask for it.
    pub(super) asked: mpsc::Receiver<ReloadAsked>,
}

impl Reload {
    /// Answers those who ask, and watches the files, for as long as the service lives.
    pub(super) async fn keep(mut self) {
        let mut look = Instant::now() + WATCH;
        loop {
            tokio::select! {
                Some(answer) = self.asked.recv() => drop(answer.send(self.now(true))),
                () = sleep_until(look), if self.watch => {
                    look = Instant::now() + WATCH;
                    if !self.look_the_same() {
                        let _ = self.now(false);
                    }
                }
                else => return,
            }
        }
    }

    /// Whether the files need not be read to know that they are as they were.
    fn look_the_same(&mut self) -> bool {
        let stamps = config::stamps(&self.paths);
        self.looks = if stamps.is_some() && stamps == self.stamps { self.looks.wrapping_add(1) } else { 0 };
        self.stamps = stamps;
        self.looks >= SURE && !self.looks.is_multiple_of(UNSURE)
    }

    /// Reads the files; unless `asked`, only acts when they changed. A mistake changes nothing.
    fn now(&mut self, asked: bool) -> Result<Reloaded, Vec<Diagnostic>> {
        let sources = match sources(&self.paths, &self.inline, &mut std::io::empty()) {
            Ok(sources) => sources,
            Err(wrong) => {
                // Told once, and again when it is other files that cannot be read.
                let seen = digest(&[SourceText { name: config::report(&wrong, false), text: "".into() }]);
                if asked || self.seen != seen {
                    self.bus.tell(Told::Rejected(config::report(&wrong, false)));
                }
                self.seen = seen;
                return Err(wrong);
            }
        };
        let seen = digest(&sources);
        if !asked && self.seen == seen {
            return Ok(self.as_it_is(false));
        }
        let before = self.jobs.borrow().digest.clone();
        let done = match config::load(&sources, &config::environment, Clock::system().now()) {
            Ok(config) => {
                let jobs = jobs(&config);
                self.bus.tell(Told::Reloaded { digest: jobs.digest.clone(), jobs: jobs.by_name.len() });
                self.jobs.send_replace(Arc::new(jobs));
                Ok(self.as_it_is(self.jobs.borrow().digest != before))
            }
            Err(wrong) => {
                self.bus.tell(Told::Rejected(config::report(&wrong, false)));
                Err(wrong)
            }
        };
        self.seen = seen;
        done
    }

    fn as_it_is(&self, changed: bool) -> Reloaded {
        let jobs = self.jobs.borrow();
        Reloaded { digest: jobs.digest.clone(), jobs: jobs.by_name.len(), changed }
    }
}

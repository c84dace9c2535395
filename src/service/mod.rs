//! From a configuration to a running replica or worker. Whoever starts one hears signals, listens and talks to systemd: a
//! program of its own does so in `daemon`, an embedding one as it likes.

mod open;
mod reload;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::announce;
use crate::config::{Config, Process, SourceText};
use crate::desk::{Desk, ReloadAsked};
use crate::hook;
use crate::inbox;
use crate::job::QueueName;
use crate::metrics::{Metrics, StoreKind};
use crate::notify::Scene;
use crate::parts::Parts;
use crate::replica::{self, Identity, Pulse, Setup};
use crate::schedule::tzdb_version;
use crate::spans::Spans;
use crate::stop::Stop;
use crate::worker;
use reload::Reload;

pub use open::{Backends, hooks, jobs, open, open_without_record, parts, reach, read_config, sources, without_broker};

/// A replica with what surrounds it.
pub struct Service {
    /// How it is set up.
    pub process: Process,
    /// What it works with.
    pub parts: Parts,
    /// What it begins with.
    pub config: Config,
    /// The texts that came of.
    pub sources: Vec<SourceText>,
    /// Those of them that came with the program, and no file has.
    pub inline: Vec<SourceText>,
    /// Whether the files are read again as they change.
    pub watch: bool,
    /// What it does.
    pub role: Role,
}

/// What a process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Decides about occurrences, and runs what is not for workers.
    pub replica: bool,
    /// Carries out so many requests at once from each queue.
    pub slots: usize,
    /// From these queues; `None` means all that its jobs name.
    pub queues: Option<BTreeSet<QueueName>>,
}

impl Default for Role {
    /// A replica that is no worker.
    fn default() -> Self {
        Role { replica: true, slots: 0, queues: None }
    }
}

/// A service that was begun, as those see it who stand beside it.
#[derive(Clone)]
pub struct Running {
    /// Where people ask.
    pub desk: Arc<Desk>,
    /// What it counts.
    pub metrics: Metrics,
    /// How it is, and the way to stop it.
    pub scene: Scene,
    reload: mpsc::Sender<ReloadAsked>,
    over: Stop,
}

impl Running {
    /// Has the schedule files read again, and waits for that; what came of it is told on the bus.
    pub async fn reload(&self) {
        let (answer, answered) = oneshot::channel();
        if self.reload.send(answer).await.is_ok() {
            let _ = answered.await;
        }
    }

    /// Keeps what pages show from growing old, until the service is over. For whoever serves them.
    pub fn remember(&self) -> impl Future<Output = ()> + Send + use<> {
        self.desk.clone().remember(self.over.clone())
    }
}

impl Service {
    /// What others see of it, and the work itself: to be awaited until `parts.stop` has been told and all is drained.
    pub fn begin(self) -> (Running, impl Future<Output = ()> + Send) {
        let Service { process, parts, config, sources, inline, watch, role } = self;
        let (jobs_in, jobs_out) = watch::channel(Arc::new(jobs(&config)));
        let (pulse_in, pulse) = watch::channel(Pulse::default());
        let identity = Identity {
            boot_id: uuid::Uuid::now_v7().to_string(),
            name: process.replica.clone(),
            tzdb: tzdb_version().to_owned(),
        };
        let grace = process.grace;
        let setup = Setup { identity: identity.clone(), max_parallel: process.max_parallel, grace };
        let kind = if process.redis.is_some() { StoreKind::Redis } else { StoreKind::Sqlite };
        let (metrics, parts) = Metrics::of(parts, kind, jobs_out.clone());
        let (spans, parts) = Spans::of(parts, jobs_out.clone());
        // In one process they are listed as two, because they may as well be.
        let identity = Identity { boot_id: uuid::Uuid::now_v7().to_string(), ..identity };
        let working = worker::Setup { identity, queues: role.queues.clone(), slots: role.slots, grace };
        let over = Stop::default();
        let (reload_in, reload_out) = mpsc::channel(4);
        let desk = Desk::new(parts.clone(), jobs_out.clone(), pulse.clone())
            .reloading(reload_in.clone())
            .telling(hooks(&process));
        let desk = Arc::new(desk.distributed(process.redis.is_some()));
        let reload = Reload {
            paths: process.config.clone(),
            inline,
            seen: reload::digest(&sources),
            watch: watch && !process.config.iter().any(|path| path == Path::new("-")),
            jobs: jobs_in,
            bus: parts.bus.clone(),
            stamps: None,
            looks: 0,
            asked: reload_out,
        };
        let (runs, stop) = (parts.nudges.clone(), parts.stop.clone());
        let scene = Scene { pulse, runs, jobs: jobs_out.clone(), stop, grace };
        let running = Running { desk, metrics: metrics.clone(), scene, reload: reload_in, over: over.clone() };
        // It is large, and whoever passes it on by value leaves a copy of it on the stack, which the kernel never takes back.
        let work = Box::pin(async move {
            let reloading = tokio::spawn(reload.keep());
            let replica = async {
                if role.replica {
                    replica::run(parts.clone(), setup, jobs_out.clone(), pulse_in).await;
                } else {
                    pulse_in.send_replace(Pulse { ready: true, ..Pulse::default() });
                    parts.stop.soft().await;
                    pulse_in.send_replace(Pulse { stopping: true, ..Pulse::default() });
                }
            };
            let worker = async {
                if role.slots > 0 {
                    worker::run(parts.clone(), working, jobs_out.clone()).await;
                }
            };
            let working = async {
                tokio::join!(replica, worker);
                over.softly();
            };
            // What happens while it drains is announced as well. Without a RabbitMQ nobody would hear of it, nor answer.
            let until_over = Parts { stop: over.clone(), ..parts.clone() };
            let announcing = async {
                if role.replica && process.amqp.is_some() {
                    announce::run(until_over.clone()).await;
                } else if process.amqp.is_some() {
                    announce::run_for_worker(until_over.clone()).await;
                }
            };
            let hooking = async {
                if role.replica {
                    hook::run(until_over.clone(), hooks(&process), jobs_out.clone()).await;
                }
            };
            let taking_in = async {
                if role.replica && process.amqp.is_some() {
                    inbox::run(parts.clone(), jobs_out.clone()).await;
                }
            };
            let counting = async {
                tokio::select! {
                    () = metrics.keep_up() => {}
                    () = over.soft() => {}
                }
            };
            tokio::join!(working, announcing, hooking, taking_in, counting, spans.run(over.soft()));
            reloading.abort();
        });
        (running, work)
    }
}

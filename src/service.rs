//! From a configuration to a running process: the only place that picks a store and runners, and
//! that hears signals.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::announce;
#[cfg(feature = "amqp")]
use crate::broker::{Amqp, amqp};
use crate::broker::{Broker, Local, NoBroker};
use crate::clock::Clock;
use crate::config::{self, Config, Diagnostic, Process, SourceText};
use crate::desk::{Desk, ReloadAsked};
use crate::event::{Bus, Told};
use crate::hook;
use crate::http::Front;
use crate::inbox;
use crate::job::{Job, QueueName, Reach, Task};
use crate::metrics::{Metrics, StoreKind};
use crate::notify::{self, Notify, Scene};
use crate::parts::{Dice, Nudges, Parts, Waiting};
use crate::replica::{self, Identity, Jobs, Pulse, Setup};
use crate::runner::{CommandRunner, Handlers, HttpRunner, Runners};
use crate::schedule::tzdb_version;
use crate::shape::Reloaded;
use crate::spans::Spans;
use crate::stop::Stop;
#[cfg(feature = "redis")]
use crate::store::redis::{Redis, Time};
use crate::store::{Create, Memory, Sqlite, Store, StoreError};
use crate::worker;

/// How often schedule files are read again. Asking beats being told: mounted configuration is
/// swapped under its name, which notification services miss.
const WATCH: Duration = Duration::from_secs(2);

/// What processes of a cluster share.
#[derive(Clone)]
pub struct Backends {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The way for messages.
    pub broker: Arc<dyn Broker>,
}

/// Opens the store and the broker that `process` names. A server is first spoken to when it is first asked: a
/// replica starts without it, and waits.
///
/// # Errors
/// When they cannot be used.
pub fn open(process: &Process, create: Create) -> Result<Backends, StoreError> {
    #[cfg(feature = "redis")]
    if let Some(address) = &process.redis {
        return Ok(on_redis(process, Redis::open(address.clone(), &process.cluster, Time::Server)));
    }
    let file = Arc::new(Sqlite::open(&process.db, create, Clock::system())?);
    let local = || Arc::new(Local::new(file.clone(), Clock::system()));
    Ok(Backends { broker: rabbit(process).unwrap_or_else(|| local()), store: file.clone() })
}

/// The same for who needs the store now: speaks to its server, for a few seconds at most.
///
/// # Errors
/// When they cannot be used, or not now.
pub async fn reach(process: &Process, create: Create) -> Result<Backends, StoreError> {
    #[cfg(feature = "redis")]
    if let Some(address) = &process.redis {
        let redis = Redis::open(address.clone(), &process.cluster, Time::Server);
        redis.check().await?;
        return Ok(on_redis(process, redis));
    }
    open(process, create)
}

/// For a run that leaves no record: nothing is kept, and messages need a server.
pub fn open_without_record(process: &Process) -> Backends {
    let broker = rabbit(process).unwrap_or_else(|| Arc::new(NoBroker));
    Backends { store: Arc::new(Memory::new(Clock::system())), broker }
}

#[cfg(feature = "redis")]
fn on_redis(process: &Process, redis: Redis) -> Backends {
    Backends { store: Arc::new(redis), broker: rabbit(process).unwrap_or_else(|| Arc::new(NoBroker)) }
}

/// There is none in this build.
#[cfg(not(feature = "amqp"))]
fn rabbit(_: &Process) -> Option<Arc<dyn Broker>> {
    None
}

/// The RabbitMQ that `process` names.
#[cfg(feature = "amqp")]
fn rabbit(process: &Process) -> Option<Arc<dyn Broker>> {
    let settings = amqp::Settings {
        cluster: process.cluster.clone(),
        replica: process.replica.clone(),
        declare: process.declare,
        mqtt: process.mqtt,
    };
    Some(Arc::new(Amqp::open(process.amqp.clone()?, settings)))
}

/// Everything a replica or a single run works with.
pub fn parts(process: &Process, backends: Backends, handlers: Handlers) -> Parts {
    let common = BTreeMap::from([
        ("CRONCLAVE_REPLICA".to_owned(), process.replica.clone()),
        ("CRONCLAVE_CLUSTER".to_owned(), process.cluster.clone()),
    ]);
    let runner = Runners { command: CommandRunner::new(common), http: HttpRunner::new(), handlers };
    Parts {
        store: backends.store,
        broker: backends.broker,
        cluster: process.cluster.clone(),
        runner: Arc::new(runner),
        bus: Bus::default(),
        stop: Stop::default().hurrying(process.hurry),
        clock: Clock::system(),
        dice: Dice::random(),
        holder: process.replica.clone(),
        claim_ttl: Parts::CLAIM_TTL,
        tap: None,
        nudges: Nudges::default(),
        waiting: Waiting::default(),
    }
}

/// The jobs that need a RabbitMQ, where there is none.
pub fn without_broker<'a>(process: &Process, config: &'a Config) -> Vec<&'a str> {
    let needs = |job: &&Arc<Job>| match job.task {
        Task::Queue(..) => process.redis.is_some(),
        Task::Publish(_) => true,
        Task::Run(_) => false,
    };
    let all = config.jobs.iter().filter(|_| process.amqp.is_none());
    all.filter(needs).map(|job| job.name.as_str()).collect()
}

/// How hooks are told.
pub fn hooks(process: &Process) -> hook::Settings {
    let anywhere = process.private_webhooks;
    hook::Settings { reach: Reach { http: anywhere, private: anywhere }, ..hook::Settings::default() }
}

/// The jobs of a configuration, as a replica takes them.
pub fn jobs(config: &Config) -> Jobs {
    Jobs {
        by_name: config.jobs.iter().map(|job| (job.name.clone(), job.clone())).collect(),
        hooks: config.hooks.iter().map(|hook| (hook.name.clone(), hook.clone())).collect(),
        digest: config.digest.clone(),
    }
}

/// Reads and understands the schedule files.
///
/// # Errors
/// Every mistake in them.
pub fn read_config(paths: &[PathBuf]) -> Result<(Vec<SourceText>, Config), Vec<Diagnostic>> {
    let sources = config::find(paths, &mut std::io::stdin())?;
    let config = config::load(&sources, &config::environment, Clock::system().now())?;
    Ok((sources, config))
}

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
    /// Whether the files are read again as they change.
    pub watch: bool,
    /// Where HTTP is served, if it is.
    pub front: Option<Front>,
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

impl Service {
    /// Runs until a signal, then drains. A second signal ends the process at once.
    ///
    /// # Errors
    /// When signals cannot be heard.
    pub async fn run(self) -> std::io::Result<()> {
        let signals = Signals::hear()?;
        let (jobs_in, jobs_out) = watch::channel(Arc::new(jobs(&self.config)));
        let (pulse_in, pulse) = watch::channel(Pulse::default());
        let identity = Identity {
            boot_id: uuid::Uuid::now_v7().to_string(),
            name: self.process.replica.clone(),
            tzdb: tzdb_version().to_owned(),
        };
        let grace = self.process.grace;
        let setup = Setup { identity: identity.clone(), max_parallel: self.process.max_parallel, grace };
        let kind = if self.process.redis.is_some() { StoreKind::Redis } else { StoreKind::Sqlite };
        let (metrics, parts) = Metrics::of(self.parts.clone(), kind, jobs_out.clone());
        let (spans, parts) = Spans::of(parts, jobs_out.clone());
        // In one process they are listed as two, because they may as well be.
        let identity = Identity { boot_id: uuid::Uuid::now_v7().to_string(), ..identity };
        let working = worker::Setup { identity, queues: self.role.queues.clone(), slots: self.role.slots, grace };
        let over = Stop::default();
        let (reload_in, reload_out) = mpsc::channel(4);
        let desk = Desk::new(parts.clone(), jobs_out.clone(), pulse.clone())
            .reloading(reload_in)
            .telling(hooks(&self.process));
        let desk = Arc::new(desk.distributed(self.process.redis.is_some()));
        let remembering = self.front.is_some().then(|| tokio::spawn(desk.clone().remember(over.clone())));
        let served = CancellationToken::new();
        let http = self.front.map(|front| tokio::spawn(front.serve(desk, metrics.clone(), served.clone())));
        let reload = Reload {
            paths: self.process.config.clone(),
            sources: self.sources,
            watch: self.watch && !self.process.config.iter().any(|path| path == Path::new("-")),
            jobs: jobs_in,
            bus: parts.bus.clone(),
            asked: reload_out,
        };
        let notify = Notify::of(&config::environment);
        let (runs, stop) = (parts.nudges.clone(), parts.stop.clone());
        let scene = Scene { pulse, runs, jobs: jobs_out.clone(), stop, grace };
        let telling = tokio::spawn(notify::keep_telling(notify.clone(), scene.clone()));
        let steering = tokio::spawn(steer(signals, scene, reload, notify));
        let replica = async {
            if self.role.replica {
                replica::run(parts.clone(), setup, jobs_out.clone(), pulse_in).await;
            } else {
                pulse_in.send_replace(Pulse { ready: true, ..Pulse::default() });
                parts.stop.soft().await;
                pulse_in.send_replace(Pulse { stopping: true, ..Pulse::default() });
            }
        };
        let worker = async {
            if self.role.slots > 0 {
                worker::run(parts.clone(), working, jobs_out.clone()).await;
            }
        };
        let working = async {
            tokio::join!(replica, worker);
            over.softly();
        };
        // What happens while it drains is announced as well. Without a RabbitMQ nobody would hear of it, nor answer.
        let announcing = async {
            if self.role.replica && self.process.amqp.is_some() {
                let parts = Parts { stop: over.clone(), ..parts.clone() };
                announce::run(parts).await;
            } else if self.process.amqp.is_some() {
                announce::run_for_worker(Parts { stop: over.clone(), ..parts.clone() }).await;
            }
        };
        let hooking = async {
            if self.role.replica {
                let parts = Parts { stop: over.clone(), ..parts.clone() };
                hook::run(parts, hooks(&self.process), jobs_out.clone()).await;
            }
        };
        let taking_in = async {
            if self.role.replica && self.process.amqp.is_some() {
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
        steering.abort();
        served.cancel();
        if let Some(remembering) = remembering {
            remembering.abort();
        }
        if let Some(http) = http {
            let _ = tokio::time::timeout(Duration::from_secs(2), http).await;
        }
        telling.abort();
        Ok(())
    }
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    usr2: Signal,
}

impl Signals {
    fn hear() -> std::io::Result<Signals> {
        Ok(Signals {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }
}

/// Hears signals and watches files for as long as the replica lives.
async fn steer(mut signals: Signals, scene: Scene, mut reload: Reload, notify: Notify) {
    let mut look = Instant::now() + WATCH;
    loop {
        tokio::select! {
            _ = signals.term.recv() => stopping(&scene, 15),
            _ = signals.int.recv() => stopping(&scene, 2),
            _ = signals.hup.recv() => reload.on_request(&notify),
            _ = signals.usr2.recv() => reload.on_request(&notify),
            Some(answer) = reload.asked.recv() => drop(answer.send(reload.now(true))),
            () = sleep(look.saturating_duration_since(Instant::now())), if reload.watch => {
                look = Instant::now() + WATCH;
                let _ = reload.now(false);
            }
        }
    }
}

/// The first signal drains; the second ends the process with the code a shell gives it.
fn stopping(scene: &Scene, number: i32) {
    if scene.stop.is_soft() {
        // What still runs is ended by its supervisor, which notices that we are gone.
        std::process::exit(128 + number);
    }
    // Some are about to begin, and some are a worker's.
    let text = match scene.pulse.borrow().running.max(scene.runs.leases().0) {
        0 => "stopping".to_owned(),
        running => format!("stopping: {running} going, waiting up to {:?} (signal again to stop at once)", scene.grace),
    };
    // That nobody reads it must not keep us from stopping.
    let _ = writeln!(std::io::stderr(), "{text}");
    scene.stop.softly();
}

/// Keeps the jobs as the files say.
struct Reload {
    paths: Vec<PathBuf>,
    /// The last texts looked at, good or bad.
    sources: Vec<SourceText>,
    watch: bool,
    jobs: watch::Sender<Arc<Jobs>>,
    bus: Bus,
    /// Those who ask for it over HTTP.
    asked: mpsc::Receiver<ReloadAsked>,
}

impl Reload {
    /// Reads the files because of a signal, which systemd may have had sent.
    fn on_request(&mut self, notify: &Notify) {
        notify.reloading();
        let _ = self.now(true);
        notify.reloaded();
    }

    /// Reads the files; unless `asked`, only acts when they changed. A mistake changes nothing.
    fn now(&mut self, asked: bool) -> Result<Reloaded, Vec<Diagnostic>> {
        let sources = match config::find(&self.paths, &mut std::io::empty()) {
            Ok(sources) => sources,
            Err(wrong) => {
                // Told once, and again when it is other files that cannot be read.
                let seen = vec![SourceText { name: config::report(&wrong, false), text: String::new() }];
                if asked || self.sources != seen {
                    self.bus.tell(Told::Rejected(config::report(&wrong, false)));
                }
                self.sources = seen;
                return Err(wrong);
            }
        };
        if !asked && sources == self.sources {
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
        self.sources = sources;
        done
    }

    fn as_it_is(&self, changed: bool) -> Reloaded {
        let jobs = self.jobs.borrow();
        Reloaded { digest: jobs.digest.clone(), jobs: jobs.by_name.len(), changed }
    }
}

//! From a configuration to what a process works with: the only place that picks a store, a broker and runners.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "amqp")]
use crate::broker::{Amqp, amqp};
use crate::broker::{Broker, Local, NoBroker};
use crate::clock::Clock;
use crate::config::{self, Config, Diagnostic, Process, SourceText};
use crate::event::Bus;
use crate::hook;
use crate::job::{ByName, Job, Reach, Task};
use crate::parts::{Dice, Nudges, Parts, Waiting};
use crate::replica::Jobs;
use crate::runner::{CommandRunner, Handlers, HttpRunner, Runners};
use crate::stop::Stop;
#[cfg(feature = "redis")]
use crate::store::redis::{Redis, Time};
use crate::store::{Create, Memory, Sqlite, Store, StoreError};

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
    let mut by_name: ByName<_> = config.jobs.iter().map(|job| (job.name.clone(), job.clone())).collect();
    by_name.sort_unstable_keys();
    Jobs {
        by_name,
        hooks: config.hooks.iter().map(|hook| (hook.name.clone(), hook.clone())).collect(),
        digest: config.digest.clone(),
    }
}

/// Reads and understands the schedule files.
///
/// # Errors
/// Every mistake in them.
pub fn read_config(paths: &[PathBuf]) -> Result<(Vec<SourceText>, Config), Vec<Diagnostic>> {
    let sources = sources(paths, &[], &mut std::io::stdin())?;
    let config = config::load(&sources, &config::environment, Clock::system().now())?;
    Ok((sources, config))
}

/// The texts of the schedules: `inline`, which no file has, and what `paths` name. Without either, the usual places.
///
/// # Errors
/// What cannot be read.
pub fn sources(
    paths: &[PathBuf],
    inline: &[SourceText],
    stdin: &mut dyn Read,
) -> Result<Vec<SourceText>, Vec<Diagnostic>> {
    let mut all = inline.to_vec();
    if all.is_empty() || !paths.is_empty() {
        all.extend(config::find(paths, stdin)?);
    }
    Ok(all)
}

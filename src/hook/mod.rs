//! Tells services of events by HTTP, pings, and starts the jobs that follow others.
//!
//! The store's feed of events is an outbox: one replica at a time reads it and writes down, for each event, who is to
//! be told, before it moves its mark. What is written down is sent until it was taken, by whoever has the outbox then.

mod deliver;
mod delivery;
mod dispatch;
pub mod guard;
mod pauses;
mod queue;
mod registration;
mod registry;
mod send;
pub mod shape;
mod target;
mod words;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::broker::cloud::CloudEvent;
use crate::job::{Hook, Reach};
use crate::parts::Parts;
use crate::replica::Jobs;
use crate::store::{StoreError, Trouble};

pub use delivery::{Content, Delivery, Mishap, Nobody, Standing, To};
pub use pauses::Pauses;
pub use registration::{Off, Refused, Registered, Registration, Secret, Wish};
pub use registry::Registry;
pub use send::{Then, Verdict};
pub use target::{Following, Known, following};

/// A store that does not answer for this long is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// How hooks are told.
#[derive(Clone)]
pub struct Settings {
    /// Where webhooks that were registered by the API may be.
    pub reach: Reach,
    /// How names are resolved.
    pub lookup: guard::Lookup,
    /// The pauses before each try.
    pub pauses: Pauses,
    /// The same for pings.
    pub pings: Pauses,
    /// Whoever sees to what follows events, and does not say so for this long, has another take over. Default 15 s.
    pub hold: Duration,
}

impl Default for Settings {
    /// To public addresses, as this machine resolves names, with the pauses of Standard Webhooks.
    fn default() -> Settings {
        Settings {
            reach: Reach::default(),
            lookup: guard::system(),
            pauses: Pauses::standard(),
            pings: Pauses::pings(),
            hold: Duration::from_secs(15),
        }
    }
}

/// Sees to what follows events until `parts.stop` is soft, and then once more to what happened last. What is on its
/// way then is sent by whoever comes next.
pub async fn run(parts: Parts, settings: Settings, jobs: watch::Receiver<Arc<Jobs>>) {
    dispatch::Dispatcher::new(parts, settings, jobs).run().await;
}

/// Sends an event `hook.test` to a hook of the files, at once and once.
///
/// # Errors
/// When the store does not answer.
pub async fn test(parts: &Parts, settings: &Settings, hook: &Hook) -> Result<Verdict, StoreError> {
    let jobs = Jobs { hooks: [(hook.name.clone(), Arc::new(hook.clone()))].into(), ..Jobs::default() };
    try_once(parts, settings, jobs, To::Hook(hook.name.clone())).await
}

/// The same to a webhook that was registered.
///
/// # Errors
/// When the store does not answer.
pub async fn test_webhook(parts: &Parts, settings: &Settings, webhook: &Registration) -> Result<Verdict, StoreError> {
    try_once(parts, settings, Jobs::default(), To::Webhook(webhook.id.clone())).await
}

async fn try_once(parts: &Parts, settings: &Settings, jobs: Jobs, to: To) -> Result<Verdict, StoreError> {
    let now = parts.clock.now();
    let event = CloudEvent {
        id: uuid::Uuid::now_v7().to_string(),
        kind: "dev.cronclave.hook.test.v1".into(),
        cluster: parts.cluster.clone(),
        partition: to.to_string(),
        subject: format!("hooks/{to}"),
        at: now,
        data: json!({"hook": to, "message": "this is a test", "replica": parts.holder}),
    };
    let delivery = Delivery {
        id: event.id.clone(),
        to: to.clone(),
        kind: "hook.test".into(),
        job: String::new(),
        position: 0,
        happened_at: now,
        standing: Standing::Waiting,
        tries: 0,
        due: now,
        last: None,
        content: Content::Event(event.document().to_string()),
    };
    // Nobody changes the jobs any more.
    let (_, jobs) = watch::channel(Arc::new(jobs));
    let kit = deliver::Kit {
        registry: Registry::new(parts, settings),
        sender: send::Sender::new(&settings.lookup),
        parts: parts.clone(),
        settings: settings.clone(),
        jobs,
    };
    deliver::once(&kit, &to, &delivery).await
}

/// The store's answer, or the trouble that it gave none.
async fn limited<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
        Err(StoreError { kind: Trouble::Passing, message: "the store gave no answer in time".into() })
    })
}

//! What Prometheus asks for. This process counts what it does itself, as it does it; how jobs fare is read from the
//! store while somebody asks, and is the same on every replica.

mod book;
mod fare;
mod heed;
mod measured;
mod peak;
mod process;
mod series;
mod sight;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::broker::Broker;
use crate::check::Check;
use crate::clock::Clock;
use crate::job::JobName;
use crate::parts::Parts;
use crate::recall::Recall;
use crate::replica::Jobs;
use crate::store::Store;
use book::Book;
use measured::{MeasuredBroker, MeasuredStore};
use peak::Peak;
use sight::Sight;

pub use series::{Kind, Series};

/// What OpenMetrics is sent as.
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a broker that is none calls itself.
const NO_BROKER: &str = "none";

/// The metrics of this process. Cheap to copy.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    book: Arc<Book>,
    registry: Registry,
    recall: Mutex<Recall>,
    lag: Peak,
    sight: Sight,
    jobs: watch::Receiver<Arc<Jobs>>,
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    clock: Clock,
    /// The word for the store, whose clock ours is compared with.
    reference: &'static str,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Which store a process has, as a label says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// A file on this machine.
    Sqlite,
    /// A server.
    Redis,
}

impl StoreKind {
    fn word(self) -> &'static str {
        match self {
            StoreKind::Sqlite => "sqlite",
            StoreKind::Redis => "redis",
        }
    }
}

impl Metrics {
    /// Those of a process that works with the parts that come back: they are the ones given, but counted.
    pub fn of(parts: Parts, kind: StoreKind, jobs: watch::Receiver<Arc<Jobs>>) -> (Metrics, Parts) {
        let book = Arc::new(Book::of(jobs.clone()));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(book.clone()));
        let inner = Inner {
            book: book.clone(),
            registry,
            recall: Mutex::default(),
            lag: Peak::default(),
            sight: Sight::default(),
            jobs,
            store: parts.store.clone(),
            broker: parts.broker.clone(),
            clock: parts.clock.clone(),
            reference: kind.word(),
        };
        inner.begin();
        let metrics = Metrics(Arc::new(inner));
        parts.bus.set_meter(metrics.0.clone());
        let store = MeasuredStore { store: parts.store, kind: kind.word(), book: book.clone() };
        let broker = MeasuredBroker { broker: parts.broker, book };
        (metrics, Parts { store: Arc::new(store), broker: Arc::new(broker), ..parts })
    }

    /// Reads the store for those who ask, for ever.
    pub async fn keep_up(&self) {
        let inner = &self.0;
        inner.sight.keep_up(&*inner.store, &inner.jobs, &inner.book).await;
    }

    /// A request was answered. `route` is one of those that there are, not what was asked for; `method` one that
    /// HTTP knows.
    pub fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let (method, route) = (book::Label::Word(method), book::Label::Text(route.to_owned()));
        let status = book::Label::Text(status.to_string());
        let book = &self.0.book;
        book.observe(Series::RequestDuration, [method.clone(), route.clone()], took);
        book.count(Series::Requests, [method, route, status], 1);
    }
}

/// Everything there is now, as whoever sent this `Accept` wants it: its media type, and the text.
pub async fn render(metrics: &Metrics, accept: Option<&str>) -> (&'static str, String) {
    let inner = &metrics.0;
    inner.sight.fresh().await;
    inner.look();
    let mut all = String::new();
    let is_open = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
    let (kind, written) = if is_open {
        (OPEN, text::encode(&mut all, &inner.registry))
    } else {
        (prometheus_text::CONTENT_TYPE, prometheus_text::encode(&mut all, &inner.registry))
    };
    // Writing to a text does not fail.
    debug_assert!(written.is_ok());
    (kind, all)
}

impl Inner {
    /// What is known from the beginning, and what shall be there before there is something to count.
    fn begin(&self) {
        let book = &self.book;
        let target = book::Label::Text(format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS));
        book.set(Series::BuildInfo, [env!("CARGO_PKG_VERSION").into(), target], 1.0);
        for series in [Series::LocksLost, Series::Fenced, Series::Duplicates] {
            book.count(series, [], 0);
        }
        for outcome in ["won", "lost", "error"] {
            book.count(Series::Acquisitions, [outcome.into()], 0);
        }
        for outcome in ["applied", "rejected"] {
            book.count(Series::Reloads, [outcome.into()], 0);
        }
        for sink in ["log", "outbox", "sse"] {
            book.count(Series::Dropped, [sink.into()], 0);
        }
        for check in Check::ALL {
            book.set(Series::CheckFailing, [check.word().into()], 0.0);
        }
        book.count(Series::Stalled, [], 0);
        book.count(Series::Repairs, [], 0);
        book.set(Series::LastReload, [], sight::seconds(self.clock.now()));
        book.shift(Series::SseClients, [], 0.0);
    }

    /// What is only looked at when somebody asks.
    fn look(&self) {
        self.follow_jobs();
        process::read(&self.book);
        self.book.set(Series::Lag, [], self.lag.read().as_secs_f64());
        if self.broker.describe() != NO_BROKER {
            let up = self.broker.down().is_none();
            self.book.set(Series::BrokerUp, [], f64::from(u8::from(up)));
        }
    }

    /// Forgets jobs that are gone.
    fn follow_jobs(&self) {
        let jobs = self.jobs.borrow().clone();
        self.book.retain(|job| jobs.by_name.contains_key(job));
        self.book.retain_texts(Series::Hooks, |hook| heed::knows(&jobs, hook));
    }

    fn knows(&self, job: &JobName) -> bool {
        self.jobs.borrow().by_name.contains_key(job)
    }

    fn recall(&self) -> std::sync::MutexGuard<'_, Recall> {
        self.recall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

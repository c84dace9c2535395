//! What the cluster is like, read from the store while somebody asks for it: the same on every replica.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::book::{Book, Label};
use super::fare::{Fare, Fares};
use super::series::Series;
use crate::clock::Timestamp;
use crate::job::{Action, Job, JobName, Task};
use crate::plan;
use crate::record::{Phase, Record};
use crate::replica::Jobs;
use crate::store::{Replica, Snapshot, Store, StoreError, Trouble};

/// What was read is good for this long.
const GOOD: Duration = Duration::from_secs(3);

/// Reading takes no larger share of the time than this.
const SHARE: u32 = 10;

/// A scrape waits no longer for news; it then shows what was known before.
const WAIT: Duration = Duration::from_secs(2);

/// A hundred thousand jobs take their time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who was not heard of for so long is not counted.
const SILENT: Duration = Duration::from_secs(15);

/// Reads the store when it is looked for.
#[derive(Debug)]
pub(super) struct Sight {
    wanted: Notify,
    /// When what is known will be out of date.
    good_until: watch::Sender<Option<Instant>>,
}

impl Default for Sight {
    fn default() -> Self {
        Sight { wanted: Notify::new(), good_until: watch::channel(None).0 }
    }
}

impl Sight {
    /// Waits until what the book says is not out of date, but not for long.
    pub(super) async fn fresh(&self) {
        let mut good_until = self.good_until.subscribe();
        let good = |until: &Option<Instant>| until.is_some_and(|until| Instant::now() < until);
        if !good(&good_until.borrow()) {
            self.wanted.notify_one();
            let _ = timeout(WAIT, good_until.wait_for(good)).await;
        }
    }

    /// Reads for ever, whenever it is wanted.
    pub(super) async fn keep_up(&self, store: &dyn Store, jobs: &watch::Receiver<Arc<Jobs>>, book: &Book) {
        let mut fares = Fares::default();
        loop {
            self.wanted.notified().await;
            let began = Instant::now();
            let seen = timeout(PATIENCE, read(store, &mut fares))
                .await
                .unwrap_or_else(|_| Err(StoreError { kind: Trouble::Passing, message: "no answer in time".into() }));
            book.set(Series::StoreUp, [], f64::from(u8::from(seen.is_ok())));
            match seen {
                Ok((snapshot, replicas)) => {
                    let jobs = jobs.borrow().clone();
                    write_jobs(book, &jobs, &snapshot, &fares);
                    write_cluster(book, &replicas, snapshot.now);
                }
                Err(error) => tracing::debug!(%error, "the gauges of jobs stay as they were"),
            }
            self.good_until.send_replace(Some(Instant::now() + GOOD.max(began.elapsed() * SHARE)));
        }
    }
}

async fn read(store: &dyn Store, fares: &mut Fares) -> Result<(Snapshot, Vec<Replica>), StoreError> {
    fares.read(store).await?;
    Ok((store.snapshot().await?, store.replicas().await?))
}

fn write_jobs(book: &Book, jobs: &Jobs, snapshot: &Snapshot, fares: &Fares) {
    let all = || jobs.by_name.values();
    let gauge = |series: Series, of: &dyn Fn(&Job) -> Option<f64>| {
        book.replace(series, all().filter_map(|job| Some((vec![Label::from(&job.name)], of(job)?))));
    };
    let records: HashMap<&JobName, Cow<'_, Record>> =
        all().filter_map(|job| Some((&job.name, snapshot.records.get(&job.name)?))).collect();
    let record = |job: &Job| records.get(&job.name).map(AsRef::as_ref);
    let fare = |job: &Job| fares.by_job.get(&job.name).copied().unwrap_or_default();
    let fared = |series: Series, of: fn(Fare) -> Option<Timestamp>| {
        gauge(series, &|job| of(fare(job)).map(seconds));
    };
    book.replace(Series::JobInfo, all().map(|job| (info(job), 1.0)));
    gauge(Series::NextRun, &|job| job.next_open(snapshot.now).filter(|_| job.enabled).map(|at| seconds(job.due(at))));
    gauge(Series::LastSuccess, &|job| record(job)?.succeeded_at.map(seconds));
    fared(Series::LastFailure, |fare| fare.failure);
    fared(Series::LastStart, |fare| fare.start);
    gauge(Series::LastDuration, &|job| fare(job).duration.map(|took| took.as_secs_f64()));
    gauge(Series::LastSucceeded, &|job| fare(job).succeeded.map(flag));
    gauge(Series::Paused, &|job| Some(flag(record(job).is_some_and(|record| record.paused(snapshot.now).is_some()))));
    let deadline = |job: &Job| plan::deadline(job, record(job)?);
    gauge(Series::Overdue, &|job| Some(flag(deadline(job).is_some_and(|at| at <= snapshot.now))));
    gauge(Series::Deadline, &|job| deadline(job).map(seconds));
    gauge(Series::InProgress, &|job| {
        let going = |record: &Record| record.open.iter().filter(|run| run.phase == Phase::Running).count();
        Some(count(record(job).map_or(0, going)))
    });
}

fn write_cluster(book: &Book, replicas: &[Replica], now: Timestamp) {
    let alive = || replicas.iter().filter(|replica| now.since(replica.last_seen_at) < SILENT);
    book.set(Series::Workers, [], count(alive().filter(|replica| replica.is_worker()).count()));
    book.set(Series::Replicas, [], count(alive().filter(|replica| !replica.is_worker()).count()));
    let versions: BTreeSet<&str> = alive().map(|replica| replica.config_digest.as_str()).collect();
    book.set(Series::Drift, [], count(versions.len().saturating_sub(1)));
}

fn info(job: &Job) -> Vec<Label> {
    let action = match job.task.action() {
        Some(Action::Command(_)) => "command",
        Some(Action::Http(_)) => "http",
        Some(Action::Handler { .. }) => "handler",
        None => "publish",
    };
    let run_on = match &job.task {
        Task::Queue(..) => "worker",
        Task::Run(_) | Task::Publish(_) => "replica",
    };
    vec![
        Label::from(&job.name),
        Label::Text(job.schedule.text()),
        Label::Text(job.schedule.zone().name().to_owned()),
        Label::Text(job.owner.as_deref().unwrap_or_default().to_owned()),
        action.into(),
        run_on.into(),
    ]
}

/// As Prometheus has times.
#[allow(clippy::cast_precision_loss, reason = "exact to the microsecond for centuries")]
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

#[allow(clippy::cast_precision_loss, reason = "shown to people")]
pub(super) fn count(number: usize) -> f64 {
    number as f64
}

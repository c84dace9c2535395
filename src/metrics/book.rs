//! The values of all series, and how they are written down.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

use tokio::sync::watch;

use super::series::{Kind, Series};
use crate::job::{JobName, Quick};
use crate::replica::Jobs;

/// The value of a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Label {
    Word(&'static str),
    Job(JobName),
    Text(String),
}

impl Label {
    fn as_str(&self) -> &str {
        match self {
            Label::Word(word) => word,
            Label::Job(job) => job.as_str(),
            Label::Text(text) => text,
        }
    }
}

impl From<&'static str> for Label {
    fn from(word: &'static str) -> Self {
        Label::Word(word)
    }
}

impl From<&JobName> for Label {
    fn from(job: &JobName) -> Self {
        Label::Job(job.clone())
    }
}

impl From<String> for Label {
    fn from(text: String) -> Self {
        Label::Text(text)
    }
}

#[derive(Debug)]
enum Value {
    Count(f64),
    Reading(f64),
    Spread(Histogram),
}

/// What labels a value has, in the order of its series' names for them.
type Labels = Vec<Label>;

/// All values, by series.
#[derive(Debug)]
pub(super) struct Book {
    values: Mutex<BTreeMap<Series, Quick<Labels, Value>>>,
    /// Whose values an alarm compares with before there are any.
    jobs: watch::Receiver<Arc<Jobs>>,
}

impl Book {
    /// With nothing in it but what is known of `jobs` from the beginning.
    pub(super) fn of(jobs: watch::Receiver<Arc<Jobs>>) -> Book {
        Book { values: Mutex::default(), jobs }
    }

    /// Counts `by` more. By nothing: so that the series is there before there is something to count.
    pub(super) fn count<const N: usize>(&self, series: Series, labels: [Label; N], by: u64) {
        #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        self.add(series, &labels, by as f64);
    }

    /// Counts so much more time, in seconds.
    pub(super) fn count_seconds(&self, series: Series, more: Duration) {
        self.add(series, &[], more.as_secs_f64());
    }

    fn add(&self, series: Series, labels: &[Label], by: f64) {
        self.change(
            series,
            labels,
            || Value::Count(0.0),
            |value| match value {
                Value::Count(count) => *count += by,
                other => *other = Value::Count(by),
            },
        );
    }

    /// Changes the value of these labels; a `fresh` one where there is none yet. To find it takes no memory.
    fn change(&self, series: Series, labels: &[Label], fresh: impl FnOnce() -> Value, change: impl FnOnce(&mut Value)) {
        let mut all = self.all();
        let values = all.entry(series).or_default();
        match values.get_mut(labels) {
            Some(value) => change(value),
            None => change(values.entry(labels.to_vec()).or_insert_with(fresh)),
        }
    }

    /// Sets a counter that is kept elsewhere.
    pub(super) fn total(&self, series: Series, count: f64) {
        self.all().entry(series).or_default().insert(Labels::new(), Value::Count(count));
    }

    /// Sets a gauge.
    pub(super) fn set<const N: usize>(&self, series: Series, labels: [Label; N], reading: f64) {
        self.all().entry(series).or_default().insert(labels.into(), Value::Reading(reading));
    }

    /// Moves a gauge.
    pub(super) fn shift<const N: usize>(&self, series: Series, labels: [Label; N], by: f64) {
        self.change(
            series,
            &labels,
            || Value::Reading(0.0),
            |value| match value {
                Value::Reading(reading) => *reading += by,
                other => *other = Value::Reading(by),
            },
        );
    }

    /// Notes how long something took.
    pub(super) fn observe<const N: usize>(&self, series: Series, labels: [Label; N], took: Duration) {
        let Kind::Histogram(edges) = series.kind() else { return };
        let fresh = || Value::Spread(Histogram::new(edges.iter().copied()));
        self.change(series, &labels, fresh, |value| {
            if let Value::Spread(spread) = value {
                spread.observe(took.as_secs_f64());
            }
        });
    }

    /// Puts all values of a gauge in place of those there were.
    pub(super) fn replace(&self, series: Series, readings: impl IntoIterator<Item = (Labels, f64)>) {
        let fresh = readings.into_iter().map(|(labels, reading)| (labels, Value::Reading(reading))).collect();
        self.all().insert(series, fresh);
    }

    /// Forgets the values of jobs that are not to be `kept`.
    pub(super) fn retain(&self, kept: impl Fn(&JobName) -> bool) {
        for values in self.all().values_mut() {
            values.retain(|labels, _| !matches!(labels.first(), Some(Label::Job(job)) if !kept(job)));
        }
    }

    /// Forgets the values of one series whose first label is not to be `kept`.
    pub(super) fn retain_texts(&self, series: Series, kept: impl Fn(&str) -> bool) {
        if let Some(values) = self.all().get_mut(&series) {
            values.retain(|labels, _| labels.first().is_none_or(|label| kept(label.as_str())));
        }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Series, Quick<Labels, Value>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Book {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (all, none) = (self.all(), Quick::default());
        let jobs = self.jobs.borrow().clone();
        for series in Series::ALL {
            let values = all.get(series).unwrap_or(&none);
            let mut zeros = jobs.by_name.keys().flat_map(|job| zeros(*series, job)).peekable();
            if values.is_empty() && zeros.peek().is_none() {
                continue;
            }
            let mut metric = encoder.encode_descriptor(series.stem(), series.help(), None, kind(*series))?;
            let mut note = |labels: &Labels, value: &Value| {
                let names = series.labels().iter().copied();
                let pairs: Vec<(&str, &str)> = names.zip(labels.iter().map(Label::as_str)).collect();
                write(*series, value, &pairs, &mut metric)
            };
            let mut values_in_order: Vec<_> = values.iter().collect();
            values_in_order.sort_unstable_by_key(|(labels, _)| *labels);
            for (labels, value) in values_in_order {
                note(labels, value)?;
            }
            for labels in zeros.filter(|labels| !values.contains_key(labels)) {
                note(&labels, &Value::Count(0.0))?;
            }
        }
        Ok(())
    }
}

/// What is said of a job before anything has happened to it: the first failure would go unseen by an alarm if its series
/// began with 1. Said, and not kept: of 10,000 jobs it would be 4 MB.
fn zeros(series: Series, job: &JobName) -> Vec<Labels> {
    match series {
        Series::Runs => ["succeeded", "failed"].map(|state| vec![job.into(), state.into(), "schedule".into()]).into(),
        Series::Retries => vec![vec![job.into()]],
        _ => Vec::new(),
    }
}

fn write(series: Series, value: &Value, labels: &[(&str, &str)], metric: &mut MetricEncoder<'_>) -> fmt::Result {
    match value {
        Value::Reading(_) if series.kind() == Kind::Info => metric.encode_info(&labels),
        Value::Reading(reading) => metric.encode_family(&labels)?.encode_gauge(reading),
        Value::Count(count) => metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(count, None),
        Value::Spread(spread) => spread.encode(metric.encode_family(&labels)?),
    }
}

fn kind(series: Series) -> MetricType {
    match series.kind() {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram(_) => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    }
}

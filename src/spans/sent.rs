//! The way of spans to the collector: a queue with an end, and whoever empties it.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::event::ToMeter;
use crate::measure::Measure;
use crate::parts::Parts;

/// Spans that wait at most.
const ROOM: usize = 2048;

/// Spans sent at once at most.
const BATCH: usize = 512;

/// A span waits no longer for others.
const PAUSE: Duration = Duration::from_secs(2);

/// A collector that takes longer gets the next ones instead.
const PATIENCE: Duration = Duration::from_secs(10);

/// At the end of the process it is waited for less.
const LAST: Duration = Duration::from_secs(2);

/// Where spans are put in.
#[derive(Clone)]
pub(super) struct In {
    queue: mpsc::Sender<SpanData>,
    meter: ToMeter,
}

impl In {
    /// Never waits: what finds no room is dropped and counted.
    pub(super) fn put(&self, span: SpanData) {
        if self.queue.try_send(span).is_err() {
            self.dropped(1);
        }
    }

    pub(super) fn dropped(&self, count: u64) {
        self.meter.measure(&Measure::Dropped { sink: "otlp", count });
    }
}

/// Where they come out.
pub(super) struct Out {
    exporter: SpanExporter,
    queue: mpsc::Receiver<SpanData>,
}

/// The way to the collector that the environment names, if it names one.
///
/// # Errors
/// When what it says cannot be used.
pub(super) fn way(parts: &Parts) -> Result<Option<(In, Out)>, String> {
    if !super::are_wanted() {
        return Ok(None);
    }
    let mut exporter =
        SpanExporter::builder().with_http().build().map_err(|error| format!("no spans are sent: {error}"))?;
    let mut resource = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", parts.holder.clone()),
        KeyValue::new("cronclave.cluster", parts.cluster.clone()),
    ]);
    if super::set("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("cronclave");
    }
    exporter.set_resource(&resource.build());
    let (queue, out) = mpsc::channel(ROOM);
    Ok(Some((In { queue, meter: parts.bus.meter() }, Out { exporter, queue: out })))
}

impl Out {
    /// Sends for ever.
    pub(super) async fn send_on(&mut self) {
        loop {
            let Some(first) = self.queue.recv().await else { return std::future::pending().await };
            let (mut batch, until) = (vec![first], Instant::now() + PAUSE);
            while batch.len() < BATCH
                && let Ok(Some(span)) = timeout_at(until, self.queue.recv()).await
            {
                batch.push(span);
            }
            self.send(batch, PATIENCE).await;
        }
    }

    /// Sends what is there now.
    pub(super) async fn send_last(&mut self) {
        let mut batch = Vec::new();
        while let Ok(span) = self.queue.try_recv() {
            batch.push(span);
        }
        if !batch.is_empty() {
            self.send(batch, LAST).await;
        }
    }

    async fn send(&self, batch: Vec<SpanData>, patience: Duration) {
        match timeout(patience, self.exporter.export(batch)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "spans were not taken by the collector"),
            Err(_) => tracing::warn!("the collector does not answer; spans are lost"),
        }
    }
}

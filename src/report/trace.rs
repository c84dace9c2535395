//! The same as events of `tracing`, for a program that has its own subscriber.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::line::Line;
use crate::clock::Clock;
use crate::event::{ToMeter, Told};
use crate::measure::Measure;
use crate::recall::Recall;

/// Passes on what is told, until there is nobody left to tell it.
pub async fn trace(mut told: Receiver<Arc<Told>>, meter: ToMeter) {
    let recall = Mutex::<Recall>::default();
    loop {
        match told.recv().await {
            Ok(told) => one(&told, &recall),
            Err(RecvError::Lagged(count)) => {
                meter.measure(&Measure::Dropped { sink: "log", count });
                one(&Told::Warning(format!("{count} events were left out here: they came too fast")), &recall);
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn one(told: &Told, recall: &Mutex<Recall>) {
    let run = recall.lock().unwrap_or_else(PoisonError::into_inner).take(told);
    let Some(line) = Line::of(told, run.as_ref(), Clock::system().now()) else { return };
    let (event, message) = (line.event.as_str(), line.message());
    let (job, run_id) = (text(&line.fields, "job"), text(&line.fields, "run_id"));
    match line.level {
        "error" => tracing::error!(target: "cronclave", event, job, run_id, "{message}"),
        "warning" => tracing::warn!(target: "cronclave", event, job, run_id, "{message}"),
        _ => tracing::info!(target: "cronclave", event, job, run_id, "{message}"),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str)
}

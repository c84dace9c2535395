//! What a replica tells of itself. There is no record of it: who is not there to hear it never does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::Notice;
use crate::broker::word;
use crate::check::Check;
use crate::event::{Delivered, Told};
use crate::parts::Parts;

/// A broker that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// At the end it is waited for less.
const LAST: Duration = Duration::from_secs(1);

pub(super) struct Own {
    parts: Parts,
    told: Receiver<Arc<Told>>,
}

impl Own {
    pub(super) fn new(parts: Parts) -> Own {
        let told = parts.bus.listen();
        Own { parts, told }
    }

    /// Until the process stops.
    pub(super) async fn run(mut self) {
        let stop = self.parts.stop.clone();
        tokio::select! {
            () = stop.soft() => {}
            () = self.tell_on() => {}
        }
        self.send("replica.left", json!({}), LAST).await;
    }

    /// Tells nothing but how far runs are: a worker announces no more than that of itself.
    pub(super) async fn run_for_worker(mut self) {
        let stop = self.parts.stop.clone();
        tokio::select! {
            () = stop.soft() => {}
            () = async { loop {
                match self.told.recv().await {
                    Ok(told) => self.tell_progress(&told).await,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            } } => {}
        }
    }

    async fn tell_progress(&self, told: &Told) {
        if let Told::Progress { job, run_id, percent, message } = told {
            let data = json!({"job": job, "run_id": run_id, "percent": percent, "message": message});
            self.send_about(("run.progress", job.as_str()), format!("jobs/{job}/runs/{run_id}"), data).await;
        }
    }

    async fn tell_on(&mut self) {
        let _ = timeout(PATIENCE, self.parts.broker.up()).await;
        self.send("replica.joined", json!({"version": env!("CARGO_PKG_VERSION")}), PATIENCE).await;
        loop {
            let told = match self.told.recv().await {
                Ok(told) => told,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            };
            match &*told {
                Told::StoreDown(why) => self.send("backend.down", json!({"message": why}), PATIENCE).await,
                Told::StoreRepaired(repaired) => self.send("backend.repaired", json!(repaired), PATIENCE).await,
                Told::StoreUp(secs) => self.send("backend.up", json!({"after_seconds": secs}), PATIENCE).await,
                Told::Reloaded { digest, jobs } => {
                    self.send("config.reloaded", json!({"config_digest": digest, "jobs": jobs}), PATIENCE).await;
                }
                Told::Delivery { hook, event, kind, outcome, message } => {
                    let data = json!({"hook": hook, "event_id": event, "event": kind, "message": message});
                    let kind = match outcome {
                        Delivered::Failed => "hook.failed",
                        Delivered::SwitchedOff => "hook.switched_off",
                        Delivered::Taken | Delivered::Retrying => continue,
                    };
                    let name = hook.rsplit('/').next().unwrap_or_default();
                    self.send_about((kind, name), format!("hooks/{hook}"), data).await;
                }
                Told::Progress { .. } => self.tell_progress(&told).await,
                Told::Failing(check, text) => self.send("check.failing", noted(*check, text), PATIENCE).await,
                Told::Mended(check, text) => self.send("check.mended", noted(*check, text), PATIENCE).await,
                Told::Rejected(why) => self.send("config.rejected", json!({"message": why}), PATIENCE).await,
                _ => {}
            }
        }
    }

    async fn send(&self, kind: &'static str, data: Value, limit: Duration) {
        let name = word(&self.parts.holder);
        let subject = format!("replicas/{}", self.parts.holder);
        self.publish((kind, &name), subject, data, limit).await;
    }

    /// The same about something that is not the replica itself.
    async fn send_about(&self, about: (&'static str, &str), subject: String, data: Value) {
        self.publish(about, subject, data, PATIENCE).await;
    }

    async fn publish(&self, (kind, name): (&'static str, &str), subject: String, mut data: Value, limit: Duration) {
        data["replica"] = self.parts.holder.clone().into();
        let at = self.parts.clock.now();
        let notice = Notice::new(kind, (&self.parts.cluster, name), subject, at, data);
        match timeout(limit, self.parts.broker.publish(&notice.message())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(kind, %error, "not announced"),
            Err(_) => tracing::debug!(kind, "not announced in time"),
        }
    }
}

fn noted(check: Check, text: &str) -> Value {
    json!({"check": check.word(), "message": text})
}

//! Where a command asks: the store itself, or a replica that is asked over HTTP. Both answer in the same shapes, so
//! that what is shown of them is written once.

use http::Method;
use serde_json::{Value, json};

use super::client::Client;
use super::{Context, Failure};
use crate::clock::Timestamp;
use crate::config::Process;
use crate::desk::{AfterPause, Asked, Choice, Desk, Fill, Filter, Log, Part, Refusal, Slice, Why};
use crate::hook::Standing;
use crate::hook::shape::{Shown, ShownDelivery, Tested};
use crate::lease::Fence;
use crate::runner::Handlers;
use crate::service::{self, Backends};
use crate::shape::{
    self, Backfill, Cancelled, Cluster, Fencing, Job, Lock, Page, Paused, Released, Resumed, Run, Seen, Triggered,
};

/// Whether a command can do without schedule files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Files {
    /// It cannot.
    Needed,
    /// It only shows less: whatever is wrong with them is somebody else's business.
    Helpful,
}

/// Where a command asks.
pub(super) enum Place {
    /// The store itself.
    Here(Box<Desk>),
    /// A replica.
    There(Client),
}

impl Context {
    /// Where this command asks.
    pub(super) async fn place(&self, files: Files) -> Result<Place, Failure> {
        if let Some(client) = Client::of(self)? {
            return Ok(Place::There(client));
        }
        let process = self.quiet()?;
        // Files with mistakes are told before a store that is not there.
        let jobs = self.jobs_of(&process, files)?;
        let backends = self.backends(&process).await?;
        Ok(Place::here(&process, backends, jobs))
    }

    /// The jobs of the files that are here.
    pub(super) fn jobs_of(&self, process: &Process, files: Files) -> Result<crate::replica::Jobs, Failure> {
        Ok(match files {
            Files::Needed => service::jobs(&self.config(&process.config)?),
            Files::Helpful => self.known(process).jobs(),
        })
    }
}

impl Place {
    /// The store itself, with these jobs.
    pub(super) fn here(process: &Process, backends: Backends, jobs: crate::replica::Jobs) -> Place {
        let parts = service::parts(process, backends, Handlers::default());
        let desk = Desk::with_jobs(parts, jobs).distributed(process.redis.is_some());
        Place::Here(Box::new(desk.telling(service::hooks(process))))
    }

    /// The jobs of a choice, all of them.
    pub(super) async fn jobs(&self, choice: &Choice) -> Result<Page<Job>, Refusal> {
        let client = match self {
            Place::Here(desk) => return desk.jobs(choice, &Slice::first(usize::MAX)).await,
            Place::There(client) => client,
        };
        let state = choice.state.map(|state| json!(state)).and_then(|word| word.as_str().map(str::to_owned));
        let tags = Some(choice.tags.join(",")).filter(|tags| !tags.is_empty());
        let query = [("state", state), ("tag", tags)];
        let mut page: Page<Job> = client.pages(&["jobs"], &query, usize::MAX).await?;
        let known: Vec<String> = page.items.iter().map(|job| job.name.to_string()).collect();
        for name in choice.names.iter().filter(|name| !known.contains(name)) {
            // It says why not, unless the job is only none of those that fare so.
            client.get::<Value>(&["jobs", name], &[]).await?;
        }
        page.items.retain(|job| choice.names.is_empty() || choice.names.iter().any(|name| name == job.name.as_str()));
        page.total = Some(page.items.len());
        Ok(page)
    }

    /// What `status` shows.
    pub(super) async fn status(&self) -> Result<Seen<Cluster>, Refusal> {
        match self {
            Place::Here(desk) => desk.status().await,
            Place::There(client) => client.get(&["cluster"], &[]).await,
        }
    }

    /// Runs, newest first; 0 means all.
    pub(super) async fn runs(&self, filter: &Filter, limit: usize) -> Result<Page<Run>, Refusal> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        let client = match self {
            Place::Here(desk) => {
                let mut page = desk.runs(filter, &Slice::first(limit)).await?;
                page.next_cursor = None;
                return Ok(page);
            }
            Place::There(client) => client,
        };
        let states: Vec<&str> = filter.states.iter().map(|state| state.word()).collect();
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let query = [
            ("job", filter.job.clone()),
            ("state", Some(states.join(",")).filter(|states| !states.is_empty())),
            ("trigger", filter.trigger.clone()),
            ("since", time(filter.since)),
            ("until", time(filter.until)),
        ];
        client.pages(&["runs"], &query, limit).await
    }

    /// A run as it stands, and what it printed.
    pub(super) async fn log(&self, run: &str, part: &Part) -> Result<Log, Refusal> {
        let client = match self {
            Place::Here(desk) => return desk.log(run, part).await,
            Place::There(client) => client,
        };
        let Seen { it: run, stale_since }: Seen<Run> = client.get(&["runs", run], &[]).await?;
        let query = [
            ("attempt", part.attempt.map(|n| n.to_string())),
            ("stream", part.stream.and_then(|stream| json!(stream).as_str().map(str::to_owned))),
            ("after", part.after.map(|after| after.to_string())),
        ];
        let pieces = client.lines(&["runs", &run.id, "logs"], &query).await?;
        Ok(Log { run, pieces, stale_since })
    }

    /// Asks for a run.
    pub(super) async fn trigger(&self, job: &str, asked: Asked) -> Result<Triggered, Refusal> {
        let client = match self {
            Place::Here(desk) => return desk.trigger(job, asked, super::user()).await,
            Place::There(client) => client,
        };
        // Asked again after a lost answer it is still one run.
        let key = asked.key.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        let body = json!({"args": asked.args, "reason": asked.reason, "scheduled_at": asked.scheduled_at});
        client.ask(Method::POST, &["jobs", job, "runs"], ("idempotency-key", &key), body).await
    }

    /// What happened to an occurrence.
    pub(super) async fn why(&self, job: &str, at: Timestamp) -> Result<Seen<shape::Why>, Refusal> {
        match self {
            Place::Here(desk) => desk.why(job, at).await,
            Place::There(client) => client.get(&["jobs", job, "why"], &[("at", Some(at.to_string()))]).await,
        }
    }

    /// What a backfill would do.
    pub(super) async fn backfill_plan(&self, job: &str, fill: &Fill) -> Result<Backfill, Refusal> {
        match self {
            Place::Here(desk) => desk.backfill_plan(job, fill).await,
            Place::There(client) => {
                let body = json!({"from": fill.from, "until": fill.until, "overlap": fill.overlap, "dry_run": true});
                client.ask(Method::POST, &["jobs", job, "backfill"], Client::PLAIN, body).await
            }
        }
    }

    /// Asks for past occurrences.
    pub(super) async fn backfill(&self, job: &str, fill: Fill) -> Result<Backfill, Refusal> {
        match self {
            Place::Here(desk) => desk.backfill(job, fill, super::user()).await,
            Place::There(client) => {
                let Fill { from, until, overlap, reason } = fill;
                let body = json!({"from": from, "until": until, "overlap": overlap, "reason": reason});
                client.ask(Method::POST, &["jobs", job, "backfill"], Client::PLAIN, body).await
            }
        }
    }

    /// Starts nothing of a job until then.
    pub(super) async fn pause(
        &self,
        job: &str,
        until: Option<Timestamp>,
        reason: Option<String>,
    ) -> Result<Paused, Refusal> {
        match self {
            Place::Here(desk) => desk.pause(job, until, reason, super::user()).await,
            Place::There(client) => {
                let body = json!({"until": until, "reason": reason});
                client.ask(Method::PUT, &["jobs", job, "pause"], Client::PLAIN, body).await
            }
        }
    }

    /// Starts a job again.
    pub(super) async fn resume(&self, job: &str, after: AfterPause) -> Result<Resumed, Refusal> {
        match self {
            Place::Here(desk) => desk.resume(job, after, super::user()).await,
            Place::There(client) => {
                let path = if after == AfterPause::CatchUp { "pause?catch_up=true" } else { "pause" };
                client.ask(Method::DELETE, &["jobs", job, path], Client::PLAIN, Value::Null).await
            }
        }
    }

    /// Asks to stop a run: by its id, a part of that, or its job's name.
    pub(super) async fn cancel(&self, run: &str, by: Option<String>) -> Result<Cancelled, Refusal> {
        match self {
            Place::Here(desk) => {
                let by = by.or_else(super::user).unwrap_or_else(|| "somebody".into());
                desk.cancel(run, by).await
            }
            Place::There(client) => {
                let body = json!({"reason": by.map(|by| format!("asked by {by}"))});
                client.ask(Method::POST, &["runs", run, "cancel"], Client::PLAIN, body).await
            }
        }
    }

    /// All locks, or those of this name.
    pub(super) async fn locks(&self, key: Option<&str>) -> Result<Page<Lock>, Refusal> {
        match (self, key) {
            (Place::Here(desk), None) => desk.locks().await,
            (Place::Here(desk), Some(key)) => desk.lock(key).await,
            (Place::There(client), None) => client.get(&["locks"], &[]).await,
            (Place::There(client), Some(key)) => client.get(&["locks", key], &[]).await,
        }
    }

    /// Whether a fencing token still counts.
    pub(super) async fn fence(&self, job: &str, token: Fence) -> Result<Fencing, Refusal> {
        match self {
            Place::Here(desk) => desk.fence(job, token).await,
            Place::There(client) => client.get(&["jobs", job, "fence"], &[("token", Some(token.to_string()))]).await,
        }
    }

    /// Ends a hold by force.
    pub(super) async fn release(&self, key: &str, token: Fence, reason: &str) -> Result<Released, Refusal> {
        match self {
            Place::Here(desk) => {
                let by = super::user().unwrap_or_else(|| "somebody".into());
                desk.release(key, token, format!("{by}: {reason}")).await
            }
            Place::There(client) => {
                let fence = format!("\"{token}\"");
                let body = json!({"reason": reason});
                client.ask(Method::DELETE, &["locks", key], ("if-match", &fence), body).await
            }
        }
    }

    /// All hooks.
    pub(super) async fn webhooks(&self) -> Result<Page<Shown>, Refusal> {
        match self {
            Place::Here(desk) => desk.webhooks().await,
            Place::There(client) => client.get(&["webhooks"], &[]).await,
        }
    }

    /// Sends a hook an event now, once.
    pub(super) async fn test_webhook(&self, name: &str) -> Result<Tested, Refusal> {
        match self {
            Place::Here(desk) => desk.test_webhook(name).await,
            Place::There(client) => {
                client.ask(Method::POST, &["webhooks", name, "test"], Client::PLAIN, Value::Null).await
            }
        }
    }

    /// Switches a hook on.
    pub(super) async fn enable_webhook(&self, name: &str) -> Result<Shown, Refusal> {
        match self {
            Place::Here(desk) => desk.enable_webhook(name).await,
            Place::There(client) => {
                client.ask(Method::POST, &["webhooks", name, "enable"], Client::PLAIN, Value::Null).await
            }
        }
    }

    /// What waits for a hook, and what it did not take.
    pub(super) async fn deliveries(
        &self,
        name: &str,
        state: Option<Standing>,
        most: usize,
    ) -> Result<Page<ShownDelivery>, Refusal> {
        match self {
            Place::Here(desk) => desk.deliveries(name, state, &Slice::first(most)).await,
            Place::There(client) => {
                let state = state.and_then(|state| json!(state).as_str().map(str::to_owned));
                client.pages(&["webhooks", name, "deliveries"], &[("state", state)], most).await
            }
        }
    }

    /// Has a delivery sent again.
    pub(super) async fn resend(&self, name: &str, id: &str) -> Result<ShownDelivery, Refusal> {
        match self {
            Place::Here(desk) => desk.resend(name, id).await,
            Place::There(client) => {
                let path = ["webhooks", name, "deliveries", id, "resend"];
                client.ask(Method::POST, &path, Client::PLAIN, Value::Null).await
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.why {
            Why::NotFound => Failure::NO_INPUT,
            Why::Invalid | Why::Ambiguous => Failure::USAGE,
            Why::InvalidConfig => Failure::CONFIG,
            Why::Overlap | Why::MutexHeld | Why::Paused | Why::Full | Why::TooMany => Failure::TEMPFAIL,
            Why::Over | Why::Fenced | Why::LockMoved => Failure::NO,
            Why::StoreDown | Why::Unreachable => Failure::UNAVAILABLE,
            Why::Forbidden | Why::Unauthorized => Failure::NO_PERMISSION,
            Why::Internal => Failure::SOFTWARE,
        };
        Failure::new(code, refusal.detail)
    }
}

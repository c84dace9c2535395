//! Workers that speak HTTP and know no store: they start, hold and finish a run by its fencing token.
//!
//! With a token of its own a worker renews the lease as ours do. Without one nobody renews, and the run has the job's
//! `timeout` to be finished: then it is under the token that every replica knows for results.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Desk;
use super::last::not_known;
use super::refusal::{Refusal, Why};
use crate::clock::Timestamp;
use crate::job::{Job, JobName};
use crate::lease::{Ended, Fence, Outcome, RunId, Token};
use crate::plan;
use crate::progress;
use crate::race;
use crate::record::{Key, Op, Open, Reply};
use crate::shape::Trigger;
use std::sync::Arc;

/// The longest message of a worker that is kept, in characters.
const WORDS: usize = 2000;

/// Who asks about a run, and by which right.
#[derive(Debug, Clone)]
pub struct Hold {
    /// The claim, as its message says.
    pub fence: Fence,
    /// What the worker proves by that the run is its own.
    pub token: Option<String>,
    /// What the worker is called.
    pub worker: String,
}

/// How a run ended, as its worker says.
#[derive(Debug, Clone)]
pub struct Finish {
    /// Whether it did what it should.
    pub outcome: Outcome,
    /// The program's exit code.
    pub exit_code: Option<i32>,
    /// In words.
    pub message: Option<String>,
}

/// A run is the worker's.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Begun {
    /// Whose.
    pub job: JobName,
    /// The run: the key to make its effects idempotent.
    pub run_id: RunId,
    /// The instant that it stands for.
    pub scheduled_at: Timestamp,
    /// From 1.
    pub attempt: u32,
    /// How many the job allows.
    pub max_attempts: u32,
    /// The claim.
    pub fencing_token: Fence,
    /// Why the run exists.
    pub trigger: Trigger,
    /// Arguments given by whoever asked for it.
    pub args: BTreeMap<String, String>,
    /// Until then, unless renewed.
    pub lease_until: Timestamp,
    /// How long a renewal lasts; renew at a third of it.
    pub lease_seconds: f64,
}

/// The run still is the worker's.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Kept {
    /// Until then.
    pub lease_until: Timestamp,
    /// Somebody asked to stop it.
    pub cancel: bool,
}

/// The attempt is over.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Settled {
    /// Whether the run is.
    pub r#final: bool,
    /// When the next attempt may begin.
    pub next_attempt_at: Option<Timestamp>,
}

impl Hold {
    pub(super) fn key(&self, run_id: RunId) -> Key {
        let token = match &self.token {
            Some(own) => Token(format!("http-{own}")),
            None => Token::of_result(run_id, self.fence),
        };
        Key { run_id, fence: self.fence, token }
    }

    /// It is not this worker's.
    pub(super) fn refused(&self, run_id: RunId) -> Refusal {
        refused(run_id, self.fence, &Reply::Fenced)
    }

    fn ttl(&self, job: &Job) -> Duration {
        if self.token.is_some() { job.lease } else { job.timeout }
    }
}

impl Desk {
    /// Starts a run that was published.
    ///
    /// # Errors
    /// It is not the worker's (any more), or the store does not answer.
    pub async fn start(&self, run_id: RunId, hold: &Hold) -> Result<Begun, Refusal> {
        let (job, open) = self.going(run_id, hold).await?;
        let start = Op::Start { key: hold.key(run_id), holder: hold.worker.clone(), ttl: hold.ttl(&job) };
        let answer = self.apply(&job.name, &start).await?;
        let Reply::Kept { until, .. } = answer.reply else { return Err(refused(run_id, hold.fence, &answer.reply)) };
        let work = race::work(&job, &open, &answer.view);
        Ok(Begun {
            job: work.job,
            run_id,
            scheduled_at: work.scheduled_at,
            attempt: work.attempt,
            max_attempts: work.max_attempts,
            fencing_token: hold.fence,
            trigger: Trigger::from(&work.trigger),
            args: work.args,
            lease_until: until,
            lease_seconds: hold.ttl(&job).as_secs_f64(),
        })
    }

    /// Keeps a run for another while.
    ///
    /// # Errors
    /// It is not the worker's (any more), or the store does not answer.
    pub async fn renew(&self, run_id: RunId, hold: &Hold) -> Result<Kept, Refusal> {
        let (job, _) = self.going(run_id, hold).await?;
        let answer = self.apply(&job.name, &Op::Renew { key: hold.key(run_id), ttl: hold.ttl(&job) }).await?;
        match answer.reply {
            Reply::Kept { until, cancel } => Ok(Kept { lease_until: until, cancel }),
            reply => Err(refused(run_id, hold.fence, &reply)),
        }
    }

    /// Records how a run ended.
    ///
    /// # Errors
    /// It is not the worker's (any more), or the store does not answer.
    pub async fn finish(&self, run_id: RunId, hold: &Hold, finish: Finish) -> Result<Settled, Refusal> {
        let (job, open) = self.going(run_id, hold).await?;
        let Finish { outcome, exit_code, message } = finish;
        let said = message.map(|text| text.chars().take(WORDS).collect::<String>());
        let said = said.or_else(|| (outcome != Outcome::Succeeded).then(|| "its worker reported a failure".into()));
        let ended = Ended { outcome, exit_code, signal: None, message: said };
        let view = self.in_time(self.parts.store.view(&job.name, job.mutex.as_deref())).await?;
        let next = plan::retry(&job, &race::work(&job, &open, &view), &ended, self.parts.dice.roll());
        let answer = self.apply(&job.name, &Op::Settle { key: hold.key(run_id), ended, next }).await?;
        match answer.reply {
            Reply::Done => {
                // What is left is tidied up later.
                let _ = self.in_time(progress::forget(&*self.parts.store, run_id)).await;
                let next_attempt_at = next.map(|(_, pause)| answer.view.now.plus(pause));
                Ok(Settled { r#final: next.is_none(), next_attempt_at })
            }
            reply => Err(refused(run_id, hold.fence, &reply)),
        }
    }

    /// The open run, if its claim is the one that the worker names.
    pub(super) async fn going(&self, run_id: RunId, hold: &Hold) -> Result<(Arc<Job>, Open), Refusal> {
        let look = self.look().await?;
        // Whoever is refused stops: not because of what was known before it began.
        if let Some(since) = look.stale_since {
            return Err(not_known(&format!("nothing certain of run {run_id}"), since));
        }
        let found = look.snapshot.records.busy().find_map(|(job, record)| Some((job, record.run(run_id)?)));
        let Some((name, open)) = found else {
            let detail = format!("no run {run_id} is going: it is over, or never was");
            return Err(Refusal { run_id: Some(run_id), ..Refusal::new(Why::Fenced, detail) });
        };
        if open.fence != hold.fence {
            return Err(refused(run_id, hold.fence, &Reply::Fenced));
        }
        self.tell_about(open);
        Ok((self.job(name.as_str())?, open.clone()))
    }
}

pub(super) fn refused(run_id: RunId, fence: Fence, reply: &Reply) -> Refusal {
    let detail = match reply {
        Reply::Cancelled => format!("run {run_id} was cancelled before it began: drop its message"),
        _ => format!(
            "run {run_id} is not yours under the fencing token {fence} (any more): stop, and write nothing for it"
        ),
    };
    Refusal { run_id: Some(run_id), ..Refusal::new(Why::Fenced, detail) }
}

//! What people ask a cluster to do: trigger, pause, resume, cancel, try again.

use std::collections::BTreeMap;

use super::Desk;
use super::refusal::{Refusal, Why};
use crate::clock::Timestamp;
use crate::job::Job;
use crate::lease::{RunId, Trigger};
use crate::record::{Op, Reply};
use crate::shape::{self, Cancelled, Paused, Resumed, Triggered, is_live};

/// Counting what will be skipped stops here.
const COUNTED: usize = 1000;

/// Arguments of a run at most, and bytes of all of them.
const ARGS: (usize, usize) = (100, 32 * 1024);

/// Bytes of a reason at most.
const REASON: usize = 2000;

/// A run that is asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// What its code is given.
    pub args: BTreeMap<String, String>,
    /// Why.
    pub reason: Option<String>,
    /// The instant it stands for; absent means now.
    pub scheduled_at: Option<Timestamp>,
    /// The same key asked again is the same run.
    pub key: Option<String>,
}

impl Desk {
    /// Asks for a run of a job, in `by`'s name.
    ///
    /// # Errors
    /// There is no such job, something is in the way, or the store does not answer.
    pub async fn trigger(&self, name: &str, asked: Asked, by: Option<String>) -> Result<Triggered, Refusal> {
        let job = self.job(name)?;
        brief(asked.reason.as_deref())?;
        // As it goes into messages: a byte may take six there.
        let size = serde_json::to_string(&asked.args).map_or(usize::MAX, |text| text.len());
        if asked.args.len() > ARGS.0 || size > ARGS.1 {
            let detail = format!(
                "`args` holds too much: at most {} arguments of {} bytes in all, written as JSON",
                ARGS.0, ARGS.1
            );
            return Err(Refusal::wrong("/args", "too_large", detail));
        }
        let now = self.in_time(self.parts.store.view(&job.name, None)).await?.now;
        let run_id = match &asked.key {
            Some(key) => RunId::of_request(&job.name, key),
            None => RunId::fresh(now),
        };
        let has_key = asked.key.is_some();
        if has_key && self.was_asked(run_id).await? {
            return self.triggered(&job, run_id, false).await;
        }
        let op = Op::Trigger {
            run_id,
            at: asked.scheduled_at,
            trigger: Trigger::Manual { by, reason: asked.reason },
            args: asked.args,
            overlap: job.overlap,
            expect: None,
            on_record: false,
        };
        let answer = self.apply(&job.name, &op).await?;
        if has_key && answer.reply == Reply::Done {
            self.remember_asked(run_id).await?;
        }
        match answer.reply {
            Reply::Done => self.triggered(&job, run_id, !answer.events.is_empty()).await,
            _ => Err(Refusal::in_the_way(&job.name, &answer)),
        }
    }

    async fn triggered(&self, job: &Job, id: RunId, new: bool) -> Result<Triggered, Refusal> {
        let look = self.look().await?;
        let live = look.replicas.iter().filter(|one| is_live(one, look.snapshot.now) && !one.is_worker());
        Ok(Triggered { id, job: job.name.clone(), new, replicas: live.count() })
    }

    /// Asks for a new run that stands for the same instant as one that is over.
    ///
    /// # Errors
    /// There is no such run, it is not over, something is in the way, or the store does not answer.
    pub async fn retry(&self, run: &str, reason: Option<String>, by: Option<String>) -> Result<Triggered, Refusal> {
        let (entry, stale) = self.entry(run).await?;
        if stale.is_none() && !entry.state.is_final() {
            let detail = format!("run {} of {} is not over: it is {}", entry.id, entry.job, entry.state.word());
            return Err(Refusal { run_id: entry.id.parse().ok(), ..Refusal::new(Why::Overlap, detail) });
        }
        let reason = reason.or_else(|| Some(format!("again after run {}", entry.id)));
        let asked = Asked { reason, scheduled_at: Some(entry.scheduled_at), ..Asked::default() };
        self.trigger(entry.job.as_str(), asked, by).await
    }

    /// Starts nothing of a job until then.
    ///
    /// # Errors
    /// There is no such job, the time is over, or the store does not answer.
    pub async fn pause(
        &self,
        name: &str,
        until: Option<Timestamp>,
        reason: Option<String>,
        by: Option<String>,
    ) -> Result<Paused, Refusal> {
        let job = self.job(name)?;
        brief(reason.as_deref())?;
        let now = self.in_time(self.parts.store.view(&job.name, None)).await?.now;
        if let Some(past) = until.filter(|until| *until <= now) {
            let detail = format!("a pause until {past} would be over already: name a later time");
            return Err(Refusal::wrong("/until", "in_the_past", detail));
        }
        self.apply(&job.name, &Op::Pause { until, reason: reason.clone(), by }).await?;
        let skipped = until.filter(|_| job.enabled).map(|until| {
            let starts = std::iter::successors(job.next_open(now), |at| job.next_open(*at));
            starts.take_while(|at| *at < until).take(COUNTED).count()
        });
        let timezone = job.schedule.zone().name().to_owned();
        Ok(Paused { job: job.name.clone(), paused: true, until, reason, skipped, at: now, timezone })
    }

    /// Starts nothing of any job until then.
    ///
    /// # Errors
    /// The time is over, or the store does not answer.
    pub async fn pause_all(
        &self,
        until: Option<Timestamp>,
        reason: Option<String>,
        by: Option<String>,
    ) -> Result<shape::All<Paused>, Refusal> {
        let mut items = Vec::new();
        for name in self.known().by_name.keys() {
            items.push(self.pause(name.as_str(), until, reason.clone(), by.clone()).await?);
        }
        Ok(shape::All { items })
    }

    /// Starts a job again; with `catch_up` what came due meanwhile is left to its misfire policy.
    ///
    /// # Errors
    /// There is no such job, or the store does not answer.
    pub async fn resume(&self, name: &str, after: AfterPause, by: Option<String>) -> Result<Resumed, Refusal> {
        let job = self.job(name)?;
        let answer = self.apply(&job.name, &Op::Resume { catch_up: after == AfterPause::CatchUp, by }).await?;
        Ok(Resumed { job: job.name.clone(), paused: false, was_paused: !answer.events.is_empty() })
    }

    /// Starts all jobs again.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn resume_all(&self, after: AfterPause, by: Option<String>) -> Result<shape::All<Resumed>, Refusal> {
        let mut items = Vec::new();
        for name in self.known().by_name.keys() {
            items.push(self.resume(name.as_str(), after, by.clone()).await?);
        }
        Ok(shape::All { items })
    }

    /// Asks to stop an open run: by its id, a part of that, or its job's name.
    ///
    /// # Errors
    /// There is no such open run, there are several, or the store does not answer.
    pub async fn cancel(&self, run: &str, by: String) -> Result<Cancelled, Refusal> {
        brief(Some(&by))?;
        let look = self.look().await?;
        let (job, open) = self.open_run(&look, run).await?;
        self.tell_about(&open);
        let answer = self.apply(&job, &Op::Cancel { run_id: open.run_id, by }).await?;
        let (id, phase, replica) = (open.run_id, open.phase, open.holder);
        Ok(Cancelled { id, job, open: answer.reply == Reply::Done, phase, replica })
    }
}

/// A reason is a line or two: it goes into the history, events and pages.
pub(super) fn brief(reason: Option<&str>) -> Result<(), Refusal> {
    if reason.is_none_or(|reason| reason.len() <= REASON) {
        return Ok(());
    }
    Err(Refusal::wrong(
        "/reason",
        "too_large",
        format!("`reason` is longer than {REASON} bytes: leave a link to the rest"),
    ))
}

/// What becomes of what came due in a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterPause {
    /// It is skipped.
    Skip,
    /// It is late, and left to the job's misfire policy.
    CatchUp,
}

//! What follows an event: who is told of it, and which jobs it starts. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::delivery::{Content, Delivery, Standing, To};
use super::registration::Registration;
use crate::announce::Notice;
use crate::clock::Timestamp;
use crate::job::{HookName, Job, JobName, Moment, Reaction};
use crate::lease::{Ended, Outcome, RunId, Trigger};
use crate::ledger::{Event, What};
use crate::record::Op;
use crate::replica::Jobs;

/// No body is larger, in bytes: what is longer is cut.
const LARGEST: usize = 20_000;

/// A piece of text that is cut keeps this many characters.
const CUT: usize = 2_000;

/// What follows an event.
#[derive(Debug, Default)]
pub struct Following {
    /// Who is told.
    pub deliveries: Vec<Delivery>,
    /// What is started: the job, and what is asked of its record.
    pub chains: Vec<(JobName, Op)>,
    /// What is not, and why.
    pub warnings: Vec<String>,
}

/// Who may be told, and what may be started.
pub struct Known<'a> {
    /// The jobs and hooks of the files.
    pub jobs: &'a Jobs,
    /// Those that were registered by the API, by their ids.
    pub registered: &'a BTreeMap<HookName, Registration>,
    /// Hooks of the files that are switched off.
    pub silent: &'a BTreeSet<HookName>,
}

/// What follows `event`, at `position` of the store's feed. `notice` is what is announced of it.
pub fn following(
    known: &Known<'_>,
    position: u64,
    event: &Event,
    notice: Option<&Notice>,
    now: Timestamp,
) -> Following {
    let mut all = Following::default();
    let job = known.jobs.by_name.get(&event.job);
    if let Some(notice) = notice {
        let body = body(notice);
        for to in told(known, job.map(AsRef::as_ref), event, notice.kind) {
            let content = Content::Event(body.clone());
            all.deliveries.push(delivery(to, notice, (position, now), content));
        }
        if let Some(tail) = job.filter(|job| job.ping.is_some()).and_then(|_| ping(event)) {
            let to = To::Ping(event.job.clone());
            all.deliveries.push(delivery(to, notice, (position, now), Content::Ping(tail)));
        }
    }
    if let (Some(job), Some(moment)) = (job, moment(event)) {
        chains(&mut all, known.jobs, job, event, moment);
    }
    all
}

/// Which moment of its job an event is.
fn moment(event: &Event) -> Option<Moment> {
    match &event.what {
        What::Started { .. } => Some(Moment::Start),
        What::Overdue { .. } => Some(Moment::Overdue),
        What::Ended { ended, next: None, .. } => match ended.outcome {
            Outcome::Succeeded => Some(Moment::Success),
            Outcome::Cancelled => None,
            Outcome::Failed | Outcome::TimedOut | Outcome::Interrupted | Outcome::Lost | Outcome::Expired => {
                Some(Moment::Failure)
            }
        },
        _ => None,
    }
}

/// Who hears of an event, each once.
fn told(known: &Known<'_>, job: Option<&Job>, event: &Event, kind: &str) -> BTreeSet<To> {
    // Who heard that a job is overdue wants to hear that it is over.
    let moment = moment(event).or(matches!(event.what, What::Recovered { .. }).then_some(Moment::Overdue));
    let named = job.zip(moment).map(|(job, moment)| job.on.to(moment)).unwrap_or_default();
    let is_named = |hook: &HookName| named.iter().any(|one| matches!(one, Reaction::Tell(name) if name == hook));
    let hooks = known.jobs.hooks.values().filter(|hook| {
        let is_on = hook.enabled && !known.silent.contains(&hook.name);
        is_on && (is_named(&hook.name) || hook.events.iter().any(|pattern| pattern.matches(kind)))
    });
    let webhooks = known.registered.iter().filter(|(_, one)| one.hears(kind, &event.job));
    let hooks = hooks.map(|hook| To::Hook(hook.name.clone()));
    hooks.chain(webhooks.map(|(id, _)| To::Webhook(id.clone()))).collect()
}

fn delivery(to: To, notice: &Notice, (position, now): (u64, Timestamp), content: Content) -> Delivery {
    Delivery {
        id: notice.event.id.clone(),
        to,
        kind: notice.kind.to_owned(),
        job: notice.name.clone(),
        position,
        happened_at: notice.event.at,
        standing: Standing::Waiting,
        tries: 0,
        due: now,
        last: None,
        content,
    }
}

/// The event's document, its longest texts cut where it would be too large.
fn body(notice: &Notice) -> String {
    let mut document = notice.event.document();
    let mut text = document.to_string();
    if text.len() > LARGEST {
        cut(&mut document["data"]);
        text = document.to_string();
    }
    text
}

fn cut(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().count() > CUT => {
            let kept: String = text.chars().take(CUT).collect();
            *text = format!("{kept}… (cut)");
        }
        Value::Object(all) => all.values_mut().for_each(cut),
        Value::Array(all) => all.iter_mut().for_each(cut),
        _ => {}
    }
}

/// What is put behind the URL of a ping.
fn ping(event: &Event) -> Option<String> {
    Some(match &event.what {
        What::Started { run_id, .. } => format!("/start?rid={run_id}"),
        What::Ended { run_id, ended, next: None, .. } => format!("{}?rid={run_id}", end(ended)),
        _ => return None,
    })
}

fn end(ended: &Ended) -> String {
    match (ended.outcome, ended.exit_code, ended.signal) {
        (Outcome::Succeeded, _, _) => String::new(),
        // Neither good nor bad: somebody knows.
        (Outcome::Cancelled, _, _) => "/log".into(),
        (Outcome::Failed, Some(code @ 1..=255), _) => format!("/{code}"),
        (Outcome::Failed, _, Some(signal @ 1..=64)) => format!("/{}", 128 + signal),
        _ => "/fail".into(),
    }
}

/// The jobs that a moment starts. Each is asked for as one and the same run, however often.
fn chains(all: &mut Following, jobs: &Jobs, job: &Job, event: &Event, moment: Moment) {
    let run_id = match &event.what {
        What::Started { run_id, .. } | What::Ended { run_id, .. } => *run_id,
        // No run, but a deadline: that has an identity as well.
        What::Overdue { due, .. } => RunId::of_occurrence(&job.name, *due),
        _ => return,
    };
    for reaction in job.on.to(moment) {
        let Reaction::Start(name) = reaction else { continue };
        let Some(next) = jobs.by_name.get(name).filter(|next| next.enabled) else {
            all.warnings.push(format!(
                "job `{name}` is not started after `{}`: it is disabled, or not in the schedule files here",
                job.name
            ));
            continue;
        };
        let on = moment.word();
        let op = Op::Trigger {
            run_id: RunId::of_request(name, &format!("chain:{run_id}:{on}")),
            at: None,
            trigger: Trigger::Chain { job: job.name.clone(), run_id, on: on.to_owned() },
            args: BTreeMap::new(),
            overlap: next.overlap,
            expect: None,
            on_record: true,
        };
        all.chains.push((name.clone(), op));
    }
}

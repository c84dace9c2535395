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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::announce::Notices;
    use crate::config::{self, SourceText};
    use crate::lease::Fence;
    use crate::ledger::Next;

    fn jobs() -> Jobs {
        let text = "version = 1\n[hooks.h]\nurl = \"https://h.example\"\n[hooks.all]\nurl = \"https://all.example\"\nevents = [\"run.*\"]\n\
                    [jobs.a]\nschedule = \"@manual\"\ncommand = \"true\"\nping = \"https://p.example/1\"\n\
                    on_success = [\"h\", \"job:b\"]\non_failure = [\"h\", \"all\", \"job:c\"]\non_overdue = [\"h\", \"job:b\"]\n\
                    [jobs.b]\nschedule = \"@manual\"\ncommand = \"true\"\n\
                    [jobs.c]\nschedule = \"@manual\"\ncommand = \"true\"\nenabled = false\n";
        let source = SourceText { name: "x.toml".into(), text: text.into() };
        let config = config::load(&[source], &|_: &str| None, Timestamp::from_secs(1_800_000_000)).unwrap();
        Jobs {
            by_name: config.jobs.iter().map(|job| (job.name.clone(), Arc::clone(job))).collect(),
            hooks: config.hooks.iter().map(|hook| (hook.name.clone(), Arc::clone(hook))).collect(),
            digest: String::new(),
        }
    }

    /// Who is told, what is pinged, and what is started after something happens to `a`.
    fn after(what: What) -> (Vec<String>, Vec<String>, usize) {
        let (jobs, event) = (jobs(), Event { at: Timestamp::from_secs(1), job: JobName::new("a").unwrap(), what });
        let known = Known { jobs: &jobs, registered: &BTreeMap::new(), silent: &BTreeSet::new() };
        let notice = Notices::new("x").of(1, &event);
        let all = following(&known, 1, &event, notice.as_ref(), Timestamp::from_secs(2));
        let told = all.deliveries.iter().map(|one| match &one.content {
            Content::Event(_) => one.to.to_string(),
            Content::Ping(tail) => tail.split('?').next().unwrap_or_default().to_owned(),
        });
        (told.collect(), all.chains.iter().map(|(job, _)| job.to_string()).collect(), all.warnings.len())
    }

    fn ended(outcome: Outcome, exit_code: Option<i32>, next: Option<Next>) -> What {
        let ended = Ended { exit_code, ..Ended::because(outcome, "so") };
        What::Ended { run_id: RunId::fresh(Timestamp::from_secs(1)), attempt: 1, fence: Fence(1), ended, next }
    }

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn who_is_told_and_what_starts_depends_on_what_happened() {
        let success = ended(Outcome::Succeeded, None, None);
        assert_eq!(after(success), (list(&["hook/all", "hook/h", ""]), list(&["b"]), 0));
        // Once, though it is named and hears of all; a disabled job does not start.
        let failure = ended(Outcome::Failed, Some(3), None);
        assert_eq!(after(failure), (list(&["hook/all", "hook/h", "/3"]), list(&[]), 1));
        let lost = ended(Outcome::Lost, None, None);
        assert_eq!(after(lost).0, list(&["hook/all", "hook/h", "/fail"]));
        // Another attempt follows: it has not failed yet.
        let again = ended(Outcome::Failed, Some(3), Some(Next { attempt: 2, at: Timestamp::from_secs(9) }));
        assert_eq!(after(again), (list(&["hook/all"]), list(&[]), 0));
        let cancelled = ended(Outcome::Cancelled, None, None);
        assert_eq!(after(cancelled), (list(&["hook/all", "/log"]), list(&[]), 0));
        let overdue = What::Overdue { due: Timestamp::from_secs(1), last_success_at: None };
        assert_eq!(after(overdue), (list(&["hook/h"]), list(&["b"]), 0));
        let recovered = What::Recovered { overdue_since: Timestamp::from_secs(1) };
        assert_eq!(after(recovered), (list(&["hook/h"]), list(&[]), 0));
        assert_eq!(after(What::Registered), (list(&[]), list(&[]), 0));
    }

    #[test]
    fn a_body_is_never_larger_than_it_may_be() {
        let ended = Ended::because(Outcome::Failed, "x".repeat(100_000));
        let run_id = RunId::fresh(Timestamp::from_secs(1));
        let what = What::Ended { run_id, attempt: 1, fence: Fence(1), ended, next: None };
        let event = Event { at: Timestamp::from_secs(1), job: JobName::new("a").unwrap(), what };
        let body = body(&Notices::new("x").of(1, &event).unwrap());
        assert!(body.len() <= LARGEST && body.contains("(cut)"), "{}", body.len());
    }
}

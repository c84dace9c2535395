//! What is announced of an event: its type, its routing key, its CloudEvent.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::broker::cloud::CloudEvent;
use crate::broker::{Exchange, Message, word};
use crate::clock::Timestamp;
use crate::hash::stable_digest;
use crate::lease::{Ended, Fence, Outcome, RunId, Trigger};
use crate::ledger::{Event, Fate, Next, State, What};

/// Everything that is announced: `ENTITY.EVENT`. The type of the CloudEvent is `dev.cronclave.ENTITY.EVENT.v1`.
pub const KINDS: [&str; 35] = [
    "run.queued",
    "run.published",
    "run.started",
    "run.slow",
    "run.cancelling",
    "run.retrying",
    "run.succeeded",
    "run.failed",
    "run.timed_out",
    "run.cancelled",
    "run.interrupted",
    "run.lost",
    "run.expired",
    "occurrence.skipped",
    "occurrence.missed",
    "job.added",
    "job.paused",
    "job.resumed",
    "job.overdue",
    "job.recovered",
    "job.restored",
    "lock.fenced",
    "outbox.gap",
    "replica.joined",
    "replica.left",
    "config.reloaded",
    "config.rejected",
    "backend.down",
    "backend.up",
    "backend.repaired",
    "run.progress",
    "hook.failed",
    "hook.switched_off",
    "check.failing",
    "check.mended",
];

/// Those of [`KINDS`] that a record tells of. The others are what a replica tells of itself.
pub fn recorded() -> impl Iterator<Item = &'static str> {
    let own = ["replica.", "config.", "backend.", "hook.", "check."];
    KINDS.into_iter().filter(move |kind| *kind != "run.progress" && !own.iter().any(|one| kind.starts_with(one)))
}

/// Runs whose beginning is remembered at most; the oldest go first.
const RUNS: usize = 10_000;

/// Claims of one run that are remembered at most.
const CLAIMS: usize = 8;

/// Something to announce.
#[derive(Debug, Clone)]
pub struct Notice {
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// What it is about, as the last word of the routing key: a job, or a replica.
    pub name: String,
    /// Itself.
    pub event: CloudEvent,
}

impl Notice {
    /// A message that carries it.
    pub fn message(&self) -> Message {
        Message {
            to: Exchange::Events,
            key: format!("cronclave.{}.{}.{}", word(&self.event.cluster), self.kind, self.name),
            optional: true,
            ..self.event.message()
        }
    }

    /// That the events from one position through another were dropped before they could be passed on.
    pub fn of_gap(cluster: &str, (from, through): (u64, u64), at: Timestamp) -> Notice {
        let data = json!({"from": from, "through": through, "count": through + 1 - from});
        Notice::new("outbox.gap", (cluster, "outbox"), "outbox".into(), at, data).identified(through)
    }

    pub(super) fn new(
        kind: &'static str,
        (cluster, name): (&str, &str),
        subject: String,
        at: Timestamp,
        data: Value,
    ) -> Notice {
        let event = CloudEvent {
            id: id(at, rand::random()),
            kind: format!("dev.cronclave.{kind}.v1"),
            cluster: cluster.to_owned(),
            partition: name.to_owned(),
            subject,
            at,
            data,
        };
        Notice { kind, name: name.to_owned(), event }
    }

    /// Named by what it tells instead of by chance, so that a copy has the same id.
    pub(super) fn identified(mut self, position: u64) -> Notice {
        let event = &self.event;
        let parts: [&[u8]; 5] = [
            event.cluster.as_bytes(),
            self.kind.as_bytes(),
            event.partition.as_bytes(),
            &position.to_be_bytes(),
            // Over a wiped store positions begin anew.
            &event.at.as_micros().to_be_bytes(),
        ];
        let mut tail = [0; 10];
        tail.copy_from_slice(&stable_digest(&parts)[..10]);
        self.event.id = id(event.at, tail);
        self
    }
}

/// In the layout of version 7: sorted by time.
fn id(at: Timestamp, tail: [u8; 10]) -> String {
    let millis = u64::try_from(at.as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid().to_string()
}

/// Turns events into notices. What an event does not say by itself is remembered from those before it.
#[derive(Debug, Default)]
pub struct Notices {
    cluster: String,
    runs: BTreeMap<RunId, Run>,
}

/// What was said of a run before.
#[derive(Debug, Default)]
struct Run {
    /// Its instant, and why it exists.
    origin: Option<(Timestamp, Trigger)>,
    claims: Vec<Claim>,
}

#[derive(Debug)]
struct Claim {
    fence: Fence,
    attempt: u32,
    holder: String,
    started_at: Option<Timestamp>,
}

impl Notices {
    /// For the events of the cluster of this name.
    pub fn new(cluster: &str) -> Notices {
        Notices { cluster: cluster.to_owned(), ..Notices::default() }
    }

    /// What is announced of the event at `position`, if anything is.
    pub fn of(&mut self, position: u64, event: &Event) -> Option<Notice> {
        self.learn(event);
        let (kind, data) = self.told(event)?;
        let job = event.job.as_str();
        let mut all = Map::from_iter([("job".to_owned(), json!(job))]);
        if let Value::Object(data) = data {
            // What is not known is left out.
            all.extend(data.into_iter().filter(|(_, value)| !value.is_null()));
        }
        let subject = match all.get("run_id").and_then(Value::as_str) {
            Some(run) => format!("jobs/{job}/runs/{run}"),
            None => format!("jobs/{job}"),
        };
        let notice = Notice::new(kind, (&self.cluster, job), subject, event.at, Value::Object(all));
        Some(notice.identified(position))
    }

    /// Remembers what later events of the same run do not say.
    pub fn learn(&mut self, event: &Event) {
        match &event.what {
            What::Queued { run_id, scheduled_at, trigger } => {
                self.run(*run_id).origin = Some((*scheduled_at, trigger.clone()));
            }
            What::Claimed { run_id, scheduled_at, trigger, attempt, fence, holder } => {
                let run = self.run(*run_id);
                run.origin = Some((*scheduled_at, trigger.clone()));
                run.claim(*fence, *attempt, holder);
            }
            What::Started { run_id, attempt, fence, holder } => {
                self.run(*run_id).claim(*fence, *attempt, holder).started_at = Some(event.at);
            }
            _ => {}
        }
    }

    fn run(&mut self, run_id: RunId) -> &mut Run {
        if self.runs.len() >= RUNS && !self.runs.contains_key(&run_id) {
            self.runs.pop_first();
        }
        self.runs.entry(run_id).or_default()
    }

    /// The type and the data; `None` for what is of no use outside.
    fn told(&mut self, event: &Event) -> Option<(&'static str, Value)> {
        Some(match &event.what {
            What::Claimed { .. } | What::Released { .. } => return None,
            What::Registered => ("job.added", json!({})),
            What::Queued { run_id, .. } => ("run.queued", self.of_run(*run_id, None, json!({"state": State::Queued}))),
            What::Published { run_id, fence } => {
                ("run.published", self.of_run(*run_id, Some(*fence), json!({"state": State::Published})))
            }
            What::Started { run_id, fence, .. } => {
                ("run.started", self.of_run(*run_id, Some(*fence), json!({"state": State::Running})))
            }
            What::Ended { run_id, attempt, fence, ended, next } => {
                let mut data = self.of_run(*run_id, Some(*fence), over(event.at, *attempt, ended, *next));
                let started = data["started_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
                data["duration_seconds"] = json!(started.map(|at| event.at.since(at).as_secs_f64()));
                if next.is_none() {
                    self.runs.remove(run_id);
                }
                (if next.is_some() { "run.retrying" } else { ended_as(ended.outcome) }, data)
            }
            What::CancelAsked { run_id, by } => ("run.cancelling", self.of_run(*run_id, None, json!({"by": by}))),
            What::Slow { run_id, fence, started_at, .. } => {
                let running = event.at.since(*started_at).as_secs_f64();
                let data = json!({"state": State::Running, "started_at": started_at, "duration_seconds": running});
                ("run.slow", self.of_run(*run_id, Some(*fence), data))
            }
            What::Overdue { due, last_success_at } => {
                ("job.overdue", json!({"due_at": due, "last_success_at": last_success_at}))
            }
            What::Restored { from, through } => ("job.restored", json!({"from": from, "through": through})),
            What::Recovered { overdue_since } => ("job.recovered", json!({"overdue_since": overdue_since})),
            What::Declined { run_id, scheduled_at, trigger, fate } => {
                let (kind, mut data) = passed(*fate, (*scheduled_at, *scheduled_at), 1);
                (data["run_id"], data["trigger"]) = (json!(run_id), json!(trigger.kind()));
                (kind, data)
            }
            What::Passed(pass) => passed(pass.fate, (pass.from, pass.through), pass.count),
            What::Fenced { run_id, fence, tried, ended } => {
                let reported = ended.as_ref().map(|ended| ended.outcome);
                let data = json!({"run_id": run_id, "fencing_token": fence, "tried": tried, "reported": reported});
                ("lock.fenced", data)
            }
            What::Paused { until, reason, by } => ("job.paused", json!({"until": until, "reason": reason, "by": by})),
            What::Resumed { catch_up, by } => ("job.resumed", json!({"catch_up": catch_up, "by": by})),
        })
    }

    /// What is known of a run and one claim on it, and `more`.
    fn of_run(&self, run_id: RunId, fence: Option<Fence>, more: Value) -> Value {
        let run = self.runs.get(&run_id);
        let origin = run.and_then(|run| run.origin.as_ref());
        let claim = run.and_then(|run| run.claims.iter().find(|claim| Some(claim.fence) == fence));
        let mut all = json!({
            "run_id": run_id,
            "scheduled_at": origin.map(|(at, _)| at),
            "trigger": origin.map(|(_, trigger)| trigger.kind()),
            "attempt": claim.map(|claim| claim.attempt),
            "replica": claim.map(|claim| &claim.holder),
            "fencing_token": fence,
            "started_at": claim.and_then(|claim| claim.started_at),
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
            all.extend(more);
        }
        all
    }
}

impl Run {
    fn claim(&mut self, fence: Fence, attempt: u32, holder: &str) -> &mut Claim {
        self.claims.retain(|claim| claim.fence != fence);
        if self.claims.len() >= CLAIMS {
            self.claims.remove(0);
        }
        self.claims.push(Claim { fence, attempt, holder: holder.to_owned(), started_at: None });
        let last = self.claims.len() - 1;
        &mut self.claims[last]
    }
}

/// The end of an attempt. The run's state is `retrying` while another is to follow.
fn over(at: Timestamp, attempt: u32, ended: &Ended, next: Option<Next>) -> Value {
    let outcome = State::from(ended.outcome);
    let error = (ended.outcome != Outcome::Succeeded)
        .then(|| json!({"kind": outcome, "message": ended.message.as_deref().unwrap_or(outcome.word())}));
    json!({
        "state": if next.is_some() { State::Retrying } else { outcome },
        "outcome": outcome,
        "attempt": attempt,
        "final": next.is_none(),
        "next_attempt": next.map(|next| next.attempt),
        "next_attempt_at": next.map(|next| next.at),
        "finished_at": at,
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "error": error,
    })
}

fn ended_as(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "run.succeeded",
        Outcome::Failed => "run.failed",
        Outcome::TimedOut => "run.timed_out",
        Outcome::Cancelled => "run.cancelled",
        Outcome::Interrupted => "run.interrupted",
        Outcome::Lost => "run.lost",
        Outcome::Expired => "run.expired",
    }
}

fn passed(fate: Fate, (from, through): (Timestamp, Timestamp), count: u64) -> (&'static str, Value) {
    let kind = if fate == Fate::Missed { "occurrence.missed" } else { "occurrence.skipped" };
    let reason = match fate {
        Fate::Queued => "it waits for its turn",
        Fate::SkippedOverlap => "a run of the job was still open",
        Fate::SkippedPaused => "the job was paused",
        Fate::SkippedDisabled => "the job is disabled",
        Fate::SkippedCalendar => "a calendar left its day out",
        Fate::Coalesced => "a newer occurrence stands for it",
        Fate::Missed => "nobody could start it in time",
    };
    let state = State::from(fate);
    let data = json!({"state": state, "reason": reason, "scheduled_at": from, "through": through, "count": count});
    (kind, data)
}

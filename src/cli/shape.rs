//! The JSON of jobs, runs, locks and replicas: one shape wherever they are shown.

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::job::{Action, Job, Task};
use crate::ledger::{Attempt, Entry, State};
use crate::store::Replica;

/// A run, or neighbouring occurrences that were passed over.
pub(super) fn run(entry: &Entry) -> Value {
    let latest = entry.latest();
    let ended = latest.and_then(|attempt| attempt.ended.as_ref());
    let started_at = latest.and_then(|attempt| attempt.started_at);
    json!({
        "id": entry.id,
        "job": entry.job,
        "state": entry.state,
        "trigger": entry.trigger,
        "scheduled_at": entry.scheduled_at,
        "through": entry.through,
        "count": entry.count,
        "started_at": started_at,
        "finished_at": latest.and_then(|attempt| attempt.finished_at),
        "start_delay_seconds": started_at.map(|at| at.since(entry.scheduled_at).as_secs_f64()),
        "duration_seconds": latest.and_then(duration),
        "attempt": latest.map(|attempt| attempt.attempt),
        "attempts": entry.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "next_attempt_at": entry.next_attempt_at,
        "replica": latest.map(|attempt| &attempt.replica),
        "fencing_token": latest.map(|attempt| attempt.fence),
        "exit_code": ended.and_then(|ended| ended.exit_code),
        "signal": ended.and_then(|ended| ended.signal),
        "error": error(entry),
    })
}

fn attempt(attempt: &Attempt) -> Value {
    let ended = attempt.ended.as_ref();
    json!({
        "attempt": attempt.attempt,
        "fencing_token": attempt.fence,
        "replica": attempt.replica,
        "claimed_at": attempt.claimed_at,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "duration_seconds": duration(attempt),
        "state": ended.map(|ended| State::from(ended.outcome)),
        "exit_code": ended.and_then(|ended| ended.exit_code),
        "signal": ended.and_then(|ended| ended.signal),
        "message": ended.and_then(|ended| ended.message.as_ref()),
    })
}

fn duration(attempt: &Attempt) -> Option<f64> {
    Some(attempt.finished_at?.since(attempt.started_at?).as_secs_f64())
}

fn error(entry: &Entry) -> Option<Value> {
    let ended = entry.latest().and_then(|attempt| attempt.ended.as_ref());
    let kind = match entry.state {
        State::TimedOut => "timeout",
        State::Failed | State::Retrying => match ended {
            Some(ended) if ended.signal.is_some() => "signal",
            Some(ended) if ended.exit_code.is_some() => "exit",
            _ => "failed",
        },
        State::Cancelled | State::Interrupted | State::Lost | State::Expired => entry.state.word(),
        _ => return None,
    };
    Some(json!({"kind": kind, "message": entry.message}))
}

/// What a job's run is: `command`, `http`, `handler` or `publish`.
pub(super) fn action(job: &Job) -> &'static str {
    match job.task.action() {
        Some(Action::Command(_)) => "command",
        Some(Action::Http(_)) => "http",
        Some(Action::Handler { .. }) => "handler",
        None => "publish",
    }
}

/// What a job does, in a line.
pub(super) fn action_text(job: &Job) -> String {
    let of = |action: &Action| match action {
        Action::Command(command) => command.shown.clone(),
        Action::Http(http) => format!("{} {}", http.method, http.url),
        Action::Handler { name, .. } => format!("handler {name}"),
    };
    match &job.task {
        Task::Run(action) => of(action),
        Task::Queue(queue, action) => format!("{}  (worker, queue {queue})", of(action)),
        Task::Publish(publish) => format!("publish {} to `{}`", publish.routing_key, publish.exchange),
    }
}

/// The texts of a job's schedule, one for each in its list.
pub(super) fn schedule(job: &Job) -> Vec<String> {
    job.schedule.text().split("  or  ").map(str::to_owned).collect()
}

/// A process of the cluster.
pub(super) fn replica(replica: &Replica, now: Timestamp, live: bool) -> Value {
    json!({
        "name": replica.name,
        "boot_id": replica.boot_id,
        "version": replica.version,
        "pid": replica.pid,
        "started_at": replica.started_at,
        "up_seconds": now.since(replica.started_at).as_secs_f64(),
        "last_seen_at": replica.last_seen_at,
        "live": live,
        "clock_skew_seconds": replica.clock_skew_seconds,
        "config_digest": replica.config_digest,
        "tzdb": replica.tzdb,
        "jobs": replica.jobs,
        "running": replica.running,
        "queues": replica.queues,
        "slots": replica.slots,
    })
}

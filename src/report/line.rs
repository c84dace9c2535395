//! What is said about something that was told: in words for people, in fields for machines.

use serde_json::{Map, Value, json};

use super::mask;
use crate::clock::Timestamp;
use crate::event::{Delivered, Told};
use crate::lease::{Ended, Fence, Outcome, RunId};
use crate::ledger::{Event, Pass, State, What};
use crate::recall::Run;
use crate::trace;

/// A line in the making.
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) level: &'static str,
    pub(super) event: String,
    verb: &'static str,
    subject: String,
    text: String,
    pub(super) fields: Map<String, Value>,
}

impl Line {
    /// For people.
    pub(super) fn text(&self) -> String {
        let time = self.at.datetime().format("%H:%M:%S%.3f");
        format!("{time}  {:<11} {:<16} {}", self.verb, self.subject, self.text).trim_end().to_owned()
    }

    /// The same without time and subject, which machines get as fields.
    pub(super) fn message(&self) -> String {
        format!("{} {}", self.verb, self.text).trim().to_owned()
    }

    /// About something that has no time of its own; `run` is what is known of the run that it is about.
    pub(super) fn of(told: &Told, run: Option<&Run>, now: Timestamp) -> Option<Line> {
        let mut line = Line::about(told, now)?;
        if let (Told::Changed(event), Some(run)) = (told, run) {
            line.know(event, run);
        }
        line.trace(told);
        if !matches!(told, Told::Line { .. }) {
            line.text = mask::passwords(&line.text);
            if let Some(Value::String(error)) = line.fields.get_mut("error") {
                *error = mask::passwords(error);
            }
        }
        line.fields.retain(|_, value| !value.is_null());
        Some(line)
    }

    fn about(told: &Told, now: Timestamp) -> Option<Line> {
        let plain = |level, event: &str, verb, text: String| Line {
            at: now,
            level,
            event: event.into(),
            verb,
            subject: String::new(),
            text,
            fields: Map::new(),
        };
        Some(match told {
            Told::Changed(event) => return Line::of_event(event),
            Told::About(_) => return None,
            Told::Line { job, run_id, stream, text } => Line {
                subject: job.to_string(),
                fields: fields(json!({"job": job, "run_id": run_id, "stream": stream, "line": text})),
                ..plain("info", "run.output", "output", text.clone())
            },
            Told::StoreDown(why) => {
                let text = format!("{why}; running jobs keep to their leases, nothing new starts");
                plain("error", "store.down", "store down", text)
            }
            Told::StoreAway(away) => Line {
                fields: fields(json!({
                    "down_seconds": away.secs, "running": away.running, "lease_until": away.until, "due": away.due,
                })),
                ..plain("error", "store.away", "store away", away.to_string())
            },
            Told::StoreChanged(name) => plain(
                "warning",
                "store.changed",
                "store other",
                format!(
                    "{name} is another one, or has lost what it confirmed: nothing starts until it has been given back"
                ),
            ),
            Told::StoreRepaired(repaired) => Line {
                fields: fields(json!(repaired)),
                ..plain("warning", "store.repaired", "store whole", repaired.to_string())
            },
            Told::StoreUp(secs) => plain(
                "info",
                "store.up",
                "store up",
                format!("it answers again after {secs:.1} s; what came due is caught up"),
            ),
            Told::Reloaded { digest, jobs } => Line {
                fields: fields(json!({"config_digest": digest, "jobs": jobs})),
                ..plain("info", "config.reloaded", "reloaded", format!("{jobs} jobs, digest {digest}"))
            },
            Told::Rejected(why) => {
                let text = format!("the schedule files have mistakes; the old ones stay in force\n{why}");
                plain("error", "config.rejected", "rejected", text)
            }
            Told::Progress { job, run_id, percent, message } => Line {
                subject: job.to_string(),
                fields: fields(json!({"job": job, "run_id": run_id, "percent": percent, "message": message})),
                ..plain("info", "run.progress", "progress", format!("run {}  {percent} % {message}", run_id.short()))
            },
            Told::Delivery { hook, event, kind, outcome, message } => {
                let (level, verb) = match outcome {
                    // Each is of interest to few, and there may be many.
                    Delivered::Taken | Delivered::Retrying => return None,
                    Delivered::Failed => ("warning", "undelivered"),
                    Delivered::SwitchedOff => ("warning", "hook off"),
                };
                let why = message.as_deref().unwrap_or_default();
                Line {
                    subject: hook.clone(),
                    fields: fields(json!({"hook": hook, "event_id": event, "kind": kind, "error": message})),
                    ..plain(level, &format!("hook.{}", outcome.word()), verb, format!("{kind} {event}: {why}"))
                }
            }
            Told::Dropped(why) => plain("info", "message.dropped", "dropped", why.clone()),
            Told::Warning(text) => plain("warning", "warning", "warning", text.clone()),
            Told::Failing(check, text) => Line {
                fields: fields(json!({"check": check.word()})),
                ..plain("warning", "check.failing", "warning", text.clone())
            },
            Told::Mended(check, text) => Line {
                fields: fields(json!({"check": check.word()})),
                ..plain("info", "check.mended", "mended", text.clone())
            },
        })
    }

    fn of_event(event: &Event) -> Option<Line> {
        let mut line = Line {
            at: event.at,
            level: "info",
            event: String::new(),
            verb: "",
            subject: event.job.to_string(),
            text: String::new(),
            fields: fields(json!({"job": event.job})),
        };
        match &event.what {
            What::Registered | What::Claimed { .. } => return None,
            What::Published { run_id, fence } => {
                line.say("run.requested", "requested", format!("run {}  from a worker", run_id.short()));
                line.add(json!({"run_id": run_id, "fencing_token": fence}));
            }
            What::Queued { run_id, scheduled_at, trigger } => {
                line.say("run.queued", "queued", format!("run {}  scheduled {scheduled_at}", run_id.short()));
                line.add(json!({"run_id": run_id, "scheduled_at": scheduled_at, "trigger": trigger.kind()}));
            }
            What::Started { run_id, attempt, fence, holder } => {
                line.say("run.started", "started", format!("run {}  attempt {attempt}", run_id.short()));
                line.add(json!({"run_id": run_id, "attempt": attempt, "fencing_token": fence, "holder": holder}));
            }
            What::Released { run_id, .. } => {
                line.say("run.released", "released", format!("run {}  given back unstarted", run_id.short()));
                line.add(json!({"run_id": run_id}));
            }
            What::Ended { run_id, attempt, fence, ended, next } => {
                line.ended(run_id, ended);
                if let Some(next) = next {
                    line.text += &format!("; attempt {} not before {}", next.attempt, next.at);
                }
                line.add(json!({"attempt": attempt, "fencing_token": fence, "final": next.is_none()}));
            }
            What::Fenced { run_id, fence, tried, ended } => {
                line.level = "warning";
                let report = ended.as_ref().map(|ended| format!(" ({})", in_words(ended))).unwrap_or_default();
                let text = format!("run {}  refused to {tried}: the claim {fence} is outdated{report}", run_id.short());
                line.say("lock.fenced", "fenced", text);
                line.add(json!({"run_id": run_id, "fencing_token": fence, "tried": tried}));
            }
            What::CancelAsked { run_id, by } => {
                line.say("run.cancelling", "cancelling", format!("run {}  asked by {by}", run_id.short()));
                line.add(json!({"run_id": run_id, "by": by}));
            }
            What::Passed(pass) => line.passed(pass),
            What::Declined { run_id, scheduled_at, trigger, fate } => {
                line.passed(&Pass { from: *scheduled_at, through: *scheduled_at, count: 1, fate: *fate });
                line.text += &format!(": run {} ({})", run_id.short(), trigger.kind());
                line.add(json!({"run_id": run_id, "trigger": trigger.kind()}));
            }
            What::Overdue { due, last_success_at } => {
                line.level = "error";
                let last = last_success_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
                line.say("job.overdue", "overdue", format!("no success by {due}; the last: {last}"));
                line.add(json!({"due_at": due, "last_success_at": last_success_at}));
            }
            What::Restored { from, through } => {
                line.level = "warning";
                let from = from.map_or_else(|| "its beginning".to_owned(), |at| at.to_string());
                let through = through.map_or_else(|| "now".to_owned(), |at| at.to_string());
                let text = format!(
                    "the store had lost what it knew and was given it back; what became of occurrences after {from} up to \
                     {through} may be unknown"
                );
                line.say("job.restored", "restored", text);
                line.add(json!({"from": from, "through": through}));
            }
            What::Recovered { overdue_since } => {
                line.say("job.recovered", "recovered", format!("it was overdue since {overdue_since}"));
                line.add(json!({"overdue_since": overdue_since}));
            }
            What::Slow { run_id, attempt, fence, started_at } => {
                line.level = "warning";
                let running = event.at.since(*started_at);
                line.say(
                    "run.slow",
                    "slow",
                    format!("run {}  goes on for {}", run_id.short(), running.as_secs()) + " s",
                );
                line.add(json!({"run_id": run_id, "attempt": attempt, "fencing_token": fence}));
                line.add(json!({"duration_seconds": running.as_secs_f64()}));
            }
            What::Paused { until, reason, .. } => {
                let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
                let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                line.say("job.paused", "paused", format!("nothing starts{until}{reason}"));
            }
            What::Resumed { .. } => line.say("job.resumed", "resumed", String::new()),
        }
        Some(line)
    }

    /// Adds what the event does not say of its run.
    fn know(&mut self, event: &Event, run: &Run) {
        self.add(json!({
            "scheduled_at": run.scheduled_at, "trigger": run.trigger, "queue": run.queue.as_ref().map(|queue| queue.as_str()),
            "lock": run.lock,
        }));
        match &event.what {
            What::Started { .. } => {
                let late = run.delay(event.at).map(|late| late.as_secs_f64());
                self.add(json!({"start_delay_seconds": late}));
                if let Some(late) = late.filter(|late| *late >= 1.0) {
                    self.text += &format!("  {late:.1} s late");
                }
            }
            What::Ended { fence, .. } => {
                let took = run.duration(*fence, event.at).map(|took| took.as_secs_f64());
                self.add(json!({"duration_seconds": took}));
                if let Some(took) = took {
                    self.text += &format!("  ({took:.1} s)");
                }
            }
            _ => {}
        }
    }

    /// Adds where the run is found in a trace, and an attempt within it.
    fn trace(&mut self, told: &Told) {
        let id = |name: &str| self.fields.get(name).cloned();
        let run_id = id("run_id").and_then(|id| serde_json::from_value::<RunId>(id).ok());
        let fence = id("fencing_token").and_then(|fence| serde_json::from_value::<Fence>(fence).ok());
        if let Some(run_id) = run_id.filter(|_| matches!(told, Told::Changed(_) | Told::Line { .. })) {
            self.add(json!({"trace_id": trace::in_hex(run_id)}));
            self.add(json!({"span_id": fence.map(|fence| trace::span_in_hex(trace::attempt(fence)))}));
        }
    }

    fn say(&mut self, event: &str, verb: &'static str, text: String) {
        (self.event, self.verb, self.text) = (event.to_owned(), verb, text);
    }

    fn add(&mut self, more: Value) {
        self.fields.extend(fields(more));
    }

    fn ended(&mut self, run_id: &RunId, ended: &Ended) {
        let state = State::from(ended.outcome);
        if ended.outcome != Outcome::Succeeded {
            self.level = "error";
        }
        let text = format!("run {}  {}", run_id.short(), in_words(ended));
        self.say(&format!("run.{}", state.word()), state.word(), text);
        self.add(
            json!({"run_id": run_id, "exit_code": ended.exit_code, "signal": ended.signal, "error": ended.message}),
        );
    }

    fn passed(&mut self, pass: &Pass) {
        let state = State::from(pass.fate);
        let span = match pass.count {
            1 => format!("{}", pass.from),
            count => format!("{count} occurrences from {} to {}", pass.from, pass.through),
        };
        self.level = "warning";
        let missed = state == State::Missed;
        self.say(if missed { "occurrence.missed" } else { "occurrence.skipped" }, "", span);
        self.verb = if missed { "missed" } else { "skipped" };
        if !missed {
            self.text += &format!("  ({})", state.word());
        }
        self.add(json!({"scheduled_at": pass.from, "through": pass.through, "count": pass.count, "decision": state}));
    }
}

fn in_words(ended: &Ended) -> &str {
    ended.message.as_deref().unwrap_or(match ended.outcome {
        Outcome::Succeeded => "",
        outcome => State::from(outcome).word(),
    })
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

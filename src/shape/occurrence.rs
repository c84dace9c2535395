//! Occurrences: those to come, with what changes of clocks and calendars do to them, and those decided.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::ledger::{Entry, State};
use crate::schedule::{Change, GapRule, OverlapRule, Slot, Zone};

/// One occurrence of a schedule that is to come.
#[derive(Debug, Clone)]
pub struct Start {
    /// As the schedule has it.
    pub slot: Slot,
    /// The instant of the schedule and its share of the jitter.
    pub due: Timestamp,
    /// The calendar that keeps it from running.
    pub closed: Option<String>,
}

/// An occurrence, as a schedule has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Planned {
    /// When it is to start.
    pub at: Timestamp,
    /// The instant of the schedule: its identity.
    pub scheduled_at: Timestamp,
    /// When it is to start, in the job's zone.
    pub local: String,
    /// The time on the wall that the schedule names.
    pub nominal: String,
    /// Its share of the jitter.
    pub jitter_seconds: f64,
    /// What a change of clocks does to it.
    pub dst: Option<Dst>,
    /// Why it will not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<Skipped>,
}

/// What a change of clocks does to an occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dst {
    /// `gap`: its time does not exist; `overlap`: it exists twice.
    pub kind: String,
    /// What the job says about that.
    pub policy: String,
    /// The wall just before.
    pub from: String,
    /// The wall just after.
    pub to: String,
}

/// Why an occurrence will not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Skipped {
    /// `calendar`.
    pub reason: String,
    /// Which.
    pub calendar: String,
}

/// An occurrence that was decided, or one that is to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Occurrence {
    /// The instant of the schedule: its identity.
    pub scheduled_at: Timestamp,
    /// The last of those that were decided alike.
    pub through: Option<Timestamp>,
    /// How many this stands for.
    pub count: u64,
    /// `planned`, `skipped` for what a calendar will keep from running, or the state of what became of it.
    pub decision: String,
    /// Why, in words.
    pub reason: Option<String>,
    /// The run that it became.
    pub run_id: Option<String>,
    /// More about one that is to come.
    pub planned: Option<Planned>,
}

impl Start {
    /// As JSON, with times in `zone`.
    pub fn shape(&self, zone: &Zone) -> Planned {
        let dst = self.slot.shift.as_ref().map(|note| {
            let rules = self.slot.rules;
            let (kind, policy) = match (note.kind, rules.gap, rules.overlap) {
                (Change::Gap, GapRule::Shift, _) => ("gap", "shift"),
                (Change::Gap, GapRule::Skip, _) => ("gap", "skip"),
                (Change::Overlap, _, OverlapRule::First) => ("overlap", "first"),
                (Change::Overlap, _, OverlapRule::Last) => ("overlap", "last"),
                (Change::Overlap, _, OverlapRule::Both) => ("overlap", "both"),
            };
            Dst { kind: kind.into(), policy: policy.into(), from: note.from.clone(), to: note.to.clone() }
        });
        let closed = self.closed.clone();
        Planned {
            at: self.due,
            scheduled_at: self.slot.at,
            local: local(self.due, zone),
            nominal: self.slot.nominal.format("%Y-%m-%dT%H:%M:%S").to_string(),
            jitter_seconds: self.due.since(self.slot.at).as_secs_f64(),
            dst,
            skipped: closed.map(|calendar| Skipped { reason: "calendar".into(), calendar }),
        }
    }
}

impl Occurrence {
    /// One that is to come.
    pub fn to_come(start: &Start, zone: &Zone) -> Occurrence {
        let planned = start.shape(zone);
        Occurrence {
            scheduled_at: planned.scheduled_at,
            through: None,
            count: 1,
            decision: if planned.skipped.is_some() { "skipped" } else { "planned" }.to_owned(),
            reason: start.closed.as_ref().map(|calendar| format!("closed by the calendar {calendar}")),
            run_id: None,
            planned: Some(planned),
        }
    }

    /// One that was decided.
    pub fn decided(entry: &Entry) -> Occurrence {
        Occurrence {
            scheduled_at: entry.scheduled_at,
            through: entry.through,
            count: entry.count,
            decision: entry.state.word().to_owned(),
            reason: entry.message.clone().or_else(|| reason(entry.state).map(str::to_owned)),
            run_id: entry.state.is_run().then(|| entry.id.clone()),
            planned: None,
        }
    }
}

/// Why an occurrence did not become a run.
fn reason(state: State) -> Option<&'static str> {
    Some(match state {
        State::SkippedOverlap => "a run of the job was still going",
        State::SkippedPaused => "the job was paused",
        State::SkippedDisabled => "the job was disabled",
        State::SkippedCalendar => "closed by a calendar",
        State::Coalesced => "a newer occurrence stands for it",
        State::Missed => "nobody could start it in time",
        _ => return None,
    })
}

/// The instant with its distance from UTC in `zone`, as RFC 3339 has it.
pub fn local(at: Timestamp, zone: &Zone) -> String {
    let (seconds, _) = zone.offset(at);
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{}{sign}{:02}:{:02}", zone.wall(at).format("%Y-%m-%dT%H:%M:%S"), minutes / 60, minutes % 60)
}

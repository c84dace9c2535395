//! What happened to one occurrence, and why, in words: from the ledger, the job's file, and nothing else.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::job::{Job, JobName, Misfire};
use crate::lease::{RunId, Trigger};
use crate::ledger::{Attempt, Entry, State};
use crate::occurrence::Seen;
use crate::record::Pause;
use crate::schedule::Change;
use crate::store::{Query, Store, StoreError};

/// Runs before an occurrence that are looked at for one that was in its way.
const GLANCE: usize = 50;

/// What happened to an occurrence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// Whose.
    pub job: JobName,
    /// Its instant.
    pub at: Timestamp,
    /// Where it stands; absent when nobody has decided about it, or nothing is known.
    pub state: Option<State>,
    /// Its run, if it became one.
    pub run_id: Option<RunId>,
    /// The answer, in one sentence.
    pub answer: String,
    /// What led there, by time; what has no time comes first.
    pub facts: Vec<Fact>,
}

/// Something that is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fact {
    /// When it happened.
    pub at: Option<Timestamp>,
    /// What, in one sentence.
    pub text: String,
}

/// How much of the history is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All that is kept.
    Whole,
    /// The store is away: some of the newest lines.
    Newest,
}

/// Says what happened to the occurrence of `name` at `at`. `job` is what its file says, if it is known here.
///
/// # Errors
/// When the store does not answer.
pub async fn why(store: &dyn Store, name: &JobName, job: Option<&Job>, at: Timestamp) -> Result<Why, StoreError> {
    let seen = Seen::look(store, name, at).await?;
    let before = match runs_before(&seen) {
        Some(query) => store.history(&query).await?,
        None => Vec::new(),
    };
    Ok(tell(name, job, &seen, &before, Reach::Whole))
}

/// The runs of which one may have been in the way of an occurrence, when that was why it did not run.
pub fn runs_before(seen: &Seen) -> Option<Query> {
    let line = seen.passed.as_ref().filter(|line| line.state == State::SkippedOverlap && seen.run.is_none())?;
    let states = State::ALL.into_iter().filter(|state| state.is_run()).collect();
    let of_job = Query { job: Some(line.job.clone()), states, limit: GLANCE, ..Query::default() };
    Some(Query { until: Some(line.changed_at), ..of_job })
}

/// Says what is known of an occurrence, with the [`runs_before`] it.
pub fn tell(name: &JobName, job: Option<&Job>, seen: &Seen, before: &[Entry], reach: Reach) -> Why {
    let at = seen.at;
    let mut facts: Vec<Fact> = job.map(|job| of_schedule(job, at)).into_iter().flatten().collect();
    let (state, run_id, answer) = match (&seen.run, &seen.passed) {
        (Some(run), passed) => {
            facts.extend(passed.iter().map(passed_over));
            facts.extend(of_run(run));
            (Some(run.state), Some(RunId::of_occurrence(name, at)), ran(run))
        }
        (None, Some(passed)) => {
            facts.extend(behind(seen, passed, before, job));
            facts.push(passed_over(passed));
            (Some(passed.state), None, format!("It did not run: {}.", reason(passed.state)))
        }
        (None, None) => (None, None, undecided(seen, job, reach)),
    };
    facts.extend(seen.others.iter().map(stand_in));
    facts.sort_by_key(|fact| fact.at);
    Why { job: name.clone(), at, state, run_id, answer, facts }
}

fn fact(at: impl Into<Option<Timestamp>>, text: impl Into<String>) -> Fact {
    Fact { at: at.into(), text: text.into() }
}

/// Whether the file of today has this occurrence.
fn of_schedule(job: &Job, at: Timestamp) -> Vec<Fact> {
    let (text, zone) = (job.schedule.text(), job.schedule.zone());
    let slot = job.schedule.next(Timestamp::from_micros(at.as_micros() - 1)).filter(|slot| slot.at == at);
    let Some(slot) = slot else {
        let near = [job.schedule.before(at), job.schedule.after(at)];
        let near: Vec<String> = near.into_iter().flatten().map(|at| at.to_string()).collect();
        let near = if near.is_empty() { "it has none".into() } else { format!("the nearest: {}", near.join(", ")) };
        return vec![fact(None, format!("Its schedule, `{text}` in {}, has no occurrence then; {near}.", zone.name()))];
    };
    let wall = slot.nominal.format("%a %Y-%m-%d %H:%M:%S");
    let mut facts = vec![fact(None, format!("Its schedule, `{text}` in {}, has it: {wall}.", zone.name()))];
    facts.extend(slot.shift.map(|note| {
        let how = match note.kind {
            Change::Gap => "that time does not exist",
            Change::Overlap => "that time comes twice",
        };
        fact(None, format!("On that day {how}: clocks go from {} to {}.", note.from, note.to))
    }));
    facts.extend(
        job.closed(at).map(|name| fact(None, format!("By the calendar `{name}` it does not run on that day."))),
    );
    let due = job.due(at);
    facts.extend((due > at).then(|| fact(None, format!("Its jitter makes it due at {due}."))));
    facts.extend((!job.enabled).then(|| fact(None, "Its file says `enabled = false`.")));
    facts
}

/// The sentence about a run.
fn ran(run: &Entry) -> String {
    let attempts = run.attempts.iter().filter(|attempt| attempt.started_at.is_some()).count();
    let tries = match attempts {
        0 => String::new(),
        1 => " after one attempt".into(),
        more => format!(" after {more} attempts"),
    };
    let message = run.message.as_deref().and_then(|text| text.lines().next()).map(|text| format!(": {text}"));
    let message = message.unwrap_or_default();
    match run.state {
        State::Queued => "It waits for its turn: another run is in its way, or nobody has come to it yet.".into(),
        State::Claimed => "Somebody is about to start it.".into(),
        State::Published => "Its request is on its way to a worker.".into(),
        State::Running => format!("It is running{}.", if attempts > 1 { ", not for the first time" } else { "" }),
        State::Retrying => format!("It failed{tries} and is tried again{message}."),
        State::Succeeded => format!("It ran and succeeded{tries}."),
        State::Lost => format!("It was started, and how it ended is not known{message}."),
        State::Expired => format!("It was to run, but nobody started it in time{message}."),
        other if attempts == 0 => format!("It was to run, but did not start ({}){message}.", words(other)),
        other => format!("It ran and ended as {}{tries}{message}.", words(other)),
    }
}

fn words(state: State) -> String {
    state.word().replace('_', " ")
}

fn of_run(run: &Entry) -> Vec<Fact> {
    let mut facts = Vec::new();
    facts.extend(match &run.trigger {
        Trigger::Backfill { by, reason } => {
            let by = by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            let reason = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            Some(fact(None, format!("It was asked for afterwards{by}{reason}.")))
        }
        Trigger::Cli { by } => {
            let by = by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            Some(fact(None, format!("It was run by hand{by}, in its stead.")))
        }
        _ => None,
    });
    facts.extend(run.attempts.iter().flat_map(|attempt| of_attempt(run, attempt)));
    facts.extend(run.next_attempt_at.map(|at| fact(at, "The next attempt may begin.")));
    facts
}

fn of_attempt(run: &Entry, attempt: &Attempt) -> Vec<Fact> {
    let (number, fence, replica) = (attempt.attempt, attempt.fence, &attempt.replica);
    let mut facts = vec![fact(
        attempt.claimed_at,
        format!("{replica} won the right to start attempt {number}, under fence {fence}."),
    )];
    match attempt.started_at {
        Some(at) if number == 1 => {
            let late = at.since(run.scheduled_at);
            facts.push(fact(at, format!("{replica} started it, {} after its instant.", span(late))));
        }
        Some(at) => facts.push(fact(at, format!("{replica} started attempt {number}."))),
        None => {}
    }
    if let (Some(at), Some(ended)) = (attempt.finished_at, &attempt.ended) {
        let took = attempt.started_at.map(|from| format!(" after {}", span(at.since(from)))).unwrap_or_default();
        let how = ended.message.as_deref().and_then(|text| text.lines().next()).map(|text| format!(": {text}"));
        let word = words(State::from(ended.outcome));
        facts.push(fact(at, format!("Attempt {number} ended as {word}{took}{}.", how.unwrap_or_default())));
    }
    facts
}

fn span(span: Duration) -> String {
    match span.as_secs_f64() {
        secs if secs < 1.0 => format!("{} ms", span.as_millis()),
        secs if secs < 120.0 => format!("{secs:.1} s"),
        secs => format!("{:.0} min", secs / 60.0),
    }
}

/// Why an occurrence does not become a run.
fn reason(state: State) -> &'static str {
    match state {
        State::SkippedOverlap => "a run of the job was still open, and `overlap` says to skip",
        State::SkippedPaused => "the job was paused",
        State::SkippedDisabled => "the job was disabled by its file",
        State::SkippedCalendar => "a calendar of the job closed its day",
        State::Coalesced => "a newer occurrence was due as well and stands for it, as `misfire` says",
        State::Missed => "nobody could start it in time, and `misfire` leaves it out",
        _ => "it was decided so",
    }
}

fn passed_over(line: &Entry) -> Fact {
    let (word, others) = (words(line.state), line.count.saturating_sub(1));
    let others = if others == 0 { String::new() } else { format!(", with {others} of its neighbours") };
    fact(line.changed_at, format!("It was decided: {word}{others}."))
}

/// What was behind the decision about an occurrence that was passed over.
fn behind(seen: &Seen, line: &Entry, before: &[Entry], job: Option<&Job>) -> Vec<Fact> {
    let due = job.map_or(seen.at, |job| job.due(seen.at));
    match line.state {
        State::SkippedPaused => {
            let pause = seen.record.pauses.iter().rev().find(|pause| pause.covers(due));
            pause.map(of_pause).unwrap_or_default()
        }
        State::SkippedOverlap => {
            before.iter().find(|run| was_open(run, line.changed_at)).map(in_the_way).into_iter().collect()
        }
        State::Missed | State::Coalesced => {
            let late = line.changed_at.since(due);
            let limit = span(Misfire::GRACE);
            let text = format!("Nobody looked at it until {} after it was due; {limit} are in time.", span(late));
            vec![fact(None, text)]
        }
        _ => Vec::new(),
    }
}

fn of_pause(pause: &Pause) -> Vec<Fact> {
    let by = pause.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
    let reason = pause.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let begun = fact(pause.since, format!("The job was paused{by}{reason}."));
    std::iter::once(begun).chain(pause.until.map(|until| fact(until, "The pause ended."))).collect()
}

fn was_open(run: &Entry, at: Timestamp) -> bool {
    let begun = run.attempts.first().is_some_and(|attempt| attempt.claimed_at <= at);
    begun && (!run.state.is_final() || run.changed_at >= at)
}

fn in_the_way(run: &Entry) -> Fact {
    let on = run.latest().map(|attempt| format!(" on {}", attempt.replica)).unwrap_or_default();
    let at = run.attempts.first().map(|attempt| attempt.claimed_at);
    fact(at, format!("Run {}, for {}, was in its way{on}.", run.id, run.scheduled_at))
}

fn stand_in(run: &Entry) -> Fact {
    let at = run.latest().and_then(|attempt| attempt.started_at);
    fact(at, format!("Run {} ({}) stood for the same instant and is {}.", run.id, run.trigger.kind(), words(run.state)))
}

/// The sentence about an occurrence of which there is no line.
fn undecided(seen: &Seen, job: Option<&Job>, reach: Reach) -> String {
    let is_one = |job: &Job| job.schedule.after(Timestamp::from_micros(seen.at.as_micros() - 1)) == Some(seen.at);
    let cursor = seen.record.cursor;
    match job {
        Some(job) if !is_one(job) => "There is no such occurrence.".into(),
        _ if seen.record.specs.is_empty() => "No replica has ever seen this job: nothing was decided.".into(),
        Some(job) if job.due(seen.at) > seen.now => {
            let paused = seen.record.paused(seen.now).map_or("", |_| " The job is paused now.");
            format!("It is not due before {}.{paused}", job.due(seen.at))
        }
        _ if cursor.is_none_or(|cursor| seen.at > cursor) => match seen.record.paused(seen.now) {
            Some(_) => {
                "Nobody has decided about it: the job is paused, and what came due is decided at its end.".into()
            }
            None if reach == Reach::Newest => "Nobody had decided about it when the store was last heard of.".into(),
            None => "Nobody has decided about it yet: is a replica up? `cronclave status` says so.".into(),
        },
        _ if seen.is_before_the_job() => {
            "The job was not known then: its occurrences count from when it was first seen.".into()
        }
        _ if reach == Reach::Newest => {
            "It was decided, or there was no such occurrence: the store is away, and what is known here does not reach \
             back to it."
                .into()
        }
        None => "Nothing is known of it: there was no such occurrence, or its history was dropped.".into(),
        Some(job) => format!(
            "It was decided, but its history was dropped: {} runs and {} days are kept; or the job had another schedule.",
            job.keep.runs, job.keep.days
        ),
    }
}

//! Who acts on a run: its newest claim, and nobody else; and how often it starts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::executions::{by_fence, ended_when_it_may};
use super::{Case, Finding, Invariant};
use crate::clock::Timestamp;
use crate::job::{Delivery, Job, Overlap};
use crate::lease::{Fence, Outcome, RunId, Trigger};
use crate::ledger::{Event, What};
use crate::record::Bid;

/// What one run has been through.
struct Life {
    scheduled_at: Option<Timestamp>,
    is_of_schedule: bool,
    newest: Fence,
    /// Number and fence of each start.
    starts: Vec<(u32, Fence)>,
    last_end: Option<Outcome>,
    over: bool,
}

impl Life {
    fn new(scheduled_at: Timestamp, trigger: &Trigger) -> Life {
        let is_of_schedule = *trigger == Trigger::Schedule;
        Life { scheduled_at: Some(scheduled_at), is_of_schedule, ..Life::unknown(Fence(0)) }
    }

    /// Of a run that came to be before the first event that is known.
    fn unknown(newest: Fence) -> Life {
        Life { scheduled_at: None, is_of_schedule: false, newest, starts: Vec::new(), last_end: None, over: false }
    }
}

/// The store's time does not go back.
pub(super) fn time_goes_on(case: &Case<'_>, found: &mut Vec<Finding>) {
    // A start that was granted ahead of its instant is dated at it.
    let ahead = |event: &Event| if matches!(event.what, What::Started { .. }) { Bid::AHEAD } else { Duration::ZERO };
    for pair in case.events.windows(2).filter(|pair| pair[0].at > pair[1].at.plus(ahead(pair[0]))) {
        let detail = format!("an event of {} follows one of {}", pair[1].at, pair[0].at);
        found.push(Finding::new(Invariant::TimeGoesOn, &case.job.name, detail).when(pair[1].at));
    }
}

/// Only the newest claim acts; a run starts as often as its policies say, and is over once.
pub(super) fn only_the_newest_acts(case: &Case<'_>, found: &mut Vec<Finding>) {
    let job = &case.job.name;
    let ran = by_fence(&case.ran);
    let mut lives: BTreeMap<RunId, Life> = BTreeMap::new();
    let mut largest = Fence(0);
    let mut whole = case.whole;
    for event in &case.events {
        let find =
            |invariant, run_id: RunId, detail: String| Finding::new(invariant, job, detail).of(run_id).when(event.at);
        // Whatever a claim does: on a run that goes on, as its newest.
        let stale = |life: Option<&mut Life>, fence: Fence, run_id: RunId, did: &str| -> Option<Finding> {
            let holds = life.as_ref().is_some_and(|life| !life.over && life.newest == fence);
            let newest = life.map_or("the run is not known".into(), |life| match life.over {
                true => "the run was over".into(),
                false => format!("the newest was {}", life.newest),
            });
            (!holds).then(|| find(Invariant::NewestClaimActs, run_id, format!("{fence} {did}, though {newest}")))
        };
        match &event.what {
            What::Queued { run_id, scheduled_at, trigger } => {
                let life = Life::new(*scheduled_at, trigger);
                if lives.contains_key(run_id) {
                    found.push(find(Invariant::RunComesOnce, *run_id, "it was put into the queue twice".into()));
                } else {
                    lives.insert(*run_id, life);
                }
            }
            What::Claimed { run_id, fence, scheduled_at, trigger, .. } => {
                if *fence <= largest {
                    let detail = format!("it was claimed under {fence}, after a claim under {largest}");
                    found.push(find(Invariant::ClaimFencesGrow, *run_id, detail));
                }
                largest = largest.max(*fence);
                let life = lives.entry(*run_id).or_insert_with(|| Life::new(*scheduled_at, trigger));
                if life.over {
                    let detail = format!("it was over, and was claimed again under {fence}");
                    found.push(find(Invariant::OverStaysOver, *run_id, detail));
                    life.over = false;
                }
                life.newest = *fence;
            }
            What::Started { run_id, attempt, fence, .. } => {
                if !whole {
                    lives.entry(*run_id).or_insert_with(|| Life::unknown(*fence));
                }
                if lives.get(run_id).is_some_and(|life| life.over && life.newest == *fence) {
                    let detail = format!("it was over, and was started again under {fence}, as attempt {attempt}");
                    found.push(find(Invariant::StartsOnce, *run_id, detail));
                    continue;
                }
                if let Some(wrong) = stale(lives.get_mut(run_id), *fence, *run_id, "started it") {
                    found.push(wrong);
                    continue;
                }
                let Some(life) = lives.get_mut(run_id) else { continue };
                if let Some(why) = starts_wrongly(case.job, life.starts.last().copied(), life.last_end, *attempt) {
                    found.extend(
                        life.scheduled_at.iter().map(|at| find(Invariant::StartsOnce, *run_id, why.clone()).on(*at)),
                    );
                    found.extend(life.scheduled_at.is_none().then(|| find(Invariant::StartsOnce, *run_id, why)));
                }
                life.starts.push((*attempt, *fence));
                if let Some(at) = life.scheduled_at.filter(|_| life.is_of_schedule) {
                    let due = if case.whole { case.job.due(at) } else { at };
                    if due > event.at {
                        let detail = format!("it was started at {}, and was due at {due}", event.at);
                        found.push(find(Invariant::NeverEarly, *run_id, detail).on(at));
                    }
                }
            }
            What::Released { run_id, fence } | What::Published { run_id, fence } => {
                if !whole {
                    lives.entry(*run_id).or_insert_with(|| Life::unknown(*fence));
                }
                if let Some(wrong) = stale(lives.get_mut(run_id), *fence, *run_id, "was let go") {
                    found.push(wrong);
                    continue;
                }
                // Whoever gives it back after its start was granted says that he never began.
                if let (What::Released { .. }, Some(life)) = (&event.what, lives.get_mut(run_id))
                    && life.starts.pop_if(|(_, started)| *started == *fence).is_some()
                    && ran.contains_key(fence)
                {
                    let detail = format!("{fence} was given back unstarted, and its code ran");
                    found.push(find(Invariant::NewestClaimActs, *run_id, detail));
                }
            }
            What::Ended { run_id, fence, ended, next, .. } => {
                if !whole {
                    lives.entry(*run_id).or_insert_with(|| Life::unknown(*fence));
                }
                if let Some(wrong) = stale(lives.get_mut(run_id), *fence, *run_id, "ended it") {
                    found.push(wrong);
                    continue;
                }
                let Some(life) = lives.get_mut(run_id) else { continue };
                life.last_end = Some(ended.outcome);
                life.over = next.is_none();
                ended_when_it_may(case, &ran, event, (*fence, ended.outcome), found);
            }
            // What happened to its runs meanwhile is not known.
            What::Restored { .. } => {
                lives.clear();
                whole = false;
            }
            _ => {}
        }
    }
    if case.job.overlap != Overlap::Allow {
        fences_grow(Invariant::StartFencesGrow, &case.events, found);
    }
    if whole {
        let open: Vec<RunId> = case.record.open.iter().map(|run| run.run_id).collect();
        let goes_on = |run_id: &RunId| lives.get(run_id).is_some_and(|life| !life.over);
        for run_id in open.iter().filter(|run_id| !goes_on(run_id)) {
            let detail = "the record holds it, though by the events it is over or never came to be";
            found.push(Finding::new(Invariant::NoRunForgotten, job, detail).of(*run_id));
        }
        for (run_id, _) in lives.iter().filter(|(run_id, life)| !life.over && !open.contains(run_id)) {
            let detail = "by the events it is not over, and the record does not hold it";
            found.push(Finding::new(Invariant::NoRunForgotten, job, detail).of(*run_id));
        }
    }
}

/// Why a run may not start (again) as this attempt: once per occurrence at most once; per attempt otherwise.
pub(super) fn starts_wrongly(
    job: &Job,
    last_start: Option<(u32, Fence)>,
    last_end: Option<Outcome>,
    attempt: u32,
) -> Option<String> {
    let (last, fence) = last_start?;
    let its_own_failure = matches!(last_end, Some(Outcome::Failed | Outcome::TimedOut));
    let interrupted = last_end == Some(Outcome::Interrupted);
    let lost = last_end == Some(Outcome::Lost);
    let may = match job.delivery {
        Delivery::AtMostOnce => its_own_failure && attempt > last,
        Delivery::AtLeastOnce => (its_own_failure || lost) && attempt > last || interrupted && attempt == last,
    };
    let most = job.retry.attempts.max(Delivery::LIVES);
    let ended = last_end.map_or("was not on record as ended".into(), |end| format!("ended as {end:?}").to_lowercase());
    let word = match job.delivery {
        Delivery::AtMostOnce => "at_most_once",
        Delivery::AtLeastOnce => "at_least_once",
    };
    if !may {
        return Some(format!(
            "it was started as attempt {attempt} after attempt {last} under {fence}, which {ended}; its delivery is \"{word}\""
        ));
    }
    (attempt > most).then(|| format!("it was started as attempt {attempt}, and {most} are the most"))
}

/// Each start has a larger fence than the one before it.
pub(super) fn fences_grow(invariant: Invariant, events: &[&Event], found: &mut Vec<Finding>) {
    let mut last: Option<(Fence, RunId, u32)> = None;
    for event in events {
        let What::Started { run_id, fence, attempt, .. } = &event.what else { continue };
        // The same start, told twice, is another matter.
        let again = last == Some((*fence, *run_id, *attempt));
        if let Some((before, _, _)) = last.filter(|(before, _, _)| fence <= before && !again) {
            let detail = format!("it was started under {fence}, after a start under {before}");
            found.push(Finding::new(invariant, &event.job, detail).of(*run_id).when(event.at));
        }
        if last.is_none_or(|(before, _, _)| *fence > before) {
            last = Some((*fence, *run_id, *attempt));
        }
    }
}

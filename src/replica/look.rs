//! One job's loop: look, decide, act, until it is won or there is nothing to do.

use std::time::Duration;

use tokio::time::Instant;

use super::room::Place;
use super::upkeep::Health;
use crate::clock::Timestamp;
use crate::event::{About, Told};
use crate::job::Job;
use crate::lease::Lease;
use crate::parts::Parts;
use crate::plan::{self, Step, View};
use crate::race::{self, Race, ask};
use crate::record::{Op, Target};
use crate::store::StoreError;

/// Where a look at a job led.
pub(super) enum Looked {
    /// One of its runs is ours to start; that is what is known of the job since.
    Won(Box<Lease>, Place, Box<View>),
    /// Nothing to do before the first, seen when it was the second, as far as the store's clock is believed.
    Wait(Timestamp, Timestamp),
    /// Nothing to do unless it changes.
    Finished,
    /// There is something to claim, but it had no place.
    NoRoom,
    /// The store did not answer.
    Trouble(StoreError),
    /// It answers, but did not do what it was asked for.
    Refused(StoreError),
}

/// A store's answer is waited for this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Looks at `job`, which woke as one of so many `at_once`. Nobody waits for room while holding a lease: without a `place` it
/// bids for nothing. What was `told` of the job just now need not be asked.
pub(super) async fn look(
    health: &Health,
    job: &Job,
    place: Option<Place>,
    at_once: usize,
    told: Option<Box<View>>,
) -> Looked {
    steps(health, job, place, at_once, told).await.unwrap_or_else(|trouble| trouble)
}

/// Has the runs that are to stop look at once whether they should go on.
pub(crate) fn nudge(parts: &Parts, view: &View) {
    for run in view.record.open.iter().filter(|run| run.cancel) {
        parts.nudges.nudge(run.run_id);
    }
}

/// When to bid for what may be bid for now, if as one of a crowd it is better done later.
pub(super) fn later(parts: &Parts, job: &Job, target: &Target, now: Timestamp, at_once: usize) -> Option<Timestamp> {
    let Target::Next { due, .. } = target else { return None };
    if job.task.is_sent() { None } else { race::ahead_of_crowd(*due, now, at_once, &parts.dice) }
}

async fn steps(
    health: &Health,
    job: &Job,
    mut free: Option<Place>,
    at_once: usize,
    told: Option<Box<View>>,
) -> Result<Looked, Looked> {
    let parts = &health.parts;
    let mut view = match told {
        Some(view) => *view,
        None => parts.store.view(&job.name, job.mutex.as_deref()).await.map_err(Looked::Trouble)?,
    };
    nudge(parts, &view);
    loop {
        if parts.stop.is_soft() {
            return Ok(Looked::Finished);
        }
        let belief = health.belief(job, view.now);
        let step = plan::next_believing(job, &view, belief);
        tracing::debug!(job = %job.name, ?step, "decided");
        let op = match step {
            Step::Wait(at) => return Ok(Looked::Wait(at, belief.now)),
            Step::Race(due) => return Ok(Looked::Wait(race::ahead_of(due, &parts.dice), belief.now)),
            Step::Finished => return Ok(Looked::Finished),
            Step::Claim(target) => {
                if let Some(at) = later(parts, job, &target, belief.now, at_once) {
                    return Ok(Looked::Wait(at, belief.now));
                }
                let place = free.take();
                // What is not due yet leaves the last place to what is.
                let is_last = place.as_ref().is_none_or(Place::is_last);
                if let Target::Next { due, .. } = &target
                    && *due > belief.now
                    && is_last
                {
                    return Ok(Looked::Wait(*due, belief.now));
                }
                let Some(place) = place else { return Ok(Looked::NoRoom) };
                // Large, and only here: thousands look who do not claim.
                let racing = Box::pin(race::run(parts, job, target, view.now, at_once));
                let answer = match racing.await.map_err(Looked::Refused)? {
                    Race::Won(lease, answer) => return Ok(Looked::Won(lease, place, Box::new(answer.view))),
                    Race::Lost(answer) => answer,
                };
                free = Some(place);
                if let Some(looked) = stuck(&view, &answer.view, belief.now) {
                    return Ok(looked);
                }
                view = answer.view;
                continue;
            }
            Step::Register => Op::Register { spec: job.spec() },
            Step::Decide { expect, passes, due } => Op::Decide { expect, passes, due },
            Step::Reap { run_id, fence, phase } => {
                if let Some(run) = view.record.run(run_id) {
                    parts.bus.tell(Told::About(About::open(run)));
                }
                Op::Reap { run_id, fence, phase }
            }
            Step::Overdue { expect, due } => Op::Overdue { expect, due },
            Step::Slow { run_id, fence } => Op::Slow { run_id, fence },
            Step::Cancel(run_id) => Op::Cancel { run_id, by: "its next occurrence".into() },
        };
        let answer = ask(parts, job, &op, Instant::now() + PATIENCE).await.map_err(Looked::Refused)?;
        parts.bus.tell_all(answer.events);
        let seen = View { mutex: view.mutex.clone(), ..answer.view };
        if let Some(looked) = stuck(&view, &seen, belief.now) {
            return Ok(looked);
        }
        view = seen;
    }
}

/// A step that was refused although nothing is other than it was seen would be refused for ever:
/// the store's time has to pass first.
fn stuck(before: &View, after: &View, now: Timestamp) -> Option<Looked> {
    let same = before.record == after.record && before.mutex == after.mutex;
    same.then(|| Looked::Wait(now.plus(Duration::from_millis(100)), now))
}

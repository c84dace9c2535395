//! The race for a run: a random back-off, then one bid, asked until it is answered or out of time.
//!
//! It is run a little ahead of the instant where nothing can be in the way then, so that who has won it starts on time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clock::Timestamp;
use crate::job::Job;
use crate::lease::{Lease, Token, Work};
use crate::ledger::{Event, What};
use crate::measure::{Claim, Measure};
use crate::parts::{Dice, Parts};
use crate::plan::View;
use crate::record::{Bid, Op, Open, Phase, Reply, Target};
use crate::store::{Answer, StoreError, Trouble};

/// Replicas spread their bids over this long, so that none wins much more than its share.
pub const SPREAD: Duration = Duration::from_millis(20);

/// Ahead of an instant they bid at one of so many moments, and so long one after the other: what is bid for at once is
/// answered at once.
const MOMENTS: f64 = 5.0;
const APART: Duration = Duration::from_millis(20);

/// A claim ahead of its instant lapses so long after it. Its holder is there, or will not come.
const LAPSES: Duration = Duration::from_secs(2);

/// What is bid for no longer ahead of its instant is started in the same step. What is won earlier is not, unless too many
/// are: who dies before the instant leaves a claim that others take over, instead of a run that counts as begun.
const STARTS: Duration = Duration::from_millis(390);

/// What would be started as it is won is asked for so long, or for its lease: should it have been granted and the answer be
/// lost, nobody else will run it.
const PERSISTS: Duration = Duration::from_secs(30);

/// So many at once are a crowd.
const CROWD: usize = 16;

/// Who has no way to the broker lets those go first who may have one.
const BEHIND: Duration = Duration::from_millis(500);

/// Between asking and asking again.
const PAUSE: Duration = Duration::from_millis(200);

/// What came of a race.
#[derive(Debug)]
pub enum Race {
    /// The run is ours.
    Won(Box<Lease>, Answer),
    /// It is not; the answer says why, and what is known now.
    Lost(Answer),
}

/// When to bid for what is due at `due`: a random while ahead of it.
pub fn ahead_of(due: Timestamp, dice: &Dice) -> Timestamp {
    due.minus(Bid::AHEAD).plus(moment(dice))
}

fn moment(dice: &Dice) -> Duration {
    APART.mul_f64(which_moment(dice.roll(), dice.racers()))
}

/// At which of the moments one of so many bids. Of few, each is as likely as the others. Of many a fifth would bid at the
/// first, all but one in vain: then the later is so much likelier than the one before that about one bids at the first,
/// and who would come later has heard of it.
fn which_moment(roll: f64, racers: usize) -> f64 {
    let crowd = racers as f64 / MOMENTS;
    if crowd <= 1.0 {
        return (roll * MOMENTS).floor();
    }
    // Of a geometric series up to the last moment, the first part is one of `racers`, about.
    let growth = crowd.powf(0.375);
    (1.0 + roll * (growth.powf(MOMENTS) - 1.0)).log(growth).floor().min(MOMENTS - 1.0)
}

/// How long ahead a crowd has to begin to bid, of which so many come at once, so that all can be started by their instant.
fn needs(at_once: usize) -> Duration {
    const LEAST: Duration = Duration::from_millis(3);
    const EACH: Duration = Duration::from_micros(60);
    LEAST + (EACH.mul_f64(at_once as f64) + APART).mul_f64(MOMENTS)
}

/// Whether so many at once are a crowd that has time to wait.
fn waits(at_once: usize) -> bool {
    at_once >= CROWD && needs(at_once) <= STARTS
}

/// When to bid where so many come at once that it pays to start what is won in the same step: later than else, just early
/// enough. `None` where it does not pay, where so many are due that there is no time to lose, or where it was waited for.
pub fn ahead_of_crowd(due: Timestamp, now: Timestamp, at_once: usize, dice: &Dice) -> Option<Timestamp> {
    let may = waits(at_once) && due.since(now) > STARTS;
    may.then(|| due.minus(needs(at_once)).plus(moment(dice)))
}

/// The same for a `job` that was to wake at one moment [`ahead_of`] its instant, and does: the same moment, so much later.
pub fn later_in_crowd(job: &Job, at: Timestamp, now: Timestamp, at_once: usize) -> Option<Timestamp> {
    let may = waits(at_once) && !job.task.is_sent() && job.mutex.is_none();
    let later = at.plus(Bid::AHEAD.saturating_sub(needs(at_once)));
    (may && later > now.plus(APART)).then_some(later)
}

/// Bids for `target`, wanted when the store's clock read `seen`; after a random moment, unless that was waited for
/// already as [`ahead_of`] it, or is long past. It is one of so many that came `at_once`.
///
/// # Errors
/// When the store did not answer while the claim could have been any good.
pub async fn run(
    parts: &Parts,
    job: &Job,
    target: Target,
    seen: Timestamp,
    at_once: usize,
) -> Result<Race, StoreError> {
    // By what the clock read before we ask: whatever is answered, its time may be another by then.
    let read = parts.store.clock().unwrap_or(seen);
    let due = if let Target::Next { due, .. } = &target { Some(*due) } else { None };
    let ahead = due.map_or(Duration::ZERO, |due| due.since(read));
    let not_before = Instant::now() + ahead;
    let behind = if job.task.is_sent() && parts.broker.down().is_some() { BEHIND } else { Duration::ZERO };
    // Who had no room when it was due comes at a moment of its own, and holds its place meanwhile.
    let is_fresh = due.is_none_or(|due| read.since(due) < SPREAD);
    let spread = if ahead.is_zero() && is_fresh { parts.dice.pause(SPREAD) } else { Duration::ZERO };
    if !(behind + spread).is_zero() {
        sleep(behind + spread).await;
    }
    let mut ttl = parts.claim_ttl.min(job.lease);
    if !ahead.is_zero() {
        ttl = ttl.min(ahead + LAPSES);
    }
    let starts = if needs(at_once) > STARTS { Bid::AHEAD } else { STARTS };
    let bid = Bid {
        target,
        token: Token::fresh(),
        holder: parts.holder.clone(),
        ttl,
        overlap: job.overlap,
        delivery: job.delivery,
        mutex: job.mutex.clone(),
        // What is sent is started by whoever takes it, or when it leaves.
        start: (!job.task.is_sent() && ahead <= starts).then_some(job.lease),
    };
    // Counted from before the first request: whichever of them was granted, the claim lasts longer.
    let (token, asked) = (bid.token.clone(), Instant::now());
    let patience = match (&bid.target, bid.start) {
        // Whoever asks by hand waits for the answer.
        (Target::Request { .. }, _) | (_, None) => ttl,
        (_, Some(lease)) => lease.min(PERSISTS),
    };
    let answer = ask(parts, job, &Op::Claim(bid), asked + patience).await;
    let outcome = match &answer {
        Ok(Answer { reply: Reply::Won(_), .. }) => Claim::Won,
        Ok(_) => Claim::Lost,
        Err(_) => Claim::Error,
    };
    parts.bus.measure(Measure::Claim { outcome, took: asked.elapsed() });
    let answer = answer?;
    let Reply::Won(open) = &answer.reply else {
        parts.bus.tell_all(answer.events.clone());
        return Ok(Race::Lost(answer));
    };
    let work = work(job, open, &answer.view);
    let started = open.started_at.filter(|_| open.phase == Phase::Running);
    // Its start is told when its code begins.
    let is_start = |event: &Event| matches!(event.what, What::Started { .. });
    parts.bus.tell_all(answer.events.iter().filter(|event| !is_start(event)).cloned().collect());
    let trusted_until = asked + if started.is_some() { job.lease } else { ttl };
    Ok(Race::Won(Box::new(Lease { work, token, trusted_until, ttl: job.lease, not_before, started }), answer))
}

/// What the code of an open run is handed.
pub fn work(job: &Job, open: &Open, view: &View) -> Work {
    Work {
        job: job.name.clone(),
        run_id: open.run_id,
        scheduled_at: open.scheduled_at,
        attempt: open.attempt,
        max_attempts: job.retry.attempts,
        fence: open.fence,
        trigger: open.trigger.clone(),
        args: open.args.clone(),
        previous_success_at: view.record.last_success,
        lease_until: open.until,
    }
}

/// Asks the same again while there is no answer, until `deadline`.
///
/// # Errors
/// The last trouble, when the deadline passes; a lasting one at once.
pub async fn ask(parts: &Parts, job: &Job, op: &Op, deadline: Instant) -> Result<Answer, StoreError> {
    let mut trouble = None;
    loop {
        match tokio::time::timeout_at(deadline, parts.store.apply(&job.name, op)).await {
            Ok(Err(error)) if error.kind == Trouble::Passing && Instant::now() + PAUSE < deadline => {
                tracing::debug!(job = %job.name, %error, "the store did not answer; asking again");
                trouble = Some(error);
                sleep(PAUSE / 2 + parts.dice.pause(PAUSE / 2)).await;
            }
            Ok(answer) => return answer,
            // What was wrong before says more than that there was no answer in the end.
            Err(_) => return Err(trouble.unwrap_or_else(|| no_answer(parts))),
        }
    }
}

fn no_answer(parts: &Parts) -> StoreError {
    StoreError { kind: Trouble::Passing, message: format!("{}: no answer in time", parts.store.describe()) }
}

#[cfg(test)]
mod tests {
    use super::{MOMENTS, which_moment};

    #[test]
    fn about_one_of_many_bids_at_the_first_moment_and_of_few_each_moment_is_as_likely() {
        const ROLLS: u32 = 10_000;
        let bids = |racers: usize, moment: f64| {
            let rolls = (0..ROLLS).map(|roll| f64::from(roll) / f64::from(ROLLS));
            rolls.filter(|roll| (which_moment(*roll, racers) - moment).abs() < 0.5).count() as f64 / f64::from(ROLLS)
                * racers as f64
        };
        for racers in 1..=5 {
            for moment in 0..5 {
                assert!((bids(racers, f64::from(moment)) - racers as f64 / MOMENTS).abs() < 0.01);
            }
        }
        for racers in [6, 10, 30, 100, 300, 1000] {
            let first = bids(racers, 0.0);
            assert!((0.3..1.2).contains(&first), "{first} of {racers}");
            let all: f64 = (0..5).map(|moment| bids(racers, f64::from(moment))).sum();
            assert!((all - racers as f64).abs() < 0.01, "all bid at one of the moments");
        }
    }
}

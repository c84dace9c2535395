//! The race for a run: a random back-off, then one bid, asked until it is answered or out of time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::job::Job;
use crate::lease::{Lease, Token, Work};
use crate::measure::{Claim, Measure};
use crate::parts::Parts;
use crate::plan::View;
use crate::record::{Bid, Op, Open, Reply, Target};
use crate::store::{Answer, StoreError, Trouble};

/// Replicas spread their bids over this long, so that none wins much more than its share.
pub const SPREAD: Duration = Duration::from_millis(20);

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

/// Waits a random moment, then bids for `target`.
///
/// # Errors
/// When the store did not answer while the claim could have been any good.
pub async fn run(parts: &Parts, job: &Job, target: Target) -> Result<Race, StoreError> {
    let behind = if job.task.is_sent() && parts.broker.down().is_some() { BEHIND } else { Duration::ZERO };
    sleep(behind + parts.dice.pause(SPREAD)).await;
    let ttl = parts.claim_ttl.min(job.lease);
    let bid = Bid {
        target,
        token: Token::fresh(),
        holder: parts.holder.clone(),
        ttl,
        overlap: job.overlap,
        delivery: job.delivery,
        mutex: job.mutex.clone(),
    };
    // Counted from before the first request: whichever of them was granted, the claim lasts longer.
    let trusted_until = Instant::now() + ttl;
    let (token, asked) = (bid.token.clone(), Instant::now());
    let answer = ask(parts, job, &Op::Claim(bid), trusted_until).await;
    let outcome = match &answer {
        Ok(Answer { reply: Reply::Won(_), .. }) => Claim::Won,
        Ok(_) => Claim::Lost,
        Err(_) => Claim::Error,
    };
    parts.bus.measure(Measure::Claim { outcome, took: asked.elapsed() });
    let answer = answer?;
    parts.bus.tell_all(answer.events.clone());
    Ok(match &answer.reply {
        Reply::Won(open) => {
            let work = work(job, open, &answer.view);
            Race::Won(Box::new(Lease { work, token, trusted_until, ttl: job.lease }), answer)
        }
        _ => Race::Lost(answer),
    })
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
    // What was wrong before says more than that there was no answer in the end.
    let mut trouble =
        StoreError { kind: Trouble::Passing, message: format!("{}: no answer in time", parts.store.describe()) };
    loop {
        match tokio::time::timeout_at(deadline, parts.store.apply(&job.name, op)).await {
            Ok(Err(error)) if error.kind == Trouble::Passing && Instant::now() + PAUSE < deadline => {
                tracing::debug!(job = %job.name, %error, "the store did not answer; asking again");
                trouble = error;
                sleep(PAUSE / 2 + parts.dice.pause(PAUSE / 2)).await;
            }
            Ok(answer) => return answer,
            Err(_) => return Err(trouble),
        }
    }
}

//! Carries one won lease to its end. The only place that starts user code.
//!
//! Start is a commit of its own, immediately before the code, or a moment ahead of the instant at which the
//! code begins; the lease is renewed at a third of its length until nothing of the code is left; then the outcome is settled.

mod kept;
mod output;

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use crate::clock::Timestamp;
use crate::event::{About, Told};
use crate::job::Job;
use crate::lease::{Ended, Lease, Outcome, Trigger};
use crate::ledger::{Event, What};
use crate::measure::Measure;
use crate::parts::Parts;
use crate::plan;
use crate::race::{self, ask};
use crate::record::{Key, Op, Open, Phase, Reply};
use crate::runner::{Control, Halt};
use crate::store::Repair;

/// How long the outcome is offered to a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// The same, once this process has been told to end.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// How long ahead of its instant a start is committed, so that the way to the store does not stand between the instant and
/// the code, when so many runs of this process wait for theirs. Who dies in between leaves a run that counts as begun.
pub(crate) fn edge(waiting: usize) -> Duration {
    const LEAST: Duration = Duration::from_millis(3);
    const EACH: Duration = Duration::from_micros(100);
    EDGE.min(LEAST + EACH * u32::try_from(waiting).unwrap_or(u32::MAX))
}

/// Never longer than this.
pub(crate) const EDGE: Duration = Duration::from_millis(200);

/// What became of a lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Carried {
    /// The code ran and ended so, and the store took it.
    Settled(Ended),
    /// The code ran and ended so, but the store did not take it: it is another's run by now, or
    /// the store did not answer.
    Unsettled(Ended),
    /// The code did not start, and will not under this claim: that had lapsed, or the run was cancelled.
    NotStarted(String),
    /// The code did not start, because the store did not answer. The same lease may be tried again.
    Unanswered(String),
    /// Nothing was begun, for this reason, and the claim is given back: whoever can may go on at once.
    GivenBack(String),
    /// Its request or message is in the broker's queue: others carry it on.
    HandedOver,
}

/// Starts the code of `lease`, holds the lease while it runs, settles its outcome.
pub async fn run(parts: &Parts, job: &Job, lease: Lease) -> Carried {
    run_in(parts, job, Box::new(lease), ()).await
}

/// Like [`run`], in a `place` that is free for others as soon as nothing of the code is left: to record how it ended takes none.
pub(crate) async fn run_in<P>(parts: &Parts, job: &Job, mut lease: Box<Lease>, place: P) -> Carried {
    let key = Key { run_id: lease.work.run_id, fence: lease.work.fence, token: lease.token.clone() };
    let started = match lease.started {
        Some(at) => begin(parts, job, &key, &mut lease, at).await,
        // Boxed, as all that is seldom needed: what waits for its instant, or runs, takes the memory of all that it may do.
        None => Box::pin(start(parts, job, &key, &mut lease)).await,
    };
    if let Err(refused) = started {
        return refused;
    }
    let ended = carry(parts, job, &key, &lease).await;
    drop(place);
    settle(parts, job, &key, &lease, ended).await
}

/// Waits until a run is due that was started as it was won, and tells of it.
async fn begin(parts: &Parts, job: &Job, key: &Key, lease: &mut Lease, at: Timestamp) -> Result<(), Carried> {
    // Where nothing of it began, whoever can may go on.
    await_due(parts, job, key, lease, false).await.map_err(Carried::Unanswered)?;
    parts.bus.tell(Told::About(About::work(job, &lease.work)));
    let Key { run_id, fence, .. } = *key;
    let what = What::Started { run_id, attempt: lease.work.attempt, fence, holder: parts.holder.clone() };
    parts.bus.tell(Told::Changed(Event { at, job: job.name.clone(), what }));
    Ok(())
}

/// Commits the start, and waits until it is due. What is refused here was never run.
pub(crate) async fn start(parts: &Parts, job: &Job, key: &Key, lease: &mut Lease) -> Result<(), Carried> {
    let asked = Instant::now();
    let op = Op::Start { key: key.clone(), holder: parts.holder.clone(), ttl: lease.ttl };
    let answer = ask(parts, job, &op, lease.trusted_until).await.map_err(|error| Carried::Unanswered(error.message))?;
    let found = answer.view.record.run(key.run_id);
    if let (Reply::Kept { .. }, Some(open)) = (&answer.reply, found) {
        lease.trusted_until = asked + lease.ttl;
        // A worker knows of a run what its request says; the store knows better.
        lease.work = race::work(job, open, &answer.view);
        parts.bus.tell(Told::About(About::work(job, &lease.work)));
    }
    parts.bus.tell_all(answer.events.clone());
    match (&answer.reply, found) {
        (Reply::Kept { .. }, Some(_)) => {}
        (Reply::Cancelled, _) => return Err(Carried::NotStarted("it was cancelled before it started".into())),
        (_, found) => {
            parts.bus.measure(Measure::StartRefused);
            return Err(Carried::NotStarted(refusal(key, found)));
        }
    }
    // An earlier request was granted whose answer got lost: the lease counts from then.
    let begun_before = answer.events.is_empty();
    await_due(parts, job, key, lease, begun_before).await.map_err(Carried::NotStarted)
}

/// Waits until a run whose start is on record is due, and makes sure of its lease, if that is `doubtful` or was won long ago.
async fn await_due(parts: &Parts, job: &Job, key: &Key, lease: &mut Lease, doubtful: bool) -> Result<(), String> {
    if lease.not_before > Instant::now() {
        sleep_until(lease.not_before).await;
    }
    if doubtful || Instant::now() >= renewal(lease.trusted_until, lease.ttl) {
        // The answer took so long that the code would be told to end before its lease was renewed.
        let renewal = Box::pin(renew(parts, job, key, lease.ttl, lease.trusted_until));
        let Some(renewed) = renewal.await else {
            return Err("the lease was lost before the code started".into());
        };
        lease.trusted_until = renewed.trusted_until;
    }
    Ok(())
}

/// Why a start was refused, given how the run stands now.
fn refusal(key: &Key, found: Option<&Open>) -> String {
    match found {
        None => "the run is over".into(),
        Some(run) if run.fence != key.fence => {
            format!("its claim {} is outdated, the newest is {}", key.fence, run.fence)
        }
        Some(run) if run.phase == Phase::Running => format!("it is running on {} until {}", run.holder, run.until),
        Some(_) => "the claim had lapsed before it started".into(),
    }
}

/// Why running code was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Timeout,
    Cancelled,
    Stopping,
    LeaseEnding,
    LeaseLost,
}

async fn carry(parts: &Parts, job: &Job, key: &Key, lease: &Lease) -> Ended {
    let (halt, halt_here) = watch::channel(Halt::Go);
    let (trust, trusted) = watch::channel(Trust { until: lease.trusted_until, cancel: false });
    let (until, until_there) = watch::channel(lease.trusted_until);
    let (output, chunks) = mpsc::channel(64);
    let control = Control { halt: halt_here, trusted_until: until_there, output };
    let mut running = pin!(parts.runner.run(job, &lease.work, control));
    let mut recording = pin!(output::record(parts, job, &lease.work, chunks));
    let mut holding = pin!(hold(parts, job, key, lease.ttl, &trust, &until));
    let mut watching = pin!(watch_over(parts, job, lease.ttl, trusted));
    let mut why: Option<Why> = None;
    let mut recorded = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut running => break ended,
            () = &mut recording, if !recorded => recorded = true,
            () = &mut holding, if why != Some(Why::LeaseLost) => {
                why = Some(Why::LeaseLost);
                halt.send_replace(Halt::Stop { grace: Duration::ZERO });
            }
            reason = &mut watching, if why.is_none() => {
                why = Some(reason);
                let grace = grace(job, lease.ttl);
                let grace = if reason == Why::Stopping { parts.stop.last(grace) } else { grace };
                halt.send_replace(Halt::Stop { grace });
            }
        }
    };
    if !recorded {
        // The runner is done with its end of the pipe. A store that is down must not keep the outcome waiting.
        let _ = tokio::time::timeout(LAST_PATIENCE, recording).await;
    }
    if matches!(why, Some(Why::LeaseLost | Why::LeaseEnding)) {
        parts.bus.measure(Measure::LeaseLost);
    }
    judge(parts, job, ended, why)
}

/// How long code has between being asked to end and being killed: never longer than its lease allows.
fn grace(job: &Job, ttl: Duration) -> Duration {
    job.kill_after.min(ttl / 3)
}

#[derive(Clone, Copy, Debug)]
struct Trust {
    until: Instant,
    cancel: bool,
}

/// When a lease is to be renewed: a third of it after it began.
fn renewal(trusted_until: Instant, ttl: Duration) -> Instant {
    trusted_until - ttl * 2 / 3
}

/// Renews until the lease is lost.
async fn hold(
    parts: &Parts,
    job: &Job,
    key: &Key,
    ttl: Duration,
    trust: &watch::Sender<Trust>,
    until: &watch::Sender<Instant>,
) {
    let nudges = parts.nudges.take(key.run_id, trust.borrow().until);
    let mut repairs = parts.store.repairs();
    loop {
        let due = renewal(trust.borrow().until, ttl);
        tokio::select! {
            () = sleep_until(due) => {}
            // Somebody asked to cancel it: the next renewal says so.
            () = nudges.nudged() => {}
            // What the store reads off its clock, or knows of us, may be another from now on.
            () = shaken(&mut repairs) => {}
        }
        // A store that is down is asked on and on, even past the lease: as long as nobody else
        // took the run, it is still ours to settle.
        let deadline = Instant::now() + ttl;
        match Box::pin(renew(parts, job, key, ttl, deadline)).await {
            Some(Renewed { trusted_until, cancel }) => {
                trust.send_replace(Trust { until: trusted_until, cancel });
                until.send_replace(trusted_until);
                nudges.is_trusted(trusted_until);
            }
            None if Instant::now() >= deadline => {}
            None => return,
        }
    }
}

/// Until the store begins to be given back what it lost, or has been.
async fn shaken(repairs: &mut Option<watch::Receiver<Repair>>) {
    if let Some(repairs) = repairs
        && repairs.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

pub(crate) struct Renewed {
    pub(crate) trusted_until: Instant,
    pub(crate) cancel: bool,
}

/// One renewal; `None` when the lease is lost or `deadline` passes.
pub(crate) async fn renew(parts: &Parts, job: &Job, key: &Key, ttl: Duration, deadline: Instant) -> Option<Renewed> {
    let op = Op::Renew { key: key.clone(), ttl };
    loop {
        let asked = Instant::now();
        match ask(parts, job, &op, deadline.min(asked + ttl / 3)).await {
            Ok(answer) => match answer.reply {
                Reply::Kept { cancel, .. } => {
                    parts.bus.measure(Measure::Renewal(asked.elapsed()));
                    return Some(Renewed { trusted_until: asked + ttl, cancel });
                }
                _ => return None,
            },
            Err(_) if Instant::now() >= deadline => return None,
            Err(_) => sleep(parts.dice.pause(ttl / 10)).await,
        }
    }
}

/// Waits for a reason to end the code.
async fn watch_over(parts: &Parts, job: &Job, ttl: Duration, mut trusted: watch::Receiver<Trust>) -> Why {
    let timeout = Instant::now() + job.timeout;
    loop {
        let Trust { until, cancel } = *trusted.borrow_and_update();
        if cancel {
            return Why::Cancelled;
        }
        tokio::select! {
            biased;
            () = parts.stop.ended() => return Why::Stopping,
            () = sleep_until(timeout) => return Why::Timeout,
            () = sleep_until(until - grace(job, ttl)) => return Why::LeaseEnding,
            _ = trusted.changed() => {}
        }
    }
}

/// How the attempt ended, given how its code ended and why it was told to.
fn judge(parts: &Parts, job: &Job, ended: Ended, why: Option<Why>) -> Ended {
    let (outcome, message) = match why {
        None => {
            // Some platforms send TERM to every process at once: the code may die of it before we are told.
            let of_term = ended.signal == Some(15) || ended.exit_code == Some(143);
            if !(parts.stop.is_soft() && of_term && ended.outcome == Outcome::Failed) {
                return ended;
            }
            (Outcome::Interrupted, "stopped together with its replica".into())
        }
        Some(Why::Timeout) => (Outcome::TimedOut, format!("stopped after its timeout of {:?}", job.timeout)),
        Some(Why::Cancelled) => (Outcome::Cancelled, "stopped on request".into()),
        Some(Why::Stopping) => (Outcome::Interrupted, "its replica was told to stop".into()),
        Some(Why::LeaseEnding) => (Outcome::Lost, "stopped because its lease could not be renewed".into()),
        Some(Why::LeaseLost) => (Outcome::Lost, "stopped because its lease was lost".into()),
    };
    Ended { outcome, message: Some(message), ..ended }
}

/// How long the end of a run may wait to be written down, so that others begin sooner: that of a success, where neither its
/// lease ends soon nor who asked for it, the next occurrence, or another job, by its mutex, waits for it.
fn spare(parts: &Parts, job: &Job, lease: &Lease, ended: &Ended) -> Duration {
    const MOST: Duration = Duration::from_secs(3);
    let is_asked_for = !matches!(lease.work.trigger, Trigger::Schedule);
    let is_wanted = is_asked_for || ended.outcome != Outcome::Succeeded || job.mutex.is_some();
    let Some(now) = parts.store.clock().filter(|_| !is_wanted) else { return Duration::ZERO };
    let next = job.next_open(lease.work.scheduled_at).map_or(Duration::MAX, |next| job.due(next).since(now));
    let left = lease.trusted_until.saturating_duration_since(Instant::now());
    if next.min(left) >= MOST * 2 { MOST } else { Duration::ZERO }
}

/// Has the end of the attempt recorded, and the next one if there is to be one.
pub(crate) async fn settle(parts: &Parts, job: &Job, key: &Key, lease: &Lease, ended: Ended) -> Carried {
    let next = plan::retry(job, &lease.work, &ended, parts.dice.roll());
    let op = Op::Settle { key: key.clone(), ended: ended.clone(), next };
    let written = async {
        let _turn = parts.waiting.let_go(|| spare(parts, job, lease, &ended)).await;
        ask(parts, job, &op, Instant::now() + PATIENCE).await
    };
    let answer = tokio::select! {
        biased;
        answer = written => answer,
        () = async { parts.stop.ended().await; sleep(LAST_PATIENCE).await } => {
            return Carried::Unsettled(ended);
        }
    };
    match answer {
        Ok(answer) => {
            parts.bus.tell_all(answer.events);
            if answer.reply == Reply::Done { Carried::Settled(ended) } else { Carried::Unsettled(ended) }
        }
        Err(_) => Carried::Unsettled(ended),
    }
}

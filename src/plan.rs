//! What a replica asks for next: [`next`], pure, from what is wanted (a job) and what is known (a
//! view). Every policy of when stands here.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::job::{Delivery, Job, Misfire, MisfirePolicy, Overlap};
use crate::lease::{Ended, Fence, Outcome, RunId, Trigger, Work};
use crate::ledger::{Fate, Pass};
use crate::record::{Bid, Mutex, Open, Phase, Record, Target};

/// What the store knew about a job at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// The store's clock.
    pub now: Timestamp,
    /// The job's record.
    pub record: Record,
    /// The job's mutex; empty when it has none.
    pub mutex: Mutex,
}

/// What a replica does next about a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Begin its history.
    Register,
    /// Try to win a run.
    Claim(Target),
    /// Decide occurrences without a claim.
    Decide {
        /// The cursor they follow.
        expect: Timestamp,
        /// What becomes of them.
        passes: Vec<Pass>,
        /// When the last of them was due.
        due: Timestamp,
    },
    /// Record the end of a run whose holder vanished.
    Reap {
        /// Which run.
        run_id: RunId,
        /// Its newest claim.
        fence: Fence,
        /// How far that had come.
        phase: Phase,
    },
    /// Ask for the end of a run that is to be replaced.
    Cancel(RunId),
    /// Tell that the job has not succeeded by its deadline.
    Overdue {
        /// When its last success was recorded.
        expect: Option<Timestamp>,
        /// The deadline.
        due: Timestamp,
    },
    /// Tell that a run takes long.
    Slow {
        /// Which.
        run_id: RunId,
        /// Its claim.
        fence: Fence,
    },
    /// Nothing to do before then, unless the record changes.
    Wait(Timestamp),
    /// Nothing to do before then, when the next occurrence is due, unless the record changes. It may be bid for as long
    /// before as [`Bid::AHEAD`] says.
    Race(Timestamp),
    /// Nothing to do, unless the record changes.
    Finished,
}

/// How many occurrences one step looks at; a longer backlog takes several steps.
const GLANCE: usize = 10_000;

/// How much of what the store's clock says is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Belief {
    /// What time it is, as far as that is believed. Only matters where it is earlier than what the store's clock reads.
    pub now: Timestamp,
    /// Whether occurrences may be decided at all.
    pub decides: bool,
}

/// The next step for `job`, seen at `view`. Following it changes the record, or time passes: it never spins.
pub fn next(job: &Job, view: &View) -> Step {
    step(job, view, view.now, true)
}

/// The same when the store's clock, or what is known of time zones, is in doubt: what is due by the store's clock alone
/// is not due yet, and whoever it alone takes for overdue keeps his lease. What somebody asked for is not held up.
pub fn next_believing(job: &Job, view: &View, belief: Belief) -> Step {
    if belief.decides && belief.now >= view.now {
        return next(job, view);
    }
    let believed = View { now: view.now.min(belief.now), ..view.clone() };
    step(job, &believed, view.now, belief.decides)
}

/// `view.now` is what is believed, `read` what the store's clock reads: the same, or later.
fn step(job: &Job, view: &View, read: Timestamp, decides: bool) -> Step {
    let (Some(cursor), Some(since)) = (view.record.cursor, view.record.since(job.spec())) else {
        return Step::Register;
    };
    let now = view.now;
    if let Some(alarm) = alarms(job, view).into_iter().find(|alarm| alarm.at <= now) {
        return alarm.step;
    }
    if let Some(lost) = find_lost(job, view, read) {
        return Step::Reap { run_id: lost.run_id, fence: lost.fence, phase: lost.phase };
    }
    if let Some(pause) = view.record.paused(now) {
        return wait(job, view, pause.until);
    }
    if let Some(run) = find_claimable(job, view, read) {
        return Step::Claim(Target::Open { run_id: run.run_id, fence: run.fence });
    }
    if !decides {
        return wait(job, view, None);
    }
    let mut backlog = Backlog::of(job, cursor, since, now);
    backlog.blocked = view.mutex.held.as_ref().is_some_and(|held| held.until > now);
    if backlog.due.is_empty() {
        let closed = !backlog.closed.is_empty();
        return if closed { backlog.decide(std::iter::empty()) } else { look_ahead(job, view, read, &backlog) };
    }
    if !job.enabled {
        return backlog.decide(std::iter::repeat(Fate::SkippedDisabled));
    }
    // What came due in a pause that is over is skipped, unless it was resumed to be caught up. What
    // came due before it is decided first, and by itself.
    let in_pause = |due: Timestamp| view.record.pauses.iter().any(|pause| pause.covers(due));
    let before = backlog.due.iter().take_while(|(_, due)| !in_pause(*due)).count();
    if before == 0 {
        let paused = backlog.due.iter().take_while(|(_, due)| in_pause(*due)).count();
        return backlog.decide(std::iter::repeat_n(Fate::SkippedPaused, paused));
    }
    backlog.keep(before);
    overlapping(job, view, &backlog).unwrap_or_else(|| catch_up(job, now, &backlog))
}

/// The attempt that follows one of `work` that ended so, and the pause before it.
///
/// `spread`, 0 to 1, places the pause within the job's retry jitter.
pub fn retry(job: &Job, work: &Work, ended: &Ended, spread: f64) -> Option<(u32, Duration)> {
    if matches!(work.trigger, Trigger::Cli { .. }) {
        // Whoever started it by hand sees how it ended, and says what is next.
        return None;
    }
    match ended.outcome {
        Outcome::Succeeded | Outcome::Cancelled | Outcome::Expired => None,
        Outcome::Lost => {
            let more = job.delivery == Delivery::AtLeastOnce && work.attempt < job.retry.attempts.max(Delivery::LIVES);
            more.then_some((work.attempt + 1, Duration::ZERO))
        }
        // It was our doing, not the job's: it costs no attempt. But it has started once.
        Outcome::Interrupted => (job.delivery == Delivery::AtLeastOnce).then_some((work.attempt, Duration::ZERO)),
        Outcome::Failed | Outcome::TimedOut => {
            let refused = ended.exit_code.is_some_and(|code| job.retry.no_retry_exit_codes.contains(&code));
            let more = work.attempt < job.retry.attempts && !refused;
            more.then(|| (work.attempt + 1, job.retry.pause(work.attempt, spread)))
        }
    }
}

/// By when `must_succeed_within` wants the next success recorded: so long after the last one, after the job was first
/// seen when there is none, or after a pause that ended since. `None` while that does not count: the job has no such
/// limit, is disabled, or is paused until somebody resumes it.
pub fn deadline(job: &Job, record: &Record) -> Option<Timestamp> {
    let limit = job.must_succeed_within.filter(|_| job.enabled)?;
    let seen = record.specs.iter().map(|(_, since)| *since).min();
    let mut base = record.succeeded_at.or(seen)?;
    for pause in &record.pauses {
        base = base.max(pause.until?);
    }
    Some(base.plus(limit))
}

/// Something to tell, and when.
struct Alarm {
    at: Timestamp,
    step: Step,
}

/// What is to be told about the job that was not told yet, unless things change.
fn alarms(job: &Job, view: &View) -> Vec<Alarm> {
    let record = &view.record;
    let due = deadline(job, record).filter(|due| record.overdue.is_none_or(|told| told < *due));
    let overdue = due.map(|due| Alarm { at: due, step: Step::Overdue { expect: record.succeeded_at, due } });
    let slow = job.warn_after.into_iter().flat_map(|limit| {
        let untold = record.open.iter().filter(|run| run.phase == Phase::Running && !run.slow);
        untold.filter_map(move |run| {
            let step = Step::Slow { run_id: run.run_id, fence: run.fence };
            Some(Alarm { at: run.started_at?.plus(limit), step })
        })
    });
    overdue.into_iter().chain(slow).collect()
}

/// A run that may have started, whose holder's time is over, and that must not start again.
fn find_lost<'a>(job: &Job, view: &'a View, read: Timestamp) -> Option<&'a Open> {
    let overdue = |run: &&Open| run.phase == Phase::Running && is_over(job, run, view.now, read);
    // Claims a process dies of do not count as its failures, but they are bounded like them.
    let spent = |run: &Open| run.attempt >= job.retry.attempts.max(Delivery::LIVES);
    view.record.open.iter().filter(overdue).find(|run| job.delivery == Delivery::AtMostOnce || run.cancel || spent(run))
}

/// An open run that waits for whoever comes first: unstarted, due for its next attempt, queued, or to be restarted.
fn find_claimable<'a>(job: &Job, view: &'a View, read: Timestamp) -> Option<&'a Open> {
    let over = |run: &&Open| is_over(job, run, view.now, read);
    let ready = |run: &&Open| over(run) && view.mutex.keeps_out(run.run_id, view.now).is_none();
    let free = |run: &&Open| view.record.keeps_out(run.run_id, job.overlap, view.now).is_none();
    // Runs that were begun come before those that never were.
    let open = || view.record.open.iter().filter(ready).filter(free);
    open().find(|run| !run.is_queued()).or_else(|| open().next())
}

/// Whether the time of an open run is over. A lease that the believed time says goes on was given before the store's
/// clock went ahead, unless so much is left of it that it can only have been given since.
fn is_over(job: &Job, run: &Open, believed: Timestamp, read: Timestamp) -> bool {
    let is_held = matches!(run.phase, Phase::Claimed | Phase::Running);
    run.until <= believed || run.until <= read && (!is_held || run.until > believed.plus(job.lease))
}

/// Waits for the next occurrence, or for the end of an open run's time.
fn wait(job: &Job, view: &View, until: Option<Timestamp>) -> Step {
    let ends = view.record.open.iter().map(|run| run.until);
    let mutex = job.mutex.as_ref().and(view.mutex.held.as_ref()).map(|held| held.until);
    let alarms = alarms(job, view).into_iter().map(|alarm| alarm.at);
    match ends.chain(mutex).chain(until).chain(alarms).filter(|at| *at > view.now).min() {
        Some(at) => Step::Wait(at),
        None => Step::Finished,
    }
}

/// Nothing is due: waits for the next occurrence, or claims it already. Not if anything may be in its way when it is
/// due; that is decided then. Nor by a clock that is not believed: who wins by it begins at once.
fn look_ahead(job: &Job, view: &View, read: Timestamp, backlog: &Backlog) -> Step {
    let free = job.enabled && job.mutex.is_none() && view.record.open.is_empty() && read <= view.now;
    let Some((at, due)) = backlog.next.filter(|(at, _)| free && job.closed(*at).is_none()) else {
        return wait(job, view, backlog.next_due());
    };
    if due <= view.now.plus(Bid::AHEAD) {
        return Step::Claim(Target::Next { expect: backlog.cursor, passes: Vec::new(), at, due });
    }
    match wait(job, view, Some(due)) {
        Step::Wait(until) if until == due => Step::Race(due),
        step => step,
    }
}

/// Occurrences that nobody has decided.
struct Backlog {
    cursor: Timestamp,
    /// Those that are due, oldest first: (scheduled, due). At most [`GLANCE`].
    due: Vec<(Timestamp, Timestamp)>,
    /// The same of those that a calendar keeps from running. They are decided along with the others.
    closed: Vec<(Timestamp, Timestamp)>,
    /// How many more that no calendar closes are due after those, counted up to [`Misfire::MOST`].
    beyond: usize,
    /// The first that is not due: (scheduled, due).
    next: Option<(Timestamp, Timestamp)>,
    /// The mutex is held: what would be claimed waits for it.
    blocked: bool,
}

impl Backlog {
    fn of(job: &Job, cursor: Timestamp, since: Timestamp, now: Timestamp) -> Backlog {
        let mut backlog =
            Backlog { cursor, due: Vec::new(), closed: Vec::new(), beyond: 0, next: None, blocked: false };
        let mut edge = cursor.max(since);
        // What was scheduled before the job had this schedule, but comes due only after that, is still to come.
        let moment = Duration::from_micros(1);
        if since > cursor
            && !job.jitter.is_zero()
            && let Some(last) = job.schedule.before(since.plus(moment))
            && last > cursor
            && job.due(last) > since
        {
            edge = last.minus(moment);
        }
        while let Some(at) = job.schedule.after(edge) {
            let due = job.due(at);
            if due > now {
                backlog.next = Some((at, due));
                break;
            }
            if backlog.due.len() + backlog.closed.len() == GLANCE {
                let open = std::iter::successors(job.next_open(edge), |at| job.next_open(*at));
                backlog.beyond = open.take(Misfire::MOST).take_while(|at| job.due(*at) <= now).count();
                break;
            }
            let list = if job.closed(at).is_some() { &mut backlog.closed } else { &mut backlog.due };
            list.push((at, due));
            edge = at;
        }
        backlog
    }

    fn next_due(&self) -> Option<Timestamp> {
        self.next.map(|(_, due)| due)
    }

    /// Forgets for now all but the first `count`.
    fn keep(&mut self, count: usize) {
        if let Some((first, _)) = self.due.get(count).copied() {
            self.due.truncate(count);
            self.closed.retain(|(at, _)| *at < first);
            self.beyond = 0;
        }
    }

    /// Decides the first of them, one fate each.
    fn decide(&self, fates: impl IntoIterator<Item = Fate>) -> Step {
        let mut passes = Passes::default();
        let mut due = self.cursor;
        let mut closed = self.closed.iter().peekable();
        let mut rest = self.due.iter();
        for (fate, (at, its_due)) in fates.into_iter().zip(rest.by_ref()) {
            passes.close(std::iter::from_fn(|| closed.next_if(|(closed, _)| closed < at)));
            passes.add(*at, fate);
            due = *its_due;
        }
        if rest.len() == 0 {
            due = closed.clone().last().map_or(due, |(_, last)| due.max(*last));
            passes.close(closed);
        }
        debug_assert!(!passes.0.is_empty(), "it would be decided for ever");
        Step::Decide { expect: self.cursor, passes: passes.0, due }
    }

    /// Claims the one at `index`; `fates` are of those before it.
    fn claim(&self, index: usize, fates: impl IntoIterator<Item = Fate>) -> Step {
        if self.blocked {
            return self.decide(fates.into_iter().take(index).chain([Fate::Queued]));
        }
        let mut passes = Passes::default();
        let mut closed = self.closed.iter().peekable();
        for ((at, _), fate) in self.due[..index].iter().zip(fates) {
            passes.close(std::iter::from_fn(|| closed.next_if(|(closed, _)| closed < at)));
            passes.add(*at, fate);
        }
        let (at, due) = self.due[index];
        passes.close(closed.take_while(|(closed, _)| *closed < at));
        Step::Claim(Target::Next { expect: self.cursor, passes: passes.0, at, due })
    }
}

/// Joins neighbours of one fate; each queued occurrence stays by itself.
#[derive(Default)]
struct Passes(Vec<Pass>);

impl Passes {
    /// Adds occurrences that a calendar keeps from running.
    fn close<'a>(&mut self, closed: impl Iterator<Item = &'a (Timestamp, Timestamp)>) {
        closed.for_each(|(at, _)| self.add(*at, Fate::SkippedCalendar));
    }

    fn add(&mut self, at: Timestamp, fate: Fate) {
        match self.0.last_mut() {
            Some(last) if last.fate == fate && fate != Fate::Queued => {
                last.through = at;
                last.count += 1;
            }
            _ => self.0.push(Pass { from: at, through: at, count: 1, fate }),
        }
    }
}

/// What comes due while a run is open is up to the overlap policy.
fn overlapping(job: &Job, view: &View, backlog: &Backlog) -> Option<Step> {
    if job.overlap == Overlap::Allow && view.record.open.len() < Overlap::ALLOW_LIMIT {
        return None;
    }
    let queued = view.record.open.iter().filter(|run| run.is_queued()).count();
    let run = view.record.open.iter().find(|run| !run.is_queued()).or(view.record.open.first())?;
    // Due before the run even came to be: it did not come in the run's way, it is next in line.
    let in_line = backlog.due.iter().take_while(|(_, due)| *due <= run.opened).count();
    let newer = in_line < backlog.due.len();
    if in_line > 0 && !run.is_queued() && !(job.overlap == Overlap::Replace && newer) {
        return Some(wait(job, view, backlog.next_due()));
    }
    Some(match job.overlap {
        Overlap::Skip | Overlap::Allow => backlog.decide(std::iter::repeat(Fate::SkippedOverlap)),
        Overlap::QueueOne => backlog.decide(queue_fates(1usize.saturating_sub(queued))),
        Overlap::QueueAll => backlog.decide(queue_fates(Overlap::QUEUE_LIMIT.saturating_sub(queued))),
        Overlap::Replace => match view.record.open.iter().find(|run| !run.cancel) {
            Some(run) => Step::Cancel(run.run_id),
            None => wait(job, view, backlog.next_due()),
        },
    })
}

fn queue_fates(room: usize) -> impl Iterator<Item = Fate> {
    std::iter::repeat_n(Fate::Queued, room).chain(std::iter::repeat(Fate::SkippedOverlap))
}

/// Nothing is in the way: run what is on time, and do about the rest what the misfire policy says.
fn catch_up(job: &Job, now: Timestamp, backlog: &Backlog) -> Step {
    let Misfire { policy, window, max } = job.misfire;
    let late = backlog.due.iter().take_while(|(_, due)| now.since(*due) >= Misfire::GRACE).count();
    if late == 0 {
        // Several are on time when the run in their way took long to end.
        let newest = if job.overlap == Overlap::Replace { backlog.due.len() - 1 } else { 0 };
        return backlog.claim(newest, std::iter::repeat(Fate::Coalesced));
    }
    let gone = backlog.due.iter().take_while(|(_, due)| now.since(*due) > window).count();
    let count = backlog.due.len();
    match policy {
        MisfirePolicy::Skip => backlog.decide(std::iter::repeat_n(Fate::Missed, late)),
        _ if gone == count => backlog.decide(std::iter::repeat(Fate::Missed)),
        MisfirePolicy::RunOnce => {
            let fates = std::iter::repeat_n(Fate::Missed, gone).chain(std::iter::repeat(Fate::Coalesced));
            if backlog.beyond > 0 { backlog.decide(fates) } else { backlog.claim(count - 1, fates) }
        }
        MisfirePolicy::RunAll => {
            let missed = gone.max((count + backlog.beyond).saturating_sub(max)).min(count);
            let fates = std::iter::repeat_n(Fate::Missed, missed);
            // With more to come, those at the end of this glance may be too old as well: look again.
            if backlog.beyond > 0 && missed > 0 {
                backlog.decide(fates)
            } else {
                backlog.decide(fates.chain(std::iter::repeat(Fate::Queued)))
            }
        }
    }
}

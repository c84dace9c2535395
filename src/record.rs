//! One job's truth, a [`Record`], and what the store grants: [`apply`]. Pure.
//!
//! Every store runs this function, or a port of it held equal by tests, in one atomic step. No
//! store has a rule of its own. Occurrences are decided in order: `cursor` only ever moves on, and
//! only for somebody who knew where it stood. So an occurrence starts at most once whatever any
//! clock reads; leases only say who runs it now.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::job::{Delivery, JobName, Overlap};
use crate::lease::{Ended, Fence, Outcome, RunId, Token, Trigger};
use crate::ledger::{Event, Fate, Next, Pass, What};

/// What the store knows about one job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Every occurrence up to here is decided. Absent until the job is registered; never moves back.
    pub cursor: Option<Timestamp>,
    /// The schedules it was seen under, by hash, and since when: the past of a changed schedule is
    /// not caught up. Several, because replicas differ while a deployment rolls.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub specs: VecDeque<(u64, Timestamp)>,
    /// The largest fence ever issued.
    pub fence: Fence,
    /// Runs that are not over, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Open>,
    /// The last pause, over or not: a pause that is over still explains what came due in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The scheduled instant of the last run that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
    /// The latest requests, so that a repeated one is not a second run.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub asked: VecDeque<RunId>,
    /// The latest settled claims, so that a repeated report is not refused.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub settled: VecDeque<Fence>,
}

/// How many schedules are remembered.
const SPECS: usize = 4;

/// How many requests and settled claims are remembered: as many as can be in doubt at once.
const REMEMBERED: usize = Overlap::ALLOW_LIMIT;

impl Record {
    /// Since when the job has the schedule with this hash; `None` when it was never seen with it.
    pub fn since(&self, spec: u64) -> Option<Timestamp> {
        self.specs.iter().find(|(known, _)| *known == spec).map(|(_, since)| *since)
    }

    /// The open run with this id.
    pub fn run(&self, run_id: RunId) -> Option<&Open> {
        self.open.iter().find(|run| run.run_id == run_id)
    }

    /// The run for whose end the open run `run_id` has to wait, mutexes aside.
    pub fn keeps_out(&self, run_id: RunId, overlap: Overlap, now: Timestamp) -> Option<&Open> {
        let place = self.open.iter().position(|run| run.run_id == run_id)?;
        let queued = self.open[place].is_queued();
        let mut begun = self.open.iter().enumerate().filter(|(at, other)| *at != place && !other.is_queued());
        let first = match overlap {
            Overlap::Allow => begun.nth(Overlap::ALLOW_LIMIT - 1),
            // Runs begun side by side, while the job allowed it, go on one by one, oldest first.
            _ => begun.find(|(at, other)| queued || *at < place || other.is_held(now)),
        };
        first.map(|(_, other)| other)
    }
}

/// A run that is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Its identity.
    pub run_id: RunId,
    /// Its instant.
    pub scheduled_at: Timestamp,
    /// Why it exists.
    pub trigger: Trigger,
    /// Arguments given by whoever asked for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// When it came to be.
    pub opened: Timestamp,
    /// How far it is.
    pub phase: Phase,
    /// The number of the present attempt, or of the next one while it waits.
    pub attempt: u32,
    /// The newest claim on it; 0 while it was never claimed.
    pub fence: Fence,
    /// Whose claim that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// The replica or worker behind that claim.
    pub holder: String,
    /// Once this has passed, the run may be claimed again.
    pub until: Timestamp,
    /// Somebody asked to stop it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
    /// The mutex that is held for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutex: Option<String>,
}

/// How far an open run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// For its turn, for its next attempt, or for whoever comes first.
    Waiting,
    /// Won, but its code has surely not started.
    Claimed,
    /// Its request lies in a broker's queue; its code has surely not started.
    Published,
    /// Its code may have started.
    Running,
}

impl Open {
    /// In the queue: it came due while another run was open, or was asked for, and nobody has claimed it yet.
    pub fn is_queued(&self) -> bool {
        self.phase == Phase::Waiting && self.fence == Fence(0)
    }

    /// Somebody may be about to start it, or running it.
    fn is_held(&self, now: Timestamp) -> bool {
        self.phase != Phase::Waiting && self.until > now
    }

    fn is_held_by(&self, token: &Token) -> bool {
        self.token.as_ref() == Some(token)
    }
}

/// A span in which no run is started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// Its beginning.
    pub since: Timestamp,
    /// Its end; absent while nobody knows.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
    /// Who paused.
    pub by: Option<String>,
}

impl Pause {
    /// Whether it covers `at`.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// What the store knows about one mutex, which belongs to no single job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mutex {
    /// The largest fence of any run that held it: fences grow over all its jobs.
    pub fence: Fence,
    /// Who holds it.
    pub held: Option<Held>,
}

/// A run's hold on a mutex; it ends with the run's lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The run's job.
    pub job: JobName,
    /// The run.
    pub run_id: RunId,
    /// Its claim.
    pub fence: Fence,
    /// Who runs it.
    pub holder: String,
    /// When the hold lapses unless renewed.
    pub until: Timestamp,
}

impl Mutex {
    /// The hold that keeps `run_id` out at `now`, if there is one.
    pub fn keeps_out(&self, run_id: RunId, now: Timestamp) -> Option<&Held> {
        self.held.as_ref().filter(|held| held.run_id != run_id && held.until > now)
    }
}

/// A request to start a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bid {
    /// Which run.
    pub target: Target,
    /// New for every bid; the same when it is asked again.
    pub token: Token,
    /// Who asks.
    pub holder: String,
    /// How long the claim lasts unless started or renewed.
    pub ttl: Duration,
    /// Whether it may run beside other runs of the job.
    pub overlap: Overlap,
    /// Whether a lost attempt may be followed by another.
    pub delivery: Delivery,
    /// The mutex the run needs.
    pub mutex: Option<String>,
}

/// What a bid is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Target {
    /// An occurrence that nobody has decided yet.
    Next {
        /// Where the asker saw the cursor.
        expect: Timestamp,
        /// What became of the occurrences between `expect` and `at`.
        passes: Vec<Pass>,
        /// The occurrence.
        at: Timestamp,
        /// When it may start: `at` and its jitter.
        due: Timestamp,
    },
    /// An open run whose `until` has passed.
    Open {
        /// Which.
        run_id: RunId,
        /// Its newest claim, as the asker saw it.
        fence: Fence,
    },
    /// A run by hand, now.
    Request {
        /// Its identity, made by the asker.
        run_id: RunId,
        /// The instant it stands for; absent means now.
        at: Option<Timestamp>,
        /// Who asks.
        trigger: Trigger,
        /// What its code is given.
        args: BTreeMap<String, String>,
    },
}

/// A claim on a run, as its holder names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The run.
    pub run_id: RunId,
    /// The claim.
    pub fence: Fence,
    /// The proof that it is the holder's.
    pub token: Token,
}

/// What can be asked of a record. Asking the same again gives the same answer and changes nothing more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// Begin the job's history, or that of a new schedule of it: occurrences up to now are not its business.
    Register {
        /// The schedule's hash.
        spec: u64,
    },
    /// Win a run.
    Claim(Bid),
    /// Decide occurrences without a claim.
    Decide {
        /// Where the asker saw the cursor.
        expect: Timestamp,
        /// What becomes of them, in order.
        passes: Vec<Pass>,
        /// When the last of them is due.
        due: Timestamp,
    },
    /// The request is in the broker's queue and may stay there for `ttl`.
    Published {
        /// Whose.
        key: Key,
        /// How long.
        ttl: Duration,
    },
    /// The code starts now. A commit of its own: a holder that slept since its claim is refused here.
    Start {
        /// Whose. From [`Phase::Published`] any token will do: the worker brings its own.
        key: Key,
        /// Who runs it.
        holder: String,
        /// How long the lease lasts unless renewed.
        ttl: Duration,
    },
    /// The code still runs, or the claim is still wanted.
    Renew {
        /// Whose.
        key: Key,
        /// For how long from now.
        ttl: Duration,
    },
    /// The attempt is over.
    Settle {
        /// Whose.
        key: Key,
        /// How it ended.
        ended: Ended,
        /// The attempt that is to follow: its number and the pause before it.
        next: Option<(u32, Duration)>,
    },
    /// The claim is given back, unstarted.
    Release {
        /// Whose.
        key: Key,
    },
    /// Close a run whose `until` has passed and that is not to be claimed again.
    Reap {
        /// Which.
        run_id: RunId,
        /// Its newest claim, as the asker saw it.
        fence: Fence,
    },
    /// Ask for a run by hand, to be started by whichever replica comes first.
    Trigger {
        /// Its identity, made by the asker.
        run_id: RunId,
        /// The instant it stands for; absent means now.
        at: Option<Timestamp>,
        /// Who asks.
        trigger: Trigger,
        /// What its code is given.
        args: BTreeMap<String, String>,
        /// The job's policy, which holds for runs by hand as well.
        overlap: Overlap,
    },
    /// Ask to stop a run.
    Cancel {
        /// Which.
        run_id: RunId,
        /// Who or what asks.
        by: String,
    },
    /// Start nothing until then.
    Pause {
        /// Absent: until resumed.
        until: Option<Timestamp>,
        /// Why.
        reason: Option<String>,
        /// Who.
        by: Option<String>,
    },
    /// End the pause.
    Resume {
        /// Whether what came due meanwhile is left to the misfire policy instead of being skipped.
        catch_up: bool,
        /// Who.
        by: Option<String>,
    },
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The run is the asker's, as it stands now.
    Won(Box<Open>),
    /// It is done, or was done before.
    Done,
    /// The claim is still the newest.
    Kept {
        /// And lasts until then.
        until: Timestamp,
        /// But the run is to be stopped.
        cancel: bool,
    },
    /// The claim is not the newest, or the run is over.
    Fenced,
    /// The run was cancelled before it started; it is over.
    Cancelled,
    /// The occurrence was decided before: a slow clock, or a lost race.
    Stale,
    /// The occurrence is not due before then: a fast clock.
    Early(Timestamp),
    /// The record is not as the asker saw it; look again.
    Moved,
    /// Another run is in the way.
    Busy(Box<Open>),
    /// Another job's run holds the mutex.
    MutexHeld(Held),
    /// The job is paused.
    Paused(Pause),
    /// As many runs wait as may.
    Full,
    /// No such open run.
    NotFound,
}

impl Op {
    /// The mutex that this operation needs to see, given the record before it.
    pub fn mutex<'a>(&'a self, record: &'a Record) -> Option<&'a str> {
        let of = |run_id: &RunId| record.open.iter().find(|run| run.run_id == *run_id)?.mutex.as_deref();
        match self {
            Op::Claim(bid) => bid.mutex.as_deref(),
            Op::Published { key, .. }
            | Op::Start { key, .. }
            | Op::Renew { key, .. }
            | Op::Settle { key, .. }
            | Op::Release { key } => of(&key.run_id),
            Op::Reap { run_id, .. } | Op::Cancel { run_id, .. } => of(run_id),
            _ => None,
        }
    }
}

/// What one operation may see and change.
#[derive(Debug)]
pub struct State<'a> {
    /// Whose record it is.
    pub job: &'a JobName,
    /// The record.
    pub record: &'a mut Record,
    /// The mutex named by [`Op::mutex`]; any empty one when it names none.
    pub mutex: &'a mut Mutex,
}

/// Grants or refuses `op` at `now`, the store's time. No events means that nothing changed but,
/// at most, a lease's end.
pub fn apply(state: State<'_>, op: &Op, now: Timestamp) -> (Reply, Vec<Event>) {
    let mut step = Granting { job: state.job, record: state.record, mutex: state.mutex, now, events: Vec::new() };
    let reply = match op {
        Op::Register { spec } => step.register(*spec),
        Op::Claim(bid) => step.claim(bid),
        Op::Decide { expect, passes, due } => step.decide(*expect, passes, *due),
        Op::Published { key, ttl } => step.published(key, *ttl),
        Op::Start { key, holder, ttl } => step.start(key, holder, *ttl),
        Op::Renew { key, ttl } => step.renew(key, *ttl),
        Op::Settle { key, ended, next } => step.settle(key, ended, *next),
        Op::Release { key } => step.release(key),
        Op::Reap { run_id, fence } => step.reap(*run_id, *fence),
        Op::Trigger { run_id, at, trigger, args, overlap } => step.trigger(*run_id, *at, trigger, args, *overlap),
        Op::Cancel { run_id, by } => step.cancel(*run_id, by),
        Op::Pause { until, reason, by } => step.pause(*until, reason, by),
        Op::Resume { catch_up, by } => step.resume(*catch_up, by),
    };
    (reply, step.events)
}

struct Granting<'a> {
    job: &'a JobName,
    record: &'a mut Record,
    mutex: &'a mut Mutex,
    now: Timestamp,
    events: Vec<Event>,
}

impl Granting<'_> {
    fn tell(&mut self, what: What) {
        self.events.push(Event { at: self.now, job: self.job.clone(), what });
    }

    fn register(&mut self, spec: u64) -> Reply {
        if self.record.since(spec).is_none() {
            self.record.cursor.get_or_insert(self.now);
            remember(&mut self.record.specs, (spec, self.now), SPECS);
            self.tell(What::Registered);
        }
        Reply::Done
    }

    // ---- winning -------------------------------------------------------------------------------

    fn claim(&mut self, bid: &Bid) -> Reply {
        let mine = |run: &&Open| run.phase == Phase::Claimed && run.is_held_by(&bid.token);
        if let Some(run) = self.record.open.iter().find(mine) {
            return Reply::Won(Box::new(run.clone()));
        }
        if let Some(pause) = self.record.pause.as_ref().filter(|pause| pause.covers(self.now)) {
            return Reply::Paused(pause.clone());
        }
        match &bid.target {
            Target::Next { expect, passes, at, due } => self.claim_next(bid, *expect, passes, *at, *due),
            Target::Open { run_id, fence } => self.claim_open(bid, *run_id, *fence),
            Target::Request { run_id, at, trigger, args } => {
                let run = Open {
                    trigger: trigger.clone(),
                    args: args.clone(),
                    ..waiting(*run_id, at.unwrap_or(self.now), self.now)
                };
                self.claim_request(bid, run)
            }
        }
    }

    fn claim_next(&mut self, bid: &Bid, expect: Timestamp, passes: &[Pass], at: Timestamp, due: Timestamp) -> Reply {
        if let Some(refusal) = self.refuse_decision(expect, passes, at, due) {
            return refusal;
        }
        if passes.last().is_some_and(|pass| pass.through >= at) {
            return Reply::Moved;
        }
        let run_id = RunId::of_occurrence(self.job, at);
        // Whoever waits goes first, unless runs may stand side by side.
        let in_the_way = self.record.open.first();
        if let Some(refusal) = refuse_company(bid, in_the_way, self.record.open.len()) {
            return refusal;
        }
        if let Some(held) = self.mutex.keeps_out(run_id, self.now) {
            return Reply::MutexHeld(held.clone());
        }
        self.pass(passes);
        self.record.cursor = Some(at);
        self.record.open.push(waiting(run_id, at, self.now));
        self.grant(self.record.open.len() - 1, bid)
    }

    fn claim_open(&mut self, bid: &Bid, run_id: RunId, fence: Fence) -> Reply {
        let Some(index) = self.record.open.iter().position(|run| run.run_id == run_id && run.fence == fence) else {
            return Reply::Moved;
        };
        let run = &self.record.open[index];
        if run.until > self.now {
            return Reply::Busy(Box::new(run.clone()));
        }
        if run.phase == Phase::Running && bid.delivery == Delivery::AtMostOnce {
            // It may have started. That is for `Reap` to record, not for a claim to repeat.
            return Reply::Moved;
        }
        if let Some(other) = self.record.keeps_out(run_id, bid.overlap, self.now) {
            return Reply::Busy(Box::new(other.clone()));
        }
        if let Some(held) = self.mutex.keeps_out(run_id, self.now) {
            return Reply::MutexHeld(held.clone());
        }
        if run.cancel {
            self.close(index, Ended::because(Outcome::Cancelled, "cancelled while its holder was gone"));
            return Reply::Moved;
        }
        if run.phase == Phase::Running {
            let (attempt, fence) = (run.attempt, run.fence);
            self.record.open[index].attempt += 1;
            self.tell(What::Ended {
                run_id,
                attempt,
                fence,
                ended: Ended::because(Outcome::Lost, "its holder did not renew the lease"),
                next: Some(Next { attempt: attempt + 1, at: self.now }),
            });
        }
        self.grant(index, bid)
    }

    fn claim_request(&mut self, bid: &Bid, run: Open) -> Reply {
        if self.record.asked.contains(&run.run_id) {
            return Reply::Stale;
        }
        let active = self.record.open.iter().find(|run| !run.is_queued());
        if let Some(refusal) = refuse_company(bid, active, self.record.open.len()) {
            return refusal;
        }
        if let Some(held) = self.mutex.keeps_out(run.run_id, self.now) {
            return Reply::MutexHeld(held.clone());
        }
        remember(&mut self.record.asked, run.run_id, REMEMBERED);
        self.record.open.push(run);
        self.grant(self.record.open.len() - 1, bid)
    }

    fn grant(&mut self, index: usize, bid: &Bid) -> Reply {
        let clock = u64::try_from(self.now.as_micros()).unwrap_or(0);
        let fence = Fence((self.record.fence.0.max(self.mutex.fence.0) + 1).max(clock));
        self.record.fence = fence;
        let run = &mut self.record.open[index];
        run.phase = Phase::Claimed;
        run.fence = fence;
        run.token = Some(bid.token.clone());
        run.holder.clone_from(&bid.holder);
        run.until = self.now.plus(bid.ttl);
        run.mutex.clone_from(&bid.mutex);
        let run = run.clone();
        self.hold_mutex(&run);
        self.tell(What::Claimed {
            run_id: run.run_id,
            scheduled_at: run.scheduled_at,
            trigger: run.trigger.clone(),
            attempt: run.attempt,
            fence,
            holder: run.holder.clone(),
        });
        Reply::Won(Box::new(run))
    }

    // ---- deciding without a claim --------------------------------------------------------------

    fn decide(&mut self, expect: Timestamp, passes: &[Pass], due: Timestamp) -> Reply {
        let Some(last) = passes.last() else { return Reply::Done };
        if let Some(refusal) = self.refuse_decision(expect, passes, last.through, due) {
            return refusal;
        }
        self.pass(passes);
        self.record.cursor = Some(last.through);
        Reply::Done
    }

    fn refuse_decision(&self, expect: Timestamp, passes: &[Pass], last: Timestamp, due: Timestamp) -> Option<Reply> {
        let Some(cursor) = self.record.cursor else { return Some(Reply::Moved) };
        if last <= cursor {
            return Some(Reply::Stale);
        }
        if due > self.now {
            return Some(Reply::Early(due));
        }
        // Only who knew the cursor has seen every occurrence since: none can slip through between.
        let mut edge = expect;
        let orderly = passes.iter().all(|pass| {
            let follows = pass.from > edge && pass.through >= pass.from && pass.count > 0;
            edge = pass.through;
            follows
        });
        (expect != cursor || !orderly).then_some(Reply::Moved)
    }

    fn pass(&mut self, passes: &[Pass]) {
        for pass in passes {
            if pass.fate == Fate::Queued {
                let run = waiting(RunId::of_occurrence(self.job, pass.from), pass.from, self.now);
                self.enqueue(run);
            } else {
                self.tell(What::Passed(pass.clone()));
            }
        }
    }

    fn enqueue(&mut self, run: Open) {
        self.tell(What::Queued { run_id: run.run_id, scheduled_at: run.scheduled_at, trigger: run.trigger.clone() });
        self.record.open.push(run);
    }

    // ---- holding -------------------------------------------------------------------------------

    /// Where the run with this claim stands, if the claim is its newest.
    fn newest(&self, key: &Key) -> Option<usize> {
        self.record.open.iter().position(|run| run.run_id == key.run_id && run.fence == key.fence)
    }

    fn published(&mut self, key: &Key, ttl: Duration) -> Reply {
        let Some(index) = self.newest(key) else { return Reply::Fenced };
        let until = self.now.plus(ttl);
        let run = &mut self.record.open[index];
        match run.phase {
            Phase::Claimed if run.is_held_by(&key.token) => {
                run.phase = Phase::Published;
                run.until = until;
                let run = run.clone();
                self.hold_mutex(&run);
                self.tell(What::Published { run_id: key.run_id, fence: key.fence });
                Reply::Done
            }
            // A quick worker has started it before the publisher could say so.
            Phase::Published | Phase::Running => Reply::Done,
            Phase::Claimed | Phase::Waiting => Reply::Fenced,
        }
    }

    fn start(&mut self, key: &Key, holder: &str, ttl: Duration) -> Reply {
        let Some(index) = self.newest(key) else { return self.fence_off(key, "start", None) };
        let now = self.now;
        let run = &mut self.record.open[index];
        let may = match run.phase {
            Phase::Running if run.is_held_by(&key.token) => {
                return Reply::Kept { until: run.until, cancel: run.cancel };
            }
            Phase::Claimed => run.is_held_by(&key.token) && run.until > now,
            // After its time another job may have taken the mutex.
            Phase::Published => run.mutex.is_none() || self.mutex.keeps_out(key.run_id, now).is_none(),
            Phase::Running | Phase::Waiting => false,
        };
        if !may {
            return self.fence_off(key, "start", None);
        }
        if run.cancel {
            self.close(index, Ended::because(Outcome::Cancelled, "cancelled before it started"));
            return Reply::Cancelled;
        }
        run.phase = Phase::Running;
        run.token = Some(key.token.clone());
        holder.clone_into(&mut run.holder);
        run.until = now.plus(ttl);
        let run = run.clone();
        self.hold_mutex(&run);
        self.tell(What::Started { run_id: run.run_id, attempt: run.attempt, fence: run.fence, holder: run.holder });
        Reply::Kept { until: run.until, cancel: false }
    }

    fn renew(&mut self, key: &Key, ttl: Duration) -> Reply {
        let until = self.now.plus(ttl);
        let Some(index) = self.newest(key) else { return Reply::Fenced };
        let run = &mut self.record.open[index];
        if run.phase == Phase::Waiting || !run.is_held_by(&key.token) {
            return Reply::Fenced;
        }
        if run.mutex.is_some() && self.mutex.keeps_out(key.run_id, self.now).is_some() {
            // The lease had lapsed; nobody took the run, but another job took the mutex.
            return Reply::Fenced;
        }
        run.until = until;
        let run = run.clone();
        self.hold_mutex(&run);
        Reply::Kept { until, cancel: run.cancel }
    }

    fn settle(&mut self, key: &Key, ended: &Ended, next: Option<(u32, Duration)>) -> Reply {
        if self.record.settled.contains(&key.fence) {
            return Reply::Done;
        }
        let holds = |run: &Open| matches!(run.phase, Phase::Claimed | Phase::Running) && run.is_held_by(&key.token);
        let Some(index) = self.newest(key).filter(|index| holds(&self.record.open[*index])) else {
            return self.fence_off(key, "settle", Some(ended.clone()));
        };
        remember(&mut self.record.settled, key.fence, REMEMBERED);
        match next.filter(|_| !self.record.open[index].cancel) {
            Some((attempt, pause)) => self.wait_for(index, ended, Next { attempt, at: self.now.plus(pause) }),
            None => self.close(index, ended.clone()),
        }
        Reply::Done
    }

    fn wait_for(&mut self, index: usize, ended: &Ended, next: Next) {
        let run = &mut self.record.open[index];
        let (run_id, attempt, fence) = (run.run_id, run.attempt, run.fence);
        run.phase = Phase::Waiting;
        run.attempt = next.attempt;
        run.until = next.at;
        self.free_mutex(run_id);
        self.tell(What::Ended { run_id, attempt, fence, ended: ended.clone(), next: Some(next) });
    }

    fn release(&mut self, key: &Key) -> Reply {
        let Some(index) = self.newest(key) else { return Reply::Fenced };
        let run = &mut self.record.open[index];
        match run.phase {
            Phase::Claimed if run.is_held_by(&key.token) => {
                run.phase = Phase::Waiting;
                run.until = self.now;
                self.free_mutex(key.run_id);
                self.tell(What::Released { run_id: key.run_id, fence: key.fence });
                Reply::Done
            }
            Phase::Waiting if run.is_held_by(&key.token) => Reply::Done,
            _ => Reply::Fenced,
        }
    }

    /// Refuses a holder whose time is over, and keeps on record what he tried.
    fn fence_off(&mut self, key: &Key, tried: &str, ended: Option<Ended>) -> Reply {
        self.tell(What::Fenced { run_id: key.run_id, fence: key.fence, tried: tried.to_owned(), ended });
        Reply::Fenced
    }

    // ---- ending --------------------------------------------------------------------------------

    fn reap(&mut self, run_id: RunId, fence: Fence) -> Reply {
        let Some(index) = self.record.open.iter().position(|run| run.run_id == run_id && run.fence == fence) else {
            return Reply::Moved;
        };
        let run = &self.record.open[index];
        if run.until > self.now {
            return Reply::Busy(Box::new(run.clone()));
        }
        let ended = match run.phase {
            _ if run.cancel => Ended::because(Outcome::Cancelled, "cancelled while its holder was gone"),
            Phase::Running => Ended::because(Outcome::Lost, "its holder did not renew the lease"),
            _ => Ended::because(Outcome::Expired, "nobody started it in time"),
        };
        self.close(index, ended);
        Reply::Done
    }

    fn close(&mut self, index: usize, ended: Ended) {
        let run = self.record.open.remove(index);
        if ended.outcome == Outcome::Succeeded {
            self.record.last_success = self.record.last_success.max(Some(run.scheduled_at));
        }
        self.free_mutex(run.run_id);
        self.tell(What::Ended { run_id: run.run_id, attempt: run.attempt, fence: run.fence, ended, next: None });
    }

    fn cancel(&mut self, run_id: RunId, by: &str) -> Reply {
        let Some(index) = self.record.open.iter().position(|run| run.run_id == run_id) else {
            return Reply::NotFound;
        };
        let run = &mut self.record.open[index];
        if run.phase == Phase::Waiting {
            self.close(index, Ended::because(Outcome::Cancelled, format!("cancelled by {by} while it waited")));
        } else if !run.cancel {
            run.cancel = true;
            self.tell(What::CancelAsked { run_id, by: by.to_owned() });
        }
        Reply::Done
    }

    // ---- steering ------------------------------------------------------------------------------

    fn trigger(
        &mut self,
        run_id: RunId,
        at: Option<Timestamp>,
        trigger: &Trigger,
        args: &BTreeMap<String, String>,
        overlap: Overlap,
    ) -> Reply {
        if self.record.asked.contains(&run_id) {
            return Reply::Done;
        }
        if let Some(pause) = self.record.pause.as_ref().filter(|pause| pause.covers(self.now)) {
            return Reply::Paused(pause.clone());
        }
        let queued = self.record.open.iter().filter(|run| run.is_queued()).count();
        if let Some(first) = self.record.open.first() {
            let busy = Reply::Busy(Box::new(first.clone()));
            match overlap {
                Overlap::Skip => return busy,
                Overlap::QueueOne if queued > 0 => return busy,
                Overlap::QueueAll | Overlap::Allow if queued >= Overlap::QUEUE_LIMIT => return Reply::Full,
                Overlap::Replace => {
                    let open: Vec<RunId> = self.record.open.iter().map(|run| run.run_id).collect();
                    for other in open {
                        self.cancel(other, "a newer request");
                    }
                }
                _ => {}
            }
        }
        remember(&mut self.record.asked, run_id, REMEMBERED);
        let run = waiting(run_id, at.unwrap_or(self.now), self.now);
        self.enqueue(Open { trigger: trigger.clone(), args: args.clone(), ..run });
        Reply::Done
    }

    fn pause(&mut self, until: Option<Timestamp>, reason: &Option<String>, by: &Option<String>) -> Reply {
        // Pausing a paused job changes its end and reason, not its beginning.
        let since = self.record.pause.as_ref().filter(|pause| pause.covers(self.now)).map_or(self.now, |p| p.since);
        let pause = Pause { since, until, reason: reason.clone(), by: by.clone() };
        if self.record.pause.as_ref() != Some(&pause) {
            self.record.pause = Some(pause);
            self.tell(What::Paused { until, reason: reason.clone(), by: by.clone() });
        }
        Reply::Done
    }

    fn resume(&mut self, catch_up: bool, by: &Option<String>) -> Reply {
        let Some(pause) = self.record.pause.as_mut().filter(|pause| pause.covers(self.now)) else {
            return Reply::Done;
        };
        pause.until = Some(self.now);
        if catch_up {
            self.record.pause = None;
        }
        self.tell(What::Resumed { catch_up, by: by.clone() });
        Reply::Done
    }

    // ---- the mutex -----------------------------------------------------------------------------

    fn hold_mutex(&mut self, run: &Open) {
        if run.mutex.is_some() && self.mutex.keeps_out(run.run_id, self.now).is_none() {
            self.mutex.fence = self.mutex.fence.max(run.fence);
            self.mutex.held = Some(Held {
                job: self.job.clone(),
                run_id: run.run_id,
                fence: run.fence,
                holder: run.holder.clone(),
                until: run.until,
            });
        }
    }

    fn free_mutex(&mut self, run_id: RunId) {
        if self.mutex.held.as_ref().is_some_and(|held| held.run_id == run_id) {
            self.mutex.held = None;
        }
    }
}

/// Whether other runs of the job forbid this one.
fn refuse_company(bid: &Bid, in_the_way: Option<&Open>, company: usize) -> Option<Reply> {
    let in_the_way = in_the_way?;
    let may = bid.overlap == Overlap::Allow && company < Overlap::ALLOW_LIMIT;
    (!may).then(|| Reply::Busy(Box::new(in_the_way.clone())))
}

/// A run that nobody has claimed yet.
fn waiting(run_id: RunId, scheduled_at: Timestamp, now: Timestamp) -> Open {
    Open {
        run_id,
        scheduled_at,
        trigger: Trigger::Schedule,
        args: BTreeMap::new(),
        opened: now,
        phase: Phase::Waiting,
        attempt: 1,
        fence: Fence(0),
        token: None,
        holder: String::new(),
        until: now,
        cancel: false,
        mutex: None,
    }
}

fn remember<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(item);
}

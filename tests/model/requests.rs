//! Claim, offer, send, start, run, settle: every order in which replicas, a careless queue and workers can do it. What
//! the store grants is the real `record::apply`, what a replica wants is the real `plan::next`. The queue loses, copies
//! and delivers again.

use std::hash::{Hash, Hasher};

use cronclave::clock::Timestamp;
use cronclave::job::{Action as Doing, Command, Job, Overlap, QueueName, Task};
use cronclave::lease::{Ended, Fence, RunId, Token};
use cronclave::plan::{self, Step, View};
use cronclave::record::{self, Bid, Key, Mutex, Op, Phase, Record, Reply, Target};
use stateright::{Model, Property};

use crate::jobs::{every, secs};

/// A rule taken out of the protocol, to show that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    /// A worker runs what it is sent without asking the store.
    Asking,
    /// Nobody sends again what was not begun in time.
    Repeating,
}

/// The scope of one exploration.
#[derive(Clone)]
pub(crate) struct Requests {
    pub(crate) job: Job,
    pub(crate) replicas: usize,
    pub(crate) workers: usize,
    /// The last second.
    pub(crate) end: u64,
    /// How often a replica or a worker dies, a message is lost, and one comes once more.
    pub(crate) crashes: u8,
    pub(crate) losses: u8,
    pub(crate) copies: u8,
    pub(crate) without: Without,
}

/// How long a claim, an offer, a request in the queue and a lease last.
const TTL: u64 = 2;

impl Requests {
    /// Two replicas, two workers, two occurrences.
    pub(crate) fn small() -> Requests {
        let task = Task::Queue(QueueName::default(), Doing::Command(Command::default()));
        let job = every("backup", 2).with(|job| {
            job.task = task;
            job.overlap = Overlap::QueueAll;
            job.lease = secs(TTL);
        });
        let (replicas, workers, end) = (2, 2, 5);
        Requests { job, replicas, workers, end, crashes: 1, losses: 1, copies: 1, without: Without::Nothing }
    }
}

/// What a message says, or a claim.
type Work = (RunId, Fence);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    Idle,
    Claimed(Work),
    /// Workers may start it, and it may have been sent already.
    Offered(Work),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Worker {
    Idle,
    /// And how often anybody has died before: each life has tokens of its own.
    Got(Work, u8),
    /// The start is committed.
    Starting(Work, u8),
    Running(Work, u8),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    now: u64,
    record: Record,
    senders: Vec<Sender>,
    workers: Vec<Worker>,
    /// In no order: a queue may be late with any of them.
    queue: Vec<Work>,
    /// Executions, by occurrence.
    ran: Vec<u8>,
    crashes: u8,
    losses: u8,
    copies: u8,
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, into: &mut H) {
        (self.now, &self.senders, &self.workers, &self.queue, &self.ran).hash(into);
        (self.crashes, self.losses, self.copies, self.record.cursor, self.record.fence).hash(into);
        self.record.settled.hash(into);
        for run in &self.record.open {
            (run.run_id, run.phase, run.fence, &run.token, run.opened, run.until).hash(into);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Tick,
    /// A replica does what the plan says.
    Follow(usize),
    Offer(usize),
    /// It sends; the message may get lost, and so may its confirmation.
    Send(usize, bool, bool),
    Lose(usize),
    Copy(usize),
    /// A worker takes a message, starts the run if the store lets it, runs it, says how it ended.
    Take(usize, usize),
    Start(usize),
    Run(usize),
    Settle(usize),
    KillSender(usize),
    /// What it had not acknowledged comes again.
    KillWorker(usize),
}

fn at(second: u64) -> Timestamp {
    Timestamp::EPOCH.plus(secs(second))
}

fn key(work: Work, token: String) -> Key {
    Key { run_id: work.0, fence: work.1, token: Token(token) }
}

impl Requests {
    fn occurrences(&self) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.job.schedule.after(Timestamp::EPOCH), |last| self.job.schedule.after(*last))
            .take_while(|due| *due <= at(self.end))
    }

    /// What a replica asks for now.
    fn wants(&self, state: &State, who: usize) -> Option<Op> {
        let view = View { now: at(state.now), record: state.record.clone(), mutex: Mutex::default() };
        let target = match plan::next(&self.job, &view) {
            Step::Claim(target) => target,
            Step::Decide { expect, passes, due } => return Some(Op::Decide { expect, passes, due }),
            Step::Reap { run_id, fence, phase } => return Some(Op::Reap { run_id, fence, phase }),
            _ => return None,
        };
        let begun = |run_id| state.record.run(run_id).is_some_and(|run| !run.is_queued());
        if self.without == Without::Repeating && matches!(target, Target::Open { run_id, .. } if begun(run_id)) {
            return None;
        }
        Some(Op::Claim(Bid {
            target,
            token: Token(format!("r{who}-{}", state.record.fence)),
            holder: String::new(),
            ttl: secs(TTL),
            overlap: self.job.overlap,
            delivery: self.job.delivery,
            mutex: None,
            start: None,
        }))
    }

    fn apply(&self, state: &mut State, op: &Op) -> Reply {
        let mut mutex = Mutex::default();
        let seen = record::State { job: &self.job.name, record: &mut state.record, mutex: &mut mutex };
        record::apply(seen, op, at(state.now)).0
    }

    /// Whose token a claim has: that of the replica that won it.
    fn proof(state: &State, work: Work) -> Key {
        let token = state.record.run(work.0).and_then(|run| run.token.clone());
        Key { run_id: work.0, fence: work.1, token: token.unwrap_or(Token(String::new())) }
    }

    fn send(&self, state: &mut State, who: usize, lost: bool, confirmed: bool) -> Option<()> {
        let Sender::Offered(work) = state.senders[who] else { return None };
        state.losses += u8::from(lost) + u8::from(!confirmed);
        if !lost {
            state.queue.push(work);
            state.queue.sort_unstable();
        }
        if confirmed && !lost {
            let op = Op::Published { key: Self::proof(state, work), ttl: secs(TTL) };
            self.apply(state, &op);
            state.senders[who] = Sender::Idle;
        }
        Some(())
    }

    fn start(&self, state: &mut State, who: usize) -> Option<()> {
        let Worker::Got(work, life) = state.workers[who] else { return None };
        let op = Op::Start { key: key(work, format!("w{who}-{life}")), holder: String::new(), ttl: self.job.lease };
        let kept = matches!(self.apply(state, &op), Reply::Kept { .. });
        let may = kept || self.without == Without::Asking;
        state.workers[who] = if may { Worker::Starting(work, life) } else { Worker::Idle };
        Some(())
    }
}

impl Model for Requests {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            now: 0,
            record: Record::default(),
            senders: vec![Sender::Idle; self.replicas],
            workers: vec![Worker::Idle; self.workers],
            queue: Vec::new(),
            ran: vec![0; self.occurrences().count()],
            crashes: 0,
            losses: 0,
            copies: 0,
        };
        self.apply(&mut state, &Op::Register { spec: self.job.spec() });
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.end {
            actions.push(Action::Tick);
        }
        for (who, sender) in state.senders.iter().enumerate() {
            match sender {
                Sender::Idle if self.wants(state, who).is_some() => actions.push(Action::Follow(who)),
                Sender::Idle => {}
                Sender::Claimed(_) => actions.push(Action::Offer(who)),
                Sender::Offered(_) => {
                    actions.push(Action::Send(who, false, true));
                    if state.losses < self.losses {
                        actions.extend([Action::Send(who, true, true), Action::Send(who, false, false)]);
                    }
                }
            }
            if *sender != Sender::Idle && state.crashes < self.crashes {
                actions.push(Action::KillSender(who));
            }
        }
        for which in 0..state.queue.len() {
            if state.losses < self.losses {
                actions.push(Action::Lose(which));
            }
            if state.copies < self.copies {
                actions.push(Action::Copy(which));
            }
        }
        for (who, worker) in state.workers.iter().enumerate() {
            match worker {
                Worker::Idle => actions.extend((0..state.queue.len()).map(|which| Action::Take(who, which))),
                Worker::Got(..) => actions.push(Action::Start(who)),
                Worker::Starting(..) => actions.push(Action::Run(who)),
                Worker::Running(..) => actions.push(Action::Settle(who)),
            }
            if *worker != Worker::Idle && state.crashes < self.crashes {
                actions.push(Action::KillWorker(who));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => state.now += 1,
            Action::Follow(who) => {
                let op = self.wants(&state, who)?;
                if let Reply::Won(run) = self.apply(&mut state, &op) {
                    state.senders[who] = Sender::Claimed((run.run_id, run.fence));
                }
            }
            Action::Offer(who) => {
                let Sender::Claimed(work) = state.senders[who] else { return None };
                // It was claimed by another meanwhile, or is offered.
                let held = state.record.run(work.0).is_some_and(|run| run.fence == work.1);
                let op = Op::Published { key: Self::proof(&state, work), ttl: secs(TTL) };
                let done = held && self.apply(&mut state, &op) == Reply::Done;
                state.senders[who] = if done { Sender::Offered(work) } else { Sender::Idle };
            }
            Action::Send(who, lost, confirmed) => self.send(&mut state, who, lost, confirmed)?,
            Action::Lose(which) => {
                state.losses += 1;
                state.queue.remove(which);
            }
            Action::Copy(which) => {
                state.copies += 1;
                state.queue.insert(which, state.queue[which]);
            }
            Action::Take(who, which) => {
                state.workers[who] = Worker::Got(state.queue.remove(which), state.crashes);
            }
            Action::Start(who) => self.start(&mut state, who)?,
            Action::Run(who) => {
                let Worker::Starting(work, life) = state.workers[who] else { return None };
                let name = &self.job.name;
                state.ran[self.occurrences().position(|due| RunId::of_occurrence(name, due) == work.0)?] += 1;
                state.workers[who] = Worker::Running(work, life);
            }
            Action::Settle(who) => {
                let Worker::Running(work, life) = state.workers[who] else { return None };
                let key = key(work, format!("w{who}-{life}"));
                self.apply(&mut state, &Op::Settle { key, ended: Ended::succeeded(), next: None });
                state.workers[who] = Worker::Idle;
            }
            Action::KillSender(who) => {
                state.crashes += 1;
                state.senders[who] = Sender::Idle;
            }
            Action::KillWorker(who) => {
                state.crashes += 1;
                let held = std::mem::replace(&mut state.workers[who], Worker::Idle);
                if let Worker::Got(work, _) | Worker::Starting(work, _) | Worker::Running(work, _) = held {
                    state.queue.push(work);
                    state.queue.sort_unstable();
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no run starts twice", |_: &Requests, state: &State| {
                state.ran.iter().all(|times| *times <= 1)
            }),
            Property::always("one worker holds the newest fence", |_: &Requests, state: &State| {
                let newest = |worker: &&Worker| match worker {
                    Worker::Starting(work, _) | Worker::Running(work, _) => work.1 == state.record.fence,
                    Worker::Idle | Worker::Got(..) => false,
                };
                state.workers.iter().filter(newest).count() <= 1
            }),
            Property::always("nothing is overlooked", |model: &Requests, state: &State| {
                let idle = state.senders.iter().all(|sender| *sender == Sender::Idle)
                    && state.workers.iter().all(|worker| *worker == Worker::Idle)
                    && state.queue.is_empty();
                if !idle || state.now < model.end || model.wants(state, 0).is_some() {
                    return true;
                }
                // Whatever is still open waits for a time that has not come yet.
                let open = &state.record.open;
                open.iter().all(|run| run.until > at(state.now) || run.phase == Phase::Waiting && !open.is_empty())
                    && (!open.is_empty() || state.record.cursor >= model.occurrences().last())
            }),
            Property::sometimes("every occurrence can run", |_: &Requests, state: &State| {
                state.ran.iter().all(|times| *times == 1)
            }),
        ]
    }
}

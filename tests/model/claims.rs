//! Claim, start, run, settle: every order in which a few replicas can do it, each at its own pace,
//! with crashes and lost replies. What the store grants is the real `record::apply`, what a
//! replica wants is the real `plan::next`; modelled are only the replicas' hands.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::job::{Delivery, Job, Overlap};
use cronclave::lease::{Ended, Fence, RunId, Token};
use cronclave::ledger::{Event, What};
use cronclave::plan::{self, Step, View};
use cronclave::record::{self, Bid, Key, Mutex, Op, Phase, Record, Reply, Target};
use stateright::{Model, Property};

use crate::jobs::{every, secs};

/// A rule taken out of the protocol, to show that it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    /// The store knows who holds the lock, not which occurrences were decided.
    Memory,
    /// Who won the claim runs the code without asking again.
    StartCommit,
    /// A claim whose reply was lost is asked for under a new token.
    OneTokenPerBid,
    /// Nobody looks after runs whose lease has ended.
    Recovery,
    /// A server that is promoted grants at once, while it is given back what it lost.
    Gate,
    /// Nobody gives back what a server lost.
    Teaching,
}

/// The scope of one exploration.
#[derive(Clone)]
pub(crate) struct Claims {
    pub(crate) job: Job,
    pub(crate) replicas: usize,
    /// The last moment; occurrences are as many as the job has until then.
    pub(crate) end: u64,
    /// From one moment to the next. If it is not longer than `Bid::AHEAD`, replicas race ahead of the instant.
    pub(crate) tick: Duration,
    pub(crate) crashes: u8,
    pub(crate) lost_replies: u8,
    /// How often the server dies, and another takes its place that has not heard of everything.
    pub(crate) failovers: u8,
    /// The code runs only after the other server has the start as well.
    pub(crate) durable: bool,
    pub(crate) without: Without,
}

impl Claims {
    /// Two replicas, two occurrences, one crash, one lost reply.
    pub(crate) fn small() -> Claims {
        let job = every("backup", 2).with(|job| {
            job.overlap = Overlap::QueueAll;
            job.lease = secs(2);
        });
        Claims {
            job,
            replicas: 2,
            end: 5,
            tick: secs(1),
            crashes: 1,
            lost_replies: 1,
            failovers: 0,
            durable: false,
            without: Without::Nothing,
        }
    }
}

const CLAIM_TTL: u64 = 1;

/// A request that a replica made, compared by what it is for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked(Arc<Op>);

impl Eq for Asked {}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, into: &mut H) {
        match &*self.0 {
            Op::Claim(Bid { target: Target::Next { expect, at, .. }, token, .. }) => (0, expect, at, token).hash(into),
            Op::Claim(Bid { target: Target::Open { run_id, fence }, token, .. }) => {
                (1, run_id, fence, token).hash(into)
            }
            Op::Decide { expect, due, .. } => (2, expect, due).hash(into),
            Op::Reap { run_id, fence, phase } => (3, run_id, fence, phase).hash(into),
            Op::Cancel { run_id, .. } => (4, run_id).hash(into),
            other => unreachable!("no replica of the model asks for {other:?}"),
        }
    }
}

/// Proof of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Proof {
    run_id: RunId,
    fence: Fence,
    token: Token,
}

impl Proof {
    fn key(&self) -> Key {
        Key { run_id: self.run_id, fence: self.fence, token: self.token.clone() }
    }
}

/// How far a replica is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Hand {
    Idle,
    /// It has looked and decided; the request may have been carried out already.
    Asking(Asked),
    /// It has won; the start may have been committed already.
    Claimed(Proof),
    /// The start is committed; the code runs from the next moment on.
    Starting(Proof),
    /// The code runs, or has ended and its outcome is not yet taken.
    Running(Proof),
}

/// What a server holds, and whoever asks it learns: the record and what the history made of it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Data {
    /// Grows with each change.
    revision: u64,
    record: Record,
    /// Entries per occurrence.
    entries: Vec<u8>,
    last_start: Fence,
    lost_runs: u8,
}

impl Hash for Data {
    fn hash<H: Hasher>(&self, into: &mut H) {
        (self.revision, &self.entries, self.last_start, self.lost_runs).hash(into);
        (self.record.cursor, self.record.fence).hash(into);
        self.record.settled.hash(into);
        for run in &self.record.open {
            (run.run_id, run.phase, run.attempt, run.fence, &run.token, run.cancel).hash(into);
            (run.opened, run.until).hash(into);
        }
    }
}

impl Data {
    /// Becomes what is known elsewhere, if that is newer.
    fn learn(&mut self, known: &Data) {
        if known.revision > self.revision {
            self.clone_from(known);
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    now: u64,
    data: Data,
    /// The same as the other server has it.
    standby: Data,
    /// What each replica was answered last.
    known: Vec<Data>,
    /// Nothing is granted until each of these has given back what it knows.
    untaught: Vec<usize>,
    failovers: u8,
    changes: u64,
    hands: Vec<Hand>,
    /// Executions per occurrence.
    ran: Vec<u8>,
    crashes: u8,
    lost_replies: u8,
    /// Somebody forgot what he had asked for.
    forgot: bool,
    /// The first rule that an event broke.
    broken: Option<&'static str>,
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, into: &mut H) {
        (self.now, &self.hands, &self.ran, &self.data, &self.standby, &self.known).hash(into);
        (&self.untaught, self.failovers, self.changes).hash(into);
        (self.crashes, self.lost_replies, self.forgot, self.broken).hash(into);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A second passes.
    Tick,
    /// A replica looks at the job and decides what to ask for.
    Look(usize),
    /// It asks; the reply may get lost.
    Ask(usize, bool),
    /// It stops asking: by its own clock the claim would be over by now.
    GiveUp(usize),
    /// It commits the start; the reply may get lost.
    Start(usize, bool),
    /// The code begins to run.
    Run(usize),
    /// The code has ended; the outcome is reported.
    Settle(usize, bool),
    Crash(usize),
    /// The other server has heard of everything up to now.
    Replicate,
    /// The other server takes the place of the first.
    FailOver,
    /// A replica gives back what it knows.
    Teach(usize),
}

impl Claims {
    fn at(&self, moment: u64) -> Timestamp {
        Timestamp::EPOCH.plus(self.tick * u32::try_from(moment).unwrap())
    }

    fn view(&self, state: &State) -> View {
        View { now: self.at(state.now), record: state.data.record.clone(), mutex: Mutex::default() }
    }

    fn occurrences(&self) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.job.schedule.after(Timestamp::EPOCH), |last| self.job.schedule.after(*last))
            .take_while(|due| *due <= self.at(self.end))
    }

    /// What a replica that looks now asks for.
    fn wants(&self, state: &State, token: impl FnOnce() -> Token) -> Option<Op> {
        Some(match plan::next(&self.job, &self.view(state)) {
            Step::Claim(Target::Open { run_id, .. })
                if self.without == Without::Recovery && !state.data.record.run(run_id)?.is_queued() =>
            {
                return None;
            }
            Step::Reap { .. } if self.without == Without::Recovery => return None,
            Step::Claim(target) => Op::Claim(self.bid(target, token())),
            Step::Decide { expect, passes, due } => Op::Decide { expect, passes, due },
            Step::Reap { run_id, fence, phase } => Op::Reap { run_id, fence, phase },
            Step::Cancel(run_id) => Op::Cancel { run_id, by: String::new() },
            Step::Wait(_) | Step::Race(_) | Step::Finished => return None,
            other => unreachable!("the plan says {other:?}"),
        })
    }

    fn bid(&self, target: Target, token: Token) -> Bid {
        Bid {
            target,
            token,
            holder: String::new(),
            ttl: secs(CLAIM_TTL),
            overlap: self.job.overlap,
            delivery: self.job.delivery,
            mutex: None,
            start: None,
        }
    }

    fn apply(&self, state: &mut State, op: &Op) -> Reply {
        if let (Without::Memory, Op::Claim(Bid { target: Target::Next { expect, .. }, .. })) = (self.without, op) {
            state.data.record.cursor = Some(*expect);
        }
        let cursor = state.data.record.cursor;
        let known: Vec<RunId> = state.data.record.open.iter().map(|run| run.run_id).collect();
        let mut mutex = Mutex::default();
        let seen = record::State { job: &self.job.name, record: &mut state.data.record, mutex: &mut mutex };
        let (reply, events) = record::apply(seen, op, self.at(state.now));
        // Where nothing can be lost, counting only makes more states.
        if self.failovers > 0 && !events.is_empty() {
            state.changes += 1;
            // By the time it is: what comes later is newer than all that was lost.
            state.data.revision = state.changes;
        }
        if state.data.record.cursor < cursor {
            state.broken.get_or_insert("the cursor never moves back");
        }
        if self.job.overlap == Overlap::Allow {
            // Runs side by side start in any order.
            state.data.last_start = Fence(0);
        }
        for event in &events {
            state.note(event, &known, self.occurrences());
        }
        reply
    }
}

impl State {
    /// Whoever is answered knows what there is then.
    fn learn(&mut self, who: usize, model: &Claims) {
        if model.failovers > 0 {
            self.known[who] = self.data.clone();
        }
    }

    /// A token that nothing remembers. Not just any, so that there are no more states than need be.
    fn fresh_token(&self, of: usize) -> Token {
        let used = |token: &Token| {
            self.data.record.open.iter().any(|run| run.token.as_ref() == Some(token))
                || self.hands.iter().any(|hand| hand.token() == Some(token))
        };
        let mut tokens = (0..).map(|number| Token(format!("{of}-{number}")));
        tokens.find(|token| !used(token)).expect("numbers do not end")
    }

    /// Takes down what an event says; `known` are the runs that were open before it.
    fn note(&mut self, event: &Event, known: &[RunId], mut occurrences: impl Iterator<Item = Timestamp>) {
        match &event.what {
            What::Passed(pass) => {
                let passed = (pass.from, pass.through);
                for (entries, due) in self.data.entries.iter_mut().zip(occurrences) {
                    *entries += u8::from(passed.0 <= due && due <= passed.1);
                }
            }
            What::Queued { scheduled_at, .. } | What::Claimed { scheduled_at, .. } => {
                // Won it may be a little earlier; its start is dated at the instant, before which no code begins.
                let ahead = if matches!(event.what, What::Claimed { .. }) { Bid::AHEAD } else { Duration::ZERO };
                if *scheduled_at > event.at.plus(ahead) {
                    self.broken.get_or_insert("nothing happens before it is due");
                }
                let fresh = match &event.what {
                    What::Claimed { run_id, .. } => !known.contains(run_id),
                    _ => true,
                };
                let index = occurrences.position(|due| due == *scheduled_at);
                if let (true, Some(index)) = (fresh, index) {
                    self.data.entries[index] += 1;
                }
            }
            What::Started { fence, .. } => {
                if *fence <= self.data.last_start {
                    self.broken.get_or_insert("fences of starts grow");
                }
                self.data.last_start = *fence;
            }
            What::Ended { ended, .. } => self.data.lost_runs += u8::from(*ended != Ended::succeeded()),
            _ => {}
        }
    }
}

impl Hand {
    fn proof(&self) -> Option<&Proof> {
        match self {
            Hand::Claimed(proof) | Hand::Starting(proof) | Hand::Running(proof) => Some(proof),
            Hand::Idle | Hand::Asking(_) => None,
        }
    }

    fn token(&self) -> Option<&Token> {
        match self {
            Hand::Asking(asked) => match &*asked.0 {
                Op::Claim(bid) => Some(&bid.token),
                _ => None,
            },
            other => other.proof().map(|proof| &proof.token),
        }
    }
}

impl Model for Claims {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let occurrences = self.occurrences().count();
        let mut state = State {
            now: 0,
            data: Data { entries: vec![0; occurrences], ..Data::default() },
            standby: Data::default(),
            known: vec![Data::default(); self.replicas],
            untaught: Vec::new(),
            failovers: 0,
            changes: 0,
            hands: vec![Hand::Idle; self.replicas],
            ran: vec![0; occurrences],
            crashes: 0,
            lost_replies: 0,
            forgot: false,
            broken: None,
        };
        self.apply(&mut state, &Op::Register { spec: self.job.spec() });
        if self.failovers > 0 {
            state.standby = state.data.clone();
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.now < self.end {
            actions.push(Action::Tick);
        }
        if state.failovers < self.failovers {
            if state.standby != state.data {
                actions.push(Action::Replicate);
            }
            actions.push(Action::FailOver);
        }
        actions.extend(state.untaught.iter().map(|who| Action::Teach(*who)));
        if !state.untaught.is_empty() && self.without != Without::Gate {
            // What runs goes on.
            let starting = |who: &usize| matches!(state.hands[*who], Hand::Starting(_));
            actions.extend((0..state.hands.len()).filter(starting).map(Action::Run));
            return;
        }
        let replies: &[bool] = if state.lost_replies < self.lost_replies { &[false, true] } else { &[false] };
        let something = self.wants(state, || Token(String::new())).is_some();
        for (who, hand) in state.hands.iter().enumerate() {
            match hand {
                Hand::Idle if something => actions.push(Action::Look(who)),
                Hand::Idle => {}
                Hand::Asking(_) => {
                    actions.extend(replies.iter().map(|lost| Action::Ask(who, *lost)));
                    actions.push(Action::GiveUp(who));
                }
                Hand::Claimed(_) if self.without == Without::StartCommit => actions.push(Action::Run(who)),
                Hand::Claimed(_) => actions.extend(replies.iter().map(|lost| Action::Start(who, *lost))),
                Hand::Starting(_) => actions.push(Action::Run(who)),
                Hand::Running(_) => actions.extend(replies.iter().map(|lost| Action::Settle(who, *lost))),
            }
            if *hand != Hand::Idle && state.crashes < self.crashes {
                actions.push(Action::Crash(who));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => state.now += 1,
            Action::Look(who) => {
                let op = self.wants(&state, || before.fresh_token(who))?;
                state.hands[who] = Hand::Asking(Asked(Arc::new(op)));
            }
            Action::Ask(who, lost) => self.ask(&mut state, who, lost)?,
            Action::GiveUp(who) => {
                state.forgot = true;
                state.hands[who] = Hand::Idle;
            }
            Action::Start(who, lost) => {
                let proof = state.hands[who].proof()?.clone();
                let op = Op::Start { key: proof.key(), holder: String::new(), ttl: self.job.lease };
                let reply = self.apply(&mut state, &op);
                state.lost_replies += u8::from(lost);
                if self.durable {
                    state.standby = state.data.clone();
                }
                if !lost {
                    state.learn(who, self);
                    let kept = matches!(reply, Reply::Kept { .. });
                    state.hands[who] = if kept { Hand::Starting(proof) } else { Hand::Idle };
                }
            }
            Action::Run(who) => {
                let proof = state.hands[who].proof()?.clone();
                let job = &self.job.name;
                let which = self.occurrences().position(|due| RunId::of_occurrence(job, due) == proof.run_id)?;
                state.ran[which] += 1;
                state.hands[who] = Hand::Running(proof);
            }
            Action::Settle(who, lost) => {
                let key = state.hands[who].proof()?.key();
                self.apply(&mut state, &Op::Settle { key, ended: Ended::succeeded(), next: None });
                state.lost_replies += u8::from(lost);
                if !lost {
                    state.learn(who, self);
                    state.hands[who] = Hand::Idle;
                }
            }
            Action::Crash(who) => {
                state.crashes += 1;
                state.forgot = true;
                state.hands[who] = Hand::Idle;
                state.known[who] = Data::default();
            }
            Action::Replicate => state.standby = state.data.clone(),
            Action::FailOver => {
                state.failovers += 1;
                state.data = std::mem::take(&mut state.standby);
                if self.without != Without::Teaching {
                    state.untaught = (0..self.replicas).collect();
                }
            }
            Action::Teach(who) => {
                state.untaught.retain(|other| *other != who);
                let known = state.known[who].clone();
                state.data.learn(&known);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no run starts more often than it may", |model: &Claims, state: &State| {
                let most = if model.job.delivery == Delivery::AtMostOnce { 1 } else { 1 + state.data.lost_runs };
                state.ran.iter().all(|times| *times <= most)
            }),
            Property::always("one executor holds the newest fence", |_: &Claims, state: &State| {
                let newest = |hand: &&Hand| {
                    let proof = if matches!(hand, Hand::Claimed(_)) { None } else { hand.proof() };
                    proof.is_some_and(|proof| proof.fence == state.data.record.fence)
                };
                state.hands.iter().filter(newest).count() <= 1
            }),
            Property::always("events keep the rules", |_: &Claims, state: &State| state.broken.is_none()),
            Property::always("every occurrence up to the cursor has one entry", |model: &Claims, state: &State| {
                let decided = |due| state.data.record.cursor.is_some_and(|cursor| due <= cursor);
                model.occurrences().zip(&state.data.entries).all(|(due, entries)| *entries == u8::from(decided(due)))
            }),
            Property::always("a claim is known to somebody who lives", |model: &Claims, state: &State| {
                let held = |run: &&record::Open| run.phase == Phase::Claimed && run.until > model.at(state.now);
                let known = |run: &record::Open| state.hands.iter().any(|hand| hand.token() == run.token.as_ref());
                let given_back = state.untaught.is_empty();
                state.forgot || !given_back || state.data.record.open.iter().filter(held).all(known)
            }),
            Property::always("nothing is overlooked", |model: &Claims, state: &State| {
                let idle = state.hands.iter().all(|hand| *hand == Hand::Idle);
                if !idle || state.now < model.end || model.wants(state, || Token(String::new())).is_some() {
                    return true;
                }
                // Whatever is still open waits for a lease that has not ended yet.
                let open = &state.data.record.open;
                let held = open.iter().any(|run| run.until > model.at(state.now));
                held || open.is_empty() && state.data.entries.iter().all(|entries| *entries > 0)
            }),
            Property::sometimes("every occurrence can run", |_: &Claims, state: &State| {
                state.ran.iter().all(|times| *times > 0)
            }),
            Property::sometimes("a run can be lost", |_: &Claims, state: &State| state.data.lost_runs > 0),
            Property::sometimes("a pause can outlast a lease", |_: &Claims, state: &State| {
                state.hands.iter().filter(|hand| matches!(hand, Hand::Running(_))).count() > 1
            }),
        ]
    }
}

impl Claims {
    fn ask(&self, state: &mut State, who: usize, lost: bool) -> Option<()> {
        let Hand::Asking(asked) = state.hands[who].clone() else { return None };
        let reply = self.apply(state, &asked.0);
        state.lost_replies += u8::from(lost);
        if !lost {
            state.learn(who, self);
        }
        state.hands[who] = match (reply, &*asked.0) {
            (_, Op::Claim(bid)) if lost && self.without == Without::OneTokenPerBid => {
                let bid = Bid { token: state.fresh_token(who), ..bid.clone() };
                Hand::Asking(Asked(Arc::new(Op::Claim(bid))))
            }
            _ if lost => Hand::Asking(asked),
            (Reply::Won(run), Op::Claim(bid)) => {
                Hand::Claimed(Proof { run_id: run.run_id, fence: run.fence, token: bid.token.clone() })
            }
            _ => Hand::Idle,
        };
        Some(())
    }
}

//! A cluster in a time of its own.

mod code;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Scenario, Stage};
use crate::clock::Timestamp;
use crate::hook::{Known, following};
use crate::job::{Job, JobName};
use crate::lease::{Ended, Fence, Outcome, Token};
use crate::ledger::{Entry, Event, State, What};
use crate::parts::Dice;
use crate::plan::{self, Belief, Step, View};
use crate::record::{self, Bid, Key, Mutex, Op, Record, Reply};
use crate::replica::{self, Jobs};

/// A run that is asked to stop is over after this long.
const HALT: Duration = Duration::from_millis(100);

/// No look at a job takes more steps.
const STEPS: usize = 100_000;

/// What became of an occurrence, or of neighbours that were passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose: a place in the list of jobs.
    pub job: usize,
    /// Its instant, or that of the first.
    pub at: Timestamp,
    /// That of the last.
    pub through: Timestamp,
    /// How many; 0 for a run that another job asked for.
    pub count: u64,
    /// What became of it.
    pub state: State,
    /// When its code first began.
    pub started: Option<Timestamp>,
    /// How often it began.
    pub attempts: u32,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    /// The replicas are told to stop.
    Stop,
    /// Whatever still runs is ended.
    Interrupt,
    /// They are started again.
    Start,
    /// One that died is back.
    Boot(usize),
    /// A run dies, and its replica with it.
    Die(usize, Fence),
    /// A run ends.
    End(usize, Fence),
    /// A job is looked at.
    Look(usize),
    /// A run that really runs has had its time.
    TimeOut(usize, Fence),
}

/// A run that goes on.
struct Going {
    key: Key,
    node: usize,
    ends: Timestamp,
    /// How it ends, unless it is told to end before.
    ended: Ended,
    /// Whether it really runs: nobody knows when it ends.
    plays: bool,
    /// Why what really runs was told to end.
    halted: Option<Outcome>,
    /// Its replica dies when it ends.
    dies: bool,
}

/// A replica.
#[derive(Clone, Default)]
struct Node {
    up: bool,
    running: usize,
}

/// The cluster.
pub struct World {
    scenario: Scenario,
    stage: Option<Box<dyn Stage>>,
    /// Runs that really run now.
    playing: usize,
    jobs: Vec<Arc<Job>>,
    places: HashMap<JobName, usize>,
    known: Jobs,
    has_chains: bool,
    now: Timestamp,
    /// By so much replicas hold the store's clock to be ahead.
    distrust: Duration,
    agenda: BinaryHeap<Reverse<(Timestamp, Wake)>>,
    /// When each job is looked at next, if it is.
    looks: Vec<Option<Timestamp>>,
    records: Vec<Record>,
    mutexes: HashMap<String, Mutex>,
    /// The jobs that need a mutex.
    rivals: HashMap<String, Vec<usize>>,
    nodes: Vec<Node>,
    going: HashMap<(usize, Fence), Going>,
    /// Jobs that found no replica with room.
    starved: VecDeque<usize>,
    position: u64,
    open: HashMap<String, Entry>,
    dice: Dice,
    /// What became of everything, in the order in which it was over.
    pub lines: Vec<Line>,
    /// How many runs went at once at most, and when first.
    pub peak: (usize, Timestamp),
    /// The same in full, where that is kept.
    pub entries: Option<Vec<Entry>>,
    /// When it ended early, if it did: there was too much to write down.
    pub cut: Option<Timestamp>,
}

impl World {
    /// Lives through `scenario` with these jobs.
    pub fn live(jobs: &Jobs, scenario: &Scenario) -> World {
        let mut world = World::begin(jobs, scenario, None);
        world.run(scenario.until);
        world.close();
        world
    }

    /// The first instant of `scenario`; on a `stage`, what became of everything is kept whole.
    pub fn begin(jobs: &Jobs, scenario: &Scenario, stage: Option<Box<dyn Stage>>) -> World {
        let list: Vec<Arc<Job>> = jobs.by_name.values().cloned().collect();
        let mut rivals: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, job) in list.iter().enumerate() {
            job.mutex.iter().for_each(|mutex| rivals.entry(mutex.clone()).or_default().push(at));
        }
        let mut world = World {
            scenario: scenario.clone(),
            entries: stage.is_some().then(Vec::new),
            stage,
            playing: 0,
            places: list.iter().enumerate().map(|(at, job)| (job.name.clone(), at)).collect(),
            known: Jobs { hooks: BTreeMap::new(), ..jobs.clone() },
            has_chains: list.iter().any(|job| job.on.jobs().next().is_some()),
            now: scenario.from,
            distrust: replica::held_ahead(&scenario.skews()),
            agenda: BinaryHeap::new(),
            looks: vec![None; list.len()],
            records: vec![Record::default(); list.len()],
            mutexes: HashMap::new(),
            rivals,
            nodes: vec![Node { up: true, running: 0 }; scenario.replicas],
            going: HashMap::new(),
            starved: VecDeque::new(),
            position: 0,
            open: HashMap::new(),
            dice: Dice::seeded(scenario.seed),
            lines: Vec::new(),
            peak: (0, scenario.from),
            cut: None,
            jobs: list,
        };
        for outage in &scenario.outages {
            world.at(outage.start, Wake::Stop);
            world.at(outage.start.plus(scenario.grace).min(outage.end), Wake::Interrupt);
            world.at(outage.end, Wake::Start);
        }
        world.look_at_all();
        world
    }

    /// The jobs, by whose places lines name them.
    pub fn jobs(&self) -> &[Arc<Job>] {
        &self.jobs
    }

    fn at(&mut self, at: Timestamp, wake: Wake) {
        self.agenda.push(Reverse((at, wake)));
    }

    /// Lives on until then.
    pub fn advance(&mut self, until: Timestamp) {
        self.run(until);
        self.now = self.now.max(until);
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What is not over, in order.
    pub fn open(&self) -> Vec<Entry> {
        let mut open: Vec<Entry> = self.open.values().cloned().collect();
        open.sort_by_key(|entry| (entry.scheduled_at, entry.job.clone()));
        open
    }

    /// Asks `op` of a job's record in somebody's name, as people do.
    pub fn ask(&mut self, job: &JobName, op: &Op) -> Option<Reply> {
        let at = self.places.get(job).copied()?;
        let reply = self.apply(at, op);
        self.look_soon(at, self.now);
        Some(reply)
    }

    fn run(&mut self, until: Timestamp) {
        loop {
            let next = self.agenda.peek().map(|Reverse((at, _))| *at).filter(|at| *at < until);
            // What really runs goes on until something else happens.
            if self.playing > 0
                && let Some(stage) = &mut self.stage
                && let Some((key, at, ended)) = stage.play(next.unwrap_or(until))
            {
                self.now = self.now.max(at);
                self.played(key, ended);
                continue;
            }
            let Some(Reverse((at, wake))) = next.and_then(|_| self.agenda.pop()) else { break };
            if self.lines.len() >= self.scenario.most {
                self.cut = Some(self.now);
                break;
            }
            self.now = self.now.max(at);
            match wake {
                Wake::Stop => self.nodes.iter_mut().for_each(|node| node.up = false),
                Wake::Interrupt => self.interrupt(),
                Wake::Start => {
                    self.nodes.iter_mut().for_each(|node| node.up = true);
                    self.look_at_all();
                }
                Wake::Boot(node) => {
                    // Not in the middle of an outage.
                    let is_out = self.scenario.outages.iter().any(|outage| outage.contains(&self.now));
                    self.nodes[node].up = !is_out;
                    self.look_at_all();
                }
                Wake::Die(job, fence) => self.die(job, fence),
                Wake::End(job, fence) => self.end(job, fence, None),
                Wake::TimeOut(job, fence) => self.time_out(job, fence),
                // One that was put off since is looked at then.
                Wake::Look(job) if self.looks[job] == Some(at) => {
                    self.looks[job] = None;
                    self.look(job);
                }
                Wake::Look(_) => {}
            }
        }
    }

    /// What is not over at the end stands where it stands.
    fn close(&mut self) {
        self.open().iter().for_each(|entry| self.write(entry));
        self.open.clear();
    }

    fn look_at_all(&mut self) {
        for job in 0..self.jobs.len() {
            self.look_soon(job, self.now);
        }
    }

    fn look_soon(&mut self, job: usize, at: Timestamp) {
        if self.looks[job].is_none_or(|known| at < known) {
            self.looks[job] = Some(at);
            self.at(at, Wake::Look(job));
        }
    }

    /// One of the replicas that has room.
    fn any_node(&self) -> Option<usize> {
        let fits = |node: &Node| node.up && node.running < self.scenario.max_parallel;
        let all: Vec<usize> = (0..self.nodes.len()).filter(|node| fits(&self.nodes[*node])).collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "few")]
        let place = (self.dice.roll() * all.len() as f64) as usize;
        all.get(place.min(all.len().saturating_sub(1))).copied()
    }

    /// What a replica does about a job that is due, until there is nothing to do.
    fn look(&mut self, at: usize) {
        if !self.nodes.iter().any(|node| node.up) {
            // Whoever is started looks at all.
            return;
        }
        let job = self.jobs[at].clone();
        for _ in 0..STEPS {
            let op = match self.step(at, &job) {
                Step::Wait(until) | Step::Race(until) => return self.look_soon(at, until.plus(self.distrust)),
                Step::Finished => return,
                Step::Claim(target) => {
                    let Some(node) = self.any_node() else {
                        if self.nodes.iter().any(|node| node.up) {
                            self.starved.push_back(at);
                        }
                        return;
                    };
                    let holder = format!("replica-{}", node + 1);
                    let bid = Bid {
                        target,
                        token: Token::fresh(),
                        holder: holder.clone(),
                        ttl: job.lease,
                        overlap: job.overlap,
                        delivery: job.delivery,
                        mutex: job.mutex.clone(),
                        start: None,
                    };
                    let token = bid.token.clone();
                    if let Reply::Won(open) = self.apply(at, &Op::Claim(bid)) {
                        self.begin_code(at, Key { run_id: open.run_id, fence: open.fence, token }, node, holder);
                    }
                    continue;
                }
                Step::Register => Op::Register { spec: job.spec() },
                Step::Decide { expect, passes, due } => Op::Decide { expect, passes, due },
                Step::Reap { run_id, fence, phase } => Op::Reap { run_id, fence, phase },
                Step::Overdue { expect, due } => Op::Overdue { expect, due },
                Step::Slow { run_id, fence } => Op::Slow { run_id, fence },
                Step::Cancel(run_id) => {
                    self.halt(at, run_id);
                    Op::Cancel { run_id, by: "its next occurrence".into() }
                }
            };
            self.apply(at, &op);
        }
        self.look_soon(at, self.now.plus(Duration::from_secs(1)));
    }

    fn step(&mut self, at: usize, job: &Job) -> Step {
        let mutex = job.mutex.as_ref().and_then(|name| self.mutexes.get(name).cloned()).unwrap_or_default();
        let view = View { now: self.now, record: std::mem::take(&mut self.records[at]), mutex };
        let belief = Belief { now: self.now.minus(self.distrust), decides: true };
        let step = plan::next_believing(job, &view, belief);
        self.records[at] = view.record;
        step
    }

    /// What the store answers.
    fn apply(&mut self, at: usize, op: &Op) -> Reply {
        let name = &self.jobs[at].name;
        let mut record = std::mem::take(&mut self.records[at]);
        let mutex = op.mutex(&record).map(str::to_owned);
        let mut held = mutex.as_ref().and_then(|name| self.mutexes.remove(name)).unwrap_or_default();
        let state = record::State { job: name, record: &mut record, mutex: &mut held };
        let (reply, events) = record::apply(state, op, self.now);
        self.records[at] = record;
        if let Some(mutex) = mutex {
            self.mutexes.insert(mutex, held);
        }
        for event in &events {
            self.note(event);
        }
        reply
    }

    /// Writes down what happened, and sees to what follows.
    fn note(&mut self, event: &Event) {
        self.position += 1;
        if let Some(id) = Entry::id_of(event)
            && let Some(entry) = Entry::fold(self.open.remove(&id), event)
        {
            if entry.state.is_final() {
                self.write(&entry);
            } else {
                self.open.insert(id, entry);
            }
        }
        if self.has_chains && matches!(event.what, What::Ended { .. } | What::Started { .. } | What::Overdue { .. }) {
            let known = Known { jobs: &self.known, registered: &BTreeMap::new(), silent: &BTreeSet::new() };
            let chains = following(&known, self.position, event, None, self.now).chains;
            for (job, op) in chains {
                if let Some(at) = self.places.get(&job).copied() {
                    self.apply(at, &op);
                    self.look_soon(at, self.now);
                }
            }
        }
    }

    fn write(&mut self, entry: &Entry) {
        let Some(job) = self.places.get(&entry.job).copied() else { return };
        if let Some(entries) = &mut self.entries {
            entries.push(entry.clone());
            return;
        }
        let begun = || entry.attempts.iter().filter_map(|attempt| attempt.started_at);
        self.lines.push(Line {
            job,
            at: entry.scheduled_at,
            through: entry.through.unwrap_or(entry.scheduled_at),
            count: entry.count,
            state: entry.state,
            started: begun().min(),
            attempts: u32::try_from(begun().count()).unwrap_or(u32::MAX),
        });
    }

    /// Whoever waited for its mutex, or for room.
    fn let_others_in(&mut self, job: &Job) {
        let rivals = job.mutex.as_ref().and_then(|mutex| self.rivals.get(mutex)).cloned().unwrap_or_default();
        rivals.into_iter().for_each(|rival| self.look_soon(rival, self.now));
        if let Some(starved) = self.starved.pop_front() {
            self.look_soon(starved, self.now);
        }
    }
}

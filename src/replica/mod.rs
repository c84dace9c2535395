//! A replica: wakes jobs when they are due; for each looks, decides, acts.
//!
//! An idle job costs one entry in the agenda. What the agenda says is a hint: the next step is
//! always computed from what the store knows at that moment.

mod agenda;
mod compare;
mod drain;
mod lag;
mod look;
mod own_time;
mod room;
mod tell;
mod trust;
mod upkeep;
mod watchdog;
mod words;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::attempt::Carried;
use crate::handover;
use crate::job::{ByName, Hook, HookName, Job, JobName, Quick};
use crate::lease::Lease;
use crate::parts::Parts;
use crate::plan::{self, Step, View};
use crate::race;
use crate::store::Snapshot;
use agenda::{Agenda, Woken};
use lag::Lag;
use look::Looked;
use room::{Place, Room};
use tell::Glance;
use upkeep::Health;
use watchdog::Watchdog;

pub(crate) use look::nudge;
pub use tell::Pulse;
pub(crate) use trust::held_ahead;
pub use upkeep::Identity;
pub use watchdog::STUCK;

/// The jobs of one version of the schedule files.
#[derive(Debug, Clone, Default)]
pub struct Jobs {
    /// In order of their names.
    pub by_name: ByName<Arc<Job>>,
    /// Who hears of them.
    pub hooks: BTreeMap<HookName, Arc<Hook>>,
    /// Of the files.
    pub digest: String,
}

/// How a replica is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Who it is.
    pub identity: Identity,
    /// Runs side by side at most.
    pub max_parallel: usize,
    /// Between being told to stop and ending what still runs.
    pub grace: Duration,
}

/// Jobs looked at side by side at most: thousands that are due at once take little memory.
const LOOKS: usize = 512;

/// Who has waited so long to be looked at may have been told of meanwhile.
const OUTDATED: Duration = Duration::from_millis(5);

/// Claims on their way to the broker at once at most.
const ON_THEIR_WAY: usize = 1000;

/// Between two plans of everything from scratch: hints may get lost, what they hinted at may not.
const REVIEW: Duration = Duration::from_secs(60);

/// No wait is longer, so that a clock that steps or sleeps is noticed, and that it can be told
/// from outside whether the loop turns.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Runs until `parts.stop`, then drains. Returns when nothing of it is left.
pub async fn run(parts: Parts, setup: Setup, jobs: watch::Receiver<Arc<Jobs>>, pulse: watch::Sender<Pulse>) {
    let health = Arc::new(Health::new(parts.clone(), setup.identity.clone(), jobs.clone(), pulse.subscribe()));
    let left = Arc::new(Notify::new());
    let mut replica = Replica {
        jobs: jobs.borrow().clone(),
        agenda: Agenda::new(health.anchor()),
        looking: Quick::default(),
        again: HashSet::default(),
        queue: VecDeque::new(),
        is_crowd: false,
        room: Room::new(setup.max_parallel, &left),
        way_out: Room::new(ON_THEIR_WAY, &left),
        left,
        loops: JoinSet::new(),
        runs: JoinSet::new(),
        at_once: 0,
        troubles: 0,
        lag: Lag::new(),
        next: Glance::default(),
        watchdog: Watchdog::begin(parts.bus.clone()),
        places: setup.max_parallel,
        pulse,
        health,
        parts,
    };
    replica.live(jobs).await;
    replica.drain(setup.grace).await;
}

struct Replica {
    parts: Parts,
    jobs: Arc<Jobs>,
    agenda: Agenda,
    /// Jobs that a task looks at now, or that are in the queue for one, and since when.
    looking: Quick<JobName, Instant>,
    /// Those of them that changed meanwhile.
    again: HashSet<JobName, foldhash::fast::RandomState>,
    /// Jobs to be looked at, in turn; of the first of them what was known when they came.
    queue: VecDeque<(JobName, Option<Box<View>>)>,
    /// More are to be looked at than are looked at at once.
    is_crowd: bool,
    /// For runs.
    room: Room,
    /// For claims on their way to the broker: one that is away must not keep from running what needs none.
    way_out: Room,
    /// A place was left.
    left: Arc<Notify>,
    loops: JoinSet<(JobName, Looked)>,
    runs: JoinSet<(JobName, Carried)>,
    /// So many jobs woke together the last time that any did.
    at_once: usize,
    /// Looks in a row that the store did not answer.
    troubles: u32,
    lag: Lag,
    next: Glance,
    watchdog: Watchdog,
    /// For runs.
    places: usize,
    pulse: watch::Sender<Pulse>,
    health: Arc<Health>,
}

impl Replica {
    async fn live(&mut self, mut jobs: watch::Receiver<Arc<Jobs>>) {
        let (parts, left) = (self.parts.clone(), self.left.clone());
        let mut upkeep = std::pin::pin!(self.health.clone().keep_up());
        let mut tidying = std::pin::pin!(self.health.clone().tidy_up());
        let mut telling = std::pin::pin!(self.health.clone().tell_of_store());
        // Each is waited for: a hint that nobody took would be lost.
        let (hints, mut hinted) = mpsc::channel(1);
        let mut listening = std::pin::pin!(upkeep::listen(parts.clone(), hints));
        let mut sight = std::pin::pin!(self.health.clone().see_all(Duration::ZERO));
        let (mut listens, mut ready) = (false, false);
        loop {
            let nap = self.agenda.until_next().min(LONGEST_WAIT);
            tokio::select! {
                biased;
                () = parts.stop.soft() => return,
                // Only once it is listened for changes: none may fall between.
                snapshot = &mut sight, if listens => {
                    self.plan_all(&snapshot);
                    ready = true;
                    sight.set(self.health.clone().see_all(REVIEW));
                }
                Some(done) = self.loops.join_next() => {
                    let mut next = Some(done);
                    while let Some(done) = next {
                        if let Ok((job, looked)) = done {
                            self.looked(job, looked);
                        }
                        next = self.loops.try_join_next();
                    }
                }
                // Before those that are done: a store tells of their ends before it answers.
                Some(changed) = hinted.recv() => {
                    listens = true;
                    changed.iter().for_each(|job| self.rouse_all_about(job));
                },
                Some(done) = self.runs.join_next() => {
                    let mut next = Some(done);
                    while let Some(done) = next {
                        if let Ok((job, carried)) = done {
                            self.carried(&job, carried);
                        }
                        next = self.runs.try_join_next();
                    }
                }
                () = left.notified() => self.fill_room(),
                Ok(()) = jobs.changed() => {
                    let jobs = jobs.borrow_and_update().clone();
                    self.take_over(jobs);
                }
                // Before anything else is decided by what was believed.
                () = self.health.shaken() => sight.set(self.health.clone().see_all(Duration::ZERO)),
                () = &mut upkeep => {}
                () = &mut tidying => {}
                () = &mut listening => {}
                () = &mut telling => {}
                () = sleep(nap) => {}
            }
            if ready {
                self.watch_lag();
                let due = self.agenda.due();
                if !due.is_empty() {
                    self.at_once = due.len();
                }
                due.iter().for_each(|woken| self.wake(woken));
                self.look_on();
            }
            self.tell();
        }
    }

    /// Plans all jobs from one reading of the store.
    fn plan_all(&mut self, snapshot: &Snapshot) {
        self.health.saw(snapshot.now);
        for job in self.jobs.clone().by_name.values() {
            if self.looking.contains_key(&job.name) {
                continue;
            }
            let belief = self.health.belief(job, snapshot.now);
            match plan::next_believing(job, &snapshot.view(&job.name, job.mutex.as_deref()), belief) {
                // The snapshot may be older than the last look: it can only bring a look forward.
                Step::Wait(at) => self.agenda.bring_forward(&job.name, at, false),
                Step::Race(due) => {
                    self.agenda.bring_forward(&job.name, race::ahead_of(due, &self.parts.dice), true);
                }
                Step::Finished => {}
                _ => self.rouse(&job.name, None),
            }
        }
    }

    /// A job's time has come. What is known of it spares a look, most of the time, where others were quicker.
    fn wake(&mut self, Woken { job: name, at, races }: &Woken) {
        let Some(job) = self.jobs.by_name.get(name).cloned() else { return };
        if *races && let Some(at) = race::later_in_crowd(&job, *at, self.agenda.now(), self.at_once) {
            self.agenda.set(name, at);
        } else if self.queue.len() < LOOKS {
            self.heed(&job);
        } else {
            // Where many wait to be looked at, what is known by then counts.
            self.rouse(name, None);
        }
    }

    /// Follows a hint about a job.
    fn heed(&mut self, job: &Job) {
        // Of mutexes nothing is told.
        let may_plan = job.mutex.is_none() && !self.looking.contains_key(&job.name);
        let told = if may_plan { self.parts.store.heard(&job.name) } else { None };
        if let Some(view) = &told {
            look::nudge(&self.parts, view);
        }
        // What was told spares a look, most of the time.
        if !told.as_ref().is_some_and(|view| self.puts_off(job, view)) {
            self.rouse(&job.name, told);
        }
    }

    /// Notes when a job is to wake, if by what was just learnt of it there is nothing to do now.
    fn puts_off(&mut self, job: &Job, view: &View) -> bool {
        let belief = self.health.belief(job, view.now);
        match plan::next_believing(job, view, belief) {
            Step::Wait(at) => self.agenda.wait(&job.name, at, belief.now),
            Step::Race(due) => self.agenda.race(&job.name, race::ahead_of(due, &self.parts.dice), belief.now),
            Step::Finished => self.agenda.remove(&job.name),
            Step::Claim(target) => match look::later(&self.parts, job, &target, belief.now, self.at_once) {
                Some(at) => self.agenda.wait(&job.name, at, belief.now),
                None => return false,
            },
            _ => return false,
        }
        true
    }

    /// Looks at a job that changed, and at those that may have waited for its mutex.
    fn rouse_all_about(&mut self, name: &JobName) {
        let Some(job) = self.jobs.by_name.get(name).cloned() else {
            // It left the files; what runs of it here may be to stop.
            return self.parts.store.heard(name).iter().for_each(|view| look::nudge(&self.parts, view));
        };
        self.heed(&job);
        if job.mutex.is_none() {
            return;
        }
        let jobs = self.jobs.clone();
        for other in jobs.by_name.values().filter(|other| other.name != *name && other.mutex == job.mutex) {
            self.rouse(&other.name, None);
        }
    }

    /// Looks at a job now, or once more if it is being looked at. What it is `told` need not be asked.
    fn rouse(&mut self, name: &JobName, told: Option<View>) {
        self.agenda.remove(name);
        if !self.looking.contains_key(name) {
            self.looking.insert(name.clone(), Instant::now());
            let told = told.filter(|_| self.queue.len() < LOOKS).map(Box::new);
            self.queue.push_back((name.clone(), told));
        } else {
            self.again.insert(name.clone());
        }
    }

    /// Begins looks at the jobs in the queue.
    fn look_on(&mut self) {
        while self.loops.len() < LOOKS
            && let Some((name, mut told)) = self.queue.pop_front()
        {
            if self.looking.get(&name).is_some_and(|since| since.elapsed() >= OUTDATED) {
                let free = self.jobs.by_name.get(&name).filter(|job| job.mutex.is_none()).cloned();
                told = free.as_ref().and_then(|_| self.parts.store.heard(&name)).map(Box::new);
                if let (Some(job), Some(view)) = (free, &told)
                    && self.puts_off(&job, view)
                {
                    // Others were quicker.
                    look::nudge(&self.parts, view);
                    self.looking.remove(&name);
                    self.again.remove(&name);
                    continue;
                }
            }
            self.look_at(name, None, told);
        }
        // The last of a crowd are still on their way when nobody is left in the queue.
        self.is_crowd = !self.queue.is_empty() || self.is_crowd && self.loops.len() > LOOKS / 4;
        self.parts.waiting.set_crowd(self.is_crowd);
        if self.queue.is_empty() {
            self.queue.shrink_to(LOOKS / 4);
        }
    }

    /// Where the job's claims take their place.
    fn room_for(&mut self, name: &JobName) -> &mut Room {
        let is_sent = self.jobs.by_name.get(name).is_some_and(|job| job.task.is_sent());
        if is_sent { &mut self.way_out } else { &mut self.room }
    }

    /// Gives the room there is to those who wait for it, in turn.
    fn fill_room(&mut self) {
        while let Some((name, place)) = self.room.next().or_else(|| self.way_out.next()) {
            if !self.looking.contains_key(&name) {
                self.looking.insert(name.clone(), Instant::now());
                self.look_at(name, Some(place), None);
            } else {
                self.again.insert(name);
            }
        }
    }

    /// Begins a look. It may bid if it has a place, or if there is room that nobody waits for. What it is `told` need not be asked.
    fn look_at(&mut self, name: JobName, place: Option<Place>, told: Option<Box<View>>) {
        let Some(job) = self.jobs.by_name.get(&name).cloned() else {
            self.looking.remove(&name);
            return;
        };
        let place = place.or_else(|| self.room_for(&name).free());
        let (health, at_once) = (self.health.clone(), self.at_once);
        self.loops.spawn(Box::pin(async move { (name, look::look(&health, &job, place, at_once, told).await) }));
    }

    fn looked(&mut self, name: JobName, looked: Looked) {
        self.looking.remove(&name);
        let again = self.again.remove(&name);
        match &looked {
            Looked::Trouble(why) => self.health.failed(why),
            Looked::Refused(why) => self.health.refused(why),
            Looked::Won(..) => self.health.granted(),
            _ => self.health.answered(),
        }
        if !matches!(looked, Looked::Trouble(_) | Looked::Refused(_)) {
            self.troubles = 0;
        }
        match looked {
            Looked::Won(lease, place, view) => {
                if let Some(job) = self.jobs.by_name.get(&name).cloned() {
                    self.start(job.clone(), lease, place);
                    if !self.puts_off(&job, &view) {
                        self.rouse(&name, None);
                    }
                }
            }
            Looked::Wait(at, now) => self.agenda.wait(&name, at, now),
            Looked::Finished => self.agenda.remove(&name),
            Looked::NoRoom => self.room_for(&name).waiting.join(&name),
            Looked::Trouble(_) | Looked::Refused(_) => {
                self.troubles = (self.troubles + 1).min(5);
                let pause = Duration::from_millis(250) * 2u32.pow(self.troubles);
                let pause = pause / 2 + self.parts.dice.pause(pause / 2);
                self.agenda.set_in(&name, pause);
            }
        }
        if again && let Some(job) = self.jobs.by_name.get(&name).cloned() {
            self.heed(&job);
        }
        self.fill_room();
    }

    fn carried(&mut self, job: &JobName, carried: Carried) {
        if let Carried::GivenBack(why) = carried {
            self.health.warn_once(&why);
        }
        // First who waits for its place, then whoever had it: unless the end was told of before, and it waits for its next
        // instant, as it does only while no run of it is open and it shares no mutex.
        self.fill_room();
        if !self.agenda.is_in_race(job) {
            self.rouse_all_about(job);
        }
    }

    fn start(&mut self, job: Arc<Job>, lease: Box<Lease>, place: Place) {
        let health = self.health.clone();
        // Boxed: whoever keeps a task moves all of it, again and again.
        self.runs.spawn(Box::pin(async move {
            let carried = handover::carry_in(&health.parts, &job, lease, place).await;
            (job.name.clone(), carried)
        }));
    }

    /// Goes over to other jobs. What runs goes on as it began.
    fn take_over(&mut self, jobs: Arc<Jobs>) {
        let old = std::mem::replace(&mut self.jobs, jobs);
        for gone in old.by_name.keys().filter(|name| !self.jobs.by_name.contains_key(*name)) {
            self.agenda.remove(gone);
        }
        for name in self.jobs.clone().by_name.keys() {
            self.rouse(name, None);
        }
    }
}

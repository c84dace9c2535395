//! One simulated world, made from one number: a cluster, its jobs, and everything that befalls it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronclave::backfill::{self, Wish};
use cronclave::clock::{Clock, Timestamp};
use cronclave::event::Bus;
use cronclave::job::{
    Action, ByName, Command, Completion, Delivery, Format, Job, JobName, Misfire, MisfirePolicy, Overlap, Publish,
    QueueName, Retry, Task,
};
use cronclave::lease::{RunId, Trigger};
use cronclave::parts::{Dice, Parts};
use cronclave::record::{Op, Phase};
use cronclave::replica::{self, Identity, Jobs, Pulse, Setup};
use cronclave::stop::Stop;
use cronclave::store::{Memory, Snapshot, Store};
use cronclave::verify::{Judge, Reading, Severity};
use cronclave::worker;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::code::Code;
use crate::failover::{Known, Server};
use crate::faulty::{Faulty, Flag, Machine, Weather, carry_out};
use crate::invariants::{self, Evidence, Granted, Ran};
use crate::jobs::{every, secs, start_of_time};
use crate::post::{Post, Window};

/// What really happened, by the store's clock.
pub(crate) struct Journal {
    pub(crate) clock: Clock,
    pub(crate) ran: Mutex<Vec<Ran>>,
    pub(crate) granted: Mutex<Vec<Granted>>,
    /// What those know who ask one thing and go.
    pub(crate) operators: Arc<Known>,
    /// Something may have changed in the store.
    pub(crate) changed: Notify,
}

/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(60);

/// How long everything works afterwards.
const PEACE: Duration = Duration::from_secs(75);

/// In peace, whatever is due is decided within this.
const LATE: Duration = Duration::from_secs(40);

/// A replica on its machine.
struct Node {
    name: String,
    machine: Arc<Machine>,
    /// What the process that runs there knows; it dies with it.
    known: Arc<Known>,
    running: Option<(JoinHandle<()>, Stop)>,
    boots: u64,
    skew: i64,
    max_parallel: usize,
    /// Requests it takes at once from each queue.
    slots: usize,
}

struct World {
    dice: Dice,
    store: Arc<Memory>,
    server: Arc<Server>,
    /// What is lost now must be known to somebody later: nobody dies, and the network is well.
    failing: Arc<Flag>,
    post: Arc<Post>,
    journal: Arc<Journal>,
    jobs: Arc<Jobs>,
    nodes: Vec<Node>,
    claim_ttl: Duration,
    longest: Duration,
    requests: u64,
}

/// Lives through the world of `seed`, checks it, and tells what happened.
pub(crate) async fn live(seed: u64, forgetful: bool) -> Evidence {
    let mut world = World::new(seed, forgetful);
    for index in 0..world.nodes.len() {
        world.boot(index);
    }
    let peace = Instant::now() + TROUBLE;
    while Instant::now() < peace {
        sleep(world.pause(4000)).await;
        world.befall();
    }
    world.heal().await;
    sleep(PEACE).await;
    world.is_at_work().await;
    let evidence = world.end().await;
    invariants::check(&evidence);
    evidence
}

/// One replica wins the only occurrence, and the whole process sleeps for `nap` while the start is
/// granted. What ran then?
pub(crate) async fn sleep_at_the_start(nap: Duration) -> Vec<Ran> {
    let mut world = World::new(0, false);
    let job = every("nightly", 20).with(|job| job.lease = secs(6));
    let by_name = [(job.name.clone(), Arc::new(job))].into_iter().collect();
    world.jobs = Arc::new(Jobs { by_name, ..Jobs::default() });
    world.nodes.truncate(1);
    *world.nodes[0].machine.weather.lock().unwrap() = Weather::default();
    *world.nodes[0].machine.nap.lock().unwrap() = Some(nap);
    world.boot(0);
    sleep(secs(39)).await;
    let evidence = world.end().await;
    invariants::check(&evidence);
    evidence.ran
}

impl World {
    fn new(seed: u64, forgetful: bool) -> World {
        let dice = Dice::seeded(seed);
        let clock = Clock::starting_at(start_of_time());
        let store = Arc::new(Memory::new(clock.clone()));
        let journal = Arc::new(Journal {
            clock: clock.clone(),
            ran: Mutex::default(),
            granted: Mutex::default(),
            operators: Arc::default(),
            changed: Notify::new(),
        });
        let mut world = World {
            server: Arc::new(Server::new(store.clone(), clock, forgetful)),
            failing: Arc::default(),
            store,
            post: Arc::default(),
            journal,
            jobs: Arc::default(),
            nodes: Vec::new(),
            claim_ttl: secs(2 + (dice.roll() * 9.0) as u64),
            longest: Duration::ZERO,
            requests: 0,
            dice,
        };
        let mut by_name = ByName::default();
        for index in 0..1 + world.pick(3) {
            let job = world.job(&format!("job-{index}"));
            by_name.insert(job.name.clone(), Arc::new(job));
        }
        world.jobs = Arc::new(Jobs { by_name, ..Jobs::default() });
        world.longest = secs(1 + world.pick(20));
        // In every other world the wall clocks of most machines may be minutes behind: then the store's is not believed.
        let apart = [50e6, 300e6][world.pick(2) as usize];
        for index in 0..2 + world.pick(4) {
            let machine = Machine {
                frozen: Flag::default(),
                cut: Flag::default(),
                weather: Mutex::new(world.weather()),
                supervised: world.pick(2) == 0,
                nap: Mutex::default(),
                dice: Dice::seeded(seed ^ (index + 1) << 40),
            };
            let machine = Arc::new(machine);
            world.nodes.push(Node {
                name: format!("replica-{index}"),
                machine,
                known: Arc::default(),
                running: None,
                boots: 0,
                skew: ((world.dice.roll() * 2.0 - 1.0) * apart) as i64,
                max_parallel: 1 + world.pick(8) as usize,
                slots: if index == 0 { 1 } else { world.pick(4) as usize },
            });
        }
        world
    }

    fn pick(&self, of: u64) -> u64 {
        (self.dice.roll() * of as f64) as u64
    }

    fn one_of<T: Copy>(&self, of: &[T]) -> T {
        of[self.pick(of.len() as u64) as usize]
    }

    fn pause(&self, most_ms: u64) -> Duration {
        Duration::from_millis(1 + self.pick(most_ms))
    }

    fn job(&self, name: &str) -> Job {
        let lease = secs(3 + self.pick(13));
        every(name, 1 + self.pick(1 + self.pick(30))).with(|job| {
            job.overlap =
                self.one_of(&[Overlap::Skip, Overlap::QueueOne, Overlap::QueueAll, Overlap::Replace, Overlap::Allow]);
            job.misfire = Misfire {
                policy: self.one_of(&[MisfirePolicy::Skip, MisfirePolicy::RunOnce, MisfirePolicy::RunAll]),
                window: secs(5 + self.pick(100)),
                max: self.pick(6) as usize,
            };
            job.delivery = self.one_of(&[Delivery::AtMostOnce, Delivery::AtLeastOnce]);
            job.retry = Retry {
                attempts: 1 + self.pick(3) as u32,
                initial: secs(self.pick(5)),
                jitter: 0.5,
                ..Retry::default()
            };
            job.mutex = (self.pick(3) == 0).then(|| "disk".into());
            job.jitter = secs(self.one_of(&[0, 0, 2, 40]));
            job.timeout = secs(2 + self.pick(30));
            job.kill_after = secs(self.pick(4));
            job.enabled = self.pick(15) > 0;
            job.task = self.task();
            job.start_within = Some(secs(2 + self.pick(30)));
            job.lease = lease;
        })
    }

    fn task(&self) -> Task {
        let action = || Action::Command(Command::default());
        match self.pick(5) {
            0 | 1 => Task::Queue(QueueName::default(), action()),
            2 => Task::Publish(Box::new(Publish {
                exchange: "billing".into(),
                routing_key: "close".into(),
                format: Format::Plain,
                payload: None,
                content_type: None,
                headers: BTreeMap::new(),
                priority: None,
                expires: None,
                persistent: true,
                complete_on: Completion::Confirm,
            })),
            _ => Task::Run(action()),
        }
    }

    fn weather(&self) -> Weather {
        let bad = self.one_of(&[0.0, 0.0, 0.02, 0.15]);
        Weather {
            slow: bad * self.dice.roll(),
            lost_request: bad * self.dice.roll(),
            lost_reply: bad * self.dice.roll(),
            repeated: self.one_of(&[0.0, 0.1, 0.5]),
        }
    }

    fn boot(&mut self, index: usize) {
        let (jobs, store, journal, longest) =
            (self.jobs.clone(), self.store.clone(), self.journal.clone(), self.longest);
        let node = &mut self.nodes[index];
        if node.running.as_ref().is_some_and(|(task, _)| !task.is_finished()) {
            return;
        }
        node.boots += 1;
        let machine = node.machine.clone();
        node.known = Arc::default();
        self.server.tell(&machine, &node.known);
        let (server, known) = (self.server.clone(), node.known.clone());
        let stop = Stop::default();
        let parts = Parts {
            broker: Arc::new(Window { post: self.post.clone(), machine: machine.clone(), name: node.name.clone() }),
            cluster: "default".into(),
            store: Arc::new(Faulty { inner: store, server, known, machine: machine.clone(), journal: journal.clone() }),
            runner: Arc::new(Code { machine: machine.clone(), journal, holder: node.name.clone(), longest }),
            bus: Bus::default(),
            stop: stop.clone(),
            clock: {
                let clock = Clock::starting_at(self.journal.clock.now());
                clock.step(node.skew);
                clock
            },
            dice: machine.dice.clone(),
            holder: node.name.clone(),
            claim_ttl: self.claim_ttl,
            tap: None,
            nudges: cronclave::parts::Nudges::default(),
            waiting: cronclave::parts::Waiting::default(),
        };
        let slots = node.slots;
        let boot_id = format!("{}-{}", node.name, node.boots);
        let identity = Identity { boot_id, name: node.name.clone(), tzdb: String::new() };
        let working = worker::Setup { identity: identity.clone(), queues: None, slots, grace: secs(5) };
        let setup = Setup { identity, max_parallel: node.max_parallel, grace: secs(5) };
        // Nobody changes the jobs, but the sender has to live on.
        let (jobs, watched) = watch::channel(jobs);
        let (pulse, _) = watch::channel(Pulse::default());
        let task = tokio::spawn(async move {
            tokio::join!(
                replica::run(parts.clone(), setup, watched.clone(), pulse),
                worker::run(parts, working, watched)
            );
            drop(jobs);
        });
        node.running = Some((task, stop));
    }

    /// One thing goes wrong, or is done by an operator.
    fn befall(&mut self) {
        let index = self.pick(self.nodes.len() as u64) as usize;
        match self.pick(17) {
            15 | 16 if !self.failing.is_up() => self.fail_over(),
            0..=9 | 15.. if self.failing.is_up() => self.operate(),
            0 | 1 => {
                // A crash: all its tasks end where they are.
                if let Some((task, _)) = self.nodes[index].running.take() {
                    task.abort();
                }
            }
            2 => {
                if let Some((_, stop)) = &self.nodes[index].running {
                    if self.pick(2) == 0 { stop.softly() } else { stop.hard() }
                }
            }
            3..=5 => self.boot(index),
            6 | 7 => {
                let (machine, length) = (self.nodes[index].machine.clone(), self.pause(30_000));
                let (post, name) = (self.post.clone(), self.nodes[index].name.clone());
                machine.frozen.set(true);
                tokio::spawn(async move {
                    sleep(length / 2).await;
                    post.forget(&name);
                    sleep(length / 2).await;
                    machine.frozen.set(false);
                });
            }
            8 => {
                let (machine, length) = (self.nodes[index].machine.clone(), self.pause(30_000));
                machine.cut.set(true);
                tokio::spawn(async move {
                    sleep(length).await;
                    machine.cut.set(false);
                });
            }
            9 => {
                let weather = self.weather();
                self.nodes[index].machine.weather.lock().unwrap().clone_from(&weather);
            }
            10 => {
                let (post, length) = (self.post.clone(), self.pause(30_000));
                match self.pick(3) {
                    0 => post.purge(),
                    // A broker that gives up on unacknowledged messages.
                    1 => post.forget(&self.nodes[index].name),
                    _ => {
                        post.away.set(true);
                        tokio::spawn(async move {
                            sleep(length).await;
                            post.away.set(false);
                        });
                    }
                }
            }
            _ => self.operate(),
        }
    }

    /// Another server takes the place of the present one, and has not heard of the last one or two seconds.
    fn fail_over(&self) {
        self.failing.set(true);
        for node in &self.nodes {
            node.machine.frozen.set(false);
            node.machine.cut.set(false);
            *node.machine.weather.lock().unwrap() = Weather::default();
        }
        let teachers: Vec<(Arc<Known>, Duration)> =
            self.nodes.iter().map(|node| (node.known.clone(), self.pause(5_000))).collect();
        let (server, failing, journal, loss) =
            (self.server.clone(), self.failing.clone(), self.journal.clone(), self.pause(2_000));
        tokio::spawn(async move {
            let behind = server.behind();
            sleep(loss).await;
            server.fail_over(behind);
            for (known, pause) in teachers.into_iter().chain([(journal.operators.clone(), Duration::ZERO)]) {
                let server = server.clone();
                tokio::spawn(async move {
                    sleep(pause).await;
                    server.teach(&known);
                });
            }
            while server.is_closed() {
                sleep(secs(1)).await;
            }
            journal.changed.notify_waiters();
            failing.set(false);
        });
    }

    fn operate(&mut self) {
        let name = self.jobs.by_name.keys().nth(self.pick(self.jobs.by_name.len() as u64) as usize).cloned();
        let name = name.expect("there is always a job");
        let job = &self.jobs.by_name[&name];
        let now = self.journal.clock.now();
        let op = match self.pick(6) {
            0 => {
                let until = (self.pick(2) == 0).then(|| now.plus(self.pause(20_000)));
                Op::Pause { until, reason: None, by: None }
            }
            1 => Op::Resume { catch_up: self.pick(2) == 0, by: None },
            2 | 3 => {
                // Sometimes the one before is asked for again.
                self.requests += self.pick(4).min(1);
                Op::Trigger {
                    run_id: RunId::of_request(&name, &self.requests.to_string()),
                    at: None,
                    trigger: Trigger::Manual { by: None, reason: None },
                    args: BTreeMap::new(),
                    overlap: job.overlap,
                    expect: None,
                    on_record: false,
                }
            }
            4 => return self.fill_in(job.clone()),
            _ => return self.cancel(name),
        };
        self.ask(name, op);
    }

    fn ask(&self, name: JobName, op: Op) {
        let (server, journal) = (self.server.clone(), self.journal.clone());
        tokio::spawn(async move { carry_out(&server, &journal.operators, &journal, &name, &op) });
    }

    /// Asks for a past occurrence under its own identity, as `backfill` does.
    fn fill_in(&self, job: Arc<Job>) {
        let ago = self.pause(60_000);
        let journal = self.journal.clone();
        // Between its look and its request, anything may happen.
        let machine = self.nodes[self.pick(self.nodes.len() as u64) as usize].machine.clone();
        let (server, known) = (self.server.clone(), journal.operators.clone());
        let store = Faulty { inner: self.store.clone(), server, known, machine, journal: journal.clone() };
        tokio::spawn(async move {
            let Some(at) = job.schedule.before(journal.clock.now().minus(ago)) else { return };
            let wish = Wish { overlap: Overlap::QueueAll, by: None, reason: None };
            let _ = backfill::ask(&store, &job, at, &wish).await;
        });
    }

    fn cancel(&self, name: JobName) {
        let (store, server, journal) = (self.store.clone(), self.server.clone(), self.journal.clone());
        let which = self.dice.roll();
        tokio::spawn(async move {
            let open = store.view(&name, None).await.unwrap().record.open;
            if let Some(run) = open.get((which * open.len() as f64) as usize) {
                let op = Op::Cancel { run_id: run.run_id, by: "ops".into() };
                let _ = carry_out(&server, &journal.operators, &journal, &name, &op);
            }
        });
    }

    async fn heal(&mut self) {
        // It takes no longer; where it does, something is broken, and said to be.
        for _ in 0..20 {
            if self.failing.is_up() {
                sleep(secs(1)).await;
            }
        }
        for node in &self.nodes {
            node.machine.frozen.set(false);
            node.machine.cut.set(false);
            *node.machine.weather.lock().unwrap() = Weather::default();
        }
        self.post.away.set(false);
        for name in self.jobs.by_name.keys() {
            self.ask(name.clone(), Op::Resume { catch_up: true, by: None });
        }
        sleep(secs(10)).await;
        for index in 0..self.nodes.len() {
            self.boot(index);
        }
    }

    /// Whether some replica could begin one more run.
    fn has_room(&self, snapshot: &Snapshot) -> bool {
        let places: usize = self.nodes.iter().map(|node| node.max_parallel).sum();
        let open = snapshot.records.busy().flat_map(|(_, record)| &record.open);
        open.filter(|run| run.phase != Phase::Waiting && run.until > snapshot.now).count() < places
    }

    /// A healthy cluster decides what is due, and leaves no lapsed claim where it lies, unless it
    /// has more to do than it has places for.
    async fn is_at_work(&self) {
        for _ in 0..3 {
            if !self.has_room(&self.store.snapshot().await.unwrap()) {
                return;
            }
            sleep(secs(1)).await;
        }
        // What waited in line for a run that ended just now is decided in a moment.
        let mut overlooked = self.overlooked().await;
        for _ in 0..3 {
            if overlooked.is_none() {
                return;
            }
            sleep(secs(1)).await;
            overlooked = self.overlooked().await;
        }
        assert!(overlooked.is_none(), "broken: nothing is overlooked\n  {}", overlooked.unwrap_or_default());
    }

    /// How late what is due may be: until the wall clocks that the replicas go by have come to it.
    fn late(&self) -> Duration {
        let behind = self.nodes.iter().map(|node| -node.skew).max().unwrap_or(0);
        LATE + if behind > 60_000_000 { Duration::from_micros(behind.unsigned_abs()) } else { Duration::ZERO }
    }

    /// What nobody looks after, if there is something.
    async fn overlooked(&self) -> Option<String> {
        let snapshot = self.store.snapshot().await.unwrap();
        for (name, job) in &self.jobs.by_name {
            let record = snapshot.records.get(name).unwrap();
            let next = record.cursor.and_then(|cursor| job.schedule.after(cursor)).map(|at| job.due(at));
            let late = next.map_or(Duration::ZERO, |due| snapshot.now.since(due));
            // What came due before the present run came to be is next in line, however long that runs.
            let in_line = record.open.iter().any(|run| !run.is_queued() && next.is_some_and(|due| due <= run.opened));
            if late >= self.late() && !in_line {
                let replicas = self.store.replicas().await.unwrap();
                let said: Vec<_> = replicas
                    .iter()
                    .map(|one| (&one.name, one.slots, one.clock_skew_seconds, one.last_seen_at, &one.failing))
                    .collect();
                let skews: Vec<i64> = self.nodes.iter().map(|node| node.skew / 1_000_000).collect();
                return Some(format!("{name} has been due for {late:?}: {skews:?} {said:?} {job:?} {record:#?}"));
            }
            let forgotten =
                |phase, until: Timestamp| phase != Phase::Waiting && snapshot.now.since(until) > self.late();
            if let Some(run) = record.open.iter().find(|run| forgotten(run.phase, run.until)) {
                let (now, mutexes) = (snapshot.now, &snapshot.mutexes);
                return Some(format!("a lapsed claim on {name} stays at {now}: {run:#?}\n{mutexes:?}\n{job:?}"));
            }
        }
        None
    }

    /// A claim's message to another service is sent once, unless the job wants it sent again when in doubt.
    fn no_message_is_sent_twice(&self) {
        let mut sent = self.post.sent();
        sent.sort();
        for pair in sent.windows(2).filter(|pair| pair[0] == pair[1]) {
            let job = &self.jobs.by_name[&pair[0].0];
            assert_eq!(job.delivery, Delivery::AtLeastOnce, "broken: a message is sent once\n  {pair:?}");
        }
    }

    /// What a living cluster has of its past, all of the events or the latest half, is judged without a false alarm.
    async fn is_judged_alike(&self, snapshot: &Snapshot) {
        let events = self.store.events(0, usize::MAX).await.unwrap();
        for skipped in [0, events.len() / 2] {
            let mut reading = Reading::at(snapshot.clone());
            reading.take(events[skipped..].to_vec());
            let mut judge = Judge::new(reading, Timestamp::EPOCH, None);
            for (name, job) in &self.jobs.by_name {
                let lines = Reading::lines(&*self.store, name).await.unwrap();
                judge.job(job, snapshot.records.get(name).as_deref(), &lines);
            }
            let report = judge.end();
            // Nobody is up any more: what is late or stuck by now is nobody's fault.
            let broken: Vec<_> = report.findings.iter().filter(|one| one.severity == Severity::Broken).collect();
            assert!(broken.is_empty(), "judged without {skipped} events: {broken:#?}");
            assert_eq!(report.counts.unknown, 0);
        }
    }

    /// Stops everything and gathers the evidence.
    async fn end(mut self) -> Evidence {
        for node in &mut self.nodes {
            let Some((task, stop)) = node.running.take() else { continue };
            stop.hard();
            task.await.expect("a replica comes to its end by itself");
        }
        // Code that outlived its replica ends with its lease.
        sleep(secs(60)).await;
        self.no_message_is_sent_twice();
        let snapshot = self.store.snapshot().await.unwrap();
        self.is_judged_alike(&snapshot).await;
        let known = |name: &JobName| snapshot.records.get(name).unwrap_or_default().into_owned();
        Evidence {
            events: self.store.events(0, usize::MAX).await.unwrap(),
            ran: self.journal.ran.lock().unwrap().clone(),
            leases: self.journal.granted.lock().unwrap().clone(),
            jobs: self.jobs.by_name.iter().map(|(name, job)| (name.clone(), (job.clone(), known(name)))).collect(),
            obedient: true,
            unknown: Vec::new(),
        }
    }
}

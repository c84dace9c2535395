//! Three clusters side by side under the same faults at the same moments: ours, and one of each of the two designs that
//! are in use everywhere. Replica number N of each is behind the same proxy, has the same clock, gets the same signals.

use std::time::{Duration, Instant};

use cronclave::clock::{Clock, Timestamp};
use rustix::process::Signal;

use super::cluster::{Cluster, LONG, Line, SIGN, UNDER_FAULTS, duration, say, signal, until};
use super::contender::{Design, Others, said};
use super::load::{self, JOBS, REPLICAS};
use super::proxy::Proxy;
use super::rows::{self, Happened, Histories, ON_TIME, Row, UNDECIDED, out};
use super::servers::Redis;

/// How long claims of ours last, and locks of theirs.
pub(crate) const TTL: Duration = Duration::from_secs(5);
/// What ours has of its jobs besides: each occurrence is to run, however late.
pub(crate) const PATIENT: &str = "overlap = \"queue_all\"\nmisfire = \"run_all\"\nlock = { ttl = \"5s\" }";

/// Until both of the others have failed, too, if they are to.
const COMPARED: Duration = Duration::from_secs(8);

/// What has got over its faults may take so long until it is on time again: a backlog is worked off by as much as the
/// machine can do more than its load.
const ON_TIME_WITHIN: Duration = Duration::from_secs(20);

pub(crate) fn sleep(secs: f64) {
    std::thread::sleep(Duration::from_secs_f64(secs));
}

/// Waits until shortly before, or after, the next full second, when everything comes due.
pub(crate) fn sleep_until_second(offset: f64) {
    let part = Clock::system().now().as_micros().rem_euclid(1_000_000) as f64 / 1e6;
    let wait = 1.0 - part + offset;
    sleep(if wait < 0.0 { wait + 1.0 } else { wait });
}

pub(crate) struct Field {
    pub(crate) ours: Cluster,
    others: Vec<Others>,
    pub(crate) proxies: Vec<Proxy>,
    jobs: Vec<String>,
    /// How many replicas each contender has.
    pub(crate) replicas: usize,
    /// When all was well for the first time.
    begun: Timestamp,
    /// How long ours may take to be on time again. It must, unless it was said that it need not.
    pub(crate) need_not_recover: Option<Duration>,
    /// How many faults there were.
    pub(crate) faults: usize,
    /// The test looks at the others as well. Else they only run for the table: they take two thirds of the machine.
    compares: bool,
    /// Which of the others must be seen to fail.
    fails: Option<Design>,
    /// How long it goes wrong, unless whoever runs the tests says otherwise.
    least: Duration,
    /// What ours must be seen to say, in one line each.
    tells: Vec<&'static [&'static str]>,
}

/// What became of a scenario.
pub(crate) struct Result {
    pub(crate) field: Field,
    pub(crate) ours: Row,
    pub(crate) others: Vec<Row>,
}

impl Field {
    /// All three on one Redis with these settings, through proxies.
    pub(crate) fn with(settings: &[&str]) -> Field {
        Field::on(Redis::with(settings), PATIENT, TTL)
    }

    /// The same on this Redis, and with these settings of ours and this time to live of all.
    pub(crate) fn on(redis: Redis, more: &str, ttl: Duration) -> Field {
        let cluster = Cluster::with_another(&load::jobs(0..JOBS, SIGN, more));
        let port = redis.port;
        Field::behind_proxies(cluster.moved_to(redis), port, ttl, &|_| SIGN.to_owned())
    }

    /// The same where some jobs run long enough to be hit.
    pub(crate) fn with_long_runs() -> Field {
        let cluster = Cluster::with_another(&long_runs());
        let redis = Redis::plain();
        let port = redis.port;
        Field::behind_proxies(cluster.moved_to(redis), port, TTL, &command)
    }

    /// All three where proxies lead that can be pointed at another server, as can the one for this test's questions.
    pub(crate) fn movable(port: u16) -> (Field, Proxy) {
        let own = Proxy::before(port, 99);
        let cluster = Cluster::with_another(&load::jobs(0..JOBS, SIGN, PATIENT)).moved_to_url(&own.url());
        (Field::behind_proxies(cluster, port, TTL, &|_| SIGN.to_owned()), own)
    }

    fn behind_proxies(cluster: Cluster, port: u16, ttl: Duration, command: &dyn Fn(usize) -> String) -> Field {
        let proxies: Vec<Proxy> = (0..REPLICAS).map(|index| Proxy::before(port, index as u64)).collect();
        let addresses = proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port)).collect();
        let mut field = Field::of(cluster, addresses, ttl, command);
        for (index, proxy) in proxies.iter().enumerate() {
            field.ours.give(index, "REDIS_URL", &proxy.url());
        }
        field.proxies = proxies;
        field
    }

    /// Ours as it is, and the others where these addresses lead.
    pub(crate) fn of(ours: Cluster, addresses: Vec<String>, ttl: Duration, command: &dyn Fn(usize) -> String) -> Field {
        let jobs: Vec<String> = (0..JOBS).map(|n| format!("job-{n}")).collect();
        let signed: Vec<(String, String)> = jobs.iter().cloned().zip((0..JOBS).map(command)).collect();
        let others = match addresses.is_empty() {
            true => Vec::new(),
            false => Design::ALL.map(|design| Others::new(design, &signed, addresses.clone(), ttl)).into(),
        };
        let (begun, need_not_recover) = (Timestamp::EPOCH, None);
        Field {
            ours,
            others,
            proxies: Vec::new(),
            jobs,
            replicas: REPLICAS,
            begun,
            need_not_recover,
            faults: 0,
            compares: false,
            fails: None,
            least: UNDER_FAULTS,
            tells: Vec::new(),
        }
    }

    pub(crate) fn misset_clock(&mut self, index: usize, by: &str) {
        self.ours.misset_clock(index, by);
        self.others.iter_mut().for_each(|other| other.misset_clock(index, by));
    }

    pub(crate) fn serve(&mut self, index: usize) {
        self.ours.serve(index);
        self.others.iter_mut().for_each(|other| other.serve(index));
    }

    /// `kill -9` of replica number `index` of each.
    pub(crate) fn kill(&mut self, index: usize) {
        self.ours.kill(index);
        self.others.iter_mut().for_each(|other| other.kill(index));
        self.faults += 1;
    }

    /// Stops that of each as one is asked to.
    pub(crate) fn end(&mut self, index: usize) {
        self.ours.end(index);
        self.others.iter_mut().for_each(|other| other.end(index));
    }

    pub(crate) fn signal(&self, index: usize, which: Signal) {
        self.ours.pid(index).into_iter().for_each(|pid| signal(pid, which));
        self.others.iter().for_each(|other| other.signal(index, which));
    }

    /// With the others, in any case.
    pub(crate) fn beside_others(mut self) -> Field {
        self.compares = true;
        self
    }

    /// For so long at least: less does not show what is to be seen.
    pub(crate) fn lasting(mut self, least: Duration) -> Field {
        self.least = least;
        self
    }

    /// For so long as well that this contender has failed: faults that come at random moments do not always hit it.
    pub(crate) fn until_it_fails(mut self, design: Design) -> Field {
        self.fails = Some(design);
        self
    }

    /// For so long as well that one of ours has said this, in one line: a single fault may find nothing to do harm to.
    pub(crate) fn until_it_tells(mut self, words: &'static [&'static str]) -> Field {
        self.tells.push(words);
        self
    }

    /// The first that ours has not said yet of what it must.
    fn is_to_tell_yet(&self) -> Option<&'static [&'static str]> {
        let warnings = self.warnings();
        let is_said = |words: &[&str]| warnings.lines().any(|line| words.iter().all(|word| line.contains(word)));
        self.tells.iter().copied().find(|words| !is_said(words))
    }

    /// Whether the one that is to fail has not been seen to. What is younger than a fault lasts may yet be made good.
    fn is_to_fail_yet(&self) -> bool {
        let Some(other) = self.others.iter().find(|other| Some(other.design) == self.fails) else { return false };
        let (from, through) = (self.begun.as_secs() + 1, Clock::system().now().as_secs() - 5);
        let happened =
            Happened { jobs: &self.jobs, ledger: other.ledger(), histories: None, from, through, healed: self.begun };
        !Row::of("", "", other.design.word(), &happened).failed()
    }

    /// Starts all that are not running, and waits until each contender has run each job.
    pub(crate) fn begin(&mut self) {
        if !self.compares && !rows::is_asked_for() {
            self.others.clear();
        }
        for index in 0..self.replicas {
            self.serve(index);
        }
        let ran = |ledger: &[Line], job: &String| ledger.iter().any(|line| line.job == *job);
        until("ours has run every job", || {
            let ledger = self.ours.ledger();
            self.jobs.iter().all(|job| ran(&ledger, job))
        });
        for other in &self.others {
            let given_up = Instant::now() + LONG;
            while !self.jobs.iter().all(|job| ran(&other.ledger(), job)) {
                let log = said(&other.path("log"));
                assert!(Instant::now() < given_up, "{:?} does not run: {log}", other.design);
                sleep(0.02);
            }
        }
        self.begun = Clock::system().now();
    }

    /// Disturbs all in turns of its choice for as long as a load test lasts; then all is well again, and must be seen to
    /// be.
    pub(crate) fn disturb(
        mut self,
        scenario: &str,
        title: &str,
        mut turn: impl FnMut(&mut Field),
        heal: impl FnOnce(&mut Field),
    ) -> Result {
        self.begin();
        let least = if self.compares { COMPARED } else { self.least };
        let (time, began) = (duration(least), Instant::now());
        let seen =
            |field: &Field| began.elapsed() >= time && !field.is_to_fail_yet() && field.is_to_tell_yet().is_none();
        while !seen(&self) && began.elapsed() < time + LONG {
            turn(&mut self);
        }
        heal(&mut self);
        let lasted = began.elapsed();
        let healed = Clock::system().now();
        self.wait_until_on_time(healed);
        sleep(1.0);
        self.reckon(scenario, title, lasted, healed)
    }

    /// Waits until ours has got over it, however slow the machine is; then for a while until each of its jobs has run on
    /// time again.
    fn wait_until_on_time(&self, healed: Timestamp) {
        if self.need_not_recover.is_none() {
            load::caught_up(&self.ours);
        }
        let on_time = |line: &Line| {
            line.scheduled > healed.as_secs() && line.at.as_micros() - line.scheduled * 1_000_000 < ON_TIME
        };
        let given_up = Instant::now() + self.need_not_recover.unwrap_or(ON_TIME_WITHIN);
        while Instant::now() < given_up {
            let ledger = self.ours.ledger();
            if self.jobs.iter().all(|job| ledger.iter().rev().any(|line| line.job == *job && on_time(line))) {
                return;
            }
            sleep(0.02);
        }
    }

    /// What ours warned of.
    fn warnings(&self) -> String {
        let of =
            |index: usize| std::fs::read_to_string(self.ours.path(&format!("replica-{index}.log"))).unwrap_or_default();
        let all: String = (0..self.replicas).map(|index| format!("--- replica-{index}\n{}", of(index))).collect();
        let warns = |line: &&str| ["---", " WARN", "ERROR", "warning", "store"].iter().any(|word| line.contains(word));
        all.lines().filter(warns).map(|line| line.to_owned() + "\n").collect()
    }

    /// The same, beside the report.
    fn keep_warnings(&self, scenario: &str) {
        let logs = out().join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        std::fs::write(logs.join(format!("{scenario}.log")), self.warnings()).unwrap();
    }

    fn reckon(mut self, scenario: &str, title: &str, lasted: Duration, healed: Timestamp) -> Result {
        // What comes due from here on may no longer run.
        let (from, through) = (self.begun.as_secs() + 1, Clock::system().now().as_secs() - 1);
        self.ours.stop();
        self.others.iter_mut().for_each(Others::stop);
        self.keep_warnings(scenario);
        let closed: usize = self.proxies.iter().map(Proxy::closed).sum();
        let jobs = self.jobs.clone();
        let row = |contender: &str, ledger: Vec<Line>, histories: Option<Histories>| {
            let happened = Happened { jobs: &jobs, ledger, histories, from, through, healed };
            let mut row = Row::of(scenario, title, contender, &happened);
            (row.seconds, row.faults) = (lasted.as_secs_f64(), if self.faults > 0 { self.faults } else { closed });
            row.keep();
            say(&format!(
                "{scenario} {title}: {contender}: {} due, {} faults: {} doubles, {} silent, {} early, {:?}; late p50 {} p99 {} ms; recovery {:.1?} s",
                row.due,
                row.faults,
                row.doubles,
                row.silent,
                row.early,
                row.recorded,
                row.late_p50,
                row.late_p99,
                row.recovery
            ));
            row
        };
        let ours = row("ours", self.ours.ledger(), Some(histories(&self.ours, &self.jobs)));
        let others = self.others.iter().map(|other| row(other.design.word(), other.ledger(), None)).collect();
        Result { ours, others, field: self }
    }
}

/// Of the twenty jobs, the last six run for a third of a second.
pub(crate) fn command(number: usize) -> String {
    if number < 14 { SIGN.to_owned() } else { format!("{SIGN}; sleep 0.3") }
}

/// These jobs, and one that is to run again when its replica is lost.
pub(crate) fn long_runs() -> String {
    let steady = format!(
        "[jobs.steady]\nevery = \"5s\"\ndelivery = \"at_least_once\"\nlock = {{ ttl = \"3s\" }}\ncommand = '{SIGN}; sleep 1'\nkeep = {{ runs = 100000, days = 1 }}\n"
    );
    load::jobs(0..14, &command(0), PATIENT) + &load::jobs(14..JOBS, &command(14), PATIENT) + &steady
}

/// What the history says of each second of each job. What it does not know of because it has not yet come to it, waits.
pub(crate) fn histories(cluster: &Cluster, jobs: &[String]) -> Histories {
    let of = |job: &String| {
        let mut seconds = std::collections::BTreeMap::new();
        for entry in cluster.history(job).iter().filter(|entry| entry.count > 0) {
            let through = entry.through.unwrap_or(entry.scheduled_at).as_secs();
            seconds.extend((entry.scheduled_at.as_secs()..=through).map(|second| (second, entry.state.word())));
        }
        if let Some(cursor) = cluster.record(job).cursor {
            let now = Clock::system().now().as_secs();
            seconds.extend((cursor.as_secs() + 1..=now).map(|second| (second, UNDECIDED)));
        }
        (job.clone(), seconds)
    };
    jobs.iter().map(of).collect()
}

impl Result {
    /// What must hold of ours: nothing twice, nothing early, nothing passed over in silence, and every invariant.
    pub(crate) fn spotless(&self) -> &Result {
        assert!(!self.ours.failed(), "{:?}", self.ours);
        load::reckon(&self.field.ours);
        self
    }

    /// And each occurrence has run.
    pub(crate) fn all_ran(&self) -> &Result {
        let Row { recorded, started, waiting, due, .. } = &self.ours;
        assert!(recorded.is_empty() && started + waiting == *due, "{:?}", self.ours);
        self
    }

    /// Ours said all that it had to.
    pub(crate) fn tells(&self) -> &Result {
        let missing = self.field.is_to_tell_yet();
        assert!(missing.is_none(), "nobody says {:?}: {}", missing.unwrap_or_default(), self.field.warnings());
        self
    }

    /// Nothing but starts whose end nobody can know is on record as not having run.
    pub(crate) fn only_lost(&self) -> &Result {
        assert!(self.ours.recorded.keys().all(|word| word == "lost"), "{:?}", self.ours);
        self
    }

    /// Each attempt of the job that runs again when its replica is lost has a larger fence.
    pub(crate) fn restarts_grow(&self) {
        let steady = self.field.ours.history("steady");
        for entry in &steady {
            let fences: Vec<_> = entry.attempts.iter().map(|attempt| attempt.fence).collect();
            assert!(fences.windows(2).all(|pair| pair[0] < pair[1]), "{entry:?}");
        }
        let again = steady.iter().filter(|entry| entry.attempts.len() > 1).count();
        say(&format!("steady: {} runs, {again} of them restarted", steady.len()));
    }

    pub(crate) fn row(&self, design: Design) -> &Row {
        self.others.iter().find(|row| row.contender == design.word()).unwrap()
    }

    /// Both of the others must fail: else the harness would not have noticed if ours did.
    pub(crate) fn others_fail(&self) -> &Result {
        Design::ALL.into_iter().fold(self, Result::fails)
    }

    pub(crate) fn fails(&self, design: Design) -> &Result {
        assert!(self.row(design).failed(), "{design:?} was expected to fail: {:?}", self.row(design));
        self
    }
}

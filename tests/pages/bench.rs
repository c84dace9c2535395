//! A front on a store in memory, at an hour of its own, and just enough reading of pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cronclave::clock::{Clock, Timestamp};
use cronclave::config::{self, Flags, Listen, Process, SourceText};
use cronclave::desk::Desk;
use cronclave::http::{Front, bind};
use cronclave::job::{Job, JobName};
use cronclave::lease::{Ended, Token};
use cronclave::ledger::{Entry, Fate, Pass};
use cronclave::metrics::{Metrics, StoreKind};
use cronclave::record::{Bid, Key, Op, Reply, Target};
use cronclave::service;
use cronclave::store::{Memory, Query, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::wire;

const TOKEN: &str = "correct-horse-battery-staple";

/// A front, what is behind it, and its hour.
pub(crate) struct Bench {
    pub(crate) store: Arc<Memory>,
    jobs: Vec<Arc<Job>>,
    clock: Clock,
    address: String,
    _over: DropGuard,
}

impl Bench {
    /// With these jobs, each registered at this hour.
    pub(crate) async fn new(jobs: &str, now: &str) -> Bench {
        let clock = Clock::starting_at(now.parse().unwrap());
        let source = SourceText { name: "schedules/jobs.toml".into(), text: format!("version = 1\n{jobs}").into() };
        let config = config::load(&[source], &|_| Some("s3cret".to_owned()), clock.now());
        let config = config.unwrap_or_else(|wrong| panic!("{}", config::report(&wrong, false)));
        let store = Arc::new(Memory::new(clock.clone()));
        for job in &config.jobs {
            store.apply(&job.name, &Op::Register { spec: job.spec() }).await.unwrap();
        }
        let env = |name: &str| (name == "CRONCLAVE_API_TOKEN").then(|| TOKEN.to_owned());
        let process = Process::load(&Flags::default(), &env, "test").unwrap();
        let listen = Listen { address: "127.0.0.1:0".parse().unwrap(), is_default: false };
        let front = Front::open(bind(listen).await.unwrap(), &process).unwrap();
        let address = front.address().to_string();
        let parts = wire::parts(store.clone(), clock.clone(), "web.1");
        let jobs = watch::channel(Arc::new(service::jobs(&config))).1;
        let (metrics, parts) = Metrics::of(parts, StoreKind::Sqlite, jobs);
        let desk = Desk::with_jobs(parts, service::jobs(&config));
        let over = CancellationToken::new();
        tokio::spawn(front.serve(Arc::new(desk), metrics, over.clone()));
        Bench { store, jobs: config.jobs, clock, address, _over: over.drop_guard() }
    }

    pub(crate) fn job(&self, name: &str) -> &Arc<Job> {
        self.jobs.iter().find(|job| job.name.as_str() == name).unwrap()
    }

    pub(crate) fn jobs(&self) -> &[Arc<Job>] {
        &self.jobs
    }

    pub(crate) fn go_to(&self, at: Timestamp) {
        self.clock.step(at.as_micros() - self.clock.now().as_micros());
    }

    async fn ask(&self, job: &JobName, op: Op) -> Reply {
        self.store.apply(job, &op).await.unwrap().reply
    }

    async fn cursor(&self, job: &JobName) -> Timestamp {
        self.store.view(job, None).await.unwrap().record.cursor.unwrap()
    }

    /// Runs the occurrence at `at`, for so long.
    pub(crate) async fn run(&self, name: &str, at: Timestamp, took: Duration, ended: Ended) {
        let job = self.job(name);
        self.go_to(at);
        let token = Token::fresh();
        let expect = self.cursor(&job.name).await;
        let bid = Bid {
            target: Target::Next { expect, passes: Vec::new(), at, due: at },
            token: token.clone(),
            holder: "web.1".into(),
            ttl: Duration::from_secs(7200),
            overlap: job.overlap,
            delivery: job.delivery,
            mutex: None,
            start: None,
        };
        let Reply::Won(run) = self.ask(&job.name, Op::Claim(bid)).await else { panic!("{name} at {at} was not won") };
        let key = Key { run_id: run.run_id, fence: run.fence, token };
        let start = Op::Start { key: key.clone(), holder: "web.1".into(), ttl: Duration::from_secs(7200) };
        self.ask(&job.name, start).await;
        self.go_to(at.plus(took));
        self.ask(&job.name, Op::Settle { key, ended, next: None }).await;
    }

    /// Passes over all occurrences up to `through`.
    pub(crate) async fn pass(&self, name: &str, through: Timestamp, fate: Fate) {
        let job = self.job(name);
        self.go_to(through.plus(Duration::from_secs(1)));
        let expect = self.cursor(&job.name).await;
        let all = occurrences(job, expect, through.plus(Duration::from_micros(1)));
        let passes = vec![Pass { from: all[0], through, count: all.len() as u64, fate }];
        assert_eq!(self.ask(&job.name, Op::Decide { expect, passes, due: through }).await, Reply::Done);
    }

    /// The ledger of a job, oldest first.
    pub(crate) async fn ledger(&self, name: &str) -> Vec<Entry> {
        let query = Query { job: Some(self.job(name).name.clone()), ..Query::default() };
        let mut lines = self.store.history(&query).await.unwrap();
        lines.reverse();
        lines
    }

    /// A page, with these cookies.
    pub(crate) async fn page(&self, path: &str, cookies: &str) -> String {
        let head = format!("Authorization: Bearer {TOKEN}\r\nCookie: {cookies}\r\nAccept: text/html\r\n");
        let (status, body) = self.send("GET", path, &head, "").await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// What a form gets.
    pub(crate) async fn form(&self, path: &str, fields: &str) -> (u16, String) {
        let head = format!(
            "Authorization: Bearer {TOKEN}\r\nAccept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        );
        self.send("POST", path, &head, fields).await
    }

    /// What is answered, whatever it is.
    pub(crate) async fn send(&self, method: &str, path: &str, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let length = body.len();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n{body}",
            self.address
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }
}

/// The occurrences of a job after `from` and before `until`.
pub(crate) fn occurrences(job: &Job, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
    let all = std::iter::successors(job.schedule.after(from), |last| job.schedule.after(*last));
    all.take_while(|at| *at < until).collect()
}

/// The attributes of an element.
pub(crate) type Tag = BTreeMap<String, String>;

/// The elements of a text that have this attribute.
pub(crate) fn with(html: &str, attribute: &str) -> Vec<Tag> {
    let tags = html.split('<').skip(1).filter_map(|piece| piece.split_once('>')).map(|(tag, _)| attributes(tag));
    tags.filter(|tag| tag.contains_key(attribute)).collect()
}

fn attributes(tag: &str) -> Tag {
    let mut all = Tag::new();
    let mut rest = tag.split_once(' ').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        let name = name.rsplit(' ').next().unwrap_or(name).trim();
        all.insert(name.to_owned(), value.replace("&amp;", "&").replace("&quot;", "\"").replace("&lt;", "<"));
        rest = after;
    }
    all
}

/// The instant in an attribute.
pub(crate) fn at(tag: &Tag, name: &str) -> Timestamp {
    tag.get(name).unwrap_or_else(|| panic!("no {name} in {tag:?}")).parse().unwrap()
}

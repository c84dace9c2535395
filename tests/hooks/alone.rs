//! Within one process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cronclave::clock::Clock;
use cronclave::config::{self, SourceText};
use cronclave::event::{Delivered, Told};
use cronclave::hook::{self, Pauses, Registry, Settings, Standing, To};
use cronclave::job::{JobName, Overlap};
use cronclave::lease::{RunId, Trigger};
use cronclave::ledger::State;
use cronclave::parts::Parts;
use cronclave::record::Op;
use cronclave::replica::Jobs;
use cronclave::service;
use cronclave::store::{Create, Outbox, Query, Sqlite, Store};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::receiver::Receiver;
use super::{python, wire};

/// A secret, and the one before it.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
pub(crate) const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs=";

pub(crate) fn job(name: &str) -> JobName {
    JobName::new(name).unwrap()
}

/// A store, schedule files, and whoever sees to what follows.
pub(crate) struct Bench {
    _dir: tempfile::TempDir,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) jobs: watch::Receiver<Arc<Jobs>>,
    pub(crate) settings: Settings,
}

impl Bench {
    /// With these hooks, and jobs `a` and `b` unless the text declares others.
    pub(crate) fn new(text: &str) -> Bench {
        let more = if text.contains("[jobs.") {
            ""
        } else {
            "[jobs.a]\nschedule = \"@manual\"\ncommand = \"true\"\n[jobs.b]\nschedule = \"@manual\"\ncommand = \"true\"\n"
        };
        let secrets = "[secrets]\nnow = { env = \"NOW\" }\nold = { env = \"OLD\" }\n";
        let source =
            SourceText { name: "jobs.toml".into(), text: format!("version = 1\n{secrets}{text}\n{more}").into() };
        let env = |name: &str| match name {
            "NOW" => Some(SECRET.to_owned()),
            "OLD" => Some(OLD.to_owned()),
            _ => None,
        };
        let config = config::load(&[source], &env, Clock::system().now());
        let config = config.unwrap_or_else(|wrong| panic!("{}", config::report(&wrong, false)));
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&dir.path().join("x.db"), Create::IfMissing, Clock::system()).unwrap();
        let (_, jobs) = watch::channel(Arc::new(service::jobs(&config)));
        let pauses = Pauses([0, 50, 100, 200, 400, 800].map(Duration::from_millis).into());
        let settings = Settings { pings: pauses.clone(), pauses, ..Settings::default() };
        Bench { _dir: dir, store: Arc::new(store), jobs, settings }
    }

    pub(crate) fn parts(&self, holder: &str) -> Parts {
        wire::parts(self.store.clone(), Clock::system(), holder)
    }

    pub(crate) fn run(&self, parts: &Parts) -> JoinHandle<()> {
        tokio::spawn(hook::run(parts.clone(), self.settings.clone(), self.jobs.clone()))
    }

    /// One who has the outbox.
    pub(crate) async fn start(&self) -> Parts {
        let parts = self.parts("web.1");
        self.run(&parts);
        // What happened before there is an outbox is nobody's business.
        sleep(Duration::from_millis(300)).await;
        parts
    }

    pub(crate) fn registry(&self) -> Registry {
        Registry::new(&self.parts("desk"), &self.settings)
    }

    /// An event `job.paused`, told apart by `n`.
    pub(crate) async fn happens(&self, name: &str, n: usize) {
        let pause = Op::Pause { until: None, reason: Some(n.to_string()), by: None };
        self.store.apply(&job(name), &pause).await.unwrap();
    }

    pub(crate) async fn failed(&self, to: &str) -> Vec<hook::Delivery> {
        self.registry().deliveries(&to.parse().unwrap(), Some(Standing::Failed), None, 100).await.unwrap()
    }

    /// Waits until so many deliveries failed.
    pub(crate) async fn wait_for_failed(&self, to: &str, count: usize) -> Vec<hook::Delivery> {
        let given_up = tokio::time::Instant::now() + Duration::from_secs(40);
        loop {
            let failed = self.failed(to).await;
            if failed.len() >= count {
                return failed;
            }
            assert!(tokio::time::Instant::now() < given_up, "waited in vain for {count} failed: {failed:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A hook `audit` at `url` that hears of pauses.
pub(crate) fn audit(url: &str, more: &str) -> String {
    format!("[hooks.audit]\nurl = \"{url}\"\nallow_private = true\nevents = [\"job.paused\"]\n{more}\n")
}

/// Whether the reference library takes what came.
pub(crate) fn verified(got: &super::receiver::Got, secret: &str) -> (bool, String) {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    let bin = BIN.get_or_init(|| python::venv("hooks", &["standardwebhooks==1.0.1"]));
    let check = "import json, sys; from standardwebhooks import Webhook\n\
                 got = json.load(open(sys.argv[1])); Webhook(sys.argv[2]).verify(got['body'], got['headers'])";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("got.json");
    let all = serde_json::json!({"body": got.body, "headers": got.headers});
    std::fs::write(&file, all.to_string()).unwrap();
    let mut command = Command::new(bin.join("python"));
    command.args(["-c", check]).arg(Path::new(&file)).arg(secret);
    python::run(command, Duration::from_secs(60))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_library_verifies_what_is_sent_with_the_secret_and_with_the_one_before() {
    let receiver = Receiver::start().await;
    let bench = Bench::new(&audit(&receiver.url(), "secret = \"now\"\nprevious_secret = \"old\""));
    bench.start().await;
    bench.happens("a", 1).await;
    let got = receiver.wait_for("the event", |got| !got.is_empty()).await;
    for secret in [SECRET, OLD] {
        let (good, said) = verified(&got[0], secret);
        assert!(good, "{said}");
    }
    let (good, _) = verified(&got[0], "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert!(!good, "with another secret it is refused");
    let forged = super::receiver::Got { body: got[0].body.replace("job.paused", "job.resumed"), ..got[0].clone() };
    assert!(!verified(&forged, SECRET).0, "what was changed on the way is refused");
    let headers = &got[0].headers;
    assert_eq!(headers["content-type"], "application/cloudevents+json; charset=utf-8");
    assert!(headers["user-agent"].starts_with("cronclave/"));
    assert_eq!(headers["idempotency-key"], headers["webhook-id"]);
    let event = got[0].json();
    assert_eq!((&event["type"], &event["data"]["job"]), (&"dev.cronclave.job.paused.v1".into(), &"a".into()));
    assert_eq!(event["id"], got[0].id());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_sent_again_as_the_same() {
    let receiver = Receiver::start().await;
    receiver.answer([500, 404]);
    receiver.answer_with(302, "location", format!("http://{}/elsewhere", receiver.address));
    let bench = Bench::new(&audit(&receiver.url(), ""));
    bench.start().await;
    bench.happens("a", 1).await;
    let got = receiver.wait_for("four tries", |got| got.len() >= 4).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(receiver.got().len(), 4, "what was taken is not sent again");
    assert!(got.iter().all(|one| one.path == "/hook"), "no redirect is followed");
    assert!(got.iter().all(|one| (one.id(), &one.body) == (got[0].id(), &got[0].body)));
    assert!(!got[0].headers.contains_key("webhook-signature"), "without a secret nothing is signed");
    let left = bench.registry().deliveries(&"hook/audit".parse().unwrap(), None, None, 10).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_away_gets_everything_once_it_is_back() {
    let mut receiver = Receiver::start().await;
    let mut bench = Bench::new(&audit(&receiver.url(), ""));
    // Whatever waits for its third try would wait for ever.
    bench.settings.pauses = Pauses([0, 300, 600_000, 600_000].map(Duration::from_millis).into());
    bench.start().await;
    receiver.go_down().await;
    for n in 1..=60 {
        bench.happens(["a", "b"][n % 2], n).await;
    }
    let to: To = "hook/audit".parse().unwrap();
    let given_up = tokio::time::Instant::now() + Duration::from_secs(30);
    while bench.registry().deliveries(&to, None, None, 100).await.unwrap().iter().filter(|one| one.tries > 0).count()
        < 5
    {
        assert!(tokio::time::Instant::now() < given_up);
        sleep(Duration::from_millis(20)).await;
    }
    receiver.come_back().await;
    receiver.wait_for("all events", |got| got.iter().map(|one| one.id()).collect::<BTreeSet<_>>().len() >= 60).await;
    let numbers: BTreeSet<usize> =
        receiver.got().iter().map(|one| one.json()["data"]["reason"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=60).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_try_it_is_kept_listed_and_sent_again_on_request() {
    let receiver = Receiver::start().await;
    receiver.answer_always(Some(500));
    let bench = Bench::new(&audit(&receiver.url(), ""));
    let parts = bench.start().await;
    let mut told = parts.bus.listen();
    bench.happens("a", 1).await;
    let failed = bench.wait_for_failed("hook/audit", 1).await;
    assert_eq!((failed[0].tries, failed[0].kind.as_str()), (6, "job.paused"));
    let last = failed[0].last.as_ref().unwrap();
    assert!(last.status == Some(500) && last.message.contains("500"), "{last:?}");
    let is_end = |told: &Told| matches!(told, Told::Delivery { outcome: Delivered::Failed, .. });
    assert_eq!(std::iter::from_fn(|| told.try_recv().ok()).filter(|told| is_end(told)).count(), 1, "told once");
    receiver.answer_always(None);
    let before = receiver.got().len();
    bench.registry().resend(&failed[0].to, &failed[0].id).await.unwrap();
    let got = receiver.wait_for("it again", |got| got.len() > before).await;
    assert_eq!(got.last().unwrap().id(), failed[0].id);
    assert!(bench.registry().resend(&failed[0].to, "0").await.is_err(), "there is none of that name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_is_switched_off_and_told_nothing_more_until_somebody_says_so() {
    let receiver = Receiver::start().await;
    receiver.answer_always(Some(410));
    let bench = Bench::new(&audit(&receiver.url(), ""));
    let parts = bench.start().await;
    let mut told = parts.bus.listen();
    for n in 1..=20 {
        bench.happens("a", n).await;
    }
    bench.wait_for_failed("hook/audit", 1).await;
    let to: To = "hook/audit".parse().unwrap();
    let hook = bench.jobs.borrow().hooks.values().next().unwrap().clone();
    assert!(bench.registry().off(&hook).await.unwrap().unwrap().why.contains("410"));
    sleep(Duration::from_millis(500)).await;
    let before = receiver.got().len();
    bench.happens("b", 21).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.got().len(), before, "it is told nothing more");
    let is_off = |told: &Told| matches!(told, Told::Delivery { outcome: Delivered::SwitchedOff, .. });
    assert_eq!(std::iter::from_fn(|| told.try_recv().ok()).filter(|told| is_off(told)).count(), 1, "told once");
    receiver.answer_always(None);
    assert!(bench.registry().switch_on(&to).await.unwrap());
    bench.happens("b", 22).await;
    receiver.wait_for("news", |got| got.len() > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_has_too_much_to_do_is_left_alone_as_long_as_it_asks() {
    let receiver = Receiver::start().await;
    receiver.answer_with(429, "retry-after", "2");
    let bench = Bench::new(&audit(&receiver.url(), ""));
    bench.start().await;
    bench.happens("a", 1).await;
    receiver.wait_for("the first", |got| got.len() == 1).await;
    let asked = std::time::Instant::now();
    bench.happens("b", 2).await;
    receiver.wait_for("all", |got| got.len() >= 3).await;
    assert!(asked.elapsed() > Duration::from_millis(1500), "after {:?}", asked.elapsed());
    assert_eq!(receiver.ids().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_refused_after_names_are_resolved_and_what_was_looked_at_is_what_is_called() {
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    let hooks = format!(
        "[hooks.plain]\nurl = \"http://127.0.0.1:{port}/\"\nevents = [\"job.paused\"]\n\
         [hooks.rebinding]\nurl = \"http://rebinding.example:{port}/\"\nallow_http = true\nevents = [\"job.paused\"]\n\
         [hooks.metadata]\nurl = \"http://metadata.example:{port}/\"\nallow_http = true\nallow_private = true\nevents = [\"job.paused\"]\n\
         [hooks.inside]\nurl = \"http://inside.example:{port}/inside\"\nallow_http = true\nallow_private = true\nevents = [\"job.paused\"]\n"
    );
    let mut bench = Bench::new(&hooks);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    // Like a name whose server says something else each time: what it says is what is looked at, and what is called.
    bench.settings.lookup = Arc::new(move |name| {
        let addresses = match name.as_str() {
            "metadata.example" => vec!["169.254.169.254".parse().unwrap()],
            "inside.example" => {
                // A second look would find another place.
                let first = count.fetch_add(1, Ordering::SeqCst) == 0;
                vec![if first { "127.0.0.1" } else { "169.254.169.254" }.parse().unwrap()]
            }
            _ => vec!["127.0.0.1".parse().unwrap(), "::ffff:127.0.0.1".parse().unwrap()],
        };
        Box::pin(async move { Ok(addresses) })
    });
    bench.start().await;
    bench.happens("a", 1).await;
    for name in ["plain", "rebinding", "metadata"] {
        let failed = bench.wait_for_failed(&format!("hook/{name}"), 1).await;
        let last = failed[0].last.as_ref().unwrap();
        assert!(last.message.contains("not a public address") || last.message.contains("never called"), "{last:?}");
        assert_eq!(failed[0].tries, 1, "it is not tried again: {name}");
    }
    receiver.wait_for("the hook inside", |got| got.len() == 1).await;
    assert_eq!(receiver.got()[0].path, "/inside");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "resolved once, and called there");
}

/// Two jobs, the second of which starts after the first.
fn chained() -> Bench {
    Bench::new(
        "[jobs.a]\nschedule = \"@manual\"\ncommand = \"true\"\non_start = [\"job:b\"]\n\
         [jobs.b]\nschedule = \"@manual\"\ncommand = \"true\"\noverlap = \"queue_all\"\n\
         [jobs.c]\nschedule = \"@manual\"\ncommand = \"true\"\non_start = [\"job:d\"]\n\
         [jobs.d]\nschedule = \"@manual\"\ncommand = \"true\"\n",
    )
}

/// A run of `name` that is started.
async fn started(bench: &Bench, name: &str) -> RunId {
    use cronclave::lease::Token;
    use cronclave::record::{Bid, Key, Reply, Target};
    let run_id = RunId::fresh(Clock::system().now());
    let trigger = Trigger::Manual { by: None, reason: None };
    let token = Token::fresh();
    let bid = Bid {
        target: Target::Request { run_id, at: None, trigger, args: BTreeMap::new(), expect: None },
        token: token.clone(),
        holder: "web.1".into(),
        ttl: Duration::from_secs(60),
        overlap: Overlap::Allow,
        delivery: cronclave::job::Delivery::AtMostOnce,
        mutex: None,
        start: None,
    };
    let answer = bench.store.apply(&job(name), &Op::Claim(bid)).await.unwrap();
    let Reply::Won(open) = answer.reply else { panic!("{:?}", answer.reply) };
    let key = Key { run_id, fence: open.fence, token };
    let ttl = Duration::from_secs(60);
    bench.store.apply(&job(name), &Op::Start { key, holder: "web.1".into(), ttl }).await.unwrap();
    run_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_starts_once_however_often_whoever_sees_to_it_is_stopped() {
    let mut bench = chained();
    bench.settings.hold = Duration::from_millis(500);
    let mut runs = Vec::new();
    let mut life = bench.run(&bench.parts("web.0"));
    sleep(Duration::from_millis(300)).await;
    for n in 1..=80 {
        runs.push(started(&bench, "a").await);
        sleep(Duration::from_millis(37)).await;
        if n % 20 == 0 {
            // It ends in the middle of whatever it does, and says good-bye to nobody.
            life.abort();
            life = bench.run(&bench.parts(&format!("web.{n}")));
        }
    }
    let query = Query { job: Some(job("b")), ..Query::default() };
    let given_up = tokio::time::Instant::now() + Duration::from_secs(40);
    let entries = loop {
        let entries = bench.store.history(&query).await.unwrap();
        if entries.len() >= runs.len() {
            break entries;
        }
        assert!(tokio::time::Instant::now() < given_up, "{} of {}", entries.len(), runs.len());
        sleep(Duration::from_millis(50)).await;
    };
    let mut after: Vec<RunId> = entries
        .iter()
        .map(|entry| match &entry.trigger {
            Trigger::Chain { job, run_id, on } => {
                assert_eq!((job.as_str(), on.as_str()), ("a", "start"));
                *run_id
            }
            other => panic!("{other:?}"),
        })
        .collect();
    after.sort_unstable();
    runs.sort_unstable();
    assert_eq!(after, runs, "one run of b for each of a");
    life.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_was_started_long_ago_is_not_started_again() {
    let bench = chained();
    bench.store.take_outbox(Outbox::Hooks, "gone", Duration::from_millis(1)).await.unwrap();
    let first = started(&bench, "a").await;
    let b = job("b");
    let ask = async |run_id: RunId| {
        let trigger = Trigger::Manual { by: None, reason: None };
        let (args, overlap) = (BTreeMap::new(), Overlap::QueueAll);
        let op = Op::Trigger { run_id, at: None, trigger, args, overlap, expect: None, on_record: false };
        bench.store.apply(&b, &op).await.unwrap();
        bench.store.apply(&b, &Op::Cancel { run_id, by: "ana".into() }).await.unwrap();
    };
    // Whoever had the outbox asked for it and died; since then the record has seen more requests than it remembers.
    let asked = RunId::of_request(&b, &format!("chain:{first}:start"));
    ask(asked).await;
    for n in 0..120 {
        ask(RunId::of_request(&b, &n.to_string())).await;
    }
    bench.start().await;
    let second = started(&bench, "a").await;
    let next = RunId::of_request(&b, &format!("chain:{second}:start"));
    let given_up = tokio::time::Instant::now() + Duration::from_secs(40);
    while bench.store.view(&b, None).await.unwrap().record.run(next).is_none() {
        assert!(tokio::time::Instant::now() < given_up, "the second is not followed");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(bench.store.view(&b, None).await.unwrap().record.run(asked).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_the_overlap_policy_refuses_is_on_record() {
    let bench = chained();
    started(&bench, "d").await;
    bench.start().await;
    let first = started(&bench, "c").await;
    let query = Query { job: Some(job("d")), ..Query::default() };
    let given_up = tokio::time::Instant::now() + Duration::from_secs(40);
    let entry = loop {
        let entries = bench.store.history(&query).await.unwrap();
        if let Some(entry) = entries.into_iter().find(|entry| entry.trigger.kind() == "chain") {
            break entry;
        }
        assert!(tokio::time::Instant::now() < given_up, "nothing is on record");
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(entry.state, State::SkippedOverlap);
    assert!(matches!(&entry.trigger, Trigger::Chain { run_id, .. } if *run_id == first));
}

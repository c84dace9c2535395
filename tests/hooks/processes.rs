//! With real replicas: what follows runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cronclave::announce::Notices;
use cronclave::clock::Clock;
use cronclave::progress::{self, Progress};
use cronclave::store::{Create, Query, Sqlite, Store};
use tokio::time::{Instant, sleep};

use super::alone::SECRET;
use super::receiver::{Got, Receiver};

/// A directory with schedule files, a database, and replicas that share it.
struct Host {
    dir: tempfile::TempDir,
}

/// A replica. Dropped, it is killed.
struct Replica(Child);

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Host {
    fn new(jobs: &str) -> Host {
        let dir = tempfile::tempdir().unwrap();
        let secrets = "[secrets]\nhook = { env = \"HOOK\" }\n";
        fs::write(dir.path().join("jobs.toml"), format!("version = 1\n{secrets}{jobs}")).unwrap();
        Host { dir }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronclave"));
        command.args(args).current_dir(self.dir.path()).env("HOOK", SECRET).stdin(Stdio::null());
        command.env("CRONCLAVE_CONFIG", "jobs.toml").env("CRONCLAVE_DB", "x.db");
        for name in ["REDIS_URL", "AMQP_URL", "CLOUDAMQP_URL", "RABBITMQ_URL", "PORT", "CRONCLAVE_LISTEN"] {
            command.env_remove(name);
        }
        command
    }

    fn replica(&self) -> Replica {
        let log = fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut command = self.command(&["serve", "--no-http"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        Replica(command.spawn().unwrap())
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    async fn store(&self) -> Arc<Sqlite> {
        let path = self.dir.path().join("x.db");
        let given_up = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(store) = Sqlite::open(Path::new(&path), Create::Never, Clock::system()) {
                return Arc::new(store);
            }
            assert!(Instant::now() < given_up, "no database: {}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

/// The requests below `path`.
fn at<'a>(got: &'a [Got], path: &str) -> Vec<&'a Got> {
    got.iter().filter(|one| one.path.starts_with(path)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_pinged_signed_followed_and_say_how_far_they_are() {
    let receiver = Receiver::start().await;
    let base = format!("http://{}", receiver.address);
    let host = Host::new(&format!(
        "[hooks.chat]\nurl = \"{base}/chat\"\nformat = \"slack\"\nallow_private = true\n\
         [jobs.good]\nschedule = \"@manual\"\ncommand = \"true\"\nping = \"{base}/good\"\non_success = [\"job:next\"]\n\
         [jobs.bad]\nschedule = \"@manual\"\ncommand = \"exit 3\"\nping = \"{base}/bad\"\non_failure = [\"chat\"]\n\
         [jobs.next]\nschedule = \"@manual\"\nhttp = {{ url = \"{base}/next\", body = {{ x = 1 }}, sign_with = \"hook\" }}\n\
         [jobs.slow]\nschedule = \"@manual\"\ncommand = \"echo ::progress 5 begun; for i in 1 2 3; do echo ::progress $((i * 20)) step $i; done; sleep 5\"\n"
    ));
    let _replica = host.replica();
    let store = host.store().await;
    // Events from before there is an outbox are nobody's business.
    sleep(Duration::from_secs(1)).await;
    for job in ["good", "bad", "slow"] {
        let said = host.run(&["trigger", job]);
        assert!(said.status.success(), "{said:?}");
    }
    let enough = |got: &[Got]| {
        [("/good", 2), ("/bad", 2), ("/next", 1), ("/chat", 1)].iter().all(|(path, n)| at(got, path).len() >= *n)
    };
    let got = receiver.wait_for("pings, a message and a request", enough).await;
    let rid = |got: &Got| got.path.split("rid=").nth(1).unwrap().to_owned();
    let (good, bad) = (at(&got, "/good"), at(&got, "/bad"));
    assert_eq!(
        good.iter().map(|one| one.path.split('?').next().unwrap()).collect::<Vec<_>>(),
        ["/good/start", "/good"]
    );
    assert_eq!(bad.iter().map(|one| one.path.split('?').next().unwrap()).collect::<Vec<_>>(), ["/bad/start", "/bad/3"]);
    assert!(rid(good[0]) == rid(good[1]) && rid(bad[0]) == rid(bad[1]) && good[0].method == "GET");
    let chat = at(&got, "/chat")[0].json();
    assert!(chat["text"].as_str().unwrap().starts_with("✗ bad failed"), "{chat}");
    let request = at(&got, "/next")[0];
    assert!(request.headers["webhook-signature"].starts_with("v1,"));
    let (good_signature, said) = super::alone::verified(request, SECRET);
    assert!(good_signature, "{said}");
    assert_eq!(request.id(), format!("{}.1", request.headers["idempotency-key"]), "one id for each attempt");
    let chained = store.history(&Query { trigger: Some("chain".into()), ..Query::default() }).await.unwrap();
    assert_eq!(chained.len(), 1);
    assert_eq!(chained[0].id, request.headers["idempotency-key"]);

    let wait = async |wanted: fn(&[Progress]) -> bool| {
        let given_up = Instant::now() + Duration::from_secs(30);
        loop {
            let all = progress::all(&*store).await.unwrap();
            if wanted(&all) {
                return all;
            }
            assert!(Instant::now() < given_up, "{all:?}\n{}", host.log());
            sleep(Duration::from_millis(20)).await;
        }
    };
    let last = wait(|all| all.iter().any(|one| one.percent > 50.0)).await;
    let history = host.run(&["history", "slow"]);
    let shown = String::from_utf8_lossy(&history.stdout).into_owned();
    assert!(shown.contains("running  60% step 3"), "{shown}{}", String::from_utf8_lossy(&history.stderr));
    assert_eq!((last[0].job.as_str(), last[0].percent, last[0].message.as_str()), ("slow", 60.0, "step 3"));
    wait(<[Progress]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_killed_while_they_deliver_lose_nothing() {
    let receiver = Receiver::start().await;
    // Something is always on its way.
    receiver.take_time(Duration::from_millis(150));
    let host = Host::new(&format!(
        "[hooks.audit]\nurl = \"{}\"\nsecret = \"hook\"\nevents = [\"run.*\"]\nallow_private = true\n\
         [jobs.a]\nevery = \"1s\"\ncommand = \"true\"\n[jobs.b]\nevery = \"1s\"\ncommand = \"true\"\non_success = [\"job:c\"]\n\
         [jobs.c]\nschedule = \"@manual\"\ncommand = \"true\"\noverlap = \"queue_all\"\n",
        receiver.url()
    ));
    // The first has the outbox.
    let first = host.replica();
    receiver.wait_for("the first event", |got| !got.is_empty()).await;
    let second = host.replica();
    sleep(Duration::from_secs(2)).await;
    drop(first);
    let third = host.replica();
    let reached = receiver.got().len();
    receiver.wait_for("events from another replica", |got| got.len() > reached + 20).await;
    drop(second);
    sleep(Duration::from_secs(1)).await;
    drop(third);
    // All that happened by now is to be known; another replica sees to what is left of it.
    let store = host.store().await;
    let events = store.events(0, 100_000).await.unwrap();
    let mut notices = Notices::new("default");
    let told: BTreeMap<u64, String> = events
        .iter()
        .filter_map(|(position, event)| {
            let notice = notices.of(*position, event)?;
            notice.kind.starts_with("run.").then_some((*position, notice.event.id))
        })
        .collect();
    let _last = host.replica();
    let ids = receiver.ids();
    let begun = *told.iter().find(|(_, id)| ids.contains(*id)).unwrap().0;
    let wanted: BTreeSet<&String> = told.iter().filter(|(position, _)| **position >= begun).map(|(_, id)| id).collect();
    assert!(wanted.len() > 50, "{}", wanted.len());
    let all = |got: &[Got]| {
        let ids: BTreeSet<&str> = got.iter().map(Got::id).collect();
        wanted.iter().all(|id| ids.contains(id.as_str()))
    };
    let got = receiver.wait_for("all events", all).await;
    let mut bodies: BTreeMap<&str, &str> = BTreeMap::new();
    for one in &got {
        let body = bodies.entry(one.id()).or_insert(&one.body);
        assert_eq!(*body, one.body, "a copy says the same");
    }
    // Each success of b that somebody was told of started c, once.
    let succeeded: BTreeSet<String> = got
        .iter()
        .filter(|one| one.kind() == "run.succeeded")
        .map(|one| one.json()["data"].clone())
        .filter(|data| data["job"] == "b")
        .map(|data| data["run_id"].as_str().unwrap().to_owned())
        .collect();
    let query = Query { job: cronclave::job::JobName::new("c").ok(), ..Query::default() };
    let given_up = Instant::now() + Duration::from_secs(30);
    loop {
        let mut seen = BTreeSet::new();
        for entry in store.history(&query).await.unwrap() {
            let cronclave::lease::Trigger::Chain { run_id, .. } = &entry.trigger else { panic!("{entry:?}") };
            assert!(seen.insert(run_id.to_string()), "twice after one run");
        }
        let missing: Vec<_> = succeeded.difference(&seen).collect();
        if missing.is_empty() && seen.len() > 5 {
            break;
        }
        assert!(Instant::now() < given_up, "nothing followed {missing:?}: {}", host.log());
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_lists_tests_and_sends_again() {
    let receiver = Receiver::start().await;
    let host = Host::new(&format!(
        "[hooks.audit]\nurl = \"{}?token=geheim\"\nsecret = \"hook\"\nevents = [\"run.*\"]\nallow_private = true\n\
         [jobs.a]\nschedule = \"@manual\"\ncommand = \"true\"\n",
        receiver.url()
    ));
    let replica = host.replica();
    let store = host.store().await;
    sleep(Duration::from_secs(1)).await;
    let said = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("geheim") && !text.contains(SECRET), "a secret is shown: {text}");
        (output.status.code().unwrap(), text)
    };
    let (code, text) = said(&host.run(&["hooks"]));
    assert!(code == 0 && text.contains("audit") && text.contains("run.*"), "{text}");
    let (code, text) = said(&host.run(&["hooks", "test", "audit"]));
    assert!(code == 0 && text.contains("hook/audit took it: 200"), "{text}");
    assert_eq!(receiver.got()[0].kind(), "hook.test");
    let (code, text) = said(&host.run(&["hooks", "test", "audti"]));
    assert!(code == 66 && text.contains("did you mean `audit`?"), "{text}");
    receiver.answer_always(Some(410));
    said(&host.run(&["trigger", "a"]));
    let given_up = Instant::now() + Duration::from_secs(30);
    while !said(&host.run(&["hooks"])).1.contains("off: it answered 410 Gone") {
        assert!(Instant::now() < given_up, "{}", host.log());
    }
    let (_, text) = said(&host.run(&["hooks", "deliveries", "audit", "--failed"]));
    assert!(text.contains("run.queued") && text.contains("never"), "{text}");
    receiver.answer_always(None);
    said(&host.run(&["hooks", "enable", "audit"]));
    let before = receiver.got().len();
    let (code, text) = said(&host.run(&["hooks", "resend", "audit", "--all"]));
    assert!(code == 0 && text.contains("to hook/audit"), "{text}");
    receiver.wait_for("it again", |got| got.len() > before).await;
    drop(replica);
    assert!(!host.log().contains("geheim") && !host.log().contains(SECRET), "{}", host.log());
    drop(store);
}

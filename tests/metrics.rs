//! `/metrics` of real processes: all series after one story, the same gauges on every replica, old ones while the store
//! is down, labels that stay bounded. Alerts, dashboard and documentation name only what there is.
#![allow(clippy::unwrap_used)]

#[path = "common/servers.rs"]
mod servers;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cronclave::broker::NoBroker;
use cronclave::clock::{Clock, Timestamp};
use cronclave::config::{self, Flags, Process, SourceText};
use cronclave::desk::{Desk, Finish, Hold};
use cronclave::event::Told;
use cronclave::job::{Delivery, JobName, Overlap};
use cronclave::lease::{Ended, Fence, Outcome, RunId, Token, Trigger};
use cronclave::ledger::{Event, What};
use cronclave::metrics::{self, Kind, Metrics, Series, StoreKind};
use cronclave::record::{Bid, Key, Op, Reply, Target};
use cronclave::replica::{Jobs, Pulse};
use cronclave::runner::Handlers;
use cronclave::service::{self, Backends};
use cronclave::stop::Stop;
use cronclave::store::Memory;
use tempfile::TempDir;
use tokio::sync::watch;

const LONG: Duration = Duration::from_secs(60);

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let given_up = Instant::now() + LONG;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < given_up, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A directory with schedule files.
struct Place(TempDir);

impl Place {
    fn with(jobs: &str) -> Place {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("schedules")).unwrap();
        let place = Place(dir);
        place.write(jobs);
        place
    }

    fn write(&self, jobs: &str) {
        fs::write(self.0.path().join("schedules/jobs.toml"), format!("version = 1\n{jobs}")).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronclave"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        for name in
            ["REDIS_URL", "AMQP_URL", "CLOUDAMQP_URL", "RABBITMQ_URL", "PORT", "CRONCLAVE_DB", "CRONCLAVE_LISTEN"]
        {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command to its end.
    fn does(&self, args: &[&str]) {
        let done = self.command(args).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn serve(&self, args: &[&str]) -> Replica {
        self.serve_with(args, &[])
    }

    fn serve_with(&self, args: &[&str], env: &[(&str, &str)]) -> Replica {
        self.start("serve", args, env)
    }

    fn start(&self, command: &str, args: &[&str], env: &[(&str, &str)]) -> Replica {
        let args = [&[command, "--log-format", "text", "--listen", "127.0.0.1:0"], args].concat();
        let mut child = self.command(&args).envs(env.iter().copied()).stdout(Stdio::piped()).spawn().unwrap();
        let (lines, out) = (Arc::new(Mutex::new(Vec::new())), child.stdout.take().unwrap());
        let to = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                to.lock().unwrap().push(line);
            }
        });
        let address = until("it listens", || {
            let lines: Vec<String> = lines.lock().unwrap().clone();
            let line = lines.into_iter().find(|line| line.contains("http://"))?;
            Some(line.split("http://").nth(1)?.split('/').next()?.to_owned())
        });
        Replica { child, address, lines }
    }
}

struct Replica {
    child: Child,
    address: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Replica {
    /// The head and the body of its answer.
    fn get(&self, path: &str, accept: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
        (head.to_owned(), body)
    }

    fn metrics(&self) -> String {
        let (head, body) = self.get("/metrics", "*/*");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/plain; version=0.0.4"), "{head}");
        body
    }

    /// Waits for a line that begins so, and is not of the value 0.
    fn counts(&self, beginning: &str) {
        until(&format!("{beginning} counts"), || {
            let text = self.metrics();
            let line = text.lines().find(|line| line.starts_with(beginning))?.to_owned();
            let value: f64 = line.rsplit(' ').next()?.parse().ok()?;
            (value > 0.0).then_some(())
        });
    }

    fn says(&self, word: &str) -> Option<String> {
        self.lines.lock().unwrap().iter().find(|line| line.contains(word)).cloned()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole += &rest[..size];
        text = &rest[(size + 2).min(rest.len())..];
    }
    whole
}

/// Feeds a program with `input`; whether it was content, and what it said.
fn piped(program: &str, args: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    (done.status.success(), said)
}

/// The names of families in a text of either form, as `Series::name` has them.
fn families(text: &str) -> BTreeSet<String> {
    let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
    helps.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

const STORY: &str = r#"
[jobs.good]
every = "1s"
command = "true"
owner = "team \"a\"\\"
ping = "http://127.0.0.1:9/none"
must_succeed_within = "1h"

[jobs.bad]
every = "1s"
command = "false"
must_succeed_within = "2s"

[jobs.again]
every = "2s"
command = "exit 3"
retry = { attempts = 2, initial = "100ms" }

[jobs.closed]
every = "1s"
command = "true"
enabled = false

[jobs.remote]
every = "1s"
command = "true"
run_on = "worker"

[jobs.long]
schedule = "@manual"
command = "sleep 60"

[jobs.resting]
every = "1s"
command = "true"
"#;

/// What is called when it goes well; nobody is there.
const HOOKED: &str = "ping = \"http://127.0.0.1:9/none\"\n";

#[test]
fn after_one_story_all_series_are_there_and_promtool_is_content() {
    let place = Place::with(STORY);
    let replica = place.serve(&["--workers", "2"]);
    place.does(&["pause", "resting", "--reason", "for a while"]);
    place.does(&["trigger", "long"]);
    let begun = until("the long run goes", || replica.says("started     long"));
    let short = begun.split("run ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    for counted in [
        r#"cronclave_runs_total{job_name="good",state="succeeded",trigger="schedule"}"#,
        r#"cronclave_runs_total{job_name="bad",state="failed",trigger="schedule"}"#,
        r#"cronclave_runs_total{job_name="remote",state="succeeded",trigger="schedule"}"#,
        r#"cronclave_run_retries_total{job_name="again"}"#,
        r#"cronclave_occurrences_total{job_name="good",decision="started"}"#,
        r#"cronclave_job_overdue{job_name="bad"}"#,
        r#"cronclave_job_paused{job_name="resting"}"#,
        r#"cronclave_runs_in_progress{job_name="long"}"#,
        r#"cronclave_worker_deliveries_total{queue="default",outcome="acked"}"#,
        r#"cronclave_worker_slots{queue="default"}"#,
        r#"cronclave_published_messages_total{exchange="cronclave.tasks",outcome="confirmed"}"#,
        r#"cronclave_lock_acquisitions_total{outcome="won"}"#,
        r#"cronclave_hook_deliveries_total{hook="ping/good",outcome="retrying"}"#,
        r#"cronclave_store_operation_duration_seconds_count{store="sqlite",op="claim"}"#,
        r#"cronclave_http_requests_total{method="GET",route="/metrics",status="200"}"#,
    ] {
        replica.counts(counted);
    }
    let mut following = TcpStream::connect(&replica.address).unwrap();
    write!(following, "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", replica.address).unwrap();
    replica.counts("cronclave_sse_clients");
    place.does(&["cancel", &short]);
    // What a pause skipped is decided at its end.
    place.does(&["resume", "resting"]);
    replica.counts(r#"cronclave_occurrences_total{job_name="resting",decision="skipped_paused"}"#);
    replica.counts(r#"cronclave_runs_total{job_name="long",state="cancelled",trigger="manual"}"#);
    // Whoever is to stop hears of it by renewing.
    replica.counts("cronclave_lock_renew_duration_seconds_count");
    place.write(&STORY.replace("every = \"2s\"", "every = \"3s\""));
    replica.counts(r#"cronclave_config_reloads_total{outcome="applied"}"#);

    let text = replica.metrics();
    let (good, said) = piped("promtool", &["check", "metrics"], &text);
    assert!(good, "{said}\n{text}");
    let there = families(&text);
    let lacking: Vec<&str> =
        Series::ALL.iter().map(|series| series.name()).filter(|name| !there.contains(*name)).collect();
    assert!(lacking.is_empty(), "{lacking:?}\n{text}");
    for secret in ["sleep 60", "exit 3", "for a while", &short] {
        assert!(!text.contains(secret), "`{secret}` is in a label");
    }

    // A hook that left the files is forgotten.
    place.write(&STORY.replace(HOOKED, ""));
    until("the ping is forgotten", || (!replica.metrics().contains("ping/good")).then_some(()));

    let (head, open) = replica.get("/metrics", "application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1");
    assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE cronclave_runs counter"), "{open}");
    assert!(open.contains("# TYPE cronclave_job info") && open.contains("cronclave_job_info{"), "{open}");
    assert!(open.contains(r#"owner="team \"a\"\\""#), "{open}");
}

#[test]
fn metrics_are_read_like_all_else_unless_they_are_public() {
    let place = Place::with("[jobs.a]\nschedule = \"@manual\"\ncommand = \"true\"\n");
    let token = "a-token-that-nobody-guesses";
    let code = |replica: &Replica, path: &str| replica.get(path, "*/*").0.split(' ').nth(1).unwrap().to_owned();
    let closed = place.serve_with(&[], &[("CRONCLAVE_API_TOKEN", token)]);
    assert_eq!(code(&closed, "/metrics"), "401");
    let signed = closed.get("/metrics", &format!("*/*\r\nAuthorization: Bearer {token}"));
    assert!(signed.0.starts_with("HTTP/1.1 200") && !signed.1.contains(token), "{}", signed.0);
    drop(closed);
    let open = place.serve_with(&[], &[("CRONCLAVE_API_TOKEN", token), ("CRONCLAVE_METRICS_PUBLIC", "1")]);
    assert_eq!((code(&open, "/metrics"), code(&open, "/api/v1/jobs")), ("200".into(), "401".into()));
}

#[test]
fn a_worker_that_listens_tells_of_itself() {
    let place = Place::with("[jobs.a]\nschedule = \"@manual\"\ncommand = \"true\"\nrun_on = \"worker\"\n");
    let worker = place.start("worker", &["--concurrency", "3"], &[]);
    worker.counts(r#"cronclave_worker_slots{queue="default"} 3"#);
    until("it is seen alive", || worker.metrics().contains("cronclave_workers 1").then_some(()));
    let text = worker.metrics();
    assert!(text.contains("cronclave_store_up 1") && !text.contains("cronclave_clock_skew"), "{text}");
}

/// Lines about jobs, which are the same everywhere.
fn of_jobs(text: &str) -> Vec<String> {
    let same = ["cronclave_job_", "cronclave_runs_in_progress", "cronclave_replicas", "cronclave_config_drift"];
    text.lines().filter(|line| same.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect()
}

#[test]
fn gauges_of_jobs_are_the_same_on_all_replicas_and_stay_while_the_store_is_down() {
    let jobs = "[jobs.once]\nschedule = \"@manual\"\ncommand = \"exit 4\"\n[jobs.yearly]\nschedule = \"@yearly\"\ncommand = \"true\"\n";
    let mut server = servers::Redis::plain();
    let (url, place) = (server.url(), Place::with(jobs));
    let (a, b) = (place.serve(&["--redis", &url, "--replica", "a"]), place.serve(&["--redis", &url, "--replica", "b"]));
    // Whoever looked before hears of what happens later.
    let _ = (a.metrics(), b.metrics());
    let does = |args: &[&str]| place.does(&[&["--redis", &url], args].concat());
    does(&["trigger", "once"]);
    let both = until("both say the same of the run", || {
        let (of_a, of_b) = (of_jobs(&a.metrics()), of_jobs(&b.metrics()));
        let has = |line: &str| of_a.iter().any(|found| found.starts_with(line));
        let failed = has(r#"cronclave_job_last_run_success{job_name="once"} 0"#)
            && has(r#"cronclave_job_last_failure_timestamp_seconds{job_name="once"} "#)
            && has(r#"cronclave_job_last_run_duration_seconds{job_name="once"} "#)
            && has("cronclave_replicas 2");
        (failed && of_a == of_b).then_some(of_a)
    });
    // Who comes later knows it from the history.
    let c = place.serve(&["--redis", &url, "--replica", "c"]);
    until("the third says the same", || {
        let without = |lines: &[String]| -> Vec<String> {
            lines.iter().filter(|line| !line.starts_with("cronclave_replicas")).cloned().collect()
        };
        (without(&of_jobs(&c.metrics())) == without(&both)).then_some(())
    });
    server.kill();
    until("it is known that the store is down", || a.metrics().contains("cronclave_store_up 0").then_some(()));
    let kept = of_jobs(&a.metrics());
    assert!(both.iter().filter(|line| line.contains("once")).all(|line| kept.contains(line)), "{kept:#?}");
    server.start_again(&[]);
    until("it is up again", || a.metrics().contains("cronclave_store_up 1").then_some(()));
}

/// What a process with these jobs counts, without a process.
struct Counting {
    metrics: Metrics,
    jobs: watch::Sender<Arc<Jobs>>,
    bus: cronclave::event::Bus,
    desk: Desk,
}

fn jobs(names: &[&str]) -> Arc<Jobs> {
    let text: String =
        names.iter().map(|name| format!("[jobs.{name}]\nevery = \"1h\"\ncommand = \"true\"\n")).collect();
    let sources = vec![SourceText { name: "test".into(), text: format!("version = 1\n{text}").into() }];
    let config = config::load(&sources, &|_| None, Timestamp::from_secs(1_800_000_000)).unwrap();
    Arc::new(service::jobs(&config))
}

impl Counting {
    fn of(names: &[&str]) -> Counting {
        let process = Process::load(&Flags { no_http: true, ..Flags::default() }, &|_| None, "test").unwrap();
        let backends = Backends { store: Arc::new(Memory::new(Clock::system())), broker: Arc::new(NoBroker) };
        let parts = service::parts(&process, backends, Handlers::new());
        let (to, from) = watch::channel(jobs(names));
        let (metrics, parts) = Metrics::of(parts, StoreKind::Sqlite, from.clone());
        let bus = parts.bus.clone();
        let desk = Desk::new(parts, from, watch::channel(Pulse::default()).1);
        Counting { metrics, jobs: to, bus, desk }
    }

    /// One run from its claim to its end.
    fn story(&self, name: &str) {
        let (job, run_id) = (JobName::new(name).unwrap(), RunId::fresh(Timestamp::from_secs(10)));
        let tell = |secs, what| {
            self.bus.tell(Told::Changed(Event { at: Timestamp::from_secs(secs), job: job.clone(), what }));
        };
        let (scheduled_at, fence, holder) = (Timestamp::from_secs(10), Fence(7), "a".to_owned());
        let trigger = Trigger::Schedule;
        tell(10, What::Claimed { run_id, scheduled_at, trigger, attempt: 1, fence, holder: holder.clone() });
        tell(11, What::Started { run_id, attempt: 1, fence, holder });
        tell(13, What::Ended { run_id, attempt: 1, fence, ended: Ended::succeeded(), next: None });
    }
}

/// What keeps an idle replica busy.
#[tokio::test(start_paused = true)]
async fn what_is_last_known_is_read_anew_every_5_s_while_somebody_asks_and_else_once_a_minute() {
    let desk = Arc::new(Counting::of(&["job-0"]).desk);
    tokio::spawn(desk.clone().remember(Stop::default()));
    let sleep = |secs| tokio::time::sleep(Duration::from_secs(secs));
    // Each reading is a thing of its own.
    let seen = async || desk.seen().await.unwrap().snapshot;
    sleep(1).await;
    let first = seen().await;
    sleep(6).await;
    assert!(!Arc::ptr_eq(&first, &seen().await), "a start counts as a question");
    sleep(120).await;
    let old = seen().await;
    sleep(6).await;
    let kept = seen().await;
    sleep(6).await;
    assert!(Arc::ptr_eq(&kept, &seen().await) && (Arc::ptr_eq(&old, &kept)), "nobody has asked");
    sleep(60).await;
    assert!(!Arc::ptr_eq(&kept, &seen().await), "once a minute");
    let asked = desk.look().await.unwrap().snapshot;
    sleep(6).await;
    let next = seen().await;
    sleep(6).await;
    assert!(!Arc::ptr_eq(&asked, &next) && !Arc::ptr_eq(&next, &seen().await), "somebody has asked");
}

#[tokio::test]
async fn labels_stay_bounded_after_a_thousand_renames() {
    let counting = Counting::of(&["job-0"]);
    let reading = counting.metrics.clone();
    tokio::spawn(async move { reading.keep_up().await });
    let mut sizes = BTreeSet::new();
    for n in 0..1000 {
        let name = format!("job-{n}");
        counting.jobs.send_replace(jobs(&[&name]));
        counting.bus.tell(Told::Reloaded { digest: name.clone(), jobs: 1 });
        counting.story(&name);
        if n % 250 == 249 {
            let (_, text) = metrics::render(&counting.metrics, None).await;
            let named: BTreeSet<&str> =
                text.lines().filter_map(|line| line.split("job_name=\"").nth(1)?.split('"').next()).collect();
            // The gauges may be of a reading a moment ago.
            assert!(named.contains(name.as_str()) && named.len() <= 2, "{named:?}");
            sizes.insert(text.lines().filter(|line| line.starts_with("cronclave_runs_total")).count());
        }
    }
    assert_eq!(sizes.len(), 1, "{sizes:?}");
    // A run of a job that left the files while it went on.
    counting.story("job-17");
    let (_, text) = metrics::render(&counting.metrics, None).await;
    assert!(!text.contains("job-17\""), "{text}");
}

#[tokio::test]
async fn durations_and_delays_are_those_of_the_events() {
    let counting = Counting::of(&["a"]);
    counting.story("a");
    let (_, text) = metrics::render(&counting.metrics, None).await;
    for line in [
        r#"cronclave_run_duration_seconds_sum{job_name="a"} 2.0"#,
        "cronclave_run_start_delay_seconds_sum 1.0",
        r#"cronclave_runs_total{job_name="a",state="succeeded",trigger="schedule"} 1.0"#,
        r#"cronclave_runs_total{job_name="a",state="failed",trigger="schedule"} 0.0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[tokio::test]
async fn the_end_of_a_run_that_began_elsewhere_is_counted_with_why_it_existed() {
    let counting = Counting::of(&["a", "b"]);
    let (store, ttl) = (counting.desk.parts.store.clone(), Duration::from_secs(60));
    let asked = Trigger::Manual { by: None, reason: None };
    // Another process starts them, so that nobody here hears of it.
    let mut begun = Vec::new();
    for name in ["a", "b"] {
        let (job, run_id) = (JobName::new(name).unwrap(), RunId::fresh(Timestamp::from_secs(10)));
        let token = Token("http-mine".into());
        let bid = Bid {
            target: Target::Request { run_id, at: None, trigger: asked.clone(), args: [].into(), expect: None },
            token: token.clone(),
            holder: "elsewhere".into(),
            ttl,
            overlap: Overlap::Skip,
            delivery: Delivery::AtMostOnce,
            mutex: None,
            start: None,
        };
        let Reply::Won(run) = store.apply(&job, &Op::Claim(bid)).await.unwrap().reply else { panic!("not won") };
        let key = Key { run_id, fence: run.fence, token };
        store.apply(&job, &Op::Start { key, holder: "elsewhere".into(), ttl }).await.unwrap();
        begun.push((run_id, run.fence));
    }
    counting.desk.release("run:a", begun[0].1, "ana".into()).await.unwrap();
    let hold = Hold { fence: begun[1].1, token: Some("mine".into()), worker: "py-1".into() };
    let finish = Finish { outcome: Outcome::Succeeded, exit_code: None, message: None };
    counting.desk.finish(begun[1].0, &hold, finish).await.unwrap();
    let (_, text) = metrics::render(&counting.metrics, None).await;
    for line in [
        r#"cronclave_runs_total{job_name="a",state="lost",trigger="manual"} 1.0"#,
        r#"cronclave_runs_total{job_name="b",state="succeeded",trigger="manual"} 1.0"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

// ---- what is shipped with it ---------------------------------------------------------------------

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Names of series in an expression that there are not.
fn unknown(expression: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names =
        expression.split(|c| !word(c)).filter(|name| ["cronclave_", "process_"].iter().any(|p| name.starts_with(p)));
    let is_known = |name: &str| {
        Series::ALL.iter().any(|series| match series.kind() {
            Kind::Histogram(_) => {
                ["_bucket", "_sum", "_count"].iter().any(|end| format!("{}{end}", series.name()) == name)
            }
            _ => series.name() == name,
        })
    };
    names.filter(|name| !is_known(name)).map(str::to_owned).collect()
}

#[test]
fn the_alert_rules_are_sound_and_name_what_there_is() {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/rules.yml");
    let (good, said) = piped("promtool", &["check", "rules", rules], "");
    assert!(good, "{said}");
    let text = file("deploy/prometheus/rules.yml");
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect();
    assert_eq!(unknown(&code), Vec::<String>::new());
    for alert in text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(alert.starts_with("Cronclave"), "{alert}");
    }
}

/// What promtool is told happened, and which alert has to come of it.
#[test]
fn what_a_replica_notices_raises_its_alert() {
    let case = |series: &str, values: &str, at: &str, alert: &str, labels: &str| {
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/rules.yml");
        let test = format!(
            "rule_files: [{rules}]\nevaluation_interval: 30s\ntests:\n- interval: 30s\n  input_series:\n  \
             - {{ series: '{series}', values: '{values}' }}\n  promql_expr_test:\n  - expr: ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}\n    \
             eval_time: {at}\n    exp_samples:\n    - {{ labels: 'ALERTS{{alertname=\"{alert}\",alertstate=\"firing\",{labels}}}', value: 1 }}\n"
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.yml");
        fs::write(&path, &test).unwrap();
        let (good, said) = piped("promtool", &["test", "rules", path.to_str().unwrap()], "");
        assert!(good, "{test}\n{said}");
    };
    let failing = |check: &str| format!("cronclave_check_failing{{instance=\"a\",check=\"{check}\"}}");
    case(&failing("store_clock"), "0 0 1 1 1 1", "2m", "CronclaveStoreClockInDoubt", "severity=\"critical\"");
    case(&failing("lagging"), "1x20", "4m", "CronclaveLagging", "instance=\"a\",severity=\"warning\"");
    case(&failing("tzdb_differs"), "1x60", "20m", "CronclaveTimeZonesDiffer", "severity=\"warning\"");
    let stalled = "cronclave_stalled_seconds_total{instance=\"a\"}";
    case(stalled, "0 0 0 42 42 42", "2m", "CronclaveStalled", "instance=\"a\",severity=\"warning\"");
}

#[test]
fn the_dashboard_has_its_rows_and_names_what_there_is() {
    let dashboard: serde_json::Value = serde_json::from_str(&file("deploy/grafana/cronclave.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let titles = panels.iter().filter(|panel| panel["type"] == "row").map(|panel| panel["title"].as_str().unwrap());
    let rows = ["Freshness", "Errors", "Durations", "Start delay", "Locks", "Workers", "Replicas"];
    assert_eq!(titles.collect::<Vec<_>>(), rows);
    let mut expressions = Vec::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{}", panel["title"]);
        expressions.extend(targets.iter().map(|target| target["expr"].as_str().unwrap().to_owned()));
    }
    for expression in &expressions {
        assert_eq!(unknown(expression), Vec::<String>::new(), "{expression}");
    }
    let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    // Prometheus itself says whether they are expressions, once what Grafana puts in is there.
    let rules: String = expressions
        .iter()
        .map(|expression| expression.replace("$job_name", ".*").replace("$__rate_interval", "5m"))
        .enumerate()
        .map(|(n, expression)| format!("  - record: panel:{n}\n    expr: {}\n", serde_json::json!(expression)))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("panels.yml");
    fs::write(&path, format!("groups:\n- name: panels\n  rules:\n{rules}")).unwrap();
    let (good, said) = piped("promtool", &["check", "rules", path.to_str().unwrap()], "");
    assert!(good, "{said}");
}

#[test]
fn the_documentation_has_each_series() {
    let line = |series: &Series| {
        let kind = match series.kind() {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
            Kind::Info => "info",
        };
        let labels: Vec<String> = series.labels().iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        format!("| `{}` | {kind} | {labels} | {} |", series.name(), series.help())
    };
    let wanted: Vec<String> = Series::ALL.iter().map(line).collect();
    let page = file("docs/METRICS.md");
    let found: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| `cronclave_") || line.starts_with("| `process_")).collect();
    assert!(wanted == found, "the table of docs/METRICS.md should be:\n{}", wanted.join("\n"));
    // Histograms are listed without what is added to them.
    let unlisted = unknown(&page.replace("cronclave_job_*", ""));
    let is_listed = |name: &String| Series::ALL.iter().any(|series| series.name() == name);
    assert_eq!(unlisted.into_iter().filter(|name| !is_listed(name)).collect::<Vec<_>>(), Vec::<String>::new());
}

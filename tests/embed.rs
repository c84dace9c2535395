//! Cronclave within other programs: the facade in this process, and the example with axum in one of its own.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/servers.rs"]
mod servers;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cronclave::{Context, Cronclave, Error, ErrorKind, Role, State, Timestamp};
use reqwest::header::{ACCEPT, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt;

/// Within which everything must have happened, on a machine that has much else to do.
const LONG: Duration = Duration::from_secs(120);

const EXAMPLE: &str = include_str!("../examples/axum.rs");

/// The example with axum, in a directory of its own.
struct Program {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    /// Where the dashboard is.
    url: String,
    client: Client,
}

impl Program {
    fn start(dir: &Path, env: &[(&str, &str)]) -> Program {
        let mut beside: PathBuf = std::env::current_exe().unwrap();
        beside.pop();
        let path = beside.parent().unwrap().join("examples/axum");
        assert!(path.exists(), "{} is missing: cargo build --examples", path.display());
        let mut command = Command::new(path);
        command.arg("127.0.0.1:0").current_dir(dir).env_clear().envs(env.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let url = format!("http://{}/cron", line.trim().strip_prefix("listening at ").unwrap());
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(LONG).build().unwrap();
        Program { child, lines, url, client }
    }

    /// An address of its host.
    fn site(&self, path: &str) -> String {
        self.url.trim_end_matches("/cron").to_owned() + path
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.site(path)).header(ACCEPT, "text/html").send().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        self.client.get(self.site(path)).send().await.unwrap().json().await.unwrap()
    }

    /// A run of the job that succeeded, once there is one.
    async fn succeeded(&self) -> String {
        let deadline = Instant::now() + LONG;
        loop {
            let runs = self.json("/cron/api/v1/runs?state=succeeded").await;
            if let Some(id) = runs["items"][0]["id"].as_str() {
                return id.to_owned();
            }
            assert!(Instant::now() < deadline, "nothing ran: {runs}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The end that Ctrl+C makes: the exit code, and what else was printed.
    fn interrupt(mut self) -> (Option<i32>, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let deadline = Instant::now() + LONG;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the attributes of a page lead to.
fn led_to(html: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for name in ["href", "src", "action", "formaction", "data-src"] {
        for piece in html.split(&format!(" {name}=\"")).skip(1) {
            all.insert(piece.split('"').next().unwrap().replace("&amp;", "&"));
        }
    }
    all.retain(|address| !address.starts_with('#') && !address.is_empty());
    all
}

#[test]
fn the_example_with_axum_has_fewer_than_20_lines_of_code() {
    let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    assert!(EXAMPLE.lines().filter(code).count() < 20);
}

#[tokio::test]
async fn an_application_with_axum_serves_its_own_pages_and_the_whole_dashboard_below_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &[]);
    assert_eq!(program.get("/").await.text().await.unwrap(), "my own page");
    let run = program.succeeded().await;
    assert!(dir.path().join("cronclave.db").exists(), "without a store it is the binary's default");

    // Every page, and everything that a page leads to, is there and below the path.
    let mut seen = BTreeSet::new();
    let mut left: Vec<String> = ["/cron", "/cron/", "/cron/jobs/report", "/cron/signin"].map(str::to_owned).to_vec();
    left.push(format!("/cron/runs/{run}"));
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) || seen.len() > 300 {
            continue;
        }
        let answer = program.get(&path).await;
        let status = answer.status();
        assert!(status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED, "{path}: {status}");
        let is = |kind: &str| answer.headers().get("content-type").unwrap().to_str().unwrap().contains(kind);
        let (is_page, is_script) = (is("text/html"), is("javascript"));
        let text = answer.text().await.unwrap();
        if is_page {
            for address in led_to(&text) {
                assert!(
                    address.starts_with('?')
                        || address == "/cron"
                        || address.starts_with("/cron/")
                        || address.starts_with("/cron?"),
                    "{path}: {address}"
                );
                // Pages of one kind have the same links.
                let is_alike =
                    address.contains('?') || address.matches('/').count() > 3 && !address.contains("/assets/");
                if !is_alike {
                    left.push(address);
                }
            }
        }
        if is_script {
            let directory = path.rsplit_once('/').unwrap().0;
            for name in text.split("from './").skip(1).filter_map(|rest| rest.split('\'').next()) {
                left.push(format!("{directory}/{name}"));
            }
            let absolute = ["fetch('/", "fetch(`/", "EventSource('/", "href = '/"];
            assert!(!absolute.iter().any(|word| text.contains(word)), "{path} leads out of the path");
        }
    }
    let has = |end: &str| seen.iter().any(|path| path.ends_with(end));
    assert!(has("style.css") && has("app.js") && has("live.js") && has("base.js") && has("icon.svg"), "{seen:?}");
    assert!(program.get("/jobs").await.status() == StatusCode::NOT_FOUND, "the host's own addresses stay its own");

    // A form leads back, and what it keeps is kept for this path.
    let form = program.client.post(program.site("/cron/settings")).body("theme=dark&back=%2Fcron%2Fjobs");
    let set = form.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    assert_eq!((set.status(), set.headers()[LOCATION].to_str().unwrap()), (StatusCode::SEE_OTHER, "/cron/jobs"));
    assert!(set.headers()[SET_COOKIE].to_str().unwrap().contains("Path=/cron;"));

    // The API.
    let page = program.client.get(program.site("/cron/api/v1/runs?limit=1")).send().await.unwrap();
    if let Some(link) = page.headers().get("link") {
        assert!(link.to_str().unwrap().starts_with("</cron/api/v1/runs?"), "{link:?}");
    }
    assert_eq!(program.json("/cron/openapi.json").await["servers"][0]["url"], "/cron");
    let none = program.json("/cron/api/v1/jobs/nothing").await;
    assert_eq!(
        (none["type"].as_str(), none["instance"].as_str()),
        (Some("/cron/problems/not-found"), Some("/cron/api/v1/jobs/nothing"))
    );
    assert_eq!(program.get("/cron/problems/not-found").await.status(), StatusCode::OK);
    let trigger = program.client.post(program.site("/cron/api/v1/jobs/report/runs"));
    let refused = trigger.header("content-type", "application/json").body("{}").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "a visitor may look");
    assert_eq!(program.get("/cron/readyz").await.status(), StatusCode::OK);
    assert!(program.get("/cron/metrics").await.text().await.unwrap().contains("route=\"/jobs/{job}\""));

    // Streams, which do not keep it from ending.
    let mut streams = Vec::new();
    for path in ["/cron/changes", "/cron/api/v1/events"] {
        let mut stream = program.client.get(program.site(path)).send().await.unwrap();
        let mut text = String::new();
        while !text.contains("event: hello") {
            text += &String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("the stream goes on"));
        }
        streams.push(stream);
    }
    let ended = tokio::task::spawn_blocking(|| program.interrupt()).await.unwrap();
    assert_eq!(ended, (Some(0), String::new()), "it ends well, and Cronclave prints nothing");
}

#[tokio::test]
async fn with_from_env_replicas_meet_in_the_redis_of_the_environment() {
    let redis = servers::Redis::plain();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = redis.url();
    let start = |dir: &tempfile::TempDir, name: &str| {
        Program::start(dir.path(), &[("REDIS_URL", &url), ("CRONCLAVE_REPLICA", name)])
    };
    let (first, second) = (start(&one, "first"), start(&other, "second"));
    first.succeeded().await;
    let deadline = Instant::now() + LONG;
    loop {
        let cluster = second.json("/cron/api/v1/cluster").await.to_string();
        if cluster.contains("\"first\"") && cluster.contains("\"second\"") {
            break;
        }
        assert!(Instant::now() < deadline, "they do not see each other: {cluster}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!one.path().join("cronclave.db").exists());
    for program in [first, second] {
        let (code, _) = tokio::task::spawn_blocking(|| program.interrupt()).await.unwrap();
        assert_eq!(code, Some(0));
    }
}

const TICK: &str = "version = 1\n[jobs.tick]\nevery = \"1s\"\nhandler = \"tick\"\n";
const MANUAL: &str = "version = 1\n[jobs.slow]\nschedule = \"@manual\"\nhandler = \"slow\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn two_embedded_replicas_on_one_file_start_each_occurrence_once() {
    let dir = tempfile::tempdir().unwrap();
    let started = Arc::<Mutex<Vec<Timestamp>>>::default();
    let enough = Arc::new(Notify::new());
    let replica = || {
        let (started, enough) = (started.clone(), enough.clone());
        let tick = move |context: Context| {
            let mut started = started.lock().unwrap();
            started.push(context.scheduled_at());
            if started.len() >= 4 {
                enough.notify_one();
            }
            async { Ok::<(), String>(()) }
        };
        Cronclave::builder().toml("tick.toml", TICK).handler("tick", tick).sqlite(dir.path().join("a.db")).start()
    };
    let (one, other) = (replica().await.unwrap(), replica().await.unwrap());
    tokio::time::timeout(LONG, enough.notified()).await.expect("four seconds are counted");
    tokio::join!(one.shutdown(), other.shutdown());
    let started = started.lock().unwrap().clone();
    assert_eq!(started.iter().collect::<BTreeSet<_>>().len(), started.len(), "{started:?}");
    assert_ne!(format!("{one:?}"), format!("{other:?}"), "each has a name of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_waits_for_a_handler_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let done = Arc::new(AtomicBool::new(false));
    let slow = {
        let (begun, go_on, done) = (begun.clone(), go_on.clone(), done.clone());
        move |_: Context| {
            let (begun, go_on, done) = (begun.clone(), go_on.clone(), done.clone());
            async move {
                begun.notify_one();
                go_on.notified().await;
                done.store(true, Ordering::SeqCst);
                Ok::<(), String>(())
            }
        }
    };
    let stop = Arc::new(Notify::new());
    let told = {
        let stop = stop.clone();
        async move { stop.notified().await }
    };
    let builder = Cronclave::builder().toml("slow.toml", MANUAL).handler("slow", slow).grace(LONG);
    let cron = builder.sqlite(dir.path().join("a.db")).shutdown_when(told).start().await.unwrap();
    let run = cron.trigger("slow").await.unwrap();
    tokio::time::timeout(LONG, begun.notified()).await.expect("it begins");
    stop.notify_one();
    tokio::time::timeout(LONG, cron.stopping()).await.expect("it hears the host");
    assert!(!done.load(Ordering::SeqCst));
    go_on.notify_one();
    tokio::time::timeout(LONG, cron.stopped()).await.expect("it ends");
    assert!(done.load(Ordering::SeqCst));
    assert_eq!(cron.run(run).await.unwrap().state, State::Succeeded);
}

async fn refused(builder: cronclave::Builder) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    builder.sqlite(path).start().await.unwrap_err()
}

#[tokio::test]
async fn what_is_wrong_is_one_error_that_shows_the_place_and_the_fix() {
    let none = async |_: Context| Ok::<(), String>(());
    let wrong =
        refused(Cronclave::builder().toml("jobs.toml", TICK.replace("every", "evry")).handler("tick", none)).await;
    let text = wrong.to_string();
    assert_eq!(wrong.kind(), ErrorKind::Schedules);
    assert!(text.contains("jobs.toml:3:1") && text.contains("did you mean `every`?"), "{text}");
    assert_eq!(format!("{wrong:?}"), text, "a main that returns it says as much");

    let wrong = refused(Cronclave::builder().toml("jobs.toml", TICK).handler("tikc", none)).await;
    assert_eq!(wrong.kind(), ErrorKind::Handler);
    assert_eq!(wrong.to_string(), "jobs.toml:2: job `tick`: there is no handler `tick`; is it `tikc`?");

    let wrong = refused(Cronclave::builder().toml("jobs.toml", TICK).handler("tick", none).max_parallel(0)).await;
    assert_eq!(wrong.kind(), ErrorKind::Setting);
    assert!(wrong.to_string().contains("0 is not from 1 to 10000"), "{wrong}");

    let both = Cronclave::builder().toml("jobs.toml", TICK).handler("tick", none).redis("redis://localhost");
    let wrong = refused(both).await;
    assert!(wrong.kind() == ErrorKind::Setting && wrong.to_string().contains("choose one"), "{wrong}");

    let short = Cronclave::builder().toml("jobs.toml", TICK).handler("tick", none).token("secret");
    let wrong = refused(short).await;
    assert!(wrong.kind() == ErrorKind::Setting && wrong.to_string().contains("16 characters"), "{wrong}");

    let nowhere = Cronclave::builder().toml("jobs.toml", TICK).handler("tick", none).sqlite("/nowhere/a.db");
    let wrong = nowhere.start().await.unwrap_err();
    assert!(wrong.kind() == ErrorKind::Store && wrong.to_string().contains("/nowhere"), "{wrong}");

    fn is_usual<E: std::error::Error + Send + Sync + 'static>(_: E) {}
    is_usual(wrong);
}

#[tokio::test]
async fn what_is_asked_of_a_job_that_there_is_not_names_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let none = async |_: Context| Ok::<(), String>(());
    let builder = Cronclave::builder().toml("slow.toml", MANUAL).handler("slow", none);
    let cron = builder.sqlite(dir.path().join("a.db")).start().await.unwrap();
    let wrong = cron.trigger("solw").await.unwrap_err();
    assert!(wrong.kind() == ErrorKind::NotFound && wrong.to_string().contains("`slow`"), "{wrong}");
    let one = cron.trigger("slow").key("march").await.unwrap();
    assert_eq!(cron.trigger("slow").key("march").await.unwrap(), one, "the same key is the same run");
    cron.shutdown().await;
}

/// What a router answers to a request, without a server.
async fn answer(router: &axum::Router, method: &str, path: &str, token: Option<&str>) -> (StatusCode, String, String) {
    let mut request =
        axum::http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if method == "POST" { "{}" } else { "" };
    let answer = router.clone().oneshot(request.body(axum::body::Body::from(body)).unwrap()).await.unwrap();
    let place = answer.headers().get(LOCATION).map(|place| place.to_str().unwrap().to_owned());
    let status = answer.status();
    let text = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, place.unwrap_or_default(), String::from_utf8(text.to_vec()).unwrap())
}

#[tokio::test]
async fn nobody_is_let_in_unless_the_host_says_who_and_a_token_says_more() {
    const TOKEN: &str = "correct-horse-battery-staple";
    const RUNS: &str = "/a/b/api/v1/jobs/slow/runs";
    let dir = tempfile::tempdir().unwrap();
    let begin = async |setting: fn(cronclave::Builder) -> cronclave::Builder| {
        let builder =
            Cronclave::builder().toml("slow.toml", MANUAL).handler("slow", async |_: Context| Ok::<(), String>(()));
        setting(builder.sqlite(dir.path().join("a.db"))).start().await.unwrap()
    };
    let below = |cron: &Cronclave| {
        let inner = axum::Router::new().nest_service("/b", cron.router());
        axum::Router::new().nest("/a", inner)
    };
    let closed = begin(|builder| builder).await;
    let (status, _, text) = answer(&below(&closed), "GET", "/a/b/api/v1/jobs", None).await;
    assert!(status == StatusCode::UNAUTHORIZED && text.contains("visitors(Role::Viewer)"), "{status} {text}");

    let open = begin(|builder| builder.visitors(Role::Operator)).await;
    let (status, place, text) = answer(&below(&open), "POST", RUNS, Some("meant for the host")).await;
    assert!(status == StatusCode::ACCEPTED && place.starts_with("/a/b/api/v1/runs/"), "{status} {place} {text}");
    let (status, _, _) = answer(&below(&open), "POST", "/a/b/api/v1/config/reload", None).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "an operator is no admin");

    let known = begin(|builder| builder.token(TOKEN).visitors(Role::Viewer)).await;
    let routes = below(&known);
    assert_eq!(answer(&routes, "POST", RUNS, None).await.0, StatusCode::FORBIDDEN);
    let reloaded = answer(&routes, "POST", "/a/b/api/v1/config/reload", Some(TOKEN)).await;
    assert_eq!(reloaded.0, StatusCode::OK, "{}", reloaded.2);
    tokio::join!(closed.shutdown(), open.shutdown(), known.shutdown());
}

/// Keeps what a subscriber writes.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_happens_is_told_to_the_subscriber_of_the_host() {
    let (dir, lines) = (tempfile::tempdir().unwrap(), Lines::default());
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let done = Arc::new(Notify::new());
    let told = done.clone();
    let slow = move |context: Context| {
        let told = told.clone();
        async move {
            context.print("half way").await;
            told.notify_one();
            Ok::<(), String>(())
        }
    };
    let builder = Cronclave::builder().toml("slow.toml", MANUAL).handler("slow", slow);
    let cron = builder.sqlite(dir.path().join("a.db")).start().await.unwrap();
    let run = cron.trigger("slow").await.unwrap();
    tokio::time::timeout(LONG, done.notified()).await.expect("it runs");
    cron.shutdown().await;
    let has_all = |text: &str| {
        let run = format!("run_id=\"{run}\"");
        let of_run = |event: &str| text.lines().any(|line| line.contains(event) && line.contains(&run));
        of_run("event=\"run.output\"") && of_run("succeeded") && text.contains(" cronclave: ")
    };
    let deadline = Instant::now() + LONG;
    loop {
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        if has_all(&text) {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

//! The dashboard in a real browser: three replicas behind a balancer, Debian's Chromium, driven by Playwright.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/month.rs"]
mod month;
#[path = "common/python.rs"]
mod python;
#[path = "common/served.rs"]
mod served;
#[path = "common/servers.rs"]
mod servers;
#[path = "common/site.rs"]
mod site;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use cronclave::clock::Clock;
use cronclave::config::{self, SourceText};
use cronclave::store::redis::{Redis as RedisStore, Time};
use python::venv;
use rustix::process::{Pid, Signal, kill_process};
use served::TOKEN;
use servers::Redis;
use site::Site;

/// Of PyPI; the browser is Debian's.
const PACKAGES: [&str; 2] = ["playwright==1.65.2", "axe-playwright-python==0.1.8"];

/// A story may take so long.
const LIMIT: Duration = Duration::from_secs(600);

/// Jobs of the stories.
const JOBS: &str = include_str!("dashboard/jobs.toml");

/// A Redis that has lived through a month.
fn lived() -> Redis {
    let redis = Redis::plain();
    let now = Clock::system().now();
    let sources = [SourceText { name: "month.toml".into(), text: month::JOBS.into() }];
    let config = config::load(&sources, &|_| None, now).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // Within which all of it lies.
        let clock = Clock::starting_at(now.minus(Duration::from_secs(31 * 24 * 60 * 60)));
        let store = RedisStore::open(redis.url().parse().unwrap(), "default", Time::Given(clock.clone()));
        month::live(&store, &clock, &config, now).await;
    });
    redis
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Plays a script of `tests/dashboard` against a site. What the script cannot do itself it asks for, a line each:
/// `kill web.1`, `freeze redis`.
fn play(site: &mut Site, script: &str, more: &[(&str, &str)]) {
    let tools = venv("dashboard", &PACKAGES);
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboard");
    let mut command = Command::new(tools.join("python"));
    command.arg("-u").arg(here.join(script)).current_dir(&here);
    command
        .env("SITE", format!("http://127.0.0.1:{}", site.port))
        .env("TOKEN", TOKEN)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let each: Vec<String> = site.replicas.iter().map(|replica| format!("http://{}", replica.address())).collect();
    command.env("REPLICAS", each.join(" ")).envs(more.iter().copied());
    let said = tempfile::NamedTempFile::new().unwrap();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(said.reopen().unwrap());
    let mut child = command.spawn().unwrap();
    let (mut to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let pid = child.id().cast_signed();
    // Whatever hangs is ended, and with it the reading of its lines.
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        if is_over.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            signal(pid, Signal::KILL);
        }
    });
    let mut heard = Vec::new();
    for line in from.lines().map_while(Result::ok) {
        match line.split_once(' ') {
            Some(("kill", name)) => site.kill(name),
            Some(("freeze", "redis")) => signal(site.redis.pid(), Signal::STOP),
            Some(("thaw", "redis")) => signal(site.redis.pid(), Signal::CONT),
            _ => {
                heard.push(line);
                continue;
            }
        }
        writeln!(to, "done").unwrap();
    }
    let status = child.wait().unwrap();
    drop(over);
    let said = fs::read_to_string(said.path()).unwrap();
    assert!(status.success(), "{script}: {}\n{said}", heard.join("\n"));
    println!("{}", heard.join("\n"));
}

#[test]
fn three_replicas_are_steered_with_a_browser() {
    play(&mut Site::start(JOBS), "story.py", &[]);
}

#[test]
fn everything_can_be_done_without_javascript() {
    play(&mut Site::start(JOBS), "plain.py", &[]);
}

#[test]
fn everything_can_be_done_with_the_keyboard_alone() {
    play(&mut Site::start(JOBS), "keys.py", &[]);
}

#[test]
fn axe_finds_nothing_on_any_page_in_either_theme() {
    play(&mut Site::start_on(lived(), month::JOBS.trim_start_matches("version = 1"), &[]), "axe.py", &[]);
}

#[test]
fn hostile_texts_do_no_harm_and_stay_readable() {
    play(&mut Site::start(include_str!("dashboard/hostile.toml")), "hostile.py", &[]);
}

/// `cargo test --test dashboard pictures -- --ignored`: each page in both themes, narrow and wide, into
/// `target/pictures`; some of them are in README.md and docs/images.
#[test]
#[ignore = "it makes pictures for people"]
fn pictures_of_every_page() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pictures");
    fs::create_dir_all(&dir).unwrap();
    let mut site = Site::start_on(lived(), month::JOBS.trim_start_matches("version = 1"), &[]);
    play(&mut site, "pictures.py", &[("OUT", dir.to_str().unwrap())]);
}

/// `cargo test --release --test dashboard figures -- --ignored --nocapture`: how long pages take with 2,000 jobs, 40 of
/// which run every second.
#[test]
#[ignore = "it measures"]
fn figures_of_two_thousand_jobs() {
    let mut jobs = String::new();
    for n in 0..2000 {
        let when =
            if n < 40 { "every = \"1s\"".to_owned() } else { format!("schedule = \"{} {} * * *\"", n % 60, n % 24) };
        jobs += &format!("[jobs.job-{n:04}]\n{when}\ntags = [\"group-{}\"]\ncommand = \"true\"\n", n % 20);
    }
    let mut site = Site::start(&jobs);
    std::thread::sleep(Duration::from_secs(20));
    play(&mut site, "measure.py", &[("MORE", "/jobs?sort=next /jobs?q=job-00")]);
}

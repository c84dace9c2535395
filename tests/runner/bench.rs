//! Starts runs and watches them from outside.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::job::{Action, Command, Job, Task};
use cronclave::lease::{Ended, Fence, RunId, Trigger, Work};
use cronclave::runner::{Chunk, CommandRunner, Control, Halt, Handlers, HttpRunner, Runner, Runners, Stream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::jobs::every;

/// Longer than anything takes on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A number that no other process has in its arguments; `sleep` takes it as a very long time.
pub(crate) fn marker() -> String {
    format!("86400.{:010}", rand::random::<u32>())
}

/// The processes with `word` in their arguments.
pub(crate) fn alive(word: &str) -> Vec<i32> {
    let arguments = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| String::from_utf8_lossy(&arguments(pid)).contains(word)).collect()
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let given_up = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < given_up, "waited in vain until {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn gone(word: &str) {
    until("every process is gone", || alive(word).is_empty()).await;
}

pub(crate) fn signal(pid: i32, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
}

pub(crate) fn supervised() -> CommandRunner {
    let common = BTreeMap::from([("CRONCLAVE_REPLICA".to_owned(), "here".to_owned())]);
    CommandRunner::new(common).with_shim(env!("CARGO_BIN_EXE_cronclave"))
}

pub(crate) fn runners(command: CommandRunner, handlers: Handlers) -> Runners {
    Runners { command, http: HttpRunner::new(), handlers }
}

pub(crate) fn job(name: &str, action: Action) -> Job {
    every(name, 60).with(|job| {
        job.task = Task::Run(action);
        job.kill_after = Duration::from_secs(10);
    })
}

pub(crate) fn work(job: &Job) -> Work {
    let at = Timestamp::from_secs(1_800_000_000);
    Work {
        job: job.name.clone(),
        run_id: RunId::of_occurrence(&job.name, at),
        scheduled_at: at,
        attempt: 2,
        max_attempts: 3,
        fence: Fence(77),
        trigger: Trigger::Schedule,
        args: BTreeMap::from([("dry-run".to_owned(), "yes".to_owned())]),
        previous_success_at: Some(Timestamp::from_secs(1_700_000_000)),
        lease_until: at.plus(Duration::from_secs(30)),
    }
}

/// A run, held by its strings.
pub(crate) struct Running {
    pub(crate) halt: watch::Sender<Halt>,
    pub(crate) trust: watch::Sender<Instant>,
    pub(crate) task: JoinHandle<Ended>,
    collector: JoinHandle<()>,
    chunks: Arc<Mutex<Vec<Chunk>>>,
}

pub(crate) struct Done {
    pub(crate) ended: Ended,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    pub(crate) fn message(&self) -> &str {
        self.ended.message.as_deref().unwrap_or("")
    }
}

/// Starts `job` on a lease that lasts `lease` unless the test renews it.
pub(crate) fn start(runners: Runners, job: Job, lease: Duration) -> Running {
    let (halt, halted) = watch::channel(Halt::Go);
    let (trust, trusted_until) = watch::channel(Instant::now() + lease);
    let (output, mut pieces) = mpsc::channel(4);
    let chunks = Arc::new(Mutex::new(Vec::new()));
    let collected = chunks.clone();
    let collector = tokio::spawn(async move {
        while let Some(chunk) = pieces.recv().await {
            collected.lock().unwrap().push(chunk);
        }
    });
    let task = tokio::spawn(async move {
        let work = work(&job);
        runners.run(&job, &work, Control { halt: halted, trusted_until, output }).await
    });
    Running { halt, trust, task, collector, chunks }
}

/// Starts a program on a long lease.
pub(crate) fn start_command(command: Command) -> Running {
    start(runners(supervised(), Handlers::new()), job("nightly", Action::Command(command)), 10 * LONG)
}

/// Runs a program to its end.
pub(crate) async fn run(command: Command) -> Done {
    start_command(command).done().await
}

pub(crate) fn program(argv: &[&str]) -> Command {
    Command { argv: argv.iter().map(|&word| word.into()).collect(), ..Command::default() }
}

pub(crate) fn sh(script: &str) -> Command {
    program(&["/bin/sh", "-c", script])
}

impl Running {
    pub(crate) fn stop(&self, grace: Duration) {
        self.halt.send(Halt::Stop { grace }).unwrap();
    }

    pub(crate) fn printed(&self, stream: Stream) -> String {
        let chunks = self.chunks.lock().unwrap();
        let bytes = chunks.iter().filter(|chunk| chunk.stream == stream).flat_map(|chunk| chunk.bytes.clone());
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    }

    pub(crate) async fn prints(&self, word: &str) {
        until("it prints", || self.printed(Stream::Stdout).contains(word)).await;
    }

    pub(crate) async fn done(mut self) -> Done {
        let ended = timeout(LONG, &mut self.task).await.expect("the run does not end").unwrap();
        (&mut self.collector).await.unwrap();
        Done { ended, stdout: self.printed(Stream::Stdout), stderr: self.printed(Stream::Stderr) }
    }
}

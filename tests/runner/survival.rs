//! Nothing of a program outlives its run, its replica or its lease.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use cronclave::job::{Action, Command};
use cronclave::lease::Outcome;
use cronclave::runner::{CommandRunner, Control, Halt, Handlers, Runner};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::bench::{
    LONG, Running, alive, gone, job, marker, program, runners, sh, signal, start, start_command, supervised, until,
    work,
};

/// A leader, a child and a child in a session of its own; none of them minds TERM.
fn stubborn(marker: &str) -> String {
    format!(
        "trap '' TERM
         sh -c 'while :; do sleep {marker}; done' &
         setsid sh -c 'while :; do sleep {marker}; done' &
         echo ready; while :; do sleep {marker}; done"
    )
}

/// Leader, two shells and three sleeps.
const STUBBORN: usize = 6;

/// Starts `script` as the job `name` on a lease of `lease`, and waits until it is ready.
async fn ready(name: &str, script: &str, lease: Duration) -> Running {
    let running = start(runners(supervised(), Handlers::new()), job(name, Action::Command(sh(script))), lease);
    running.prints("ready").await;
    running
}

async fn all_are_up(marker: &str) {
    until("all of it is up", || alive(marker).len() >= STUBBORN).await;
}

/// At this very moment: the run has been said to be over.
fn assert_nothing_is_left(marker: &str) {
    assert_eq!(alive(marker), Vec::<i32>::new());
}

#[tokio::test]
async fn what_ignores_the_request_to_end_is_killed_wherever_it_hides() {
    let marker = marker();
    let running = start_command(sh(&stubborn(&marker)));
    all_are_up(&marker).await;
    running.stop(Duration::from_millis(300));
    let done = running.done().await;
    assert_eq!((done.ended.outcome, done.ended.signal), (Outcome::Failed, Some(9)));
    assert_nothing_is_left(&marker);
}

#[tokio::test]
async fn a_program_may_end_in_its_own_way_within_the_grace() {
    let running = ready("polite", "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.1; done", LONG).await;
    running.stop(10 * LONG);
    let done = running.done().await;
    assert_eq!((done.ended.exit_code, done.stdout.as_str()), (Some(7), "ready\nbye\n"));
}

#[tokio::test]
async fn a_program_that_floods_its_output_is_stopped_like_any_other() {
    let job = job("flood", Action::Command(sh("trap 'exit 7' TERM; yes & wait")));
    let (halt, halted) = watch::channel(Halt::Go);
    let (_trust, trusted_until) = watch::channel(Instant::now() + 10 * LONG);
    let (output, mut pieces) = mpsc::channel(4);
    // Not kept, as there is no end of it until the program is stopped.
    let reader = tokio::spawn(async move {
        let mut count = 0;
        while pieces.recv().await.is_some() {
            count += 1;
            if count == 1000 {
                halt.send(Halt::Stop { grace: 10 * LONG }).unwrap();
            }
        }
    });
    let (runners, work) = (runners(supervised(), Handlers::new()), work(&job));
    let run = runners.run(&job, &work, Control { halt: halted, trusted_until, output });
    assert_eq!(timeout(LONG, run).await.expect("it is not stopped").exit_code, Some(7));
    reader.await.unwrap();
}

#[tokio::test]
async fn a_second_request_may_shorten_the_grace() {
    let marker = marker();
    let running = ready("twice", &stubborn(&marker), 10 * LONG).await;
    running.stop(10 * LONG);
    running.stop(Duration::ZERO);
    assert_eq!(running.done().await.ended.signal, Some(9));
    assert_nothing_is_left(&marker);
}

#[tokio::test]
async fn what_a_program_leaves_in_the_background_does_not_hold_the_run_up() {
    let marker = marker();
    let script =
        format!("sleep {marker} & trap '' TERM; setsid sleep {marker} & (setsid sleep {marker} &) ; echo done");
    let done = start_command(sh(&script)).done().await;
    assert_eq!((done.ended.outcome, done.stdout.as_str()), (Outcome::Succeeded, "done\n"));
    assert_nothing_is_left(&marker);
}

#[tokio::test]
async fn a_program_that_keeps_handing_over_to_a_successor_is_caught() {
    let marker = marker();
    let folder = tempfile::tempdir().unwrap();
    let relay = folder.path().join("relay");
    fs::write(&relay, "#!/bin/sh\ntrap '' TERM\nsetsid \"$0\" \"$1\" &\nsleep 0.01\n").unwrap();
    fs::set_permissions(&relay, fs::Permissions::from_mode(0o755)).unwrap();
    let done = start_command(program(&[relay.to_str().unwrap(), &marker])).done().await;
    assert_eq!(done.ended.outcome, Outcome::Succeeded, "{}", done.message());
    assert_nothing_is_left(&marker);
}

#[tokio::test]
async fn dropping_the_run_ends_the_program() {
    let marker = marker();
    let mut job = job("dropped", Action::Command(sh(&stubborn(&marker))));
    job.kill_after = Duration::from_millis(200);
    let running = start(runners(supervised(), Handlers::new()), job, 10 * LONG);
    all_are_up(&marker).await;
    running.task.abort();
    gone(&marker).await;
}

#[tokio::test]
async fn a_lease_that_nobody_renews_ends_the_program_before_it_ends() {
    let marker = marker();
    let until = Instant::now() + Duration::from_secs(9);
    let running = ready("expired", &format!("echo ready; sleep {marker}"), until - Instant::now()).await;
    let done = running.done().await;
    assert!(Instant::now() < until, "it ran on after its lease");
    assert_eq!(done.ended.outcome, Outcome::Lost);
    assert!(done.message().contains("lease"), "{}", done.message());
    assert_nothing_is_left(&marker);
}

#[tokio::test]
async fn a_lease_that_nobody_renews_kills_a_program_that_does_not_listen() {
    let marker = marker();
    let running = ready("deaf", &stubborn(&marker), Duration::from_secs(8)).await;
    assert_eq!(running.done().await.ended.outcome, Outcome::Lost);
    assert_nothing_is_left(&marker);
}

#[tokio::test]
async fn a_renewed_lease_lets_the_program_go_on() {
    let first = Instant::now() + Duration::from_secs(8);
    let running = ready("renewed", "echo ready; sleep 9; echo done", first - Instant::now()).await;
    running.trust.send(Instant::now() + 10 * LONG).unwrap();
    let done = running.done().await;
    assert_eq!((done.ended.outcome, done.stdout.as_str()), (Outcome::Succeeded, "ready\ndone\n"));
}

#[tokio::test]
async fn a_supervisor_outlives_the_signals_that_a_platform_sends_to_all() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let script = format!("echo ready; while [ ! -e {} ]; do sleep 0.1; done; exit 5", go.display());
    let name = format!("steady-{}", rand::random::<u64>());
    let running = ready(&name, &script, 10 * LONG).await;
    for each in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::PIPE] {
        signal(alive(&name)[0], each);
    }
    fs::write(go, "").unwrap();
    assert_eq!(running.done().await.ended.exit_code, Some(5));
}

#[tokio::test]
async fn a_killed_supervisor_takes_the_program_along_and_the_run_says_so() {
    let marker = marker();
    let name = format!("orphan-{}", rand::random::<u64>());
    let script = format!("trap '' TERM; sh -c 'sleep {marker}; :' & echo ready; sleep {marker}");
    let running = ready(&name, &script, 10 * LONG).await;
    signal(alive(&name)[0], Signal::KILL);
    let done = running.done().await;
    assert_eq!(done.ended.outcome, Outcome::Failed);
    assert!(done.message().contains("supervised"), "{}", done.message());
    gone(&marker).await;
}

/// Runs that have their supervisors in common.
fn together() -> impl Fn(&str, Command) -> Running {
    let supervisors = supervised();
    move |name, command| {
        start(runners(supervisors.clone(), Handlers::new()), job(name, Action::Command(command)), 10 * LONG)
    }
}

#[tokio::test]
async fn a_supervisor_whose_run_is_over_takes_the_next_and_keeps_nothing_of_it() {
    let start = together();
    let script = "echo $PPID; pwd; echo $CRONCLAVE_JOB; cat";
    let directory = Some(Path::new("/usr").into());
    let first = Command { cwd: directory, stdin: Some("said".into()), ..sh(script) };
    let first = start("first", first).done().await.stdout;
    let next = start("next", sh(script)).done().await.stdout;
    let (first, next): (Vec<&str>, Vec<&str>) = (first.lines().collect(), next.lines().collect());
    assert_eq!((first[0], &first[1..]), (next[0], &["/usr", "first", "said"][..]));
    let home = std::env::current_dir().unwrap();
    assert_eq!(next[1..], [home.to_str().unwrap(), "next"]);
    // Nor does it when the program was killed, or could not be started.
    let killed = start("killed", sh("echo $PPID; kill -9 $$")).done().await;
    let missing = start("missing", program(&["/no/such/program"])).done().await;
    assert_eq!((killed.ended.signal, missing.ended.exit_code), (Some(9), Some(127)));
    let last = start("last", sh("echo $PPID")).done().await;
    assert_eq!([killed.stdout.trim(), last.stdout.trim()], [first[0], first[0]]);
    // Keeping it for the next does not grow with the runs.
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..10 {
        start("again", sh("true")).done().await;
    }
    assert!(tasks() <= before + 1, "{} tasks, before that {before}", tasks());
    // One that was killed while it waited is passed over.
    let pid: i32 = first[0].parse().unwrap();
    signal(pid, Signal::KILL);
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    until("it is gone", || state().is_empty() || state().contains(") Z ")).await;
    let other = start("other", sh("echo $PPID")).done().await;
    assert_eq!(other.ended.outcome, Outcome::Succeeded);
    assert_ne!(other.stdout.trim(), first[0]);
}

#[tokio::test]
async fn runs_at_the_same_time_have_a_supervisor_each_and_outlive_the_process_that_forks_them() {
    let (start, marker, name) = (together(), marker(), format!("long-{}", rand::random::<u64>()));
    let long = start(&name, sh(&format!("echo ready; sleep {marker}")));
    long.prints("ready").await;
    let supervisor = alive(&name)[0];
    assert_ne!(start("short", sh("echo $PPID")).done().await.stdout.trim(), supervisor.to_string());
    // Its state, and its parent.
    let stat = |pid: i32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let field = |pid, n| stat(pid).rsplit(')').next().unwrap().split_whitespace().nth(n).map(str::to_owned);
    let forks = field(supervisor, 1).unwrap().parse().unwrap();
    signal(forks, Signal::KILL);
    until("it is gone", || field(forks, 0).is_none_or(|state| state == "Z")).await;
    let (one, two) = (start("one", sh("sleep 0.2; echo $PPID")), start("two", sh("sleep 0.2; echo $PPID")));
    let (one, two) = (one.done().await, two.done().await);
    assert_eq!((one.ended.outcome, two.ended.outcome), (Outcome::Succeeded, Outcome::Succeeded));
    assert_ne!(one.stdout, two.stdout);
    assert_eq!(alive(&name), [supervisor], "another forks them now, and it has not noticed");
    long.stop(Duration::from_secs(1));
    assert_eq!(long.done().await.ended.signal, Some(15));
    assert_nothing_is_left(&marker);
}

#[tokio::test]
async fn without_a_supervisor_the_programs_group_ends_with_the_run() {
    let direct = |script: &str| {
        let runners = runners(CommandRunner::new(BTreeMap::new()), Handlers::new());
        start(runners, job("direct", Action::Command(sh(script))), 10 * LONG)
    };
    let marker = marker();
    let group = format!("trap '' TERM; sh -c 'sleep {marker}; :' & echo ready; sleep {marker}; :");
    let stopped = direct(&group);
    stopped.prints("ready").await;
    stopped.stop(Duration::from_millis(200));
    assert_eq!(stopped.done().await.ended.signal, Some(9));
    gone(&marker).await;
    let dropped = direct(&group);
    dropped.prints("ready").await;
    dropped.task.abort();
    gone(&marker).await;
    let left = direct(&format!("sleep {marker} & echo done")).done().await;
    assert_eq!((left.ended.outcome, left.stdout.as_str()), (Outcome::Succeeded, "done\n"));
    gone(&marker).await;
}

/// A replica that does nothing but run one stubborn program; its lease lasts `lease_s` seconds.
fn stand_in(marker: &str, lease_s: u64) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "survival::stand_in_for_a_replica", "--ignored", "--nocapture"])
        .env("CRONCLAVE_STAND_IN", format!("{marker} {lease_s}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Its supervisor is known by this.
fn stand_ins_job(marker: &str) -> String {
    format!("stand-in-{}", marker.replace('.', "-"))
}

#[tokio::test]
#[ignore = "started by the tests below, in a process of its own"]
#[allow(clippy::disallowed_methods, reason = "its only way to be told")]
async fn stand_in_for_a_replica() {
    let told = std::env::var("CRONCLAVE_STAND_IN").unwrap();
    let (marker, lease_s) = told.split_once(' ').unwrap();
    // What a replica inherited under our prefix is not handed on.
    let script = format!("test -z \"$CRONCLAVE_STAND_IN\" || exit 1\n{}", stubborn(marker));
    let mut job = job(&stand_ins_job(marker), Action::Command(sh(&script)));
    job.kill_after = Duration::from_secs(1);
    let lease = Duration::from_secs(lease_s.parse().unwrap());
    start(runners(supervised(), Handlers::new()), job, lease).done().await;
}

#[tokio::test]
async fn a_replica_killed_with_minus_nine_leaves_nothing_behind() {
    let marker = marker();
    let mut replica = stand_in(&marker, 600);
    all_are_up(&marker).await;
    replica.kill().unwrap();
    replica.wait().unwrap();
    gone(&marker).await;
    gone(&stand_ins_job(&marker)).await;
}

#[tokio::test]
async fn a_program_is_not_started_on_a_lease_that_is_over() {
    let marker = marker();
    let command = Action::Command(sh(&format!("echo started; sleep {marker}")));
    let done = start(runners(supervised(), Handlers::new()), job("late", command), Duration::ZERO).done().await;
    assert_eq!((done.ended.outcome, done.stdout.as_str()), (Outcome::Lost, ""));
}

#[tokio::test]
async fn a_frozen_replicas_program_ends_with_its_lease() {
    let marker = marker();
    let mut replica = stand_in(&marker, 15);
    all_are_up(&marker).await;
    signal(i32::try_from(replica.id()).unwrap(), Signal::STOP);
    gone(&marker).await;
    replica.kill().unwrap();
    replica.wait().unwrap();
}

#[tokio::test]
async fn a_supervisor_killed_under_a_frozen_replica_takes_the_programs_leader_along() {
    let marker = marker();
    let mut replica = stand_in(&marker, 600);
    all_are_up(&marker).await;
    signal(i32::try_from(replica.id()).unwrap(), Signal::STOP);
    signal(alive(&stand_ins_job(&marker))[0], Signal::KILL);
    let leader = format!("echo ready; while :; do sleep {marker}");
    gone(&leader).await;
    replica.kill().unwrap();
    replica.wait().unwrap();
    // Nobody was left to end what the leader had started.
    until("the test has cleaned up", || {
        for pid in alive(&marker) {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
        alive(&marker).is_empty()
    })
    .await;
}

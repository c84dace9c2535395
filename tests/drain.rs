//! A process is told to stop with everything in flight: a program, a call over HTTP, a function of its own, a run that
//! a worker has. It is gone within its grace. What could not finish is interrupted, costs no attempt, and runs elsewhere
//! at once. Real processes, a real Redis, a real RabbitMQ.
#![allow(missing_docs, clippy::unwrap_used, dead_code, unused_macros, unused_imports)]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cronclave::clock::{Clock, Timestamp};
use cronclave::config::{self, Flags, Process};
use cronclave::lease::Outcome;
use cronclave::ledger::{Entry, State};
use cronclave::record::Phase;
use cronclave::runner::{Context, Handlers};
use cronclave::service::{self, Role, Service};
use cronclave::store::Create;
use rustix::process::Signal;

#[path = "disorder/cluster.rs"]
mod cluster;
#[path = "common/invariants.rs"]
mod invariants;
#[path = "common/rabbit.rs"]
mod rabbit;
#[path = "common/servers.rs"]
mod servers;

use cluster::{Cluster, WORKERS, say, signal, until};
use rabbit::Rabbit;

/// What each process here has, as a platform would give it.
const GRACE: Duration = Duration::from_secs(2);

/// A run that was interrupted is to begin elsewhere within this time after its process is gone.
const ELSEWHERE: Duration = Duration::from_secs(2);

/// Beyond the grace, for a machine that is busy: less than a program has between TERM and KILL where nothing hurries it.
const LATE: Duration = Duration::from_secs(8);

/// A job of which no second attempt is wanted. The first run of it lasts until the file `over` is there and somebody
/// looks again, so for ever; the next ends at once.
fn job(name: &str, action: &str) -> String {
    format!(
        "[jobs.{name}]\nschedule = \"@manual\"\ndelivery = \"at_least_once\"\nretry = {{ attempts = 1 }}\n\
         kill_after = \"1s\"\n{action}\n"
    )
}

const PROGRAM: &str = "command = \"test -e over || sleep 600\"";

/// A service that is called: it answers nobody until the file is there, and those who come later at once.
struct Called {
    url: String,
    calls: Arc<AtomicUsize>,
}

impl Called {
    fn begin() -> (Called, std::sync::mpsc::Sender<PathBuf>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (tell, told) = std::sync::mpsc::channel::<PathBuf>();
        let calls = Arc::<AtomicUsize>::default();
        let count = calls.clone();
        std::thread::spawn(move || {
            let over = told.recv().unwrap();
            for stream in listener.incoming().map_while(Result::ok) {
                let (over, count) = (over.clone(), count.clone());
                std::thread::spawn(move || answer(stream, &over, &count));
            }
        });
        (Called { url, calls }, tell)
    }
}

fn answer(mut stream: TcpStream, over: &Path, calls: &AtomicUsize) {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    while !text.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(size @ 1..) => text.extend_from_slice(&piece[..size]),
            _ => return,
        }
    }
    calls.fetch_add(1, Ordering::SeqCst);
    if over.exists() {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    } else {
        // Until the caller gives up.
        while matches!(stream.read(&mut piece), Ok(1..)) {}
    }
}

/// Whether each of these jobs runs now.
fn all_run(cluster: &Cluster, jobs: &[&str]) -> bool {
    jobs.iter().all(|job| cluster.open_runs(job).iter().any(|run| run.phase == Phase::Running))
}

/// Tells these processes to stop and waits for them; then what became of each job, by the one line that its history has.
/// `grace`: when what still runs is ended.
fn stop_and_see(cluster: &mut Cluster, processes: &[usize], jobs: &[&str], grace: Duration) {
    fs::write(cluster.path("over"), "").unwrap();
    let told = Clock::system().now();
    for index in processes {
        signal(cluster.pid(*index).unwrap(), Signal::TERM);
    }
    let mut gone = told;
    for index in processes {
        let (at, status) = cluster.ended(*index);
        assert!(status.success(), "process {index} ended with {status}: {}", cluster.logs());
        gone = gone.max(at);
    }
    let took = gone.since(told);
    assert!(took <= grace + LATE, "gone after {took:?} with a grace of {grace:?}");
    let mut delays = Vec::new();
    for job in jobs {
        until("it is over", || cluster.open_runs(job).is_empty());
        let history = cluster.history(job);
        let [entry] = &history[..] else { panic!("{job}: one run has {} lines", history.len()) };
        delays.push(format!("{job} {} ms", elsewhere(entry, gone).as_millis()));
    }
    let (took, delays) = (took.as_millis(), delays.join(", "));
    say(&format!(
        "gone {took} ms after TERM (grace {grace:?}); elsewhere, after the interruption was recorded: {delays}"
    ));
}

/// How long after its end was recorded an interrupted run began elsewhere. Nothing of that counts against it.
fn elsewhere(entry: &Entry, gone: Timestamp) -> Duration {
    let [first, second] = &entry.attempts[..] else { panic!("interrupted once, run twice: {entry:#?}") };
    let outcome = |attempt: &cronclave::ledger::Attempt| attempt.ended.as_ref().map(|ended| ended.outcome);
    assert_eq!(outcome(first), Some(Outcome::Interrupted), "{entry:#?}");
    assert_eq!((outcome(second), entry.state), (Some(Outcome::Succeeded), State::Succeeded), "{entry:#?}");
    assert_eq!((first.attempt, second.attempt), (1, 1), "being interrupted costs no attempt: {entry:#?}");
    assert_ne!(first.replica, second.replica, "it ran elsewhere");
    assert!(second.fence > first.fence);
    let again = second.started_at.unwrap();
    let delay = again.since(gone);
    assert!(delay <= ELSEWHERE, "it began elsewhere {delay:?} after its process was gone: {entry:#?}");
    again.since(first.finished_at.unwrap())
}

/// A replica and a worker with everything in flight are told to stop while another of each is there.
fn drains(
    mut cluster: Cluster,
    called: &Called,
    over: &std::sync::mpsc::Sender<PathBuf>,
    is_consumed: impl Fn() -> bool,
) {
    const JOBS: [&str; 3] = ["program", "call", "remote"];
    over.send(cluster.path("over")).unwrap();
    for index in [0, 1, WORKERS, WORKERS + 1] {
        cluster.give(index, "CRONCLAVE_GRACE", &format!("{}s", GRACE.as_secs()));
    }
    cluster.serve(0);
    cluster.work(0);
    // A file is there once somebody made it.
    until("they are there", || cluster.path("cronclave.db").exists() || cluster.redis.is_some());
    until("they are seen", || cluster.replicas().len() == 2);
    JOBS.iter().for_each(|job| cluster.trigger(job));
    until("everything runs", || all_run(&cluster, &JOBS) && called.calls.load(Ordering::SeqCst) == 1);
    cluster.serve(1);
    cluster.work(1);
    until("others are there", || cluster.replicas().len() == 4 && is_consumed());
    stop_and_see(&mut cluster, &[0, WORKERS], &JOBS, GRACE);
    assert_eq!(called.calls.load(Ordering::SeqCst), 2);
    cluster.stop();
}

fn jobs(called: &Called) -> String {
    job("program", PROGRAM)
        + &job("call", &format!("http = {{ url = \"{}\" }}", called.url))
        + &job("remote", &format!("run_on = \"worker\"\n{PROGRAM}"))
}

#[test]
fn what_a_replica_and_a_worker_could_not_finish_runs_elsewhere_at_once() {
    let (called, over) = Called::begin();
    let mut cluster = Cluster::beside_others(&jobs(&called)).moved_to_redis(&[]);
    let vhost = Rabbit::shared().vhost();
    cluster.amqp = Some(Rabbit::shared().url_of(&vhost));
    // Eight slots of each worker.
    let is_consumed =
        || Rabbit::shared().queue(&vhost, "cronclave.q.default.default").is_some_and(|(_, takers)| takers == 16);
    drains(cluster, &called, &over, is_consumed);
}

#[test]
fn on_one_machine_with_a_file_it_is_the_same() {
    let (called, over) = Called::begin();
    let cluster = Cluster::beside_others(&jobs(&called));
    drains(cluster, &called, &over, || true);
}

/// Until it is killed: it does not hear that it should end. It may take ten seconds for that.
const DEAF: &str =
    "command = \"trap '' TERM; while ! test -e over || test $CRONCLAVE_REPLICA = replica-0; do sleep 0.1; done\"";

#[test]
fn a_program_that_does_not_end_by_itself_is_ended_before_the_platform_would_end_everything() {
    let jobs =
        "[jobs.deaf]\nschedule = \"@manual\"\ndelivery = \"at_least_once\"\nkill_after = \"10s\"\n".to_owned() + DEAF;
    let mut cluster = Cluster::beside_others(&(jobs + "\n")).moved_to_redis(&[]);
    // Killed after 5 s.
    cluster.give(0, "FLY_MACHINE_ID", "148e445b911389");
    cluster.serve(0);
    until("it is there", || cluster.replicas().len() == 1);
    cluster.trigger("deaf");
    until("it runs", || all_run(&cluster, &["deaf"]));
    cluster.serve(1);
    until("the other is there", || cluster.replicas().len() == 2);
    stop_and_see(&mut cluster, &[0], &["deaf"], Duration::from_secs(4));
    cluster.stop();
}

/// Its own function, which goes on until it is asked to end.
async fn wait(context: Context) -> Result<(), String> {
    if Path::new("over").exists() {
        return Ok(());
    }
    context.cancelled.cancelled().await;
    Err("asked to end".to_owned())
}

/// A program with a replica inside.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test below, in a process of its own"]
async fn a_program_with_a_replica_inside() {
    let flags = Flags { no_http: true, ..Flags::default() };
    let process = Process::load(&flags, &config::environment, "inside").unwrap();
    let (sources, config) = service::read_config(&process.config).unwrap();
    let backends = service::open(&process, Create::IfMissing).unwrap();
    let parts = service::parts(&process, backends, Handlers::new().register("wait", wait));
    let service = Service { process, parts, config, sources, inline: Vec::new(), watch: false, role: Role::default() };
    cronclave::daemon::run(service, None).await.unwrap();
}

#[test]
fn a_function_of_the_program_that_a_replica_is_in_runs_elsewhere_at_once() {
    let mut cluster = Cluster::beside_others(&job("function", "handler = \"wait\"")).moved_to_redis(&[]);
    let embedded = |cluster: &mut Cluster, index: usize| {
        let mut command = cluster.program(&std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "--nocapture", "a_program_with_a_replica_inside"]);
        command.env("CRONCLAVE_REPLICA", format!("inside-{index}"));
        command.env("CRONCLAVE_GRACE", format!("{}s", GRACE.as_secs()));
        let child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
        cluster.adopt(index, child);
    };
    embedded(&mut cluster, 0);
    until("it is there", || cluster.replicas().len() == 1);
    cluster.trigger("function");
    until("it runs", || all_run(&cluster, &["function"]));
    embedded(&mut cluster, 1);
    until("the other is there", || cluster.replicas().len() == 2);
    stop_and_see(&mut cluster, &[0], &["function"], GRACE);
    cluster.stop();
}

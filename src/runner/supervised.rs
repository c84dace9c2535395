//! A program under its supervisor (see [`shim`](mod@super::shim)), as the replica sees it.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::forkserver::Supervisors;
use super::program::{Finish, Program, carrying};
use super::wire::{Monotonic, NotStarted, Order, Report, Spec};
use super::{Control, Halt, shim};

/// A supervisor that was told to stop and is silent this long after its time is itself killed.
const SILENCE: Duration = Duration::from_secs(10);

/// Room for what a supervisor says, in bytes, most of the time.
const LINE: usize = 256;

/// Runs `program` under a supervisor. Dropping the future closes the control socket, upon which the supervisor
/// ends the program.
pub(super) async fn run(
    supervisors: &Supervisors,
    program: &Program<'_>,
    control: Control,
) -> Result<Finish, NotStarted> {
    let Control { halt, mut trusted_until, output } = control;
    let spec = Spec {
        job: program.job.name.to_string(),
        argv: program.command.words(),
        stdin: program.command.stdin.clone().map(String::from),
        directory: program.command.cwd.as_deref().map(Path::to_owned),
        environment: program.environment.clone(),
        kill_after: program.job.kill_after,
        lease: Monotonic::of(*trusted_until.borrow_and_update()),
    };
    let (socket, rest, stdout, stderr) = begin(supervisors, Order::Start(spec))
        .await
        .map_err(|error| NotStarted { code: 125, why: format!("cannot start a supervisor for it: {error}") })?;
    let report = carrying(stdout, stderr, &output, supervise(supervisors, socket, rest, halt, trusted_until)).await;
    match report {
        Ok(Report::NotStarted(why)) => Err(why),
        report => Ok(report),
    }
}

/// A supervisor that was told to start a program, what of that it was not told yet, and the output of the program.
async fn begin(supervisors: &Supervisors, order: Order) -> io::Result<(UnixStream, Vec<u8>, Receiver, Receiver)> {
    let ((stdout, out), (stderr, err)) = (io::pipe()?, io::pipe()?);
    let (stdout, stderr) = (Receiver::from_owned_fd(stdout.into())?, Receiver::from_owned_fd(stderr.into())?);
    let mut line = line(&order)?;
    let (socket, told) = supervisors.take(&line, &[out.as_fd(), err.as_fd()]).await?;
    Ok((socket, line.split_off(told), stdout, stderr))
}

/// Speaks with the supervisor until it has told how the program ended.
async fn supervise(
    supervisors: &Supervisors,
    mut socket: UnixStream,
    rest: Vec<u8>,
    halt: watch::Receiver<Halt>,
    trusted_until: watch::Receiver<Instant>,
) -> Finish {
    let (from, mut to) = socket.split();
    let mut from = BufReader::with_capacity(LINE, from);
    let (mut started, mut is_mid_word) = (None, !rest.is_empty());
    let last = tokio::select! {
        report = listen(&mut from, &mut started) => report.ok_or("was ended"),
        () = tell(&mut to, &mut is_mid_word, rest, halt, trusted_until) => Err(SILENT),
    };
    match last {
        Ok(report) => {
            if !is_mid_word && !matches!(report, Report::Stuck) && from.buffer().is_empty() {
                supervisors.give_back(socket);
            }
            Ok(report)
        }
        Err(how) => Err(lost(how, started).await),
    }
}

/// The processes of a run.
struct Started {
    leader: Pid,
    supervisor: Pid,
}

/// What is said of a supervisor that holds its socket and says nothing.
const SILENT: &str = "did not answer";

/// The supervisor's last word, or `None` when it went away without one.
async fn listen(from: &mut BufReader<ReadHalf<'_>>, started: &mut Option<Started>) -> Option<Report> {
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match serde_json::from_str(&line).ok()? {
            Report::Started { leader, supervisor } => {
                *started = Some(Started { leader: Pid::from_raw(leader)?, supervisor: Pid::from_raw(supervisor)? });
            }
            last_word => return Some(last_word),
        }
    }
}

/// Passes on each renewal and each request to stop. Returns only when a request to stop was not
/// followed. What was being said when this is dropped, is said in part.
async fn tell(
    to: &mut WriteHalf<'_>,
    is_mid_word: &mut bool,
    rest: Vec<u8>,
    mut halt: watch::Receiver<Halt>,
    mut trusted_until: watch::Receiver<Instant>,
) {
    let (mut words, mut patience) = (rest, None);
    halt.mark_changed();
    loop {
        if !words.is_empty() {
            // A supervisor that is gone is noticed by who listens.
            *is_mid_word = true;
            let _ = to.write_all(&words).await;
            *is_mid_word = false;
            words.clear();
        }
        tokio::select! {
            Ok(()) = halt.changed() => if let Halt::Stop { grace } = *halt.borrow_and_update() {
                patience = Some(Instant::now() + grace + shim::GIVE_UP + SILENCE);
                words = line(&Order::Stop(grace)).unwrap_or_default();
            },
            Ok(()) = trusted_until.changed() => {
                words = line(&Order::Lease(Monotonic::of(*trusted_until.borrow_and_update()))).unwrap_or_default();
            }
            () = until(patience) => return,
        }
    }
}

fn line(order: &Order) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    Ok(line)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The supervisor is gone or does not answer. With it the kernel kills the program's leader; we
/// kill the rest of its group.
async fn lost(how: &str, started: Option<Started>) -> String {
    let Some(Started { leader, supervisor }) = started else {
        return format!("the process that supervises the program {how} before it started it");
    };
    // One that is gone may have left its number to somebody else; one that holds its socket has it.
    if how == SILENT {
        let _ = kill_process(supervisor, Signal::KILL);
    }
    let give_up = Instant::now() + shim::GIVE_UP;
    let _ = kill_process_group(leader, Signal::KILL);
    while test_kill_process_group(leader).is_ok() && Instant::now() < give_up {
        sleep(Duration::from_millis(20)).await;
    }
    format!("the process that supervised the program {how}, and the program was killed with it")
}

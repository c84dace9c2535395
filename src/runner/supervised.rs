//! A program under its supervisor (see [`shim`](mod@super::shim)), as the replica sees it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Socket;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::program::{Finish, Program, read_output};
use super::wire::{Monotonic, NotStarted, Order, Report, Spec};
use super::{Control, Halt, shim};

/// A supervisor that was told to stop and is silent this long after its time is itself killed.
const SILENCE: Duration = Duration::from_secs(10);

/// Runs `program` under a new process of `executable`. Dropping the future closes the control
/// socket, upon which the supervisor ends the program.
pub(super) async fn run(executable: &Path, program: &Program<'_>, control: Control) -> Result<Finish, NotStarted> {
    let (ours, mut child) = spawn(executable, program)
        .map_err(|error| NotStarted { code: 125, why: format!("cannot start a supervisor for it: {error}") })?;
    let Control { halt, trusted_until, output } = control;
    let readers = read_output(&mut child, &output);
    let (from, to) = ours.into_split();
    let spec = Spec {
        argv: program.command.argv.clone(),
        stdin: program.command.stdin.clone(),
        kill_after: program.job.kill_after,
        lease: Monotonic::NEVER,
    };
    let mut leader = None;
    let report = tokio::select! {
        report = listen(from, &mut leader) => report,
        () = tell(to, spec, halt, trusted_until) => None,
    };
    let report = match report {
        Some(Report::NotStarted(why)) => return Err(why),
        Some(report) => Ok(report),
        None => Err(lost(child, leader).await),
    };
    Ok(Finish { report, output: readers })
}

fn spawn(executable: &Path, program: &Program<'_>) -> io::Result<(UnixStream, Child)> {
    let (ours, theirs) = Socket::pair()?;
    ours.set_nonblocking(true)?;
    let mut process = Command::new(executable);
    // The job's name is for those who list processes.
    process.arg0("cronclave").arg(shim::ARGUMENT).arg(program.job.name.as_str());
    process.stdin(OwnedFd::from(theirs)).process_group(0);
    program.dress(&mut process);
    Ok((UnixStream::from_std(ours)?, process.spawn()?))
}

/// The supervisor's last word, or `None` when it went away without one.
async fn listen(from: OwnedReadHalf, leader: &mut Option<Pid>) -> Option<Report> {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line).ok()? {
            Report::Started(pid) => *leader = Pid::from_raw(pid),
            last_word => return Some(last_word),
        }
    }
    None
}

/// Passes on each renewal and each request to stop. Returns only when a request to stop was not
/// followed.
async fn tell(
    mut to: OwnedWriteHalf,
    mut spec: Spec,
    mut halt: watch::Receiver<Halt>,
    mut trusted_until: watch::Receiver<Instant>,
) {
    spec.lease = Monotonic::of(*trusted_until.borrow_and_update());
    let mut order = Some(Order::Start(spec));
    let mut patience = None;
    halt.mark_changed();
    loop {
        if let Some(order) = order.take() {
            // A supervisor that is gone is noticed by who listens.
            let _ = send(&mut to, &order).await;
        }
        tokio::select! {
            Ok(()) = halt.changed() => if let Halt::Stop { grace } = *halt.borrow_and_update() {
                patience = Some(Instant::now() + grace + shim::GIVE_UP + SILENCE);
                order = Some(Order::Stop(grace));
            },
            Ok(()) = trusted_until.changed() => {
                order = Some(Order::Lease(Monotonic::of(*trusted_until.borrow_and_update())));
            }
            () = until(patience) => return,
        }
    }
}

async fn send(to: &mut OwnedWriteHalf, order: &Order) -> io::Result<()> {
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    to.write_all(&line).await
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The supervisor is gone or does not answer. With it the kernel kills the program's leader; we
/// kill the rest of its group.
async fn lost(mut supervisor: Child, leader: Option<Pid>) -> String {
    let _ = supervisor.start_kill();
    let how = match supervisor.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let Some(leader) = leader else {
        return format!("the process that supervises the program ended before it started it ({how})");
    };
    let give_up = Instant::now() + shim::GIVE_UP;
    let _ = kill_process_group(leader, Signal::KILL);
    while test_kill_process_group(leader).is_ok() && Instant::now() < give_up {
        sleep(Duration::from_millis(20)).await;
    }
    format!("the process that supervised the program was ended ({how}), and the program was killed with it")
}

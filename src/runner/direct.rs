//! A program started without a supervisor, for executables that cannot be one.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until};

use super::program::{Finish, Program, carrying};
use super::wire::{NotStarted, Report};
use super::{Control, start};

/// Between TERM and KILL for what the program leaves behind in its group.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// Runs `program` in a process group of its own, which is killed with this future.
pub(super) async fn run(program: &Program<'_>, mut control: Control) -> Result<Finish, NotStarted> {
    let argv = &program.command.words();
    let (name, args) = start::named(argv)?;
    let input = program.command.stdin.as_deref().map(start::input).transpose()?.map_or(Stdio::null(), Stdio::from);
    let mut process = Command::new(name);
    process.args(args).env_clear().envs(program.inherited).envs(&program.environment).process_group(0);
    process.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(directory) = &program.command.cwd {
        process.current_dir(directory);
    }
    let mut child = process.spawn().map_err(|error| start::explain(argv, &error))?;
    // The process is not reaped before we wait for it, so it has an id.
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let (stdout, stderr, to) = (child.stdout.take(), child.stderr.take(), control.output.clone());
    let end = async {
        let status = wait(&mut child, &group, &mut control).await;
        group.sweep().await;
        status.map(report).map_err(|error| format!("lost track of the program: {error}"))
    };
    Ok(match (stdout, stderr) {
        (Some(stdout), Some(stderr)) => carrying(stdout, stderr, &to, end).await,
        _ => end.await,
    })
}

async fn wait(child: &mut Child, group: &Group, control: &mut Control) -> std::io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        grace = control.stopped() => {
            group.signal(Signal::TERM);
            group.signal(Signal::CONT);
            let kill_at = Instant::now() + grace;
            tokio::select! {
                status = child.wait() => return status,
                () = sleep_until(kill_at) => group.signal(Signal::KILL),
            }
        }
    }
    child.wait().await
}

fn report(status: ExitStatus) -> Report {
    match (status.code(), status.signal()) {
        (Some(code), _) => Report::Exited(code),
        (None, Some(signal)) => Report::Killed(signal),
        (None, None) => Report::Stuck,
    }
}

/// A process group that is killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Ends what the leader left behind, and then forgets the group: its number may be given anew.
    async fn sweep(mut self) {
        let Some(group) = self.0 else { return };
        let kill_at = Instant::now() + LEFTOVER_GRACE;
        self.signal(Signal::TERM);
        while test_kill_process_group(group).is_ok() && Instant::now() < kill_at {
            sleep(Duration::from_millis(20)).await;
        }
        self.signal(Signal::KILL);
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

//! Runs programs: starts them, carries their output, says how they ended.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use signal_hook::low_level::signal_name;

use super::environment::Environment;
use super::forkserver::Supervisors;
use super::program::{Finish, Program};
use super::wire::{NotStarted, Report};
use super::{Control, direct, environment, shim, start, supervised};
use crate::job::{Command, Job};
use crate::lease::{Ended, Outcome, Work};

/// Runs [`Command`]s.
///
/// In an executable whose `main` begins with [`shim()`](super::shim()), each program runs under a
/// supervising process: nothing that the program started outlives the run, the replica (even
/// killed by `kill -9`) or the lease (even of a frozen replica). In any other executable programs
/// are started directly, in a process group of their own, and that group is killed with the run. That
/// is weaker: who left the group (`setsid`) escapes, and a replica that is killed kills nothing.
#[derive(Debug, Clone)]
pub struct CommandRunner {
    /// Who makes supervisors, if anybody.
    supervisors: Option<Arc<Supervisors>>,
    /// As it was when this was made, before what `main` and others changed of it later.
    inherited: Arc<Environment>,
    /// Variables given to every program.
    common: BTreeMap<String, String>,
}

impl CommandRunner {
    /// Gives `common` variables (the replica's name, the cluster's) to every program, besides those of this process as
    /// they are now.
    pub fn new(common: BTreeMap<String, String>) -> Self {
        let inherited = Arc::new(environment::inherited());
        let runner = CommandRunner { supervisors: None, inherited, common };
        // Not the path it was started by: the file there may be another one after an upgrade.
        if shim::can_be_shim() { runner.with_shim("/proc/self/exe") } else { runner }
    }

    /// Supervises with `executable`, whose `main` begins with [`shim()`](super::shim()).
    #[must_use]
    pub fn with_shim(mut self, executable: impl Into<PathBuf>) -> Self {
        self.supervisors = Some(Arc::new(Supervisors::new(executable.into(), self.inherited.clone())));
        self
    }

    /// Runs `command` to its end; see [`Runner::run`](super::Runner::run).
    pub(super) async fn run(&self, command: &Command, job: &Job, work: &Work, control: Control) -> Ended {
        match self.report(command, job, work, control).await {
            Ok(Ok(report)) => ended(report),
            Ok(Err(why)) => Ended::because(Outcome::Failed, why),
            Err(not_started) => unstarted(not_started),
        }
    }

    async fn report(&self, command: &Command, job: &Job, work: &Work, control: Control) -> Result<Finish, NotStarted> {
        let environment = environment::of(command, work, &self.common).await?;
        if let Some(directory) = &command.cwd {
            check_directory(directory).await?;
        }
        let program = Program { job, command, inherited: &self.inherited, environment };
        let report = match &self.supervisors {
            Some(supervisors) => supervised::run(supervisors, &program, control).await,
            None => direct::run(&program, control).await,
        };
        report.map_err(|not_started| program.searched(not_started))
    }
}

/// Said before the start, because the start itself would say that the program is missing.
async fn check_directory(path: &Path) -> Result<(), NotStarted> {
    let error = match tokio::fs::metadata(path).await {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => ErrorKind::NotADirectory.into(),
        Err(error) => error,
    };
    Err(start::not_in(path, &error))
}

fn unstarted(not_started: NotStarted) -> Ended {
    Ended { exit_code: Some(not_started.code), ..Ended::because(Outcome::Failed, not_started.why) }
}

fn ended(report: Report) -> Ended {
    match report {
        Report::Exited(0) => Ended { exit_code: Some(0), ..Ended::succeeded() },
        Report::Exited(code) => {
            Ended { exit_code: Some(code), ..Ended::because(Outcome::Failed, format!("exit code {code}")) }
        }
        Report::Killed(signal) => {
            let name = signal_name(signal).map_or_else(String::new, |name| format!(" ({name})"));
            let why = format!("killed by signal {signal}{name}");
            Ended { signal: Some(signal), ..Ended::because(Outcome::Failed, why) }
        }
        Report::OutOfLease => {
            Ended::because(Outcome::Lost, "ended because its lease ran out: it was not renewed in time")
        }
        Report::Stuck | Report::Started { .. } => {
            Ended::because(Outcome::Failed, "killed, but the kernel does not end it (it waits for a device or a mount)")
        }
        Report::NotStarted(not_started) => unstarted(not_started),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_told_by_number_and_name() {
        assert_eq!(ended(Report::Killed(9)).message.as_deref(), Some("killed by signal 9 (SIGKILL)"));
        assert_eq!(ended(Report::Killed(11)).message.as_deref(), Some("killed by signal 11 (SIGSEGV)"));
        assert_eq!(ended(Report::Killed(40)).message.as_deref(), Some("killed by signal 40"));
    }
}

//! The SQLite file of a single machine.

use std::path::{Path, PathBuf};

use super::{Findings, Store};
use crate::clock::Clock;
use crate::config::Process;
use crate::store::{Create, Sqlite};

/// Less than this is soon full: 100 MB.
const LITTLE: u64 = 100_000_000;

pub(super) fn look(findings: &mut Findings, process: &Process) -> Store {
    let path = &process.db;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    if let Some(wrong) = &process.fleeting {
        findings.problem("database.lasts", wrong.message.clone(), "");
    }
    let exists = path.exists();
    if exists {
        if let Err(error) = Sqlite::open(path, Create::Never, Clock::system()) {
            findings.problem("database.file", error.message, "");
            return Store::Fails;
        }
        findings.good("database.file", format!("{} (replicas on this machine share it)", path.display()));
    }
    match try_to_write(&dir) {
        Ok(()) if exists => {}
        Ok(()) => findings.good("database.file", format!("{} is made by the first `serve`", path.display())),
        Err(error) => {
            let text = format!("{} cannot be written to: {error}", dir.display());
            findings.problem(
                "database.file",
                text,
                "name a file on a disk that can be with CRONCLAVE_DB, or use REDIS_URL",
            );
            return Store::Fails;
        }
    }
    space(findings, &dir);
    findings.good("clock.store", "one machine, one clock");
    if exists { Store::Answers } else { Store::Unmade }
}

/// Beside a database SQLite keeps two more files.
fn try_to_write(dir: &Path) -> std::io::Result<()> {
    let trial: PathBuf = dir.join(format!(".cronclave-doctor-{}", std::process::id()));
    std::fs::File::create_new(&trial)?;
    std::fs::remove_file(&trial)
}

fn space(findings: &mut Findings, dir: &Path) {
    let Ok(disk) = rustix::fs::statvfs(dir) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < LITTLE {
        let text = format!("only {} MB are left on its disk: full, nothing more can be claimed", free / 1_000_000);
        findings.warn("database.space", text, "free some space, or name a file on another disk with CRONCLAVE_DB");
    }
}

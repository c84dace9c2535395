//! Starts the programs of a supervisor, in their directory and with what they are given.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::process::{Pid, fchdir};

use super::spawn::{Plan, Spawner};
use super::wire::{NotStarted, Spec};
use super::{environment, start};

/// Keeps what one program has in common with the next.
pub(super) struct Launcher {
    /// Where the replica was started.
    home: File,
    is_away: bool,
    /// `NAME=value`, by name: what this process inherited from the replica.
    inherited: BTreeMap<OsString, CString>,
    spawner: Spawner,
}

impl Launcher {
    pub(super) fn new() -> io::Result<Self> {
        let whole = |(name, value): (OsString, OsString)| Ok((name.clone(), variable(&name, &value)?));
        let inherited = environment::inherited().into_iter().map(whole).collect::<io::Result<_>>()?;
        Ok(Launcher { home: File::open(".")?, is_away: false, inherited, spawner: Spawner::new() })
    }

    /// Starts the program such that its leader dies with this process, even by `kill -9`.
    pub(super) fn launch(&mut self, spec: &Spec, output: &[OwnedFd; 2]) -> Result<Pid, NotStarted> {
        start::named(&spec.argv)?;
        self.go_to(spec.directory.as_deref())?;
        let input = spec.stdin.as_deref().map(start::input).transpose()?;
        self.start(spec, input.as_ref(), output).map_err(|error| start::explain(&spec.argv, &error))
    }

    fn go_to(&mut self, directory: Option<&Path>) -> Result<(), NotStarted> {
        let moved = match directory {
            Some(directory) => std::env::set_current_dir(directory),
            None if self.is_away => fchdir(&self.home).map_err(io::Error::from),
            None => Ok(()),
        };
        moved.map_err(|error| start::not_in(directory.unwrap_or(Path::new(".")), &error))?;
        self.is_away = directory.is_some();
        Ok(())
    }

    fn start(&mut self, spec: &Spec, input: Option<&File>, [out, err]: &[OwnedFd; 2]) -> io::Result<Pid> {
        let argv = spec.argv.iter().map(|word| string(word.as_bytes())).collect::<io::Result<_>>()?;
        let own = spec.environment.iter().map(|(name, value)| variable(name, value)).collect::<io::Result<Vec<_>>>()?;
        let inherited = self.inherited.iter().filter(|(name, _)| !spec.environment.contains_key(*name));
        let environment = inherited.map(|(_, variable)| variable).chain(&own).map(CString::as_c_str).collect();
        let plan = Plan { argv, environment, input: input.map(File::as_fd), output: [out.as_fd(), err.as_fd()] };
        self.spawner.spawn(&plan)
    }
}

fn variable(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    string([name.as_bytes(), b"=", value.as_bytes()].concat())
}

fn string(bytes: impl Into<Vec<u8>>) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidInput, "nul byte found in provided data"))
}

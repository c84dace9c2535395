//! `cronclave init`: a first schedule file.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, out};

/// Write schedules/hello.toml: one job, every minute.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave init && cronclave serve     from nothing to a running scheduler

A file that is already there is never overwritten.")]
pub(super) struct Init {}

const FILE: &str = "schedules/hello.toml";
const HELLO: &str = include_str!("../../schedules/hello.toml");

impl Init {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        write(Path::new(FILE)).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::new(
                Failure::NO,
                format!("{FILE} is already there and stays as it is: edit it, or move it away first"),
            ),
            _ => Failure::new(
                Failure::NO,
                format!("cannot write {FILE}: {error}; go to a directory that you may write in"),
            ),
        })?;
        out::print(format!(
            "wrote {FILE}: one job, every minute\n\n\
             see when it runs:   cronclave next\n\
             run it once, now:   cronclave run hello\n\
             run it for good:    cronclave serve\n\
             after each edit:    cronclave validate\n"
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn write(path: &Path) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::File::create_new(path)?.write_all(HELLO.as_bytes())
}

//! `cronclave init`: a first schedule file, and what editors need to help with it.

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use super::{Failure, out};
use crate::config;

/// Write schedules/hello.toml: one job, every minute; and beside it the schema for editors.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave init && cronclave serve     from nothing to a running scheduler

A file that is already there is never overwritten.")]
pub(super) struct Init {}

const FILE: &str = "schedules/hello.toml";
const HELLO: &str = include_str!("../../schedules/hello.toml");

impl Init {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        write(Path::new(FILE), HELLO).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::new(
                Failure::NO,
                format!("{FILE} is already there and stays as it is: edit it, or move it away first"),
            ),
            _ => refused(FILE, &error),
        })?;
        let schema = format!("schedules/{}", config::SCHEMA_FILE);
        match write(Path::new(&schema), &config::schema_text()) {
            // Whoever has one may have changed it.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            done => done.map_err(|error| refused(&schema, &error))?,
        }
        out::print(format!(
            "wrote {FILE}: one job, every minute\n\
             wrote {schema}: lets editors complete and check it\n\n\
             see when it runs:   cronclave next\n\
             run it once, now:   cronclave run hello\n\
             run it for good:    cronclave serve\n\
             after each edit:    cronclave validate\n"
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn refused(file: &str, error: &std::io::Error) -> Failure {
    Failure::new(Failure::NO, format!("cannot write {file}: {error}; go to a directory that you may write in"))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    out::new_file(path, text)
}

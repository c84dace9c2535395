//! Starting a program, and saying in words why it did not.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, Write};
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};

use super::wire::NotStarted;

/// The program and its arguments, if there is one.
pub(super) fn named(argv: &[String]) -> Result<(&String, &[String]), NotStarted> {
    argv.split_first().ok_or_else(|| NotStarted { code: 125, why: "there is no program to start".to_owned() })
}

/// The text as a file in memory: no pipe to feed, so no program can block us by not reading it.
pub(super) fn input(text: &str) -> Result<File, NotStarted> {
    let file = || {
        let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
        file.write_all(text.as_bytes())?;
        file.rewind()?;
        Ok(file)
    };
    file().map_err(|error: io::Error| NotStarted {
        code: 125,
        why: format!("cannot prepare its standard input: {error}"),
    })
}

/// Why a program cannot start in `directory`.
pub(super) fn not_in(directory: &Path, error: &io::Error) -> NotStarted {
    let why = match error.kind() {
        ErrorKind::NotADirectory => "it is not a directory".to_owned(),
        _ => error.to_string(),
    };
    NotStarted { code: 125, why: format!("cannot start in the directory {}: {why}", directory.display()) }
}

/// Why starting `argv` ended in `error`, with the code a shell would give.
pub(super) fn explain(argv: &[String], error: &io::Error) -> NotStarted {
    let program = argv.first().map_or("", String::as_str);
    let (code, why) = match error.kind() {
        ErrorKind::NotFound if program.contains('/') && Path::new(program).exists() => {
            (126, format!("`{program}` is there, but the interpreter that it names is not"))
        }
        ErrorKind::NotFound => (127, format!("there is no program `{program}`")),
        ErrorKind::PermissionDenied => (126, format!("`{program}` may not be executed")),
        ErrorKind::ExecutableFileBusy => (126, format!("`{program}` is being written to")),
        ErrorKind::ArgumentListTooLong => (126, format!("the arguments of `{program}` are too long")),
        _ => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::NOEXEC) => (126, format!("`{program}` is not an executable file")),
            _ => (125, format!("`{program}` could not be started: {error}")),
        },
    };
    NotStarted { code, why }
}

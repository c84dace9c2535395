//! Writing to standard output and standard error, where the reader may be gone.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

use serde::Serialize;

use super::Failure;
use crate::clock::Timestamp;

/// Writes all of `bytes` to standard output.
///
/// # Errors
/// Quietly when nobody reads any more, as after `| head`; with a message when it cannot be written.
pub(super) fn print(bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes.as_ref()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::new(0, ""),
        _ => Failure::new(Failure::NO, format!("cannot write to standard output: {error}")),
    })
}

/// Writes a line to standard output.
///
/// # Errors
/// As [`print()`].
pub(super) fn line(text: impl Display) -> Result<(), Failure> {
    print(format!("{text}\n"))
}

/// Writes one JSON document: indented for people, compact for programs.
///
/// # Errors
/// As [`print()`].
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let pretty = std::io::stdout().is_terminal();
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    line(text.map_err(|error| Failure::new(Failure::NO, format!("cannot be written as JSON: {error}")))?)
}

/// Writes a file that is not there yet, whole or not at all: half a file on a full disk would look like one.
///
/// # Errors
/// When it is there already, or cannot be written.
pub(super) fn new_file(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::create_new(path)?;
    file.write_all(text.as_bytes()).inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

/// Says something beside the output, on standard error. That nobody hears it stops nothing.
pub(super) fn note(text: impl Display) {
    bare_note(format_args!("cronclave: {text}"));
}

/// Says that the store is away, when it is.
pub(super) fn stale(since: Option<Timestamp>) {
    if let Some(since) = since {
        note(format_args!("the store is away: this is what was known at {since}"));
    }
}

/// The same, without naming the program.
pub(super) fn bare_note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Asks on the terminal; whether the answer is `wanted`. Without a terminal nobody can be asked.
///
/// # Errors
/// Usage, naming the flag that says yes beforehand.
pub(super) fn confirm(question: &str, wanted: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Failure::USAGE,
            "this needs a yes, and there is no terminal to ask on: add --yes if you mean it",
        ));
    }
    let _ = write!(std::io::stderr().lock(), "{question} ");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    Ok(read.is_ok() && answer.trim() == wanted)
}

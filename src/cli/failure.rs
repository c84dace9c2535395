//! Why a command did not do what it was asked, and the exit code that says so.

use std::process::ExitCode;

use crate::config::{self, Diagnostic, WrongSetting};
use crate::store::StoreError;

/// A message for standard error and an exit code.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) message: String,
}

impl Failure {
    /// The answer is no.
    pub(super) const NO: u8 = 1;
    /// It was typed wrong.
    pub(super) const USAGE: u8 = 2;
    /// No such job, run, lock or file.
    pub(super) const NO_INPUT: u8 = 66;
    /// The database or a server cannot be reached.
    pub(super) const UNAVAILABLE: u8 = 69;
    /// A fault of ours.
    pub(super) const SOFTWARE: u8 = 70;
    /// Not now; later perhaps.
    pub(super) const TEMPFAIL: u8 = 75;
    /// Whoever asks may not.
    pub(super) const NO_PERMISSION: u8 = 77;
    /// Schedule files or settings are invalid.
    pub(super) const CONFIG: u8 = 78;

    pub(super) fn new(code: u8, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Self::UNAVAILABLE, message)
    }

    pub(super) fn config(wrong: &[Diagnostic], color: bool) -> Self {
        Self::new(Self::CONFIG, config::report(wrong, color).trim_end())
    }

    /// Prints the message and answers with the code.
    pub(super) fn tell(self) -> ExitCode {
        if !self.message.is_empty() {
            let own = !self.message.starts_with("error[") && !self.message.starts_with('\x1b');
            super::out::bare_note(format_args!("{}{}", if own { "cronclave: " } else { "" }, self.message));
        }
        ExitCode::from(self.code)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error.message)
    }
}

impl From<Vec<WrongSetting>> for Failure {
    fn from(wrong: Vec<WrongSetting>) -> Self {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        Self::new(Self::CONFIG, lines.join("\ncronclave: "))
    }
}

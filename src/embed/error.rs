//! What can go wrong for a program that embeds Cronclave.

use std::fmt;

use crate::config::{self, Diagnostic, WrongSetting};
use crate::desk::{Refusal, Why};
use crate::store::StoreError;

/// Why Cronclave does not start, or does not do what it was asked. Its text says what, where, and how to mend it.
///
/// `Debug` shows the same text, so that a `main` that returns it tells people what they need.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use cronclave::{Cronclave, ErrorKind};
///
/// let wrong = "version = 1\n[jobs.report]\nevry = \"1h\"\nhandler = \"report\"\n";
/// let error = Cronclave::builder().toml("jobs.toml", wrong).start().await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Schedules);
/// assert!(error.to_string().contains("jobs.toml:3") && error.to_string().contains("did you mean `every`?"));
/// # }
/// ```
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

/// What sort of thing went wrong, for programs: each is shown by the example of [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The schedules have mistakes, or cannot be read.
    Schedules,
    /// A job names a handler that was not registered.
    Handler,
    /// The builder or the environment says something that cannot be used.
    Setting,
    /// The store cannot be opened, or does not answer.
    Store,
    /// There is no such job or run.
    NotFound,
    /// What was asked cannot be done now: another run is in the way, the job is paused, or it is over.
    Refused,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error { kind, text: text.into().trim_end().to_owned() }
    }

    /// What sort of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<Vec<Diagnostic>> for Error {
    fn from(wrong: Vec<Diagnostic>) -> Error {
        Error::new(ErrorKind::Schedules, config::report(&wrong, false))
    }
}

impl From<Vec<WrongSetting>> for Error {
    fn from(wrong: Vec<WrongSetting>) -> Error {
        let lines: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        Error::new(ErrorKind::Setting, lines.join("\n"))
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        Error::new(ErrorKind::Store, error.to_string())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let kind = match refusal.why {
            Why::NotFound => ErrorKind::NotFound,
            Why::StoreDown | Why::Unreachable => ErrorKind::Store,
            _ => ErrorKind::Refused,
        };
        Error::new(kind, refusal.detail)
    }
}

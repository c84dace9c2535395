//! Why a text is not a schedule.

use std::ops::Range;

use super::zone::{UnknownZone, tzdb_version};

/// Why a text is not a schedule, with the place to point at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScheduleError {
    /// What is wrong, one line.
    pub message: String,
    /// What to write beneath the place.
    pub label: String,
    /// The place: bytes of the text that was parsed.
    pub span: Range<usize>,
    /// What to do about it.
    pub help: Option<String>,
    /// Stable number of the kind of mistake, 101 to 199; 30 for an unknown zone; 201 to 299 for what
    /// only deserves a warning.
    pub code: u16,
}

impl ScheduleError {
    pub(crate) fn new(code: u16, span: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Self {
        ScheduleError { message: message.into(), label: label.into(), span, help: None, code }
    }

    /// The code as it is printed: `E0102`, `W0208`.
    pub fn name(&self) -> String {
        format!("{}{:04}", if self.code < 200 { 'E' } else { 'W' }, self.code)
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// No such zone in a `CRON_TZ=`.
pub(super) fn zone(unknown: UnknownZone, span: Range<usize>) -> ScheduleError {
    let label = format!("not in the IANA database ({})", tzdb_version());
    let error = ScheduleError::new(30, span, unknown.to_string(), label);
    match unknown.nearest {
        Some(nearest) => error.help(format!("did you mean `CRON_TZ={nearest}`?")),
        None => error.help("write an IANA name, as in `CRON_TZ=Europe/Berlin`"),
    }
}

//! What an expression means.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Planned;
use crate::schedule::{Part, ScheduleError};

/// What a schedule means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Its texts.
    pub schedule: Vec<String>,
    /// The zone whose wall clock counts.
    pub timezone: String,
    /// The time zone database that was used.
    pub tzdb: String,
    /// In words.
    pub description: String,
    /// The fields of each text.
    pub fields: Vec<Vec<Field>>,
    /// Its times.
    pub occurrences: Vec<Planned>,
    /// Days of the next two years on which clocks go forward over all of its times.
    pub lost_days: Vec<String>,
    /// What deserves a second look.
    pub notes: Vec<Note>,
}

/// One field of a cron text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Field {
    /// What it stands for: `minute`, `day-of-week`.
    pub field: String,
    /// What is written there.
    pub text: String,
    /// The values it allows, unless it allows all or those depend on the month.
    pub values: Option<Vec<u32>>,
}

/// Something that deserves a second look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// Its code.
    pub code: String,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl From<Part> for Field {
    fn from(part: Part) -> Self {
        Field { field: part.field.to_owned(), text: part.text, values: part.values }
    }
}

impl From<&ScheduleError> for Note {
    fn from(lint: &ScheduleError) -> Self {
        Note { code: lint.name(), message: lint.message.clone(), help: lint.help.clone() }
    }
}

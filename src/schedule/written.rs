//! A schedule as data that another machine makes the same schedule of.

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::{Rules, Schedule, UnknownZone, When, Zone};
use crate::clock::Timestamp;

/// What a schedule was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// By hand only.
    Manual {
        /// What was written.
        text: String,
        /// The zone to show times in.
        zone: String,
    },
    /// Every so many seconds since the Unix epoch.
    Every {
        /// The period.
        seconds: u64,
        /// The zone to show times in.
        zone: String,
    },
    /// A cron text.
    Cron {
        /// It.
        text: String,
        /// The zone whose wall clock counts.
        zone: String,
        /// For changes of clocks.
        rules: Rules,
    },
    /// Once.
    At {
        /// On the wall.
        local: NaiveDateTime,
        /// The zone whose wall clock counts.
        zone: String,
        /// For changes of clocks.
        rules: Rules,
    },
    /// Whenever any of them does.
    Any {
        /// Them.
        list: Vec<Written>,
        /// Their zone, or the one to show times in.
        zone: String,
    },
    /// Those of another from an instant to an instant, both included.
    Within {
        /// The other.
        schedule: Box<Written>,
        /// From here on.
        start: Option<Timestamp>,
        /// Up to here.
        end: Option<Timestamp>,
    },
}

impl Schedule {
    /// What it was made of.
    pub fn written(&self) -> Written {
        let (text, zone) = (self.text(), self.zone().name().to_owned());
        match &self.0.when {
            When::Manual => Written::Manual { text, zone },
            When::Every(micros) => Written::Every { seconds: micros.unsigned_abs() / 1_000_000, zone },
            When::Wall(Pattern::Once(local), rules) => Written::At { local: *local, zone, rules: *rules },
            When::Wall(_, rules) => Written::Cron { text, zone, rules: *rules },
            When::Any(list) => Written::Any { list: list.iter().map(Schedule::written).collect(), zone },
            When::Within(inner, start, end) => {
                Written::Within { schedule: Box::new(inner.written()), start: *start, end: *end }
            }
        }
    }

    /// The schedule that was made of `written`, for the job `seed`.
    ///
    /// # Errors
    /// In words, when it is of another version of this program, or of another time zone database.
    pub fn from_written(written: &Written, seed: &str) -> Result<Schedule, String> {
        let zone = |name: &str| Zone::parse(name).map_err(|error: UnknownZone| error.to_string());
        let read = |text: &str, name: &str, rules| {
            let zone = zone(name)?;
            Schedule::parse(text, &zone, rules, seed).map_err(|error| format!("`{text}`: {error}"))
        };
        match written {
            Written::Manual { text, zone } => read(text, zone, Rules::default()),
            Written::Every { seconds, zone: name } => {
                Schedule::every(std::time::Duration::from_secs(*seconds), &zone(name)?)
                    .map_err(|error| error.to_string())
            }
            Written::Cron { text, zone, rules } => read(text, zone, *rules),
            Written::At { local, zone: name, rules } => Ok(Schedule::at(*local, &zone(name)?, *rules)),
            Written::Any { list, zone: name } => {
                let list: Result<Vec<_>, _> = list.iter().map(|one| Schedule::from_written(one, seed)).collect();
                Ok(Schedule::union(list?, &zone(name)?))
            }
            Written::Within { schedule, start, end } => {
                let inner = Schedule::from_written(schedule, seed)?;
                Ok(Schedule::new(inner.text(), &inner.zone().clone(), When::Within(inner, *start, *end)))
            }
        }
    }
}

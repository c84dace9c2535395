//! What a process finds wrong with itself, or with what it depends on, while it works.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something that is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// That the process goes on: its scheduler's loop turns, and nobody stops it.
    Stalled,
    /// That jobs are looked at when they are due.
    Lagging,
    /// That this machine's clock and the store's agree.
    ClockSkew,
    /// That the store's clock can be believed.
    StoreClock,
    /// That all replicas have the same schedule files.
    ConfigDiffers,
    /// That all replicas have the same time zone database.
    TzdbDiffers,
}

impl Check {
    /// All of them.
    pub const ALL: [Check; 6] =
        [Check::Stalled, Check::Lagging, Check::ClockSkew, Check::StoreClock, Check::ConfigDiffers, Check::TzdbDiffers];

    /// The word for it, in metrics, events and reports.
    pub fn word(self) -> &'static str {
        match self {
            Check::Stalled => "stalled",
            Check::Lagging => "lagging",
            Check::ClockSkew => "clock_skew",
            Check::StoreClock => "store_clock",
            Check::ConfigDiffers => "config_differs",
            Check::TzdbDiffers => "tzdb_differs",
        }
    }
}

/// What is wrong in this process now, in words. Cheap to copy.
#[derive(Clone, Debug, Default)]
pub struct Checks(Arc<Mutex<BTreeMap<Check, String>>>);

impl Checks {
    /// What is wrong now.
    pub fn failing(&self) -> BTreeMap<Check, String> {
        self.lock().clone()
    }

    /// Notes that it is wrong, and how; whether that is news.
    pub(crate) fn fail(&self, check: Check, text: &str) -> bool {
        self.lock().insert(check, text.to_owned()).is_none_or(|before| before != text)
    }

    /// Notes that it is right; whether that is news.
    pub(crate) fn mend(&self, check: Check) -> bool {
        self.lock().remove(&check).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Check, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

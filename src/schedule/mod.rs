//! When: from text to a [`Schedule`], and from an instant to the next one. Pure.

use crate::clock::Timestamp;

/// When a job runs.
#[derive(Debug, Clone)]
pub struct Schedule {}

impl Schedule {
    /// The first occurrence strictly after `t`; `None` when there is none before the year 2100.
    pub fn after(&self, _t: Timestamp) -> Option<Timestamp> {
        None
    }
}

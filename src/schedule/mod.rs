//! When: from text to a [`Schedule`], and from an instant to the next one. Pure.

use crate::clock::Timestamp;

/// stub
#[derive(Debug, Clone)]
pub struct Zone;
impl Zone {
    /// stub
    pub fn name(&self) -> &str {
        ""
    }
}
/// When a job runs.
#[derive(Debug, Clone)]
pub struct Schedule {}

impl Schedule {
    /// stub
    pub fn text(&self) -> String {
        String::new()
    }
    /// stub
    pub fn zone(&self) -> &Zone {
        &Zone
    }
    /// The first occurrence strictly after `t`; `None` when there is none before the year 2100.
    pub fn after(&self, _t: Timestamp) -> Option<Timestamp> {
        None
    }
}

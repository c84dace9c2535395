//! How sure a start is before its code runs, as `CRONCLAVE_DURABILITY` says it.

use std::str::FromStr;

/// What must have a start before its code runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The server. What it loses the replicas of the cluster give back.
    #[default]
    Memory,
    /// So many of its own replicas as well.
    Replicated(u32),
    /// Its disk as well.
    Fsync,
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!("`{text}` is no durability: write memory, replicated (or replicated:2 for two replicas), or fsync")
        };
        Ok(match text.trim() {
            "memory" => Durability::Memory,
            "replicated" => Durability::Replicated(1),
            "fsync" => Durability::Fsync,
            other => {
                let count = other.strip_prefix("replicated:").and_then(|count| count.parse().ok());
                Durability::Replicated(count.filter(|count| (1..=100).contains(count)).ok_or_else(wrong)?)
            }
        })
    }
}

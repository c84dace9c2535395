//! Real processes on one database file: killed, frozen, outlived. The jobs themselves keep the
//! ledger that is held against the history.
//!
//! `CHAOS_SECONDS` sets how long the two load tests last; default 60.
#![allow(clippy::unwrap_used)]

#[path = "chaos/cluster.rs"]
mod cluster;
#[path = "chaos/frozen.rs"]
mod frozen;
#[path = "common/invariants.rs"]
mod invariants;
#[path = "chaos/killed.rs"]
mod killed;
#[path = "chaos/policies.rs"]
mod policies;
#[path = "common/through.rs"]
mod through;

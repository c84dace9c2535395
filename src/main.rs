//! The `cronclave` program.
fn main() {}

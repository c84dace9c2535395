//! The `cronclave` program.
fn main() {
    cronclave::shim();
}

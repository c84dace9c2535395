//! The `cronclave` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    cronclave::shim();
    cronclave::cli::main()
}

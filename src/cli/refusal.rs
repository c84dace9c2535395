//! How a run that ended is told as an exit code.

use crate::lease::{Ended, Outcome};
use crate::ledger::State;
use crate::shape::Run;

/// The exit code of a run that is over.
pub(super) fn code_of(run: &Run) -> u8 {
    match run.state {
        State::Succeeded => 0,
        State::TimedOut => 124,
        State::Interrupted => 143,
        _ => of_program(run.exit_code, run.signal),
    }
}

/// The exit code of a run that ended so: the job's own where it has one. `signal` is the one that
/// this process was told to stop by, or 0.
pub(super) fn code(ended: &Ended, signal: i32) -> u8 {
    match ended.outcome {
        Outcome::Succeeded => 0,
        Outcome::TimedOut => 124,
        Outcome::Interrupted => byte(128 + if signal == 0 { 15 } else { signal }),
        _ => of_program(ended.exit_code, ended.signal),
    }
}

fn byte(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(1)
}

/// That of a program that did not do what it should.
fn of_program(exit_code: Option<i32>, signal: Option<i32>) -> u8 {
    match (exit_code, signal) {
        (Some(0), _) | (None, None) => 1,
        (Some(code), _) => byte(code),
        (None, Some(signal)) => byte(128 + signal),
    }
}

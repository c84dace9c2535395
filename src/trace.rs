//! The trace that a run is, as W3C Trace Context has it. Nothing of it is sent about or left to chance: trace and spans
//! are named by the run and its claims, so replica, message, worker and job name them alike.

use crate::lease::{Fence, RunId};

/// Set in the name of the span that sends a message, so that it differs from that of the attempt: fences are the
/// store's time in microseconds, and stay below it for 290,000 years.
const SENDS: u64 = 1 << 63;

/// The trace of a run: its id.
pub fn trace(run_id: RunId) -> u128 {
    u128::from_be_bytes(*run_id.as_bytes())
}

/// The span of a run from its instant to its end, the root of its trace: the second half of its id.
pub fn root(run_id: RunId) -> u64 {
    let [_, _, _, _, _, _, _, _, half @ ..] = *run_id.as_bytes();
    u64::from_be_bytes(half)
}

/// The span of an attempt: its fence.
pub fn attempt(fence: Fence) -> u64 {
    fence.0
}

/// The span that sends the message for an attempt.
pub fn sending(fence: Fence) -> u64 {
    fence.0 | SENDS
}

/// The attempt whose message the span `sending` sends.
pub fn sender(sending: u64) -> u64 {
    sending & !SENDS
}

/// The `traceparent` for what an attempt does: its program, its HTTP request.
pub fn parent(run_id: RunId, fence: Fence) -> String {
    header(run_id, attempt(fence))
}

/// The `traceparent` of the message for an attempt: the request for a worker, or the run itself.
pub fn of_message(run_id: RunId, fence: Fence) -> String {
    header(run_id, sending(fence))
}

/// Always sampled: a run is rare, and whoever looks for one wants it.
fn header(run_id: RunId, span: u64) -> String {
    format!("00-{}-{}-01", in_hex(run_id), span_in_hex(span))
}

/// The trace of a run as it is written.
pub fn in_hex(run_id: RunId) -> String {
    format!("{:032x}", trace(run_id))
}

/// A span as it is written.
pub fn span_in_hex(span: u64) -> String {
    format!("{span:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_named_by_its_run_and_a_span_by_its_fence() {
        let run_id: RunId = "01935a6e-b2a8-7c11-9d3e-5f0e1a2b3c4d".parse().unwrap();
        let fence = Fence(0x0006_2789_abcd_ef01);
        assert_eq!(parent(run_id, fence), "00-01935a6eb2a87c119d3e5f0e1a2b3c4d-00062789abcdef01-01");
        assert_eq!(of_message(run_id, fence), "00-01935a6eb2a87c119d3e5f0e1a2b3c4d-80062789abcdef01-01");
        assert_eq!(root(run_id), 0x9d3e_5f0e_1a2b_3c4d);
    }
}

//! Any text is refused with a place inside it, or has occurrences in order, found alike forwards and backwards.
#![no_main]

use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::schedule::{self, Rules, Schedule, Zone};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, u8, &str)| {
    let (start, zone, text) = input;
    schedule::uses_seed(text);
    schedule::lints(text);
    let _ = schedule::describe(text, "job");
    let zone = ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia"][usize::from(zone % 5)];
    let Ok(zone) = Zone::parse(zone) else { return };
    // From 1970 to 2378.
    let start = Timestamp::from_secs(i64::from(start) * 3);
    match Schedule::parse(text, &zone, Rules::default(), "job") {
        Err(error) => assert!(text.get(error.span.clone()).is_some(), "{text:?}: {error:?}"),
        Ok(schedule) => {
            let mut at = start;
            for _ in 0..5 {
                let Some(next) = schedule.after(at) else { break };
                assert!(next > at, "{text:?} after {at}: {next}");
                at = next;
            }
            if at > start {
                assert_eq!(schedule.before(at.plus(Duration::from_micros(1))), Some(at), "{text:?}");
            }
        }
    }
});

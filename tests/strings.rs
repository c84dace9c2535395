//! A hundred thousand texts that might be schedules: each is refused or answered, none panics or goes on for ever.
#![allow(clippy::unwrap_used)]

#[path = "common/strings.rs"]
mod strings;

use std::time::Duration;

use cronclave::clock::Timestamp;
use cronclave::schedule::{self, Rules, Schedule, Zone};
use strings::Numbers;

const COUNT: usize = 100_000;

#[test]
fn any_text_is_refused_with_a_place_inside_it_or_has_occurrences_in_order() {
    let (good, mut numbers) = (strings::corpus(), Numbers(20_261_122));
    let zones = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"].map(|name| Zone::parse(name).unwrap());
    let mut accepted = 0;
    for n in 0..COUNT {
        let text = strings::text(&good, n, &mut numbers);
        schedule::uses_seed(&text);
        schedule::lints(&text);
        match Schedule::parse(&text, &zones[n % 4], Rules::default(), "job") {
            Err(error) => {
                let span = error.span.clone();
                assert!(text.get(span.clone()).is_some(), "{text:?}: {span:?} {error}");
                assert!(
                    !error.message.is_empty() && (error.code == 30 || (101..200).contains(&error.code)),
                    "{text:?}: {error:?}"
                );
            }
            Ok(schedule) => {
                accepted += 1;
                let start = Timestamp::from_secs(numbers.below(8_000_000_000) as i64);
                let mut at = start;
                for _ in 0..3 {
                    let Some(next) = schedule.after(at) else { break };
                    assert!(next > at, "{text:?} after {at}");
                    at = next;
                }
                // Searching back asks again and again: once in a while is enough here.
                if n % 16 == 0 && at > start {
                    let before = schedule.before(at.plus(Duration::from_micros(1)));
                    assert_eq!(before, Some(at), "{text:?} before {at}");
                }
            }
        }
    }
    assert!((5_000..COUNT / 2).contains(&accepted), "{accepted} accepted: too few or too many to be of use");
}

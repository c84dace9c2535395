//! What looking at a server takes, whichever it is.

use std::time::Duration;

use super::{Care, Findings, Level};

impl Care {
    /// How often a server is asked, to tell how long it takes.
    pub(super) fn times(self) -> usize {
        if self.fast { 5 } else { 50 }
    }
}

impl Findings {
    pub(super) fn mended(&mut self, check: &'static str, text: impl Into<String>) {
        self.add(check, Level::Mended, text, "");
    }
}

/// The middle and the worst but one of a hundred of sorted times, for people.
pub(super) fn times_in_words(sorted: &[Duration]) -> String {
    let of_hundred = |n: usize| sorted.get((sorted.len() * n / 100).min(sorted.len().saturating_sub(1)));
    let millis = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    format!("{:.2} ms (99 of 100 within {:.2} ms)", millis(of_hundred(50)), millis(of_hundred(99)))
}

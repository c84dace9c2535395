//! Where pages are.

use std::fmt::Display;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::clock::Timestamp;
use crate::job::JobName;

pub(super) const NOW: &str = "/";
pub(super) const JOBS: &str = "/jobs";
pub(super) const RUNS: &str = "/runs";
pub(super) const TIMELINE: &str = "/timeline";
pub(super) const CLUSTER: &str = "/cluster";
pub(super) const EXPLAIN: &str = "/explain";

/// What may not stand in a part of a path or a query as it is.
const KEPT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'/')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?');

/// A word within an address.
pub(super) fn word(text: &str) -> impl Display + '_ {
    utf8_percent_encode(text, KEPT)
}

pub(super) fn job(name: &JobName) -> String {
    format!("{JOBS}/{}", word(name.as_str()))
}

pub(super) fn run(id: impl Display) -> String {
    format!("{RUNS}/{id}")
}

/// A page with what it is asked for; what says nothing is left out.
pub(super) fn with(path: &str, asked: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(asked.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The number of a part, as [`with`] takes it: the first is not named.
pub(super) fn part(number: usize) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

/// Why an occurrence is as it is.
pub(super) fn why(name: &JobName, at: Timestamp) -> String {
    format!("{}/why?at={}", job(name), word(&at.to_string()))
}

/// What became of a run, or of an occurrence that has none.
pub(super) fn outcome(run: &crate::shape::Run) -> String {
    if run.state.is_run() { self::run(&run.id) } else { why(&run.job, run.scheduled_at) }
}

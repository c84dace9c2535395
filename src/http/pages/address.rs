//! Where pages are.

use std::fmt::{self, Display};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::clock::Timestamp;
use crate::http::access::LINK_PATH;
use crate::http::asked;
use crate::job::JobName;

/// A path of ours. It is shown as whoever asks finds it, which may be below another program's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) &'static str);

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&asked::address(self.0))
    }
}

pub(super) const NOW: Place = Place("/");
pub(super) const JOBS: Place = Place("/jobs");
pub(super) const RUNS: Place = Place("/runs");
pub(super) const TIMELINE: Place = Place("/timeline");
pub(super) const CLUSTER: Place = Place("/cluster");
pub(super) const EXPLAIN: Place = Place("/explain");
pub(super) const RELEASE: Place = Place("/locks/release");
pub(super) const SIGN_IN: Place = Place(LINK_PATH);
pub(super) const SIGN_OUT: Place = Place(super::SIGN_OUT);
pub(super) const SETTINGS: Place = Place(super::SETTINGS);

/// Under none of the pages in the bar.
pub(super) const NOWHERE: Place = Place("");

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
pub(super) fn with(path: impl Display, asked: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(asked.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_string() } else { format!("{path}?{query}") }
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

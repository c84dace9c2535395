//! How spans, states and times are put into words for people: on the command line and in the dashboard alike.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config;
use crate::ledger::State;
use crate::schedule::{Rules, Schedule, Zone};
use crate::shape::{Attempt, Run};

/// A state at a glance; never told by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It succeeded.
    Good,
    /// It did not.
    Bad,
    /// It goes on.
    Running,
    /// Somebody keeps it from being started.
    Paused,
    /// It should have been, or ends otherwise than it should.
    Late,
    /// Nothing is wrong, and nothing to see.
    Idle,
}

impl From<State> for Mark {
    fn from(state: State) -> Self {
        match state {
            State::Succeeded => Mark::Good,
            State::Failed | State::TimedOut | State::Lost => Mark::Bad,
            State::Claimed | State::Published | State::Running => Mark::Running,
            State::SkippedPaused => Mark::Paused,
            State::Retrying | State::Interrupted | State::Expired | State::Missed => Mark::Late,
            State::Queued
            | State::Cancelled
            | State::SkippedOverlap
            | State::SkippedDisabled
            | State::SkippedCalendar
            | State::Coalesced => Mark::Idle,
        }
    }
}

/// Seconds east of UTC as `+01:00`.
pub fn distance(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A span in at most two units: `17ms`, `3.1s`, `8m 48s`, `3d 2h`.
pub fn span(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0 => format!("{}ms", span.as_millis()),
        1..60 if span.subsec_millis() == 0 => format!("{secs}s"),
        1..60 => format!("{:.1}s", span.as_secs_f64()),
        60..3_600 => format!("{}m {}s", secs / 60, secs % 60),
        3_600..86_400 => format!("{}h {}m", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{}d {}h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

/// The same in whole seconds, for times that pass while one reads.
pub fn about(distance: Duration) -> String {
    span(Duration::from_secs(distance.as_secs()).max(Duration::from_secs(1)))
}

/// `1 job`, `2 jobs`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What became of a run or an occurrence, in words.
pub fn result(run: &Run) -> String {
    let word = match run.state {
        State::Succeeded => "ok",
        State::TimedOut => "timed out",
        State::Retrying => "waits for its next attempt",
        State::Queued => "waits for its turn",
        State::SkippedOverlap => "skipped: a run was still going",
        State::SkippedPaused => "skipped: the job was paused",
        State::SkippedDisabled => "skipped: the job was disabled",
        State::SkippedCalendar => "skipped: closed by a calendar",
        State::Coalesced => "left to a newer occurrence",
        State::Missed => "missed: nobody could start it in time",
        other => other.word(),
    };
    if let Some(said) = &run.progress {
        return format!("{word}  {}% {}", said.percent, said.message).trim_end().to_owned();
    }
    let times = if run.count > 1 { format!("{} times ", run.count) } else { String::new() };
    match run.message.as_deref().and_then(|message| message.lines().next()) {
        Some(message) => format!("{times}{word}  {message}"),
        None => format!("{times}{word}"),
    }
}

/// How an attempt ended, in words.
pub fn ended(state: State, attempt: &Attempt) -> String {
    let word = state.word().replace('_', " ");
    attempt
        .message
        .as_deref()
        .and_then(|message| message.lines().next())
        .map_or(word.clone(), |why| format!("{word}  {why}"))
}

/// A time as typed: RFC 3339, a date, or a date and a time of day on the wall in `zone`.
///
/// # Errors
/// What would be right.
pub fn moment(text: &str, zone: &Zone) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let text = text.trim().replace('T', " ");
    let whole = [text.clone(), format!("{text}:00"), format!("{text} 00:00:00")];
    let wall = whole.iter().find_map(|text| chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok());
    let wall = wall.ok_or("not a time: write 2026-11-22, 2026-11-22T06:00 or 2026-11-22T06:00:00Z")?;
    // Two days earlier is before it in every zone.
    let before = Timestamp::from(wall.and_utc()).minus(Duration::from_secs(2 * 86_400));
    Schedule::at(wall, zone, Rules::default())
        .after(before)
        .ok_or_else(|| "only times from 1970 to 2399 are known".into())
}

/// A time in the past as typed: so long ago, or as [`moment`] reads it.
///
/// # Errors
/// What would be right.
pub fn past(text: &str, now: Timestamp, zone: &Zone) -> Result<Timestamp, String> {
    match config::duration(text) {
        Ok(ago) => Ok(now.minus(ago)),
        Err(_) => moment(text, zone).map_err(|why| format!("neither a span such as 24h, and {why}")),
    }
}

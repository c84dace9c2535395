//! How times, spans, states and tables are written for people.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config;
use crate::desk;
use crate::ledger::State;
use crate::schedule::{Rules, Schedule, Zone};
use crate::shape::{Attempt, Run};

/// How this process writes for people.
#[derive(Debug, Clone)]
pub(super) struct Style {
    /// The zone that was asked for, instead of each job's own.
    pub(super) zone: Option<Zone>,
    /// Whether standard output takes colours.
    pub(super) color: bool,
    /// Whether the locale has more letters than ASCII.
    pub(super) unicode: bool,
}

/// A state at a glance; never told by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Good,
    Bad,
    Running,
    Paused,
    Late,
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

impl Style {
    /// Whether the locale is in UTF-8: the first of the variables that is set decides.
    pub(super) fn has_unicode() -> bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| config::environment(name));
        let locale = locale.unwrap_or_default().to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    }

    pub(super) fn symbol(&self, mark: Mark) -> &'static str {
        let (symbol, word) = match mark {
            Mark::Good => ("✓", "ok"),
            Mark::Bad => ("✗", "FAIL"),
            Mark::Running => ("▶", "RUN"),
            Mark::Paused => ("⏸", "PAUSED"),
            Mark::Late => ("!", "LATE"),
            Mark::Idle => ("-", "-"),
        };
        if self.unicode { symbol } else { word }
    }

    fn painted(&self, mark: Mark, line: &str) -> String {
        let color = match mark {
            Mark::Good => 32,
            Mark::Bad => 31,
            Mark::Running => 34,
            Mark::Paused | Mark::Late => 33,
            Mark::Idle => 2,
        };
        match line.strip_prefix(self.symbol(mark)).filter(|_| self.color) {
            Some(rest) => format!("\x1b[{color}m{}\x1b[0m{rest}", self.symbol(mark)),
            None => line.to_owned(),
        }
    }

    fn zone<'a>(&'a self, own: &'a Zone) -> &'a Zone {
        self.zone.as_ref().unwrap_or(own)
    }

    /// Date, time and abbreviation of the zone: `2026-11-22 06:31:00 CET`.
    pub(super) fn time(&self, at: Timestamp, own: &Zone) -> String {
        let zone = self.zone(own);
        format!("{} {}", zone.wall(at).format("%Y-%m-%d %H:%M:%S"), zone.offset(at).1)
    }

    /// The same, without the date when that is today's.
    pub(super) fn brief(&self, at: Timestamp, now: Timestamp, own: &Zone) -> String {
        let zone = self.zone(own);
        if zone.wall(at).date() != zone.wall(now).date() {
            return self.time(at, own);
        }
        format!("{} {}", zone.wall(at).format("%H:%M:%S"), zone.offset(at).1)
    }

    /// The time of day to the millisecond, with its date when that is not the day of `near`.
    pub(super) fn instant(&self, at: Timestamp, near: Timestamp, own: &Zone) -> String {
        let wall = self.zone(own).wall(at);
        let same = wall.date() == self.zone(own).wall(near).date();
        wall.format(if same { "%H:%M:%S%.3f" } else { "%Y-%m-%d %H:%M:%S" }).to_string()
    }

    /// With the day of the week and the distance from UTC: `Sat 2027-03-27 02:30:00 CET  (+01:00)`.
    pub(super) fn full(&self, at: Timestamp, own: &Zone) -> String {
        let zone = self.zone(own);
        let (offset, abbreviation) = zone.offset(at);
        format!("{} {abbreviation:<4} ({})", zone.wall(at).format("%a %Y-%m-%d %H:%M:%S"), distance(offset))
    }
}

/// Seconds east of UTC as `+01:00`.
fn distance(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A span in at most two units: `17ms`, `3.1s`, `8m 48s`, `3d 2h`.
pub(super) fn span(span: Duration) -> String {
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
pub(super) fn about(distance: Duration) -> String {
    span(Duration::from_secs(distance.as_secs()).max(Duration::from_secs(1)))
}

/// `1 job`, `2 jobs`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// What became of a run or an occurrence, in words.
pub(super) fn result(run: &Run) -> String {
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
pub(super) fn ended(state: State, attempt: &Attempt) -> String {
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
pub(super) fn moment(text: &str, zone: &Zone) -> Result<Timestamp, String> {
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
pub(super) fn past(text: &str, now: Timestamp, zone: &Zone) -> Result<Timestamp, String> {
    match config::duration(text) {
        Ok(ago) => Ok(now.minus(ago)),
        Err(_) => moment(text, zone).map_err(|why| format!("neither a span such as 24h, and {why}")),
    }
}

/// A zone as typed.
///
/// # Errors
/// The nearest name.
pub(super) fn zone(name: &str) -> Result<Zone, String> {
    desk::zone(name)
}

/// The zone of a job as it is told; UTC when nobody knows it.
pub(super) fn known_zone(name: Option<&str>) -> Zone {
    name.and_then(|name| Zone::parse(name).ok()).unwrap_or_else(Zone::utc)
}

/// A table without borders, whose rows may begin with a mark.
pub(super) struct Table<'a> {
    style: &'a Style,
    marks: Vec<Option<Mark>>,
    table: comfy_table::Table,
}

impl<'a> Table<'a> {
    pub(super) fn new(style: &'a Style, header: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(header.to_vec());
        Table { style, marks: Vec::new(), table }
    }

    pub(super) fn row(&mut self, mark: Option<Mark>, cells: impl IntoIterator<Item = String>) {
        let symbol = mark.map(|mark| self.style.symbol(mark).to_owned());
        // What comes from outside must neither break the row nor reach the terminal as a command.
        let clean = |cell: String| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        self.table.add_row(symbol.into_iter().chain(cells.into_iter().map(clean)).collect::<Vec<_>>());
        self.marks.push(mark);
    }

    /// The whole, each line ended.
    pub(super) fn text(mut self) -> String {
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut marks = std::iter::once(None).chain(self.marks);
        let mut text = String::new();
        for line in self.table.lines() {
            let mark = marks.next().flatten();
            let line = line.trim_end();
            text += &mark.map_or_else(|| line.to_owned(), |mark| self.style.painted(mark, line));
            text.push('\n');
        }
        text
    }
}

//! How times, marks and tables are written to a terminal.

use crate::clock::Timestamp;
use crate::config;
use crate::desk;
use crate::phrase::{Mark, distance};
use crate::schedule::Zone;

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

    /// The symbol in its colour, and blanks up to `width`.
    pub(super) fn marked(&self, mark: Mark, width: usize) -> String {
        self.painted(mark, &format!("{:<width$}", self.symbol(mark)))
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

//! Crontabs: what one says, and the schedule file that says the same.
//!
//! [`read`] goes by the code of Vixie's cron and of cronie, not by their manuals. What those refuse, or where
//! programs disagree, is left out with its line and the reason; nothing is guessed.

mod command;
mod fields;
mod line;
mod name;
mod setting;
mod write;
mod zone;

use std::collections::BTreeMap;

pub use write::{Target, Written, write};
pub use zone::{MachineZone, machine_zone};

use line::Line;
use setting::Settings;

/// What a crontab says.
#[derive(Debug, Clone, Default)]
pub struct Crontab {
    /// How many lines it has.
    pub lines: usize,
    /// What it starts, in order.
    pub entries: Vec<Entry>,
    /// Entries that cannot be kept.
    pub left_out: Vec<LeftOut>,
    /// What else someone should know.
    pub notes: Vec<Note>,
    /// How many entries were comments: they are not kept, and not counted as left out.
    pub commented_out: usize,
}

/// One line that starts a command, with the settings above it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Line, from 1.
    pub line: usize,
    /// The line itself.
    pub text: String,
    /// When, in our dialect.
    pub schedule: String,
    /// The comment right above it.
    pub description: Option<String>,
    /// `CRON_TZ`, when it is set.
    pub zone: Option<String>,
    /// `SHELL`, when it is set.
    pub shell: Option<String>,
    /// `HOME`, when it is set: where the command starts.
    pub home: Option<String>,
    /// The other variables, `HOME` among them.
    pub env: BTreeMap<String, String>,
    /// `RANDOM_DELAY` in minutes.
    pub delay: u32,
    /// The user column of a system crontab.
    pub user: Option<String>,
    /// What the shell is given.
    pub command: String,
    /// What follows the first `%`.
    pub stdin: Option<String>,
    /// What was said in other words, and why.
    pub notes: Vec<String>,
}

/// An entry that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Line, from 1.
    pub line: usize,
    /// The line itself.
    pub text: String,
    /// Why, and what to do about it.
    pub why: String,
}

/// Something to know about one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Line, from 1.
    pub line: usize,
    /// One sentence.
    pub text: String,
}

/// Reads a crontab; `system` when its entries name a user before the command, as in `/etc/crontab`.
pub fn read(text: &str, system: bool) -> Crontab {
    let mut tab = Crontab::default();
    let mut settings = Settings::default();
    let mut comments: Vec<String> = Vec::new();
    for (n, raw) in text.lines().enumerate() {
        let line = n + 1;
        tab.lines = line;
        let trimmed = raw.trim_matches([' ', '\t', '\r']);
        if let Some(comment) = trimmed.strip_prefix('#') {
            if line::is_entry(comment, system) {
                tab.commented_out += 1;
            } else if let Some(words) = line::words_of(comment) {
                comments.push(words);
            }
            continue;
        }
        let above = std::mem::take(&mut comments);
        if trimmed.is_empty() {
            continue;
        }
        // A space at the end of a value in quotes counts, the rest of the line's ends do not.
        if let Some((name, value)) = setting::split(trimmed) {
            let said = settings.take(line, &name, value);
            tab.notes.extend(said.map(|text| Note { line, text }));
            continue;
        }
        match line::split(trimmed, system) {
            Ok(found) => tab.entries.push(entry(line, trimmed, found, &settings, &above)),
            Err(why) => tab.left_out.push(LeftOut { line, text: trimmed.to_owned(), why }),
        }
    }
    tab
}

fn entry(line: usize, text: &str, found: Line, settings: &Settings, above: &[String]) -> Entry {
    Entry {
        line,
        text: text.to_owned(),
        schedule: found.schedule,
        description: Some(above.join(" ")).filter(|words| !words.is_empty()),
        zone: settings.zone.clone(),
        shell: settings.shell.clone(),
        home: settings.env.get("HOME").cloned(),
        env: settings.env.clone(),
        delay: settings.delay,
        user: found.user,
        command: found.command,
        stdin: found.stdin,
        notes: found.notes,
    }
}

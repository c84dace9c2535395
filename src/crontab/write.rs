//! The schedule file that says what a crontab says, in TOML 1.0.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::name::Names;
use super::{Crontab, Entry, LeftOut, MachineZone, Note};
use crate::clock::Timestamp;
use crate::config::{self, SourceText};
use crate::schedule::Zone;

/// What the file depends on besides the crontab.
#[derive(Debug)]
pub struct Target<'a> {
    /// How the crontab was named.
    pub source: &'a str,
    /// Where the times are meant unless `CRON_TZ` says.
    pub zone: &'a MachineZone,
    /// Who runs the replicas: only the entries of this user start by themselves.
    pub user: Option<&'a str>,
    /// For the file's own check.
    pub now: Timestamp,
}

/// The file, and what is to be said about it.
#[derive(Debug)]
pub struct Written {
    /// TOML that loads without errors.
    pub text: String,
    /// How many jobs it has.
    pub jobs: usize,
    /// The entries that it does not have, in order.
    pub left_out: Vec<LeftOut>,
    /// In order.
    pub notes: Vec<Note>,
}

/// Writes what `tab` says as a schedule file. Each job is loaded as `serve` would load it; what cannot be loaded is
/// left out, with the reason.
pub fn write(tab: &Crontab, target: &Target<'_>) -> Written {
    let (mut left_out, mut notes) = (tab.left_out.clone(), tab.notes.clone());
    let (mut names, mut jobs) = (Names::default(), Vec::<(usize, String)>::new());
    let defaults = defaults(target.zone);
    let mut zones = Zones::default();
    for entry in &tab.entries {
        let name = names.name(&entry.command);
        let (text, said) = job(entry, &name, target.user);
        let wrong = match zones.refused(entry.zone.as_deref()) {
            None => refused(&format!("version = 1\n{defaults}\n{text}"), target.now),
            wrong => wrong,
        };
        match wrong {
            None => {
                notes.extend(said.into_iter().map(|text| Note { line: entry.line, text }));
                jobs.push((entry.line, text));
            }
            Some(why) => left_out.push(LeftOut { line: entry.line, text: entry.text.clone(), why }),
        }
    }
    left_out.sort_by_key(|one| one.line);
    notes.sort_by_key(|one| one.line);
    let count = jobs.len();
    let lost = left_out.iter().map(|one| {
        let line = one.line;
        (line, format!("# line {line} was left out: {}\n#     {}\n", comment(&one.why), comment(&one.text)))
    });
    let mut pieces: Vec<(usize, String)> = jobs.into_iter().chain(lost).collect();
    pieces.sort_by_key(|(line, _)| *line);
    let mut text =
        format!("# Imported by cronclave {} from the crontab {}.\n", env!("CARGO_PKG_VERSION"), comment(target.source));
    let _ = write!(text, "version = 1\n\n{defaults}");
    for (_, piece) in pieces {
        let _ = write!(text, "\n{piece}");
    }
    Written { text, jobs: count, left_out, notes }
}

/// Zones that were looked up: looking for the nearest name of one that is wrong takes long, and thousands of entries
/// may be meant in it.
#[derive(Default)]
struct Zones<'a>(BTreeMap<&'a str, bool>);

impl<'a> Zones<'a> {
    /// Why times cannot be meant in this zone.
    fn refused(&mut self, name: Option<&'a str>) -> Option<String> {
        let name = name?;
        // No zone has a longer name.
        let known = *self.0.entry(name).or_insert_with(|| name.len() < 64 && Zone::parse(name).is_ok());
        let short: String = name.chars().take(64).collect();
        let why = format!("CRON_TZ={short} is no zone known here: write an IANA name such as Europe/Berlin");
        (!known).then_some(why)
    }
}

/// What cron does for all jobs, where ours would do otherwise.
fn defaults(zone: &MachineZone) -> String {
    format!(
        "# Unlike under cron, a run does not start while the last one is going (overlap = \"skip\"; cron says \"allow\"),\n\
         # one that nobody could start in time is caught up once within the hour (misfire = \"run_once\"; cron says\n\
         # \"skip\"), and a command starts in the replica's directory and environment, not at home in a bare one.\n\
         [defaults]\n\
         timezone = {}  # {}\n\
         timeout  = \"7d\"  # cron knows no limit; without this line it would be an hour\n",
        quoted(zone.zone.name()),
        comment(&zone.origin)
    )
}

/// One job as TOML, and what is to be told about it.
fn job(entry: &Entry, name: &str, user: Option<&str>) -> (String, Vec<String>) {
    let mut said = entry.notes.clone();
    let mut text = format!("# line {}\n", entry.line);
    for note in &entry.notes {
        let _ = writeln!(text, "# {}", comment(note));
    }
    let owner = entry.user.as_deref();
    let is_foreign = owner.is_some() && owner != user;
    if let Some(owner) = owner {
        let _ = writeln!(text, "# ran as {}", comment(owner));
    }
    let _ = writeln!(text, "[jobs.{name}]");
    let mut key = |key: &str, value: String| {
        let _ = writeln!(text, "{key:<11} = {value}");
    };
    if let Some(words) = &entry.description {
        key("description", quoted(words));
    }
    key("schedule", quoted(&entry.schedule));
    if let Some(zone) = &entry.zone {
        key("timezone", quoted(zone));
    }
    if entry.delay > 0 {
        key("jitter", quoted(&format!("{}m", entry.delay)));
    }
    key("command", quoted(&entry.command));
    if let Some(shell) = &entry.shell {
        key("shell", format!("[{}, \"-c\"]", quoted(shell)));
    }
    if let Some(home) = &entry.home {
        key("cwd", quoted(home));
    }
    if !entry.env.is_empty() {
        let pairs = entry.env.iter().map(|(name, value)| format!("{} = {}", bare(name), quoted(value)));
        key("env", format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", ")));
    }
    if let Some(input) = &entry.stdin {
        key("stdin", quoted(input));
    }
    if let Some(owner) = owner.filter(|_| is_foreign) {
        let who = comment(owner);
        let way = format!("move it into a file that only replicas run as {who} read, and remove this line");
        key("enabled", format!("false  # {way}"));
        said.push(format!(
            "job {name} ran as {who} and is written with `enabled = false`, because a replica starts everything as \
             its own user: {way}, or import with --user {who}"
        ));
    }
    (text, said)
}

/// Why the program itself would not take this file.
fn refused(text: &str, now: Timestamp) -> Option<String> {
    let source = SourceText { name: "import".into(), text: text.into() };
    let wrong = config::load(&[source], &|_| None, now).err()?;
    let first = wrong.first()?;
    Some(
        [Some(&first.message), Some(&first.label), first.help.as_ref()]
            .into_iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .join(": "),
    )
}

/// A key, in quotes only where TOML wants them.
fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(plain) { key.into() } else { quoted(key) }
}

/// A text as a TOML string on one line.
fn quoted(text: &str) -> String {
    let has = |letter: char| text.contains(letter);
    // Between single quotes a string is what it looks like.
    if (has('"') || has('\\')) && !has('\'') && !text.chars().any(char::is_control) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            _ if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            _ => quoted.push(letter),
        }
    }
    quoted + "\""
}

/// A text within a comment: on one line, without what TOML refuses there.
fn comment(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

//! Every key of a schedule file, once: its type, default and meaning.
//!
//! From this table come the words that a mistyped key is compared with, the schema for editors, and the
//! reference page. The readers name the keys once more, in `match`; the tests below hold the two together.

mod job;
mod parts;
mod top;

pub(super) use job::{DEFAULTS, JOB};
pub(super) use parts::{EXPECT, HTTP, KEEP, LOCK, MISFIRE, PUBLISH, RETRY, SECRET, SECRET_USE};
pub(super) use top::{BETWEEN, CALENDAR, HOOK, TOP};

/// A word that a setting accepts, and what it does.
pub(super) type Said = (&'static str, &'static str);

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// One of a few.
    Word(&'static [Said]),
    Flag,
    /// A whole number, both ends included.
    Whole(i64, i64),
    /// A number from 0 to 1.
    Share,
    /// Text such as `"90s"`.
    Duration,
    /// Text such as `"1MiB"`.
    Size,
    /// A date, a time, or both, in TOML's own notation. Editors disagree on how a schema says that, so it says nothing.
    Date,
    /// Anything that JSON can hold.
    Any,
    List(&'static Kind),
    /// A table whose keys are names of the user's own.
    Named(&'static str, &'static Kind),
    Table(&'static Table),
    Either(&'static [Kind]),
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As written in TOML; empty where there is none.
    pub(super) default: &'static str,
    /// One or two plain sentences.
    pub(super) about: &'static str,
    /// As written in TOML.
    pub(super) example: &'static str,
    /// Whether `[defaults]` has it as well.
    pub(super) shared: bool,
    pub(super) required: bool,
}

impl Key {
    const fn new(name: &'static str, kind: Kind, example: &'static str, about: &'static str) -> Key {
        Key { name, kind, default: "", about, example, shared: false, required: false }
    }

    /// The key and its value as a line of TOML.
    pub(super) fn line(&self, value: &str) -> String {
        let is_bare = self.name.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c));
        let quote = if is_bare { "" } else { "\"" };
        format!("{quote}{}{quote} = {value}", self.name)
    }

    const fn or(mut self, default: &'static str) -> Key {
        self.default = default;
        self
    }

    const fn shared(mut self) -> Key {
        self.shared = true;
        self
    }

    const fn required(mut self) -> Key {
        self.required = true;
        self
    }
}

/// The keys that one kind of table knows.
#[derive(Debug)]
pub(super) struct Table {
    /// How it is written, as in `[jobs.NAME]`.
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    all: &'static [Key],
    /// Has those of `all` that are shared.
    only_shared: bool,
    /// Designed, but not in this version.
    later: &'static [&'static str],
    /// What other tools call it, and what to say about that.
    pub(super) foreign: &'static [(&'static str, &'static str)],
}

impl Table {
    const fn new(title: &'static str, about: &'static str, all: &'static [Key]) -> Table {
        Table { title, about, all, only_shared: false, later: &[], foreign: &[] }
    }

    const fn later(mut self, later: &'static [&'static str]) -> Table {
        self.later = later;
        self
    }

    const fn foreign(mut self, foreign: &'static [(&'static str, &'static str)]) -> Table {
        self.foreign = foreign;
        self
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'static Key> {
        let only_shared = self.only_shared;
        self.all.iter().filter(move |key| key.shared || !only_shared)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys().map(|key| key.name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Whether it is a key of a later version.
    pub(super) fn is_later(&self, name: &str) -> bool {
        self.later.contains(&name)
    }
}

/// How a key of a job is written, for whoever wrote it wrong.
pub(super) fn example(name: &str) -> Option<String> {
    let key = JOB.keys().find(|key| key.name == name)?;
    Some(format!("as in `{}`", key.line(key.example)))
}

#[cfg(test)]
mod tests;

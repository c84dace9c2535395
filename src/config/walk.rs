//! Walking through one file's values: typed readers that note every mistake and go on.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::diagnostic::{Diagnostic, Place, Severity};
use super::duration::{duration, meant};
use super::keys::{self, Table};
use super::words::{Borrowed, Word, nearest};
use crate::template::{self, Misplaced};

pub(super) type Key<'i> = Spanned<DeString<'i>>;
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// More keys than this are not listed in a line.
const MANY: usize = 12;

/// What to do about a duration that is none.
const WITH_UNIT: &str = "write it as text with ms, s, m, h or d";

/// One file's text, with its lines found once.
pub(super) struct File {
    pub(super) name: Arc<str>,
    pub(super) text: Arc<str>,
    lines: Vec<usize>,
}

impl File {
    pub(super) fn new(name: &str, text: &Arc<str>) -> File {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        File { name: name.into(), text: Arc::clone(text), lines: std::iter::once(0).chain(starts).collect() }
    }

    /// Where a line begins, counted from 1.
    pub(super) fn start(&self, line: usize) -> Option<usize> {
        self.lines.get(line.checked_sub(1)?).copied()
    }

    /// The text of a line, counted from 1.
    pub(super) fn line(&self, line: usize) -> &str {
        let rest = self.start(line).and_then(|start| self.text.get(start..));
        rest.and_then(|rest| rest.lines().next()).unwrap_or("").trim_end()
    }

    /// Line and column of a byte, both from 1.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..at).unwrap_or("");
        (line, before.chars().count() + 1)
    }
}

/// Reads values of one file and collects what is wrong with them.
///
/// A reader that returns `None` has noted why.
pub(super) struct Walk<'a> {
    pub(super) file: &'a File,
    pub(super) found: Vec<Diagnostic>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Walk { file, found: Vec::new() }
    }

    /// Notes a mistake; returns it so that help can be added.
    pub(super) fn error(
        &mut self,
        code: &str,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> &mut Diagnostic {
        let (line, column) = self.file.place(span.start);
        let (end_line, end_column) = self.file.place(span.end);
        self.found.push(Diagnostic {
            line,
            column,
            end_line,
            end_column,
            severity: Severity::of(code),
            span,
            label: label.into(),
            source: Arc::clone(&self.file.text),
            ..Diagnostic::about_file(code, &self.file.name, message.into())
        });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }

    /// A place in this file.
    pub(super) fn place(&self, span: Range<usize>, label: &'static str) -> Place {
        Place { file: Arc::clone(&self.file.name), source: Arc::clone(&self.file.text), span, label: label.into() }
    }

    /// Where the bytes `part` of a string stand in the file; the whole value when it has escapes.
    pub(super) fn inside(&self, value: &Value<'_>, part: Range<usize>) -> Range<usize> {
        let span = value.span();
        let written = self.file.text.get(span.start + 1..span.end.saturating_sub(1));
        match value.get_ref().as_str() {
            Some(text) if written == Some(text) => span.start + 1 + part.start..span.start + 1 + part.end,
            _ => span,
        }
    }

    pub(super) fn wrong_type(&mut self, what: &str, value: &Value<'_>, wanted: &str) -> &mut Diagnostic {
        let is = value.get_ref().type_str();
        let article = if is.starts_with(['a', 'i']) { "an" } else { "a" };
        let message = format!("`{what}` must be {wanted}, not {article} {is}");
        let error = self.error("E0018", value.span(), message, format!("expected {wanted}"));
        error.help = keys::example(what);
        error
    }

    fn empty(&mut self, what: &str, value: &Value<'_>) {
        self.error("E0024", value.span(), format!("`{what}` is empty"), "expected some text").help =
            keys::example(what);
    }

    pub(super) fn text(&mut self, what: &str, value: &Value<'_>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                self.error("E0024", value.span(), format!("`{what}` holds a NUL character"), "not allowed here");
                None
            }
            DeValue::String(text) if !text.trim().is_empty() => Some(text.to_string()),
            DeValue::String(_) => {
                self.empty(what, value);
                None
            }
            // A number in quotes is no schedule either.
            DeValue::Integer(_) if what == "schedule" => {
                self.wrong_type(what, value, "text");
                None
            }
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
                let written = self.file.text.get(value.span()).unwrap_or("").to_owned();
                let wrong = self.wrong_type(what, value, "text");
                wrong.suggest("put it in quotes", value.span(), format!("\"{written}\""));
                None
            }
            _ => {
                self.wrong_type(what, value, "text");
                None
            }
        }
    }

    /// Text without `{{`: templates are not filled in by this version, and must not be sent as they stand.
    pub(super) fn untemplated(&mut self, what: &str, value: &Value<'_>) -> Option<String> {
        let text = self.text(what, value)?;
        let Some(at) = text.find("{{") else { return Some(text) };
        let span = self.inside(value, at..at + 2);
        self.error("E0004", span, "templates are not supported by this version", "would be sent as it stands");
        None
    }

    /// Text with places to fill in, each of which can be.
    pub(super) fn templated(&mut self, what: &str, value: &Value<'_>) -> Option<String> {
        let text = self.text(what, value)?;
        let Err(Misplaced { at, why, meant }) = template::check(&text) else { return Some(text) };
        let span = self.inside(value, at);
        let error = self.error("E0038", span.clone(), "a place in the text cannot be filled in", why);
        if let Some(meant) = meant.filter(|_| span != value.span()) {
            error.suggest(format!("did you mean `{meant}`?"), span, meant);
        }
        None
    }

    pub(super) fn texts(&mut self, what: &str, value: &Value<'_>) -> Option<Vec<String>> {
        let DeValue::Array(items) = value.get_ref() else {
            let written = self.file.text.get(value.span()).unwrap_or("").to_owned();
            let wrong = self.wrong_type(what, value, "a list of texts");
            if value.get_ref().is_str() {
                wrong.suggest("put it in a list", value.span(), format!("[{written}]"));
            }
            return None;
        };
        let texts: Vec<_> = items.iter().map(|item| self.text(what, item)).collect();
        texts.into_iter().collect()
    }

    pub(super) fn boolean(&mut self, what: &str, value: &Value<'_>) -> Option<bool> {
        let found = value.get_ref().as_bool();
        if found.is_none() {
            let wrong = self.wrong_type(what, value, "true or false");
            if let Some(word @ ("true" | "false")) = value.get_ref().as_str() {
                wrong.suggest("write it without quotes", value.span(), word);
            }
        }
        found
    }

    pub(super) fn integer(&mut self, what: &str, value: &Value<'_>, range: Range<i64>) -> Option<i64> {
        let DeValue::Integer(number) = value.get_ref() else {
            let wrong = self.wrong_type(what, value, "a whole number");
            if let Some(text) = value.get_ref().as_str().filter(|text| text.parse::<i64>().is_ok()) {
                wrong.suggest("write it without quotes", value.span(), text);
            }
            return None;
        };
        let number = i64::from_str_radix(number.as_str(), number.radix()).ok().filter(|n| range.contains(n));
        if number.is_none() {
            let label = format!("must be {} to {}", range.start, range.end - 1);
            self.error("E0023", value.span(), format!("`{what}` is out of range"), label);
        }
        number
    }

    pub(super) fn duration(&mut self, what: &str, value: &Value<'_>) -> Option<Duration> {
        match value.get_ref() {
            DeValue::String(text) => match duration(text) {
                Ok(span) => Some(span),
                Err(why) => {
                    let meant = meant(text);
                    let bare = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
                    let code = if bare { "E0021" } else { "E0022" };
                    let error = self.error(code, value.span(), format!("{text:?} is not a duration"), why);
                    error.help("write it as text with ms, s, m, h or d, as in \"90s\" or \"1h30m\"");
                    if let Some(meant) = meant {
                        error.suggest(WITH_UNIT, value.span(), format!("\"{meant}\""));
                    }
                    None
                }
            },
            DeValue::Integer(number) => {
                let with = format!("\"{number}s\"");
                self.error("E0021", value.span(), "a duration needs a unit", "number without a unit").suggest(
                    WITH_UNIT,
                    value.span(),
                    with,
                );
                None
            }
            _ => {
                self.wrong_type(what, value, "a duration such as \"90s\"");
                None
            }
        }
    }

    /// A duration that is not zero.
    pub(super) fn span_of_time(&mut self, what: &str, value: &Value<'_>) -> Option<Duration> {
        let found = self.duration(what, value)?;
        if found.is_zero() {
            self.error("E0023", value.span(), format!("`{what}` is out of range"), "must be more than zero")
                .help("write a long one, as in \"7d\", where no limit is meant");
            return None;
        }
        Some(found)
    }

    /// One of a few words; `foreign` names those of other tools and the word meant here.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        what: &str,
        value: &Value<'_>,
        words: &[Word<T>],
        foreign: &[Borrowed],
    ) -> Option<T> {
        let names: Vec<_> = words.iter().map(|(word, _, _)| *word).collect();
        if !value.get_ref().is_str() {
            let label = format!("expected one of: {}", names.join(", "));
            self.wrong_type(what, value, "a word").label = label;
            return None;
        }
        let text = self.text(what, value)?;
        if let Some((_, found, _)) = words.iter().find(|(word, _, _)| *word == text) {
            return Some(*found);
        }
        let borrowed = foreign.iter().find(|(word, _, _)| text.eq_ignore_ascii_case(word));
        let meant = borrowed.map(|(_, meant, _)| *meant).or_else(|| nearest(&text, names.iter().copied()));
        let place = self.inside(value, 0..text.len());
        let quoted = |word: &str| if place == value.span() { format!("\"{word}\"") } else { word.to_owned() };
        let quoted = meant.map(quoted);
        let label = format!("expected one of: {}", names.join(", "));
        let error = self.error("E0020", value.span(), format!("unknown {what} {text:?}"), label);
        let title = match borrowed {
            Some((word, meant, who)) => format!("{who} {word}; here it is \"{meant}\""),
            None => format!("did you mean \"{}\"?", meant.unwrap_or_default()),
        };
        if let Some(with) = quoted {
            error.suggest(title, place, with);
        }
        None
    }

    pub(super) fn table<'v, 'i>(&mut self, what: &str, value: &'v Value<'i>) -> Option<&'v DeTable<'i>> {
        let found = value.get_ref().as_table();
        if found.is_none() {
            self.wrong_type(what, value, "a table");
        }
        found
    }

    /// A table, of which people like to write the one key `inner` alone.
    pub(super) fn table_with<'v, 'i>(
        &mut self,
        what: &str,
        inner: &str,
        value: &'v Value<'i>,
    ) -> Option<&'v DeTable<'i>> {
        let found = value.get_ref().as_table();
        if found.is_none() {
            let written = self.file.text.get(value.span()).unwrap_or("").to_owned();
            let wrong = self.wrong_type(what, value, "a table");
            if value.get_ref().is_str() {
                wrong.suggest(format!("write it as `{inner}`"), value.span(), format!("{{ {inner} = {written} }}"));
            }
        }
        found
    }

    /// Notes a key that does not belong here; returns the one that was probably meant.
    pub(super) fn unknown_key(&mut self, key: &Key<'_>, table: &Table, whose: &str) -> Option<&'static str> {
        let name = key.get_ref().as_ref();
        if table.is_later(name) {
            self.error("E0004", key.span(), format!("`{name}` is not supported by this version"), "not yet")
                .help("leave it out: it is planned for a later version");
            return None;
        }
        let message = format!("unknown key `{name}` in {whose}");
        if let Some((_, hint)) = table.foreign.iter().find(|(word, _)| *word == name) {
            let meant = table.names().find(|known| hint.contains(&format!("`{known}")));
            let error = self.error("E0019", key.span(), message, "not known here by this name");
            match meant.filter(|known| *hint == format!("here it is `{known}`")) {
                Some(known) => error.suggest(*hint, key.span(), known),
                None => _ = error.help(*hint),
            }
            return meant;
        }
        let meant = nearest(name, table.names());
        let error = self.error("E0012", key.span(), message, "not a setting known here");
        if let Some(meant) = meant {
            error.suggest(format!("did you mean `{meant}`?"), key.span(), meant);
        } else if table.title == keys::DEFAULTS.title && keys::JOB.has(name) {
            error.help("each job says this for itself: write it below its `[jobs.NAME]`");
        } else if table.keys().count() > MANY {
            error.help("all keys and what they mean: cronclave schema --docs");
        } else {
            error.help(format!("known here: {}", table.names().collect::<Vec<_>>().join(", ")));
        }
        meant
    }
}

//! One thing to say about a schedule file: [`Diagnostic`], with its place and what to do.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The files cannot be used.
    Error,
    /// The files can be used, but someone should look.
    Warning,
}

impl Severity {
    /// What the first letter of a code says.
    pub(super) fn of(code: &str) -> Severity {
        if code.starts_with('W') { Severity::Warning } else { Severity::Error }
    }
}

/// A mistake, or something to look at, in a schedule file.
///
/// As JSON it has `file`, `line`, `column`, `end_line`, `end_column`, `code`, `severity`, `message`, `label` and `help`;
/// where there is a fix, `suggestion`; where there is a second place, `related`.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// The file, as it was named.
    pub file: String,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 when the whole file is meant.
    pub column: usize,
    /// Line just after the place.
    pub end_line: usize,
    /// Column just after the place.
    pub end_column: usize,
    /// Stable name of the kind of mistake: `E0102`, `W0204`.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// What to write beneath the place.
    pub label: String,
    /// The place, in bytes of the file.
    pub span: Range<usize>,
    /// What to write instead.
    pub suggestion: Option<Suggestion>,
    /// A second place that belongs to it.
    pub other: Option<Place>,
    /// The file's text, to show the lines; empty when there is none.
    pub source: Arc<str>,
}

/// A replacement that would set it right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// Said above it, as a question or an order.
    pub title: String,
    /// What to replace, in bytes of the file.
    pub span: Range<usize>,
    /// What to put there.
    pub with: String,
}

/// A place in a file.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Its text.
    pub source: Arc<str>,
    /// The place, in bytes.
    pub span: Range<usize>,
    /// What to write beneath it.
    pub label: Cow<'static, str>,
}

/// Lines and columns of a stretch of text: from 1, columns in characters, the end just after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Region {
    /// Where it begins.
    pub line: usize,
    /// Where it begins.
    pub column: usize,
    /// Where it ends.
    pub end_line: usize,
    /// Where it ends.
    pub end_column: usize,
}

impl Region {
    /// The region of the bytes `span` in `text`.
    pub fn of(text: &str, span: &Range<usize>) -> Region {
        let place = |at: usize| {
            let before = text.get(..at).unwrap_or(text);
            let start = before.rfind('\n').map_or(0, |newline| newline + 1);
            (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
        };
        let ((line, column), (end_line, end_column)) = (place(span.start), place(span.end));
        Region { line, column, end_line, end_column }
    }
}

impl Place {
    /// Its lines and columns.
    pub fn region(&self) -> Region {
        Region::of(&self.source, &self.span)
    }
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        map.serialize_entry("file", &self.file)?;
        map.serialize_entry("line", &self.line)?;
        map.serialize_entry("column", &self.column)?;
        map.serialize_entry("end_line", &self.end_line)?;
        map.serialize_entry("end_column", &self.end_column)?;
        map.serialize_entry("code", &self.code)?;
        map.serialize_entry("severity", &self.severity)?;
        map.serialize_entry("message", &self.message)?;
        map.serialize_entry("label", &self.label)?;
        map.serialize_entry("help", &self.help)?;
        if let Some(Suggestion { title, span, with }) = &self.suggestion {
            let Region { line, column, end_line, end_column } = Region::of(&self.source, span);
            let fix = serde_json::json!({
                "title": title, "line": line, "column": column, "end_line": end_line, "end_column": end_column, "with": with,
            });
            map.serialize_entry("suggestion", &fix)?;
        }
        if let Some(place) = &self.other {
            let Region { line, column, end_line, end_column } = place.region();
            let related = serde_json::json!([{
                "file": place.file, "line": line, "column": column, "end_line": end_line, "end_column": end_column,
                "label": place.label,
            }]);
            map.serialize_entry("related", &related)?;
        }
        map.end()
    }
}

impl Diagnostic {
    /// About a place that is known already.
    pub(super) fn at(code: &str, place: &Place, message: String, label: String) -> Diagnostic {
        let Region { line, column, end_line, end_column } = place.region();
        Diagnostic {
            line,
            column,
            end_line,
            end_column,
            severity: Severity::of(code),
            span: place.span.clone(),
            label,
            source: Arc::clone(&place.source),
            ..Diagnostic::about_file(code, &place.file, message)
        }
    }

    /// About a whole file, or one that is not there.
    pub(super) fn about_file(code: &str, file: &str, message: String) -> Diagnostic {
        Diagnostic {
            file: file.to_owned(),
            line: 0,
            column: 0,
            end_line: 0,
            end_column: 0,
            code: code.to_owned(),
            severity: Severity::Error,
            message,
            help: None,
            label: String::new(),
            span: 0..0,
            suggestion: None,
            other: None,
            source: "".into(),
        }
    }

    /// Adds what to do about it.
    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what to write instead, which makes general help superfluous.
    pub(super) fn suggest(&mut self, title: impl Into<String>, span: Range<usize>, with: impl Into<String>) {
        self.help = None;
        self.suggestion = Some(Suggestion { title: title.into(), span, with: with.into() });
    }

    /// All that there is to say about it, in one line and without the lines of the file.
    pub fn sentence(&self) -> String {
        let mut parts = vec![self.message.clone(), self.label.clone()];
        parts.extend(self.help.clone());
        if let Some(Suggestion { title, with, .. }) = &self.suggestion {
            let with = with.trim();
            parts.push(if title.contains(with) { title.clone() } else { format!("{title}: {with}") });
        }
        parts.retain(|part| !part.is_empty());
        parts.join("; ")
    }

    /// As rustc would show it: the lines, a caret, the reason and the fix.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.decor_style(DecorStyle::Ascii).render(&self.groups())
    }

    fn groups(&self) -> Vec<Group<'_>> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str()).id(self.code.as_str());
        let mut group = if self.line == 0 {
            title.element(annotate_snippets::Origin::path(self.file.as_str()))
        } else {
            self.snippets(title)
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let mut groups = vec![group];
        if let Some(Suggestion { title, span, with }) = &self.suggestion {
            let patch = Snippet::source(&*self.source).path(self.file.as_str()).patch(Patch::new(span.clone(), with));
            groups.push(Level::HELP.secondary_title(title.as_str()).element(patch));
        }
        groups
    }

    fn snippets<'a>(&'a self, title: annotate_snippets::Title<'a>) -> Group<'a> {
        let here = AnnotationKind::Primary.span(self.span.clone()).label(self.label.as_str());
        let mut snippet = Snippet::source(&*self.source).path(self.file.as_str()).annotation(here);
        let Some(other) = &self.other else { return title.element(snippet) };
        let there = AnnotationKind::Context.span(other.span.clone()).label(&*other.label);
        if *other.file == *self.file {
            snippet = snippet.annotation(there);
            return title.element(snippet);
        }
        title.element(snippet).element(Snippet::source(&*other.source).path(&*other.file).annotation(there))
    }
}

/// Shows at most this many.
const SHOWN: usize = 20;

/// All of them as text, at most 20 in full, then a count. When they are more, errors go before warnings.
pub fn report(list: &[Diagnostic], color: bool) -> String {
    let is_error = |one: &&Diagnostic| one.severity == Severity::Error;
    let errors = list.iter().filter(is_error).count();
    let mut shown: Vec<&Diagnostic> = list.iter().collect();
    if list.len() > SHOWN {
        shown.sort_by_key(|one| one.severity);
        shown.truncate(SHOWN);
    }
    let mut text: String = shown.iter().map(|one| one.render(color) + "\n\n").collect();
    if list.len() > SHOWN {
        text += &format!("... and {} more\n", list.len() - SHOWN);
    }
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    text + &format!("{}, {}\n", count(errors, "error"), count(list.len() - errors, "warning"))
}

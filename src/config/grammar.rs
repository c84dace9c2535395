//! Mistakes in the grammar of TOML, without what only follows from them.

use std::ops::Range;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Place};
use super::walk::{File, Walk};

const YAML: &str = "this looks like YAML: in TOML a section is `[jobs.NAME]` and a setting `key = value`";

/// Notes the parser's complaints.
pub(super) fn note_all(walk: &mut Walk<'_>, errors: &[toml::de::Error]) {
    let mut last = None;
    // What is not TOML at all may be wrong on every line.
    for error in errors.iter().take(100) {
        let (line, _) = walk.file.place(error.span().map_or(0, |span| span.start));
        // What is left open at the end of a line makes the lines below wrong as well.
        let follows = last.is_some_and(|last| line == last + 1) && !error.message().starts_with("duplicate key");
        last = Some(line);
        if !follows {
            note(walk, error);
        }
    }
}

/// Notes one of the parser's complaints, unless it only follows from one before.
fn note(walk: &mut Walk<'_>, error: &toml::de::Error) {
    let span = error.span().unwrap_or(0..0);
    if error.message().starts_with("duplicate key") {
        return twice(walk, span);
    }
    let (line, _) = walk.file.place(span.start);
    let earlier = |one: &Diagnostic| one.code == "E0001" && (one.line == line || one.help.as_deref() == Some(YAML));
    if walk.found.iter().any(earlier) {
        return;
    }
    let is_yaml = walk.file.line(line).split_once(':').is_some_and(|(key, rest)| {
        let word = |c: char| c.is_ascii_alphanumeric() || "-_ ".contains(c);
        key.chars().all(word) && (rest.is_empty() || rest.starts_with(' '))
    });
    let error = walk.error("E0001", span, "this is not valid TOML", error.message());
    if is_yaml {
        error.help(YAML);
    }
}

/// A key, or a whole section, that is there already.
fn twice(walk: &mut Walk<'_>, span: Range<usize>) {
    let file = walk.file;
    let (line, _) = file.place(span.start);
    let section = section(file, line);
    // Whatever stands in a section that is there twice is there twice.
    if section != line && walk.found.iter().any(|one| one.code == "E0006" && one.line == section) {
        return;
    }
    let first = match section == line {
        true => (1..line).find(|n| file.line(*n) == file.line(line)),
        false => {
            let key = file.text.get(span.clone()).unwrap_or("");
            let is_it = |text: &str| text.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
            (section + 1..line).find(|n| is_it(file.line(*n).trim_start()))
        }
    };
    let message = if section == line { "this section is already there" } else { "this key is already there" };
    let error = walk.error("E0006", span, message, "written a second time");
    error.help(if section == line { "keep one of the two, or give them two names" } else { "keep one of the two" });
    if let Some(start) = first.and_then(|line| file.start(line)) {
        let text = file.text.get(start..).unwrap_or("").lines().next().unwrap_or("");
        let blank = text.len() - text.trim_start().len();
        let word = text.trim_start().split(['=', '#']).next().unwrap_or("").trim_end();
        let span = start + blank..start + blank + word.len();
        let (name, source) = (file.name.clone(), Arc::clone(&file.text));
        error.other = Some(Place { file: name, source, span, label: "first written here".into() });
    }
}

/// The line of the header that a line stands below, or is; 0 above the first.
fn section(file: &File, line: usize) -> usize {
    (1..=line).rev().find(|n| file.line(*n).trim_start().starts_with('[')).unwrap_or(0)
}

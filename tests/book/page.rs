//! A page of the book, as steps that can be carried out.

use std::fs;
use std::path::{Path, PathBuf};

/// A command that is typed, and what is said to it.
#[derive(Debug)]
pub(crate) struct Typed {
    /// Its line in the page.
    pub(crate) line: usize,
    pub(crate) command: String,
    pub(crate) said: Vec<String>,
}

/// A block between fences that a reader acts upon.
#[derive(Debug)]
pub(crate) enum Step {
    /// ```` ```LANGUAGE file=PATH ````: the reader writes this file.
    File { path: String, text: String },
    /// ```` ```console ````; `run` stands behind it where the commands are really run.
    Session { runs: bool, typed: Vec<Typed> },
}

/// The steps of a page.
pub(crate) fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let inside: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, line)| !line.starts_with("```")).collect();
        let words: Vec<&str> = info.split_whitespace().collect();
        if let Some(path) = words.iter().find_map(|word| word.strip_prefix("file=")) {
            let text = inside.iter().map(|(_, line)| format!("{line}\n")).collect();
            steps.push(Step::File { path: path.to_owned(), text });
        } else if words.first() == Some(&"console") {
            steps.push(Step::Session { runs: words.contains(&"run"), typed: typed(&inside, words.contains(&"run")) });
        }
    }
    steps
}

/// A line that begins with a prompt is typed, and goes on where it ends with `\`; what follows is said. What root types
/// (`#`) is never run, so it may as well be a comment that is said.
fn typed(lines: &[(usize, &str)], runs: bool) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    for (n, line) in lines {
        let prompted = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ").filter(|_| !runs));
        match (all.last_mut(), prompted) {
            (Some(last), _) if last.said.is_empty() && last.command.ends_with('\\') => {
                last.command += &format!("\n{line}");
            }
            (_, Some(command)) => {
                all.push(Typed { line: n + 1, command: command.to_owned(), said: Vec::new() });
            }
            (Some(last), None) => last.said.push((*line).to_owned()),
            (None, None) => {}
        }
    }
    all
}

/// What is written as code within the text of a page, commands among it. Not what `…` leaves open, nor the names of
/// processes that nobody types.
pub(crate) fn quoted(page: &str) -> Vec<&str> {
    // Between fences, what is outside is every first part.
    let outside = page.split("```").step_by(2);
    let lines = outside.flat_map(str::lines).flat_map(|line| line.split('`').skip(1).step_by(2));
    // The program's name alone is no command.
    lines.filter(|code| code.contains(' ') && !code.contains('…') && !code.contains("__")).collect()
}

/// All pages: README.md, and those of docs/ and below, by their paths in the repository.
pub(crate) fn all(root: &Path) -> Vec<PathBuf> {
    let (mut pages, mut dirs) = (vec![PathBuf::from("README.md")], vec![PathBuf::from("docs")]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root.join(&dir)).unwrap() {
            let (name, kind) = entry.map(|entry| (entry.file_name(), entry.file_type().unwrap())).unwrap();
            let path = dir.join(name);
            if kind.is_dir() {
                dirs.push(path);
            } else if path.extension() == Some("md".as_ref()) {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

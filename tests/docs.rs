//! What the documents say is what the program does.
//!
//! Every TOML block of README.md and docs/ is read as a schedule file. Most are fragments, and are completed like this:
//! a block without `version` gets `version = 1`; one without a header is the inside of a job `backup`, which gets
//! `schedule = "@daily"` and `command = "true"` unless the block says when and what itself. A block marked `wrong` must
//! give the code that its page is about; any other must give neither error nor, on the page of a warning, that warning.
//! `file=PATH` says where a reader puts it, and tests/book.rs with them.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cronclave::clock::Timestamp;
use cronclave::config::{self, Diagnostic, Severity, SourceText, load, report};

#[path = "common/tree.rs"]
mod tree;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A fenced block of TOML.
struct Block {
    line: usize,
    is_wrong: bool,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open: Option<(bool, bool)> = None;
    for (n, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(info), None) => {
                let words: Vec<&str> = info.split_whitespace().collect();
                let is_toml = words.first() == Some(&"toml");
                let is_wrong = words.contains(&"wrong");
                let is_known = |word: &&str| ["right", "wrong"].contains(word) || word.starts_with("file=");
                assert!(!is_toml || words[1..].iter().all(is_known), "line {}: {info}", n + 1);
                open = Some((is_toml, is_wrong));
                if is_toml {
                    found.push(Block { line: n + 1, is_wrong, text: String::new() });
                }
            }
            (Some(_), Some(_)) => open = None,
            (None, Some((true, _))) => {
                found.last_mut().unwrap().text += &format!("{line}\n");
            }
            (None, _) => {}
        }
    }
    found
}

/// A fragment as a whole file.
fn completed(text: &str) -> String {
    let begins = |words: &[&str]| {
        let key = |line: &str| line.split(['=', '.', ' ']).next().unwrap().to_owned();
        text.lines().any(|line| words.contains(&key(line.trim_start()).as_str()))
    };
    let has_header = text.lines().any(|line| line.starts_with('['));
    let has_version = begins(&["version"]);
    let mut file = if has_version { String::new() } else { "version = 1\n".to_owned() };
    if !has_header && !has_version {
        file += "[jobs.backup]\n";
        file += if begins(&["schedule", "every", "at"]) { "" } else { "schedule = \"@daily\"\n" };
        file += if begins(&["command", "comand", "http", "handler", "publish"]) { "" } else { "command = \"true\"\n" };
    }
    file + text
}

fn found(files: &[String]) -> Vec<Diagnostic> {
    let name = |n: usize| format!("file-{}.toml", n + 1);
    let sources: Vec<_> =
        files.iter().enumerate().map(|(n, text)| SourceText { name: name(n), text: text.as_str().into() }).collect();
    let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    match load(&sources, &|name: &str| (name != "NOT_SET_HERE").then(|| "x".to_owned()), now) {
        Ok(config) => config.warnings,
        Err(found) => found,
    }
}

/// README.md and the pages of docs/, but those of codes, which the next test looks at.
fn documents() -> Vec<PathBuf> {
    [vec![root().join("README.md")], pages_in("docs"), pages_in("docs/howto")].concat()
}

fn pages_in(dir: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(root().join(dir)).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<_> = all.filter(|path| path.extension() == Some("md".as_ref())).collect();
    pages.sort();
    pages
}

/// What the program itself says of a file: its exit code, and its words.
fn validated(text: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cronclave"));
    command.args(["validate", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
}

#[test]
fn every_toml_block_of_the_documents_is_a_sound_schedule_file() {
    let mut count = 0;
    for path in documents() {
        for block in blocks(&fs::read_to_string(&path).unwrap()) {
            let (code, words) = validated(&completed(&block.text));
            let wanted = if block.is_wrong { 78 } else { 0 };
            assert_eq!(code, Some(wanted), "{}:{}\n{words}", path.display(), block.line);
            count += 1;
        }
    }
    assert!(count >= 20, "{count}");
}

#[test]
fn the_wrong_example_of_a_page_gives_its_code_and_the_right_one_does_not() {
    for code in config::codes().filter(|code| !["E0005", "E0117"].contains(code)) {
        let page = config::page(code).unwrap();
        let (wrong, right): (Vec<_>, Vec<_>) = blocks(page).into_iter().partition(|block| block.is_wrong);
        assert!(!wrong.is_empty() && !right.is_empty(), "{code} shows both");
        let files = |blocks: &[Block]| blocks.iter().map(|block| completed(&block.text)).collect::<Vec<_>>();
        let told = found(&files(&wrong));
        assert!(told.iter().all(|one| one.code == code) && !told.is_empty(), "{code}:\n{}", report(&told, false));
        let told = found(&files(&right));
        let sound = told.iter().all(|one| one.severity == Severity::Warning && one.code != code);
        assert!(sound, "{code}, mended:\n{}", report(&told, false));
    }
}

/// Every code that the sources can print.
fn printed() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for path in tree::files("src", ".rs") {
        let text = fs::read_to_string(path).unwrap();
        let is_code = |text: &&str| {
            text.len() == 5 && text.starts_with(['E', 'W']) && text[1..].bytes().all(|c| c.is_ascii_digit())
        };
        codes.extend(text.split('"').filter(is_code).map(str::to_owned));
        // A number is the first argument of the one, the second of the other.
        for (call, argument) in [("ScheduleError::new(", 0), ("Unclear::about(", 1)] {
            for call in text.split(call).skip(1) {
                let number = call.split(',').nth(argument).unwrap_or_default().trim();
                let is_number = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
                let kind = if number.starts_with('2') { 'W' } else { 'E' };
                codes.extend(is_number.then(|| format!("{kind}{number:0>4}")));
            }
        }
    }
    codes
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let files: BTreeSet<String> =
        pages_in("docs/problems").iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let known: BTreeSet<String> = config::codes().map(str::to_owned).collect();
    let printed = printed();
    assert_eq!(printed, known, "src/config/pages.rs lists the pages that the program carries");
    assert_eq!(files, known);
    for code in &known {
        let page = config::page(&code.to_lowercase()).unwrap();
        assert!(page.starts_with(&format!("# {code}: ")) && !config::page_title(code).unwrap().is_empty());
        for part in ["\n## Wrong\n", "\n## Right\n", "\n## Why\n"] {
            assert!(page.contains(part), "{code} lacks {part}");
        }
    }
    assert_eq!(config::page("E9999"), None);
}

#[test]
fn the_reference_page_is_what_the_program_prints() {
    let page = include_str!("../docs/REFERENCE.md");
    assert!(page == config::reference(), "run: cargo run -- schema --docs > docs/REFERENCE.md");
}

#[test]
fn the_schema_beside_the_shipped_files_is_what_the_program_prints() {
    let schema = include_str!("../schedules/cronclave-1.schema.json");
    assert!(schema == config::schema_text(), "run: cargo run -- schema > schedules/cronclave-1.schema.json");
}

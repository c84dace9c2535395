//! What editors make of schedule files: taplo (Even Better TOML) and Tombi, with the schema beside the files.
//!
//! The tools come from PyPI, once, into a virtual environment below target/. Where they cannot be had the tests fail
//! and say what is missing; they are never left out in silence.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/python.rs"]
mod python;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use python::run;

const TOOLS: [&str; 3] = ["taplo==0.9.3", "tombi==1.9.6", "jsonschema==4.26.0"];

/// The directory of the tools' programs.
fn tools() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| python::venv("editors", &TOOLS))
}

fn tool(name: &str, args: &[&str], file: &Path) -> (bool, String) {
    let mut command = Command::new(tools().join(name));
    command.args(args).arg(file).current_dir(env!("CARGO_MANIFEST_DIR"));
    run(command, Duration::from_secs(60))
}

fn taplo(file: &Path) -> (bool, String) {
    tool("taplo", &["lint"], file)
}

fn tombi(file: &Path) -> (bool, String) {
    tool("tombi", &["lint", "--offline", "--error-on-warnings"], file)
}

fn shipped() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules");
    let files = ["", "examples"].into_iter().flat_map(|dir| std::fs::read_dir(root.join(dir)).unwrap());
    let files: Vec<_> =
        files.map(|entry| entry.unwrap().path()).filter(|path| path.extension() == Some("toml".as_ref())).collect();
    assert!(files.len() >= 3);
    files
}

/// A schedule file in a directory of its own, beside the schema.
fn beside_the_schema(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let schema = dir.path().join(cronclave::config::SCHEMA_FILE);
    std::fs::write(schema, cronclave::config::schema_text()).unwrap();
    let file = dir.path().join("jobs.toml");
    std::fs::write(&file, format!("#:schema ./{}\n{text}", cronclave::config::SCHEMA_FILE)).unwrap();
    (dir, file)
}

#[test]
fn the_schema_is_sound_by_the_rules_of_draft_07() {
    let check = "import json, sys, jsonschema\n\
                 jsonschema.Draft7Validator.check_schema(json.load(open(sys.argv[1])))";
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schedules").join(cronclave::config::SCHEMA_FILE);
    let (good, said) = tool("python", &["-c", check], &schema);
    assert!(good, "{said}");
}

#[test]
fn editors_find_nothing_wrong_with_the_shipped_files() {
    for file in shipped() {
        let text = std::fs::read_to_string(&file).unwrap();
        let schema = text.lines().next().unwrap().strip_prefix("#:schema ").unwrap();
        assert!(file.with_file_name(schema).is_file(), "{} names {schema}", file.display());
        for (good, said) in [taplo(&file), tombi(&file)] {
            assert!(good && !said.contains("Warning"), "{}: {said}", file.display());
        }
    }
}

#[test]
fn dates_of_every_kind_please_both_editors() {
    let (_dir, file) = beside_the_schema(
        "version = 1\n[calendars.c]\ndates = [2026-12-24]\nbetween = [{ from = 2026-12-24, to = 2027-01-06 }]\n\
         [jobs.a]\nat = 2027-01-01T00:00:00\ncommand = \"true\"\nstart = 2026-12-01\nend = 2027-11-30T23:59:59\n",
    );
    for (good, said) in [taplo(&file), tombi(&file)] {
        assert!(good, "{said}");
    }
}

#[test]
fn a_mistyped_key_is_pointed_at_by_tombi_and_a_wrong_word_by_both() {
    let (_dir, file) = beside_the_schema(
        "version = 1\n[jobs.nightly-report]\nschedule = \"@daily\"\ncomand = \"true\"\noverlap = \"skpi\"\ntimeout = 30\n",
    );
    let (good, said) = tombi(&file);
    assert!(!good);
    for words in
        ["does not allow \"comand\" key", "jobs.toml:5:1", "found \"skpi\"", "jobs.toml:6:11", "jobs.toml:7:11"]
    {
        assert!(said.contains(words), "{words} is missing: {said}");
    }
    assert_eq!(said.matches("Warning").count(), 1, "{said}");
    let (good, said) = taplo(&file);
    assert!(!good && said.contains("\"skpi\" is not one of") && said.contains("30 is not of type"), "{said}");
}

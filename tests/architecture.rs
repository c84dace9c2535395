//! The structure of the code, held to: a module uses only those above it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

#[path = "common/tree.rs"]
mod tree;

use tree::files;

/// From the words that everything shares down to the program. A module may use those before it.
const ORDER: &[&str] = &[
    "clock",
    "hash",
    "schedule",
    "signature",
    "job",
    "diff",
    "lease",
    "trace",
    "ledger",
    "record",
    "plan",
    "runner",
    "tls",
    "store",
    "broker",
    "measure",
    "check",
    "event",
    "recall",
    "stop",
    "parts",
    "announce",
    "race",
    "progress",
    "attempt",
    "request",
    "template",
    "handover",
    "replica",
    "inbox",
    "worker",
    "config",
    "crontab",
    "hook",
    "simulate",
    "occurrence",
    "backfill",
    "why",
    "verify",
    "shape",
    "phrase",
    "metrics",
    "spans",
    "desk",
    "http",
    "no_http",
    "report",
    "notify",
    "service",
    "thrift",
    "daemon",
    "embed",
    "testing",
    "doctor",
    "cli",
    "lib",
    "main",
];

fn module(path: &Path) -> String {
    let inside = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
    inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn rank(module: &str) -> usize {
    let found = ORDER.iter().position(|name| *name == module);
    found.unwrap_or_else(|| panic!("`{module}` has no place yet in tests/architecture.rs"))
}

/// The modules that a file names: `crate::NAME`, in one piece or in braces.
fn used(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut all = Vec::new();
    for piece in code.split("crate::").skip(1) {
        let names: Vec<&str> = match piece.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap().split(',').collect(),
            None => vec![piece],
        };
        for name in names {
            let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                all.push(name);
            }
        }
    }
    all
}

#[test]
fn no_module_uses_one_below_it() {
    let mut wrong = Vec::new();
    for path in files("src", ".rs") {
        let own = module(&path);
        for name in used(&fs::read_to_string(&path).unwrap()) {
            let is_module = ORDER.contains(&name.as_str());
            if is_module && rank(&name) > rank(&own) {
                wrong.push(format!("{} uses crate::{name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that point down:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place() {
    for path in files("src", ".rs") {
        rank(&module(&path));
    }
}

/// What only one place may do, as words that only it may hold.
#[test]
fn only_one_place_does_what_only_one_place_may() {
    let rules = [
        (".runner.run(", vec!["attempt"]),
        ("Utc::now(", vec!["clock"]),
        // In a simulation there is no store but it.
        ("record::apply(", vec!["store", "simulate"]),
        ("unsafe {", vec!["runner", "thrift"]),
        ("process::exit(", vec!["cli", "daemon", "runner"]),
    ];
    for path in files("src", ".rs") {
        let (own, text) = (module(&path), fs::read_to_string(&path).unwrap());
        for (word, places) in &rules {
            let holds = text.lines().any(|line| line.contains(word) && !line.trim_start().starts_with("//"));
            assert!(!holds || places.contains(&own.as_str()), "{} holds `{word}`", path.display());
        }
    }
}

#[test]
fn a_file_longer_than_450_lines_is_asked_why() {
    for path in files("src", ".rs") {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 450, "{} has {lines} lines", path.display());
    }
}

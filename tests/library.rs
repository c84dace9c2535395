//! The public surface of the library: what its documentation shows is shown by an example.
//!
//! What is public are the items that `src/lib.rs` exports at its root, and `testing`. Each of them, and each of their
//! methods, is used in an example of theirs (a documentation test, or a block of docs/EMBEDDING.md or docs/TESTING.md),
//! or stands below with the reason why not.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What has no example, and why.
const WITHOUT: [(&str, &str); 4] = [
    ("Ask", "what `Cronclave::trigger` gives: its example uses everything about it"),
    ("Run", "what `Cronclave::run` gives: its example looks at one"),
    ("Status", "what `Cronclave::status` gives: its example looks at one"),
    ("Runs", "what `Cluster::advance` gives: the example of `Cluster` asks it everything"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(module: &str) -> Vec<PathBuf> {
    let dir = root().join("src").join(module);
    if !dir.is_dir() {
        return vec![root().join(format!("src/{module}.rs"))];
    }
    let mut all: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|kind| kind == "rs"));
    all.sort();
    all
}

/// What the crate exports: by module.
fn exported() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("pub use ")?.strip_suffix(';')) {
        let (module, names) = line.split_once("::").unwrap();
        let names = names.trim_matches(['{', '}']).split(',').map(|name| name.trim().to_owned());
        all.entry(module.to_owned()).or_default().extend(names);
    }
    all.insert("testing".into(), ["Cluster", "Runs"].map(str::to_owned).into());
    all
}

/// Public items and methods as `Type::method`, and the text of all examples beside them.
fn read(module: &str, names: &BTreeSet<String>) -> (BTreeSet<String>, String) {
    let (mut items, mut examples) = (BTreeSet::new(), String::new());
    for path in sources(module) {
        let text = fs::read_to_string(path).unwrap();
        let (mut of, mut is_hidden, mut is_example) = (None, false, false);
        for line in text.lines() {
            let bare = line.trim_start();
            if let Some(doc) = bare.strip_prefix("///").or(bare.strip_prefix("//!")) {
                if doc.trim_start().starts_with("```") {
                    is_example = !is_example;
                } else if is_example {
                    examples += &format!("{doc}\n");
                }
                continue;
            }
            is_example = false;
            if bare.starts_with("#[doc(hidden)]") {
                is_hidden = true;
                continue;
            }
            let word = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
            if line.starts_with("impl") {
                let name = line.strip_prefix("impl ").map(word).filter(|name| names.contains(name));
                of = name.filter(|_| !line.contains(" for "));
            }
            let after = |kinds: &[&str]| kinds.iter().find_map(|kind| Some(word(bare.strip_prefix(kind)?)));
            let method = after(&["pub fn ", "pub async fn ", "pub const fn ", "pub const "])
                .filter(|_| line.starts_with("    "));
            let item =
                after(&["pub struct ", "pub enum ", "pub trait ", "pub fn ", "pub async fn "]).filter(|_| bare == line);
            if let (Some(of), Some(method), false) = (&of, method, is_hidden) {
                items.insert(format!("{of}::{method}"));
            }
            items.extend(item.filter(|name| names.contains(name)));
            is_hidden = is_hidden && bare.starts_with("#[");
        }
    }
    (items, examples)
}

/// The blocks of Rust of a page.
fn blocks(page: &str) -> String {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let pieces = text.split("```rust").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    pieces.collect::<Vec<_>>().join("\n")
}

/// Whether a word stands in a text; after one of these signs, where there are any.
fn is_word(text: &str, name: &str, after: &[char]) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let before = text[..at].chars().next_back();
        let begins = if after.is_empty() { !is_part(before) } else { before.is_some_and(|c| after.contains(&c)) };
        begins && !is_part(text[at + name.len()..].chars().next())
    })
}

#[test]
fn every_public_item_is_in_an_example_or_there_is_a_reason() {
    let mut items = BTreeSet::new();
    let mut examples = blocks("docs/EMBEDDING.md") + &blocks("docs/TESTING.md");
    examples += &read("lib", &BTreeSet::new()).1;
    for (module, names) in exported() {
        let (found, shown) = read(&module, &names);
        let missing: Vec<&String> = names.iter().filter(|name| !found.contains(*name)).collect();
        assert!(missing.is_empty(), "src/{module} declares no {missing:?}");
        items.extend(found);
        examples += &shown;
    }
    assert!(items.len() > 70, "{items:?}");
    let known: BTreeMap<&str, &str> = WITHOUT.into_iter().collect();
    let is_shown = |item: &str| match item.split_once("::") {
        Some((_, method)) => is_word(&examples, method, &['.', ':']),
        None => is_word(&examples, item, &[]),
    };
    let bare: Vec<&String> =
        items.iter().filter(|item| !is_shown(item) && !known.contains_key(item.as_str())).collect();
    assert!(bare.is_empty(), "no example uses {bare:#?}");
    let needless: Vec<&&str> = known.keys().filter(|item| !items.contains(**item) || is_shown(item)).collect();
    assert!(needless.is_empty(), "these need no reason: {needless:?}");
}

#[test]
fn every_other_module_is_hidden_from_the_documentation() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (n, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("pub mod ")) {
        let is_hidden =
            lines[..n].iter().rev().take_while(|line| line.starts_with("#[")).any(|line| *line == "#[doc(hidden)]");
        assert_eq!(is_hidden, *line != "pub mod testing;", "{line}");
    }
}

#[test]
fn the_guides_say_the_rust_that_the_manifest_says() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let version = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    let guide = fs::read_to_string(root().join("docs/EMBEDDING.md")).unwrap();
    assert!(guide.contains(&format!("The oldest Rust is {version}")));
}

//! Where the documents lead: every link to a file or a heading that is there, every address of the web to a host on a
//! short list, every path of the repository that a text names to a file.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use url::{Host, Url};

#[path = "common/tree.rs"]
mod tree;

/// Hosts that documents lead to. The network is not asked; whoever adds one has opened it.
const HOSTS: [&str; 3] = ["healthchecks.io", "www.debian.org", "www.standardwebhooks.com"];

/// Not addresses but names, which nobody opens.
const NAMES: [&str; 1] = ["http://json-schema.org/draft-07/schema#"];

/// Directories of the repository, as texts name what is in them.
const DIRS: [&str; 9] =
    ["src/", "tests/", "docs/", "deploy/", "packaging/", "examples/", "benches/", "fuzz/", "systemd/"];

/// How kubectl calls a deployment.
const KUBECTL: &str = "deploy/cronclave";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents.
fn pages() -> Vec<PathBuf> {
    let named = ["README.md", "CHANGELOG.md"].map(|name| root().join(name));
    named.into_iter().chain(tree::files("docs", ".md")).collect()
}

/// The lines of a page outside its fenced blocks, with their numbers.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    (1..).zip(page.lines()).filter(move |(_, line)| {
        let line = line.trim_start();
        let marks = line.len() - line.trim_start_matches('`').len();
        match fence {
            None if marks >= 3 => fence = Some(&line[..marks]),
            None => return true,
            Some(begun) if line.trim_end() == begun => fence = None,
            Some(_) => {}
        }
        false
    })
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// Where the links and pictures of a line lead.
fn targets(line: &str) -> Vec<String> {
    let line = without_code(line);
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let named = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    let raw = ["href=\"", "src=\""].into_iter().flat_map(|name| line.split(name).skip(1));
    let raw = raw.filter_map(|rest| rest.split('"').next());
    let bare = line.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(inside, _)| inside);
    let bare = bare.filter(|inside| inside.contains("://"));
    let all = inline.chain(named).chain(raw).chain(bare);
    // A title may follow.
    all.filter_map(|target| target.split_whitespace().next()).map(str::to_owned).collect()
}

/// What a heading is called in an address, at GitHub as in mdBook: both leave out all but letters, digits, `-` and `_`.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c => c.is_alphanumeric().then(|| c.to_ascii_lowercase()),
    });
    kept.collect()
}

/// The headings of a page, as addresses name them: the second of the same name has a number.
fn headings(page: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for (_, line) in prose(page) {
        let text = line.trim_start_matches('#');
        if text.len() == line.len() || !text.starts_with(' ') {
            continue;
        }
        let slug = slug(text);
        let count = seen.entry(slug.clone()).or_default();
        found.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    found
}

/// What is wrong with an address of the web, if something is.
fn web(target: &str) -> Option<String> {
    let url = match Url::parse(target) {
        Ok(url) => url,
        Err(error) => return Some(error.to_string()),
    };
    let sound = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    match url.host_str() {
        _ if !sound => Some("it is not https, or holds a login".to_owned()),
        Some(host) if HOSTS.contains(&host) => None,
        host => Some(format!("`{}` is not on the list of hosts in tests/links.rs", host.unwrap_or(""))),
    }
}

/// What is wrong with a link of a page, if something is.
fn wrong(page: &Path, text: &str, target: &str) -> Option<String> {
    if target.contains(':') {
        return web(target);
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let led_to = page.parent().unwrap().join(path);
    if target.is_empty() || path.starts_with('/') || !path.is_empty() && !led_to.exists() {
        return Some("there is no such file".to_owned());
    }
    let anchor = anchor?;
    let there = if path.is_empty() { text.to_owned() } else { fs::read_to_string(led_to).unwrap_or_default() };
    (!headings(&there).contains(anchor)).then(|| "there is no such heading".to_owned())
}

/// The paths of the repository that a text names.
fn named(text: &str) -> Vec<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "/._-*{}<>$~%@+".contains(c);
    let words = text.split(|c: char| !is_part(c)).map(|word| word.trim_end_matches(['.', '/']));
    let is_path = |word: &&str| {
        let is_pattern = word.contains(['*', '{', '<', '$']) || word.split('/').any(|part| part == "...");
        DIRS.iter().any(|dir| word.starts_with(dir)) && !is_pattern && *word != KUBECTL
    };
    words.filter(is_path).collect()
}

/// The address that a word ends with.
fn address(word: &str) -> Option<&str> {
    Some(&word[word.find("https://").or_else(|| word.find("http://"))?..])
}

fn told(wrong: &[String]) {
    assert!(wrong.is_empty(), "these lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_a_heading_or_a_host_that_is_known() {
    let (mut all, mut bad) = (0, Vec::new());
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (line, words) in prose(&text) {
            for target in targets(words) {
                all += 1;
                let why = wrong(&page, &text, &target);
                bad.extend(why.map(|why| format!("{}:{line}: {target}: {why}", page.display())));
            }
        }
    }
    told(&bad);
    assert!(all >= 80, "only {all} links were found");
}

#[test]
fn every_path_of_the_repository_that_a_text_names_is_there() {
    let (mut all, mut bad) = (0, Vec::new());
    let texts = ["deploy", "packaging", "examples", "systemd", "src"].into_iter().flat_map(|dir| tree::files(dir, ""));
    for path in pages().into_iter().chain(texts) {
        // A picture names nothing.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (line, words) in (1..).zip(text.lines()) {
            for name in named(words) {
                all += 1;
                if !root().join(name).exists() {
                    bad.push(format!("{}:{line}: {name}", path.display()));
                }
            }
        }
    }
    told(&bad);
    assert!(all >= 200, "only {all} paths were found");
}

#[test]
fn every_address_in_shipped_files_is_an_example_or_of_a_host_that_is_known() {
    let mut bad = Vec::new();
    for path in ["deploy", "packaging", "examples"].into_iter().flat_map(|dir| tree::files(dir, "")) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (line, words) in (1..).zip(text.lines()) {
            let words = words.split(|c: char| c.is_whitespace() || "\"'`<>(),\\".contains(c));
            for address in words.filter_map(address).filter(|address| !NAMES.contains(address)) {
                let host = Url::parse(address).ok().and_then(|url| url.host().map(|host| host.to_owned()));
                let is_example = match host {
                    Some(Host::Domain(name)) => {
                        name == "localhost" || name.ends_with(".example") || name.ends_with("example.com")
                    }
                    Some(Host::Ipv4(number)) => number.is_loopback(),
                    _ => false,
                };
                let why = web(address).filter(|_| !is_example);
                bad.extend(why.map(|why| format!("{}:{line}: {address}: {why}", path.display())));
            }
        }
    }
    told(&bad);
}

#[test]
fn what_leads_nowhere_is_noticed() {
    let page = root().join("docs/X.md");
    let text = "# One\n```\n# not one\n```\n## Two `words`, twice\n## Two words twice\n";
    assert_eq!(headings(text), ["one", "two-words-twice", "two-words-twice-1"].map(str::to_owned).into());
    for sound in
        ["REDIS.md", "../README.md#build-and-test", "images", "#two-words-twice-1", "https://healthchecks.io/a"]
    {
        assert_eq!(wrong(&page, text, sound), None, "{sound}");
    }
    let lost =
        ["NONE.md", "../README.md#no-such", "#three", "", "/etc/passwd", "http://healthchecks.io", "https://x.io"];
    for lost in lost {
        assert!(wrong(&page, text, lost).is_some(), "{lost}");
    }
    assert_eq!(targets("[a](b#c) `[no](no)` ![d](e \"f\") <https://g>"), ["b#c", "e", "https://g"]);
    assert_eq!(targets("[name]: h.md"), ["h.md"]);
    assert_eq!(named("see `src/lib.rs`, docs/REDIS.md. and tests/*.rs, /usr/src/x"), ["src/lib.rs", "docs/REDIS.md"]);
}

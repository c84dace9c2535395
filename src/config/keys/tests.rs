//! The table and the readers say the same: every example is tried, every word, every end of a range.

use super::super::{SourceText, load};
use super::*;
use crate::clock::Timestamp;

/// A file that is fine but for the given key of the given table.
fn file(table: &str, key: &str, value: &str) -> String {
    let line = if key == "$schema" { format!("\"{key}\" = {value}") } else { format!("{key} = {value}") };
    let job = |when: &str, what: &str, more: &str| format!("version = 1\n[jobs.a]\n{when}\n{what}\n{more}\n");
    let (daily, echo) = ("schedule = \"@daily\"", "command = \"true\"");
    let url = "url = \"https://x.example\"";
    match (table, key) {
        ("", "version") => format!("{line}\n"),
        ("", _) => format!("version = 1\n{line}\n"),
        ("[jobs.NAME]", "schedule" | "every" | "at") => job(&line, echo, ""),
        ("[jobs.NAME]", "command" | "http" | "publish" | "handler") => job(daily, &line, ""),
        ("[jobs.NAME]", "args") => job(daily, "handler = \"x\"", &line),
        ("[jobs.NAME]" | "[defaults]", "skip_on" | "only_on") => {
            let days = "every_year = [\"12-25\"]";
            let file = if table == "[defaults]" {
                format!("version = 1\n[defaults]\n{line}\n")
            } else {
                job(daily, echo, &line)
            };
            format!("{file}[calendars.holidays]\n{days}\n[calendars.closing-days]\n{days}\n")
        }
        ("[jobs.NAME]" | "[defaults]", "on_start" | "on_success" | "on_failure" | "on_overdue") => {
            let file = if table == "[defaults]" {
                format!("version = 1\n[defaults]\n{line}\n")
            } else {
                job(daily, echo, &line)
            };
            format!("{file}[hooks.audit]\n{url}\n[jobs.report]\n{daily}\n{echo}\non_success = []\n")
        }
        ("[hooks.NAME]", _) => {
            let mut more = if key == "url" { String::new() } else { url.to_owned() };
            more += if key == "previous_secret" { "\nsecret = \"old_hook_secret\"" } else { "" };
            let secrets = "[secrets]\nhook_secret = { env = \"X\" }\nold_hook_secret = { env = \"X\" }";
            format!("version = 1\n{secrets}\n[hooks.h]\n{line}\n{more}\n")
        }
        ("http = { ... }", "sign_with") => {
            let secrets = "[secrets]\nhook_secret = { env = \"X\" }";
            job(daily, &format!("http = {{ {url}, {line} }}"), secrets)
        }
        ("[jobs.NAME]", "queue" | "start_within") => job(daily, echo, &format!("run_on = \"worker\"\n{line}")),
        ("[defaults]", _) => format!("version = 1\n[defaults]\n{line}\n"),
        ("[jobs.NAME]", _) => job(daily, echo, &line),
        ("http = { ... }", "url") => job(daily, &format!("http = {{ {line} }}"), ""),
        ("http = { ... }", _) => job(daily, &format!("http = {{ {url}, {line} }}"), ""),
        ("publish = { ... }", "routing_key") => job(daily, &format!("publish = {{ {line} }}"), ""),
        ("publish = { ... }", _) => job(daily, &format!("publish = {{ routing_key = \"x\", {line} }}"), ""),
        ("expect = { ... }", _) => job(daily, &format!("http = {{ {url}, expect = {{ {line} }} }}"), ""),
        ("[secrets]: NAME = { ... }", _) => format!("version = 1\n[secrets]\nx = {{ {line} }}\n"),
        ("{ secret = \"NAME\" }", _) => {
            let both = if key == "secret" { line } else { format!("secret = \"crm_token\", {line}") };
            job(daily, echo, &format!("env = {{ A = {{ {both} }} }}\n[secrets]\ncrm_token = {{ env = \"X\" }}"))
        }
        ("[calendars.NAME]", _) => format!("version = 1\n[calendars.c]\n{line}\n"),
        ("between = [{ ... }]", "from") => {
            file("[calendars.NAME]", "between", &format!("[{{ {line}, to = {value} }}]"))
        }
        ("between = [{ ... }]", _) => file("[calendars.NAME]", "between", &format!("[{{ from = {value}, {line} }}]")),
        (title, _) => job(daily, echo, &title.replace("...", &line)),
    }
}

fn codes(table: &str, key: &str, value: &str) -> Vec<String> {
    let source = SourceText { name: "x.toml".into(), text: file(table, key, value).into() };
    let now: Timestamp = "2026-11-22T00:00:00Z".parse().expect("an instant");
    let found = match load(&[source], &|_: &str| Some("x".into()), now) {
        Ok(config) => config.warnings,
        Err(found) => found,
    };
    found.into_iter().map(|one| one.code).filter(|code| code.starts_with('E')).collect()
}

/// Every table that the top level leads to.
fn tables() -> Vec<&'static Table> {
    fn visit(kind: &Kind, found: &mut Vec<&'static Table>) {
        match *kind {
            Kind::Table(table) if !found.iter().any(|one| one.title == table.title) => {
                found.push(table);
                table.keys().for_each(|key| visit(&key.kind, found));
            }
            Kind::List(item) | Kind::Named(_, item) => visit(item, found),
            Kind::Either(kinds) => kinds.iter().for_each(|kind| visit(kind, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    visit(&Kind::Table(&TOP), &mut found);
    found
}

/// Every key and the table it is in.
fn read() -> Vec<(&'static str, &'static Key)> {
    tables().into_iter().flat_map(|table| table.keys().map(|key| (table.title, key))).collect()
}

#[test]
fn every_example_and_every_default_is_read_without_a_mistake() {
    assert_eq!(tables().len(), 15);
    let none = Vec::<String>::new();
    for (table, key) in read() {
        let lists: &[&str] = &["secrets"];
        if !lists.contains(&key.name) {
            assert_eq!(codes(table, key.name, key.example), none, "{}", file(table, key.name, key.example));
        }
        if !key.default.is_empty() {
            assert_eq!(codes(table, key.name, key.default), none, "{}", file(table, key.name, key.default));
        }
    }
}

#[test]
fn every_word_is_accepted_and_no_other() {
    let mut words_seen = 0;
    for (table, key) in read() {
        let kinds = if let Kind::Either(kinds) = key.kind { kinds } else { std::slice::from_ref(&key.kind) };
        for (word, _) in
            kinds.iter().filter_map(|kind| if let Kind::Word(words) = kind { Some(*words) } else { None }).flatten()
        {
            words_seen += 1;
            assert!(codes(table, key.name, &format!("\"{word}\"")).is_empty(), "{table} {} {word}", key.name);
            assert_eq!(codes(table, key.name, &format!("\"{word}x\"")), ["E0020"], "{table} {} {word}", key.name);
        }
    }
    assert!(words_seen > 30, "{words_seen}");
}

#[test]
fn a_range_ends_where_the_table_says() {
    for (table, key) in read() {
        let (least, most, wrap) = match key.kind {
            Kind::Whole(least, most) if least < most => (least, most, false),
            Kind::List(&Kind::Whole(least, most)) => (least, most, true),
            _ => continue,
        };
        let with = |n: i64| codes(table, key.name, &if wrap { format!("[{n}]") } else { n.to_string() });
        assert!(with(least).is_empty() && with(most).is_empty(), "{table} {}", key.name);
        assert_eq!([with(least - 1), with(most + 1)], [["E0023"], ["E0023"]], "{table} {}", key.name);
    }
}

#[test]
fn a_value_of_another_type_is_refused() {
    for (table, key) in read() {
        let wrong = match key.kind {
            Kind::Any | Kind::Either(_) => continue,
            Kind::Text | Kind::Word(_) | Kind::List(_) | Kind::Size | Kind::Duration => "true",
            Kind::Flag | Kind::Whole(..) | Kind::Share | Kind::Date => "[]",
            Kind::Named(..) | Kind::Table(_) => "\"x\"",
        };
        assert_eq!(codes(table, key.name, wrong), ["E0018"], "{}", file(table, key.name, wrong));
    }
}

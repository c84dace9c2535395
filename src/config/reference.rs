//! The reference page of schedule files, in Markdown. Made from the table of keys.

use std::fmt::Write;

use super::keys::{Key, Kind, TOP, Table};

/// The reference page: every table, key, default and word of schedule files.
pub fn reference() -> String {
    let mut page = String::from(
        "# Schedule files\n\n\
         This page is what `cronclave schema --docs` prints. The same table in the code makes the schema for editors\n\
         (`cronclave schema`) and the words that a mistyped key is compared with.\n\n\
         * A duration is text with units: `\"90s\"`, `\"1h30m\"`, `\"2d\"`, `\"250ms\"`.\n\
         * A size is text with a unit: `\"64KiB\"`, `\"1MiB\"`, `\"1GB\"`.\n\
         * A date is written without quotes: `2027-01-01`, and with a time of day: `2027-01-01T08:00:00`.\n\
         * ◆ marks what `[defaults]` may say as well.\n",
    );
    // Each table, then those that its keys lead to; those that several lead to once.
    let mut tables: Vec<&Table> = vec![&TOP];
    let mut next = 0;
    while let Some(table) = tables.get(next).copied() {
        section(&mut page, table);
        for inner in table.keys().flat_map(|key| below(&key.kind)) {
            if tables.iter().all(|known| known.title != inner.title) {
                tables.push(inner);
            }
        }
        next += 1;
    }
    page
}

fn section(page: &mut String, table: &Table) {
    let title = if table.title.is_empty() { "The file".to_owned() } else { format!("`{}`", table.title) };
    let _ = write!(page, "\n## {title}\n\n{}\n\n", table.about);
    if table.title == "[defaults]" {
        let names: Vec<String> = table.names().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "{}: as below `[jobs.NAME]`.", names.join(" "));
        return;
    }
    page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    table.keys().for_each(|key| row(page, key));
}

fn row(page: &mut String, key: &Key) {
    let mark = if key.shared { " ◆" } else { "" };
    let default = match (key.default, key.required) {
        (_, true) => "required".to_owned(),
        ("", false) => String::new(),
        (default, false) => format!("`{default}`"),
    };
    let mut about = key.about.to_owned();
    for (word, what) in words(&key.kind).iter().filter(|(_, what)| !what.is_empty()) {
        let _ = write!(about, "<br>`\"{word}\"`: {what}");
    }
    let (name, line) = (key.name, key.line(key.example));
    let _ = writeln!(page, "| `{name}`{mark} | {}, as in<br>`{line}` | {default} | {about} |", noun(&key.kind));
}

/// What a value is, in words.
fn noun(kind: &Kind) -> String {
    match *kind {
        Kind::Text => "text".into(),
        Kind::Word(words) if words.iter().all(|(_, what)| what.is_empty()) => {
            words.iter().map(|(word, _)| format!("`\"{word}\"`")).collect::<Vec<_>>().join(" ")
        }
        Kind::Word(_) => "a word".into(),
        Kind::Flag => "`true` or `false`".into(),
        Kind::Whole(least, most) if least == most => format!("{least}"),
        Kind::Whole(least, most) => format!("{least} to {most}"),
        Kind::Share => "0 to 1".into(),
        Kind::Duration => "duration".into(),
        Kind::Size => "size".into(),
        Kind::Date => "date".into(),
        Kind::Any => "text, number, list or table".into(),
        Kind::List(item) => format!("list of: {}", noun(item)),
        Kind::Named(name, Kind::Table(_)) => format!("a table for each {name}"),
        Kind::Named(name, item) => format!("{name} = {}", noun(item)),
        Kind::Table(_) => "table".into(),
        Kind::Either(kinds) => kinds.iter().map(noun).collect::<Vec<_>>().join(", or "),
    }
}

fn words(kind: &Kind) -> &'static [(&'static str, &'static str)] {
    match *kind {
        Kind::Word(words) => words,
        Kind::Either(kinds) => kinds.iter().map(words).find(|words| !words.is_empty()).unwrap_or_default(),
        _ => &[],
    }
}

/// The tables that a value of this kind is, or holds.
fn below(kind: &Kind) -> Vec<&'static Table> {
    match *kind {
        Kind::Table(table) => vec![table],
        Kind::List(item) | Kind::Named(_, item) => below(item),
        Kind::Either(kinds) => kinds.iter().flat_map(below).collect(),
        _ => Vec::new(),
    }
}

//! A job as somebody wrote it: its part of the file, with what may be secret left out.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::config::hidden;
use crate::job::Job;

/// What stands where something is not shown.
const HIDDEN: &str = "\"(hidden)\"";

/// Settings whose texts may hold anything.
const PRIVATE: [&str; 3] = ["ping", "body", "stdin"];

/// A job's part of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// As it was written, but for what is hidden.
    pub text: String,
    /// The settings in it.
    pub keys: BTreeSet<String>,
}

impl Written {
    /// That of a job, if its file is at hand and it has a table of its own there.
    pub fn of(job: &Job) -> Option<Written> {
        Written::within(job.source.text.0.as_deref()?, job.source.line, job.name.as_str())
    }

    fn within(file: &str, line: usize, name: &str) -> Option<Written> {
        let start = file.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum::<usize>();
        let rest = file.get(start..)?;
        if !rest.trim_start().starts_with('[') {
            return None;
        }
        let own = [format!("[jobs.{name}]"), format!("[jobs.{name}."), format!("[[jobs.{name}.")];
        let mut at = rest.find('\n').map_or(rest.len(), |end| end + 1);
        loop {
            let line = rest[at..].lines().next().unwrap_or_default().trim_start();
            let may_end = at >= rest.len() || line.starts_with('[') && !own.iter().any(|own| line.starts_with(own));
            // What looks like a table may be within a text of several lines: then this is not whole yet.
            if let Some(keys) = may_end.then(|| keys(&rest[..at], name)).flatten() {
                return Some(Written { text: masked(rest[..at].trim_end()), keys });
            }
            if at >= rest.len() {
                return None;
            }
            at += rest[at..].find('\n').map_or(rest.len() - at, |end| end + 1);
        }
    }
}

/// The settings of a whole part.
fn keys(text: &str, name: &str) -> Option<BTreeSet<String>> {
    let root: toml::Table = text.parse().ok()?;
    Some(root.get("jobs")?.get(name)?.as_table()?.keys().cloned().collect())
}

fn masked(text: &str) -> String {
    let mut spans = Vec::new();
    let (root, _) = DeTable::parse_recoverable(text);
    table(root.get_ref(), false, &mut spans);
    spans.sort_by_key(|span| span.start);
    let (mut shown, mut at) = (String::new(), 0);
    for span in spans {
        shown += text.get(at..span.start).unwrap_or_default();
        shown += HIDDEN;
        at = span.end;
    }
    shown += text.get(at..).unwrap_or_default();
    shown.lines().map(remark).collect::<Vec<_>>().join("\n")
}

fn table(table: &DeTable<'_>, within_private: bool, spans: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let key = key.get_ref().as_ref();
        self::value(value, within_private || PRIVATE.contains(&key) || hidden(key), spans);
    }
}

fn value(value: &toml::Spanned<DeValue<'_>>, is_private: bool, spans: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        // The name of a secret is none.
        DeValue::Table(inner) if inner.contains_key("secret") => {}
        DeValue::Table(inner) => table(inner, is_private, spans),
        DeValue::Array(list) => list.iter().for_each(|one| self::value(one, is_private, spans)),
        DeValue::String(text) if !is_private && !has_password(text) => {}
        DeValue::String(_) => spans.push(value.span()),
        _ if is_private => spans.push(value.span()),
        _ => {}
    }
}

fn has_password(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.password().is_some())
}

/// A setting that was made a remark keeps its secret as well.
fn remark(line: &str) -> String {
    match line.split_once('=') {
        Some((key, _)) if key.trim_start().starts_with('#') && hidden(key) => format!("{key}= {HIDDEN}"),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r##"version = 1
[jobs.first]
command = "true"

[jobs.a]
schedule = "@daily"
# old_token = "s3cret"
command = """
[ -f x ] && echo
[not a table]
"""
env = { API_TOKEN = "s3cret", PLAIN = "x", OTHER = { secret = "pw" } }
ping = "https://hc.example/s3cret"
http = { body = { user = "s3cret", pin = 1234567 } }

[jobs.a.retry]
attempts = 3

[jobs.b]
url = "https://u:s3cret@example.com"
command = "true"
"##;

    #[test]
    fn a_job_is_shown_as_it_was_written_and_no_other() {
        let written = Written::within(FILE, 5, "a").unwrap();
        assert!(written.text.starts_with("[jobs.a]\nschedule = \"@daily\""), "{}", written.text);
        assert!(written.text.ends_with("[jobs.a.retry]\nattempts = 3"), "{}", written.text);
        assert!(written.text.contains("[not a table]"), "{}", written.text);
        assert!(written.keys.contains("retry") && written.keys.contains("ping"), "{:?}", written.keys);
    }

    #[test]
    fn what_may_be_secret_is_not_shown_as_it_was_written() {
        for (line, name) in [(5, "a"), (19, "b")] {
            let text = Written::within(FILE, line, name).unwrap().text;
            assert!(!text.contains("s3cret") && !text.contains("1234567"), "{text}");
        }
        let text = Written::within(FILE, 5, "a").unwrap().text;
        assert!(text.contains("PLAIN = \"x\"") && text.contains("{ secret = \"pw\" }"), "{text}");
    }

    #[test]
    fn a_job_without_a_table_of_its_own_has_no_text() {
        assert_eq!(Written::within("[jobs]\na = { command = \"true\" }\n", 2, "a"), None);
        assert_eq!(Written::within("", 5, "a"), None);
    }
}

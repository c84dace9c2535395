//! What a job does: a command, a request, a handler.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use toml::de::DeValue;

use super::keys::{EXPECT, HTTP};
use super::secrets::Secrets;
use super::settings::Settings;
use super::walk::{Value, Walk};
use super::words;
use crate::job::{Command, Http, Text};

/// What a text goes through, unless the file says otherwise.
static USUAL_SHELL: LazyLock<Vec<Arc<str>>> = LazyLock::new(|| vec!["/bin/sh".into(), "-c".into()]);

/// Text goes through a shell, a list is executed as it stands.
pub(super) fn command(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<Vec<String>> {
    let DeValue::Array(items) = value.get_ref() else {
        return walk.text("command", value).map(|text| vec![text]);
    };
    if items.is_empty() {
        walk.error("E0024", value.span(), "`command` is empty", "expected a program and its arguments");
        return None;
    }
    let mut argv = Vec::new();
    for (n, item) in items.iter().enumerate() {
        // An empty argument is fine, an empty program is not.
        let empty = n > 0 && item.get_ref().as_str() == Some("");
        argv.push(if empty { String::new() } else { walk.text("command", item)? });
    }
    Some(argv)
}

/// The command as it will be executed.
pub(super) fn wrapped(words: Vec<String>, is_shell: bool, stdin: Option<String>, settings: &Settings) -> Command {
    let shell = settings.shell.as_ref().unwrap_or(&USUAL_SHELL).iter().filter(|_| is_shell).cloned();
    let mut argv: Vec<Arc<str>> = shell.chain(words.into_iter().map(Arc::from)).collect();
    argv.shrink_to_fit();
    Command {
        argv,
        is_shell,
        cwd: settings.cwd.clone(),
        env: settings.env.clone(),
        env_file: settings.env_file.clone(),
        stdin: stdin.map(String::into_boxed_str),
    }
}

/// Reads `http = { url = ... }`.
pub(super) fn http(walk: &mut Walk<'_>, secrets: &Secrets, value: &Value<'_>) -> Option<Http> {
    let table = walk.table_with("http", "url", value)?;
    let (mut method, mut url, mut body) = (None, None, None);
    let mut headers = BTreeMap::new();
    let (mut timeout, mut expect, mut sign_with) = (None, (Vec::new(), None), None);
    let before = walk.found.len();
    for (key, value) in table {
        match key.get_ref().as_ref() {
            "method" => method = verb(walk, value),
            "url" => url = address(walk, value),
            "headers" => headers = header_lines(walk, secrets, value),
            "body" => body = content(walk, value),
            "timeout" => timeout = walk.span_of_time("timeout", value),
            "expect" => expect = expected(walk, value),
            "sign_with" => sign_with = secrets.signing(walk, "sign_with", value),
            _ => {
                walk.unknown_key(key, &HTTP, "`http`");
            }
        }
    }
    if url.is_none() && walk.found.len() == before {
        walk.error("E0027", value.span(), "`http` needs `url`", "nowhere to send the request to")
            .help("add e.g. `url = \"https://crm.example/api/sync\"`");
    }
    if matches!(&body, Some((_, true))) && !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type")) {
        headers.insert("content-type".to_owned(), Text::Plain("application/json".to_owned()));
    }
    let usual = if body.is_some() { "POST" } else { "GET" };
    Some(Http {
        method: method.unwrap_or_else(|| usual.to_owned()),
        url: url?,
        headers,
        body: body.map(|(text, _)| text),
        timeout,
        expect_status: expect.0,
        expect_body: expect.1,
        sign_with,
    })
}

fn verb(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<String> {
    walk.one_of("method", value, &words::METHOD, &[]).map(str::to_owned)
}

pub(super) fn address(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<String> {
    let text = walk.untemplated("url", value)?;
    let good = reqwest::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if !good {
        let label = "expected http:// or https:// and a host";
        let error = walk.error("E0028", value.span(), format!("{text:?} is not a URL"), label);
        if !text.contains(':') && text.contains('.') {
            error.suggest("say how to get there", value.span(), format!("\"https://{text}\""));
        }
        return None;
    }
    Some(text)
}

fn header_lines(walk: &mut Walk<'_>, secrets: &Secrets, value: &Value<'_>) -> BTreeMap<String, Text> {
    let mut headers = BTreeMap::new();
    for (key, value) in walk.table("headers", value).into_iter().flatten() {
        let name = key.get_ref().as_ref();
        let literal = if value.get_ref().is_str() { walk.untemplated(name, value) } else { Some(String::new()) };
        let Some(literal) = literal else { continue };
        if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
            walk.error("E0024", key.span(), format!("{name:?} cannot name a header"), "letters, digits and `-`");
        } else if reqwest::header::HeaderValue::from_str(&literal).is_err() {
            walk.error("E0024", value.span(), format!("`{name}` is not a header's value"), "one line of plain text");
        } else if let Some(text) = secrets.text(walk, name, value) {
            headers.insert(name.to_owned(), text);
        }
    }
    headers
}

/// A body and whether it is JSON made from a table.
fn content(walk: &mut Walk<'_>, value: &Value<'_>) -> Option<(String, bool)> {
    match value.get_ref() {
        DeValue::Table(_) | DeValue::Array(_) => {
            let text = |walk: &mut Walk<'_>, value: &Value<'_>| walk.untemplated("body", value);
            json(walk, value, text).map(|json| (json.to_string(), true))
        }
        _ => walk.untemplated("body", value).map(|text| (text, false)),
    }
}

fn expected(walk: &mut Walk<'_>, value: &Value<'_>) -> (Vec<u16>, Option<String>) {
    let (mut status, mut body) = (Vec::new(), None);
    for (key, value) in walk.table("expect", value).into_iter().flatten() {
        match key.get_ref().as_ref() {
            "status" => {
                let one = std::slice::from_ref(value);
                let items = value.get_ref().as_array().map_or(one, |items| items);
                let codes = items.iter().filter_map(|item| walk.integer("status", item, 100..600));
                status = codes.filter_map(|code| u16::try_from(code).ok()).collect();
            }
            "body_contains" => body = walk.text("body_contains", value),
            _ => {
                walk.unknown_key(key, &EXPECT, "`expect`");
            }
        }
    }
    (status, body)
}

/// A TOML value as JSON, its texts read by `text`; date-times become text.
pub(super) fn json(
    walk: &mut Walk<'_>,
    value: &Value<'_>,
    text: fn(&mut Walk<'_>, &Value<'_>) -> Option<String>,
) -> Option<serde_json::Value> {
    Some(match value.get_ref() {
        DeValue::String(_) if value.get_ref().as_str() == Some("") => "".into(),
        DeValue::String(_) => text(walk, value)?.into(),
        DeValue::Integer(_) => walk.integer("args", value, i64::MIN..i64::MAX)?.into(),
        DeValue::Float(number) => {
            let number = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
            let Some(number) = number else {
                walk.error("E0023", value.span(), "JSON has no such number", "neither inf nor nan");
                return None;
            };
            number.into()
        }
        DeValue::Boolean(yes) => (*yes).into(),
        DeValue::Datetime(at) => at.to_string().into(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| json(walk, item, text)).collect();
            items.into_iter().collect::<Option<Vec<_>>>()?.into()
        }
        DeValue::Table(table) => {
            let members: Vec<_> = table
                .iter()
                .map(|(key, value)| json(walk, value, text).map(|json| (key.get_ref().to_string(), json)))
                .collect();
            let members: Option<serde_json::Map<_, _>> = members.into_iter().collect();
            members?.into()
        }
    })
}

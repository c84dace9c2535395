//! What the files say of a job: as it was written, and what holds in the end.

use std::sync::LazyLock;

use maud::{Markup, html};
use serde_json::Value;

use crate::clock::Timestamp;
use crate::config::{self, SourceText};
use crate::http::pages::when::span;
use crate::job;
use crate::shape::{self, Definition, Written};

/// What a job has that says nothing.
static BUILT_IN: LazyLock<Option<Value>> = LazyLock::new(|| {
    let text = "version = 1\n[jobs.x]\nschedule = \"@manual\"\ncommand = \"true\"\n".to_owned();
    let known = config::check(&[SourceText { name: "x".into(), text: text.into() }], Timestamp::EPOCH).ok()?;
    serde_json::to_value(Definition::new(known.jobs.first()?)).ok()
});

/// Shown elsewhere on the page, or no setting.
const LEFT_OUT: [&str; 2] = ["name", "action"];

pub(super) fn show(job: &job::Job, shape: &shape::Job, definition: &Definition) -> Markup {
    let written = Written::of(job);
    let values = serde_json::to_value(definition).unwrap_or_default();
    html! {
        div.definition {
            @if let Some(written) = &written {
                div {
                    h3 { "As written" }
                    p.faint { code { (shape.source.file) ":" (shape.source.line) } ", without what may be secret" }
                    pre.code tabindex="0" aria-label="As written" { (written.text) }
                }
            }
            div {
                h3 { "As it holds" }
                p.faint { "With what it has by default. The files' digest is " code { (shape.config_digest) } "." }
                div.scroll tabindex="0" role="region" aria-label="As it holds" { table.plain {
                    thead { tr { th scope="col" { "Setting" } th scope="col" { "Value" } th scope="col" { "From" } } }
                    tbody { @for (key, value) in values.as_object().into_iter().flatten() { (row(key, value, written.as_ref())) } }
                } }
            }
        }
    }
}

fn row(key: &str, value: &Value, written: Option<&Written>) -> Markup {
    let built_in = BUILT_IN.as_ref().and_then(|all| all.get(key));
    let setting = key.trim_end_matches("_seconds").trim_end_matches("_bytes");
    let is_here = |name: &str| written.is_some_and(|written| written.keys.contains(name));
    let here = match setting {
        "schedule" => is_here("schedule") || is_here("every") || is_here("at"),
        "task" => true,
        "queue" => is_here("queue") || is_here("run_on"),
        other => is_here(other),
    };
    let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    // Unless it names fixed times, a schedule starts whatever the wall shows, each time it shows it.
    let is_real_time = (key == "dst_gap" && value == "skip") || (key == "dst_overlap" && value == "both");
    let from = match (here, built_in == Some(value), written) {
        (true, ..) => "this job",
        _ if is_real_time => "real time",
        (_, true, _) => "built in",
        (_, _, Some(_)) => "[defaults]",
        _ => "the file",
    };
    html! {
        @if !LEFT_OUT.contains(&key) && !is_empty {
            tr.set[!matches!(from, "built in" | "real time")] {
                th scope="row" { code { (setting) } }
                td { (text(key, value)) }
                td { @if from == "[defaults]" { code { (from) } } @else { (from) } }
            }
        }
    }
}

fn text(key: &str, value: &Value) -> Markup {
    match value {
        Value::Object(fields) => html! {
            dl.inner { @for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                @if !value.as_object().is_some_and(serde_json::Map::is_empty) && !value.as_array().is_some_and(Vec::is_empty) {
                    div { dt { (name.trim_end_matches("_seconds").trim_end_matches("_bytes")) } dd { (text(name, value)) } }
                }
            } }
        },
        Value::Array(items) => {
            html! { @for (n, item) in items.iter().enumerate() { @if n > 0 { ", " } (text(key, item)) } }
        }
        Value::Number(number) if key.ends_with("_seconds") => html! { (span(number.as_f64().unwrap_or_default())) },
        Value::Number(number) if key.ends_with("_bytes") => html! { (number) " bytes" },
        Value::String(text) => html! { span dir="auto" { (text) } },
        Value::Null => html! { "–" },
        other => html! { (other.to_string()) },
    }
}

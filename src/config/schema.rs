//! The JSON Schema (draft-07) of schedule files, for editors. Made from the table of keys.
//!
//! What it leaves out is left out on purpose. Without `additionalProperties: false` a strict editor points at the
//! one mistyped key and a lenient one stays quiet; with it, some complain about every key of the table. Dates have no
//! type, as editors disagree on how to say it. No pattern stands for a crontab text: `validate` knows better.

use serde_json::{Map, Value, json};

use super::keys::{Key, Kind, TOP, Table};

/// The file that editors look for beside the schedule files.
pub const SCHEMA_FILE: &str = "cronclave-1.schema.json";

/// The JSON Schema of schedule files.
pub fn schema() -> Value {
    let mut root = table(&TOP);
    let mut head = Map::new();
    head.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
    head.insert("title".into(), "Cronclave schedule file, version 1".into());
    head.append(&mut root);
    Value::Object(head)
}

/// The same as the text of a file.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

fn table(table: &Table) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("description".into(), table.about.into());
    object.insert("type".into(), "object".into());
    let required: Vec<Value> = table.keys().filter(|key| key.required).map(|key| key.name.into()).collect();
    if !required.is_empty() {
        object.insert("required".into(), required.into());
    }
    object.insert("properties".into(), table.keys().map(|key| (key.name.to_owned(), property(key))).collect());
    if table.has("schedule") {
        // What an editor writes for a new job.
        object.insert("x-taplo".into(), json!({ "initKeys": ["schedule", "command"] }));
    }
    object
}

fn property(key: &Key) -> Value {
    let mut object = kind(&key.kind);
    object.insert("description".into(), key.about.into());
    if let Some(default) = written(key.default) {
        object.insert("default".into(), default);
    }
    // A table's example says less than the examples of its keys.
    if let Some(example) = written(key.example).filter(|_| !matches!(key.kind, Kind::Table(_) | Kind::Named(..))) {
        object.insert("examples".into(), json!([example]));
    }
    Value::Object(object)
}

fn kind(kind: &Kind) -> Map<String, Value> {
    let value = match *kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Word(words) => {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let abouts: Vec<&str> = words.iter().map(|(_, about)| *about).collect();
            match abouts.iter().all(|about| about.is_empty()) {
                true => json!({ "type": "string", "enum": names }),
                false => {
                    json!({ "type": "string", "enum": names, "x-taplo": { "docs": { "enumValues": abouts } } })
                }
            }
        }
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Duration => json!({ "type": "string", "pattern": "^( *[0-9]+ *(ms|s|m|h|d))+ *$" }),
        Kind::Size => json!({ "type": "string", "pattern": "^[0-9]+ *(B|kB|KB|KiB|MB|MiB|GiB) *$" }),
        Kind::Date => json!({}),
        // Said for strict editors, which otherwise take a table's keys for mistakes.
        Kind::Any => json!({ "additionalProperties": true }),
        Kind::List(item) => json!({ "type": "array", "items": self::kind(item) }),
        Kind::Named("NAME", item @ Kind::Table(table)) if table.has("schedule") => {
            json!({ "type": "object", "patternProperties": { "^[a-z0-9][a-z0-9_-]{0,62}$": self::kind(item) } })
        }
        Kind::Named(_, item) => json!({ "type": "object", "additionalProperties": self::kind(item) }),
        Kind::Table(table) => Value::Object(self::table(table)),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(self::kind).collect::<Vec<_>>() }),
    };
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// A value as it is written in TOML, as JSON; none for a date, which JSON does not have.
fn written(text: &str) -> Option<Value> {
    let table: toml::Table = toml::from_str(&format!("x = {text}")).ok()?;
    match table.get("x")? {
        toml::Value::Datetime(_) => None,
        value => serde_json::to_value(value).ok().filter(|value| !value.to_string().contains("$__toml")),
    }
}

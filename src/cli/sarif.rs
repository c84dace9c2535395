//! What `validate` found as SARIF 2.1.0, which code hosts show beside the lines.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::config::{self, Diagnostic, Region, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// One run with all that was found; each code is a rule, with its page as help.
pub(super) fn log(found: &[Diagnostic]) -> Value {
    let mut codes: Vec<&str> = found.iter().map(|one| one.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let results: Vec<Value> = found.iter().map(|one| result(one, &codes)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "cronclave",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().map(|code| rule(code)).collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &str) -> Value {
    let title = config::page_title(code).unwrap_or(code);
    let page = config::page(code).unwrap_or(title);
    json!({
        "id": code,
        "shortDescription": { "text": title },
        "help": { "text": page, "markdown": page },
        "defaultConfiguration": { "level": if code.starts_with('W') { "warning" } else { "error" } },
    })
}

fn result(one: &Diagnostic, codes: &[&str]) -> Value {
    let region = Region { line: one.line, column: one.column, end_line: one.end_line, end_column: one.end_column };
    let mut result = json!({
        "ruleId": one.code,
        "ruleIndex": codes.iter().position(|code| *code == one.code),
        "level": if one.severity == Severity::Error { "error" } else { "warning" },
        "message": { "text": one.sentence() },
        "locations": [location(&one.file, (one.line > 0).then_some(region), None)],
    });
    if let Some(other) = &one.other {
        result["relatedLocations"] = json!([location(&other.file, Some(other.region()), Some(&other.label))]);
    }
    if let Some(fix) = &one.suggestion {
        result["fixes"] = json!([{
            "description": { "text": fix.title },
            "artifactChanges": [{
                "artifactLocation": { "uri": uri(&one.file) },
                "replacements": [{
                    "deletedRegion": lines(Region::of(&one.source, &fix.span)),
                    "insertedContent": { "text": fix.with },
                }],
            }],
        }]);
    }
    result
}

fn location(file: &str, region: Option<Region>, message: Option<&str>) -> Value {
    let mut place = json!({ "physicalLocation": { "artifactLocation": { "uri": uri(file) } } });
    if let Some(region) = region {
        place["physicalLocation"]["region"] = lines(region);
    }
    if let Some(message) = message {
        place["message"] = json!({ "text": message });
    }
    place
}

fn lines(region: Region) -> Value {
    json!({
        "startLine": region.line, "startColumn": region.column, "endLine": region.end_line, "endColumn": region.end_column,
    })
}

/// What stays as it is in the path of a URI.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn uri(file: &str) -> String {
    let path = utf8_percent_encode(file.trim_start_matches("./"), PATH).to_string();
    if Path::new(file).is_absolute() { format!("file://{path}") } else { path }
}

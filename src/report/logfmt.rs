//! `key=value` pairs, as Loki and many other tools read them.

use std::fmt::Write;

use serde_json::{Map, Value};

/// The fields in one line. What is not known is left out.
pub(super) fn line(fields: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        let value = match value {
            Value::Null => continue,
            Value::String(value) => quoted(value),
            other => quoted(&other.to_string()),
        };
        let space = if text.is_empty() { "" } else { " " };
        // Writing to a text does not fail.
        let _ = write!(text, "{space}{name}={value}");
    }
    text
}

/// As it stands when it is one word; else between quotes, with everything in it that would end the line or the quotes
/// written as in JSON.
fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"=\\".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_stand_as_they_are_and_the_rest_is_quoted() {
        let Value::Object(fields) = json!({
            "event": "run.failed", "code": 3, "msg": "a \"b\"\nc", "none": null, "empty": "", "pair": "a=b", "final": true,
        }) else {
            unreachable!()
        };
        let text = r#"event=run.failed code=3 msg="a \"b\"\nc" empty="" pair="a=b" final=true"#;
        assert_eq!(line(&fields), text);
    }
}

//! What a message of somebody else's says: JSON, bare or as the data of a CloudEvent.

use serde_json::{Map, Value};

/// A larger message is not looked at.
const MOST: usize = 64 * 1024;

/// The JSON object of a message.
pub(super) struct Body {
    /// Its fields.
    fields: Map<String, Value>,
    /// The id of the CloudEvent that it came in.
    envelope_id: Option<String>,
}

impl Body {
    /// Reads a message; nothing at all counts as an object without fields.
    ///
    /// # Errors
    /// When it is no such thing, in words.
    pub(super) fn read(bytes: &[u8]) -> Result<Body, String> {
        if bytes.len() > MOST {
            return Err(format!("it has {} bytes: at most {MOST} are read", bytes.len()));
        }
        if bytes.trim_ascii().is_empty() {
            return Ok(Body { fields: Map::new(), envelope_id: None });
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("its body is not JSON: {error}"))?;
        let Value::Object(mut fields) = value else { return Err("its body is not a JSON object".into()) };
        if !fields.contains_key("specversion") {
            return Ok(Body { fields, envelope_id: None });
        }
        let envelope_id = text_of(&fields, "id")?;
        match fields.remove("data") {
            Some(Value::Object(fields)) => Ok(Body { fields, envelope_id }),
            None | Some(Value::Null) => Ok(Body { fields: Map::new(), envelope_id }),
            Some(_) => Err("the `data` of its CloudEvent is not a JSON object".into()),
        }
    }

    /// The text in a field, if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, String> {
        text_of(&self.fields, name)
    }

    /// What it calls itself: the CloudEvent's id, or its own.
    pub(super) fn id(&self) -> Result<Option<String>, String> {
        match &self.envelope_id {
            Some(id) => Ok(Some(id.clone())),
            None => self.text("id"),
        }
    }

    /// The number in a field, also where it is written as text, as headers have it.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let text = match self.fields.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) => text.clone(),
            Some(_) => return Err(format!("`{name}` is not a number")),
        };
        text.parse().map(Some).map_err(|_| format!("`{name}` is `{text}`, which is no whole number of that kind"))
    }

    /// The object in a field, if it is there.
    pub(super) fn object(&self, name: &str) -> Result<Option<&Map<String, Value>>, String> {
        match self.fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(format!("`{name}` is not an object")),
        }
    }
}

fn text_of(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("`{name}` is not text")),
    }
}

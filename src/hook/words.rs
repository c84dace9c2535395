//! What services are sent that take a line of text instead of an event.

use serde_json::{Value, json};

use crate::job::Shape;

/// Discord takes no more, in characters.
const LONGEST: usize = 1900;

/// The body for a service of this kind, made from the event's document. `None` for those that take the document itself.
pub(super) fn body(shape: Shape, document: &str) -> Option<String> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    match shape {
        Shape::Standard => None,
        Shape::Slack => Some(json!({"text": escaped(&line(&document))}).to_string()),
        // Nobody is called by a name that happens to stand in an error.
        Shape::Discord => Some(json!({"content": line(&document), "allowed_mentions": {"parse": []}}).to_string()),
    }
}

/// `<!channel>` and the like mean something to Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The event in a line.
fn line(document: &Value) -> String {
    let kind = document["type"].as_str().unwrap_or_default();
    let kind = kind.trim_start_matches("dev.cronclave.").trim_end_matches(".v1");
    let data = &document["data"];
    let text = |key: &str| data[key].as_str();
    let job = text("job").unwrap_or("cronclave");
    let error = || data["error"]["message"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
    let attempt = data["attempt"].as_u64().filter(|n| *n > 1).map(|n| format!(" (attempt {n})")).unwrap_or_default();
    let said = match kind {
        "run.started" => format!("▶ {job} started{attempt}"),
        "run.succeeded" => {
            let took = data["duration_seconds"].as_f64().map(|s| format!(" in {s:.1} s")).unwrap_or_default();
            format!("✓ {job} succeeded{took}{attempt}")
        }
        "run.failed" | "run.timed_out" | "run.lost" | "run.expired" | "run.interrupted" => {
            let how = kind.trim_start_matches("run.").replace('_', " ");
            format!("✗ {job} {how}{}{attempt}", error())
        }
        "job.overdue" => {
            let since = text("last_success_at").map(|at| format!("no success since {at}"));
            format!("⏰ {job} is overdue: {}", since.unwrap_or_else(|| "it never succeeded".into()))
        }
        "job.recovered" => format!("✓ {job} is no longer overdue"),
        _ => {
            let why = text("reason").or_else(|| text("message")).map(|why| format!(": {why}")).unwrap_or_default();
            format!("{job}: {}{}{why}", kind.replace(['.', '_'], " "), error())
        }
    };
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(why: &str) -> String {
        let data = json!({"job": "crm-sync", "attempt": 2, "error": {"message": why}});
        json!({"type": "dev.cronclave.run.failed.v1", "data": data}).to_string()
    }

    #[test]
    fn a_failure_is_a_line_of_text() {
        let slack = body(Shape::Slack, &failed("answered 503 <!channel>")).unwrap();
        let text = "✗ crm-sync failed: answered 503 &lt;!channel&gt; (attempt 2)";
        assert_eq!(serde_json::from_str::<Value>(&slack).unwrap(), json!({"text": text}));
        assert_eq!(body(Shape::Standard, "{}"), None);
    }

    #[test]
    fn nobody_is_mentioned_by_chance_and_no_line_is_too_long() {
        let discord: Value =
            serde_json::from_str(&body(Shape::Discord, &failed(&"@everyone ".repeat(999))).unwrap()).unwrap();
        assert_eq!(discord["allowed_mentions"], json!({"parse": []}));
        assert!(discord["content"].as_str().unwrap().chars().count() <= 2000);
    }
}

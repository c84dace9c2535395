//! What schemathesis makes of the API: requests made from its OpenAPI document, sound ones and others, to a running
//! replica. No server error, no answer that the document does not tell of.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/python.rs"]
mod python;
#[path = "common/served.rs"]
mod served;

use std::process::Command;
use std::time::Duration;

use python::{run, venv};
use served::{Served, TOKEN, until};

/// What the tool cannot know of itself. Without `If-Match` a hold is not ended: 428, as RFC 6585 has it. And what fits the
/// document may still say nothing that can be done: a cursor of nobody, a span that ends before it begins, another's tag.
const SETTINGS: &str = r#"
warnings = false
[checks.missing_required_header]
expected-statuses = ["428"]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "429", "503"]
"#;

/// How long it thinks up requests, in seconds.
const TIME: &str = "60";

/// The examples of the document name this job, which is going and holds its lock.
const JOBS: &str = r#"
[jobs.db-backup]
schedule = "@manual"
command  = "echo begun; sleep 600"
overlap  = "queue_one"

[jobs.hourly]
schedule = "0 * * * *"
timezone = "Europe/Berlin"
command  = "true"
"#;

#[test]
fn it_finds_no_server_error_and_no_undocumented_answer() {
    let tools = venv("schemathesis", &["schemathesis==4.32.5"]);
    let replica = Served::start(JOBS, &[("CRONCLAVE_API_TOKEN", TOKEN), ("CRONCLAVE_RATE_LIMIT", "0")]);
    let token = format!("Authorization: Bearer {TOKEN}");
    let header = token.split_once(": ").unwrap();
    let begun = replica.ask("POST", "/api/v1/jobs/db-backup/runs", &[header], "");
    assert_eq!(begun.status, 202, "{begun:?}");
    let going = || replica.get_as(TOKEN, "/api/v1/locks").body.contains("run:db-backup");
    until(going, || "the run never began".into());
    std::fs::write(replica.path().join("schemathesis.toml"), SETTINGS).unwrap();
    let mut command = Command::new(tools.join("st"));
    command.current_dir(replica.path()).arg("run").arg(format!("http://{}/openapi.json", replica.address()));
    command.args(["--header", &token, "--max-time", TIME, "--request-timeout", "20"]);
    command.args([
        "--phases",
        "examples,coverage,fuzzing,stateful",
        "--continue-on-failure",
        "--no-color",
        "--seed",
        "1",
    ]);
    // A stream has no end. Its contract is tested by itself.
    command.args(["--exclude-path", "/api/v1/events"]);
    let (good, said) = run(command, Duration::from_secs(240));
    assert!(good, "{said}\n{:#?}", replica.lines().iter().filter(|line| line.contains("panic")).collect::<Vec<_>>());
    assert!(said.contains("generated"), "{said}");
    assert_eq!(replica.get("/readyz").status, 200);
}

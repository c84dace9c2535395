//! The environment of a program: what the replica inherited, what the run is, what the job adds.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::wire::NotStarted;
use crate::job::Command;
use crate::lease::Work;
use crate::trace;

/// Ours: what the replica itself inherited under this prefix (its passwords) is not handed on.
const PREFIX: &str = "CRONCLAVE_";

/// What systemd gives to this process and to no other: a program that took it for its own would speak for us.
const MANAGER: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "FDSTORE",
];

pub(super) type Environment = BTreeMap<OsString, OsString>;

/// All that `command` is to see besides, and rather than, what is inherited; later sources win: `common`, the run,
/// `env_file`, `env`.
pub(super) async fn of(
    command: &Command,
    work: &Work,
    common: &BTreeMap<String, String>,
) -> Result<Environment, NotStarted> {
    let mut all = Environment::new();
    let mut add = |name: String, value: String| all.insert(name.into(), value.into());
    for (name, value) in common {
        add(name.clone(), value.clone());
    }
    for (name, value) in of_work(work) {
        add(name, value);
    }
    if let Some(path) = &command.env_file {
        for (name, value) in read_file(path).await? {
            add(name, value);
        }
    }
    for (name, text) in &*command.env {
        let value = text.reveal().map_err(|secret| {
            not_started(format!("the secret `{secret}`, wanted for the variable {name}, is not set here"))
        })?;
        add(name.clone(), value);
    }
    Ok(all)
}

/// A program inherits the environment as under any cron. We look at the names only, to leave out ours.
#[allow(clippy::disallowed_methods, reason = "handed on, not read")]
pub(super) fn inherited() -> Environment {
    let is_ours = |name: &OsString| {
        name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) || MANAGER.iter().any(|ours| name == ours)
    };
    std::env::vars_os().filter(|(name, _)| !is_ours(name)).collect()
}

fn of_work(work: &Work) -> Vec<(String, String)> {
    let mut all = vec![
        ("JOB".to_owned(), work.job.to_string()),
        ("RUN_ID".to_owned(), work.run_id.to_string()),
        ("ATTEMPT".to_owned(), work.attempt.to_string()),
        ("SCHEDULED_AT".to_owned(), work.scheduled_at.to_string()),
        ("SCHEDULED_AT_UNIX".to_owned(), work.scheduled_at.as_secs().to_string()),
        ("TRIGGER".to_owned(), work.trigger.kind().to_owned()),
        ("FENCING_TOKEN".to_owned(), work.fence.to_string()),
        ("LEASE_UNTIL".to_owned(), work.lease_until.to_string()),
    ];
    all.extend(work.previous_success_at.map(|at| ("PREVIOUS_SUCCESS_AT".to_owned(), at.to_string())));
    all.extend(work.args.iter().map(|(name, value)| (format!("ARG_{}", as_variable(name)), value.clone())));
    let mut all: Vec<_> = all.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value)).collect();
    // As OpenTelemetry's SDKs look for it.
    all.push(("TRACEPARENT".to_owned(), trace::parent(work.run_id, work.fence)));
    all
}

/// `dry-run` becomes `DRY_RUN`, which a shell can name.
fn as_variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

async fn read_file(path: &Path) -> Result<Vec<(String, String)>, NotStarted> {
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| not_started(format!("cannot read env_file {}: {error}", path.display())))?;
    parse(&text).map_err(|line| not_started(format!("env_file {}, line {line}: expected NAME=value", path.display())))
}

/// Reads `NAME=value` lines, as `docker run --env-file` and systemd do: empty lines and lines that
/// begin with `#` say nothing, a leading `export` is allowed, a pair of quotes around the value is
/// taken off, nothing is expanded. The error is the number of the line that is none.
fn parse(text: &str) -> Result<Vec<(String, String)>, usize> {
    let mut all = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or(index + 1)?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(index + 1);
        }
        all.push((name.to_owned(), unquoted(value).to_owned()));
    }
    Ok(all)
}

fn unquoted(value: &str) -> &str {
    let within = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

fn not_started(why: String) -> NotStarted {
    NotStarted { code: 125, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_env_file_is_read_line_by_line_and_expands_nothing() {
        let text = "# comment\n\nA=1\nexport B = two words \nC=\"#x=$A\"\nD='it''s'\nE=\n";
        let pairs = parse(text).unwrap();
        let shown: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["A=1", "B=two words", "C=#x=$A", "D=it''s", "E="]);
    }

    #[test]
    fn a_line_that_is_no_assignment_is_named() {
        assert_eq!(parse("A=1\nnonsense"), Err(2));
        assert_eq!(parse("=1"), Err(1));
        assert_eq!(parse("two words=1"), Err(1));
    }

    #[test]
    fn names_of_arguments_become_names_of_variables() {
        assert_eq!(as_variable("dry-run.v2"), "DRY_RUN_V2");
    }
}

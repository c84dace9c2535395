//! What a program gets, and what is told of how it ended.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use cronclave::job::{Action, Command, Text};
use cronclave::lease::Outcome;
use cronclave::runner::{CommandRunner, Handlers};

use crate::bench::{LONG, job, program, run, runners, sh, start, start_command};

#[tokio::test]
async fn exit_code_zero_succeeds_and_any_other_fails_with_its_number() {
    let done = run(sh("exit 0")).await;
    assert_eq!((done.ended.outcome, done.ended.exit_code), (Outcome::Succeeded, Some(0)));
    let done = run(sh("exit 3")).await;
    assert_eq!((done.ended.outcome, done.ended.exit_code), (Outcome::Failed, Some(3)));
    assert_eq!(done.message(), "exit code 3");
}

#[tokio::test]
async fn a_program_that_a_signal_ended_is_told_by_the_signals_name() {
    let done = run(sh("kill -9 $$")).await;
    assert_eq!((done.ended.outcome, done.ended.signal, done.ended.exit_code), (Outcome::Failed, Some(9), None));
    assert_eq!(done.message(), "killed by signal 9 (SIGKILL)");
}

#[tokio::test]
async fn a_missing_program_is_127_and_named() {
    let done = run(program(&["no-such-program"])).await;
    assert_eq!((done.ended.outcome, done.ended.exit_code), (Outcome::Failed, Some(127)));
    assert!(done.message().contains("`no-such-program` in PATH"), "{}", done.message());
    let done = run(program(&["./no/such/program"])).await;
    assert_eq!(done.ended.exit_code, Some(127));
    assert!(done.message().contains("`./no/such/program` in "), "{}", done.message());
}

#[tokio::test]
async fn a_file_that_cannot_be_executed_is_126() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "echo no").unwrap();
    let done = run(program(&[plain.to_str().unwrap()])).await;
    assert_eq!(done.ended.exit_code, Some(126), "{}", done.message());
    let script = folder.path().join("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let done = run(program(&[script.to_str().unwrap()])).await;
    assert_eq!(done.ended.exit_code, Some(126));
    assert!(done.message().contains("interpreter"), "{}", done.message());
}

#[tokio::test]
async fn what_cannot_be_prepared_is_125_and_says_what_is_missing() {
    let missing: Option<Arc<Path>> = Some(Path::new("/no/such/place").into());
    let secret = Text::Secret { name: "db_password".to_owned(), prefix: String::new(), value: None };
    let cases = [
        (Command { cwd: missing.clone(), ..sh("true") }, "directory /no/such/place"),
        (Command { env_file: missing, ..sh("true") }, "env_file /no/such/place"),
        (Command { env: BTreeMap::from([("PW".to_owned(), secret)]).into(), ..sh("true") }, "secret `db_password`"),
        (program(&[]), "no program"),
    ];
    for (command, words) in cases {
        let done = run(command).await;
        assert_eq!((done.ended.outcome, done.ended.exit_code), (Outcome::Failed, Some(125)), "{words}");
        assert!(done.message().contains(words), "{}", done.message());
    }
}

#[tokio::test]
async fn standard_input_is_the_given_text_or_empty() {
    assert_eq!(run(program(&["cat"])).await.stdout, "");
    let long = "0123456789\n".repeat(50_000);
    let done = run(Command { stdin: Some(long.as_str().into()), ..program(&["cat"]) }).await;
    assert!(done.stdout == long, "{} of {} bytes", done.stdout.len(), long.len());
    // One that never reads it is not held up.
    let done = run(Command { stdin: Some(long.into()), ..sh("exit 0") }).await;
    assert_eq!(done.ended.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_program_starts_in_its_directory() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let done = run(Command { cwd: Some(folder.as_path().into()), ..program(&["pwd"]) }).await;
    assert_eq!(done.stdout.trim(), folder.to_str().unwrap());
}

#[tokio::test]
async fn the_environment_tells_the_run_and_the_job_has_the_last_word() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    fs::write(&file, "FROM_FILE='a b'\nBOTH=file\n").unwrap();
    let secret = Text::Secret { name: "token".to_owned(), prefix: "Bearer ".to_owned(), value: Some("x".to_owned()) };
    let env = BTreeMap::from([
        ("BOTH".to_owned(), Text::Plain("job".to_owned())),
        ("AUTH".to_owned(), secret),
        ("CRONCLAVE_TRIGGER".to_owned(), Text::Plain("mine".to_owned())),
    ]);
    let done = run(Command { env: env.into(), env_file: Some(file.into()), ..program(&["env"]) }).await;
    let lines: Vec<&str> = done.stdout.lines().collect();
    let is_parent = |line: &&str| line.starts_with("TRACEPARENT=00-") && line.ends_with("-000000000000004d-01");
    assert!(lines.iter().any(is_parent), "{lines:?}");
    for expected in [
        "CRONCLAVE_REPLICA=here",
        "CRONCLAVE_JOB=nightly",
        "CRONCLAVE_ATTEMPT=2",
        "CRONCLAVE_SCHEDULED_AT=2027-01-15T08:00:00Z",
        "CRONCLAVE_SCHEDULED_AT_UNIX=1800000000",
        "CRONCLAVE_PREVIOUS_SUCCESS_AT=2023-11-14T22:13:20Z",
        "CRONCLAVE_FENCING_TOKEN=77",
        "CRONCLAVE_LEASE_UNTIL=2027-01-15T08:00:30Z",
        "CRONCLAVE_ARG_DRY_RUN=yes",
        "CRONCLAVE_TRIGGER=mine",
        "FROM_FILE=a b",
        "BOTH=job",
        "AUTH=Bearer x",
    ] {
        assert!(lines.contains(&expected), "{expected} is not in {lines:?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("CRONCLAVE_RUN_ID=")));
    assert!(lines.iter().any(|line| line.starts_with("PATH=")), "the rest is inherited");
}

#[tokio::test]
async fn both_streams_arrive_whole_and_in_order() {
    let done = run(sh("for i in $(seq 20000); do echo out $i; done; seq 5 >&2")).await;
    let expected: String = (1..=20_000).map(|i| format!("out {i}\n")).collect();
    assert!(done.stdout == expected, "{} of {} bytes", done.stdout.len(), expected.len());
    assert_eq!(done.stderr, "1\n2\n3\n4\n5\n");
}

#[tokio::test]
async fn output_arrives_while_the_program_runs() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let script = format!("printf ready; while [ ! -e {} ]; do sleep 0.1; done; echo .", go.display());
    let running = start_command(sh(&script));
    running.prints("ready").await;
    fs::write(go, "").unwrap();
    assert_eq!(running.done().await.stdout, "ready.\n");
}

#[tokio::test]
async fn arguments_reach_the_program_as_they_are_written() {
    let done = run(program(&["printf", "%s|", "$HOME", "*", "a b", "", "; exit 9"])).await;
    assert_eq!(done.stdout, "$HOME|*|a b||; exit 9|");
}

#[tokio::test]
async fn without_a_supervisor_programs_run_and_fail_alike() {
    let direct = |command| {
        let runners = runners(CommandRunner::new(BTreeMap::new()), Handlers::new());
        start(runners, job("direct", Action::Command(command)), 10 * LONG).done()
    };
    let done = direct(Command { stdin: Some("in".into()), ..sh("cat; echo err >&2; exit 4") }).await;
    assert_eq!((done.ended.exit_code, done.stdout.as_str(), done.stderr.as_str()), (Some(4), "in", "err\n"));
    assert_eq!(direct(sh("kill -15 $$")).await.ended.signal, Some(15));
    assert_eq!(direct(program(&["no-such-program"])).await.ended.exit_code, Some(127));
    let done = direct(Command { cwd: Some(Path::new("/no/such/place").into()), ..sh("true") }).await;
    assert_eq!(done.ended.exit_code, Some(125));
}

//! `cronclave run`: the job's own status and output, and the lock.

use super::bench::Place;

fn with_job(text: &str) -> Place {
    let place = Place::empty();
    place.write("schedules/x.toml", format!("version = 1\n[jobs.x]\nschedule = \"@manual\"\n{text}\n"));
    place
}

#[test]
fn it_exits_as_the_job_does() {
    for (text, code, words) in [
        ("command = 'exit 0'", 0, &["succeeded"][..]),
        ("command = 'exit 3'", 3, &["failed", "exit code 3"]),
        ("command = 'kill -9 $$'", 137, &["failed", "9"]),
        ("command = 'kill -TERM $$'", 143, &["failed"]),
        ("command = 'sleep 20'\ntimeout = '1s'\nkill_after = '1s'", 124, &["timed_out", "timeout of 1s"]),
        ("command = ['/no/such/program']", 127, &["/no/such/program"]),
        ("command = ['no-such-program']", 127, &["no-such-program"]),
        ("command = ['/etc/passwd']", 126, &["/etc/passwd"]),
    ] {
        let said = with_job(text).ask(&["run", "x"]).expect(code, words);
        assert_eq!(said.out, "", "standard output is the job's alone");
    }
}

#[test]
fn its_output_is_the_jobs_byte_for_byte() {
    let place = with_job(r"command = 'printf \\000\\377a\\nb; printf oops >&2'");
    place.write(
        "schedules/x.toml",
        "version = 1\n[jobs.x]\nschedule = \"@manual\"\ncommand = 'printf \"\\000\\377a\\nb\"; printf oops >&2'\n",
    );
    let output = place.command(&["run", "x"]).output().unwrap();
    assert_eq!(output.stdout, b"\0\xffa\nb");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(err.contains("oops") && err.contains("cronclave: succeeded"), "{err}");
    let logs = place.command(&["logs", "x", "--stream", "stdout"]).output().unwrap();
    assert_eq!(logs.stdout, b"\0\xffa\nb", "and so it is kept");
}

#[test]
fn arguments_and_variables_reach_the_job() {
    let place = with_job("command = 'echo $A-$CRONCLAVE_ARG_DAY-$1-$CRONCLAVE_TRIGGER-$CRONCLAVE_SCHEDULED_AT'");
    let at = "2026-11-22T06:00:00Z";
    let said = place.ask(&["run", "x", "--env", "A=1", "--arg", "day=mon", "--at", at, "--", "extra"]);
    assert_eq!(said.expect(0, &[]).out.trim(), "1-mon-extra-cli-2026-11-22T06:00:00Z");
    let place = with_job("command = ['echo', 'a']");
    assert_eq!(place.ask(&["run", "x", "--", "b", "-c"]).expect(0, &[]).out, "a b -c\n");
}

#[test]
fn a_dry_run_starts_nothing_and_leaves_nothing() {
    let place = with_job("command = 'touch started'");
    place.ask(&["run", "-n", "x"]).expect(0, &["would run x: touch started"]);
    assert!(!place.path("started").exists() && !place.path("cronclave.db").exists());
}

#[test]
fn without_a_lock_there_is_no_record() {
    let place = with_job("command = 'echo hi'");
    assert_eq!(place.ask(&["run", "x", "--no-lock"]).expect(0, &[]).out, "hi\n");
    assert!(!place.path("cronclave.db").exists());
}

#[test]
fn while_another_run_goes_on_nothing_starts_unless_it_may_wait() {
    let place = Place::new();
    let mut first = place.command(&["run", "slow"]);
    first.env("CRONCLAVE_REPLICA", "laptop.7");
    let first = place.start(first);
    first.until("tick");
    let said = place.ask(&["run", "slow"]).expect(75, &["slow is running on laptop.7", "--wait"]);
    assert_eq!(said.out, "", "nothing started");
    place.ask(&["trigger", "slow"]).expect(75, &["slow is running on laptop.7"]);
    place.ask(&["run", "slow", "--wait=100ms"]).expect(75, &["laptop.7", "waited long enough"]);
    let waited = place.ask(&["run", "slow", "--wait"]).expect(0, &["waiting", "tock"]);
    assert!(waited.err.contains("laptop.7"));
    first.end().expect(0, &["tock"]);
    let runs = place.ask(&["history", "slow", "--json"]).json();
    assert_eq!(runs["items"].as_array().unwrap().len(), 2);
}

#[test]
fn told_to_stop_it_stops_the_job() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let place = Place::new();
        let running = place.start(place.command(&["run", "slow"]));
        running.until("tick");
        running.signal(signal);
        let said = running.end().expect(code, &["interrupted"]);
        assert!(!said.out.contains("tock"), "{said:?}");
        place.ask(&["history"]).expect(0, &["interrupted"]);
    }
}

#[test]
fn a_paused_job_is_not_run() {
    let place = Place::with_history();
    place.ask(&["pause", "hello", "--reason", "moving"]).expect(0, &["Undo: cronclave resume hello"]);
    place
        .ask(&["run", "hello"])
        .expect(75, &["hello is paused by ana until resumed (moving)", "cronclave resume hello"]);
    place.ask(&["resume", "hello"]).expect(0, &["resumed hello"]);
    place.ask(&["run", "hello"]).expect(0, &[]);
}

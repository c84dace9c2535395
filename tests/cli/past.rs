//! `why`, `backfill`, and `run --at`: occurrences that are over.

use super::bench::Place;

fn with_job(text: &str) -> Place {
    let place = Place::empty();
    let head = "version = 1\n[jobs.x]\nschedule = \"0 6 * * *\"\nmisfire = \"skip\"\n";
    place.write("schedules/x.toml", format!("{head}{text}\n"));
    place
}

#[test]
fn an_occurrence_that_is_run_by_hand_runs_once_unless_again_is_said() {
    let place = with_job("command = 'echo $CRONCLAVE_SCHEDULED_AT'");
    let at = "2026-11-22T06:00:00Z";
    place.ask(&["run", "x", "--at", at]).expect(0, &[at]);
    let said = place.ask(&["run", "x", "--at", at]);
    said.expect(1, &["it ran already: succeeded", "nothing started", "--again"]);
    place.ask(&["run", "x", "--at", at, "--again"]).expect(0, &[at]);
    let runs = place.ask(&["history", "x", "--json"]).expect(0, &[]).json();
    assert_eq!(runs["items"].as_array().unwrap().len(), 2, "{runs}");
    // A time that is none of the schedule's is no occurrence.
    for _ in 0..2 {
        place.ask(&["run", "x", "--at", "2026-11-22T06:00:01Z"]).expect(0, &["06:00:01"]);
    }
    place.ask(&["run", "x", "--at", "2099-11-22T06:00:00Z"]).expect(1, &["has not come to it yet"]);
    place.ask(&["run", "x", "--again"]).expect(2, &["--at"]);
}

#[test]
fn why_tells_what_happened_and_exits_with_the_answer() {
    let place = with_job("command = 'echo out; exit 3'");
    place.ask(&["run", "x", "--at", "2026-11-22T06:00:00Z"]).expect(3, &[]);
    let said = place.ask(&["why", "x@2026-11-22T06:00"]);
    said.expect(
        1,
        &["x at 2026-11-22 06:00:00 UTC", "ended as failed", "exit code 3", "run by hand", "`0 6 * * *` in UTC"],
    );
    let said = place.ask(&["why", "x@2026-11-22T06:00:00Z", "--json"]).expect(1, &[]).json();
    assert_eq!((&said["state"], &said["job"]), (&"failed".into(), &"x".into()), "{said}");
    place.ask(&["why", "x@2026-11-22T06:30"]).expect(1, &["There is no such occurrence."]);
    place.ask(&["why", "x"]).expect(2, &["write a job and a time"]);
    place.ask(&["why", "x@noon"]).expect(2, &["not a time"]);
    place.ask(&["why", "y@2026-11-22"]).expect(66, &["there is no job `y`"]);
}

#[test]
fn a_backfill_is_listed_first_and_asked_for_once() {
    let place = with_job("command = 'true'");
    let span = ["--from", "2026-11-20", "--to", "2026-11-23"];
    place.ask(&["run", "x", "--at", "2026-11-21T06:00:00Z"]).expect(0, &[]);
    let fill = |more: &[&str]| place.ask(&[&["backfill", "x"][..], &span, more].concat());
    fill(&["-n"])
        .expect(0, &["2026-11-20 06:00:00 UTC   to run", "it ran already: succeeded", "2 runs of 3 occurrences"]);
    fill(&[]).expect(2, &["--yes"]);
    fill(&["--yes", "--reason", "late"]).expect(0, &["asked for 2 runs"]);
    fill(&["--yes"]).expect(0, &["it waits for its turn already", "0 runs of 3 occurrences"]);
    let said = fill(&["-n", "--json"]).expect(0, &[]).json();
    assert_eq!(said["items"].as_array().unwrap().len(), 3, "{said}");
    let runs = place.ask(&["history", "x", "--json"]).expect(0, &[]).json();
    let waiting = runs["items"].as_array().unwrap().iter().filter(|run| run["trigger"]["kind"] == "backfill").count();
    assert_eq!(waiting, 2, "{runs}");
    let none = ["backfill", "x", "--from", "2026-11-23", "--to", "2026-11-20"];
    place.ask(&none).expect(2, &["--from is the earlier one"]);
    let many = ["backfill", "x", "--from", "1990-01-01", "--to", "2026-11-20"];
    place.ask(&many).expect(2, &["more than 1000 occurrences"]);
}

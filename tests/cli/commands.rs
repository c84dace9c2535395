//! Each command that looks or steers, as text and as JSON, on a small real database.

use std::process::Stdio;

use super::bench::Place;

/// `hello` ran well, `fails` failed.
fn place() -> Place {
    let place = Place::with_history();
    place.ask(&["run", "fails"]).expect(3, &[]);
    place
}

#[test]
fn init_writes_a_file_that_works_and_never_overwrites() {
    let place = Place::empty();
    place.ask(&["init"]).expect(0, &["schedules/hello.toml", "cronclave-1.schema.json", "cronclave serve"]);
    let schema = place.ask(&["schema"]).expect(0, &["draft-07"]).out;
    assert_eq!(std::fs::read_to_string(place.path("schedules/cronclave-1.schema.json")).unwrap(), schema);
    place.ask(&["schema", "--docs"]).expect(0, &["# Schedule files", "`overlap`"]);
    // The schema beside it is no schedule file.
    place.ask(&["validate"]).expect(0, &["schedules/hello.toml", "1 job", "ok", "1 job in 1 file"]);
    place.ask(&["run", "hello"]).expect(0, &["hello from hello"]);
    place.write("schedules/hello.toml", "mine");
    place.ask(&["init"]).expect(1, &["already there"]);
    std::fs::rename(place.path("schedules/hello.toml"), place.path("schedules/mine.toml")).unwrap();
    place.write("schedules/cronclave-1.schema.json", "mine too");
    place.ask(&["init"]).expect(0, &["schedules/hello.toml"]);
    assert_eq!(std::fs::read(place.path("schedules/cronclave-1.schema.json")).unwrap(), b"mine too");
    std::fs::rename(place.path("schedules/mine.toml"), place.path("schedules/hello.toml")).unwrap();
    assert_eq!(std::fs::read(place.path("schedules/hello.toml")).unwrap(), b"mine");
}

#[test]
fn validate_tells_files_warnings_and_counts() {
    let place = Place::new();
    let said = place.ask(&["check"]).expect(0, &["schedules/jobs.toml", "4 jobs", "ok, 1 warning", "4 jobs in 1 file"]);
    assert!(said.err.contains("warning[W0204]") && said.err.contains("jobs.toml:9:13"), "{said:#?}");
    place.ask(&["validate", "--strict"]).expect(78, &["--strict"]);
    place.ask(&["validate", "--format", "github"]).expect(0, &["::warning file=schedules/jobs.toml,line=9,col=13"]);
    let json = place.ask(&["validate", "--format", "json"]).expect(0, &[]).json();
    assert_eq!((&json["ok"], &json["files"][0]["jobs"], &json["warnings"]), (&true.into(), &4.into(), &1.into()));
}

#[test]
fn validate_tells_the_same_in_every_format() {
    let place = Place::empty();
    place.write(
        "schedules/a b.toml",
        "version = 1\n[jobs.x]\nschedule = \"@daily\"\ncommand = \"true\"\ntimeout = 30\n",
    );
    place.write("schedules/c.toml", "version = 1\n[jobs.x]\nschedule = \"0 24 * * *\"\ncommand = \"true\"\n");
    let ask = |format: &str, words: &[&str]| place.ask(&["validate", "--format", format]).expect(78, words);
    ask(
        "text",
        &["a b.toml:5:11", "error[E0021]", "c.toml:2:7", "error[E0017]", "c.toml:3:15", "error[E0102]", "3 errors"],
    );
    ask(
        "github",
        &[
            "::error file=schedules/a b.toml,line=5,col=11,title=E0021::a duration needs a unit; number without a unit; write it as text with ms, s, m, h or d: \"30s\"",
            "file=schedules/c.toml,line=2,col=7",
        ],
    );

    let json = ask("json", &[]).json();
    let places: Vec<_> =
        json["diagnostics"].as_array().unwrap().iter().map(|one| (&one["code"], &one["line"])).collect();
    assert_eq!(places, [(&"E0021".into(), &5.into()), (&"E0017".into(), &2.into()), (&"E0102".into(), &3.into())]);
    let fix = &json["diagnostics"][0]["suggestion"];
    assert_eq!((&fix["with"], &fix["line"], &fix["end_column"]), (&"\"30s\"".into(), &5.into(), &13.into()));
    let related = &json["diagnostics"][1]["related"][0];
    assert_eq!((&related["file"], &related["line"]), (&"schedules/a b.toml".into(), &2.into()));

    let sarif = ask("sarif", &[]).json();
    let run = &sarif["runs"][0];
    assert_eq!((&sarif["version"], sarif["runs"].as_array().unwrap().len()), (&"2.1.0".into(), 1));
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!((rules.len(), results.len()), (3, 3));
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(!rule["shortDescription"]["text"].as_str().unwrap().is_empty());
        assert!(rule["help"]["markdown"].as_str().unwrap().contains("## Right"));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
    }
    let physical = |at: &serde_json::Value| at["physicalLocation"].clone();
    let first = physical(&results[0]["locations"][0]);
    assert_eq!(first["artifactLocation"]["uri"], "schedules/a%20b.toml");
    let region = serde_json::json!({"startLine": 5, "startColumn": 11, "endLine": 5, "endColumn": 13});
    assert_eq!(first["region"], region);
    let change = &results[0]["fixes"][0]["artifactChanges"][0]["replacements"][0];
    assert_eq!((&change["deletedRegion"], &change["insertedContent"]["text"]), (&region, &"\"30s\"".into()));
    let other = physical(&results[1]["relatedLocations"][0]);
    assert_eq!(
        (&other["artifactLocation"]["uri"], &other["region"]["startLine"]),
        (&"schedules/a%20b.toml".into(), &2.into())
    );
}

#[test]
fn a_file_that_is_not_there_is_told_in_every_format() {
    let place = Place::empty();
    for format in ["text", "json", "github", "sarif"] {
        place.ask(&["validate", "none.toml", "--format", format]).expect(78, &["E0005", "none.toml", "no such file"]);
    }
}

#[test]
fn next_explains_changes_of_clocks_and_needs_no_database() {
    let place = Place::new();
    let said = place.ask(&["next", "fails", "--from", "2027-03-27", "-n", "3"]).expect(0, &[]);
    for part in [
        "Sat 2027-03-27 02:30:00 CET  (+01:00)   2027-03-27 01:30:00 UTC",
        "Sun 2027-03-28 03:00:00 CEST (+02:00)   2027-03-28 01:00:00 UTC",
        "[1]",
        "02:30 does not exist on this day: clocks go from 02:00 CET to 03:00 CEST.",
        "Mon 2027-03-29 02:30:00 CEST",
    ] {
        assert!(said.out.contains(part), "no {part:?} in {}", said.out);
    }
    let json = place.ask(&["next", "fails", "--from", "2027-03-28", "-n", "1", "--json"]).json();
    let first = &json["items"][0]["occurrences"][0];
    assert_eq!(first["at"], "2027-03-28T01:00:00Z");
    assert_eq!(first["local"], "2027-03-28T03:00:00+02:00");
    assert_eq!((&first["dst"]["kind"], &first["dst"]["policy"]), (&"gap".into(), &"shift".into()));
    let until = place.ask(&["next", "fails", "--from", "2027-01-01", "--until", "2027-01-08", "--json"]).json();
    assert_eq!(until["items"][0]["occurrences"].as_array().unwrap().len(), 7);
    place.ask(&["--tz", "Asia/Tokyo", "next", "fails", "--from", "2027-03-27"]).expect(0, &["10:30:00 JST"]);
    place.ask(&["next"]).expect(0, &["only by hand"]);
    assert!(!place.path("cronclave.db").exists());
    let mut elsewhere = place.command(&["next"]);
    elsewhere.env("REDIS_URL", "redis://cache");
    place.finish(elsewhere).expect(0, &[]);
}

#[test]
fn jobs_are_listed_before_and_after_anything_ran() {
    let place = Place::new();
    place.ask(&["jobs"]).expect(0, &["never", "by hand", "4 jobs: 4 never run"]);
    assert!(!place.path("cronclave.db").exists(), "looking makes no database");
    place.ask(&["run", "hello"]).expect(0, &[]);
    place.ask(&["run", "fails"]).expect(3, &[]);
    place.ask(&["pause", "slow", "--reason", "moving"]).expect(0, &[]);
    let said = place.ask(&["ls"]).expect(0, &["✓  hello", "✗  fails", "⏸  slow", "paused by ana: moving"]);
    assert!(said.out.contains("4 jobs: 1 failing, 1 paused, 1 never run"), "{}", said.out);
    let mut ascii = place.command(&["jobs", "--color", "always"]);
    ascii.env("LC_ALL", "C");
    let said = place.finish(ascii).expect(0, &["FAIL", "PAUSED", "\x1b[31mFAIL\x1b[0m"]);
    assert!(said.out.is_ascii());
    let json = place.ask(&["jobs", "--json"]).json();
    let of = |name: &str| json["items"].as_array().unwrap().iter().find(|job| job["name"] == name).unwrap().clone();
    let fails = of("fails");
    assert_eq!(fails["health"], "failing");
    assert_eq!((&fails["last_run"]["state"], &fails["last_run"]["exit_code"]), (&"failed".into(), &3.into()));
    assert_eq!(fails["source"]["line"], 8);
    assert!(fails["next"]["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&of("slow")["state"], &of("slow")["paused"]["reason"]), (&"paused".into(), &"moving".into()));
    assert_eq!(of("hook")["action"], "http");
    let failing = place.ask(&["jobs", "--state", "failing", "--json"]).json();
    assert_eq!(failing["total"], 1);
    let tagged = place.ask(&["jobs", "--tag", "ops", "--json"]).json();
    assert_eq!(tagged["items"][0]["name"], "hello");
}

#[test]
fn a_job_that_is_gone_from_the_files_is_only_history() {
    let place = place();
    place.write("schedules/jobs.toml", "version = 1\n[jobs.new]\nschedule = \"@manual\"\ncommand = \"true\"\n");
    let said = place.ask(&["jobs"]).expect(0, &["new", "1 job"]);
    assert!(!said.out.contains("fails"));
    place.ask(&["history", "fails"]).expect(0, &["exit code 3"]);
    place.ask(&["logs", "fails"]).expect(0, &["before", "wrong"]);
}

#[test]
fn history_shows_runs_and_filters_them() {
    let place = place();
    let said = place.ask(&["history"]).expect(0, &["RUN", "ATTEMPT", "ok", "failed  exit code 3", "1/1"]);
    assert!(said.out.lines().nth(1).unwrap().contains("fails"), "newest first: {}", said.out);
    let json = place.ask(&["history", "--json"]).json();
    let run = &json["items"][0];
    assert_eq!((&run["job"], &run["state"], &run["exit_code"]), (&"fails".into(), &"failed".into(), &3.into()));
    assert_eq!((&run["trigger"]["kind"], &run["trigger"]["by"]), (&"cli".into(), &"ana".into()));
    assert_eq!((&run["error"]["kind"], &run["error"]["message"]), (&"exit".into(), &"exit code 3".into()));
    assert_eq!((&run["attempt"], run["attempts"].as_array().unwrap().len()), (&1.into(), 1));
    for number in ["start_delay_seconds", "duration_seconds", "fencing_token"] {
        assert!(run[number].is_number(), "{number}: {run}");
    }
    let count = |args: &[&str]| {
        let all = [&["history", "--json"], args].concat();
        place.ask(&all).expect(0, &[]).json()["items"].as_array().unwrap().len()
    };
    assert_eq!(count(&["--state", "succeeded"]), 1);
    assert_eq!(count(&["--state", "succeeded,failed"]), 2);
    assert_eq!(count(&["--since", "1h"]), 2);
    assert_eq!(count(&["--until", "1h"]), 0);
    assert_eq!(count(&["--trigger", "schedule"]), 0);
    assert_eq!(count(&["-n", "1"]), 1);
    assert_eq!(count(&["hello"]), 1);
    place.ask(&["history", "slow"]).expect(0, &["nothing yet"]);
    place.ask(&["history", "--tz", "Asia/Tokyo"]).expect(0, &["JST"]);
    place.ask(&["history", "fails", "--utc"]).expect(0, &["UTC"]);
}

#[test]
fn logs_are_shown_by_job_or_run_whole_or_in_part() {
    let place = place();
    assert_eq!(place.ask(&["logs", "hello"]).expect(0, &[]).out, "hello\n");
    assert_eq!(place.ask(&["logs", "fails", "--stream", "stderr"]).expect(0, &[]).out, "wrong\n");
    assert_eq!(place.ask(&["logs", "fails", "--stream", "stdout", "--attempt", "1"]).expect(0, &[]).out, "before\n");
    assert_eq!(place.ask(&["logs", "fails", "-n", "1"]).expect(0, &[]).out.lines().count(), 1);
    assert_eq!(place.ask(&["logs", "fails", "-n", "0"]).expect(0, &[]).out, "");
    let stamped = place.ask(&["logs", "-t", "fails"]).expect(0, &[]).out;
    assert!(stamped.lines().all(|line| line.starts_with("20") && line.contains("CE")), "{stamped}");
    let runs = place.ask(&["history", "hello", "--json"]).json();
    let id = runs["items"][0]["id"].as_str().unwrap();
    for part in [id, &id[id.len() - 12..], &id[id.len() - 6..]] {
        assert_eq!(place.ask(&["logs", part]).expect(0, &[]).out, "hello\n");
    }
    place.ask(&["logs", &id[..3]]).expect(2, &["several runs", id]);
    assert_eq!(place.ask(&["logs", "-f", "hello"]).expect(0, &[]).out, "hello\n", "what is over is not waited for");
    let json = place.ask(&["logs", "hello", "--json"]).json();
    assert_eq!((&json["items"][0]["text"], &json["items"][0]["attempt"]), (&"hello\n".into(), &1.into()));
}

#[test]
fn what_is_paused_says_until_when_and_what_undoes_it() {
    let place = place();
    let said = place.ask(&["pause", "fails", "--for", "2d", "--reason", "moving"]).expect(0, &[]);
    for part in ["paused fails until", "CE", "2 occurrences are skipped", "Undo: cronclave resume fails"] {
        assert!(said.out.contains(part), "no {part:?} in {}", said.out);
    }
    place.ask(&["trigger", "fails"]).expect(75, &["fails is paused by ana until", "moving"]);
    place.ask(&["resume", "fails", "hello"]).expect(0, &["resumed fails", "hello was not paused"]);
    place.ask(&["pause", "--tag", "ops"]).expect(0, &["paused hello"]);
    let all = place.ask(&["pause", "--all", "--json"]).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 4);
    let back = place.ask(&["resume", "--all", "--catch-up", "--json"]).json();
    assert!(back["items"].as_array().unwrap().iter().all(|one| one["was_paused"] == true), "{back}");
}

#[test]
fn status_says_that_nobody_is_there() {
    let place = place();
    place.ask(&["status"]).expect(0, &["0 replicas", "sqlite cronclave.db", "no replica is running"]);
    let json = place.ask(&["status", "--check", "--json"]).expect(1, &[]).json();
    assert_eq!(json["problems"][0]["code"], "no_replica");
    place.ask(&["locks"]).expect(0, &["nobody holds a lock"]);
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let place = place();
    for args in
        [&["history"][..], &["jobs"], &["next"], &["status"], &["logs", "fails"], &["--help"], &["run", "hello"]]
    {
        // Its other end is closed before it begins.
        let mut child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(0) && !err.contains("panicked"), "{args:?}: {output:?}");
    }
    for args in [&["run", "helo"][..], &["validate", "none.toml"], &["history", "--since", "x"], &["run", "hello"]] {
        let mut child = place.command(args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        drop(child.stderr.take());
        let status = child.wait().unwrap();
        assert!(status.code().is_some_and(|code| code != 101), "{args:?}: {status:?}");
    }
}

#[test]
fn help_is_there_for_each_command() {
    let place = Place::empty();
    let help = place.ask(&["help"]).expect(0, &["cronclave init && cronclave serve"]).out;
    let names = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let names: Vec<&str> =
        names.take_while(|line| !line.is_empty()).filter_map(|l| l.split_whitespace().next()).collect();
    assert!(names.len() >= 14, "{help}");
    for name in names.iter().filter(|name| **name != "help") {
        place.ask(&[name, "--help"]).expect(0, &["Examples:", "Usage: cronclave"]);
    }
}

const CRONTAB: &str = "MAILTO=ops\n# Tidy up.\n0~30 4 * * * /usr/bin/tidy\n@reboot /usr/bin/agent\n*/5 * * * * poll";

#[test]
fn a_crontab_becomes_a_file_that_works() {
    let place = Place::empty();
    place.write("tab", CRONTAB);
    let mut command = place.command(&["import", "crontab", "tab"]);
    command.env("TZ", "Asia/Tokyo");
    let said = place.finish(command).expect(0, &["5 lines: 2 jobs, 1 left out", "Asia/Tokyo", "($TZ)"]);
    assert!(said.err.contains("tab:1: note: MAILTO=ops was dropped"), "{}", said.err);
    assert!(
        said.err.contains("tab:4: left out: @reboot") && said.err.contains("@reboot /usr/bin/agent"),
        "{}",
        said.err
    );
    for line in ["version = 1\n", "[jobs.tidy]\n", "description = \"Tidy up.\"\n", "timezone = \"Asia/Tokyo\""] {
        assert!(said.out.contains(line), "no {line:?} in {}", said.out);
    }
    let write = ["import", "crontab", "tab", "--timezone", "Europe/Berlin", "-o", "new.toml"];
    place.ask(&write).expect(0, &["wrote new.toml: 2 jobs", "cronclave --config new.toml next"]);
    place.ask(&["validate", "new.toml"]).expect(0, &["2 jobs", "ok"]);
    place.ask(&["-c", "new.toml", "next", "poll", "-n", "1"]).expect(0, &["poll", "CE"]);
    place.ask(&write).expect(1, &["new.toml", "already there", "move it away"]);
    let json = place.ask(&["import", "crontab", "tab", "--timezone", "UTC", "--json"]).json();
    assert_eq!((&json["lines"], &json["jobs"], &json["left_out"][0]["line"]), (&5.into(), &2.into(), &4.into()));
}

#[test]
fn a_system_crontab_starts_nothing_of_another_user() {
    let place = Place::empty();
    place.write("etc", "0 4 * * * root a\n0 4 * * * ana b\n0 4 * * * www-data c\n");
    let ask =
        |more: &[&str]| place.ask(&[&["import", "crontab", "etc", "--system", "--timezone", "UTC"], more].concat());
    let said = ask(&["--user", "www-data"]).expect(0, &["job a ran as root", "--user root"]);
    assert_eq!(said.out.matches("enabled     = false").count(), 2, "{}", said.out);
    assert!(said.out.contains("# ran as www-data\n[jobs.c]"), "{}", said.out);
    // Without --user it is who types: root here or the user `ana` of the tests, never both.
    assert_eq!(ask(&[]).expect(0, &[]).out.matches("enabled     = false").count(), 2);
}

#[test]
fn a_difference_of_files_is_told_and_the_exit_status_says_whether_there_is_one() {
    let place = Place::new();
    let from = ["--from", "2026-11-23T00:00:00Z"];
    let ask = |args: &[&str]| place.ask(&[&["diff"], args, &from].concat());
    ask(&["schedules", "schedules"]).expect(0, &["both want the same"]);
    let text = super::bench::JOBS.replace("30 2 * * *", "0 3 * * *").replace("[jobs.hook]", "[jobs.hooked]");
    place.write("new.toml", text);
    let said = ask(&["schedules", "new.toml"]).expect(1, &["1 added, 1 removed, 1 changed"]);
    for part in [
        "+ hooked  @manual UTC  GET http://127.0.0.1:9/nobody\n",
        "- hook  @manual",
        "    nothing starts: only by hand\n",
        "~ fails  schedule 30 2 * * * -> 0 3 * * *\n",
        "7 moved: 2026-11-23 02:30:00 CET -> 2026-11-23 03:00:00 CET, ",
        ", and 4 more\n",
        "most starts in one minute, in 7 days: 1 job (2026-11-23 01:30:00 UTC) -> 1 job (2026-11-23 02:00:00 UTC)",
    ] {
        assert!(said.out.contains(part), "no {part:?} in {}", said.out);
    }
    let json = ask(&["schedules", "new.toml", "--json", "--days", "2"]).expect(1, &[]).json();
    assert_eq!((&json["items"][0]["job"], &json["items"][0]["moved"]["count"]), (&"fails".into(), &2.into()));
    assert_eq!(json["items"][0]["moved"]["first"][0]["to"], "2026-11-23T02:00:00Z");
    assert_eq!((&json["items"][1]["change"], &json["until"]), (&"removed".into(), &"2026-11-25T00:00:00Z".into()));
    place.write("bad.toml", "version = 1\n[jobs.x");
    ask(&["schedules", "bad.toml"]).expect(78, &["bad.toml:2:"]);
    ask(&["none", "schedules"]).expect(78, &["none", "no such file"]);
    ask(&["-", "-"]).expect(2, &["only one"]);
    place.ask(&["diff", "schedules", "new.toml", "--from", "soon"]).expect(2, &["--from", "2026-11-22"]);
    assert!(!place.path("cronclave.db").exists());
}

//! Three replicas on one Redis behind a balancer that knows nothing of them: whichever answers, the story of trigger,
//! follow, pause, cancel and retry works, and while one is killed. Told with the command line's `--server`.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/served.rs"]
mod served;
#[path = "common/servers.rs"]
mod servers;
#[path = "common/site.rs"]
mod site;

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use served::{TOKEN, until};
use site::Site;

const JOBS: &str = r#"
[jobs.hello]
schedule = "@manual"
command  = "echo hello"

[jobs.slow]
schedule = "@manual"
command  = "for i in 1 2 3 4 5 6; do echo tick $i; sleep 1; done"
lock     = { ttl = "3s" }
delivery = "at_least_once"

[jobs.long]
schedule = "@manual"
command  = "echo begun; sleep 600"
lock     = { ttl = "3s" }
kill_after = "1s"

[jobs.fails]
schedule = "@manual"
command  = "echo no >&2; exit 3"

[hooks.deaf]
url = "http://127.0.0.1:1/"
allow_private = true
events = ["run.failed"]
"#;

/// What is asked of a site.
impl Site {
    /// Whoever types this has neither files nor store: only the address and a token.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronclave"));
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").current_dir(self.dir.path());
        command.env("CRONCLAVE_SERVER", format!("http://127.0.0.1:{}", self.port)).env("CRONCLAVE_TOKEN", TOKEN);
        command.stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn ask(&self, args: &[&str], code: i32) -> String {
        said(&self.command(args).output().unwrap(), args, code)
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let text = self.ask(&[args, &["--json"]].concat(), 0);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What is said without a server, by whoever has files and store.
    fn here(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronclave"));
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").current_dir(self.replicas[0].path());
        said(&command.env("CRONCLAVE_REDIS_URL", self.redis.url()).stdin(Stdio::null()).output().unwrap(), args, 0)
    }

    /// Where the run is, once it is in this state.
    fn wait(&self, job: &str, state: &str) -> Value {
        let mut run = Value::Null;
        until(
            || {
                run = self.json(&["history", job, "-n", "1"])["items"][0].clone();
                run["state"] == state
            },
            || format!("{job} never was {state}"),
        );
        run
    }
}

#[track_caller]
fn said(output: &Output, args: &[&str], code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
    out.into_owned()
}

#[test]
fn the_story_works_whichever_replica_answers() {
    let site = Site::start(JOBS);
    assert_eq!(site.json(&["status"])["replicas"].as_array().unwrap().len(), 3);
    assert_eq!(site.ask(&["trigger", "hello", "--wait"], 0), "hello\n");
    site.ask(&["trigger", "fails", "--wait"], 3);
    site.ask(&["pause", "hello", "--reason", "moving"], 0);
    for _ in 0..3 {
        assert_eq!(site.json(&["jobs", "hello"])["items"][0]["state"], "paused", "on each replica alike");
        site.ask(&["trigger", "hello"], 75);
    }
    site.ask(&["resume", "hello"], 0);
    site.ask(&["trigger", "long"], 0);
    site.wait("long", "running");
    site.ask(&["trigger", "long"], 75);
    let mut following = site.command(&["logs", "-f", "long"]);
    let following = following.stdout(Stdio::piped()).spawn().unwrap();
    site.ask(&["cancel", "long"], 0);
    assert_eq!(said(&following.wait_with_output().unwrap(), &["logs"], 0), "begun\n");
    let run = site.wait("long", "cancelled");
    let id = run["id"].as_str().unwrap();
    site.ask(&["cancel", id], 1);
    let answers = site.replicas.iter().map(|replica| {
        let token = format!("Bearer {TOKEN}");
        replica.ask("POST", &format!("/api/v1/runs/{id}/retry"), &[("Authorization", &token)], "").status
    });
    assert_eq!(answers.filter(|status| *status == 202).count(), 1, "the next ones find it in their way");
    assert_eq!(site.wait("long", "running")["scheduled_at"], run["scheduled_at"]);
    let lock = site.json(&["locks"])["items"][0].clone();
    let (key, token) = (lock["key"].as_str().unwrap(), lock["fencing_token"].to_string());
    site.ask(&["locks", "release", key, "--token", "1", "--reason", "no", "--yes"], 1);
    site.ask(&["locks", "release", key, "--token", &token, "--reason", "it hangs", "--yes"], 0);
    site.wait("long", "lost");
}

#[test]
fn what_is_said_is_the_same_with_and_without_a_server() {
    let site = Site::start(JOBS);
    let mut listening = site.command(&["events", "-f", "--json", "--job", "hello"]);
    let mut listening = listening.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(listening.stdout.take().unwrap()).lines();
    let mut watching = site.command(&["events", "-f", "--type", "run.succeeded,run.failed"]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watching.stdout.take().unwrap()).lines();
    // They hear what happens once they are connected.
    std::thread::sleep(Duration::from_secs(1));
    site.ask(&["trigger", "hello", "--wait", "--reason", "to compare"], 0);
    site.ask(&["trigger", "fails", "--wait"], 3);
    let kinds: Vec<String> = (0..3)
        .map(|_| serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap())
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds.last().unwrap(), "dev.cronclave.run.succeeded.v1", "{kinds:?}");
    let first = seen.next().unwrap().unwrap();
    assert!(first.contains("succeeded   hello"), "{first}");
    assert!(seen.next().unwrap().unwrap().contains("failed      fails"));
    for mut child in [listening, watching] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    site.ask(&["pause", "slow", "--reason", "moving", "--until", "2099-01-01"], 0);
    let commands: [&[&str]; 8] = [
        &["jobs"],
        &["jobs", "--state", "paused", "--tz", "Asia/Tokyo"],
        &["history"],
        &["history", "fails", "--state", "failed", "--since", "1h"],
        &["logs", "fails", "-t"],
        &["logs", "hello", "--json"],
        &["history", "--json"],
        &["locks"],
    ];
    for args in commands {
        let here = site.here(args);
        let there = site.ask(args, 0);
        // What the store's clock read stands in lists.
        let plain = |text: &str| text.split("\"now\":").next().unwrap().to_owned();
        assert_eq!(plain(&there), plain(&here), "{args:?}");
    }
    assert!(site.ask(&["status"], 0).contains("nothing is wrong"));
    site.ask(&["events"], 2);
}

#[test]
fn hooks_are_looked_at_and_tested_over_a_server() {
    let site = Site::start(JOBS);
    assert!(site.ask(&["hooks"], 0).contains("file  http://127.0.0.1:1/"), "{}", site.ask(&["hooks"], 0));
    assert_eq!(site.json(&["hooks"])["items"][0]["id"], "deaf");
    assert_eq!(site.ask(&["hooks", "enable", "deaf"], 0), "hook/deaf was not switched off\n");
    site.ask(&["hooks", "test", "deaf"], 1);
    site.ask(&["hooks", "test", "daef"], 66);
    site.ask(&["hooks", "test", "ping/hello"], 2);
    assert_eq!(
        site.ask(&["hooks", "resend", "deaf", "--all"], 0),
        "nothing failed for hook/deaf: nothing is sent again\n"
    );
    site.ask(&["trigger", "fails", "--wait"], 3);
    until(
        || site.json(&["hooks", "deliveries", "hook/deaf"])["items"][0]["state"] == "waiting",
        || "nothing waits for it".into(),
    );
    let waiting = site.json(&["hooks", "deliveries", "deaf"])["items"][0].clone();
    assert_eq!((&waiting["to"], &waiting["job"]), (&"hook/deaf".into(), &"fails".into()));
    let id = waiting["id"].as_str().unwrap();
    assert!(site.ask(&["hooks", "resend", "deaf", id], 0).starts_with("1 event to hook/deaf"));
    assert_eq!(
        site.ask(&["hooks", "deliveries", "deaf", "--failed"], 0),
        site.here(&["hooks", "deliveries", "deaf", "--failed"])
    );
}

#[test]
fn what_is_not_there_or_not_allowed_exits_as_it_does_without_a_server() {
    let site = Site::start(JOBS);
    site.ask(&["trigger", "nobody"], 66);
    site.ask(&["jobs", "nobody"], 66);
    site.ask(&["logs", "nobody"], 66);
    site.ask(&["locks", "show", "run:hello"], 66);
    site.ask(&["history", "--state", "happy"], 2);
    let mut stranger = site.command(&["jobs"]);
    said(&stranger.env("CRONCLAVE_TOKEN", "wrong-horse-battery-staple").output().unwrap(), &["jobs"], 77);
    let mut nowhere = site.command(&["jobs"]);
    let nobody = format!("http://127.0.0.1:{}", site::free_port());
    said(&nowhere.env("CRONCLAVE_SERVER", nobody).output().unwrap(), &["jobs"], 69);
    site.ask(&["--server", "http://127.0.0.1:1", "validate"], 2);
    site.ask(&["--server", "localhost", "jobs"], 2);
    let file = site.dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let mut by_file = site.command(&["jobs", "--token-file", file.to_str().unwrap()]);
    said(&by_file.env_remove("CRONCLAVE_TOKEN").output().unwrap(), &["jobs"], 0);
}

#[test]
fn the_story_goes_on_while_a_replica_is_killed() {
    let mut site = Site::start(JOBS);
    let mut following = site.command(&["trigger", "slow", "--wait"]);
    let following = following.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let run = site.wait("slow", "running");
    let holder = run["replica"].as_str().unwrap().to_owned();
    std::thread::sleep(Duration::from_millis(1500));
    site.kill(&holder);
    // The balancer has not noticed yet: some connections go to nobody.
    for _ in 0..4 {
        site.ask(&["jobs"], 0);
        site.ask(&["pause", "hello"], 0);
        site.ask(&["resume", "hello"], 0);
        site.ask(&["trigger", "hello", "--wait"], 0);
    }
    let output = following.wait_with_output().unwrap();
    let text = said(&output, &["trigger", "slow", "--wait"], 0);
    assert!(text.ends_with("tick 6\n"), "{text}");
    let run = site.wait("slow", "succeeded");
    assert_eq!(run["attempts"].as_array().unwrap().len(), 2, "another replica did it again: {run}");
    assert_ne!(run["replica"], holder.as_str());
    // What was triggered once ran once, however often it was asked.
    let hello = site.json(&["history", "hello", "-n", "0"]);
    assert_eq!(hello["items"].as_array().unwrap().len(), 4, "{hello}");
}

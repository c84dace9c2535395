//! Rows of docs/CONVENTIONS.md that no other test looks at, and whether that table names tests that there are.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "cli/bench.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod bench;
#[path = "common/happenings.rs"]
mod happenings;
#[path = "common/jobs.rs"]
mod jobs;
#[path = "common/python.rs"]
mod python;
#[path = "common/served.rs"]
mod served;
#[path = "common/servers.rs"]
mod servers;
#[path = "common/tree.rs"]
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cronclave::announce::Notices;
use cronclave::broker::Message;
use cronclave::broker::cloud::CONTENT_TYPE;
use cronclave::job::QueueName;
use cronclave::lease::{Fence, Trigger, Work};
use cronclave::metrics::{Kind, Series};
use cronclave::request;
use serde_json::{Value, json};

use bench::{Place, Said};
use jobs::{every, start_of_time};
use served::{LONG, Served, TOKEN, until};
use servers::free_port;
use tree::files;

/// No message is larger, in bytes.
const LARGEST: usize = 64 * 1024;

/// Steps of people at a terminal: a word to wait for, and what is typed then. Prints what the program printed.
const TERMINAL: &str = r#"
import json, os, pty, sys
steps = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen = b""
while True:
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    while steps and steps[0][0].encode() in seen:
        word, keys = steps.pop(0)
        before, _, seen = seen.partition(word.encode())
        os.write(1, before + word.encode())
        os.write(terminal, keys.encode())
os.write(1, seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program on a terminal of its own, where both streams come together.
fn on_a_terminal(place: &Place, env: &[(&str, &str)], steps: &[(&str, &str)], args: &[&str]) -> Said {
    let mut command = Command::new("python3");
    place.set_up(&mut command);
    command.env("TERM", "xterm").envs(env.iter().copied());
    command.args(["-c", TERMINAL, &json!(steps).to_string(), env!("CARGO_BIN_EXE_cronclave")]).args(args);
    place.finish(command)
}

/// The status of an answer, if there is one.
fn status(port: u16, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split(' ').nth(1)?.parse().ok()
}

fn text_of(files: &[PathBuf]) -> String {
    files.iter().map(|path| fs::read_to_string(path).unwrap() + "\n").collect()
}

/// The commands that a page of help lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // What goes on from the line above stands further in.
    let names = listed.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The flags of a page of help, each with what is said of it in one line.
fn flags(help: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in help.lines().skip_while(|line| *line != "Options:").take_while(|line| *line != "Examples:") {
        let words = line.trim_start();
        if words.starts_with('-') && line.len() - words.len() <= 6 {
            let name = words.split([' ', ',']).find(|word| word.starts_with("--")).unwrap();
            all.push((name.to_owned(), String::new()));
        } else if let Some((_, said)) = all.last_mut() {
            *said += words;
            *said += " ";
        }
    }
    all
}

/// The variables of ours that a text names.
fn variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
    words.filter(|word| word.starts_with("CRONCLAVE_") && !word.ends_with('_')).collect()
}

#[test]
fn every_row_of_the_table_names_tests_that_there_are() {
    let page = fs::read_to_string(root().join("docs/CONVENTIONS.md")).unwrap();
    let is_row =
        |line: &&str| line.strip_prefix("| ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let rows: Vec<&str> = page.lines().filter(is_row).collect();
    assert_eq!(rows.len(), 40);
    let code = text_of(&[files("tests", ".rs"), files("src", ".rs")].concat());
    for (n, row) in (1..).zip(rows) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!((cells.len(), cells[0]), (4, n.to_string().as_str()), "{row}");
        let named: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "row {n} names no test");
        for name in named {
            let is_path = name.contains('/');
            let is_there = if is_path { root().join(name).exists() } else { code.contains(&format!("fn {name}(")) };
            assert!(is_there, "row {n}: there is no {name}");
        }
    }
}

// 1
#[test]
fn every_command_at_any_depth_has_help_and_each_has_examples() {
    let place = Place::empty();
    let all = commands(&place.ask(&["--help"]).expect(0, &["Start here:"]).out);
    assert!(all.len() >= 30, "{all:?}");
    place.ask(&["-h"]).expect(0, &["Start here:"]);
    for name in all.iter().map(String::as_str) {
        let usage = format!("Usage: cronclave {name}");
        let long = place.ask(&[name, "--help"]).expect(0, &["Examples:", &usage]);
        assert_eq!(long.err, "");
        for words in [[name, "-h"], ["help", name]] {
            place.ask(&words).expect(0, &[&usage]);
        }
        place.ask(&[name, "-V"]).expect(0, &[env!("CARGO_PKG_VERSION")]);
        for below in commands(&long.out) {
            for flag in ["-h", "--help"] {
                place.ask(&[name, below.as_str(), flag]).expect(0, &[&format!("{usage} {below}")]);
            }
        }
    }
    for flag in ["-V", "--version"] {
        let said = place.ask(&[flag]).expect(0, &[]);
        assert!(said.out.starts_with(concat!("cronclave ", env!("CARGO_PKG_VERSION"))), "{said:#?}");
    }
}

// 2
#[test]
fn what_is_mistyped_exits_with_2_and_the_nearest_word_on_standard_error() {
    let place = Place::new();
    for (args, tip) in [
        (&["vaildate"][..], "'validate'"),
        (&["hooks", "tst"], "'test'"),
        (&["serve", "--replca", "a"], "'--replica'"),
        (&["jobs", "--jsn"], "'--json'"),
    ] {
        let said = place.ask(args).expect(2, &[]);
        assert!(said.out.is_empty() && said.err.contains("tip:") && said.err.contains(tip), "{said:#?}");
    }
}

// 3
#[test]
fn each_exit_code_of_the_manual_is_one_that_commands_end_with() {
    let place = Place::new();
    place.write("bad.toml", "version = 1\n[jobs.a]\nevery = 1\ncommand = \"true\"\n");
    let action = |name: &str, rest: &str| format!("[jobs.{name}]\nschedule = \"@manual\"\n{rest}\n");
    let more = [
        action("late", "command = \"sleep 20\"\ntimeout = \"1s\"\nkill_after = \"1s\""),
        action("nowhere", "command = \"true\"\ncwd = \"/no/such/directory\""),
        action("text", "command = [\"/etc/passwd\"]"),
        action("gone", "command = [\"/no/such/program\"]"),
        action("rest", "command = \"true\""),
    ];
    place.write("schedules/more.toml", "version = 1\n".to_owned() + &more.concat());
    let served =
        Served::start("[jobs.a]\nschedule = \"@manual\"\ncommand = \"true\"\n", &[("CRONCLAVE_API_TOKEN", TOKEN)]);
    let (closed, url) = (format!("redis://127.0.0.1:{}", free_port()), format!("http://{}", served.address()));
    place.ask(&["run", "hello"]).expect(0, &[]);
    place.ask(&["pause", "rest"]).expect(0, &[]);
    let cases: [(&[&str], i32); 13] = [
        (&["validate"], 0),
        (&["status", "--check"], 1),
        (&["vaildate"], 2),
        (&["jobs", "helo"], 66),
        (&["--redis", closed.as_str(), "jobs"], 69),
        (&["run", "rest"], 75),
        (&["--server", url.as_str(), "jobs"], 77),
        (&["validate", "bad.toml"], 78),
        (&["run", "late"], 124),
        (&["run", "nowhere"], 125),
        (&["run", "text"], 126),
        (&["run", "gone"], 127),
        // The program's own.
        (&["run", "fails"], 3),
    ];
    let page = place.ask(&["man"]).expect(0, &["EXIT STATUS"]).out.replace("\\fB", "").replace("\\fR", "");
    let table = page.split("EXIT STATUS").nth(1).unwrap().split(".SH").next().unwrap();
    let told: BTreeSet<&str> = table.split(|c: char| !c.is_ascii_digit()).collect();
    for (args, code) in cases {
        place.ask(args).expect(code, &[]);
        assert!(code == 3 || told.contains(code.to_string().as_str()), "{code} is not in the manual: {table}");
    }
    for code in ["1", "70", "123", "128"] {
        assert!(told.contains(code), "{table}");
    }
}

/// Commands that only read, as they are asked for JSON.
static READING: [&[&str]; 22] = [
    &["validate"],
    &["next"],
    &["explain", "0 3 * * *"],
    &["explain", "E0102"],
    &["diff", "schedules/jobs.toml", "schedules/jobs.toml"],
    &["schema"],
    &["jobs"],
    &["jobs", "hello"],
    &["status"],
    &["history"],
    &["logs", "hello"],
    &["why", "fails@2026-11-22T02:30"],
    &["verify"],
    &["locks"],
    &["locks", "ls"],
    &["fence", "check", "hello", "1"],
    &["dead"],
    &["dead", "ls"],
    &["hooks"],
    &["hooks", "ls"],
    &["doctor", "--fast"],
    &["simulate", "--days", "1"],
];

/// Commands that change something and say what in JSON.
static CHANGING: [&[&str]; 5] = [
    &["trigger", "hello"],
    &["cancel", "hello"],
    &["pause", "slow"],
    &["resume", "slow"],
    &["backfill", "fails", "--from", "3d", "--to", "1h", "--dry-run"],
];

/// Commands whose output is no answer: what a job prints, a file, a script; or a document on each line.
const OTHERS: [&str; 9] = ["serve", "worker", "run", "init", "import", "events", "healthcheck", "completions", "man"];

// 4
#[test]
fn every_command_that_answers_does_so_in_one_json_document_when_asked() {
    let place = Place::with_history();
    for args in READING.iter().chain(&CHANGING) {
        let said = place.ask(&[*args, &["--json"]].concat());
        assert!([0, 1, 3].contains(&said.code), "{args:?}: {said:#?}");
        assert!(said.json().is_object() && !said.out.contains('\x1b'), "{args:?}: {said:#?}");
        assert!(args[0] == "schema" || said.out.lines().count() == 1, "{args:?}: {said:#?}");
    }
    let events = place.ask(&["events", "--json"]).expect(0, &[]).out;
    assert!(events.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["specversion"] == "1.0"));
    // A command that is new belongs to one of the lists.
    let listed = READING.iter().chain(&CHANGING).map(|args| args[0]).chain(OTHERS);
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    assert_eq!(listed, commands(&place.ask(&["--help"]).out).into_iter().collect::<BTreeSet<_>>());
}

// 5
#[test]
fn colours_are_for_terminals_that_want_them() {
    let place = Place::with_history();
    place.write("bad.toml", "version = 1\n[jobs.a]\nevery = 1\ncommand = \"true\"\n");
    let is_coloured = |said: Said| said.out.contains('\x1b') || said.err.contains('\x1b');
    for args in [&["jobs"][..], &["history"], &["validate", "bad.toml"]] {
        let shown =
            |env: &[(&str, &str)], more: &[&str]| is_coloured(on_a_terminal(&place, env, &[], &[args, more].concat()));
        assert!(shown(&[], &[]), "{args:?} on a terminal");
        for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            assert!(!shown(&[plain], &[]), "{args:?} with {plain:?}");
        }
        assert!(!shown(&[], &["--color", "never"]), "{args:?}");
        assert!(!is_coloured(place.ask(args)), "{args:?} in a pipe");
        assert!(is_coloured(place.ask(&[args, &["--color", "always"]].concat())), "{args:?} in a pipe, by wish");
    }
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        assert!(!is_coloured(on_a_terminal(&place, &[plain], &[], &["vaildate"])), "{plain:?}");
    }
}

// 5
#[test]
fn mistakes_of_typing_and_help_have_no_colours_either_where_none_are_wanted() {
    let place = Place::empty();
    for args in [&["--color", "never", "vaildate"][..], &["--color", "never", "--help"]] {
        let said = on_a_terminal(&place, &[], &[], args);
        assert!(!said.out.contains('\x1b'), "{said:#?}");
    }
}

// 6
#[test]
fn answers_go_to_standard_output_and_messages_to_standard_error() {
    let place = Place::with_history();
    for args in
        [&["jobs", "helo"][..], &["next", "helo"], &["logs", "slow"], &["locks", "show", "run:x"], &["run", "helo"]]
    {
        let said = place.ask(args);
        assert!(said.code != 0 && said.out.is_empty() && said.err.starts_with("cronclave: "), "{args:?}: {said:#?}");
    }
    for args in [&["jobs"][..], &["history"], &["status"], &["next"], &["logs", "hello"], &["locks"]] {
        let said = place.ask(args).expect(0, &[]);
        assert!(!said.out.is_empty() && said.err.is_empty(), "{args:?}: {said:#?}");
    }
    // A note beside the answer does not stand in it.
    let said = place.ask(&["trigger", "hello", "--json"]).expect(0, &["no replica is running"]);
    assert!(said.json()["id"].is_string() && said.err.contains("no replica is running"), "{said:#?}");
}

// 7
#[test]
fn who_cannot_be_asked_is_told_of_yes_and_who_can_is_asked() {
    let place = Place::with_history();
    place.ask(&["trigger", "slow"]).expect(0, &[]);
    let is_open = || place.ask(&["status"]).out.contains("1 run waiting");
    for args in [&["cancel", "--all"][..], &["backfill", "fails", "--from", "3d", "--to", "1h"]] {
        place.ask(args).expect(2, &["there is no terminal to ask on", "--yes"]);
    }
    assert!(is_open());
    on_a_terminal(&place, &[], &[("Type yes:", "no\n")], &["cancel", "--all"]).expect(1, &["nothing cancelled"]);
    assert!(is_open());
    on_a_terminal(&place, &[], &[("Type yes:", "yes\n")], &["cancel", "--all"]).expect(0, &["cancelled run"]);
    assert!(!is_open());
    place.ask(&["trigger", "slow"]).expect(0, &[]);
    place.ask(&["cancel", "--all", "--yes"]).expect(0, &["cancelled run"]);
}

/// Whether any process was started with this on its command line.
fn is_on_a_command_line(word: &str) -> bool {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.windows(word.len()).any(|part| part == word.as_bytes()))
}

// 8
#[test]
fn no_secret_is_on_the_command_line_of_any_process() {
    const SECRETS: [&str; 2] = ["the-key-of-a-job-5417", "the-token-of-a-replica-5417"];
    let place = Place::empty();
    let go = place.path("go");
    let job = format!(
        "version = 1\n[secrets]\nkey = {{ env = \"JOB_KEY\" }}\n\
         [jobs.x]\nschedule = \"@manual\"\nenv = {{ KEY = {{ secret = \"key\" }} }}\n\
         command = \"echo begun; while [ ! -e {} ]; do sleep 0.1; done; echo length ${{#KEY}}.\"\n",
        go.display()
    );
    place.write("schedules/x.toml", job);
    let mut command = place.command(&["serve", "--no-http"]);
    command.env("JOB_KEY", SECRETS[0]).env("CRONCLAVE_API_TOKEN", SECRETS[1]);
    let replica = place.start(command);
    until(|| place.ask(&["trigger", "x"]).code == 0, || replica.so_far());
    replica.until("begun");
    for secret in SECRETS {
        assert!(!is_on_a_command_line(secret), "{secret}");
    }
    assert!(is_on_a_command_line(go.to_str().unwrap()), "the job's own command is seen there");
    fs::write(go, "").unwrap();
    replica.until(&format!("length {}.", SECRETS[0].len()));
}

// 9
#[test]
fn ctrl_c_is_answered_at_once_and_the_second_one_forces_the_end() {
    let place = Place::new();
    let said = on_a_terminal(&place, &[], &[("tick", "\x03")], &["run", "slow"]).expect(130, &["interrupted"]);
    assert!(!said.out.contains("tock"), "{said:#?}");
    // No other test sleeps for so long.
    let job = "version = 1\n[jobs.long]\nevery = \"1s\"\ncommand = \"sleep 5417541\"\n";
    place.write("schedules/jobs.toml", job);
    let steps = [("started ", "\x03"), ("signal again to stop at once", "\x03")];
    on_a_terminal(&place, &[], &steps, &["serve", "--no-http"]).expect(130, &["stopping: 1 going"]);
    until(|| !is_on_a_command_line("5417541"), || "the job goes on".into());
}

// 10
#[test]
fn every_manual_page_that_another_names_is_there() {
    let place = Place::empty();
    place.ask(&["man", "--out", "man1"]).expect(0, &[]);
    for path in files(place.path("man1"), ".1") {
        let text = fs::read_to_string(&path).unwrap().replace('\\', "");
        for name in text.split_whitespace().filter_map(|word| word.strip_suffix("(1)")) {
            let page = place.path(&format!("man1/{name}.1"));
            assert!(page.exists(), "{} names {name}(1)", path.display());
        }
    }
}

// 11
#[test]
fn what_is_changed_is_said_with_what_undoes_it() {
    let place = Place::with_history();
    place.ask(&["pause", "hello"]).expect(0, &["paused hello", "Undo: cronclave resume hello"]);
    place.ask(&["resume", "hello"]).expect(0, &["resumed hello", "Undo: cronclave pause hello"]);
    place.ask(&["trigger", "slow"]).expect(0, &["undo: cronclave cancel"]);
    place.ask(&["cancel", "slow"]).expect(0, &["cancelled run", "of slow"]);
    place.write("tab", "5 4 * * * tidy\n");
    let import = ["import", "crontab", "tab", "--timezone", "UTC", "-o", "new.toml"];
    place.ask(&import).expect(0, &["wrote new.toml: 1 job"]);
    Place::empty().ask(&["init"]).expect(0, &["wrote schedules/hello.toml"]);
}

/// Flags that say how one answer is to look.
const OF_AN_ANSWER: [&str; 6] = ["--json", "--color", "--tz", "--utc", "--help", "--version"];

// 12
#[test]
fn every_flag_of_a_process_that_stays_has_a_variable() {
    let place = Place::new();
    let mut without = BTreeSet::new();
    for command in ["serve", "worker"] {
        let help = place.ask(&[command, "--help"]).expect(0, &[]).out;
        let all = flags(&help);
        assert!(all.len() >= 15, "{all:?}");
        without.extend(all.into_iter().filter(|(_, said)| !said.contains("[env: CRONCLAVE_")).map(|(name, _)| name));
    }
    let known: BTreeSet<String> = OF_AN_ANSWER.into_iter().map(str::to_owned).collect();
    assert_eq!(without, known);
}

// 12
#[test]
fn a_variable_that_makes_no_sense_is_refused_by_its_name() {
    let place = Place::new();
    for name in [
        "LISTEN",
        "READ_ONLY",
        "MAX_PARALLEL",
        "GRACE",
        "WORKERS",
        "LOG",
        "LOG_FORMAT",
        "LOG_OUTPUT",
        "REPLICA",
        "CLUSTER",
        "CONCURRENCY",
        "REDIS_URL",
        "AMQP_URL",
    ] {
        let name = format!("CRONCLAVE_{name}");
        let mut command = place.command(&["serve"]);
        command.env(&name, "in valid,=");
        place.finish(command).expect(78, &[&name]);
    }
    assert!(!place.path("cronclave.db").exists());
}

/// What a job is told of its run.
const GIVEN: [&str; 7] =
    ["ATTEMPT", "LEASE_UNTIL", "PREVIOUS_SUCCESS_AT", "RUN_ID", "SCHEDULED_AT", "SCHEDULED_AT_UNIX", "TRIGGER"];

// 12
#[test]
fn every_variable_of_the_sources_stands_in_the_documents() {
    let (code, pages) = (files("src", ".rs"), files("docs", ".md"));
    // This page only says that others do.
    let pages: Vec<PathBuf> = pages.into_iter().filter(|page| !page.ends_with("CONVENTIONS.md")).collect();
    let (code, pages) = (text_of(&code), text_of(&pages));
    let (read, told) = (variables(&code), variables(&pages));
    // An argument `day` becomes a variable of its own name.
    let lacking = read.iter().filter(|name| !told.contains(*name) && !name.starts_with("CRONCLAVE_ARG_"));
    assert_eq!(lacking.collect::<Vec<_>>(), Vec::<&&str>::new());
    // Given to jobs, their names are put together.
    let given = |name: &&&str| GIVEN.contains(&name.trim_start_matches("CRONCLAVE_"));
    let unknown = told
        .iter()
        .filter(|name| !given(name))
        .filter(|name| !read.contains(*name) && !name.starts_with("CRONCLAVE_ARG_"));
    let unknown = unknown.filter(|name| name.strip_suffix("_FILE").is_none_or(|twin| !read.contains(twin)));
    assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&&str>::new(), "no source reads it");
}

// 19, 22
#[test]
fn a_replica_logs_a_line_for_each_event_as_it_happens_and_makes_no_file_and_probes_are_no_events() {
    let place = Place::empty();
    place.write("schedules/jobs.toml", "version = 1\n[jobs.tick]\nevery = \"1s\"\ncommand = \"echo tock\"\n");
    let port = free_port();
    let mut command = place.command(&["serve"]);
    command.env("PORT", port.to_string());
    let replica = place.start(command);
    until(|| status(port, "/readyz") == Some(200), || replica.so_far());
    for path in ["/livez", "/readyz", "/healthz"].repeat(10) {
        assert_eq!(status(port, path), Some(200), "{path}");
    }
    // It stands in the file while the process goes on.
    replica.until("run.succeeded");
    replica.signal("TERM");
    let said = replica.end().expect(0, &[]);
    for line in said.out.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["ts", "level", "event", "msg", "replica", "cluster"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
        assert!(!line.to_string().contains("livez") && !line.to_string().contains("readyz"), "{line}");
    }
    // Names with a dot in front are those of the streams.
    let names = fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let others =
        names.filter(|name| !name.starts_with('.') && !name.starts_with("cronclave.db") && name != "schedules");
    assert_eq!(others.collect::<Vec<_>>(), Vec::<String>::new());
}

// 20
#[test]
fn a_run_by_hand_and_one_of_a_replica_keep_each_other_out() {
    let place = Place::empty();
    let go = place.path("go");
    let job = format!(
        "version = 1\n[jobs.slow]\nschedule = \"@manual\"\n\
         command = \"echo tick; while [ ! -e {} ]; do sleep 0.1; done; echo tock\"\n",
        go.display()
    );
    place.write("schedules/slow.toml", job);
    let replica = place.serve(&[]);
    place.ask(&["trigger", "slow"]).expect(0, &[]);
    replica.until("tick");
    let said = place.ask(&["run", "slow"]).expect(75, &["slow is running on web.1"]);
    assert_eq!(said.out, "", "nothing started");
    let waiting = place.start(place.command(&["run", "slow", "--wait"]));
    waiting.until("waiting");
    fs::write(go, "").unwrap();
    assert_eq!(waiting.end().expect(0, &[]).out, "tick\ntock\n");
    let runs = place.ask(&["history", "slow", "--json"]).json();
    let fences: Vec<u64> =
        runs["items"].as_array().unwrap().iter().map(|run| run["fencing_token"].as_u64().unwrap()).collect();
    assert!(fences.len() == 2 && fences[0] > fences[1], "newest first, one record for both: {runs}");
}

/// A fragment of a page as a whole file, as tests/docs.rs completes it.
fn completed(text: &str) -> String {
    let begins = |words: &[&str]| {
        text.lines().any(|line| line.trim_start().split(['=', '.', ' ']).next().is_some_and(|key| words.contains(&key)))
    };
    let (has_version, has_header) = (begins(&["version"]), text.lines().any(|line| line.starts_with('[')));
    let mut file = if has_version { String::new() } else { "version = 1\n".to_owned() };
    if !has_header && !has_version {
        file += "[jobs.backup]\n";
        file += if begins(&["schedule", "every", "at"]) { "" } else { "schedule = \"@daily\"\n" };
        file += if begins(&["command", "comand", "http", "handler", "publish"]) { "" } else { "command = \"true\"\n" };
    }
    file + text
}

// 27
#[test]
fn editors_find_nothing_wrong_with_the_toml_of_the_documents() {
    let dir = tempfile::tempdir().unwrap();
    let schema = cronclave::config::SCHEMA_FILE;
    fs::write(dir.path().join(schema), cronclave::config::schema_text()).unwrap();
    let mut blocks = Vec::new();
    for page in [vec![root().join("README.md")], files("docs", ".md")].concat() {
        let (text, name) = (fs::read_to_string(&page).unwrap(), page.file_stem().unwrap().to_str().unwrap().to_owned());
        // Between fences, what is inside is every second part.
        for (n, block) in text.split("\n```").enumerate().filter(|(n, _)| n % 2 == 1) {
            let (info, body) = block.split_once('\n').unwrap_or((block, ""));
            if info.split_whitespace().next() == Some("toml") && !info.contains("wrong") {
                let own: String =
                    body.lines().filter(|line| !line.starts_with("#:schema")).map(|line| format!("{line}\n")).collect();
                let file = format!("{name}-{n}.toml");
                fs::write(dir.path().join(&file), format!("#:schema ./{schema}\n{}", completed(&own))).unwrap();
                blocks.push(file);
            }
        }
    }
    assert!(blocks.len() > 50, "{blocks:?}");
    let tools = python::venv("editors", &["taplo==0.9.3", "tombi==1.9.6", "jsonschema==4.26.0"]);
    for (tool, args) in [("taplo", &["lint"][..]), ("tombi", &["lint", "--offline", "--error-on-warnings"])] {
        let mut command = Command::new(tools.join(tool));
        command.args(args).args(&blocks).current_dir(dir.path());
        let (good, said) = python::run(command, Duration::from_secs(120));
        assert!(good && !said.contains("Warning"), "{tool}: {said}");
    }
}

// 33
#[test]
fn a_thousand_jobs_are_listed_in_parts_none_twice_and_none_left_out() {
    let job = |n: usize| format!("[jobs.j{n:04}]\nschedule = \"@manual\"\ncommand = \"true\"\n");
    let served = Served::start(&(0..1000).map(job).collect::<String>(), &[]);
    let (mut seen, mut path) = (Vec::new(), "/api/v1/jobs?limit=90".to_owned());
    loop {
        let answer = served.get(&path);
        let page = answer.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        let link = answer.header("link").unwrap();
        assert!(link.contains(&format!("cursor={cursor}>; rel=\"next\"")), "{link}");
        path = format!("/api/v1/jobs?limit=90&cursor={cursor}");
    }
    assert_eq!(seen, (0..1000).map(|n| format!("j{n:04}")).collect::<Vec<_>>());
}

// 34
#[test]
fn a_stream_says_when_to_come_back_and_where_it_is() {
    let served = Served::start("[jobs.tick]\nevery = \"1s\"\ncommand = \"true\"\n", &[]);
    let mut stream = TcpStream::connect(served.address()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.contains("event: run.succeeded") {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "it ends: {text}");
        text += &String::from_utf8_lossy(&piece[..read]);
    }
    let number = |field: &str| text.lines().find_map(|line| line.strip_prefix(field)?.trim().parse::<u64>().ok());
    assert!(number("retry:").is_some_and(|millis| millis > 0) && number("id:").is_some(), "{text}");
}

// 35
#[test]
fn every_metric_is_named_as_prometheus_would_have_it() {
    for series in Series::ALL {
        let name = series.name();
        assert!(name.starts_with("cronclave_") || name.starts_with("process_"), "{name}");
        let is_word = |text: &str| text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
        assert!(is_word(name) && series.labels().iter().all(|label| is_word(label)), "{name}");
        let (is_counter, is_info) = (matches!(series.kind(), Kind::Counter), matches!(series.kind(), Kind::Info));
        assert_eq!((name.ends_with("_total"), name.ends_with("_info")), (is_counter, is_info), "{name}");
        if matches!(series.kind(), Kind::Histogram(_)) || name.contains("duration") || name.contains("timestamp") {
            assert!(name.ends_with("_seconds"), "{name}");
        }
        for unit in ["_ms", "_millis", "_minutes", "_hours", "_kb", "_mb", "_percent"] {
            assert!(!name.contains(unit), "{name}: seconds, bytes and ratios only");
        }
        // Each of these would make a series of every run, or is set by who scrapes.
        for label in ["job", "instance", "run", "run_id", "id", "fencing_token", "trace_id", "message"] {
            assert!(!series.labels().contains(&label), "{name} has a label {label}");
        }
    }
}

/// A request for a worker with arguments as large as they may be.
fn largest_request() -> Message {
    let job = every("ledger-check", 60);
    let work = Work {
        job: job.name.clone(),
        run_id: "01935a70-88d2-7a55-b6f5-5d5cf1d6b9c1".parse().unwrap(),
        scheduled_at: start_of_time(),
        attempt: 1,
        max_attempts: 5,
        fence: Fence(184_460),
        trigger: Trigger::Schedule,
        args: (0..100).map(|n| (format!("a{n:02}"), "x".repeat(324))).collect(),
        previous_success_at: None,
        lease_until: start_of_time(),
    };
    request::message(&job, &QueueName::new("ledger").unwrap(), &work, "prod", start_of_time())
}

fn messages() -> Vec<Message> {
    let mut notices = Notices::new("prod");
    let told = (1..).zip(happenings::all()).filter_map(|(n, event)| notices.of(n, &event));
    told.map(|notice| notice.message()).chain([largest_request()]).collect()
}

// 37
#[test]
fn every_message_is_a_cloud_event_in_one_small_json_document() {
    for message in messages() {
        assert_eq!(message.content_type, CONTENT_TYPE);
        assert!(message.body.len() <= LARGEST, "{}: {} bytes", message.kind, message.body.len());
        let event: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!(
            (&event["specversion"], &event["id"], &event["type"]),
            (&json!("1.0"), &json!(message.id), &json!(message.kind))
        );
        for name in ["source", "subject", "time", "datacontenttype", "partitionkey"] {
            assert!(event[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {event}");
        }
        let is_word =
            |name: &String| name.len() <= 20 && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        assert!(event.as_object().unwrap().keys().all(is_word), "{event}");
    }
}

// 37
#[test]
fn no_event_is_larger_than_64_kib_whatever_people_write() {
    let place = Place::with_history();
    let reason = "x".repeat(100_000);
    let said = place.ask(&["pause", "hello", "--reason", &reason]);
    assert!(said.code == 2 || said.code == 0, "refused or cut: {}", said.code);
    for line in place.ask(&["events", "--json"]).expect(0, &[]).out.lines() {
        assert!(line.len() <= LARGEST, "{} bytes", line.len());
    }
}

// 38
#[test]
fn no_message_has_a_header_of_the_brokers_own() {
    for message in messages() {
        assert!(message.headers.keys().all(|name| !name.to_lowercase().starts_with("x-")), "{:?}", message.headers);
        assert!(!message.id.is_empty() && message.id.len() <= 255, "{}", message.id);
    }
    let sent = largest_request();
    assert_eq!(sent.correlation_id.as_deref(), Some("01935a70-88d2-7a55-b6f5-5d5cf1d6b9c1"));
    assert!(!sent.transient && !sent.optional && sent.expires.is_some());
    assert!(sent.headers[request::TRACEPARENT].starts_with("00-"));
}

//! What comes with the program: the health check, completions of the shells, manual pages.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "cli/bench.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod bench;
#[path = "common/servers.rs"]
mod servers;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bench::{Place, Said};
use servers::{Redis, free_port};

/// Asks until it has answered with this code.
#[track_caller]
fn until(code: i32, ask: impl Fn() -> Said) -> Said {
    let given_up = Instant::now() + Duration::from_secs(60);
    loop {
        let said = ask();
        if said.code == code {
            return said;
        }
        assert!(Instant::now() < given_up, "{said:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_health_check_knows_ready_from_alive_and_both_from_gone() {
    let (mut redis, place) = (Redis::plain(), Place::new());
    let (port, url) = (free_port().to_string(), redis.url());
    let with = |mut command: Command| {
        command.env("PORT", &port).env("REDIS_URL", &url);
        command
    };
    let check = |args: &[&str]| place.finish(with(place.command(&[&["healthcheck"], args].concat())));
    check(&[]).expect(1, &["nothing listens there", &port]);
    let replica = place.start(with(place.command(&["serve"])));
    let said = until(0, || check(&[]));
    assert_eq!((said.out, said.err), (String::new(), String::new()));
    check(&["--live"]).expect(0, &[]);
    redis.kill();
    until(1, || check(&[])).expect(1, &["503", "readyz"]);
    check(&["--live"]).expect(0, &[]);
    drop(replica);
    check(&["--live"]).expect(1, &["nothing listens there"]);
    check(&["--listen", "here"]).expect(78, &["--listen", "not an address"]);
    check(&["--timeout", "soon"]).expect(2, &["--timeout"]);
}

/// What bash offers for a line that ends where the cursor is.
fn in_bash(place: &Place, line: &[&str]) -> Vec<String> {
    let words: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "PATH={}:$PATH; source ./cronclave.bash; COMP_WORDS=({}); COMP_CWORD={}; \
         _cronclave_with_jobs cronclave '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        Path::new(env!("CARGO_BIN_EXE_cronclave")).parent().unwrap().display(),
        words.join(" "),
        line.len() - 1,
        line[line.len() - 1],
        line[line.len() - 2]
    );
    let mut command = Command::new("bash");
    place.set_up(&mut command);
    command.args(["--norc", "-c", &script]);
    let said = place.finish(command).expect(0, &[]);
    said.out.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_and_the_names_of_jobs() {
    let place = Place::new();
    place.write("cronclave.bash", place.ask(&["completions", "bash"]).expect(0, &[]).out);
    assert_eq!(in_bash(&place, &["cronclave", "val"]), ["validate"]);
    assert_eq!(in_bash(&place, &["cronclave", "run", ""]), ["fails", "hello", "hook", "slow"]);
    assert_eq!(in_bash(&place, &["cronclave", "trigger", "h"]), ["hello", "hook"]);
    assert!(in_bash(&place, &["cronclave", "run", "--wa"]).contains(&"--wait".to_owned()));
    // Files with mistakes leave the line as it is.
    place.write("schedules/bad.toml", "version = ");
    assert_eq!(in_bash(&place, &["cronclave", "run", ""]), [""; 0]);
}

#[test]
fn each_shell_gets_a_script_that_asks_for_jobs() {
    let place = Place::new();
    for (shell, words) in [
        ("bash", &["_cronclave_with_jobs", "healthcheck"][..]),
        ("zsh", &["#compdef cronclave", ":_cronclave_jobs'", "_cronclave_jobs() {"]),
        ("fish", &["__fish_seen_subcommand_from", "(cronclave __complete jobs"]),
        ("elvish", &["cronclave __complete jobs", "each {|job| cand"]),
        ("powershell", &["Register-ArgumentCompleter", "cronclave __complete jobs"]),
    ] {
        place.ask(&["completions", shell]).expect(0, words);
    }
    place.ask(&["completions", "tcsh"]).expect(2, &["bash, elvish, fish, powershell, zsh"]);
}

#[test]
fn every_command_has_a_manual_page_that_can_be_read() {
    let place = Place::new();
    place.ask(&["man", "--out", "man1"]).expect(0, &[]);
    let pages: Vec<String> = fs::read_dir(place.path("man1"))
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    for page in ["cronclave.1", "cronclave-serve.1", "cronclave-doctor.1", "cronclave-verify.1"] {
        assert!(pages.contains(&page.to_owned()), "no {page} in {pages:?}");
    }
    assert!(pages.iter().all(|page| !page.contains("__complete") && !page.contains("help")), "{pages:?}");
    let page =
        place.ask(&["man"]).expect(0, &["EXIT STATUS", "Redis, RabbitMQ, the database", "cronclave\\-serve(1)"]).out;
    assert_eq!(page, fs::read_to_string(place.path("man1/cronclave.1")).unwrap());
    place.ask(&["man", "serve"]).expect(0, &["cronclave\\-serve", "Examples:"]);
    place.ask(&["man", "srve"]).expect(2, &["no command `srve`"]);
    // Mandoc and groff are not everywhere; where there is one, it has nothing to complain of.
    if Command::new("groff").arg("--version").output().is_ok() {
        for page in pages {
            let mut command = Command::new("groff");
            command.args(["-man", "-Tutf8", "-Wbreak", "-z"]).arg(place.path("man1").join(&page));
            let said = command.output().unwrap();
            assert!(
                said.status.success() && said.stderr.is_empty(),
                "{page}: {}",
                String::from_utf8_lossy(&said.stderr)
            );
        }
    }
}

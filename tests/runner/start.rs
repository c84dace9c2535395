//! How a program is found and started, and what it finds itself with.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cronclave::job::{Action, Command, Text};
use cronclave::runner::{CommandRunner, Handlers};
use tempfile::TempDir;

use crate::bench::{Done, LONG, job, program, run, runners, sh, start};

/// A folder with a file in it that may be executed if `mode` says so.
fn script(name: &str, text: &str, mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    (folder, file)
}

/// `command`, which looks for programs in these folders.
fn among(folders: &[&Path], command: Command) -> Command {
    let path = std::env::join_paths(folders).unwrap().into_string().unwrap();
    Command { env: BTreeMap::from([("PATH".to_owned(), Text::Plain(path))]).into(), ..command }
}

fn told(done: &Done) -> (Option<i32>, &str) {
    (done.ended.exit_code, done.message())
}

#[tokio::test]
async fn a_program_is_looked_for_in_the_path_that_it_is_given() {
    let ((one, file), (other, _)) =
        (script("tool", "#!/bin/sh\necho one", 0o755), script("tool", "#!/bin/sh\necho other", 0o755));
    let (closed, _) = script("tool", "#!/bin/sh\necho closed", 0o644);
    let missing = Path::new("/no/such/place");
    let tool = || program(&["tool"]);
    assert_eq!(run(among(&[missing, &file, other.path(), one.path()], tool())).await.stdout, "other\n");
    assert_eq!(run(among(&[closed.path(), one.path()], tool())).await.stdout, "one\n");
    let here = Command { cwd: Some(one.path().into()), ..among(&[Path::new("")], tool()) };
    assert_eq!(run(here).await.stdout, "one\n");
    let done = run(among(&[closed.path(), missing], tool())).await;
    assert_eq!(told(&done), (Some(126), "`tool` may not be executed"));
    let done = run(among(&[missing], tool())).await;
    assert_eq!(told(&done), (Some(127), "there is no program `tool` in PATH (/no/such/place)"));
}

#[tokio::test]
async fn a_script_that_names_no_interpreter_is_run_by_the_shell() {
    let (folder, file) = script("plain", "echo \"$0 $1 $2\"", 0o755);
    let file = file.to_str().unwrap();
    let expected = format!("{file} a b c\n");
    assert_eq!(run(program(&[file, "a", "b c"])).await.stdout, expected);
    assert_eq!(run(among(&[folder.path()], program(&["plain", "a", "b c"]))).await.stdout, expected);
}

#[tokio::test]
async fn what_cannot_be_started_says_why_in_words() {
    let (_folder, file) = script("busy", "#!/bin/sh\n", 0o755);
    let name = file.to_str().unwrap();
    let writing = File::options().append(true).open(&file).unwrap();
    assert_eq!(told(&run(program(&[name])).await), (Some(126), format!("`{name}` is being written to").as_str()));
    drop(writing);
    assert_eq!(run(program(&[name])).await.ended.exit_code, Some(0));
    let long = "x".repeat(1 << 20);
    assert_eq!(told(&run(program(&["true", &long])).await), (Some(126), "the arguments of `true` are too long"));
    let done = run(program(&["true", "a\0b"])).await;
    assert_eq!(told(&done), (Some(125), "`true` could not be started: nul byte found in provided data"));
    let place = Some(file.clone());
    let done = run(Command { cwd: place.map(Into::into), ..sh("true") }).await;
    let words = format!("cannot start in the directory {name}: it is not a directory");
    assert_eq!(told(&done), (Some(125), words.as_str()));
}

#[tokio::test]
async fn a_program_has_its_three_files_and_no_other() {
    // As from here: the three, the directory that `ls` itself opens, and what these tests were started with.
    let expected = std::process::Command::new("ls").arg("/proc/self/fd").output().unwrap().stdout;
    let expected = String::from_utf8(expected).unwrap();
    let list = || program(&["ls", "/proc/self/fd"]);
    assert_eq!(run(list()).await.stdout, expected);
    assert_eq!(run(Command { stdin: Some("said".into()), ..list() }).await.stdout, expected);
    let links = run(sh("readlink /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2")).await.stdout;
    let links: Vec<&str> = links.lines().collect();
    assert!(links[0] == "/dev/null" && links[1].starts_with("pipe:") && links[2].starts_with("pipe:"), "{links:?}");
    assert_ne!(links[1], links[2]);
}

#[tokio::test]
async fn a_program_finds_signals_as_usual_whatever_the_replica_was_started_with() {
    let exe = env!("CARGO_BIN_EXE_cronclave");
    let (_folder, shim) = script("shim", &format!("#!/bin/sh\ntrap '' HUP INT USR1 TTOU\nexec {exe} \"$@\"\n"), 0o755);
    let command = Action::Command(program(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]));
    let with = CommandRunner::new(BTreeMap::new()).with_shim(shim);
    let done = start(runners(with, Handlers::new()), job("signals", command), 10 * LONG).done().await;
    let set = |line: &str| u64::from_str_radix(line.split_once(':').unwrap().1.trim(), 16).unwrap();
    // The C library has 32 and 33 for itself, and ignores them in whatever it starts.
    let sets: Vec<u64> = done.stdout.lines().map(|line| set(line) & !(0b11 << 31)).collect();
    assert_eq!(sets, [0, 0], "{}", done.stdout);
}

#[tokio::test]
async fn a_program_leads_a_group_of_its_own_below_its_supervisor() {
    let done = run(sh("cut -d' ' -f1,4,5 /proc/$$/stat")).await;
    let [pid, parent, group] = done.stdout.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{}", done.stdout)
    };
    assert_eq!(pid, group);
    assert_ne!(parent, std::process::id().to_string());
}

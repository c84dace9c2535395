//! A database that cannot be used: said in words, exit code 69, and nothing made worse.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::bench::{Place, Running, is_root};

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(120);

/// Between two looks.
const BRIEF: Duration = Duration::from_millis(20);

/// What looks, steers and runs.
const ALL: [&[&str]; 6] =
    [&["history"], &["status"], &["jobs"], &["pause", "hello"], &["run", "hello"], &["serve", "--no-http"]];

fn refused_untouched(place: &Place, words: &[&str]) {
    let before = fs::read(place.path("cronclave.db")).unwrap();
    for args in ALL {
        let said = place.ask(args).expect(69, words);
        assert_eq!(said.out, "", "{args:?}");
    }
    assert!(fs::read(place.path("cronclave.db")).unwrap() == before, "it was changed");
}

#[test]
fn a_text_file_is_no_database() {
    let place = Place::new();
    place.write("cronclave.db", "not a database, but a text of some length\n".repeat(200));
    refused_untouched(&place, &["cronclave.db", "not a SQLite database", "move it aside"]);
}

#[test]
fn another_programs_database_is_left_alone() {
    let place = Place::new();
    let db = Connection::open(place.path("cronclave.db")).unwrap();
    db.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    drop(db);
    refused_untouched(&place, &["cronclave.db", "belongs to another program", "--db"]);
}

#[test]
fn a_newer_layout_is_left_alone() {
    let place = Place::with_history();
    let db = Connection::open(place.path("cronclave.db")).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    refused_untouched(&place, &["cronclave.db", "newer version", "layout 99", "upgrade"]);
}

#[test]
fn a_corrupt_page_is_told_where_it_is_met() {
    let place = Place::with_history();
    let file = fs::File::options().write(true).open(place.path("cronclave.db")).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    (1..pages).for_each(|page| file.write_all_at(&[0xa5; 4096], page * 4096).unwrap());
    drop(file);
    for args in [&["history"][..], &["status"], &["jobs"], &["run", "hello"], &["pause", "hello"]] {
        place.ask(args).expect(69, &["cronclave.db", "corrupt", "restore a copy"]);
    }
}

#[test]
fn an_empty_file_becomes_a_database() {
    let place = Place::new();
    place.write("cronclave.db", "");
    place.ask(&["run", "hello"]).expect(0, &[]);
    place.ask(&["history"]).expect(0, &["ok"]);
}

#[test]
fn locked_by_another_program_it_is_waited_for_but_not_for_ever() {
    let place = Place::with_history();
    let db = Connection::open(place.path("cronclave.db")).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    place.ask(&["history"]).expect(0, &["ok"]);
    for args in [&["pause", "hello"][..], &["run", "hello"], &["trigger", "hello"]] {
        let began = Instant::now();
        place.ask(args).expect(69, &["cronclave.db", "locked by another program", "fuser"]);
        let took = began.elapsed();
        assert!(took > Duration::from_secs(4) && took < Duration::from_secs(20), "{args:?}: {took:?}");
    }
    db.execute_batch("ROLLBACK").unwrap();
    place.ask(&["run", "hello"]).expect(0, &[]);
}

/// Runs as somebody who owns nothing here; root is above all file modes.
fn as_nobody(place: &Place, args: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    place.set_up(&mut command);
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", env!("CARGO_BIN_EXE_cronclave")]);
    command.args(args);
    command
}

#[test]
fn what_may_not_be_written_is_told() {
    let place = Place::with_history();
    fs::set_permissions(place.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    let ask = |args: &[&str]| place.finish(if is_root() { as_nobody(&place, args) } else { place.command(args) });
    if is_root() && !ask(&["--version"]).out.contains("cronclave") {
        println!("skipped: cannot become another user here");
        return;
    }
    let set = |name: &str, mode| fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    set("cronclave.db", 0o444);
    set(".", 0o777);
    ask(&["run", "hello"]).expect(69, &["cronclave.db", "read-only", "writable"]);
    set("cronclave.db", 0o666);
    set(".", 0o555);
    ask(&["run", "hello"]).expect(69, &["cronclave.db", "writable", "--db"]);
    let _ = fs::remove_file(place.path("cronclave.db"));
    ask(&["run", "hello"]).expect(69, &["cronclave.db", "writable", "--db"]);
    ask(&["init"]).expect(1, &["schedules/hello.toml", "directory"]);
    set(".", 0o755);
}

#[test]
fn a_full_disk_loses_nothing_and_is_survived() {
    let place = Place::new();
    fs::create_dir(place.path("small")).unwrap();
    let disk = Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k", "none"]).arg(place.path("small")).output();
    if !disk.is_ok_and(|output| output.status.success()) {
        println!("skipped: cannot mount a small disk here");
        return;
    }
    let _mounted = Mounted(place.path("small"));
    let db = ["--db", "small/cronclave.db"];
    let ask = |args: &[&str]| place.ask(&[&db[..], args].concat());
    ask(&["run", "hello"]).expect(0, &[]);
    // Whatever room there is, the other file takes.
    let _ = fs::write(place.path("small/other"), vec![0; 1 << 20]);
    place.write("crontab", "0 8 * * * /bin/report\n".repeat(1000));
    let full = place.ask(&["import", "crontab", "crontab", "-o", "small/jobs.toml"]);
    full.expect(1, &["small/jobs.toml", "cannot be written: No space left on device"]);
    assert!(!place.path("small/jobs.toml").exists(), "half a file would look like one");
    let mut said = ask(&["run", "hello"]);
    for _ in 0..200 {
        if said.code != 0 {
            break;
        }
        said = ask(&["run", "hello"]);
    }
    said.expect(69, &["small/cronclave.db", "disk", "free some space"]);
    fs::remove_file(place.path("small/other")).unwrap();
    let before = ask(&["history", "-n", "0", "--json"]).expect(0, &[]).json()["items"].as_array().unwrap().len();
    assert!(before >= 1, "nothing recorded is lost");
    ask(&["run", "hello"]).expect(0, &["hello"]);
    let after = ask(&["history", "-n", "0", "--json"]).expect(0, &[]).json()["items"].as_array().unwrap().len();
    assert_eq!(after, before + 1);
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn output_that_cannot_be_written_is_told() {
    let place = Place::with_history();
    let mut command = place.command(&["history"]);
    command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    let output = command.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && err.contains("standard output"), "{output:?}");
}

#[test]
fn a_database_that_is_removed_while_it_is_served_is_missed() {
    let place = Place::new();
    place.write("schedules/jobs.toml", "version = 1\n[jobs.often]\nevery = \"1s\"\ncommand = \"true\"\n");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let replica = place.start(place.command(&["serve", "--listen", &listen, "--log-format", "text"]));
    replica.until("succeeded");
    assert!(ready(&listen));
    for name in ["cronclave.db", "cronclave.db-wal", "cronclave.db-shm"] {
        let _ = fs::remove_file(place.path(name));
    }
    replica.until("store down");
    replica.until("the file was removed or replaced while in use");
    let began = Instant::now();
    while ready(&listen) {
        assert!(began.elapsed() < LONG, "still ready");
        sleep(BRIEF);
    }
    assert!(!place.path("cronclave.db").exists(), "nobody makes a second truth");
    assert!(!replica.so_far().contains("store up"), "{}", replica.so_far());
    replica.signal("TERM");
    replica.end();
}

/// A replica with a job each second that writes a line, and where it listens.
fn served(place: &Place, more: &[&str]) -> (Running, String) {
    place.write("schedules/jobs.toml", "version = 1\n[jobs.often]\nevery = \"1s\"\ncommand = \"echo x >> ledger\"\n");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let args = [&["serve", "--listen", &listen, "--log-format", "text"], more].concat();
    let replica = place.start(place.command(&args));
    replica.until("succeeded");
    (replica, listen)
}

fn until_not_ready(listen: &str) {
    let began = Instant::now();
    while ready(listen) {
        assert!(began.elapsed() < LONG, "still ready");
        sleep(BRIEF);
    }
}

#[test]
fn an_older_copy_put_in_place_of_the_database_is_left_alone() {
    let place = Place::new();
    let (replica, listen) = served(&place, &[]);
    let db = Connection::open(place.path("cronclave.db")).unwrap();
    db.execute("VACUUM INTO ?1", [place.path("copy.db").to_str().unwrap()]).unwrap();
    drop(db);
    fs::rename(place.path("copy.db"), place.path("cronclave.db")).unwrap();
    replica.until("store down");
    replica.until("the file was removed or replaced while in use: put it back, or start again without it");
    until_not_ready(&listen);
    let (ledger, copy) = (fs::read(place.path("ledger")).unwrap(), fs::read(place.path("cronclave.db")).unwrap());
    replica.signal("TERM");
    let said = replica.end();
    assert!(!said.out.contains("store up"), "{}", said.out);
    assert_eq!(fs::read(place.path("ledger")).unwrap(), ledger, "nothing starts by a record that others do not see");
    assert_eq!(fs::read(place.path("cronclave.db")).unwrap(), copy);
}

#[test]
fn a_database_that_was_moved_away_and_put_back_goes_on() {
    let place = Place::new();
    let (replica, _) = served(&place, &[]);
    fs::rename(place.path("cronclave.db"), place.path("away.db")).unwrap();
    replica.until("store down");
    fs::rename(place.path("away.db"), place.path("cronclave.db")).unwrap();
    replica.until("store up");
    let ran = fs::read(place.path("ledger")).unwrap().len();
    let began = Instant::now();
    while fs::read(place.path("ledger")).unwrap().len() == ran {
        assert!(began.elapsed() < LONG, "nothing starts any more");
        sleep(BRIEF);
    }
    replica.signal("TERM");
    replica.end();
}

#[test]
fn a_disk_that_is_full_while_a_run_goes_on_keeps_its_end_until_there_is_room() {
    let place = Place::new();
    fs::create_dir(place.path("small")).unwrap();
    let disk = Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k", "none"]).arg(place.path("small")).output();
    if !disk.is_ok_and(|output| output.status.success()) {
        println!("skipped: cannot mount a small disk here");
        return;
    }
    let _mounted = Mounted(place.path("small"));
    place.write(
        "schedules/long.toml",
        "version = 1\n[jobs.long]\nschedule = \"@manual\"\ncommand = \"touch began; until test -e go; do sleep 0.1; done; touch over\"\n",
    );
    let (replica, listen) = served(&place, &["--db", "small/cronclave.db"]);
    let wait_for = |name: &str| {
        let began = Instant::now();
        while !place.path(name).exists() {
            assert!(began.elapsed() < LONG, "{name} is not there");
            sleep(BRIEF);
        }
    };
    place.ask(&["--db", "small/cronclave.db", "trigger", "long"]).expect(0, &[]);
    wait_for("began");
    let _ = fs::write(place.path("small/other"), vec![0; 1 << 20]);
    replica.until("store down");
    replica.until("small/cronclave.db: the disk is full: free some space");
    until_not_ready(&listen);
    place.write("go", "");
    wait_for("over");
    let ledger = fs::read(place.path("ledger")).unwrap().len();
    fs::remove_file(place.path("small/other")).unwrap();
    replica.until("store up");
    let began = Instant::now();
    while fs::read(place.path("ledger")).unwrap().len() == ledger {
        assert!(began.elapsed() < LONG, "nothing starts any more");
        sleep(BRIEF);
    }
    let history = || place.ask(&["--db", "small/cronclave.db", "history", "long"]).out;
    while !history().contains("  ok  ") {
        assert!(began.elapsed() < LONG, "{}", history());
        sleep(BRIEF);
    }
    replica.signal("TERM");
    replica.end();
}

fn ready(address: &str) -> bool {
    use std::io::{Read, Write};
    let Ok(mut there) = std::net::TcpStream::connect(address) else { return false };
    there.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = there.read_to_string(&mut answer);
    answer.starts_with("HTTP/1.1 200")
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    place.ask(&["serve", "--listen", &listen]).expect(69, &[&listen, "in use", "--listen", "--no-http"]);
    assert!(!place.path("cronclave.db").exists());
}

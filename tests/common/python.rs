//! Programs from PyPI, in virtual environments below target/, each made once.
//!
//! Where they cannot be had the tests fail and say what is missing; they are never left out in silence.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a program to its end; whether it succeeded, and all that it said.
pub(crate) fn run(mut command: Command, limit: Duration) -> (bool, String) {
    let shown = format!("{command:?}");
    let log = tempfile::NamedTempFile::new().unwrap();
    command.env("NO_COLOR", "1").stdin(Stdio::null());
    command.stdout(log.reopen().unwrap()).stderr(log.reopen().unwrap());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{shown} did not end within {limit:?}:\n{}", std::fs::read_to_string(log.path()).unwrap());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let bytes = std::fs::read(log.path()).unwrap();
    (status.success(), plain(&String::from_utf8_lossy(&bytes)))
}

/// Without colours, which Tombi writes into files as well.
fn plain(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or("").to_owned();
    first + &parts.filter_map(|part| part.split_once('m')).map(|(_, rest)| rest).collect::<String>()
}

/// The directory of the programs of these packages, with their versions.
pub(crate) fn venv(name: &str, packages: &[&str]) -> PathBuf {
    let versions = packages.join("-").replace("==", "-");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{versions}"));
    let ready = dir.join("ready");
    // Tests that run side by side want the same one.
    let lock = std::fs::File::create(dir.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !ready.exists() {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&dir);
        let (good, said) = run(venv, Duration::from_secs(120));
        assert!(good, "python3 cannot make a virtual environment (Debian: apt-get install python3-venv):\n{said}");
        let mut pip = Command::new(dir.join("bin/pip"));
        pip.args(["--disable-pip-version-check", "--timeout", "20", "--retries", "3", "install", "--quiet"]);
        pip.args(packages);
        let (good, said) = run(pip, Duration::from_secs(240));
        assert!(good, "{packages:?} cannot be had from PyPI, which this test needs once:\n{said}");
        std::fs::write(ready, "").unwrap();
    }
    dir.join("bin")
}

//! A machine of its own for what needs one: a real systemd, booted in namespaces, on this machine's files under a layer
//! that is thrown away. See tests/machine/boot.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use super::python;

/// What scripts begin with.
const PRELUDE: &str = r#"#!/bin/bash
set -eu
# holds COMMAND...: waits until it does.
holds() {
    local end=$((SECONDS + 40))
    while [ $SECONDS -lt $end ]; do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "never: $*"
    cat /run/said
    journalctl --no-pager -n 60 -u 'cronclave*'
    exit 1
}
# says WORD COMMAND...: whether it prints the word.
says() {
    local word=$1
    shift
    "$@" >/run/said 2>&1 || true
    grep -qe "$word" /run/said
}
# not COMMAND...: it must fail. (A shell does not end at a `!` that is not true, nor in the middle of `&&`.)
not() {
    if "$@" >/run/said 2>&1; then
        echo "should have failed: $*"
        cat /run/said
        exit 1
    fi
}
# of UNIT PROPERTY: what systemd has for it.
of() { systemctl show --property="$2" --value "$1"; }
trap 'echo "failed in line $LINENO: $BASH_COMMAND"; journalctl --no-pager -n 60 -u "cronclave*"' ERR
"#;

/// Fails with what to install where a program is missing.
pub(crate) fn need(program: &str, package: &str) {
    let found = Command::new("/bin/sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    assert!(found.status.success(), "{program} is missing, which this test needs (Debian: apt-get install {package})");
}

/// Whether a machine can be had: only root may make one, where the kernel lets it. Says so where not.
pub(crate) fn can_be_had() -> bool {
    static FOUND: OnceLock<Result<(), String>> = OnceLock::new();
    need("systemd-analyze", "systemd");
    need("findmnt", "util-linux");
    let found = FOUND.get_or_init(|| {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can boot a machine; as root: tests/run --only units package".into());
        }
        // In a container without the right to mount it cannot be had, whoever one is.
        let dir = tempfile::tempdir().unwrap();
        let (good, said) = boot(dir.path(), "#!/bin/sh\nexit 0\n");
        if good { Ok(()) } else { Err(said) }
    });
    if let Err(why) = found {
        eprintln!("NOT SHOWN: no machine can be booted here: {why}");
    }
    found.is_ok()
}

/// Whether a script came to a good end there, and what was said outside.
fn boot(dir: &Path, script: &str) -> (bool, String) {
    let path = dir.join("script");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    let mut boot = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/machine/boot"));
    boot.arg(dir);
    python::run(boot, Duration::from_secs(180))
}

/// Runs a script there; `files` are beside it. What it printed; the test fails when it does.
pub(crate) fn run(files: &[(&str, &str)], script: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let script = format!("{PRELUDE}cd {}\n{script}", dir.path().display());
    let (good, said) = boot(dir.path(), &script);
    let output = fs::read_to_string(dir.path().join("output")).unwrap_or_default();
    assert!(good, "{said}{output}");
    output
}

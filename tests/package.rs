//! The Debian package: built from the program that was built, installed, used, upgraded, removed and purged on a machine
//! of its own (tests/machine/boot), of which nothing is kept.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/machine.rs"]
mod machine;
#[path = "common/python.rs"]
mod python;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package in a directory of this name.
fn built(dir: &Path) -> PathBuf {
    machine::need("dpkg-deb", "dpkg");
    machine::need("objdump", "binutils");
    fs::create_dir_all(dir).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/deb");
    // A program for tests is large, and whoever installs it here has the time of its decompression.
    let mut build = Command::new(script);
    build.arg(env!("CARGO_BIN_EXE_cronclave")).arg(dir).args(["-Zgzip", "-z1"]);
    let done = build.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    PathBuf::from(String::from_utf8(done.stdout).unwrap().trim())
}

fn said(program: &str, args: &[&str]) -> String {
    let done = Command::new(program).args(args).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn the_same_program_makes_the_same_package_and_it_says_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (built(&dir.path().join("a")), built(&dir.path().join("b")));
    let version = env!("CARGO_PKG_VERSION");
    assert!(first.file_name().unwrap().to_str().unwrap().starts_with(&format!("cronclave_{version}-1_")));
    assert!(fs::read(&first).unwrap() == fs::read(second).unwrap(), "not byte by byte");
    let file = first.to_str().unwrap();
    let needs = said("dpkg-deb", &["--field", file, "Depends"]);
    assert!(needs.contains("libc6 (>= 2.") && needs.contains("ca-certificates"), "{needs}");
    let listed = said("dpkg-deb", &["--contents", file]);
    assert!(listed.lines().all(|line| line.contains(" root/root ")), "{listed}");
    for name in [
        "./usr/bin/cronclave",
        "./usr/lib/systemd/system/cronclave-worker@.service",
        "./usr/share/man/man1/cronclave-serve.1.gz",
        "./usr/share/fish/vendor_completions.d/cronclave.fish",
        "./usr/share/zsh/vendor-completions/_cronclave",
        "./usr/share/doc/cronclave/changelog.gz",
    ] {
        assert!(listed.lines().any(|line| line.ends_with(name)), "{name} is missing:\n{listed}");
    }
}

const SCRIPT: &str = r#"
# What dpkg and others write down, and the user, who stays.
there() {
    find /etc /usr /var /opt /srv -xdev | grep -v -e ^/var/lib/dpkg/ -e ^/var/log/ -e ^/var/cache/ -e ^/var/lib/systemd/ \
        -e '^/etc/\(passwd\|group\|shadow\|gshadow\)-$' -e ^/etc/.pwd.lock | sort
}
mine() { cronclave --db /var/lib/cronclave/cronclave.db --config /etc/cronclave "$@"; }
there >before

dpkg --install "$DEB"
# It is there, and nothing is started or will be.
cronclave --version
[ "$(of cronclave ActiveState)" = inactive ]
not systemctl is-enabled --quiet cronclave
id cronclave
[ "$(stat -c %U:%a /etc/cronclave/environment)" = root:640 ]
cronclave --config /etc/cronclave validate
cronclave --config /etc/cronclave jobs --json | tr -d ' \n' | grep -q '"state":"disabled"'
# The units name manual pages, and those are there.
systemd-analyze verify cronclave.service cronclave-worker@default.service 2>&1 | tee verified
[ ! -s verified ]
man --where cronclave cronclave-serve cronclave-worker
bash -c '. /usr/share/bash-completion/completions/cronclave && complete -p cronclave'

cat >/etc/cronclave/mine.toml <<END
version = 1
[jobs.mine]
every   = "1s"
command = "echo from the package"
END
systemctl enable --now cronclave cronclave-worker@default
holds says "✓.*mine" mine history mine
echo CRONCLAVE_CLUSTER=ours >>/etc/cronclave/environment

# An upgrade restarts what runs, and keeps what was changed by hand.
dpkg-deb --raw-extract "$DEB" newer
sed -i 's/^Version: .*/Version: 99-1/' newer/DEBIAN/control
dpkg-deb --root-owner-group -Zgzip -z1 --build newer newer.deb
before=$(of cronclave MainPID)
worker=$(of cronclave-worker@default MainPID)
dpkg --force-confold --install newer.deb
[ "$(of cronclave ActiveState)" = active ]
[ "$(of cronclave MainPID)" != "$before" ]
[ "$(of cronclave-worker@default ActiveState)" = active ]
[ "$(of cronclave-worker@default MainPID)" != "$worker" ]
grep -q CRONCLAVE_CLUSTER=ours /etc/cronclave/environment

dpkg --remove cronclave
not pgrep -u cronclave
[ ! -e /usr/bin/cronclave ]
[ ! -e /usr/share/cronclave ]
[ -e /etc/cronclave/environment ]
[ -e /var/lib/cronclave/cronclave.db ]

dpkg --purge cronclave
# Only what was written by hand is left.
rm /etc/cronclave/mine.toml && rmdir /etc/cronclave
there >after
diff before after
"#;

#[test]
fn installed_upgraded_removed_and_purged_it_does_no_more_than_it_is_asked_and_leaves_nothing() {
    if !machine::can_be_had() {
        return;
    }
    machine::need("man", "man-db");
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let deb = built(dir.path());
    machine::run(&[], &format!("DEB={}\n{SCRIPT}", deb.display()));
}

//! Two builds with other scripts, and other files, at the same time: a rolling upgrade, and the way back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use std::os::unix::fs::PermissionsExt;

use crate::cluster::SIGN;
use crate::field::{Field, PATIENT, sleep};
use crate::load::REPLICAS;

/// The build that `CHAOS_OTHER_BUILD` names, as of another release; else the same program with another letter in a comment of
/// its scripts: their digests are others.
fn other_build(dir: &Path) -> PathBuf {
    #[allow(clippy::disallowed_methods, reason = "set by whoever runs the tests")]
    if let Some(path) = std::env::var_os("CHAOS_OTHER_BUILD") {
        return path.into();
    }
    let mut bytes = std::fs::read(env!("CARGO_BIN_EXE_cronclave")).unwrap();
    let comment = b"-- What the store grants: the port of";
    let found: Vec<usize> = (0..bytes.len() - comment.len()).filter(|at| bytes[*at..].starts_with(comment)).collect();
    assert!(!found.is_empty(), "the scripts begin otherwise");
    for at in found {
        bytes[at + 3] = b'w';
    }
    let path = dir.join("cronclave-next");
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

#[test]
fn x14_a_rolling_upgrade_and_back_starts_nothing_twice_and_misses_nothing() {
    // In less the two schedules of the job that moves may name no instant of their own.
    let field = Field::with(&[]).lasting(Duration::from_secs(8));
    let next = other_build(field.ours.dir.path());
    // Another file: another limit for all jobs, another schedule for one, and a new one.
    let path = field.ours.path("schedules/jobs.toml");
    let jobs = std::fs::read_to_string(&path).unwrap();
    let changed = jobs.replace("every = \"1s\"", "every = \"1s\"\ntimeout = \"10m\"");
    assert_ne!(changed, jobs);
    let moved = |every: &str| format!("\n[jobs.moved]\nevery = \"{every}\"\n{PATIENT}\ncommand = '{SIGN}'\n");
    std::fs::write(&path, jobs.clone() + &moved("2s")).unwrap();
    std::fs::create_dir(field.ours.path("next")).unwrap();
    let added = "\n[jobs.added]\nevery = \"1s\"\ncommand = [\"true\"]\n";
    std::fs::write(field.ours.path("next/jobs.toml"), changed + &moved("3s") + added).unwrap();
    let mut turn = 0;
    let roll = |field: &mut Field| {
        let (index, forth) = (turn % REPLICAS, (turn / REPLICAS).is_multiple_of(2));
        turn += 1;
        field.end(index);
        field.ours.build(index, forth.then_some(next.as_path()));
        field.ours.give(index, "CRONCLAVE_CONFIG", if forth { "next" } else { "schedules" });
        field.serve(index);
        field.faults += 1;
        sleep(0.7);
    };
    let result = field.disturb("X14", "rolling upgrade and back, with another file", roll, |_| {});
    // Of what moved to and fro, no one schedule says what came due.
    std::fs::write(&path, jobs).unwrap();
    result.spotless().all_ran();
    assert!(result.field.ours.history("added").len() > 1, "the new build runs what is new");
    let ledger = result.field.ours.ledger();
    let moved: Vec<i64> = ledger.iter().filter(|line| line.job == "moved").map(|line| line.scheduled).collect();
    let instants: BTreeSet<i64> = moved.iter().copied().collect();
    assert_eq!(instants.len(), moved.len(), "an instant that both files name has run twice: {moved:?}");
    assert!(instants.iter().any(|at| at % 2 != 0) && instants.iter().any(|at| at % 3 != 0), "{instants:?}");
}

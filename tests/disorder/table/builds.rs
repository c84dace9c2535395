//! Two builds with other scripts, and other files, at the same time: a rolling upgrade, and the way back.

use std::path::{Path, PathBuf};

use std::os::unix::fs::PermissionsExt;

use crate::field::{Field, sleep};
use crate::load::REPLICAS;

/// The same program with another letter in a comment of its scripts: their digests are others.
fn other_build(dir: &Path) -> PathBuf {
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
    let field = Field::with(&[]);
    let next = other_build(field.ours.dir.path());
    // Another file: a new job, and another limit for those that were there.
    let jobs = std::fs::read_to_string(field.ours.path("schedules/jobs.toml")).unwrap();
    let changed = jobs.replace("every = \"1s\"", "every = \"1s\"\ntimeout = \"10m\"");
    assert_ne!(changed, jobs);
    std::fs::create_dir(field.ours.path("next")).unwrap();
    let added = "\n[jobs.added]\nevery = \"1s\"\ncommand = [\"true\"]\n";
    std::fs::write(field.ours.path("next/jobs.toml"), changed + added).unwrap();
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
    result.spotless().all_ran();
    assert!(result.field.ours.history("added").len() > 1, "the new build runs what is new");
}

//! One SQLite file for four processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Cluster, SIGN, say};
use crate::field::{Field, PATIENT, TTL, command, long_runs, sleep, sleep_until_second};
use crate::load::{self, JOBS};
use crate::servers::{set_clock, with_clock};

const PROCESSES: usize = 4;

fn field(jobs: &str) -> Field {
    let mut field = Field::of(Cluster::with_another(jobs), Vec::new(), TTL, &command);
    field.replicas = PROCESSES;
    field
}

#[test]
fn x15a_processes_killed_while_they_write_start_nothing_twice() {
    let kill = |field: &mut Field| {
        sleep(0.2);
        // While everything comes due and all of them write.
        sleep_until_second(rand::random_range(0.0..0.06));
        for index in [rand::random_range(0..2), rand::random_range(2..PROCESSES)] {
            field.kill(index);
            field.serve(index);
        }
    };
    let field = field(&long_runs());
    let result = field.disturb("X15a", "SQLite: kill -9 while all write", kill, |_| {});
    result.spotless().only_lost().restarts_grow();
}

/// A small disk of its own.
struct Disk(PathBuf);

impl Disk {
    fn at(path: &Path) -> Option<Disk> {
        fs::create_dir(path).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "none"]).arg(path).output();
        mount.is_ok_and(|done| done.status.success()).then(|| Disk(path.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn x15b_a_disk_that_is_full_starts_nothing_twice_and_is_told() {
    let field = field(&load::jobs(0..JOBS, SIGN, PATIENT));
    let Some(disk) = Disk::at(&field.ours.path("disk")) else {
        return say("X15b was left out: only root may mount a small disk");
    };
    // Everybody finds the file where it always is.
    std::os::unix::fs::symlink(disk.0.join("cronclave.db"), field.ours.path("cronclave.db")).unwrap();
    let fill = |field: &mut Field| {
        sleep(1.0);
        // It ends when there is no room for more.
        let _ = fs::write(field.ours.path("disk/filler"), vec![0; 9_000_000]);
        field.faults += 1;
        // Shorter ones are waited out without a word.
        sleep(6.5);
        fs::remove_file(field.ours.path("disk/filler")).unwrap();
        sleep(1.0);
    };
    let result = field.disturb("X15b", "SQLite: the disk is full for 6 s", fill, |_| {});
    result.spotless().only_lost();
    let said = |index: usize| fs::read_to_string(result.field.ours.path(&format!("replica-{index}.log"))).unwrap();
    assert!((0..PROCESSES).any(|index| said(index).contains("full")), "{}", result.field.ours.logs());
}

#[test]
fn x15c_a_machine_whose_clock_steps_an_hour_back_starts_nothing_twice() {
    let mut field = field(&load::jobs(0..JOBS, SIGN, PATIENT));
    let file = field.ours.path("clock");
    set_clock(&file, 0);
    for index in 0..PROCESSES {
        with_clock(&file).iter().for_each(|(name, value)| field.ours.give(index, name, value));
    }
    let step = |field: &mut Field| {
        sleep(1.5);
        set_clock(&file, -3600);
        field.faults += 1;
        sleep(3.0);
        set_clock(&file, 0);
        sleep(1.5);
    };
    let result = field.disturb("X15c", "SQLite: the clock steps -1 h and back", step, |_| {});
    assert!(!result.ours.failed(), "{:?}", result.ours);
}

//! The processes below this one: who they are, and a signal to all of them.

use std::collections::HashSet;
use std::fs;

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};

/// One process, as `/proc/PID/stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
}

/// Sends `signal` to every descendant of this process, wherever it hides: in the process group
/// `group` (in one go, so that none can fork its way out), in others, in other sessions.
///
/// Descendants are found by their parents. This process is a subreaper, so an orphan is its child.
pub(super) fn signal_descendants(group: Option<Pid>, signal: Signal) {
    // A process that has just gone, or belongs to another user, cannot be helped.
    if let Some(group) = group {
        let _ = kill_process_group(group, signal);
    }
    for process in below(getpid().as_raw_nonzero().get(), &everyone()) {
        let told = group.is_some_and(|group| group.as_raw_nonzero().get() == process.group);
        if let (false, Some(pid)) = (told, Pid::from_raw(process.pid)) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Those of `all` that descend from `root`.
fn below(root: i32, all: &[Process]) -> Vec<Process> {
    let mut known = HashSet::from([root]);
    let mut found = Vec::new();
    loop {
        let more: Vec<Process> =
            all.iter().filter(|one| known.contains(&one.parent) && !known.contains(&one.pid)).copied().collect();
        if more.is_empty() {
            return found;
        }
        known.extend(more.iter().map(|one| one.pid));
        found.extend(more);
    }
}

fn everyone() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// Reads `pid (name) state parent group ...`; the name may hold anything, also `)`. The state is
/// not asked: a zombie may be a main thread that ended before its others.
fn parse(pid: i32, stat: &[u8]) -> Option<Process> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, group })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_confuse_the_fields() {
        assert_eq!(parse(7, b"7 (a) R 9 (b) S 3 5 5 0"), Some(Process { pid: 7, parent: 3, group: 5 }));
        assert_eq!(parse(7, b"7 (cut"), None);
    }

    #[test]
    fn descendants_are_found_in_any_order_and_strangers_are_not() {
        let of = |pid, parent| Process { pid, parent, group: 0 };
        let all = [of(5, 4), of(4, 3), of(3, 1), of(9, 1), of(6, 3)];
        let mut pids: Vec<i32> = below(3, &all).iter().map(|one| one.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [4, 5, 6]);
    }

    #[test]
    fn everyone_includes_this_very_process() {
        assert!(everyone().iter().any(|one| one.pid == getpid().as_raw_nonzero().get()));
    }
}

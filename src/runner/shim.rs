//! The supervisor of a run: a small process between a replica and a program, by which nothing
//! of the program can outlive its run, its replica, or its replica's lease.
//!
//! It is a fork of the [fork server](super::forkserver), single-threaded and synchronous, and has one run at a time. It
//! adopts whatever the
//! program leaves behind, and ends all of it when it is told to, when the replica is gone (even by
//! `kill -9`: the control socket closes), and before the lease ends (even if the replica is frozen).

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, set_child_subreaper, wait};
use rustix::time::Timespec;

use super::forkserver::{self, Title, receive_with};
use super::launch::Launcher;
use super::signals::Children;
use super::tree::signal_descendants;
use super::wire::{Monotonic, Order, Report, Spec};

/// The first argument that makes our executable a fork server, and so supervisors.
pub(super) const ARGUMENT: &str = "__shim";
/// How long what a program leaves behind may go on by itself: `exec > >(tee log)` ends a moment later.
const LINGER: Duration = Duration::from_millis(300);
/// Between TERM and KILL for what a program leaves behind.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);
/// How long to wait for the kernel to end killed processes.
pub(super) const GIVE_UP: Duration = Duration::from_secs(5);
/// Between two rounds of KILL: something may have forked in between.
const ROUND: Duration = Duration::from_millis(20);

static CAN_BE_SHIM: AtomicBool = AtomicBool::new(false);

/// Makes this executable able to supervise the programs it starts. To be called first in `main`,
/// before any thread is started.
///
/// Each program then runs under a second, tiny process of this executable. In such a process this
/// function does not return; in every other it returns at once. Without this call programs are
/// started directly, in a process group of their own that is killed with the run: what leaves the group escapes, and
/// a replica that is killed kills nothing.
///
/// ```no_run
/// cronclave::shim(); // The first statement of `main`, which must not be below `#[tokio::main]`.
/// # let everything_else = || {};
/// everything_else();
/// ```
pub fn shim() {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT) {
        std::process::exit(match forkserver::serve() {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("cronclave: cannot supervise a run: {error}");
                70
            }
        });
    }
    CAN_BE_SHIM.store(true, Ordering::Relaxed);
}

pub(super) fn can_be_shim() -> bool {
    CAN_BE_SHIM.load(Ordering::Relaxed)
}

/// Supervises one run after another, until the replica wants no more.
pub(super) fn supervise(control: &mut Control, children: &Children) -> io::Result<()> {
    // An orphan becomes a child of ours.
    set_child_subreaper(Some(getpid()))?;
    let (title, mut launcher) = (Title::find(), Launcher::new()?);
    let show = |job: &str| title.iter().for_each(|title| title.show(job));
    while let Some((spec, output)) = control.next_run()? {
        show(&spec.job);
        // The replica may have been frozen since it won the lease.
        if spec.lease <= Monotonic::now() {
            control.report(&Report::OutOfLease);
        } else {
            match launcher.launch(&spec, &output) {
                Ok(leader) => {
                    let [leader_id, supervisor] = [leader, getpid()].map(|pid| pid.as_raw_nonzero().get());
                    control.report(&Report::Started { leader: leader_id, supervisor });
                    if !Supervisor::new(control, children, leader, &spec).run(output) {
                        break;
                    }
                }
                Err(not_started) => control.report(&Report::NotStarted(not_started)),
            }
        }
        show("");
    }
    Ok(())
}

/// When to ask, and when to kill.
#[derive(Clone, Copy)]
struct Limit {
    term: Monotonic,
    kill: Monotonic,
}

impl Limit {
    const NONE: Limit = Limit { term: Monotonic::NEVER, kill: Monotonic::NEVER };

    /// Asked after `linger`, killed `grace` later.
    fn within(linger: Duration, grace: Duration) -> Self {
        let term = Monotonic::now().plus(linger);
        Limit { term, kill: term.plus(grace) }
    }

    /// All must be dead by `until`, so the kill comes a little earlier, and the request before
    /// that, but neither takes more than a third of the lease away.
    fn of_lease(until: Monotonic, kill_after: Duration) -> Self {
        let third = until.since(Monotonic::now()) / 3;
        let lead = kill_after.max(Duration::from_millis(500)).min(third);
        let margin = (lead / 4).min(Duration::from_millis(500));
        Limit { term: until.minus(lead), kill: until.minus(margin) }
    }

    fn sooner(self, other: Limit) -> Self {
        Limit { term: self.term.min(other.term), kill: self.kill.min(other.kill) }
    }
}

struct Supervisor<'a> {
    control: &'a mut Control,
    /// Whether the replica is still there.
    is_held: bool,
    children: &'a Children,
    leader: Pid,
    /// How the leader ended. Its process id, and so its group's, is ours until then.
    ended: Option<WaitStatus>,
    kill_after: Duration,
    lease: Limit,
    ordered: Limit,
    asked: bool,
    out_of_lease: bool,
    /// Set with the first KILL.
    give_up: Option<Monotonic>,
}

impl<'a> Supervisor<'a> {
    fn new(control: &'a mut Control, children: &'a Children, leader: Pid, spec: &Spec) -> Self {
        Supervisor {
            control,
            is_held: true,
            children,
            leader,
            ended: None,
            kill_after: spec.kill_after,
            lease: Limit::of_lease(spec.lease, spec.kill_after),
            ordered: Limit::NONE,
            asked: false,
            out_of_lease: false,
            give_up: None,
        }
    }

    /// Returns once nothing of the program is left, and has said so. Answers whether there may be another.
    fn run(mut self, output: [OwnedFd; 2]) -> bool {
        self.take_orders(false);
        let last_word = loop {
            self.act();
            if self.give_up.is_some_and(|at| Monotonic::now() >= at) {
                break Report::Stuck;
            }
            let (is_told, has_lost) = self.sleep();
            if is_told {
                self.take_orders(true);
            }
            if has_lost && self.reap() {
                break self.last_word();
            }
        };
        // Held until now, so that the replica hears of the end of its output and of the program at once.
        drop(output);
        if self.is_held {
            self.control.report(&last_word);
        }
        self.is_held && !matches!(last_word, Report::Stuck)
    }

    /// Those that have been read, and, if there are `more`, these.
    fn take_orders(&mut self, more: bool) {
        let (orders, open) = self.control.orders(more);
        if !open {
            self.is_held = false;
            self.order_stop(self.kill_after);
        }
        for order in orders {
            match order {
                Order::Lease(until) => self.lease = Limit::of_lease(until, self.kill_after),
                Order::Stop(grace) => self.order_stop(grace),
                Order::Start(_) => {}
            }
        }
    }

    fn order_stop(&mut self, grace: Duration) {
        self.ordered = self.ordered.sooner(Limit::within(Duration::ZERO, grace));
    }

    /// Takes in whoever ended. True when there is no child left, and so, as every orphan below us
    /// becomes our child, no descendant either.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.leader => {
                    self.ended = Some(status);
                    // Whoever is being stopped already keeps the grace that was given to all.
                    if !self.asked {
                        self.ordered = self.ordered.sooner(Limit::within(LINGER, LEFTOVER_GRACE));
                    }
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    fn act(&mut self) {
        let now = Monotonic::now();
        let limit = self.ordered.sooner(self.lease);
        let group = self.ended.is_none().then_some(self.leader);
        if !self.asked && now >= limit.term {
            self.asked = true;
            if self.ended.is_none() && now < self.ordered.term {
                // A renewal that comes now is too late: the program has been asked to end.
                self.out_of_lease = true;
                self.ordered = limit;
            }
            signal_descendants(group, Signal::TERM);
            // A stopped process would not see it.
            signal_descendants(group, Signal::CONT);
        }
        if now >= limit.kill {
            self.give_up.get_or_insert(now.plus(GIVE_UP));
            signal_descendants(group, Signal::KILL);
        }
    }

    /// Until something happens: an order, a child's end, or the next limit. Answers whether it is the first, the second.
    fn sleep(&mut self) -> (bool, bool) {
        let limit = self.ordered.sooner(self.lease);
        let next = if self.asked { limit.kill } else { limit.term.min(limit.kill) };
        let pause = if self.give_up.is_some() { ROUND } else { next.since(Monotonic::now()) };
        let timeout = Timespec::try_from(pause).ok();
        let mut fds = [PollFd::new(self.children, PollFlags::IN), PollFd::new(&self.control.socket, PollFlags::IN)];
        let heeded = if self.is_held { &mut fds[..] } else { &mut fds[..1] };
        // Whatever it answers: we look again.
        let _ = poll(heeded, timeout.as_ref());
        let [has_lost, is_told] = fds.map(|fd| !fd.revents().is_empty());
        if has_lost {
            self.children.heard();
        }
        (is_told, has_lost)
    }

    fn last_word(&self) -> Report {
        match self.ended {
            _ if self.out_of_lease => Report::OutOfLease,
            Some(status) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Report::Exited(code),
                (None, Some(signal)) => Report::Killed(signal),
                (None, None) => Report::Stuck,
            },
            None => Report::Stuck,
        }
    }
}

/// The socket to the replica.
pub(super) struct Control {
    socket: UnixStream,
    read: Vec<u8>,
    /// Files that came, and are for the next run.
    files: Vec<OwnedFd>,
}

impl Control {
    /// No child inherits `socket`.
    pub(super) fn new(socket: UnixStream) -> Self {
        Control { socket, read: Vec::new(), files: Vec::new() }
    }

    /// Waits for the next run, and what is to be its output and its errors; `None` when the replica goes away before.
    fn next_run(&mut self) -> io::Result<Option<(Spec, [OwnedFd; 2])>> {
        loop {
            match self.next() {
                Some(Ok(Order::Start(spec))) => {
                    let files = std::mem::take(&mut self.files).try_into();
                    return files.map(|files| Some((spec, files))).map_err(|_| io::Error::other("a run has two files"));
                }
                // Still for the run before.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None if self.fill(RecvFlags::empty())? => {}
                None => return Ok(None),
            }
        }
    }

    /// What has come, and whether more may come. Does not wait.
    fn orders(&mut self, more: bool) -> (Vec<Order>, bool) {
        let open = match more.then(|| self.fill(RecvFlags::DONTWAIT)) {
            None | Some(Ok(true)) => true,
            Some(Ok(false)) => false,
            Some(Err(error)) => error.kind() == io::ErrorKind::WouldBlock,
        };
        // A line that we do not understand is from a replica that we do not understand.
        let mut orders = Vec::new();
        while let Some(order) = self.next() {
            match order {
                Ok(order) => orders.push(order),
                Err(_) => return (orders, false),
            }
        }
        (orders, open)
    }

    fn fill(&mut self, how: RecvFlags) -> io::Result<bool> {
        let mut piece = [0; 8192];
        let read = receive_with(&self.socket, &mut piece, &mut self.files, how)?;
        self.read.extend_from_slice(&piece[..read]);
        Ok(read > 0)
    }

    fn next(&mut self) -> Option<serde_json::Result<Order>> {
        let end = self.read.iter().position(|&byte| byte == b'\n')?;
        let line: Vec<u8> = self.read.drain(..=end).collect();
        Some(serde_json::from_slice(&line))
    }

    /// A replica that is gone cannot be told; it does not matter then.
    pub(super) fn report(&mut self, report: &Report) {
        if let Ok(mut line) = serde_json::to_vec(report) {
            line.push(b'\n');
            let _ = self.socket.write_all(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_asks_before_it_kills_and_kills_before_it_ends() {
        for (lease_ms, kill_after_ms) in [(30_000, 10_000), (30_000, 0), (900, 10_000), (300, 50)] {
            let now = Monotonic::now();
            let until = now.plus(Duration::from_millis(lease_ms));
            let limit = Limit::of_lease(until, Duration::from_millis(kill_after_ms));
            assert!(limit.term < limit.kill && limit.kill < until, "{lease_ms} {kill_after_ms}");
            assert!(until.since(limit.term) <= Duration::from_millis(lease_ms / 3));
        }
    }

    #[test]
    fn a_lease_that_is_over_kills_at_once() {
        let limit = Limit::of_lease(Monotonic::now(), Duration::from_secs(10));
        assert!(limit.kill <= Monotonic::now());
    }
}

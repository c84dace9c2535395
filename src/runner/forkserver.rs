//! The fork server: a small process beside a replica that becomes, by a fork each, the supervisors of its runs.
//!
//! It is our own executable started anew, once, single-threaded and small. A fork of it costs a fraction of what it costs
//! to start an executable, and the same however large the replica has grown. It ends with its replica; what it has forked
//! does not depend on it. A supervisor whose run is over, of which nothing is left, takes the next.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream as Socket;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use rustix::process::{WaitOptions, setpgid, wait};
use rustix::stdio::dup2_stdin;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::environment::Environment;
use super::shim::{self, Control};
use super::signals;
use super::wire::{NotStarted, Report};

/// Files that are sent at once, at most: what is to be the output of a program and its errors.
const FILES: usize = 2;

/// Room in the arguments for the name of a job.
const ROOM: usize = 160;

/// A fork server that takes nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a supervisor without a run is kept for the next.
const IDLE: Duration = Duration::from_secs(5);

/// The supervisors of a replica: those that wait for a run, and where more come from.
#[derive(Debug)]
pub(super) struct Supervisors {
    executable: PathBuf,
    /// For it and all that it forks, and so for all programs.
    inherited: Arc<Environment>,
    /// Started when it is first wanted, and again when it is gone.
    server: Mutex<Option<Running>>,
    idle: Arc<Idle>,
}

#[derive(Debug)]
struct Running {
    socket: UnixStream,
    /// Killed when this is dropped.
    _child: Child,
}

type Idle = std::sync::Mutex<Waiting>;

#[derive(Debug, Default)]
struct Waiting {
    /// Supervisors without a run, and since when, the latest last.
    all: Vec<(UnixStream, Instant)>,
    /// Whether somebody sees to it that they do not wait for ever. One is enough.
    is_watched: bool,
}

impl Supervisors {
    /// `executable` begins with [`shim()`](super::shim()).
    pub(super) fn new(executable: PathBuf, inherited: Arc<Environment>) -> Self {
        Supervisors { executable, inherited, server: Mutex::default(), idle: Arc::default() }
    }

    /// A supervisor that has been given these files and told `order`, or its beginning: so many bytes of it.
    pub(super) async fn take(&self, order: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<(UnixStream, usize)> {
        while let Some(control) = self.next() {
            // One that was killed meanwhile has closed it.
            if let Ok(told) = send_with(&control, order, files).await {
                return Ok((control, told));
            }
        }
        let control = self.fork().await?;
        let told = send_with(&control, order, files).await?;
        Ok((control, told))
    }

    fn next(&self) -> Option<UnixStream> {
        Some(self.waiting().all.pop()?.0)
    }

    /// A supervisor that has told the end of its run, for the next.
    pub(super) fn give_back(&self, control: UnixStream) {
        let mut idle = self.waiting();
        idle.all.push((control, Instant::now()));
        if !std::mem::replace(&mut idle.is_watched, true) {
            tokio::spawn(let_go(Arc::downgrade(&self.idle)));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fork(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = Socket::pair()?;
        ours.set_nonblocking(true)?;
        let (ours, theirs) = (UnixStream::from_std(ours)?, OwnedFd::from(theirs));
        let mut server = self.server.lock().await;
        if let Some(server) = &*server
            && send_with(&server.socket, b"\n", &[theirs.as_fd()]).await.is_ok()
        {
            return Ok(ours);
        }
        // There is none yet, or it was killed.
        let server = server.insert(Running::start(&self.executable, &self.inherited)?);
        send_with(&server.socket, b"\n", &[theirs.as_fd()]).await?;
        Ok(ours)
    }
}

/// Ends supervisors that have waited for long, until there are none.
async fn let_go(idle: Weak<Idle>) {
    loop {
        sleep(IDLE).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.all.retain(|(_, since)| since.elapsed() < IDLE);
        if idle.all.is_empty() {
            idle.is_watched = false;
            return;
        }
    }
}

impl Running {
    fn start(executable: &Path, inherited: &Environment) -> io::Result<Self> {
        let (ours, theirs) = Socket::pair()?;
        ours.set_nonblocking(true)?;
        let mut process = Command::new(executable);
        process.arg0("cronclave").arg(shim::ARGUMENT).arg(" ".repeat(ROOM));
        // Not our passwords: a program can read what its parent was given.
        process.env_clear().envs(inherited);
        process.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        process.process_group(0).kill_on_drop(true);
        Ok(Running { socket: UnixStream::from_std(ours)?, _child: process.spawn()? })
    }
}

/// Sends files with the first of these bytes, and answers with how many were sent.
async fn send_with(socket: &UnixStream, bytes: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let send = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(files));
        Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
    };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
    timeout(PATIENCE, socket.async_io(Interest::WRITABLE, send)).await.map_err(late)?
}

/// Reads what is there, and takes files that came with it. Nothing read means that the other side is gone.
pub(super) fn receive_with(
    socket: &Socket,
    piece: &mut [u8],
    files: &mut Vec<OwnedFd>,
    how: RecvFlags,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    loop {
        match recvmsg(socket, &mut [IoSliceMut::new(piece)], &mut control, how | RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            // A replica that was killed in the middle of a word.
            Err(Errno::CONNRESET) => return Ok(0),
            read => {
                let read = read?.bytes;
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(some) = message {
                        files.extend(some);
                    }
                }
                return Ok(read);
            }
        }
    }
}

/// Serves until the replica is gone. In a fork it goes on as a supervisor, and returns with it.
pub(super) fn serve() -> io::Result<()> {
    let children = signals::stand_firm()?;
    let replica = Socket::from(io::stdin().as_fd().try_clone_to_owned()?);
    loop {
        let mut fds = [PollFd::new(&replica, PollFlags::IN), PollFd::new(&children, PollFlags::IN)];
        let _ = poll(&mut fds, None);
        let [is_asked, has_lost] = [0, 1].map(|n| !fds[n].revents().is_empty());
        if has_lost {
            children.heard();
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        }
        if !is_asked {
            continue;
        }
        let mut files = Vec::new();
        if receive_with(&replica, &mut [0], &mut files, RecvFlags::empty())? == 0 {
            return Ok(());
        }
        let control = files.pop().ok_or_else(|| io::Error::other("it is told what to do by a replica, not by hand"))?;
        let mut control = Control::new(control.into());
        // SAFETY: this process has a single thread, so that the child finds everything as it was, and may do anything.
        #[allow(unsafe_code, reason = "nothing else makes a process without starting an executable")]
        match unsafe { libc::fork() } {
            0 => {
                drop(replica);
                setpgid(None, None)?;
                dup2_stdin(File::open("/dev/null")?)?;
                return shim::supervise(&mut control, &children).inspect_err(|error| {
                    let why = format!("cannot supervise it: {error}");
                    control.report(&Report::NotStarted(NotStarted { code: 125, why }));
                });
            }
            -1 => {
                let why = format!("cannot start a supervisor for it: {}", io::Error::last_os_error());
                control.report(&Report::NotStarted(NotStarted { code: 125, why }));
            }
            _ => {}
        }
    }
}

/// The arguments of this process, as those see them who list processes.
pub(super) struct Title {
    memory: File,
    from: u64,
    room: usize,
}

impl Title {
    /// `None` where they cannot be changed, which does not matter.
    pub(super) fn find() -> Option<Title> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // proc_pid_stat(5): arguments are from field 48 to 49. The name, in brackets, is the second.
        let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace();
        let from: u64 = fields.nth(45)?.parse().ok()?;
        let to: u64 = fields.next()?.parse().ok()?;
        let memory = OpenOptions::new().write(true).open("/proc/self/mem").ok()?;
        Some(Title { memory, from, room: usize::try_from(to.checked_sub(from)?).ok()? })
    }

    /// Shows the name of the job.
    pub(super) fn show(&self, job: &str) {
        let mut title = format!("cronclave {} {job}", shim::ARGUMENT).into_bytes();
        title.resize(self.room, 0);
        if let Some(last) = title.last_mut() {
            *last = 0;
        }
        let _ = self.memory.write_all_at(&title, self.from);
    }
}

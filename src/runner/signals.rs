//! The signals of a supervisor: all of them wait, and so neither end it nor interrupt it. That a child ended is read
//! from a file.

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd};
use std::ptr;

/// Readable when a child has ended, also in a fork, which hears of its own children by it.
pub(super) struct Children(File);

/// Survives the signals that a platform sends to every process. Blocked, not ignored: programs inherit what is ignored.
/// What was ignored or handled is so no more, and programs find everything as usual.
pub(super) fn stand_firm() -> io::Result<Children> {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: sets no handler. What the kernel or the C library keep for themselves, they refuse.
        #[allow(unsafe_code, reason = "no safe function makes a signal what it was by default")]
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
    // SAFETY: sets that are written before they are read, and a file that is nobody else's.
    #[allow(unsafe_code, reason = "no safe function blocks signals, or makes a file of them")]
    unsafe {
        let (mut all, mut ended) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        libc::sigfillset(all.as_mut_ptr());
        libc::sigemptyset(ended.as_mut_ptr());
        libc::sigaddset(ended.as_mut_ptr(), libc::SIGCHLD);
        if libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        match libc::signalfd(-1, ended.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            file => Ok(Children(File::from_raw_fd(file))),
        }
    }
}

impl Children {
    /// To be called before those that ended are looked for. Several of them may be told of at once.
    pub(super) fn heard(&self) {
        let mut told = [0; size_of::<libc::signalfd_siginfo>()];
        // Nothing to read is no fault: somebody else has reaped them.
        let _ = (&self.0).read(&mut told);
    }
}

impl AsFd for Children {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

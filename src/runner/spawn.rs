//! Starts a program in a child that borrows this process's memory until it is the program (`CLONE_VM | CLONE_VFORK`).
//!
//! So does the library's `posix_spawn`, but it has no words for two things that the child of a supervisor has to do: to
//! die with it, and to see that it is still there. A `fork` copies the page tables for that, and then each page that is
//! written to.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, set_parent_process_death_signal, setpgid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// Where who has no `PATH` looks for a program, by the C library.
const PATH: &[u8] = b"/bin:/usr/bin";

/// Runs a script that names no interpreter, by the C library.
const SHELL: &CStr = c"/bin/sh";

/// The child's, in bytes, until it is the program: its few calls need some hundred.
const STACK: usize = 64 << 10;

/// What a program is given.
pub(super) struct Plan<'a> {
    pub(super) argv: Vec<CString>,
    /// `NAME=value` each.
    pub(super) environment: Vec<&'a CStr>,
    /// Its standard input, if not that of this process.
    pub(super) input: Option<BorrowedFd<'a>>,
    /// Its standard output and standard error.
    pub(super) output: [BorrowedFd<'a>; 2],
}

/// Starts programs, one at a time.
pub(super) struct Spawner {
    stack: Vec<MaybeUninit<u128>>,
}

impl Spawner {
    pub(super) fn new() -> Self {
        Spawner { stack: vec![MaybeUninit::uninit(); STACK / size_of::<u128>()] }
    }

    /// Starts a program in the directory of this process and in a process group of its own. It inherits no file but its
    /// three, has no signal blocked, and is killed when the calling thread ends, also by `kill -9`.
    ///
    /// To be called with all signals blocked, so that no handler of ours runs in the child, on our memory; and with the
    /// three standard files open, so that no file of the plan is one of them.
    pub(super) fn spawn(&mut self, plan: &Plan<'_>) -> io::Result<Pid> {
        let argv: Vec<&CStr> = plan.argv.iter().map(CString::as_c_str).collect();
        let name = argv.first().map_or(&[][..], |name| name.to_bytes());
        let path = plan.environment.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
        let files = places(name, path.unwrap_or(PATH));
        let started = match self.child(&files, &argv, plan) {
            Err(Failure { errno: Errno::NOEXEC, file }) => {
                let script = files.get(file).map(CString::as_c_str);
                let argv: Vec<&CStr> = [SHELL].into_iter().chain(script).chain(argv.into_iter().skip(1)).collect();
                self.child(&[SHELL.to_owned()], &argv, plan)
            }
            started => started,
        };
        started.map_err(|failure| failure.errno.into())
    }

    /// Starts the first of `files` that can be.
    fn child(&mut self, files: &[CString], argv: &[&CStr], plan: &Plan<'_>) -> Result<Pid, Failure> {
        let mut child = Child {
            files: files.iter().map(|file| file.as_ptr()).collect(),
            argv: terminated(argv),
            environment: terminated(&plan.environment),
            plan,
            parent: getpid(),
            failure: None,
        };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the child runs `become_program` on a stack that nobody else uses, aligned as all ABIs want it, and large
        // enough. This thread waits until the child has another memory, as a program, or has ended (CLONE_VFORK): until
        // then all that it is given lives, and is its alone. It allocates nothing and takes no lock, as it may have been
        // started amid other threads. The kernel orders what it has written before what we read afterwards.
        #[allow(
            unsafe_code,
            reason = "the library cannot start a program that dies with us without copying our memory"
        )]
        let pid = unsafe {
            let top = self.stack.as_mut_ptr_range().end.cast();
            libc::clone(become_program, top, flags, ptr::from_mut(&mut child).cast())
        };
        let errno = last_errno();
        let pid = Pid::from_raw(pid.max(0)).ok_or(Failure { errno, file: 0 })?;
        let Some(failure) = child.failure else { return Ok(pid) };
        // Nobody is to hear of it as of a program that ended.
        let _ = waitpid(Some(pid), WaitOptions::empty());
        Err(failure)
    }
}

/// What the child works with, in memory that is its parent's.
struct Child<'a> {
    files: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    plan: &'a Plan<'a>,
    parent: Pid,
    failure: Option<Failure>,
}

/// Why no program came of it, and at which file.
#[derive(Clone, Copy, Debug)]
struct Failure {
    errno: Errno,
    file: usize,
}

extern "C" fn become_program(child: *mut c_void) -> c_int {
    // SAFETY: it is what `Spawner::child` has passed, which waits meanwhile.
    #[allow(unsafe_code, reason = "the C library passes on nothing but a bare pointer")]
    let child = unsafe { &mut *child.cast::<Child<'_>>() };
    child.failure = Some(match child.prepare() {
        Ok(()) => child.execute(),
        Err(errno) => Failure { errno, file: 0 },
    });
    // A program would not have returned.
    127
}

impl Child<'_> {
    fn prepare(&self) -> rustix::io::Result<()> {
        setpgid(None, None)?;
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before the line above: then nobody would kill us.
        if getppid() != Some(self.parent) {
            return Err(Errno::SRCH);
        }
        if let Some(input) = self.plan.input {
            dup2_stdin(input)?;
        }
        let [out, err] = self.plan.output;
        dup2_stdout(out)?;
        dup2_stderr(err)?;
        // SAFETY: a set that is written before it is read; nothing of ours handles the signals that this lets in.
        #[allow(unsafe_code, reason = "no safe function changes which signals are blocked")]
        unsafe {
            let mut none = MaybeUninit::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        }
        Ok(())
    }

    /// Returns when none of the files can be started. As the C library, it passes over those that are not there.
    fn execute(&self) -> Failure {
        let mut last = Failure { errno: Errno::NOENT, file: 0 };
        let mut is_denied = false;
        for (at, &file) in self.files.iter().enumerate() {
            // SAFETY: all three are strings that end with a zero, and lists of such that end with a null.
            #[allow(unsafe_code, reason = "no safe function becomes a program without allocating")]
            unsafe {
                libc::execve(file, self.argv.as_ptr(), self.environment.as_ptr());
            }
            last = Failure { errno: last_errno(), file: at };
            match last.errno {
                Errno::ACCESS => is_denied = true,
                Errno::NOENT | Errno::NOTDIR | Errno::STALE | Errno::NODEV | Errno::TIMEDOUT => {}
                _ => return last,
            }
        }
        if is_denied { Failure { errno: Errno::ACCESS, ..last } } else { last }
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// As C has lists of strings: with a null at the end.
fn terminated(all: &[&CStr]) -> Vec<*const c_char> {
    all.iter().map(|one| one.as_ptr()).chain([ptr::null()]).collect()
}

/// The files that a program of this name may be, in the order of `path`.
fn places(name: &[u8], path: &[u8]) -> Vec<CString> {
    let of = |directory: &[u8]| match directory {
        // Here.
        b"" => CString::new(name),
        _ => CString::new([directory, b"/", name].concat()),
    };
    let directories: Vec<&[u8]> = match name {
        b"" => vec![],
        _ if name.contains(&b'/') => vec![b""],
        _ => path.split(|&byte| byte == b':').collect(),
    };
    directories.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, path: &str) -> Vec<String> {
        places(name.as_bytes(), path.as_bytes()).into_iter().map(|file| file.into_string().unwrap()).collect()
    }

    #[test]
    fn a_name_is_looked_for_in_each_directory_and_a_path_is_taken_as_it_is() {
        assert_eq!(shown("ls", "/usr/bin:/bin"), ["/usr/bin/ls", "/bin/ls"]);
        assert_eq!(shown("ls", ":bin/"), ["ls", "bin//ls"]);
        assert_eq!(shown("./ls", "/usr/bin:/bin"), ["./ls"]);
        assert_eq!(shown("", "/usr/bin"), [""; 0]);
    }
}

//! What was needed for a moment goes back to the kernel: memory that was freed, and the pages of the program's file
//! that are seldom needed.
//!
//! Reading files and planning from all records take much for a moment. The C library keeps what lies below the last
//! block in use for later; of 100,000 jobs that is as much as the jobs take.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// After the start; by then the files are read and the jobs planned.
const FIRST: Duration = Duration::from_secs(15);

/// As often as a replica reads all records.
const EVERY: Duration = Duration::from_secs(60);

/// Who spent so much processor time in that needs the pages of the program that it has.
const BUSY: Duration = Duration::from_millis(600);

/// Gives back memory that is free, again and again; and pages of the program, after the start and when little happened:
/// what reads all records passes by much that nothing else does, but a crowd of jobs that are due at once is not to wait
/// for what it needed a minute ago.
pub(crate) async fn live_thriftily() {
    sleep(FIRST).await;
    let mut is_idle = true;
    while spawn_blocking(move || os::give_back(is_idle)).await.is_ok() {
        let before = spent();
        sleep(EVERY).await;
        is_idle = spent().saturating_sub(before) < BUSY;
    }
}

/// Processor time of this process.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// To be called before there are threads. Those that allocate much do so seldom, and in turn: with one place for blocks
/// there are fewer gaps between them, and large ones go back as soon as they are free.
pub(crate) fn begin() {
    os::settle();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library is not asked in another way")]
mod os {
    use std::ffi::{c_int, c_void};
    use std::ptr;

    /// Blocks this large are the kernel's own again when they are freed.
    const LARGE: c_int = 128 * 1024;

    pub(super) fn settle() {
        // SAFETY: three settings of the allocator, which only the calling thread uses yet.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
        }
    }

    /// Gives back memory that is free, and the program's pages `as_well`.
    pub(super) fn give_back(as_well: bool) {
        trim();
        if as_well {
            forget_program();
        }
    }

    fn trim() {
        // SAFETY: it may be called at any time by any thread (MT-Safe by its manual), and touches no block in use.
        unsafe {
            libc::malloc_trim(0);
        }
    }

    /// Lets go of the program's pages, and those of its libraries. Whichever is needed again comes from the kernel's
    /// cache of the file, or from the file.
    fn forget_program() {
        // SAFETY: `forget` keeps to what it is given, which lives until it returns.
        unsafe {
            libc::dl_iterate_phdr(Some(forget), ptr::null_mut());
        }
    }

    /// Lets go of one object's segments that are never written: of the others, and of what is protected once it was
    /// relocated, the pages differ from the file's.
    unsafe extern "C" fn forget(info: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
        // SAFETY: the loader lists what is mapped, and keeps it mapped during the call. No segment without `PF_W` holds
        // anything but the file's bytes, as code that is independent of its place is not relocated; so that dropping
        // its pages changes nothing that could be read. The kernel's own object has no file.
        unsafe {
            let object = &*info;
            if object.dlpi_addr == libc::getauxval(libc::AT_SYSINFO_EHDR) {
                return 0;
            }
            let page = libc::sysconf(libc::_SC_PAGESIZE).unsigned_abs();
            for segment in std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) {
                if segment.p_type == libc::PT_LOAD && segment.p_flags & libc::PF_W == 0 {
                    let from = (object.dlpi_addr + segment.p_vaddr) / page * page;
                    let upto = object.dlpi_addr + segment.p_vaddr + segment.p_memsz;
                    let from_ptr = ptr::with_exposed_provenance_mut(from as usize);
                    libc::madvise(from_ptr, (upto - from) as usize, libc::MADV_DONTNEED);
                }
            }
        }
        0
    }
}

/// Other C libraries keep less, and other systems drop what they need not.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod os {
    pub(super) fn settle() {}
    pub(super) fn give_back(_: bool) {}
}

//! Memory that was freed goes back to the kernel: reading files and planning from all records take much for a moment.
//!
//! The C library keeps what lies below the last block in use for later. Of 100,000 jobs that is as much as the jobs take.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// After the start; by then the files are read and the jobs planned.
const FIRST: Duration = Duration::from_secs(15);

/// As often as a replica reads all records.
const EVERY: Duration = Duration::from_secs(60);

/// Gives back what is free, again and again.
pub(crate) async fn live_thriftily() {
    sleep(FIRST).await;
    while spawn_blocking(give_back).await.is_ok() {
        sleep(EVERY).await;
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: it may be called at any time by any thread (MT-Safe by its manual), and touches no block in use.
    #[allow(unsafe_code, reason = "the C library is not asked in another way")]
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

//! A program on its way to being started, and its two pipes.

use std::ffi::OsStr;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::environment::Environment;
use super::wire::{NotStarted, Report};
use super::{Chunk, Stream};
use crate::job::{Command, Job};

/// How long output may still come once nothing of the program is left: somebody else may hold the pipe.
const DRAIN: Duration = Duration::from_secs(3);

/// What is read at once, in bytes.
const PIECE: usize = 8192;

/// A program with all that it needs to start.
pub(super) struct Program<'a> {
    pub(super) job: &'a Job,
    pub(super) command: &'a Command,
    /// What the replica inherited.
    pub(super) inherited: &'a Environment,
    /// What it is given besides, and rather than that.
    pub(super) environment: Environment,
}

/// How a program ended, or how sight of it was lost.
pub(super) type Finish = Result<Report, String>;

impl Program<'_> {
    /// Adds to "not found" where it was looked for.
    pub(super) fn searched(&self, mut not_started: NotStarted) -> NotStarted {
        let name = self.command.argv.first().map_or("", |word| word);
        if not_started.code == 127 && !name.contains('/') {
            let path = OsStr::new("PATH");
            let path = self.environment.get(path).or_else(|| self.inherited.get(path));
            let path = path.map(|path| path.to_string_lossy());
            not_started.why += &format!(" in PATH ({})", path.as_deref().unwrap_or("not set"));
        } else if not_started.code == 127 && !name.starts_with('/') {
            let directory = self
                .command
                .cwd
                .as_deref()
                .map(Path::to_owned)
                .or_else(|| std::env::current_dir().ok())
                .unwrap_or_default();
            not_started.why += &format!(" in {}", directory.display());
        }
        not_started
    }
}

/// Awaits the `end` of a program while both its streams are read as they come, and then the rest of them.
pub(super) async fn carrying<T>(
    stdout: impl AsyncRead + Unpin,
    stderr: impl AsyncRead + Unpin,
    to: &mpsc::Sender<Chunk>,
    end: impl Future<Output = T>,
) -> T {
    // In the task of the run: most programs say little, and another task would cost more than that.
    let output = async { tokio::join!(carry(stdout, Stream::Stdout, to), carry(stderr, Stream::Stderr, to)) };
    let (mut output, mut end, mut is_read) = (pin!(output), pin!(end), false);
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut end => break ended,
            _ = &mut output, if !is_read => is_read = true,
        }
    };
    if !is_read {
        // Whoever holds the pipe beyond that was never ours.
        let _ = timeout(DRAIN, output).await;
    }
    ended
}

/// Reads on when nobody listens any more: a full pipe would stop the program.
async fn carry(mut pipe: impl AsyncRead + Unpin, stream: Stream, to: &mpsc::Sender<Chunk>) {
    while let Ok(bytes) = piece(&mut pipe).await
        && !bytes.is_empty()
    {
        let _ = to.send(Chunk { stream, bytes }).await;
        // However much a program prints, all else in this task has its turn: its lease, the request to stop.
        yield_now().await;
    }
}

/// What is there. It needs no memory while it waits.
async fn piece(pipe: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    poll_fn(|context| {
        let mut space = [MaybeUninit::uninit(); PIECE];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *pipe).poll_read(context, &mut read))?;
        Poll::Ready(Ok(read.filled().to_vec()))
    })
    .await
}

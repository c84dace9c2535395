//! A program on its way to being started, and its two pipes.

use std::ffi::OsStr;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::environment::Environment;
use super::wire::{NotStarted, Report};
use super::{Chunk, Stream};
use crate::job::{Command, Job};

/// A program with all that it needs to start.
pub(super) struct Program<'a> {
    pub(super) job: &'a Job,
    pub(super) command: &'a Command,
    pub(super) environment: Environment,
}

/// How a program ended, and where the rest of its output is being read.
pub(super) struct Finish {
    pub(super) report: Result<Report, String>,
    pub(super) output: JoinSet<()>,
}

impl Program<'_> {
    /// Adds to "not found" where it was looked for.
    pub(super) fn searched(&self, mut not_started: NotStarted) -> NotStarted {
        let name = self.command.argv.first().map_or("", String::as_str);
        if not_started.code == 127 && !name.contains('/') {
            let path = self.environment.get(OsStr::new("PATH")).map(|path| path.to_string_lossy());
            not_started.why += &format!(" in PATH ({})", path.as_deref().unwrap_or("not set"));
        } else if not_started.code == 127 && !name.starts_with('/') {
            let directory = self.command.cwd.clone().or_else(|| std::env::current_dir().ok()).unwrap_or_default();
            not_started.why += &format!(" in {}", directory.display());
        }
        not_started
    }
}

/// Reads both streams of a program as they come.
pub(super) fn read_output<O, E>(stdout: O, stderr: E, to: &mpsc::Sender<Chunk>) -> JoinSet<()>
where
    O: AsyncRead + Unpin + Send + 'static,
    E: AsyncRead + Unpin + Send + 'static,
{
    let mut readers = JoinSet::new();
    readers.spawn(carry(stdout, Stream::Stdout, to.clone()));
    readers.spawn(carry(stderr, Stream::Stderr, to.clone()));
    readers
}

/// Reads on when nobody listens any more: a full pipe would stop the program.
async fn carry(mut pipe: impl AsyncRead + Unpin, stream: Stream, to: mpsc::Sender<Chunk>) {
    let mut piece = vec![0; 8192];
    while let Ok(read @ 1..) = pipe.read(&mut piece).await {
        let _ = to.send(Chunk { stream, bytes: piece[..read].to_vec() }).await;
    }
}

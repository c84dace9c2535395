//! How user code is run: a [`Runner`] does one attempt and returns once nothing of it is left.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::job::{Action, Job};
use crate::lease::{Ended, Outcome, Work};

mod command;
mod direct;
mod environment;
mod forkserver;
mod handler;
mod http;
mod launch;
mod program;
mod shim;
mod signals;
mod spawn;
mod start;
mod supervised;
mod tree;
mod wire;

pub use command::CommandRunner;
pub use handler::{Context, Handlers};
pub use http::HttpRunner;
pub use shim::shim;

/// Which of a program's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of output, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Where it was written to.
    pub stream: Stream,
    /// Not necessarily whole lines, nor valid UTF-8.
    pub bytes: Vec<u8>,
}

/// What the running code is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Go on.
    Go,
    /// End now; what is still alive after `grace` is killed.
    Stop {
        /// From the moment of the request.
        grace: Duration,
    },
}

/// The strings by which an attempt holds its running code.
#[derive(Debug)]
pub struct Control {
    /// Whether to go on.
    pub halt: watch::Receiver<Halt>,
    /// Until when the lease may be trusted; moves on with each renewal. Code that is out of the
    /// attempt's reach (a child of a frozen replica) must end by itself before this.
    pub trusted_until: watch::Receiver<Instant>,
    /// Takes the output. It is always drained, so it may be awaited.
    pub output: mpsc::Sender<Chunk>,
}

impl Control {
    /// Waits for the request to end, and gives its grace. Whoever can no longer ask lets the code go on.
    async fn stopped(&mut self) -> Duration {
        let asked = self.halt.wait_for(|halt| matches!(halt, Halt::Stop { .. })).await.map(|halt| *halt);
        match asked {
            Ok(Halt::Stop { grace }) => grace,
            _ => std::future::pending().await,
        }
    }
}

/// Runs user code. The only caller is `attempt`.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Does `work` and returns when nothing of it is left running. Being told to halt is not an
    /// error: it returns how the code really ended, and the attempt knows why it was told.
    /// Dropping the future kills the code.
    async fn run(&self, job: &Job, work: &Work, control: Control) -> Ended;
}

/// Runs every kind of [`Action`].
#[derive(Debug, Clone)]
pub struct Runners {
    /// For programs.
    pub command: CommandRunner,
    /// For requests.
    pub http: HttpRunner,
    /// For functions of the embedding program.
    pub handlers: Handlers,
}

#[async_trait]
impl Runner for Runners {
    async fn run(&self, job: &Job, work: &Work, control: Control) -> Ended {
        let halted = matches!(*control.halt.borrow(), Halt::Stop { .. });
        if halted {
            return Ended::because(Outcome::Failed, "stopped before it was started");
        }
        match job.task.action() {
            // Boxed: a handler is not to take the memory of a request.
            Some(Action::Command(command)) => Box::pin(self.command.run(command, job, work, control)).await,
            Some(Action::Http(http)) => Box::pin(self.http.run(http, work, control)).await,
            Some(Action::Handler { name, args }) => self.handlers.run(name, args.clone(), work, control).await,
            None => Ended::because(Outcome::Failed, "it is a message: nothing of it runs here"),
        }
    }
}

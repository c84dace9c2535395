//! What an occurrence does: a program, a request, a function; here, on a worker, or as a message.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What an occurrence does.
#[derive(Debug, Clone)]
pub enum Task {
    /// Done by the replica that won it.
    Run(Action),
    /// Done by a worker that takes requests from this queue. The replica that won it sends the request.
    Queue(QueueName, Action),
    /// A message to somebody else's service.
    Publish(Box<Publish>),
}

impl Task {
    /// What is done in a process of ours, if anything is.
    pub fn action(&self) -> Option<&Action> {
        match self {
            Task::Run(action) | Task::Queue(_, action) => Some(action),
            Task::Publish(_) => None,
        }
    }

    /// Whether it takes a broker.
    pub fn is_sent(&self) -> bool {
        !matches!(self, Task::Run(_))
    }
}

/// The name of a queue of requests for workers, by the rules for the names of jobs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(Arc<str>);

impl QueueName {
    /// Checks and takes a name.
    pub fn new(text: &str) -> Option<Self> {
        super::is_name(text).then(|| QueueName(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for QueueName {
    /// `default`.
    fn default() -> Self {
        QueueName("default".into())
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A message to publish for somebody else's service.
#[derive(Debug, Clone)]
pub struct Publish {
    /// The exchange it goes to; empty for the broker's default exchange, whose keys are names of queues.
    pub exchange: String,
    /// Templates allowed.
    pub routing_key: String,
    /// How the payload is wrapped.
    pub format: Format,
    /// JSON, whose texts may hold templates. Absent: what the run is, for [`Format::CloudEvents`]; else nothing.
    pub payload: Option<serde_json::Value>,
    /// Default `application/json`, or `text/plain` for a payload that is text.
    pub content_type: Option<String>,
    /// Sent along; templates allowed.
    pub headers: BTreeMap<String, Text>,
    /// 0 to 255.
    pub priority: Option<u8>,
    /// The broker drops it when nobody has taken it for so long.
    pub expires: Option<Duration>,
    /// Whether it survives a restart of the broker. Default `true`.
    pub persistent: bool,
    /// When the run counts as done.
    pub complete_on: Completion,
}

/// How a payload is wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// As the data of a CloudEvent in JSON.
    CloudEvents,
    /// As it stands.
    #[default]
    Plain,
}

/// When a run that is a message counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Completion {
    /// The broker has the message in a queue.
    #[default]
    Confirm,
    /// Whoever took it says so, within the job's `timeout`.
    Result,
}

/// Work a process can do itself.
#[derive(Debug, Clone)]
pub enum Action {
    /// Start a program.
    Command(Command),
    /// Make an HTTP request.
    Http(Box<Http>),
    /// Call an async function that the embedding program registered.
    Handler {
        /// The name it was registered under.
        name: String,
        /// Handed to the function as JSON.
        args: serde_json::Value,
    },
}

/// A program to start.
#[derive(Clone, Default)]
pub struct Command {
    /// Program and arguments, as executed: a shell text is already wrapped in its shell.
    pub argv: Vec<Arc<str>>,
    /// The last of `argv` is text for a shell.
    pub is_shell: bool,
    /// Working directory; the replica's own when absent.
    pub cwd: Option<Arc<Path>>,
    /// Added to the environment that the replica itself inherited.
    pub env: Arc<BTreeMap<String, Text>>,
    /// A file of `NAME=value` lines, read at each start.
    pub env_file: Option<Arc<Path>>,
    /// Fed to standard input; empty input when absent.
    pub stdin: Option<Box<str>>,
}

impl Command {
    /// What the file said, to show: the shell text, or the arguments joined.
    pub fn shown(&self) -> String {
        match self.argv.split_last() {
            Some((text, _)) if self.is_shell => text.to_string(),
            _ => self.argv.join(" "),
        }
    }

    /// `argv`, each word by itself.
    pub fn words(&self) -> Vec<String> {
        self.argv.iter().map(ToString::to_string).collect()
    }
}

/// All of it, and what it is shown as.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Command { argv, is_shell, cwd, env, env_file, stdin } = self;
        let mut all = f.debug_struct("Command");
        all.field("argv", argv).field("shown", &self.shown()).field("is_shell", is_shell).field("cwd", cwd);
        all.field("env", env).field("env_file", env_file).field("stdin", stdin).finish()
    }
}

/// An HTTP request to make.
#[derive(Debug, Clone)]
pub struct Http {
    /// Default `GET`, or `POST` when there is a body.
    pub method: String,
    /// Absolute `http` or `https` URL.
    pub url: String,
    /// Sent with the request.
    pub headers: BTreeMap<String, Text>,
    /// Sent as it stands.
    pub body: Option<String>,
    /// Limit for the whole exchange; the job's `timeout` holds as well.
    pub timeout: Option<Duration>,
    /// Accepted statuses; empty means any 2xx.
    pub expect_status: Vec<u16>,
    /// The body must contain this.
    pub expect_body: Option<String>,
    /// The request is signed with this, as Standard Webhooks has it. Default: not signed.
    pub sign_with: Option<Text>,
}

/// A value that may be secret. A secret is shown as its name only.
#[derive(Clone, PartialEq, Eq)]
pub enum Text {
    /// Written in the file.
    Plain(String),
    /// Taken from elsewhere.
    Secret {
        /// Its key under `[secrets]`.
        name: String,
        /// Put before the value, as in `Bearer `.
        prefix: String,
        /// The value; absent when it could not be read, which fails the run, not the file.
        value: Option<String>,
    },
}

impl Text {
    /// The value to use.
    ///
    /// # Errors
    /// The name of a secret that is not set here.
    pub fn reveal(&self) -> Result<String, &str> {
        match self {
            Text::Plain(text) => Ok(text.clone()),
            Text::Secret { prefix, value: Some(value), .. } => Ok(format!("{prefix}{value}")),
            Text::Secret { name, .. } => Err(name),
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::Plain(text) => write!(f, "{text:?}"),
            Text::Secret { name, .. } => write!(f, "(secret {name})"),
        }
    }
}

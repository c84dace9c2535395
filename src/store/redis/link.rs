//! The one connection to the one server that holds our keys: kept, left when it hangs or leads to
//! the wrong server, made again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Cmd, ToRedisArgs, Value, cmd};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::peer::Server;
use super::resolve::{Found, Way};
use super::words::Fault;
use crate::store::address::Address;
use crate::store::{StoreError, Trouble};

/// What the server tells unasked.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// A new connection listens: what was said before may have been missed.
    Fresh,
    /// The connection is gone: nothing is heard until the next [`News::Fresh`].
    Gone,
    /// Somebody said this on our channel.
    Said(Vec<u8>),
}

/// Takes in news, at once: it is called by the task that reads the connection.
pub(super) type Hear = dyn Fn(News) + Send + Sync;

/// Bytes that a number takes at most.
const NUMBER: usize = 20;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long finding and greeting the server may take.
const CONNECTING: Duration = Duration::from_millis(3500);

/// How long a request may take with all of that, and with a second try elsewhere.
const WHOLE: Duration = Duration::from_millis(4500);

/// After a failed try nobody tries again for this long, at most, or half of it.
const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(500), Duration::from_millis(1000)];

/// A script and its name on the server.
#[derive(Debug)]
pub(super) struct Script {
    source: String,
    sha: String,
}

impl Script {
    pub(super) fn new(source: String) -> Script {
        let sha = redis::Script::new(&source).get_hash().to_owned();
        Script { source, sha }
    }

    fn call(&self, by_name: bool, keys: &[String], args: &[impl ToRedisArgs + AsRef<[u8]>]) -> Cmd {
        let (command, body) = if by_name { ("EVALSHA", &self.sha) } else { ("EVAL", &self.source) };
        let sizes = keys.iter().map(String::len).chain(args.iter().map(|arg| arg.as_ref().len()));
        let bytes = command.len() + body.len() + NUMBER + sizes.sum::<usize>();
        let mut cmd = Cmd::with_capacity(3 + keys.len() + args.len(), bytes);
        cmd.arg(command).arg(body).arg(keys.len()).arg(keys).arg(args);
        cmd
    }
}

/// A connection that mends itself. Dropped, it leaves no task behind.
pub(super) struct Link {
    way: Arc<Way>,
    held: Mutex<Held>,
}

/// The last try to connect, going or over.
#[derive(Default)]
struct Held {
    attempt: Option<Attempt>,
    /// Tries in a row that failed.
    failures: usize,
    /// Until when the last trouble is answer enough.
    rest: Option<(Instant, StoreError)>,
}

/// What a try came to, once it is over.
type Outcome = watch::Receiver<Option<Result<Arc<Found>, StoreError>>>;

struct Attempt {
    outcome: Outcome,
    _task: AbortOnDropHandle<()>,
}

impl Link {
    /// A link that connects when it is first used, and then hears what is said on `channel`.
    pub(super) fn new(address: Address, channel: String, hear: Box<Hear>) -> Link {
        Link { way: Arc::new(Way::new(address, channel, hear.into())), held: Mutex::default() }
    }

    /// Where it leads, for people.
    pub(super) fn describe(&self) -> String {
        self.way.address.masked()
    }

    /// Of two ways to write a script the one for this server: with `#!lua flags=`, which Redis 7 and
    /// Valkey know, or without.
    ///
    /// # Errors
    /// When there is no server.
    pub(super) async fn fitting<'a>(&self, scripts: &'a [Script; 2]) -> Result<&'a Script, StoreError> {
        let found = self.found(Instant::now() + WHOLE).await?;
        Ok(&scripts[usize::from(!found.server.knows_flags())])
    }

    /// Asks once. Answered within a few seconds, one way or the other.
    ///
    /// # Errors
    /// When there was no answer, or the server refused. The request may have been carried out.
    pub(super) async fn ask(&self, request: &Cmd) -> Result<Value, StoreError> {
        self.send(request, Instant::now() + WHOLE).await.map_err(|fault| fault.error)
    }

    /// Runs a script, which the server may not know yet.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub(super) async fn run(&self, script: &Script, keys: &[String], args: &[Vec<u8>]) -> Result<Value, StoreError> {
        self.try_run(script, keys, args).await.map_err(|fault| fault.error)
    }

    /// Like [`Link::run`], for who wants to know what exactly was refused.
    pub(super) async fn try_run(
        &self,
        script: &Script,
        keys: &[String],
        args: &[impl ToRedisArgs + AsRef<[u8]> + Sync],
    ) -> Result<Value, Fault> {
        let limit = Instant::now() + WHOLE;
        let answer = self.send(&script.call(true, keys, args), limit).await;
        if answer.as_ref().is_err_and(|fault| fault.is("NOSCRIPT")) {
            return self.send(&script.call(false, keys, args), limit).await;
        }
        answer
    }

    /// Runs a script, and then a command on the same connection.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub(super) async fn run_then(
        &self,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
        then: &Cmd,
    ) -> Result<(Value, Value), StoreError> {
        let limit = Instant::now() + WHOLE;
        let found = self.found(limit).await?;
        let ask = async |request: &Cmd| {
            let answer = found.peer.ask(request, limit.min(Instant::now() + PATIENCE)).await;
            if let Err(fault) = &answer
                && fault.ends_it()
            {
                self.leave(&found, fault, true);
            }
            answer
        };
        let mut first = ask(&script.call(true, keys, args)).await;
        if first.as_ref().is_err_and(|fault| fault.is("NOSCRIPT")) {
            first = ask(&script.call(false, keys, args)).await;
        }
        let first = first.map_err(|fault| fault.error)?;
        found.peer.answered();
        Ok((first, ask(then).await.map_err(|fault| fault.error)?))
    }

    /// Whether the server is of this version of Redis, or a later one, or a Valkey.
    ///
    /// # Errors
    /// When there is no server.
    pub(super) async fn is_from(&self, major: u32, minor: u32) -> Result<bool, StoreError> {
        Ok(self.found(Instant::now() + WHOLE).await?.server.is_at_least(major, minor))
    }

    /// Sends a request; a second time only where the first surely did nothing.
    async fn send(&self, request: &Cmd, limit: Instant) -> Result<Value, Fault> {
        let mut may_repeat = true;
        loop {
            let found = self.found(limit).await.map_err(Fault::nowhere)?;
            let mut fault = match found.peer.ask(request, limit.min(Instant::now() + PATIENCE)).await {
                Ok(value) => {
                    found.peer.answered();
                    return Ok(value);
                }
                Err(fault) => fault,
            };
            if fault.is("OOM") {
                fault.error.message += &memory(&found, limit).await;
            }
            let repeats = fault.is_elsewhere() && std::mem::take(&mut may_repeat);
            if fault.ends_it() {
                self.leave(&found, &fault, !repeats);
            }
            if !repeats {
                return Err(fault);
            }
        }
    }

    /// The connection as it is, or the one that is made now; only one is made at a time.
    async fn found(&self, limit: Instant) -> Result<Arc<Found>, StoreError> {
        loop {
            let mut outcome = self.attempt()?;
            let answer = match timeout_at(limit, outcome.wait_for(Option::is_some)).await {
                Ok(Ok(answer)) => answer.clone(),
                // Its task was ended, as all are when the process stops.
                Ok(Err(_)) => Some(Err(self.trouble("connecting was cut short"))),
                Err(_) => return Err(self.trouble("no connection in time")),
            };
            match answer {
                Some(Ok(found)) if found.peer.is_over() => {
                    self.forget(&found);
                }
                Some(Ok(found)) => {
                    if found.peer.was_of_use() {
                        lock(&self.held).failures = 0;
                    }
                    return Ok(found);
                }
                Some(Err(error)) => {
                    self.rest(&outcome, &error);
                    return Err(error);
                }
                None => {}
            }
        }
    }

    /// The try to connect that counts, begun if there is none.
    fn attempt(&self) -> Result<Outcome, StoreError> {
        let mut held = lock(&self.held);
        if let Some(attempt) = &held.attempt {
            return Ok(attempt.outcome.clone());
        }
        if let Some((until, error)) = &held.rest {
            if Instant::now() < *until {
                return Err(error.clone());
            }
            held.rest = None;
        }
        let (tell, outcome) = watch::channel(None);
        let way = self.way.clone();
        let task = tokio::spawn(async move {
            let limit = Instant::now() + CONNECTING;
            let found = timeout_at(limit, way.find(limit)).await.unwrap_or_else(|_| {
                let message = format!("{}: no answer in time", way.address.masked());
                Err(StoreError { kind: Trouble::Passing, message })
            });
            if let Err(error) = &found {
                tracing::debug!(%error, "no connection to Redis");
            }
            let found = found.map(Arc::new);
            tell.send_replace(Some(found.clone()));
            if let Ok(found) = found {
                way.watch(&found).await;
            }
        });
        held.attempt = Some(Attempt { outcome: outcome.clone(), _task: AbortOnDropHandle::new(task) });
        Ok(outcome)
    }

    /// Lets everybody have `error` for a while, unless that was settled already.
    fn rest(&self, outcome: &Outcome, error: &StoreError) {
        let mut held = lock(&self.held);
        if held.attempt.as_ref().is_some_and(|attempt| attempt.outcome.same_channel(outcome)) {
            held.attempt = None;
            held.pause(error.clone());
        }
    }

    /// Gives up a connection that is of no use any more. One that never was may well be made in a
    /// circle: then the next is made after a pause only.
    fn leave(&self, found: &Arc<Found>, fault: &Fault, pauses: bool) {
        tracing::debug!(error = %fault.error, "leaving the connection");
        if let Some(place) = &fault.moved_to {
            self.way.suggest(place);
        }
        found.peer.end();
        if self.forget(found) && pauses && !found.peer.was_of_use() {
            lock(&self.held).pause(fault.error.clone());
        }
    }

    /// Whether it was still the one in use.
    fn forget(&self, found: &Arc<Found>) -> bool {
        let mut held = lock(&self.held);
        let is_held = held.attempt.as_ref().is_some_and(|attempt| match &*attempt.outcome.borrow() {
            Some(Ok(own)) => Arc::ptr_eq(own, found),
            _ => false,
        });
        if is_held {
            held.attempt = None;
        }
        is_held
    }

    fn trouble(&self, what: &str) -> StoreError {
        StoreError { kind: Trouble::Passing, message: format!("{}: {what}", self.way.address.masked()) }
    }
}

impl Held {
    /// Nobody tries before a pause is over; not all replicas end theirs at once.
    fn pause(&mut self, error: StoreError) {
        let pause = PAUSES[self.failures.min(PAUSES.len() - 1)].mul_f64(0.5 + rand::random::<f64>() / 2.0);
        self.failures += 1;
        self.rest = Some((Instant::now() + pause, error));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How full the server says it is, as an addition to what is said about it.
async fn memory(found: &Found, limit: Instant) -> String {
    let mut info = cmd("INFO");
    info.arg("memory");
    let Ok(info) = found.peer.get::<String>(&info, limit.min(Instant::now() + PATIENCE)).await else {
        return String::new();
    };
    Server::read(&info)
        .memory()
        .map_or_else(String::new, |(used, most)| format!(" (used_memory {used}, maxmemory {most})"))
}

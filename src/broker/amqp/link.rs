//! The connection to one node of the RabbitMQ: made when first used, left on any error, made again without end.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures_core::Stream;
use lapin::{Channel, Connection, Event};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::dial::{Fuse, WHOLE, dial};
use crate::broker::address::Address;

/// After a failed try comes a pause: at first this long, then longer and longer; not all replicas end theirs at once.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// With several places each has at least this long.
const LEAST: Duration = Duration::from_secs(3);

/// How often a connection is looked at that says nothing.
const GLANCE: Duration = Duration::from_secs(1);

/// One connection, and what was done on it. Closed in good order when it is dropped.
pub(super) struct Session {
    pub(super) connection: Connection,
    /// As in `RabbitMQ 3.10.8`.
    pub(super) server: String,
    fuse: Mutex<Option<Fuse>>,
    /// What is known to be there: exchanges and queues.
    pub(super) declared: tokio::sync::Mutex<BTreeSet<String>>,
    /// The channels for publishing: one for our own exchanges, and one for each of somebody else's.
    pub(super) publishers: tokio::sync::Mutex<HashMap<Option<String>, Arc<Channel>>>,
}

impl Session {
    /// Whether it can be used, as far as is known.
    fn is_alive(&self) -> bool {
        self.connection.status().connected()
    }

    /// Ends it at once, whatever hangs.
    fn end(&self) {
        drop(self.fuse.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(fuse) = self.fuse.lock().unwrap_or_else(PoisonError::into_inner).take() {
            fuse.defuse();
        }
    }
}

/// How it stands with the connection.
#[derive(Clone)]
enum State {
    /// Nobody has needed it yet, or it is being made for the first time.
    New,
    /// There is none, and why.
    Down(String),
    /// It can be used.
    Up(Arc<Session>),
    /// It is there, but the server takes no messages for now, and why.
    Blocked(Arc<Session>, String),
}

/// A connection that mends itself. Dropped, it leaves no task behind.
pub(super) struct Link {
    way: Arc<Way>,
    task: OnceLock<AbortOnDropHandle<()>>,
}

/// What the task works with.
struct Way {
    address: Address,
    name: String,
    state: watch::Sender<State>,
}

impl Link {
    /// A link that connects when it is first used, and calls itself `name`.
    pub(super) fn new(address: Address, name: String) -> Link {
        let way = Way { address, name, state: watch::Sender::new(State::New) };
        Link { way: Arc::new(way), task: OnceLock::new() }
    }

    /// Why nothing can be sent now, if that is known.
    pub(super) fn down(&self) -> Option<String> {
        match &*self.way.state.borrow() {
            State::New | State::Up(_) => None,
            State::Down(why) | State::Blocked(_, why) => Some(why.clone()),
        }
    }

    /// Until messages can be sent.
    pub(super) async fn up(&self) {
        let sendable = |state: &State| matches!(state, State::Up(session) if session.is_alive());
        // The task lives as long as this does.
        let _ = self.state().wait_for(sendable).await;
    }

    /// The connection, as soon as messages can be sent on it.
    ///
    /// # Errors
    /// Why that was not before `limit`.
    pub(super) async fn sendable(&self, limit: Instant) -> Result<Arc<Session>, String> {
        self.wait(limit, |state| matches!(state, State::Up(session) if session.is_alive())).await
    }

    /// The connection, as soon as there is one.
    ///
    /// # Errors
    /// Why there was none before `limit`.
    pub(super) async fn session(&self, limit: Instant) -> Result<Arc<Session>, String> {
        let there = |state: &State| matches!(state, State::Up(s) | State::Blocked(s, _) if s.is_alive());
        self.wait(limit, there).await
    }

    async fn wait(&self, limit: Instant, holds: impl FnMut(&State) -> bool) -> Result<Arc<Session>, String> {
        let mut state = self.state();
        if let Ok(Ok(found)) = timeout_at(limit, state.wait_for(holds)).await
            && let State::Up(session) | State::Blocked(session, _) = &*found
        {
            return Ok(session.clone());
        }
        Err(self.down().unwrap_or_else(|| format!("{}: no connection in time", self.way.address.masked())))
    }

    /// What the first connection came to: product and version, or why there is none.
    pub(super) async fn check(&self, limit: Instant) -> Result<String, String> {
        let mut state = self.state();
        let _ = timeout_at(limit, state.wait_for(|state| !matches!(state, State::New))).await;
        match &*state.borrow() {
            State::Up(session) | State::Blocked(session, _) => Ok(session.server.clone()),
            State::Down(why) => Err(why.clone()),
            State::New => Err(format!("{}: no connection in time", self.way.address.masked())),
        }
    }

    /// How it stands; from now on there is a task that sees to it.
    fn state(&self) -> watch::Receiver<State> {
        let way = &self.way;
        self.task.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(way.clone().keep())));
        way.state.subscribe()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Whoever still waits for it holds the state; it is not to hold the connection as well.
        drop(self.task.take());
        self.way.state.send_replace(State::Down("it was closed".into()));
    }
}

impl Way {
    /// Keeps a connection, without end.
    async fn keep(self: Arc<Way>) {
        let (mut next, mut pause) = (0, FIRST_PAUSE);
        loop {
            let began = Instant::now();
            let why = match self.connect(&mut next).await {
                Ok(session) => {
                    let session = Arc::new(session);
                    self.state.send_replace(State::Up(session.clone()));
                    let why = self.watch(&session).await;
                    session.end();
                    tracing::warn!("RabbitMQ {}: {why}", self.address.masked());
                    why
                }
                Err(why) => {
                    tracing::debug!("RabbitMQ {why}");
                    why
                }
            };
            // One that held was no failure; one that breaks again and again is.
            if began.elapsed() > 2 * pause {
                pause = FIRST_PAUSE;
            }
            self.state.send_replace(State::Down(why));
            sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    /// Tries each place once, beginning with the one after the last.
    async fn connect(&self, next: &mut usize) -> Result<Session, String> {
        let places = &self.address.places;
        let share = (WHOLE / u32::try_from(places.len()).unwrap_or(u32::MAX)).max(LEAST);
        let mut troubles = Vec::new();
        for _ in places {
            let place = &places[*next % places.len()];
            *next += 1;
            match dial(&self.address, place, &self.name, Instant::now() + share).await {
                Ok(dialed) => {
                    tracing::debug!("connected to {} at {place}", dialed.server);
                    return Ok(Session {
                        connection: dialed.connection,
                        server: dialed.server,
                        fuse: Mutex::new(Some(dialed.fuse)),
                        declared: tokio::sync::Mutex::default(),
                        publishers: tokio::sync::Mutex::default(),
                    });
                }
                Err(why) => troubles.push(format!("{place}: {why}")),
            }
        }
        Err(troubles.join("; "))
    }

    /// Until the connection is of no use any more; says why.
    async fn watch(&self, session: &Arc<Session>) -> String {
        let mut events = Box::pin(session.connection.events_listener());
        loop {
            if !session.is_alive() {
                return "the connection ended".into();
            }
            let event = tokio::select! {
                event = next(&mut events) => event,
                () = sleep(GLANCE) => continue,
            };
            match event {
                Some(Event::ConnectionBlocked(why)) => {
                    let why = format!(
                        "{}: RabbitMQ takes no messages for now ({why}): its memory or disk is nearly full",
                        self.address.masked()
                    );
                    tracing::warn!("{why}");
                    self.state.send_replace(State::Blocked(session.clone(), why));
                }
                Some(Event::ConnectionUnblocked) => {
                    self.state.send_replace(State::Up(session.clone()));
                }
                Some(Event::Error(error)) if !session.is_alive() => return format!("the connection ended: {error}"),
                Some(_) => {}
                None => return "the connection ended".into(),
            }
        }
    }
}

/// The next item of a stream.
pub(super) async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

//! A TCP proxy with faults that can be switched while connections go through it.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What the proxy does to what goes through it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// A black hole: everything hangs, also new connections. What was sent meanwhile is gone for good, and the
    /// connections it was sent on stay dumb, as behind a firewall that forgot them.
    Swallow,
    /// The same, but all of it arrives when the fault is over, as the kernel's retransmissions do.
    Hold,
    /// Each direction takes this long.
    Delay(Duration),
    /// A request reaches the server; with this probability the connection is closed in place of the answer.
    Unanswered(f64),
}

/// Listens on `port` on this machine until it is dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: AtomicU16,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    fault: Fault,
    dice: StdRng,
    /// So many of the next requests get no answer, whatever the fault.
    unanswered: usize,
    /// Connections closed by a fault.
    closed: usize,
    connections: Vec<Arc<Connection>>,
    over: bool,
}

struct Connection {
    client: TcpStream,
    server: TcpStream,
    /// It is to be closed instead of answered.
    doomed: AtomicBool,
    /// What came through it is not whole.
    dumb: AtomicBool,
}

impl Connection {
    fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Proxy {
    /// In front of `target`, a port of this machine. Chance comes from `seed`.
    pub(crate) fn before(target: u16, seed: u64) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            fault: Fault::None,
            dice: StdRng::seed_from_u64(seed),
            unanswered: 0,
            closed: 0,
            connections: Vec::new(),
            over: false,
        };
        let shared =
            Arc::new(Shared { target: AtomicU16::new(target), state: Mutex::new(state), changed: Condvar::new() });
        let own = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if own.state().over {
                    return;
                }
                let shared = own.clone();
                std::thread::spawn(move || shared.connect(client));
            }
        });
        Proxy { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on, for all connections.
    pub(crate) fn fault(&self, fault: Fault) {
        self.shared.state().fault = fault;
        self.shared.changed.notify_all();
    }

    /// Nothing is wrong any more.
    pub(crate) fn heal(&self) {
        self.shared.state().unanswered = 0;
        self.fault(Fault::None);
    }

    /// Closes every connection. New ones are welcome.
    pub(crate) fn cut(&self) {
        let mut state = self.shared.state();
        state.closed += state.connections.len();
        state.connections.drain(..).for_each(|connection| connection.close());
    }

    /// From now on it leads to another port of this machine, as an address does that moves with its service. Who is
    /// connected is cut off.
    pub(crate) fn point_to(&self, target: u16) {
        self.shared.target.store(target, Ordering::SeqCst);
        self.cut();
    }

    /// The next `count` requests are carried out but not answered: their connections are closed.
    pub(crate) fn leave_unanswered(&self, count: usize) {
        self.shared.state().unanswered = count;
    }

    /// How many connections were closed by a fault so far.
    pub(crate) fn closed(&self) -> usize {
        self.shared.state().closed
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.heal();
        self.cut();
        // The listener wakes, and sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while everything hangs. Whether it hung, and what was sent is gone.
    fn hang(&self) -> bool {
        let mut state = self.state();
        let mut gone = false;
        while matches!(state.fault, Fault::Swallow | Fault::Hold) && !state.over {
            gone |= state.fault == Fault::Swallow;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        gone
    }

    fn delay(&self) -> Duration {
        if let Fault::Delay(delay) = self.state().fault { delay } else { Duration::ZERO }
    }

    fn connect(self: Arc<Self>, client: TcpStream) {
        let gone = self.hang();
        // Where the server does not listen, the client sees a connection that is closed at once.
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.target.load(Ordering::SeqCst))) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (doomed, dumb) = (AtomicBool::new(false), AtomicBool::new(gone));
        let connection = Arc::new(Connection { client, server, doomed, dumb });
        {
            let mut state = self.state();
            if state.over {
                return connection.close();
            }
            state.connections.push(connection.clone());
        }
        let (shared, requests) = (self.clone(), connection.clone());
        std::thread::spawn(move || shared.carry(&requests, true));
        self.carry(&connection, false);
        self.state().connections.retain(|other| !Arc::ptr_eq(other, &connection));
    }

    /// Carries what comes from one end to the other, until either closes. Reading goes on while what was read waits
    /// to be let through.
    fn carry(&self, connection: &Connection, requests: bool) {
        let (mut from, to) = match requests {
            true => (&connection.client, &connection.server),
            false => (&connection.server, &connection.client),
        };
        std::thread::scope(|threads| {
            let (read, waiting) = channel::<(Instant, Vec<u8>)>();
            threads.spawn(move || self.let_through(connection, requests, to, &waiting));
            let mut bytes = [0; 65536];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                let due = Instant::now() + self.delay();
                if read.send((due, bytes[..count].to_vec())).is_err() {
                    break;
                }
            }
        });
    }

    fn let_through(
        &self,
        connection: &Connection,
        requests: bool,
        mut to: &TcpStream,
        waiting: &Receiver<(Instant, Vec<u8>)>,
    ) {
        for (due, bytes) in waiting {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if self.hang() {
                connection.dumb.store(true, Ordering::SeqCst);
            }
            if connection.dumb.load(Ordering::SeqCst) {
                continue;
            }
            if requests && self.dooms() {
                connection.doomed.store(true, Ordering::SeqCst);
            }
            if !requests && connection.doomed.load(Ordering::SeqCst) {
                // The request was carried out: this is its answer.
                self.state().closed += 1;
                return connection.close();
            }
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        connection.close();
    }

    /// Whether the request that goes through now is to remain without an answer.
    fn dooms(&self) -> bool {
        let mut state = self.state();
        if state.unanswered > 0 {
            state.unanswered -= 1;
            return true;
        }
        match state.fault {
            Fault::Unanswered(probability) => state.dice.random_bool(probability),
            _ => false,
        }
    }
}

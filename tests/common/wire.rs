//! A broker within the test: keeps what was published in order, and has bad days when told to.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use cronclave::broker::{Broker, Consumer, DeadLetter, Delivery, Exchange, Message, NotPublished, Queue, QueueState};
use cronclave::clock::Clock;
use cronclave::event::Bus;
use cronclave::job::{Job, QueueName};
use cronclave::lease::{Ended, Work};
use cronclave::parts::{Dice, Nudges, Parts, Waiting};
use cronclave::runner::{Control, Runner};
use cronclave::stop::Stop;
use cronclave::store::Store;
use tokio::sync::Notify;
use tokio::time::sleep;

/// What becomes of the next message that is published.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// The broker has it, but its confirmation is lost.
    Unconfirmed,
    /// It never comes there, and nobody says so.
    Lost,
    /// It is refused.
    Refused,
    /// It takes so long.
    Slow(Duration),
}

#[derive(Default)]
pub(crate) struct Wire {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    published: Vec<Message>,
    fates: VecDeque<Fate>,
    away: bool,
    waiting: VecDeque<(Queue, Delivery)>,
    acked: Vec<Message>,
    requeued: usize,
}

impl Wire {
    pub(crate) fn new() -> Arc<Wire> {
        Arc::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What the broker has, in the order it came, copies included.
    pub(crate) fn published(&self, to: &Exchange) -> Vec<Message> {
        self.state().published.iter().filter(|message| message.to == *to).cloned().collect()
    }

    pub(crate) fn next_fates(&self, fates: impl IntoIterator<Item = Fate>) {
        self.state().fates.extend(fates);
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.state().away = away;
        self.changed.notify_waiters();
    }

    /// Puts a message into a queue.
    pub(crate) fn deliver(&self, queue: Queue, message: Message) {
        self.state().waiting.push_back((queue, Delivery { message, redelivered: false }));
        self.changed.notify_waiters();
    }

    /// How many messages were acknowledged, and how many given back.
    pub(crate) fn settled(&self) -> (usize, usize) {
        let state = self.state();
        (state.acked.len(), state.requeued)
    }
}

/// The broker as one process sees it: several may share a wire.
pub(crate) struct Port {
    wire: Arc<Wire>,
    /// This process's own way to it is cut.
    cut: AtomicBool,
}

impl Port {
    pub(crate) fn new(wire: &Arc<Wire>) -> Arc<Port> {
        Arc::new(Port { wire: wire.clone(), cut: false.into() })
    }

    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Broker for Port {
    fn describe(&self) -> String {
        "a broker of a test".into()
    }
    fn down(&self) -> Option<String> {
        let away = self.wire.state().away || self.cut.load(Ordering::SeqCst);
        away.then(|| "it is away".into())
    }
    async fn up(&self) {
        loop {
            let changed = self.wire.changed.notified();
            if self.down().is_none() {
                return;
            }
            changed.await;
        }
    }
    async fn publish(&self, message: &Message) -> Result<(), NotPublished> {
        if let Some(why) = self.down() {
            return Err(NotPublished::Away(why));
        }
        let fate = self.wire.state().fates.pop_front();
        match &fate {
            Some(Fate::Lost) => return Err(NotPublished::Unknown("no confirmation".into())),
            Some(Fate::Refused) => return Err(NotPublished::Refused("it is full".into())),
            Some(Fate::Slow(long)) => sleep(*long).await,
            _ => sleep(Duration::from_millis(2)).await,
        }
        self.wire.state().published.push(message.clone());
        if let Some(Fate::Unconfirmed) = fate {
            return Err(NotPublished::Unknown("no confirmation".into()));
        }
        Ok(())
    }
    fn consume(&self, queue: Queue) -> Box<dyn Consumer> {
        Box::new(Taker { wire: self.wire.clone(), queue, held: None })
    }
    async fn queues(&self, _: &[QueueName]) -> Result<Vec<QueueState>, String> {
        Ok(Vec::new())
    }
    async fn dead_letters(&self, _: usize) -> Result<Vec<DeadLetter>, String> {
        Ok(Vec::new())
    }
    async fn remedy(&self, _: &str, _: cronclave::broker::Remedy) -> Result<bool, String> {
        Ok(false)
    }
}

struct Taker {
    wire: Arc<Wire>,
    queue: Queue,
    held: Option<Delivery>,
}

impl Taker {
    fn give_back(&mut self) {
        if let Some(delivery) = self.held.take() {
            let mut state = self.wire.state();
            state.requeued += 1;
            state.waiting.push_front((self.queue.clone(), Delivery { redelivered: true, ..delivery }));
        }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[async_trait]
impl Consumer for Taker {
    async fn next(&mut self) -> Delivery {
        self.give_back();
        loop {
            let wire = self.wire.clone();
            let changed = wire.changed.notified();
            let found = {
                let mut state = wire.state();
                let place = state.waiting.iter().position(|(queue, _)| *queue == self.queue);
                place.and_then(|place| state.waiting.remove(place))
            };
            if let Some((_, delivery)) = found {
                self.held = Some(delivery.clone());
                return delivery;
            }
            changed.await;
        }
    }
    async fn ack(&mut self) {
        let held = self.held.take();
        self.wire.state().acked.extend(held.map(|delivery| delivery.message));
    }
    async fn requeue(&mut self) {
        self.give_back();
        self.wire.changed.notify_waiters();
    }
    async fn ack_early(&mut self) {
        self.ack().await;
    }
}

/// Runs nothing.
struct Idle;

#[async_trait]
impl Runner for Idle {
    async fn run(&self, _: &Job, _: &Work, _: Control) -> Ended {
        Ended::succeeded()
    }
}

/// What a process named `holder` works with that runs nothing.
pub(crate) fn parts(store: Arc<dyn Store>, clock: Clock, holder: &str) -> Parts {
    Parts {
        broker: Arc::new(cronclave::broker::NoBroker),
        cluster: "default".into(),
        store,
        runner: Arc::new(Idle),
        bus: Bus::default(),
        stop: Stop::default(),
        clock,
        dice: Dice::seeded(7),
        holder: holder.into(),
        claim_ttl: Parts::CLAIM_TTL,
        tap: None,
        nudges: Nudges::default(),
        waiting: Waiting::default(),
    }
}

/// The same in the cluster `prod`, with a way to a broker.
pub(crate) fn through(parts: &Parts, broker: Arc<Port>) -> Parts {
    Parts { broker, cluster: "prod".into(), ..parts.clone() }
}

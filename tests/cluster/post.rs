//! A broker behind a bad network, as one machine sees it: what is sent may get lost, come twice, late, or come and
//! be said not to have come; what was taken may come again while it is still at work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cronclave::broker::{Broker, Consumer, DeadLetter, Delivery, Exchange, Message, NotPublished, Queue, QueueState};
use cronclave::job::{JobName, QueueName};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::faulty::{Flag, Machine};

/// After so long a lost confirmation is given up.
const LIMIT: Duration = Duration::from_secs(3);

/// Messages of all machines.
#[derive(Default)]
pub(crate) struct Post {
    held: Mutex<Held>,
    came: Notify,
    /// Nobody reaches it.
    pub(crate) away: Flag,
    consumers: AtomicU64,
}

#[derive(Default)]
struct Held {
    queues: BTreeMap<String, VecDeque<Delivery>>,
    /// By consumer: its machine's name, the queue it came from, and what it was.
    taken: BTreeMap<u64, (String, String, Delivery)>,
    /// What was handed to other services, and under which fences.
    sent: Vec<(JobName, String)>,
}

impl Post {
    fn deliver(&self, message: &Message) {
        let mut held = self.held.lock().unwrap();
        if let Exchange::Foreign(_) = message.to {
            let job = JobName::new(&message.headers["cronclave-job"]).unwrap();
            held.sent.push((job, message.headers["cronclave-fencing-token"].clone()));
            return;
        }
        let queue = message.key.split('.').nth(2).unwrap().to_owned();
        let delivery = Delivery { message: message.clone(), redelivered: false };
        held.queues.entry(queue).or_default().push_back(delivery);
        drop(held);
        self.came.notify_waiters();
    }

    fn take(&self, consumer: u64, machine: &str, queue: &str) -> Option<Delivery> {
        let mut held = self.held.lock().unwrap();
        let delivery = held.queues.get_mut(queue)?.pop_front()?;
        held.taken.insert(consumer, (machine.to_owned(), queue.to_owned(), delivery.clone()));
        Some(delivery)
    }

    fn settle(&self, consumer: u64, again: bool) {
        let mut held = self.held.lock().unwrap();
        let Some((_, queue, delivery)) = held.taken.remove(&consumer) else { return };
        if again {
            held.queues.entry(queue).or_default().push_back(Delivery { redelivered: true, ..delivery });
            drop(held);
            self.came.notify_waiters();
        }
    }

    /// What a machine holds comes again to others, because it is taken for dead.
    pub(crate) fn forget(&self, machine: &str) {
        let is_theirs =
            |(consumer, (name, ..)): (&u64, &(String, String, Delivery))| (name == machine).then_some(*consumer);
        let theirs: Vec<u64> = self.held.lock().unwrap().taken.iter().filter_map(is_theirs).collect();
        theirs.into_iter().for_each(|consumer| self.settle(consumer, true));
    }

    /// Somebody empties a queue.
    pub(crate) fn purge(&self) {
        self.held.lock().unwrap().queues.clear();
    }

    /// What was handed to other services, and under which fences.
    pub(crate) fn sent(&self) -> Vec<(JobName, String)> {
        self.held.lock().unwrap().sent.clone()
    }
}

/// The post, seen from a machine.
pub(crate) struct Window {
    pub(crate) post: Arc<Post>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) name: String,
}

#[async_trait]
impl Broker for Window {
    fn describe(&self) -> String {
        "the post".into()
    }

    fn down(&self) -> Option<String> {
        let down = self.machine.cut.is_up() || self.post.away.is_up();
        down.then(|| "nobody answers".into())
    }

    async fn up(&self) {
        loop {
            self.machine.cut.becomes(false).await;
            self.post.away.becomes(false).await;
            if self.down().is_none() {
                return;
            }
        }
    }

    async fn publish(&self, message: &Message) -> Result<(), NotPublished> {
        self.machine.thawed().await;
        let weather = *self.machine.weather.lock().unwrap();
        self.machine.travel(weather).await;
        if self.down().is_some() {
            return Err(NotPublished::Away("nobody answers".into()));
        }
        let unknown = || Err(NotPublished::Unknown("no confirmation came".into()));
        if self.machine.chance(weather.lost_request) {
            sleep(LIMIT).await;
            self.machine.thawed().await;
            return unknown();
        }
        if self.machine.chance(weather.lost_request / 4.0) {
            return Err(NotPublished::Refused("the queue is full".into()));
        }
        self.post.deliver(message);
        if self.machine.chance(weather.repeated) && !matches!(message.to, Exchange::Foreign(_)) {
            let (post, message) = (self.post.clone(), message.clone());
            let delay = self.machine.dice.pause(Duration::from_secs(25));
            tokio::spawn(async move {
                sleep(delay).await;
                post.deliver(&message);
            });
        }
        self.machine.travel(weather).await;
        if self.machine.chance(weather.lost_reply) {
            sleep(LIMIT).await;
            self.machine.thawed().await;
            return unknown();
        }
        self.machine.thawed().await;
        Ok(())
    }

    fn consume(&self, queue: Queue) -> Box<dyn Consumer> {
        let Queue::Tasks(queue) = queue else { panic!("nobody takes from {queue:?} here") };
        let window = Window { post: self.post.clone(), machine: self.machine.clone(), name: self.name.clone() };
        let number = self.post.consumers.fetch_add(1, Ordering::SeqCst);
        Box::new(Taker { window, queue: queue.to_string(), number })
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
    window: Window,
    queue: String,
    number: u64,
}

impl Taker {
    /// Whether the post hears of it.
    async fn tell(&mut self, again: bool) {
        self.window.machine.thawed().await;
        let heard = self.window.down().is_none();
        self.window.post.settle(self.number, again || !heard);
    }
}

#[async_trait]
impl Consumer for Taker {
    async fn next(&mut self) -> Delivery {
        let Taker { window, queue, number } = self;
        window.post.settle(*number, true);
        loop {
            let came = window.post.came.notified();
            window.up().await;
            if let Some(delivery) = window.post.take(*number, &window.name, queue) {
                window.machine.thawed().await;
                return delivery;
            }
            came.await;
        }
    }

    async fn ack(&mut self) {
        self.tell(false).await;
    }

    async fn requeue(&mut self) {
        self.tell(true).await;
    }

    async fn ack_early(&mut self) {
        self.tell(false).await;
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.window.post.settle(self.number, true);
    }
}

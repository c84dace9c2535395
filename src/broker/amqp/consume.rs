//! Messages on their way in, one at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Acker, Channel};
use tokio::time::{Instant, sleep, timeout};

use super::link::{Link, Session, next};
use super::topology::{self, Trouble};
use super::{Settings, wire};
use crate::broker::{Consumer, Delivery, Queue};

/// How long each step may take that the server answers at once.
const STEP: Duration = Duration::from_secs(10);

/// After a failed try comes a pause, longer and longer.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Longer than any connection is waited for: then it is waited for again.
const LONG: Duration = Duration::from_secs(3600);

/// One who takes messages.
pub(super) struct Taker {
    link: Arc<Link>,
    settings: Arc<Settings>,
    queue: Queue,
    open: Option<Open>,
    /// What was last said to be wrong.
    said: String,
}

/// A channel that messages come on. Dropped, it is closed, and what came and was not settled goes back.
struct Open {
    session: Arc<Session>,
    channel: Channel,
    /// `None` while no further message is wanted.
    consumer: Option<lapin::Consumer>,
    /// The message that came last, until it is settled.
    last: Option<Acker>,
}

impl Taker {
    pub(super) fn new(link: Arc<Link>, settings: Arc<Settings>, queue: Queue) -> Taker {
        Taker { link, settings, queue, open: None, said: String::new() }
    }

    /// Opens a channel, once there is a connection.
    async fn open(&self) -> Result<Open, String> {
        let session = self.link.session(Instant::now() + LONG).await?;
        let opening = async {
            session.ensure(&self.settings, Some(&self.queue)).await?;
            let channel = session.channel().await?;
            // The next message is for whoever is free first.
            let limited = channel.basic_qos(1, BasicQosOptions::default()).await;
            limited.map_err(|error| Trouble::of("a channel", &error))?;
            Ok(Open { session: session.clone(), channel, consumer: None, last: None })
        };
        let opened = timeout(STEP, opening).await.map_err(|_| "RabbitMQ does not answer in time".to_owned())?;
        opened.map_err(Trouble::into_words)
    }

    async fn consume(&self, open: &Open) -> Result<lapin::Consumer, String> {
        let name = topology::name(&self.settings.cluster, &self.queue);
        let what = format!("the queue `{name}`");
        let consuming =
            open.channel.basic_consume(name.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let consuming = timeout(STEP, consuming).await.map_err(|_| "RabbitMQ does not answer in time".to_owned())?;
        consuming.map_err(|error| Trouble::of(&what, &error).into_words())
    }

    /// The next message, or why none comes any more. A message that came is never lost on the way: where this is
    /// dropped, it has not been taken from the stream yet, or goes back with its channel.
    async fn try_next(&mut self) -> Result<Delivery, String> {
        let mut open = match self.open.take() {
            // What was not settled goes back with its channel.
            Some(open) if open.last.is_none() && open.channel.status().connected() => open,
            _ => self.open().await?,
        };
        if open.consumer.is_none() {
            match self.consume(&open).await {
                Ok(consumer) => open.consumer = Some(consumer),
                Err(why) => {
                    open.session.forget().await;
                    return Err(why);
                }
            }
        }
        let open = self.open.insert(open);
        let Some(consumer) = &mut open.consumer else { return Err("nothing is consumed".into()) };
        let came = match next(consumer).await {
            Some(Ok(came)) => came,
            ended => {
                // Somebody may have deleted the queue: it is made again.
                open.session.forget().await;
                self.open = None;
                let queue = topology::name(&self.settings.cluster, &self.queue);
                let why = ended.and_then(Result::err).map(|error| error.to_string());
                return Err(why.unwrap_or_else(|| format!("the queue `{queue}` was deleted, or its node stopped")));
            }
        };
        let delivery = Delivery { message: wire::message(&came), redelivered: came.redelivered };
        open.last = Some(came.acker);
        Ok(delivery)
    }

    /// Waits until `settling` was sent; should it not be, the message comes again.
    async fn settle(&mut self, settling: impl Future<Output = lapin::Result<bool>>) {
        let settled = timeout(STEP, settling).await;
        if !matches!(settled, Ok(Ok(true))) {
            tracing::debug!("the message comes again: the connection that it came on is gone");
            self.open = None;
        }
    }
}

#[async_trait]
impl Consumer for Taker {
    async fn next(&mut self) -> Delivery {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_next().await {
                Ok(delivery) => {
                    self.said.clear();
                    return delivery;
                }
                Err(why) if why == self.said => tracing::debug!("no messages for now: {why}"),
                Err(why) => {
                    tracing::warn!("no messages for now: {why}");
                    self.said = why;
                }
            }
            sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }

    async fn ack(&mut self) {
        if let Some(last) = self.open.as_mut().and_then(|open| open.last.take()) {
            self.settle(async move { last.ack(BasicAckOptions::default()).await }).await;
        }
    }

    async fn requeue(&mut self) {
        if let Some(last) = self.open.as_mut().and_then(|open| open.last.take()) {
            let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            self.settle(async move { last.nack(options).await }).await;
        }
    }

    async fn ack_early(&mut self) {
        let Some(open) = &mut self.open else { return };
        if let Some(consumer) = open.consumer.take() {
            // Only then: with the message gone, the server would send the next.
            let cancelling = open.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            if !matches!(timeout(STEP, cancelling).await, Ok(Ok(()))) {
                self.open = None;
                return;
            }
        }
        self.ack().await;
    }
}

//! Takes in messages of others: how foreign workers fared, and wishes to run a job.
//!
//! What cannot be understood, or is not allowed, goes to the dead letters with the reason. A message is
//! acknowledged only after what it asks for is in the store; asking twice does nothing more, so neither
//! a copy nor a redelivery does any harm.

mod body;
mod report;
mod wish;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::broker::{Delivery, Queue, dead_letter};
use crate::event::Told;
use crate::parts::Parts;
use crate::replica::Jobs;
use crate::store::{StoreError, Trouble};

/// After trouble with the store or the broker.
const PAUSE: Duration = Duration::from_secs(1);

/// A store that does not answer for this long is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// At the end of the process the broker is not waited for any longer.
const LAST: Duration = Duration::from_secs(2);

/// What becomes of a message.
enum Fate {
    /// What it says is in the store.
    Done,
    /// It comes too late, or the job's policy has no room for it; this is why.
    Dropped(String),
    /// Somebody has to mend something; this is what.
    Dead(String),
}

/// Takes in reports and wishes until `parts.stop` is soft. Never ends before, whatever broker and store do.
pub async fn run(parts: Parts, jobs: watch::Receiver<Arc<Jobs>>) {
    let inbox = Inbox { parts, jobs };
    tokio::join!(inbox.take_from(Queue::Results), inbox.take_from(Queue::Triggers));
}

struct Inbox {
    parts: Parts,
    jobs: watch::Receiver<Arc<Jobs>>,
}

impl Inbox {
    async fn take_from(&self, queue: Queue) {
        let mut consumer = self.parts.broker.consume(queue.clone());
        loop {
            let delivery = tokio::select! {
                () = self.parts.stop.soft() => return,
                delivery = consumer.next() => delivery,
            };
            tokio::select! {
                () = self.parts.stop.soft() => {
                    let _ = timeout(LAST, consumer.requeue()).await;
                    return;
                }
                () = self.deal_with(&queue, &delivery) => {}
            }
            consumer.ack().await;
        }
    }

    /// Returns once the message is done with, however long that takes.
    async fn deal_with(&self, queue: &Queue, delivery: &Delivery) {
        let fate = loop {
            let dealt = match queue {
                Queue::Results => self.report(&delivery.message).await,
                _ => self.wish(&delivery.message).await,
            };
            match dealt {
                Ok(fate) => break fate,
                Err(error) if error.kind == Trouble::Lasting => break Fate::Dead(error.message),
                Err(error) => {
                    tracing::debug!(%error, "a message is kept until the store answers");
                    sleep(PAUSE).await;
                }
            }
        };
        let key = &delivery.message.key;
        match fate {
            Fate::Done => {}
            Fate::Dropped(why) => self.warn(format!("message `{key}` was dropped: {why}")),
            Fate::Dead(why) => {
                self.warn(format!("message `{key}` went to the dead letters: {why}"));
                self.bury(queue, delivery, &why).await;
            }
        }
    }

    async fn bury(&self, queue: &Queue, delivery: &Delivery, why: &str) {
        while let Err(error) = dead_letter(&*self.parts.broker, &self.parts.cluster, delivery, queue, why).await {
            tracing::debug!(%error, "a message is kept until there is a place for dead letters");
            sleep(PAUSE).await;
        }
    }

    fn warn(&self, text: String) {
        self.parts.bus.tell(Told::Warning(text));
    }
}

/// The store's answer, or the trouble that it gave none.
async fn limited<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
        Err(StoreError { kind: Trouble::Passing, message: "the store gave no answer in time".into() })
    })
}

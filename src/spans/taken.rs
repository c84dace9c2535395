//! Where spans are noticed: in what is told, and on the way to the broker.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::made::{self, Over};
use super::sent::{self, In, Out};
use crate::broker::{Broker, Consumer, DeadLetter, Message, NotPublished, Queue, QueueState, Remedy};
use crate::clock::Clock;
use crate::event::Told;
use crate::job::QueueName;
use crate::ledger::What;
use crate::parts::Parts;
use crate::recall::Recall;
use crate::replica::Jobs;

/// Spans on their way.
pub(super) struct Going {
    told: Receiver<Arc<Told>>,
    jobs: watch::Receiver<Arc<Jobs>>,
    recall: Recall,
    to: In,
    out: Out,
}

impl Going {
    /// Begins to notice, if the environment says where to send.
    pub(super) fn begin(parts: &Parts, jobs: watch::Receiver<Arc<Jobs>>) -> Option<(Going, Parts)> {
        let (to, out) = match sent::way(parts) {
            Ok(way) => way?,
            Err(why) => {
                parts.bus.tell(Told::Warning(why));
                return None;
            }
        };
        let broker = Traced { broker: parts.broker.clone(), clock: parts.clock.clone(), to: to.clone() };
        let parts = Parts { broker: Arc::new(broker), ..parts.clone() };
        Some((Going { told: parts.bus.listen(), jobs, recall: Recall::default(), to, out }, parts))
    }

    pub(super) async fn run(self, over: impl Future<Output = ()>) {
        let Going { mut told, jobs, mut recall, to, mut out } = self;
        let taking = async {
            loop {
                match told.recv().await {
                    Ok(told) => take(&told, &jobs, &mut recall, &to),
                    Err(RecvError::Lagged(count)) => to.dropped(count),
                    Err(RecvError::Closed) => return std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = taking => {}
            () = out.send_on() => {}
            () = over => {}
        }
        while let Ok(last) = told.try_recv() {
            take(&last, &jobs, &mut recall, &to);
        }
        out.send_last().await;
    }
}

fn take(told: &Told, jobs: &watch::Receiver<Arc<Jobs>>, recall: &mut Recall, to: &In) {
    let run = recall.take(told).unwrap_or_default();
    let Told::Changed(event) = told else { return };
    let What::Ended { run_id, attempt, fence, ended, next } = &event.what else { return };
    let Some(job) = jobs.borrow().by_name.get(&event.job).cloned() else { return };
    let over = Over { job: &job, run_id: *run_id, attempt: *attempt, fence: *fence, ended, at: event.at };
    if let Some(span) = over.attempt(&run) {
        to.put(span);
    }
    if next.is_none() {
        to.put(over.run(&run));
    }
}

/// A broker whose messages leave spans.
struct Traced {
    broker: Arc<dyn Broker>,
    clock: Clock,
    to: In,
}

#[async_trait]
impl Broker for Traced {
    fn describe(&self) -> String {
        self.broker.describe()
    }

    fn down(&self) -> Option<String> {
        self.broker.down()
    }

    async fn up(&self) {
        self.broker.up().await;
    }

    async fn publish(&self, message: &Message) -> Result<(), NotPublished> {
        let began = self.clock.now();
        let sent = self.broker.publish(message).await;
        let failed = match &sent {
            Ok(()) => None,
            Err(NotPublished::Refused(_)) => Some("refused"),
            Err(NotPublished::Unknown(_)) => Some("not confirmed"),
            Err(NotPublished::Away(_)) => Some("the broker is away"),
        };
        let system = if self.broker.describe().starts_with("RabbitMQ") { "rabbitmq" } else { "cronclave" };
        if let Some(span) = made::sent(message, system, [began, self.clock.now()], failed) {
            self.to.put(span);
        }
        sent
    }

    fn consume(&self, queue: Queue) -> Box<dyn Consumer> {
        self.broker.consume(queue)
    }

    async fn queues(&self, names: &[QueueName]) -> Result<Vec<QueueState>, String> {
        self.broker.queues(names).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, String> {
        self.broker.dead_letters(limit).await
    }

    async fn remedy(&self, id: &str, remedy: Remedy) -> Result<bool, String> {
        self.broker.remedy(id, remedy).await
    }
}

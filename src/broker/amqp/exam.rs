//! What a RabbitMQ says of itself and lets us do, for whoever looks for a fault before it hurts. Nothing is made but a
//! queue that ends with its connection.

use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Error, ExchangeKind};
use tokio::time::{Instant, sleep, timeout_at};

use super::link::Session;
use super::topology::{self, Trouble};
use super::{Amqp, LIMIT, words};
use crate::broker::{Exchange, Queue};
use crate::job::QueueName;

/// All that is asked once there is a connection takes no longer.
const ASKING: Duration = Duration::from_secs(15);

/// Its HTTP API is waited for no longer.
const HTTP: Duration = Duration::from_secs(3);

/// Between two looks at whether the server takes messages.
const GLANCE: Duration = Duration::from_millis(50);

/// What was seen of a server.
#[derive(Clone, Debug, Default)]
pub struct Exam {
    /// As in `RabbitMQ 3.10.8`.
    pub server: String,
    /// Why it takes no messages now, if it takes none.
    pub blocked: Option<String>,
    /// How long it took to confirm a message, the least first. Empty when that was not tried, or refused.
    pub confirmed: Vec<Duration>,
    /// The first thing that the user may not do, if there is one, in words that say what mends it.
    pub refuses: Option<String>,
    /// Exchanges and queues, by name.
    pub parts: Vec<(String, Standing)>,
}

/// How it stands with an exchange or a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is there, as it should be.
    There,
    /// It is not there yet: whoever needs it first makes it.
    Missing,
    /// It cannot be used, and why.
    Unfit(String),
}

impl Amqp {
    /// Looks the server over, with the queues of these names; has it confirm `times` messages that go nowhere.
    ///
    /// # Errors
    /// Why it cannot be used at all, in words that say what mends it.
    pub async fn examine(&self, queues: &[QueueName], times: usize) -> Result<Exam, String> {
        let limit = Instant::now() + LIMIT;
        let server = self.outward.check(limit).await?;
        let session = self.outward.session(limit).await?;
        let looking = async {
            let mut exam = Exam { server, blocked: self.outward.down(), ..Exam::default() };
            exam.parts = self.parts(&session, queues).await?;
            // It would wait for as long as the server listens to nobody.
            if exam.blocked.is_none() && self.settings.declare {
                tokio::select! {
                    tried = try_out(&session, &exam.parts, times) => match tried {
                        Ok(confirmed) => exam.confirmed = confirmed,
                        Err(why) => exam.refuses = Some(why),
                    },
                    // A server that takes nothing says so to whoever sends, and then listens no more.
                    why = self.blocked() => exam.blocked = Some(why),
                }
            }
            exam.confirmed.sort_unstable();
            Ok(exam)
        };
        timeout_at(Instant::now() + ASKING, looking).await.map_err(|_| "RabbitMQ does not answer in time".to_owned())?
    }

    /// Makes what is missing on the server, as a replica or a worker would.
    ///
    /// # Errors
    /// Why it cannot be made, in words that say what mends it.
    pub async fn make(&self, queues: &[QueueName]) -> Result<(), String> {
        let session = self.outward.session(Instant::now() + LIMIT).await?;
        let all = queues.iter().cloned().map(Queue::Tasks).chain([Queue::Results, Queue::Triggers]);
        let making = async {
            for queue in all {
                session.ensure(&self.settings, Some(&queue)).await.map_err(Trouble::into_words)?;
            }
            Ok(())
        };
        timeout_at(Instant::now() + ASKING, making).await.map_err(|_| "RabbitMQ does not answer in time".to_owned())?
    }

    /// How long a delivery from the queue that jobs call so may go without being acknowledged, where its settings or a
    /// policy say so and the server's HTTP API tells: at `base`, or else on port 15672 of its machine.
    pub async fn acknowledgement_limit(&self, queue: &QueueName, base: Option<&str>) -> Option<Duration> {
        let address = &self.address;
        let own =
            || address.places.first().filter(|_| !address.tls).map(|place| format!("http://{}:15672", place.host));
        let base = base.map(str::to_owned).or_else(own)?;
        let mut url = url::Url::parse(&base).ok()?;
        let name = topology::name(&self.settings.cluster, &Queue::Tasks(queue.clone()));
        url.path_segments_mut().ok()?.pop_if_empty().extend(["api", "queues", &address.vhost, &name]);
        let (user, password) = (address.user.clone(), address.password.clone());
        let asked = reqwest::Client::builder().timeout(HTTP).build().ok()?.get(url).basic_auth(user, Some(password));
        let said: serde_json::Value = asked.send().await.ok()?.error_for_status().ok()?.json().await.ok()?;
        let own = said["arguments"]["x-consumer-timeout"].as_u64();
        // Of the two the smaller counts.
        let policy = said["effective_policy_definition"]["consumer-timeout"].as_u64();
        own.into_iter().chain(policy).min().map(Duration::from_millis)
    }

    /// Until the server says that it takes no messages, and why.
    async fn blocked(&self) -> String {
        loop {
            if let Some(why) = self.outward.down() {
                return why;
            }
            sleep(GLANCE).await;
        }
    }

    async fn parts(&self, session: &Session, queues: &[QueueName]) -> Result<Vec<(String, Standing)>, String> {
        let mut all = Vec::new();
        for exchange in topology::EXCHANGES {
            let name = exchange.name().to_owned();
            let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
            let kind = ExchangeKind::Topic;
            let channel = session.channel().await.map_err(Trouble::into_words)?;
            let found = channel.exchange_declare(name.as_str().into(), kind, options, FieldTable::default()).await;
            all.push((name.clone(), standing(&format!("the exchange `{name}`"), found.map(drop))));
        }
        let named = queues.iter().cloned().map(Queue::Tasks);
        let wanted =
            named.chain([Queue::Results, Queue::Triggers]).map(|queue| topology::wanted(&self.settings, &queue));
        for wanted in wanted.chain([topology::wanted_dead(&self.settings)]) {
            let mut found = match Amqp::counts(session, &wanted.name).await {
                Ok(Some(_)) => Standing::There,
                Ok(None) => Standing::Missing,
                Err(why) => Standing::Unfit(why),
            };
            if found == Standing::There {
                // One that is there with other settings refuses to be declared.
                let channel = session.channel().await.map_err(Trouble::into_words)?;
                if let Err(trouble) = session.declare_unbound(&channel, &self.settings, &wanted).await {
                    found = Standing::Unfit(trouble.into_words());
                }
            }
            all.push((wanted.name, found));
        }
        Ok(all)
    }
}

fn standing(what: &str, found: Result<(), Error>) -> Standing {
    match found {
        Ok(()) => Standing::There,
        Err(error) if words::is_missing(&error) => Standing::Missing,
        Err(error) => Standing::Unfit(words::about(what, &error)),
    }
}

/// Does what replicas and workers do, on a queue that nobody else sees: makes it, binds it, sends to it, takes from it.
/// How long each of `times` messages took to be confirmed.
async fn try_out(session: &Session, parts: &[(String, Standing)], times: usize) -> Result<Vec<Duration>, String> {
    let channel = session.channel().await.map_err(Trouble::into_words)?;
    let name = format!("cronclave.doctor.{:016x}", rand::random::<u64>());
    let what = |doing: &str| format!("the queue `{name}`, {doing} for a trial,");
    let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let made = channel.queue_declare(name.as_str().into(), options, FieldTable::default()).await;
    made.map_err(|error| words::about(&what("made"), &error))?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(|error| words::about("a channel", &error))?;
    let tasks = Exchange::Tasks;
    if parts.iter().any(|(part, standing)| part == tasks.name() && *standing == Standing::There) {
        let key = name.as_str().into();
        let options = QueueBindOptions::default();
        let bound =
            channel.queue_bind(name.as_str().into(), tasks.name().into(), key, options, FieldTable::default()).await;
        bound.map_err(|error| words::about(&what("bound"), &error))?;
        send(&channel, tasks.name(), &name).await.map_err(|why| format!("{}: {why}", tasks.name()))?;
    }
    let mut confirmed = Vec::new();
    for _ in 0..times.max(1) {
        // Dead letters go back to their queues over the default exchange.
        confirmed.push(send(&channel, "", &name).await?);
    }
    let got = channel.basic_get(name.as_str().into(), BasicGetOptions { no_ack: true }).await;
    got.map_err(|error| words::about(&what("read"), &error))?;
    let _ = channel.close(200, "seen".into()).await;
    Ok(confirmed)
}

async fn send(channel: &Channel, exchange: &str, key: &str) -> Result<Duration, String> {
    let place =
        if exchange.is_empty() { "the default exchange".to_owned() } else { format!("the exchange `{exchange}`") };
    let wrong = |error: &Error| words::about(&place, error);
    let began = Instant::now();
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let sent = channel.basic_publish(exchange.into(), key.into(), options, b"", properties).await;
    match sent.map_err(|error| wrong(&error))?.await.map_err(|error| wrong(&error))? {
        Confirmation::Ack(_) => Ok(began.elapsed()),
        _ => Err(format!("{place} did not confirm a message")),
    }
}

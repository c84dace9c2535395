//! Carries a won lease to the broker instead of to the code: a request for a worker, or a message
//! for somebody else's service. Afterwards this process has no part in the run any more.
//!
//! A request is only a wake-up, and may be sent any number of times: a worker starts the run by the
//! fence in it, once. A message to another service is the run itself: its start is committed before
//! it is sent, and when the broker's answer is lost, the job's `delivery` says what then.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::attempt::{self, Carried, renew, settle, start};
use crate::broker::{Exchange, Message, NotPublished};
use crate::job::{Completion, Delivery, Format, Job, Publish, QueueName, Task, Text};
use crate::lease::{Ended, Lease, Outcome, Token, Work};
use crate::parts::Parts;
use crate::race::ask;
use crate::record::{Key, Op, Reply};
use crate::request;
use crate::template::{self, Values};

/// A claim is kept so long for a broker that is away; then another replica may try, which may reach it.
const PATIENCE: Duration = Duration::from_secs(30);

/// But never longer than this.
const LONGEST: Duration = Duration::from_secs(3600);

/// How long a claim that is of no use is given back to a store that does not answer.
const BRIEFLY: Duration = Duration::from_secs(3);

/// Between two tries to send.
const PAUSE: Duration = Duration::from_millis(500);

/// Does what the job says with a lease that was won: carries it out here, or hands it over.
pub async fn carry(parts: &Parts, job: &Job, lease: Lease) -> Carried {
    carry_in(parts, job, Box::new(lease), ()).await
}

/// Like [`carry`], in a `place` that is free for others as soon as it is not needed.
pub(crate) async fn carry_in<P>(parts: &Parts, job: &Job, mut lease: Box<Lease>, place: P) -> Carried {
    let key = Key { run_id: lease.work.run_id, fence: lease.work.fence, token: lease.token.clone() };
    if lease.not_before > Instant::now() {
        tokio::select! {
            biased;
            () = until_due(parts, job, &lease) => {}
            // Nothing was begun: whoever stays can still start it on time.
            () = parts.stop.soft() => {
                let why = "its replica stops before it is due".to_owned();
                return Box::pin(give_back(parts, job, &key, lease.trusted_until, why)).await;
            }
        }
    }
    let sender = Sender { parts, job, key: &key };
    // Boxed: what runs here is not to take the memory of what is sent.
    let sent = match &job.task {
        Task::Run(_) => {
            let trusted_until = lease.trusted_until;
            return match attempt::run_in(parts, job, lease, place).await {
                // The start may have been granted, but nothing was begun: others need not wait for the lease to end.
                Carried::Unanswered(why) => Box::pin(give_back(parts, job, &key, trusted_until, why)).await,
                carried => carried,
            };
        }
        Task::Queue(queue, _) => Box::pin(sender.request(&mut lease, queue)).await,
        Task::Publish(publish) => Box::pin(sender.message(&mut lease, publish)).await,
    };
    match sent {
        Ok(carried) => carried,
        Err(Undone::GaveUp(why)) => Box::pin(give_back(parts, job, &key, lease.trusted_until, why)).await,
        Err(Undone::Lost) => Carried::NotStarted("the claim had lapsed before it was sent".into()),
        Err(Undone::Over(ended)) => Box::pin(settle(parts, job, &key, &lease, ended)).await,
    }
}

/// Waits until a run that was won ahead of its instant is due, or its start is to be committed.
async fn until_due(parts: &Parts, job: &Job, lease: &Lease) {
    let due = lease.not_before;
    if job.task.is_sent() {
        return sleep_until(due).await;
    }
    let waiting = parts.waiting.wait(due);
    if lease.started.is_some() {
        return sleep_until(due).await;
    }
    sleep_until(due - attempt::EDGE).await;
    sleep_until(due - attempt::edge(waiting.count())).await;
}

/// Why nothing was handed over.
enum Undone {
    /// The broker is away; others may try.
    GaveUp(String),
    /// The claim is another's by now.
    Lost,
    /// The run is over, and ended so.
    Over(Ended),
}

/// One hand-over.
#[derive(Clone, Copy)]
struct Sender<'a> {
    parts: &'a Parts,
    job: &'a Job,
    key: &'a Key,
}

impl Sender<'_> {
    async fn request(&self, lease: &mut Lease, queue: &QueueName) -> Result<Carried, Undone> {
        let message = request::message(self.job, queue, &lease.work, &self.parts.cluster, self.parts.clock.now());
        let ttl = self.parts.claim_ttl.min(self.job.lease);
        let given_up = Instant::now() + self.patience(lease);
        self.reach_broker(lease, ttl, given_up).await?;
        // From now on a worker may start it, so it need not wait for us to hear of the broker's confirmation.
        // Should we die: after `ttl` another replica sends the next request, and this one is outdated.
        self.published(lease, ttl).await?;
        loop {
            match self.keep(lease, ttl, self.parts.broker.publish(&message)).await? {
                Ok(()) => break,
                Err(NotPublished::Refused(why)) => return Err(Undone::Over(Ended::because(Outcome::Failed, why))),
                // Sending it twice does no harm.
                Err(NotPublished::Away(why) | NotPublished::Unknown(why)) if Instant::now() >= given_up => {
                    return Err(Undone::GaveUp(why));
                }
                Err(NotPublished::Away(why) | NotPublished::Unknown(why)) => {
                    tracing::debug!(job = %self.job.name, why, "not sent; trying again");
                    self.keep(lease, ttl, sleep(PAUSE / 2 + self.parts.dice.pause(PAUSE))).await?;
                    self.reach_broker(lease, ttl, given_up).await?;
                }
            }
        }
        // A worker may even be done with it: that this is refused then does not matter.
        let patience = self.job.patience(lease.work.scheduled_at, lease.work.lease_until);
        let _ = self.published(lease, patience).await;
        Ok(Carried::HandedOver)
    }

    async fn message(&self, lease: &mut Lease, publish: &Publish) -> Result<Carried, Undone> {
        let ttl = self.parts.claim_ttl.min(self.job.lease);
        self.reach_broker(lease, ttl, Instant::now() + self.patience(lease)).await?;
        // Whose end others report is nobody's to renew, once it is sent.
        let key = match publish.complete_on {
            Completion::Confirm => self.key.clone(),
            Completion::Result => {
                self.published(lease, ttl).await?;
                Key { token: Token::of_result(self.key.run_id, self.key.fence), ..self.key.clone() }
            }
        };
        let sender = Sender { key: &key, ..*self };
        // It is as good as done from the moment it leaves: whether it may be sent again is a matter of `delivery`.
        if let Err(refused) = start(self.parts, self.job, &key, lease).await {
            return Ok(refused);
        }
        let sent = sender.send(lease, publish).await;
        match sent {
            Err(Undone::Over(ended)) => Ok(settle(self.parts, self.job, &key, lease, ended).await),
            // It has started, so it cannot be given back as if it had not.
            Err(Undone::GaveUp(why)) => {
                let ended = Ended::because(Outcome::Interrupted, why);
                Ok(settle(self.parts, self.job, &key, lease, ended).await)
            }
            other => other,
        }
    }

    /// How long the claim is kept for a broker that is away. First not for long, as others may reach it; the later it
    /// is, the longer, as they hardly can.
    fn patience(&self, lease: &Lease) -> Duration {
        let late = lease.work.lease_until.since(lease.work.scheduled_at);
        late.clamp(PATIENCE, LONGEST)
    }

    async fn send(&self, lease: &mut Lease, publish: &Publish) -> Result<Carried, Undone> {
        let message = compose(self.parts, publish, &lease.work)
            .map_err(|why| Undone::Over(Ended::because(Outcome::Failed, why)))?;
        let given_up = Instant::now() + self.job.timeout;
        loop {
            let ttl = lease.ttl;
            let trouble = match self.keep(lease, ttl, self.parts.broker.publish(&message)).await? {
                Ok(()) => break,
                Err(NotPublished::Refused(why)) => return Err(Undone::Over(Ended::because(Outcome::Failed, why))),
                Err(NotPublished::Unknown(why)) if self.job.delivery == Delivery::AtMostOnce => {
                    let why = format!("{why}; it may have been sent, and is not sent again");
                    return Err(Undone::Over(Ended::because(Outcome::Lost, why)));
                }
                Err(NotPublished::Away(why) | NotPublished::Unknown(why)) => why,
            };
            if Instant::now() >= given_up {
                return Err(Undone::Over(Ended::because(Outcome::TimedOut, trouble)));
            }
            self.keep(lease, ttl, sleep(PAUSE / 2 + self.parts.dice.pause(PAUSE))).await?;
        }
        match publish.complete_on {
            Completion::Confirm => Err(Undone::Over(Ended::succeeded())),
            Completion::Result => self.await_result().await,
        }
    }

    /// Leaves the run open for as long as its result may take. Any replica records that.
    async fn await_result(&self) -> Result<Carried, Undone> {
        let op = Op::Renew { key: self.key.clone(), ttl: self.job.timeout };
        // Should it not be answered: the lease ends sooner, and the run is recorded as lost.
        let _ = ask(self.parts, self.job, &op, Instant::now() + self.job.lease).await;
        Ok(Carried::HandedOver)
    }

    /// Waits for the broker while keeping the claim.
    async fn reach_broker(&self, lease: &mut Lease, ttl: Duration, given_up: Instant) -> Result<(), Undone> {
        let parts = self.parts;
        let waiting = async {
            tokio::select! {
                biased;
                () = parts.broker.up() => true,
                () = parts.stop.soft() => false,
                () = sleep_until(given_up) => false,
            }
        };
        if self.keep(lease, ttl, waiting).await? {
            return Ok(());
        }
        Err(Undone::GaveUp(parts.broker.down().unwrap_or_else(|| "the broker did not take it in time".into())))
    }

    /// Does `work`, and keeps the claim for as long as that takes.
    async fn keep<T>(&self, lease: &mut Lease, ttl: Duration, work: impl Future<Output = T>) -> Result<T, Undone> {
        let mut work = pin!(work);
        loop {
            // A third of it after the last renewal, however short what is done in between.
            let due = lease.trusted_until - ttl * 2 / 3;
            tokio::select! {
                biased;
                () = sleep_until(due) => {}
                done = &mut work => return Ok(done),
                () = self.parts.stop.ended() => return Err(Undone::GaveUp("its replica was told to stop".into())),
            }
            match renew(self.parts, self.job, self.key, ttl, lease.trusted_until).await {
                Some(renewed) if renewed.cancel => {
                    return Err(Undone::Over(Ended::because(Outcome::Cancelled, "cancelled before it was sent")));
                }
                Some(renewed) => lease.trusted_until = renewed.trusted_until,
                None => return Err(Undone::Lost),
            }
        }
    }

    async fn published(&self, lease: &mut Lease, ttl: Duration) -> Result<(), Undone> {
        let asked = Instant::now();
        let op = Op::Published { key: self.key.clone(), ttl };
        let answer = ask(self.parts, self.job, &op, lease.trusted_until).await.map_err(|_| Undone::Lost)?;
        self.parts.bus.tell_all(answer.events);
        if answer.reply != Reply::Done {
            return Err(Undone::Lost);
        }
        lease.trusted_until = asked + ttl;
        Ok(())
    }
}

/// Lets another replica try at once.
async fn give_back(parts: &Parts, job: &Job, key: &Key, trusted_until: Instant, why: String) -> Carried {
    // Should it fail: the claim lapses by itself.
    let limit = trusted_until.max(Instant::now() + BRIEFLY);
    if let Ok(answer) = ask(parts, job, &Op::Release { key: key.clone() }, limit).await {
        parts.bus.tell_all(answer.events);
    }
    Carried::GivenBack(why)
}

/// The message of a run, filled in.
fn compose(parts: &Parts, publish: &Publish, work: &Work) -> Result<Message, String> {
    let values = Values {
        job: work.job.as_str(),
        run_id: work.run_id.to_string(),
        attempt: work.attempt,
        scheduled_at: Some(work.scheduled_at),
        started_at: Some(parts.clock.now()),
        last_success_at: work.previous_success_at,
        fencing_token: work.fence.0,
        trigger: work.trigger.kind(),
        cluster: &parts.cluster,
        replica: &parts.holder,
        args: Some(&work.args),
    };
    let payload = publish.payload.as_ref().map(|payload| filled(payload, &values));
    let facts = || {
        serde_json::json!({
            "job": work.job, "run_id": work.run_id, "attempt": work.attempt, "trigger": work.trigger.kind(),
            "scheduled_at": work.scheduled_at, "fencing_token": work.fence, "args": work.args,
        })
    };
    let data = payload.clone().unwrap_or_else(facts);
    let mut message = request::envelope(work, &parts.cluster, parts.clock.now(), data);
    if publish.format == Format::Plain {
        let (kind, body) = match payload {
            Some(serde_json::Value::String(text)) => ("text/plain; charset=utf-8", text.into_bytes()),
            Some(other) => ("application/json", other.to_string().into_bytes()),
            None => ("application/octet-stream", Vec::new()),
        };
        (message.content_type, message.body) = (kind.into(), body);
        message.headers.retain(|name, _| !name.starts_with("cloudEvents_"));
    }
    if let Some(kind) = &publish.content_type {
        message.content_type.clone_from(kind);
    }
    for (name, text) in &publish.headers {
        let value = match text {
            Text::Plain(text) => template::fill(text, &values),
            secret @ Text::Secret { .. } => secret
                .reveal()
                .map_err(|secret| format!("the secret `{secret}`, wanted for the header {name}, is not set here"))?,
        };
        message.headers.insert(name.clone(), value);
    }
    message.to = Exchange::Foreign(publish.exchange.clone());
    message.key = template::fill(&publish.routing_key, &values);
    if publish.exchange.is_empty() && message.key.starts_with("cronclave.") {
        return Err(format!("`{}` is a queue of cronclave's own, not one for other messages", message.key));
    }
    message.priority = publish.priority;
    message.expires = publish.expires;
    message.transient = !publish.persistent;
    Ok(message)
}

/// JSON with the places in its texts filled in.
fn filled(value: &serde_json::Value, values: &Values<'_>) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => template::fill(text, values).into(),
        Value::Array(items) => items.iter().map(|item| filled(item, values)).collect(),
        Value::Object(fields) => {
            let filled = fields.iter().map(|(name, value)| (name.clone(), filled(value, values)));
            Value::Object(filled.collect())
        }
        other => other.clone(),
    }
}

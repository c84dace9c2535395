//! Sends what is due, a few at a time to each receiver, and keeps in the store what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::delivery::{self, Delivery, Mishap, Standing, To};
use super::queue::{Done, Queue, Waiting};
use super::registration::Refused;
use super::registry::{AGAIN, Registry};
use super::send::{Address, Sender, Then, Verdict};
use super::{Settings, limited};
use crate::clock::Timestamp;
use crate::event::{Delivered, Told};
use crate::job::{Hook, Reach, Shape};
use crate::parts::Parts;
use crate::replica::Jobs;
use crate::signature::{self, SigningKey};
use crate::store::{Collection, Expect, Span, StoreError};

/// Sent side by side at most.
const MOST: usize = 32;

/// One receiver has no more that waits; further ones are kept as failed.
const LINE: usize = 10_000;

/// So many that failed are kept for each receiver.
const KEPT: usize = 1000;

/// And no longer than this.
const AGE: Duration = Duration::from_secs(30 * 86_400);

/// When the store does not say what is to be sent, it is asked again after this.
const PAUSE: Duration = Duration::from_secs(5);

/// What was changed while it was sent is looked at again after this.
const SOON: Duration = Duration::from_secs(1);

/// What every try works with.
pub(super) struct Kit {
    pub(super) parts: Parts,
    pub(super) settings: Settings,
    pub(super) registry: Registry,
    pub(super) sender: Sender,
    pub(super) jobs: watch::Receiver<Arc<Jobs>>,
}

impl Kit {
    /// Looks at every delivery of the store: those of one receiver in the order of their events' times.
    async fn each(&self, mut look: impl FnMut(Delivery)) -> Result<(), StoreError> {
        let mut span = Span { limit: 200, ..Span::default() };
        loop {
            let page = limited(self.parts.store.documents(Collection::Deliveries, &span)).await?;
            let Some(last) = page.last() else { return Ok(()) };
            span.after = Some(last.key.clone());
            page.iter().filter_map(Delivery::read).for_each(&mut look);
        }
    }
}

/// The one who sends, for as long as it is the one. Dropping it stops what is on its way.
pub(super) struct Deliverer {
    kit: Arc<Kit>,
    queue: Queue,
    going: JoinSet<(To, Waiting, Came)>,
}

/// What came of a try, for the queue.
enum Came {
    Over(Done),
    Again { due: Timestamp, alone: Option<Duration>, was_away: bool },
}

impl Deliverer {
    /// Begins with what the store has.
    pub(super) async fn begin(kit: Arc<Kit>) -> Result<Deliverer, StoreError> {
        let mut queue = Queue::default();
        kit.each(|one| match one.standing {
            Standing::Waiting => queue.add(&one.to, Waiting::of(&one)),
            Standing::Failed => {}
        })
        .await?;
        Ok(Deliverer { kit, queue, going: JoinSet::new() })
    }

    /// Drops what failed but for the newest.
    pub(super) async fn forget(&self) -> Result<(), StoreError> {
        let mut failed: BTreeMap<To, Vec<(String, Timestamp)>> = BTreeMap::new();
        self.kit
            .each(|one| match one.standing {
                Standing::Waiting => {}
                Standing::Failed => failed.entry(one.to.clone()).or_default().push((one.key(), one.happened_at)),
            })
            .await?;
        let now = self.kit.parts.clock.now();
        for keys in failed.into_values() {
            let beyond = keys.len().saturating_sub(KEPT);
            for (n, (key, at)) in keys.into_iter().enumerate() {
                if n < beyond || now.since(at) > AGE {
                    limited(self.kit.parts.store.write_document(&delivery::removal(&key, Expect::Any))).await?;
                }
            }
        }
        Ok(())
    }

    /// Keeps what is to be delivered. What is there already is on its way.
    pub(super) async fn take(&mut self, deliveries: Vec<Delivery>) -> Result<(), StoreError> {
        let mut writing = JoinSet::new();
        for mut one in deliveries {
            if self.queue.count(&one.to) >= LINE {
                let message = format!("{LINE} events wait for it already");
                one.last = Some(Mishap { at: one.due, status: None, message });
                one.standing = Standing::Failed;
            }
            let store = self.kit.parts.store.clone();
            writing.spawn(async move {
                let written = limited(store.write_document(&one.draft(Expect::Absent))).await;
                written.map(|version| version.map(|_| one))
            });
            if writing.len() >= MOST
                && let Some(done) = writing.join_next().await
            {
                self.keep(done.ok())?;
            }
        }
        while let Some(done) = writing.join_next().await {
            self.keep(done.ok())?;
        }
        Ok(())
    }

    fn keep(&mut self, written: Option<Result<Option<Delivery>, StoreError>>) -> Result<(), StoreError> {
        if let Some(one) = written.transpose()?.flatten().filter(|one| one.standing == Standing::Waiting) {
            self.queue.add(&one.to, Waiting::of(&one));
        }
        Ok(())
    }

    /// Heeds requests to send something again.
    pub(super) async fn heed(&mut self) -> Result<(), StoreError> {
        let store = &self.kit.parts.store;
        let span = Span { prefix: AGAIN.into(), limit: 100, ..Span::default() };
        for request in limited(store.documents(Collection::Deliveries, &span)).await? {
            let key = request.key.trim_start_matches(AGAIN);
            let found = limited(store.document(Collection::Deliveries, key)).await?;
            if let Some((mut one, version)) = found.and_then(|found| Some((Delivery::read(&found)?, found.version))) {
                one.standing = Standing::Waiting;
                (one.tries, one.due) = (0, self.kit.parts.clock.now());
                if limited(store.write_document(&one.draft(Expect::Version(version)))).await?.is_some() {
                    self.queue.add(&one.to, Waiting::of(&one));
                }
            }
            let done = delivery::removal(&request.key, Expect::Version(request.version));
            limited(store.write_document(&done)).await?;
        }
        Ok(())
    }

    /// Sends what may be sent now.
    pub(super) fn send(&mut self) {
        while self.going.len() < MOST {
            let Some((to, waiting)) = self.queue.next(self.kit.parts.clock.now()) else { return };
            let kit = self.kit.clone();
            self.going.spawn(async move {
                let came = attempt(&kit, &to, &waiting).await.unwrap_or_else(|error| {
                    tracing::debug!(%to, %error, "what came of a delivery is not on record; it is sent again");
                    Came::Again { due: kit.parts.clock.now().plus(PAUSE), alone: None, was_away: waiting.was_away }
                });
                (to, waiting, came)
            });
        }
    }

    /// Waits until something was sent, or something more is due.
    pub(super) async fn turn(&mut self) {
        let due = self.queue.due().filter(|_| self.going.len() < MOST);
        let now = self.kit.parts.clock.now();
        let until = due.map(|due| Instant::now() + due.since(now));
        tokio::select! {
            Some(done) = self.going.join_next() => if let Ok((to, waiting, came)) = done {
                self.done(&to, waiting, came);
            },
            () = async { match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            } } => {}
        }
    }

    fn done(&mut self, to: &To, waiting: Waiting, came: Came) {
        let now = self.kit.parts.clock.now();
        match came {
            Came::Over(done) => self.queue.done(to, &waiting.key, now, done),
            Came::Again { due, alone, was_away } => {
                self.queue.again(to, Waiting { due, was_away, ..waiting }, now, alone);
            }
        }
    }
}

/// Tries one that is due, and writes down what came of it.
async fn attempt(kit: &Kit, to: &To, waiting: &Waiting) -> Result<Came, StoreError> {
    let found = limited(kit.parts.store.document(Collection::Deliveries, &waiting.key)).await?;
    // Somebody removed it, or the hook.
    let Some(document) = found else { return Ok(Came::Over(Done::Dropped)) };
    let Some(delivery) = Delivery::read(&document).filter(|one| one.standing == Standing::Waiting) else {
        return Ok(Came::Over(Done::Dropped));
    };
    let verdict = match limited(address(kit, to)).await? {
        Whereto::Here(address) => kit.sender.send(&address, &delivery, kit.parts.clock.now()).await,
        Whereto::Not(verdict) => verdict,
        Whereto::Nobody => {
            let removal = delivery::removal(&waiting.key, Expect::Version(document.version));
            limited(kit.parts.store.write_document(&removal)).await?;
            return Ok(Came::Over(Done::Dropped));
        }
    };
    record(kit, delivery, document.version, verdict).await
}

/// Where something is to be sent.
enum Whereto {
    Here(Address),
    /// Nowhere as things stand.
    Not(Verdict),
    /// Who wanted it is gone.
    Nobody,
}

async fn address(kit: &Kit, to: &To) -> Result<Whereto, StoreError> {
    let jobs = kit.jobs.borrow().clone();
    Ok(match to {
        To::Hook(name) => match jobs.hooks.get(name) {
            None => again("there is no such hook in the schedule files here"),
            Some(hook) if !hook.enabled => Whereto::Not(Verdict::never("the hook is disabled")),
            Some(hook) => match kit.registry.off(hook).await? {
                Some(off) => Whereto::Not(Verdict::never(format!("the hook is switched off: {}", off.why))),
                None => of_hook(hook),
            },
        },
        To::Webhook(id) => match kit.registry.get(id.as_str()).await {
            Err(Refused::Store(error)) => return Err(error),
            Err(_) => Whereto::Nobody,
            Ok(one) if one.off.is_some() => Whereto::Not(Verdict::never("the webhook is switched off")),
            Ok(one) => Whereto::Here(Address {
                keys: one
                    .secrets(kit.parts.clock.now())
                    .into_iter()
                    .filter_map(|key| signature::key(key).ok())
                    .collect(),
                url: one.url,
                shape: one.format,
                reach: kit.registry.reach(),
            }),
        },
        To::Ping(job) => match jobs.by_name.get(job).and_then(|job| job.ping.as_ref()).map(|url| url.reveal()) {
            None => Whereto::Nobody,
            Some(Err(secret)) => again(format!("the secret `{secret}` is not set here")),
            Some(Ok(url)) => {
                // Written by whoever writes the jobs, which may call whatever they like.
                let reach = Reach { http: true, private: true };
                Whereto::Here(Address { url, keys: Vec::new(), shape: Shape::default(), reach })
            }
        },
    })
}

/// What may be mended by a new version of the files, or another sender.
fn again(message: impl Into<String>) -> Whereto {
    Whereto::Not(Verdict::Not { status: None, message: message.into(), then: Then::Again })
}

fn of_hook(hook: &Hook) -> Whereto {
    let url = match hook.url.reveal() {
        Ok(url) => url,
        Err(secret) => return again(format!("the secret `{secret}` is not set here")),
    };
    let keys: Result<Vec<SigningKey>, String> = hook
        .secrets
        .iter()
        .map(|secret| {
            let secret = secret.reveal().map_err(|name| format!("the secret `{name}` is not set here"))?;
            signature::key(&secret).map_err(|why| format!("its secret cannot sign: {why}"))
        })
        .collect();
    match keys {
        Ok(keys) => Whereto::Here(Address { url, keys, shape: hook.shape, reach: hook.reach }),
        Err(why) => again(why),
    }
}

/// Writes down what came of a try, and tells of it.
async fn record(kit: &Kit, mut one: Delivery, version: u64, verdict: Verdict) -> Result<Came, StoreError> {
    let now = kit.parts.clock.now();
    let store = &kit.parts.store;
    let expect = Expect::Version(version);
    let (status, message, then) = match verdict {
        Verdict::Taken(_) => {
            tell(kit, &one, Delivered::Taken, None);
            // Taken is taken, whoever asked meanwhile for it to be sent again.
            limited(store.write_document(&delivery::removal(&one.key(), Expect::Any))).await?;
            return Ok(Came::Over(Done::Taken));
        }
        Verdict::Gone => {
            let why = "it answered 410 Gone";
            let hook = match &one.to {
                To::Hook(name) => kit.jobs.borrow().hooks.get(name).cloned(),
                To::Webhook(_) | To::Ping(_) => None,
            };
            if limited(kit.registry.switch_off(&one.to, hook.as_deref(), why)).await? {
                tell(kit, &one, Delivered::SwitchedOff, Some(why));
            }
            (Some(410), why.to_owned(), Then::Never)
        }
        Verdict::Not { status, message, then } => (status, message, then),
    };
    one.tries += 1;
    let pauses = if matches!(one.to, To::Ping(_)) { &kit.settings.pings } else { &kit.settings.pauses };
    let pause = pauses.after(one.tries, kit.parts.dice.roll()).filter(|_| then != Then::Never);
    let alone = if let Then::Away(asked) = then { Some(asked.unwrap_or_default()) } else { None };
    let was_away = matches!(then, Then::Away(_));
    let outcome = if pause.is_some() { Delivered::Retrying } else { Delivered::Failed };
    tell(kit, &one, outcome, Some(&message));
    one.last = Some(Mishap { at: now, status, message });
    let Some(pause) = pause else {
        one.standing = Standing::Failed;
        let draft = match &one.to {
            To::Ping(_) => delivery::removal(&one.key(), expect),
            To::Hook(_) | To::Webhook(_) => one.draft(expect),
        };
        limited(store.write_document(&draft)).await?;
        return Ok(Came::Over(Done::GivenUp));
    };
    one.due = now.plus(pause.max(alone.unwrap_or_default()));
    if limited(store.write_document(&one.draft(expect))).await?.is_none() {
        // It was changed meanwhile: it is looked at again.
        return Ok(Came::Again { due: now.plus(SOON), alone: None, was_away });
    }
    Ok(Came::Again { due: one.due, alone: alone.filter(|wait| !wait.is_zero()), was_away })
}

fn tell(kit: &Kit, one: &Delivery, outcome: Delivered, message: Option<&str>) {
    kit.parts.bus.tell(Told::Delivery {
        hook: one.to.to_string(),
        event: one.id.clone(),
        kind: one.kind.clone(),
        outcome,
        message: message.map(str::to_owned),
    });
}

/// Sends something that is kept nowhere, once.
pub(super) async fn once(kit: &Kit, to: &To, delivery: &Delivery) -> Result<Verdict, StoreError> {
    Ok(match limited(address(kit, to)).await? {
        Whereto::Here(address) => kit.sender.send(&address, delivery, kit.parts.clock.now()).await,
        Whereto::Not(verdict) => verdict,
        Whereto::Nobody => Verdict::never("there is no such hook"),
    })
}

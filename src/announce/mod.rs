//! Passes on to a broker what happens in the cluster.
//!
//! The store writes each event with the change it tells of, so its feed is an outbox: here one replica
//! at a time reads it, sends what it says, and moves the mark only past what the broker has.

mod notice;
mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::broker::{Broker, Message, NotPublished};
use crate::event::Told;
use crate::lease::Token;
use crate::ledger::Event;
use crate::measure::Measure;
use crate::parts::Parts;
use crate::store::{Outbox, StoreError, Trouble};

pub use notice::{KINDS, Notice, Notices, recorded};

/// Whoever has the outbox and does not say so for so long loses it.
const TTL: Duration = Duration::from_secs(15);

/// Between two tries to get it.
const AWAY: Duration = Duration::from_secs(5);

/// Between two looks for news. Every cluster has one who looks.
const LOOK: Duration = Duration::from_millis(250);

/// After trouble.
const PAUSE: Duration = Duration::from_secs(1);

/// A store that does not answer for this long is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// At the end of the process neither store nor broker is waited for any longer.
const LAST: Duration = Duration::from_secs(2);

/// Events read at once.
const BATCH: usize = 200;

/// Events looked at again by a new holder: the end of a run does not say how it began.
const BEFORE: u64 = 2_000;

/// Whether `wanted` names this kind of event: `run.failed`, or all that begin alike, `run.*`.
pub fn is_kind(wanted: &str, kind: &str) -> bool {
    wanted.strip_suffix('*').map_or(kind == wanted, |start| kind.starts_with(start))
}

/// Announces what happens, until `parts.stop` is soft, and then once more what happened last: whoever wants the ends
/// of runs that drain announced stops this after them. Never ends before, whatever broker and store do. For a broker
/// that others listen to: without one there is nobody to tell.
pub async fn run(parts: Parts) {
    let own = own::Own::new(parts.clone());
    let announcer = Announcer { parts, name: Token::fresh().0, held: None, told: String::new() };
    tokio::join!(own.run(), announcer.run());
}

/// Announces how far the runs of a worker are, until `parts.stop` is soft.
pub async fn run_for_worker(parts: Parts) {
    own::Own::new(parts).run_for_worker().await;
}

/// One who may get the outbox.
struct Announcer {
    parts: Parts,
    /// As the store knows it: like no other.
    name: String,
    held: Option<Held>,
    /// The last trouble told.
    told: String,
}

/// The outbox, while it is ours.
struct Held {
    trusted_until: Instant,
    /// How far it was read.
    read: u64,
    /// What was read and the broker does not have yet, by position.
    left: BTreeMap<u64, Message>,
    /// Who puts it into words.
    notices: Notices,
}

impl Held {
    /// Everything up to here is passed on.
    fn mark(&self) -> u64 {
        self.left.first_key_value().map_or(self.read, |(position, _)| position - 1)
    }

    /// Takes in what was read.
    fn take(&mut self, events: &[(u64, Event)]) {
        for (position, event) in events {
            self.left.extend(self.notices.of(*position, event).map(|notice| (*position, notice.message())));
            self.read = *position;
        }
    }
}

impl Announcer {
    async fn run(mut self) {
        let stop = self.parts.stop.clone();
        tokio::select! {
            () = stop.soft() => {}
            () = async { loop { self.step().await } } => {}
        }
        let _ = timeout(LAST, self.look()).await;
        let _ = timeout(LAST, self.give_back()).await;
    }

    /// One look and the pause after it.
    async fn step(&mut self) {
        if self.parts.broker.down().is_some() {
            // Somebody else's way to the broker may be open.
            let _ = self.give_back().await;
            let _ = timeout(AWAY, self.parts.broker.up()).await;
            return;
        }
        let pause = self.look().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "nothing is announced for now");
            PAUSE
        });
        sleep(pause).await;
    }

    /// Passes on what there is; answers with when to look again.
    async fn look(&mut self) -> Result<Duration, StoreError> {
        if !self.is_ours().await? {
            return Ok(AWAY);
        }
        let more = self.read().await?;
        self.send().await;
        let Some(held) = &self.held else { return Ok(AWAY) };
        let is_left = !held.left.is_empty();
        let (asked, mark) = (Instant::now(), held.mark());
        if !limited(self.parts.store.mark_outbox(Outbox::Announcements, &self.name, mark, TTL)).await? {
            self.held = None;
            return Ok(AWAY);
        }
        if let Some(held) = &mut self.held {
            held.trusted_until = asked + TTL;
        }
        Ok(match (is_left, more) {
            (true, _) => PAUSE,
            (false, true) => Duration::ZERO,
            (false, false) => LOOK,
        })
    }

    /// Whether the outbox is ours for long enough to send something.
    async fn is_ours(&mut self) -> Result<bool, StoreError> {
        let asked = Instant::now();
        if self.held.as_ref().is_some_and(|held| asked + TTL / 2 < held.trusted_until) {
            return Ok(true);
        }
        let mark = limited(self.parts.store.take_outbox(Outbox::Announcements, &self.name, TTL)).await?;
        let (Some(mark), trusted_until) = (mark, asked + TTL) else {
            self.held = None;
            return Ok(false);
        };
        // What another has passed on since we had it last is not sent again.
        if let Some(held) = self.held.as_mut().filter(|held| mark <= held.mark()) {
            held.trusted_until = trusted_until;
        } else {
            let mut notices = Notices::new(&self.parts.cluster);
            let before = limited(self.parts.store.events(mark.saturating_sub(BEFORE), 2_000)).await?;
            for (_, event) in before.iter().filter(|(position, _)| *position <= mark) {
                notices.learn(event);
            }
            self.held = Some(Held { trusted_until, read: mark, left: BTreeMap::new(), notices });
        }
        Ok(true)
    }

    /// Reads on, once everything is sent. Whether there may be more.
    async fn read(&mut self) -> Result<bool, StoreError> {
        let Some(held) = self.held.as_mut().filter(|held| held.left.is_empty()) else { return Ok(false) };
        let events = limited(self.parts.store.events(held.read, BATCH)).await?;
        if let Some((first, event)) = events.first()
            && *first > held.read + 1
        {
            let (from, through) = (held.read + 1, first - 1);
            let count = through - held.read;
            let notice = Notice::of_gap(&self.parts.cluster, (from, through), event.at);
            held.left.insert(through, notice.message());
            self.parts.bus.measure(Measure::Dropped { sink: "outbox", count });
            self.parts.bus.tell(Told::Warning(format!(
                "{count} events were dropped before they could be announced: the broker was away for too long"
            )));
        }
        held.take(&events);
        Ok(events.len() >= BATCH)
    }

    /// Sends what is left: that of one job in order, that of different jobs side by side. Nothing is sent once the
    /// outbox may be somebody else's.
    async fn send(&mut self) {
        let Some(held) = &mut self.held else { return };
        let mut chains: BTreeMap<String, Vec<(u64, Message)>> = BTreeMap::new();
        for (position, message) in &held.left {
            let about = message.key.rsplit('.').next().unwrap_or_default();
            chains.entry(about.to_owned()).or_default().push((*position, message.clone()));
        }
        let mut going = JoinSet::new();
        for chain in chains.into_values() {
            going.spawn(send_in_order(self.parts.broker.clone(), chain, held.trusted_until));
        }
        let mut trouble = None;
        let mut sent = BTreeSet::new();
        while let Some(done) = going.join_next().await {
            let Ok((some, failed)) = done else { continue };
            sent.extend(some);
            trouble = trouble.or(failed);
        }
        held.left.retain(|position, _| !sent.contains(position));
        self.complain(trouble);
    }

    /// Tells, once, of what will not mend by itself.
    fn complain(&mut self, trouble: Option<NotPublished>) {
        match trouble {
            Some(NotPublished::Refused(why)) if why != self.told => {
                self.parts.bus.tell(Told::Warning(format!("events are not announced for now: {why}")));
                self.told = why;
            }
            Some(error) => tracing::debug!(%error, "an event was not announced; it is sent again"),
            None => self.told.clear(),
        }
    }

    /// Lets somebody else have the outbox at once.
    async fn give_back(&mut self) -> Result<(), StoreError> {
        let Some(held) = self.held.take() else { return Ok(()) };
        limited(self.parts.store.mark_outbox(Outbox::Announcements, &self.name, held.mark(), Duration::ZERO))
            .await
            .map(|_| ())
    }
}

/// Sends one after another up to the first that fails: the positions of those that the broker has, and the trouble.
async fn send_in_order(
    broker: Arc<dyn Broker>,
    chain: Vec<(u64, Message)>,
    until: Instant,
) -> (Vec<u64>, Option<NotPublished>) {
    let mut sent = Vec::new();
    for (position, message) in chain {
        match timeout_at(until, broker.publish(&message)).await {
            Ok(Ok(())) => sent.push(position),
            Ok(Err(error)) => return (sent, Some(error)),
            Err(_) => return (sent, Some(NotPublished::Unknown("no confirmation in time".into()))),
        }
    }
    (sent, None)
}

/// The store's answer, or the trouble that it gave none.
async fn limited<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
        Err(StoreError { kind: Trouble::Passing, message: "the store gave no answer in time".into() })
    })
}

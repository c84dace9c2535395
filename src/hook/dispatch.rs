//! Reads what happens, and sees to what follows. One replica at a time does, and whoever comes after it goes on where
//! it stopped: an event is past only once what follows it is in the store.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::deliver::{Deliverer, Kit};
use super::registry::Registry;
use super::send::Sender;
use super::target::{Known, following};
use super::{Settings, limited};
use crate::announce::{Notice, Notices};
use crate::event::Told;
use crate::job::{Job, JobName};
use crate::lease::Token;
use crate::ledger::Event;
use crate::parts::Parts;
use crate::progress;
use crate::record::Op;
use crate::replica::Jobs;
use crate::store::{Outbox, Query, StoreError};

/// Between two looks for news, while somebody wants to hear them.
const LOOK: Duration = Duration::from_millis(250);

/// The same while nobody in the files does, but somebody who registered.
const IDLE: Duration = Duration::from_secs(2);

/// The same while nobody does.
const QUIET: Duration = Duration::from_secs(5);

/// After trouble.
const PAUSE: Duration = Duration::from_secs(1);

/// Between two looks for requests to send something again.
const HEED: Duration = Duration::from_secs(1);

/// Between two looks for registrations, and words of runs, whose time is over.
const EXPIRE: Duration = Duration::from_secs(60);

/// What failed too long ago is dropped this often.
const TIDY: Duration = Duration::from_secs(3600);

/// At the end of the process the store is not waited for any longer.
const LAST: Duration = Duration::from_secs(2);

/// Events read at once.
const BATCH: usize = 200;

/// Events looked at again by a new holder: the end of a run does not say how it began.
const BEFORE: u64 = 2_000;

/// One who may get the outbox.
pub(super) struct Dispatcher {
    kit: Arc<Kit>,
    /// As the store knows it: like no other.
    name: String,
    /// Of these jobs it is known whether anything follows their events: there may be very many.
    asked: Mutex<Option<(Arc<Jobs>, bool)>>,
}

/// The outbox, while it is ours.
struct Held {
    trusted_until: Instant,
    /// How far it was read, and what follows that seen to.
    read: u64,
    /// How far the store knows.
    marked: u64,
    /// Who puts events into words, while somebody wants to hear them.
    notices: Option<Notices>,
    deliverer: Deliverer,
    next_heed: Instant,
    next_expiry: Instant,
    next_tidying: Instant,
}

impl Dispatcher {
    pub(super) fn new(parts: Parts, settings: Settings, jobs: watch::Receiver<Arc<Jobs>>) -> Dispatcher {
        let registry = Registry::new(&parts, &settings);
        let sender = Sender::new(&settings.lookup);
        let kit = Arc::new(Kit { parts, settings, registry, sender, jobs });
        Dispatcher { kit, name: Token::fresh().0, asked: Mutex::default() }
    }

    pub(super) async fn run(self) {
        let stop = self.kit.parts.stop.clone();
        let mut held = None;
        tokio::select! {
            () = stop.soft() => {}
            () = async { loop { self.step(&mut held).await } } => {}
        }
        // What happened last is seen to as well: others may only come to it much later.
        if let Some(mut held) = held {
            let _ = timeout(LAST, async {
                while self.read(&mut held).await? {}
                let store = &self.kit.parts.store;
                store.mark_outbox(Outbox::Hooks, &self.name, held.read, Duration::ZERO).await
            })
            .await;
        }
    }

    /// Takes the outbox if it can be had, or goes on with it for a moment.
    async fn step(&self, held: &mut Option<Held>) {
        if held.as_ref().is_some_and(|held| held.trusted_until <= Instant::now()) {
            // Somebody else may have it. What is on its way is given up: he sends it.
            *held = None;
        }
        let Some(ours) = held else {
            match self.take().await {
                Ok(Some(taken)) => *held = Some(taken),
                Ok(None) => sleep(self.kit.settings.hold / 3).await,
                Err(error) => {
                    tracing::debug!(%error, "no hook is told for now");
                    sleep(PAUSE).await;
                }
            }
            return;
        };
        let pause = match self.look(ours).await {
            Ok(Some(pause)) => pause,
            Ok(None) => {
                *held = None;
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "no hook is told for now");
                PAUSE
            }
        };
        let until = Instant::now() + pause;
        while Instant::now() < until.min(ours.trusted_until) {
            ours.deliverer.send();
            tokio::select! {
                () = sleep_until(until.min(ours.trusted_until)) => {}
                () = ours.deliverer.turn() => {}
            }
        }
    }

    async fn take(&self) -> Result<Option<Held>, StoreError> {
        let store = &self.kit.parts.store;
        let (asked, hold) = (Instant::now(), self.kit.settings.hold);
        let Some(mark) = limited(store.take_outbox(Outbox::Hooks, &self.name, hold)).await? else { return Ok(None) };
        let deliverer = Deliverer::begin(self.kit.clone()).await?;
        let begun = Instant::now();
        Ok(Some(Held {
            trusted_until: asked + hold,
            read: mark,
            marked: mark,
            notices: None,
            deliverer,
            next_heed: begun,
            next_expiry: begun,
            next_tidying: begun + TIDY / 60,
        }))
    }

    /// Sees to what happened since, and says when to look again. `None`: the outbox is not ours any more.
    async fn look(&self, held: &mut Held) -> Result<Option<Duration>, StoreError> {
        let more = self.read(held).await?;
        let (asked, hold) = (Instant::now(), self.kit.settings.hold);
        if held.read > held.marked || asked + hold / 2 > held.trusted_until {
            let store = &self.kit.parts.store;
            if !limited(store.mark_outbox(Outbox::Hooks, &self.name, held.read, hold)).await? {
                return Ok(None);
            }
            (held.marked, held.trusted_until) = (held.read, asked + hold);
        }
        if asked >= held.next_heed {
            held.next_heed = asked + HEED;
            held.deliverer.heed().await?;
        }
        if asked >= held.next_expiry {
            held.next_expiry = asked + EXPIRE;
            limited(self.kit.registry.expire()).await?;
            limited(progress::prune(&*self.kit.parts.store, self.kit.parts.clock.now())).await?;
        }
        if asked >= held.next_tidying {
            held.next_tidying = asked + TIDY;
            held.deliverer.forget().await?;
        }
        Ok(Some(match more {
            true => Duration::ZERO,
            false if self.is_wanted() => LOOK,
            false if held.notices.is_some() => IDLE,
            false => QUIET.min(hold / 3),
        }))
    }

    /// Whether anything in the files follows events.
    fn is_wanted(&self) -> bool {
        let jobs = self.kit.jobs.borrow().clone();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match &*asked {
            Some((known, is_wanted)) if Arc::ptr_eq(known, &jobs) => *is_wanted,
            _ => {
                let follows = |job: &Arc<Job>| job.ping.is_some() || job.on.jobs().next().is_some();
                let is_wanted = !jobs.hooks.is_empty() || jobs.by_name.values().any(follows);
                *asked = Some((jobs, is_wanted));
                is_wanted
            }
        }
    }

    /// Goes past what nobody wants to hear. Whether somebody does.
    async fn pass(&self, held: &mut Held) -> Result<bool, StoreError> {
        if self.is_wanted() {
            return Ok(true);
        }
        // Looked at after the position: nobody had registered before anything up to it happened.
        let reached = match self.kit.parts.store.head() {
            Some(head) => head,
            None => limited(self.kit.parts.store.changed(0)).await?.0.saturating_sub(1),
        };
        let jobs = self.kit.jobs.borrow().clone();
        let (registered, _) = limited(self.kit.registry.known(&jobs.hooks)).await?;
        if self.is_wanted() || !registered.is_empty() {
            return Ok(true);
        }
        held.read = held.read.max(reached);
        held.notices = None;
        Ok(false)
    }

    /// Who puts events after `mark` into words.
    async fn notices(&self, mark: u64) -> Result<Notices, StoreError> {
        let mut notices = Notices::new(&self.kit.parts.cluster);
        let before = limited(self.kit.parts.store.events(mark.saturating_sub(BEFORE), 2_000)).await?;
        for (_, event) in before.iter().filter(|(position, _)| *position <= mark) {
            notices.learn(event);
        }
        Ok(notices)
    }

    /// Reads on, and sees to what follows. Whether there may be more.
    async fn read(&self, held: &mut Held) -> Result<bool, StoreError> {
        if !self.pass(held).await? {
            return Ok(false);
        }
        let mut notices = match held.notices.take() {
            Some(notices) => notices,
            None => self.notices(held.read).await?,
        };
        let more = self.see_to(held, &mut notices).await;
        held.notices = Some(notices);
        more
    }

    async fn see_to(&self, held: &mut Held, notices: &mut Notices) -> Result<bool, StoreError> {
        let events = limited(self.kit.parts.store.events(held.read, BATCH)).await?;
        let Some((first, event)) = events.first() else { return Ok(false) };
        // Looked at after the events: who registered before something happened hears of it.
        let jobs = self.kit.jobs.borrow().clone();
        let (registered, silent) = limited(self.kit.registry.known(&jobs.hooks)).await?;
        let known = Known { jobs: &jobs, registered: &registered, silent: &silent };
        let now = self.kit.parts.clock.now();
        let mut deliveries = Vec::new();
        if *first > held.read + 1 {
            let gap = self.gap(held.read + 1, *first - 1, event);
            deliveries.extend(following(&known, *first - 1, event, Some(&gap), now).deliveries);
        }
        let (mut chains, mut warnings) = (Vec::new(), Vec::new());
        for (position, event) in &events {
            let notice = notices.of(*position, event);
            let all = following(&known, *position, event, notice.as_ref(), now);
            deliveries.extend(all.deliveries);
            chains.extend(all.chains);
            warnings.extend(all.warnings);
        }
        held.deliverer.take(deliveries).await?;
        for (job, op) in &chains {
            self.start(job, op).await?;
        }
        warnings.into_iter().for_each(|warning| self.kit.parts.bus.tell(Told::Warning(warning)));
        held.read = events.last().map_or(held.read, |(position, _)| *position);
        Ok(events.len() >= BATCH)
    }

    /// Asks for a run that follows another. What is refused is on record.
    async fn start(&self, job: &JobName, op: &Op) -> Result<(), StoreError> {
        // A record remembers its latest requests only. Whoever follows a dispatcher that died may ask much later.
        if let Op::Trigger { run_id, .. } = op {
            let asked = Query { job: Some(job.clone()), id: Some(run_id.to_string()), limit: 1, ..Query::default() };
            if !limited(self.kit.parts.store.history(&asked)).await?.is_empty() {
                return Ok(());
            }
        }
        let answer = limited(self.kit.parts.store.apply(job, op)).await?;
        self.kit.parts.bus.tell_all(answer.events);
        Ok(())
    }

    /// That events were dropped before anybody could look at them.
    fn gap(&self, from: u64, through: u64, next: &Event) -> Notice {
        let count = through + 1 - from;
        self.kit.parts.bus.tell(Told::Warning(format!(
            "{count} events were dropped before hooks could be told of them: no replica ran, or the store was away, for too long"
        )));
        Notice::of_gap(&self.kit.parts.cluster, (from, through), next.at)
    }
}

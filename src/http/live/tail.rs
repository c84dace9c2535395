//! Reads the store's events once for all who listen here, for as long as somebody does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::Live;
use super::ring::{Item, Ring};
use crate::announce::Notices;
use crate::ledger::Event;
use crate::store::{Collection, Span, Store, StoreError, Trouble};

/// Between two looks for news.
const LOOK: Duration = Duration::from_millis(250);

/// Between two looks at the progress of runs.
const PROGRESS: Duration = Duration::from_secs(1);

/// Between two looks whether the store has begun anew.
const CHECK: Duration = Duration::from_secs(10);

/// After trouble.
const PAUSE: Duration = Duration::from_secs(1);

/// A store that does not answer for this long is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// After the last listener went away.
const LINGER: Duration = Duration::from_secs(30);

/// Events read at once.
const PAGE: usize = 1000;

/// Events kept for those who come back.
const KEPT: u64 = 5_000;

/// Events before those that are only learnt from: the end of a run does not say how it began.
const LEARNT: u64 = 2_000;

/// Progress is followed of so many runs at most.
const RUNS: usize = 1_000;

/// The one who reads.
pub(super) struct Tail {
    live: Arc<Live>,
    notices: Notices,
    position: u64,
    /// The versions of the progress that was told; `None` before the first look.
    told: Option<BTreeMap<String, u64>>,
    progress_at: Instant,
    check_at: Instant,
}

/// Reads until nobody has listened for a while.
pub(super) async fn run(live: Arc<Live>) {
    let stop = live.parts.stop.clone();
    let mut tail: Option<Tail> = None;
    let mut alone_since: Option<Instant> = None;
    loop {
        let looked = match &mut tail {
            Some(tail) => tail.look().await,
            None => Tail::begin(&live).await.map(|begun| {
                tail = Some(begun);
                Looked::All
            }),
        };
        let pause = match looked {
            Ok(Looked::Some) => Duration::ZERO,
            Ok(Looked::All) => LOOK,
            Ok(Looked::Anew) => {
                tail = None;
                Duration::ZERO
            }
            Err(error) => {
                tracing::debug!(%error, "the live stream stands still for now");
                live.stale(true);
                PAUSE
            }
        };
        if pause != PAUSE {
            live.stale(false);
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.soft() => break,
        }
        alone_since = if live.has_clients() { None } else { alone_since.or_else(|| Some(Instant::now())) };
        if alone_since.is_some_and(|since| since.elapsed() > LINGER) && live.leave() {
            return;
        }
    }
}

/// What a look found.
enum Looked {
    /// There is more.
    Some,
    /// That was all.
    All,
    /// The store knows less than we do: it is another one, or was restored.
    Anew,
}

impl Tail {
    /// Reads what happened lately.
    async fn begin(live: &Arc<Live>) -> Result<Tail, StoreError> {
        let store = live.parts.store.clone();
        let head = limited(store.changed(0)).await?.0.saturating_sub(1);
        let kept_from = head.saturating_sub(KEPT);
        let mut position = kept_from.saturating_sub(LEARNT);
        let mut notices = Notices::new(&live.parts.cluster);
        let mut ring: Option<Ring> = None;
        while position < head {
            let page = limited(store.events(position, PAGE)).await?;
            let Some(last) = page.last().map(|(last, _)| *last) else { break };
            for (own, event) in page.iter().filter(|(own, _)| *own <= head) {
                if *own <= kept_from {
                    notices.learn(event);
                } else {
                    // What was dropped before it cannot be had.
                    let ring = ring.get_or_insert_with(|| live.empty(own - 1));
                    take(ring, &mut notices, *own, event);
                }
            }
            position = last.min(head);
        }
        let ring = ring.unwrap_or_else(|| live.empty(head));
        live.begin(ring);
        let now = Instant::now();
        Ok(Tail { live: live.clone(), notices, position: head, told: None, progress_at: now, check_at: now + CHECK })
    }

    async fn look(&mut self) -> Result<Looked, StoreError> {
        let store = self.live.parts.store.clone();
        let page = limited(store.events(self.position, PAGE)).await?;
        if let Some((first, _)) = page.first()
            && *first > self.position + 1
        {
            self.live.change(|ring| {
                ring.cut(first - 1);
                ring.push(Item::new(None, "resync", String::new(), "{}"));
            });
        }
        if let Some((last, _)) = page.last() {
            self.position = *last;
            let notices = &mut self.notices;
            self.live.change(|ring| page.iter().for_each(|(own, event)| take(ring, notices, *own, event)));
        }
        if Instant::now() >= self.progress_at {
            self.progress_at = Instant::now() + PROGRESS;
            self.progress(&*store).await?;
        }
        if page.is_empty() && Instant::now() >= self.check_at {
            self.check_at = Instant::now() + CHECK;
            if limited(store.changed(0)).await?.0.saturating_sub(1) < self.position {
                return Ok(Looked::Anew);
            }
        }
        Ok(if page.len() >= PAGE { Looked::Some } else { Looked::All })
    }

    /// How far runs say they are, where that changed.
    async fn progress(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let span = Span { prefix: String::new(), after: None, newest_first: true, limit: RUNS };
        let found = limited(store.documents(Collection::Progress, &span)).await?;
        let versions = found.iter().map(|document| (document.key.clone(), document.version)).collect();
        // Whoever has just come asks for how it stands; here it is told what changes.
        if let Some(told) = self.told.replace(versions) {
            let news = found.into_iter().filter(|document| told.get(&document.key) != Some(&document.version));
            let items = news.filter_map(|document| {
                let said: Value = serde_json::from_str(&document.body).ok()?;
                let job = said["job"].as_str()?.to_owned();
                Some(Item::new(None, super::PROGRESS, job, &said.to_string()))
            });
            let items: Vec<Item> = items.collect();
            if !items.is_empty() {
                self.live.change(|ring| items.into_iter().for_each(|item| ring.push(item)));
            }
        }
        Ok(())
    }
}

/// Takes in an event.
fn take(ring: &mut Ring, notices: &mut Notices, position: u64, event: &Event) {
    if let Some(notice) = notices.of(position, event) {
        let data = notice.event.document().to_string();
        ring.push(Item::new(Some(position), notice.kind, notice.name, &data));
    }
    ring.read_to(position);
}

/// The store's answer, or the trouble that it gave none.
async fn limited<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
        Err(StoreError { kind: Trouble::Passing, message: "the store gave no answer in time".into() })
    })
}

/// As many as a ring holds: each event is one at most, and progress comes on top.
pub(super) const RING: usize = 2 * KEPT as usize;

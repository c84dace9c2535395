//! One listener: where it stands, what it wants, and what it is sent next.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures_core::Stream;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::gather::Gathered;
use super::ring::{Item, Lost, event, joined};
use super::{Live, RETRY};
use crate::announce::is_kind;
use crate::event::Following;
use crate::job::JobName;
use crate::measure::Measure;

/// Between two signs of life: shorter than what lets connections go that say nothing.
const BEAT: Duration = Duration::from_secs(10);

/// Another replica may have read further than this one; whoever comes from there is waited for so long.
const AHEAD: Duration = Duration::from_secs(5);

/// Between two looks whether it has been reached.
const LOOK: Duration = Duration::from_millis(100);

/// After which a listener is to come again: it may have a cookie that ended, or a better replica to go to.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// What is no position at all.
pub(super) const NOWHERE: u64 = u64::MAX;

/// What somebody wants to hear.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) types: Vec<String>,
    pub(super) job: Option<JobName>,
}

impl Filter {
    /// Whether it takes everything.
    fn is_open(&self) -> bool {
        self.job.is_none() && self.types.is_empty()
    }

    fn takes(&self, item: &Item) -> bool {
        // What is for everybody is no event.
        item.job.is_empty()
            || (self.job.as_ref().is_none_or(|job| job.as_str() == item.job)
                && (self.types.is_empty() || self.types.iter().any(|wanted| is_kind(wanted, item.kind))))
    }
}

/// Where a listener stands.
enum Place {
    /// After this position, or wherever things are, as soon as the store says where that is.
    Wanted(Option<u64>),
    /// Before this number.
    At(u64),
    /// It is let go.
    Over,
}

/// Somebody who listens.
pub(super) struct Client {
    live: Arc<Live>,
    _counted: Following,
    filter: Filter,
    place: Place,
    out: VecDeque<Bytes>,
    /// Where only that is wanted: what happened since it was last told.
    gathered: Option<Gathered>,
    turn: watch::Receiver<u64>,
    /// Tells when what the caller may is to be asked again.
    access: Pin<Box<dyn Future<Output = ()> + Send>>,
    ahead: Instant,
    beat: Instant,
    end: Instant,
}

impl Client {
    pub(super) fn new(
        live: Arc<Live>,
        filter: Filter,
        since: Option<u64>,
        access: impl Future<Output = ()> + Send + 'static,
    ) -> Client {
        let now = Instant::now();
        Client {
            turn: live.turn.subscribe(),
            _counted: live.parts.bus.following(),
            live,
            filter,
            place: Place::Wanted(since),
            out: VecDeque::from([Bytes::from(format!("retry: {}\n\n", RETRY.as_millis()))]),
            gathered: None,
            access: Box::pin(access),
            ahead: now + AHEAD,
            beat: now + BEAT,
            end: now + LONGEST,
        }
    }

    /// The same, where it is enough to know of which jobs something happened.
    pub(super) fn gathering(mut self) -> Client {
        self.gathered = Some(Gathered::new());
        self
    }

    /// All that it is sent.
    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        futures_util::stream::unfold(self, |mut client| async move {
            let piece = client.next().await?;
            Some((Ok(piece), client))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let stop = self.live.parts.stop.clone();
        loop {
            if let Some(piece) = self.out.pop_front() {
                return Some(piece);
            }
            if matches!(self.place, Place::Over) {
                return None;
            }
            self.turn.mark_unchanged();
            self.take();
            let due = self.gathered.as_ref().and_then(Gathered::due);
            if let Some(gathered) = self.gathered.as_mut().filter(|_| due.is_some_and(|due| due <= Instant::now())) {
                self.out.push_back(gathered.tell());
            }
            if !self.out.is_empty() {
                continue;
            }
            tokio::select! {
                _ = self.turn.changed() => {}
                () = sleep(LOOK), if matches!(self.place, Place::Wanted(Some(_))) => {}
                () = sleep_until(due.unwrap_or(self.beat)), if due.is_some() => {}
                () = sleep_until(self.beat) => self.heartbeat(),
                () = stop.soft() => self.bye("this replica is stopping"),
                () = &mut self.access => self.bye("who may listen has changed"),
                () = sleep_until(self.end) => self.bye("it has been long enough"),
            }
        }
    }

    /// Takes what there is from its place on.
    fn take(&mut self) {
        let live = self.live.clone();
        let mut state = live.state();
        let Some(ring) = &mut state.ring else { return };
        let head = ring.head();
        if let Place::Wanted(since) = self.place {
            let is_ahead = since.is_some_and(|since| since != NOWHERE && since > head);
            if is_ahead && Instant::now() < self.ahead {
                return;
            }
            let found = since.map_or(Ok(ring.end()), |since| ring.after(since));
            self.place = Place::At(found.as_ref().copied().unwrap_or(ring.end()));
            let hello = json!({"at": live.parts.clock.now(), "replica": live.parts.holder});
            match found {
                // An id before what follows, so that nothing is left out if the connection ends between.
                Ok(_) => self.say("hello", since.unwrap_or(head), &hello),
                Err(Lost) => self.say("resync", head, &json!({"reason": "the events after yours are no longer kept"})),
            }
        }
        let Place::At(number) = self.place else { return };
        let end = ring.end();
        // Whoever hears everything is sent what others are sent; whoever does not has it picked out after the lock.
        let found = match self.filter.is_open() && self.gathered.is_none() {
            true => ring.whole_from(number).map(|pieces| (pieces, Vec::new())),
            false => ring.from(number).map(|items| (Vec::new(), items)),
        };
        drop(state);
        match found {
            Ok((pieces, items)) => {
                self.place = Place::At(end);
                self.out.extend(pieces);
                match &mut self.gathered {
                    Some(gathered) => {
                        let (jobs, all): (Vec<_>, Vec<_>) = items.iter().partition(|item| !item.job.is_empty());
                        jobs.into_iter().for_each(|item| gathered.add(item));
                        self.out.extend(joined(all.into_iter()));
                    }
                    None => self.out.extend(joined(items.iter().filter(|item| self.filter.takes(item)))),
                }
            }
            Err(Lost) => {
                self.live.parts.bus.measure(Measure::Dropped { sink: "sse", count: 1 });
                self.say("resync", head, &json!({"reason": "this listener is too slow"}));
                self.place = Place::Over;
            }
        }
    }

    /// Everything up to the head was looked at, although it may have held nothing that is wanted.
    fn heartbeat(&mut self) {
        self.beat = Instant::now() + BEAT;
        let live = self.live.clone();
        let state = live.state();
        let data = json!({"at": live.parts.clock.now(), "stale_since": state.stale_since});
        let end = state.ring.as_ref().map(|ring| (ring.end(), ring.head()));
        match (&self.place, end) {
            (Place::At(number), Some((end, head))) if *number == end => self.say("heartbeat", head, &data),
            _ => self.out.push_back(event("heartbeat", None, &data.to_string())),
        }
    }

    fn bye(&mut self, why: &str) {
        self.out.push_back(event("bye", None, &json!({"reason": why}).to_string()));
        self.place = Place::Over;
    }

    fn say(&mut self, kind: &str, position: u64, data: &serde_json::Value) {
        self.out.push_back(event(kind, Some(position), &data.to_string()));
    }
}

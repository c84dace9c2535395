//! What waits to be delivered, as its one sender remembers it: by whom it is for and when it is due. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::delivery::{Delivery, To};
use crate::clock::Timestamp;

/// To one hook at once. To one that fails: one, until it takes something again.
const SIDE_BY_SIDE: usize = 4;

/// A delivery that waits.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) key: String,
    pub(super) position: u64,
    pub(super) due: Timestamp,
    /// The receiver was not there when it was sent last: once it is, there is no need to wait.
    pub(super) was_away: bool,
}

impl Waiting {
    pub(super) fn of(delivery: &Delivery) -> Waiting {
        let was_away = delivery.last.as_ref().is_some_and(|last| last.status.is_none());
        Waiting { key: delivery.key(), position: delivery.position, due: delivery.due, was_away }
    }
}

/// All that waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: BTreeMap<To, Lane>,
}

/// What is for one receiver.
#[derive(Debug, Default)]
struct Lane {
    /// By when it is due; pings by their place only: a start that comes after its end would be misunderstood.
    waiting: BTreeMap<(Timestamp, u64, String), Waiting>,
    keys: BTreeSet<String>,
    going: usize,
    /// The last that was sent was not taken.
    ails: bool,
    /// It asked to be left alone until then.
    not_before: Option<Timestamp>,
}

impl Lane {
    /// When its first is due.
    fn first(&self) -> Option<Timestamp> {
        let (_, first) = self.waiting.first_key_value()?;
        Some(self.not_before.map_or(first.due, |then| first.due.max(then)))
    }

    fn room(&self, to: &To) -> usize {
        let most = if self.ails || matches!(to, To::Ping(_)) { 1 } else { SIDE_BY_SIDE };
        most.saturating_sub(self.going)
    }
}

impl Queue {
    /// Adds what waits. What is there already, or going, is not added again.
    pub(super) fn add(&mut self, to: &To, waiting: Waiting) {
        let lane = self.lanes.entry(to.clone()).or_default();
        if lane.keys.insert(waiting.key.clone()) {
            lane.put(to, waiting);
        }
    }

    /// How many wait for `to`, or are on their way.
    pub(super) fn count(&self, to: &To) -> usize {
        self.lanes.get(to).map_or(0, |lane| lane.keys.len())
    }

    /// The next that may be sent now, if any may.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<(To, Waiting)> {
        let ready = |(to, lane): &(&To, &mut Lane)| lane.room(to) > 0 && lane.first().is_some_and(|due| due <= now);
        let (to, lane) = self.lanes.iter_mut().filter(ready).min_by_key(|(_, lane)| lane.first())?;
        let (_, waiting) = lane.waiting.pop_first()?;
        lane.going += 1;
        Some((to.clone(), waiting))
    }

    /// When something may be sent next.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.lanes.iter().filter(|(to, lane)| lane.room(to) > 0).filter_map(|(_, lane)| lane.first()).min()
    }

    /// What was sent was taken, or is given up.
    pub(super) fn done(&mut self, to: &To, key: &str, now: Timestamp, outcome: Done) {
        let Some(lane) = self.lanes.get_mut(to) else { return };
        lane.going = lane.going.saturating_sub(1);
        lane.keys.remove(key);
        match outcome {
            Done::Taken if std::mem::take(&mut lane.ails) => {
                lane.not_before = None;
                lane.hurry(to, now);
            }
            Done::Taken | Done::Dropped => {}
            Done::GivenUp => lane.ails = true,
        }
        if lane.keys.is_empty() && lane.going == 0 {
            self.lanes.remove(to);
        }
    }

    /// What was sent is sent again; the receiver is left alone for so long.
    pub(super) fn again(&mut self, to: &To, waiting: Waiting, now: Timestamp, alone: Option<Duration>) {
        let Some(lane) = self.lanes.get_mut(to) else { return };
        lane.going = lane.going.saturating_sub(1);
        lane.ails = true;
        if let Some(alone) = alone {
            lane.not_before = lane.not_before.max(Some(now.plus(alone)));
        }
        lane.put(to, waiting);
    }
}

impl Lane {
    fn put(&mut self, to: &To, waiting: Waiting) {
        let due = if matches!(to, To::Ping(_)) { Timestamp::EPOCH } else { waiting.due };
        self.waiting.insert((due, waiting.position, waiting.key.clone()), waiting);
    }

    /// The receiver is back: what it missed while it was away is due now.
    fn hurry(&mut self, to: &To, now: Timestamp) {
        for (_, mut waiting) in std::mem::take(&mut self.waiting) {
            if waiting.was_away {
                waiting.due = waiting.due.min(now);
            }
            self.put(to, waiting);
        }
    }
}

/// What became of something that was sent and is not sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Taken,
    GivenUp,
    /// Nobody wants it any more: nothing was sent.
    Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to() -> To {
        "hook/audit".parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    fn waiting(n: u64, due: i64) -> Waiting {
        Waiting { key: format!("hook/audit/{n}"), position: n, due: at(due), was_away: true }
    }

    #[test]
    fn a_few_are_sent_to_one_receiver_at_once_and_only_one_while_it_ails() {
        let mut queue = Queue::default();
        (0..10).for_each(|n| queue.add(&to(), waiting(n, 0)));
        let mut sent: Vec<Waiting> = Vec::new();
        while let Some((_, one)) = queue.next(at(1)) {
            sent.push(one);
        }
        assert_eq!(sent.len(), SIDE_BY_SIDE);
        for one in sent {
            queue.again(&to(), Waiting { due: at(60), ..one }, at(1), None);
        }
        let (_, probe) = queue.next(at(1)).unwrap();
        assert!(queue.next(at(1)).is_none(), "one at a time now");
        queue.done(&to(), &probe.key, at(2), Done::Taken);
        let mut rest = 0;
        while let Some((_, one)) = queue.next(at(2)) {
            queue.done(&to(), &one.key, at(2), Done::Taken);
            rest += 1;
        }
        assert_eq!(rest, 9, "the receiver is back: nothing of what it missed waits for its time");
        assert_eq!(queue.count(&to()), 0);
    }

    #[test]
    fn a_receiver_that_asks_for_it_is_left_alone() {
        let mut queue = Queue::default();
        (0..2).for_each(|n| queue.add(&to(), waiting(n, 0)));
        let (_, one) = queue.next(at(1)).unwrap();
        queue.again(&to(), Waiting { due: at(2), ..one }, at(1), Some(Duration::from_secs(100)));
        assert!(queue.next(at(50)).is_none());
        assert_eq!(queue.due(), Some(at(101)));
        assert!(queue.next(at(101)).is_some());
    }

    #[test]
    fn pings_of_a_job_keep_their_order_even_when_the_first_has_to_wait() {
        let (mut queue, to) = (Queue::default(), "ping/backup".parse::<To>().unwrap());
        let of = |n: u64, due| Waiting { key: format!("ping/backup/{n}"), ..waiting(n, due) };
        queue.add(&to, of(1, 0));
        queue.add(&to, of(2, 0));
        let (_, first) = queue.next(at(0)).unwrap();
        assert!(first.position == 1 && queue.next(at(0)).is_none(), "one at a time");
        queue.again(&to, Waiting { due: at(30), ..first }, at(0), None);
        assert!(queue.next(at(10)).is_none());
        assert_eq!(queue.next(at(30)).unwrap().1.position, 1);
    }
}

//! Records, operations, replies and events as the scripts know them: lists, place by place.

mod asked;
mod event;
mod record;

use super::wire::{Garbled, Reader, Writer};
use crate::job::Overlap;
use crate::lease::Outcome;
use crate::ledger::Fate;
use crate::record::Phase;

pub(super) use asked::{pack_op, pack_view};
pub(super) use event::{event, held_back, put_event, unpack_events, unpack_reply};
pub(super) use record::{job, pack_record, sortable, unpack_mutex, unpack_record};

// Words that are numbers in scripts: their place in these lists, from 1.

const PHASES: [Phase; 4] = [Phase::Waiting, Phase::Claimed, Phase::Published, Phase::Running];
const OVERLAPS: [Overlap; 5] = [Overlap::Skip, Overlap::QueueOne, Overlap::QueueAll, Overlap::Replace, Overlap::Allow];
const FATES: [Fate; 7] = [
    Fate::Queued,
    Fate::SkippedOverlap,
    Fate::SkippedPaused,
    Fate::SkippedDisabled,
    Fate::Coalesced,
    Fate::Missed,
    Fate::SkippedCalendar,
];
const OUTCOMES: [Outcome; 7] = [
    Outcome::Succeeded,
    Outcome::Failed,
    Outcome::TimedOut,
    Outcome::Cancelled,
    Outcome::Interrupted,
    Outcome::Lost,
    Outcome::Expired,
];

fn code_of<T: PartialEq>(words: &[T], word: &T) -> i64 {
    let place = words.iter().position(|known| known == word).map_or(0, |place| place + 1);
    i64::try_from(place).unwrap_or(0)
}

fn word<T: Copy>(words: &[T], from: &mut Reader<'_>) -> Result<T, Garbled> {
    let place: usize = from.int()?;
    words.get(place.wrapping_sub(1)).copied().ok_or(Garbled)
}

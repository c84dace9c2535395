//! The latest calls, as they were told to all: what a server that lost them is given back.
//!
//! After a while they are kept compressed, many together: they are much alike, and seldom asked for again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lz4_flex::block::{compress_prepend_size, decompress_size_prepended};
use tokio::time::Instant;

use super::wire::{Reader, Writer};

/// Bytes of calls remembered as they were told, the latest: under a thousand occurrences a second some six seconds of them.
const BYTES: usize = 8 * 1024 * 1024;

/// Bytes of those remembered compressed.
const OLD_BYTES: usize = 2 * 1024 * 1024;

/// What was told so long ago is not told again with more in it.
const OLD: Duration = Duration::from_secs(30);

/// Bytes of calls that are compressed together.
const PIECE: usize = 128 * 1024;

/// So many of these at once at most: a millisecond or two of work.
const PIECES: usize = 8;

/// Calls by their position: position, how many events, the records after it, the events.
#[derive(Default)]
pub(super) struct Past {
    recent: BTreeMap<u64, Call>,
    recent_bytes: usize,
    /// The oldest first.
    old: VecDeque<Piece>,
    old_bytes: usize,
}

struct Call {
    page: Vec<u8>,
    since: Instant,
}

/// Positions and pages, one after another, compressed.
struct Piece {
    last: u64,
    packed: Box<[u8]>,
}

impl Past {
    /// Remembers a call. Of two accounts of one the longer counts.
    pub(super) fn add(&mut self, position: u64, mut page: Vec<u8>) {
        // Whoever was answered has large records as well; what was told to all has not.
        if self.recent.get(&position).is_some_and(|known| known.page.len() >= page.len()) {
            return;
        }
        page.shrink_to_fit();
        self.recent_bytes += page.len();
        let call = Call { page, since: Instant::now() };
        self.recent_bytes -= self.recent.insert(position, call).map_or(0, |known| known.page.len());
        while self.recent_bytes > BYTES && self.take_first().is_some() {}
    }

    fn take_first(&mut self) -> Option<(u64, Vec<u8>)> {
        let (position, Call { page, .. }) = self.recent.pop_first()?;
        self.recent_bytes -= page.len();
        Some((position, page))
    }

    /// Whether the call up to `position`, one of the last half minute, is known.
    pub(super) fn has(&self, position: u64) -> bool {
        self.recent.contains_key(&position)
    }

    /// The position of the last call.
    pub(super) fn last(&self) -> u64 {
        let old = self.old.iter().map(|piece| piece.last);
        old.chain(self.recent.last_key_value().map(|(at, _)| *at)).max().unwrap_or(0)
    }

    /// The calls after `position`.
    pub(super) fn after(&self, position: u64) -> Vec<(u64, Vec<u8>)> {
        let old = self.old.iter().filter(|piece| piece.last > position).flat_map(Piece::calls);
        let old = old.filter(|(at, _)| *at > position);
        old.chain(self.recent.range(position + 1..).map(|(at, call)| (*at, call.page.clone()))).collect()
    }

    /// Compresses what was told long ago, if that is enough for a piece. To be called now and then.
    pub(super) fn tidy(&mut self) {
        for _ in 0..PIECES {
            if !self.has_piece() {
                return;
            }
            self.compress();
        }
    }

    fn has_piece(&self) -> bool {
        let is_old = |call: &&Call| call.since.elapsed() >= OLD;
        let mut bytes = 0;
        self.recent.values().take_while(is_old).any(|call| {
            bytes += call.page.len();
            bytes >= PIECE
        })
    }

    fn compress(&mut self) {
        let (mut text, mut last) = (Writer::with_room(PIECE * 2), 0);
        while text.len() < PIECE
            && let Some((position, page)) = self.take_first()
        {
            text.count(position).bytes(page);
            last = position;
        }
        let packed = compress_prepend_size(&text.take()).into_boxed_slice();
        self.old_bytes += packed.len();
        self.old.push_back(Piece { last, packed });
        while self.old_bytes > OLD_BYTES
            && let Some(oldest) = self.old.pop_front()
        {
            self.old_bytes -= oldest.packed.len();
        }
    }
}

impl Piece {
    fn calls(&self) -> Vec<(u64, Vec<u8>)> {
        let text = decompress_size_prepended(&self.packed).unwrap_or_default();
        let (mut from, mut calls) = (Reader::new(&text), Vec::new());
        while let (Ok(position), Ok(page)) = (from.int(), from.bytes()) {
            calls.push((position, page.to_vec()));
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of a thousand bytes.
    fn page(position: u64) -> Vec<u8> {
        format!("{position:>1000}").into_bytes()
    }

    fn positions(calls: &[(u64, Vec<u8>)]) -> Vec<u64> {
        calls.iter().map(|(at, _)| *at).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_long_ago_are_compressed_and_come_back_as_they_were() {
        let mut past = Past::default();
        (1..=200).for_each(|at| past.add(at, page(at)));
        past.tidy();
        assert!(past.old.is_empty() && past.has(1), "they may still be told with more in them");
        tokio::time::advance(OLD).await;
        (201..=300).for_each(|at| past.add(at, page(at)));
        past.tidy();
        past.tidy();
        assert_eq!(past.old.len(), 1, "what is left of them is not enough");
        assert!(past.old_bytes < PIECE / 10 && past.recent_bytes < 200_000, "{} {}", past.old_bytes, past.recent_bytes);
        assert_eq!(past.after(0), (1..=300).map(|at| (at, page(at))).collect::<Vec<_>>());
        assert_eq!(positions(&past.after(50)), (51..=300).collect::<Vec<_>>());
        assert_eq!(past.after(300), []);
        assert_eq!(past.last(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_calls_are_remembered_within_bounds() {
        let mut past = Past::default();
        let large = |at: u64| [page(at), vec![b' '; BYTES / 50 - 1000]].concat();
        (1..=100).for_each(|at| past.add(at, large(at)));
        assert_eq!(positions(&past.after(0)), (51..=100).collect::<Vec<_>>());
        assert_eq!(positions(&past.after(98)), [99, 100]);
        // What can be compressed no further.
        let mut state = 1u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        let mut past = Past::default();
        for at in 1..=40 {
            past.add(at, (0..PIECE).map(|_| noise()).collect());
            tokio::time::advance(OLD).await;
            past.tidy();
        }
        let known = positions(&past.after(0));
        assert!(past.old_bytes <= OLD_BYTES && (14..=16).contains(&known.len()), "{known:?}");
        assert_eq!(past.last(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_accounts_of_a_call_the_longer_counts() {
        let mut past = Past::default();
        for page in ["short", "the longer one", "shorter"] {
            past.add(7, page.into());
        }
        assert_eq!(past.after(0), [(7, b"the longer one".to_vec())]);
        assert_eq!(past.recent_bytes, "the longer one".len());
    }
}

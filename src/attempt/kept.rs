//! What is kept of an attempt's output: its beginning and its end; the middle is cut.

use std::collections::VecDeque;
use std::ops::Range;

use crate::clock::Timestamp;
use crate::runner::{Chunk, Stream};
use crate::store::Piece;

/// Neighbouring chunks of one stream are joined up to this size.
pub(super) const PIECE: usize = 8 * 1024;

/// The first half of the limit, and the last.
pub(super) struct Kept {
    half: usize,
    next_seq: u64,
    head_bytes: usize,
    /// The pieces of the tail, oldest first: place and size.
    tail: VecDeque<(u64, usize)>,
    tail_bytes: usize,
    /// Not yet written.
    fresh: VecDeque<Piece>,
    /// The place of the note that says how much was cut, once something was.
    note: Option<u64>,
    note_is_old: bool,
    cut_bytes: usize,
    /// The places after the note whose pieces were cut.
    cut: Range<u64>,
    /// Up to where they are gone from the store as well.
    cut_there: u64,
}

impl Kept {
    pub(super) fn new(limit: usize) -> Self {
        Kept {
            half: limit / 2,
            next_seq: 0,
            head_bytes: 0,
            tail: VecDeque::new(),
            tail_bytes: 0,
            fresh: VecDeque::new(),
            note: None,
            note_is_old: false,
            cut_bytes: 0,
            cut: 0..0,
            cut_there: 0,
        }
    }

    /// Whether something is to be written.
    pub(super) fn is_dirty(&self) -> bool {
        !self.fresh.is_empty() || self.note_is_old
    }

    pub(super) fn push(&mut self, chunk: Chunk, at: Timestamp) {
        let size = chunk.bytes.len();
        let in_head = self.tail.is_empty() && self.head_bytes + size <= self.half;
        // The last piece can grow if it is of the same half, and not yet on its way.
        let last_in_tail = self.tail.back().map(|(seq, _)| *seq);
        let grows = |last: &&mut Piece| {
            let same_half = if in_head { last_in_tail.is_none() } else { last_in_tail == Some(last.seq) };
            last.stream == chunk.stream && last.bytes.len() + size <= PIECE && same_half
        };
        if let Some(last) = self.fresh.back_mut().filter(grows) {
            last.bytes.extend_from_slice(&chunk.bytes);
            if let Some((_, bytes)) = self.tail.back_mut() {
                *bytes += size;
            }
        } else {
            let seq = self.next_seq;
            self.next_seq += 1;
            self.fresh.push_back(Piece { seq, at, stream: chunk.stream, bytes: chunk.bytes });
            if !in_head {
                self.tail.push_back((seq, size));
            }
        }
        if in_head {
            self.head_bytes += size;
        } else {
            self.tail_bytes += size;
            self.trim();
        }
    }

    /// Cuts the oldest of the tail while it is too long.
    fn trim(&mut self) {
        while self.tail_bytes > self.half && self.tail.len() > 1 {
            let Some((seq, size)) = self.tail.pop_front() else { break };
            let note = *self.note.get_or_insert(seq);
            self.tail_bytes -= size;
            self.cut_bytes += size;
            self.fresh.retain(|piece| piece.seq != seq);
            self.cut = note + 1..seq + 1;
            self.note_is_old = true;
        }
    }

    /// What is to be written, and which places are to be emptied before.
    pub(super) fn take(&mut self) -> (Vec<Piece>, Range<u64>) {
        let mut pieces: Vec<Piece> = self.fresh.drain(..).collect();
        if let Some(seq) = self.note.filter(|_| std::mem::take(&mut self.note_is_old)) {
            let at = pieces.first().map_or(Timestamp::EPOCH, |piece| piece.at);
            let bytes = format!("\n[cronclave: {} bytes cut here]\n", self.cut_bytes).into_bytes();
            pieces.push(Piece { seq, at, stream: Stream::Stderr, bytes });
        }
        let cut = self.cut.start.max(self.cut_there).min(self.cut.end)..self.cut.end;
        self.cut_there = self.cut.end;
        (pieces, cut)
    }

    /// Takes back what could not be written, unless it was cut meanwhile.
    pub(super) fn put_back(&mut self, pieces: Vec<Piece>) {
        self.note_is_old |= self.note.is_some();
        self.cut_there = 0;
        for piece in pieces.into_iter().rev() {
            if Some(piece.seq) != self.note && !self.cut.contains(&piece.seq) {
                self.fresh.push_front(piece);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn chunk(text: &str) -> Chunk {
        Chunk { stream: Stream::Stdout, bytes: text.into() }
    }

    /// What a store holds after each flush.
    fn flush(kept: &mut Kept, stored: &mut BTreeMap<u64, Vec<u8>>) {
        let (pieces, cut) = kept.take();
        stored.retain(|seq, _| !cut.contains(seq));
        stored.extend(pieces.into_iter().map(|piece| (piece.seq, piece.bytes)));
    }

    fn text(stored: &BTreeMap<u64, Vec<u8>>) -> String {
        stored.values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    #[test]
    fn short_output_is_kept_whole_and_in_order() {
        let (mut kept, mut stored) = (Kept::new(100), BTreeMap::new());
        for n in 0..20 {
            kept.push(chunk(&format!("{n},")), Timestamp::EPOCH);
            if n % 3 == 0 {
                flush(&mut kept, &mut stored);
            }
        }
        flush(&mut kept, &mut stored);
        assert_eq!(text(&stored), (0..20).map(|n| format!("{n},")).collect::<String>());
    }

    #[test]
    fn long_output_keeps_its_beginning_and_its_end_and_says_how_much_is_gone() {
        for flush_every in [1, 7, 1000, usize::MAX] {
            let (mut kept, mut stored) = (Kept::new(64 * 1024), BTreeMap::new());
            let line = |n: usize| format!("{n:0>99}\n");
            for n in 0..5000 {
                kept.push(chunk(&line(n)), Timestamp::EPOCH);
                if n % flush_every == 0 {
                    flush(&mut kept, &mut stored);
                }
            }
            flush(&mut kept, &mut stored);
            let text = text(&stored);
            assert!(text.starts_with(&line(0)) && text.ends_with(&line(4999)), "flushed every {flush_every}");
            assert!(text.len() < 80 * 1024, "{} bytes kept", text.len());
            let note = text.lines().find(|line| line.starts_with("[cronclave: ")).expect("a note");
            let cut: usize = note.split(' ').nth(1).and_then(|count| count.parse().ok()).expect("a count");
            let kept_bytes = text.len() - note.len() - 2;
            assert_eq!(cut + kept_bytes, 5000 * 100, "every byte is kept or counted");
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let (mut kept, mut stored) = (Kept::new(1000), BTreeMap::new());
        kept.push(chunk("a"), Timestamp::EPOCH);
        let (pieces, _) = kept.take();
        kept.push(chunk("b"), Timestamp::EPOCH);
        kept.put_back(pieces);
        flush(&mut kept, &mut stored);
        assert_eq!(text(&stored), "ab");
    }
}

//! Output of running code on its way to the store: beginning and end kept, the middle cut.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::event::Told;
use crate::job::Job;
use crate::lease::Work;
use crate::parts::Parts;
use crate::runner::{Chunk, Stream};
use crate::store::Piece;

/// Output reaches the store at least this often while it comes.
const FLUSH: Duration = Duration::from_millis(500);

/// Neighbouring chunks of one stream are joined up to this size.
const PIECE: usize = 8 * 1024;

/// Takes chunks until the runner closes its end, and writes them to the store as it goes. The
/// chunks are always taken at once: a slow store never slows the code down.
pub(super) async fn record(parts: &Parts, job: &Job, work: &Work, mut chunks: mpsc::Receiver<Chunk>) {
    let mut kept = Kept::new(job.log_limit);
    let mut lines = Lines::default();
    let mut open = true;
    let mut flush_at = Instant::now() + FLUSH;
    while open || kept.is_dirty() {
        let due = async {
            if open {
                sleep_until(flush_at).await;
            }
        };
        tokio::select! {
            biased;
            chunk = chunks.recv(), if open => match chunk {
                Some(chunk) => {
                    take(parts, work, &chunk, &mut lines);
                    kept.push(chunk, parts);
                    continue;
                }
                None => {
                    open = false;
                    lines.finish(|stream, text| tell_line(parts, work, stream, text));
                    continue;
                }
            },
            () = due, if kept.is_dirty() => {}
        }
        let (pieces, cut) = kept.flush();
        let mut write =
            std::pin::pin!(parts.store.write_output((work.run_id, work.fence), pieces.clone(), cut.clone()));
        let written = loop {
            tokio::select! {
                biased;
                written = &mut write => break written,
                chunk = chunks.recv(), if open => match chunk {
                    Some(chunk) => {
                        take(parts, work, &chunk, &mut lines);
                        kept.push(chunk, parts);
                    }
                    None => {
                        open = false;
                        lines.finish(|stream, text| tell_line(parts, work, stream, text));
                    }
                },
            }
        };
        if written.is_err() {
            kept.restore(pieces, cut);
            tokio::time::sleep(FLUSH).await;
        }
        flush_at = Instant::now() + FLUSH;
    }
}

fn take(parts: &Parts, work: &Work, chunk: &Chunk, lines: &mut Lines) {
    if let Some(tap) = &parts.tap {
        tap(work, chunk);
    }
    lines.push(chunk, |stream, text| tell_line(parts, work, stream, text));
}

fn tell_line(parts: &Parts, work: &Work, stream: Stream, text: String) {
    parts.bus.tell(Told::Line { job: work.job.clone(), run_id: work.run_id, stream, text });
}

/// Cuts each stream into lines for listeners.
#[derive(Default)]
struct Lines {
    rest: [Vec<u8>; 2],
}

impl Lines {
    fn push(&mut self, chunk: &Chunk, mut line: impl FnMut(Stream, String)) {
        let rest = &mut self.rest[usize::from(chunk.stream == Stream::Stderr)];
        for part in chunk.bytes.split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(part);
            if part.ends_with(b"\n") || rest.len() >= PIECE {
                line(chunk.stream, text(rest));
                rest.clear();
            }
        }
    }

    fn finish(&mut self, mut line: impl FnMut(Stream, String)) {
        for (stream, rest) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut self.rest) {
            if !rest.is_empty() {
                line(stream, text(rest));
                rest.clear();
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()
}

/// What is kept of the output: the first half of the limit, and the last.
struct Kept {
    half: usize,
    next_seq: u64,
    head_bytes: usize,
    /// The tail, oldest first: place and size of each piece.
    tail: VecDeque<(u64, usize)>,
    tail_bytes: usize,
    /// Not yet written.
    fresh: VecDeque<Piece>,
    /// The place of the note that says how much was cut, once something was.
    note: Option<u64>,
    cut_bytes: usize,
    /// Written, but cut since.
    stale: Range<u64>,
    note_changed: bool,
}

impl Kept {
    fn new(limit: usize) -> Self {
        Kept {
            half: limit / 2,
            next_seq: 0,
            head_bytes: 0,
            tail: VecDeque::new(),
            tail_bytes: 0,
            fresh: VecDeque::new(),
            note: None,
            cut_bytes: 0,
            stale: 0..0,
            note_changed: false,
        }
    }

    fn is_dirty(&self) -> bool {
        !self.fresh.is_empty() || self.note_changed
    }

    fn push(&mut self, chunk: Chunk, parts: &Parts) {
        let size = chunk.bytes.len();
        let in_head = self.tail.is_empty() && self.head_bytes + size <= self.half;
        if let Some(last) = self.fresh.back_mut()
            && last.stream == chunk.stream
            && last.bytes.len() + size <= PIECE
            && in_head == self.tail.is_empty()
        {
            last.bytes.extend_from_slice(&chunk.bytes);
            if in_head {
                self.head_bytes += size;
            } else {
                self.tail_bytes += size;
                if let Some((_, bytes)) = self.tail.back_mut() {
                    *bytes += size;
                }
                self.trim();
            }
            return;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        self.fresh.push_back(Piece { seq, at: parts.clock.now(), stream: chunk.stream, bytes: chunk.bytes });
        if in_head {
            self.head_bytes += size;
        } else {
            self.tail.push_back((seq, size));
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
            self.stale = note + 1..seq + 1;
            self.note_changed = true;
        }
    }

    /// What is to be written, and which places are to be emptied.
    fn flush(&mut self) -> (Vec<Piece>, Range<u64>) {
        let mut pieces: Vec<Piece> = self.fresh.drain(..).collect();
        if let Some(seq) = self.note.filter(|_| std::mem::take(&mut self.note_changed)) {
            let at = pieces.first().map_or_else(Default::default, |piece| piece.at);
            let bytes = format!("\n[cronclave: {} bytes cut here]\n", self.cut_bytes).into_bytes();
            pieces.push(Piece { seq, at, stream: Stream::Stderr, bytes });
        }
        (pieces, self.stale.clone())
    }

    /// Takes back what could not be written.
    fn restore(&mut self, pieces: Vec<Piece>, _cut: Range<u64>) {
        self.note_changed |= self.note.is_some();
        for piece in pieces.into_iter().rev() {
            if Some(piece.seq) != self.note && !self.stale.contains(&piece.seq) {
                self.fresh.push_front(piece);
            }
        }
    }
}

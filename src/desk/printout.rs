//! What a run printed, line by line: a part of it is had without reading all, and it grows as the run prints.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, RwLock};
use tokio::time::Instant;

use super::Desk;
use super::ansi::{self, Style};
use super::refusal::{Refusal, Why};
use crate::clock::Timestamp;
use crate::lease::{Fence, RunId};
use crate::ledger::{Entry, State};
use crate::runner::Stream;
use crate::store::Piece;

/// What one run may take here. The rest is had as a whole only.
const BYTES: usize = 48 << 20;
const LINES: usize = 1_500_000;

/// What all of them may take, and how many they are.
const ALL_BYTES: usize = 64 << 20;
const ALL: usize = 16;

/// The store is not asked for more sooner than this after it was; nor more than a twentieth of the time.
const FRESH: Duration = Duration::from_millis(400);
const SHARE: u32 = 20;

/// A line, numbered by where it began: streams that are written to in turn have their lines whole.
#[derive(Debug, Clone, Copy)]
struct Line {
    at: Timestamp,
    start: u32,
    end: u32,
    /// Which of the attempts.
    attempt: u16,
    is_error: bool,
    /// It says that something was cut here.
    is_note: bool,
    /// How the line before left it.
    style: Style,
}

/// One attempt's output.
#[derive(Debug, Default)]
struct Sheet {
    number: u32,
    fence: Fence,
    /// The line that it begins with.
    first: usize,
    /// What stdout and stderr got.
    text: [Vec<u8>; 2],
    /// The line of each that has no end yet.
    open: [Option<usize>; 2],
    style: [Style; 2],
    /// The piece that comes next.
    next: u64,
    /// So many bytes were cut, as its notes say.
    cut: u64,
}

/// Which lines.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection {
    /// Of this attempt.
    pub attempt: Option<u32>,
    /// Of this stream.
    pub stream: Option<Stream>,
}

/// A line as it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its number among all lines of the run, from 1.
    pub number: usize,
    /// When it came.
    pub at: Timestamp,
    /// Where.
    pub stream: Stream,
    /// The attempt that printed it, and whether it begins with this line.
    pub attempt: u32,
    /// See `attempt`.
    pub is_first: bool,
    /// It says that something was cut here.
    pub is_note: bool,
    /// How it begins.
    pub style: Style,
    /// As it came.
    pub bytes: &'a [u8],
}

/// What a run printed, as far as it is known.
#[derive(Debug, Default)]
pub struct Printout {
    sheets: Vec<Sheet>,
    lines: Vec<Line>,
    by_stream: [Vec<u32>; 2],
    bytes: usize,
    is_full: bool,
    /// Where the run stood just before it was read.
    state: Option<State>,
    looked: Option<(Instant, Duration)>,
    stale_since: Option<Timestamp>,
    zone: Option<String>,
}

impl Printout {
    /// The zone of the job, where its file is known.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Whether there will be no more.
    pub fn is_over(&self) -> bool {
        self.state.is_some_and(State::is_final)
    }

    /// Whether more was printed than is shown line by line.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// So many bytes were printed, and kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The store is away, and this is what was known then.
    pub fn stale_since(&self) -> Option<Timestamp> {
        self.stale_since
    }

    /// The attempts that printed something.
    pub fn attempts(&self) -> impl Iterator<Item = u32> {
        self.sheets.iter().map(|sheet| sheet.number)
    }

    /// Lines keep their numbers as long as this stays the same: until something in their midst is cut.
    pub fn edition(&self) -> u64 {
        let of = |sheet: &Sheet| sheet.fence.0 ^ sheet.cut.rotate_left(24) ^ (sheet.first as u64).rotate_left(40);
        self.sheets.iter().fold(0, |sum, sheet| sum.rotate_left(7).wrapping_add(of(sheet)))
    }

    /// The numbers of an attempt's lines, from 0.
    fn span(&self, attempt: Option<u32>) -> std::ops::Range<usize> {
        let Some(number) = attempt else { return 0..self.lines.len() };
        let Some(at) = self.sheets.iter().position(|sheet| sheet.number == number) else { return 0..0 };
        self.sheets[at].first..self.sheets.get(at + 1).map_or(self.lines.len(), |next| next.first)
    }

    /// How many lines are selected.
    pub fn count(&self, of: Selection) -> usize {
        let span = self.span(of.attempt);
        of.stream.map_or(span.len(), |stream| self.within(stream, &span).len())
    }

    fn within(&self, stream: Stream, span: &std::ops::Range<usize>) -> &[u32] {
        let all = &self.by_stream[usize::from(stream == Stream::Stderr)];
        let place = |edge: usize| all.partition_point(|line| (*line as usize) < edge);
        &all[place(span.start)..place(span.end)]
    }

    /// The selected lines from place `from` on, with their places, from 0.
    pub fn lines(&self, of: Selection, from: usize) -> impl Iterator<Item = Shown<'_>> {
        let span = self.span(of.attempt);
        let some = of.stream.map(|stream| self.within(stream, &span));
        let most = self.count(of);
        (from..most).map(move |at| self.shown(some.map_or(span.start + at, |lines| lines[at] as usize)))
    }

    /// The place of the line with this number among those selected, or of the next.
    pub fn place(&self, of: Selection, number: usize) -> usize {
        let (span, line) = (self.span(of.attempt), number.saturating_sub(1));
        match of.stream {
            Some(stream) => self.within(stream, &span).partition_point(|own| (*own as usize) < line),
            None => line.clamp(span.start, span.end) - span.start,
        }
    }

    /// From which place on the selected lines may still change.
    pub fn settled(&self, of: Selection) -> usize {
        if self.is_over() {
            return self.count(of);
        }
        let open = self.sheets.last().and_then(|sheet| sheet.open.iter().flatten().min().copied());
        open.map_or_else(|| self.count(of), |line| self.place(of, line + 1))
    }

    fn shown(&self, index: usize) -> Shown<'_> {
        let line = &self.lines[index];
        let sheet = &self.sheets[usize::from(line.attempt)];
        Shown {
            number: index + 1,
            at: line.at,
            stream: if line.is_error { Stream::Stderr } else { Stream::Stdout },
            attempt: sheet.number,
            is_first: sheet.first == index,
            is_note: line.is_note,
            style: line.style,
            bytes: &sheet.text[usize::from(line.is_error)][line.start as usize..line.end as usize],
        }
    }

    /// Adds a piece that follows what is there. Whether it could be the next.
    fn push(&mut self, number: u32, fence: Fence, piece: &Piece) -> bool {
        if self.sheets.last().is_none_or(|sheet| sheet.fence != fence) {
            self.sheets.push(Sheet { number, fence, first: self.lines.len(), ..Sheet::default() });
        }
        let (attempt, lines) = (self.sheets.len() - 1, &mut self.lines);
        let Some(sheet) = self.sheets.last_mut() else { return false };
        let is_next = piece.seq == sheet.next;
        sheet.next = piece.seq + 1;
        self.bytes += piece.bytes.len();
        let cut = note(&piece.bytes).filter(|_| piece.stream == Stream::Stderr);
        if let Some(cut) = cut {
            // What was going on is torn off, and the next begins somewhere within a line.
            (sheet.open, sheet.style) = Default::default();
            sheet.cut += cut;
        }
        let which = usize::from(piece.stream == Stream::Stderr);
        let bytes = if cut.is_some() { piece.bytes.trim_ascii_start() } else { &piece.bytes };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = &mut sheet.text[which];
            if self.is_full || lines.len() >= LINES || text.len() + part.len() > BYTES {
                self.is_full = true;
                break;
            }
            let start = text.len() as u32;
            text.extend_from_slice(part);
            let index = sheet.open[which].unwrap_or(lines.len());
            if index == lines.len() {
                let (is_error, is_note) = (which == 1, cut.is_some());
                let attempt = attempt.min(usize::from(u16::MAX)) as u16;
                let style = sheet.style[which];
                lines.push(Line { at: piece.at, start, end: start, attempt, is_error, is_note, style });
                for (stream, own) in self.by_stream.iter_mut().enumerate() {
                    if is_note || stream == which {
                        own.push(index as u32);
                    }
                }
            }
            let line = &mut lines[index];
            line.end = text.len() as u32;
            sheet.open[which] = Some(index);
            if part.ends_with(b"\n") {
                let whole = &text[line.start as usize..];
                if whole.contains(&0x1b) {
                    ansi::read(whole, &mut sheet.style[which], |_, _| {});
                }
                sheet.open[which] = None;
            }
        }
        if cut.is_some() {
            sheet.open = Default::default();
        }
        is_next || cut.is_some()
    }

    /// How much it takes.
    fn weight(&self) -> usize {
        let texts: usize = self.sheets.iter().flat_map(|sheet| &sheet.text).map(Vec::capacity).sum();
        texts + self.lines.capacity() * size_of::<Line>() + 4 * self.by_stream.iter().map(Vec::capacity).sum::<usize>()
    }

    fn is_fresh(&self) -> bool {
        let rests = |(at, took): (Instant, Duration)| at.elapsed() < FRESH.max(took * SHARE);
        (self.is_over() && self.stale_since.is_none()) || self.looked.is_some_and(rests)
    }
}

/// How many bytes a note says were cut.
fn note(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.strip_prefix("\n[cronclave: ")?.strip_suffix(" bytes cut here]\n")?.parse().ok()
}

/// Those lately looked at, the newest last.
#[derive(Debug, Default)]
pub(super) struct Printouts(Mutex<Vec<Kept>>);

#[derive(Debug)]
struct Kept {
    id: RunId,
    weight: usize,
    it: Arc<RwLock<Printout>>,
}

impl Printouts {
    fn of(&self, id: RunId, or_new: bool) -> Option<Arc<RwLock<Printout>>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match all.iter().position(|kept| kept.id == id) {
            Some(at) => all.remove(at),
            None if or_new => Kept { id, weight: 0, it: Arc::default() },
            None => return None,
        };
        let it = kept.it.clone();
        all.push(kept);
        Some(it)
    }

    /// It takes so much now: others may have to go.
    fn weigh(&self, id: RunId, weight: usize) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for kept in all.iter_mut().filter(|kept| kept.id == id) {
            kept.weight = weight;
        }
        while all.len() > 1 && (all.len() > ALL || all.iter().map(|kept| kept.weight).sum::<usize>() > ALL_BYTES) {
            all.remove(0);
        }
    }
}

impl Desk {
    /// What a run printed, line by line, as it stands.
    ///
    /// # Errors
    /// There is no such run; or the store does not answer, and what it printed is not known.
    pub async fn printout(&self, run: &str) -> Result<OwnedRwLockReadGuard<Printout>, Refusal> {
        if let Some(known) = run.parse().ok().and_then(|id| self.printouts.of(id, false)) {
            let known = known.read_owned().await;
            if known.is_fresh() {
                return Ok(known);
            }
        }
        let (entry, _) = self.entry(run).await?;
        let id = run_id(&entry)?;
        let known = self.printouts.of(id, true).unwrap_or_default();
        let mut printout = known.write_owned().await;
        if !printout.is_fresh() {
            let began = Instant::now();
            match self.extend(&mut printout, id, &entry).await {
                Ok(()) => printout.stale_since = None,
                Err(refusal) if refusal.why == Why::StoreDown && printout.state.is_some() => {
                    printout.stale_since = printout.stale_since.or(Some(self.parts.clock.now()));
                }
                Err(refusal) => return Err(refusal),
            }
            printout.looked = Some((Instant::now(), began.elapsed()));
            self.printouts.weigh(id, printout.weight());
        }
        Ok(printout.downgrade())
    }

    /// Everything that a run printed and that was kept, byte by byte.
    ///
    /// # Errors
    /// There is no such run, or the store does not answer.
    pub async fn output(&self, run: &str) -> Result<(Entry, Vec<u8>), Refusal> {
        let (entry, _) = self.entry(run).await?;
        let pieces = self.in_time(self.parts.store.read_output(run_id(&entry)?, 0)).await?;
        Ok((entry, pieces.into_iter().flat_map(|(_, piece)| piece.bytes).collect()))
    }

    async fn extend(&self, printout: &mut Printout, id: RunId, entry: &Entry) -> Result<(), Refusal> {
        let is_last_look = entry.state.is_final();
        let limit = self.known().by_name.get(&entry.job).map_or(1 << 20, |job| job.log_limit);
        let newest = printout.sheets.last().map(|sheet| (sheet.fence, sheet.next));
        let number = |fence: Fence| entry.attempts.iter().find(|own| own.fence == fence).map_or(0, |own| own.attempt);
        // When it is over all is read once more: who held it before may have written late.
        let mut is_whole = printout.state.is_some() && !is_last_look;
        if is_whole {
            let known = newest.map_or(Fence::default(), |(fence, _)| fence);
            for attempt in entry.attempts.iter().filter(|attempt| attempt.fence >= known) {
                let from = newest.filter(|(fence, _)| *fence == attempt.fence).map_or(0, |(_, next)| next);
                let pieces = self.in_time(self.parts.store.read_attempt(id, attempt.fence, from)).await?;
                // What was cut meanwhile leaves a hole, and is not kept here either.
                is_whole &= pieces.iter().all(|piece| printout.push(attempt.attempt, attempt.fence, piece));
            }
            let longest = printout.sheets.last().map_or(0, |sheet| sheet.text.iter().map(Vec::len).sum());
            is_whole &= longest <= limit + limit / 2;
        }
        if !is_whole {
            let pieces = self.in_time(self.parts.store.read_output(id, 0)).await?;
            let mut fresh = Printout::default();
            for (fence, piece) in &pieces {
                fresh.push(number(*fence), *fence, piece);
            }
            *printout = fresh;
        }
        printout.state = Some(entry.state);
        printout.zone = self.known().by_name.get(&entry.job).map(|job| job.schedule.zone().name().to_owned());
        Ok(())
    }
}

fn run_id(entry: &Entry) -> Result<RunId, Refusal> {
    entry.id.parse().map_err(|_| Refusal::new(Why::NotFound, format!("{} is no run", entry.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(seq: u64, stream: Stream, text: &str) -> Piece {
        Piece { seq, at: Timestamp::EPOCH, stream, bytes: text.into() }
    }

    fn lines(printout: &Printout, of: Selection) -> Vec<(usize, String)> {
        printout
            .lines(of, 0)
            .map(|line| (line.number, String::from_utf8_lossy(line.bytes).trim_end().to_owned()))
            .collect()
    }

    #[test]
    fn streams_that_take_turns_have_their_lines_whole_and_numbered_by_where_they_began() {
        use Stream::{Stderr, Stdout};
        let mut printout = Printout::default();
        let pieces = [(Stdout, "a"), (Stderr, "x\ny"), (Stdout, "b\nc\n"), (Stderr, "z\n")];
        for (seq, (stream, text)) in pieces.into_iter().enumerate() {
            assert!(printout.push(1, Fence(7), &piece(seq as u64, stream, text)));
        }
        let all = lines(&printout, Selection::default());
        assert_eq!(all, [(1, "ab".into()), (2, "x".into()), (3, "yz".into()), (4, "c".into())]);
        let errors = Selection { stream: Some(Stderr), attempt: Some(1) };
        assert_eq!(lines(&printout, errors), [(2, "x".into()), (3, "yz".into())]);
        assert_eq!((printout.place(errors, 3), printout.place(errors, 4), printout.count(errors)), (1, 2, 2));
        assert!(!printout.push(1, Fence(7), &piece(9, Stdout, "after a hole")));
        assert_eq!(printout.settled(Selection::default()), 4, "the last line is open");
        let edition = printout.edition();
        printout.push(1, Fence(7), &piece(10, Stderr, "\n[cronclave: 12 bytes cut here]\n"));
        assert_ne!(printout.edition(), edition);
    }

    #[test]
    fn only_those_lately_looked_at_are_kept() {
        let (all, ids) = (Printouts::default(), [1_u8, 2, 3].map(|n| RunId::from_bytes([n; 16])));
        for id in ids {
            all.of(id, true);
            all.weigh(id, ALL_BYTES / 2);
        }
        let kept = |id| all.of(id, false).is_some();
        assert!(!kept(ids[0]) && kept(ids[1]) && kept(ids[2]));
        all.weigh(ids[2], 2 * ALL_BYTES);
        assert!(!kept(ids[1]) && kept(ids[2]), "the newest stays, however large");
    }
}

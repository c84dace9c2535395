//! What a run printed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Desk;
use super::outputs::Output;
use super::refusal::{Refusal, Why};
use crate::clock::Timestamp;
use crate::lease::{Fence, RunId};
use crate::ledger::Entry;
use crate::runner::Stream;
use crate::shape::{Piece, Position, Run};

/// Which part of a run's output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part {
    /// Of this attempt.
    pub attempt: Option<u32>,
    /// Of this stream.
    pub stream: Option<Stream>,
    /// What follows this place.
    pub after: Option<Position>,
}

/// A run as it stands, and what it printed.
#[derive(Debug, Clone)]
pub struct Log {
    /// The run, as it stood before: what was over then printed no more.
    pub run: Run,
    /// In order.
    pub pieces: Vec<Piece>,
    /// The store is away, and this is what was known then.
    pub stale_since: Option<Timestamp>,
}

impl Desk {
    /// A part of what a run printed.
    ///
    /// # Errors
    /// There is no such run or attempt; or the store does not answer, and what the run printed is not known.
    pub async fn log(&self, run: &str, part: &Part) -> Result<Log, Refusal> {
        let (Output { entry, pieces, .. }, stale_since) = self.printed(run, part.after).await?;
        if let Some(attempt) = part.attempt.filter(|n| entry.attempts.iter().all(|one| one.attempt != *n)) {
            let most = entry.attempts.len();
            let detail = format!("there is no attempt {attempt}: the run has had {most}");
            return Err(Refusal::new(Why::NotFound, detail));
        }
        let numbers: BTreeMap<Fence, u32> = entry.attempts.iter().map(|one| (one.fence, one.attempt)).collect();
        let pieces = pieces.iter().filter(|(fence, piece)| {
            let place = Position { fence: *fence, seq: piece.seq };
            let number = numbers.get(fence).copied().unwrap_or(0);
            part.after.is_none_or(|after| place > after)
                && part.stream.is_none_or(|stream| stream == piece.stream)
                && part.attempt.is_none_or(|wanted| wanted == number)
        });
        let shown = pieces.map(|(fence, piece)| Piece::new(numbers.get(fence).copied().unwrap_or(0), *fence, piece));
        Ok(Log { run: self.run_of(&entry), pieces: shown.collect(), stale_since })
    }

    /// What a run printed after a place, at least; and since when that is no longer certain to be all.
    async fn printed(&self, run: &str, after: Option<Position>) -> Result<(Output, Option<Timestamp>), Refusal> {
        let (id, refusal) = match self.entry(run).await {
            Ok((entry, stale_since)) => match self.read(&entry, after).await {
                Ok(output) => return Ok((output, stale_since)),
                Err(refusal) => (entry.id, refusal),
            },
            Err(refusal) => (run.to_lowercase(), refusal),
        };
        if refusal.why != Why::StoreDown {
            return Err(refusal);
        }
        let known = self.last.outputs.of(&id).ok_or(refusal)?;
        let seen_at = known.seen_at;
        Ok((known, Some(seen_at)))
    }

    async fn read(&self, entry: &Entry, after: Option<Position>) -> Result<Output, Refusal> {
        let gone = |_| Refusal::new(Why::NotFound, format!("{} is no run", entry.id));
        let run_id: RunId = entry.id.parse().map_err(gone)?;
        // An attempt that is newer begins at 0; otherwise only that one has more to say.
        let newest = entry.attempts.last().map(|attempt| attempt.fence);
        let after = after.filter(|after| newest.is_none_or(|fence| fence <= after.fence));
        let pieces = self.in_time(self.parts.store.read_output(run_id, after.map_or(0, |after| after.seq + 1))).await?;
        let output = Output { entry: entry.clone(), pieces: Arc::new(pieces), seen_at: self.parts.clock.now() };
        self.last.outputs.keep(output.clone(), after);
        Ok(output)
    }

    /// Reads what those runs printed that somebody is likely to ask for while the store is away.
    pub(super) async fn remember_outputs(&self, runs: impl Iterator<Item = &Entry>) -> Result<(), Refusal> {
        for run in self.last.outputs.wanted(runs) {
            self.read(run, None).await?;
        }
        Ok(())
    }
}

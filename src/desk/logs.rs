//! What a run printed.

use std::collections::BTreeMap;

use super::Desk;
use super::refusal::{Refusal, Why};
use crate::lease::{Fence, RunId};
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

impl Desk {
    /// A run as it stands, and then what it printed: what was over before printed no more.
    ///
    /// # Errors
    /// There is no such run or attempt, or the store does not answer.
    pub async fn log(&self, run: &str, part: &Part) -> Result<(Run, Vec<Piece>), Refusal> {
        let (entry, _) = self.entry(run).await?;
        if let Some(attempt) = part.attempt.filter(|n| entry.attempts.iter().all(|one| one.attempt != *n)) {
            let most = entry.attempts.len();
            let detail = format!("there is no attempt {attempt}: the run has had {most}");
            return Err(Refusal::new(Why::NotFound, detail));
        }
        let gone = |_| Refusal::new(Why::NotFound, format!("{} is no run", entry.id));
        let run_id: RunId = entry.id.parse().map_err(gone)?;
        // An attempt that is newer begins at 0; otherwise only that one has more to say.
        let newest = entry.attempts.last().map(|attempt| attempt.fence);
        let from = part.after.filter(|after| newest.is_none_or(|fence| fence <= after.fence));
        let pieces = self.in_time(self.parts.store.read_output(run_id, from.map_or(0, |after| after.seq + 1))).await?;
        let numbers: BTreeMap<Fence, u32> = entry.attempts.iter().map(|one| (one.fence, one.attempt)).collect();
        let pieces = pieces.iter().filter(|(fence, piece)| {
            let place = Position { fence: *fence, seq: piece.seq };
            let number = numbers.get(fence).copied().unwrap_or(0);
            part.after.is_none_or(|after| place > after)
                && part.stream.is_none_or(|stream| stream == piece.stream)
                && part.attempt.is_none_or(|wanted| wanted == number)
        });
        let shown = pieces.map(|(fence, piece)| Piece::new(numbers.get(fence).copied().unwrap_or(0), *fence, piece));
        Ok((self.run_of(&entry), shown.collect()))
    }
}

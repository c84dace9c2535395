//! What runs printed, as it was last seen: for the time while the store is away. Of runs that somebody looked at, and of
//! those that somebody is likely to ask for; all within a few megabytes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;
use crate::lease::Fence;
use crate::ledger::{Entry, State};
use crate::shape::Position;
use crate::store::Piece;

/// All that is kept is no larger than this.
const BYTES: usize = 8 << 20;

/// Nor is that of one run larger than this: what is larger is not kept.
const LARGE: usize = BYTES / 4;

/// Runs whose output is kept.
const RUNS: usize = 500;

/// At one look the output of so many runs that go on is read, and of as many that are over.
const READ: usize = 20;

/// A run, and what it had printed by then.
#[derive(Debug, Clone)]
pub(super) struct Output {
    /// The run, as it stood before its output was read: what was over then printed no more.
    pub(super) entry: Entry,
    /// By attempt, in order.
    pub(super) pieces: Arc<Vec<(Fence, Piece)>>,
    /// When it was read.
    pub(super) seen_at: Timestamp,
}

/// The output of some runs, those that were looked at last first.
#[derive(Debug, Default)]
pub(super) struct Outputs(Mutex<VecDeque<Known>>);

#[derive(Debug)]
struct Known {
    output: Output,
    size: usize,
    /// It is too large: nothing of it is here.
    is_large: bool,
}

impl Outputs {
    fn all(&self) -> MutexGuard<'_, VecDeque<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a run.
    pub(super) fn of(&self, id: &str) -> Option<Output> {
        let all = self.all();
        all.iter().find(|known| known.output.entry.id == id && !known.is_large).map(|known| known.output.clone())
    }

    /// Keeps what was read of a run: all of it, or what follows a place.
    pub(super) fn keep(&self, mut output: Output, after: Option<Position>) {
        let mut all = self.all();
        let place = all.iter().position(|known| known.output.entry.id == output.entry.id);
        if let Some(after) = after {
            let before = place.map(|place| &all[place].output.pieces);
            let is_there = |(fence, piece): &(Fence, Piece)| Position { fence: *fence, seq: piece.seq } == after;
            // What came before that place was read elsewhere, and is not known here.
            let Some(before) = before.filter(|before| before.iter().any(is_there)) else { return };
            output.pieces = joined(before, after.seq, output.pieces);
        }
        let size = output.pieces.iter().map(|(_, piece)| size_of::<Piece>() + piece.bytes.len()).sum();
        let is_large = size > LARGE;
        if is_large {
            output.pieces = Arc::default();
        }
        place.map(|place| all.remove(place));
        all.push_front(Known { output, size: if is_large { 0 } else { size }, is_large });
        let sum = |sum: &mut usize, known: &Known| {
            *sum += known.size;
            Some(*sum)
        };
        let fitting = all.iter().take(RUNS).scan(0, sum).take_while(|sum| *sum <= BYTES).count();
        all.truncate(fitting);
    }

    /// Those of `runs`, the newest first, whose output is to be read again: what goes on may have printed more. Of what
    /// is over, failures are asked for first.
    pub(super) fn wanted<'a>(&self, runs: impl Iterator<Item = &'a Entry>) -> Vec<&'a Entry> {
        let all = self.all();
        let is_news = |run: &Entry| {
            let known = all.iter().find(|known| known.output.entry.id == run.id);
            let may_have_more = |known: &Known| !run.state.is_final() || known.output.entry.changed_at < run.changed_at;
            known.is_none_or(|known| !known.is_large && may_have_more(known))
        };
        let mut named = BTreeSet::new();
        let begun = runs.filter(|run| !run.attempts.is_empty() && named.insert(&run.id) && is_news(run));
        let (mut over, going): (Vec<&Entry>, Vec<&Entry>) = begun.partition(|run| run.state.is_final());
        over.sort_by_key(|run| run.state == State::Succeeded);
        going.into_iter().take(READ).chain(over.into_iter().take(READ)).collect()
    }
}

/// What was known of an output, and everything in it after piece number `seq` of each attempt.
fn joined(before: &Arc<Vec<(Fence, Piece)>>, seq: u64, more: Arc<Vec<(Fence, Piece)>>) -> Arc<Vec<(Fence, Piece)>> {
    if more.is_empty() {
        return before.clone();
    }
    let known = before.iter().filter(|(_, piece)| piece.seq <= seq);
    let mut all: Vec<(Fence, Piece)> = known.chain(more.iter()).cloned().collect();
    all.sort_by_key(|(fence, piece)| (*fence, piece.seq));
    Arc::new(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobName;
    use crate::lease::Trigger;
    use crate::ledger::Attempt;
    use crate::runner::Stream;

    const FENCE: Fence = Fence(7);

    fn run(n: usize, state: State) -> Entry {
        let begun = Timestamp::from_secs(60);
        Entry {
            id: format!("run-{n}"),
            job: JobName::new("report").unwrap(),
            scheduled_at: begun,
            through: None,
            count: 1,
            state,
            trigger: Trigger::Schedule,
            attempts: vec![Attempt {
                attempt: 1,
                fence: FENCE,
                replica: "web.1".into(),
                claimed_at: begun,
                started_at: Some(begun),
                finished_at: None,
                ended: None,
            }],
            next_attempt_at: None,
            message: None,
            changed_at: begun,
        }
    }

    fn piece(seq: u64, size: usize) -> (Fence, Piece) {
        let bytes = vec![b'x'; size];
        (FENCE, Piece { seq, at: Timestamp::from_secs(61), stream: Stream::Stdout, bytes })
    }

    fn printed(entry: Entry, pieces: Vec<(Fence, Piece)>) -> Output {
        Output { entry, pieces: Arc::new(pieces), seen_at: Timestamp::from_secs(62) }
    }

    fn place(seq: u64) -> Option<Position> {
        Some(Position { fence: FENCE, seq })
    }

    fn seqs(outputs: &Outputs, n: usize) -> Option<Vec<u64>> {
        outputs.of(&format!("run-{n}")).map(|known| known.pieces.iter().map(|(_, piece)| piece.seq).collect())
    }

    #[test]
    fn what_is_read_piece_by_piece_is_known_as_a_whole_or_not_at_all() {
        let outputs = Outputs::default();
        let going = || run(1, State::Running);
        outputs.keep(printed(going(), vec![piece(5, 1)]), place(4));
        assert_eq!(seqs(&outputs, 1), None, "what came before was never read here");
        outputs.keep(printed(going(), vec![piece(0, 1), piece(1, 1)]), None);
        outputs.keep(printed(going(), vec![piece(2, 1)]), place(1));
        outputs.keep(printed(run(1, State::Failed), vec![]), place(2));
        assert_eq!(seqs(&outputs, 1), Some(vec![0, 1, 2]));
        assert_eq!(outputs.of("run-1").unwrap().entry.state, State::Failed);
        outputs.keep(printed(going(), vec![piece(9, 1)]), place(8));
        assert_eq!(seqs(&outputs, 1), Some(vec![0, 1, 2]), "there is a hole before it");
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for_and_what_was_looked_at_last_stays() {
        let outputs = Outputs::default();
        let (each, fit) = (LARGE - size_of::<Piece>(), BYTES / LARGE);
        (0..=fit).for_each(|n| outputs.keep(printed(run(n, State::Failed), vec![piece(0, each)]), None));
        assert_eq!((seqs(&outputs, 0), seqs(&outputs, 1)), (None, Some(vec![0])));
        (0..2 * RUNS).for_each(|n| outputs.keep(printed(run(100 + n, State::Failed), vec![]), None));
        assert_eq!((seqs(&outputs, fit), outputs.all().len()), (None, RUNS));
        outputs.keep(printed(run(1, State::Failed), vec![piece(0, LARGE + 1)]), None);
        assert_eq!(seqs(&outputs, 1), None, "half of an output would be taken for all of it");
        assert!(outputs.wanted([run(1, State::Failed)].iter()).is_empty(), "it would be too large again");
    }

    #[test]
    fn what_goes_on_is_read_again_and_of_what_is_over_failures_first_and_once() {
        let outputs = Outputs::default();
        let runs = [run(1, State::Succeeded), run(2, State::Running), run(3, State::Failed), run(2, State::Running)];
        let wanted = |outputs: &Outputs| -> Vec<String> {
            outputs.wanted(runs.iter()).into_iter().map(|run| run.id.clone()).collect()
        };
        assert_eq!(wanted(&outputs), ["run-2", "run-3", "run-1"]);
        for run in &runs {
            outputs.keep(printed(run.clone(), vec![]), None);
        }
        assert_eq!(wanted(&outputs), ["run-2"]);
        let many: Vec<Entry> = (0..3 * READ).map(|n| run(1000 + n, State::Running)).collect();
        assert_eq!(outputs.wanted(many.iter()).len(), READ);
    }
}

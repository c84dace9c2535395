//! What was found: which promise, whose, and what speaks against it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::RunId;

/// What must hold of every cluster, whatever happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is explained by its promise")]
pub enum Invariant {
    StartsOnce,
    NothingMissed,
    DecidedOnce,
    StandsForItsOccurrences,
    OwnRun,
    RegisteredFirst,
    CursorMovesOn,
    NeverEarly,
    NewestClaimActs,
    RunComesOnce,
    ClaimFencesGrow,
    StartFencesGrow,
    OverStaysOver,
    NoRunForgotten,
    OneAtATime,
    MutexHolds,
    MutexFencesGrow,
    ClosedByItsHolder,
    CodeHasItsStart,
    CodeStartsInItsLease,
    CodeEndsInItsLease,
    TimeGoesOn,
    PositionsGrow,
    HistoryKeepsWhatHappened,
    NothingLate,
    NothingStuck,
}

impl Invariant {
    /// All of them, the gravest first.
    pub const ALL: [Invariant; 26] = [
        Invariant::StartsOnce,
        Invariant::NothingMissed,
        Invariant::DecidedOnce,
        Invariant::StandsForItsOccurrences,
        Invariant::OwnRun,
        Invariant::RegisteredFirst,
        Invariant::CursorMovesOn,
        Invariant::NeverEarly,
        Invariant::NewestClaimActs,
        Invariant::RunComesOnce,
        Invariant::ClaimFencesGrow,
        Invariant::StartFencesGrow,
        Invariant::OverStaysOver,
        Invariant::NoRunForgotten,
        Invariant::OneAtATime,
        Invariant::MutexHolds,
        Invariant::MutexFencesGrow,
        Invariant::ClosedByItsHolder,
        Invariant::CodeHasItsStart,
        Invariant::CodeStartsInItsLease,
        Invariant::CodeEndsInItsLease,
        Invariant::TimeGoesOn,
        Invariant::PositionsGrow,
        Invariant::HistoryKeepsWhatHappened,
        Invariant::NothingLate,
        Invariant::NothingStuck,
    ];

    /// Its word, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Invariant::StartsOnce => "starts_once",
            Invariant::NothingMissed => "nothing_missed",
            Invariant::DecidedOnce => "decided_once",
            Invariant::StandsForItsOccurrences => "stands_for_its_occurrences",
            Invariant::OwnRun => "own_run",
            Invariant::RegisteredFirst => "registered_first",
            Invariant::CursorMovesOn => "cursor_moves_on",
            Invariant::NeverEarly => "never_early",
            Invariant::NewestClaimActs => "newest_claim_acts",
            Invariant::RunComesOnce => "run_comes_once",
            Invariant::ClaimFencesGrow => "claim_fences_grow",
            Invariant::StartFencesGrow => "start_fences_grow",
            Invariant::OverStaysOver => "over_stays_over",
            Invariant::NoRunForgotten => "no_run_forgotten",
            Invariant::OneAtATime => "one_at_a_time",
            Invariant::MutexHolds => "mutex_holds",
            Invariant::MutexFencesGrow => "mutex_fences_grow",
            Invariant::ClosedByItsHolder => "closed_by_its_holder",
            Invariant::CodeHasItsStart => "code_has_its_start",
            Invariant::CodeStartsInItsLease => "code_starts_in_its_lease",
            Invariant::CodeEndsInItsLease => "code_ends_in_its_lease",
            Invariant::TimeGoesOn => "time_goes_on",
            Invariant::PositionsGrow => "positions_grow",
            Invariant::HistoryKeepsWhatHappened => "history_keeps_what_happened",
            Invariant::NothingLate => "nothing_late",
            Invariant::NothingStuck => "nothing_stuck",
        }
    }

    /// What it promises, in one sentence.
    pub fn promise(self) -> &'static str {
        match self {
            Invariant::StartsOnce => "a run starts once, and again only as its delivery and retry policies say",
            Invariant::NothingMissed => "every occurrence has an entry: a run, or why it did not become one",
            Invariant::DecidedOnce => "every occurrence has one entry only, and entries are made in order",
            Invariant::StandsForItsOccurrences => {
                "an entry stands for the occurrences that the schedule has in its span"
            }
            Invariant::OwnRun => "the run of an occurrence has the id that follows from job and instant",
            Invariant::RegisteredFirst => "nothing happens to a job before it was first seen",
            Invariant::CursorMovesOn => "the cursor stands where the entries end, and never moves back",
            Invariant::NeverEarly => "nothing happens before it is due",
            Invariant::NewestClaimActs => "only the newest claim on a run acts",
            Invariant::RunComesOnce => "a run comes to be once",
            Invariant::ClaimFencesGrow => "fences of claims grow",
            Invariant::StartFencesGrow => "fences of starts grow",
            Invariant::OverStaysOver => "a run that is over stays over",
            Invariant::NoRunForgotten => "the record holds the runs that are not over, and no other",
            Invariant::OneAtATime => "runs of one job do not overlap, unless `overlap` allows it",
            Invariant::MutexHolds => "runs under one mutex do not overlap",
            Invariant::MutexFencesGrow => "fences of starts grow over all jobs of a mutex",
            Invariant::ClosedByItsHolder => "a run is closed by its holder, or after its lease",
            Invariant::CodeHasItsStart => "code runs once for each start on record, and not before it",
            Invariant::CodeStartsInItsLease => "code starts within its lease",
            Invariant::CodeEndsInItsLease => "code ends before its lease",
            Invariant::TimeGoesOn => "the store's time does not go back",
            Invariant::PositionsGrow => "events have growing positions",
            Invariant::HistoryKeepsWhatHappened => "what the events tell of has its line in the history",
            Invariant::NothingLate => "what is due is decided soon",
            Invariant::NothingStuck => "what outlives its lease is taken over or closed soon",
        }
    }

    /// What to do when it does not hold.
    pub fn advice(self) -> &'static str {
        match self {
            Invariant::StartsOnce
            | Invariant::NewestClaimActs
            | Invariant::OverStaysOver
            | Invariant::OneAtATime
            | Invariant::MutexHolds => {
                "look at what the run did twice; if the store was restored from a copy or failed over without its last \
                 writes, that is why (docs/GUARANTEES.md); a guard with fences keeps the effects single (docs/FENCING.md)"
            }
            Invariant::NothingMissed | Invariant::HistoryKeepsWhatHappened => {
                "run it after all with `cronclave backfill JOB`, if it still matters; then find out who wrote to the \
                 store or restored it"
            }
            Invariant::NothingLate => {
                "look at `cronclave status`: is a replica up, does it run this schedule file, are all its slots taken \
                 (`--max-parallel`)?"
            }
            Invariant::NothingStuck => {
                "look at `cronclave status` and `cronclave locks`: a replica that is up takes it over; releasing the \
                 lock ends it by force"
            }
            Invariant::NeverEarly | Invariant::TimeGoesOn => {
                "check the clock of the store's machine (NTP); a clock set forward brings the future early"
            }
            _ => {
                "somebody other than cronclave wrote to the store, or it lost writes: keep it as it is, make a log of \
                 it with `cronclave verify --export FILE`, and report that"
            }
        }
    }
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A promise does not hold.
    Broken,
    /// Nothing is broken yet, but somebody should look.
    Warning,
}

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What should hold.
    pub invariant: Invariant,
    /// How grave that is.
    pub severity: Severity,
    /// Whose. Absent for what concerns the whole store.
    pub job: Option<JobName>,
    /// Which run, when it is about one.
    pub run_id: Option<RunId>,
    /// Which occurrence, or the first of several.
    pub occurrence: Option<Timestamp>,
    /// How many occurrences or starts it stands for, at least 1.
    pub count: u64,
    /// When it came to be, by the store's clock.
    pub at: Option<Timestamp>,
    /// What speaks against it, in one sentence.
    pub detail: String,
}

impl Finding {
    /// About a job, and as yet no more.
    pub(super) fn new(invariant: Invariant, job: &JobName, detail: impl Into<String>) -> Finding {
        let severity = match invariant {
            Invariant::NothingLate | Invariant::NothingStuck => Severity::Warning,
            _ => Severity::Broken,
        };
        let (run_id, occurrence, at) = (None, None, None);
        Finding { invariant, severity, job: Some(job.clone()), run_id, occurrence, count: 1, at, detail: detail.into() }
    }

    pub(super) fn of(mut self, run_id: RunId) -> Finding {
        self.run_id = Some(run_id);
        self
    }

    pub(super) fn on(mut self, occurrence: Timestamp) -> Finding {
        self.occurrence = Some(occurrence);
        self
    }

    pub(super) fn when(mut self, at: Timestamp) -> Finding {
        self.at = Some(at);
        self
    }

    pub(super) fn times(mut self, count: u64) -> Finding {
        self.count = count.max(1);
        self
    }
}

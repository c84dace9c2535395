//! Where code really runs in a simulation, or is said to.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::job::Job;
use crate::lease::{Ended, Fence, Work};

/// Which run is meant: its job's place in the list of jobs, and its fence.
pub type Cue = (usize, Fence);

/// How the code of a run goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Course {
    /// It takes so long, and ends so.
    Ends(Duration, Ended),
    /// It really runs: how it goes is seen then.
    Plays,
}

/// Says how code goes, or really runs it, in the time of the simulation.
pub trait Stage: Send {
    /// How the code of `work` will go.
    fn course(&mut self, job: &Job, work: &Work) -> Course;
    /// What plays begins.
    fn begin(&mut self, cue: Cue, job: &Arc<Job>, work: &Work, now: Timestamp);
    /// It is told to end, and has so long for it.
    fn halt(&mut self, cue: Cue, grace: Duration);
    /// Its replica is gone: nothing of it happens any more.
    fn lose(&mut self, cue: Cue);
    /// All that plays goes on until then, or until one is over: which, when, and how it ended.
    fn play(&mut self, until: Timestamp) -> Option<(Cue, Timestamp, Ended)>;
}

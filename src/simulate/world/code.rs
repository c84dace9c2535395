//! The code of runs: how it begins, and the ways in which it ends.

use std::time::Duration;

use super::{Going, HALT, Node, Wake, World};
use crate::clock::Timestamp;
use crate::job::{Job, Task};
use crate::lease::{Ended, Fence, Outcome, RunId, Work};
use crate::plan::{self, View};
use crate::race;
use crate::record::{Key, Mutex, Op, Record, Reply};
use crate::simulate::{Course, Cue, Scenario};

impl World {
    /// The code of a run begins.
    pub(super) fn begin_code(&mut self, at: usize, key: Key, node: usize, holder: String) {
        let job = self.jobs[at].clone();
        let takes = match job.task {
            Task::Publish(_) => Duration::ZERO,
            Task::Run(_) | Task::Queue(..) => self.scenario.took.of(&job.name),
        };
        // The lease is renewed for as long as it goes on.
        let longest = if self.stage.is_some() { job.timeout } else { takes.min(job.timeout) };
        let start = Op::Start { key: key.clone(), holder, ttl: longest + job.lease };
        let Reply::Kept { .. } = self.apply(at, &start) else { return };
        let fence = key.fence;
        let is_message = matches!(job.task, Task::Publish(_));
        let work = self.stage.as_ref().filter(|_| !is_message).and_then(|_| self.work(at, &job, key.run_id));
        let course = work.as_ref().zip(self.stage.as_mut()).map(|(work, stage)| stage.course(&job, work));
        let (takes, mut ended, plays) = match course {
            Some(Course::Ends(takes, ended)) => (takes, ended, false),
            Some(Course::Plays) => (Timestamp::FAR.since(self.now), Ended::succeeded(), true),
            None => (takes, Ended::succeeded(), false),
        };
        let mut ends = self.now.plus(takes);
        if takes > job.timeout && !plays {
            (ends, ended) = (self.now.plus(job.timeout), plain(Outcome::TimedOut));
        } else if self.dice.roll() < self.scenario.fail {
            ended = plain(Outcome::Failed);
        }
        let mut going = Going { key, node, ends, ended, plays, halted: None, dies: false };
        if self.dice.roll() < self.scenario.kill {
            let when = self.dice.roll();
            if !plays {
                self.at(self.now.plus(ends.since(self.now).mul_f64(when)), Wake::Die(at, fence));
            } else if when < 0.5 {
                // Nobody knows how long it goes on: either nothing of it happens, or all but the record of it.
                going.plays = false;
                self.at(self.now, Wake::Die(at, fence));
            } else {
                going.dies = true;
            }
        }
        match (going.plays, work) {
            (true, Some(work)) => {
                self.playing += 1;
                self.at(self.now.plus(job.timeout), Wake::TimeOut(at, fence));
                if let Some(stage) = &mut self.stage {
                    stage.begin((at, fence), &job, &work, self.now);
                }
            }
            _ => self.at(ends, Wake::End(at, fence)),
        }
        self.nodes[node].running += 1;
        self.going.insert((at, fence), going);
        if self.going.len() > self.peak.0 {
            self.peak = (self.going.len(), self.now);
        }
    }

    /// What its code is handed.
    fn work(&self, at: usize, job: &Job, run_id: RunId) -> Option<Work> {
        let record = &self.records[at];
        let known = Record { last_success: record.last_success, ..Record::default() };
        let view = View { now: self.now, record: known, mutex: Mutex::default() };
        record.run(run_id).map(|open| race::work(job, open, &view))
    }

    /// A run is over, as it was to end or otherwise.
    pub(super) fn end(&mut self, at: usize, fence: Fence, otherwise: Option<Outcome>) {
        let Some(going) = self.going.remove(&(at, fence)) else { return };
        self.nodes[going.node].running -= 1;
        let job = self.jobs[at].clone();
        let ended = otherwise.map_or(going.ended, plain);
        let next = self.records[at].run(going.key.run_id).and_then(|open| {
            let view = View { now: self.now, record: Record::default(), mutex: Mutex::default() };
            plan::retry(&job, &race::work(&job, open, &view), &ended, self.dice.roll())
        });
        self.apply(at, &Op::Settle { key: going.key, ended, next });
        self.look_soon(at, self.now);
        self.let_others_in(&job);
    }

    /// What really ran is over.
    pub(super) fn played(&mut self, (at, fence): Cue, ended: Ended) {
        let Some(going) = self.going.get_mut(&(at, fence)) else { return };
        let timeout = self.jobs[at].timeout;
        going.plays = false;
        going.ended = match going.halted {
            None => ended,
            Some(outcome) => {
                let message = match outcome {
                    Outcome::TimedOut => format!("stopped after its timeout of {timeout:?}"),
                    Outcome::Cancelled => "stopped on request".to_owned(),
                    _ => "its replica was told to stop".to_owned(),
                };
                Ended { outcome, message: Some(message), ..ended }
            }
        };
        self.playing -= 1;
        if going.dies { self.die(at, fence) } else { self.end(at, fence, None) }
    }

    /// What really runs has had its time.
    pub(super) fn time_out(&mut self, at: usize, fence: Fence) {
        self.tell_to_end(at, fence, Outcome::TimedOut);
    }

    /// Tells what really runs to end, if that is what it does.
    fn tell_to_end(&mut self, at: usize, fence: Fence, why: Outcome) -> bool {
        let Some(going) = self.going.get_mut(&(at, fence)).filter(|going| going.plays) else { return false };
        if going.halted.is_none() {
            going.halted = Some(why);
            let job = &self.jobs[at];
            if let Some(stage) = &mut self.stage {
                stage.halt((at, fence), job.kill_after.min(job.lease / 3));
            }
        }
        true
    }

    /// A run is asked to stop.
    pub(super) fn halt(&mut self, at: usize, run_id: RunId) {
        let found = self.going.iter().find(|((job, _), going)| *job == at && going.key.run_id == run_id);
        let Some(fence) = found.map(|((_, fence), _)| *fence) else { return };
        if self.tell_to_end(at, fence, Outcome::Cancelled) {
            return;
        }
        let over = self.now.plus(HALT);
        if let Some(going) = self.going.get_mut(&(at, fence)).filter(|going| over < going.ends) {
            (going.ends, going.ended) = (over, plain(Outcome::Cancelled));
            self.at(over, Wake::End(at, fence));
        }
    }

    /// The grace is over.
    pub(super) fn interrupt(&mut self) {
        let mut all: Vec<Cue> = self.going.keys().copied().collect();
        all.sort_unstable();
        for (at, fence) in all {
            if !self.tell_to_end(at, fence, Outcome::Interrupted) {
                self.end(at, fence, Some(Outcome::Interrupted));
            }
        }
    }

    /// A replica dies, with all that it runs; the last renewals are up to a third of a lease ago.
    pub(super) fn die(&mut self, at: usize, fence: Fence) {
        let Some(node) = self.going.get(&(at, fence)).map(|going| going.node) else { return };
        let mut all: Vec<Cue> =
            self.going.iter().filter(|(_, going)| going.node == node).map(|(key, _)| *key).collect();
        all.sort_unstable();
        for (at, fence) in all {
            let Some(going) = self.going.remove(&(at, fence)) else { continue };
            if let Some(stage) = self.stage.as_mut().filter(|_| going.plays) {
                self.playing -= 1;
                stage.lose((at, fence));
            }
            let left = self.jobs[at].lease.mul_f64(1.0 - self.dice.roll() / 3.0);
            self.apply(at, &Op::Renew { key: going.key, ttl: left });
            self.look_soon(at, self.now);
        }
        self.nodes[node] = Node::default();
        self.at(self.now.plus(Scenario::REBOOT), Wake::Boot(node));
    }
}

/// The end of code of which no more is known.
fn plain(outcome: Outcome) -> Ended {
    Ended { outcome, exit_code: (outcome == Outcome::Failed).then_some(1), ..Ended::succeeded() }
}

//! What must hold of every cluster, whatever happened to it: one checker over what the store put
//! on record and what really ran. Simulations, models and tests with real processes share it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use cronclave::clock::Timestamp;
use cronclave::job::{Delivery, Job, JobName, Overlap};
use cronclave::lease::{Fence, Outcome, RunId, Trigger};
use cronclave::ledger::{Event, What};
use cronclave::record::Record;

/// One execution of user code, as its executor saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ran {
    /// Whose.
    pub(crate) job: JobName,
    /// Which run.
    pub(crate) run_id: RunId,
    /// Under which claim.
    pub(crate) fence: Fence,
    /// On which replica.
    pub(crate) holder: String,
    /// From when, by the store's clock.
    pub(crate) from: Timestamp,
    /// To when nothing of it was left.
    pub(crate) to: Timestamp,
}

/// A lease as the store granted or renewed it. Optional evidence: without it, only what the store
/// recorded tells when a lease had ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Granted {
    /// Under which claim.
    pub(crate) fence: Fence,
    /// When.
    pub(crate) at: Timestamp,
    /// Until when.
    pub(crate) until: Timestamp,
}

/// Everything that is known about what happened.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// From `Store::events`, all of them.
    pub(crate) events: Vec<(u64, Event)>,
    /// What really ran.
    pub(crate) ran: Vec<Ran>,
    /// What was granted.
    pub(crate) leases: Vec<Granted>,
    /// What was wanted, and what the store knew in the end.
    pub(crate) jobs: BTreeMap<JobName, (Arc<Job>, Record)>,
    /// All code ends before its lease does. Then nothing overlaps, not even under pauses.
    pub(crate) obedient: bool,
}

/// Stops with the name of the invariant and what speaks against it.
fn broken(invariant: &str, detail: &str, evidence: &dyn Debug) -> ! {
    panic!("broken: {invariant}\n  {detail}\n  evidence: {evidence:#?}")
}

macro_rules! hold {
    ($holds:expr, $invariant:expr, $evidence:expr, $($detail:tt)+) => {
        if !$holds {
            broken($invariant, &format!($($detail)+), $evidence);
        }
    };
}

/// What one run has been through.
#[derive(Debug)]
struct Life {
    scheduled_at: Timestamp,
    trigger: Trigger,
    newest: Fence,
    /// Attempt and fence of each start.
    starts: Vec<(u32, Fence)>,
    last_end: Option<Outcome>,
    over: bool,
}

/// One job's part of the evidence.
struct Case<'a> {
    all: &'a Evidence,
    job: &'a Job,
    record: &'a Record,
    events: Vec<&'a Event>,
    ran: Vec<&'a Ran>,
}

/// Checks every invariant.
///
/// # Panics
/// When one does not hold, with its name and the evidence.
pub(crate) fn check(evidence: &Evidence) {
    let positions = || evidence.events.iter().map(|(position, _)| *position);
    let grow = positions().zip(positions().skip(1)).all(|(a, b)| a < b);
    hold!(grow, "events have growing positions", &evidence.events, "they do not");
    for (name, (job, record)) in &evidence.jobs {
        let case = Case {
            all: evidence,
            job,
            record,
            events: evidence.events.iter().map(|(_, event)| event).filter(|event| event.job == *name).collect(),
            ran: evidence.ran.iter().filter(|ran| ran.job == *name).collect(),
        };
        case.time_goes_on();
        case.each_occurrence_is_decided_once_in_order_when_due();
        case.only_the_newest_claim_acts();
        case.what_ran_had_been_started();
        if job.overlap != Overlap::Allow {
            one_at_a_time("runs of one job do not overlap", evidence, &case.ran);
        }
    }
    let mut mutexes: BTreeMap<&str, Vec<&JobName>> = BTreeMap::new();
    for (name, (job, _)) in &evidence.jobs {
        if let Some(mutex) = &job.mutex {
            mutexes.entry(mutex).or_default().push(name);
        }
    }
    for jobs in mutexes.values() {
        let ran: Vec<&Ran> = evidence.ran.iter().filter(|ran| jobs.contains(&&ran.job)).collect();
        one_at_a_time("runs under one mutex do not overlap", evidence, &ran);
        let starts = evidence.events.iter().filter(|(_, event)| jobs.contains(&&event.job));
        fences_grow("fences of starts grow over all jobs of a mutex", starts.map(|(_, event)| event));
    }
}

impl Case<'_> {
    /// The events of one run, for a message.
    fn of(&self, run_id: RunId) -> Vec<&Event> {
        let text = run_id.to_string();
        self.events.iter().filter(|event| format!("{:?}", event.what).contains(&text)).copied().collect()
    }

    fn time_goes_on(&self) {
        for pair in self.events.windows(2) {
            hold!(pair[0].at <= pair[1].at, "the store's time does not go back", &pair, "it did");
        }
    }

    fn each_occurrence_is_decided_once_in_order_when_due(&self) {
        let invariant = "every occurrence has exactly one entry, made in order, not before it is due";
        let registered = self.events.iter().find(|event| event.what == What::Registered);
        let Some(registered) = registered else {
            hold!(self.events.is_empty(), invariant, &self.events, "events of {} before it was seen", self.job.name);
            return;
        };
        let mut edge = registered.at;
        let mut seen = BTreeMap::new();
        for event in &self.events {
            let (from, through, count) = match &event.what {
                What::Passed(pass) => (pass.from, pass.through, pass.count),
                What::Queued { run_id, scheduled_at, trigger }
                | What::Claimed { run_id, scheduled_at, trigger, .. } => {
                    if seen.insert(*run_id, *scheduled_at).is_some() || *trigger != Trigger::Schedule {
                        continue;
                    }
                    let right = RunId::of_occurrence(&self.job.name, *scheduled_at);
                    hold!(*run_id == right, invariant, event, "the run of an occurrence has a foreign id");
                    (*scheduled_at, *scheduled_at, 1)
                }
                _ => continue,
            };
            hold!(from > edge, "the cursor never moves back", event, "it stood at {edge}");
            let mut counted = 0;
            while edge < through {
                let next = self.job.schedule.after(edge).unwrap_or(Timestamp::FAR);
                hold!(counted > 0 || next == from, invariant, event, "{next} is passed over in silence");
                edge = next;
                counted += 1;
            }
            hold!(edge == through && counted == count, invariant, event, "it stands for {counted} occurrences");
            let due = self.job.due(through);
            hold!(due <= event.at, "nothing happens before it is due", event, "it is due at {due}");
        }
        let cursor = self.record.cursor;
        hold!(cursor == Some(edge), invariant, &cursor, "the cursor is not at {edge}, where the entries end");
    }

    fn only_the_newest_claim_acts(&self) {
        let newest = "only the newest claim on a run acts";
        let mut lives: BTreeMap<RunId, Life> = BTreeMap::new();
        let mut largest = Fence(0);
        for event in &self.events {
            match &event.what {
                What::Queued { run_id, scheduled_at, trigger } => {
                    let life = life(*scheduled_at, trigger);
                    let twice = lives.insert(*run_id, life).is_some();
                    hold!(!twice, "a run comes to be once", &self.of(*run_id), "{run_id} came twice");
                }
                What::Claimed { run_id, fence, scheduled_at, trigger, .. } => {
                    hold!(*fence > largest, "fences of claims grow", event, "the largest was {largest}");
                    largest = *fence;
                    let life = lives.entry(*run_id).or_insert_with(|| life(*scheduled_at, trigger));
                    hold!(!life.over, "a run that is over stays over", &self.of(*run_id), "claimed again as {fence}");
                    life.newest = *fence;
                }
                What::Started { run_id, attempt, fence, .. } => {
                    let Some(life) = lives.get_mut(run_id).filter(|life| !life.over && life.newest == *fence) else {
                        broken(newest, &format!("a start under {fence}"), &self.of(*run_id))
                    };
                    self.may_start(*run_id, life, *attempt);
                    life.starts.push((*attempt, *fence));
                    let due = self.job.due(life.scheduled_at);
                    let early = life.trigger == Trigger::Schedule && due > event.at;
                    hold!(!early, "nothing happens before it is due", event, "it is due at {due}");
                }
                What::Released { run_id, fence } | What::Published { run_id, fence } => {
                    let life = lives.get(run_id).filter(|life| !life.over && life.newest == *fence);
                    hold!(life.is_some(), newest, &self.of(*run_id), "{fence} was let go");
                }
                What::Ended { run_id, fence, ended, next, .. } => {
                    let Some(life) = lives.get_mut(run_id).filter(|life| !life.over && life.newest == *fence) else {
                        broken(newest, &format!("an end of {fence}"), &self.of(*run_id))
                    };
                    life.last_end = Some(ended.outcome);
                    life.over = next.is_none();
                    self.ended_when_it_may(event, *fence, ended.outcome);
                }
                _ => {}
            }
        }
        if self.job.overlap != Overlap::Allow {
            fences_grow("fences of starts grow", self.events.iter().copied());
        }
        let mut open: Vec<RunId> = self.record.open.iter().map(|run| run.run_id).collect();
        open.sort();
        let unfinished: Vec<RunId> = lives.iter().filter(|(_, life)| !life.over).map(|(id, _)| *id).collect();
        hold!(open == unfinished, "no run is forgotten", &(&open, &unfinished), "the record holds other runs");
    }

    /// Once per occurrence at most once; per attempt otherwise.
    fn may_start(&self, run_id: RunId, life: &Life, attempt: u32) {
        let Some((last, _)) = life.starts.last() else { return };
        let its_own_failure = matches!(life.last_end, Some(Outcome::Failed | Outcome::TimedOut));
        let interrupted = life.last_end == Some(Outcome::Interrupted);
        let lost = life.last_end == Some(Outcome::Lost);
        let may = match self.job.delivery {
            Delivery::AtMostOnce => its_own_failure && attempt > *last,
            Delivery::AtLeastOnce => (its_own_failure || lost) && attempt > *last || interrupted && attempt == *last,
        };
        let bounded = attempt <= self.job.retry.attempts.max(Delivery::LIVES);
        let invariant = "a run starts once, and again only as its delivery and retry policies say";
        hold!(
            may && bounded,
            invariant,
            &self.of(run_id),
            "attempt {attempt} follows {last}, which ended {:?}",
            life.last_end
        );
    }

    /// The last end of the lease of `fence` that was granted up to `at`.
    fn lease_end(&self, fence: Fence, at: Timestamp) -> Option<Timestamp> {
        lease_end(self.all, fence, at)
    }

    /// Code may outlive the entry that says how it ended only when its lease had ended.
    fn ended_when_it_may(&self, event: &Event, fence: Fence, outcome: Outcome) {
        let Some(ran) = self.ran.iter().find(|ran| ran.fence == fence && ran.to > event.at) else { return };
        let gone = matches!(outcome, Outcome::Lost | Outcome::Cancelled);
        let lapsed = self.lease_end(fence, event.at).is_none_or(|end| end <= event.at);
        hold!(gone && lapsed, "a run is closed by its holder, or after its lease", &(event, ran), "it still ran");
    }

    fn what_ran_had_been_started(&self) {
        let invariant = "code runs once for each start on record, and not before it";
        let mut started: BTreeMap<Fence, (RunId, Timestamp)> = BTreeMap::new();
        for event in &self.events {
            if let What::Started { run_id, fence, .. } = &event.what {
                started.insert(*fence, (*run_id, event.at));
            }
        }
        for ran in &self.ran {
            let start = started.remove(&ran.fence);
            let right = start.is_some_and(|(run_id, at)| run_id == ran.run_id && at <= ran.from);
            hold!(right, invariant, &(ran, self.of(ran.run_id)), "its start is {start:?}");
            let in_time = self.lease_end(ran.fence, ran.from).is_none_or(|end| ran.from < end);
            hold!(in_time, "code starts within its lease", ran, "the lease was over");
            let last = self.lease_end(ran.fence, ran.to).filter(|_| self.all.obedient);
            let outlived = last.is_some_and(|end| ran.to > end);
            hold!(!outlived, "code ends before its lease", ran, "the lease ended at {last:?}");
        }
    }
}

fn life(scheduled_at: Timestamp, trigger: &Trigger) -> Life {
    let trigger = trigger.clone();
    Life { scheduled_at, trigger, newest: Fence(0), starts: Vec::new(), last_end: None, over: false }
}

fn fences_grow<'a>(invariant: &str, events: impl Iterator<Item = &'a Event>) {
    let mut last = Fence(0);
    for event in events {
        if let What::Started { fence, .. } = &event.what {
            hold!(*fence > last, invariant, event, "a start under {last} came before");
            last = *fence;
        }
    }
}

fn lease_end(all: &Evidence, fence: Fence, at: Timestamp) -> Option<Timestamp> {
    all.leases.iter().filter(|lease| lease.fence == fence && lease.at <= at).map(|lease| lease.until).max()
}

/// Of two executions at one time, the earlier one's lease had ended: its holder was out of reach.
fn one_at_a_time(invariant: &str, all: &Evidence, ran: &[&Ran]) {
    let mut ran = ran.to_vec();
    ran.sort_by_key(|ran| ran.fence);
    for (index, later) in ran.iter().enumerate() {
        for earlier in ran[..index].iter().filter(|earlier| earlier.to > later.from) {
            hold!(!all.obedient, invariant, &(earlier, later), "both ran at {}", later.from);
            let lapsed = lease_end(all, earlier.fence, later.from).is_none_or(|end| end <= later.from);
            let closed = all.events.iter().any(|(_, event)| {
                let ends = matches!(&event.what, What::Ended { fence, .. } if *fence == earlier.fence);
                ends && event.at <= later.from
            });
            hold!(lapsed && closed, invariant, &(earlier, later), "the earlier one still held its lease");
        }
    }
}

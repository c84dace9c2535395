//! Evidence of a small world in which everything holds, to spoil.

use std::collections::BTreeMap;
use std::sync::Arc;

use cronclave::clock::Timestamp;
use cronclave::job::{Job, JobName, Retry};
use cronclave::lease::{Ended, Fence, Outcome, RunId, Trigger};
use cronclave::ledger::{Entry, Event, Fate, Next, Pass, What};
use cronclave::record::Record;
use cronclave::verify::{Evidence, Granted, Ran};

use super::jobs::every;

/// `06:MM:SS` of the day of the tests.
pub(crate) fn at(minute: u32, second: u32) -> Timestamp {
    format!("2026-11-22T06:{minute:02}:{second:02}Z").parse().unwrap()
}

pub(crate) fn name(text: &str) -> JobName {
    JobName::new(text).unwrap()
}

/// The run of `job` at 06:MM.
pub(crate) fn run(job: &str, minute: u32) -> RunId {
    RunId::of_occurrence(&name(job), at(minute, 0))
}

pub(crate) fn claimed(job: &str, minute: u32, attempt: u32, fence: u64) -> What {
    let (run_id, scheduled_at, trigger) = (run(job, minute), at(minute, 0), Trigger::Schedule);
    What::Claimed { run_id, scheduled_at, trigger, attempt, fence: Fence(fence), holder: "one".into() }
}

pub(crate) fn started(job: &str, minute: u32, attempt: u32, fence: u64) -> What {
    What::Started { run_id: run(job, minute), attempt, fence: Fence(fence), holder: "one".into() }
}

pub(crate) fn ended(job: &str, minute: u32, attempt: u32, fence: u64, ended: Ended, next: Option<Next>) -> What {
    What::Ended { run_id: run(job, minute), attempt, fence: Fence(fence), ended, next }
}

pub(crate) fn passed(from: u32, through: u32, count: u64) -> What {
    What::Passed(Pass { from: at(from, 0), through: at(through, 0), count, fate: Fate::Missed })
}

fn ran(job: &str, minute: u32, fence: u64, from: Timestamp, to: Timestamp) -> Ran {
    let (job, run_id) = (name(job), run(job, minute));
    Ran { job, run_id, fence: Fence(fence), holder: "one".into(), from, to }
}

/// A job of each minute, seen at 06:00: its run of 06:01 succeeds, 06:02 and 06:03 are missed, that of 06:04 waits its
/// turn, fails, and succeeds at its second attempt.
pub(crate) fn good() -> Evidence {
    let queued = What::Queued { run_id: run("tidy", 4), scheduled_at: at(4, 0), trigger: Trigger::Schedule };
    let again = Next { attempt: 2, at: at(4, 15) };
    let events = [
        (at(0, 0), What::Registered),
        (at(1, 0), claimed("tidy", 1, 1, 100)),
        (at(1, 1), started("tidy", 1, 1, 100)),
        (at(1, 5), ended("tidy", 1, 1, 100, Ended::succeeded(), None)),
        (at(3, 30), passed(2, 3, 2)),
        (at(4, 0), queued),
        (at(4, 1), claimed("tidy", 4, 1, 200)),
        (at(4, 2), started("tidy", 4, 1, 200)),
        (at(4, 10), ended("tidy", 4, 1, 200, Ended::because(Outcome::Failed, "exit code 1"), Some(again))),
        (at(4, 20), claimed("tidy", 4, 2, 300)),
        (at(4, 21), started("tidy", 4, 2, 300)),
        (at(4, 30), ended("tidy", 4, 2, 300, Ended::succeeded(), None)),
    ];
    let job = every("tidy", 60).with(|job| job.retry = Retry { attempts: 2, ..Retry::default() });
    let mut record = Record { cursor: Some(at(4, 0)), fence: Fence(300), ..Record::default() };
    record.specs.push_back((job.spec(), at(0, 0)));
    let granted = |fence, from: Timestamp, until| Granted { fence: Fence(fence), at: from, until };
    let event = |(at, what)| Event { at, job: job.name.clone(), what };
    Evidence {
        events: (1..).zip(events.map(event)).collect(),
        ran: vec![
            ran("tidy", 1, 100, at(1, 2), at(1, 4)),
            ran("tidy", 4, 200, at(4, 3), at(4, 9)),
            ran("tidy", 4, 300, at(4, 22), at(4, 29)),
        ],
        leases: vec![
            granted(100, at(1, 1), at(1, 31)),
            granted(200, at(4, 2), at(4, 32)),
            granted(300, at(4, 21), at(4, 51)),
        ],
        jobs: BTreeMap::from([(job.name.clone(), (Arc::new(job), record))]),
        obedient: true,
        unknown: Vec::new(),
    }
}

/// The same beside another job, `pack`, whose only run has fence `fence` and runs from `second` past 06:02 on. One
/// mutex is for both.
pub(crate) fn with_a_mutex(fence: u64, minute: u32, second: u32) -> Evidence {
    let mut all = good();
    let when = |more: u32| at(minute, second + more);
    let events = [
        (at(0, 0), What::Registered),
        (when(0), claimed("pack", 1, 1, fence)),
        (when(0), started("pack", 1, 1, fence)),
        (when(5), ended("pack", 1, 1, fence, Ended::succeeded(), None)),
    ];
    let job = every("pack", 60);
    let mut record = Record { cursor: Some(at(1, 0)), ..Record::default() };
    record.specs.push_back((job.spec(), at(0, 0)));
    all.events.extend(events.map(|(at, what)| (0, Event { at, job: job.name.clone(), what })));
    all.events.sort_by_key(|(_, event)| event.at);
    renumber(&mut all);
    all.ran.push(ran("pack", 1, fence, when(1), when(4)));
    all.leases.push(Granted { fence: Fence(fence), at: when(0), until: when(25) });
    all.jobs.insert(job.name.clone(), (Arc::new(job), record));
    for (job, _) in all.jobs.values_mut() {
        *job = Arc::new(Job { mutex: Some("disk".into()), ..(**job).clone() });
    }
    all
}

/// Positions follow each other again.
pub(crate) fn renumber(all: &mut Evidence) {
    (1..).zip(&mut all.events).for_each(|(position, event)| event.0 = position);
}

/// What happens after event number `place`, at the same time.
pub(crate) fn insert(all: &mut Evidence, place: usize, what: What) {
    let event = Event { what, ..all.events[place].1.clone() };
    all.events.insert(place + 1, (0, event));
    renumber(all);
}

/// The lines of history that the events fold into.
pub(crate) fn lines(all: &Evidence) -> Vec<Entry> {
    let mut lines = BTreeMap::new();
    for (_, event) in &all.events {
        let Some(id) = Entry::id_of(event) else { continue };
        let before = lines.remove(&id);
        lines.extend(Entry::fold(before, event).map(|entry| (id, entry)));
    }
    lines.into_values().collect()
}

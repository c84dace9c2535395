//! What was told of runs, for listeners: the end of a run does not say how it began.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::Told;
use crate::job::QueueName;
use crate::lease::{Fence, RunId};
use crate::ledger::{Event, What};

/// Runs remembered at most; the oldest go first.
const RUNS: usize = 10_000;

/// What is known of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Its instant.
    pub scheduled_at: Option<Timestamp>,
    /// The word for why it exists.
    pub trigger: Option<&'static str>,
    /// The queue of the worker that runs it, if one does.
    pub queue: Option<QueueName>,
    /// The mutex it holds.
    pub lock: Option<String>,
    /// The claim under which it was last started, and when.
    pub started: Option<(Fence, Timestamp)>,
}

impl Run {
    /// How long the attempt under `fence` took when it ended at `at`.
    pub fn duration(&self, fence: Fence, at: Timestamp) -> Option<Duration> {
        self.started.filter(|(started, _)| *started == fence).map(|(_, started)| at.since(started))
    }

    /// How late it was started at `at`.
    pub fn delay(&self, at: Timestamp) -> Option<Duration> {
        self.scheduled_at.map(|scheduled| at.since(scheduled))
    }
}

/// Remembers runs that are not over.
#[derive(Clone, Debug, Default)]
pub struct Recall(BTreeMap<RunId, Run>);

impl Recall {
    /// Takes in what was told; what is known, with it, of the run it is about.
    pub fn take(&mut self, told: &Told) -> Option<Run> {
        match told {
            Told::About(about) => {
                let run = self.run(about.run_id);
                run.scheduled_at = Some(about.scheduled_at);
                run.trigger = Some(about.trigger);
                run.queue = about.queue.clone().or(run.queue.take());
                run.lock = about.lock.clone().or(run.lock.take());
                run.started = about.started.or(run.started);
                Some(run.clone())
            }
            Told::Changed(event) => self.take_event(event),
            _ => None,
        }
    }

    fn take_event(&mut self, event: &Event) -> Option<Run> {
        match &event.what {
            What::Queued { run_id, scheduled_at, trigger } | What::Claimed { run_id, scheduled_at, trigger, .. } => {
                let run = self.run(*run_id);
                (run.scheduled_at, run.trigger) = (Some(*scheduled_at), Some(trigger.kind()));
                Some(run.clone())
            }
            What::Started { run_id, fence, .. } => {
                let run = self.run(*run_id);
                run.started = Some((*fence, event.at));
                Some(run.clone())
            }
            What::Ended { run_id, next: None, .. } => self.0.remove(run_id),
            What::Ended { run_id, .. } | What::Published { run_id, .. } | What::Released { run_id, .. } => {
                self.0.get(run_id).cloned()
            }
            _ => None,
        }
    }

    fn run(&mut self, run_id: RunId) -> &mut Run {
        if self.0.len() >= RUNS && !self.0.contains_key(&run_id) {
            self.0.pop_first();
        }
        self.0.entry(run_id).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobName;
    use crate::lease::{Ended, Trigger};

    fn at(secs: i64, what: What) -> Told {
        Told::Changed(Event { at: Timestamp::from_secs(secs), job: JobName::new("a").unwrap(), what })
    }

    #[test]
    fn the_end_of_a_run_knows_how_it_began_and_is_forgotten_then() {
        let (mut recall, run_id) = (Recall::default(), RunId::from_bytes([7; 16]));
        let scheduled_at = Timestamp::from_secs(10);
        let claimed = What::Claimed {
            run_id,
            scheduled_at,
            trigger: Trigger::Schedule,
            attempt: 1,
            fence: Fence(1),
            holder: String::new(),
        };
        recall.take(&at(11, claimed));
        let begun = recall.take(&at(12, What::Started { run_id, attempt: 1, fence: Fence(1), holder: String::new() }));
        assert_eq!(begun.unwrap().delay(Timestamp::from_secs(12)), Some(Duration::from_secs(2)));
        let over = What::Ended { run_id, attempt: 1, fence: Fence(1), ended: Ended::succeeded(), next: None };
        let run = recall.take(&at(15, over.clone())).unwrap();
        assert_eq!(run.trigger, Some("schedule"));
        assert_eq!(run.duration(Fence(1), Timestamp::from_secs(15)), Some(Duration::from_secs(3)));
        assert_eq!(run.duration(Fence(2), Timestamp::from_secs(15)), None);
        assert_eq!(recall.take(&at(16, over)), None);
    }

    #[test]
    fn no_more_runs_are_remembered_than_there_is_room_for() {
        let mut recall = Recall::default();
        for n in 0..u32::try_from(RUNS).unwrap() + 5 {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            let run_id = RunId::from_bytes(bytes);
            recall.take(&at(0, What::Started { run_id, attempt: 1, fence: Fence(1), holder: String::new() }));
        }
        assert_eq!(recall.0.len(), RUNS);
    }
}

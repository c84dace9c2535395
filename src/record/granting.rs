//! One operation on its way: what all of them may do to a record.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::op::{Key, Reply};
use super::{Held, Mutex, Open, Phase, Record};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Ended, Fence, Outcome, RunId, Trigger};
use crate::ledger::{Event, Fate, Pass, What};

/// One operation on its way: what it may change, and what it did.
pub(super) struct Granting<'a> {
    pub(super) job: &'a JobName,
    pub(super) record: &'a mut Record,
    pub(super) mutex: &'a mut Mutex,
    pub(super) now: Timestamp,
    pub(super) events: Vec<Event>,
}

impl Granting<'_> {
    pub(super) fn tell(&mut self, what: What) {
        self.events.push(Event { at: self.now, job: self.job.clone(), what });
    }

    pub(super) fn refuse_decision(
        &self,
        expect: Timestamp,
        passes: &[Pass],
        last: Timestamp,
        due: Timestamp,
        ahead: Duration,
    ) -> Option<Reply> {
        let Some(cursor) = self.record.cursor else { return Some(Reply::Moved) };
        if last <= cursor {
            return Some(Reply::Stale);
        }
        if due > self.now.plus(ahead) {
            return Some(Reply::Early(due));
        }
        // Only who knew the cursor has seen every occurrence since: none can slip through between.
        let mut edge = expect;
        let orderly = passes.iter().all(|pass| {
            let follows = pass.from > edge && pass.through >= pass.from && pass.count > 0;
            edge = pass.through;
            follows
        });
        (expect != cursor || !orderly).then_some(Reply::Moved)
    }

    pub(super) fn pass(&mut self, passes: &[Pass]) {
        for pass in passes {
            if pass.fate == Fate::Queued {
                let run = waiting(RunId::of_occurrence(self.job, pass.from), pass.from, self.now);
                self.enqueue(run);
            } else {
                self.tell(What::Passed(pass.clone()));
            }
        }
    }

    /// Whether a run with this id was asked for before: no two open runs have one id.
    pub(super) fn was_asked(&self, run_id: RunId) -> bool {
        self.record.asked.contains(&run_id) || self.record.run(run_id).is_some()
    }

    /// Refuses a request that stands for an occurrence itself, while its schedule may still start it, or when a run may
    /// have started since the asker looked.
    pub(super) fn refuse_identity(&self, run: &Open, expect: Option<Fence>) -> Option<Reply> {
        let expect = expect?;
        if run.scheduled_at > self.record.cursor.unwrap_or(self.now) {
            return Some(Reply::Early(run.scheduled_at));
        }
        (expect != self.record.fence).then_some(Reply::Moved)
    }

    pub(super) fn enqueue(&mut self, run: Open) {
        self.tell(What::Queued { run_id: run.run_id, scheduled_at: run.scheduled_at, trigger: run.trigger.clone() });
        self.record.open.push(run);
    }

    /// Where the run with this claim stands, if the claim is its newest.
    pub(super) fn newest(&self, key: &Key) -> Option<usize> {
        self.record.open.iter().position(|run| run.run_id == key.run_id && run.fence == key.fence)
    }

    pub(super) fn close(&mut self, index: usize, ended: Ended) {
        let run = self.record.open.remove(index);
        let succeeded = ended.outcome == Outcome::Succeeded;
        self.free_mutex(run.run_id);
        self.tell(What::Ended { run_id: run.run_id, attempt: run.attempt, fence: run.fence, ended, next: None });
        if succeeded {
            self.record.last_success = self.record.last_success.max(Some(run.scheduled_at));
            self.record.succeeded_at = Some(self.now);
            if let Some(overdue_since) = self.record.overdue.take() {
                self.tell(What::Recovered { overdue_since });
            }
        }
    }

    pub(super) fn hold_mutex_of(&mut self, index: usize) {
        let run = &self.record.open[index];
        if run.mutex.is_some() && self.mutex.keeps_out(run.run_id, self.now).is_none() {
            self.mutex.fence = self.mutex.fence.max(run.fence);
            self.mutex.held = Some(Held {
                job: self.job.clone(),
                run_id: run.run_id,
                fence: run.fence,
                holder: run.holder.clone(),
                until: run.until,
            });
        }
    }

    pub(super) fn free_mutex(&mut self, run_id: RunId) {
        if self.mutex.held.as_ref().is_some_and(|held| held.run_id == run_id) {
            self.mutex.held = None;
        }
    }

    /// Refuses a holder whose time is over, and keeps on record what he tried.
    pub(super) fn fence_off(&mut self, key: &Key, tried: &str, ended: Option<Ended>) -> Reply {
        self.tell(What::Fenced { run_id: key.run_id, fence: key.fence, tried: tried.to_owned(), ended });
        Reply::Fenced
    }
}

/// A run that nobody has claimed yet.
pub(super) fn waiting(run_id: RunId, scheduled_at: Timestamp, opened: Timestamp) -> Open {
    Open {
        run_id,
        scheduled_at,
        trigger: Trigger::Schedule,
        args: BTreeMap::new(),
        opened,
        phase: Phase::Waiting,
        attempt: 1,
        fence: Fence(0),
        token: None,
        holder: String::new(),
        until: opened,
        cancel: false,
        mutex: None,
        started_at: None,
        slow: false,
    }
}

/// A run that somebody asks for.
pub(super) fn requested(
    run_id: RunId,
    at: Option<Timestamp>,
    trigger: &Trigger,
    args: &BTreeMap<String, String>,
    now: Timestamp,
) -> Open {
    Open { trigger: trigger.clone(), args: args.clone(), ..waiting(run_id, at.unwrap_or(now), now) }
}

pub(super) fn remember<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(item);
}

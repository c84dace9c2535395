//! A line of jobs: first come, first served, each in it at most once.

use std::collections::{BTreeSet, VecDeque};

use crate::job::JobName;

#[derive(Default)]
pub(super) struct Line {
    order: VecDeque<JobName>,
    members: BTreeSet<JobName>,
}

impl Line {
    /// Joins at the end; who is in the line already keeps his place.
    pub(super) fn join(&mut self, job: &JobName) {
        if self.members.insert(job.clone()) {
            self.order.push_back(job.clone());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<JobName> {
        let job = self.order.pop_front()?;
        self.members.remove(&job);
        Some(job)
    }
}

//! How each job fared last, as the history and the events after it tell: the same on every replica.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::Told;
use crate::job::JobName;
use crate::ledger::{Entry, Event, State, What};
use crate::recall::Recall;
use crate::store::{Query, Store, StoreError};

/// Events read at once.
const PAGE: usize = 1000;

/// How one job fared.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Fare {
    pub(super) failure: Option<Timestamp>,
    pub(super) start: Option<Timestamp>,
    pub(super) duration: Option<Duration>,
    pub(super) succeeded: Option<bool>,
}

/// How all fared, up to a position of the feed.
#[derive(Debug, Default)]
pub(super) struct Fares {
    pub(super) by_job: BTreeMap<JobName, Fare>,
    recall: Recall,
    position: Option<u64>,
}

/// Ends that are no success. Cancelled and interrupted runs did not fail: somebody stopped them.
const FAILURES: [State; 4] = [State::Failed, State::TimedOut, State::Lost, State::Expired];

/// All ends, failures but the first.
const ENDS: [State; 7] = [
    State::Succeeded,
    State::Failed,
    State::TimedOut,
    State::Lost,
    State::Expired,
    State::Cancelled,
    State::Interrupted,
];

impl Fares {
    /// Reads on. The history is only read when the events do not lead on from what is known.
    pub(super) async fn read(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        loop {
            let Some(position) = self.position else { return self.begin(store).await };
            let events = store.events(position, PAGE).await?;
            if events.first().is_some_and(|(first, _)| *first > position + 1) {
                self.position = None;
                continue;
            }
            for (position, event) in &events {
                self.take(event);
                self.position = Some(*position);
            }
            if events.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn begin(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        // First where events will go on: one that the history has already does no harm.
        let head = store.changed(0).await?.0.saturating_sub(1);
        let newest = async |states: &[State]| {
            store.history(&Query { states: states.to_vec(), newest_of_each: true, ..Query::default() }).await
        };
        let mut all: BTreeMap<JobName, Fare> = BTreeMap::new();
        for entry in newest(&ENDS).await? {
            let fare = all.entry(entry.job.clone()).or_default();
            fare.succeeded = Some(entry.state == State::Succeeded);
            fare.duration = entry.latest().and_then(|last| Some(last.finished_at?.since(last.started_at?)));
        }
        for entry in newest(&FAILURES).await? {
            all.entry(entry.job.clone()).or_default().failure = Some(over(&entry));
        }
        for entry in newest(&[&ENDS[..], &[State::Running, State::Retrying]].concat()).await? {
            let start = entry.attempts.iter().filter_map(|attempt| attempt.started_at).max();
            all.entry(entry.job.clone()).or_default().start = start;
        }
        (self.by_job, self.recall, self.position) = (all, Recall::default(), Some(head));
        Ok(())
    }

    fn take(&mut self, event: &Event) {
        let run = self.recall.take(&Told::Changed(event.clone()));
        match &event.what {
            What::Started { .. } => self.of(&event.job).start = Some(event.at),
            What::Ended { fence, ended, next, .. } => {
                let took = run.and_then(|run| run.duration(*fence, event.at));
                let fare = self.of(&event.job);
                fare.duration = took.or(fare.duration);
                if next.is_some() {
                    return;
                }
                let state = State::from(ended.outcome);
                fare.succeeded = Some(state == State::Succeeded);
                if FAILURES.contains(&state) {
                    fare.failure = Some(event.at);
                }
            }
            _ => {}
        }
    }

    fn of(&mut self, job: &JobName) -> &mut Fare {
        self.by_job.entry(job.clone()).or_default()
    }
}

fn over(entry: &Entry) -> Timestamp {
    entry.latest().and_then(|attempt| attempt.finished_at).unwrap_or(entry.changed_at)
}

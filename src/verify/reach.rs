//! How far back a job's history can be judged.

use std::time::Duration;

use super::judge::{Bound, Limit};
use crate::clock::Timestamp;
use crate::job::Job;
use crate::ledger::Entry;
use crate::record::Record;

const DAY: Duration = Duration::from_secs(86_400);

/// From where on every line of a job's history is there, as far as its limits go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// Lines of runs scheduled after this are all there.
    pub(super) runs: Timestamp,
    /// The same for lines of what was passed over.
    pub(super) passes: Timestamp,
    /// No line that changed at or after this is too old.
    pub(super) age: Timestamp,
}

impl Kept {
    pub(super) fn of(job: &Job, lines: &[Entry], now: Timestamp) -> Kept {
        // A line that ends while it is read may have pushed out another one, so open ones count as well.
        let edge = |passed: bool| {
            let of_class = || lines.iter().filter(|line| line.through.is_some() == passed);
            let mut over: Vec<Timestamp> =
                of_class().filter(|line| line.state.is_final()).map(|line| line.scheduled_at).collect();
            let most = (job.keep.runs as usize).saturating_sub(of_class().count() - over.len());
            over.sort_unstable_by(|a, b| b.cmp(a));
            match over.get(most.saturating_sub(1)) {
                Some(edge) if most > 0 => *edge,
                None if most > 0 => Timestamp::EPOCH,
                _ => now,
            }
        };
        let days = DAY * job.keep.days;
        Kept { runs: edge(false), passes: edge(true), age: now.minus(days) }
    }

    /// From where on no line is missing for its limits.
    fn edge(&self) -> Timestamp {
        self.runs.max(self.passes).max(self.age)
    }

    /// Whether a line is neither too old nor too far back to be there.
    pub(super) fn covers(&self, line: &Entry) -> bool {
        let edge = if line.through.is_some() { self.passes } else { self.runs };
        line.scheduled_at > edge && line.changed_at > self.age
    }
}

/// Where judging a job's occurrences begins: after `edge`; and what keeps it from beginning earlier.
pub(super) struct Reach {
    pub(super) edge: Timestamp,
    /// Since when the job is known with this schedule.
    pub(super) seen: Timestamp,
    pub(super) bound: Bound,
    /// From here on the schedule in force may have been another: what is missing then is not known.
    pub(super) doubtful: Option<Timestamp>,
}

impl Reach {
    /// `None` when the job was never seen with this schedule.
    pub(super) fn of(
        job: &Job,
        record: &Record,
        lines: &[Entry],
        kept: &Kept,
        feed: Timestamp,
        since: Timestamp,
    ) -> Option<Reach> {
        let seen = record.since(job.spec())?;
        let asked = since.minus(Duration::from_micros(1));
        let first = lines.iter().filter(|line| line.count > 0).map(|line| line.scheduled_at).min();
        // Before the first line there may have been others, under smaller limits than today's.
        let begins = first.map_or(Timestamp::EPOCH, |first| first.minus(Duration::from_micros(1)));
        let history = kept.edge().max(begins).min(feed);
        let edge = seen.max(asked).max(history);
        let changed = record.specs.iter().any(|(spec, at)| *spec != job.spec() && *at < seen);
        let limit = match edge {
            _ if edge == asked => Limit::Asked,
            _ if edge == seen && changed => Limit::ScheduleChanged,
            _ if edge == seen => Limit::Registered,
            _ if edge == feed && edge < kept.edge().max(begins) => Limit::EventsBegin,
            _ if edge == begins => Limit::HistoryBegins,
            _ => Limit::Pruned,
        };
        let doubtful = record.specs.iter().filter(|(spec, at)| *spec != job.spec() && *at > seen).map(|(_, at)| *at);
        Some(Reach { edge, seen, bound: Bound { limit, at: edge }, doubtful: doubtful.min() })
    }
}

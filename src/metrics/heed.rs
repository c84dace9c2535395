//! From what is told and measured in this process to its counts.

use super::Inner;
use super::book::Label;
use super::series::Series;
use super::sight::{count, seconds};
use crate::event::{Meter, Told};
use crate::job::{HookName, JobName};
use crate::ledger::{Event, State, What};
use crate::measure::{Claim, Dealt, Follower, Measure, Slot};
use crate::recall::Run;
use crate::replica::Jobs;

impl Meter for Inner {
    fn told(&self, told: &Told) {
        let run = self.recall().take(told);
        match told {
            Told::Changed(event) => self.changed(event, &run.unwrap_or_default()),
            Told::StoreDown(_) => self.book.set(Series::StoreUp, [], 0.0),
            Told::Failing(check, _) => self.book.set(Series::CheckFailing, [check.word().into()], 1.0),
            Told::Mended(check, _) => self.book.set(Series::CheckFailing, [check.word().into()], 0.0),
            Told::StoreRepaired(_) => self.book.count(Series::Repairs, [], 1),
            Told::StoreUp(_) => self.book.set(Series::StoreUp, [], 1.0),
            Told::Reloaded { .. } => {
                self.book.count(Series::Reloads, ["applied".into()], 1);
                self.book.set(Series::LastReload, [], seconds(self.clock.now()));
                self.follow_jobs();
            }
            Told::Delivery { hook, outcome, .. } if knows(&self.jobs.borrow(), hook) => {
                // As many register as like to; who did not take what is listed elsewhere.
                let hook = if hook.starts_with("webhook/") { "webhook" } else { hook.as_str() };
                self.book.count(Series::Hooks, [Label::Text(hook.to_owned()), outcome.word().into()], 1);
            }
            Told::Rejected(_) => self.book.count(Series::Reloads, ["rejected".into()], 1),
            _ => {}
        }
    }

    fn measured(&self, measure: &Measure) {
        let book = &self.book;
        match measure {
            Measure::Claim { outcome, took } => {
                let outcome = match outcome {
                    Claim::Won => "won",
                    Claim::Lost => "lost",
                    Claim::Error => "error",
                };
                book.count(Series::Acquisitions, [outcome.into()], 1);
                book.observe(Series::AcquireDuration, [], *took);
            }
            Measure::Renewal(took) => book.observe(Series::RenewDuration, [], *took),
            Measure::LeaseLost => book.count(Series::LocksLost, [], 1),
            Measure::StartRefused => book.count(Series::Duplicates, [], 1),
            Measure::Skew(secs) => book.set(Series::Skew, [self.reference.into()], *secs),
            Measure::Lag(late) => self.lag.take(*late),
            Measure::Waiting(jobs) => book.set(Series::JobsWaiting, [], count(*jobs)),
            Measure::Stalled(time) => book.count_seconds(Series::Stalled, *time),
            Measure::Delivery { queue, outcome } => {
                let outcome = match outcome {
                    Dealt::Acked => "acked",
                    Dealt::Requeued => "requeued",
                    Dealt::DeadLettered => "dead_lettered",
                    Dealt::Duplicate => "duplicate",
                };
                book.count(Series::Deliveries, [Label::Text(queue.to_string()), outcome.into()], 1);
            }
            Measure::Slot { queue, now } => {
                let (slots, busy) = match now {
                    Slot::Opened => (1.0, 0.0),
                    Slot::Taken => (0.0, 1.0),
                    Slot::Freed => (0.0, -1.0),
                    Slot::Closed => (-1.0, 0.0),
                };
                let queue = Label::Text(queue.to_string());
                book.shift(Series::Slots, [queue.clone()], slots);
                book.shift(Series::SlotsBusy, [queue], busy);
            }
            Measure::Follower(Follower::Came) => book.shift(Series::SseClients, [], 1.0),
            Measure::Follower(Follower::Left) => book.shift(Series::SseClients, [], -1.0),
            Measure::Dropped { sink, count } => book.count(Series::Dropped, [(*sink).into()], *count),
        }
    }
}

/// Whether whoever is told, as in `hook/NAME`, is in the files, or needs not to be.
pub(super) fn knows(jobs: &Jobs, hook: &str) -> bool {
    match hook.split_once('/') {
        Some(("hook", name)) => HookName::new(name).is_some_and(|name| jobs.hooks.contains_key(&name)),
        Some(("ping", job)) => {
            JobName::new(job).is_ok_and(|job| jobs.by_name.get(&job).is_some_and(|job| job.ping.is_some()))
        }
        _ => true,
    }
}

impl Inner {
    fn changed(&self, event: &Event, run: &Run) {
        let (book, job) = (&self.book, Label::from(&event.job));
        if let What::Fenced { .. } = &event.what {
            book.count(Series::Fenced, [], 1);
        }
        if !self.knows(&event.job) {
            // It left the files while a run of it was open.
            return;
        }
        match &event.what {
            What::Started { attempt: 1, .. } => {
                if let Some(late) = run.delay(event.at) {
                    book.observe(Series::StartDelay, [], late);
                }
                if run.trigger == Some("schedule") {
                    book.count(Series::Occurrences, [job, "started".into()], 1);
                }
            }
            What::Declined { fate, .. } => {
                book.count(Series::Occurrences, [job, State::from(*fate).word().into()], 1);
            }
            What::Passed(pass) => {
                let decision = State::from(pass.fate).word();
                book.count(Series::Occurrences, [job, decision.into()], pass.count);
            }
            What::Ended { fence, ended, next, .. } => {
                if let Some(took) = run.duration(*fence, event.at) {
                    book.observe(Series::RunDuration, [job.clone()], took);
                }
                if next.is_some() {
                    return book.count(Series::Retries, [job], 1);
                }
                let trigger = run.trigger.unwrap_or("unknown");
                book.count(Series::Runs, [job, State::from(ended.outcome).word().into(), trigger.into()], 1);
            }
            _ => {}
        }
    }
}

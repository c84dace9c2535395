//! The words that settings accept, each with what it stands for and what to say about it; and those of other tools.

use super::keys::Said;
use crate::job::{Backoff, Completion, Delivery, Format, MisfirePolicy, Overlap, Shape};
use crate::schedule::{GapRule, OverlapRule};

/// A word, what it stands for, and what it does.
pub(super) type Word<T> = (&'static str, T, &'static str);

/// A word of another tool, the one meant here, and who says so.
pub(super) type Borrowed = (&'static str, &'static str, &'static str);

/// The same words for people, without what they stand for.
pub(super) const fn said<T: Copy, const N: usize>(words: &[Word<T>; N]) -> [Said; N] {
    let mut said = [("", ""); N];
    let mut n = 0;
    while n < N {
        said[n] = (words[n].0, words[n].2);
        n += 1;
    }
    said
}

pub(super) const GAP: [Word<GapRule>; 2] = [
    ("shift", GapRule::Shift, "Runs once, at the first instant after the missing hour."),
    ("skip", GapRule::Skip, "Does not run."),
];

pub(super) const REPEATED: [Word<OverlapRule>; 3] = [
    ("first", OverlapRule::First, "Runs the first time only."),
    ("last", OverlapRule::Last, "Runs the second time only."),
    ("both", OverlapRule::Both, "Runs both times."),
];

pub(super) const OVERLAP: [Word<Overlap>; 5] = [
    ("skip", Overlap::Skip, "The new occurrence is recorded as skipped."),
    ("queue_one", Overlap::QueueOne, "One occurrence waits for the end of the run; further ones are skipped."),
    ("queue_all", Overlap::QueueAll, "Every occurrence waits its turn, up to 1000 of them."),
    ("replace", Overlap::Replace, "The open run is cancelled, then the new one starts."),
    ("allow", Overlap::Allow, "The new run starts beside the open one, up to 100 of them."),
];

pub(super) const OVERLAP_ELSEWHERE: [Borrowed; 6] = [
    ("forbid", "skip", "Kubernetes and dkron say"),
    ("buffer_one", "queue_one", "Temporal says"),
    ("buffer_all", "queue_all", "Temporal says"),
    ("cancel_other", "replace", "Temporal says"),
    ("terminate_other", "replace", "Temporal says"),
    ("allow_all", "allow", "Temporal says"),
];

pub(super) const DELIVERY: [Word<Delivery>; 2] = [
    ("at_most_once", Delivery::AtMostOnce, "The run is recorded as lost and not repeated."),
    ("at_least_once", Delivery::AtLeastOnce, "The run is started again elsewhere, as its next attempt."),
];

pub(super) const DELIVERY_ELSEWHERE: [Borrowed; 1] = [("exactly_once", "at_least_once", "nobody can promise")];

pub(super) const MISFIRE: [Word<MisfirePolicy>; 3] = [
    ("run_once", MisfirePolicy::RunOnce, "The newest missed occurrence runs; it stands for the older ones."),
    ("skip", MisfirePolicy::Skip, "None of them runs."),
    ("run_all", MisfirePolicy::RunAll, "Each of them runs, oldest first, one at a time."),
];

pub(super) const MISFIRE_ELSEWHERE: [Borrowed; 5] = [
    ("fire_once_now", "run_once", "Quartz says"),
    ("fire_now", "run_once", "Quartz says"),
    ("do_nothing", "skip", "Quartz says"),
    ("ignore", "run_all", "Quartz says"),
    ("catchup", "run_all", "Airflow says"),
];

/// Where a job is done: `true` by a worker.
pub(super) const PLACE: [Word<bool>; 2] = [
    ("replica", false, "The replica that won the occurrence does it."),
    ("worker", true, "A worker that takes from the job's `queue` does it."),
];

pub(super) const FORMAT: [Word<Format>; 2] = [
    ("plain", Format::Plain, "The payload as it stands."),
    ("cloudevents", Format::CloudEvents, "A CloudEvent in JSON, with the payload as its data."),
];

pub(super) const SHAPE: [Word<Shape>; 3] = [
    ("standard", Shape::Standard, "The event as JSON, with the headers of Standard Webhooks."),
    ("slack", Shape::Slack, "A line of text, as Slack takes it; not signed."),
    ("discord", Shape::Discord, "A line of text, as Discord takes it; not signed."),
];

pub(super) const COMPLETION: [Word<Completion>; 2] = [
    ("confirm", Completion::Confirm, "The run is over once the broker has the message in a queue."),
    ("result", Completion::Result, "The run is over once whoever took the message reports, within `timeout`."),
];

pub(super) const BACKOFF: [Word<Backoff>; 4] = [
    ("none", Backoff::None, "No pause."),
    ("fixed", Backoff::Fixed, "Always `initial`."),
    ("linear", Backoff::Linear, "`initial` longer each time."),
    ("exponential", Backoff::Exponential, "Twice as long each time."),
];

pub(super) const BACKOFF_ELSEWHERE: [Borrowed; 1] = [("constant", "fixed", "others say")];

pub(super) const METHOD: [Word<&str>; 7] = [
    ("GET", "GET", "The default without a body."),
    ("POST", "POST", "The default with a body."),
    ("PUT", "PUT", ""),
    ("PATCH", "PATCH", ""),
    ("DELETE", "DELETE", ""),
    ("HEAD", "HEAD", ""),
    ("OPTIONS", "OPTIONS", ""),
];

pub(super) const WEEKDAY: [Word<u8>; 7] =
    [("SUN", 0, ""), ("MON", 1, ""), ("TUE", 2, ""), ("WED", 3, ""), ("THU", 4, ""), ("FRI", 5, ""), ("SAT", 6, "")];

/// The most similar word, when one is similar enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What is meant is a word, however long it may be what stands there.
    let lower = Some(word.to_lowercase()).filter(|word| word.len() <= 128)?;
    let room = 1 + word.chars().count() / 4;
    let distance = |one: &str| strsim::damerau_levenshtein(&lower, &one.to_lowercase());
    let known: Vec<&str> = known.into_iter().collect();
    let (distance, best) = known.iter().map(|one| (distance(one), *one)).min()?;
    // A word of one or two letters is near to everything.
    if distance <= room && distance < lower.chars().count() {
        return Some(best);
    }
    // Nor is the beginning of a long word near to it, or a word with more after it; but the only one of those is meant.
    let long = |word: &str| word.len() >= 3;
    let begins = |one: &str| long(&lower) && one.starts_with(&lower) || long(one) && lower.starts_with(one);
    let mut begun = known.into_iter().filter(|one| begins(&one.to_lowercase()));
    begun.next().filter(|_| begun.next().is_none())
}

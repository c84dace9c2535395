//! Why a run does not start now, in words; and how one that ended is told as an exit code.

use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::{Ended, Outcome};
use crate::ledger::State;
use crate::occurrence::May;
use crate::record::Reply;
use crate::store::Answer;

/// Who or what is in the way of a run of `job`.
pub(super) fn in_the_way(job: &JobName, answer: &Answer) -> String {
    in_the_way_of(job, &answer.reply, answer.view.now)
}

/// The same of a reply that was given at `now`.
pub(super) fn in_the_way_of(job: &JobName, reply: &Reply, now: Timestamp) -> String {
    match reply {
        Reply::Busy(run) if run.holder.is_empty() => {
            format!("{job} has a run waiting for its turn (run {})", run.run_id.short())
        }
        Reply::Busy(run) => format!(
            "{job} is running on {} since {} (run {}, {} s)",
            run.holder,
            run.opened,
            run.run_id.short(),
            now.since(run.opened).as_secs()
        ),
        Reply::MutexHeld(held) => format!(
            "{job} may not run beside {} (run {} on {}): they share a mutex",
            held.job,
            held.run_id.short(),
            held.holder
        ),
        Reply::Paused(pause) => {
            let until = pause.until.map_or_else(|| "until resumed".to_owned(), |until| format!("until {until}"));
            let by = pause.by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            let reason = pause.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("{job} is paused{by} {until}{reason}: resume it with `cronclave resume {job}`")
        }
        Reply::Full => format!("{job} has as many runs waiting as may"),
        Reply::Stale => format!("{job} was asked for this run before"),
        other => format!("{job} cannot run now: {other:?}"),
    }
}

/// Why an occurrence is not to run under its own identity.
pub(super) fn stands(may: &May) -> String {
    match may {
        May::Run(_) => "it has not run".into(),
        May::Ran(State::Running) => "it is running".into(),
        May::Ran(state) => format!("it ran already: {}", state.word().replace('_', " ")),
        May::Waits(_) => "it waits for its turn already".into(),
        May::Over(state) => format!("its run is over without having started: {}", state.word().replace('_', " ")),
        May::Asked => "it was asked for before".into(),
        May::Undecided => "its schedule has not come to it yet, and will decide about it by itself".into(),
        May::Forgotten => "the history does not reach back to it: whether it ran is not known".into(),
    }
}

/// The exit code of a run that ended so: the job's own where it has one. `signal` is the one that
/// this process was told to stop by, or 0.
pub(super) fn code(ended: &Ended, signal: i32) -> u8 {
    let byte = |code: i32| u8::try_from(code & 0xff).unwrap_or(1);
    match ended.outcome {
        Outcome::Succeeded => 0,
        Outcome::TimedOut => 124,
        Outcome::Interrupted => byte(128 + if signal == 0 { 15 } else { signal }),
        _ => match (ended.exit_code, ended.signal) {
            (Some(0), _) | (None, None) => 1,
            (Some(code), _) => byte(code),
            (None, Some(signal)) => byte(128 + signal),
        },
    }
}

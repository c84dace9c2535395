//! Replies and events, as the scripts give them.

use super::asked::{put_ended, trigger_text};
use super::record::{fence, held, job, pause, run_id, trigger};
use super::{FATES, Garbled, OUTCOMES, Reader, Writer, word};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::Ended;
use crate::ledger::{Event, Next, Pass, What};
use crate::record::{Record, Reply};

/// A reply; runs that it names by their place are those of `record`, as it is after the operation.
pub(in crate::store::redis) fn unpack_reply(bytes: &[u8], record: &Record) -> Result<Reply, Garbled> {
    let from = &mut Reader::new(bytes);
    from.list()?;
    let run = |from: &mut Reader<'_>| {
        let place: usize = from.int()?;
        record.open.get(place.wrapping_sub(1)).cloned().map(Box::new).ok_or(Garbled)
    };
    Ok(match from.int()? {
        1u8 => Reply::Won(run(from)?),
        2 => Reply::Done,
        3 => Reply::Kept { until: from.time()?, cancel: from.flag()? },
        4 => Reply::Fenced,
        5 => Reply::Cancelled,
        6 => Reply::Stale,
        7 => Reply::Early(from.time()?),
        8 => Reply::Moved,
        9 => Reply::Busy(run(from)?),
        10 => Reply::MutexHeld(held(from)?),
        11 => Reply::Paused(pause(from)?),
        12 => Reply::Full,
        13 => Reply::NotFound,
        _ => return Err(Garbled),
    })
}

/// Until when nothing is granted, where that is the reply.
pub(in crate::store::redis) fn held_back(bytes: &[u8]) -> Option<Timestamp> {
    let from = &mut Reader::new(bytes);
    let is_it = from.list().is_ok() && from.int() == Ok(14u8);
    is_it.then(|| from.time().ok()).flatten()
}

/// Events that stand one after another, each behind the name of its job.
pub(in crate::store::redis) fn unpack_events(bytes: &[u8]) -> Result<Vec<Event>, Garbled> {
    let from = &mut Reader::new(bytes);
    let mut events = Vec::new();
    while !from.is_empty() {
        let job = job(from)?;
        events.push(event(job, from)?);
    }
    Ok(events)
}

pub(in crate::store::redis) fn event(job: JobName, from: &mut Reader<'_>) -> Result<Event, Garbled> {
    from.list()?;
    let at = from.time()?;
    let what = match from.int()? {
        1u8 => What::Registered,
        2 => What::Passed(Pass {
            from: from.time()?,
            through: from.time()?,
            count: from.int()?,
            fate: word(&FATES, from)?,
        }),
        3 => What::Queued { run_id: run_id(from)?, scheduled_at: from.time()?, trigger: trigger(from)? },
        4 => What::Claimed {
            run_id: run_id(from)?,
            scheduled_at: from.time()?,
            trigger: trigger(from)?,
            attempt: from.int()?,
            fence: fence(from)?,
            holder: from.text()?,
        },
        5 => What::Published { run_id: run_id(from)?, fence: fence(from)? },
        6 => What::Started { run_id: run_id(from)?, attempt: from.int()?, fence: fence(from)?, holder: from.text()? },
        7 => What::Released { run_id: run_id(from)?, fence: fence(from)? },
        8 => What::Ended {
            run_id: run_id(from)?,
            attempt: from.int()?,
            fence: fence(from)?,
            ended: ended(from)?,
            next: from.maybe(next)?,
        },
        9 => {
            What::Fenced { run_id: run_id(from)?, fence: fence(from)?, tried: from.text()?, ended: from.maybe(ended)? }
        }
        10 => What::CancelAsked { run_id: run_id(from)?, by: from.text()? },
        11 => What::Paused {
            until: from.maybe(Reader::time)?,
            reason: from.maybe(Reader::text)?,
            by: from.maybe(Reader::text)?,
        },
        12 => What::Resumed { catch_up: from.flag()?, by: from.maybe(Reader::text)? },
        13 => What::Declined {
            run_id: run_id(from)?,
            scheduled_at: from.time()?,
            trigger: trigger(from)?,
            fate: word(&FATES, from)?,
        },
        14 => What::Overdue { due: from.time()?, last_success_at: from.maybe(Reader::time)? },
        15 => What::Recovered { overdue_since: from.time()? },
        17 => What::Restored { from: from.maybe(Reader::time)?, through: from.maybe(Reader::time)? },
        16 => What::Slow { run_id: run_id(from)?, attempt: from.int()?, fence: fence(from)?, started_at: from.time()? },
        _ => return Err(Garbled),
    };
    Ok(Event { at, job, what })
}

/// An event, as the scripts would pack it; `None` for those that only they write.
pub(in crate::store::redis) fn put_event(to: &mut Writer, event: &Event) -> Option<()> {
    let mut head = |len: usize, code: i64| {
        to.list(len + 2).time(event.at).int(code);
    };
    match &event.what {
        What::Claimed { run_id, scheduled_at, trigger, attempt, fence, holder } => {
            head(6, 4);
            to.bytes(run_id.as_bytes()).time(*scheduled_at).bytes(trigger_text(trigger));
            to.int(*attempt).count(fence.0).bytes(holder);
        }
        What::Published { run_id, fence } => {
            head(2, 5);
            to.bytes(run_id.as_bytes()).count(fence.0);
        }
        What::Started { run_id, attempt, fence, holder } => {
            head(4, 6);
            to.bytes(run_id.as_bytes()).int(*attempt).count(fence.0).bytes(holder);
        }
        What::Released { run_id, fence } => {
            head(2, 7);
            to.bytes(run_id.as_bytes()).count(fence.0);
        }
        What::Ended { run_id, attempt, fence, ended, next } => {
            head(5, 8);
            to.bytes(run_id.as_bytes()).int(*attempt).count(fence.0);
            put_ended(to, ended);
            to.maybe(*next, |to, next| {
                to.list(2).int(next.attempt).time(next.at);
            });
        }
        What::Recovered { overdue_since } => {
            head(1, 15);
            to.time(*overdue_since);
        }
        _ => return None,
    }
    Some(())
}

fn ended(from: &mut Reader<'_>) -> Result<Ended, Garbled> {
    from.list()?;
    Ok(Ended {
        outcome: word(&OUTCOMES, from)?,
        exit_code: from.maybe(Reader::int)?,
        signal: from.maybe(Reader::int)?,
        message: from.maybe(Reader::text)?,
    })
}

fn next(from: &mut Reader<'_>) -> Result<Next, Garbled> {
    from.list()?;
    Ok(Next { attempt: from.int()?, at: from.time()? })
}

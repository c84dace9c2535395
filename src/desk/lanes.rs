//! A span of time as a picture: of each job what ran when, what was passed over, what is to come, and what keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::jobs::{AT_ONCE, RECENT};
use super::load::{self, Load};
use super::occurrences::{PassedOver, starts};
use super::refusal::Refusal;
use super::{Choice, Desk, Detail, Slice};
use crate::clock::Timestamp;
use crate::job::{Job, JobName};
use crate::ledger::{Entry, State};
use crate::shape::{self, Cell, Health, Planned, Start};
use crate::store::Query;

/// Lines of history of one job that are drawn at most.
const LINES: usize = 2000;

/// Occurrences to come that are looked for: in all, and of one job at least and at most.
const TO_COME: usize = 120_000;
const FEWEST: usize = 600;
const MOST: usize = 6000;

/// What is drawn on each side of now, in all: more becomes bars that count.
const ROOM: usize = 3000;

/// Nothing that began earlier than this before a span is looked for in it.
const LONGEST: Duration = Duration::from_secs(86_400);

/// A span of time around an instant, or around now.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Its middle.
    pub at: Option<Timestamp>,
    /// How far it goes to each side.
    pub far: Duration,
}

/// A span of time, job by job.
#[derive(Debug)]
pub struct Lanes {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// What the store's clock read.
    pub now: Timestamp,
    /// Some of the jobs that were asked for, by name.
    pub tracks: Vec<Track>,
    /// How many there are.
    pub total: usize,
    /// What all of them ask for.
    pub load: Load,
    /// The store is away, and this is what was known then.
    pub stale_since: Option<Timestamp>,
}

/// One job within a span.
#[derive(Debug)]
pub struct Track {
    /// Which.
    pub job: shape::Job,
    /// Each attempt of a run.
    pub bars: Vec<Bar>,
    /// What was passed over, and runs that were never begun.
    pub marks: Vec<Mark>,
    /// What is to come.
    pub to_come: Vec<ToCome>,
    /// Times that do not exist because clocks go forward, and that nothing runs for.
    pub left_out: Vec<Planned>,
    /// When it is kept from running.
    pub closed: Vec<Closed>,
    /// How long each of the buckets is that follow.
    pub bucket: Duration,
    /// What was, counted, where it is too much to be drawn one by one.
    pub past: Vec<Cell>,
    /// What is to come, counted likewise.
    pub coming: Vec<Cell>,
    /// Earlier lines of history were not looked at.
    pub known_from: Option<Timestamp>,
    /// Later occurrences were not looked for.
    pub known_until: Option<Timestamp>,
    /// How long a run usually takes.
    pub usual: Option<Duration>,
}

/// One attempt of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// The run.
    pub run: String,
    /// The instant that it stands for.
    pub scheduled_at: Timestamp,
    /// Where it stands, or how it ended.
    pub state: State,
    /// When it was started.
    pub from: Timestamp,
    /// When it ended; now, if it has not.
    pub until: Timestamp,
    /// Its number.
    pub attempt: u32,
    /// Where the run stands, if this is the attempt that says so.
    pub of_run: Option<State>,
}

/// Occurrences that were passed over, or a run that was never begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The run, if it is one.
    pub run: Option<String>,
    /// Its instant, or the first.
    pub at: Timestamp,
    /// The last.
    pub through: Timestamp,
    /// How many.
    pub count: u64,
    /// What became of it.
    pub state: State,
    /// Why, in words.
    pub message: Option<String>,
}

/// An occurrence to come.
#[derive(Debug, Clone, PartialEq)]
pub struct ToCome {
    /// Itself.
    pub planned: Planned,
    /// The next one comes before a run as long as usual is over.
    pub meets_next: bool,
}

/// A span in which a job is kept from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// By what.
    pub why: Shut,
}

/// What keeps a job from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shut {
    /// A calendar of this name.
    Calendar(String),
    /// Somebody paused it.
    Paused,
}

impl Desk {
    /// What happened and will happen around an instant: the jobs of a choice, from the `first` on and so many of them.
    ///
    /// # Errors
    /// No job has such a tag, or the store does not answer.
    pub async fn lanes(&self, choice: &Choice, reach: Reach, first: usize, most: usize) -> Result<Lanes, Refusal> {
        let all = self.jobs(&Choice { detail: Detail::Brief, ..choice.clone() }, &Slice::first(usize::MAX)).await?;
        let (now, total) = (all.now, all.items.len());
        let span = span(reach, now);
        let mut usual: BTreeMap<JobName, Duration> =
            all.items.iter().filter_map(|job| Some((job.name.clone(), last_took(job)?))).collect();
        let idle: Vec<JobName> = all.items.iter().filter(|job| !is_started(job)).map(|job| job.name.clone()).collect();
        let mut shown: Vec<shape::Job> = all.items.into_iter().skip(first).take(most).collect();
        self.add_recent(&mut shown).await?;
        for job in &shown {
            let p50 = job.stats.as_ref().and_then(|stats| stats.p50_seconds).map(Duration::from_secs_f64);
            usual.extend(p50.map(|p50| (job.name.clone(), p50)));
        }
        let known = self.known();
        let count = shown.len().max(1);
        let shown = shown.into_iter().filter_map(|job| Some((known.by_name.get(&job.name)?.clone(), job)));
        let tracks = shown.map(async |(job, shape)| {
            let lines = self.history_of(&job, span).await?;
            Ok::<_, Refusal>(track(&job, shape, &lines, span, (count, now)))
        });
        let tracks: Vec<Track> = stream::iter(tracks).buffered(AT_ONCE).try_collect().await?;
        let chosen = known.by_name.values().filter(|job| choice.takes(job) && !idle.contains(&job.name));
        let asked: Vec<(&Arc<Job>, Option<Duration>)> =
            chosen.map(|job| (job, usual.get(&job.name).copied())).collect();
        let load = load::load(&asked, span.0, span.1, now);
        Ok(Lanes { from: span.0, until: span.1, now, tracks, total, load, stale_since: all.stale_since })
    }

    /// One of them.
    ///
    /// # Errors
    /// There is no such job, or the store does not answer.
    pub async fn lane(&self, name: &str, reach: Reach) -> Result<Lanes, Refusal> {
        let choice = Choice { names: vec![name.to_owned()], ..Choice::default() };
        self.lanes(&choice, reach, 0, 1).await
    }

    /// The lines of a job that can matter within a span, newest first.
    async fn history_of(&self, job: &Job, (from, until): (Timestamp, Timestamp)) -> Result<Arc<Vec<Entry>>, Refusal> {
        // A run that began before may still go on.
        let since = from.minus(job.timeout.clamp(Duration::from_secs(3600), LONGEST));
        let recent = self.recent(&job.name).unwrap_or_default();
        if recent.len() < RECENT || recent.last().is_some_and(|oldest| oldest.scheduled_at < since) {
            return Ok(recent);
        }
        let query = Query {
            job: Some(job.name.clone()),
            since: Some(since),
            until: Some(until),
            limit: LINES,
            ..Query::default()
        };
        Ok(Arc::new(self.lines(&query).await?.entries))
    }
}

/// The span that is meant; its edges move in steps, so that a picture of now stays the same for a while.
fn span(reach: Reach, now: Timestamp) -> (Timestamp, Timestamp) {
    let step = i64::try_from(reach.far.as_secs() / 720).unwrap_or(1).max(1);
    let middle = reach.at.unwrap_or(now);
    let middle = Timestamp::from_secs(middle.as_secs().div_euclid(step) * step);
    (middle.minus(reach.far), middle.plus(reach.far))
}

fn is_started(job: &shape::Job) -> bool {
    !matches!(job.health, Health::Paused | Health::Disabled)
}

fn last_took(job: &shape::Job) -> Option<Duration> {
    let run = job.last_run.as_ref().filter(|run| run.state == State::Succeeded)?;
    run.duration_seconds.map(Duration::from_secs_f64)
}

/// One job within a span: of `count` lanes in all, as things stand `now`.
pub fn track(
    job: &Job,
    shape: shape::Job,
    lines: &[Entry],
    (from, until): (Timestamp, Timestamp),
    (count, now): (usize, Timestamp),
) -> Track {
    let usual = shape.stats.as_ref().and_then(|stats| stats.p50_seconds).map(Duration::from_secs_f64);
    let room = (ROOM / count.max(1)).clamp(24, 120);
    let bucket = bucket(until.since(from), room);
    let mut track = Track {
        bars: bars(lines, now),
        marks: lines.iter().filter_map(mark).collect(),
        to_come: Vec::new(),
        left_out: left_out(job, from, until),
        closed: closed(job, from, until),
        bucket,
        past: Vec::new(),
        coming: Vec::new(),
        known_from: lines.last().filter(|_| lines.len() == LINES).map(|line| line.scheduled_at),
        known_until: None,
        usual,
        job: shape,
    };
    track.bars.retain(|bar| bar.from < until && bar.until >= from);
    track.marks.retain(|mark| mark.at < until && mark.through >= from);
    let pause = track.job.paused.as_ref().map(|pause| (pause.since.max(from), pause.until.unwrap_or(until).min(until)));
    track.closed.extend(pause.filter(|(from, until)| from < until).map(|(from, until)| Closed {
        from,
        until,
        why: Shut::Paused,
    }));
    if job.enabled && until > now {
        let most = (TO_COME / count.max(1)).clamp(FEWEST, MOST);
        let resumed = track.job.paused.as_ref().map_or(now, |pause| pause.until.unwrap_or(Timestamp::FAR));
        let edge = from.minus(Duration::from_micros(1)).max(now).max(resumed.minus(Duration::from_micros(1)));
        let starts = starts(job, edge, Some(until), most, PassedOver::Shown);
        let open = starts.iter().filter(|start| start.closed.is_none()).count();
        track.known_until = starts.last().filter(|_| open == most).map(|last| last.slot.at);
        track.to_come = to_come(job, &starts, usual);
    }
    thin(&mut track, room);
    track
}

/// Counts what is too much to be drawn one by one.
fn thin(track: &mut Track, room: usize) {
    let bucket = i64::try_from(track.bucket.as_secs()).unwrap_or(i64::MAX).max(1);
    let begin = |at: Timestamp| Timestamp::from_secs(at.as_secs().div_euclid(bucket) * bucket);
    if track.bars.len() + track.marks.len() > room {
        let mut cells = BTreeMap::new();
        let mut count = |at: Timestamp, state: State, times: u64| {
            let at = begin(at);
            cells.entry(at).or_insert_with(|| Cell { at, ..Cell::default() }).count(state, times);
        };
        // A run counts once, however often it was tried.
        track.bars.iter().for_each(|bar| _ = bar.of_run.map(|state| count(bar.from, state, 1)));
        track.marks.iter().for_each(|mark| count(mark.at, mark.state, mark.count));
        track.past = cells.into_values().collect();
        // What goes on is to be seen.
        track.bars.retain(|bar| !bar.state.is_final());
        track.marks.clear();
    }
    if track.to_come.len() > room {
        let mut cells = BTreeMap::new();
        for one in &track.to_come {
            let at = begin(one.planned.at);
            let cell = cells.entry(at).or_insert_with(|| Cell { at, ..Cell::default() });
            *(if one.planned.skipped.is_some() { &mut cell.skipped } else { &mut cell.planned }) += 1;
        }
        track.coming = cells.into_values().collect();
        // That a change of clocks touches some is to be seen, once in each bucket.
        let mut last = None;
        track.to_come.retain(|one| {
            one.planned.dst.is_some() && last.replace(begin(one.planned.at)) != Some(begin(one.planned.at))
        });
    }
}

/// How long a bucket is, so that about `room` of them fill half of a span.
fn bucket(span: Duration, room: usize) -> Duration {
    const LENGTHS: [u64; 15] = [1, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200];
    let least = span.as_secs() / (2 * room.min(48) as u64);
    Duration::from_secs(LENGTHS.into_iter().find(|length| *length >= least).unwrap_or(86_400))
}

/// Each attempt that was started.
fn bars(lines: &[Entry], now: Timestamp) -> Vec<Bar> {
    let of = |line: &Entry| {
        let last = line.latest().map(|attempt| attempt.fence);
        let bar = |attempt: &crate::ledger::Attempt| {
            let ended = attempt.ended.as_ref().map(|ended| State::from(ended.outcome));
            let of_run = (Some(attempt.fence) == last).then_some(line.state);
            let stands = of_run.filter(|state| *state != State::Retrying);
            let from = attempt.started_at?;
            let until = attempt.finished_at.unwrap_or(if line.state.is_final() { line.changed_at } else { now });
            let state = stands.or(ended).unwrap_or(State::Lost);
            let (run, scheduled_at) = (line.id.clone(), line.scheduled_at);
            Some(Bar { run, scheduled_at, state, from, until: until.max(from), attempt: attempt.attempt, of_run })
        };
        line.attempts.iter().filter_map(bar).collect::<Vec<_>>()
    };
    lines.iter().rev().flat_map(of).collect()
}

/// What has no bar.
fn mark(line: &Entry) -> Option<Mark> {
    let is_begun = line.attempts.iter().any(|attempt| attempt.started_at.is_some());
    (!is_begun).then(|| Mark {
        run: line.state.is_run().then(|| line.id.clone()),
        at: line.scheduled_at,
        through: line.through.unwrap_or(line.scheduled_at),
        count: line.count.max(1),
        state: line.state,
        message: line.message.clone(),
    })
}

fn to_come(job: &Job, starts: &[Start], usual: Option<Duration>) -> Vec<ToCome> {
    let zone = job.schedule.zone();
    let open: Vec<Timestamp> = starts.iter().filter(|start| start.closed.is_none()).map(|start| start.due).collect();
    let mut next = open.iter().skip(1);
    let of = |start: &Start| {
        let next = if start.closed.is_none() { next.next() } else { None };
        let meets_next = usual.zip(next).is_some_and(|(usual, next)| start.due.plus(usual) > *next);
        ToCome { planned: start.shape(zone), meets_next }
    };
    starts.iter().map(of).collect()
}

fn left_out(job: &Job, from: Timestamp, until: Timestamp) -> Vec<Planned> {
    let zone = job.schedule.zone();
    let slots = job.schedule.left_out(from, until).into_iter();
    slots.filter(|slot| slot.at >= from).map(|slot| Start { due: slot.at, closed: None, slot }.shape(zone)).collect()
}

/// The days that calendars close, neighbours as one.
fn closed(job: &Job, from: Timestamp, until: Timestamp) -> Vec<Closed> {
    let zone = job.schedule.zone();
    let mut all: Vec<Closed> = Vec::new();
    if job.skip_on.is_empty() && job.only_on.is_empty() {
        return all;
    }
    let mut at = from;
    while at < until {
        let tomorrow = zone.wall(at).date().succ_opt().and_then(|day| zone.first(day.and_time(chrono::NaiveTime::MIN)));
        let end = tomorrow.filter(|next| *next > at).unwrap_or(until).min(until);
        if let Some(calendar) = job.closed(at) {
            let why = Shut::Calendar(calendar.to_owned());
            match all.last_mut().filter(|last| last.until == at && last.why == why) {
                Some(last) => last.until = end,
                None => all.push(Closed { from: at, until: end, why }),
            }
        }
        at = end;
    }
    all
}

//! Judges what a living cluster still has on record, job by job, and says how far that reaches.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::Leases;
use super::occurrences::{Row, Walk, missed};
use super::reach::{Kept, Reach};
use super::{Case, Finding, Invariant, Reading, claims, lines, standing};
use crate::clock::Timestamp;
use crate::job::{Job, JobName};
use crate::lease::{RunId, Trigger};
use crate::ledger::{Entry, Event, State, What};
use crate::plan::View;
use crate::record::{Bid, Record};

/// Why a job is not judged further back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Nobody asked for more.
    Asked,
    /// The job was first seen then: its occurrences count from there.
    Registered,
    /// It had another schedule before.
    ScheduleChanged,
    /// Older lines were dropped, or may have been: `keep` limits them.
    Pruned,
    /// The history begins there. What came before was dropped under smaller limits, or is gone.
    HistoryBegins,
    /// Lines were dropped, and the events that make up for them reach back to there.
    EventsBegin,
}

/// How far back a job is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Why not further.
    pub limit: Limit,
    /// Occurrences after this are judged.
    pub at: Timestamp,
}

/// Numbers of one job, or of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Occurrences judged.
    pub occurrences: u64,
    /// Runs that somebody asked for, besides.
    pub asked: u64,
    /// Starts beyond those that delivery and retry policies allow.
    pub double_starts: u64,
    /// Occurrences without an entry.
    pub silent_misses: u64,
    /// Occurrences of which it is on record, or follows from it, that nothing is known.
    pub unknown: u64,
    /// Occurrences by what became of them.
    pub states: BTreeMap<State, u64>,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.occurrences += other.occurrences;
        self.asked += other.asked;
        self.double_starts += other.double_starts;
        self.silent_misses += other.silent_misses;
        self.unknown += other.unknown;
        for (state, count) in &other.states {
            *self.states.entry(*state).or_default() += count;
        }
    }
}

/// What was judged of one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobReport {
    /// Whose.
    pub job: JobName,
    /// From where on; absent when nothing could be judged.
    pub judged_after: Option<Bound>,
    /// Up to there.
    pub judged_up_to: Timestamp,
    /// Who acted on its runs is judged after this: the events reach back no further. Absent: to the first.
    pub events_after: Option<Timestamp>,
    /// How many of what.
    #[serde(flatten)]
    pub counts: Counts,
    /// What could not be judged, and why, in sentences.
    pub not_judged: Vec<String>,
}

/// What was judged, and what was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whether nothing was found.
    pub holds: bool,
    /// When the records were read, by the store's clock.
    pub now: Timestamp,
    /// Occurrences at this or later were asked for.
    pub since: Timestamp,
    /// And before this.
    pub until: Timestamp,
    /// Over all jobs.
    pub counts: Counts,
    /// What does not hold, the gravest first.
    pub findings: Vec<Finding>,
    /// Job by job.
    pub jobs: Vec<JobReport>,
}

/// Judges one job after the other.
pub struct Judge {
    reading: Reading,
    since: Timestamp,
    until: Timestamp,
    unknown: Vec<(JobName, Timestamp, Timestamp)>,
    findings: Vec<Finding>,
    jobs: Vec<JobReport>,
}

impl Judge {
    /// Of occurrences at `since` and later, and before `until`, by default all that are due.
    pub fn new(reading: Reading, since: Timestamp, until: Option<Timestamp>) -> Judge {
        let until = until.unwrap_or(Timestamp::FAR);
        Judge { reading, since, until, unknown: Vec::new(), findings: Vec::new(), jobs: Vec::new() }
    }

    /// Of these jobs what became of the occurrences after one instant and up to another is known to be unknown. As in
    /// [`super::Evidence::unknown`].
    #[must_use]
    pub fn knowing_unknown(mut self, spans: Vec<(JobName, Timestamp, Timestamp)>) -> Judge {
        self.unknown.extend(spans);
        self
    }

    /// What it judges.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// A job that is in the store, and that no schedule file names.
    pub fn without_file(&mut self, job: &JobName) {
        self.nothing(job, "no schedule file that was given names it".into());
    }

    fn nothing(&mut self, job: &JobName, why: String) {
        self.jobs.push(JobReport {
            job: job.clone(),
            judged_after: None,
            judged_up_to: self.since,
            events_after: None,
            counts: Counts::default(),
            not_judged: vec![why],
        });
    }

    /// Judges a job by the lines of its history, which were read after everything else.
    pub fn job(&mut self, job: &Job, record: Option<&Record>, lines: &[Entry]) {
        let name = &job.name;
        let Some(record) = record else { return self.nothing(name, "no replica has seen it yet".into()) };
        let now = self.reading.snapshot.now;
        // What came after the records were read is left out.
        let events: Vec<&Event> = self.reading.events.get(name).into_iter().flatten().map(|(_, event)| event).collect();
        let events: Vec<&Event> = events.into_iter().filter(|event| event.at <= now).collect();
        let spans = events.iter().filter_map(|event| restored(name, event));
        self.unknown.extend(spans.collect::<Vec<_>>());
        let mut found = Vec::new();
        self.by_events(job, record, &events, &mut found);
        let kept = Kept::of(job, lines, now);
        let lost = lost_lines(job, lines, &events, &kept, &mut found);
        let inside = |at: Timestamp| self.since <= at && at < self.until;
        let in_window: Vec<&Entry> = lines.iter().filter(|line| inside(line.scheduled_at)).collect();
        lines::starts(job, &in_window, &mut found);
        let restored =
            events.iter().filter(|event| matches!(event.what, What::Restored { .. })).map(|event| event.at).max();
        self.open_runs(job, record, lines, (&kept, restored), &mut found);
        let feed = self.reading.feed;
        let mut report = JobReport {
            job: name.clone(),
            judged_after: None,
            judged_up_to: now.min(self.until),
            events_after: (feed > Timestamp::EPOCH).then_some(feed),
            counts: Counts::default(),
            not_judged: Vec::new(),
        };
        report.counts.asked = in_window.iter().filter(|line| line.trigger != Trigger::Schedule).count() as u64;
        match Reach::of(job, record, lines, &kept, feed, self.since) {
            None => report.not_judged.push("no replica has seen it with the schedule of its file yet".into()),
            Some(reach) => {
                let entries =
                    lines.iter().chain(&lost).filter(|line| line.count > 0 && line.trigger == Trigger::Schedule);
                self.occurrences(job, record, entries.collect(), &reach, &mut report, &mut found);
            }
        }
        told_once(&mut found);
        let of = |invariant| found.iter().filter(move |one: &&Finding| one.invariant == invariant).map(|one| one.count);
        report.counts.double_starts = of(Invariant::StartsOnce).sum();
        report.counts.silent_misses = of(Invariant::NothingMissed).sum();
        self.findings.append(&mut found);
        self.jobs.push(report);
    }

    fn by_events(&self, job: &Job, record: &Record, events: &[&Event], found: &mut Vec<Finding>) {
        let leases = Leases::of(&[]);
        let events = events.to_vec();
        let case = Case { job, record, events, ran: Vec::new(), leases: &leases, obedient: false, whole: false };
        let before = found.len();
        claims::time_goes_on(&case, found);
        claims::only_the_newest_acts(&case, found);
        let inside = |at: Timestamp| self.since <= at && at < self.until;
        let tail = found.split_off(before);
        found.extend(tail.into_iter().filter(|one| one.at.is_none_or(inside)));
    }

    /// The open runs of the record and the lines that are not over are the same.
    fn open_runs(
        &self,
        job: &Job,
        record: &Record,
        lines: &[Entry],
        (kept, restored): (&Kept, Option<Timestamp>),
        found: &mut Vec<Finding>,
    ) {
        let now = self.reading.snapshot.now;
        // Of a run that was open when the store lost writes, how it ended may be among them.
        let is_known = |changed_at: Timestamp| restored.is_none_or(|at| changed_at > at);
        // What changed since the records were read may stand otherwise by now.
        for line in
            lines.iter().filter(|line| !line.state.is_final() && line.changed_at < now && is_known(line.changed_at))
        {
            let Ok(run_id) = line.id.parse::<RunId>() else { continue };
            if record.run(run_id).is_none() {
                let detail = format!("its line says `{}`, and the record does not hold it", line.state.word());
                let finding = Finding::new(Invariant::NoRunForgotten, &job.name, detail);
                found.push(finding.of(run_id).on(line.scheduled_at).when(line.changed_at));
            }
        }
        let known: HashSet<&str> = lines.iter().map(|line| line.id.as_str()).collect();
        for run in
            record.open.iter().filter(|run| run.scheduled_at > kept.runs && run.opened <= now && is_known(run.opened))
        {
            if !known.contains(run.run_id.to_string().as_str()) {
                let finding = Finding::new(
                    Invariant::HistoryKeepsWhatHappened,
                    &job.name,
                    "the record holds it as open, and the history has no line of it",
                );
                found.push(finding.of(run.run_id).on(run.scheduled_at).when(run.opened));
            }
        }
    }

    fn occurrences(
        &self,
        job: &Job,
        record: &Record,
        mut entries: Vec<&Entry>,
        reach: &Reach,
        report: &mut JobReport,
        found: &mut Vec<Finding>,
    ) {
        let (name, now) = (&job.name, self.reading.snapshot.now);
        report.judged_after = Some(reach.bound);
        entries.sort_by(|a, b| (a.scheduled_at, &a.id).cmp(&(b.scheduled_at, &b.id)));
        let cursor = record.cursor.unwrap_or(Timestamp::EPOCH);
        let through = |entry: &Entry| entry.through.unwrap_or(entry.scheduled_at);
        let decided = |entry: &&&Entry| entry.attempts.first().map_or(entry.changed_at, |first| first.claimed_at) < now;
        let beyond: Vec<&&Entry> = entries.iter().filter(|entry| through(entry) > cursor).filter(decided).collect();
        let mut end = cursor;
        if let (Some(first), Some(last)) = (beyond.first(), beyond.last()) {
            end = through(last);
            let detail = format!("it stands at {cursor}, and the history has entries up to {end}: it went back");
            let finding = Finding::new(Invariant::CursorMovesOn, name, detail).on(first.scheduled_at);
            found.push(finding.times(beyond.len() as u64));
        }
        let changes = record.specs.len() > 1;
        let mut walk = Walk::after(job, reach.edge);
        let mut foreign = 0;
        let mut last: Option<&Entry> = None;
        for entry in entries.into_iter().filter(|entry| entry.scheduled_at <= end && entry.scheduled_at < self.until) {
            let (from, to) = (entry.scheduled_at, through(entry));
            if let Some(before) = last.filter(|before| from <= through(before)) {
                if from > reach.edge {
                    let detail = format!(
                        "{from} has the entry {} ({}), and {} ({}) stands for it as well",
                        entry.id,
                        entry.state.word(),
                        before.id,
                        before.state.word()
                    );
                    found.push(Finding::new(Invariant::DecidedOnce, name, detail).on(from).when(entry.changed_at));
                }
                continue;
            }
            last = Some(entry);
            if from <= reach.edge {
                // Where judging begins in the midst of it, it is not counted.
                if to > reach.edge {
                    walk = Walk::after(job, to);
                }
                continue;
            }
            let step = walk.over(from, to);
            let is_own = step.fits && step.counted == entry.count;
            if let Some(row) = step.missing {
                self.without_entry(name, row, reach, changes && !is_own, report, found);
            }
            if is_own {
                report.counts.occurrences += entry.count;
                *report.counts.states.entry(entry.state).or_default() += entry.count;
            } else if changes {
                foreign += entry.count;
            } else {
                let detail =
                    format!("it stands for {} up to {to}, where the schedule has {}", entry.count, step.counted);
                let finding = Finding::new(Invariant::StandsForItsOccurrences, name, detail);
                found.push(finding.on(from).when(entry.changed_at));
            }
            let ahead = if entry.attempts.is_empty() { Duration::ZERO } else { Bid::AHEAD };
            if to > entry.changed_at.plus(ahead) {
                let detail = format!("it was decided at {}, before the instant {to}", entry.changed_at);
                found.push(Finding::new(Invariant::NeverEarly, name, detail).on(to).when(entry.changed_at));
            }
        }
        let rest = Timestamp::from_micros(end.as_micros() + 1).min(self.until);
        if let Some(row) = walk.up_to(rest) {
            self.without_entry(name, row, reach, false, report, found);
        }
        if foreign > 0 {
            let text = format!("{foreign} occurrences are of another schedule that replicas ran while files changed");
            report.not_judged.push(text);
        }
        let view = View {
            now,
            record: record.clone(),
            mutex: job
                .mutex
                .as_ref()
                .and_then(|name| self.reading.snapshot.mutexes.get(name))
                .cloned()
                .unwrap_or_default(),
        };
        if self.until > now && reach.doubtful.is_none() {
            standing::standing(job, &view, end.max(reach.seen), found);
        }
    }

    /// Occurrences without an entry: missed in silence, unless something explains them.
    fn without_entry(
        &self,
        job: &JobName,
        row: Row,
        reach: &Reach,
        of_other: bool,
        report: &mut JobReport,
        found: &mut Vec<Finding>,
    ) {
        report.counts.occurrences += row.count;
        let span = |row: Row| match row.count {
            1 => row.first.to_string(),
            more => format!("{more} from {} to {}", row.first, row.last),
        };
        let lost = self.unknown.iter().find(|(of, from, to)| of == job && *from < row.first && row.last <= *to);
        let why = match reach.doubtful {
            _ if lost.is_some() => "the store lost writes and was given them back",
            _ if of_other => "a replica with another schedule decided past it while files changed",
            Some(at) if row.last > at => {
                "the job had another schedule for some time, and when that ended is not on record"
            }
            _ => return found.push(missed(job, row)),
        };
        report.counts.unknown += row.count;
        report.not_judged.push(format!("unknown: {}: {why}", span(row)));
    }

    /// All that was judged.
    pub fn end(self) -> Report {
        let mut counts = Counts::default();
        self.jobs.iter().for_each(|job| counts.add(&job.counts));
        let mut findings = self.findings;
        findings.sort_by(|a, b| {
            let key = |one: &Finding| (one.severity, one.invariant, one.job.clone(), one.occurrence, one.at);
            key(a).cmp(&key(b))
        });
        let now = self.reading.snapshot.now;
        let until = self.until.min(now);
        Report { holds: findings.is_empty(), now, since: self.since, until, counts, findings, jobs: self.jobs }
    }
}

/// The occurrences of which the store says that it may not know what became of them.
fn restored(job: &JobName, event: &Event) -> Option<(JobName, Timestamp, Timestamp)> {
    match event.what {
        What::Restored { from, through } => {
            Some((job.clone(), from.unwrap_or(Timestamp::EPOCH), through.unwrap_or(Timestamp::FAR)))
        }
        _ => None,
    }
}

/// Lines that the events tell of and that the history should have, and has not.
fn lost_lines(job: &Job, lines: &[Entry], events: &[&Event], kept: &Kept, found: &mut Vec<Finding>) -> Vec<Entry> {
    let known: HashSet<&str> = lines.iter().map(|line| line.id.as_str()).collect();
    let mut folded: BTreeMap<String, Entry> = BTreeMap::new();
    for event in events {
        let Some(id) = Entry::id_of(event).filter(|id| !known.contains(id.as_str())) else { continue };
        let before = folded.remove(&id);
        folded.extend(Entry::fold(before, event).map(|entry| (id, entry)));
    }
    for line in folded.values() {
        if kept.covers(line) {
            let detail = format!("by the events it is `{}`, and the history has no line of it", line.state.word());
            let mut finding = Finding::new(Invariant::HistoryKeepsWhatHappened, &job.name, detail);
            finding.run_id = line.id.parse().ok();
            found.push(finding.on(line.scheduled_at).when(line.changed_at).times(line.count));
        }
    }
    folded.into_values().collect()
}

/// What both the events and the lines tell of is one finding.
fn told_once(found: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    found.retain(|one| one.run_id.is_none_or(|run_id| seen.insert((one.invariant, run_id, one.at))));
}

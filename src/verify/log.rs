//! Evidence as a file: written beside a store, judged anywhere. One JSON document a line: a header, events, mutexes,
//! then job by job what its file says, its record, and the lines of its history; a last line that counts them.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Reading;
use crate::clock::Timestamp;
use crate::job::{Action, Command, Delivery, Job, JobName, Keep, Overlap, Policy, Retry, Task};
use crate::ledger::{Entry, Event};
use crate::record::{Mutex, Record};
use crate::schedule::{Schedule, Written};
use crate::store::Snapshot;

/// The layout of the file.
const LAYOUT: u32 = 1;

/// Events read at once.
const PAGE: usize = 5_000;

/// What the first line says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The layout of the file: 1.
    pub cronclave_evidence: u32,
    /// Of the program that wrote it.
    pub version: String,
    /// Of which cluster.
    pub cluster: String,
    /// When the records were read, by the store's clock.
    pub now: Timestamp,
    /// The first occurrences that were asked for.
    pub since: Timestamp,
    /// Before this, if it was asked for.
    pub until: Option<Timestamp>,
}

impl Header {
    /// Of evidence read now.
    pub fn new(cluster: &str, now: Timestamp, since: Timestamp, until: Option<Timestamp>) -> Header {
        let (version, cluster) = (env!("CARGO_PKG_VERSION").to_owned(), cluster.to_owned());
        Header { cronclave_evidence: LAYOUT, version, cluster, now, since, until }
    }
}

/// What is needed of a job to judge it. No command, no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Terms {
    name: JobName,
    enabled: bool,
    schedule: Written,
    jitter_seconds: f64,
    overlap: Overlap,
    delivery: Delivery,
    attempts: u32,
    mutex: Option<String>,
    keep_runs: u32,
    keep_days: u32,
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Event {
        position: u64,
        #[serde(flatten)]
        event: Event,
    },
    Mutex {
        name: String,
        mutex: Mutex,
    },
    Job {
        terms: Box<Terms>,
        record: Option<Box<Record>>,
    },
    WithoutFile(JobName),
    Entry(Box<Entry>),
    End {
        lines: u64,
    },
}

/// Writes evidence.
pub struct Writer<W: Write> {
    out: W,
    lines: u64,
}

impl<W: Write> Writer<W> {
    /// Begins with the header, the events and the mutexes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, header: &Header, reading: &Reading) -> io::Result<Writer<W>> {
        let mut writer = Writer { out, lines: 0 };
        writer.put(header)?;
        let mut events: Vec<&(u64, Event)> = reading.events.values().flatten().collect();
        events.sort_unstable_by_key(|(position, _)| *position);
        for (position, event) in events {
            writer.put(&Line::Event { position: *position, event: event.clone() })?;
        }
        for (name, mutex) in &reading.snapshot.mutexes {
            writer.put(&Line::Mutex { name: name.clone(), mutex: mutex.clone() })?;
        }
        Ok(writer)
    }

    /// One job, with its lines of history.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn job(&mut self, job: &Job, record: Option<&Record>, lines: &[Entry]) -> io::Result<()> {
        let terms = Terms {
            name: job.name.clone(),
            enabled: job.enabled,
            schedule: job.schedule.written(),
            jitter_seconds: job.jitter.as_secs_f64(),
            overlap: job.overlap,
            delivery: job.delivery,
            attempts: job.retry.attempts,
            mutex: job.mutex.clone(),
            keep_runs: job.keep.runs,
            keep_days: job.keep.days,
        };
        self.put(&Line::Job { terms: Box::new(terms), record: record.map(|record| Box::new(harmless(record))) })?;
        lines.iter().try_for_each(|line| self.put(&Line::Entry(Box::new(line.clone()))))
    }

    /// A job that no schedule file names.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn without_file(&mut self, job: &JobName) -> io::Result<()> {
        self.put(&Line::WithoutFile(job.clone()))
    }

    /// The last line: without it a file was cut off.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self) -> io::Result<()> {
        let lines = self.lines;
        self.put(&Line::End { lines })?;
        self.out.flush()
    }

    fn put(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.lines += 1;
        self.out.write_all(b"\n")
    }
}

/// Without what would let its reader act on a run, and what somebody gave one.
fn harmless(record: &Record) -> Record {
    let mut record = record.clone();
    for run in &mut record.open {
        run.token = None;
        run.args = BTreeMap::new();
    }
    record
}

/// Why a file cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum BrokenLog {
    /// A line of it.
    #[error("line {0}: {1}")]
    Line(u64, String),
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads evidence, job by job.
pub struct Log<R: BufRead> {
    from: R,
    line: u64,
    text: String,
    next: Option<Line>,
    /// What the first line says.
    pub header: Header,
}

/// What a file has of a job.
pub enum OfJob {
    /// What its file says, its record, and its history.
    Job(Box<Job>, Option<Box<Record>>, Vec<Entry>),
    /// No file named it.
    WithoutFile(JobName),
}

impl<R: BufRead> Log<R> {
    /// Reads the header, the events and the records that follow.
    ///
    /// # Errors
    /// The line that is broken, and how.
    pub fn open(mut from: R) -> Result<(Log<R>, Reading), BrokenLog> {
        let mut text = String::new();
        from.read_line(&mut text)?;
        let known = |header: &Header| header.cronclave_evidence == LAYOUT;
        let header: Header = serde_json::from_str(&text).map_err(|error| {
            let what = "this is no file of `cronclave verify --export`: its first line says";
            BrokenLog::Line(1, format!("{what} {error}"))
        })?;
        if !known(&header) {
            let what = format!(
                "it has layout {}, and this version reads {LAYOUT}: judge it with cronclave {}",
                header.cronclave_evidence, header.version
            );
            return Err(BrokenLog::Line(1, what));
        }
        let mut log = Log { from, line: 1, text, next: None, header };
        let mut reading = Reading::at(Snapshot { now: log.header.now, ..Snapshot::default() });
        let mut page = Vec::new();
        loop {
            match log.read()? {
                Line::Event { position, event } => {
                    if page.last().is_some_and(|(before, _)| *before >= position) {
                        return Err(log.broken(format!("event {position} comes after a later one")));
                    }
                    page.push((position, event));
                    if page.len() == PAGE {
                        reading.take(std::mem::take(&mut page));
                    }
                }
                Line::Mutex { name, mutex } => drop(reading.snapshot.mutexes.insert(name, mutex)),
                other => {
                    reading.take(page);
                    log.next = Some(other);
                    return Ok((log, reading));
                }
            }
        }
    }

    /// The next job; `None` at the end.
    ///
    /// # Errors
    /// The line that is broken, and how.
    pub fn job(&mut self) -> Result<Option<OfJob>, BrokenLog> {
        let line = match self.next.take() {
            Some(line) => line,
            None => self.read()?,
        };
        match line {
            Line::WithoutFile(name) => Ok(Some(OfJob::WithoutFile(name))),
            Line::Job { terms, record } => {
                let job = job_of(&terms).map_err(|why| self.broken(format!("the job {}: {why}", terms.name)))?;
                let mut lines = Vec::new();
                loop {
                    match self.read()? {
                        Line::Entry(entry) if entry.job == job.name => lines.push(*entry),
                        Line::Entry(entry) => {
                            return Err(self.broken(format!("an entry of {} among those of {}", entry.job, job.name)));
                        }
                        other => {
                            self.next = Some(other);
                            return Ok(Some(OfJob::Job(Box::new(job), record, lines)));
                        }
                    }
                }
            }
            Line::End { lines } if lines + 1 == self.line => match self.from.read_line(&mut self.text)? {
                0 => Ok(None),
                _ => Err(BrokenLog::Line(self.line + 1, "something follows the last line".into())),
            },
            Line::End { lines } => Err(self.broken(format!("{lines} lines were written before it: some are missing"))),
            _ => Err(self.broken("it stands where a job should begin".into())),
        }
    }

    fn broken(&self, what: String) -> BrokenLog {
        BrokenLog::Line(self.line, what)
    }

    fn read(&mut self) -> Result<Line, BrokenLog> {
        self.text.clear();
        self.line += 1;
        if self.from.read_line(&mut self.text)? == 0 {
            return Err(self.broken("the file ends before its last line: it was cut off".into()));
        }
        serde_json::from_str(&self.text).map_err(|error| match self.text.ends_with('\n') {
            true => self.broken(format!("it cannot be read: {error}")),
            false => self.broken("the file ends in the midst of it: it was cut off".into()),
        })
    }
}

/// A job with these terms that does nothing.
fn job_of(terms: &Terms) -> Result<Job, String> {
    let jitter = Duration::try_from_secs_f64(terms.jitter_seconds).map_err(|error| error.to_string())?;
    let schedule = Arc::new(Schedule::from_written(&terms.schedule, terms.name.as_str())?);
    let policy = Policy {
        enabled: terms.enabled,
        jitter,
        overlap: terms.overlap,
        delivery: terms.delivery,
        retry: Retry { attempts: terms.attempts, ..Retry::default() },
        log_limit: 0,
        keep: Keep { runs: terms.keep_runs, days: terms.keep_days },
        ..Policy::default()
    };
    let task = Task::Run(Action::Command(Command::default()));
    Ok(Job { mutex: terms.mutex.clone(), policy: Arc::new(policy), ..Job::new(terms.name.clone(), schedule, task) })
}

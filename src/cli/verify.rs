//! `cronclave verify`: whether the promises held, by what is on record.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::show::{Style, Table};
use super::{Context, Failure, find, out};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::ledger::State;
use crate::phrase::{self, Mark};
use crate::schedule::Zone;
use crate::verify::{
    BrokenLog, Finding, Header, JobReport, Judge, Limit, Log, OfJob, Reading, Report, Severity, Writer,
};

/// Occurrences of so many days are judged unless somebody says otherwise.
const DAYS: u64 = 30;

/// So many lines of a kind are printed; `--json` has all.
const LINES: usize = 40;

/// Check that every occurrence started once and none was missed in silence, by what is on record.
///
/// Reads the store and the schedule files and judges each occurrence of each job: one entry in the history, one start
/// as delivery and retry policies allow, fences that grow, nothing early, nothing stuck. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave verify                            the last 30 days of all jobs
  cronclave verify --since 24h --job billing  one job, one day
  cronclave verify --json | jq .findings      for programs
  cronclave verify --export evidence.jsonl    the same, and writes down what it judged by
  cronclave verify evidence.jsonl             judges that again, on any machine, without the store

Exits with 0 when all holds and 1 when something was found. A file that is broken or cut off is 66, with the line.
docs/VERIFY.md says what is judged, how far back, and what the JSON holds.")]
pub(super) struct Verify {
    /// Judge this file, written with --export, instead of the store
    #[arg(value_name = "FILE", conflicts_with = "export")]
    file: Option<PathBuf>,
    /// Only this job; repeatable
    #[arg(long, value_name = "NAME")]
    job: Vec<String>,
    /// Occurrences so long ago at most (24h), or at this time or later [default: 30d]
    #[arg(long, value_name = "SPAN|TIME")]
    since: Option<String>,
    /// Occurrences so long ago at least, or before this time [default: now]
    #[arg(long, value_name = "SPAN|TIME")]
    until: Option<String>,
    /// Also write what is judged to this new file
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

impl Verify {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let report = match &self.file {
            Some(path) => self.offline(context, path)?,
            None => self.live(context).await?,
        };
        if context.global.json {
            out::json(&report)?;
        } else {
            out::print(text(&report, &context.style))?;
        }
        Ok(if report.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The window, by the store's clock.
    fn window(&self, context: &Context, now: Timestamp) -> Result<(Option<Timestamp>, Option<Timestamp>), Failure> {
        let zone = context.style.zone.clone().unwrap_or_else(Zone::utc);
        let read = |flag: &str, text: &Option<String>| {
            let at = text.as_ref().map(|text| {
                phrase::past(text, now, &zone)
                    .map_err(|why| Failure::new(Failure::USAGE, format!("{flag} {text}: {why}")))
            });
            at.transpose()
        };
        let (since, until) = (read("--since", &self.since)?, read("--until", &self.until)?);
        match (since, until) {
            (Some(since), Some(until)) if since >= until => {
                let why = format!("--since {since} is not before --until {until}: nothing lies between");
                Err(Failure::new(Failure::USAGE, why))
            }
            window => Ok(window),
        }
    }

    async fn live(&self, context: &Context) -> Result<Report, Failure> {
        let process = context.quiet()?;
        let config = context.config(&process.config)?;
        let jobs = find::jobs(&config, &self.job)?;
        let store = context.store(&process).await?;
        let reading = Reading::of(&*store).await?;
        let now = reading.snapshot.now;
        let (since, until) = self.window(context, now)?;
        let since = since.unwrap_or(now.minus(Duration::from_secs(DAYS * 86_400)));
        let is_other = |name: &JobName| self.job.is_empty() && config.jobs.iter().all(|job| job.name != *name);
        let names = reading.snapshot.records.names().filter_map(|name| JobName::new(name).ok());
        let mut others: Vec<JobName> = names.filter(is_other).collect();
        others.sort();
        let mut export = match &self.export {
            Some(path) => Some(Export::begin(path, &Header::new(&process.cluster, now, since, until), &reading)?),
            None => None,
        };
        let mut judge = Judge::new(reading, since, until);
        for job in &jobs {
            let lines = Reading::lines(&*store, &job.name).await?;
            let record = judge.reading().snapshot.records.get(&job.name).map(Cow::into_owned);
            if let Some(export) = &mut export {
                export.write(|writer| writer.job(job, record.as_ref(), &lines))?;
            }
            judge.job(job, record.as_ref(), &lines);
        }
        for name in &others {
            if let Some(export) = &mut export {
                export.write(|writer| writer.without_file(name))?;
            }
            judge.without_file(name);
        }
        if let Some(export) = export {
            export.end()?;
        }
        Ok(judge.end())
    }

    fn offline(&self, context: &Context, path: &Path) -> Result<Report, Failure> {
        let unread = |why: String| Failure::new(Failure::NO_INPUT, format!("{}: {why}", path.display()));
        let broken = |error: BrokenLog| unread(error.to_string());
        let file = File::open(path).map_err(|error| unread(format!("cannot be read: {error}")))?;
        let (mut log, reading) = Log::open(BufReader::new(file)).map_err(broken)?;
        let (since, until) = self.window(context, log.header.now)?;
        let since = since.unwrap_or(log.header.since);
        let mut judge = Judge::new(reading, since, until.or(log.header.until));
        let mut known = Vec::new();
        while let Some(next) = log.job().map_err(broken)? {
            match next {
                OfJob::Job(job, record, lines) => {
                    if self.job.is_empty() || self.job.iter().any(|name| job.name.as_str() == name) {
                        judge.job(&job, record.as_deref(), &lines);
                    }
                    known.push(job.name);
                }
                OfJob::WithoutFile(name) if self.job.is_empty() => judge.without_file(&name),
                OfJob::WithoutFile(name) => known.push(name),
            }
        }
        if let Some(name) = self.job.iter().find(|name| known.iter().all(|known| known.as_str() != **name)) {
            return Err(unread(format!("it has no job `{name}`")));
        }
        Ok(judge.end())
    }
}

/// A file that is written while a store is judged.
struct Export {
    path: PathBuf,
    writer: Writer<BufWriter<File>>,
}

impl Export {
    fn begin(path: &Path, header: &Header, reading: &Reading) -> Result<Export, Failure> {
        let file = File::create_new(path).map_err(|error| not_written(path, &error))?;
        let writer = Writer::begin(BufWriter::new(file), header, reading).map_err(|error| not_written(path, &error))?;
        Ok(Export { path: path.to_owned(), writer })
    }

    fn write(
        &mut self,
        write: impl FnOnce(&mut Writer<BufWriter<File>>) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        write(&mut self.writer).map_err(|error| not_written(&self.path, &error))
    }

    fn end(self) -> Result<(), Failure> {
        self.writer.end().map_err(|error| not_written(&self.path, &error))?;
        out::note(format_args!("what was judged is in {}", self.path.display()));
        Ok(())
    }
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    let hint = match error.kind() {
        std::io::ErrorKind::AlreadyExists => "it is there already: name another file, or move it away".to_owned(),
        _ => format!("cannot be written: {error}"),
    };
    Failure::new(Failure::NO, format!("--export {}: {hint}", path.display()))
}

fn text(report: &Report, style: &Style) -> String {
    let mut text = summary(report);
    let utc = Zone::utc();
    text += &format!("\njudged: {} to {}\n", style.full(report.since, &utc), style.full(report.until, &utc));
    let bounded: Vec<&JobReport> =
        report.jobs.iter().filter(|job| bound(job).is_some() || !job.not_judged.is_empty()).collect();
    if !bounded.is_empty() {
        text += "\nnot judged:\n";
        let mut table = Table::new(style, &["", "JOB", "WHAT, AND WHY"]);
        let rows = bounded.iter().flat_map(|job| {
            let sentences = bound(job).into_iter().chain(job.not_judged.iter().cloned());
            sentences.map(|sentence| [job.job.to_string(), sentence])
        });
        let rows: Vec<_> = rows.collect();
        rows.iter().take(LINES).for_each(|row| table.row(None, row.clone()));
        text += &table.text();
        text += &more(rows.len());
    }
    if !report.findings.is_empty() {
        text += "\nfound:\n";
        let mut told = Vec::new();
        for finding in report.findings.iter().take(LINES) {
            text += &one(finding, style);
            if !told.contains(&finding.invariant) {
                text += &format!("      It should be: {}.\n", finding.invariant.promise());
                text += &format!("      What to do: {}.\n", finding.invariant.advice());
                told.push(finding.invariant);
            }
        }
        text += &more(report.findings.len());
    }
    text
}

fn more(count: usize) -> String {
    if count > LINES { format!("  ... and {} more: --json has all\n", count - LINES) } else { String::new() }
}

/// The answer in one sentence.
fn summary(report: &Report) -> String {
    let counts = &report.counts;
    let span = report.until.since(report.since);
    let span = match span.as_secs() / 86_400 {
        0 | 1 => phrase::about(span),
        days => format!("{days} days"),
    };
    let judged = report.jobs.iter().filter(|job| job.judged_after.is_some()).count();
    let lost = counts.states.get(&State::Lost).copied().unwrap_or(0);
    let mut text = format!(
        "{span}, {} occurrences of {}: {} double starts, {} silent misses, {} lost",
        grouped(counts.occurrences),
        phrase::count(judged, "job"),
        grouped(counts.double_starts),
        grouped(counts.silent_misses),
        grouped(lost),
    );
    if counts.unknown > 0 {
        text += &format!(", {} unknown", grouped(counts.unknown));
    }
    text + &match report.findings.len() {
        0 => ", all explained".to_owned(),
        count => format!("; {} in all", phrase::count(count, "finding")),
    }
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Why a job is not judged as far back as was asked.
fn bound(job: &JobReport) -> Option<String> {
    let bound = job.judged_after?;
    let why = match bound.limit {
        Limit::Asked => return None,
        Limit::Registered => "it was first seen then",
        Limit::ScheduleChanged => "it had another schedule",
        Limit::Pruned => "its history is limited by `keep`",
        Limit::HistoryBegins => "its history begins there",
        Limit::EventsBegin => "its history is limited by `keep`, and the events reach back to there",
    };
    Some(format!("up to {}: {why}", bound.at))
}

fn one(finding: &Finding, style: &Style) -> String {
    let mark = match finding.severity {
        Severity::Broken => style.symbol(Mark::from(State::Failed)),
        Severity::Warning => style.symbol(Mark::from(State::Lost)),
    };
    let job = finding.job.as_ref().map(ToString::to_string).unwrap_or_default();
    let at = finding.occurrence.map(|at| format!("@{at}")).unwrap_or_default();
    let run = finding.run_id.map(|run| format!(" run {}", run.short())).unwrap_or_default();
    let clean: String = finding.detail.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("  {mark} {job}{at}{run}  {}: {clean}\n", finding.invariant.word())
}

//! `cronclave events`: what happens in the cluster, from the store's own feed: it takes no broker.

use std::collections::{BTreeMap, VecDeque};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::sleep;

use super::client::Client;
use super::{Context, Failure, heard, out, serve};
use crate::announce::{KINDS, Notices, is_kind};
use crate::clock::Timestamp;
use crate::config::{self, LogFormat, Process};
use crate::event::Told;
use crate::job::JobName;
use crate::lease::RunId;
use crate::ledger::Event;
use crate::phrase;
use crate::progress::{self, Progress};
use crate::report::Reporter;
use crate::schedule::Zone;
use crate::store::Store;

/// Show what happened lately in the whole cluster, oldest first; with -f, what happens from now on as well.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave events                          the last 10
  cronclave events -f                       and on, until Ctrl-C
  cronclave events -f --type run.failed,run.lost
  cronclave events --since 1h --job report
  cronclave events -f --json | jq .data     CloudEvents, one a line, as they are sent to a broker")]
pub(super) struct Events {
    /// Go on with what happens from now on
    #[arg(short, long)]
    follow: bool,
    /// At most so many of what has happened [default: 10; with --since all]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// What happened so long ago at most (24h), or at this time or later
    #[arg(long, value_name = "SPAN|TIME")]
    since: Option<String>,
    /// Of this job only
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Of these types, separated by commas: run.failed, or all of a kind: run.*
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<String>,
}

/// Between two looks for more.
const LOOK: Duration = Duration::from_millis(250);

/// Events read at once.
const PAGE: u64 = 1000;

/// Lines shown without being asked for a number.
const LINES: usize = 10;

fn kind(text: &str) -> Result<String, String> {
    if KINDS.iter().any(|known| is_kind(text, known)) {
        return Ok(text.to_owned());
    }
    Err(match config::nearest(text, KINDS) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "write one as run.failed, or a beginning as run.*".into(),
    })
}

impl Events {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        if let Some(client) = Client::of(context)? {
            return self.from(&client, context, &process).await;
        }
        let known = context.known(&process);
        let store = context.store(&process).await?;
        let snapshot = store.snapshot().await?;
        let job = self.job.as_deref().map(|name| known.name(&snapshot, name)).transpose()?;
        let zone = context.style.zone.clone().unwrap_or_else(Zone::utc);
        let since = self.since.as_deref().map(|text| phrase::past(text, snapshot.now, &zone));
        let since = since.transpose().map_err(|why| Failure::new(Failure::USAGE, format!("--since: {why}")))?;
        let mut printer = Printer {
            json: context.global.json,
            job,
            kinds: self.kinds,
            notices: Notices::new(&process.cluster),
            reporter: serve::reporter(&process, LogFormat::Text),
        };
        let most = self.lines.unwrap_or(if since.is_some() { usize::MAX } else { LINES });
        // A position is the place of the first event not yet seen.
        let head = store.changed(0).await?.0.saturating_sub(1);
        for line in past(&*store, head, &mut printer, since, most).await? {
            out::line(line)?;
        }
        if self.follow {
            follow(&*store, head, &mut printer).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Events {
    /// As a replica tells them.
    async fn from(self, client: &Client, context: &Context, process: &Process) -> Result<ExitCode, Failure> {
        if !self.follow || self.since.is_some() || self.lines.is_some() {
            let why = "a server tells only what happens from now on: ask with -f, and without --since and -n";
            return Err(Failure::new(Failure::USAGE, why));
        }
        let kinds = Some(self.kinds.join(",")).filter(|kinds| !kinds.is_empty());
        let query = [("types", kinds), ("job", self.job)];
        let reporter = serve::reporter(process, LogFormat::Text);
        heard::follow(client, &query, |document| {
            if context.global.json {
                return out::line(document);
            }
            let Some(event) = heard::event(&document) else { return Ok(()) };
            let day = event.at.datetime().format("%Y-%m-%d");
            reporter.line(&Told::Changed(event)).map_or(Ok(()), |line| out::line(format_args!("{day} {line}")))
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The last lines of what happened up to `head`, found backwards, a page at a time.
async fn past(
    store: &dyn Store,
    head: u64,
    printer: &mut Printer,
    since: Option<Timestamp>,
    most: usize,
) -> Result<Vec<String>, Failure> {
    let (mut events, mut end, mut matching) = (VecDeque::new(), head, 0);
    while end > 0 && matching < most {
        let from = end.saturating_sub(PAGE);
        let page = store.events(from, usize::try_from(end - from).unwrap_or(usize::MAX)).await?;
        let page: Vec<_> = page.into_iter().filter(|(position, _)| *position <= end).collect();
        let Some((first, oldest)) = page.first() else { break };
        let is_last = *first > from + 1 || since.is_some_and(|since| oldest.at < since);
        for (position, event) in page.into_iter().rev() {
            let wanted = since.is_none_or(|since| event.at >= since);
            matching += usize::from(wanted && printer.line(position, &event).is_some());
            events.push_front((position, event, wanted));
        }
        if is_last {
            break;
        }
        end = from;
    }
    // Forwards: what the end of a run does not say is known from its beginning.
    let mut lines = Vec::new();
    for (position, event, wanted) in events {
        lines.extend(printer.line(position, &event).filter(|_| wanted));
    }
    Ok(lines.split_off(lines.len() - most.min(lines.len())))
}

/// Prints what happens after `seen`, until nobody reads it any more.
async fn follow(store: &dyn Store, mut seen: u64, printer: &mut Printer) -> Result<(), Failure> {
    let mut said = BTreeMap::new();
    loop {
        for line in printer.progress(&progress::all(store).await?, &mut said) {
            out::line(line)?;
        }
        let page = store.events(seen, usize::try_from(PAGE).unwrap_or(usize::MAX)).await?;
        if let Some((first, _)) = page.first().filter(|(first, _)| *first > seen + 1) {
            out::note(format_args!("{} events were dropped before they could be shown", first - seen - 1));
        }
        for (position, event) in &page {
            if let Some(line) = printer.line(*position, event) {
                out::line(line)?;
            }
            seen = *position;
        }
        sleep(LOOK).await;
    }
}

/// Writes events as they are wanted.
struct Printer {
    json: bool,
    job: Option<JobName>,
    kinds: Vec<String>,
    notices: Notices,
    reporter: Reporter,
}

impl Printer {
    /// What runs said since the last look of how far they are: no event tells of it, as it comes and goes too often.
    fn progress(&self, all: &[Progress], said: &mut BTreeMap<RunId, Timestamp>) -> Vec<String> {
        let is_wanted = |one: &&Progress| {
            let kinds = self.kinds.is_empty() || self.kinds.iter().any(|kind| is_kind(kind, "run.progress"));
            !self.json && kinds && self.job.as_ref().is_none_or(|job| *job == one.job)
        };
        said.retain(|run, _| all.iter().any(|one| one.run_id == *run));
        let mut lines = Vec::new();
        for one in all.iter().filter(is_wanted) {
            if said.insert(one.run_id, one.at) == Some(one.at) {
                continue;
            }
            let Progress { job, run_id, percent, message, at } = one.clone();
            let line = self.reporter.line(&Told::Progress { job, run_id, percent, message });
            lines.extend(line.map(|line| format!("{} {line}", at.datetime().format("%Y-%m-%d"))));
        }
        lines
    }

    fn line(&mut self, position: u64, event: &Event) -> Option<String> {
        let notice = self.notices.of(position, event);
        let kind = notice.as_ref().map(|notice| notice.kind);
        if self.job.as_ref().is_some_and(|job| *job != event.job)
            || !(self.kinds.is_empty() || kind.is_some_and(|kind| self.kinds.iter().any(|one| is_kind(one, kind))))
        {
            return None;
        }
        if self.json {
            return Some(notice?.event.document().to_string());
        }
        let line = self.reporter.line(&Told::Changed(event.clone()))?;
        Some(format!("{} {line}", event.at.datetime().format("%Y-%m-%d")))
    }
}

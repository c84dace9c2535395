//! `cronclave logs`: what a run printed.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::show::Style;
use super::{Context, Failure, find, out, shape};
use crate::lease::{Fence, RunId};
use crate::ledger::Entry;
use crate::runner::Stream;
use crate::schedule::Zone;
use crate::store::{Piece, Query, Store};

/// Show the output of a run, as it was printed.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  cronclave logs db-backup              its newest run
  cronclave logs -f db-backup           and on, until that run is over
  cronclave logs 9b1f0d5c7a4e -n 20     the last lines of one run, by the end of its id
  cronclave logs db-backup --stream stderr -t")]
pub(super) struct Logs {
    /// A run (any unique beginning or end of its id), or a job: then its newest run
    #[arg(value_name = "RUN|JOB")]
    what: String,
    /// Go on until the run is over
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines of what there is
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,
    /// Only this attempt
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Only this stream
    #[arg(long, value_enum, value_name = "STREAM")]
    stream: Option<Which>,
    /// Begin each line with the time it came
    #[arg(short, long)]
    timestamps: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Which {
    Stdout,
    Stderr,
}

/// Between two looks for more.
const LOOK: Duration = Duration::from_millis(250);

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let process = context.quiet()?;
        let known = context.known(&process);
        let store = context.store(&process).await?;
        let entry = find::run_or_newest(&*store, &known, &self.what).await?;
        if let Some(attempt) = self.attempt.filter(|n| entry.attempts.iter().all(|one| one.attempt != *n)) {
            let most = entry.attempts.len();
            return Err(Failure::new(
                Failure::NO_INPUT,
                format!("there is no attempt {attempt}: the run has had {most}"),
            ));
        }
        let mut printer = Printer {
            stamps: self.timestamps.then(|| (context.style.clone(), known.zone(&entry.job))),
            json: context.global.json,
            attempt: self.attempt,
            stream: self.stream.map(|which| match which {
                Which::Stdout => Stream::Stdout,
                Which::Stderr => Stream::Stderr,
            }),
            mid_line: false,
        };
        let mut reader = Reader::new(&entry)?;
        let pieces = reader.read(&*store, &entry).await?;
        if context.global.json && !self.follow {
            let all: Vec<Value> = printer.taken(&entry, &pieces).map(|(n, piece)| as_json(n, piece)).collect();
            let last = all.len() - self.lines.map_or(all.len(), |most| most.min(all.len()));
            out::json(&json!({"run": shape::run(&entry), "items": all[last..]}))?;
            return Ok(ExitCode::SUCCESS);
        }
        out::print(tail(&printer.text(&entry, &pieces), self.lines))?;
        if self.follow {
            follow(&*store, reader, &mut printer).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints what a run prints until it is over; answers with its end.
pub(super) async fn follow(store: &dyn Store, mut reader: Reader, printer: &mut Printer) -> Result<Entry, Failure> {
    loop {
        // First where it stands, then what it printed: what is over prints no more.
        let entry = reader.entry(store).await?;
        let pieces = reader.read(store, &entry).await?;
        out::print(printer.text(&entry, &pieces))?;
        if entry.state.is_final() {
            return Ok(entry);
        }
        sleep(LOOK).await;
    }
}

/// Reads each piece of a run's output once.
pub(super) struct Reader {
    run_id: RunId,
    /// The place of the next piece, by attempt.
    next: BTreeMap<Fence, u64>,
}

impl Reader {
    pub(super) fn new(entry: &Entry) -> Result<Reader, Failure> {
        let run_id = entry.id.parse();
        let run_id = run_id.map_err(|_| Failure::new(Failure::NO_INPUT, format!("{} is no run", entry.id)))?;
        Ok(Reader::of(run_id))
    }

    pub(super) fn of(run_id: RunId) -> Reader {
        Reader { run_id, next: BTreeMap::new() }
    }

    async fn entry(&self, store: &dyn Store) -> Result<Entry, Failure> {
        let query = Query { id: Some(self.run_id.to_string()), limit: 1, ..Query::default() };
        let gone =
            || Failure::new(Failure::NO_INPUT, format!("run {} is no longer in the history", self.run_id.short()));
        store.history(&query).await?.pop().ok_or_else(gone)
    }

    async fn read(&mut self, store: &dyn Store, entry: &Entry) -> Result<Vec<(Fence, Piece)>, Failure> {
        // An attempt that is new here begins at 0; otherwise only the newest has more to say.
        let newest = entry.attempts.last().map(|attempt| attempt.fence);
        let from = newest.and_then(|fence| self.next.get(&fence).copied()).unwrap_or(0);
        let mut pieces = store.read_output(self.run_id, from).await?;
        pieces.retain(|(fence, piece)| self.next.get(fence).is_none_or(|next| piece.seq >= *next));
        for (fence, piece) in &pieces {
            self.next.insert(*fence, piece.seq + 1);
        }
        Ok(pieces)
    }
}

/// Writes pieces of output as they are wanted.
#[derive(Default)]
pub(super) struct Printer {
    stamps: Option<(Style, Zone)>,
    json: bool,
    attempt: Option<u32>,
    stream: Option<Stream>,
    /// The last piece ended within a line.
    mid_line: bool,
}

impl Printer {
    /// The pieces that are wanted, each with the number of its attempt.
    fn taken<'a>(
        &self,
        entry: &Entry,
        pieces: &'a [(Fence, Piece)],
    ) -> impl Iterator<Item = (u32, &'a Piece)> + use<'a> {
        let numbers: BTreeMap<Fence, u32> = entry.attempts.iter().map(|one| (one.fence, one.attempt)).collect();
        let (stream, attempt) = (self.stream, self.attempt);
        let numbered = pieces.iter().map(move |(fence, piece)| (numbers.get(fence).copied().unwrap_or(0), piece));
        numbered.filter(move |(number, piece)| {
            stream.is_none_or(|stream| stream == piece.stream) && attempt.is_none_or(|wanted| wanted == *number)
        })
    }

    fn text(&mut self, entry: &Entry, pieces: &[(Fence, Piece)]) -> Vec<u8> {
        let mut text = Vec::new();
        for (number, piece) in self.taken(entry, pieces) {
            if self.json {
                text.extend(format!("{}\n", as_json(number, piece)).into_bytes());
                continue;
            }
            for line in piece.bytes.split_inclusive(|byte| *byte == b'\n') {
                if let Some((style, zone)) = self.stamps.as_ref().filter(|_| !self.mid_line) {
                    text.extend(format!("{}  ", style.time(piece.at, zone)).into_bytes());
                }
                text.extend_from_slice(line);
                self.mid_line = !line.ends_with(b"\n");
            }
        }
        text
    }
}

fn as_json(attempt: u32, piece: &Piece) -> Value {
    let text = String::from_utf8_lossy(&piece.bytes);
    json!({"at": piece.at, "attempt": attempt, "stream": piece.stream, "text": text})
}

/// The last lines of `text`.
fn tail(text: &[u8], lines: Option<usize>) -> &[u8] {
    let Some(lines) = lines else { return text };
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    if lines == 0 {
        return &[];
    }
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(lines - 1).map_or(text, |start| &text[start..])
}

//! `cronclave logs`: what a run printed.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::sleep;

use super::place::{Files, Place};
use super::show::{self, Style};
use super::{Context, Failure, out};
use crate::desk::{Log, Part, Why};
use crate::runner::Stream;
use crate::schedule::Zone;
use crate::shape::{Piece, Run};

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
        let place = context.place(Files::Helpful).await?;
        let stream = self.stream.map(|which| match which {
            Which::Stdout => Stream::Stdout,
            Which::Stderr => Stream::Stderr,
        });
        let part = Part { attempt: self.attempt, stream, after: None };
        let Log { run, pieces, stale_since } = place.log(&self.what, &part).await?;
        out::stale(stale_since);
        if context.global.json && !self.follow {
            let last = pieces.len() - self.lines.map_or(pieces.len(), |most| most.min(pieces.len()));
            out::json(&json!({"run": run, "items": pieces[last..]}))?;
            return Ok(ExitCode::SUCCESS);
        }
        let zone = show::known_zone(run.timezone.as_deref());
        let stamps = self.timestamps.then(|| (context.style.clone(), zone));
        let mut printer = Printer { stamps, json: context.global.json, mid_line: false };
        out::print(tail(&printer.text(&pieces), self.lines))?;
        if self.follow && !run.state.is_final() {
            let after = pieces.last().and_then(|piece| piece.position.parse().ok());
            follow(&place, &run.id, Part { after, ..part }, &mut printer).await?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints what a run prints until it is over; answers with its end. While the store is away it says so, and waits.
pub(super) async fn follow(place: &Place, run: &str, mut part: Part, printer: &mut Printer) -> Result<Run, Failure> {
    let mut is_away = false;
    loop {
        match place.log(run, &part).await {
            Ok(Log { run, pieces, stale_since }) => {
                out::print(printer.text(&pieces))?;
                part.after = pieces.last().and_then(|piece| piece.position.parse().ok()).or(part.after);
                if run.state.is_final() {
                    return Ok(run);
                }
                out::stale(stale_since.filter(|_| !is_away));
                is_away = stale_since.is_some();
            }
            Err(refusal) if refusal.why == Why::StoreDown => {
                if !std::mem::replace(&mut is_away, true) {
                    out::note(&refusal);
                }
            }
            Err(other) => return Err(other.into()),
        }
        sleep(LOOK).await;
    }
}

/// Writes pieces of output as they are wanted.
#[derive(Default)]
pub(super) struct Printer {
    stamps: Option<(Style, Zone)>,
    json: bool,
    /// The last piece ended within a line.
    mid_line: bool,
}

impl Printer {
    fn text(&mut self, pieces: &[Piece]) -> Vec<u8> {
        let mut text = Vec::new();
        for piece in pieces {
            if self.json {
                text.extend(format!("{}\n", json!(piece)).into_bytes());
                continue;
            }
            for line in piece.bytes().split_inclusive(|byte| *byte == b'\n') {
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

//! Output of running code on its way to the store.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::kept::{Kept, PIECE};
use crate::event::Told;
use crate::job::Job;
use crate::lease::Work;
use crate::parts::Parts;
use crate::progress::Reporter;
use crate::runner::{Chunk, Stream};

/// Output reaches the store about so soon after it came.
const FLUSH: Duration = Duration::from_millis(500);

/// Takes chunks until the runner closes its end, and writes them to the store as it goes. Chunks
/// are taken at once whatever the store does: a slow store never slows the code down.
pub(super) async fn record(parts: &Parts, job: &Job, work: &Work, mut chunks: mpsc::Receiver<Chunk>) {
    // Code that says nothing takes no memory for it.
    if let Some(first) = chunks.recv().await {
        Box::pin(record_all(parts, job, work, first, chunks)).await;
    }
}

async fn record_all(parts: &Parts, job: &Job, work: &Work, first: Chunk, mut chunks: mpsc::Receiver<Chunk>) {
    let mut first = Some(first);
    let mut kept = Kept::new(job.log_limit);
    let mut lines = Lines::default();
    let progress = Reporter::new();
    let mut keeping = pin!(progress.keep(parts, work));
    let line = |stream, text: String| {
        progress.line(&text);
        tell_line(parts, work, stream, text);
    };
    let mut open = true;
    let mut writing = None;
    let mut flush_at = Instant::now() + FLUSH;
    while open || writing.is_some() || kept.is_dirty() {
        if writing.is_none() && kept.is_dirty() && Instant::now() >= flush_at {
            let (pieces, cut) = kept.take();
            writing = Some(Box::pin(async move {
                let written = parts.store.write_output((work.run_id, work.fence), pieces.clone(), cut).await;
                written.err().map(|_| pieces)
            }));
        }
        let waiting = writing.is_none() && kept.is_dirty();
        let next = async {
            match first.take() {
                None => chunks.recv().await,
                first => first,
            }
        };
        let written = async {
            match &mut writing {
                Some(writing) => writing.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            chunk = next, if open => match chunk {
                Some(chunk) => {
                    if let Some(tap) = &parts.tap {
                        tap(work, &chunk);
                    }
                    lines.push(&chunk, line);
                    kept.push(chunk, parts.clock.now());
                }
                None => {
                    open = false;
                    lines.finish(line);
                    flush_at = Instant::now();
                }
            },
            failed = written => {
                writing = None;
                if let Some(pieces) = failed {
                    kept.put_back(pieces);
                }
                flush_at = Instant::now() + FLUSH;
            }
            () = sleep_until(flush_at), if waiting => {}
            () = &mut keeping => {}
        }
    }
    progress.end(parts, work).await;
}

fn tell_line(parts: &Parts, work: &Work, stream: Stream, text: String) {
    parts.bus.tell(Told::Line { job: work.job.clone(), run_id: work.run_id, stream, text });
}

/// Cuts each stream into lines for listeners.
#[derive(Default)]
struct Lines {
    rest: [Vec<u8>; 2],
}

impl Lines {
    fn push(&mut self, chunk: &Chunk, mut line: impl FnMut(Stream, String)) {
        let rest = &mut self.rest[usize::from(chunk.stream == Stream::Stderr)];
        for part in chunk.bytes.split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(part);
            if part.ends_with(b"\n") || rest.len() >= PIECE {
                line(chunk.stream, text(rest));
                rest.clear();
            }
        }
    }

    fn finish(&mut self, mut line: impl FnMut(Stream, String)) {
        for (stream, rest) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut self.rest) {
            if !rest.is_empty() {
                line(stream, text(rest));
                rest.clear();
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()
}

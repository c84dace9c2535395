//! How far a run is, as it says itself: a line `::progress 42 what it is at` of its output, or a word of whoever does it
//! elsewhere. The last one is kept while the run goes on.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::clock::Timestamp;
use crate::event::Told;
use crate::job::JobName;
use crate::lease::{RunId, Work};
use crate::parts::Parts;
use crate::store::{Collection, Document, Draft, Expect, Span, Store, StoreError};

/// How a line begins that says so.
const MARK: &str = "::progress ";

/// Between two writes for one run: the last word wins.
const PAUSE: Duration = Duration::from_secs(1);

/// A store that takes longer is not waited for: the next word comes soon.
const PATIENCE: Duration = Duration::from_secs(5);

/// At the end of a run it is waited for less.
const LAST: Duration = Duration::from_secs(2);

/// A message is cut after so many characters.
const LONGEST: usize = 200;

/// What nobody renewed for so long is of a run whose holder vanished.
const STALE: Duration = Duration::from_secs(86_400);

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// Whose.
    pub job: JobName,
    /// Which run.
    pub run_id: RunId,
    /// From 0 to 100.
    pub percent: f64,
    /// What it is at.
    pub message: String,
    /// When it said so.
    pub at: Timestamp,
}

/// Reads a line of output: how far, and what the run is at. `None` for any other line.
pub fn read(line: &str) -> Option<(f64, String)> {
    let rest = line.strip_prefix(MARK)?.trim();
    let (number, message) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let percent: f64 = number.trim_end_matches('%').parse().ok()?;
    (0.0..=100.0).contains(&percent).then(|| (percent, shown(message)))
}

/// A message without what could upset a terminal or a page.
fn shown(message: &str) -> String {
    message.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// Keeps how far a run is, and tells of it. For whoever does a run elsewhere, and has shown that it is his.
///
/// # Errors
/// When the store does not answer.
pub async fn write(parts: &Parts, mut progress: Progress) -> Result<(), StoreError> {
    progress.percent = progress.percent.clamp(0.0, 100.0);
    progress.message = shown(&progress.message);
    let draft = Draft {
        collection: Collection::Progress,
        key: progress.run_id.to_string(),
        expect: Expect::Any,
        body: serde_json::to_string(&progress).ok(),
    };
    parts.store.write_document(&draft).await?;
    let Progress { job, run_id, percent, message, .. } = progress;
    parts.bus.tell(Told::Progress { job, run_id, percent, message });
    Ok(())
}

/// How far a run is, if it said so.
///
/// # Errors
/// When the store does not answer.
pub async fn of(store: &dyn Store, run: RunId) -> Result<Option<Progress>, StoreError> {
    let found = store.document(Collection::Progress, &run.to_string()).await?;
    Ok(found.and_then(|document| parse(&document)))
}

/// How far all runs are that said so.
///
/// # Errors
/// When the store does not answer.
pub async fn all(store: &dyn Store) -> Result<Vec<Progress>, StoreError> {
    let all = store.documents(Collection::Progress, &Span::default()).await?;
    Ok(all.iter().filter_map(parse).collect())
}

fn parse(document: &Document) -> Option<Progress> {
    serde_json::from_str(&document.body).ok()
}

/// Forgets a run that is over.
///
/// # Errors
/// When the store does not answer.
pub async fn forget(store: &dyn Store, run: RunId) -> Result<(), StoreError> {
    let key = run.to_string();
    store.write_document(&Draft { collection: Collection::Progress, key, expect: Expect::Any, body: None }).await?;
    Ok(())
}

/// Forgets what runs said whose holders vanished.
///
/// # Errors
/// When the store does not answer.
pub async fn prune(store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
    for document in store.documents(Collection::Progress, &Span::default()).await? {
        if parse(&document).is_none_or(|progress| now.since(progress.at) > STALE) {
            let expect = Expect::Version(document.version);
            let draft = Draft { collection: Collection::Progress, key: document.key, expect, body: None };
            store.write_document(&draft).await?;
        }
    }
    Ok(())
}

/// Takes what a run says of itself, and keeps the last of it: at most one write a second, whatever the run prints.
pub(crate) struct Reporter {
    said: watch::Sender<Option<(f64, String)>>,
    heard: watch::Receiver<Option<(f64, String)>>,
}

impl Reporter {
    pub(crate) fn new() -> Reporter {
        let (said, heard) = watch::channel(None);
        Reporter { said, heard }
    }

    /// Looks at a line.
    pub(crate) fn line(&self, text: &str) {
        if let Some(found) = read(text) {
            self.said.send_replace(Some(found));
        }
    }

    /// Writes for ever.
    pub(crate) async fn keep(&self, parts: &Parts, work: &Work) {
        let mut heard = self.heard.clone();
        let mut next = Instant::now();
        while heard.changed().await.is_ok() {
            sleep_until(next).await;
            next = Instant::now() + PAUSE;
            let Some((percent, message)) = heard.borrow_and_update().clone() else { continue };
            let (job, run_id, at) = (work.job.clone(), work.run_id, parts.clock.now());
            let writing = write(parts, Progress { job, run_id, percent, message, at });
            if !matches!(timeout(PATIENCE, writing).await, Ok(Ok(()))) {
                tracing::debug!(%run_id, "how far it is could not be kept");
            }
        }
    }

    /// Forgets what was kept, if anything was.
    pub(crate) async fn end(&self, parts: &Parts, work: &Work) {
        if self.heard.borrow().is_some() {
            let _ = timeout(LAST, forget(&*parts.store, work.run_id)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_a_run_is_or_it_does_not() {
        assert_eq!(read("::progress 42 copying"), Some((42.0, "copying".into())));
        assert_eq!(read("::progress 42.5"), Some((42.5, String::new())));
        assert_eq!(read("::progress 100% all  done "), Some((100.0, "all  done".into())));
        assert_eq!(read("::progress 7 \u{1b}[31mred"), Some((7.0, "[31mred".into())));
        for no in [
            "::progress",
            "::progress x",
            "::progress 101",
            "::progress -1",
            "::progress NaN",
            " ::progress 1",
            "progress 1",
        ] {
            assert_eq!(read(no), None, "{no}");
        }
    }
}

//! Runs that were asked for under a key: asked again within a day they are the same, however short the history is.

use std::time::Duration;

use super::Desk;
use super::refusal::Refusal;
use crate::lease::RunId;
use crate::store::{Collection, Draft, Expect, Query, Span, StoreError};

/// So long a key is remembered.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// One in so many requests looks after those that are older.
const SELDOM: f64 = 50.0;

/// Requests that are looked at then.
const PAGE: usize = 500;

impl Desk {
    /// Whether a run was asked for before.
    pub(super) async fn was_asked(&self, run: RunId) -> Result<bool, Refusal> {
        let store = &self.parts.store;
        if self.in_time(store.document(Collection::Requests, &run.to_string())).await?.is_some() {
            return Ok(true);
        }
        let query = Query { id: Some(run.to_string()), limit: 1, ..Query::default() };
        Ok(!self.in_time(store.history(&query)).await?.is_empty())
    }

    /// Remembers that a run was asked for. That comes after it is: until then the record itself knows it, and a crash
    /// in between loses no run.
    pub(super) async fn remember_asked(&self, run: RunId) -> Result<(), Refusal> {
        let now = self.parts.clock.now().as_micros();
        let (collection, key, body) = (Collection::Requests, run.to_string(), Some(now.to_string()));
        let draft = Draft { collection, key, expect: Expect::Any, body };
        self.in_time(self.parts.store.write_document(&draft)).await?;
        if self.parts.dice.roll() * SELDOM < 1.0
            && let Err(error) = self.in_time(self.prune_asked(now)).await
        {
            tracing::debug!(%error, "old requests stay for now");
        }
        Ok(())
    }

    /// Forgets the old ones, a page at a time.
    async fn prune_asked(&self, now: i64) -> Result<(), StoreError> {
        let store = &self.parts.store;
        let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        let mut span = Span { limit: PAGE, ..Span::default() };
        loop {
            let page = store.documents(Collection::Requests, &span).await?;
            for document in &page {
                if document.body.parse::<i64>().is_ok_and(|at| now - at < kept) {
                    continue;
                }
                let expect = Expect::Version(document.version);
                let (collection, key) = (Collection::Requests, document.key.clone());
                store.write_document(&Draft { collection, key, expect, body: None }).await?;
            }
            let Some(last) = page.last().filter(|_| page.len() == PAGE) else { return Ok(()) };
            span.after = Some(last.key.clone());
        }
    }
}

//! Who changed what, as it was written down.

use super::Desk;
use super::page::{Slice, cursor};
use super::refusal::Refusal;
use crate::shape::Page;
use crate::store::{Collection, Span};

impl Desk {
    /// The entries of the audit, newest first, as they stand in the store. While that is away the newest are known.
    ///
    /// # Errors
    /// The cursor is none, or the store does not answer.
    pub async fn audit(&self, slice: &Slice) -> Result<Page<String>, Refusal> {
        let (most, after) = (slice.most()?, slice.after()?);
        let is_first = after.is_none();
        let page = self.audit_of(most, after).await;
        if !is_first {
            return page;
        }
        let mut page = self.last.audit.or_last(page).await?;
        if page.items.len() > most {
            (page.items, page.next_cursor) = (page.items.drain(..most).collect(), None);
        }
        Ok(page)
    }

    async fn audit_of(&self, most: usize, after: Option<String>) -> Result<Page<String>, Refusal> {
        let span = Span { prefix: String::new(), after, newest_first: true, limit: most.saturating_add(1) };
        let mut found = self.in_time(self.parts.store.documents(Collection::Audit, &span)).await?;
        let more = found.len() > most;
        found.truncate(most);
        let next_cursor = found.last().filter(|_| more).map(|document| cursor(&document.key));
        let items = found.into_iter().map(|document| document.body).collect();
        Ok(Page { items, next_cursor, total: None, now: self.parts.clock.now(), stale_since: None })
    }
}

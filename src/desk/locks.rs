//! Who holds what, and ending a hold by force.

use super::last::not_known;
use super::refusal::{Refusal, Why};
use super::{Desk, Look};
use crate::config;
use crate::lease::Fence;
use crate::record::{Op, Reply};
use crate::shape::{Lock, Page, Released};

impl Desk {
    /// All locks of the cluster.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn locks(&self) -> Result<Page<Lock>, Refusal> {
        Ok(Desk::locks_of(&self.look().await?))
    }

    fn locks_of(look: &Look) -> Page<Lock> {
        let items = Lock::all(&look.snapshot);
        let total = Some(items.len());
        Page { items, next_cursor: None, total, now: look.snapshot.now, stale_since: look.stale_since }
    }

    /// The locks of this name: several when the job's runs may stand side by side.
    ///
    /// # Errors
    /// Nobody holds it, or the store does not answer.
    pub async fn lock(&self, key: &str) -> Result<Page<Lock>, Refusal> {
        Desk::lock_of(&self.look().await?, key)
    }

    fn lock_of(look: &Look, key: &str) -> Result<Page<Lock>, Refusal> {
        let mut page = Desk::locks_of(look);
        let known: Vec<String> = page.items.iter().map(|lock| lock.key.clone()).collect();
        page.items.retain(|lock| lock.key == key);
        page.total = Some(page.items.len());
        if let Some(since) = page.stale_since.filter(|_| page.items.is_empty()) {
            return Err(not_known(&format!("no hold on `{key}`"), since));
        }
        if page.items.is_empty() {
            let hint = match config::nearest(key, known.iter().map(String::as_str)) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "`cronclave locks` lists those that are".to_owned(),
            };
            return Err(Refusal::new(Why::NotFound, format!("nobody holds a lock `{key}`: {hint}")));
        }
        Ok(page)
    }

    /// Ends the hold on `key` under `token`, and no newer one.
    ///
    /// # Errors
    /// Nobody holds it, it is held under another token, or the store does not answer.
    pub async fn release(&self, key: &str, token: Fence, by: String) -> Result<Released, Refusal> {
        super::act::brief(Some(&by))?;
        let look = self.look().await?;
        let page = Desk::lock_of(&look, key)?;
        let moved = || {
            let detail = format!("{key} is not held under token {token} (any more): look again with `cronclave locks`");
            Refusal::new(Why::LockMoved, detail)
        };
        let lock = page.items.iter().find(|lock| lock.fencing_token == token).ok_or_else(moved)?;
        let record = look.snapshot.records.get(&lock.job);
        let open = record.as_ref().and_then(|record| record.run(lock.run_id));
        open.iter().for_each(|open| self.tell_about(open));
        let evict = Op::Evict { run_id: lock.run_id, fence: lock.fencing_token, by };
        let answer = self.apply(&lock.job, &evict).await?;
        match answer.reply {
            Reply::Done => Ok(Released {
                key: key.to_owned(),
                job: lock.job.clone(),
                run_id: lock.run_id,
                fencing_token: token,
                released: !answer.events.is_empty(),
            }),
            _ => Err(moved()),
        }
    }
}

//! Hooks of the schedule files and webhooks that were registered: looked at, registered, tested, told again.

use std::collections::BTreeMap;

use super::page::{Slice, cursor, wrong_cursor};
use super::refusal::{Refusal, Why};
use super::{Desk, LIMIT};
use crate::config;
use crate::hook::shape::{self, Shown, ShownDelivery, ShownRegistered, Tested};
use crate::hook::{self, Refused, Registry, Standing, To, Wish};
use crate::job::HookName;
use crate::shape::{Page, Seen};

/// Hooks whose deliveries are known while the store is away.
const REMEMBERED: usize = 100;

/// The newest deliveries of some hooks.
pub(super) type Deliveries = BTreeMap<String, Page<ShownDelivery>>;

impl Desk {
    fn registry(&self) -> Registry {
        Registry::new(&self.parts, &self.hooks)
    }

    /// All hooks: those of the files, then those that were registered.
    ///
    /// # Errors
    /// The store does not answer, and never did.
    pub async fn webhooks(&self) -> Result<Page<Shown>, Refusal> {
        self.last.hooks.or_last(self.all_hooks().await).await
    }

    async fn all_hooks(&self) -> Result<Page<Shown>, Refusal> {
        let registry = self.registry();
        let mut items = Vec::new();
        for one in self.known().hooks.values() {
            items.push(shape::hook(one, self.in_time(registry.off(one)).await?.as_ref()));
        }
        items.extend(self.in_time(registry.list()).await?.values().map(shape::webhook));
        let total = Some(items.len());
        Ok(Page { items, next_cursor: None, total, now: self.parts.clock.now(), stale_since: None })
    }

    /// One of them.
    ///
    /// # Errors
    /// There is none of this name; or the store does not answer, and none was known.
    pub async fn webhook(&self, name: &str) -> Result<Seen<Shown>, Refusal> {
        let refusal = match self.one_webhook(name).await {
            Ok(it) => return Ok(Seen { it, stale_since: None }),
            Err(refusal) if refusal.why == Why::StoreDown => refusal,
            Err(other) => return Err(other),
        };
        let known = self.webhooks().await?;
        let it = known.items.into_iter().find(|one| one.id.as_str() == name).ok_or(refusal)?;
        Ok(Seen { it, stale_since: known.stale_since })
    }

    async fn one_webhook(&self, name: &str) -> Result<Shown, Refusal> {
        let registry = self.registry();
        let jobs = self.known();
        if let Some(one) = HookName::new(name).and_then(|name| jobs.hooks.get(&name).cloned()) {
            return Ok(shape::hook(&one, self.in_time(registry.off(&one)).await?.as_ref()));
        }
        let found = self.in_time(async {
            match registry.get(name).await {
                Err(Refused::Store(error)) => Err(error),
                found => Ok(found.ok()),
            }
        });
        match found.await? {
            Some(one) => Ok(shape::webhook(&one)),
            None => Err(self.no_webhook(name).await?),
        }
    }

    async fn no_webhook(&self, name: &str) -> Result<Refusal, Refusal> {
        let all = self.webhooks().await?;
        let hint = match config::nearest(name, all.items.iter().map(|one| one.id.as_str())) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "`cronclave hooks` lists them".to_owned(),
        };
        Ok(Refusal::new(Why::NotFound, format!("there is no hook `{name}`: {hint}")))
    }

    /// Who is called so. A hook of the files comes first, unless it is said which kind is meant: `webhook/NAME`.
    async fn hears(&self, name: &str) -> Result<To, Refusal> {
        if name.contains('/') {
            return name.parse().map_err(|why: hook::Nobody| Refusal::new(Why::Invalid, why.to_string()));
        }
        let one = self.one_webhook(name).await?;
        Ok(match one.source {
            shape::Source::File => To::Hook(one.id),
            shape::Source::Api => To::Webhook(one.id),
        })
    }

    /// Registers a webhook, or renews it. Whether it is new.
    ///
    /// # Errors
    /// What was said cannot be used, a file has a hook of this name, or the store does not answer.
    pub async fn register(&self, id: &str, wish: &Wish, by: &str) -> Result<(ShownRegistered, bool), Refusal> {
        if self.known().hooks.keys().any(|name| name.as_str() == id) {
            let detail = format!("a hook `{id}` is declared in the schedule files: choose another name");
            return Err(Refusal::new(Why::Full, detail));
        }
        let done = self.registry().put(id, wish, by).await?;
        let webhook = shape::webhook(&done.registration);
        Ok((ShownRegistered { webhook, secret: done.secret.map(|secret| secret.0) }, done.is_new))
    }

    /// Removes a webhook that was registered.
    ///
    /// # Errors
    /// There is none, or the store does not answer.
    pub async fn unregister(&self, id: &str) -> Result<Shown, Refusal> {
        let one = self.one_webhook(id).await?;
        if one.source == shape::Source::File {
            let detail = format!("hook `{id}` is declared in the schedule files: remove it there");
            return Err(Refusal::new(Why::Full, detail));
        }
        self.registry().remove(id).await?;
        Ok(one)
    }

    /// Sends a `hook.test` event, at once and once.
    ///
    /// # Errors
    /// There is no such hook, or the store does not answer.
    pub async fn test_webhook(&self, name: &str) -> Result<Tested, Refusal> {
        let verdict = match self.hears(name).await? {
            To::Hook(name) => match self.known().hooks.get(&name).cloned() {
                Some(one) => hook::test(&self.parts, &self.hooks, &one).await?,
                None => return Err(self.no_webhook(name.as_str()).await?),
            },
            To::Webhook(id) => {
                let one = self.registry().get(id.as_str()).await?;
                hook::test_webhook(&self.parts, &self.hooks, &one).await?
            }
            To::Ping(_) => return Err(Refusal::new(Why::Invalid, "a ping has no event to be tested with")),
        };
        Ok(verdict.into())
    }

    /// What waits for a hook, and what it did not take: the newest first. While the store is away the newest are known.
    ///
    /// # Errors
    /// There is no such hook, the cursor is none; or the store does not answer, and what is asked for is not known.
    pub async fn deliveries(
        &self,
        name: &str,
        state: Option<Standing>,
        slice: &Slice,
    ) -> Result<Page<ShownDelivery>, Refusal> {
        let (most, after) = (slice.most()?, slice.after()?);
        if after.as_ref().is_some_and(|id| uuid::Uuid::parse_str(id).is_err()) {
            return Err(wrong_cursor());
        }
        match self.deliveries_to(name, state, most, after.as_deref()).await {
            Err(refusal) if refusal.why == Why::StoreDown && after.is_none() => {
                let known = self.last.deliveries.read().await.get(name).cloned();
                let mut page = known.ok_or(refusal)?;
                page.stale_since = Some(page.now);
                page.items.retain(|one| state.is_none_or(|wanted| one.state == wanted));
                let more = page.items.len() > most;
                page.items.truncate(most);
                let last = page.items.last().filter(|_| more).map(|one| cursor(&one.id));
                Ok(Page { next_cursor: last.or(page.next_cursor), ..page })
            }
            answer => answer,
        }
    }

    async fn deliveries_to(
        &self,
        name: &str,
        state: Option<Standing>,
        most: usize,
        after: Option<&str>,
    ) -> Result<Page<ShownDelivery>, Refusal> {
        let to = self.hears(name).await?;
        let registry = self.registry();
        let mut found = self.in_time(registry.deliveries(&to, state, after, most + 1)).await?;
        let more = found.len() > most;
        found.truncate(most);
        let next_cursor = found.last().filter(|_| more).map(|one| cursor(&one.id));
        let items = found.iter().map(shape::delivery).collect();
        Ok(Page { items, next_cursor, total: None, now: self.parts.clock.now(), stale_since: None })
    }

    /// Keeps the newest deliveries of each of `hooks`, for the time while the store is away.
    pub(super) async fn remember_deliveries(&self, hooks: &[Shown]) -> Result<(), Refusal> {
        let mut all = Deliveries::new();
        for hook in hooks.iter().take(REMEMBERED) {
            match self.deliveries_to(hook.id.as_str(), None, LIMIT, None).await {
                Ok(page) => drop(all.insert(hook.id.to_string(), page)),
                // It was removed since.
                Err(refusal) if refusal.why == Why::NotFound => {}
                Err(other) => return Err(other),
            }
        }
        *self.last.deliveries.write().await = all;
        Ok(())
    }

    /// Has one sent again.
    ///
    /// # Errors
    /// There is no such hook or delivery, or the store does not answer.
    pub async fn resend(&self, name: &str, id: &str) -> Result<ShownDelivery, Refusal> {
        let to = self.hears(name).await?;
        Ok(shape::delivery(&self.registry().resend(&to, id).await?))
    }

    /// Switches a hook on that was switched off.
    ///
    /// # Errors
    /// There is none, or the store does not answer.
    pub async fn enable_webhook(&self, name: &str) -> Result<Shown, Refusal> {
        let to = self.hears(name).await?;
        let registry = self.registry();
        let (To::Hook(id) | To::Webhook(id)) = &to else {
            return Err(Refusal::new(Why::Invalid, "a ping is never switched off"));
        };
        self.in_time(registry.switch_on(&to)).await?;
        self.one_webhook(id.as_str()).await
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Refusal {
        match refused {
            Refused::Invalid { field: "id", message } => Refusal::new(Why::Invalid, format!("the id: {message}")),
            Refused::Invalid { field, message } => Refusal::wrong(&format!("/{field}"), "invalid", message),
            Refused::NotFound(_) => Refusal::new(Why::NotFound, refused.to_string()),
            Refused::Full | Refused::Busy => Refusal::new(Why::Full, refused.to_string()),
            Refused::Store(error) => error.into(),
        }
    }
}

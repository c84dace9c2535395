//! Webhooks that are registered while the cluster runs: who registers again renews, so that a client that restarts does
//! not pile them up. And what people may ask about hooks of either kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use url::Url;

use super::Settings;
use super::delivery::{self, Delivery, Standing, To};
use super::guard;
use super::registration::{MOST, Off, Refused, Registered, Registration, Wish, invalid, renewed};
use crate::announce;
use crate::clock::Clock;
use crate::hash::stable_digest;
use crate::job::{Hook, HookName, Pattern, Reach, Text};
use crate::parts::Parts;
use crate::store::{Collection, Draft, Expect, Span, Store, StoreError};

/// A write that others were quicker than is tried again so often.
const TRIES: usize = 10;

fn registration(id: &HookName) -> String {
    format!("webhook/{id}")
}

fn draft(one: &Registration, expect: Expect) -> Draft {
    let body = serde_json::to_string(one).ok();
    Draft { collection: Collection::Webhooks, key: registration(&one.id), expect, body }
}

fn off(name: &HookName) -> String {
    format!("off/{name}")
}

/// What the cluster knows of webhooks.
#[derive(Clone)]
pub struct Registry {
    store: Arc<dyn Store>,
    clock: Clock,
    reach: Reach,
}

impl Registry {
    /// On the store of `parts`.
    pub fn new(parts: &Parts, settings: &Settings) -> Registry {
        Registry { store: parts.store.clone(), clock: parts.clock.clone(), reach: settings.reach }
    }

    /// Where registered webhooks may be.
    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// Registers a webhook, or renews it: what is said replaces what was, but for the secret, and one that was switched
    /// off is on again.
    ///
    /// # Errors
    /// Why not.
    pub async fn put(&self, id: &str, wish: &Wish, by: &str) -> Result<Registered, Refused> {
        let Some(id) = HookName::new(id) else {
            return invalid("id", "only a-z, 0-9, `-` and `_`, at most 63 characters, not `-` or `_` first");
        };
        let events = self.check(wish)?;
        for _ in 0..TRIES {
            let before = self.store.document(Collection::Webhooks, &registration(&id)).await?;
            let expect = before.as_ref().map_or(Expect::Absent, |one| Expect::Version(one.version));
            let now = self.clock.now();
            let before = before.as_ref().and_then(Registration::read).filter(|one| !one.is_over(now));
            if before.is_none() && self.list().await?.len() >= MOST {
                return Err(Refused::Full);
            }
            let (registration, secret) = renewed((&id, by), wish, &events, before.as_ref(), now)?;
            if self.store.write_document(&draft(&registration, expect)).await?.is_some() {
                return Ok(Registered { registration, secret, is_new: before.is_none() });
            }
        }
        Err(Refused::Busy)
    }

    fn check(&self, wish: &Wish) -> Result<Vec<Pattern>, Refused> {
        let Ok(url) = Url::parse(&wish.url) else {
            return invalid("url", "it is not a URL: write it as in https://app.example/hooks");
        };
        if let Err(why) = guard::check(&url, self.reach) {
            return invalid("url", why.to_string());
        }
        if wish.url.len() > 2000 {
            return invalid("url", "it is longer than 2000 bytes");
        }
        if wish.events.is_empty() || wish.events.len() > 50 {
            return invalid("events", "1 to 50 kinds of events, as in [\"run.failed\", \"job.*\"]");
        }
        if wish.description.as_ref().is_some_and(|text| text.len() > 500) {
            return invalid("description", "it is longer than 500 bytes");
        }
        let mut events = Vec::new();
        for text in &wish.events {
            let Some(pattern) = Pattern::new(text, announce::recorded()) else {
                return invalid("events", format!("no event of jobs or runs is called {text:?}: see docs/EVENTS.md"));
            };
            events.push(pattern);
        }
        Ok(events)
    }

    /// All that are registered now, by their ids.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self) -> Result<BTreeMap<HookName, Registration>, StoreError> {
        let span = Span { prefix: "webhook/".into(), ..Span::default() };
        let all = self.store.documents(Collection::Webhooks, &span).await?;
        let now = self.clock.now();
        let sound = all.iter().filter_map(Registration::read).filter(|one| !one.is_over(now));
        Ok(sound.map(|one| (one.id.clone(), one)).collect())
    }

    /// All that are registered now, and which of `hooks` are switched off.
    pub(super) async fn known(
        &self,
        hooks: &BTreeMap<HookName, Arc<Hook>>,
    ) -> Result<(BTreeMap<HookName, Registration>, BTreeSet<HookName>), StoreError> {
        let all = self.store.documents(Collection::Webhooks, &Span::default()).await?;
        let now = self.clock.now();
        let (mut registered, mut silent) = (BTreeMap::new(), BTreeSet::new());
        for document in &all {
            if let Some(name) = document.key.strip_prefix("off/").and_then(HookName::new) {
                let known = serde_json::from_str::<Off>(&document.body).ok();
                let same = |hook: &Arc<Hook>| known.as_ref().is_some_and(|known| known.mark == mark(hook));
                silent.extend(hooks.get(&name).is_some_and(same).then_some(name));
            } else if let Some(one) = Registration::read(document).filter(|one| !one.is_over(now)) {
                registered.insert(one.id.clone(), one);
            }
        }
        Ok((registered, silent))
    }

    /// One of them.
    ///
    /// # Errors
    /// When there is none, or the store does not answer.
    pub async fn get(&self, id: &str) -> Result<Registration, Refused> {
        let missing = || Refused::NotFound(format!("webhook `{id}`"));
        let id = HookName::new(id).ok_or_else(missing)?;
        let found = self.store.document(Collection::Webhooks, &registration(&id)).await?;
        let now = self.clock.now();
        found.as_ref().and_then(Registration::read).filter(|one| !one.is_over(now)).ok_or_else(missing)
    }

    /// Removes one, and what waits for it.
    ///
    /// # Errors
    /// When there is none, or the store does not answer.
    pub async fn remove(&self, id: &str) -> Result<Registration, Refused> {
        let registered = self.get(id).await?;
        let key = registration(&registered.id);
        self.store
            .write_document(&Draft { collection: Collection::Webhooks, key, expect: Expect::Any, body: None })
            .await?;
        self.forget(&To::Webhook(registered.id.clone())).await?;
        Ok(registered)
    }

    /// Removes those whose time is over.
    pub(super) async fn expire(&self) -> Result<(), StoreError> {
        let span = Span { prefix: "webhook/".into(), ..Span::default() };
        let now = self.clock.now();
        for document in self.store.documents(Collection::Webhooks, &span).await? {
            let Some(one) = Registration::read(&document).filter(|one| one.is_over(now)) else { continue };
            let expect = Expect::Version(document.version);
            let draft = Draft { collection: Collection::Webhooks, key: document.key, expect, body: None };
            if self.store.write_document(&draft).await?.is_some() {
                self.forget(&To::Webhook(one.id)).await?;
            }
        }
        Ok(())
    }

    async fn forget(&self, to: &To) -> Result<(), StoreError> {
        let span = Span { prefix: format!("{to}/"), limit: 200, ..Span::default() };
        loop {
            let some = self.store.documents(Collection::Deliveries, &span).await?;
            if some.is_empty() {
                return Ok(());
            }
            for one in some {
                self.store.write_document(&delivery::removal(&one.key, Expect::Any)).await?;
            }
        }
    }

    /// What is on its way to `to`, or could not be delivered: the newest first, those before `after`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn deliveries(
        &self,
        to: &To,
        standing: Option<Standing>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let mut span = Span {
            prefix: format!("{to}/"),
            after: after.map(|id| delivery::key(to, id)),
            newest_first: true,
            limit: limit.clamp(50, 500),
        };
        let mut found = Vec::new();
        loop {
            let page = self.store.documents(Collection::Deliveries, &span).await?;
            let Some(last) = page.last() else { return Ok(found) };
            span.after = Some(last.key.clone());
            let all = page.iter().filter_map(Delivery::read);
            found.extend(all.filter(|one| standing.is_none_or(|wanted| one.standing == wanted)));
            if found.len() >= limit || page.len() < span.limit {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// Has one sent again, at once and then as often as the first time. Whoever delivers sees to it within a second or so.
    ///
    /// # Errors
    /// When there is none, or the store does not answer.
    pub async fn resend(&self, to: &To, id: &str) -> Result<Delivery, Refused> {
        let missing = || Refused::NotFound(format!("delivery `{id}` to {to}"));
        let id = uuid::Uuid::parse_str(id).map_err(|_| missing())?;
        let key = delivery::key(to, &id.to_string());
        let found = self.store.document(Collection::Deliveries, &key).await?;
        let delivery = found.as_ref().and_then(Delivery::read).ok_or_else(missing)?;
        let draft = Draft {
            collection: Collection::Deliveries,
            key: again(&key),
            expect: Expect::Any,
            body: Some("{}".into()),
        };
        self.store.write_document(&draft).await?;
        Ok(delivery)
    }

    /// Switches a hook off for good, until somebody switches it on. Whether it was on.
    pub(super) async fn switch_off(&self, to: &To, hook: Option<&Hook>, why: &str) -> Result<bool, StoreError> {
        let at = self.clock.now();
        match (to, hook) {
            (To::Hook(name), Some(hook)) => {
                let body = serde_json::to_string(&Off { at, why: why.to_owned(), mark: mark(hook) }).ok();
                let before = self.store.document(Collection::Webhooks, &off(name)).await?;
                let known = before.as_ref().and_then(|one| serde_json::from_str::<Off>(&one.body).ok());
                if known.is_some_and(|known| known.mark == mark(hook)) {
                    return Ok(false);
                }
                let expect = before.map_or(Expect::Absent, |one| Expect::Version(one.version));
                let draft = Draft { collection: Collection::Webhooks, key: off(name), expect, body };
                Ok(self.store.write_document(&draft).await?.is_some())
            }
            (To::Webhook(id), _) => {
                let Some(document) = self.store.document(Collection::Webhooks, &registration(id)).await? else {
                    return Ok(false);
                };
                let Some(mut one) = Registration::read(&document).filter(|one| one.off.is_none()) else {
                    return Ok(false);
                };
                one.off = Some(Off { at, why: why.to_owned(), mark: String::new() });
                Ok(self.store.write_document(&draft(&one, Expect::Version(document.version))).await?.is_some())
            }
            _ => Ok(false),
        }
    }

    /// Why a hook of the files is off, if it is. One whose URL is another since is not.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn off(&self, hook: &Hook) -> Result<Option<Off>, StoreError> {
        let found = self.store.document(Collection::Webhooks, &off(&hook.name)).await?;
        let known = found.and_then(|one| serde_json::from_str::<Off>(&one.body).ok());
        Ok(known.filter(|known| known.mark == mark(hook)))
    }

    /// Switches a hook on that was switched off. Whether it was off.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn switch_on(&self, to: &To) -> Result<bool, StoreError> {
        match to {
            To::Hook(name) => {
                let key = off(name);
                if self.store.document(Collection::Webhooks, &key).await?.is_none() {
                    return Ok(false);
                }
                let draft = Draft { collection: Collection::Webhooks, key, expect: Expect::Any, body: None };
                Ok(self.store.write_document(&draft).await?.is_some())
            }
            To::Webhook(id) => {
                let found = self.store.document(Collection::Webhooks, &registration(id)).await?;
                let one = found.as_ref().and_then(Registration::read).filter(|one| one.off.is_some());
                let (Some(mut one), Some(found)) = (one, found) else { return Ok(false) };
                one.off = None;
                Ok(self.store.write_document(&draft(&one, Expect::Version(found.version))).await?.is_some())
            }
            To::Ping(_) => Ok(false),
        }
    }
}

/// The key of a request to send something again.
pub(super) fn again(key: &str) -> String {
    format!("{AGAIN}{key}")
}

/// How the keys of such requests begin.
pub(super) const AGAIN: &str = "resend/";

/// Tells one URL from another, without saying which it is.
fn mark(hook: &Hook) -> String {
    let url = match &hook.url {
        Text::Plain(url) => url.clone(),
        Text::Secret { value, .. } => value.clone().unwrap_or_default(),
    };
    stable_digest(&[b"hook", url.as_bytes()])[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

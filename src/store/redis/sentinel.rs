//! What the sentinels say: which server is the master now, and whether it still is the one we use.
//!
//! All are asked, and the newest decision counts: one that was cut off from the others may still
//! name the old master, which may still take writes. Two masters would each start everything.

use std::collections::HashMap;
use std::time::Duration;

use redis::cmd;
use tokio::time::{Instant, sleep};

use super::dial::share;
use super::peer::Peer;
use super::resolve::{Found, Way, joined};
use super::words::Site;
use crate::store::StoreError;
use crate::store::address::{Place, Sentinels};

/// Between two looks at what the sentinels say, about.
const WATCH: Duration = Duration::from_secs(2);

/// What one sentinel says.
struct Says {
    /// Grows with each decision.
    epoch: u64,
    master: Place,
    /// Which sentinel.
    at: Place,
}

impl Way {
    /// Connects to the master.
    pub(super) async fn by_sentinels(&self, sentinels: &Sentinels, limit: Instant) -> Result<Found, StoreError> {
        // Some of the time is for the master itself.
        let told = self.newest(sentinels, None, limit, 2).await?;
        let how = format!(" (`{}`, says the sentinel {})", sentinels.master, told.at);
        self.enter(&told.master, &how, limit).await
    }

    /// Returns when `found` is not ours any more: it has ended, or was ended because the sentinels
    /// chose another. At once where there are none to ask.
    pub(super) async fn watch(&self, found: &Found) {
        let Some(sentinels) = &self.address.sentinels else { return };
        while !found.peer.is_over() {
            sleep(WATCH.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
            let limit = Instant::now() + WATCH;
            match self.newest(sentinels, Some(&found.place), limit, 0).await {
                Ok(told) if told.master != found.place => {
                    tracing::debug!(master = %told.master, sentinel = %told.at, "another master");
                    found.peer.end();
                }
                // Without them all stays as it is.
                _ => {}
            }
        }
    }

    /// The newest decision among all sentinels that answer; of two as new the one for `current`.
    async fn newest(
        &self,
        sentinels: &Sentinels,
        current: Option<&Place>,
        limit: Instant,
        reserve: usize,
    ) -> Result<Says, StoreError> {
        let places = &self.address.places;
        let (mut best, mut troubles) = (None::<Says>, Vec::new());
        for (index, place) in places.iter().enumerate() {
            let says = self.says(sentinels, place, share(limit, places.len() - index + reserve)).await;
            let rank = |says: &Says| (says.epoch, Some(&says.master) == current);
            match says {
                Ok(says) if best.as_ref().is_none_or(|best| rank(&says) > rank(best)) => best = Some(says),
                Ok(_) => {}
                Err(trouble) => troubles.push(trouble),
            }
        }
        best.ok_or_else(|| joined(troubles))
    }

    /// What the sentinel at `place` takes for the master.
    async fn says(&self, sentinels: &Sentinels, place: &Place, limit: Instant) -> Result<Says, StoreError> {
        let site = Site { is_sentinel: true, ..self.site(place, &sentinels.login, " (sentinel)") };
        let peer = Peer::open((&self.address, &sentinels.login), place, site, &self.hear, limit).await?;
        let name = &sentinels.master;
        let asked = peer.get(cmd("SENTINEL").arg("get-master-addr-by-name").arg(name), limit).await;
        let answer: Option<(String, u16)> = asked.map_err(|fault| match fault.is("ERR") {
            true => peer.site.trouble("it is no sentinel: for a server of its own write redis://"),
            false => fault.error,
        })?;
        let (host, port) = answer.ok_or_else(|| {
            peer.site.trouble(format!(
                "it knows no master `{name}`: `redis-cli -p 26379 sentinel masters` lists what it does, often `mymaster`"
            ))
        })?;
        // Who may not ask this does with the order in the URL.
        let more: HashMap<String, String> =
            peer.get(cmd("SENTINEL").arg("MASTER").arg(name), limit).await.unwrap_or_default();
        let epoch = more.get("config-epoch").and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(Says { epoch, master: Place::Tcp(host, port), at: place.clone() })
    }
}

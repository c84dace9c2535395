//! Which server holds our keys: the one in the URL, the one the sentinels name, or the one of a
//! cluster that has our slot. Asked anew for each connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redis::{Value, cmd};
use tokio::time::Instant;

use super::dial::share;
use super::link::Hear;
use super::peer::{Peer, Server};
use super::words::{REPLICA, Site};
use crate::store::address::{Address, Login, Place};
use crate::store::{StoreError, Trouble};

/// The way to our server.
pub(super) struct Way {
    pub(super) address: Address,
    channel: String,
    pub(super) hear: Arc<Hear>,
    /// Servers of the cluster that were heard of: the one in the URL may be gone one day.
    others: Mutex<Vec<Place>>,
    /// Where a server said to go instead.
    hint: Mutex<Option<Place>>,
    warned: [AtomicBool; 3],
}

/// Our server, and what it says about itself.
pub(super) struct Found {
    pub(super) peer: Peer,
    /// As it was named to us.
    pub(super) place: Place,
    pub(super) server: Server,
}

impl Way {
    pub(super) fn new(address: Address, channel: String, hear: Arc<Hear>) -> Way {
        Way { address, channel, hear, others: Mutex::default(), hint: Mutex::default(), warned: Default::default() }
    }

    /// Begins there next time: a server named it.
    pub(super) fn suggest(&self, place: &str) {
        let place = place.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        // Without a host it means its own, which we do not know here.
        if let Some((host, port)) = place.filter(|(host, _)| !host.is_empty()) {
            *lock(&self.hint) = Some(Place::Tcp(host.trim_matches(['[', ']']).to_owned(), port));
        }
    }

    /// Connects to our server before `limit`.
    pub(super) async fn find(&self, limit: Instant) -> Result<Found, StoreError> {
        let hint = lock(&self.hint).take();
        if let Some(place) = hint
            && let Ok(found) = self.enter(&place, " (named by its cluster)", share(limit, 3)).await
        {
            return self.settled(found, limit).await;
        }
        let found = match &self.address.sentinels {
            Some(sentinels) => self.by_sentinels(sentinels, limit).await?,
            None => self.by_seeds(limit).await?,
        };
        self.settled(found, limit).await
    }

    async fn settled(&self, found: Found, limit: Instant) -> Result<Found, StoreError> {
        if found.server.may_be_alone() {
            self.warn_once(
                2,
                &format!(
                    "{}: it has replicas, and takes writes without them: cut off from them, it and the one that is \
                     promoted in its place could both start a run. Set `min-replicas-to-write 1` in redis.conf, and for \
                     starts that none can lose CRONCLAVE_DURABILITY=replicated",
                    found.peer.site.name
                ),
            );
        }
        let deaf = found.peer.settle(self.address.db, &self.channel, limit).await?;
        if let Some(fault) = deaf {
            self.warn_once(1, &format!("{}; changes are noticed later without", fault.error));
        }
        Ok(found)
    }

    fn warn_once(&self, which: usize, text: &str) {
        if !self.warned[which].swap(true, Ordering::SeqCst) {
            tracing::warn!("{text}");
        }
    }

    /// How people know the server at `place`.
    pub(super) fn site(&self, place: &Place, login: &Login, how: &str) -> Site {
        let scheme = match (place, self.address.tls) {
            (Place::Unix(_), _) => "redis+unix",
            (_, true) => "rediss",
            (_, false) => "redis",
        };
        Site {
            name: format!("{scheme}://{place}{how}"),
            user: login.user.clone(),
            has_password: login.password.is_some(),
            is_sentinel: false,
            tls: self.address.tls,
            prefix: self.channel.split_inclusive('}').next().unwrap_or_default().to_owned(),
        }
    }

    async fn open(&self, place: &Place, how: &str, limit: Instant) -> Result<(Peer, Server), StoreError> {
        let login = &self.address.login;
        let site = self.site(place, login, how);
        let peer = Peer::open((&self.address, login), place, site, &self.hear, limit).await?;
        let server = match peer.get::<String>(&cmd("INFO"), limit).await {
            Ok(info) => Server::read(&info),
            Err(fault) if fault.is("NOPERM") => {
                let risk = "so it is not known whether the server may throw away what it keeps";
                self.warn_once(0, &format!("{}; {risk}", fault.error));
                // Nobody is forbidden this.
                let hello = peer.get::<HashMap<String, Value>>(&cmd("HELLO"), limit).await;
                hello.as_ref().map(Server::greeted).unwrap_or_default()
            }
            Err(fault) => return Err(fault.error),
        };
        Ok((peer, server))
    }

    /// Connects to a server that should be ours.
    pub(super) async fn enter(&self, place: &Place, how: &str, limit: Instant) -> Result<Found, StoreError> {
        let (peer, server) = self.open(place, how, limit).await?;
        self.fit(peer, place, server)
    }

    fn fit(&self, peer: Peer, place: &Place, server: Server) -> Result<Found, StoreError> {
        if let Some(why) = server.objection(self.address.allows_eviction) {
            return Err(peer.site.trouble(why));
        }
        if server.is_replica() {
            return Err(peer.site.trouble(REPLICA));
        }
        Ok(Found { peer, place: place.clone(), server })
    }

    /// The first server in the URL that will do, or, when it is of a cluster, that cluster's for us.
    async fn by_seeds(&self, limit: Instant) -> Result<Found, StoreError> {
        let mut places = self.address.places.clone();
        let others = lock(&self.others).clone();
        places.extend(others.into_iter().filter(|place| !self.address.places.contains(place)));
        let mut troubles = Vec::new();
        for (index, place) in places.iter().enumerate() {
            match self.by_seed(place, share(limit, places.len() - index)).await {
                Ok(found) => return Ok(found),
                Err(trouble) => troubles.push(trouble),
            }
        }
        Err(joined(troubles))
    }

    async fn by_seed(&self, place: &Place, limit: Instant) -> Result<Found, StoreError> {
        let (peer, server) = self.open(place, "", limit).await?;
        if !server.is_cluster() {
            return self.fit(peer, place, server);
        }
        match self.owner(&peer, place, limit).await? {
            None => self.fit(peer, place, server),
            Some(owner) => self.enter(&owner, &format!(" (named by {place})"), limit).await,
        }
    }

    /// Where in the cluster our slot is, unless it is on this server itself.
    async fn owner(&self, peer: &Peer, place: &Place, limit: Instant) -> Result<Option<Place>, StoreError> {
        let own_id: String = peer.get(cmd("CLUSTER").arg("MYID"), limit).await.map_err(|fault| fault.error)?;
        let slots: Value = peer.get(cmd("CLUSTER").arg("SLOTS"), limit).await.map_err(|fault| fault.error)?;
        let nodes = nodes(&slots, place);
        *lock(&self.others) = nodes.iter().map(|node| node.place.clone()).collect();
        let slot = slot(&self.channel);
        let owner = nodes.into_iter().find(|node| node.is_master && node.slots.contains(&slot));
        let owner = owner.ok_or_else(|| {
            peer.site.trouble(format!(
                "no server of its cluster has slot {slot}, where our keys belong: see `redis-cli cluster slots`"
            ))
        })?;
        Ok((owner.id != own_id).then_some(owner.place))
    }
}

/// One trouble out of several; what several places have in common is said once.
pub(super) fn joined(troubles: Vec<StoreError>) -> StoreError {
    let lasting = troubles.iter().all(|trouble| trouble.kind == Trouble::Lasting);
    let mut all: Vec<(String, String)> = Vec::new();
    for trouble in troubles {
        let (place, what) = trouble.message.split_once(": ").unwrap_or(("", &trouble.message));
        match all.iter_mut().find(|(_, known)| known == what) {
            Some((places, _)) if places.split(", ").any(|known| known == place) => {}
            Some((places, _)) => *places += &format!(", {place}"),
            None => all.push((place.to_owned(), what.to_owned())),
        }
    }
    let all: Vec<String> = all.into_iter().map(|(places, what)| format!("{places}: {what}")).collect();
    StoreError { kind: if lasting { Trouble::Lasting } else { Trouble::Passing }, message: all.join("; ") }
}

/// A server of a cluster and a range of its slots.
struct Node {
    slots: std::ops::RangeInclusive<u16>,
    is_master: bool,
    place: Place,
    id: String,
}

/// What `CLUSTER SLOTS` says to who asked `asked`.
fn nodes(slots: &Value, asked: &Place) -> Vec<Node> {
    let mut all = Vec::new();
    let Value::Array(ranges) = slots else { return all };
    for range in ranges {
        let Value::Array(range) = range else { continue };
        let [Value::Int(from), Value::Int(through), servers @ ..] = range.as_slice() else { continue };
        let bounds = (u16::try_from(*from), u16::try_from(*through));
        let (Ok(from), Ok(through)) = bounds else { continue };
        for (index, server) in servers.iter().enumerate() {
            if let Some((place, id)) = node(server, asked) {
                all.push(Node { slots: from..=through, is_master: index == 0, place, id });
            }
        }
    }
    all
}

fn node(server: &Value, asked: &Place) -> Option<(Place, String)> {
    let Value::Array(parts) = server else { return None };
    let [host, Value::Int(port), id, ..] = parts.as_slice() else { return None };
    let id = redis::from_redis_value_ref(id).ok()?;
    let host: Option<String> = redis::from_redis_value_ref(host).ok()?;
    let host = match (host, asked) {
        (Some(host), _) if !host.is_empty() => host,
        // Without one it is where we asked.
        (_, Place::Tcp(host, _)) => host.clone(),
        (_, Place::Unix(_)) => return None,
    };
    Some((Place::Tcp(host, u16::try_from(*port).ok()?), id))
}

/// The slot of a key: of what stands between its braces.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or(key, |(tag, _)| tag);
    crc16(tag.as_bytes()) % 16384
}

/// CRC-16/XMODEM, by which Redis Cluster spreads keys.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| (crc << 1) ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 })
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_that_of_what_stands_between_braces() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot("{user1000}.following"), slot("user1000"));
        assert_eq!(slot("foo"), 12182);
    }
}

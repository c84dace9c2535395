//! What a server says of itself and lets us do, for whoever looks for a fault before it hurts. Nothing of it is kept.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value, cmd};
use tokio::time::Instant;

use super::history::list;
use super::peer::{Peer, Server};
use super::resolve::Way;
use crate::clock::Clock;
use crate::store::address::Address;

/// Finding the server and greeting it takes no longer.
const CONNECTING: Duration = Duration::from_millis(3500);

/// All that is asked afterwards takes no longer.
const ASKING: Duration = Duration::from_secs(10);

/// What the scripts of the store do, on a key of its own that is gone afterwards.
const TRIAL: &str = "local k = KEYS[1]
redis.call('TIME')
redis.call('HSET', k, 'a', 1) redis.call('HMGET', k, 'a') redis.call('HDEL', k, 'a')
redis.call('ZADD', k, 0, 'a') redis.call('ZRANGEBYLEX', k, '-', '+') redis.call('ZREM', k, 'a')
redis.call('SET', k, 1, 'PX', 1000) redis.call('GET', k) redis.call('DEL', k)
return 1";

/// What was seen of a server.
#[derive(Clone, Debug, Default)]
pub struct Exam {
    /// Its address without passwords, and how it was found.
    pub place: String,
    /// As in `Redis 7.0.15`.
    pub version: String,
    /// A Redis Cluster, or one server with its replicas.
    pub is_cluster: bool,
    /// How many replicas are connected to it; `None` where it does not say.
    pub replicas: Option<u32>,
    /// How long it took to answer, the least first.
    pub round_trips: Vec<Duration>,
    /// By how many microseconds this machine's clock is ahead of its own, and how sure that is: half of the least
    /// round trip.
    pub ahead: Option<(i64, u64)>,
    /// What is thrown away when its memory is full: `noeviction` for nothing.
    pub eviction: Option<String>,
    /// Bytes in use, and how many it may use; 0 for as many as there are.
    pub memory: Option<(u64, u64)>,
    /// Connections, and how many it takes.
    pub clients: Option<(u64, u64)>,
    /// Whether it logs each write to its disk.
    pub appends: Option<bool>,
    /// Whether it saves all from time to time; `None` where it does not say.
    pub saves: Option<bool>,
    /// Its last attempt to save or log failed.
    pub fails_to_save: bool,
    /// It stops taking writes when it is cut off from its replicas.
    pub guards_split: bool,
    /// Why what our scripts do is refused, if it is.
    pub refuses_scripts: Option<String>,
    /// Why it does not tell us of changes, if it does not.
    pub refuses_news: Option<String>,
    /// It does not say how it is set up.
    pub is_silent: bool,
}

/// Looks a server over: asks its clock `times` times, and tries what the store does.
///
/// # Errors
/// Why it cannot be used at all, in words that say what mends it.
pub async fn examine(address: Address, cluster: &str, times: usize) -> Result<Exam, String> {
    let (peer, server) = open(address, cluster).await?;
    let limit = Instant::now() + ASKING;
    let mut exam = Exam { place: peer.site.name.clone(), ..said(&server) };
    let clock = Clock::system();
    for _ in 0..times {
        let (asked, began) = (clock.now(), Instant::now());
        let answer = peer.get::<(i64, i64)>(&cmd("TIME"), limit).await.map_err(|fault| fault.error.message)?;
        let took = began.elapsed();
        let read = answer.0.saturating_mul(1_000_000).saturating_add(answer.1);
        let half = i64::try_from(took.as_micros() / 2).unwrap_or(i64::MAX);
        let ahead = asked.as_micros().saturating_add(half).saturating_sub(read);
        if exam.round_trips.iter().all(|other| took < *other) {
            exam.ahead = Some((ahead, half.unsigned_abs()));
        }
        exam.round_trips.push(took);
    }
    exam.round_trips.sort_unstable();
    let mut trial = cmd("EVAL");
    trial.arg(TRIAL).arg(1).arg(format!("{}doctor", prefix(cluster)));
    exam.refuses_scripts = refusal(&peer, &trial, limit).await;
    exam.refuses_news = refusal(&peer, cmd("SUBSCRIBE").arg(channel(cluster)), limit).await;
    if let Ok(answer) = peer.get::<Value>(cmd("CONFIG").arg("GET").arg("save"), limit).await {
        let rules = match answer {
            Value::Map(pairs) => pairs.into_iter().next().map(|(_, rules)| rules),
            other => list(other).pop().map(Value::BulkString),
        };
        exam.saves = rules.map(|rules| rules != Value::BulkString(Vec::new()));
    }
    Ok(exam)
}

/// Has the server throw nothing away when its memory is full, now and after its next start. What it does not write
/// into its settings file is told.
///
/// # Errors
/// Why it does not.
pub async fn never_evict(address: Address, cluster: &str) -> Result<Option<String>, String> {
    let (peer, _) = open(address, cluster).await?;
    let limit = Instant::now() + ASKING;
    let mut set = cmd("CONFIG");
    set.arg("SET").arg("maxmemory-policy").arg("noeviction");
    match refusal(&peer, &set, limit).await {
        Some(why) => Err(why),
        None => Ok(refusal(&peer, cmd("CONFIG").arg("REWRITE"), limit).await),
    }
}

async fn open(address: Address, cluster: &str) -> Result<(Peer, Server), String> {
    // What it may throw away is told, and no reason to look no further.
    let way = Way::new(address.allowing_eviction(true), channel(cluster), Arc::new(|_| ()));
    let limit = Instant::now() + CONNECTING;
    let found = tokio::time::timeout_at(limit, way.find(limit)).await;
    let found = found.map_err(|_| format!("{}: no answer in time", way.address.masked()))?;
    found.map(|found| (found.peer, found.server)).map_err(|error| error.message)
}

async fn refusal(peer: &Peer, request: &Cmd, limit: Instant) -> Option<String> {
    peer.get::<Value>(request, limit).await.err().map(|fault| fault.error.message)
}

fn prefix(cluster: &str) -> String {
    format!("{{cronclave:{cluster}}}:")
}

fn channel(cluster: &str) -> String {
    prefix(cluster) + "news"
}

/// What it says of itself.
fn said(server: &Server) -> Exam {
    let number = |name: &str| server.get(name).and_then(|text| text.parse::<u64>().ok());
    let pair = |own: &str, most: &str| Some((number(own)?, number(most)?));
    let flag = |name: &str| server.get(name).map(|text| text == "1");
    let version = match (server.get("valkey_version"), server.get("redis_version")) {
        (Some(version), _) => format!("Valkey {version}"),
        (None, Some(version)) => format!("Redis {version}"),
        (None, None) => "a Redis that does not say its version".into(),
    };
    let failed = |name: &str| server.get(name).is_some_and(|status| status != "ok");
    Exam {
        version,
        is_cluster: server.is_cluster(),
        replicas: number("connected_slaves").and_then(|count| u32::try_from(count).ok()),
        eviction: server.get("maxmemory_policy").map(str::to_owned),
        memory: pair("used_memory", "maxmemory"),
        clients: pair("connected_clients", "maxclients"),
        appends: flag("aof_enabled"),
        fails_to_save: failed("rdb_last_bgsave_status") || failed("aof_last_write_status"),
        guards_split: !server.may_be_alone(),
        is_silent: server.get("maxmemory_policy").is_none(),
        ..Exam::default()
    }
}

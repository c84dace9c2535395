//! One connection to one server, greeted and looked over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redis::aio::{MultiplexedConnection, SendError};
use redis::{
    AsyncConnectionConfig, Cmd, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, Value, cmd,
    from_redis_value, from_redis_value_ref,
};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::dial::{self, STEP};
use super::link::{Hear, News};
use super::words::{Fault, Site, TOO_OLD};
use crate::store::StoreError;
use crate::store::address::{Address, Login, Place};

/// A connection to a server. Its task ends with it.
pub(super) struct Peer {
    pub(super) site: Site,
    connection: MultiplexedConnection,
    driver: AbortOnDropHandle<()>,
    ending: Arc<Ending>,
    of_use: AtomicBool,
    left: AtomicBool,
}

/// Says once that the connection is gone, if anybody was ever told that it is there.
struct Ending {
    hear: Arc<Hear>,
    announced: AtomicBool,
}

impl Ending {
    fn tell(&self) {
        if self.announced.swap(false, Ordering::SeqCst) {
            (self.hear)(News::Gone);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.tell();
    }
}

impl Peer {
    /// Connects and says hello.
    pub(super) async fn open(
        (address, login): (&Address, &Login),
        place: &Place,
        site: Site,
        hear: &Arc<Hear>,
        limit: Instant,
    ) -> Result<Peer, StoreError> {
        let socket = dial::dial(address, place, limit).await.map_err(|why| site.trouble(why))?;
        let ending = Arc::new(Ending { hear: hear.clone(), announced: AtomicBool::new(false) });
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_push_sender(listen(ending.clone()));
        let hello = greeting(login);
        let made = MultiplexedConnection::new_with_config(&hello, socket, config);
        let step = limit.min(Instant::now() + STEP);
        let fault = match timeout_at(step, made).await {
            Ok(Ok((connection, driver))) => {
                let over = ending.clone();
                let driver = tokio::spawn(async move {
                    driver.await;
                    over.tell();
                });
                let driver = AbortOnDropHandle::new(driver);
                return Ok(Peer {
                    site,
                    connection,
                    driver,
                    ending,
                    of_use: AtomicBool::new(false),
                    left: AtomicBool::new(false),
                });
            }
            Ok(Err(error)) => site.failed(&error),
            Err(_) => site.silent(),
        };
        if fault.is_foreign() && !site.tls && dial::speaks_tls(place).await {
            return Err(site.trouble("it speaks TLS: did you mean rediss://?"));
        }
        if fault.is_cut() {
            return Err(
                site.trouble("it ends the connection before it says anything: is it a Redis, and is the port right?")
            );
        }
        Err(fault.error)
    }

    /// Asks once, and waits for the answer until `limit`.
    pub(super) async fn ask(&self, request: &Cmd, limit: Instant) -> Result<Value, Fault> {
        let mut connection = self.connection.clone();
        match timeout_at(limit, connection.send_packed_command(request)).await {
            Ok(Ok(Value::ServerError(error))) => Err(self.site.failed(&RedisError::from(error))),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.site.failed(&error)),
            Err(_) => Err(self.site.silent()),
        }
    }

    /// The same, as the type that is wanted.
    pub(super) async fn get<T: redis::FromRedisValue>(&self, request: &Cmd, limit: Instant) -> Result<T, Fault> {
        let value = self.ask(request, limit.min(Instant::now() + STEP)).await?;
        from_redis_value(value).map_err(|error| self.site.failed(&RedisError::from(error)))
    }

    /// Chooses the database, takes a name in the server's list, and listens on `channel`. Answers
    /// with what was refused and can be done without.
    pub(super) async fn settle(&self, db: u32, channel: &str, limit: Instant) -> Result<Option<Fault>, StoreError> {
        if db != 0 {
            self.get::<Value>(cmd("SELECT").arg(db), limit).await.map_err(|fault| fault.error)?;
        }
        // For people who look at the server; some proxies have no names.
        match self.get::<Value>(cmd("CLIENT").arg("SETNAME").arg("cronclave"), limit).await {
            Err(fault) if fault.ends_it() => return Err(fault.error),
            _ => {}
        }
        match self.get::<Value>(cmd("SUBSCRIBE").arg(channel), limit).await {
            Ok(_) => {}
            Err(fault) if fault.is("NOPERM") => return Ok(Some(fault)),
            Err(fault) => return Err(fault.error),
        }
        self.ending.announced.store(true, Ordering::SeqCst);
        (self.ending.hear)(News::Fresh);
        Ok(None)
    }

    /// Whether it has answered a request since it was greeted. One that never did may well be made
    /// again and again, in a circle.
    pub(super) fn was_of_use(&self) -> bool {
        self.of_use.load(Ordering::SeqCst)
    }

    /// It has answered.
    pub(super) fn answered(&self) {
        self.of_use.store(true, Ordering::SeqCst);
    }

    /// Whether either side has ended it.
    pub(super) fn is_over(&self) -> bool {
        self.left.load(Ordering::SeqCst) || self.driver.is_finished()
    }

    /// Ends it for all who use it: they would only wait for what does not come.
    pub(super) fn end(&self) {
        self.left.store(true, Ordering::SeqCst);
        self.ending.tell();
        self.driver.abort();
    }
}

fn greeting(login: &Login) -> RedisConnectionInfo {
    let mut info = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
    if let Some(user) = &login.user {
        // A user without a password may have none.
        info = info.set_username(user).set_password("");
    }
    if let Some(password) = &login.password {
        info = info.set_password(password);
    }
    info
}

fn listen(ending: Arc<Ending>) -> impl Fn(PushInfo) -> Result<(), SendError> + Send + Sync {
    move |push| {
        match (push.kind, push.data.into_iter().nth(1)) {
            (PushKind::Disconnection, _) => ending.tell(),
            // A connection that was given up has no say any more.
            (PushKind::Message, Some(Value::BulkString(bytes))) if ending.announced.load(Ordering::SeqCst) => {
                (ending.hear)(News::Said(bytes));
            }
            _ => {}
        }
        Ok(())
    }
}

/// What a server says about itself, as far as it does.
#[derive(Clone, Debug, Default)]
pub(super) struct Server(HashMap<String, String>);

impl Server {
    /// What `INFO` says.
    pub(super) fn read(info: &str) -> Server {
        let pairs = info.lines().filter_map(|line| line.trim_end().split_once(':'));
        Server(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// What `HELLO` says of it: its version, to who may not have more.
    pub(super) fn greeted(hello: &HashMap<String, Value>) -> Server {
        let version = hello.get("version").and_then(|version| from_redis_value_ref(version).ok());
        Server(version.map(|version| ("redis_version".to_owned(), version)).into_iter().collect())
    }

    /// What it says under this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.0.get(name).is_some_and(|own| own == value)
    }

    /// How much memory it uses and how much it may, for people.
    pub(super) fn memory(&self) -> Option<(&str, &str)> {
        Some((self.0.get("used_memory_human")?, self.0.get("maxmemory_human")?))
    }

    fn is_valkey(&self) -> bool {
        self.0.contains_key("valkey_version")
    }

    /// Whether it is at least this version of Redis; what does not say counts as new.
    fn is_from(&self, major: u32, minor: u32) -> bool {
        let Some(version) = self.0.get("redis_version") else { return true };
        let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
    }

    /// The same, or a Valkey, which all know what that version knows.
    pub(super) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        self.is_valkey() || self.is_from(major, minor)
    }

    /// Whether it goes on taking writes, for a while, when it is cut off from its replicas.
    pub(super) fn may_be_alone(&self) -> bool {
        let has_replicas = self.0.get("connected_slaves").is_some_and(|count| count != "0");
        has_replicas && !self.0.contains_key("min_slaves_good_slaves")
    }

    /// Whether it knows `#!lua flags=`.
    pub(super) fn knows_flags(&self) -> bool {
        self.is_valkey() || self.is_from(7, 0)
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.is("cluster_enabled", "1")
    }

    pub(super) fn is_replica(&self) -> bool {
        self.is("role", "slave")
    }

    /// Why it cannot keep our state, if so.
    pub(super) fn objection(&self, allows_eviction: bool) -> Option<String> {
        if self.is("redis_mode", "sentinel") || self.is("server_mode", "sentinel") {
            return Some("it is a sentinel: write redis+sentinel://HOST:26379/MASTER-NAME".into());
        }
        if !self.is_valkey() && !self.is_from(6, 2) {
            let version = self.0.get("redis_version").map_or("", String::as_str);
            return Some(format!("{TOO_OLD}; it says {version}"));
        }
        if self.is("loading", "1") || self.is("async_loading", "1") {
            return Some("it is still loading its data: it answers when it has".into());
        }
        match self.0.get("maxmemory_policy") {
            Some(policy) if policy != "noeviction" && !allows_eviction => Some(format!(
                "its maxmemory-policy is {policy}: short of memory it would throw away locks and records, and a job \
                 could run twice. Set it with `redis-cli config set maxmemory-policy noeviction` (and in redis.conf; \
                 where Redis is rented, in its settings there), or accept the risk with CRONCLAVE_REDIS_ALLOW_EVICTION=1"
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(info: &str) -> Option<String> {
        Server::read(info).objection(false)
    }

    #[test]
    fn versions_are_told_apart() {
        assert!(
            objection("redis_version:6.0.16\r\n").is_some_and(|why| why.contains("too old") && why.contains("6.0.16"))
        );
        for (info, flags) in [
            ("redis_version:6.2.0\r\n", false),
            ("redis_version:7.0.15\r\n", true),
            ("redis_version:10.0.0\r\n", true),
            ("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.0\r\n", true),
            ("", true),
        ] {
            assert_eq!(objection(info), None, "{info}");
            assert_eq!(Server::read(info).knows_flags(), flags, "{info}");
        }
        for info in ["redis_mode:sentinel\r\n", "server_mode:sentinel\r\nvalkey_version:8.1.0\r\n"] {
            assert!(objection(info).is_some_and(|why| why.contains("it is a sentinel")), "{info}");
        }
        let greeted = |version: &str| Server::greeted(&[("version".into(), Value::BulkString(version.into()))].into());
        assert!(!greeted("6.2.14").knows_flags());
        assert!(greeted("7.2.4").knows_flags());
        assert!(Server::greeted(&HashMap::new()).knows_flags());
    }

    #[test]
    fn what_may_throw_things_away_is_refused_unless_allowed() {
        let info = "# Memory\r\nmaxmemory_policy:volatile-ttl\r\n";
        assert!(objection(info).is_some_and(|why| why.contains("volatile-ttl")));
        assert_eq!(Server::read(info).objection(true), None);
        assert_eq!(objection("maxmemory_policy:noeviction\r\n"), None);
    }
}

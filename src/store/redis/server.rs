//! The server as the store knows it: its keys, its clock, and plain requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::Instant;

use super::heard::Heard;
use super::history::list;
use super::known::Known;
use super::link::{Link, Script};
use super::{Time, text};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::RunId;
use crate::store::address::Address;
use crate::store::{Collection, Outbox, StoreError, Trouble};

/// The link, and what every request needs to know.
pub(super) struct Server {
    pub(super) link: Link,
    /// The keys of the batch script, in its order. All keys of a cluster share one hash tag, so
    /// that they live on one master of a Redis Cluster and change in one step.
    pub(super) keys: Vec<String>,
    /// Where changes are announced.
    pub(super) channel: String,
    pub(super) heard: Arc<Heard>,
    pub(super) known: Arc<Known>,
    /// As which replica it reports, or else a name of its own.
    name: Mutex<String>,
    time: Time,
    /// The latest time seen: what is told never goes back.
    high: Mutex<Timestamp>,
    prefix: String,
    /// For servers that know flags, and for those that do not.
    gentle: [Script; 2],
    /// When it was last looked for records that nobody lists.
    forgot: Mutex<Option<Timestamp>>,
    /// The last job that was looked at for history to drop.
    pub(super) tidied: Mutex<Option<JobName>>,
}

/// Bytes of a hash read at once, about, and its fields: at first, and at most.
const PIECE: usize = 256 * 1024;
const FIELDS: usize = 200;
const MOST_FIELDS: usize = 2000;

/// How a script begins that is carried out although the server's memory is full. A server without
/// flags looks at its memory before a script's first write only, and before none that frees some.
pub(super) const GENTLE: [&str; 2] = ["#!lua flags=allow-oom\n", "redis.call('HDEL', KEYS[1], '')\n"];

/// The keys of the batch script by name: places in [`Server::keys`].
pub(super) const RECORDS: usize = 0;
pub(super) const MUTEXES: usize = 1;
pub(super) const ENTRIES: usize = 2;
pub(super) const BY_TIME: usize = 3;
pub(super) const BY_JOB: usize = 4;
pub(super) const FEED: usize = 5;
pub(super) const META: usize = 6;
/// Calls and records that were given back, before they are put back.
pub(super) const REDONE: usize = 7;
pub(super) const RESTORED: usize = 8;

impl Server {
    pub(super) fn new(address: Address, cluster: &str, time: Time) -> Server {
        let prefix = format!("{{cronclave:{cluster}}}:");
        let names = [
            "records",
            "mutexes",
            "entries",
            "entries-by-time",
            "entries-by-job",
            "feed",
            "meta",
            "redone",
            "restored",
        ];
        let keys = names.iter().map(|name| format!("{prefix}{name}")).collect();
        let channel = format!("{prefix}news");
        let known = Arc::new(Known::default());
        let heard = Arc::new(Heard::knowing(known.clone()));
        let listener = heard.clone();
        let link = Link::new(address, channel.clone(), Box::new(move |news| listener.hear(&news)));
        let name = Mutex::new(format!("{:016x}", rand::random::<u64>()));
        let gentle =
            GENTLE.map(|head| Script::new(format!("{head}return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))")));
        Server {
            link,
            keys,
            channel,
            heard,
            known,
            name,
            time,
            high: Mutex::default(),
            prefix,
            gentle,
            forgot: Mutex::default(),
            tidied: Mutex::default(),
        }
    }

    /// By which others know this process.
    pub(super) fn name(&self) -> String {
        self.name.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is this replica.
    pub(super) fn is_replica(&self, boot_id: &str) {
        boot_id.clone_into(&mut self.name.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn replicas(&self) -> String {
        format!("{}replicas", self.prefix)
    }

    /// Runs that have output, by when it was last looked at.
    pub(super) fn outputs(&self) -> String {
        format!("{}outputs", self.prefix)
    }

    pub(super) fn output(&self, run: RunId) -> String {
        format!("{}output:{run}", self.prefix)
    }

    /// Jobs that no replica lists, since when.
    pub(super) fn unlisted(&self) -> String {
        format!("{}unlisted", self.prefix)
    }

    /// Who passes events on, and how far they are passed on.
    pub(super) fn outbox_key(&self, outbox: Outbox) -> String {
        format!("{}outbox:{}", self.prefix, outbox.name())
    }

    /// The documents of a collection, and their keys in order.
    pub(super) fn documents_keys(&self, collection: Collection) -> [String; 2] {
        let documents = format!("{}documents:{}", self.prefix, collection.name());
        [documents.clone(), documents + ":keys"]
    }

    /// For scripts: the time given from outside, or nothing for the server's own.
    pub(super) fn given_time(&self) -> Vec<u8> {
        match &self.time {
            Time::Server => Vec::new(),
            Time::Given(clock) => clock.now().as_micros().to_string().into_bytes(),
        }
    }

    /// What the store's clock reads.
    pub(super) async fn now(&self) -> Result<Timestamp, StoreError> {
        let now = match &self.time {
            Time::Given(clock) => clock.now(),
            Time::Server => {
                let asked = Instant::now();
                let answer = self.link.ask(&redis::cmd("TIME")).await?;
                let now = time(&answer).ok_or_else(|| self.garbled())?;
                self.read_at(asked, now);
                now
            }
        };
        Ok(self.seen(now))
    }

    /// The server's clock read `now` between `asked` and now.
    pub(super) fn read_at(&self, asked: Instant, now: Timestamp) {
        if matches!(self.time, Time::Server) {
            self.heard.sample(asked, now);
        }
    }

    /// What the store's clock reads by our reckoning, if it was read lately.
    pub(super) fn reckon(&self) -> Option<Timestamp> {
        match &self.time {
            Time::Given(clock) => Some(self.seen(clock.now())),
            Time::Server => self.heard.now(),
        }
    }

    /// What the store's clock reads at most.
    pub(super) fn at_most(&self) -> Option<Timestamp> {
        match &self.time {
            Time::Given(clock) => Some(self.seen(clock.now())),
            Time::Server => self.heard.at_most(),
        }
    }

    /// What the store's clock reads: by our reckoning, or asked.
    pub(super) async fn about_now(&self) -> Result<Timestamp, StoreError> {
        match self.reckon() {
            Some(now) => Ok(now),
            None => self.now().await,
        }
    }

    /// What the store's clock reads at least.
    pub(super) fn reached(&self) -> Option<Timestamp> {
        match &self.time {
            Time::Given(clock) => Some(self.seen(clock.now())),
            Time::Server => self.heard.reached(),
        }
    }

    /// Remembers a time that the store told, so that none before it is told later.
    pub(super) fn seen(&self, now: Timestamp) -> Timestamp {
        if matches!(self.time, Time::Server) {
            return now;
        }
        let mut high = self.high.lock().unwrap_or_else(PoisonError::into_inner);
        *high = now.max(*high);
        *high
    }

    /// A command on one key.
    pub(super) async fn ask(&self, command: &str, key: &str, args: &[Vec<u8>]) -> Result<Value, StoreError> {
        self.link.ask(Cmd::new().arg(command).arg(key).arg(args)).await
    }

    /// The same for a write to a hash that must go through although the server's memory is full.
    pub(super) async fn insist(&self, command: &str, key: &str, args: &[Vec<u8>]) -> Result<Value, StoreError> {
        let mut all = vec![command.as_bytes().to_vec()];
        all.extend_from_slice(args);
        self.link.run(self.link.fitting(&self.gentle).await?, &[key.to_owned()], &all).await
    }

    /// Takes all fields of a hash, read in pieces: nobody waits long, and large fields do not add up to more than the
    /// server keeps for a client that listens (32 MB). A field may come twice.
    pub(super) async fn scan(&self, key: &str, mut take: impl FnMut(String, Vec<u8>)) -> Result<(), StoreError> {
        let (mut cursor, mut count) = (b"0".to_vec(), FIELDS);
        loop {
            let args = [cursor, b"COUNT".to_vec(), count.to_string().into_bytes()];
            let answer = self.ask("HSCAN", key, &args).await?;
            let Value::Array(parts) = answer else { return Err(self.garbled()) };
            let [next, fields] = <[Value; 2]>::try_from(parts).map_err(|_| self.garbled())?;
            let mut fields = list(fields);
            // Small ones travel in larger numbers.
            let bytes: usize = fields.iter().map(Vec::len).sum();
            count = (count * PIECE / bytes.max(1)).clamp(FIELDS / 20, (count * 4).min(MOST_FIELDS));
            for pair in fields.chunks_exact_mut(2) {
                let name = text(&pair[0]).ok_or_else(|| self.garbled())?;
                take(name, std::mem::take(&mut pair[1]));
            }
            match next {
                Value::BulkString(next) if next != b"0" => cursor = next,
                _ => return Ok(()),
            }
        }
    }

    /// Once an hour and store: it looks at every record.
    pub(super) fn is_time_to_forget(&self, now: Timestamp) -> bool {
        let mut last = self.forgot.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = last.is_none_or(|last| now.since(last).as_secs() >= 3600 || now < last);
        if is_time {
            *last = Some(now);
        }
        is_time
    }

    /// Why nothing is granted for `left` from now.
    pub(super) fn held_back(&self, left: Duration) -> StoreError {
        let message = format!(
            "{}: the server is another, or has lost what it confirmed: for {:.1} s, or until all replicas have given back \
             what they know, it grants nothing",
            self.link.describe(),
            left.as_secs_f64()
        );
        StoreError { kind: Trouble::Passing, message }
    }

    /// An answer that makes no sense.
    pub(super) fn garbled(&self) -> StoreError {
        let text = "holds data of this cluster's name that this version cannot read: run the version that wrote it, or use another --cluster name";
        StoreError { kind: Trouble::Lasting, message: format!("{} {text}", self.link.describe()) }
    }
}

fn time(answer: &Value) -> Option<Timestamp> {
    let Value::Array(parts) = answer else { return None };
    let number = |part: &Value| match part {
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse::<i64>().ok(),
        Value::Int(number) => Some(*number),
        _ => None,
    };
    let [secs, micros] = parts.as_slice() else { return None };
    Some(Timestamp::from_micros(number(secs)? * 1_000_000 + number(micros)?))
}

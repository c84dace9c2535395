//! How sure a start is before its code runs: known to the server, to its replicas, or to its disk.

use std::sync::atomic::{AtomicU64, Ordering};

use redis::{Value, cmd};
use tokio::sync::Mutex;

use super::history::list;
use super::link::{Link, Script};
use super::server::GENTLE;
use crate::record::{Bid, Op};
use crate::store::address::Address;
use crate::store::{Durability, StoreError, Trouble};

/// How long the server waits for its replicas or its disk, in milliseconds. Then the start is asked again.
const WAIT_MS: u64 = 1000;

/// Changes something on this connection, so that the server knows what to wait for; tells who the server is.
const MARK: &str = "redis.call('HSET', KEYS[1], 'mark', ARGV[1])
local info = redis.pcall('INFO', 'replication')
return type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''";

/// Asks for what the level demands, on a connection of its own: the server answers nothing else there meanwhile.
pub(super) struct Durable {
    level: Durability,
    link: Link,
    meta: String,
    mark: [Script; 2],
    /// How many starts were asked about.
    asked: AtomicU64,
    confirmed: Mutex<Confirmed>,
}

/// Every start up to a number is as sure as it should be, on one server.
#[derive(Default)]
struct Confirmed {
    upto: u64,
    by: String,
}

impl Durable {
    pub(super) fn new(address: Address, meta: String) -> Durable {
        let level = address.durability;
        // Nothing is told there.
        let link = Link::new(address, format!("{meta}:mark"), Box::new(|_| ()));
        let mark = GENTLE.map(|head| Script::new(format!("{head}{MARK}")));
        Durable { level, link, meta, mark, asked: AtomicU64::new(0), confirmed: Mutex::default() }
    }

    /// Whether starts need more than the server's word.
    fn asks(&self) -> bool {
        self.level != Durability::Memory
    }

    /// Starts that are to be confirmed are commits of their own: such an operation then is only a claim, this one.
    pub(super) fn apart(&self, op: &Op) -> Option<Box<Op>> {
        match op {
            Op::Claim(bid @ Bid { start: Some(_), .. }) if self.asks() => {
                Some(Box::new(Op::Claim(Bid { start: None, ..bid.clone() })))
            }
            _ => None,
        }
    }

    /// Waits until what the server `by` has granted up to now is as sure as the level demands. Starts that wait at the
    /// same time wait together.
    ///
    /// # Errors
    /// When it is not, within a few seconds. It may become so.
    pub(super) async fn confirm(&self, by: &str) -> Result<(), StoreError> {
        if !self.asks() {
            return Ok(());
        }
        let own = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut confirmed = self.confirmed.lock().await;
        if confirmed.upto >= own && confirmed.by == by {
            return Ok(());
        }
        let upto = self.asked.load(Ordering::SeqCst);
        self.wait_for(by).await?;
        *confirmed = Confirmed { upto, by: by.to_owned() };
        Ok(())
    }

    async fn wait_for(&self, by: &str) -> Result<(), StoreError> {
        let mark = self.link.fitting(&self.mark).await?;
        let wait = match self.level {
            Durability::Memory => return Ok(()),
            Durability::Replicated(count) => cmd("WAIT").arg(count).arg(WAIT_MS).to_owned(),
            Durability::Fsync if self.link.is_from(7, 2).await? => cmd("WAITAOF").arg(1).arg(0).arg(WAIT_MS).to_owned(),
            // Nothing is answered there that is not on the disk.
            Durability::Fsync => cmd("CONFIG").arg("GET").arg("append*").to_owned(),
        };
        let (who, answer) =
            self.link.run_then(mark, std::slice::from_ref(&self.meta), &[by.as_bytes().to_vec()], &wait).await?;
        let Value::BulkString(who) = who else { return Err(self.unsure("it does not say who it is")) };
        if by.is_empty() {
            return Err(self.unsure("its user may not ask INFO, so it cannot be told whether it is still the same"));
        }
        if who != by.as_bytes() {
            return Err(self.unsure("the server that granted it is not the one that answers now"));
        }
        match (self.level, answer) {
            (Durability::Replicated(count), Value::Int(has)) if has >= i64::from(count) => Ok(()),
            (Durability::Replicated(count), Value::Int(has)) => {
                Err(self.unsure(&format!("{has} of its replicas have it, and {count} must: are they connected?")))
            }
            (Durability::Fsync, Value::Array(counts)) if matches!(counts.first(), Some(Value::Int(1..))) => Ok(()),
            (Durability::Fsync, Value::Map(pairs)) => {
                let is = |name: &str, value: &str| {
                    pairs.iter().any(|(own, is)| text_of(own) == name && text_of(is) == value)
                };
                if is("appendonly", "yes") && is("appendfsync", "always") { Ok(()) } else { Err(self.unfit()) }
            }
            (Durability::Fsync, other) if list(other.clone()).is_empty() => {
                Err(self.unsure("its disk does not have it yet"))
            }
            _ => Err(self.unfit()),
        }
    }

    fn unsure(&self, why: &str) -> StoreError {
        let place = self.link.describe();
        StoreError { kind: Trouble::Passing, message: format!("{place}: the start is not confirmed: {why}") }
    }

    fn unfit(&self) -> StoreError {
        let place = self.link.describe();
        let message = format!(
            "{place}: CRONCLAVE_DURABILITY=fsync needs `appendonly yes`, and Redis 7.2 or later or `appendfsync always`: \
             set them in redis.conf, or choose `replicated` or `memory`"
        );
        StoreError { kind: Trouble::Passing, message }
    }
}

fn text_of(value: &Value) -> &str {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        Value::SimpleString(text) => text,
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names_and_other_words_are_explained() {
        let level = |text: &str| text.parse::<Durability>();
        assert_eq!(level("memory"), Ok(Durability::Memory));
        assert_eq!(level(" replicated "), Ok(Durability::Replicated(1)));
        assert_eq!(level("replicated:2"), Ok(Durability::Replicated(2)));
        assert_eq!(level("fsync"), Ok(Durability::Fsync));
        for wrong in ["", "disk", "replicated:", "replicated:0", "replicated:x"] {
            assert!(level(wrong).unwrap_err().contains("write memory, replicated"), "{wrong}");
        }
    }
}

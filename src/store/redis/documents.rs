//! Small documents: a hash of them for each collection, and their keys in order beside it.

use redis::Value;

use super::history::list;
use super::link::Script;
use super::server::Server;
use super::text;
use crate::store::{Collection, Document, Draft, Expect, Span, StoreError};

/// Documents read at once.
const PAGE: usize = 200;

/// KEYS: documents, their keys in order. ARGV: now or '' for the server's clock, key, `any`, `absent` or a version,
/// and the body unless it is to go. Answers with the new version; with nothing when the document is another.
const WRITE: &str = "
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local found = redis.call('HGET', KEYS[1], ARGV[2])
local version = found and string.match(found, '^%d+')
if ARGV[3] == 'absent' and found then return false end
if ARGV[3] ~= 'any' and ARGV[3] ~= 'absent' and ARGV[3] ~= version then return false end
if not ARGV[4] then
  redis.call('HDEL', KEYS[1], ARGV[2])
  redis.call('ZREM', KEYS[2], ARGV[2])
  return '0'
end
version = string.format('%.0f', math.max(tonumber(version or 0) + 1, now))
redis.call('HSET', KEYS[1], ARGV[2], version .. ' ' .. ARGV[4])
redis.call('ZADD', KEYS[2], 0, ARGV[2])
return version";

fn unpack(key: String, packed: &[u8]) -> Option<Document> {
    let (version, body) = std::str::from_utf8(packed).ok()?.split_once(' ')?;
    Some(Document { key, version: version.parse().ok()?, body: body.to_owned() })
}

impl Server {
    pub(super) async fn document(&self, collection: Collection, key: &str) -> Result<Option<Document>, StoreError> {
        let [documents, _] = self.documents_keys(collection);
        match self.ask("HGET", &documents, &[key.into()]).await? {
            Value::BulkString(packed) => unpack(key.to_owned(), &packed).map(Some).ok_or_else(|| self.garbled()),
            _ => Ok(None),
        }
    }

    pub(super) async fn documents(&self, collection: Collection, span: &Span) -> Result<Vec<Document>, StoreError> {
        let limit = if span.limit == 0 { usize::MAX } else { span.limit };
        let mut found: Vec<Document> = Vec::new();
        let mut after = span.after.clone();
        while found.len() < limit {
            let keys = self.document_keys(collection, span, after.as_deref(), PAGE.min(limit - found.len())).await?;
            let Some(last) = keys.last() else { break };
            after = Some(last.clone());
            let fields: Vec<Vec<u8>> = keys.iter().map(|key| key.as_bytes().to_vec()).collect();
            let [documents, _] = self.documents_keys(collection);
            for (key, packed) in keys.into_iter().zip(list(self.ask("HMGET", &documents, &fields).await?)) {
                // One that went since its key was read is none.
                if !packed.is_empty() {
                    found.push(unpack(key, &packed).ok_or_else(|| self.garbled())?);
                }
            }
        }
        Ok(found)
    }

    async fn document_keys(
        &self,
        collection: Collection,
        span: &Span,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let [_, keys] = self.documents_keys(collection);
        // No text in UTF-8 has such a byte: this lies behind all that begin so.
        let (first, last) = ([b"[", span.prefix.as_bytes()].concat(), [b"(", span.prefix.as_bytes(), b"\xff"].concat());
        // What lies outside of all that begin so is no bound.
        let beyond = after.map(|after| [b"(", after.as_bytes()].concat());
        let (command, from, to) = if span.newest_first {
            ("ZREVRANGEBYLEX", beyond.filter(|beyond| beyond[1..] <= last[1..]).unwrap_or(last), first)
        } else {
            let from = beyond.filter(|beyond| beyond[1..] >= first[1..]).unwrap_or(first);
            ("ZRANGEBYLEX", from, last)
        };
        let args = [from, to, b"LIMIT".to_vec(), b"0".to_vec(), limit.to_string().into_bytes()];
        let found = list(self.ask(command, &keys, &args).await?);
        found.iter().map(|key| text(key).ok_or_else(|| self.garbled())).collect()
    }

    pub(super) async fn write_document(&self, draft: &Draft) -> Result<Option<u64>, StoreError> {
        let expect = match draft.expect {
            Expect::Any => "any".to_owned(),
            Expect::Absent => "absent".to_owned(),
            Expect::Version(version) => version.to_string(),
        };
        let mut args = vec![self.given_time(), draft.key.clone().into_bytes(), expect.into_bytes()];
        args.extend(draft.body.clone().map(String::into_bytes));
        match self.link.run(&Script::new(WRITE.into()), &self.documents_keys(draft.collection), &args).await? {
            Value::Nil => Ok(None),
            Value::BulkString(version) => {
                let version = std::str::from_utf8(&version).ok().and_then(|version| version.parse().ok());
                version.map(Some).ok_or_else(|| self.garbled())
            }
            _ => Err(self.garbled()),
        }
    }
}

//! Who passes events on, until when, and how far they are passed on.

use std::time::Duration;

use redis::Value;

use super::link::Script;
use super::server::{GENTLE, META, Server};
use crate::store::{Outbox, StoreError};

/// KEYS: outbox, meta. ARGV: now or '' for the server's clock, holder, lifetime, position or '' to take it.
/// Answers with how far events are passed on; with nothing when the outbox is somebody else's.
const OUTBOX: &str = "
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local holder, till, mark = unpack(redis.call('HMGET', KEYS[1], 'holder', 'until', 'mark'))
if holder ~= ARGV[2] and (ARGV[4] ~= '' or (holder and tonumber(till) > now)) then return false end
mark = tonumber(mark or redis.call('HGET', KEYS[2], 'position') or 0)
mark = string.format('%.0f', math.max(mark, tonumber(ARGV[4]) or 0))
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'until', string.format('%.0f', now + ARGV[3]), 'mark', mark)
return mark";

impl Server {
    /// Takes the outbox, or moves its mark to `position`; the mark, if it is the holder's.
    pub(super) async fn outbox(
        &self,
        outbox: Outbox,
        holder: &str,
        position: Option<u64>,
        ttl: Duration,
    ) -> Result<Option<u64>, StoreError> {
        let scripts = GENTLE.map(|head| Script::new(format!("{head}{OUTBOX}")));
        let keys = [self.outbox_key(outbox), self.keys[META].clone()];
        let args = [
            self.given_time(),
            holder.into(),
            ttl.as_micros().to_string().into(),
            position.map(|position| position.to_string()).unwrap_or_default().into(),
        ];
        match self.link.run(self.link.fitting(&scripts).await?, &keys, &args).await? {
            Value::Nil => Ok(None),
            Value::BulkString(mark) => {
                let mark = std::str::from_utf8(&mark).ok().and_then(|mark| mark.parse().ok());
                mark.map(Some).ok_or_else(|| self.garbled())
            }
            _ => Err(self.garbled()),
        }
    }
}

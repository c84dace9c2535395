//! Drops what is no longer needed: history beyond its limits, and whatever has lost its owner.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use redis::Value;

use super::history::{CLASSES, fold, id_in, list, place};
use super::link::Script;
use super::pack;
use super::server::{BY_JOB, BY_TIME, ENTRIES, MUTEXES, RECORDS, Server};
use crate::clock::Timestamp;
use crate::job::{JobName, Keep};
use crate::lease::RunId;
use crate::store::{Replica, StoreError};

/// How much one pruning removes at most, so that the server is soon free again.
const PRUNED: usize = 5_000;

/// Jobs looked at in one call.
const JOBS: usize = 200;

/// Jobs looked at in one pruning at most, unless that would take more rounds than this.
const MOST_JOBS: usize = 2000;
const ROUNDS: usize = 30;

const DAY_US: i64 = 86_400_000_000;

/// Of each job and kind: those beyond its number, oldest first, else the oldest before a time.
/// ARGV: prefix, number, time as eight bytes; and so on.
const SURPLUS: &str = "
local answer = {}
for i = 1, #ARGV, 3 do
  local prefix, most = ARGV[i], tonumber(ARGV[i + 1])
  local first, last = '[' .. prefix, '(' .. prefix .. '\\255\\255'
  local over = redis.call('ZLEXCOUNT', KEYS[1], first, last) - most
  local found
  if over > 0 and string.sub(prefix, -1) == 'r' then
    -- What is not over does not count.
    local good, record = pcall(cmsgpack.unpack, redis.call('HGET', KEYS[3], string.sub(prefix, 1, -3)) or '')
    over = over - (good and type(record) == 'table' and type(record[4]) == 'table' and #record[4] or 0)
  end
  if over > 0 then
    found = redis.call('ZRANGEBYLEX', KEYS[1], first, last, 'LIMIT', 0, math.min(over, 500))
  else
    found = redis.call('ZRANGEBYLEX', KEYS[1], first, '(' .. prefix .. ARGV[i + 2], 'LIMIT', 0, 100)
  end
  local pairs = {}
  for j, member in ipairs(found) do
    pairs[2 * j - 1], pairs[2 * j] = member, redis.call('HGET', KEYS[2], string.sub(member, #prefix + 9)) or ''
  end
  answer[(i + 2) / 3] = { over > 0 and 1 or 0, pairs }
end
return answer";

/// Drops records that nobody has listed for long, with nothing left to tell of them, and mutexes
/// that nobody holds: fences go on from the clock.
/// KEYS: unlisted, records, entries by job, mutexes. ARGV: now, patience, a mutex's; jobs listed.
const FORGET: &str = "
local now, patience, rest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local listed, dropped = {}, 0
for i = 4, #ARGV do listed[ARGV[i]] = true end
local since = {}
local marks = redis.call('HGETALL', KEYS[1])
for i = 1, #marks, 2 do since[marks[i]] = tonumber(marks[i + 1]) end
for _, job in ipairs(redis.call('HKEYS', KEYS[2])) do
  if listed[job] then
    if since[job] then redis.call('HDEL', KEYS[1], job) end
  elseif not since[job] then
    redis.call('HSET', KEYS[1], job, ARGV[1])
  elseif now - since[job] > patience then
    local good, record = pcall(cmsgpack.unpack, redis.call('HGET', KEYS[2], job))
    local idle = good and type(record) == 'table' and type(record[4]) == 'table' and #record[4] == 0
    local lines = redis.call('ZLEXCOUNT', KEYS[3], '[' .. job .. '\\0', '(' .. job .. '\\0\\255')
    if idle and lines == 0 then
      redis.call('HDEL', KEYS[2], job)
      redis.call('HDEL', KEYS[1], job)
      dropped = dropped + 1
    end
  end
end
local mutexes = redis.call('HGETALL', KEYS[4])
for i = 1, #mutexes, 2 do
  local good, mutex = pcall(cmsgpack.unpack, mutexes[i + 1])
  good = good and type(mutex) == 'table' and #mutex >= 2
  local held = good and mutex[2] and mutex[2][5] > now
  if good and not held and mutex[1] < now - rest then redis.call('HDEL', KEYS[4], mutexes[i]) end
end
return dropped";

/// A line of history to drop.
struct Line {
    member: Vec<u8>,
    id: Vec<u8>,
}

impl Server {
    pub(super) async fn prune(&self, keep: &[(JobName, Keep)], others: Keep) -> Result<usize, StoreError> {
        let now = self.now().await?;
        let limits: BTreeMap<&JobName, &Keep> = keep.iter().map(|(job, keep)| (job, keep)).collect();
        let mut lines = Vec::new();
        let jobs = self.next_of(self.jobs().await?);
        for jobs in jobs.chunks(JOBS) {
            lines.extend(self.surplus(jobs, &limits, &others, now).await?);
            if lines.len() >= PRUNED {
                break;
            }
        }
        for lines in lines.chunks(500) {
            self.drop_lines(lines).await?;
        }
        if lines.is_empty() {
            *self.tidied.lock().unwrap_or_else(PoisonError::into_inner) = jobs.last().cloned();
            if self.is_time_to_forget(now) {
                self.forget(keep, others, now).await?;
            }
            self.drop_replicas(now).await?;
            self.drop_outputs(now).await?;
        }
        Ok(lines.len())
    }

    /// The jobs whose turn it is: where there are very many, they are gone through within an hour or so.
    fn next_of(&self, mut jobs: Vec<JobName>) -> Vec<JobName> {
        jobs.sort_unstable();
        let most = MOST_JOBS.max(jobs.len() / ROUNDS);
        if jobs.len() > most {
            let last = self.tidied.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let from = last.map_or(0, |last| jobs.partition_point(|job| *job <= last));
            jobs.rotate_left(from);
            jobs.truncate(most);
        }
        jobs
    }

    /// Lines beyond the limits of these jobs. What is not over stays, however old.
    async fn surplus(
        &self,
        jobs: &[JobName],
        limits: &BTreeMap<&JobName, &Keep>,
        others: &Keep,
        now: Timestamp,
    ) -> Result<Vec<Line>, StoreError> {
        let mut args = Vec::new();
        let mut asked = Vec::new();
        for (job, class) in jobs.iter().flat_map(|job| CLASSES.map(|class| (job, class))) {
            let keep = limits.get(job).copied().unwrap_or(others);
            let before = now.as_micros() - i64::from(keep.days) * DAY_US;
            let prefix = place(job, class);
            asked.push((prefix.len(), before));
            let bytes = pack::sortable(Timestamp::from_micros(before));
            args.extend([prefix, keep.runs.to_string().into_bytes(), bytes.to_vec()]);
        }
        let keys = [BY_JOB, ENTRIES, RECORDS].map(|place| self.keys[place].clone());
        let answer = self.link.run(&Script::new(SURPLUS.into()), &keys, &args).await?;
        let Value::Array(groups) = answer else { return Err(self.garbled()) };
        let mut lines = Vec::new();
        for ((prefix, before), group) in asked.into_iter().zip(groups) {
            let Value::Array(parts) = group else { return Err(self.garbled()) };
            let [over, pairs] = <[Value; 2]>::try_from(parts).map_err(|_| self.garbled())?;
            let over = over == Value::Int(1);
            for pair in list(pairs).chunks_exact(2) {
                let entry = fold(&pair[1]).map_err(|_| self.garbled())?;
                // An index without its line is of no use to anybody.
                let gone = |entry: &crate::ledger::Entry| {
                    entry.state.is_final() && (over || entry.changed_at.as_micros() < before)
                };
                if entry.as_ref().is_none_or(gone) {
                    lines.push(Line { member: pair[0].clone(), id: id_in(&pair[0], prefix) });
                }
            }
        }
        Ok(lines)
    }

    async fn drop_lines(&self, lines: &[Line]) -> Result<(), StoreError> {
        let ids: Vec<Vec<u8>> = lines.iter().map(|line| line.id.clone()).collect();
        let members: Vec<Vec<u8>> = lines.iter().map(|line| line.member.clone()).collect();
        let run = |id: &Vec<u8>| <[u8; 16]>::try_from(id.as_slice()).ok().map(RunId::from_bytes);
        let outputs: Vec<Vec<u8>> = ids.iter().filter_map(run).map(|run| self.output(run).into_bytes()).collect();
        if let Some((first, rest)) = outputs.split_first() {
            self.ask("UNLINK", &String::from_utf8_lossy(first), rest).await?;
        }
        // The index by job goes last: until then the rest can be found and dropped again.
        self.ask("ZREM", &self.outputs(), &ids).await?;
        self.ask("HDEL", &self.keys[ENTRIES], &ids).await?;
        self.ask("ZREM", &self.keys[BY_TIME], &ids).await?;
        self.ask("ZREM", &self.keys[BY_JOB], &members).await?;
        Ok(())
    }

    async fn forget(&self, keep: &[(JobName, Keep)], others: Keep, now: Timestamp) -> Result<(), StoreError> {
        let keys = [&self.unlisted(), &self.keys[RECORDS], &self.keys[BY_JOB], &self.keys[MUTEXES]].map(Clone::clone);
        let mut args =
            [now.as_micros(), i64::from(others.days) * DAY_US, DAY_US].map(|n| n.to_string().into_bytes()).to_vec();
        args.extend(keep.iter().map(|(job, _)| job.as_str().as_bytes().to_vec()));
        self.link.run(&Script::new(FORGET.into()), &keys, &args).await?;
        Ok(())
    }

    async fn drop_replicas(&self, now: Timestamp) -> Result<(), StoreError> {
        let all = list(self.ask("HVALS", &self.replicas(), &[]).await?);
        let gone = |replica: &Replica| now.since(replica.last_seen_at).as_secs() >= 86_400;
        for replica in all.iter().filter_map(|json| serde_json::from_slice::<Replica>(json).ok()).filter(gone) {
            self.ask("HDEL", &self.replicas(), &[replica.boot_id.into_bytes()]).await?;
        }
        Ok(())
    }

    /// Drops output of runs that are in no history, a day after it was written.
    async fn drop_outputs(&self, now: Timestamp) -> Result<(), StoreError> {
        let range =
            ["-inf".to_owned(), (now.as_micros() - DAY_US).to_string(), "LIMIT".into(), "0".into(), "500".into()];
        let runs = list(self.ask("ZRANGEBYSCORE", &self.outputs(), &range.map(String::into_bytes)).await?);
        for run in runs {
            let Ok(bytes) = <[u8; 16]>::try_from(run.as_slice()) else { continue };
            if self.ask("HEXISTS", &self.keys[ENTRIES], std::slice::from_ref(&run)).await? == Value::Int(0) {
                self.ask("UNLINK", &self.output(RunId::from_bytes(bytes)), &[]).await?;
                self.ask("ZREM", &self.outputs(), &[run]).await?;
            } else {
                // Looked at; the others come first next time.
                let score = now.as_micros().to_string().into_bytes();
                self.ask("ZADD", &self.outputs(), &[score, run]).await?;
            }
        }
        Ok(())
    }
}

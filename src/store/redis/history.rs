//! Lines of history: kept as their events, found by time or by job, folded when they are read.

use std::collections::BTreeSet;

use redis::Value;

use super::link::Script;
use super::server::{BY_JOB, BY_TIME, ENTRIES, FEED, RECORDS, Server};
use super::wire::{Garbled, Reader};
use super::{pack, text};
use crate::clock::Timestamp;
use crate::job::JobName;
use crate::lease::RunId;
use crate::ledger::{Entry, Event};
use crate::store::{Query, StoreError};

/// Lines read at once.
const PAGE: usize = 500;

/// Calls of the feed read at once: each may hold hundreds of events.
const CALLS: usize = 50;

/// Newest lines of each job that are looked at before a job is searched by itself.
const GLANCE: usize = 4;

/// The newest lines of each kind of each job.
const NEWEST: &str = "
local answer = {}
for i = 2, #ARGV do
  local texts = {}
  for _, class in ipairs({ 'p', 'r' }) do
    local prefix = ARGV[i] .. '\\0' .. class
    local found = redis.call('ZREVRANGEBYLEX', KEYS[1], '(' .. prefix .. '\\255\\255', '[' .. prefix, 'LIMIT', 0, ARGV[1])
    for _, member in ipairs(found) do
      texts[#texts + 1] = redis.call('HGET', KEYS[2], string.sub(member, #prefix + 9)) or ''
    end
  end
  answer[i - 1] = texts
end
return answer";

/// The two kinds of lines, as the index by job knows them: passed over, and run.
pub(super) const CLASSES: [u8; 2] = [b'p', b'r'];

/// The line that these packed events make.
pub(super) fn fold(packed: &[u8]) -> Result<Option<Entry>, Garbled> {
    if packed.is_empty() {
        return Ok(None);
    }
    let mut from = Reader::new(packed);
    let job = pack::job(&mut from)?;
    let mut entry = None;
    while !from.is_empty() {
        entry = Entry::fold(entry, &pack::event(job.clone(), &mut from)?);
    }
    Ok(entry)
}

impl Server {
    pub(super) async fn history(&self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        let mut entries = if query.newest_of_each {
            self.newest_of_each(query).await?
        } else if let Some(run) = query.id.as_ref().and_then(|id| id.parse::<RunId>().ok()) {
            self.lines(&[run.as_bytes().to_vec()]).await?.into_iter().filter(|entry| query.takes(entry)).collect()
        } else if let Some(job) = &query.job {
            self.of_job(job, query).await?
        } else {
            self.of_all(query).await?
        };
        entries.sort_by(|a, b| (b.scheduled_at, &b.id).cmp(&(a.scheduled_at, &a.id)));
        // What came while pages were read moved the rest down: a line may have been read twice.
        entries.dedup_by(|a, b| a.id == b.id);
        if query.limit > 0 {
            entries.truncate(query.limit);
        }
        Ok(entries)
    }

    async fn of_all(&self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        let bound = |at: Option<Timestamp>, open: &str, none: &str| match at {
            Some(at) => format!("{open}{}", at.as_micros()),
            None => none.to_owned(),
        };
        let range = [bound(query.until, "(", "+inf"), bound(query.since, "", "-inf")].map(String::into_bytes);
        let mut found = Vec::new();
        let mut seen = 0;
        loop {
            let ids = self.page("ZREVRANGEBYSCORE", BY_TIME, &range, seen).await?;
            seen += ids.len();
            let last = ids.len() < PAGE;
            if take(&mut found, self.lines(&ids).await?, query) || last {
                return Ok(found);
            }
        }
    }

    async fn of_job(&self, job: &JobName, query: &Query) -> Result<Vec<Entry>, StoreError> {
        let mut all = Vec::new();
        for class in CLASSES {
            let prefix = place(job, class);
            let range = [[b"(", &prefix[..], b"\xff\xff"].concat(), [b"[", &prefix[..]].concat()];
            let (mut found, mut seen) = (Vec::new(), 0);
            loop {
                let members = self.page("ZREVRANGEBYLEX", BY_JOB, &range, seen).await?;
                seen += members.len();
                let ids: Vec<Vec<u8>> = members.iter().map(|member| id_in(member, prefix.len())).collect();
                if take(&mut found, self.lines(&ids).await?, query) || members.len() < PAGE {
                    break;
                }
            }
            all.append(&mut found);
        }
        Ok(all)
    }

    async fn newest_of_each(&self, query: &Query) -> Result<Vec<Entry>, StoreError> {
        let jobs = match &query.job {
            Some(job) => vec![job.clone()],
            None => self.jobs().await?,
        };
        let script = Script::new(NEWEST.into());
        let keys = [self.keys[BY_JOB].clone(), self.keys[ENTRIES].clone()];
        let mut newest = Vec::new();
        for jobs in jobs.chunks(PAGE) {
            let mut args = vec![GLANCE.to_string().into_bytes()];
            args.extend(jobs.iter().map(|job| job.as_str().as_bytes().to_vec()));
            let Value::Array(answers) = self.link.run(&script, &keys, &args).await? else {
                return Err(self.garbled());
            };
            for (job, texts) in jobs.iter().zip(answers) {
                let lines = self.fold_all(texts)?;
                let many = lines.len() >= GLANCE;
                let newer = |a: &Entry, b: &Entry| (a.scheduled_at, &a.id).cmp(&(b.scheduled_at, &b.id));
                let mut best = lines.into_iter().filter(|entry| query.takes(entry)).max_by(newer);
                if best.is_none() && many {
                    let one = Query { limit: 1, newest_of_each: false, job: Some(job.clone()), ..query.clone() };
                    best = self.of_job(job, &one).await?.into_iter().max_by(newer);
                }
                newest.extend(best);
            }
        }
        Ok(newest)
    }

    /// The names of all jobs that have a record.
    pub(super) async fn jobs(&self) -> Result<Vec<JobName>, StoreError> {
        let names = list(self.ask("HKEYS", &self.keys[RECORDS], &[]).await?);
        Ok(names.iter().filter_map(|name| JobName::new(&text(name)?).ok()).collect())
    }

    async fn page(
        &self,
        command: &str,
        key: usize,
        range: &[Vec<u8>],
        skip: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut args = range.to_vec();
        args.extend(["LIMIT".to_owned(), skip.to_string(), PAGE.to_string()].map(String::into_bytes));
        Ok(list(self.ask(command, &self.keys[key], &args).await?))
    }

    /// The lines with these ids that there are.
    async fn lines(&self, ids: &[Vec<u8>]) -> Result<Vec<Entry>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let answer = self.ask("HMGET", &self.keys[ENTRIES], ids).await?;
        self.fold_all(answer)
    }

    fn fold_all(&self, texts: Value) -> Result<Vec<Entry>, StoreError> {
        let folded = list(texts).iter().map(|text| fold(text)).collect::<Result<Vec<_>, _>>();
        Ok(folded.map_err(|Garbled| self.garbled())?.into_iter().flatten().collect())
    }

    /// Events after `position`, each with its own.
    pub(super) async fn events(&self, mut position: u64, limit: usize) -> Result<Vec<(u64, Event)>, StoreError> {
        let mut events = Vec::new();
        while events.len() < limit {
            let args = [format!("{}-0", position + 1), "+".into(), "COUNT".into(), CALLS.to_string()];
            let answer = self.ask("XRANGE", &self.keys[FEED], &args.map(String::into_bytes)).await?;
            let calls = feed(answer).map_err(|Garbled| self.garbled())?;
            let Some(last) = calls.last().and_then(|call| call.last()).map(|(at, _)| *at) else { break };
            events.extend(calls.into_iter().flatten().filter(|(at, _)| *at > position));
            position = last;
        }
        events.truncate(limit);
        Ok(events)
    }
}

/// Adds what `query` takes of a page, newest first. Whether there is enough of it.
fn take(found: &mut Vec<Entry>, page: Vec<Entry>, query: &Query) -> bool {
    for entry in page {
        // Lines of one instant are put in order later: all of them or none.
        let enough = query.limit > 0 && found.len() >= query.limit;
        if enough && found.last().is_some_and(|last| last.scheduled_at > entry.scheduled_at) {
            return true;
        }
        if query.takes(&entry) {
            found.push(entry);
        }
    }
    false
}

/// How a job's lines of one kind begin in the index by job.
pub(super) fn place(job: &JobName, class: u8) -> Vec<u8> {
    [job.as_str().as_bytes(), b"\0", &[class]].concat()
}

/// The line's id in a member of the index by job: behind its instant.
pub(super) fn id_in(member: &[u8], prefix: usize) -> Vec<u8> {
    member.get(prefix + 8..).unwrap_or_default().to_vec()
}

/// The calls of the feed: the events of each, with their positions.
fn feed(answer: Value) -> Result<Vec<Vec<(u64, Event)>>, Garbled> {
    let Value::Array(calls) = answer else { return Err(Garbled) };
    calls.into_iter().map(call).collect()
}

/// One call: its id is the position of its last event.
fn call(value: Value) -> Result<Vec<(u64, Event)>, Garbled> {
    let Value::Array(parts) = value else { return Err(Garbled) };
    let [id, fields] = <[Value; 2]>::try_from(parts).map_err(|_| Garbled)?;
    let Value::BulkString(id) = id else { return Err(Garbled) };
    let last: u64 = text(&id).and_then(|id| id.split('-').next()?.parse().ok()).ok_or(Garbled)?;
    let fields = list(fields);
    let [_, count, _, packed] = fields.as_slice() else { return Err(Garbled) };
    let count: u64 = text(count).and_then(|count| count.parse().ok()).ok_or(Garbled)?;
    let mut from = Reader::new(packed);
    let event = |at| {
        let job = pack::job(&mut from)?;
        Ok((at, pack::event(job, &mut from)?))
    };
    (last + 1 - count..=last).map(event).collect()
}

/// The texts of a list.
pub(super) fn list(answer: Value) -> Vec<Vec<u8>> {
    let Value::Array(parts) = answer else { return Vec::new() };
    let bytes = |part| match part {
        Value::BulkString(bytes) => bytes,
        _ => Vec::new(),
    };
    parts.into_iter().map(bytes).collect()
}

/// The jobs to which some events invite, each once.
pub(super) fn invited(events: &[(u64, Event)]) -> Vec<JobName> {
    let inviting = events.iter().filter(|(_, event)| event.what.invites());
    let jobs: BTreeSet<&JobName> = inviting.map(|(_, event)| &event.job).collect();
    jobs.into_iter().cloned().collect()
}

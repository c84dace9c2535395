//! The tables, and every statement that touches them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Timestamp;
use crate::job::{JobName, Keep};
use crate::lease::{Fence, RunId};
use crate::ledger::{Entry, Event, State};
use crate::record::{Mutex, Record};
use crate::runner::Stream;
use crate::store::{Piece, Query, Records, Replica, Snapshot};

/// Layout 1. Times are microseconds since the Unix epoch, bodies are JSON.
pub(super) const LAYOUT: &str = "
CREATE TABLE IF NOT EXISTS clock    (one INTEGER PRIMARY KEY CHECK (one = 1), high_water INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS jobs     (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mutexes  (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS replicas (boot_id TEXT PRIMARY KEY, seen INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events   (position INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, job TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries  (id TEXT PRIMARY KEY, job TEXT NOT NULL, scheduled_at INTEGER NOT NULL, kind TEXT NOT NULL,
                                     state TEXT NOT NULL, final INTEGER NOT NULL, passed INTEGER NOT NULL, changed_at INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS entries_by_job  ON entries (job, scheduled_at);
CREATE INDEX IF NOT EXISTS entries_by_time ON entries (scheduled_at);
CREATE TABLE IF NOT EXISTS output   (run_id TEXT NOT NULL, fence INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL,
                                     stderr INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (run_id, fence, seq)) WITHOUT ROWID;
INSERT OR IGNORE INTO clock VALUES (1, 0);
";

/// How many events are kept: enough to tell what happened lately; the history itself is in `entries`.
const EVENTS: i64 = 100_000;

/// How much one pruning removes at most, so that the write lock is soon free again.
const PRUNED: i64 = 5_000;

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_micros().into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Timestamp::from_micros)
    }
}

/// A value kept as JSON.
struct Json<T>(T);

impl<T: Serialize> ToSql for Json<&T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text =
            serde_json::to_string(self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(text.into())
    }
}

impl<T: DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Json).map_err(|error| FromSqlError::Other(error.into()))
    }
}

// ---- time --------------------------------------------------------------------------------------

/// The store's time: what the clock reads, but never before what it read at any commit.
pub(super) fn time(db: &Connection, clock: Timestamp) -> rusqlite::Result<Timestamp> {
    let high: Timestamp = db.prepare_cached("SELECT high_water FROM clock")?.query_row([], |row| row.get(0))?;
    Ok(clock.max(high))
}

pub(super) fn advance_time(db: &Connection, clock: Timestamp) -> rusqlite::Result<Timestamp> {
    let now = time(db, clock)?;
    db.prepare_cached("UPDATE clock SET high_water = ?1")?.execute([now])?;
    Ok(now)
}

// ---- records -----------------------------------------------------------------------------------

pub(super) fn record(db: &Connection, job: &JobName) -> rusqlite::Result<Record> {
    body(db, "SELECT body FROM jobs WHERE name = ?1", job.as_str()).map(Option::unwrap_or_default)
}

pub(super) fn put_record(db: &Connection, job: &JobName, record: &Record) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO jobs VALUES (?1, ?2)")?.execute(params![job.as_str(), Json(record)])?;
    Ok(())
}

pub(super) fn mutex(db: &Connection, name: Option<&str>) -> rusqlite::Result<Mutex> {
    let Some(name) = name else { return Ok(Mutex::default()) };
    body(db, "SELECT body FROM mutexes WHERE name = ?1", name).map(Option::unwrap_or_default)
}

pub(super) fn put_mutex(db: &Connection, name: &str, mutex: &Mutex) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO mutexes VALUES (?1, ?2)")?.execute(params![name, Json(mutex)])?;
    Ok(())
}

fn body<T: DeserializeOwned>(db: &Connection, select: &str, key: &str) -> rusqlite::Result<Option<T>> {
    let found = db.prepare_cached(select)?.query_row([key], |row| row.get::<_, Json<T>>(0)).optional()?;
    Ok(found.map(|json| json.0))
}

pub(super) fn snapshot(db: &Connection, clock: Timestamp) -> rusqlite::Result<Snapshot> {
    let name = |text: String| JobName::new(&text).map_err(|error| FromSqlError::Other(error.into()));
    let mut records = Records::packed(|text| serde_json::from_slice(text).ok());
    let mut query = db.prepare_cached("SELECT name, body FROM jobs")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        records.add(name(row.get(0)?)?, row.get::<_, Json<Record>>(1)?.0, row.get_ref(1)?.as_bytes()?);
    }
    let mutexes = db
        .prepare_cached("SELECT name, body FROM mutexes")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, Json<Mutex>>(1)?.0)))?
        .collect::<rusqlite::Result<BTreeMap<_, _>>>()?;
    Ok(Snapshot { now: time(db, clock)?, records: records.seal(), mutexes })
}

// ---- events and history ------------------------------------------------------------------------

pub(super) fn add_event(db: &Connection, event: &Event) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO events (at, job, body) VALUES (?1, ?2, ?3)")?.execute(params![
        event.at,
        event.job.as_str(),
        Json(event)
    ])?;
    Ok(())
}

pub(super) fn head(db: &Connection) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT coalesce(max(position), 0) FROM events")?.query_row([], position)
}

fn position(row: &rusqlite::Row<'_>) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(0)?.cast_unsigned())
}

/// The jobs of events that [`What::invites`], and how far they were read.
///
/// [`What::invites`]: crate::ledger::What::invites
pub(super) fn invited_since(db: &Connection, after: u64) -> rusqlite::Result<(u64, Vec<JobName>)> {
    let events = db
        .prepare_cached("SELECT position, body FROM events WHERE position > ?1 ORDER BY position")?
        .query_map([after.cast_signed()], |row| Ok((position(row)?, row.get::<_, Json<Event>>(1)?.0)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let upto = events.last().map_or(after, |(position, _)| *position);
    let jobs: BTreeSet<JobName> =
        events.into_iter().filter(|(_, event)| event.what.invites()).map(|(_, event)| event.job).collect();
    Ok((upto, jobs.into_iter().collect()))
}

pub(super) fn events(db: &Connection, after: u64, limit: usize) -> rusqlite::Result<Vec<(u64, Event)>> {
    db.prepare_cached("SELECT position, body FROM events WHERE position > ?1 ORDER BY position LIMIT ?2")?
        .query_map(params![after.cast_signed(), count(limit)], |row| {
            Ok((position(row)?, row.get::<_, Json<Event>>(1)?.0))
        })?
        .collect()
}

pub(super) fn entry(db: &Connection, id: &str) -> rusqlite::Result<Option<Entry>> {
    body(db, "SELECT body FROM entries WHERE id = ?1", id)
}

pub(super) fn put_entry(db: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let (state, passed) = (entry.state.word(), entry.through.is_some());
    db.prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?.execute(
        params![
            entry.id,
            entry.job.as_str(),
            entry.scheduled_at,
            entry.trigger.kind(),
            state,
            entry.state.is_final(),
            passed,
            entry.changed_at,
            Json(entry)
        ],
    )?;
    Ok(())
}

pub(super) fn history(db: &Connection, query: &Query) -> rusqlite::Result<Vec<Entry>> {
    let mut sql = String::from("SELECT body FROM entries WHERE 1");
    if query.newest_of_each {
        // One step down the index for each job, however long its history.
        sql = "SELECT entries.body FROM jobs JOIN entries ON id = (SELECT id FROM entries WHERE job = name".into();
    }
    let mut values: Vec<Value> = Vec::new();
    let mut and = |clause: &str, given: Vec<Value>| {
        sql.push_str(" AND ");
        sql.push_str(clause);
        values.extend(given);
    };
    if let Some(job) = &query.job {
        and("job = ?", vec![job.as_str().to_owned().into()]);
    }
    if let Some(id) = &query.id {
        let literal: String = id.chars().filter(|c| !"*?[]".contains(*c)).collect();
        and("(id GLOB ? OR id GLOB ?)", vec![format!("{literal}*").into(), format!("*{literal}").into()]);
    }
    if !query.states.is_empty() {
        let states = query.states.iter().map(|state: &State| state.word().to_owned().into()).collect();
        and(&format!("state IN ({})", vec!["?"; query.states.len()].join(",")), states);
    }
    if let Some(kind) = &query.trigger {
        and("kind = ?", vec![kind.clone().into()]);
    }
    if let Some(since) = query.since {
        and("scheduled_at >= ?", vec![since.as_micros().into()]);
    }
    if let Some(until) = query.until {
        and("scheduled_at < ?", vec![until.as_micros().into()]);
    }
    if query.newest_of_each {
        sql.push_str(" ORDER BY scheduled_at DESC, id DESC LIMIT 1)");
    }
    sql.push_str(" ORDER BY scheduled_at DESC, id DESC LIMIT ?");
    values.push(count(query.limit).into());
    db.prepare(&sql)?.query_map(params_from_iter(values), |row| Ok(row.get::<_, Json<Entry>>(0)?.0))?.collect()
}

/// SQLite reads a negative limit as none.
fn count(limit: usize) -> i64 {
    if limit == 0 { -1 } else { i64::try_from(limit).unwrap_or(-1) }
}

// ---- output ------------------------------------------------------------------------------------

pub(super) fn put_output(
    db: &Connection,
    run: RunId,
    fence: Fence,
    pieces: &[Piece],
    cut: &Range<u64>,
) -> rusqlite::Result<()> {
    let (run, fence) = (run.to_string(), fence.0.cast_signed());
    if !cut.is_empty() {
        db.prepare_cached("DELETE FROM output WHERE run_id = ?1 AND fence = ?2 AND seq >= ?3 AND seq < ?4")?
            .execute(params![run, fence, cut.start.cast_signed(), cut.end.cast_signed()])?;
    }
    let mut put = db.prepare_cached("INSERT OR REPLACE INTO output VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for piece in pieces {
        let stderr = piece.stream == Stream::Stderr;
        put.execute(params![run, fence, piece.seq.cast_signed(), piece.at, stderr, piece.bytes])?;
    }
    Ok(())
}

pub(super) fn output(db: &Connection, run: RunId, from: u64) -> rusqlite::Result<Vec<(Fence, Piece)>> {
    db.prepare_cached(
        "SELECT fence, seq, at, stderr, bytes FROM output WHERE run_id = ?1 AND seq >= ?2 ORDER BY fence, seq",
    )?
    .query_map(params![run.to_string(), from.cast_signed()], |row| {
        Ok((Fence(row.get::<_, i64>(0)?.cast_unsigned()), piece(row)?))
    })?
    .collect()
}

pub(super) fn attempt_output(db: &Connection, run: RunId, fence: Fence, from: u64) -> rusqlite::Result<Vec<Piece>> {
    db.prepare_cached(
        "SELECT fence, seq, at, stderr, bytes FROM output WHERE run_id = ?1 AND fence = ?2 AND seq >= ?3 ORDER BY seq",
    )?
    .query_map(params![run.to_string(), fence.0.cast_signed(), from.cast_signed()], piece)?
    .collect()
}

fn piece(row: &Row<'_>) -> rusqlite::Result<Piece> {
    let stream = if row.get(3)? { Stream::Stderr } else { Stream::Stdout };
    Ok(Piece { seq: row.get::<_, i64>(1)?.cast_unsigned(), at: row.get(2)?, stream, bytes: row.get(4)? })
}

// ---- replicas ----------------------------------------------------------------------------------

const DAY_US: i64 = 86_400_000_000;

pub(super) fn put_replica(db: &Connection, replica: &Replica) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO replicas VALUES (?1, ?2, ?3)")?.execute(params![
        replica.boot_id,
        replica.last_seen_at,
        Json(replica)
    ])?;
    Ok(())
}

pub(super) fn remove_replica(db: &Connection, boot_id: &str) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM replicas WHERE boot_id = ?1")?.execute([boot_id])?;
    Ok(())
}

pub(super) fn replicas(db: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Replica>> {
    db.prepare_cached("SELECT body FROM replicas WHERE seen > ?1 ORDER BY body ->> 'name', boot_id")?
        .query_map([now.as_micros() - DAY_US], |row| Ok(row.get::<_, Json<Replica>>(0)?.0))?
        .collect()
}

// ---- retention ---------------------------------------------------------------------------------

pub(super) fn prune(
    db: &Connection,
    keep: &[(JobName, Keep)],
    others: Keep,
    now: Timestamp,
) -> rusqlite::Result<usize> {
    db.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS keep (job TEXT PRIMARY KEY, runs INTEGER, days INTEGER); DELETE FROM keep;",
    )?;
    let mut put = db.prepare_cached("INSERT OR REPLACE INTO keep VALUES (?1, ?2, ?3)")?;
    for (job, keep) in keep {
        put.execute(params![job.as_str(), keep.runs, keep.days])?;
    }
    let gone: Vec<String> = db
        .prepare_cached(
            "SELECT id FROM (SELECT id, job, changed_at, row_number() OVER (PARTITION BY job, passed ORDER BY scheduled_at DESC) AS nth
                             FROM entries WHERE final)
             LEFT JOIN keep USING (job)
             WHERE nth > coalesce(runs, ?1) OR changed_at < ?3 - coalesce(days, ?2) * ?4 LIMIT ?5",
        )?
        .query_map(params![others.runs, others.days, now, DAY_US, PRUNED], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &gone {
        db.prepare_cached("DELETE FROM entries WHERE id = ?1")?.execute([id])?;
        db.prepare_cached("DELETE FROM output WHERE run_id = ?1")?.execute([id])?;
    }
    db.prepare_cached("DELETE FROM events WHERE position <= (SELECT max(position) FROM events) - ?1")?
        .execute([EVENTS])?;
    db.prepare_cached("DELETE FROM replicas WHERE seen < ?1")?.execute([now.as_micros() - DAY_US])?;
    Ok(gone.len())
}

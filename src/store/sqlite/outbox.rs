//! Who passes events on, until when, and how far they are passed on.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::tables;
use crate::clock::Timestamp;
use crate::store::Outbox;

/// Made when it is first needed: files of the same layout that are older have no such table.
const LAYOUT: &str = "
CREATE TABLE IF NOT EXISTS outboxes (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL,
                                     mark INTEGER NOT NULL) WITHOUT ROWID";

pub(super) fn take(
    db: &Connection,
    outbox: Outbox,
    holder: &str,
    now: Timestamp,
    ttl: Duration,
) -> rusqlite::Result<Option<u64>> {
    db.execute_batch(LAYOUT)?;
    let row = db
        .prepare_cached("SELECT holder, until, mark FROM outboxes WHERE name = ?1")?
        .query_row([outbox.name()], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Timestamp>(1)?, row.get::<_, i64>(2)?))
        })
        .optional()?;
    let mark = match row {
        Some((other, until, _)) if other != holder && until > now => return Ok(None),
        Some((_, _, mark)) => mark,
        None => tables::head(db)?.cast_signed(),
    };
    db.prepare_cached("INSERT OR REPLACE INTO outboxes VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        outbox.name(),
        holder,
        now.plus(ttl),
        mark
    ])?;
    Ok(Some(mark.cast_unsigned()))
}

pub(super) fn mark(
    db: &Connection,
    outbox: Outbox,
    holder: &str,
    position: u64,
    until: Timestamp,
) -> rusqlite::Result<bool> {
    db.execute_batch(LAYOUT)?;
    let done = db
        .prepare_cached("UPDATE outboxes SET mark = max(mark, ?3), until = ?4 WHERE name = ?1 AND holder = ?2")?
        .execute(params![outbox.name(), holder, position.cast_signed(), until])?;
    Ok(done > 0)
}
